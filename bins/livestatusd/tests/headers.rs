//! Headers that order, cut and dress answers.

mod support;

use objects::{Host, Service};
use support::{Daemon, Line, begin, dump, framed, host};

/// Hosts c, a and b at one site, of which a has two services.
fn daemon() -> Daemon {
    let with = |address: &str, variables: &[(&str, &str)]| Host {
        address: address.into(),
        custom_variables: variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        ..host(&[])
    };
    let services = ["CPU load", "Disk \"/\""];
    let a = Host {
        services: host(&services).services,
        ..with("10.0.0.2", &[("SITE", "berlin"), ("RACK", "2")])
    };
    let daemon = Daemon::running(&[(
        "x",
        &[
            ("c", with("10.0.0.1", &[("SITE", "aachen")])),
            ("a", a),
            ("b", with("10.0.0.2", &[])),
        ],
    )]);
    let states = dump(
        &begin("x", 1),
        &[
            ("a", None, 0, "up"),
            ("b", None, 1, "down"),
            ("a", Some("CPU load"), 1, "busy \u{1f600}"),
        ],
    );
    daemon.ask("ingest.d/x", states);
    daemon
}

#[test]
fn rows_are_sorted_skipped_and_cut() {
    let daemon = daemon();
    for (headers, want) in [
        ("", "abc"),
        ("Sort: name", "abc"),
        ("Sort: name desc", "cba"),
        ("Sort: host_name desc", "cba"),
        ("Sort: address", "cab"),
        ("Sort: address desc", "abc"),
        ("Sort: address asc\nSort: name desc", "cba"),
        ("Sort: state desc\nSort: name desc", "bca"),
        ("Sort: custom_variables SITE asc", "bca"),
        ("Sort: custom_variables SITE desc", "acb"),
        ("Sort: custom_variables RACK desc", "abc"),
        ("OrderBy: name desc", "cba"),
        ("OrderBy: custom_variables.SITE", "bca"),
        ("Offset: 1", "bc"),
        ("Offset: 3", ""),
        ("Offset: 99999999999", ""),
        ("Limit: 2", "ab"),
        ("Limit: 0", ""),
        ("Offset: 1\nLimit: 1", "b"),
        ("Limit: 1\nOffset: 2", "c"),
        ("Sort: name desc\nLimit: 1", "c"),
        ("Sort: name desc\nOffset: 1\nLimit: 1", "b"),
        ("Sort: address\nOffset: 2\nLimit: 5", "b"),
        ("Sort: name desc\nLimit: 0", ""),
        (
            "Sort: name desc\nOffset: 18446744073709551615\nLimit: 18446744073709551615",
            "",
        ),
        ("Filter: state = 0\nSort: name desc\nLimit: 2", "ca"),
        ("Timelimit: 60", "abc"),
        ("Cache: reload\nBackends: a b", "abc"),
    ] {
        let answer = daemon.text("live", format!("GET hosts\nColumns: name\n{headers}\n"));
        assert_eq!(answer.replace('\n', ""), want, "{headers}");
    }
}

#[test]
fn every_format_has_the_same_rows() {
    let daemon = daemon();
    let query = "GET services\nColumns: description state latency nosuch plugin_output host_custom_variables\n";
    for (headers, want) in [
        (
            "OutputFormat: csv\n",
            "CPU load;1;0.0;;busy \u{1f600};RACK|2,SITE|berlin\nDisk \"/\";0;0.0;;;RACK|2,SITE|berlin\n",
        ),
        (
            "OutputFormat: CSV\nSeparators: 1 2 3 4\n",
            "\"CPU load\",\"1\",\"0.0\",\"\",\"busy \u{1f600}\",\"RACK|2,SITE|berlin\"\r\n\
             \"Disk \"\"/\"\"\",\"0\",\"0.0\",\"\",\"\",\"RACK|2,SITE|berlin\"\r\n",
        ),
        (
            "OutputFormat: json\nLimit: 1\nColumnHeaders: on\n",
            "[[\"description\",\"state\",\"latency\",\"nosuch\",\"plugin_output\",\"host_custom_variables\"],\n\
             [\"CPU load\",1,0.0,null,\"busy \\ud83d\\ude00\",{\"RACK\":\"2\",\"SITE\":\"berlin\"}]]\n",
        ),
        (
            "OutputFormat: python\nLimit: 1\n",
            "[[u\"CPU load\",1,0.0,None,u\"busy \\U0001f600\",{u\"RACK\":u\"2\",u\"SITE\":u\"berlin\"}]]\n",
        ),
        (
            "OutputFormat: python3\n",
            "[[\"CPU load\",1,0.0,None,\"busy \\U0001f600\",{\"RACK\":\"2\",\"SITE\":\"berlin\"}],\n\
             [\"Disk \\\"/\\\"\",0,0.0,None,\"\",{\"RACK\":\"2\",\"SITE\":\"berlin\"}]]\n",
        ),
        (
            "OutputFormat: wrapped_json\nLimit: 1\n",
            "{\"data\":[[\"CPU load\",1,0.0,null,\"busy \\ud83d\\ude00\",{\"RACK\":\"2\",\"SITE\":\"berlin\"}]],\"total_count\":2}\n",
        ),
    ] {
        assert_eq!(
            daemon.text("live", format!("{query}{headers}")),
            want,
            "{headers}"
        );
    }
}

