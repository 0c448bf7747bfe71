//! Queries that wait before they are answered.

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use support::{DEADLINE, Daemon, framed, host, read_to_end};

fn daemon() -> Daemon {
    Daemon::running(&[("x", &[("db1", host(&["CPU", "Disk /"]))])])
}

fn result(daemon: &Daemon, service: &str, state: u8) {
    let now = support::now().secs();
    let command =
        format!("COMMAND [{now}] PROCESS_SERVICE_CHECK_RESULT;db1;{service};{state};output\n\n");
    assert_eq!(daemon.text("live", command), "");
}

/// A connection on which this has been asked, and been heard.
fn asked(daemon: &Daemon, request: &str) -> UnixStream {
    let requests = || -> u64 {
        let count = daemon.cell("live", "GET status\nColumns: requests\n");
        count.parse().unwrap()
    };
    let before = requests();
    let mut stream = daemon.connect("live");
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // Who counts requests is counted, too.
    let own = Cell::new(0);
    daemon.wait_for("the request to be read", || {
        own.set(own.get() + 1);
        requests() > before + own.get()
    });
    stream
}

/// Fails if there is an answer already.
fn assert_waits(stream: &mut UnixStream, what: &str) {
    stream
        .set_read_timeout(Some(Duration::from_millis(60)))
        .unwrap();
    let error = stream.read(&mut [0; 100]).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{what}");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

const QUERY: &str = "GET services\nColumns: description state\nFilter: description = CPU\n";

#[test]
fn nothing_to_wait_for_is_not_waited_for() {
    let daemon = daemon();
    for headers in [
        "WaitObject: db1;CPU\n",
        "WaitTimeout: 0\n",
        "WaitObject: db1;CPU\nWaitCondition: state = 0\n",
        "WaitObject: db1 CPU\nWaitCondition: state = 0\nWaitTrigger: check\n",
        "WaitObject: db1 Disk /\nWaitCondition: state = 1\nWaitCondition: state = 0\nWaitConditionOr: 2\n",
        "WaitObject: db1;CPU\nWaitCondition: state = 1\nWaitConditionNegate:\n",
        "WaitObject: db1;CPU\nWaitConditionAnd: 0\n",
    ] {
        assert_eq!(
            daemon.text("live", format!("{QUERY}{headers}")),
            "CPU;0\n",
            "{headers}"
        );
    }
    let status = "GET status\nColumns: num_services\nWaitCondition: program_start > 0\n";
    assert_eq!(daemon.text("live", status), "2\n");
}

#[test]
fn a_query_is_answered_when_its_condition_holds() {
    let daemon = daemon();
    let request = format!(
        "{QUERY}ResponseHeader: fixed16\nWaitObject: db1;CPU\nWaitCondition: state = 2\n\n"
    );
    let mut stream = asked(&daemon, &request);
    assert_waits(&mut stream, "nothing has happened");
    result(&daemon, "Disk /", 2);
    assert_waits(&mut stream, "that was another service");
    result(&daemon, "CPU", 1);
    assert_waits(&mut stream, "that was another state");
    result(&daemon, "CPU", 2);
    assert_eq!(read_to_end(&mut stream), framed(200, "CPU;2\n"));
}

#[test]
fn the_trigger_says_which_events_count() {
    let daemon = daemon();
    result(&daemon, "CPU", 0);
    // Without a condition, the first event of that kind.
    let mut check = asked(&daemon, &format!("{QUERY}WaitTrigger: check\n\n"));
    let mut state = asked(&daemon, &format!("{QUERY}WaitTrigger: state\n\n"));
    let mut all = asked(&daemon, &format!("{QUERY}WaitTrigger: all\n\n"));
    let mut comment = asked(&daemon, &format!("{QUERY}WaitTrigger: comment\n\n"));
    for stream in [&mut check, &mut state, &mut all, &mut comment] {
        assert_waits(stream, "nothing has happened");
    }
    result(&daemon, "CPU", 0);
    assert_eq!(read_to_end(&mut check), "CPU;0\n");
    assert_eq!(read_to_end(&mut all), "CPU;0\n");
    assert_waits(&mut state, "it is in the same state");
    result(&daemon, "CPU", 3);
    assert_eq!(read_to_end(&mut state), "CPU;3\n");
    assert_waits(&mut comment, "nobody has commented");
    let mut downtime = asked(&daemon, &format!("{QUERY}WaitTrigger: downtime\n\n"));
    daemon.ask("live", "COMMAND [1] ADD_SVC_COMMENT;db1;CPU;1;me;x\n\n");
    assert_eq!(read_to_end(&mut comment), "CPU;3\n");
    assert_waits(&mut downtime, "that was a comment");
    let end = support::now().secs() + 1000;
    let command = format!("COMMAND [1] SCHEDULE_SVC_DOWNTIME;db1;CPU;1;{end};1;0;0;me;x\n\n");
    assert_eq!(daemon.text("live", command), "");
    assert_eq!(read_to_end(&mut downtime), "CPU;3\n");
    let mut command = asked(&daemon, &format!("{QUERY}WaitTrigger: command\n\n"));
    assert_waits(&mut command, "no command has come since");
    daemon.ask("live", "COMMAND [1] NO_SUCH_COMMAND\n\n");
    assert_eq!(read_to_end(&mut command), "CPU;3\n");
    let mut program = asked(&daemon, &format!("{QUERY}WaitTrigger: program\n\n"));
    assert_waits(&mut program, "it was not told to read its configuration");
    daemon.signal(Signal::HUP);
    assert_eq!(read_to_end(&mut program), "CPU;3\n");
}

#[test]
fn a_timeout_is_not_an_error() {
    let daemon = daemon();
    for headers in [
        "WaitObject: db1;CPU\nWaitCondition: state = 2\nWaitTimeout: 20\n",
        "WaitTrigger: check\nWaitTimeout: 1\n",
        "WaitObject: db1;CPU\nWaitConditionOr: 0\nWaitTimeout: 20\n",
    ] {
        let request = format!("{QUERY}ResponseHeader: fixed16\n{headers}");
        assert_eq!(
            daemon.text("live", request),
            framed(200, "CPU;0\n"),
            "{headers}"
        );
    }
}

#[test]
fn faults_are_told_before_anything_is_waited_for() {
    let daemon = daemon();
    for (table, headers, status, want) in [
        (
            "services",
            "WaitObject: db1;nosuch\nWaitCondition: state = 2",
            400,
            "while processing header 'WaitObject': object 'db1;nosuch' not found or not supported by this table",
        ),
        (
            "hosts",
            "WaitObject: nobody\nWaitTrigger: check",
            400,
            "while processing header 'WaitObject': object 'nobody' not found or not supported by this table",
        ),
        (
            "sites",
            "WaitObject: x\nWaitTrigger: check",
            400,
            "while processing header 'WaitObject': table 'sites' has no objects that can be named",
        ),
        (
            "hosts",
            "WaitCondition: state = 2",
            452,
            "missing WaitObject",
        ),
        (
            "hosts",
            "WaitObject: db1\nWaitConditionOr: 0",
            452,
            "waiting for WaitCondition would hang forever",
        ),
        (
            "hosts",
            "WaitObject: db1\nWaitCondition: nosuch = 2",
            400,
            "while processing header 'WaitCondition': table 'hosts' has no column 'nosuch'",
        ),
        (
            "hosts",
            "WaitTrigger: check\nFilter: nosuch = 2",
            400,
            "while processing header 'Filter': table 'hosts' has no column 'nosuch'",
        ),
        (
            "hosts",
            "WaitTrigger: never",
            400,
            "while processing header 'WaitTrigger': trigger 'never' is not one of all, check, state, log, \
             downtime, comment, command, program",
        ),
        (
            "hosts",
            "WaitTimeout: soon",
            400,
            "while processing header 'WaitTimeout': expected non-negative integer",
        ),
    ] {
        let request = format!("GET {table}\nResponseHeader: fixed16\n{headers}\n");
        let want = format!("{want}\n");
        assert_eq!(
            daemon.text("live", request),
            framed(status, &want),
            "{headers}"
        );
    }
}

#[test]
fn who_waits_holds_up_nobody_and_is_not_waited_for() {
    let mut daemon = daemon();
    let connections = |daemon: &Daemon| -> usize {
        let query = "GET status\nColumns: livestatus_active_connections\n";
        daemon.cell("live", query).parse().unwrap()
    };
    let request = format!("{QUERY}WaitObject: db1;CPU\nWaitCondition: state = 2\n\n");
    let waiting: Vec<UnixStream> = (0..200).map(|_| asked(&daemon, &request)).collect();
    daemon.wait_for("all of them to wait", || connections(&daemon) == 201);
    // Those who go away are noticed, though they wait for ever.
    drop(waiting);
    daemon.wait_for("their connections to be closed", || {
        connections(&daemon) == 1
    });
    let mut last = asked(&daemon, &request);
    assert_waits(&mut last, "nothing has happened");
    assert!(daemon.stop(Signal::TERM).success());
    assert_eq!(read_to_end(&mut last), "");
}
