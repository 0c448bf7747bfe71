//! What `GET` answers.

mod support;

use std::io::{Read, Write};

use bstr::BString;
use objects::{Host, Service};
use support::{Daemon, begin, dump, framed, host};

/// Two sites with the same host names.
fn two_sites() -> Daemon {
    let a = Host {
        alias: "A's own".into(),
        address: "10.0.0.1".into(),
        groups: vec!["linux".into(), "web".into()],
        custom_variables: [
            ("SITE".into(), "berlin-7".into()),
            ("TAGS".into(), "/wan/ prod".into()),
        ]
        .into(),
        labels: [("os".into(), "linux".into())].into(),
        label_sources: Some(Box::new([("os".into(), "discovered".into())].into())),
        contacts: vec!["joe".into()],
        contact_groups: vec!["ops".into()],
        check_command: "check_ping!5".into(),
        ..host(&["CPU load", "Disk /", "Memory"])
    };
    let mut a = a;
    for (description, group) in [
        ("CPU load", "load"),
        ("Disk /", "disks"),
        ("Memory", "load"),
    ] {
        let service = a.services.get_mut(&BString::from(description)).unwrap();
        service.groups = vec![group.into(), "all".into()];
    }
    let mut daemon = Daemon::new(&[]);
    daemon.configure("a", &[("localhost", a), ("zeta", host(&[]))]);
    daemon.configure("b", &[("localhost", host(&["CPU load"]))]);
    daemon.write_file(
        "a",
        "contacts.mk",
        b"contacts.update({'joe': {'alias': 'Joe', 'contactgroups': ['all'], 'notification_period': '24X7'}})\n\
          define_hostgroups.update({'web': 'Web servers', 'empty': 'Nothing yet'})\n",
    );
    daemon.settings(&format!("history = '{}'", daemon.path("history").display()));
    daemon.start();
    let states = dump(
        &begin("a", 1),
        &[
            ("localhost", None, 0, "up; and running"),
            ("localhost", Some("CPU load"), 1, "load \u{1f600} \"5\""),
            ("localhost", Some("Disk /"), 2, "full"),
        ],
    );
    assert_eq!(
        daemon.text("ingest.d/a", states),
        "taken 3, unknown 0, refused 0\n"
    );
    daemon
}

#[test]
fn sites_stand_side_by_side_and_each_has_a_socket_of_its_own() {
    let daemon = two_sites();
    let query = "GET services\nColumns: site host_name description state has_been_checked\n";
    assert_eq!(
        daemon.text("live", query),
        "a;localhost;CPU load;1;1\na;localhost;Disk /;2;1\na;localhost;Memory;0;0\nb;localhost;CPU load;0;0\n"
    );
    assert_eq!(daemon.text("live.d/b", query), "b;localhost;CPU load;0;0\n");
    assert_eq!(
        daemon.text("live", "GET hosts\nColumns: site name state\n"),
        "a;localhost;0\na;zeta;0\nb;localhost;0\n"
    );
    assert_eq!(
        daemon.text("live.d/a", "GET hosts\nColumns: host_name\n"),
        "localhost\nzeta\n"
    );
    assert_eq!(
        daemon.text("live.d/a", "GET status\nColumns: num_hosts num_services\n"),
        "2;3\n"
    );
    assert_eq!(
        daemon.text("live", "GET status\nColumns: num_hosts num_services\n"),
        "3;4\n"
    );
}

