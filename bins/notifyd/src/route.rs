//! Which peers and lanes a notification goes to, and whether it is taken at all.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bstr::ByteSlice;
use objects::notification::{self, Context, Kind, MAX_BODY};
use objects::{Envelope, NotificationId, SiteId, UnixTime};
use spool::Label;
use wire::RefusalCode;

use crate::waiting::Object;

/// The entry of a canary that is no test by hand: when its site made it, in
/// microseconds by its clock.
pub(crate) const CANARY: &str = "CANARY";

/// A notification fit to be stored.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) id: NotificationId,
    /// With our site at the end of its path.
    pub(crate) body: Arc<String>,
    pub(crate) route: Route,
}

/// What decides where a stored notification goes.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) object: Object,
    /// What the journal keeps of it beside the body.
    pub(crate) label: Label,
    body: Arc<String>,
    /// All that is known of it, once somebody has asked.
    context: OnceCell<Context>,
    /// Where it was submitted.
    pub(crate) site: SiteId,
    pub(crate) created: UnixTime,
    /// Of its body, in bytes.
    pub(crate) size: u32,
    pub(crate) kind: Kind,
    pub(crate) path: Vec<SiteId>,
    /// Sites before us that have delivered it already.
    pub(crate) delivered: Vec<SiteId>,
    /// The sites it says it is from: its own word, and that of the monitoring.
    pub(crate) origins: Vec<Vec<u8>>,
    /// When a canary was made, by the clock of its site.
    pub(crate) canary: Option<UnixTime>,
    /// How long it may live, in microseconds, if it says so itself.
    pub(crate) lifetime_us: Option<i64>,
}

/// Why a notification is never taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    pub(crate) why: String,
}

impl Incoming {
    /// Checks what came from a peer or out of the drop box, and appends `own`
    /// to its path.
    pub(crate) fn read(body: &[u8], own: &SiteId) -> Result<Self, Refusal> {
        if body.len() > MAX_BODY {
            return Err(notification::Error::TooLarge(body.len()).into());
        }
        let text: Cow<'_, str> = notification::to_utf8(body);
        let envelope = Envelope::parse(&text)?;
        let size = body.len();
        let body = Arc::new(envelope.append_hop(own)?);
        // It must still be readable with the hop in it.
        if body.len() > MAX_BODY {
            return Err(notification::Error::TooLarge(body.len()).into());
        }
        let route = Route::of(&envelope, size, Arc::clone(&body))?;
        Ok(Self {
            id: envelope.id,
            body,
            route,
        })
    }
}

impl Route {
    /// Reads what decides from a notification of `size` bytes; `body` is the same,
    /// or has one hop more.
    pub(crate) fn of(
        envelope: &Envelope<'_>,
        size: usize,
        body: Arc<String>,
    ) -> Result<Self, notification::Error> {
        let names = ["HOSTNAME", "SERVICEDESC", "OMD_SITE", CANARY];
        let [host, service, monitored, canary] = envelope.entries(names)?;
        let lifetime =
            |expires: objects::UnixTime| expires.micros().saturating_sub(envelope.created.micros());
        let [host, service] = [host, service].map(Option::unwrap_or_default);
        let object = Object::of(&host, &service);
        let site = envelope.site.as_str().as_bytes().to_vec();
        let canary = canary.filter(|_| envelope.kind == Kind::Canary);
        let canary = canary.and_then(|made| made.to_str().ok()?.parse().ok());
        Ok(Self {
            origins: std::iter::once(site)
                .chain(monitored.map(Vec::from))
                .collect(),
            label: Label {
                about: object.number(),
            },
            object,
            canary: canary.map(UnixTime::from_micros),
            body,
            context: OnceCell::new(),
            site: envelope.site.clone(),
            created: envelope.created,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            kind: envelope.kind.clone(),
            path: envelope.path.clone(),
            delivered: envelope.delivered.clone(),
            lifetime_us: envelope.expires.map(lifetime),
        })
    }

    /// All that is known of it.
    pub(crate) fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            // It could be read before.
            let envelope = Envelope::parse(&self.body).ok();
            let context = envelope.and_then(|envelope| envelope.context().ok());
            context.unwrap_or_default()
        })
    }

    /// Kinds that are not for people go to peers only.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.kind, Kind::Raw | Kind::Canary)
    }

    /// Whom the core wants to be told, as it names him.
    pub(crate) fn own_contact(&self) -> Object {
        let entries = ["CONTACTNAME", "CONTACTEMAIL", "CONTACTPAGER"];
        let entry = |name| self.context().get(name).map_or(&b""[..], |v| v.as_slice());
        Object::named(entries.map(entry))
    }
}

impl From<notification::Error> for Refusal {
    fn from(error: notification::Error) -> Self {
        use notification::Error;
        let code = match &error {
            Error::TooLarge(_) => RefusalCode::TooLarge,
            Error::NewerFormat(_) => RefusalCode::Unsupported,
            Error::Loop { .. } => RefusalCode::Loop,
            _ => RefusalCode::Corrupt,
        };
        Self {
            code,
            why: program::exit::chain(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteId {
        SiteId::new(name).unwrap()
    }

    fn body(kind: &str, path: &str, extra: &str) -> Vec<u8> {
        format!(
            "{{\"v\":1,\"id\":\"0199d3a8-0000-7000-8000-000000000001\",\"kind\":\"{kind}\",\"created_us\":10,\
             \"site\":\"a\",\"path\":{path}{extra},\"context\":{{\"HOSTNAME\":\"db1\"}}}}"
        )
        .into_bytes()
    }

    #[test]
    fn our_site_is_appended_to_the_path_and_not_all_kinds_are_for_people() {
        for (kind, path, want) in [
            ("raw", "[]", true),
            ("canary", "[\"a\",\"b\"]", true),
            ("result", "[\"b\",\"c\"]", false),
            ("later", "[]", false),
        ] {
            let incoming = Incoming::read(&body(kind, path, ""), &site("own")).unwrap();
            assert_eq!(incoming.route.is_for_people(), want, "{kind}");
            assert!(incoming.body.contains("\"own\"]"), "{}", incoming.body);
        }
    }

    #[test]
    fn what_is_refused_has_a_code() {
        let mut large = body("raw", "[]", "");
        large.resize(MAX_BODY - 1, b' ');
        for (name, body, want) in [
            ("garbage", b"GET / HTTP/1.1".to_vec(), RefusalCode::Corrupt),
            ("empty", Vec::new(), RefusalCode::Corrupt),
            ("loop", body("raw", "[\"own\"]", ""), RefusalCode::Loop),
            ("newer", b"{\"v\":9,\"id\":\"\",\"kind\":\"\",\"created_us\":1,\"site\":\"a\",\"context\":{}}".to_vec(), RefusalCode::Unsupported),
            ("too large with the hop", large, RefusalCode::TooLarge),
            ("too large", vec![b' '; MAX_BODY + 1], RefusalCode::TooLarge),
        ] {
            let refusal = Incoming::read(&body, &site("own")).unwrap_err();
            assert_eq!(refusal.code, want, "{name}: {}", refusal.why);
        }
    }

    #[test]
    fn the_lifetime_is_a_duration() {
        let incoming = Incoming::read(&body("raw", "[]", ",\"expires_us\":25"), &site("own"));
        assert_eq!(incoming.unwrap().route.lifetime_us, Some(15));
    }
}
