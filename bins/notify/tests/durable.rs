//! What exit 0 stands for, as seen at the system calls. Needs strace; where there
//! is none, SITEWIRE_SKIP_STRACE=1 leaves these tests out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use objects::Envelope;

const ID: &str = "0199f0a0-0000-7000-8000-000000000001";
const VARIABLES: [&str; 2] = ["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"];
/// Calls that a test of the order of things looks at.
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

/// Every system call that a run makes, from its start to its end: name and
/// number among those of its name.
fn every_call() -> Vec<(String, usize)> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("all");
    let output = traced(&spool(directory.path()), &log, &[]);
    assert!(output.status.success(), "{output:?}");
    let mut numbers = BTreeMap::<String, usize>::new();
    let mut calls = Vec::new();
    for line in lines_of(&log) {
        // PID NAME(ARGUMENTS...
        let name = line
            .split_once(' ')
            .and_then(|(_, rest)| rest.trim_start().split_once('('));
        let Some((name, _)) = name.filter(|(name, _)| !name.contains(' ')) else {
            continue;
        };
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        // Before the first one there is no notify.
        if name == "execve" {
            continue;
        }
        calls.push((name.to_owned(), *number));
    }
    for name in ["openat", "write", "fsync", "renameat2", "exit_group"] {
        assert!(numbers.contains_key(name), "{numbers:?}");
    }
    calls
}

/// A run with one call tampered with, in a spool of its own.
fn tampered(directory: &Path, call: &str, how: &str, number: usize) -> (PathBuf, Output) {
    let spool = spool(directory);
    let inject = format!("inject={call}:{how}:when={number}");
    let log = directory.join("strace");
    let options = ["-e", &format!("trace={call}"), "-e", &inject];
    let output = traced(&spool, &log, &options);
    (spool, output)
}

/// Whoever was not told that it is stored comes again; there is one in the end.
fn come_again(spool: &Path, context: &str) {
    let again = spool.join("../again");
    let output = traced(spool, &again, &["-e", "trace=none"]);
    assert!(output.status.success(), "{context}: {output:?}");
    assert!(check_new(spool, context), "{context}");
}

/// Hundreds of runs wait for their syncs. What is asked here does not depend on
/// what a sync does, so it may do nothing.
fn directory_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

#[test]
fn a_kill_at_any_system_call_leaves_all_or_nothing() {
    if left_out() {
        return;
    }
    let mut accepted_before_the_kill = 0;
    let mut nothing = 0;
    for (call, number) in every_call() {
        let context = format!("killed at {call} number {number}");
        let directory = directory_in_memory();
        let (spool, output) = tampered(directory.path(), &call, "signal=KILL", number);
        assert!(!output.status.success(), "{context}: {output:?}");
        if check_new(&spool, &context) {
            accepted_before_the_kill += 1;
        } else {
            nothing += 1;
        }
        come_again(&spool, &context);
    }
    // Both sides of the rename were seen.
    assert!(accepted_before_the_kill > 5 && nothing > 50);
}

/// What a failing disk, a full one, and too many open files look like.
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EMFILE"];

#[test]
fn an_error_of_any_system_call_leaves_what_the_exit_code_says() {
    if left_out() {
        return;
    }
    let mut ends = BTreeMap::<Option<i32>, usize>::new();
    for (call, number) in every_call() {
        // It has no way to fail.
        if call == "exit_group" {
            continue;
        }
        for error in ERRORS {
            let context = format!("{error} of {call} number {number}");
            let directory = directory_in_memory();
            let how = format!("error={error}");
            let (spool, output) = tampered(directory.path(), &call, &how, number);
            let stored = check_new(&spool, &context);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), stored, "{context}: {said}");
            let left = fs::read_dir(spool.join("tmp")).unwrap().count();
            assert_eq!(left, 0, "{context}: {said}");
            let told = said.contains("notify: ");
            let ours = matches!(output.status.code(), Some(1 | 75));
            assert!(told || !ours, "{context}: {said}");
            *ends.entry(output.status.code()).or_default() += 1;
            if !stored {
                come_again(&spool, &context);
            }
        }
    }
    // Stored all the same, and told to come again.
    assert!(ends[&Some(0)] > 20 && ends[&Some(75)] > 15, "{ends:?}");
    // No other code of ours; the loader's is 127, and it may be stopped by a signal.
    let known = |code: &Option<i32>| matches!(code, None | Some(0 | 1 | 75 | 127));
    assert!(ends.keys().all(known), "{ends:?}");
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
