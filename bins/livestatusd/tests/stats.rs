//! What `GET` with `Stats` answers.

mod support;

use livestatus::dump::DumpWriter;
use objects::{Host, HostState, ServiceState, ShadowState};
use support::{Daemon, begin, framed, host, shadow};

/// One host with nine services, two of them pending, and a host of the same
/// name at another site.
fn daemon() -> Daemon {
    let services = ["a", "b", "c", "d", "e", "f", "g", "pending 1", "pending 2"];
    let alpha = Host {
        groups: vec!["linux".into(), "web".into()],
        custom_variables: [("SITE".into(), "berlin;7".into())].into(),
        ..host(&services)
    };
    let daemon = Daemon::running(&[
        ("x", &[("alpha", alpha)]),
        ("y", &[("alpha", host(&["a"]))]),
    ]);
    let mut out = Vec::new();
    let mut writer = DumpWriter::begin(&begin("x", 1), &mut out);
    let up = shadow(HostState::Up, "up");
    writer.host(b"alpha", &up, &mut out).unwrap();
    use ServiceState::{Crit, Ok as Good, Unknown, Warn};
    for (name, state, latency, perf_data) in [
        ("a", Good, 0.5, "load1=1.5;5;10;0 load5=0.5"),
        ("b", Crit, 0.25, "load1=2.5;5;10;0"),
        ("c", Warn, 0.0, ""),
        ("d", Good, 0.0, "'disk C'=40%;80"),
        ("e", Crit, 0.0, ""),
        ("f", Warn, 0.0, ""),
        ("g", Unknown, 0.0, ""),
    ] {
        let state = ShadowState {
            latency: Some(latency),
            perf_data: perf_data.into(),
            ..shadow(state, &format!("output of {name}"))
        };
        writer
            .service(b"alpha", name.as_bytes(), &state, &mut out)
            .unwrap();
    }
    writer.end(&mut out);
    assert_eq!(
        daemon.text("ingest.d/x", out),
        "taken 8, unknown 0, refused 0\n"
    );
    daemon
}

#[test]
fn rows_are_counted_and_calculated_with() {
    let daemon = daemon();
    for (headers, want) in [
        // Every operator, and how counters are combined.
        ("Stats: state = 0", "5"),
        ("Stats: state != 0", "5"),
        ("Stats: state > 1", "3"),
        ("Stats: state < 1", "5"),
        ("Stats: state >= 1", "5"),
        ("Stats: state <= 1", "7"),
        ("Stats: state !> 1", "7"),
        ("Stats: state !< 1", "5"),
        ("Stats: state !>= 1", "5"),
        ("Stats: state !<= 1", "3"),
        ("Stats: state ~ 1", "3"),
        ("Stats: state !~ 1", "7"),
        ("Stats: state =~ 2", "7"),
        ("Stats: state ~~ 3", "5"),
        ("Stats: description ~ ^[ab]$", "3"),
        ("Stats: description !~ ^[ab]$", "7"),
        ("Stats: description =~ A", "2"),
        ("Stats: description !=~ A", "8"),
        ("Stats: description ~~ PENDING", "2"),
        ("Stats: description !~~ PENDING", "8"),
        ("Stats: host_groups >= web", "9"),
        ("Stats: host_groups =", "1"),
        ("Stats: host_custom_variables = SITE berlin;7", "9"),
        ("Stats: state >= 0 as n", "10"),
        (
            "Stats: state = 1\nStats: state = 2\nStats: state = 3",
            "2;2;1",
        ),
        ("Stats: state = 1\nStats: state = 2\nStatsOr: 2", "4"),
        ("Stats: state = 2\nStats: description = b\nStatsAnd: 2", "1"),
        ("Stats: state = 0\nStatsNegate:", "5"),
        (
            "Stats: state = 0\nStats: state = 1\nStats: state = 2\nStatsOr: 2\nStatsNegate:",
            "5;6",
        ),
        // Calculations.
        ("Stats: sum state", "9"),
        ("Stats: min state", "0"),
        ("Stats: max state", "3"),
        ("Stats: avg state", "0.9"),
        ("Stats: suminv state", "3.3333333333333335"),
        ("Stats: sum latency", "0.75"),
        ("Stats: max latency as x", "0.5"),
        ("Stats: min latency", "0.0"),
        ("Stats: suminv latency", "6.0"),
        ("Stats: avginv latency", "3.0"),
        (
            "Filter: latency > 0\nStats: std latency",
            "0.1767766952966369",
        ),
        ("Filter: description = b\nStats: std state", "0.0"),
        (
            "Stats: sum perf_data",
            "'disk C'=40.00000000 load1=4.00000000 load5=0.50000000",
        ),
        (
            "Stats: avg perf_data",
            "'disk C'=40.00000000 load1=2.00000000 load5=0.50000000",
        ),
        // Filters come first; without any row there are zeros, never nothing.
        ("Filter: state = 2\nStats: state >= 0", "2"),
        (
            "Filter: host_name = nobody\nStats: state = 0\nStats: sum state\nStats: avg state\n\
             Stats: avg latency\nStats: std latency\nStats: min latency\nStats: max state\nStats: suminv state",
            "0;0;0.0;0.0;0.0;0.0;0;0.0",
        ),
        ("Filter: host_name = nobody\nStats: sum perf_data", ""),
    ] {
        let answer = daemon.cell("live", &format!("GET services\n{headers}\n"));
        assert_eq!(answer, want, "{headers}");
    }
}

