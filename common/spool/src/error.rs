//! What can go wrong with a spool.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the spool did not do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system refused an operation on this path.
    Io {
        /// What was tried, as in "cannot write".
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A newer release wrote this segment; its files were left alone.
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format number.
        format: u32,
    },
    /// Another process owns the spool.
    Locked {
        /// The spool.
        path: PathBuf,
        /// The process, if the lock file names one.
        pid: Option<u32>,
    },
    /// The directory belongs to another user.
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// A name in the spool is not what it should be.
    NotADirectory(PathBuf),
    /// A record that was valid when it was read first is not so any more.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// Longer than a notification may be.
    TooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// So little is free that nothing more is taken in.
    NoSpace(PathBuf),
    /// A name for a dropped file that is no file name.
    BadName(String),
}

impl Error {
    /// Whether the same call may succeed later: space comes back, a disk heals,
    /// permissions are set right, the other process ends.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Io { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidFilename
                    | io::ErrorKind::FileTooLarge
            ),
            Self::Locked { .. }
            | Self::ForeignOwner { .. }
            | Self::NotADirectory(_)
            | Self::NoSpace(_) => true,
            Self::NewerFormat { .. }
            | Self::Damaged { .. }
            | Self::TooLarge { .. }
            | Self::BadName(_) => false,
        }
    }

    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => crate::journal::is_full(source),
            Self::NoSpace(_) => true,
            _ => false,
        }
    }

    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { op, path, source }
    }

    /// The same as [`Error::io`] for what comes from a system call directly.
    pub(crate) fn system(op: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let wrap = Self::io(op, path);
        move |errno| wrap(errno.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, path, .. } => write!(f, "cannot {op} {}", path.display()),
            Self::NewerFormat { path, format } => write!(
                f,
                "{} has format {format}, this release knows up to {}: start the newer release, or move the file away",
                path.display(),
                crate::segment::FORMAT
            ),
            Self::Locked {
                path,
                pid: Some(pid),
            } => {
                write!(f, "{} is in use by process {pid}", path.display())
            }
            Self::Locked { path, pid: None } => {
                write!(f, "{} is in use by another process", path.display())
            }
            Self::ForeignOwner { path, owner, own } => write!(
                f,
                "{} belongs to user {owner}, but this process runs as user {own}",
                path.display()
            ),
            Self::NotADirectory(path) => write!(f, "{} is not a directory", path.display()),
            Self::Damaged { path, offset } => write!(
                f,
                "record at offset {offset} of {} is damaged",
                path.display()
            ),
            Self::TooLarge { len, limit } => {
                write!(f, "notification has {len} bytes, the limit is {limit}")
            }
            Self::NoSpace(path) => write!(
                f,
                "too little space is left for {}, what is free is kept for what was accepted before",
                path.display()
            ),
            Self::BadName(name) => write!(f, "{name:?} cannot be the name of a dropped file"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
