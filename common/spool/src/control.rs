//! The daemon's other socket in the spool: what people ask of it. Only the user
//! that the spool belongs to, and root, are listened to.
//!
//! Both sides speak lines of JSON, one object each, so that the conversation can
//! be typed. A question is answered once; what it changed is in the journal,
//! synced, by then:
//!
//! ```text
//! {"do":"hold","ids":["0199d3a8-…"],"by":"ann","why":"storm"}     also release, retry, drop
//! {"do":"drop","ids":["0199d3a8-…"],"lane":"ops","by":"ann","why":"no use"}
//! {"do":"flush","by":"ann"}
//! {"do":"reload","by":"ann"}
//! {"do":"pause","for_s":1800,"by":"ann","why":"they know"}
//! {"do":"resume","lane":"ops","by":"ann"}
//! {"do":"state"}
//! {"do":"retries"}
//! {"do":"known","ids":["0199d3a8-…"]}
//! {"done":1,"not":[]}
//! {"error":"the disk refuses records","again":true}
//! ```
//!
//! Members that a reader does not know are ignored.

use std::fmt;
use std::time::Duration;

use objects::{NotificationId, SiteId};
use serde_json::{Value, json};

use crate::Target;
use crate::record::MAX_LANE;

/// The socket's name in the spool.
pub const SOCKET: &str = "control";
/// Most ids of one question.
pub const MAX_IDS: usize = 4096;
/// Longest question, without the end of the line.
pub const MAX_QUESTION: usize = 256 * 1024;
/// Longest answer, without the end of the line.
pub const MAX_ANSWER: usize = 16 << 20;
/// Longest name of who asks, in bytes.
const MAX_BY: usize = 100;
/// Longest reason, in bytes.
const MAX_WHY: usize = 1000;

/// What can be done with notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing is done with them until they are released.
    Hold,
    /// They are as others again.
    Release,
    /// Their next attempt does not wait.
    Retry,
    /// They end, undelivered.
    Drop,
}

impl Action {
    /// As it is asked for.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Hold, Self::Release, Self::Retry, Self::Drop]
            .into_iter()
            .find(|action| action.word() == word)
    }
}

/// Who asks, and why: it is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hand {
    /// A user's name.
    pub by: String,
    /// May be empty.
    pub why: String,
}

impl fmt::Display for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.by)?;
        match self.why.as_str() {
            "" => Ok(()),
            why => write!(f, ": {why}"),
        }
    }
}

/// What the daemon is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Something is to happen to these notifications.
    Act {
        /// What.
        action: Action,
        /// To which.
        ids: Vec<NotificationId>,
        /// For [`Action::Drop`]: at this target only.
        target: Option<Target>,
        /// Who says so.
        hand: Hand,
    },
    /// Everything that waits for a moment is tried now.
    Flush(Hand),
    /// The configuration is read again.
    Reload(Hand),
    /// Nothing is delivered for a while.
    Pause {
        /// By this lane only.
        lane: Option<String>,
        /// For so long; else until it is resumed.
        length: Option<Duration>,
        /// Who says so.
        hand: Hand,
    },
    /// Everything is delivered again.
    Resume {
        /// By this lane only.
        lane: Option<String>,
        /// Who says so.
        hand: Hand,
    },
    /// What the state file would say now.
    State,
    /// When deliveries that failed are tried again.
    Retries,
    /// Whether these are open, have ended, or are not known.
    Known(Vec<NotificationId>),
}

impl Question {
    /// As a line, without its end.
    pub fn print(&self) -> String {
        let with_hand =
            |word: &str, hand: &Hand| json!({"do": word, "by": hand.by, "why": hand.why});
        let ids = |ids: &[NotificationId]| -> Vec<String> {
            ids.iter().map(ToString::to_string).collect()
        };
        let question = match self {
            Self::Act {
                action,
                ids: of,
                target,
                hand,
            } => {
                let mut question = with_hand(action.word(), hand);
                question["ids"] = ids(of).into();
                match target {
                    Some(Target::Peer(peer)) => question["peer"] = peer.as_str().into(),
                    // People name lanes, and mean all of their jobs.
                    Some(lane) => question["lane"] = lane.name().into(),
                    None => {}
                }
                question
            }
            Self::Flush(hand) => with_hand("flush", hand),
            Self::Reload(hand) => with_hand("reload", hand),
            Self::Pause { lane, length, hand } => {
                let mut question = with_hand("pause", hand);
                question["lane"] = lane.as_deref().into();
                question["for_s"] = length.map(|length| length.as_secs_f64()).into();
                question
            }
            Self::Resume { lane, hand } => {
                let mut question = with_hand("resume", hand);
                question["lane"] = lane.as_deref().into();
                question
            }
            Self::State => json!({"do": "state"}),
            Self::Retries => json!({"do": "retries"}),
            Self::Known(of) => json!({"do": "known", "ids": ids(of)}),
        };
        question.to_string()
    }

