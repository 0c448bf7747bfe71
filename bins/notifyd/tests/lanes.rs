//! Lanes of a real notifyd: places, breaker, pauses, bulks, storms, and what is
//! told of those that failed.

mod support;

use objects::NotificationId;
use spool::control::{Answer, Question};
use support::control::{ask, hand, lane, pause};
use support::{Site, wait_for, wait_until};

fn end_of(site: &Site, id: NotificationId) -> String {
    site.history(id).last().unwrap().clone()
}

fn submit(site: &Site, host: &str) -> NotificationId {
    site.submit(&[("HOSTNAME", host)])
}

#[test]
fn as_many_run_at_once_as_there_are_places() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nplaces = 3\n",
    );
    // Each waits until there are three of them, or until it is told that this is over.
    site.script(
        "plugin",
        "echo $NOTIFY_HOSTNAME >>@began\nwhile [ -e $0 ] && [ ! -e @go ]; do sleep 0.02; done\necho $NOTIFY_ID >>@log",
    );
    let daemon = site.start();
    let first = submit(&site, "a");
    let second = submit(&site, "a");
    for host in ["b", "c", "d"] {
        submit(&site, host);
    }
    wait_until("three run", || site.lines("began").len() == 3);
    wait_until("the state says so", || {
        lane(&site, "ops")["processing"] == 3
    });
    assert_eq!(lane(&site, "ops")["waiting"], 2);
    let began = site.lines("began");
    assert_eq!(
        began.iter().filter(|host| *host == "a").count(),
        1,
        "{began:?}"
    );
    std::fs::write(site.path("go"), "").unwrap();
    wait_until("all are delivered", || site.state()["delivered"] == 5);
    let log = site.lines("log");
    let at = |id: NotificationId| log.iter().position(|line| *line == id.to_string());
    assert!(at(first) < at(second), "{log:?}");
    daemon.terminate();
}

#[test]
fn a_lane_that_hangs_does_not_delay_another() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'hangs'\nscript = '@hang'\ntimeout = '600s'\n\
         [[lane]]\nname = 'mail'\nmaildir = '@mail'\nplaces = 4\n",
    );
    site.script(
        "hang",
        "touch @hanging\nwhile [ -e $0 ] && [ ! -e @go ]; do sleep 0.05; done",
    );
    let daemon = site.start();
    submit(&site, "first");
    wait_until("the first hangs", || site.path("hanging").exists());
    for n in 0..5000 {
        submit(&site, &format!("host{n}"));
    }
    let done = || site.state()["delivered"].as_u64();
    let mut last = done();
    // However slow the machine is: as long as it goes on, it has not hung.
    while last < Some(5001) {
        last = wait_for("the other lane goes on", || {
            done().filter(|now| Some(*now) > last)
        })
        .into();
    }
    assert_eq!(lane(&site, "mail")["waiting"], 0);
    assert_eq!(lane(&site, "hangs")["processing"], 1);
    assert_eq!(lane(&site, "hangs")["waiting"], 5000);
    std::fs::write(site.path("go"), "").unwrap();
    daemon.kill();
}

#[test]
fn a_broken_lane_is_tried_by_one_until_it_works_again() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '100ms'\nretry_max = '200ms'\nbreaker = 3\n",
    );
    site.script(
        "plugin",
        "echo $NOTIFY_HOSTNAME >>@log\n[ -e @works ] || { echo no modem; exit 1; }",
    );
    let daemon = site.start();
    let hosts: Vec<String> = (0..20).map(|n| format!("host{n}")).collect();
    let ids: Vec<_> = hosts.iter().map(|host| submit(&site, host)).collect();
    wait_until("the breaker is open", || {
        lane(&site, "ops")["breaker"].is_object()
    });
    assert_eq!(
        lane(&site, "ops")["breaker"]["why"],
        "exit code 1: no modem"
    );
    let warnings = site.state()["warnings"].to_string();
    assert!(warnings.contains("lane ops does not work"), "{warnings}");
    wait_until("it was tried some more", || site.lines("log").len() > 8);
    // Those that were not needed to find out have not been tried at all.
    let attempts = |id: &NotificationId| {
        let history = site.history(*id);
        history
            .iter()
            .filter(|event| event.starts_with("attempt"))
            .count()
    };
    let untried = ids.iter().filter(|id| attempts(id) == 0).count();
    assert!(untried >= 10, "{untried}");
    std::fs::write(site.path("works"), "").unwrap();
    wait_until("all are delivered", || site.state()["delivered"] == 20);
    wait_until("it is closed", || lane(&site, "ops")["breaker"].is_null());
    let log = daemon.log().join("\n");
    for part in ["breaker opens", "breaker closes"] {
        assert_eq!(log.matches(part).count(), 1, "{log}");
    }
    daemon.terminate();
}

