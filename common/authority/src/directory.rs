//! A directory of keys and certificates, in which only one process works at a
//! time, and the files in it.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::Error;

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// How long another process is waited for, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A directory that no other process of ours writes to as long as this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// The lock ends when this is closed.
    _lock: File,
}

impl Directory {
    /// Creates it, for its owner only, unless it is there.
    pub fn create(path: &Path) -> Result<Self, Error> {
        make_directory(path)?;
        Self::open(path)
    }

    /// Waits for the one who has it, but not forever. It must belong to the user
    /// who does this: files of somebody else in it would be of no use to its owner.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let lock = File::open(path).map_err(Error::file("open", path))?;
        let owner = lock.metadata().map_err(Error::file("open", path))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let path = path.to_owned();
            return Err(Error::Owner { path, owner });
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(PAUSE);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse(path.to_owned())),
                Err(error) => return Err(Error::file("lock", path)(error.into())),
            }
        }
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        directory.sweep();
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What processes that were killed had begun to write. All who write here
    /// have the lock, so nobody is at it.
    fn sweep(&self) {
        for name in names(&self.path).unwrap_or_default() {
            if name.starts_with('.') && name.ends_with(".tmp") {
                let _ = std::fs::remove_file(self.path.join(name));
            }
        }
    }
}

/// Makes a directory for its owner only, unless it is there.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::file("create", path))
}

/// The names of the files in a directory, in order; none if it is not there.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("read", path))?;
        // What is not text was not made by us.
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Fails if something of this name is there, be it a dangling link.
pub fn must_be_new(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::Exists(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Whether there is a file.
pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    match must_be_new(path) {
        Ok(()) => Ok(false),
        Err(Error::Exists(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes a text that everybody may read, whole or not at all.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    replace(path, 0o644, text)
}

/// As [`write`], for the owner only.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    replace(path, 0o600, text)
}

fn replace(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    program::file::replace(path, mode, |out| out.write_all(text.as_bytes()))
        .map_err(Error::file("write", path))
}

/// Removes a file for good.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => program::file::sync_directory(path).map_err(Error::file("remove", path)),
    }
}

/// Reads a text.
pub fn read(path: &Path) -> Result<String, Error> {
    read_with_mode(path).map(|(text, _)| text)
}

/// Reads a text that others than its owner must not be able to read.
pub fn read_secret(path: &Path) -> Result<String, Error> {
    let (text, mode) = read_with_mode(path)?;
    if mode & 0o077 != 0 {
        let what = format!("others than its owner may read it (mode {mode:04o}); chmod 600 it");
        return Err(Error::bad(path, what));
    }
    Ok(text)
}

fn read_with_mode(path: &Path) -> Result<(String, u32), Error> {
    let read = || {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    let (bytes, mode) = read().map_err(Error::file("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::bad(path, "is longer than 4 MiB"));
    }
    // Around the parts of a PEM file there may be anything.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), mode))
}
