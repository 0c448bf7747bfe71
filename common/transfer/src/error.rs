//! What can go wrong on the receiving side.

use std::fmt;
use std::io;
use std::path::PathBuf;

use objects::SiteId;
use program::{lock, tls};

/// Why something was not remembered or not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file of ours cannot be read or written.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours does not say what it should.
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another import of the same site is running, or the lock cannot be had.
    Locked(lock::Error),
    /// The dump is older than what was taken in, or the same.
    Older {
        /// Whose dump.
        site: SiteId,
        /// Its epoch and sequence.
        came: (u64, u64),
        /// Epoch and sequence of the newest that was taken in.
        newest: (u64, u64),
    },
    /// What comes in cannot be read.
    Input(io::Error),
    /// The signature of a dump is missing or not right, or the dump too old.
    Signature(String),
    /// A certificate or key cannot be used.
    Certificate(tls::Error),
}

impl From<tls::Error> for Error {
    fn from(error: tls::Error) -> Self {
        Self::Certificate(error)
    }
}

impl Error {
    pub(crate) fn signature(what: impl Into<String>) -> Self {
        Self::Signature(what.into())
    }

    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Locked(lock::Error::InUse { .. }) => true,
            Self::Io { source, .. } | Self::Locked(lock::Error::Io { source, .. }) => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => path.display().fmt(f),
            Self::BadFile { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Locked(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Signature(what) => f.write_str(what),
            Self::Certificate(error) => error.fmt(f),
            Self::Older { site, came, newest } if came == newest => write!(
                f,
                "the dump of site {site} with sequence {} was taken in already",
                came.1
            ),
            Self::Older { site, came, newest } => write!(
                f,
                "the dump of site {site} (epoch {}, sequence {}) is older than what was taken in (epoch {}, sequence {})",
                came.0, came.1, newest.0, newest.1
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Locked(error) => std::error::Error::source(error),
            Self::Certificate(error) => std::error::Error::source(error),
            Self::Input(error) => std::error::Error::source(error),
            Self::BadFile { .. } | Self::Older { .. } | Self::Signature(_) => None,
        }
    }
}
