//! Files that appear whole or not at all, and what to say if they do not.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Failure, Status};

/// Replaces `path` by a file with the bytes that `write` produces: written
/// aside, synced, renamed, directory synced. On error the old file is untouched
/// and nothing is left behind.
pub fn replace(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut replacement = Replacement::create(path, mode)?;
    let mut buffered = io::BufWriter::with_capacity(1 << 16, &mut replacement);
    write(&mut buffered)?;
    buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    replacement.commit()
}

/// The failure of a program that cannot read or write `path`. Where a disk is
/// full, trying again later may help.
pub fn failure(path: &Path, error: io::Error) -> Failure {
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
        _ => Status::Failed,
    };
    Failure::caused(status, path.display().to_string(), error)
}

/// A file that is written aside, and takes its place when it is committed. One
/// that is dropped before leaves nothing behind.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    /// Its name as long as it is not committed.
    temporary: Option<PathBuf>,
    file: File,
}

impl Replacement {
    /// Begins a file that is to become `path`.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let temporary = temporary_name(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let file = with_mode(&mut options, mode).open(&temporary)?;
        Ok(Self {
            path: path.to_owned(),
            temporary: Some(temporary),
            file,
        })
    }

    /// Makes it durable, in its place.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        sync_directory(&self.path)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

/// A file that is made by these options has this mode. Windows has none: there a
/// file may be read by those who may read its directory.
pub fn with_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// Makes the entries of the directory that holds `path` durable. Windows does so
/// by itself.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let dir = std::env::temp_dir().join(format!("sitewire-file-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("x");
        replace(&path, 0o600, |out| out.write_all(b"old")).unwrap();
        let error = replace(&path, 0o600, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("stop"))
        });
        assert!(error.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
