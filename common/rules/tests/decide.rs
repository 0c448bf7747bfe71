//! What becomes of events, by the rules of a file.

use std::path::Path;

use objects::notification::Context;
use objects::{SiteId, UnixTime};
use rules::{Decision, Event, Outcome, Rules};

/// A Monday at noon in Berlin, in summer time.
const NOON: i64 = 1_783_332_000;
const EXAMPLE: &str = include_str!("../../../packaging/examples/rules.toml");

fn rules(text: &str) -> Rules {
    Rules::parse("rules.toml", text, Path::new("."))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn context(entries: &[(&str, &str)]) -> Context {
    let entries = entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    entries.collect()
}

fn with_event<T>(entries: &[(&str, &str)], now: i64, look: impl FnOnce(&Event<'_>) -> T) -> T {
    let context = context(entries);
    let site = SiteId::new("customer17").unwrap();
    let created = UnixTime::from_secs(NOON);
    look(&Event::new(
        &context,
        &site,
        created,
        UnixTime::from_secs(now),
    ))
}

/// `lane(contact,contact) lane(...)`
fn told(decision: &Decision) -> String {
    let deliveries = decision.deliveries.iter().map(|delivery| {
        let names: Vec<String> = delivery
            .contacts
            .iter()
            .map(|c| c.name.to_string())
            .collect();
        format!("{}({})", delivery.lane, names.join(","))
    });
    deliveries.collect::<Vec<String>>().join(" ")
}

const PROBLEM: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("SERVICEDESC", "Disk /"),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICENOTIFICATIONNUMBER", "2"),
    ("SERVICEOUTPUT", "95 % used"),
    ("HOSTLABEL_tier", "production"),
    ("CONTACTS", "joe,stranger"),
    ("CONTACTNAME", "check-mk-notify"),
];

fn problem_with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    PROBLEM.iter().chain(more).copied().collect()
}

#[test]
fn the_example_tells_whom_it_says() {
    let rules = rules(EXAMPLE);
    let tuesday_night = NOON + 10 * 3600;
    for (name, more, now, want) in [
        ("at noon", &[][..], NOON, "mail(anna,joe) sms(anna,joe)"),
        ("at night joe sleeps", &[], tuesday_night, "sms(anna)"),
        (
            "fourth notification",
            &[("SERVICENOTIFICATIONNUMBER", "4")],
            NOON,
            "mail(anna,joe)",
        ),
        (
            "not production",
            &[("HOSTLABEL_tier", "test")],
            NOON,
            "mail(anna,joe)",
        ),
        ("test machine", &[("HOSTNAME", "test7")], NOON, "mail(joe)"),
        (
            "of nobody",
            &[
                ("CONTACTS", ""),
                ("HOSTNAME", "x"),
                ("SERVICESTATE", "WARNING"),
            ],
            NOON,
            "",
        ),
        (
            "the core's own contact",
            &[
                ("CONTACTNAME", "bob"),
                ("CONTACTEMAIL", "bob@example.org"),
                ("HOSTNAME", "x"),
                ("HOSTLABEL_tier", ""),
            ],
            NOON,
            "mail(bob,joe)",
        ),
    ] {
        let decision = with_event(&problem_with(more), now, |event| rules.decide(event));
        assert_eq!(told(&decision), want, "{name}");
    }
    let decision = with_event(PROBLEM, NOON, |event| rules.decide(event));
    let sms = decision
        .deliveries
        .iter()
        .find(|d| d.lane == "sms")
        .unwrap();
    let parameters: Vec<_> = sms.parameters.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(parameters, [("RETRIES", "3"), ("SENDER", "monitoring")]);
}

