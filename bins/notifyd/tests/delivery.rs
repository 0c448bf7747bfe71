//! From the drop box to scripts and maildirs, with everything that goes wrong
//! on that way.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::Signal;
use support::{Daemon, Site, notification, read, wait_for, wait_until};

const LANES: &str = "[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '50ms'\n\
                     [[lane]]\nname = 'mail'\nmaildir = '@mail'\nto = 'ops@example.com'\n";
const SCRIPT: &str = "[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '50ms'\n";

#[test]
fn a_notification_is_delivered_by_every_lane() {
    let site = Site::new("central", LANES);
    site.script("plugin", "env | sort >@env.tmp && mv @env.tmp @env");
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
    wait_until("both lanes have delivered", || {
        site.state()["delivered"] == 2
    });
    let env = read(&site.path("env"));
    let mut names: Vec<&str> = env
        .lines()
        .map(|line| line.split('=').next().unwrap())
        .collect();
    names.retain(|name| name.starts_with("NOTIFY_"));
    let expected = [
        "ATTEMPT",
        "DELAY",
        "HOSTNAME",
        "ID",
        "JOB_ID",
        "PATH",
        "SERVICEDESC",
    ];
    assert_eq!(
        names,
        expected.map(|name| format!("NOTIFY_{name}")),
        "{env}"
    );
    for line in [
        "NOTIFY_HOSTNAME=db1".to_owned(),
        "NOTIFY_ATTEMPT=1".to_owned(),
        "NOTIFY_PATH=central".to_owned(),
        format!("NOTIFY_ID={id}"),
    ] {
        assert!(env.lines().any(|found| found == line), "{line}\n{env}");
    }
    assert!(!env.contains("CARGO"), "{env}");
    let mails = site.files("mail/new");
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0].contains(&id.job_id("mail").to_string()),
        "{mails:?}"
    );
    assert_eq!(site.files("spool/new"), [""; 0]);
    assert_eq!(
        site.history(id).last().map(String::as_str),
        Some("ended delivered"),
        "{:?}",
        site.history(id)
    );
    daemon.terminate();
}

#[test]
fn temporary_failures_are_tried_again_until_they_pass() {
    let site = Site::new("central", SCRIPT);
    site.script(
        "plugin",
        "echo $NOTIFY_ATTEMPT >>@log; [ $NOTIFY_ATTEMPT -ge 3 ] || { echo no modem; exit 1; }",
    );
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is delivered", || site.state()["delivered"] == 1);
    assert_eq!(site.lines("log"), ["1", "2", "3"]);
    assert_eq!(
        site.history(id),
        [
            "accepted",
            "assigned lane ops",
            "attempt 1",
            "result 1 temporary failure",
            "attempt 2",
            "result 2 temporary failure",
            "attempt 3",
            "result 3 success",
            "lane ops delivered",
            "ended delivered",
        ]
    );
    daemon.terminate();
}

#[test]
fn what_is_refused_is_kept_with_its_reason() {
    let site = Site::new("central", SCRIPT);
    site.script("plugin", "echo bad number; exit 2");
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is refused", || site.state()["failed"] == 1);
    assert_eq!(site.history(id).last().unwrap(), "ended refused");
    let names = site.files("spool/refused");
    let why = names
        .iter()
        .find(|name| name.ends_with(".why"))
        .expect("a reason");
    assert!(read(&site.path("spool/refused").join(why)).contains("bad number"));
    let body = names
        .iter()
        .find(|name| !name.ends_with(".why"))
        .expect("a body");
    assert!(read(&site.path("spool/refused").join(body)).contains(&id.to_string()));
    daemon.terminate();
}

#[test]
fn what_expires_says_so() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '50ms'\nexpire = '300ms'\n",
    );
    site.script("plugin", "exit 1");
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it has expired", || site.state()["failed"] == 1);
    assert_eq!(site.history(id).last().unwrap(), "ended expired");
    daemon.terminate();
}