const TWO: &str = "[[lane]]\nname = 'ops'\nscript = '@plugin'\n\
                   [[lane]]\nname = 'mail'\nmaildir = '@mail'\n";

#[test]
fn what_is_paused_is_accepted_survives_a_restart_and_goes_on() {
    let site = Site::new("central", TWO);
    site.script("plugin", "echo $NOTIFY_HOSTNAME >>@log");
    let daemon = site.start();
    let done = Answer::Done {
        done: 1,
        not: Vec::new(),
    };
    assert_eq!(ask(&site, &pause(Some("ops"), None)), done);
    let Answer::Error { why, .. } = ask(&site, &pause(Some("opps"), None)) else {
        panic!("there is no such lane");
    };
    assert_eq!(why, "there is no lane opps");
    submit(&site, "a");
    wait_until("the other lane delivers", || site.state()["delivered"] == 1);
    wait_until("it is visible", || lane(&site, "ops")["paused"].is_object());
    assert_eq!(lane(&site, "ops")["paused"]["hand"], "by ann: a test");
    assert!(
        site.state()["warnings"]
            .to_string()
            .contains("lane ops is paused")
    );
    assert!(lane(&site, "mail")["paused"].is_null());
    daemon.kill();
    let daemon = site.start();
    submit(&site, "b");
    wait_until("the other lane delivers", || site.state()["delivered"] == 1);
    wait_until("it still is", || lane(&site, "ops")["waiting"] == 2);
    assert_eq!(site.lines("log"), [""; 0]);
    let resume = Question::Resume {
        lane: None,
        hand: hand(),
    };
    assert_eq!(ask(&site, &resume), done);
    wait_until("both are delivered", || site.lines("log") == ["a", "b"]);
    // One with an end needs nobody.
    assert_eq!(ask(&site, &pause(None, Some(0.5))), done);
    submit(&site, "c");
    wait_until("it goes on by itself", || site.lines("log").len() == 3);
    wait_until("and says so", || {
        daemon
            .log()
            .iter()
            .any(|line| line.contains("the pause is over"))
    });
    daemon.terminate();
}

#[test]
fn what_expires_or_is_refused_is_told_of_by_another_lane_once() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'sms'\nscript = '@sms'\non_failure = 'log'\n\
         [[lane]]\nname = 'log'\nscript = '@log_it'\non_failure = 'sms'\n",
    );
    site.script("sms", "echo bad number; exit 2");
    site.script(
        "log_it",
        "[ -n \"$NOTIFY_FAILED_ID\" ] || exit 0\n\
         echo \"$NOTIFY_HOSTNAME $NOTIFY_NOTIFICATIONTYPE $NOTIFY_FAILED_ID $NOTIFY_FAILED_LANE\" >>@log\n\
         echo \"$NOTIFY_FAILED_WHY\" >>@why\nexit 2",
    );
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1"), ("NOTIFICATIONTYPE", "PROBLEM")]);
    wait_until("it is told", || !site.lines("why").is_empty());
    assert_eq!(site.lines("log"), [format!("db1 CUSTOM {id} sms")]);
    assert_eq!(site.lines("why"), ["refused: exit code 2: bad number"]);
    wait_until("all have ended", || {
        let state = site.state();
        state["totals"]["submitted"] == 2 && state["open"] == 0
    });
    // The one that told failed as well, and nobody is told of that.
    assert_eq!(site.lines("log").len(), 1);
    let events = spool::history::of(&site.path("spool"), id).unwrap();
    let told = events.into_iter().find_map(|(_, event)| match event {
        spool::record::Event::Settled { detail, target, .. } if target.name() == "sms" => {
            Some(String::from_utf8(detail.into_owned()).unwrap())
        }
        _ => None,
    });
    let told = told.expect("an end");
    let other = told.split("; ").last().unwrap().split(' ').next().unwrap();
    let other = NotificationId::parse(other).expect(&told);
    let history = site.history(other);
    assert_eq!(history[1], "assigned lane log", "{history:?}");
    assert_eq!(history.last().unwrap(), "ended refused");
    daemon.terminate();
}