#[test]
fn every_condition_lets_through_and_holds_back() {
    for (condition, passes, fails) in [
        ("site = 'customer*'", &[][..], None),
        ("not_site = 'customer1?'", &[], Some(&[][..])),
        ("not_site = 'central'", &[], None),
        ("site = 'central'", &[], Some(&[])),
        ("host = 'db1'", &[], Some(&[("HOSTNAME", "db2")][..])),
        (
            "not_host = ['~^db', 'x']",
            &[("HOSTNAME", "web")],
            Some(&[]),
        ),
        ("service = 'Disk*'", &[], Some(&[("SERVICEDESC", "")])),
        (
            "not_service = 'Disk*'",
            &[("SERVICEDESC", "CPU")],
            Some(&[]),
        ),
        (
            "host_group = 'linux'",
            &[("HOSTGROUPNAMES", "web,linux")],
            Some(&[]),
        ),
        (
            "service_group = 'disks'",
            &[("SERVICEGROUPNAMES", "disks")],
            Some(&[]),
        ),
        ("contact = 'joe'", &[], Some(&[("CONTACTS", "anna")])),
        (
            "contact_group = 'ops'",
            &[("SERVICECONTACTGROUPNAMES", "ops")],
            Some(&[("HOSTCONTACTGROUPNAMES", "ops")]),
        ),
        ("output = '~~USED'", &[], Some(&[("SERVICEOUTPUT", "free")])),
        (
            "comment = '*ticket*'",
            &[("NOTIFICATIONCOMMENT", "see ticket 5")],
            Some(&[]),
        ),
        (
            "author = 'anna'",
            &[("NOTIFICATIONAUTHOR", "anna")],
            Some(&[]),
        ),
        ("about = 'service'", &[], Some(&[("SERVICEDESC", "")])),
        ("about = 'host'", &[("SERVICEDESC", "")], Some(&[])),
        (
            "type = ['problem', 'downtime']",
            &[("NOTIFICATIONTYPE", "DOWNTIMECANCELLED")],
            Some(&[("NOTIFICATIONTYPE", "CUSTOM")]),
        ),
        ("state = 'critical'", &[], Some(&[("SERVICESTATE", "OK")])),
        (
            "previous = 'ok'",
            &[("LASTSERVICESTATE", "OK"), ("SERVICEATTEMPT", "1")],
            Some(&[("PREVIOUSSERVICEHARDSTATE", "WARNING")]),
        ),
        (
            "number = 2",
            &[],
            Some(&[("SERVICENOTIFICATIONNUMBER", "3")]),
        ),
        (
            "number = '2-'",
            &[("SERVICENOTIFICATIONNUMBER", "99")],
            Some(&[("SERVICENOTIFICATIONNUMBER", "0")]),
        ),
        (
            "throttle = { after = 2, every = 5 }",
            &[("SERVICENOTIFICATIONNUMBER", "7")],
            Some(&[("SERVICENOTIFICATIONNUMBER", "8")]),
        ),
        ("attempt = '3'", &[("SERVICEATTEMPT", "3")], Some(&[])),
        (
            "host_label = { tier = 'prod*' }",
            &[],
            Some(&[("HOSTLABEL_tier", "test")]),
        ),
        (
            "host_variable = { SL = ['20', '30'] }",
            &[("HOST_SL", "20")],
            Some(&[]),
        ),
        (
            "service_variable = { SL = '~[2-9]0' }",
            &[("SERVICE_SL", "20")],
            Some(&[]),
        ),
        (
            "service_label = { a = '1' }",
            &[("SERVICELABEL_a", "1")],
            Some(&[]),
        ),
        ("context = { EC_ID = '*' }", &[("EC_ID", "5")], Some(&[])),
    ] {
        let text = format!("match = 'first'\n[[rule]]\n{condition}\nlanes = 'mail'\n");
        let rules = rules(&text);
        let decide = |more| {
            with_event(&problem_with(more), NOON + 300, |event| {
                (told(&rules.decide(event)), rules.explain(event))
            })
        };
        // The site of all of them is the same.
        if !["not_site = 'customer1?'", "site = 'central'"].contains(&condition) {
            assert_eq!(decide(passes).0, "mail()", "{condition} {passes:?}");
        }
        if let Some(fails) = fails {
            let (told, explanation) = decide(fails);
            assert_eq!(told, "", "{condition} {fails:?}");
            let Outcome::FitsNot(why) = &explanation.rules[0].1 else {
                panic!("{condition}: {explanation:?}");
            };
            assert_eq!(why.len(), 1, "{condition}: {why:?}");
        }
    }
}

#[test]
fn ages_and_periods_are_those_of_the_moment_that_is_meant() {
    // It happened at noon in Berlin, which is ten o'clock in UTC.
    for (condition, fits_after_minutes, fits_not_after) in [
        ("older_than = '4m'", Some(5), Some(3)),
        ("younger_than = '6m'", Some(5), Some(7)),
        ("period = 'noon'", Some(5), Some(60)),
        ("period = 'later'", Some(60), Some(5)),
        ("period = 'noon'\nperiod_of = 'event'", Some(60), None),
        ("period = 'later'\nperiod_of = 'event'", None, Some(60)),
        ("period = 'noon'\nperiod_of = 'now'", Some(5), Some(60)),
    ] {
        let rules = rules(&format!(
            "match = 'first'\n[[period]]\nname = 'noon'\nzone = 'UTC'\nmonday = '10:00-10:30'\n\
             [[period]]\nname = 'later'\nzone = 'UTC'\nmonday = '11:00-11:30'\n\
             [[rule]]\n{condition}\nlanes = 'mail'\n"
        ));
        for (minutes, want) in [(fits_after_minutes, "mail()"), (fits_not_after, "")] {
            let Some(minutes) = minutes else { continue };
            let now = NOON + minutes * 60;
            let decision = with_event(PROBLEM, now, |event| rules.decide(event));
            assert_eq!(told(&decision), want, "{condition} after {minutes} min");
        }
    }
}

