//! Why something could not be had from an authority.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something could not be had from an authority.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused an operation on this file.
    File {
        /// "read", "write", "create"
        op: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    Bad {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It is there already, and is not overwritten.
    Exists(PathBuf),
    /// Another process works in this directory.
    InUse(PathBuf),
    /// The directory belongs to another user.
    Owner {
        /// Which.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
    /// Nothing of this name has been issued, or invited.
    Unknown(String),
    /// The text is no token of an invitation.
    Token(&'static str),
    /// A message of an enrolment cannot be understood.
    Message(String),
    /// The other end, or we, do not want this.
    Refused {
        /// Why, as it goes over the wire.
        reason: Refusal,
        /// The same in words.
        text: String,
    },
    /// The cryptography failed.
    Crypto {
        /// What was to be made.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
}

/// Why a site gets no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such invitation, or its secret is another one.
    Unknown,
    /// The invitation's time is over.
    Expired,
    /// Somebody else has used the invitation.
    Used,
    /// The request names somebody else, or cannot be read.
    Request,
    /// The certificate or its key has been revoked.
    Revoked,
    /// The certificate is not one of this authority.
    Foreign,
    /// The certificate is still good for a long time.
    Early,
    /// Not now.
    Busy,
    /// Of a later version.
    #[serde(other)]
    Other,
}

impl Error {
    /// Whether the same may work later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::InUse(_)
                | Self::Refused {
                    reason: Refusal::Busy,
                    ..
                }
        )
    }

    pub(crate) fn refused(reason: Refusal, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Refused { reason, text }
    }

    pub(crate) fn file(
        op: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { op, path, source }
    }

    pub(crate) fn bad(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Bad {
            path: path.into(),
            what: what.into(),
        }
    }

    pub(crate) fn crypto(what: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Crypto { what, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { op, path, .. } => write!(f, "cannot {op} {}", path.display()),
            Self::Bad { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Exists(path) => {
                write!(f, "{} exists, it is not overwritten", path.display())
            }
            Self::InUse(path) => write!(f, "{} is in use by another process", path.display()),
            Self::Owner { path, owner } => write!(
                f,
                "{} belongs to user {owner}: do this as that user",
                path.display()
            ),
            Self::Unknown(what) => f.write_str(what),
            Self::Token(what) => write!(f, "this is not a token of an invitation: {what}"),
            Self::Message(what) => write!(f, "the other end cannot be understood: {what}"),
            Self::Refused { text, .. } => write!(f, "refused: {text}"),
            Self::Crypto { what, .. } => write!(f, "cannot make {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Crypto { source, .. } => Some(source),
            _ => None,
        }
    }
}
