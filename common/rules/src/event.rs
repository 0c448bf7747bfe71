//! What rules look at: one notification, its context taken apart once.

use std::fmt;

use bstr::{BStr, ByteSlice};
use objects::notification::Context;
use objects::{SiteId, UnixTime};

/// The context's word for nobody in particular.
const NOBODY: &[u8] = b"check-mk-notify";

/// Why a notification was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// Something went wrong.
    Problem,
    /// It is well again.
    Recovery,
    /// Somebody takes care.
    Acknowledgement,
    /// A downtime begins.
    DowntimeStart,
    /// A downtime is over.
    DowntimeEnd,
    /// A downtime was taken away before its end.
    DowntimeCancelled,
    /// The state began to flap.
    FlappingStart,
    /// The state flaps no more.
    FlappingStop,
    /// The search for flapping was switched off.
    FlappingDisabled,
    /// Sent by hand.
    Custom,
    /// An alert handler has run.
    AlertHandler,
    /// A word that is not known here.
    Other,
}

impl Type {
    /// All that have a word in rules.
    pub(crate) const KNOWN: [(Self, &'static str); 11] = [
        (Self::Problem, "problem"),
        (Self::Recovery, "recovery"),
        (Self::Acknowledgement, "acknowledgement"),
        (Self::DowntimeStart, "downtimestart"),
        (Self::DowntimeEnd, "downtimeend"),
        (Self::DowntimeCancelled, "downtimecancelled"),
        (Self::FlappingStart, "flappingstart"),
        (Self::FlappingStop, "flappingstop"),
        (Self::FlappingDisabled, "flappingdisabled"),
        (Self::Custom, "custom"),
        (Self::AlertHandler, "alerthandler"),
    ];

    /// Of the word in `NOTIFICATIONTYPE`, whose details in brackets do not count.
    /// Icinga 2 says `FLAPPINGEND` for the end of flapping, Nagios
    /// `DOWNTIMEREMOVED` for a downtime that was taken away in old releases.
    pub fn of(word: &[u8]) -> Self {
        let end = word.find_byteset(b" (").unwrap_or(word.len());
        let word = word[..end].to_ascii_lowercase();
        match &word[..] {
            b"flappingend" => Self::FlappingStop,
            b"downtimeremoved" => Self::DowntimeCancelled,
            word => Self::KNOWN
                .iter()
                .find(|(_, known)| known.as_bytes() == word)
                .map_or(Self::Other, |(known, _)| *known),
        }
    }

    /// The word in rules.
    pub fn word(self) -> &'static str {
        let known = Self::KNOWN.iter().find(|(known, _)| *known == self);
        known.map_or("other", |(_, word)| word)
    }
}

/// A state of a host or a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Of hosts.
    Up,
    /// Of hosts.
    Down,
    /// Of hosts.
    Unreachable,
    /// Of services.
    Ok,
    /// Of services.
    Warning,
    /// Of services.
    Critical,
    /// Of services.
    Unknown,
}

impl State {
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::Up, "up"),
        (Self::Down, "down"),
        (Self::Unreachable, "unreachable"),
        (Self::Ok, "ok"),
        (Self::Warning, "warning"),
        (Self::Critical, "critical"),
        (Self::Unknown, "unknown"),
    ];

    /// Of a word in any case; the short ones (`CRIT`, `UNREACH`) count, too.
    pub fn of(word: &[u8]) -> Option<Self> {
        if word.len() < 2 {
            return None;
        }
        let word = word.to_ascii_lowercase();
        let mut all = Self::ALL.iter();
        let (state, _) = all.find(|(state, long)| {
            let long = long.as_bytes();
            long == word || (word.len() >= 4 && *state != Self::Down && long.starts_with(&word))
        })?;
        Some(*state)
    }

    /// The word in rules.
    pub fn word(self) -> &'static str {
        let all = Self::ALL.iter().find(|(state, _)| *state == self);
        all.map_or("", |(_, word)| word)
    }

    /// Whether nothing is wrong.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Up | Self::Ok)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One notification as rules see it.
