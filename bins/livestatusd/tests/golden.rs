//! Exchanges as other servers were heard to have them: the same question gets
//! the same answer here, byte for byte. Where the servers differ among each
//! other, or are wrong, the comment says which way this one goes.

mod support;

use livestatus::dump::DumpWriter;
use objects::state::AcknowledgementType;
use objects::{Host, HostState, ServiceState, ShadowState};
use support::{Daemon, begin, framed, host, shadow};

fn daemon() -> Daemon {
    let alpha = Host {
        custom_variables: [
            ("SITE".into(), "berlin-7".into()),
            ("TAGS".into(), "/wan/ prod".into()),
        ]
        .into(),
        ..host(&[
            "CPU load",
            "CPU utilization",
            "Disk /",
            "Memory",
            "Temperature",
        ])
    };
    let daemon = Daemon::running(&[("x", &[("alpha", alpha)])]);
    let mut out = Vec::new();
    let mut writer = DumpWriter::begin(&begin("x", 1), &mut out);
    let up = shadow(HostState::Up, "a \" b \\ c");
    writer.host(b"alpha", &up, &mut out).unwrap();
    let mut service = |name: &[u8], state, output: &[u8]| {
        let state = ShadowState {
            acknowledgement: (name == b"CPU utilization").then_some(AcknowledgementType::Sticky),
            plugin_output: output.into(),
            ..shadow(state, "")
        };
        writer.service(b"alpha", name, &state, &mut out).unwrap();
    };
    service(b"CPU load", ServiceState::Ok, "\u{1f600}".as_bytes());
    service(b"CPU utilization", ServiceState::Crit, b"\xe4\xf6\xfc");
    service(b"Disk /", ServiceState::Warn, b"x;y");
    service(b"Memory", ServiceState::Ok, b"ends in \xc3");
    service(b"Temperature", ServiceState::Unknown, b"tab\there");
    writer.end(&mut out);
    daemon.ask("ingest.d/x", out);
    daemon
}

#[test]
fn answers_are_those_of_naemon() {
    let daemon = daemon();
    for (request, want) in [
        (
            "GET services\nColumns: description state acknowledged\nResponseHeader: fixed16\n\
             OutputFormat: json\nFilter: description ~ ^(CPU|Mem)\n\n",
            "200          60\n[[\"CPU load\",0,0],\n[\"CPU utilization\",2,1],\n[\"Memory\",0,0]]\n",
        ),
        (
            "GET hosts\nOutputFormat: wrapped_json\nColumns: name state\nColumnHeaders: on\n\n",
            "{\"columns\":[\"name\",\"state\"],\"data\":[[\"alpha\",0]],\"total_count\":1}\n",
        ),
        (
            "GET nosuch\nResponseHeader: fixed16\n\n",
            "404          44\nInvalid GET request, no such table 'nosuch'\n",
        ),
        // In the order of the names; Naemon shows the configuration's order reversed.
        (
            "GET hosts\nColumns: custom_variables\nOutputFormat: json\n\n",
            "[[{\"SITE\":\"berlin-7\",\"TAGS\":\"/wan/ prod\"}]]\n",
        ),
        (
            "GET hosts\nColumns: custom_variables\n\n",
            "SITE|berlin-7,TAGS|/wan/ prod\n",
        ),
        (
            "GET hosts\nColumns: plugin_output\nOutputFormat: json\n\n",
            "[[\"a \\\" b \\\\ c\"]]\n",
        ),
        // An aggregate of nothing is 0, where Naemon prints a NaN that is no JSON.
        (
            "GET hosts\nStats: avg state\nFilter: name = nobody\nOutputFormat: json\n\n",
            "[[0.0]]\n",
        ),
    ] {
        assert_eq!(daemon.text("live", request), want, "{request}");
    }
}

#[test]
fn answers_are_those_of_icinga_where_naemon_is_wrong() {
    let daemon = daemon();
    // Numbers stay numbers as keys of groups.
    let groups = "GET services\nColumns: state\nStats: state >= 0\nOutputFormat: json\n\n";
    assert_eq!(
        daemon.text("live", groups),
        "[[0,2],\n[2,1],\n[1,1],\n[3,1]]\n"
    );
    // Above U+FFFF, Latin-1, a text that ends in the middle of a character.
    let outputs = "GET services\nColumns: plugin_output\nOutputFormat: json\n\n";
    assert_eq!(
        daemon.text("live", outputs),
        "[[\"\\ud83d\\ude00\"],\n[\"\\ufffd\\ufffd\\ufffd\"],\n[\"x;y\"],\n[\"ends in \\ufffd\"],\n[\"tab\\u0009here\"]]\n"
    );
    // In csv the bytes are those of the plugin.
    let csv = "GET services\nColumns: plugin_output\nFilter: description = CPU utilization\n\n";
    assert_eq!(daemon.ask("live", csv), b"\xe4\xf6\xfc\n".as_slice());
}

#[test]
fn what_real_clients_send_is_answered() {
    let daemon = daemon();
    for (client, request, want) in [
        (
            "python-mk-livestatus leaves out the blank line",
            "GET hosts\nColumns: name\nOutputFormat: json\nColumnHeaders: on\n",
            "[[\"name\"],\n[\"alpha\"]]\n".to_owned(),
        ),
        (
            "Monitoring::Livestatus names its figures",
            "GET services\nStats: state >= 0 as all\nStats: state = 2 as crit\nStats: sum state as sum\n\
             OutputFormat: json\nResponseHeader: fixed16\nKeepAlive: on\n\n",
            framed(200, "[[5,1,6]]\n"),
        ),
        (
            "LMD asks for what is new with a fraction of a second",
            "GET services\nResponseHeader: fixed16\nOutputFormat: json\nKeepAlive: on\n\
             Columns: description\nFilter: last_check >= 1.804734\nFilter: state = 3\nLimit: 300000\n\n",
            framed(200, "[[\"Temperature\"]]\n"),
        ),
        (
            "Checkmk's GUI sends its clock and wants a Python literal",
            &format!(
                "GET hosts\nCache: reload\nLocaltime: {}\nOutputFormat: python3\nKeepAlive: on\n\
                 ResponseHeader: fixed16\nColumns: name nosuch\nLimit: 10001\nColumnHeaders: off\n\n",
                support::now().secs()
            ),
            framed(200, "[[\"alpha\",None]]\n"),
        ),
        (
            "NagVis counts problems that nobody has in hand",
            "GET services\nStats: state = 1\nStats: acknowledged = 0\nStats: scheduled_downtime_depth = 0\n\
             StatsAnd: 3\nStats: state = 2\nStats: acknowledged = 1\nStats: host_acknowledged = 1\nStatsOr: 2\n\
             StatsAnd: 2\nFilter: host_name = alpha\nColumns: host_name host_alias\nOutputFormat: json\n\
             KeepAlive: on\nResponseHeader: fixed16\n\n",
            framed(200, "[[\"alpha\",\"\",1,1]]\n"),
        ),
        (
            "Thruk sorts and takes a page",
            "GET services\nOutputFormat: wrapped_json\nResponseHeader: fixed16\nColumns: host_name description\n\
             Sort: host_name asc\nSort: description desc\nOffset: 1\nLimit: 2\nColumnHeaders: on\n\n",
            framed(
                200,
                "{\"columns\":[\"host_name\",\"description\"],\"data\":[[\"alpha\",\"Memory\"],\n\
                 [\"alpha\",\"Disk /\"]],\"total_count\":5}\n",
            ),
        ),
    ] {
        assert_eq!(daemon.text("live", request), want, "{client}");
    }
}
