//! A notification: its id, and the JSON body that travels and is stored.
//!
//! ```json
//! {"v":1,"id":"0199…","kind":"raw","created_us":1795217983000000,
//!  "expires_us":1795304383000000,"site":"remote1","path":["remote1"],
//!  "context":{"HOSTNAME":"db1","SERVICEDESC":"Disk /","SERVICESTATE":"CRITICAL"}}
//! ```
//!
//! A body is made once, at submission, and keeps its bytes over all hops but
//! for `path`, which every spooler that stores it appends itself to. Members
//! that this release does not know are therefore kept byte for byte.
//!
//! Values of `context` are bytes. Those that are not UTF-8 are written as the
//! escapes `\udc80` to `\udcff`, one per byte, as Python's `surrogateescape`
//! does it, so that the body is valid JSON in ASCII and UTF-8 throughout and
//! the plugin at the far end gets what the core had.

mod entries;
mod fit;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bstr::{BString, ByteSlice};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{SiteId, UnixTime};
pub use fit::CUT;

/// Format number of the body.
pub const FORMAT: u32 = 1;
/// Longest body, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Longest context that [`parse_context`] reads, in bytes: one that is submitted
/// may be longer than a body, and is then cut.
pub const MAX_CONTEXT: usize = 16 << 20;
/// Most hops a notification may take; one more is a loop.
pub const MAX_HOPS: usize = 8;
/// Most entries of a context.
pub const MAX_ENTRIES: usize = 4096;
/// Longest name of a context entry, in bytes.
pub const MAX_NAME: usize = 256;

/// Identifies a notification over all hops: a UUID of version 7, made once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(Uuid);

impl NotificationId {
    /// A new id; `created` goes into its leading bits, to the microsecond, so
    /// that ids made one after the other are in that order.
    pub fn new(created: UnixTime) -> Self {
        let micros = u64::try_from(created.micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1000).expect("below a second");
        let context = uuid::ContextV7::new().with_additional_precision();
        let time = uuid::Timestamp::from_unix(&context, micros / 1_000_000, nanos);
        Self(Uuid::new_v7(time))
    }

    /// Parses the usual text form. Any version of UUID is taken, because a
    /// caller may bring its core's own id.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The id of what is called `name` at `site`, where it came from something
    /// else than a core: the same name always gives the same id.
    pub fn named(site: &SiteId, name: &[u8]) -> Self {
        const NAMES: Uuid = Uuid::from_u128(0x5d1c_7a55_0f3e_4b3c_9a71_6c1e_52b0_d4f8);
        let site = Uuid::new_v5(&NAMES, site.as_str().as_bytes());
        Self(Uuid::new_v5(&site, name))
    }

    /// The sixteen bytes, as they stand in journal records and frames.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id of those sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id of the job that delivers this notification over `lane`. The same
    /// two always give the same job, so that a second evaluation after a crash
    /// makes nothing twice.
    pub fn job_id(&self, lane: &str) -> Uuid {
        Uuid::new_v5(&self.0, lane.as_bytes())
    }

    /// The same where rules chose the delivery: who is told, and with which
    /// parameters, are part of it. Without any it is [`NotificationId::job_id`].
    pub fn job_id_with<'a>(
        &self,
        lane: &str,
        parameters: &[(String, String)],
        contacts: impl Iterator<Item = &'a [u8]>,
    ) -> Uuid {
        // No name of a lane, no parameter and no contact has a NUL in it.
        let mut name = lane.as_bytes().to_vec();
        for (key, value) in parameters {
            name.extend([b"\0p", key.as_bytes(), b"\0", value.as_bytes()].concat());
        }
        for contact in contacts {
            name.extend([b"\0c", contact].concat());
        }
        Uuid::new_v5(&self.0, &name)
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a body is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// What a core produced: rules and recipients are still to be found.
    Raw,
    /// The end of an earlier notification, on its way back to the origin.
    Result,
    /// A probe that must come out of a lane, to prove that the line works.
    Canary,
    /// A kind of a later release: stored and forwarded, not acted upon.
    Other(String),
}

