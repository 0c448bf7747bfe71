//! notifyctl over a spool that no daemon serves.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use spool::{End, Options, Queue, SpoolDirectory, Target, Verdict};

struct Place {
    directory: tempfile::TempDir,
    waiting: NotificationId,
    delivered: NotificationId,
    forwarded: NotificationId,
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn notification(host: &str, service: &str) -> Notification {
    let created = UnixTime::from(std::time::SystemTime::now());
    let entries = [("HOSTNAME", host), ("SERVICEDESC", service)];
    let context = entries.map(|(name, value)| (name.to_owned(), value.into()));
    Notification {
        id: NotificationId::new(created),
        kind: Kind::Raw,
        created,
        expires: None,
        site: site("remote1"),
        context: Context::from(context),
    }
}

/// A spool as notifyd leaves it behind.
fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let spool = SpoolDirectory::open(&directory.path().join("spool")).unwrap();
    let (mut queue, _) = Queue::recover(spool.journal().unwrap(), Options::default()).unwrap();
    let lane = Target::Lane("ops".into());
    let now = UnixTime::from(std::time::SystemTime::now());
    let mut accept = |host, service, from: Option<&SiteId>, target: &Target| {
        let notification = notification(host, service);
        let body = notification.print().unwrap();
        let hop = objects::Envelope::parse(&body).unwrap();
        let body = hop.append_hop(&site("central")).unwrap();
        queue
            .accept(notification.id, from, None, body.as_bytes(), now)
            .unwrap();
        queue.assign(notification.id, std::slice::from_ref(target), now);
        notification.id
    };
    let waiting = accept("db1", "Disk /", None, &lane);
    let delivered = accept("db2", "", Some(&site("remote1")), &lane);
    let peer = Target::Peer(site("central"));
    let forwarded = accept("db3", "", None, &peer);
    for (id, verdict, text) in [
        (
            waiting,
            Verdict::Temporary,
            &b"exit code 1: no modem\x1b[2J"[..],
        ),
        (delivered, Verdict::Success, b"exit code 0"),
    ] {
        queue.attempt(id, &lane, 1, now);
        queue.result(id, &lane, 1, verdict, text, now);
    }
    queue.settle(delivered, &lane, End::Delivered, "", now);
    queue.settle(forwarded, &peer, End::StoredByPeer, "", now);
    queue.commit().unwrap();
    Place {
        directory,
        waiting,
        delivered,
        forwarded,
    }
}

