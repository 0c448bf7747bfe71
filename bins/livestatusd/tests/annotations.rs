//! Comments, downtimes and acknowledgements of objects that are checked by
//! passive results.

mod support;

use rustix::process::Signal;
use support::{Daemon, begin, dump, exists, host};

/// Site a has a host `own` with passive results, and a shadow `far`.
fn daemon() -> Daemon {
    let daemon = Daemon::running(&[
        (
            "a",
            &[("far", host(&["cpu"])), ("own", host(&["cpu", "disk"]))],
        ),
        ("b", &[("other", host(&[]))]),
    ]);
    daemon.ask(
        "ingest.d/a",
        dump(
            &begin("a", 1),
            &[("far", None, 1, "down"), ("far", Some("cpu"), 2, "shadow")],
        ),
    );
    result(&daemon, "HOST", "own;1;down");
    result(&daemon, "SERVICE", "own;cpu;2;busy");
    result(&daemon, "SERVICE", "own;disk;0;ok");
    daemon
}

fn result(daemon: &Daemon, kind: &str, text: &str) {
    order(daemon, &format!("PROCESS_{kind}_CHECK_RESULT;{text}"));
}

fn order(daemon: &Daemon, command: &str) {
    assert_eq!(answer(daemon, command), "", "{command}");
}

fn answer(daemon: &Daemon, command: &str) -> String {
    let time = support::now().secs();
    daemon.text("live", format!("COMMAND [{time}] {command}\n\n"))
}

#[test]
fn comments_stand_in_their_table_and_with_their_object() {
    let daemon = daemon();
    let before = support::now().secs();
    order(&daemon, "ADD_HOST_COMMENT;own;1;me;a; b");
    order(&daemon, "ADD_SVC_COMMENT;own;cpu;0;you;\u{e4}");
    let columns = "id site host_name service_description is_service type author comment entry_type persistent source \
                   expires expire_time host_state service_state";
    assert_eq!(
        daemon.text(
            "live",
            format!("GET comments\nColumns: {columns}\nSeparators: 10 9 44 124\n")
        ),
        "1\ta\town\t\t0\t1\tme\ta; b\t1\t1\t1\t0\t0\t1\t0\n2\ta\town\tcpu\t1\t2\tyou\t\u{e4}\t1\t0\t1\t0\t0\t1\t2\n"
    );
    let entry_time: i64 = daemon
        .cell(
            "live",
            "GET comments\nColumns: entry_time\nFilter: id = 2\n",
        )
        .parse()
        .unwrap();
    assert!((before..=support::now().secs()).contains(&entry_time));
    assert_eq!(
        daemon.cell(
            "live",
            "GET services\nColumns: comments comments_with_info host_comments\nFilter: description = cpu\nFilter: host_name = own\n"
        ),
        "2;2|you|\u{e4};1"
    );
    assert_eq!(
        daemon.cell(
            "live",
            "GET services\nColumns: comments_with_extra_info\nFilter: comments >= 2\n"
        ),
        format!("2|you|\u{e4}|1|{entry_time}")
    );
    assert_eq!(
        daemon.text("live.d/b", "GET comments\nColumns: id\n"),
        "",
        "each site has its own"
    );
    assert_eq!(
        answer(&daemon, "DEL_HOST_COMMENT;2"),
        "400: DEL_HOST_COMMENT: there is none with the id 2\n"
    );
    let time = support::now().secs();
    assert_eq!(
        daemon.text(
            "live.d/b",
            format!("COMMAND [{time}] DEL_SVC_COMMENT;2\n\n")
        ),
        "400: DEL_SVC_COMMENT: there is none with the id 2\n",
        "it is of another site"
    );
    order(&daemon, "DEL_SVC_COMMENT;2");
    order(&daemon, "ADD_HOST_COMMENT;own;1;me;second");
    order(&daemon, "DEL_ALL_HOST_COMMENTS;own");
    assert_eq!(daemon.text("live", "GET comments\nColumns: id\n"), "");
    order(&daemon, "ADD_HOST_COMMENT;own;1;me;third");
    assert_eq!(
        daemon.text("live", "GET comments\nColumns: id\n"),
        "4\n",
        "no id is given twice"
    );
}