#[test]
fn without_a_lane_there_is_nobody_to_notify() {
    let site = Site::new("central", "");
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it has ended", || {
        site.history(id)
            .last()
            .is_some_and(|last| last == "ended nobody to notify")
    });
    daemon.terminate();
}

#[test]
fn an_object_keeps_its_order_while_others_overtake() {
    let site = Site::new("central", SCRIPT);
    site.script(
        "plugin",
        "[ -e @up ] || [ $NOTIFY_HOSTNAME = b ] || exit 1; echo $NOTIFY_HOSTNAME $NOTIFY_N >>@log",
    );
    let daemon = site.start();
    for n in ["1", "2", "3"] {
        site.submit(&[("HOSTNAME", "a"), ("N", n)]);
    }
    site.submit(&[("HOSTNAME", "b"), ("N", "4")]);
    wait_until("b has overtaken", || site.lines("log") == ["b 4"]);
    wait_until("the state shows what waits", || {
        site.state()["deferred"]["count"] == 1 && site.state()["new"]["count"] == 2
    });
    fs::write(site.path("up"), "").unwrap();
    wait_until("all are delivered", || site.lines("log").len() == 4);
    assert_eq!(site.lines("log"), ["b 4", "a 1", "a 2", "a 3"]);
    daemon.terminate();
}

#[test]
fn a_kill_during_delivery_repeats_it_under_the_same_name() {
    let site = Site::new("central", LANES);
    site.script(
        "plugin",
        "echo $NOTIFY_ATTEMPT >>@log; while [ -e $0 ] && [ ! -e @up ]; do sleep 0.02; done",
    );
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("the script runs", || site.lines("log") == ["1"]);
    wait_until("the mail is there", || site.state()["delivered"] == 1);
    daemon.kill();
    fs::write(site.path("up"), "").unwrap();
    let daemon = site.start();
    wait_until("it is delivered", || {
        site.history(id)
            .last()
            .is_some_and(|last| last == "ended delivered")
    });
    assert_eq!(site.lines("log"), ["1", "2"]);
    assert_eq!(site.files("mail/new").len(), 1);
    daemon.terminate();
}

#[test]
fn a_stop_waits_for_the_script_that_runs() {
    let site = Site::new("central", SCRIPT);
    site.script(
        "plugin",
        "echo started >>@log; while [ -e $0 ] && [ ! -e @go ]; do sleep 0.02; done; echo done >>@log",
    );
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1")]);
    wait_until("the script runs", || site.lines("log") == ["started"]);
    let later = site.submit(&[("HOSTNAME", "db2")]);
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    daemon.wait_for_line("stopping");
    fs::write(site.path("go"), "").unwrap();
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(site.lines("log"), ["started", "done"]);
    assert_eq!(site.history(id).last().unwrap(), "ended delivered");
    let daemon = site.start();
    wait_until("the other one is delivered", || {
        site.history(later)
            .last()
            .is_some_and(|last| last == "ended delivered")
    });
    daemon.terminate();
}

#[test]
fn a_second_daemon_does_not_touch_the_spool() {
    let site = Site::new("central", "");
    let daemon = site.start();
    let second = site.command().output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains("in use by process"), "{text}");
    daemon.terminate();
    site.start().terminate();
}