#[test]
fn wrapped_json_tells_how_many_rows_there_are_in_all() {
    let daemon = daemon();
    for (headers, want) in [
        (
            "ColumnHeaders: on\nFilter: name = a\n",
            "{\"columns\":[\"name\",\"state\"],\"data\":[[\"a\",0]],\"total_count\":1}\n",
        ),
        ("Limit: 1\n", "{\"data\":[[\"a\",0]],\"total_count\":3}\n"),
        (
            "Limit: 1\nOffset: 1\n",
            "{\"data\":[[\"b\",1]],\"total_count\":3}\n",
        ),
        ("Limit: 0\n", "{\"data\":[],\"total_count\":3}\n"),
        (
            "Sort: name desc\nLimit: 1\n",
            "{\"data\":[[\"c\",0]],\"total_count\":3}\n",
        ),
        (
            "Filter: name = nobody\nColumnHeaders: on\n",
            "{\"columns\":[\"name\",\"state\"],\"data\":[],\"total_count\":0}\n",
        ),
    ] {
        let query =
            format!("GET hosts\nColumns: name state\nOutputFormat: wrapped_json\n{headers}");
        assert_eq!(daemon.text("live", query), want, "{headers}");
    }
    let answer = "{\"data\":[[1]],\"total_count\":1}\n";
    let query =
        "GET hosts\nStats: state = 1\nOutputFormat: wrapped_json\nResponseHeader: fixed16\n";
    assert_eq!(daemon.text("live", query), framed(200, answer));
}

#[test]
fn times_follow_the_clock_of_the_client() {
    let daemon = daemon();
    let ask = |headers: &str, hours: i64| {
        // Clocks never differ by exactly whole half hours.
        let localtime = support::now().secs() + hours * 3600 + 300;
        daemon.cell(
            "live",
            &format!(
                "GET services\nFilter: description = CPU load\nLocaltime: {localtime}\n{headers}\n"
            ),
        )
    };
    let change: i64 = 1_795_000_000;
    assert_eq!(ask("Columns: last_state_change", 0), change.to_string());
    for hours in [2, -3] {
        let shifted = (change + hours * 3600).to_string();
        assert_eq!(
            ask("Columns: last_state_change state", hours),
            format!("{shifted};1")
        );
        assert_eq!(ask("Stats: max last_state_change", hours), shifted);
        let filter = format!("Columns: state\nFilter: last_state_change = {shifted}");
        assert_eq!(ask(&filter, hours), "1");
        assert_eq!(ask(&filter, 0), "");
    }
    for hours in [24, -24, 1000] {
        let localtime = support::now().secs() + hours * 3600;
        let request = format!("GET hosts\nResponseHeader: fixed16\nLocaltime: {localtime}\n");
        let want = "while processing header 'Localtime': timezone difference greater than or equal to 24 hours\n";
        assert_eq!(daemon.text("live", request), framed(400, want), "{hours}");
    }
}

#[test]
fn faults_are_told_with_their_header() {
    let daemon = daemon();
    for (headers, status, want) in [
        (
            "Sort: nosuch",
            400,
            "'Sort': table 'hosts' has no column 'nosuch'",
        ),
        (
            "Sort: name SITE asc",
            400,
            "'Sort': column 'name' has no entries",
        ),
        (
            "Sort: name up down",
            400,
            "'Sort': direction 'down' is not one of asc, desc",
        ),
        (
            "OrderBy: name.x",
            400,
            "'Sort': column 'name' has no entries",
        ),
        ("Limit: 5 rows", 400, "'Limit': superfluous argument(s)"),
        ("Offset: -1", 400, "'Offset': expected non-negative integer"),
        (
            "OutputFormat: xml",
            400,
            "'OutputFormat': output format 'xml' is not one of csv, CSV, json, wrapped_json, python, python3",
        ),
        ("AuthUser:", 400, "'AuthUser': missing argument"),
        (
            "ColumnHeaders: yes",
            400,
            "'ColumnHeaders': expected 'on' or 'off'",
        ),
        (
            "Separators: 1 2",
            400,
            "'Separators': expected four character codes",
        ),
    ] {
        let request = format!("GET hosts\nResponseHeader: fixed16\n{headers}\n");
        let want = format!("while processing header {want}\n");
        assert_eq!(
            daemon.text("live", request),
            framed(status, &want),
            "{headers}"
        );
    }
    let request = "GET hosts\nResponseHeader: fixed16\nTimelimit: 0\n";
    let want = framed(413, "Maximum query time of 0 seconds exceeded!\n");
    assert_eq!(daemon.text("live", request), want);
    let request =
        "GET hosts\nResponseHeader: fixed16\nTimelimit: 0\nColumns: name\nFilter: name = nobody\n";
    assert_eq!(daemon.text("live", request), framed(200, ""));
}

