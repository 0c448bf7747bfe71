//! What exit 0 stands for, as seen at the system calls. Needs strace; where there
//! is none, SITEWIRE_SKIP_STRACE=1 leaves these tests out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use objects::Envelope;

const ID: &str = "0199f0a0-0000-7000-8000-000000000001";
const VARIABLES: [&str; 2] = ["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"];
/// The calls between the decision to accept and the exit.
const CALLS: [&str; 8] = [
    "openat",
    "write",
    "fsync",
    "fdatasync",
    "renameat2",
    "unlink",
    "close",
    "exit_group",
];

fn spool(directory: &Path) -> PathBuf {
    let spool = directory.join("spool");
    for part in ["tmp", "new"] {
        fs::create_dir_all(spool.join(part)).unwrap();
    }
    spool
}

/// notify under strace; what strace says goes to `log`.
fn traced(spool: &Path, log: &Path, options: &[&str]) -> Output {
    Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "80", "-o"])
        .arg(log)
        .args(options)
        .arg(env!("CARGO_BIN_EXE_notify"))
        .args(["--site", "remote1", "--id", ID, "--spool"])
        .arg(spool)
        .args(VARIABLES)
        .output()
        .expect("no strace: install the package strace, or set SITEWIRE_SKIP_STRACE=1")
}

fn left_out() -> bool {
    let skip = std::env::var_os("SITEWIRE_SKIP_STRACE").is_some();
    if skip {
        eprintln!("left out because SITEWIRE_SKIP_STRACE is set");
    }
    skip
}

fn lines_of(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What is in `new/` is whole, if anything is.
fn check_new(spool: &Path, context: &str) -> bool {
    let files: Vec<_> = fs::read_dir(spool.join("new")).unwrap().collect();
    assert!(files.len() <= 1, "{context}");
    for file in &files {
        let path = file.as_ref().unwrap().path();
        let body = fs::read_to_string(&path).unwrap();
        let envelope = Envelope::parse(&body).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(envelope.id.to_string(), ID, "{context}");
    }
    !files.is_empty()
}

#[test]
fn file_sync_rename_directory_sync_come_before_exit() {
    if left_out() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let log = directory.path().join("strace");
    let calls = format!("trace={}", CALLS.join(","));
    let output = traced(&spool, &log, &["-e", &calls]);
    assert!(output.status.success(), "{output:?}");
    let lines = lines_of(&log);
    let temporary = format!("{}/tmp/{ID}.", spool.display());
    let new = format!("{}/new", spool.display());
    // Each is looked for behind the one before.
    let mut at = 0;
    for (what, words) in [
        ("the body is written", &["write(", temporary.as_str()][..]),
        ("the file is synced", &["sync(", &temporary, "= 0"]),
        (
            "it is renamed",
            &["renameat2(", &temporary, &format!("{new}/{ID}"), "= 0"],
        ),
        (
            "the directory is synced",
            &["sync(", &format!("{new}>"), "= 0"],
        ),
        ("the id is told", &["write(1", ID]),
        ("it ends", &["exit_group(0"]),
    ] {
        let found = lines[at..]
            .iter()
            .position(|line| words.iter().all(|word| line.contains(word)));
        let found = found.unwrap_or_else(|| panic!("{what}: not after line {at} of {lines:#?}"));
        at += found + 1;
    }
    let body_written_after_sync = lines
        .iter()
        .rposition(|line| line.contains("write(") && line.contains(&temporary))
        > lines.iter().position(|line| line.contains("sync("));
    assert!(!body_written_after_sync, "{lines:#?}");
}

#[test]
fn a_kill_at_any_system_call_leaves_all_or_nothing() {
    if left_out() {
        return;
    }
    let count = tempfile::tempdir().unwrap();
    let mut accepted_before_the_kill = 0;
    let mut nothing = 0;
    for call in CALLS {
        let log = count.path().join("count");
        let counted = spool(&count.path().join(call));
        traced(&counted, &log, &["-e", &format!("trace={call}")]);
        let times = lines_of(&log).len();
        for number in 1..=times {
            let directory = tempfile::tempdir().unwrap();
            let spool = spool(directory.path());
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let log = directory.path().join("strace");
            let output = traced(
                &spool,
                &log,
                &["-e", &format!("trace={call}"), "-e", &inject],
            );
            assert!(
                !output.status.success(),
                "{inject} did not kill: {output:?}"
            );
            let context = format!("killed at {call} number {number}");
            if check_new(&spool, &context) {
                accepted_before_the_kill += 1;
            } else {
                nothing += 1;
            }
            // Whoever was not told comes again, and there is one in the end.
            let again = directory.path().join("again");
            let output = traced(&spool, &again, &["-e", "trace=none"]);
            assert!(output.status.success(), "{context}: {output:?}");
            assert!(check_new(&spool, &context), "{context}");
        }
    }
    // Both sides of the rename were seen.
    assert!(accepted_before_the_kill > 0 && nothing > 5);
}

#[test]
fn a_refused_system_call_is_told_and_leaves_nothing() {
    if left_out() {
        return;
    }
    for (call, error, number) in [
        ("write", "ENOSPC", 1),
        ("fsync", "EIO", 1),
        ("renameat2", "EACCES", 1),
        // Of the directory: the name may not be durable.
        ("fsync", "EIO", 2),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path());
        let log = directory.path().join("strace");
        let inject = format!("inject={call}:error={error}:when={number}");
        let options = ["-e", &format!("trace={call}"), "-e", &inject];
        let output = traced(&spool, &log, &options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "{call}: {said}");
        assert!(said.contains("notification not accepted"), "{call}: {said}");
        assert!(!check_new(&spool, call), "{call}");
    }
}