#[test]
fn an_acknowledgement_ends_with_the_problem_and_takes_its_comment_along() {
    let daemon = daemon();
    let row = || {
        daemon.cell(
            "live",
            "GET services\nColumns: acknowledged acknowledgement_type comments\nFilter: host_name = own\nFilter: description = cpu\n",
        )
    };
    order(&daemon, "ACKNOWLEDGE_SVC_PROBLEM;own;cpu;2;1;0;me;mine");
    assert_eq!(row(), "1;2;1");
    assert_eq!(
        daemon.cell("live", "GET comments\nColumns: entry_type comment\n"),
        "4;mine"
    );
    assert_eq!(
        daemon.cell("live", "GET hosts\nColumns: num_services_handled_problems num_services_unhandled_problems\nFilter: name = own\n"),
        "1;0"
    );
    result(&daemon, "SERVICE", "own;cpu;1;less busy");
    assert_eq!(row(), "1;2;1", "sticky");
    result(&daemon, "SERVICE", "own;cpu;0;ok");
    assert_eq!(row(), "0;0;");

    result(&daemon, "SERVICE", "own;cpu;2;busy");
    order(&daemon, "ACKNOWLEDGE_SVC_PROBLEM;own;cpu;1;1;1;me;kept");
    order(&daemon, "REMOVE_SVC_ACKNOWLEDGEMENT;own;cpu");
    assert_eq!(row(), "0;0;2", "a persistent comment stays");
    order(&daemon, "ACKNOWLEDGE_HOST_PROBLEM;own;1;1;0;me;mine");
    assert_eq!(
        daemon.cell(
            "live",
            "GET hosts\nColumns: acknowledged acknowledgement_type\nFilter: name = own\n"
        ),
        "1;1"
    );
    order(&daemon, "REMOVE_HOST_ACKNOWLEDGEMENT;own");
    assert_eq!(
        daemon.cell(
            "live",
            "GET hosts\nColumns: acknowledged comments\nFilter: name = own\n"
        ),
        "0;"
    );
}

#[test]
fn the_dump_of_a_site_takes_an_object_over() {
    let daemon = daemon();
    let now = support::now().secs();
    order(&daemon, "ACKNOWLEDGE_SVC_PROBLEM;own;cpu;2;1;0;me;mine");
    order(
        &daemon,
        &format!(
            "SCHEDULE_SVC_DOWNTIME;own;cpu;{now};{};1;0;0;me;x",
            now + 1000
        ),
    );
    daemon.ask(
        "ingest.d/a",
        dump(&begin("a", 2), &[("own", Some("cpu"), 2, "shadow")]),
    );
    assert_eq!(
        daemon.cell(
            "live",
            "GET services\nColumns: acknowledged scheduled_downtime_depth comments downtimes\nFilter: host_name = own\nFilter: description = cpu\n"
        ),
        "0;0;3;2",
        "its site has the say"
    );
    order(&daemon, "DEL_SVC_DOWNTIME;2");
}

