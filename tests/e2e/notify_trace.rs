//! "Was it sent?" Every end that a notification can have is brought about between
//! two sites, and `notifyctl trace` says at both of them, for people and as JSON,
//! every hop, every attempt, when it was, and what was answered.

use harness::{Program, Site, wait_until};
use serde_json::Value;

use crate::notify_centre::trace;
use crate::notify_sites::{Sites, make_executable, notifyctl};

/// Each host has a lane of its own, which is called as the host is: its name, what
/// its plugin does, and more keys.
const LANES: [(&str, &str, &str); 6] = [
    ("good", "echo sent to modem 3", ""),
    (
        "shaky",
        "[ $NOTIFY_ATTEMPT -gt 1 ] || { echo modem is busy; exit 1; }; echo sent at last",
        "",
    ),
    ("picky", "echo no such number; exit 2", ""),
    ("dead", "echo no modem; exit 1", "expire = '600ms'"),
    ("patient", "echo told both", "supersede_after = '0s'"),
    ("paused", "echo never", ""),
];
/// Delivery by these is paused at first.
const PAUSED: [&str; 2] = ["patient", "paused"];

/// What became of one notification.
struct Story {
    host: &'static str,
    kind: &'static str,
    /// What central says after it was accepted; `...` stands for more of the same.
    central: &'static [&'static str],
    /// What the remote site says of it.
    remote: &'static str,
    /// The end at central, as JSON has it: lane, attempt, end and answer.
    end: (&'static str, Option<u32>, &'static str, &'static str),
}

const STORIES: [Story; 8] = [
    Story {
        host: "good",
        kind: "PROBLEM",
        central: &[
            "assigned to lane good by \"of good\" to anna",
            "lane good: attempt 1 started",
            "lane good: attempt 1 ended, success: exit code 0: sent to modem 3",
            "lane good: delivered",
            "ended: delivered",
        ],
        remote: "lane good by of good to anna, attempt 1: delivered: exit code 0: sent to modem 3",
        end: ("good", Some(1), "delivered", "exit code 0: sent to modem 3"),
    },
    Story {
        host: "shaky",
        kind: "PROBLEM",
        central: &[
            "assigned to lane shaky by \"of shaky\" to anna",
            "lane shaky: attempt 1 started",
            "lane shaky: attempt 1 ended, temporary failure: exit code 1: modem is busy",
            "lane shaky: attempt 2 started",
            "lane shaky: attempt 2 ended, success: exit code 0: sent at last",
            "lane shaky: delivered",
            "ended: delivered",
        ],
        remote: "lane shaky by of shaky to anna, attempt 2: delivered: exit code 0: sent at last",
        end: ("shaky", Some(2), "delivered", "exit code 0: sent at last"),
    },
    Story {
        host: "picky",
        kind: "PROBLEM",
        central: &[
            "assigned to lane picky by \"of picky\" to anna",
            "lane picky: attempt 1 started",
            "lane picky: attempt 1 ended, permanent failure: exit code 2: no such number",
            "lane picky: refused: exit code 2: no such number",
            "ended: refused: exit code 2: no such number",
        ],
        remote: "lane picky by of picky to anna, attempt 1: refused: exit code 2: no such number",
        end: ("picky", Some(1), "refused", "exit code 2: no such number"),
    },
    Story {
        host: "dead",
        kind: "PROBLEM",
        central: &[
            "assigned to lane dead by \"of dead\" to anna",
            "lane dead: attempt 1 started",
            "lane dead: attempt 1 ended, temporary failure: exit code 1: no modem",
            "lane dead: attempt 2 started",
            "...",
            "lane dead: expired: not delivered in time; last: exit code 1: no modem",
            "ended: expired: not delivered in time; last: exit code 1: no modem",
        ],
        remote: "lane dead by of dead to anna, attempt *: expired: not delivered in time; last: exit code 1: no modem",
        end: (
            "dead",
            None,
            "expired",
            "not delivered in time; last: exit code 1: no modem",
        ),
    },
    Story {
        host: "patient",
        kind: "PROBLEM",
        central: SUPERSEDED,
        remote: SUPERSEDED_THERE,
        end: SUPERSEDED_END,
    },
    Story {
        host: "patient",
        kind: "RECOVERY",
        central: SUPERSEDED,
        remote: SUPERSEDED_THERE,
        end: SUPERSEDED_END,
    },
    Story {
        host: "paused",
        kind: "PROBLEM",
        central: &[
            "assigned to lane paused by \"of paused\" to anna",
            "ended: dropped: by USER: we know",
        ],
        remote: "dropped: by USER: we know",
        end: ("", None, "dropped", "by USER: we know"),
    },
    Story {
        host: "nobody",
        kind: "PROBLEM",
        central: &["ended: nobody to notify: no rule fits"],
        remote: "nobody to notify: no rule fits",
        end: ("", None, "nobody to notify", "no rule fits"),
    },
];
const SUPERSEDED: &[&str] = &[
    "assigned to lane patient by \"of patient\" to anna",
    "lane patient: attempt 1 started",
    "lane patient: attempt 1 ended, success: exit code 0: told both",
    "lane patient: superseded: problem and recovery in one text",
    "ended: superseded: problem and recovery in one text",
];
const SUPERSEDED_THERE: &str =
    "lane patient by of patient to anna, attempt 1: superseded: exit code 0: told both";
