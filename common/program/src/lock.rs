//! Files that say "this is in use", and by whom.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::file::with_mode;

/// Between two looks at a lock that somebody else has: there is no waiting
/// for it for a limited time.
const PAUSE: Duration = Duration::from_millis(20);

/// A lock that ends with this value, or with the process, however it ends.
///
/// The file stays: removing it would let two processes hold locks on two files
/// of the same name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock could not be had.
#[derive(Debug)]
pub enum Error {
    /// Another process has it.
    InUse {
        /// The lock's file.
        path: PathBuf,
        /// What the other process said it is, `None` if it said nothing.
        process: Option<u32>,
    },
    /// The file could not be opened or written.
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path`; waits at most that long for it.
    pub fn take_within(path: &Path, wait: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + wait;
        loop {
            match Self::take(path) {
                Err(Error::InUse { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Takes the lock at `path`, without waiting.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = with_mode(&mut options, 0o600).open(path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let process = match file.read_to_string(&mut text) {
                    Ok(_) => text.trim().parse().ok(),
                    Err(_) => None,
                };
                return Err(Error::InUse {
                    path: path.to_owned(),
                    process,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse {
                path,
                process: Some(process),
            } => write!(f, "{} is in use by process {process}", path.display()),
            Self::InUse {
                path,
                process: None,
            } => write!(f, "{} is in use by another process", path.display()),
            Self::Io { path, .. } => write!(f, "cannot lock {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::InUse { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_has_it() {
        let path = std::env::temp_dir().join(format!("sitewire-lock-{}", std::process::id()));
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} is in use by process {}",
                path.display(),
                std::process::id()
            )
        );
        drop(first);
        Lock::take(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