#[test]
fn filters_by_name_and_state_find_the_same_rows_as_a_search() {
    let names: Vec<String> = (0..50).map(|n| format!("host {n:02}")).collect();
    let hosts: Vec<(&str, Host)> = names
        .iter()
        .map(|name| (name.as_str(), host(&["CPU", "Disk", "Memory"])))
        .collect();
    let daemon = Daemon::running(&[("x", &hosts), ("y", &hosts[..10])]);
    let states: Vec<Line<'_>> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (name.as_str(), Some("Disk"), (n % 4) as u8, "output"))
        .collect();
    let taken = daemon.text("ingest.d/x", dump(&begin("x", 1), &states));
    assert_eq!(taken, "taken 50, unknown 0, refused 0\n");
    // A state is found under its new number after the configuration has changed, too.
    let mut changed = hosts.clone();
    changed[2].1 = host(&["Apache", "CPU", "Disk", "Memory"]);
    daemon.configure("x", &changed);
    daemon.reload();
    for (named, searched) in [
        (
            "Filter: host_name = host 07",
            "Filter: host_name ~ ^host 07$",
        ),
        ("Filter: host_name = nobody", "Filter: host_name ~ ^nobody$"),
        (
            "Filter: host_name = host 30\nFilter: host_name = host 07\nOr: 2",
            "Filter: host_name ~ ^host (07|30)$",
        ),
        (
            "Filter: host_name = host 30\nFilter: host_name = host 07\nAnd: 2",
            "Filter: host_name ~ ^nobody$",
        ),
        ("Filter: site = y", "Filter: site ~ y"),
        (
            "Filter: site = y\nFilter: description = Disk\nFilter: host_name = host 01",
            "Filter: site ~ y\nFilter: description ~ Disk\nFilter: host_name ~ ^host 01$",
        ),
        (
            "Filter: service_description = Disk",
            "Filter: description ~ ^Disk$",
        ),
        (
            "Filter: description = CPU\nFilter: description = Memory\nOr: 2\nFilter: host_site = x",
            "Filter: description ~ ^(CPU|Memory)$\nFilter: host_site ~ x",
        ),
        (
            "Filter: host_name = host 07\nNegate:",
            "Filter: host_name !~ ^host 07$",
        ),
        (
            "Filter: host_name = host 07\nFilter: state = 0\nOr: 2",
            "Filter: host_name ~ ^host 07$\nFilter: last_state = 0\nOr: 2",
        ),
        // And by state, of which the search knows nothing when it is another column.
        ("Filter: state = 2", "Filter: last_state = 2"),
        ("Filter: service_state > 0", "Filter: last_state > 0"),
        (
            "Filter: state = 1\nFilter: state = 2\nOr: 2\nNegate:",
            "Filter: last_state = 1\nFilter: last_state = 2\nOr: 2\nNegate:",
        ),
        (
            "Filter: state = 1\nFilter: description = CPU\nOr: 2",
            "Filter: last_state = 1\nFilter: description = CPU\nOr: 2",
        ),
        (
            "Filter: state ~~ 3\nFilter: host_name = host 01",
            "Filter: last_state ~~ 3\nFilter: host_name = host 01",
        ),
    ] {
        let rows = |filters: &str| {
            let columns = "site host_name description";
            daemon.text(
                "live",
                format!("GET services\nColumns: {columns}\n{filters}\n"),
            )
        };
        assert_eq!(rows(named), rows(searched), "{named}");
    }
}

#[test]
fn sorting_many_rows_keeps_their_own_order_among_equals() {
    let services = (0..2500)
        .map(|n| (format!("s {n:04}").into(), Service::default()))
        .collect();
    let many = Host {
        services,
        ..host(&[])
    };
    let daemon = Daemon::running(&[("x", &[("h", many)])]);
    let names = |headers: &str| {
        daemon.text(
            "live",
            format!("GET services\nColumns: description\n{headers}\n"),
        )
    };
    let own = names("");
    assert_eq!(names("Sort: state"), own);
    assert_eq!(names("Sort: state desc\nSort: description asc"), own);
    let first: String = own.split_inclusive('\n').take(100).collect();
    assert_eq!(names("Sort: state desc\nLimit: 100"), first);
    let reversed: String = own.split_inclusive('\n').rev().collect();
    assert_eq!(names("Sort: description desc"), reversed);
}
