//! Why an event reaches those that it reaches.

use bstr::BString;

use crate::decide::{Decision, Mode, Rules};
use crate::event::Event;

/// What each rule made of one event.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What becomes of it.
    pub decision: Decision,
    /// Every rule by its name, in order.
    pub rules: Vec<(String, Outcome)>,
}

/// What one rule made of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its conditions hold.
    Fits {
        /// Whether it takes away instead of adding.
        cancels: bool,
        /// Its lanes.
        lanes: Vec<String>,
        /// Those it chose.
        contacts: Vec<BString>,
        /// Those it would have chosen, and why they are not told.
        passed_over: Vec<(BString, String)>,
    },
    /// These conditions do not hold, each with what the event has instead.
    FitsNot(Vec<String>),
    /// A rule before it was the first that fitted.
    NotReached,
}

impl Rules {
    /// Says why [`Rules::decide`] decides as it does.
    pub fn explain(&self, event: &Event<'_>) -> Explanation {
        let mut is_decided = false;
        let rules = self.rules.iter().map(|rule| {
            let outcome = if is_decided {
                Outcome::NotReached
            } else if rule.fits(event, &self.periods) {
                is_decided = self.mode == Mode::First;
                let chosen = self.choose(&rule.choice, event);
                Outcome::Fits {
                    cancels: rule.cancels,
                    lanes: rule.choice.lanes.clone(),
                    contacts: chosen
                        .contacts
                        .iter()
                        .map(|contact| contact.name.clone())
                        .collect(),
                    passed_over: chosen.passed_over,
                }
            } else {
                let failing = rule.conditions.iter();
                let failing = failing.filter(|condition| !condition.holds(event, &self.periods));
                Outcome::FitsNot(failing.map(|condition| condition.why_not(event)).collect())
            };
            (rule.name.clone(), outcome)
        });
        Explanation {
            rules: rules.collect(),
            decision: self.decide(event),
        }
    }
}