#[derive(Debug)]
pub struct Event<'a> {
    /// Where it was submitted.
    pub site: &'a SiteId,
    /// When it was submitted, by the clock of its origin.
    pub created: UnixTime,
    /// When it is looked at.
    pub now: UnixTime,
    /// Why it was made.
    pub what: Type,
    /// Its host.
    pub host: &'a BStr,
    /// Its service; `None` in a notification of a host.
    pub service: Option<&'a BStr>,
    /// The state that it reports, if its word is known.
    pub state: Option<State>,
    /// The hard state before; `None` if the core did not say.
    pub previous: Option<State>,
    /// The how manyth notification of the problem it is, from 1.
    pub number: u64,
    pub(crate) host_groups: Vec<&'a [u8]>,
    pub(crate) service_groups: Vec<&'a [u8]>,
    pub(crate) contacts: Vec<&'a [u8]>,
    pub(crate) contact_groups: Vec<&'a [u8]>,
    pub(crate) context: &'a Context,
}

impl<'a> Event<'a> {
    /// Takes a context apart. `site` and `created` are those of the envelope.
    pub fn new(context: &'a Context, site: &'a SiteId, created: UnixTime, now: UnixTime) -> Self {
        let get = |name: &str| {
            context
                .get(name)
                .map_or(b"".as_bstr(), |value| value.as_bstr())
        };
        let service = get("SERVICEDESC");
        let service = (!service.is_empty()).then_some(service);
        let pick = |of_service: &'static str, of_host: &'static str| {
            get(if service.is_some() {
                of_service
            } else {
                of_host
            })
        };
        let state = State::of(pick("SERVICESTATE", "HOSTSTATE"));
        let number = pick("SERVICENOTIFICATIONNUMBER", "HOSTNOTIFICATIONNUMBER");
        let groups = pick("SERVICECONTACTGROUPNAMES", "HOSTCONTACTGROUPNAMES");
        let mut contacts = list(get("CONTACTS"));
        let own = get("CONTACTNAME");
        if own != NOBODY && !contacts.contains(&own.as_bytes()) {
            contacts.extend(list(own));
        }
        Self {
            site,
            created,
            now,
            what: Type::of(get("NOTIFICATIONTYPE")),
            host: get("HOSTNAME"),
            service,
            state,
            previous: previous(&pick, state),
            number: number_of(number).unwrap_or(1).max(1),
            host_groups: list(get("HOSTGROUPNAMES")),
            service_groups: list(get("SERVICEGROUPNAMES")),
            contacts,
            contact_groups: list(groups),
            context,
        }
    }

    /// An entry of the context; empty if it has none.
    pub(crate) fn get(&self, name: &str) -> &'a [u8] {
        self.context.get(name).map_or(b"", |value| value.as_slice())
    }

    /// The same of the service, where there is one, else of the host.
    pub(crate) fn pick(&self, of_service: &str, of_host: &str) -> &'a [u8] {
        match self.service {
            Some(_) => self.get(of_service),
            None => self.get(of_host),
        }
    }

    /// The contact whom the core itself chose; `None` if it chose nobody.
    pub(crate) fn own_contact(&self) -> Option<&'a [u8]> {
        let name = self.get("CONTACTNAME");
        (!name.is_empty() && name != NOBODY).then_some(name)
    }
}

/// The hard state before. Cores that do not send it are asked otherwise: the
/// last state where it is the present one is a good one, and at the first
/// attempt, or if it was good, the last state was hard. What then is not known is
/// `None`, but for good news, which can come after their own opposite only.
fn previous<'a>(
    pick: &impl Fn(&'static str, &'static str) -> &'a BStr,
    state: Option<State>,
) -> Option<State> {
    let sent = pick("PREVIOUSSERVICEHARDSTATE", "PREVIOUSHOSTHARDSTATE");
    if !sent.is_empty() {
        return State::of(sent);
    }
    let last = State::of(pick("LASTSERVICESTATE", "LASTHOSTSTATE"));
    if last.is_some() && last == state {
        return match state {
            Some(State::Up | State::Down | State::Unreachable) => Some(State::Up),
            _ => Some(State::Ok),
        };
    }
    let attempt = number_of(pick("SERVICEATTEMPT", "HOSTATTEMPT"));
    if attempt == Some(1) || [state, last].into_iter().flatten().any(State::is_good) {
        return last;
    }
    None
}