#[test]
fn first_and_all_differ_and_the_fallback_is_for_no_rule_at_all() {
    let text = "[[rule]]\nname = 'a'\nhost = 'db*'\nlanes = 'one'\n\
                [[rule]]\nname = 'b'\nstate = 'critical'\nlanes = 'two'\n\
                [fallback]\nlanes = 'last'\n";
    let first = rules(&format!("match = 'first'\n{text}"));
    let all = rules(&format!("match = 'all'\n{text}"));
    with_event(PROBLEM, NOON, |event| {
        assert_eq!(told(&first.decide(event)), "one()");
        assert_eq!(told(&all.decide(event)), "one() two()");
        assert_eq!(first.explain(event).rules[1].1, Outcome::NotReached);
    });
    let other = problem_with(&[("HOSTNAME", "x"), ("SERVICESTATE", "OK")]);
    with_event(&other, NOON, |event| {
        let decision = all.decide(event);
        assert_eq!(
            (told(&decision), decision.is_fallback),
            ("last()".to_owned(), true)
        );
    });
}

#[test]
fn a_rule_that_fits_and_tells_nobody_leaves_nothing_to_the_fallback() {
    let rules = rules(
        "match = 'all'\n[[contact]]\nname = 'joe'\ndisabled = true\n\
         [[rule]]\ncontacts = 'joe'\nlanes = 'mail'\n[fallback]\nlanes = 'last'\n",
    );
    with_event(PROBLEM, NOON, |event| {
        let explanation = rules.explain(event);
        assert_eq!(told(&explanation.decision), "");
        let Outcome::Fits { passed_over, .. } = &explanation.rules[0].1 else {
            panic!("{explanation:?}");
        };
        assert_eq!(passed_over.len(), 1);
        assert!(passed_over[0].1.contains("no notifications"));
    });
}

#[test]
fn equal_deliveries_are_one_and_different_parameters_are_two() {
    let rules = rules(
        "match = 'all'\n[[contact]]\nname = 'a'\n[[contact]]\nname = 'b'\n\
         [[rule]]\nname='1'\ncontacts = ['a', 'b']\nlanes = 'mail'\n[[rule]]\nname='2'\ncontacts = 'b'\nlanes = 'mail'\n\
         [[rule]]\nname='3'\ncontacts = 'b'\nlanes = 'mail'\nparameters = { from = 'x' }\n\
         [[rule]]\nname='4'\ncontacts = 'a'\ncancel = true\n",
    );
    with_event(PROBLEM, NOON, |event| {
        assert_eq!(told(&rules.decide(event)), "mail(b) mail(b)");
    });
}

#[test]
fn every_mistake_of_a_file_is_listed_with_its_place() {
    let text = "match = 'some'\n[[rule]]\nhots = 'x'\nhost = '~('\nstate = 'bad'\nlanes = 'mail'\ncontacts = 'nobody'\n\
                period = 'unknown'\ntype = 'fire'\nnumber = '5-2'\n[[rule]]\ncontact_groups = 'none'\n[contacts]\nnagios = 'missing.cfg'\n";
    let problems = Rules::parse("r.toml", text, Path::new("/nonexistent")).unwrap_err();
    let all = problems.join("\n");
    for want in [
        "r.toml:1:9: `match` must be \"first\" or \"all\"",
        "r.toml:3:1: unknown key `hots`, did you mean `host`?",
        "r.toml:4:8: `host` \"(\" is no regular expression",
        "r.toml:5:9: `state` \"bad\" is none of up, down",
        "r.toml:7:12: `contacts` names \"nobody\", who is no contact",
        "r.toml:8:10: `period` \"unknown\" is no [[period]]",
        "r.toml:9:8: `type` \"fire\" is none of",
        "r.toml:10:10: `number` ends before it begins",
        "`lanes` is missing in [rule]",
        "`contact_groups` names \"none\", a group that no contact is in",
        "missing.cfg: ",
    ] {
        assert!(all.contains(want), "{want} is missing in\n{all}");
    }
}

#[test]
fn contacts_come_from_files_beside_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(
        "contacts.cfg",
        "define contact {\n  contact_name joe\n  email joe@example.org\n  contactgroups ops\n}\n",
    );
    write(
        "contacts.mk",
        "contacts.update({'anna': {'email': 'anna@example.org', 'contactgroups': ['ops']}})\n",
    );
    write(
        "rules.toml",
        "match = 'all'\n[contacts]\nnagios = 'contacts.cfg'\ncheckmk = ['contacts.mk']\n\
         [[rule]]\ncontact_groups = 'ops'\nlanes = 'mail'\n",
    );
    let rules = Rules::read(&directory.path().join("rules.toml")).unwrap();
    with_event(PROBLEM, NOON, |event| {
        assert_eq!(told(&rules.decide(event)), "mail(anna,joe)");
    });
}
