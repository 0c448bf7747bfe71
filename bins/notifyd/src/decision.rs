//! What rules say of one notification, as targets of the journal.

use std::panic::{AssertUnwindSafe, catch_unwind};

use objects::UnixTime;
use rules::{Event, Outcome, Rules, Told};
use spool::{Job, Target};

use crate::route::Route;

/// Longest reason that is recorded, in bytes.
const MAX_REASON: usize = 1000;

/// What becomes of a notification.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    To(Vec<Target>),
    /// With the reason.
    Nobody(String),
    /// The rules could not be followed.
    NotYet(String),
}

/// Follows `rules`.
pub(crate) fn by_rules(rules: &Rules, route: &Route, now: UnixTime) -> Decided {
    let event = Event::new(route.context(), &route.site, route.created, now);
    // Nothing that comes over the network may end the thread that owns the
    // journal: it would come again after the next start.
    match catch_unwind(AssertUnwindSafe(|| decide(rules, &event))) {
        Ok(decided) => decided,
        Err(_) => Decided::NotYet("following them failed, which is a fault of notifyd".to_owned()),
    }
}

fn decide(rules: &Rules, event: &Event<'_>) -> Decided {
    let decision = rules.decide(event);
    if decision.deliveries.is_empty() {
        return Decided::Nobody(why_nobody(rules, event));
    }
    let job = |delivery| {
        let told = Told::of(delivery);
        Target::Job(Job::new(&delivery.lane, &told.print()))
    };
    Decided::To(decision.deliveries.iter().map(job).collect())
}

/// `rule "nights" fits, but anna is told in work only`
fn why_nobody(rules: &Rules, event: &Event<'_>) -> String {
    let mut reasons = Vec::new();
    for (name, outcome) in rules.explain(event).rules {
        let Outcome::Fits {
            cancels,
            contacts,
            passed_over,
            ..
        } = outcome
        else {
            continue;
        };
        let passed: Vec<String> = passed_over
            .iter()
            .map(|(who, why)| format!("{who} {why}"))
            .collect();
        reasons.push(match (cancels, passed.is_empty()) {
            (true, _) => format!("rule {name:?} cancels"),
            (false, true) if contacts.is_empty() => {
                format!("rule {name:?} fits, but chooses no contacts")
            }
            (false, true) => format!("rule {name:?} fits"),
            (false, false) => format!("rule {name:?} fits, but {}", passed.join(", ")),
        });
    }
    let mut reason = match reasons.is_empty() {
        true => "no rule fits".to_owned(),
        false => reasons.join("; "),
    };
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const RULES: &str = r#"
match = "all"
[[period]]
name = "never"
[[contact]]
name = "anna"
email = "anna@example.org"
[[contact]]
name = "joe"
period = "never"
[[rule]]
name = "disks"
service = "Disk*"
contacts = "anna"
lanes = ["mail", "sms"]
parameters = { from = "mon@example.org" }
[[rule]]
name = "also by joe"
service = "Disk*"
contacts = "joe"
lanes = "sms"
[[rule]]
name = "nights"
service = "Load"
contacts = "joe"
lanes = "sms"
"#;

    fn decided(service: &str) -> Decided {
        let rules = Rules::parse("rules.toml", RULES, Path::new(".")).unwrap();
        let body = format!(
            "{{\"v\":1,\"id\":\"0199d3a8-0000-7000-8000-000000000001\",\"kind\":\"raw\",\"created_us\":100000000,\
             \"site\":\"remote1\",\"path\":[],\"context\":{{\"HOSTNAME\":\"db1\",\"SERVICEDESC\":\"{service}\"}}}}"
        );
        let own = objects::SiteId::new("central").unwrap();
        let route = crate::route::Incoming::read(body.as_bytes(), &own)
            .unwrap()
            .route;
        by_rules(&rules, &route, UnixTime::from_secs(107))
    }

    #[test]
    fn a_decision_says_who_is_told_by_which_rule_and_how() {
        let Decided::To(targets) = decided("Disk /") else {
            panic!("{:?}", decided("Disk /"));
        };
        let told: Vec<(String, Told)> = targets
            .iter()
            .map(|target| match target {
                Target::Job(job) => {
                    let told = Told::parse(job.detail().unwrap()).unwrap();
                    (job.lane().to_owned(), told)
                }
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(told.len(), 2);
        for (lane, told) in &told {
            assert!(lane == "mail" || lane == "sms");
            assert_eq!(told.rules, ["disks"]);
            assert_eq!(
                told.parameters,
                [("FROM".to_owned(), "mon@example.org".to_owned())]
            );
            assert!(told.names().eq(["anna"]));
            assert_eq!(told.contacts[0].email, "anna@example.org");
        }
        assert_eq!(decided("Disk /"), Decided::To(targets), "the same again");
    }

    #[test]
    fn nobody_to_notify_has_a_reason() {
        for (service, want) in [
            ("CPU", "no rule fits"),
            (
                "Load",
                "rule \"nights\" fits, but joe is told in never only",
            ),
        ] {
            assert_eq!(
                decided(service),
                Decided::Nobody(want.to_owned()),
                "{service}"
            );
        }
    }
}
