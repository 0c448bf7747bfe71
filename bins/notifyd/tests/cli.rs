//! What notifyd says before it becomes a daemon.

mod support;

use std::process::Command;

use support::{NOTIFYD, Site};

#[test]
fn check_config_lists_all_problems_and_changes_nothing() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'a'\nscript = '@missing'\n[[lane]]\nname = 'b'\nscript = '@notifyd.toml'\n\
         [tls]\ncertificate = '@c.crt'\nkey = '@c.key'\nca = '@ca.crt'\n",
    );
    let output = site.command().arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines.iter().all(|line| line.starts_with("notifyd: ")),
        "{text}"
    );
    assert!(
        lines[0].contains("[[lane]] a: ") && lines[0].contains("missing"),
        "{text}"
    );
    assert!(lines[1].contains("is not executable"), "{text}");
    assert!(
        lines[2].contains("[tls]") && lines[2].contains("c.crt"),
        "{text}"
    );
    assert!(!site.path("spool").exists());
}

#[test]
fn a_good_configuration_is_passed_in_silence() {
    let site = Site::new("central", "[[lane]]\nname = 'mail'\nmaildir = '@mail'\n");
    let output = site.command().arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty() && output.stdout.is_empty());
    assert!(!site.path("spool").exists() && !site.path("mail").exists());
}

#[test]
fn little_configuration_is_enough_to_start() {
    let site = Site::new("central", "");
    let spool = site.path("spool");
    let text = format!(
        "[site]\nname = 'a'\n[spool]\ndirectory = '{}'\n",
        spool.display()
    );
    std::fs::write(site.path("notifyd.toml"), text).unwrap();
    site.start().terminate();
    assert!(spool.join("notifyd.state").exists());
}

#[test]
fn without_a_configuration_it_ends_with_78() {
    let output = Command::new(NOTIFYD)
        .args(["-c", "/nowhere/notifyd.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("notifyd: /nowhere/notifyd.toml: No such file"),
        "{text}"
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let site = Site::new("central", "[[peer]]\nsite = 'a'\ncolour = 'red'\n");
    let output = site.command().output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("notifyd.toml:11:1: unknown key `colour`"),
        "{text}"
    );
}

/// `/dev/shm` is in memory wherever there is one.
#[test]
fn a_spool_in_memory_is_refused_unless_that_is_allowed() {
    let shm = std::path::Path::new("/dev/shm");
    if !shm.is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    let memory = tempfile::tempdir_in(shm).unwrap();
    let site = Site::new("a", "");
    let spool = memory.path().join("spool");
    let configure = |more: &str| {
        let spool = spool.display();
        let state = site.path("state");
        let state = state.display();
        let text = format!(
            "[site]\nname = 'a'\n[spool]\ndirectory = '{spool}'\n{more}[state]\nfile = '{state}'\n"
        );
        std::fs::write(site.path("notifyd.toml"), text).unwrap();
    };
    configure("");
    let output = site.command().output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("it is on tmpfs") && said.contains("allow_volatile"),
        "{said}"
    );
    assert!(!spool.exists(), "it was made all the same");
    configure("allow_volatile = true\n");
    let mut notifyd = site.start();
    notifyd.wait_for_line("it is on tmpfs");
    notifyd.terminate();
}
