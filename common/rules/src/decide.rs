//! What becomes of an event: the rules in their order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bstr::BString;

use crate::condition::Condition;
use crate::contact::{Contact, Contacts};
use crate::event::Event;
use crate::period::Periods;

/// A file of rules.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(crate) mode: Mode,
    pub(crate) rules: Vec<Rule>,
    pub(crate) fallback: Option<Choice>,
    pub(crate) contacts: Contacts,
    pub(crate) periods: Periods,
    pub(crate) sources: Vec<PathBuf>,
}

/// Which of the rules whose conditions hold are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    First,
    All,
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) conditions: Vec<Condition>,
    /// Whether its choice is taken away from what rules before it chose.
    pub(crate) cancels: bool,
    pub(crate) choice: Choice,
}

/// Whom a rule chooses, and how they are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) lanes: Vec<String>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) contacts: Vec<BString>,
    pub(crate) groups: Vec<String>,
    pub(crate) addresses: Vec<Arc<Contact>>,
    /// The contacts of the host or service.
    pub(crate) of_object: bool,
    /// The one that the core chose.
    pub(crate) of_event: bool,
}

/// What stands for the name of a rule where none fitted.
const FALLBACK: &str = "fallback";

/// What becomes of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Everything that is to be delivered; nothing if nobody is to be told.
    pub deliveries: Vec<Delivery>,
    /// Whether no rule fitted and the fallback was taken.
    pub is_fallback: bool,
}

/// One delivery: equal ones of several rules are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The lane that it goes through.
    pub lane: String,
    /// The rules that chose it, by name, in their order; `fallback` for that.
    pub rules: Vec<String>,
    /// What plugins see as `PARAMETER_*`, without that prefix, by name.
    pub parameters: Vec<(String, String)>,
    /// Who is told, by name; nobody where a lane knows its recipients itself.
    pub contacts: Vec<Arc<Contact>>,
}

/// Deliveries while rules are still being followed. The lane's own recipients
/// are no contacts, so that a rule that cancels contacts does not touch them.
#[derive(Default)]
struct Plan(BTreeMap<(String, Vec<(String, String)>), Planned>);

#[derive(Default)]
struct Planned {
    by_lane: bool,
    rules: Vec<String>,
    contacts: BTreeMap<BString, Arc<Contact>>,
}

/// Whom a choice means in one event.
pub(crate) struct Chosen {
    /// `false` where the rule names no contacts at all.
    pub(crate) by_contacts: bool,
    pub(crate) contacts: Vec<Arc<Contact>>,
    /// Chosen, but not told, with the reason.
    pub(crate) passed_over: Vec<(BString, String)>,
}

impl Rules {
    /// Says who is told of `event`, by which lanes.
    pub fn decide(&self, event: &Event<'_>) -> Decision {
        let mut plan = Plan::default();
        let mut matched = false;
        for rule in &self.rules {
            if !rule.fits(event, &self.periods) {
                continue;
            }
            matched = true;
            let chosen = self.choose(&rule.choice, event);
            plan.follow(&rule.name, rule.cancels, &rule.choice, &chosen);
            if self.mode == Mode::First {
                break;
            }
        }
        if let (false, Some(fallback)) = (matched, &self.fallback) {
            let chosen = self.choose(fallback, event);
            plan.follow(FALLBACK, false, fallback, &chosen);
        }
        Decision {
            deliveries: plan.deliveries(),
            is_fallback: !matched && self.fallback.is_some(),
        }
    }

    /// Finds the contacts of a choice.
    pub(crate) fn choose(&self, choice: &Choice, event: &Event<'_>) -> Chosen {
        let mut all: BTreeMap<BString, Arc<Contact>> = BTreeMap::new();
        let mut passed_over = Vec::new();
        let named = choice
            .contacts
            .iter()
            .filter_map(|name| self.contacts.get(name));
        let members = choice
            .groups
            .iter()
            .flat_map(|group| self.contacts.members(group));
        for contact in named.chain(members).chain(&choice.addresses) {
            all.insert(contact.name.clone(), Arc::clone(contact));
        }
        let own = choice.of_event.then(|| event.own_contact()).flatten();
        let object: &[&[u8]] = if choice.of_object {
            &event.contacts
        } else {
            &[]
        };
        for name in object.iter().copied().chain(own) {
            match self.contacts.get(name) {
                Some(contact) => {
                    all.insert(contact.name.clone(), Arc::clone(contact));
                }
                // The notification itself may say how its own contact is reached.
                None if event.own_contact() == Some(name) => {
                    if let Some(contact) = Contact::of_event(event) {
                        all.insert(contact.name.clone(), Arc::new(contact));
                    }
                }
                None => passed_over.push((name.into(), "is not known here".to_owned())),
            }
        }
        all.retain(|name, contact| {
            let period = contact.period(event);
            let why = if contact.is_disabled {
                "wants no notifications at present".to_owned()
            } else if !self.periods.has(period, event.now) {
                format!("is told in {period} only")
            } else {
                return true;
            };
            passed_over.push((name.clone(), why));
            false
        });
        Chosen {
            by_contacts: choice.names_contacts(),
            contacts: all.into_values().collect(),
            passed_over,
        }
    }
}

impl Rule {
    pub(crate) fn fits(&self, event: &Event<'_>, periods: &Periods) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|condition| condition.holds(event, periods))
    }
}

impl Choice {
    pub(crate) fn names_contacts(&self) -> bool {
        let none = self.contacts.is_empty() && self.groups.is_empty() && self.addresses.is_empty();
        !none || self.of_object || self.of_event
    }
}

impl Plan {
    fn follow(&mut self, rule: &str, cancels: bool, choice: &Choice, chosen: &Chosen) {
        if cancels {
            for ((lane, _), told) in &mut self.0 {
                if choice.lanes.is_empty() || choice.lanes.contains(lane) {
                    told.cancel(chosen);
                }
            }
            return;
        }
        for lane in &choice.lanes {
            let key = (lane.clone(), choice.parameters.clone());
            let told = self.0.entry(key).or_default();
            told.by_lane |= !chosen.by_contacts;
            if !chosen.by_contacts || !chosen.contacts.is_empty() {
                told.rules.push(rule.to_owned());
            }
            for contact in &chosen.contacts {
                told.contacts
                    .insert(contact.name.clone(), Arc::clone(contact));
            }
        }
    }

    fn deliveries(self) -> Vec<Delivery> {
        let told = self.0.into_iter();
        let told = told.filter(|(_, told)| told.by_lane || !told.contacts.is_empty());
        let delivery = |((lane, parameters), told): (_, Planned)| Delivery {
            lane,
            rules: told.rules,
            parameters,
            contacts: told.contacts.into_values().collect(),
        };
        told.map(delivery).collect()
    }
}

impl Planned {
    /// Takes away the chosen contacts; all and the lane's own if none are named.
    fn cancel(&mut self, chosen: &Chosen) {
        if chosen.by_contacts {
            for contact in &chosen.contacts {
                self.contacts.remove(&contact.name);
            }
        } else {
            *self = Self::default();
        }
    }
}