impl Kind {
    /// The word in the body.
    pub fn word(&self) -> &str {
        match self {
            Self::Raw => "raw",
            Self::Result => "result",
            Self::Canary => "canary",
            Self::Other(word) => word,
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "raw" => Self::Raw,
            "result" => Self::Result,
            "canary" => Self::Canary,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Why a body was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Longer than [`MAX_BODY`].
    TooLarge(usize),
    /// Not JSON, or a member is missing or of the wrong kind.
    Malformed(serde_json::Error),
    /// Written by a newer release in a format this one does not know.
    NewerFormat(u32),
    /// The id is not a UUID.
    BadId(String),
    /// More than [`MAX_ENTRIES`] entries, or a name that is too long or has `=` or NUL.
    BadContext(&'static str),
    /// `own` stands in the path already, or the path is longer than [`MAX_HOPS`].
    Loop {
        /// The site that found out.
        own: SiteId,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(len) => {
                write!(f, "notification has {len} bytes, the limit is {MAX_BODY}")
            }
            Self::Malformed(_) => f.write_str("not a notification"),
            Self::NewerFormat(v) => write!(
                f,
                "notification has format {v}, this release knows up to {FORMAT}"
            ),
            Self::BadId(id) => write!(f, "notification id {id:?} is not a UUID"),
            Self::BadContext(what) => write!(f, "context of the notification {what}"),
            Self::Loop { own } => {
                write!(
                    f,
                    "notification loops: it was at {own} before or took more than {MAX_HOPS} hops"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(cause) => Some(cause),
            _ => None,
        }
    }
}

/// The outside of a body: everything but the context, which stays text.
///
/// This is all a spooler needs in order to store and forward.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub kind: Kind,
    /// When it was submitted, by the clock of the origin.
    pub created: UnixTime,
    /// After which it need not be delivered any more, by the same clock.
    pub expires: Option<UnixTime>,
    /// Where it was submitted.
    pub site: SiteId,
    /// The sites that have stored it, in order.
    pub path: Vec<SiteId>,
    /// Sites on its way that have delivered it themselves, as the next one did not
    /// acknowledge it in time.
    pub delivered: Vec<SiteId>,
    body: &'a str,
    context: &'a RawValue,
    path_text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    created_us: i64,
    #[serde(default)]
    expires_us: Option<i64>,
    site: SiteId,
    #[serde(default, borrow)]
    path: Option<&'a RawValue>,
    #[serde(default)]
    delivered: Vec<SiteId>,
    #[serde(borrow)]
    context: &'a RawValue,
}

impl<'a> Envelope<'a> {
    /// Reads the outside of `body`, which must be UTF-8: see [`to_utf8`].
    pub fn parse(body: &'a str) -> Result<Self, Error> {
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge(body.len()));
        }
        let raw: RawEnvelope<'a> = serde_json::from_str(body).map_err(Error::Malformed)?;
        if raw.v > FORMAT {
            return Err(Error::NewerFormat(raw.v));
        }
        let id = NotificationId::parse(&raw.id).ok_or_else(|| Error::BadId(raw.id.into_owned()))?;
        let path: Vec<SiteId> = match raw.path {
            Some(path) => serde_json::from_str(path.get()).map_err(Error::Malformed)?,
            None => Vec::new(),
        };
        Ok(Self {
            id,
            kind: Kind::from_word(&raw.kind),
            created: UnixTime::from_micros(raw.created_us),
            expires: raw.expires_us.map(UnixTime::from_micros),
            site: raw.site,
            path,
            delivered: raw.delivered,
            body,
            context: raw.context,
            path_text: raw.path,
        })
    }

    /// The body with `own` appended to its path, all other bytes as they were.
    /// An error if it was at `own` before, or came too far.
    pub fn append_hop(&self, own: &SiteId) -> Result<String, Error> {
        if self.path.contains(own) || self.path.len() >= MAX_HOPS {
            return Err(Error::Loop { own: own.clone() });
        }
        let mut path = String::from("[");
        for site in self.path.iter().chain([own]) {
            if path.len() > 1 {
                path.push(',');
            }
            path.push('"');
            path.push_str(site.as_str());
            path.push('"');
        }
        path.push(']');
        let (before, after) = match self.path_text {
            Some(text) => {
                let at = text.get().as_ptr() as usize - self.body.as_ptr() as usize;
                (&self.body[..at], &self.body[at + text.get().len()..])
            }
            None => {
                let brace = self.body.find('{').expect("an object was parsed") + 1;
                let mut out = String::with_capacity(self.body.len() + path.len() + 8);
                out.push_str(&self.body[..brace]);
                out.push_str("\"path\":");
                out.push_str(&path);
                out.push(',');
                out.push_str(&self.body[brace..]);
                return Ok(out);
            }
        };
        let mut out = String::with_capacity(before.len() + path.len() + after.len());
        out.push_str(before);
        out.push_str(&path);
        out.push_str(after);
        Ok(out)
    }

    /// The body with the mark that it was delivered at `own`; none if it has such a
    /// mark already.
    pub fn mark_delivered(&self, own: &SiteId) -> Option<String> {
        if !self.delivered.is_empty() {
            return None;
        }
        let brace = self.body.find('{').expect("an object was parsed") + 1;
        let (before, after) = self.body.split_at(brace);
        Some(format!("{before}\"delivered\":[\"{own}\"],{after}"))
    }

    /// Reads the context.
    pub fn context(&self) -> Result<Context, Error> {
        parse_context(self.context.get())
    }

    /// Checks that the context can be read, and gives the values of these entries
    /// only: nothing is copied of the others.
    pub fn entries<const N: usize>(&self, names: [&str; N]) -> Result<[Option<BString>; N], Error> {
        entries::read(self.context.get(), names)
    }
}

/// Reads a context: a JSON object whose values are all texts.
pub fn parse_context(json: &str) -> Result<Context, Error> {
    if json.len() > MAX_CONTEXT {
        return Err(Error::TooLarge(json.len()));
    }
    let mut context = Context::new();
    let entries: BTreeMap<Cow<'_, str>, Value> =
        serde_json::from_str(json).map_err(Error::Malformed)?;
    if entries.len() > MAX_ENTRIES {
        return Err(Error::BadContext("has too many entries"));
    }
    for (name, Value(value)) in entries {
        check_name(&name)?;
        context.insert(name.into_owned(), value);
    }
    Ok(context)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME || name.contains(['=', '\0']) {
        return Err(Error::BadContext(
            "has a name that is empty, too long, or has '=' or NUL in it",
        ));
    }
    Ok(())
}

/// The variables of a notification, without the prefix `NOTIFY_`.
pub type Context = BTreeMap<String, BString>;

/// A notification about to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub kind: Kind,
    /// When it is submitted.
    pub created: UnixTime,
    /// After which it need not be delivered any more.
    pub expires: Option<UnixTime>,
    /// Where it is submitted.
    pub site: SiteId,
    /// The variables.
    pub context: Context,
}