fn run(place: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_notifyctl"))
        .arg("--spool")
        .arg(place.join("spool"))
        .args(args)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn queue_lists_what_has_not_ended_and_what_was_not_taken_in() {
    let place = place();
    let dropped = notification("x", "y");
    let new = place.directory.path().join("spool/new");
    fs::write(new.join(dropped.id.to_string()), dropped.print().unwrap()).unwrap();
    let output = run(place.directory.path(), &["queue"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = text(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].contains(&dropped.id.to_string()) && lines[1].contains("not taken in yet"));
    let line = lines[2];
    for part in [
        place.waiting.to_string().as_str(),
        "db1/Disk /",
        "lane ops: 1 attempt",
        "no modem\\u{1b}[2J",
    ] {
        assert!(line.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&place.delivered.to_string()));
}

#[test]
fn queue_in_json_is_one_object_a_line() {
    let place = place();
    let output = run(place.directory.path(), &["queue", "--json"]);
    let text = text(&output);
    let all: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["id"], place.waiting.to_string());
    assert_eq!(all[0]["object"], "db1/Disk /");
    assert_eq!(all[0]["targets"][0]["attempts"], 1);
    assert_eq!(all[0]["targets"][0]["target"], "lane ops");
    assert!(all[0]["age_s"].is_u64(), "{text}");
}

#[test]
fn an_empty_queue_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    drop(SpoolDirectory::open(&directory.path().join("spool")).unwrap());
    let output = run(directory.path(), &["queue"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(text(&output), "");
}

#[test]
fn trace_tells_the_story_in_order() {
    let place = place();
    for (id, story) in [
        (
            place.delivered,
            vec![
                "accepted from remote1 (path central)",
                "assigned to lane ops",
                "lane ops: attempt 1 started",
                "lane ops: attempt 1 ended, success: exit code 0",
                "lane ops: delivered",
                "ended: delivered",
            ],
        ),
        (
            place.forwarded,
            vec![
                "accepted, submitted here (path central)",
                "assigned to peer central",
                "stored by central",
                "ended: stored by peer",
            ],
        ),
    ] {
        let output = run(place.directory.path(), &["trace", &id.to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let text = text(&output);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(&format!("{id} db")), "{text}");
        let told: Vec<&str> = lines[1..]
            .iter()
            .map(|line| line.split_once("  ").expect("a time").1)
            .collect();
        assert_eq!(told, story);
    }
}

#[test]
fn trace_in_json_names_events_and_targets() {
    let place = place();
    let id = place.waiting.to_string();
    let output = run(place.directory.path(), &["--json", "trace", &id]);
    let text = text(&output);
    let all: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = all.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["accepted", "assigned", "attempt", "result"]);
    assert_eq!(all[3]["verdict"], "temporary failure");
    assert!(all[0]["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn an_unknown_id_is_said_to_be_unknown() {
    let place = place();
    let output = run(
        place.directory.path(),
        &["trace", "0199d3a8-0000-7000-8000-000000000009"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("is not known here"),
        "{}",
        errors(&output)
    );
    let output = run(place.directory.path(), &["trace", "db1"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_dropped_file_can_be_traced() {
    let place = place();
    let dropped = notification("x", "y");
    let new = place.directory.path().join("spool/new");
    let id = dropped.id.to_string();
    fs::write(new.join(&id), dropped.print().unwrap()).unwrap();
    let output = run(place.directory.path(), &["trace", &id]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).contains("in the drop box"));
}

#[test]
fn status_says_that_nobody_is_there() {
    let place = place();
    let output = run(place.directory.path(), &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("cannot read the state"),
        "{}",
        errors(&output)
    );
    let state = place.directory.path().join("spool/notifyd.state.json");
    let json = r#"{"pid":1,"site":"central","version":"0.1.0","updated":"2026-11-20T10:00:00Z",
        "new":{"count":3,"oldest_s":5},"deferred":{"count":0,"oldest_s":null},
        "corrupted":{"count":0,"oldest_s":null},"accepted":1,"duplicates":0,"delivered":0,"failed":0,
        "disk_error":null,"lanes":[{"name":"ops","waiting":2,"processing":1}],"forwards":[],
        "peers":[{"site":"remote1","type":"incoming","state":"established","message":"","sent":0,"received":7}]}"#;
    fs::write(state, json).unwrap();
    let output = run(place.directory.path(), &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("notifyd is not running"),
        "{}",
        errors(&output)
    );
    let text = text(&output);
    for part in [
        "central: notifyd 0.1.0 not running",
        "new        3, oldest ",
        "lane ops: 2 waiting, 1 in work",
        "peer remote1 (incoming): established; sent 0, received 7",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_spool_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for args in [
        &["queue"][..],
        &["trace", "0199d3a8-0000-7000-8000-000000000009"],
    ] {
        let output = run(directory.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(errors(&output).starts_with("notifyctl: cannot read the spool: "));
    }
}

#[test]
fn the_configuration_leads_to_spool_and_state() {
    let place = place();
    let config = place.directory.path().join("notifyd.toml");
    let spool = place.directory.path().join("spool");
    fs::write(
        &config,
        format!(
            "[site]\nname = 'a'\n[spool]\ndirectory = '{}'\n",
            spool.display()
        ),
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_notifyctl"))
        .arg("-c")
        .arg(&config)
        .args(["trace", &place.waiting.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    fs::write(&config, "[spool]\ndirectory = 7\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_notifyctl"))
        .arg("-c")
        .arg(&config)
        .arg("queue")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn trace_and_show_say_what_rules_said_of_each_job() {
    let directory = tempfile::tempdir().unwrap();
    let spool = SpoolDirectory::open(&directory.path().join("spool")).unwrap();
    let (mut queue, _) = Queue::recover(spool.journal().unwrap(), Options::default()).unwrap();
    let now = UnixTime::from(std::time::SystemTime::now());
    let notification = notification("db1", "Disk /");
    let id = notification.id;
    let body = notification.print().unwrap();
    queue.accept(id, None, None, body.as_bytes(), now).unwrap();
    let told = "{\"rules\":[\"disks\",\"all\"],\"parameters\":[[\"FROM\",\"m\"]],\
                \"contacts\":[{\"name\":\"anna\",\"email\":\"anna@example.org\"},{\"name\":\"joe\"}]}";
    let mail = Target::Job(spool::Job::new("mail", told));
    let sms = Target::Job(spool::Job::new("sms", "{\"rules\":[\"page\"]}"));
    queue.assign(id, &[mail.clone(), sms.clone()], now);
    queue.attempt(id, &mail, 1, now);
    queue.result(id, &mail, 1, Verdict::Temporary, b"450 later", now);
    queue.commit().unwrap();

    let traced = text(&run(directory.path(), &["trace", &id.to_string()]));
    let jobs = format!("{mail} by \"disks\", \"all\" to anna, joe; {sms} by \"page\"");
    assert!(traced.contains(&format!("assigned to {jobs}")), "{traced}");
    let result = format!("{mail}: attempt 1 ended, temporary failure: 450 later");
    assert!(traced.contains(&result), "{traced}");

    let shown = text(&run(directory.path(), &["show", &id.to_string()]));
    assert!(
        shown.contains(&format!("target     {sms} by \"page\"")),
        "{shown}"
    );
    let shown = text(&run(directory.path(), &["--json", "show", &id.to_string()]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["targets"][0]["rules"][1], "all");
    assert_eq!(shown["targets"][0]["parameters"]["FROM"], "m");
    assert_eq!(
        shown["targets"][0]["contacts"][0]["email"],
        "anna@example.org"
    );

    // People name lanes, and mean their jobs.
    let queue = |lane: &str| text(&run(directory.path(), &["queue", "--lane", lane]));
    assert!(queue("mail").contains("450 later"), "{}", queue("mail"));
    assert!(!queue("ops").contains("db1"), "{}", queue("ops"));
}

#[test]
fn trace_tells_what_became_of_it_at_other_sites() {
    let directory = tempfile::tempdir().unwrap();
    let spool = SpoolDirectory::open(&directory.path().join("spool")).unwrap();
    let (mut queue, _) = Queue::recover(spool.journal().unwrap(), Options::default()).unwrap();
    let now = UnixTime::from(std::time::SystemTime::now());
    let original = notification("db1", "Disk /");
    let body = original.print().unwrap();
    queue
        .accept(original.id, None, None, body.as_bytes(), now)
        .unwrap();
    let peer = Target::Peer(site("central"));
    queue.assign(original.id, std::slice::from_ref(&peer), now);
    queue.settle(original.id, &peer, End::StoredByPeer, "", now);
    let mut result = |of: NotificationId, from: Option<&SiteId>| {
        let id = NotificationId::new(now);
        let entries = [
            ("RESULT_OF", of.to_string()),
            ("RESULT_LANE", "mail".to_owned()),
            ("RESULT_RULES", "disks".to_owned()),
            ("RESULT_CONTACTS", "anna, joe".to_owned()),
            ("RESULT_ATTEMPT", "2".to_owned()),
            ("RESULT_END", "delivered".to_owned()),
            ("RESULT_ANSWER", "250 ok\u{1b}".to_owned()),
        ];
        let entries = entries.map(|(name, value)| (name.to_owned(), value.into()));
        let notification = Notification {
            id,
            kind: objects::notification::Kind::Result,
            created: now,
            expires: None,
            site: site("central"),
            context: Context::from(entries),
        };
        let body = notification.print().unwrap();
        queue.accept(id, from, None, body.as_bytes(), now).unwrap();
        queue.end(id, End::Delivered, "", now);
    };
    let central = site("central");
    result(original.id, Some(&central));
    // Of another one, and one that is on its way from here.
    result(NotificationId::new(now), Some(&central));
    result(original.id, None);
    queue.commit().unwrap();

    let id = original.id.to_string();
    let traced = text(&run(directory.path(), &["trace", &id]));
    let told: Vec<&str> = traced
        .lines()
        .filter(|l| l.contains("at central:"))
        .collect();
    assert_eq!(told.len(), 1, "{traced}");
    let want = "at central: lane mail by disks to anna, joe, attempt 2: delivered: 250 ok";
    assert!(
        told[0].contains(want) && !told[0].contains('\u{1b}'),
        "{traced}"
    );
    let traced = text(&run(directory.path(), &["--json", "trace", &id]));
    let last: serde_json::Value = serde_json::from_str(traced.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "elsewhere");
    assert_eq!(
        (&last["site"], &last["attempt"]),
        (&"central".into(), &2.into())
    );
}
