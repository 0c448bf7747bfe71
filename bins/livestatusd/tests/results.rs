//! Passive check results and other commands.

mod support;

use std::io::{Read, Write};

use support::{Daemon, begin, dump, framed, host};

fn daemon() -> Daemon {
    Daemon::running(&[
        (
            "a",
            &[("localhost", host(&["cpu"])), ("only-a", host(&["cpu"]))],
        ),
        ("b", &[("localhost", host(&["cpu"]))]),
    ])
}

fn service_result(host: &str, time: i64, text: &str) -> String {
    format!("COMMAND [{time}] PROCESS_SERVICE_CHECK_RESULT;{host};cpu;{text}\n\n")
}

#[test]
fn a_result_becomes_a_state() {
    let daemon = daemon();
    let time = support::now().secs() - 100;
    let answer = daemon.ask(
        "live",
        service_result(
            "only-a",
            time,
            "1;busy: 90%|load=5;4;6 proc=7\\nfirst\\nsecond|more=1",
        ),
    );
    assert_eq!(answer, "", "success is silent");
    let columns = "has_been_checked state state_type current_attempt max_check_attempts check_type last_check \
                   last_state_change last_hard_state_change plugin_output perf_data long_plugin_output";
    let row = daemon.cell("live", &format!("GET services\nColumns: {columns}\nFilter: host_name = only-a\nSeparators: 10 9 44 124\n"));
    assert_eq!(
        row.split('\t').collect::<Vec<_>>(),
        [
            "1",
            "1",
            "0",
            "1",
            "3",
            "1",
            &time.to_string(),
            &time.to_string(),
            "0",
            "busy: 90%",
            "load=5;4;6 proc=7 more=1",
            "first\\nsecond"
        ]
    );
    assert_eq!(
        daemon.cell(
            "live",
            "GET status\nColumns: external_commands refused_commands service_checks\n"
        ),
        "1;0;1"
    );
}

#[test]
fn a_problem_is_confirmed_by_as_many_results_as_configured() {
    let daemon = daemon();
    let time = support::now().secs() - 100;
    let query = "GET services\nColumns: state state_type current_attempt last_hard_state last_state_change last_hard_state_change\n";
    for (offset, state, want) in [
        (0, 0, [0, 1, 1, 0, 0, 0]),
        (1, 2, [2, 0, 1, 0, 1, 0]),
        (2, 2, [2, 0, 2, 0, 1, 0]),
        (3, 2, [2, 1, 3, 2, 1, 3]),
        (4, 1, [1, 1, 3, 1, 4, 4]),
        (5, 0, [0, 1, 1, 0, 5, 5]),
    ] {
        daemon.ask(
            "live.d/b",
            service_result("localhost", time + offset, &format!("{state};x")),
        );
        let row = daemon.cell("live.d/b", query);
        let mut cells: Vec<i64> = row.split(';').map(|cell| cell.parse().unwrap()).collect();
        cells[4] -= time;
        cells[5] -= time;
        assert_eq!(cells, want, "after {offset}");
    }
    assert_eq!(
        daemon.cell(
            "live.d/a",
            "GET services\nColumns: has_been_checked\nFilter: host_name = localhost\n"
        ),
        "0"
    );
}

#[test]
fn a_host_is_down_at_once() {
    let daemon = daemon();
    daemon.ask(
        "live",
        "COMMAND [1795217983] PROCESS_HOST_CHECK_RESULT;only-a;1;no answer\n\n",
    );
    let row = daemon.cell("live", "GET hosts\nColumns: state state_type hard_state check_type plugin_output\nFilter: name = only-a\n");
    assert_eq!(row, "1;1;1;1;no answer");
}

#[test]
fn commands_and_queries_are_done_in_their_order() {
    let daemon = daemon();
    let time = support::now().secs();
    let mut stream = daemon.connect("live.d/b");
    let query = "GET services\nColumns: state\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    // The blank lines between commands may be missing.
    let result = |state: u8| {
        format!("COMMAND [{time}] PROCESS_SERVICE_CHECK_RESULT;localhost;cpu;{state};x\n")
    };
    let text = format!("{}{}{query}{}\n{query}", result(0), result(1), result(2));
    stream.write_all(text.as_bytes()).unwrap();
    let want = framed(200, "1\n") + &framed(200, "2\n");
    let mut answer = vec![0; want.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), want);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let daemon = daemon();
    let ambiguous = "host 'localhost' is at site a and at site b: send the command to the socket of the site that is meant";
    let cases = [
        ("live", service_result("localhost", 1, "0;x"), ambiguous),
        (
            "live",
            service_result("nobody", 1, "0;x"),
            "host 'nobody' is not configured",
        ),
        (
            "live.d/a",
            "COMMAND [1] PROCESS_SERVICE_CHECK_RESULT;localhost;disk;0;x\n".to_owned(),
            "service 'disk' of host 'localhost' is not configured at site a",
        ),
        (
            "live",
            "COMMAND [1] ACKNOWLEDGE_SVC_PROBLEM;only-a;cpu;2;1;1;me;mine\n".to_owned(),
            "ACKNOWLEDGE_SVC_PROBLEM: service 'cpu' of host 'only-a': it is a shadow, and is acknowledged, commented \
             and put into downtime at its site a",
        ),
        (
            "live",
            "COMMAND [1] DISABLE_NOTIFICATIONS\n".to_owned(),
            "DISABLE_NOTIFICATIONS is not possible here: objects are shadows of those at their sites, and are changed \
             there",
        ),
        (
            "live",
            "COMMAND [1] UPDATE_SHADOW_HOST_STATE;only-a;1;0\n".to_owned(),
            "UPDATE_SHADOW_HOST_STATE is not taken here: dumps go to the ingest socket of their site",
        ),
    ];
    for (socket, command, reason) in &cases {
        assert_eq!(
            daemon.text(socket, command),
            format!("400: {reason}\n"),
            "{command}"
        );
        daemon.wait_for_log(&format!("command refused: {reason}"));
        let framed_command = format!(
            "{}ResponseHeader: fixed16\n",
            command.trim_end_matches('\n').to_owned() + "\n"
        );
        assert_eq!(
            daemon.text(socket, &framed_command),
            framed(400, &format!("{reason}\n")),
            "{command}"
        );
    }
    let refused = (2 * cases.len()).to_string();
    assert_eq!(
        daemon.cell("live", "GET status\nColumns: refused_commands\n"),
        refused
    );
    assert_eq!(
        daemon.cell("live", "GET services\nColumns: has_been_checked\n"),
        "0\n0\n0"
    );
}

#[test]
fn a_framed_command_is_confirmed() {
    let daemon = daemon();
    let time = support::now().secs();
    let command = format!(
        "COMMAND [{time}] PROCESS_HOST_CHECK_RESULT;only-a;0;x\nResponseHeader: fixed16\n\n"
    );
    assert_eq!(daemon.text("live", command), framed(200, ""));
}

#[test]
fn a_result_older_than_the_state_is_refused() {
    let daemon = daemon();
    daemon.ask(
        "ingest.d/a",
        dump(&begin("a", 1), &[("only-a", Some("cpu"), 0, "of the site")]),
    );
    let answer = daemon.text("live", service_result("only-a", 1000, "2;late"));
    assert_eq!(
        answer,
        "400: service 'cpu' of host 'only-a': the result is older than the last check\n"
    );
    let row = daemon.cell(
        "live",
        "GET services\nColumns: plugin_output check_type\nFilter: host_name = only-a\n",
    );
    assert_eq!(row, "of the site;2");
}