impl Notification {
    /// Prints the body, with an empty path: the first spooler that stores it
    /// appends itself.
    pub fn print(&self) -> Result<String, Error> {
        if self.context.len() > MAX_ENTRIES {
            return Err(Error::BadContext("has too many entries"));
        }
        let mut out = format!("{{\"v\":{FORMAT},\"id\":\"{}\",\"kind\":", self.id);
        print_json_string(&mut out, self.kind.word().as_bytes());
        out.push_str(&format!(",\"created_us\":{}", self.created.micros()));
        if let Some(expires) = self.expires {
            out.push_str(&format!(",\"expires_us\":{}", expires.micros()));
        }
        out.push_str(&format!(
            ",\"site\":\"{}\",\"path\":[],\"context\":{{",
            self.site
        ));
        let mut separator = "";
        for (name, value) in &self.context {
            check_name(name)?;
            out.push_str(separator);
            separator = ",";
            print_json_string(&mut out, name.as_bytes());
            out.push(':');
            print_json_string(&mut out, value);
        }
        out.push_str("}}\n");
        if out.len() > MAX_BODY {
            return Err(Error::TooLarge(out.len()));
        }
        Ok(out)
    }
}

/// Makes the bytes of a body UTF-8: every byte that is not part of a valid
/// sequence becomes its escape. In JSON such bytes can stand inside strings only.
pub fn to_utf8(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = String::with_capacity(body.len() + 64);
            for chunk in body.utf8_chunks() {
                out.push_str(chunk.valid());
                escape_bytes(&mut out, chunk.invalid());
            }
            Cow::Owned(out)
        }
    }
}