/// What stands between commas.
fn list(value: &BStr) -> Vec<&[u8]> {
    let items = value.split(|b| *b == b',').map(<[u8]>::trim);
    items
        .filter(|item| !item.is_empty() && *item != b"?")
        .collect()
}

pub(crate) fn number_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(text: &str) -> Context {
        let entry = |line: &str| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.into())
        };
        text.split(' ').map(entry).collect()
    }

    #[test]
    fn the_state_before_is_told_or_deduced() {
        let site = SiteId::new("a").unwrap();
        for (text, want) in [
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL PREVIOUSSERVICEHARDSTATE=WARNING",
                Some(State::Warning),
            ),
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL PREVIOUSSERVICEHARDSTATE=?",
                None,
            ),
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL LASTSERVICESTATE=CRITICAL",
                Some(State::Ok),
            ),
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL LASTSERVICESTATE=WARNING SERVICEATTEMPT=1",
                Some(State::Warning),
            ),
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL LASTSERVICESTATE=WARNING SERVICEATTEMPT=3",
                None,
            ),
            (
                "SERVICEDESC=x SERVICESTATE=CRITICAL LASTSERVICESTATE=OK",
                Some(State::Ok),
            ),
            (
                "SERVICEDESC=x SERVICESTATE=OK LASTSERVICESTATE=WARNING SERVICEATTEMPT=3",
                Some(State::Warning),
            ),
            (
                "HOSTNAME=h HOSTSTATE=DOWN LASTHOSTSTATE=DOWN",
                Some(State::Up),
            ),
            (
                "HOSTNAME=h HOSTSTATE=UP LASTHOSTSTATE=UNREACHABLE",
                Some(State::Unreachable),
            ),
            ("HOSTNAME=h", None),
        ] {
            let context = context(text);
            let event = Event::new(
                &context,
                &site,
                UnixTime::from_secs(1),
                UnixTime::from_secs(2),
            );
            assert_eq!(event.previous, want, "{text}");
        }
    }

    #[test]
    fn words_of_several_cores_mean_the_same() {
        for (word, want) in [
            ("PROBLEM", Type::Problem),
            ("ACKNOWLEDGEMENT (CRITICAL)", Type::Acknowledgement),
            ("FLAPPINGEND", Type::FlappingStop),
            ("FLAPPINGSTOP", Type::FlappingStop),
            ("DOWNTIMECANCELLED", Type::DowntimeCancelled),
            ("ALERTHANDLER (OK)", Type::AlertHandler),
            ("", Type::Other),
            ("HELLO", Type::Other),
        ] {
            assert_eq!(Type::of(word.as_bytes()), want, "{word}");
        }
        for (word, want) in [
            ("CRIT", Some(State::Critical)),
            ("critical", Some(State::Critical)),
            ("UNREACH", Some(State::Unreachable)),
            ("UNREACHABLE", Some(State::Unreachable)),
            ("UNKN", Some(State::Unknown)),
            ("OK", Some(State::Ok)),
            ("O", None),
            ("?", None),
            ("", None),
        ] {
            assert_eq!(State::of(word.as_bytes()), want, "{word}");
        }
    }

    #[test]
    fn contacts_of_the_object_and_of_the_notification_are_both_there() {
        let site = SiteId::new("a").unwrap();
        let context = context("CONTACTS=joe,anna CONTACTNAME=bob HOSTGROUPNAMES=linux,,web");
        let event = Event::new(
            &context,
            &site,
            UnixTime::from_secs(1),
            UnixTime::from_secs(1),
        );
        assert_eq!(event.contacts, [&b"joe"[..], b"anna", b"bob"]);
        assert_eq!(event.host_groups, [&b"linux"[..], b"web"]);
        assert_eq!(event.own_contact(), Some(&b"bob"[..]));
        assert_eq!(event.number, 1);
    }
}