#[test]
fn columns_make_groups_with_keys_of_their_own_type() {
    let daemon = daemon();
    for (headers, want) in [
        (
            "Columns: state\nStats: state >= 0\n",
            "[[0,5],\n[2,2],\n[1,2],\n[3,1]]\n",
        ),
        (
            "StatsGroupBy: state\nStats: state >= 0\nStats: sum latency\n",
            "[[0,5,0.5],\n[2,2,0.25],\n[1,2,0.0],\n[3,1,0.0]]\n",
        ),
        (
            "Columns: site host_name\nStats: state = 0\nStats: max state\n",
            "[[\"x\",\"alpha\",4,3],\n[\"y\",\"alpha\",1,0]]\n",
        ),
        (
            "Columns: host_name\nStats: state = 0\n",
            "[[\"alpha\",5]]\n",
        ),
        (
            "Columns: host_groups\nStats: state >= 0\n",
            "[[[\"linux\",\"web\"],9],\n[[],1]]\n",
        ),
        (
            "Columns: host_custom_variables\nStats: state >= 0\n",
            "[[{\"SITE\":\"berlin;7\"},9],\n[{},1]]\n",
        ),
        (
            "Columns: acknowledged is_flapping\nStats: state >= 0\n",
            "[[0,0,10]]\n",
        ),
        ("Columns: nosuch\nStats: state >= 0\n", "[[null,10]]\n"),
        // Without any row there is no group.
        (
            "Columns: state\nStats: state >= 0\nFilter: host_name = nobody\n",
            "[]\n",
        ),
        (
            "Columns: state\nStats: state >= 0\nStats: sum state\nColumnHeaders: on\nFilter: host_name = nobody\n",
            "[[\"state\",\"stats_1\",\"stats_2\"]]\n",
        ),
        (
            "Stats: state >= 0\nColumnHeaders: on\n",
            "[[\"stats_1\"],\n[10]]\n",
        ),
        ("Stats: state >= 0\n", "[[10]]\n"),
        // Limit, Offset and Sort are about groups.
        (
            "Columns: state\nStats: state >= 0\nLimit: 2\n",
            "[[0,5],\n[2,2]]\n",
        ),
        (
            "Columns: state\nStats: state >= 0\nOffset: 3\nLimit: 2\n",
            "[[3,1]]\n",
        ),
        (
            "Columns: state\nStats: state >= 0\nSort: state desc\n",
            "[[3,1],\n[2,2],\n[1,2],\n[0,5]]\n",
        ),
        (
            "Columns: state\nStats: state >= 0\nSort: stats_1 asc\nSort: state desc\nLimit: 2\n",
            "[[3,1],\n[2,2]]\n",
        ),
        ("Stats: state >= 0\nLimit: 0\n", "[]\n"),
    ] {
        let answer = daemon.text(
            "live",
            format!("GET services\n{headers}OutputFormat: json\n"),
        );
        assert_eq!(answer, want, "{headers}");
    }
    let wrapped =
        "GET services\nColumns: state\nStats: state >= 0\nOutputFormat: wrapped_json\nLimit: 1\n";
    assert_eq!(
        daemon.text("live", wrapped),
        "{\"data\":[[0,5]],\"total_count\":4}\n"
    );
}