    /// Reads a line; an error says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let question: Value =
            serde_json::from_slice(line).map_err(|error| format!("no question: {error}"))?;
        let text = |member: &str, limit: usize| match &question[member] {
            Value::Null => Ok(String::new()),
            // It goes into the log and the journal, as one line.
            Value::String(text) if text.len() <= limit && !text.contains(char::is_control) => {
                Ok(text.clone())
            }
            _ => Err(format!(
                "`{member}` must be a text of one line, {limit} bytes at most"
            )),
        };
        let hand = || -> Result<Hand, String> {
            let (by, why) = (text("by", MAX_BY)?, text("why", MAX_WHY)?);
            match by.is_empty() {
                true => Err("`by` must say who asks".to_owned()),
                false => Ok(Hand { by, why }),
            }
        };
        match text("do", 20)?.as_str() {
            "flush" => hand().map(Self::Flush),
            "reload" => hand().map(Self::Reload),
            "pause" => Ok(Self::Pause {
                lane: Some(text("lane", MAX_LANE)?).filter(|lane| !lane.is_empty()),
                length: parse_length(&question["for_s"])?,
                hand: hand()?,
            }),
            "resume" => Ok(Self::Resume {
                lane: Some(text("lane", MAX_LANE)?).filter(|lane| !lane.is_empty()),
                hand: hand()?,
            }),
            "state" => Ok(Self::State),
            "retries" => Ok(Self::Retries),
            "known" => parse_ids(&question["ids"]).map(Self::Known),
            word => {
                let action = Action::from_word(word)
                    .ok_or_else(|| format!("{word:?} is nothing that can be done"))?;
                let target = parse_target(&text("lane", 255)?, &text("peer", 255)?)?;
                if target.is_some() && action != Action::Drop {
                    return Err(format!("{word} is not for one target"));
                }
                Ok(Self::Act {
                    action,
                    ids: parse_ids(&question["ids"])?,
                    target,
                    hand: hand()?,
                })
            }
        }
    }
}

fn parse_length(secs: &Value) -> Result<Option<Duration>, String> {
    if secs.is_null() {
        return Ok(None);
    }
    let length = secs.as_f64().map(Duration::try_from_secs_f64);
    match length {
        Some(Ok(length)) => Ok(Some(length)),
        _ => Err("`for_s` must be a number of seconds".to_owned()),
    }
}

fn parse_ids(ids: &Value) -> Result<Vec<NotificationId>, String> {
    let wrong = || format!("`ids` must be a list of at most {MAX_IDS} ids");
    let list = ids.as_array().filter(|list| list.len() <= MAX_IDS);
    let ids = list.ok_or_else(wrong)?.iter();
    ids.map(|id| {
        id.as_str()
            .and_then(NotificationId::parse)
            .ok_or_else(wrong)
    })
    .collect()
}

fn parse_target(lane: &str, peer: &str) -> Result<Option<Target>, String> {
    match (lane, peer) {
        ("", "") => Ok(None),
        (lane, "") => Ok(Some(Target::Lane(lane.to_owned()))),
        ("", peer) => match SiteId::new(peer) {
            Ok(site) => Ok(Some(Target::Peer(site))),
            Err(error) => Err(format!("`peer`: {error}")),
        },
        _ => Err("`lane` and `peer` together".to_owned()),
    }
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// So many were done, and these not: they are not open here, or not in the
    /// state for it.
    Done {
        /// How many.
        done: u64,
        /// Which were not.
        not: Vec<NotificationId>,
    },
    /// What was asked for.
    Told(Value),
    /// It was not done.
    Error {
        /// Why.
        why: String,
        /// Whether asking again may help.
        again: bool,
    },
}

impl Answer {
    /// As a line, without its end.
    pub fn print(&self) -> String {
        let answer = match self {
            Self::Done { done, not } => {
                let not: Vec<String> = not.iter().map(ToString::to_string).collect();
                json!({"done": done, "not": not})
            }
            Self::Told(value) => json!({"told": value}),
            Self::Error { why, again } => json!({"error": why, "again": again}),
        };
        answer.to_string()
    }

    /// Reads a line; none if it is no answer.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut answer: Value = serde_json::from_slice(line).ok()?;
        if let Some(why) = answer["error"].as_str() {
            return Some(Self::Error {
                why: why.to_owned(),
                again: answer["again"].as_bool()?,
            });
        }
        if let Some(done) = answer["done"].as_u64() {
            return Some(Self::Done {
                done,
                not: parse_ids(&answer["not"]).ok()?,
            });
        }
        match answer.get_mut("told").map(Value::take) {
            None | Some(Value::Null) => None,
            Some(told) => Some(Self::Told(told)),
        }
    }
}

/// A line longer than allowed. Nothing after it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong(
    /// What was allowed.
    pub usize,
);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line of more than {} bytes", self.0)
    }
}

impl std::error::Error for TooLong {}

/// Reads lines: bytes in, in whatever pieces, lines out.
#[derive(Debug)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// How much of the buffer holds no end of a line.
    searched: usize,
    limit: usize,
}

