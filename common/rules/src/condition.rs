//! The conditions of a rule.

use std::time::Duration;

use bstr::ByteSlice;

use crate::event::{Event, State, Type, number_of};
use crate::pattern::Wanted;
use crate::period::Periods;

/// One condition. All of a rule's must hold.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// One of the values that the event has for this must fit, with `not` none.
    Fits {
        value: Field,
        wanted: Wanted,
        not: bool,
    },
    /// Of hosts, or of services.
    OfService(bool),
    Type(Vec<Type>),
    /// The state it reports.
    State(Vec<State>),
    /// The hard state before; one that is not known could be any.
    Previous(Vec<State>),
    /// The how manyth notification of a problem, the last one with no limit if
    /// `None`; of those behind it only every `every`th.
    Number {
        from: u64,
        to: Option<u64>,
    },
    /// The first `from` always, then each `every`th.
    Throttle {
        from: u64,
        every: u64,
    },
    Attempt {
        from: u64,
        to: Option<u64>,
    },
    /// A period that the moment belongs to.
    Period {
        name: String,
        of: Moment,
    },
    OlderThan(Duration),
    YoungerThan(Duration),
}

/// What a pattern looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Site,
    Host,
    Service,
    HostGroup,
    ServiceGroup,
    Contact,
    ContactGroup,
    Output,
    Comment,
    Author,
    /// An entry of the context; the word is what rules call it.
    Entry {
        name: String,
        called: String,
    },
}

/// Which moment a period is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// When the rule is evaluated.
    Now,
    /// When the event happened.
    Event,
}

impl Field {
    /// All that have one key in a rule.
    pub(crate) const KEYS: [(&'static str, &'static str, Self); 10] = [
        ("site", "not_site", Self::Site),
        ("host", "not_host", Self::Host),
        ("service", "not_service", Self::Service),
        ("host_group", "not_host_group", Self::HostGroup),
        ("service_group", "not_service_group", Self::ServiceGroup),
        ("contact", "not_contact", Self::Contact),
        ("contact_group", "not_contact_group", Self::ContactGroup),
        ("output", "not_output", Self::Output),
        ("comment", "not_comment", Self::Comment),
        ("author", "not_author", Self::Author),
    ];

    fn key(&self) -> &str {
        match self {
            Self::Entry { called, .. } => called,
            field => {
                let mut keys = Self::KEYS.iter();
                keys.find(|(.., known)| known == field)
                    .map_or("", |(key, ..)| key)
            }
        }
    }

    /// Whether one of the values fits.
    fn any(&self, event: &Event<'_>, fits: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::Site => fits(event.site.as_str().as_bytes()),
            Self::Host => fits(event.host),
            Self::Service => event.service.is_some_and(|service| fits(service)),
            Self::HostGroup => event.host_groups.iter().any(|value| fits(value)),
            Self::ServiceGroup => event.service_groups.iter().any(|value| fits(value)),
            Self::Contact => event.contacts.iter().any(|value| fits(value)),
            Self::ContactGroup => event.contact_groups.iter().any(|value| fits(value)),
            Self::Output => fits(event.pick("SERVICEOUTPUT", "HOSTOUTPUT")),
            Self::Comment => fits(event.get("NOTIFICATIONCOMMENT")),
            Self::Author => fits(event.get("NOTIFICATIONAUTHOR")),
            Self::Entry { name, .. } => {
                let value = event.context.get(name);
                value.is_some_and(|value| fits(value))
            }
        }
    }

    fn values(&self, event: &Event<'_>) -> String {
        let seen = std::cell::RefCell::new(Vec::new());
        self.any(event, |value| {
            seen.borrow_mut().push(format!("{:?}", value.as_bstr()));
            false
        });
        let seen = seen.into_inner();
        match &seen[..] {
            [] => "none".to_owned(),
            seen => seen.join(", "),
        }
    }
}