#[test]
fn an_attempt_without_an_end_is_held_where_the_lane_says_so() {
    for (say, held) in [("", false), ("on_unknown = 'hold'\n", true)] {
        let site = Site::new(
            "central",
            &format!("[[lane]]\nname = 'ops'\nscript = '@plugin'\n{say}"),
        );
        site.script(
            "plugin",
            "echo $NOTIFY_ATTEMPT >>@log\nwhile [ -e $0 ] && [ ! -e @go ]; do sleep 0.02; done",
        );
        let daemon = site.start();
        let id = submit(&site, "a");
        wait_until("it runs", || site.lines("log") == ["1"]);
        daemon.kill();
        std::fs::write(site.path("go"), "").unwrap();
        let daemon = site.start();
        if held {
            wait_until("it is held", || site.state()["held"] == 1);
            assert_eq!(site.lines("log"), ["1"]);
            let release = Question::Act {
                action: spool::control::Action::Release,
                ids: vec![id],
                target: None,
                hand: hand(),
            };
            ask(&site, &release);
        }
        wait_until("it is tried again", || site.lines("log") == ["1", "2"]);
        wait_until("it is delivered", || site.state()["delivered"] == 1);
        daemon.terminate();
    }
}

#[test]
fn late_ones_are_marked_or_dropped() {
    for (what, end) in [("mark", "ended delivered"), ("drop", "ended dropped")] {
        let late = format!("late_after = '1h'\nlate = '{what}'\n");
        let site = Site::new(
            "central",
            &format!(
                "[[lane]]\nname = 'ops'\nscript = '@plugin'\n{late}\
                 [[lane]]\nname = 'mail'\nmaildir = '@mail'\n{late}"
            ),
        );
        site.script("plugin", "echo \"$NOTIFY_HOSTNAME:$NOTIFY_LATE\" >>@log");
        let daemon = site.start();
        let mut old = support::notification("central", &[("HOSTNAME", "old")]);
        old.created = objects::UnixTime::from_micros(old.created.micros() - 7_200_000_000);
        site.drop_file(&old.id.to_string(), old.print().unwrap().as_bytes());
        wait_until("it has ended", || {
            site.state()["totals"][end.strip_prefix("ended ").unwrap()] == 1
        });
        submit(&site, "new");
        wait_until("the new one comes", || {
            site.lines("log").contains(&"new:".to_owned())
        });
        let marked = site.lines("log").contains(&"old:1".to_owned());
        assert_eq!(marked, what == "mark", "{:?}", site.lines("log"));
        assert_eq!(end_of(&site, old.id), end);
        let mails = site.files("mail/new").into_iter();
        let mut mails = mails.map(|name| support::read(&site.path("mail/new").join(name)));
        let marked = mails.any(|mail| mail.contains("Subject: *** late RAW - old"));
        assert_eq!(marked, what == "mark");
        daemon.terminate();
    }
}

#[test]
fn what_a_contact_has_got_counts_after_a_restart_too() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\n\
         storm = { at_most = [{ count = 2, within = '24h' }] }\n",
    );
    site.script("plugin", "echo $NOTIFY_HOSTNAME >>@log");
    let mut daemon = site.start();
    submit(&site, "a");
    submit(&site, "b");
    let tokens = || std::fs::read_to_string(site.path("spool/tokens")).unwrap_or_default();
    wait_until("two are delivered", || site.state()["delivered"] == 2);
    wait_until("both are written down", || {
        // The bucket is full again in a day, twelve hours for each.
        let text = serde_json::from_str(&tokens()).unwrap_or(serde_json::Value::Null);
        let full = text["full_at_us"]["ops"][""][0].as_i64().unwrap_or(0) / 1_000_000;
        let now = objects::UnixTime::from(std::time::SystemTime::now()).secs();
        full > now + 23 * 3600
    });
    for end in ["kill", "stop"] {
        match end {
            "kill" => daemon.kill(),
            _ => daemon.terminate(),
        }
        daemon = site.start();
        submit(&site, end);
        wait_until("it waits for a digest", || {
            lane(&site, "ops")["collected"].as_u64() >= Some(1)
        });
        assert_eq!(site.lines("log").len(), 2, "{end}");
    }
    daemon.terminate();
}
