//! The socket of the spool: what is answered "stored" is stored, whatever
//! happens next.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use objects::{Notification, NotificationId};
use rustix::process::Signal;
use spool::drop_box::Submitted;
use spool::submission::{self, Answer, Asked, SOCKET, Submission};
use support::{Daemon, Site, notification, wait_until};

const MAIL: &str = "[[lane]]\nname = 'mail'\nmaildir = '@mail'\nto = 'ops@example.com'\n";

fn connect(site: &Site) -> UnixStream {
    let stream = UnixStream::connect(site.path("spool").join(SOCKET)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn submission(number: u64, notification: &Notification) -> Vec<u8> {
    let mut bytes = Vec::new();
    Submission::print(number, notification.print().unwrap().as_bytes(), &mut bytes);
    bytes
}

fn db(number: usize) -> Notification {
    notification("central", &[("HOSTNAME", &format!("db{number}"))])
}

/// All answers until the daemon closes.
fn answers(stream: &UnixStream) -> Vec<(u64, Answer)> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .map(|line| Answer::parse(&line).unwrap_or_else(|| panic!("no answer: {line}")))
        .collect()
}

#[test]
fn a_submission_is_stored_once_and_delivered() {
    let site = Site::new("central", MAIL);
    let daemon = site.start();
    let notification = db(1);
    let mut stream = connect(&site);
    stream.write_all(&submission(7, &notification)).unwrap();
    stream.write_all(&submission(8, &notification)).unwrap();
    // What has reached its end is still answered.
    stream.shutdown(Shutdown::Write).unwrap();
    let id = notification.id;
    assert_eq!(
        answers(&stream),
        [(7, Answer::Stored(id)), (8, Answer::Known(id))]
    );
    wait_until("it is delivered", || site.state()["delivered"] == 1);
    assert_eq!(
        site.history(id).last().map(String::as_str),
        Some("ended delivered")
    );
    assert_eq!(site.files("spool/new"), [""; 0]);
    daemon.terminate();
}

#[test]
fn whoever_submits_nonsense_is_told_so_and_disturbs_nobody() {
    let site = Site::new("central", "");
    let mut daemon = site.start();
    let mut bad_body = Vec::new();
    Submission::print(3, b"{\"no\": \"notification\"}", &mut bad_body);
    let cases: [(&[u8], u64, &str); 4] = [
        (&bad_body, 3, ""),
        (b"GET hosts\n\n", 0, "expected 'submit"),
        (b"submit 4 2000000 00000000\n", 4, "the limit is"),
        (b"submit 5 2 00000000\n{}", 5, "checksum"),
    ];
    for (bytes, number, part) in cases {
        let mut stream = connect(&site);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        match &answers(&stream)[..] {
            [(n, Answer::Refused(why))] if *n == number && why.contains(part) => {}
            other => panic!("{}: {other:?}", bytes.escape_ascii()),
        }
    }
    let mut cut = connect(&site);
    cut.write_all(b"submit 1 100 00000000\n{}").unwrap();
    drop(cut);
    daemon.wait_for_line("closed in the middle of a submission");
    let good = db(1);
    let mut stream = connect(&site);
    stream.write_all(&submission(1, &good)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(answers(&stream), [(1, Answer::Stored(good.id))]);
}

#[test]
fn many_submissions_of_one_connection_share_syncs() {
    let site = Site::new("central", "");
    let trace = site.path("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fdatasync", "-o"]);
    command.arg(&trace).arg(support::NOTIFYD).arg("-c");
    command.arg(site.path("notifyd.toml"));
    let mut daemon = Daemon::start("central", command);
    daemon.wait_for_line("is ready");
    let notifications: Vec<Notification> = (0..500).map(db).collect();
    let mut stream = connect(&site);
    let mut reader = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for (number, notification) in notifications.iter().enumerate() {
            stream
                .write_all(&submission(number as u64, notification))
                .unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        notifications
    });
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let notifications = writer.join().unwrap();
    let stored: BTreeSet<NotificationId> = text
        .lines()
        .map(|line| match Answer::parse(line) {
            Some((_, Answer::Stored(id))) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stored.len(), 500);
    assert!(notifications.iter().all(|n| stored.contains(&n.id)));
    let syncs = std::fs::read_to_string(&trace).unwrap().lines().count();
    assert!(syncs < 250, "{syncs} syncs for 500 submissions");
    site.signal_traced(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn what_was_answered_survives_a_kill_and_comes_once() {
    let site = Site::new("central", MAIL);
    let mut stored = BTreeSet::new();
    for round in 0..5 {
        let daemon = site.start();
        let mut stream = connect(&site);
        let reader = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            for number in 0..300 {
                let body = submission(number as u64, &db(number));
                if stream.write_all(&body).is_err() {
                    return;
                }
            }
        });
        let mut lines = BufReader::new(reader).lines();
        let mut take = |count| {
            for line in lines.by_ref().map_while(Result::ok).take(count) {
                if let Some((_, Answer::Stored(id))) = Answer::parse(&line) {
                    assert!(stored.insert(id), "answered twice");
                }
            }
        };
        take(1 + round * 20);
        daemon.kill();
        // What was on its way counts, too.
        take(usize::MAX);
        writer.join().unwrap();
    }
    assert!(stored.len() >= 205, "{}", stored.len());
    let _daemon = site.start();
    // A mail's name is its job: a second one of the same would replace the first.
    wait_until("all that was answered is delivered", || {
        let mails = site.files("mail/new").concat();
        let mut jobs = stored.iter().map(|id| id.job_id("mail").to_string());
        jobs.all(|job| mails.contains(&job))
    });
    for id in stored.iter().step_by(50) {
        let history = site.history(*id);
        let accepted = history.iter().filter(|event| *event == "accepted");
        assert_eq!(accepted.count(), 1, "{history:?}");
    }
}

#[test]
fn a_disk_that_refuses_answers_nobody_and_stores_nothing_twice() {
    let site = Site::new("central", "");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:error=EIO:when=5..8"])
        .arg(support::NOTIFYD)
        .arg("-c")
        .arg(site.path("notifyd.toml"));
    let mut daemon = Daemon::start("central", command);
    daemon.wait_for_line("is ready");
    let spool = site.path("spool");
    let submit = |notification: &Notification, patience| {
        let body = notification.print().unwrap();
        submission::submit(&spool, body.as_bytes(), patience)
    };
    let moment = Duration::from_millis(100);
    let mut sent = Vec::new();
    while !daemon.log().iter().any(|line| line.contains("disk error")) {
        sent.push(db(sent.len()));
        submit(sent.last().unwrap(), moment);
    }
    let unanswered = sent.last().unwrap().clone();
    assert!(matches!(submit(&unanswered, moment), Asked::Unanswered));
    daemon.wait_for_line("the disk takes records again");
    assert!(matches!(
        submit(&unanswered, Duration::from_secs(20)),
        Asked::Submitted(Submitted::AlreadyThere)
    ));
    for notification in sent {
        let history = site.history(notification.id);
        assert_eq!(history, ["accepted", "ended nobody to notify"]);
    }
    site.signal_traced(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}
