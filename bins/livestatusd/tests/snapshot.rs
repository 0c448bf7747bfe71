//! States survive a restart.

mod support;

use rustix::process::Signal;
use support::{Daemon, begin, dump, exists, host};

fn daemon() -> Daemon {
    let daemon = Daemon::running(&[
        ("a", &[("h", host(&["cpu", "disk"]))]),
        ("b", &[("h", host(&["cpu"]))]),
    ]);
    let lines = [
        ("h", None, 0, "up"),
        ("h", Some("cpu"), 2, "of a; \\ \u{e9}"),
        ("x", None, 0, "unknown"),
    ];
    daemon.ask("ingest.d/a", dump(&begin("a", 5), &lines));
    let cut = dump(
        &begin("b", 6),
        &[("h", None, 1, "of b"), ("h", Some("cpu"), 2, "lost")],
    );
    let cut = &cut[..cut.windows(4).position(|window| window == b"lost").unwrap()];
    daemon.ask("ingest.d/b", cut);
    let time = support::now().secs();
    for (ago, state) in [(30, 2), (20, 0), (0, 1)] {
        let time = time - ago;
        daemon.ask(
            "live.d/b",
            format!(
                "COMMAND [{time}] PROCESS_SERVICE_CHECK_RESULT;h;cpu;{state};passive|x=1\\nlong\n\n"
            ),
        );
    }
    daemon
}

/// Everything that is to survive.
fn all(daemon: &Daemon) -> String {
    let common = "has_been_checked state state_type current_attempt last_check last_state_change check_type \
                  plugin_output long_plugin_output perf_data last_state last_hard_state last_update";
    let mut text = daemon.text(
        "live",
        format!("GET hosts\nColumns: site name {common} last_time_up last_time_down last_time_unreachable\n"),
    );
    text += &daemon.text(
        "live",
        format!(
            "GET services\nColumns: site host_name description {common} last_time_ok last_time_warning \
             last_time_critical last_time_unknown\n"
        ),
    );
    text += &daemon.text(
        "live",
        "GET sites\nColumns: site state_time state_received_at state_complete state_reason state_records \
         state_unknown state_missing claimed_site\n",
    );
    text
}

#[test]
fn a_clean_end_keeps_everything() {
    let mut daemon = daemon();
    let before = all(&daemon);
    assert!(before.contains("b;h;cpu;1;1;0;1;"), "{before}");
    assert!(before.contains(";0;end mark missing;1;0;0;b\n"), "{before}");
    daemon.stop(Signal::TERM);
    daemon.start();
    assert_eq!(all(&daemon), before);
    let older = daemon.text(
        "ingest.d/a",
        dump(&begin("a", 4), &[("h", None, 1, "late")]),
    );
    assert_eq!(
        older, "refused: older than the dump of epoch 1, sequence 5\n",
        "the order of dumps survives too"
    );
}

#[test]
fn a_kill_after_usr2_loses_nothing() {
    let mut daemon = daemon();
    let before = all(&daemon);
    daemon.signal(Signal::USR2);
    daemon.wait_for_log("2 sites, 2 hosts, 3 services;");
    daemon.stop(Signal::KILL);
    daemon.start();
    assert_eq!(all(&daemon), before);
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_never_taken_in_part() {
    let mut daemon = daemon();
    daemon.stop(Signal::TERM);
    let whole = std::fs::read(daemon.path("snapshot")).unwrap();
    let mut changed = whole.clone();
    let at = changed
        .windows(4)
        .position(|window| window == b"of a")
        .unwrap();
    changed[at] ^= 1;
    let newer = [b"# livestatusd snapshot 4 ", &whole[25..]].concat();
    for (name, bytes, why) in [
        ("empty", &b""[..], "its end mark is missing"),
        (
            "cut in a line",
            &whole[..whole.len() / 2],
            "it ends in the middle of a line",
        ),
        (
            "cut before the end mark",
            &whole[..whole.len() - 15],
            "its end mark is missing",
        ),
        ("changed", &changed, "its checksum differs"),
        (
            "of a later release",
            &newer,
            "it has format \"4\", this release reads up to 3",
        ),
        ("something else", b"hello\n", "it is not a snapshot"),
    ] {
        std::fs::write(daemon.path("snapshot"), bytes).unwrap();
        daemon.start();
        daemon.wait_for_log(&format!("is damaged: {why}"));
        let checked = daemon.text("live", "GET services\nColumns: has_been_checked\n");
        assert_eq!(checked, "0\n0\n0\n", "{name}");
        assert_eq!(
            std::fs::read(daemon.path("snapshot.damaged")).unwrap(),
            bytes,
            "{name}"
        );
        daemon.stop(Signal::KILL);
        assert!(!exists(&daemon.path("snapshot")), "{name}");
    }
    std::fs::write(daemon.path("snapshot"), &whole).unwrap();
    daemon.start();
    assert!(all(&daemon).contains("of a; \\ \u{e9}"));
}

#[test]
fn states_wait_for_a_configuration_that_cannot_be_read() {
    let mut daemon = daemon();
    let before = all(&daemon);
    daemon.stop(Signal::TERM);
    let good = std::fs::read(daemon.path("shadow/a/shadow.mk")).unwrap();
    daemon.write_file("a", "shadow.mk", &good[..good.len() / 2]);
    daemon.start();
    assert_eq!(daemon.site("a", "num_hosts"), "0");
    // Also over a second restart.
    daemon.stop(Signal::TERM);
    daemon.start();
    daemon.write_file("a", "shadow.mk", &good);
    daemon.reload();
    assert_eq!(all(&daemon), before);
}

#[test]
fn objects_and_sites_that_are_gone_are_not_missed() {
    let mut daemon = daemon();
    daemon.stop(Signal::TERM);
    std::fs::remove_dir_all(daemon.path("shadow/b")).unwrap();
    daemon.configure("a", &[("h", host(&["disk"]))]);
    daemon.start();
    daemon.wait_for_log("1 states taken back, 3 of objects that are gone");
    assert_eq!(
        daemon.text("live", "GET hosts\nColumns: site name plugin_output\n"),
        "a;h;up\n"
    );
}
