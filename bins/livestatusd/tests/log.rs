//! The history of changes of state.

mod support;

use rustix::process::Signal;
use support::{Daemon, begin, dump, host};

fn daemon(more: &str) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    let mut own = host(&["cpu"]);
    own.alias = "Own one".into();
    own.contacts = vec!["joe".into()];
    daemon.configure("a", &[("own", own), ("web", host(&["cpu", "disk"]))]);
    daemon.configure("b", &[("web", host(&["cpu"]))]);
    daemon.settings(&format!(
        "history = '{}'\n{more}",
        daemon.path("history").display()
    ));
    daemon.start();
    daemon
}

fn result(daemon: &Daemon, text: &str) {
    let time = support::now().secs();
    let command = format!("COMMAND [{time}] PROCESS_SERVICE_CHECK_RESULT;own;cpu;{text}\n\n");
    assert_eq!(daemon.text("live", command), "", "{text}");
}

#[test]
fn every_change_is_a_line_and_the_newest_come_first() {
    let daemon = daemon("");
    let before = support::now().secs();
    for sequence in [1, 2] {
        let lines = [
            ("web", None, 0, "up"),
            ("web", Some("cpu"), 2, "busy; very"),
            ("web", Some("disk"), u8::from(sequence == 2), "disk"),
        ];
        daemon.ask("ingest.d/a", dump(&begin("a", sequence), &lines));
    }
    for text in [
        "0;fine", "0;fine", "1;slow", "1;slow", "1;slow", "1;slow", "0;fine",
    ] {
        result(&daemon, text);
    }
    let columns =
        "class type host_name service_description state state_type attempt plugin_output options";
    let log = daemon.text(
        "live",
        format!("GET log\nColumns: {columns}\nSeparators: 10 9 44 124\n"),
    );
    let want = [
        "1\tSERVICE ALERT\town\tcpu\t0\tHARD\t1\tfine\town;cpu;OK;HARD;1;fine",
        "1\tSERVICE ALERT\town\tcpu\t1\tHARD\t3\tslow\town;cpu;WARNING;HARD;3;slow",
        "1\tSERVICE ALERT\town\tcpu\t1\tSOFT\t2\tslow\town;cpu;WARNING;SOFT;2;slow",
        "1\tSERVICE ALERT\town\tcpu\t1\tSOFT\t1\tslow\town;cpu;WARNING;SOFT;1;slow",
        "1\tSERVICE ALERT\tweb\tdisk\t1\tHARD\t1\tdisk\tweb;disk;WARNING;HARD;1;disk",
        "1\tSERVICE ALERT\tweb\tcpu\t2\tHARD\t1\tbusy; very\tweb;cpu;CRITICAL;HARD;1;busy; very",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), want);
    let time: i64 = daemon
        .cell("live", "GET log\nColumns: log_time\nLimit: 1\n")
        .parse()
        .unwrap();
    assert!((before..=support::now().secs()).contains(&time));
    for (query, want) in [
        (
            "Columns: message\nLimit: 1\n".to_owned(),
            format!("[{time}] SERVICE ALERT: own;cpu;OK;HARD;1;fine\n"),
        ),
        (
            "Columns: host_alias current_service_state\nLimit: 1\n".to_owned(),
            "Own one;0\n".to_owned(),
        ),
        (
            format!("Columns: time\nFilter: time > {}\n", time + 100),
            String::new(),
        ),
        (
            format!("Columns: time\nFilter: time < {before}\n"),
            String::new(),
        ),
        (
            format!("Columns: lineno\nFilter: time >= {before}\nFilter: host_name = web\n"),
            "2\n1\n".to_owned(),
        ),
        // Contacts see what is theirs.
        (
            "Columns: host_name\nAuthUser: nobody\n".to_owned(),
            String::new(),
        ),
        (
            "Columns: host_name\nAuthUser: joe\n".to_owned(),
            "own\n".repeat(4),
        ),
    ] {
        let answer = daemon.text("live.d/a", format!("GET log\n{query}"));
        assert_eq!(answer, want, "{query}");
    }
    assert_eq!(daemon.text("live.d/b", "GET log\nColumns: type\n"), "");
}

#[test]
fn history_survives_and_states_that_come_back_are_no_news() {
    let mut daemon = daemon("");
    result(&daemon, "2;bad");
    daemon.stop(Signal::TERM);
    daemon.start();
    result(&daemon, "2;bad");
    let log = daemon.text("live", "GET log\nColumns: options\n");
    assert_eq!(
        log,
        "own;cpu;CRITICAL;SOFT;2;bad\nown;cpu;CRITICAL;SOFT;1;bad\n"
    );
}

#[test]
fn days_that_are_too_old_go() {
    let daemon = daemon("history_days = 2");
    let directory = daemon.path("history/a");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(
        directory.join("2020-01-01.log"),
        "[1577836800] HOST ALERT: own;DOWN;HARD;1;x\n",
    )
    .unwrap();
    assert_eq!(
        daemon.text(
            "live",
            "GET log\nColumns: options\nFilter: time < 1600000000\n"
        ),
        "own;DOWN;HARD;1;x\n"
    );
    result(&daemon, "2;bad");
    assert_eq!(
        daemon.text("live", "GET log\nColumns: options\n"),
        "own;cpu;CRITICAL;SOFT;1;bad\n"
    );
    assert!(!support::exists(&directory.join("2020-01-01.log")));
}

#[test]
fn without_a_directory_nothing_is_kept() {
    let daemon = Daemon::running(&[("a", &[("own", host(&["cpu"]))])]);
    result(&daemon, "2;bad");
    assert_eq!(
        daemon.text("live", "GET log\nColumns: type\nColumnHeaders: on\n"),
        "type\n"
    );
}
