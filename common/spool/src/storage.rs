//! The file operations under a journal: a trait, and the real directory.
//! The simulated disk of the tests is in [`crate::sim`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::{Room, sync};

/// Most files kept open. Bodies are read from where messages wait, and those are
/// next to each other most of the time.
const OPEN_FILES: usize = 8;

/// A sync of a file that is still to be made, by whom ever it suits.
pub type Syncing = Box<dyn FnOnce() -> io::Result<()> + Send>;

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
    /// Whether the file has another name beside this one.
    fn has_other_names(&self, name: &str) -> io::Result<bool>;
    /// Reads some bytes at `offset`; 0 is the end of the file.
    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes some of `bytes` at `offset`, and says how many. Fewer is normal.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the file's bytes and its length durable.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// What does the same for what has been written so far. To be called once; until
    /// then the file is neither written nor synced.
    fn sync_later(&self, name: &str) -> Syncing;
    /// Makes the names durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames a file to a name that is free.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes a file `len` bytes long whose bytes have their places on the disk.
    fn allocate(&self, name: &str, len: u64) -> io::Result<()>;
    /// What the file system has left, if it says so.
    fn room(&self) -> io::Result<Option<Room>>;
    /// Drops what the system has cached of a file, so that it is read from the
    /// disk: after a failed sync the two may differ. May do nothing.
    fn drop_cache(&self, name: &str);
    /// The bytes of a file from `from` to `to`, which are synced, are not going to
    /// be read soon. May do nothing.
    fn will_not_read(&self, _name: &str, _from: u64, _to: u64) {}
    /// How messages name this file.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the file system.
pub struct DirectoryStorage {
    path: PathBuf,
    directory: File,
    writable: bool,
    /// The last ones used, the most recent first.
    files: RefCell<VecDeque<OpenFile>>,
}

struct OpenFile {
    name: String,
    file: Arc<File>,
    /// Written and not synced since: it stays open, because an error of write-back
    /// is told to the descriptors that were open when it happened.
    written: bool,
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
        self.with_open_file(name, |open| act(&open.file))
    }

    fn with_open_file<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut OpenFile) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut files = self.files.borrow_mut();
        match files.iter().position(|open| open.name == name) {
            Some(0) => {}
            Some(at) => {
                if let Some(open) = files.remove(at) {
                    files.push_front(open);
                }
            }
            None => {
                let file = OpenOptions::new()
                    .read(true)
                    .write(self.writable)
                    .custom_flags(nofollow())
                    .open(self.path.join(name))?;
                keep_open(&mut files, name, file);
            }
        }
        act(&mut files[0])
    }
}

/// Keeps a file open, and closes the one that was not used for longest.
fn keep_open(files: &mut VecDeque<OpenFile>, name: &str, file: File) {
    if files.len() >= OPEN_FILES
        && let Some(at) = files.iter().rposition(|open| !open.written)
    {
        files.remove(at);
    }
    files.push_front(OpenFile {
        name: name.to_owned(),
        file: Arc::new(file),
        written: false,
    });
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
        keep_open(&mut self.files.borrow_mut(), name, file);
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

    fn has_other_names(&self, name: &str) -> io::Result<bool> {
        self.with_file(name, |file| Ok(file.metadata()?.nlink() > 1))
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with_file(name, |file| file.read_at(into, offset))
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.with_open_file(name, |open| {
            open.written = true;
            open.file.write_at(bytes, offset)
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with_open_file(name, |open| {
            // Whatever comes of it, this file is not synced again.
            open.written = false;
            sync::data(&open.file)
        })
    }

    fn sync_later(&self, name: &str) -> Syncing {
        let file = self.with_open_file(name, |open| {
            open.written = false;
            Ok(Arc::clone(&open.file))
        });
        Box::new(move || sync::data(&*file?))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync::all(&self.directory)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.borrow_mut().retain(|open| open.name != name);
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        crate::drop_box::rename_to_free_name(&self.path.join(from), &self.path.join(to))?;
        let mut files = self.files.borrow_mut();
        if let Some(open) = files.iter_mut().find(|open| open.name == from) {
            to.clone_into(&mut open.name);
        }
        Ok(())
    }

    fn allocate(&self, name: &str, len: u64) -> io::Result<()> {
        self.with_file(name, |file| {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
                // Not every file system can; writing zeros is as good.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    let zeros = vec![0; 1 << 20];
                    let mut at = 0;
                    while at < len {
                        let part = (len - at).min(zeros.len() as u64) as usize;
                        at += file.write_at(&zeros[..part], at)? as u64;
                    }
                    Ok(())
                }
                other => Ok(other?),
            }
        })
    }

    fn room(&self) -> io::Result<Option<Room>> {
        let stat = rustix::fs::fstatvfs(&self.directory)?;
        Ok(Some(Room::of(&stat)))
    }

    fn drop_cache(&self, name: &str) {
        let _ = self.with_file(name, |file| {
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).map_err(Into::into)
        });
    }

    fn will_not_read(&self, name: &str, from: u64, to: u64) {
        let len = NonZeroU64::new(to.saturating_sub(from));
        // None would mean up to the end.
        if len.is_some() {
            let _ = self.with_file(name, |file| {
                let advice = rustix::fs::Advice::DontNeed;
                rustix::fs::fadvise(file, from, len, advice).map_err(Into::into)
            });
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