#[test]
fn a_downtime_is_in_effect_from_its_start_to_its_end() {
    let daemon = daemon();
    let now = support::now().secs();
    let depth = |table: &str, filter: &str| {
        daemon.cell(
            "live",
            &format!(
                "GET {table}\nColumns: scheduled_downtime_depth downtimes\nFilter: {filter}\n"
            ),
        )
    };
    order(
        &daemon,
        &format!(
            "SCHEDULE_HOST_DOWNTIME;own;{now};{};1;0;0;me;work; more",
            now + 1000
        ),
    );
    order(
        &daemon,
        &format!(
            "SCHEDULE_HOST_DOWNTIME;own;{};{};1;0;0;me;later",
            now + 500,
            now + 1000
        ),
    );
    assert_eq!(depth("hosts", "name = own"), "1;1,3");
    // A flexible one of a service with a problem begins at once, of one without it waits.
    for service in ["cpu", "disk"] {
        order(
            &daemon,
            &format!(
                "SCHEDULE_SVC_DOWNTIME;own;{service};{now};{};0;0;600;me;flexible",
                now + 1000
            ),
        );
    }
    assert_eq!(
        depth("services", "description = cpu\nFilter: host_name = own"),
        "1;5"
    );
    assert_eq!(depth("services", "description = disk"), "0;7");
    result(&daemon, "SERVICE", "own;disk;1;nearly full");
    assert_eq!(depth("services", "description = disk"), "1;7");
    let columns = "id host_name service_description is_service type author comment start_time end_time fixed duration \
                   triggered_by is_pending";
    assert_eq!(
        daemon.text(
            "live",
            format!("GET downtimes\nColumns: {columns}\nSeparators: 10 9 44 124\n")
        ),
        format!(
            "1\town\t\t0\t2\tme\twork; more\t{now}\t{end}\t1\t0\t0\t0\n3\town\t\t0\t2\tme\tlater\t{}\t{end}\t1\t0\t0\t1\n\
             5\town\tcpu\t1\t1\tme\tflexible\t{now}\t{end}\t0\t600\t0\t0\n7\town\tdisk\t1\t1\tme\tflexible\t{now}\t{end}\t0\t600\t0\t0\n",
            now + 500,
            end = now + 1000
        )
    );
    assert_eq!(
        daemon.cell(
            "live",
            "GET services\nColumns: downtimes_with_info\nFilter: description = disk\n"
        ),
        "7|me|flexible"
    );
    order(&daemon, "DEL_SVC_DOWNTIME;7");
    order(&daemon, "DEL_HOST_DOWNTIME;1");
    assert_eq!(depth("services", "description = disk"), "0;");
    assert_eq!(depth("hosts", "name = own"), "0;3");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let daemon = daemon();
    let now = support::now().secs();
    let shadow =
        "it is a shadow, and is acknowledged, commented and put into downtime at its site a";
    for (command, reason) in [
        ("ADD_HOST_COMMENT;far;1;me;x".to_owned(), format!("host 'far': {shadow}")),
        (
            "ACKNOWLEDGE_SVC_PROBLEM;far;cpu;1;1;1;me;x".to_owned(),
            format!("service 'cpu' of host 'far': {shadow}"),
        ),
        (
            format!("SCHEDULE_HOST_DOWNTIME;other;{now};{};1;0;0;me;x", now + 10),
            "host 'other': it is a shadow, and is acknowledged, commented and put into downtime at its site b".to_owned(),
        ),
        ("ADD_HOST_COMMENT;nobody;1;me;x".to_owned(), "host 'nobody' is not configured".to_owned()),
        (
            "ADD_SVC_COMMENT;own;nothing;1;me;x".to_owned(),
            "service 'nothing' of host 'own' is not configured at site a".to_owned(),
        ),
        ("ADD_HOST_COMMENT;own;1".to_owned(), "author is missing".to_owned()),
        ("ADD_HOST_COMMENT;own;x;me;x".to_owned(), "persistent 'x' is not a number".to_owned()),
        (
            format!("ADD_HOST_COMMENT;own;1;me;{}", "x".repeat(70_000)),
            "the comment is longer than 65536 bytes".to_owned(),
        ),
        (
            "ACKNOWLEDGE_SVC_PROBLEM;own;disk;1;1;1;me;x".to_owned(),
            "service 'disk' of host 'own': it has no problem to be acknowledged".to_owned(),
        ),
        (
            format!("SCHEDULE_HOST_DOWNTIME;own;{now};{now};1;0;0;me;x"),
            "the downtime ends before it begins, or in the past".to_owned(),
        ),
        (
            format!("SCHEDULE_HOST_DOWNTIME;own;{now};{};0;0;0;me;x", now + 10),
            "a flexible downtime needs a duration".to_owned(),
        ),
        (
            format!("SCHEDULE_HOST_DOWNTIME;own;{now};{};1;7;0;me;x", now + 10),
            "there is no downtime with the id 7 that could trigger it".to_owned(),
        ),
        ("DEL_HOST_DOWNTIME;7".to_owned(), "there is none with the id 7".to_owned()),
        ("DEL_HOST_COMMENT;-1".to_owned(), "the id is negative".to_owned()),
    ] {
        let name = command.split(';').next().unwrap();
        assert_eq!(answer(&daemon, &command), format!("400: {name}: {reason}\n"));
    }
    assert_eq!(daemon.text("live", "GET comments\nColumns: id\n"), "");
    assert_eq!(
        daemon.cell("live", "GET status\nColumns: refused_commands\n"),
        "14"
    );
}