#[test]
fn every_operator_does_what_it_says() {
    let daemon = two_sites();
    // Column, operator, value, the sites and services that pass: 1 a/CPU load, 2 a/Disk /, 3 a/Memory, 4 b/CPU load.
    for (filter, want) in [
        ("state = 1", "1"),
        ("state != 1", "234"),
        ("state < 1", "34"),
        ("state > 1", "2"),
        ("state <= 1", "134"),
        ("state >= 1", "12"),
        ("state !< 1", "12"),
        ("state !> 1", "134"),
        ("state !<= 1", "2"),
        ("state !>= 1", "34"),
        ("state >= 1 as n", "12"),
        ("description = Disk /", "2"),
        ("description != Disk /", "134"),
        ("description ~ ^(CPU|Mem)", "134"),
        ("description !~ ^(CPU|Mem)", "2"),
        ("description ~~ ^cpu", "14"),
        ("description !~~ ^cpu", "23"),
        ("description =~ disk /", "2"),
        ("description !=~ disk /", "134"),
        ("description < D", "14"),
        ("description >= D", "23"),
        ("plugin_output =", "34"),
        ("host_groups >= linux", "123"),
        ("host_groups < linux", "4"),
        ("host_groups =", "4"),
        ("host_groups != ", "123"),
        ("host_custom_variables = SITE berlin-7", "123"),
        ("host_custom_variables != SITE berlin-7", "4"),
        ("host_custom_variables ~~ TAGS PROD", "123"),
        ("host_labels = os linux", "123"),
        ("check_interval > 1.5", "1234"),
        ("check_interval > 2.5", ""),
        ("site = b", "4"),
        ("state = 1\nFilter: state = 2\nOr: 2", "12"),
        ("state = 1\nFilter: site = a\nAnd: 2\nNegate:", "234"),
        ("state >= 1\nFilter: description = Disk /", "2"),
    ] {
        let answer = daemon.text(
            "live",
            format!("GET services\nColumns: site description\nFilter: {filter}\n"),
        );
        let found: String = answer
            .lines()
            .map(|line| match line {
                "a;CPU load" => '1',
                "a;Disk /" => '2',
                "a;Memory" => '3',
                "b;CPU load" => '4',
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(found, want, "Filter: {filter}");
    }
}

#[test]
fn answers_have_the_form_that_was_asked_for() {
    let daemon = two_sites();
    for (request, want) in [
        (
            "GET services\nColumns: description state nosuch\nOutputFormat: json\nColumnHeaders: on\nLimit: 1\n",
            "[[\"description\",\"state\",\"nosuch\"],\n[\"CPU load\",1,null]]\n".to_owned(),
        ),
        (
            "GET services\nColumns: description nosuch state\nColumnHeaders: on\nLimit: 1\n",
            "description;nosuch;state\nCPU load;;1\n".to_owned(),
        ),
        (
            "GET services\nResponseHeader: fixed16\nColumns: plugin_output\nOutputFormat: json\nLimit: 1\n",
            framed(200, "[[\"load \\ud83d\\ude00 \\\"5\\\"\"]]\n"),
        ),
        ("GET services\nColumns: state\nLimit: 0\n", String::new()),
        (
            "GET hosts\nColumns: name\nOutputFormat: json\nColumnHeaders: on\nFilter: name = nobody\n",
            "[[\"name\"]]\n".to_owned(),
        ),
        (
            "GET hosts\nColumns: groups custom_variables labels\nOutputFormat: json\nLimit: 1\n",
            "[[[\"linux\",\"web\"],{\"SITE\":\"berlin-7\",\"TAGS\":\"/wan/ prod\"},{\"os\":\"linux\"}]]\n".to_owned(),
        ),
        (
            "GET services\nColumns: host_label_sources host_label_source_names host_label_source_values label_sources\nLimit: 1\n",
            "os|discovered;os;discovered;\n".to_owned(),
        ),
        (
            "GET hosts\nColumns: groups custom_variables services_with_state\nLimit: 1\n",
            "linux,web;SITE|berlin-7,TAGS|/wan/ prod;CPU load|1|1,Disk /|2|1,Memory|0|0\n".to_owned(),
        ),
        (
            "GET hosts\nColumns: plugin_output name\nSeparators: 0 1 2 3\nLimit: 1\n",
            "up; and running\u{1}localhost\0".to_owned(),
        ),
    ] {
        assert_eq!(daemon.text("live", request), want, "{request}");
    }
}

#[test]
fn faults_are_told_in_a_frame_or_not_at_all() {
    let daemon = two_sites();
    for (request, status, message) in [
        (
            "GET nosuch\n",
            404,
            "Invalid GET request, no such table 'nosuch'\n",
        ),
        (
            "GET hosts\nFilter: nosuch = 1\n",
            400,
            "while processing header 'Filter': table 'hosts' has no column 'nosuch'\n",
        ),
        (
            "GET hosts\nNoSuch: 1\n",
            400,
            "while processing header 'NoSuch': undefined request header\n",
        ),
    ] {
        assert_eq!(daemon.text("live", request), "", "{request}");
        let framed_request = format!("{request}ResponseHeader: fixed16\n");
        assert_eq!(
            daemon.text("live", &framed_request),
            framed(status, message),
            "{request}"
        );
    }
    let invalid = daemon.text(
        "live",
        "GET hosts\nFilter: name ~ (\nResponseHeader: fixed16\n",
    );
    assert!(
        invalid.starts_with("400 ") && invalid.len() < 300 + 16,
        "{invalid}"
    );
}

#[test]
fn a_connection_is_kept_when_asked_to_be_also_after_a_fault() {
    let daemon = two_sites();
    let mut stream = daemon.connect("live");
    let kept = "ResponseHeader: fixed16\nKeepAlive: on\n\n";
    let pipelined = format!(
        "GET hosts\nColumns: name\nLimit: 1\n{kept}GET nosuch\n{kept}\n\n\
         COMMAND [1] NO_SUCH_COMMAND;x\n\nGET hosts\nColumns: site\nLimit: 1\n{kept}"
    );
    stream.write_all(pipelined.as_bytes()).unwrap();
    let want = framed(200, "localhost\n")
        + &framed(404, "Invalid GET request, no such table 'nosuch'\n")
        + &framed(200, "a\n");
    let mut answer = vec![0; want.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), want);
    stream
        .write_all(b"GET status\nColumns: num_hosts\n\n")
        .unwrap();
    assert_eq!(
        support::read_to_end(&mut stream),
        "3\n",
        "without KeepAlive the server closes"
    );
}

#[test]
fn the_table_of_columns_is_true() {
    let daemon = two_sites();
    // So that there is a row in every table.
    let time = support::now().secs();
    for command in [
        "PROCESS_HOST_CHECK_RESULT;localhost;0;up".to_owned(),
        "ADD_HOST_COMMENT;localhost;1;me;hello".to_owned(),
        format!(
            "SCHEDULE_HOST_DOWNTIME;localhost;{time};{};1;0;0;me;work",
            time + 1000
        ),
    ] {
        let answer = daemon.text("live.d/b", format!("COMMAND [{time}] {command}\n\n"));
        assert_eq!(answer, "", "{command}");
    }
    let columns = daemon.text(
        "live",
        "GET columns\nColumns: table name type description\n",
    );
    let mut tables: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in columns.lines() {
        let mut cells = line.splitn(4, ';');
        let (table, name, kind) = (
            cells.next().unwrap(),
            cells.next().unwrap(),
            cells.next().unwrap(),
        );
        assert!(!cells.next().unwrap().is_empty(), "{line}");
        if tables.last().is_none_or(|(last, _)| last != table) {
            tables.push((table.to_owned(), Vec::new()));
        }
        tables
            .last_mut()
            .unwrap()
            .1
            .push((name.to_owned(), kind.to_owned()));
    }
    let names: Vec<&str> = tables.iter().map(|(table, _)| table.as_str()).collect();
    assert_eq!(
        names.join(" "),
        "columns commands comments contactgroups contacts downtimes hostgroups hosts hostsbygroup log servicegroups services \
         servicesbygroup servicesbyhostgroup sites statehist status timeperiods"
    );
    for (table, columns) in &tables {
        let filter = match table.as_str() {
            "statehist" => "Filter: time >= 1\n",
            _ => "",
        };
        // All columns at once are those of the table of columns, in that order.
        let header = daemon.text("live", format!("GET {table}\n{filter}Limit: 0\n"));
        let want: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(header.trim_end(), want.join(";"), "{table}");
        // And the values have the types that it says.
        for (name, kind) in columns {
            let request =
                format!("GET {table}\nColumns: {name}\n{filter}OutputFormat: json\nLimit: 1\n");
            let answer = daemon.text("live", &request);
            let cell = answer
                .trim_end()
                .strip_prefix("[[")
                .unwrap()
                .strip_suffix("]]")
                .unwrap()
                .to_owned();
            let fits = match kind.as_str() {
                "int" | "time" => cell.parse::<i64>().is_ok(),
                "float" => cell.parse::<f64>().is_ok() || (name == "state_age" && cell == "null"),
                "string" => cell.starts_with('"'),
                "list" => cell.starts_with('['),
                "dict" => cell.starts_with('{'),
                _ => false,
            };
            assert!(fits, "{table}.{name} is {kind}, but {cell}");
        }
    }
}

/// The columns of the other servers, by table, as `name:type`.
const COLUMNS: &str = include_str!("columns.txt");

#[test]
fn every_column_that_other_servers_have_is_there() {
    let daemon = two_sites();
    let offered = daemon.text("live", "GET columns\nColumns: table name type\n");
    let offered: std::collections::HashSet<&str> = offered.lines().collect();
    let mut table = "";
    let mut of_hosts = 0;
    for line in COLUMNS.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with(' ') {
            table = line;
            continue;
        }
        for column in line.split_whitespace() {
            let (name, kind) = column.split_once(':').unwrap();
            let types = ["int", "float", "string", "list", "dict", "time"];
            let is_there = |table: &str, name: &str| {
                types.iter().any(|offer| {
                    (kind == "any" || *offer == kind)
                        && offered.contains(format!("{table};{name};{offer}").as_str())
                })
            };
            assert!(is_there(table, name), "{table}.{name}, {kind}");
            let joins: &[(&str, &str)] = match table {
                "hosts" => &[
                    ("services", "host_"),
                    ("comments", "host_"),
                    ("log", "current_host_"),
                    ("statehist", "current_host_"),
                    ("downtimes", "host_"),
                    ("hostsbygroup", ""),
                    ("servicesbygroup", "host_"),
                    ("servicesbyhostgroup", "host_"),
                ],
                "services" => &[
                    ("comments", "service_"),
                    ("log", "current_service_"),
                    ("statehist", "current_service_"),
                    ("downtimes", "service_"),
                    ("servicesbygroup", ""),
                    ("servicesbyhostgroup", ""),
                ],
                "hostgroups" => &[
                    ("hostsbygroup", "hostgroup_"),
                    ("servicesbyhostgroup", "hostgroup_"),
                ],
                "servicegroups" => &[("servicesbygroup", "servicegroup_")],
                _ => &[],
            };
            for (joined, prefix) in joins {
                assert!(
                    is_there(joined, &format!("{prefix}{name}")),
                    "{joined}.{prefix}{name}, {kind}"
                );
            }
            of_hosts += usize::from(table == "hosts");
        }
    }
    assert!(of_hosts > 130, "the list was read");
    // Every row tells where it is from.
    for table in [
        "hosts",
        "services",
        "hostgroups",
        "servicegroups",
        "comments",
        "downtimes",
        "contacts",
        "contactgroups",
        "commands",
        "timeperiods",
        "hostsbygroup",
        "servicesbygroup",
        "servicesbyhostgroup",
    ] {
        assert!(
            offered.contains(format!("{table};site;string").as_str()),
            "{table}"
        );
    }
}

