//! Notifications that a real notifyd delivers together: bulks, storms, and
//! problems with their recovery.

mod support;

use objects::NotificationId;
use spool::control::{Answer, Question};
use support::control::{ask, hand, lane, pause};
use support::{Site, wait_for, wait_until};

fn resume(site: &Site) {
    let resume = Question::Resume {
        lane: None,
        hand: hand(),
    };
    assert!(matches!(ask(site, &resume), Answer::Done { .. }));
}

/// Writes a line for each call, with all ids in it, and does what `then` says.
fn collector(site: &Site, then: &str) {
    let script = format!(
        "# Bulk: yes\nif [ \"$1\" = --bulk ]; then ids=$(sed -n 's/^ID=//p'); \
         else ids=$NOTIFY_ID; fi\n{then}\necho $ids >>@log"
    );
    site.script("plugin", &script);
}

/// The lines of `log`: the ids in each.
fn calls(site: &Site) -> Vec<Vec<NotificationId>> {
    let ids = |line: &str| {
        let ids = line.split_whitespace();
        ids.map(|id| NotificationId::parse(id).unwrap()).collect()
    };
    site.lines("log").iter().map(|line| ids(line)).collect()
}

fn end_of(site: &Site, id: NotificationId) -> String {
    site.history(id).last().unwrap().clone()
}

fn submit(site: &Site, host: &str) -> NotificationId {
    site.submit(&[("HOSTNAME", host)])
}

#[test]
fn a_bulk_is_one_call_with_one_verdict_and_survives_a_kill() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '50ms'\n\
         [lane.bulk]\nby = ['host']\ninterval = '200ms'\n",
    );
    collector(&site, "[ -e @works ] || { echo $ids >>@failed; exit 1; }");
    let daemon = site.start();
    ask(&site, &pause(None, None));
    let a: Vec<_> = (0..3).map(|_| submit(&site, "a")).collect();
    let b: Vec<_> = (0..2).map(|_| submit(&site, "b")).collect();
    wait_until("they are collected", || {
        lane(&site, "ops")["collected"] == 5
    });
    daemon.kill();
    let daemon = site.start();
    wait_until("they still are", || lane(&site, "ops")["collected"] == 5);
    resume(&site);
    wait_until("both were tried again", || site.lines("failed").len() >= 4);
    std::fs::write(site.path("works"), "").unwrap();
    wait_until("all are delivered", || site.state()["delivered"] == 5);
    let mut calls = calls(&site);
    calls.sort();
    assert_eq!(calls, [a.clone(), b.clone()]);
    // Every attempt was one of all of them.
    let mut failed = site.lines("failed");
    failed.sort();
    failed.dedup();
    assert_eq!(failed.len(), 2, "{failed:?}");
    for id in a.into_iter().chain(b) {
        assert_eq!(end_of(&site, id), "ended delivered");
    }
    daemon.terminate();
}

/// By what is collected, and which of the four are in one bulk then.
const BY: [(&str, &str, &[&[usize]]); 7] = [
    ("host", "'host'", &[&[0, 1], &[2, 3]]),
    ("site", "'site'", &[&[0, 1, 2], &[3]]),
    ("rule", "'rule'", &[&[0, 3], &[1, 2]]),
    ("service", "'service'", &[&[0, 2, 3], &[1]]),
    ("state", "'state'", &[&[0, 1, 3], &[2]]),
    ("group", "'HOSTGROUPNAMES'", &[&[0, 3], &[1, 2]]),
    ("two", "'site', 'host'", &[&[0, 1], &[2], &[3]]),
];

