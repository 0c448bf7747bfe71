//! A key and its certificate as two files of a directory: `NAME.key`, mode
//! 0600, and `NAME.crt`.

use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use program::{Failure, Status};
use rustix::fs::FlockOperation;

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A directory that no other sitecert writes to at the same time.
pub(crate) struct LockedDirectory {
    path: PathBuf,
    /// The lock ends when this is closed.
    _lock: File,
}

impl LockedDirectory {
    /// Creates it (mode 0700) unless it is there.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| cannot("create", path, error))?;
        Self::open(path)
    }

    /// Waits for the one who has it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let lock = File::open(path).map_err(|error| cannot("open", path, error))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| cannot("lock", path, error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

/// The two files of one name.
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl CertificateFiles {
    pub(crate) fn in_directory(directory: &LockedDirectory, name: &str) -> Self {
        Self {
            certificate: directory.path.join(format!("{name}.crt")),
            key: directory.path.join(format!("{name}.key")),
        }
    }

    /// Keys are never overwritten: what they signed or opened would be lost.
    pub(crate) fn must_be_new(&self) -> Result<(), Failure> {
        for path in [&self.key, &self.certificate] {
            match path.symlink_metadata() {
                Ok(_) => {
                    let what = format!("{} exists, it is not overwritten", path.display());
                    return Err(Failure::new(Status::Failed, what));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("look at", path, error)),
            }
        }
        Ok(())
    }

    /// The key first: whoever sees the certificate can use it.
    pub(crate) fn write(&self, pair: &Pair) -> Result<(), Failure> {
        write(&self.key, 0o600, &pair.key)?;
        write(&self.certificate, 0o644, &pair.certificate).inspect_err(|_| {
            // Half a pair would stand in the way of the next attempt.
            let _ = std::fs::remove_file(&self.key);
        })
    }

    /// Reads both; refuses a key that others may read.
    pub(crate) fn read(&self) -> Result<Pair, Failure> {
        let (certificate, _) = read(&self.certificate)?;
        let (key, mode) = read(&self.key)?;
        if mode & 0o077 != 0 {
            return Err(Failure::new(
                Status::Failed,
                format!(
                    "{}: others than its owner may read it (mode {mode:04o}); chmod 600 it",
                    self.key.display()
                ),
            ));
        }
        Ok(Pair { certificate, key })
    }
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    program::file::replace(path, mode, |out| out.write_all(text.as_bytes()))
        .map_err(|error| cannot("write", path, error))
}

/// Reads a text file and its permissions.
pub(crate) fn read(path: &Path) -> Result<(String, u32), Failure> {
    let read = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok((text, mode))
    };
    read().map_err(|error| cannot("read", path, error))
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> Failure {
    Failure::caused(
        Status::Failed,
        format!("cannot {what} {}", path.display()),
        error,
    )
}