#[test]
fn keys_that_look_alike_are_different_groups() {
    let outputs = ["1", "1.0", "a;b", "a", "", "\u{fffd}"];
    let services: Vec<String> = (0..=outputs.len()).map(|n| n.to_string()).collect();
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    let daemon = Daemon::running(&[("x", &[("h", host(&names))])]);
    let mut out = Vec::new();
    let mut writer = DumpWriter::begin(&begin("x", 1), &mut out);
    for (name, output) in names.iter().zip(outputs) {
        let state = shadow(ServiceState::Ok, output);
        writer
            .service(b"h", name.as_bytes(), &state, &mut out)
            .unwrap();
    }
    // Printed as U+FFFD, but not the same bytes.
    let mut state = shadow(ServiceState::Ok, "");
    state.plugin_output = b"\xff".into();
    let last = names[outputs.len()].as_bytes();
    writer.service(b"h", last, &state, &mut out).unwrap();
    writer.end(&mut out);
    daemon.ask("ingest.d/x", out);
    let answer = daemon.text(
        "live",
        "GET services\nColumns: plugin_output\nStats: state >= 0\nOutputFormat: json\n",
    );
    assert_eq!(
        answer,
        "[[\"1\",1],\n[\"1.0\",1],\n[\"a;b\",1],\n[\"a\",1],\n[\"\",1],\n[\"\\ufffd\",1],\n[\"\\ufffd\",1]]\n"
    );
}

#[test]
fn other_tables_can_be_counted_too() {
    let daemon = daemon();
    for (query, want) in [
        (
            "GET hosts\nStats: state = 0\nStats: num_services > 1\n",
            "2;1\n",
        ),
        (
            "GET hosts\nColumns: site\nStats: sum num_services\n",
            "x;9\ny;1\n",
        ),
        (
            "GET sites\nStats: state_complete = 1\nStats: avg num_services\n",
            "1;5.0\n",
        ),
        (
            "GET columns\nFilter: table = columns\nStats: type = string\n",
            "4\n",
        ),
        ("GET status\nStats: sum num_services\n", "10\n"),
    ] {
        assert_eq!(daemon.text("live", query), want, "{query}");
    }
}

#[test]
fn faults_in_stats_are_told() {
    let daemon = daemon();
    for (header, want) in [
        (
            "Stats: nosuch = 1",
            "'Stats': table 'services' has no column 'nosuch'",
        ),
        (
            "Stats: sum nosuch",
            "'Stats': table 'services' has no column 'nosuch'",
        ),
        (
            "Stats: sum description",
            "'Stats': cannot calculate with column 'description' of type string",
        ),
        ("Stats: median state", "'Stats': invalid operator 'state'"),
        (
            "Stats: latency ~ 1",
            "'Stats': invalid operator '~' for column 'latency' of type float",
        ),
        (
            "Stats: state = 0\nStatsAnd: 2",
            "'StatsAnd': cannot combine filters: expecting 2 filters, but only 1 is on stack",
        ),
        (
            "StatsNegate:",
            "'StatsNegate': cannot negate: no filter on stack",
        ),
        (
            "Columns: state\nStats: state = 0\nSort: description",
            "'Sort': groups have no column 'description': it is not among Columns",
        ),
    ] {
        let request = format!("GET services\nResponseHeader: fixed16\n{header}\n");
        let want = format!("while processing header {want}\n");
        assert_eq!(daemon.text("live", request), framed(400, &want), "{header}");
    }
}
