//! A real notifyd whose disk fails, once or from some moment on: the file that a sync
//! failed for is never trusted again, nothing is answered that is not durable, and
//! what was answered is there afterwards, once. The failures are made by strace.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use spool::submission::{self, Asked};
use support::{Site, notification, wait_for, wait_until};

/// What fails, and whether it ever works again. The first 17 writes make a segment: its
/// header, and zeros ahead.
const ROWS: [(&str, &str, bool); 6] = [
    ("fdatasync", "error=EIO:when=2", true),
    ("fdatasync", "error=EIO:when=5", true),
    ("fdatasync", "error=EIO:when=4+", false),
    ("fsync", "error=EIO:when=5", true),
    ("pwrite64", "error=EIO:when=21", true),
    ("pwrite64", "error=EIO:when=22+", false),
];

#[test]
fn a_file_whose_sync_failed_is_never_trusted_and_nothing_is_lost() {
    for (call, how, heals) in ROWS {
        let what = format!("{call} {how}");
        let site = Site::new("central", "");
        let trace = site.path("trace");
        let mut daemon = site.start_traced(&trace, &format!("{call}:{how}"));
        daemon.wait_for_line("is ready");
        let spool = site.path("spool");
        let submit = |body: &str, patience| submission::submit(&spool, body.as_bytes(), patience);
        let mut bodies = Vec::new();
        let mut unanswered = 0;
        for number in 0..20 {
            let one = notification("central", &[("HOSTNAME", &format!("db{number}"))]);
            let body = one.print().unwrap();
            let patience = Duration::from_millis(if unanswered > 0 { 50 } else { 2000 });
            let answer = submit(&body, patience);
            unanswered += usize::from(!matches!(answer, Asked::Submitted(_)));
            bodies.push((one.id, body, matches!(answer, Asked::Submitted(_))));
        }
        match heals {
            true => assert_eq!(unanswered, 0, "{what}"),
            false => assert!(unanswered > 10, "{what}: {unanswered} without an answer"),
        }
        if !heals {
            wait_until("the state says so", || {
                site.state()["disk_error"].is_string()
            });
        }
        // Some calls come with the next state file only.
        wait_until("it has failed", || {
            std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("(INJECTED)"))
        });
        site.signal_traced(Signal::KILL);
        daemon.wait();
        check_trust(&trace, call, &what);
        let daemon = site.start();
        for (id, body, was_answered) in &bodies {
            if *was_answered {
                let history = site.history(*id);
                assert!(!history.is_empty(), "{what}: {id} is lost");
            }
            let again = submit(body, Duration::from_secs(20));
            assert!(matches!(again, Asked::Submitted(_)), "{what}: {again:?}");
            let history = wait_for("its end", || {
                Some(site.history(*id)).filter(|history| history.len() > 1)
            });
            assert_eq!(history, ["accepted", "ended nobody to notify"], "{what}");
        }
        let totals = || site.state()["totals"]["submitted"].as_u64();
        wait_until("each is counted once", || totals() == Some(20));
        daemon.terminate();
    }
}

/// Large commits are synced beside the owner's work.
#[test]
fn a_sync_that_fails_while_more_is_taken_in_loses_nothing() {
    const DROPPED: usize = 2000;
    // Counted for each thread by itself.
    for when in [2, 3, 4] {
        let what = format!("sync {when}");
        let site = Site::new("central", "");
        for part in ["", "tmp", "new"] {
            std::fs::create_dir_all(site.path("spool").join(part)).unwrap();
        }
        let ids: Vec<_> = (0..DROPPED)
            .map(|number| {
                let one = notification("central", &[("HOSTNAME", &format!("db{number}"))]);
                let file = site.path("spool/new").join(one.id.to_string());
                std::fs::write(file, one.print().unwrap()).unwrap();
                one.id
            })
            .collect();
        let trace = site.path("trace");
        let how = format!("fdatasync:error=EIO:when={when}");
        let mut daemon = site.start_traced(&trace, &how);
        let new = site.path("spool/new");
        wait_until("all are taken in", || {
            std::fs::read_dir(&new).is_ok_and(|mut files| files.next().is_none())
        });
        wait_until("it has failed", || {
            std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("(INJECTED)"))
        });
        site.signal_traced(Signal::KILL);
        daemon.wait();
        check_trust(&trace, "fsync", &what);
        let daemon = site.start();
        for id in ids.iter().step_by(50) {
            let history = wait_for("its end", || {
                Some(site.history(*id)).filter(|history| history.len() > 1)
            });
            assert_eq!(history, ["accepted", "ended nobody to notify"], "{what}");
        }
        let totals = || site.state()["totals"]["submitted"].as_u64();
        wait_until("each is counted once", || totals() == Some(DROPPED as u64));
        daemon.terminate();
    }
}

/// Nothing is written to a segment after a call for it has failed.
fn check_trust(trace: &Path, call: &str, what: &str) {
    let trace = std::fs::read_to_string(trace).unwrap();
    let mut failed = BTreeSet::new();
    for line in trace.lines() {
        let path = line
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        let Some((path, _)) = path.filter(|(path, _)| path.contains("/journal/seg.")) else {
            continue;
        };
        assert!(!failed.contains(path), "{what}: {line}");
        if line.contains("(INJECTED)") {
            failed.insert(path.to_owned());
        }
    }
    assert!(trace.contains("(INJECTED)"), "{what} never happened");
    // The first syncs of a directory are those of the spool's own.
    assert!(!failed.is_empty() || call == "fsync", "{what}: {trace}");
}