impl LineReader {
    /// Of lines with at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
            limit,
        }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is there whole, without its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's end is its end"
    )]
    pub fn next(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let rest = &self.buffer[self.searched..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let len = end.map_or(self.buffer.len(), |at| self.searched + at);
        if len > self.limit {
            return Some(Err(TooLong(self.limit)));
        }
        if end.is_none() {
            self.searched = len;
            return None;
        }
        let rest = self.buffer.split_off(len + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(len);
        self.searched = 0;
        Some(Ok(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> NotificationId {
        NotificationId::from_bytes([n; 16])
    }

    fn hand() -> Hand {
        Hand {
            by: "ann".to_owned(),
            why: "a \"storm\"".to_owned(),
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let peer = Target::Peer(SiteId::new("central").unwrap());
        for question in [
            Question::Act {
                action: Action::Hold,
                ids: vec![id(1), id(2)],
                target: None,
                hand: hand(),
            },
            Question::Act {
                action: Action::Drop,
                ids: vec![id(1)],
                target: Some(Target::Lane("ops".into())),
                hand: hand(),
            },
            Question::Act {
                action: Action::Drop,
                ids: Vec::new(),
                target: Some(peer),
                hand: hand(),
            },
            Question::Flush(hand()),
            Question::Reload(hand()),
            Question::Pause {
                lane: None,
                length: Some(Duration::from_millis(1500)),
                hand: hand(),
            },
            Question::Pause {
                lane: Some("ops".to_owned()),
                length: None,
                hand: hand(),
            },
            Question::Resume {
                lane: Some("ops".to_owned()),
                hand: hand(),
            },
            Question::State,
            Question::Retries,
            Question::Known(vec![id(3)]),
        ] {
            let line = question.print();
            assert_eq!(
                Question::parse(line.as_bytes()).as_ref(),
                Ok(&question),
                "{line}"
            );
        }
        for answer in [
            Answer::Done {
                done: 1,
                not: vec![id(1)],
            },
            Answer::Told(json!({"a": [1, 2]})),
            Answer::Error {
                why: "the disk".to_owned(),
                again: true,
            },
        ] {
            let line = answer.print();
            assert_eq!(
                Answer::parse(line.as_bytes()).as_ref(),
                Some(&answer),
                "{line}"
            );
        }
        for line in [
            "",
            "7",
            "[]",
            "null",
            "{}",
            "{\"told\":null}",
            "{\"done\":1}",
        ] {
            assert_eq!(Answer::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many = format!(
            "{{\"do\":\"known\",\"ids\":[{}]}}",
            vec![format!("\"{}\"", id(1)); MAX_IDS + 1].join(",")
        );
        for (line, want) in [
            ("", "no question"),
            ("[]", "\"\" is nothing that can be done"),
            (
                "{\"do\":\"dance\"}",
                "\"dance\" is nothing that can be done",
            ),
            ("{\"do\":7}", "`do` must be a text"),
            ("{\"do\":\"hold\",\"by\":\"ann\"}", "`ids` must be a list"),
            (
                "{\"do\":\"hold\",\"by\":\"ann\",\"ids\":[\"7\"]}",
                "`ids` must be a list",
            ),
            ("{\"do\":\"drop\",\"ids\":[]}", "`by` must say who asks"),
            (
                "{\"do\":\"flush\",\"by\":\"a\\nb\"}",
                "`by` must be a text of one line",
            ),
            (
                "{\"do\":\"drop\",\"ids\":[],\"by\":\"a\",\"lane\":\"x\",\"peer\":\"y\"}",
                "together",
            ),
            (
                "{\"do\":\"drop\",\"ids\":[],\"by\":\"a\",\"peer\":\"-\"}",
                "`peer`: ",
            ),
            (
                "{\"do\":\"hold\",\"ids\":[],\"by\":\"a\",\"lane\":\"x\"}",
                "not for one target",
            ),
            (
                "{\"do\":\"pause\",\"for_s\":-1,\"by\":\"a\"}",
                "`for_s` must be",
            ),
            ("{\"do\":\"resume\"}", "`by` must say who asks"),
            (&many, "`ids` must be a list of at most 4096 ids"),
        ] {
            let error = Question::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(want), "{line:.100}: {error}");
        }
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let text = b"one\n\ntwo\nthr";
        for size in 1..text.len() {
            let mut reader = LineReader::new(3);
            let mut lines = Vec::new();
            for piece in text.chunks(size) {
                reader.push(piece);
                while let Some(line) = reader.next() {
                    lines.push(String::from_utf8(line.unwrap()).unwrap());
                }
            }
            assert_eq!(lines, ["one", "", "two"], "{size}");
        }
        let mut reader = LineReader::new(3);
        reader.push(b"ok\nfour");
        assert_eq!(reader.next(), Some(Ok(b"ok".to_vec())));
        assert_eq!(reader.next(), Some(Err(TooLong(3))));
    }

    #[test]
    fn the_longest_question_fits() {
        let question = Question::Act {
            action: Action::Release,
            ids: vec![id(1); MAX_IDS],
            target: None,
            hand: Hand {
                by: "\u{e4}".repeat(MAX_BY / 2),
                why: "\"".repeat(MAX_WHY),
            },
        };
        let line = question.print();
        assert!(line.len() <= MAX_QUESTION, "{}", line.len());
        assert_eq!(Question::parse(line.as_bytes()), Ok(question));
    }
}