/// Appends `text` as a JSON string, bytes that are not UTF-8 as escapes.
pub fn print_json_string(out: &mut String, text: &[u8]) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if (c as u32) < 0x20 || c == '\x7f' => {
                    out.push_str(&format!("\\u{:04x}", c as u32));
                }
                c => out.push(c),
            }
        }
        escape_bytes(out, chunk.invalid());
    }
    out.push('"');
}

fn escape_bytes(out: &mut String, bytes: &[u8]) {
    for b in bytes {
        out.push_str(&format!("\\udc{b:02x}"));
    }
}

/// A JSON string read as bytes, the escapes of [`print_json_string`] undone.
struct Value(BString);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value(text.into()))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
                Ok(Value(unescape_bytes(bytes)))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// serde_json hands a lone surrogate U+DCxx over as the three bytes ED B2/B3 xx.
fn unescape_bytes(wtf8: &[u8]) -> BString {
    let mut out = Vec::with_capacity(wtf8.len());
    let mut rest = wtf8;
    while let Some(at) = rest.find_byte(0xed) {
        out.extend_from_slice(&rest[..at]);
        match rest[at..] {
            [0xed, second @ 0xb2..=0xb3, third, ..] => {
                // U+DC80..U+DCFF is ED B2 80 .. ED B3 BF; the byte is the low eight bits.
                out.push((second & 0x03) << 6 | (third & 0x3f));
                rest = &rest[at + 3..];
            }
            _ => {
                out.push(0xed);
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        let created = UnixTime::from_secs(1_795_217_983);
        Notification {
            id: NotificationId::new(created),
            kind: Kind::Raw,
            created,
            expires: None,
            site: SiteId::new("remote1").unwrap(),
            context: Context::from([
                ("HOSTNAME".into(), "db1".into()),
                (
                    "SERVICEOUTPUT".into(),
                    BString::from(b"a\"b\\c\n\xe4\xf6 \xf0\x9f\x98\x80 \xed\xb2\x80".to_vec()),
                ),
            ]),
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_creation() {
        let id = |micros: i64| {
            NotificationId::new(UnixTime::from_micros(1_795_217_983_000_000 + micros))
        };
        let ids: Vec<_> = (0..3000i64).map(id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_ne!(id(0), id(0));
        assert_eq!(
            uuid::Uuid::from_bytes(*id(1).as_bytes()).get_version_num(),
            7
        );
    }

    #[test]
    fn a_body_can_be_marked_as_delivered_once() {
        let (own, other) = (SiteId::new("remote1").unwrap(), SiteId::new("b").unwrap());
        let body = notification().print().unwrap();
        let envelope = Envelope::parse(&body).unwrap();
        assert_eq!(envelope.delivered, []);
        let marked = envelope.append_hop(&own).unwrap();
        let marked = Envelope::parse(&marked).unwrap().mark_delivered(&own);
        let marked = marked.unwrap();
        let envelope = Envelope::parse(&marked).unwrap();
        assert_eq!(envelope.delivered, [own]);
        assert_eq!(envelope.context().unwrap(), notification().context);
        assert_eq!(envelope.mark_delivered(&other), None);
        let further = envelope.append_hop(&other).unwrap();
        assert_eq!(
            Envelope::parse(&further).unwrap().delivered,
            envelope.delivered
        );
    }

    #[test]
    fn a_job_is_its_lane_its_parameters_and_its_contacts() {
        let id = NotificationId::parse("0199d3a8-0000-7000-8000-000000000001").unwrap();
        let job = |lane: &str, parameters: &[(&str, &str)], contacts: &[&str]| {
            let parameters = parameters.iter();
            let parameters: Vec<_> = parameters
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            id.job_id_with(lane, &parameters, contacts.iter().map(|c| c.as_bytes()))
        };
        assert_eq!(job("ops", &[], &[]), id.job_id("ops"));
        let all = [
            job("ops", &[], &[]),
            job("ops", &[("A", "b")], &[]),
            job("ops", &[("A", "c")], &[]),
            job("ops", &[], &["A"]),
            job("ops", &[], &["A", "b"]),
            job("op", &[], &["A", "b"]),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(
            job("ops", &[("A", "b")], &["c"]),
            job("ops", &[("A", "b")], &["c"])
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_survive_a_body() {
        let notification = notification();
        let body = notification.print().unwrap();
        assert!(body.contains("\\udce4\\udcf6"), "{body}");
        let envelope = Envelope::parse(&body).unwrap();
        assert_eq!(envelope.id, notification.id);
        assert_eq!(envelope.context().unwrap(), notification.context);
    }

    #[test]
    fn every_byte_survives() {
        let mut n = notification();
        let all: Vec<u8> = (0..=255).collect();
        n.context.insert("X".into(), all.clone().into());
        let body = n.print().unwrap();
        assert_eq!(Envelope::parse(&body).unwrap().context().unwrap()["X"], all);
    }

    #[test]
    fn raw_bytes_of_a_dropped_file_are_taken() {
        let body = notification().print().unwrap();
        // With its quotes: without them it may stand in the id, too.
        let raw = body.as_bytes().replace("\"db1\"", b"\"db\xfc\"");
        assert!(std::str::from_utf8(&raw).is_err());
        let text = to_utf8(&raw);
        let context = Envelope::parse(&text).unwrap().context().unwrap();
        assert_eq!(context["HOSTNAME"], &b"db\xfc"[..]);
    }

    #[test]
    fn a_hop_changes_nothing_but_the_path() {
        let body = notification().print().unwrap();
        let body = body.replacen("\"context\"", "\"later\": [1,  2.50],\"context\"", 1);
        let (a, b) = (SiteId::new("a").unwrap(), SiteId::new("b").unwrap());
        let one = Envelope::parse(&body).unwrap().append_hop(&a).unwrap();
        let two = Envelope::parse(&one).unwrap().append_hop(&b).unwrap();
        assert_eq!(
            two,
            body.replacen("\"path\":[]", "\"path\":[\"a\",\"b\"]", 1)
        );
        assert!(matches!(
            Envelope::parse(&two).unwrap().append_hop(&a),
            Err(Error::Loop { .. })
        ));
        let without = body.replacen("\"path\":[],", "", 1);
        let hop = Envelope::parse(&without).unwrap().append_hop(&a).unwrap();
        assert_eq!(Envelope::parse(&hop).unwrap().path, [a]);
    }

    #[test]
    fn bad_bodies_say_what_is_wrong() {
        let good = notification().print().unwrap();
        for (name, body, want) in [
            ("empty", String::new(), "not a notification"),
            ("newer", good.replacen("\"v\":1", "\"v\":2", 1), "format 2"),
            (
                "id",
                good.replacen("\"id\":\"0", "\"id\":\"x", 1),
                "not a UUID",
            ),
            (
                "number for a value",
                good.replacen("\"db1\"", "7", 1),
                "not a notification",
            ),
        ] {
            let error = match Envelope::parse(&body) {
                Err(error) => error,
                Ok(envelope) => envelope.context().unwrap_err(),
            };
            assert!(error.to_string().contains(want), "{name}: {error}");
        }
    }
}
