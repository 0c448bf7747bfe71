//! The control frames: JSON objects whose unknown members are ignored, so that
//! a later release may add some.

use objects::{NotificationId, SiteId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text that stands in a refusal, an error or a reason, in bytes.
pub const MAX_TEXT: usize = 512;
/// Longest code of a refusal or an error, in bytes.
pub const MAX_CODE: usize = 32;
/// Refusals in one ACK. With texts of [`MAX_TEXT`] bytes, each of which JSON
/// may write as six, this many fit in the smallest frame limit.
pub const MAX_REFUSED_PER_ACK: usize = 16;

/// The protocol versions that an end speaks: `[lowest, highest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range(pub u32, pub u32);

impl Range {
    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.1.min(other.1);
        (highest >= self.0.max(other.0)).then_some(highest)
    }
}

/// How much a sender may have in doubt: sent, and not yet recorded by it as
/// acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Messages.
    pub msgs: u32,
    /// Bytes of their bodies. One message is always allowed while none is in
    /// doubt, however long, unless this is 0.
    pub bytes: u64,
}

impl Window {
    /// No message at all.
    pub const CLOSED: Self = Self { msgs: 0, bytes: 0 };

    /// The smaller of each.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            msgs: self.msgs.min(other.msgs),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            msgs: self.msgs.max(other.msgs),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// HELLO: who is speaking and what it can do. First frame of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions it speaks.
    pub proto: Range,
    /// Name of the program's suite.
    pub software: String,
    /// Release of it.
    pub version: String,
    /// Its site.
    pub site: SiteId,
    /// A random text made at each start of the program.
    pub instance: String,
    /// Optional behaviour it knows.
    #[serde(default)]
    pub features: Vec<String>,
    /// Longest frame it takes, counted as the frame's length field counts.
    pub max_frame: u32,
    /// What it allows the other to have in doubt, messages.
    pub window_msgs: u32,
    /// The same, bytes of bodies.
    pub window_bytes: u64,
    /// How often it sends PING.
    pub heartbeat_ms: u64,
    /// After how long without a frame it gives the connection up.
    pub dead_ms: u64,
    /// Its wall clock, to show how far the clocks are apart.
    pub now_us: i64,
    /// Whether it may send messages.
    pub sends: bool,
    /// Whether it takes messages.
    pub accepts: bool,
}

/// Only what must be readable in the HELLO of every version ever.
#[derive(Deserialize)]
pub(crate) struct HelloVersions {
    pub proto: Range,
}

/// RESUME: what the sender of this frame has stored from its peer that may
/// still be in doubt there. Second frame of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Ids.
    #[serde(
        serialize_with = "ids_to_text",
        deserialize_with = "ids_from_text",
        default
    )]
    pub have: Vec<NotificationId>,
}

/// ACK: everything up to `seq` is durable or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Cumulative.
    pub seq: u64,
    /// Those among them, above the `seq` of the ACK before, that will never be taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What the peer may have in doubt from now on.
    pub window: Window,
    /// Highest sequence number of the ACK's own sender up to which it has
    /// recorded the acknowledgements it got.
    #[serde(default)]
    pub settled: u64,
}

/// One refused message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its sequence number.
    pub seq: u64,
    /// Its id.
    #[serde(serialize_with = "id_to_text", deserialize_with = "id_from_text")]
    pub id: NotificationId,
    /// Why, for programs.
    pub code: RefusalCode,
    /// Why, for people.
    #[serde(default)]
    pub text: String,
}

/// Why a message will never be taken. What might heal (a full disk, overload)
/// is not refused but left without an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalCode {
    /// The body is not a notification.
    Corrupt,
    /// The body is longer than the receiver takes.
    TooLarge,
    /// Of a kind or format the receiver does not know.
    Unsupported,
    /// The peer may not speak for the site in the body.
    ForbiddenSite,
    /// It was here before, or took too many hops.
    Loop,
    /// Its time is over.
    Expired,
    /// A code of a later release.
    Other(String),
}

impl RefusalCode {
    /// The word in the frame.
    pub fn word(&self) -> &str {
        match self {
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::ForbiddenSite => "forbidden_site",
            Self::Loop => "loop",
            Self::Expired => "expired",
            Self::Other(word) => word,
        }
    }

    /// The code of that word.
    pub fn from_word(word: &str) -> Self {
        match word {
            "corrupt" => Self::Corrupt,
            "too_large" => Self::TooLarge,
            "unsupported" => Self::Unsupported,
            "forbidden_site" => Self::ForbiddenSite,
            "loop" => Self::Loop,
            "expired" => Self::Expired,
            other => Self::Other(cut(other, MAX_CODE).to_owned()),
        }
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for RefusalCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for RefusalCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_word(&String::deserialize(deserializer)?))
    }
}

/// PING: are you there, and can you still store?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Counts up.
    pub n: u64,
    /// Notifications waiting at the sender of this frame.
    #[serde(default)]
    pub queued: u64,
    /// Age of the oldest of them in microseconds.
    #[serde(default)]
    pub oldest_us: u64,
}

/// PONG: the answer of whoever owns the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Of the PING.
    pub n: u64,
    /// How it stands.
    #[serde(flatten)]
    pub health: Health,
}

/// How a spooler stands, as its peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Room on its disk.
    #[serde(default)]
    pub disk: Disk,
    /// Notifications waiting there.
    #[serde(default)]
    pub queued: u64,
    /// Age of the oldest of them in microseconds.
    #[serde(default)]
    pub oldest_us: u64,
}

/// Room on a spooler's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disk {
    /// Enough.
    #[default]
    Ok,
    /// So little that nothing more is taken from the network.
    Low,
    /// None.
    Full,
    /// A word of a later release.
    #[serde(other)]
    Unknown,
}

/// GOAWAY: the sender of this frame is about to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoAway {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// When to come back.
    #[serde(default)]
    pub retry_after_ms: u64,
}

/// ERROR: the connection cannot go on; last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub text: String,
}

/// The longest beginning of `text` with at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn id_to_text<S: Serializer>(id: &NotificationId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn id_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NotificationId, D::Error> {
    Ok(IdText::deserialize(deserializer)?.0)
}

fn ids_to_text<S: Serializer>(ids: &[NotificationId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ids.iter().map(ToString::to_string))
}

fn ids_from_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<NotificationId>, D::Error> {
    let ids = Vec::<IdText>::deserialize(deserializer)?;
    Ok(ids.into_iter().map(|id| id.0).collect())
}

struct IdText(NotificationId);

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        NotificationId::parse(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("an id is not a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        for (ours, theirs, want) in [
            (Range(1, 1), Range(1, 1), Some(1)),
            (Range(1, 2), Range(1, 4), Some(2)),
            (Range(2, 3), Range(1, 2), Some(2)),
            (Range(1, 1), Range(2, 3), None),
            (Range(3, 4), Range(1, 2), None),
            (Range(1, 1), Range(5, 1), None),
        ] {
            assert_eq!(ours.common(theirs), want, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn unknown_members_and_words_of_later_releases_are_taken() {
        let pong: Pong = serde_json::from_str(r#"{"n":3,"disk":"worn","moon":[1]}"#).unwrap();
        assert_eq!(pong.health.disk, Disk::Unknown);
        let ack: Ack = serde_json::from_str(
            r#"{"seq":1,"window":{"msgs":1,"bytes":2,"x":0},"refused":[{"seq":1,
            "id":"00000000-0000-7000-8000-000000000001","code":"too_blue"}],"y":null}"#,
        )
        .unwrap();
        assert_eq!(ack.refused[0].code, RefusalCode::Other("too_blue".into()));
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
    }
}
