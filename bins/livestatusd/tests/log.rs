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

#[test]
fn downtimes_flapping_and_commands_are_in_the_log() {
    let daemon = daemon("");
    result(&daemon, "2;bad");
    let now = support::now().secs();
    let end = now + 1000;
    for command in [
        format!("SCHEDULE_SVC_DOWNTIME;own;cpu;{now};{end};1;0;0;me;x; y"),
        format!("SCHEDULE_SVC_DOWNTIME;own;cpu;{now};{end};1;0;0;me;second"),
        "DEL_SVC_DOWNTIME;1".to_owned(),
        "DEL_SVC_DOWNTIME;3".to_owned(),
        "DEL_SVC_DOWNTIME;3".to_owned(),
    ] {
        daemon.text("live", format!("COMMAND [{now}] {command}\n\n"));
    }
    for (sequence, depth, is_flapping) in [(1, 1, false), (2, 2, true), (3, 0, false)] {
        let mut out = Vec::new();
        let mut writer = livestatus::dump::DumpWriter::begin(&begin("b", sequence), &mut out);
        let state = objects::ShadowState {
            scheduled_downtime_depth: depth,
            is_flapping,
            ..support::shadow(objects::HostState::Up, "")
        };
        writer.host(b"web", &state, &mut out).unwrap();
        writer.end(&mut out);
        daemon.ask("ingest.d/b", out);
    }
    let log = daemon.text(
        "live",
        "GET log\nColumns: site class type host_name service_description state state_type state_info command_name comment options\nSeparators: 10 9 44 124\n",
    );
    let (begun, cancelled, over) = (
        "A scheduled downtime has begun",
        "The scheduled downtime was cancelled",
        "The scheduled downtime is over",
    );
    let (flaps, settled) = ("The state has begun to flap", "The state flaps no more");
    let mut want = [
        format!(
            "b\t1\tHOST DOWNTIME ALERT\tweb\t\t0\tSTOPPED\tSTOPPED\t\t{over}\tweb;STOPPED;{over}"
        ),
        format!(
            "b\t1\tHOST FLAPPING ALERT\tweb\t\t0\tSTOPPED\tSTOPPED\t\t{settled}\tweb;STOPPED;{settled}"
        ),
        format!(
            "b\t1\tHOST FLAPPING ALERT\tweb\t\t0\tSTARTED\tSTARTED\t\t{flaps}\tweb;STARTED;{flaps}"
        ),
        format!(
            "b\t1\tHOST DOWNTIME ALERT\tweb\t\t0\tSTARTED\tSTARTED\t\t{begun}\tweb;STARTED;{begun}"
        ),
        "a\t5\tEXTERNAL COMMAND\t\t\t0\t\t\tDEL_SVC_DOWNTIME\t\tDEL_SVC_DOWNTIME;3".to_owned(),
        format!(
            "a\t1\tSERVICE DOWNTIME ALERT\town\tcpu\t0\tCANCELLED\tCANCELLED\t\t{cancelled}\town;cpu;CANCELLED;{cancelled}"
        ),
        "a\t5\tEXTERNAL COMMAND\t\t\t0\t\t\tDEL_SVC_DOWNTIME\t\tDEL_SVC_DOWNTIME;1".to_owned(),
        format!(
            "a\t5\tEXTERNAL COMMAND\t\t\t0\t\t\tSCHEDULE_SVC_DOWNTIME\t\tSCHEDULE_SVC_DOWNTIME;own;cpu;{now};{end};1;0;0;me;second"
        ),
        format!(
            "a\t5\tEXTERNAL COMMAND\t\t\t0\t\t\tSCHEDULE_SVC_DOWNTIME\t\tSCHEDULE_SVC_DOWNTIME;own;cpu;{now};{end};1;0;0;me;x; y"
        ),
        format!(
            "a\t1\tSERVICE DOWNTIME ALERT\town\tcpu\t0\tSTARTED\tSTARTED\t\t{begun}\town;cpu;STARTED;{begun}"
        ),
        "a\t1\tSERVICE ALERT\town\tcpu\t2\tSOFT\tSOFT (CRITICAL)\t\t\town;cpu;CRITICAL;SOFT;1;bad"
            .to_owned(),
    ];
    let mut got: Vec<&str> = log.lines().collect();
    // Of one second, the lines of the first site come first.
    got.sort_by_key(|line| std::cmp::Reverse(line.as_bytes()[0]));
    want.sort_by_key(|line| std::cmp::Reverse(line.as_bytes()[0]));
    assert_eq!(got, want);
    assert_eq!(
        daemon.cell("live", "GET status\nColumns: log_messages\n"),
        want.len().to_string()
    );
    // What is about no object is for those who are somebody at the site.
    for (user, lines) in [("joe", 4), ("nobody", 0)] {
        let log = daemon.text(
            "live.d/a",
            format!("GET log\nColumns: options\nFilter: class = 5\nAuthUser: {user}\n"),
        );
        assert_eq!(log.lines().count(), lines, "{user}");
    }
}

#[test]
fn lines_of_all_sites_are_in_one_order_and_a_limit_ends_the_reading() {
    let mut daemon = daemon("");
    daemon.stop(Signal::TERM);
    let today = support::now().secs().div_euclid(86_400) * 86_400;
    for (site, times) in [
        ("a", [-90_000, -50, -40, -20]),
        ("b", [-90_001, -45, -40, -10]),
    ] {
        let directory = daemon.path("history").join(site);
        std::fs::create_dir_all(&directory).unwrap();
        for ago in times {
            let time = today + ago;
            let output = std::process::Command::new("date")
                .args(["-u", "-d", &format!("@{time}"), "+%Y-%m-%d.log"])
                .output()
                .unwrap();
            let file = directory.join(String::from_utf8(output.stdout).unwrap().trim());
            let before = std::fs::read_to_string(&file).unwrap_or_default();
            let line = format!("[{time}] HOST ALERT: web;DOWN;HARD;1;{ago}\n");
            std::fs::write(&file, before + &line).unwrap();
        }
    }
    daemon.start();
    let log = |query: &str| {
        daemon.text(
            "live",
            format!("GET log\nColumns: site plugin_output\n{query}"),
        )
    };
    assert_eq!(
        log(""),
        "b;-10\na;-20\na;-40\nb;-40\nb;-45\na;-50\na;-90000\nb;-90001\n"
    );
    assert_eq!(log("Limit: 2\n"), "b;-10\na;-20\n");
    assert_eq!(
        log(&format!(
            "Filter: time >= {}\nFilter: time < {}\n",
            today - 45,
            today - 20
        )),
        "a;-40\nb;-40\nb;-45\n"
    );
}