impl Condition {
    pub(crate) fn holds(&self, event: &Event<'_>, periods: &Periods) -> bool {
        match self {
            Self::Fits { value, wanted, not } => {
                value.any(event, |value| wanted.fits(value)) != *not
            }
            Self::OfService(wanted) => event.service.is_some() == *wanted,
            Self::Type(wanted) => wanted.contains(&event.what),
            Self::State(wanted) => event.state.is_some_and(|state| wanted.contains(&state)),
            Self::Previous(wanted) => event.previous.is_none_or(|state| wanted.contains(&state)),
            Self::Number { from, to } => {
                *from <= event.number && to.is_none_or(|to| event.number <= to)
            }
            Self::Throttle { from, every } => {
                event.what == Type::Recovery
                    || event.number <= *from
                    || (event.number - from).is_multiple_of(*every)
            }
            Self::Attempt { from, to } => {
                let attempt = number_of(event.pick("SERVICEATTEMPT", "HOSTATTEMPT"));
                attempt.is_some_and(|n| *from <= n && to.is_none_or(|to| n <= to))
            }
            Self::Period { name, of } => periods.has(name, of.of(event)),
            Self::OlderThan(age) => age_of(event) > *age,
            Self::YoungerThan(age) => age_of(event) < *age,
        }
    }

    /// Says what stands against it, for people.
    pub(crate) fn why_not(&self, event: &Event<'_>) -> String {
        let range = |from: &u64, to: &Option<u64>| match to {
            Some(to) => format!("{from}-{to}"),
            None => format!("{from}-"),
        };
        match self {
            Self::Fits { value, wanted, not } => format!(
                "{} is {}, the rule wants {}{}",
                value.key(),
                value.values(event),
                if *not { "anything but " } else { "" },
                wanted.written().join(" or ")
            ),
            Self::OfService(true) => "it is about a host, the rule about services".to_owned(),
            Self::OfService(false) => "it is about a service, the rule about hosts".to_owned(),
            Self::Type(wanted) => {
                let wanted: Vec<&str> = wanted.iter().map(|what| what.word()).collect();
                let is = event.what.word();
                format!("type is {is}, the rule wants {}", wanted.join(" or "))
            }
            Self::State(wanted) => {
                format!(
                    "state is {}, the rule wants {}",
                    word(event.state),
                    words(wanted)
                )
            }
            Self::Previous(wanted) => {
                let is = word(event.previous);
                format!(
                    "the hard state before is {is}, the rule wants {}",
                    words(wanted)
                )
            }
            Self::Number { from, to } => {
                format!(
                    "number is {}, the rule wants {}",
                    event.number,
                    range(from, to)
                )
            }
            Self::Throttle { from, every } => format!(
                "number is {}, the rule wants those up to {from} and every {every}. behind it",
                event.number
            ),
            Self::Attempt { from, to } => format!(
                "attempt is {:?}, the rule wants {}",
                event.pick("SERVICEATTEMPT", "HOSTATTEMPT").as_bstr(),
                range(from, to)
            ),
            Self::Period {
                name,
                of: Moment::Now,
            } => format!("it is not {name} now"),
            Self::Period {
                name,
                of: Moment::Event,
            } => {
                format!("it was not {name} when it happened")
            }
            Self::OlderThan(age) => {
                format!(
                    "it is {:?} old, the rule wants more than {age:?}",
                    age_of(event)
                )
            }
            Self::YoungerThan(age) => {
                format!(
                    "it is {:?} old, the rule wants less than {age:?}",
                    age_of(event)
                )
            }
        }
    }
}

impl Moment {
    fn of(self, event: &Event<'_>) -> objects::UnixTime {
        match self {
            Self::Now => event.now,
            Self::Event => event.created,
        }
    }
}

/// How long ago it happened; one from the future is new.
fn age_of(event: &Event<'_>) -> Duration {
    let micros = event.now.micros().saturating_sub(event.created.micros());
    Duration::from_secs(u64::try_from(micros).unwrap_or(0) / 1_000_000)
}

fn word(state: Option<State>) -> &'static str {
    state.map_or("not known", State::word)
}

fn words(states: &[State]) -> String {
    let words: Vec<&str> = states.iter().map(|state| state.word()).collect();
    words.join(" or ")
}