const SUPERSEDED_END: (&str, Option<u32>, &str, &str) =
    ("patient", Some(1), "superseded", "exit code 0: told both");

/// Two sites; central has the lanes, and results travel back.
fn sites() -> Sites {
    let sites = Sites::new();
    let mut rules = "match = 'all'\n[[contact]]\nname = 'anna'\npager = '17'\n".to_owned();
    let mut lanes = String::new();
    for (name, does, more) in LANES {
        let script = sites.central.write(name, format!("#!/bin/sh\n{does}\n"));
        make_executable(&script);
        lanes += &format!(
            "[[lane]]\nname = '{name}'\nscript = '{}'\nretry = '150ms'\nretry_max = '150ms'\n{more}\n",
            script.display()
        );
        rules += &format!(
            "[[rule]]\nname = 'of {name}'\nhost = '{name}'\ncontacts = 'anna'\nlanes = '{name}'\n"
        );
    }
    sites.central.write("etc/rules.toml", rules);
    let text = sites.site_text("central", &sites.central)
        + &format!(
            "[[listen]]\naddress = '127.0.0.1:{}'\n[[peer]]\nsite = 'remote1'\nresults = true\n\
             [rules]\nfile = 'rules.toml'\n{lanes}",
            sites.port
        );
    sites.central.write("etc/notifyd.toml", text);
    let remote = sites.remote.read("etc/notifyd.toml");
    let remote = String::from_utf8(remote).expect("text") + "results = true\n";
    sites.remote.write("etc/notifyd.toml", remote);
    sites
}

/// What `notifyctl trace` prints behind its first line: time, and the text without
/// what is different in every run.
fn table(site: &Site, id: &str) -> Vec<(String, String)> {
    let outcome = Program::new("notifyctl")
        .env("TZ", "UTC")
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .args(["trace", id])
        .run()
        .success();
    let text = outcome.text();
    let lines = text.lines().skip(1).map(|line| {
        let (time, text) = line.split_once("  ").expect("time and text");
        (time.to_owned(), plain(text))
    });
    lines.collect()
}

/// Without the number of the job, and of the user who did something.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    if let Some((before, (_, after))) = text
        .split_once(" (job ")
        .and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
    {
        plain = format!("{before}{after}");
    }
    let user = rustix::process::geteuid().as_raw();
    plain.replace(&format!("user {user}"), "USER")
}

/// The lines are those that are wanted; `...` are any.
#[track_caller]
fn check(found: &[String], wanted: &[&str], of: &str) {
    let (head, tail) = match wanted.iter().position(|line| *line == "...") {
        None => (wanted, &[][..]),
        Some(at) => (&wanted[..at], &wanted[at + 1..]),
    };
    let fits = found.len() >= head.len() + tail.len()
        && found.iter().zip(head).all(|(found, line)| found == line)
        && found
            .iter()
            .rev()
            .zip(tail.iter().rev())
            .all(|(found, line)| found == line)
        && (!tail.is_empty() || found.len() == head.len());
    assert!(fits, "{of}: {found:#?} instead of {wanted:#?}");
}

/// For people and for programs the same is said, in the order in which it happened.
#[track_caller]
fn check_forms(site: &Site, id: &str) -> (Vec<String>, Vec<Value>) {
    let (lines, events) = (table(site, id), trace(site, id));
    assert_eq!(lines.len(), events.len(), "{lines:#?} {events:#?}");
    for ((time, text), event) in lines.iter().zip(&events) {
        assert_eq!(event["id"], id);
        assert_eq!(plain(event["text"].as_str().expect("a text")), *text);
        let utc = event["time"].as_str().expect("a time").replace('T', " ");
        let second = &time[.."2026-11-21 15:03:47".len()];
        assert!(utc.starts_with(second), "{time} is {utc}");
    }
    (lines.into_iter().map(|(_, text)| text).collect(), events)
}