#[test]
fn the_drop_box_is_a_public_place() {
    let site = Site::new("central", LANES);
    site.script("plugin", "exit 0");
    site.start().terminate();
    let good = notification("central", &[("HOSTNAME", "db1")])
        .print()
        .unwrap();
    let odd = notification("central", &[("HOSTNAME", "db2")])
        .print()
        .unwrap();
    let new = site.path("spool/new");
    site.drop_file("cut", &good.as_bytes()[..good.len() / 2]);
    site.drop_file("foreign", b"GET / HTTP/1.1\r\n\r\n");
    site.drop_file(
        "loop",
        good.replace("\"path\":[]", "\"path\":[\"central\"]")
            .as_bytes(),
    );
    site.drop_file("good", good.as_bytes());
    site.drop_file("again", good.as_bytes());
    site.drop_file("odd\nname", odd.as_bytes());
    fs::create_dir(new.join("directory")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", new.join("link")).unwrap();
    let status = Command::new("mkfifo").arg(new.join("fifo")).status();
    assert!(status.unwrap().success());
    fs::write(new.join("empty"), "").unwrap();
    let daemon = site.start();
    wait_until("the drop box is empty", || {
        site.files("spool/new").is_empty()
    });
    wait_until("the good ones are delivered", || {
        site.state()["delivered"] == 4
    });
    assert_eq!(site.files("mail/new").len(), 2);
    let corrupt = site.files("spool/corrupt");
    let (reasons, bad): (Vec<_>, Vec<_>) =
        corrupt.into_iter().partition(|name| name.ends_with(".why"));
    assert_eq!((bad.len(), reasons.len()), (7, 7), "{bad:?}");
    wait_until("they are counted", || {
        site.state()["corrupted"]["count"] == 7
    });
    assert_eq!(site.state()["duplicates"], 1);
    daemon.terminate();
}

#[test]
fn readiness_is_told_and_the_state_file_is_written_on_demand() {
    let site = Site::new("central", "");
    site.configure("");
    let text = read(&site.path("notifyd.toml")).replace("100ms", "1h");
    fs::write(site.path("notifyd.toml"), text).unwrap();
    let socket = UnixDatagram::bind(site.path("ready")).unwrap();
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.path("ready"));
    let mut daemon = Daemon::start("central", command);
    let mut buffer = [0; 256];
    wait_for("READY=1", || {
        let len = socket.recv(&mut buffer).unwrap();
        buffer[..len].starts_with(b"READY=1").then_some(())
    });
    let state = site.path("notifyd.state");
    wait_until("the first state file", || state.exists());
    fs::remove_file(&state).unwrap();
    daemon.signal(Signal::USR2);
    wait_until("the state file is there again", || state.exists());
    daemon.wait_for_line("0 of 0 peers up, 0 waiting, 0 deferred");
    assert!(read(&state).starts_with("# notifyd state file\nVersion: "));
    assert_eq!(
        fs::metadata(&state).unwrap().permissions().mode() & 0o777,
        0o644
    );
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("the configuration has been read again");
    daemon.terminate();
}

#[test]
fn a_disk_that_refuses_syncs_holds_everything_until_it_heals() {
    let strace = Command::new("strace").arg("-V").output();
    if !strace.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let site = Site::new("central", SCRIPT);
    site.script("plugin", "echo $NOTIFY_N >>@log");
    // The journal's syncs are the only fdatasync calls. The first ones pass,
    // then many fail, then all pass.
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:error=EIO:when=5..10"])
        .arg(support::NOTIFYD)
        .arg("-c")
        .arg(site.path("notifyd.toml"));
    let mut daemon = Daemon::start("central", command);
    daemon.wait_for_line("is ready");
    let mut submitted = Vec::new();
    while !daemon.log().iter().any(|line| line.contains("disk error")) {
        let n = submitted.len().to_string();
        submitted.push(site.submit(&[("HOSTNAME", "db1"), ("N", &n)]));
        wait_until("it is delivered, or the disk fails", || {
            let failing = daemon.log().iter().any(|line| line.contains("disk error"));
            failing || site.lines("log").len() == submitted.len()
        });
    }
    wait_until("the state file says so", || {
        site.state()["disk_error"]
            .as_str()
            .is_some_and(|error| error.contains("sync"))
    });
    daemon.wait_for_line("the disk takes records again");
    submitted.push(site.submit(&[("HOSTNAME", "db1"), ("N", &submitted.len().to_string())]));
    wait_until("all are delivered", || {
        let mut lines = site.lines("log");
        lines.dedup();
        lines.len() == submitted.len()
    });
    for id in submitted {
        wait_until("its end is recorded", || {
            site.history(id)
                .last()
                .is_some_and(|last| last == "ended delivered")
        });
        let accepted = site
            .history(id)
            .iter()
            .filter(|event| *event == "accepted")
            .count();
        assert_eq!(accepted, 1);
    }
    assert_eq!(site.files("spool/new"), [""; 0]);
    site.signal_traced(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}
