//! The command line, and how the daemon begins and ends.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use rustix::process::Signal;
use support::{Daemon, exists, host};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livestatusd"))
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn version_is_one_line() {
    let output = run(&["--version"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.starts_with("livestatusd 0.1.0 (sitewire, ") && text.ends_with(")\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn the_manual_has_every_flag_and_no_other() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let flags = |text: &str, before: &str| -> Vec<String> {
        let mut flags: Vec<String> = text
            .split(before)
            .skip(1)
            .filter_map(|rest| {
                rest.split(|c: char| !c.is_ascii_lowercase() && c != '-')
                    .next()
            })
            .filter(|flag| flag.len() > 1)
            .map(str::to_owned)
            .collect();
        flags.sort();
        flags.dedup();
        flags
    };
    let manual = include_str!("../../../man/livestatusd.8");
    assert_eq!(flags(&help, " --"), flags(manual, "Fl -"));
}

#[test]
fn the_manual_has_every_key_of_the_configuration() {
    let manual = include_str!("../../../man/livestatusd.8");
    for line in include_str!("../../../packaging/examples/livestatusd.toml").lines() {
        if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(manual.contains(&format!(".It Ic {key}")), "{key}");
        }
    }
}

#[test]
fn wrong_use_is_2() {
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn all_problems_of_a_configuration_are_listed_and_nothing_is_touched() {
    let daemon = Daemon::new(&[]);
    let text = "socket = '/nowhere/live'\nsite_sockets = 'relative'\nsnapshto = '/x'\n";
    std::fs::write(daemon.config(), text).unwrap();
    let config = daemon.config();
    let before = std::fs::read_dir(daemon.dir.path()).unwrap().count();
    for args in [&["--check-config"][..], &[]] {
        let args = [&["-c", config.to_str().unwrap()], args].concat();
        let output = run(&args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{text}");
        for problem in [
            "livestatusd.toml:2:16: `site_sockets` must be an absolute path",
            "livestatusd.toml:3:1: unknown key `snapshto`, did you mean `snapshot`?",
            "`socket`: directory /nowhere does not exist",
        ] {
            assert!(text.contains(problem), "{problem} in {text}");
        }
        assert!(
            text.lines().all(|line| line.starts_with("livestatusd: ")),
            "{text}"
        );
        assert_eq!(
            std::fs::read_dir(daemon.dir.path()).unwrap().count(),
            before
        );
    }
    assert_eq!(
        run(&["-c", "/nowhere/x.toml", "--check-config"])
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn a_site_with_a_long_name_is_found_before_the_first_bind() {
    let daemon = Daemon::new(&[&"x".repeat(64)]);
    let deep = daemon.path(&"y".repeat(40));
    std::fs::create_dir(&deep).unwrap();
    daemon.settings("");
    let text = std::fs::read_to_string(daemon.config()).unwrap();
    let text = text.replace("/ingest.d'", &format!("/{}/ingest.d'", "y".repeat(40)));
    std::fs::write(daemon.config(), text).unwrap();
    let output = run(&["-c", daemon.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("the path of a socket may have 107 bytes"),
        "{}",
        stderr(&output)
    );
    assert!(!exists(&daemon.path("live")));
}

#[test]
fn a_bad_site_is_told_by_check_config_but_is_no_failure() {
    let daemon = Daemon::new(&["good", "bad"]);
    daemon.configure("good", &[("h", host(&[]))]);
    daemon.write_file("bad", "x.mk", b"shadow_hosts.update({");
    let output = run(&["-c", daemon.config().to_str().unwrap(), "--check-config"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("livestatusd: site bad: "),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("x.mk:1:"), "{}", stderr(&output));
    assert!(!exists(&daemon.path("live")));
}

#[test]
fn sockets_are_there_while_it_runs_and_gone_after() {
    let mut daemon = Daemon::running(&[("a", &[("h", host(&[]))])]);
    for socket in ["live", "live.d/a", "ingest.d/a"] {
        let path = daemon.path(socket);
        daemon.wait_for_log(&format!("listening on {}\n", path.display()));
        let mode = std::fs::symlink_metadata(&path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o660, "{socket}");
    }
    for signal in [Signal::TERM, Signal::INT] {
        assert_eq!(daemon.stop(signal).code(), Some(0));
        for socket in ["live", "live.d/a", "ingest.d/a"] {
            assert!(!exists(&daemon.path(socket)), "{socket} after {signal:?}");
        }
        daemon.start();
    }
}

#[test]
fn an_idle_client_does_not_hold_up_the_end() {
    let mut daemon = Daemon::running(&[("a", &[])]);
    let _idle = daemon.connect("live");
    let _ingest = daemon.connect("ingest.d/a");
    assert_eq!(daemon.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_second_instance_does_not_start_and_says_who_runs() {
    let daemon = Daemon::running(&[("a", &[])]);
    let output = run(&["-c", daemon.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(75));
    let pid = daemon.pid().as_raw_nonzero();
    assert!(
        stderr(&output).contains(&format!("is in use by process {pid}")),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        daemon.cell("live", "GET status\nColumns: num_hosts\n"),
        "0",
        "the first goes on"
    );
}

#[test]
fn sockets_of_a_killed_instance_are_replaced() {
    let mut daemon = Daemon::running(&[("a", &[]), ("b", &[])]);
    daemon.stop(Signal::KILL);
    assert!(exists(&daemon.path("live.d/b")));
    std::fs::remove_dir_all(daemon.path("shadow/b")).unwrap();
    daemon.start();
    assert_eq!(daemon.cell("live", "GET sites\nColumns: site\n"), "a");
    assert!(!exists(&daemon.path("live.d/b")) && !exists(&daemon.path("ingest.d/b")));
}

#[test]
fn what_is_not_a_socket_is_never_removed() {
    let daemon = Daemon::new(&["a"]);
    std::fs::write(daemon.path("live"), "precious").unwrap();
    let output = run(&["-c", daemon.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("it is not a socket"),
        "{}",
        stderr(&output)
    );
    assert_eq!(std::fs::read(daemon.path("live")).unwrap(), b"precious");
    // The socket of somebody else who takes no lock is in nobody's way.
    std::fs::remove_file(daemon.path("live")).unwrap();
    let _other = UnixListener::bind(daemon.path("live")).unwrap();
    let mut daemon = daemon;
    daemon.start();
    assert_eq!(daemon.cell("live", "GET status\nColumns: num_sites\n"), "1");
}

#[test]
fn usr1_does_not_end_it() {
    let daemon = Daemon::running(&[("a", &[])]);
    daemon.signal(Signal::USR1);
    daemon.signal(Signal::USR2);
    daemon.wait_for_log("1 sites, 0 hosts, 0 services");
}
