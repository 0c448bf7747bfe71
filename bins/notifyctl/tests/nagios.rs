//! notifyctl as a plugin: what the state file says, by the clock of the reader.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// So many seconds from now, as the state file says it.
fn moment(secs: i64) -> String {
    let now = SystemTime::now();
    let at = match secs {
        0.. => now + Duration::from_secs(secs as u64),
        _ => now - Duration::from_secs(secs.unsigned_abs()),
    };
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let timestamp = jiff::Timestamp::from_second(since.as_secs() as i64).unwrap();
    timestamp.to_string()
}

/// A notifyd with which all is well.
fn state() -> Value {
    json!({
        "pid": 1, "site": "central", "version": "0.1.0",
        "updated": moment(-5),
        "disk_error": null, "warnings": [], "held": 0,
        "certificate_expires": moment(90 * 86_400),
        "new": {"count": 3, "oldest_s": 20},
        "deferred": {"count": 0, "oldest_s": null},
        "corrupted": {"count": 0, "oldest_s": null},
        "totals": {"lost": 0},
        "peers": [
            {"site": "remote1", "state": "established", "message": "", "since": moment(-9000),
             "last_incoming": moment(-7)},
        ],
    })
}

fn check(directory: &Path, state: &Value, args: &[&str]) -> Output {
    let file = directory.join("notifyd.state.json");
    std::fs::write(file, state.to_string()).unwrap();
    run(directory, args)
}

fn run(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_notifyctl"))
        .arg("--spool")
        .arg(directory)
        .args(["status", "--nagios"])
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn every_condition_has_its_state_and_its_words() {
    type Change = fn(&mut Value);
    let directory = tempfile::tempdir().unwrap();
    let cases: [(Change, &[&str], i32, &str); 17] = [
        (
            |_| {},
            &[],
            0,
            "OK - 1 of 1 peers up, 3 waiting, 0 deferred",
        ),
        (
            |s| s["updated"] = moment(-70).into(),
            &[],
            1,
            "nothing was written for 70 s",
        ),
        (
            |s| s["updated"] = moment(-7200).into(),
            &[],
            2,
            "nothing was written for 2 h 0 min",
        ),
        (
            |s| s["updated"] = Value::Null,
            &[],
            2,
            "nothing was written for",
        ),
        (|_| {}, &["-w", "waiting=3"], 1, "WARNING - 3 new"),
        (
            |_| {},
            &["-w", "waiting=3", "-C", "waiting=3"],
            2,
            "CRITICAL - 3 new",
        ),
        (
            |s| s["deferred"] = json!({"count": 1, "oldest_s": 4000}),
            &[],
            2,
            "oldest deferred 66 min",
        ),
        (
            |s| s["deferred"] = json!({"count": 1, "oldest_s": 4000}),
            &["-w", "oldest=0", "-C", "oldest=2h"],
            0,
            "1 deferred",
        ),
        (
            |s| s["disk_error"] = "no | space".into(),
            &[],
            2,
            "disk error: no / space",
        ),
        (
            |s| s["corrupted"]["count"] = 2.into(),
            &[],
            1,
            "2 corrupted",
        ),
        (|s| s["totals"]["lost"] = 1.into(), &[], 2, "1 lost"),
        (
            |s| s["warnings"] = json!(["plain text"]),
            &[],
            1,
            "plain text",
        ),
        (
            |s| {
                s["peers"][0]["state"] = "cooldown".into();
                s["peers"][0]["message"] = "refused".into();
                s["peers"][0]["last_incoming"] = moment(-300).into();
            },
            &[],
            1,
            "remote1 silent for 5 min (refused)",
        ),
        (
            |s| s["peers"][0]["last_incoming"] = Value::Null,
            &[],
            2,
            "remote1 silent for 2 h 30 min",
        ),
        (
            |s| s["certificate_expires"] = moment(20 * 86_400).into(),
            &[],
            1,
            "certificate expires in 19 d 23 h",
        ),
        (
            |s| s["certificate_expires"] = moment(-7200).into(),
            &[],
            2,
            "certificate expired 2 h 0 min ago",
        ),
        (
            |s| {
                s["corrupted"]["count"] = 1.into();
                s["disk_error"] = "x".into();
            },
            &[],
            2,
            "CRITICAL - disk error: x, 1 corrupted",
        ),
    ];
    for (change, args, code, words) in cases {
        let mut state = state();
        change(&mut state);
        let output = check(directory.path(), &state, args);
        let text = String::from_utf8(output.stdout).unwrap();
        // A second may pass between the two clocks' looks.
        let text_before = text
            .replace("71 s", "70 s")
            .replace("20 d 0 h", "19 d 23 h");
        assert!(text_before.contains(words), "{words}: {text}");
        assert_eq!(output.status.code(), Some(code), "{words}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("NOTIFYD "), "{text}");
        let (_, perfdata) = text.split_once(" | ").expect("performance data");
        assert_eq!(text.matches('|').count(), 1, "{text}");
        let perfdata = objects::Perfdata::parse(perfdata.trim_end().as_bytes()).unwrap();
        let labels: Vec<String> = perfdata
            .metrics
            .iter()
            .map(|metric| metric.label.to_string())
            .collect();
        for label in [
            "age",
            "new",
            "oldest_deferred",
            "silent remote1",
            "peers_up",
            "certificate",
        ] {
            assert!(labels.iter().any(|l| l == label), "{label}: {text}");
        }
    }
}

#[test]
fn without_a_state_file_nothing_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("NOTIFYD UNKNOWN - cannot read the state"),
        "{text}"
    );
}

#[test]
fn limits_that_are_none_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for limit in ["waiting", "waiting=x", "oldest=7", "moon=1", "=1"] {
        let output = check(directory.path(), &state(), &["-w", limit]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{limit}");
        assert!(errors.contains("must be waiting=NUMBER"), "{errors}");
    }
}
