//! What is said when a site asks for a certificate: one message there, one
//! back, over TLS with the protocol [`ALPN`]. Each is its length in four bytes
//! and JSON; members that are not known are ignored.

use serde::{Deserialize, Serialize};

use crate::{Error, Refusal};

/// The name of the protocol in TLS.
pub const ALPN: &[u8] = b"sitewire-join/1";
/// Longest question.
pub const MAX_QUESTION: usize = 32 << 10;
/// Longest answer; the list of revoked certificates grows.
pub const MAX_ANSWER: usize = 4 << 20;

/// What a site asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// A certificate, by invitation.
    Join {
        /// Its id, in hexadecimal.
        invitation: String,
        /// Its secret, in hexadecimal.
        secret: String,
        /// The request, in PEM.
        request: String,
    },
    /// Another certificate, from a site that has one and shows it.
    Renew {
        /// The request, in PEM.
        request: String,
    },
    /// Only the list, from a site that has a certificate and shows it.
    Revocations {},
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Here it is.
    Granted(Granted),
    /// No.
    Refused {
        /// Why.
        reason: Refusal,
        /// The same in words.
        text: String,
    },
}

/// What a site is given, all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its certificate, and those above it; empty if it asked for none.
    #[serde(default)]
    pub certificate: String,
    /// The authority.
    pub authority: String,
    /// What is no longer believed.
    pub revoked: String,
}

impl Question {
    /// As it goes over the wire.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        encode(self, MAX_QUESTION)
    }

    /// Reads one, without its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode(bytes, MAX_QUESTION)
    }
}

impl Answer {
    /// As it goes over the wire.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        encode(self, MAX_ANSWER)
    }

    /// Reads one, without its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode(bytes, MAX_ANSWER)
    }

    /// What was given, or why not.
    pub fn into_result(self) -> Result<Granted, Error> {
        match self {
            Self::Granted(granted) => Ok(granted),
            Self::Refused { reason, text } => {
                // Words of the other end may get on a terminal.
                let text = program::log::quote(text.as_bytes(), 300);
                Err(Error::Refused { reason, text })
            }
        }
    }
}

impl From<Result<Granted, Error>> for Answer {
    fn from(result: Result<Granted, Error>) -> Self {
        match result {
            Ok(granted) => Self::Granted(granted),
            Err(Error::Refused { reason, text }) => Self::Refused { reason, text },
            Err(error) => Self::Refused {
                reason: match error {
                    Error::Message(_) => Refusal::Request,
                    _ => Refusal::Busy,
                },
                // Paths of the centre are not for everybody.
                text: "the centre cannot do this now; its log says why".to_owned(),
            },
        }
    }
}

/// How long the message is that these bytes begin.
pub fn length(head: [u8; 4], limit: usize) -> Result<usize, Error> {
    match usize::try_from(u32::from_be_bytes(head)) {
        Ok(len) if (1..=limit).contains(&len) => Ok(len),
        _ => Err(Error::Message("a message has a wrong length".to_owned())),
    }
}

fn encode(message: &impl Serialize, limit: usize) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(message).map_err(|error| Error::Message(error.to_string()))?;
    match u32::try_from(json.len()) {
        Ok(len) if json.len() <= limit => {
            let mut bytes = len.to_be_bytes().to_vec();
            bytes.extend(json);
            Ok(bytes)
        }
        _ => Err(Error::Message("a message is too long".to_owned())),
    }
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, Error> {
    if bytes.len() > limit {
        return Err(Error::Message("a message is too long".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| Error::Message(error.to_string()))
}
