//! What can be wrong with a configuration file.

use std::fmt;

use bstr::{BString, ByteSlice};

use crate::python::Position;

/// Why a file was not taken. Prints `LINE:COLUMN: what`, so that a caller who
/// puts the file's name and a colon in front has a complete message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The text is not in the subset of Python that we read.
    Syntax {
        /// Where.
        at: Position,
        /// What was expected or found.
        what: String,
    },
    /// Something is larger than we are willing to read.
    Limit {
        /// Where the limit was reached.
        at: Position,
        /// Which limit.
        what: String,
    },
    /// The text is right, but a value has the wrong type or is impossible.
    Value {
        /// Where the value stands.
        at: Position,
        /// The host it belongs to.
        host: BString,
        /// The service, if it is a service's.
        service: Option<BString>,
        /// The key, empty when the name itself is wrong.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The marks at beginning and end do not fit what is between them: the
    /// file was cut short or changed.
    Damaged {
        /// Where.
        at: Position,
        /// What does not fit.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, what } | Self::Limit { at, what } | Self::Damaged { at, what } => {
                write!(f, "{at}: {what}")
            }
            Self::Value {
                at,
                host,
                service,
                key,
                what,
            } => {
                write!(f, "{at}: host {:?}", host.as_bstr())?;
                if let Some(service) = service {
                    write!(f, ", service {:?}", service.as_bstr())?;
                }
                if !key.is_empty() {
                    write!(f, ", key {key:?}")?;
                }
                write!(f, ": {what}")
            }
        }
    }
}

impl std::error::Error for Error {}