#[test]
fn a_downtime_has_a_comment_as_long_as_it_lasts() {
    let mut daemon = daemon();
    let now = support::now().secs();
    let end = now + 1000;
    order(
        &daemon,
        &format!("SCHEDULE_HOST_DOWNTIME;own;{now};{end};1;0;0;me;x"),
    );
    let comments =
        "GET comments\nColumns: id host_name author entry_type source persistent expires\n";
    assert_eq!(
        daemon.text("live", comments),
        "2;own;(livestatusd);2;0;0;0\n"
    );
    let text = daemon.cell("live", "GET comments\nColumns: comment\n");
    assert!(text.starts_with("Fixed downtime from 20"), "{text}");
    daemon.stop(Signal::TERM);
    daemon.start();
    order(&daemon, "DEL_HOST_DOWNTIME;1");
    assert_eq!(daemon.text("live", comments), "");
    // It ends by itself, also while nobody asks.
    let end = support::now().secs() + 2;
    order(
        &daemon,
        &format!("SCHEDULE_HOST_DOWNTIME;own;{now};{end};1;0;0;me;x"),
    );
    assert_eq!(daemon.text("live", "GET comments\nColumns: id\n"), "4\n");
    daemon.wait_for("the end of the downtime", || {
        daemon
            .text("live", "GET comments\nColumns: id\n")
            .is_empty()
    });
    assert!(support::now().secs() >= end);
    assert_eq!(daemon.text("live", "GET downtimes\nColumns: id\n"), "");
}

#[test]
fn a_downtime_can_begin_with_another_one() {
    let mut daemon = daemon();
    let now = support::now().secs();
    let end = now + 1000;
    let depth = |daemon: &Daemon| {
        daemon.text(
            "live",
            "GET services\nColumns: description scheduled_downtime_depth downtimes\nFilter: host_name = own\n",
        )
    };
    // The host's begins with a problem, which the host has; cpu's begins with it, and disk's with that.
    let later = now + 500;
    order(
        &daemon,
        &format!("SCHEDULE_SVC_DOWNTIME;own;disk;{now};{end};0;0;600;me;x"),
    );
    order(
        &daemon,
        &format!("SCHEDULE_SVC_DOWNTIME;own;cpu;{later};{end};1;1;0;me;x"),
    );
    order(
        &daemon,
        &format!("SCHEDULE_HOST_DOWNTIME;own;{later};{end};0;3;300;me;x"),
    );
    assert_eq!(depth(&daemon), "cpu;0;3\ndisk;0;1\n");
    daemon.stop(Signal::TERM);
    daemon.start();
    result(&daemon, "SERVICE", "own;disk;2;full");
    assert_eq!(depth(&daemon), "cpu;1;3\ndisk;1;1\n");
    let host = "GET hosts\nColumns: scheduled_downtime_depth\nFilter: name = own\n";
    assert_eq!(daemon.cell("live", host), "1");
    assert_eq!(
        daemon.text(
            "live",
            "GET downtimes\nColumns: id triggered_by fixed is_pending\n"
        ),
        "5;3;0;0\n3;1;1;0\n1;0;0;0\n"
    );
    // One that begins while the other is in effect begins at once.
    order(
        &daemon,
        &format!("SCHEDULE_SVC_DOWNTIME;own;cpu;{later};{end};1;5;0;me;x"),
    );
    assert_eq!(depth(&daemon), "cpu;2;3,7\ndisk;1;1\n");
    // What waits for one that is cancelled is cancelled too.
    order(
        &daemon,
        &format!("SCHEDULE_HOST_DOWNTIME;own;{later};{end};1;0;0;me;x"),
    );
    order(
        &daemon,
        &format!("SCHEDULE_SVC_DOWNTIME;own;disk;{now};{end};1;9;0;me;x"),
    );
    assert_eq!(depth(&daemon), "cpu;2;3,7\ndisk;1;1,11\n");
    order(&daemon, "DEL_HOST_DOWNTIME;9");
    assert_eq!(depth(&daemon), "cpu;2;3,7\ndisk;1;1\n");
}

#[test]
fn an_acknowledgement_can_expire() {
    let mut daemon = daemon();
    let soon = support::now().secs() + 2;
    for persistent in [0, 1] {
        order(
            &daemon,
            &format!("ACKNOWLEDGE_SVC_PROBLEM_EXPIRE;own;cpu;2;1;{persistent};{soon};me;mine"),
        );
    }
    let later = soon + 1000;
    order(
        &daemon,
        &format!("ACKNOWLEDGE_HOST_PROBLEM_EXPIRE;own;1;1;0;{later};me;mine"),
    );
    assert_eq!(
        daemon.text(
            "live",
            "GET comments\nColumns: id entry_type expires expire_time\n"
        ),
        format!("3;4;1;{later}\n2;4;1;{soon}\n"),
        "a new acknowledgement takes the comment of the old one away"
    );
    daemon.stop(Signal::TERM);
    daemon.start();
    daemon.wait_for("the end of the acknowledgement", || {
        let row = "GET services\nColumns: acknowledged\nFilter: host_name = own\nFilter: description = cpu\n";
        daemon.cell("live", row) == "0"
    });
    assert!(support::now().secs() >= soon);
    assert_eq!(
        daemon.text("live", "GET comments\nColumns: id expires\n"),
        "3;1\n2;0\n",
        "a persistent comment stays"
    );
    let past = support::now().secs() - 1;
    assert_eq!(
        answer(
            &daemon,
            &format!("ACKNOWLEDGE_HOST_PROBLEM_EXPIRE;own;1;1;0;{past};me;x")
        ),
        "400: ACKNOWLEDGE_HOST_PROBLEM_EXPIRE: the acknowledgement expires in the past\n"
    );
}

