//! The file operations under a journal: a trait, and the real directory.
//! The simulated disk of the tests is in [`crate::sim`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files by name in one directory.
///
/// Nothing is durable before the sync that covers it has returned: bytes by
/// [`Storage::sync`], names by [`Storage::sync_directory`]. A sync that failed
/// says nothing about later ones: never sync that file again and trust it.
pub trait Storage {
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file. An error if the name is taken.
    fn create(&self, name: &str) -> io::Result<()>;
    /// The length of a file.
    fn len(&self, name: &str) -> io::Result<u64>;
    /// Reads some bytes at `offset`; 0 is the end of the file.
    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes some of `bytes` at `offset`, and says how many. Fewer is normal.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the file's bytes and its length durable.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames a file to a name that is free.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Drops what the system has cached of a file, so that it is read from the
    /// disk: after a failed sync the two may differ. May do nothing.
    fn drop_cache(&self, name: &str);
    /// How messages name this file.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the file system.
pub struct DirectoryStorage {
    path: PathBuf,
    directory: File,
    writable: bool,
    /// Kept open, because an error of write-back is told to the descriptors
    /// that were open when it happened.
    files: RefCell<HashMap<String, File>>,
}

impl DirectoryStorage {
    /// Opens a directory that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(path, true)
    }

    /// Opens a directory that somebody else owns, to look at it only.
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        Self::new(path, false)
    }

    fn new(path: &Path, writable: bool) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            directory: File::open(path)?,
            writable,
            files: RefCell::default(),
        })
    }

    fn with_file<T>(&self, name: &str, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mut files = self.files.borrow_mut();
        if !files.contains_key(name) {
            let file = OpenOptions::new()
                .read(true)
                .write(self.writable)
                .custom_flags(nofollow())
                .open(self.path.join(name))?;
            files.insert(name.to_owned(), file);
        }
        act(&files[name])
    }
}

fn nofollow() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32
}

impl Storage for DirectoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(nofollow())
            .open(self.path.join(name))?;
        self.files.borrow_mut().insert(name.to_owned(), file);
        Ok(())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.with_file(name, |file| {
            let metadata = file.metadata()?;
            if metadata.is_file() {
                Ok(metadata.len())
            } else {
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not a regular file",
                ))
            }
        })
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with_file(name, |file| file.read_at(into, offset))
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.with_file(name, |file| file.write_at(bytes, offset))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with_file(name, File::sync_data)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(name);
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if let Some(file) = self.files.borrow_mut().remove(from) {
            self.files.borrow_mut().insert(to.to_owned(), file);
        }
        crate::drop_box::rename_to_free_name(&self.path.join(from), &self.path.join(to))
            .map_err(Into::into)
    }

    fn drop_cache(&self, name: &str) {
        let _ = self.with_file(name, |file| {
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).map_err(Into::into)
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