/// When it was, in a form that can be compared.
fn times(events: &[Value]) -> Vec<&str> {
    let time = |event| Value::as_str(event).expect("a time").trim_end_matches('Z');
    events.iter().map(|event| time(&event["time"])).collect()
}

#[track_caller]
fn check_story(sites: &Sites, story: &Story, id: &str) {
    let host = story.host;
    let (lines, events) = check_forms(&sites.central, id);
    assert_eq!(lines[0], "accepted from remote1 (path remote1 -> central)");
    check(&lines[1..], story.central, host);
    assert_eq!(events[0]["from"], "remote1");
    assert_eq!(events[0]["path"], serde_json::json!(["remote1", "central"]));
    assert!(times(&events).is_sorted(), "{host}: {events:#?}");
    // Each attempt has a beginning, an end and an answer.
    let of = |name: &str| -> Vec<&Value> {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect()
    };
    let (begun, ended) = (of("attempt"), of("result"));
    assert_eq!(begun.len(), ended.len(), "{host}");
    for (number, (begun, ended)) in (1..).zip(begun.iter().zip(&ended)) {
        assert_eq!(
            (&begun["attempt"], &ended["attempt"]),
            (&Value::from(number), &Value::from(number))
        );
        let answer = ended["answer"].as_str().expect("an answer");
        let text = ended["text"].as_str().expect("a text");
        assert!(
            text.ends_with(answer) && answer.starts_with("exit code "),
            "{text}"
        );
    }
    let (lane, attempt, end, answer) = story.end;
    let last = events.last().expect("an end");
    assert_eq!(
        (&last["event"], &last["end"]),
        (&"ended".into(), &end.into()),
        "{host}"
    );

    let (lines, there) = check_forms(&sites.remote, id);
    let (told, own) = lines.split_last().expect("lines");
    check(
        own,
        &[
            "accepted, submitted here (path remote1)",
            "assigned to peer central",
            "stored by central",
            "ended: stored by peer",
        ],
        host,
    );
    let result = there.last().expect("a result");
    let attempts = result["attempt"].as_u64();
    let wanted = story
        .remote
        .replace('*', &attempts.unwrap_or(0).to_string());
    assert_eq!(*told, format!("at central: {wanted}"), "{host}");
    assert_eq!(result["event"], "elsewhere");
    assert_eq!(result["site"], "central");
    assert_eq!(result["lane"], lane);
    assert_eq!(result["end"], end);
    assert_eq!(plain(result["answer"].as_str().expect("a text")), answer);
    match attempt {
        Some(number) => assert_eq!(attempts, Some(number.into())),
        None => assert_eq!(attempts.unwrap_or(0), begun.len() as u64),
    }
    // It has the time of the end at central.
    let (at_central, at_remote) = (times(&events), times(&there));
    let (first, last) = (at_central[0], at_central[at_central.len() - 1]);
    let end = at_remote[at_remote.len() - 1];
    assert!(
        (first..=last).contains(&end),
        "{host}: {result:#?} {events:#?}"
    );
}

#[test]
fn both_sites_can_say_what_became_of_each_notification() {
    let sites = sites();
    let _central = sites.start_central();
    let _remote = sites.start_remote();
    let act = |args: &[&str]| {
        notifyctl(&sites.central, args).unwrap_or_else(|| panic!("notifyctl {args:?}"));
    };
    for lane in PAUSED {
        act(&["pause", "delivery", "--lane", lane]);
    }
    let submit = |story: &Story| {
        let entries = [
            format!("HOSTNAME={}", story.host),
            format!("NOTIFICATIONTYPE={}", story.kind),
        ];
        sites.notify(&entries).expect("accepted")
    };
    let ids: Vec<String> = STORIES.iter().map(submit).collect();
    let of = |host: &str| -> Vec<&String> {
        let all = STORIES.iter().zip(&ids);
        all.filter(|(story, _)| story.host == host)
            .map(|(_, id)| id)
            .collect()
    };
    for id in PAUSED.into_iter().flat_map(of) {
        wait_until("it waits at central", || {
            !trace(&sites.central, id).is_empty()
        });
    }
    for id in of("paused") {
        act(&["drop", id, "--why", "we know"]);
    }
    act(&["resume", "delivery", "--lane", "patient"]);
    sites.wait_until_empty(&sites.central);
    for id in &ids {
        wait_until("the result is at the remote site", || {
            let there = trace(&sites.remote, id);
            there.iter().any(|event| event["event"] == "elsewhere")
        });
    }
    for (story, id) in STORIES.iter().zip(&ids) {
        check_story(&sites, story, id);
    }
}