/// Everything that was said.
fn all(daemon: &Daemon) -> String {
    daemon.text(
        "live",
        "GET comments\nColumns: id host_name service_description author comment entry_time entry_type persistent\n",
    ) + &daemon.text(
        "live",
        "GET downtimes\nColumns: id host_name service_description author comment entry_time start_time end_time fixed duration is_pending\n",
    ) + &daemon.text(
        "live",
        "GET services\nColumns: host_name description acknowledgement_type scheduled_downtime_depth\n",
    )
}

fn annotate(daemon: &Daemon) {
    let now = support::now().secs();
    order(daemon, "ADD_SVC_COMMENT;own;disk;1;me;a; \\ \u{e4}");
    order(daemon, "ACKNOWLEDGE_SVC_PROBLEM;own;cpu;2;1;0;me;mine");
    order(
        daemon,
        &format!(
            "SCHEDULE_SVC_DOWNTIME;own;cpu;{now};{};0;0;600;me;x",
            now + 1000
        ),
    );
    order(
        daemon,
        &format!(
            "SCHEDULE_HOST_DOWNTIME;own;{};{};1;0;0;me;y",
            now + 500,
            now + 1000
        ),
    );
}

#[test]
fn what_was_said_survives_a_restart() {
    let mut daemon = daemon();
    annotate(&daemon);
    let before = all(&daemon);
    assert!(before.contains("own;cpu;2;1\n"), "{before}");
    daemon.stop(Signal::TERM);
    daemon.start();
    assert_eq!(all(&daemon), before);
    order(&daemon, "DEL_SVC_COMMENT;1");
    order(&daemon, "ADD_HOST_COMMENT;own;1;me;new");
    assert_eq!(
        daemon.text(
            "live",
            "GET comments\nColumns: id\nFilter: is_service = 0\nFilter: entry_type = 1\n"
        ),
        "7\n",
        "ids go on"
    );
}

#[test]
fn what_was_said_is_saved_soon_and_survives_a_kill() {
    let mut daemon = daemon();
    annotate(&daemon);
    let before = all(&daemon);
    daemon.wait_for("the snapshot", || {
        std::fs::read_to_string(daemon.path("snapshot"))
            .is_ok_and(|text| text.contains("\n# downtime 5;own;;"))
    });
    daemon.stop(Signal::KILL);
    daemon.start();
    assert_eq!(all(&daemon), before);
}

#[test]
fn what_was_said_waits_for_a_configuration_that_cannot_be_read() {
    let mut daemon = daemon();
    annotate(&daemon);
    let before = all(&daemon);
    daemon.stop(Signal::TERM);
    let good = std::fs::read(daemon.path("shadow/a/shadow.mk")).unwrap();
    daemon.write_file("a", "shadow.mk", &good[..good.len() / 2]);
    daemon.start();
    daemon.stop(Signal::TERM);
    daemon.start();
    daemon.write_file("a", "shadow.mk", &good);
    daemon.reload();
    assert_eq!(all(&daemon), before);
}

#[test]
fn a_snapshot_of_the_first_format_is_read() {
    let mut daemon = daemon();
    let before = all(&daemon);
    daemon.stop(Signal::TERM);
    let text = std::fs::read_to_string(daemon.path("snapshot")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (rest, _) = rest.rsplit_once("# end ").unwrap();
    let old = format!("{}\n{rest}", first.replacen(" 3 ", " 1 ", 1));
    let crc = crc32c::crc32c(old.as_bytes());
    std::fs::write(daemon.path("snapshot"), format!("{old}# end {crc:08x}\n")).unwrap();
    daemon.start();
    assert_eq!(all(&daemon), before);
    assert!(!exists(&daemon.path("snapshot.damaged")));
}