#[test]
fn the_program_says_what_it_is_and_counts() {
    let daemon = two_sites();
    let versions = daemon.cell(
        "live",
        "GET status\nColumns: program_version livestatus_version\n",
    );
    assert_eq!(
        versions,
        format!(
            "sitewire-livestatusd {};1.5.0-sitewire",
            env!("CARGO_PKG_VERSION")
        )
    );
    let pid: i32 = daemon
        .cell("live", "GET status\nColumns: core_pid\n")
        .parse()
        .unwrap();
    assert_eq!(pid, daemon.pid().as_raw_nonzero().get());
    let counts = || -> Vec<u64> {
        let columns =
            "requests connections host_checks service_checks livestatus_active_connections";
        let answer = daemon.cell("live", &format!("GET status\nColumns: {columns}\n"));
        answer
            .split(';')
            .map(|count| count.parse().unwrap())
            .collect()
    };
    let (before, after) = (counts(), counts());
    assert_eq!(after[0], before[0] + 1);
    assert_eq!(after[1], before[1] + 1);
    assert_eq!(after[2..4], [1, 2]);
    assert!(after[4] >= 1);
}

#[test]
fn staleness_is_the_age_at_the_source_in_check_intervals() {
    let daemon = Daemon::running(&[(
        "a",
        &[(
            "h",
            Host {
                check_interval: 2.0,
                ..host(&[])
            },
        )],
    )]);
    let mut out = Vec::new();
    let mut writer = livestatus::dump::DumpWriter::begin(&begin("a", 1), &mut out);
    let last_check = objects::UnixTime::from_secs(support::now().secs() - 600);
    let state = objects::ShadowState {
        last_check,
        staleness: Some(0.1),
        ..support::shadow(objects::HostState::Up, "")
    };
    writer.host(b"h", &state, &mut out).unwrap();
    writer.end(&mut out);
    daemon.ask("ingest.d/a", out);
    let staleness: f64 = daemon
        .cell("live", "GET hosts\nColumns: staleness\n")
        .parse()
        .unwrap();
    assert!((5.0..6.0).contains(&staleness), "{staleness}");
    assert_eq!(daemon.cell("live", "GET hosts\nColumns: check_type\n"), "2");
}

#[test]
fn thousands_of_services_are_answered_in_order() {
    let names: Vec<String> = (0..3000)
        .map(|number| format!("service {number:04}"))
        .collect();
    let services = names
        .iter()
        .map(|name| (name.as_str().into(), Service::default()))
        .collect();
    let daemon = Daemon::running(&[(
        "a",
        &[(
            "h",
            Host {
                services,
                ..Host::default()
            },
        )],
    )]);
    let answer = daemon.text("live", "GET services\nColumns: description\n");
    assert_eq!(answer.lines().collect::<Vec<_>>(), names);
}
