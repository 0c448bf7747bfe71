//! notify that hands over to a running notifyd, killed at every system call of
//! that, and with an error of each: what was told to be stored is, and whoever
//! comes again with the same id is stored once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use harness::program::built;
use harness::{Outcome, Program, peer};

use crate::notify_sites::Sites;

const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EMFILE"];

fn id(number: usize) -> String {
    format!("0199f0a0-0000-7000-8000-{number:012}")
}

fn traced(sites: &Sites, id: &str, log: &Path, options: &[&str]) -> Outcome {
    Program::foreign("strace", "strace")
        .args(["-f", "-qq", "-o"])
        .arg(log)
        .args(options)
        .arg(built("notify"))
        .args(["--site", "remote1", "--id", id, "--spool"])
        .arg(sites.remote.path("spool"))
        .args(["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"])
        .run()
}

/// The calls from the one that opens the socket on: name and number among those of its
/// name.
fn calls(log: &Path) -> Vec<(String, usize)> {
    let text = fs::read_to_string(log).expect("what strace wrote");
    let mut numbers = BTreeMap::<String, usize>::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        if name == "socket" || !calls.is_empty() {
            calls.push((name.to_owned(), *number));
        }
    }
    assert!(numbers.contains_key("connect") && calls.len() > 6, "{text}");
    calls
}

#[test]
fn who_hands_over_to_a_daemon_is_stored_once_wherever_it_is_killed_or_fails() {
    if !peer::available("strace", "strace") {
        return;
    }
    let sites = Sites::new();
    let _central = sites.start_central();
    let _remote = sites.start_remote();
    let log = sites.remote.path("strace");
    let mut ids = vec![id(0)];
    traced(&sites, &ids[0], &log, &[]).success();
    let calls = calls(&log);
    for (call, number) in &calls {
        let errors = ERRORS.map(|error| format!("error={error}"));
        for how in errors.iter().map(String::as_str).chain(["signal=KILL"]) {
            if call == "exit_group" && how != "signal=KILL" {
                continue;
            }
            let id = id(ids.len());
            let context = format!("{how} of {call} number {number}: {id}");
            let inject = format!("inject={call}:{how}:when={number}");
            let trace = format!("trace={call}");
            let first = traced(&sites, &id, &log, &["-e", &trace, "-e", &inject]);
            let said = first.errors();
            match first.code() {
                Some(0) => assert_ne!(how, "signal=KILL", "{context}: {said}"),
                // Nobody was told that it is stored; it may be.
                code => {
                    assert!(
                        matches!(code, None | Some(75)),
                        "{context}: {code:?} {said}"
                    );
                    let again = traced(&sites, &id, &log, &["-e", "trace=none"]);
                    assert_eq!(again.success().text(), format!("{id}\n"), "{context}");
                }
            }
            ids.push(id);
        }
    }
    sites.wait_until_empty(&sites.remote);
    sites.wait_until_empty(&sites.central);
    let mut delivered = sites.delivered();
    delivered.sort();
    let want: Vec<_> = ids.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(delivered, want, "each once");
    assert_eq!(
        fs::read_dir(sites.remote.path("spool/tmp"))
            .expect("a directory")
            .count(),
        0
    );
}