#[test]
fn what_a_bulk_has_in_common_is_what_the_lane_says() {
    let lanes = BY.map(|(name, by, _)| {
        format!(
            "[[lane]]\nname = '{name}'\nscript = '@{name}'\n\
             [lane.bulk]\nby = [{by}]\ninterval = '100ms'\n"
        )
    });
    let text = format!("[rules]\nfile = '@rules.toml'\n{}", lanes.concat());
    let site = Site::new("central", &text);
    let all = BY.map(|(name, ..)| format!("'{name}'")).join(", ");
    let rule = |name: &str, group: &str| {
        format!("[[rule]]\nname = '{name}'\n{group} = 'linux'\nlanes = [{all}]\n")
    };
    let rules = rule("linux", "host_group") + &rule("others", "not_host_group");
    std::fs::write(site.path("rules.toml"), format!("match = 'first'\n{rules}")).unwrap();
    for (name, ..) in BY {
        site.script(
            name,
            &format!("# Bulk: yes\necho $(sed -n 's/^ID=//p') >>@log.{name}"),
        );
    }
    let daemon = site.start();
    ask(&site, &pause(None, None));
    let ids = [
        ("central", "a", "x", "CRITICAL", "linux"),
        ("central", "a", "y", "CRITICAL", "windows"),
        ("central", "b", "x", "WARNING", "windows"),
        ("remote1", "b", "x", "CRITICAL", "linux"),
    ]
    .map(|(from, host, service, state, group)| {
        let one = support::notification(
            from,
            &[
                ("HOSTNAME", host),
                ("SERVICEDESC", service),
                ("SERVICESTATE", state),
                ("HOSTGROUPNAMES", group),
            ],
        );
        site.drop_file(&one.id.to_string(), one.print().unwrap().as_bytes());
        one.id.to_string()
    });
    for (name, ..) in BY {
        wait_until("they are collected", || lane(&site, name)["collected"] == 4);
    }
    resume(&site);
    for (name, _, want) in BY {
        let log = format!("log.{name}");
        wait_until("all are told", || {
            site.lines(&log).concat().matches('-').count() == 16
        });
        let mut found: Vec<Vec<usize>> = Vec::new();
        for line in site.lines(&log) {
            let at = |id: &str| ids.iter().position(|known| known == id).unwrap();
            let mut numbers: Vec<usize> = line.split_whitespace().map(at).collect();
            numbers.sort_unstable();
            found.push(numbers);
        }
        found.sort();
        assert_eq!(found, want, "by {name}");
    }
    daemon.terminate();
}

#[test]
fn a_storm_ends_in_few_deliveries_that_list_every_id_once() {
    let storm = "[lane.storm]\nat_most = [{count = 2, within = '10s'}]\n";
    let site = Site::new(
        "central",
        &format!(
            "[[lane]]\nname = 'ops'\nscript = '@plugin'\n{storm}\
             [[lane]]\nname = 'mail'\nmaildir = '@mail'\n{storm}"
        ),
    );
    collector(&site, "");
    let daemon = site.start();
    ask(&site, &pause(None, None));
    let entries = |host: String| {
        let host: &'static str = host.leak();
        [
            ("HOSTNAME", host),
            ("CONTACTNAME", "ann"),
            ("NOTIFICATIONTYPE", "PROBLEM"),
        ]
    };
    let ids = (0..5000).map(|n| site.submit(&entries(format!("host{n}"))));
    let mut ids: Vec<_> = ids.collect();
    let waiting = || lane(&site, "mail")["waiting"].as_u64();
    let mut last = waiting();
    while last < Some(5000) {
        last = wait_for("more are taken in", || {
            waiting().filter(|now| Some(*now) > last)
        })
        .into();
    }
    resume(&site);
    wait_until("all are delivered", || site.state()["delivered"] == 10_000);
    let calls = calls(&site);
    assert_eq!(calls.len(), 3, "two alone, and a digest");
    let mut told: Vec<_> = calls.into_iter().flatten().collect();
    told.sort();
    ids.sort();
    assert_eq!(told, ids);
    let mails = site.files("mail/new");
    assert_eq!(mails.len(), 3, "{mails:?}");
    let mut told = Vec::new();
    for name in mails {
        let mail = std::fs::read_to_string(site.path("mail/new").join(name)).unwrap();
        let text = mail.split("text/html").next().unwrap();
        let rows = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Id:"));
        told.extend(rows.map(|id| NotificationId::parse(id.trim()).unwrap()));
    }
    told.sort();
    assert_eq!(told, ids);
    daemon.terminate();
}

#[test]
fn a_problem_and_its_recovery_end_as_superseded_in_one_text() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\nsupersede_after = '0s'\n",
    );
    collector(&site, "");
    let daemon = site.start();
    ask(&site, &pause(None, None));
    let submit = |kind| site.submit(&[("HOSTNAME", "db1"), ("NOTIFICATIONTYPE", kind)]);
    let ids = ["PROBLEM", "RECOVERY"].map(submit);
    wait_until("both wait", || lane(&site, "ops")["waiting"] == 2);
    resume(&site);
    wait_until("both are told", || calls(&site) == [ids]);
    wait_until("both have ended", || site.state()["open"] == 0);
    for id in ids {
        assert_eq!(end_of(&site, id), "ended superseded");
    }
    wait_until("the sum says so", || {
        site.state()["totals"]["superseded"] == 2
    });
    daemon.terminate();
}
