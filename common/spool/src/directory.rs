//! The spool directory: its layout, its owner, its lock.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::drop_box::DropBox;
use crate::journal::Damage;
use crate::{DirectoryStorage, Error, Storage, sync};

/// Where producers write.
pub(crate) const TMP: &str = "tmp";
/// The drop box.
pub(crate) const NEW: &str = "new";
/// The segments.
pub(crate) const JOURNAL: &str = "journal";
/// What could not be read, each with its reason.
pub(crate) const CORRUPT: &str = "corrupt";
/// What can never be delivered, each with its reason.
pub(crate) const REFUSED: &str = "refused";
/// Holds the number of the process that owns the spool.
pub(crate) const LOCK: &str = "lock";

/// A spool directory that this process owns until it drops this.
#[derive(Debug)]
pub struct SpoolDirectory {
    path: PathBuf,
    /// Carries the lock.
    _directory: File,
}

impl SpoolDirectory {
    /// Makes what is missing of the layout (the parent of `path` must exist),
    /// checks the owner, and takes the lock.
    pub fn open(path: &Path) -> Result<Self, Error> {
        make_directory(path)?;
        let directory = File::open(path).map_err(Error::io("open", path))?;
        let metadata = directory.metadata().map_err(Error::io("look at", path))?;
        let own = rustix::process::geteuid().as_raw();
        if !metadata.is_dir() {
            return Err(Error::NotADirectory(path.to_owned()));
        }
        if metadata.uid() != own {
            return Err(Error::ForeignOwner {
                path: path.to_owned(),
                owner: metadata.uid(),
                own,
            });
        }
        lock(path, &directory)?;
        for part in [TMP, NEW, JOURNAL, CORRUPT, REFUSED] {
            make_directory(&path.join(part))?;
        }
        sync::all(&directory).map_err(Error::io("sync", path))?;
        Ok(Self {
            path: path.to_owned(),
            _directory: directory,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage for [`crate::Queue::recover`].
    pub fn journal(&self) -> Result<DirectoryStorage, Error> {
        let path = self.path.join(JOURNAL);
        DirectoryStorage::open(&path).map_err(Error::io("open", &path))
    }

    /// The side of the drop box that takes in.
    pub fn drop_box(&self) -> Result<DropBox, Error> {
        DropBox::open(&self.path)
    }

    /// Copies the bytes of a damage to `corrupt/`, with the reason beside them.
    /// Repeatable: the same damage has the same name.
    pub fn set_aside(&self, damage: &Damage) -> Result<(), Error> {
        let journal = self.journal()?;
        let path = journal.path(&damage.segment);
        let mut bytes = vec![0; damage.len.min(MAX_ASIDE) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let at = damage.offset + filled as u64;
            match journal.read_at(&damage.segment, at, &mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What cannot be read is what is wrong with it.
                Err(_) => break,
            }
        }
        bytes.truncate(filled);
        let name = format!("{}.{}", damage.segment, damage.offset);
        let why = format!("{}: {damage}\n", path.display());
        self.store(CORRUPT, &name, &bytes, &why)
    }

    /// Stores a body that can never be delivered in `refused/`, with the reason
    /// beside it. Repeatable.
    pub fn store_refused(&self, name: &str, body: &[u8], why: &str) -> Result<(), Error> {
        self.store(REFUSED, name, body, &format!("{why}\n"))
    }

    fn store(&self, part: &str, name: &str, bytes: &[u8], why: &str) -> Result<(), Error> {
        check_name(name)?;
        let directory = self.path.join(part);
        let path = directory.join(name);
        // Whoever finds it finds the reason, too, wherever this was killed.
        write_why(&path, why)?;
        write_file(&path, bytes)?;
        // Its name, too, before the journal says that the body may go.
        sync_names(&directory)
    }
}

/// Copies what can never be taken in to `corrupt/NAME` of `spool`, with the reason
/// beside it: durable when this returns. Needs no lock. Repeatable.
pub fn set_aside(spool: &Path, name: &str, from: &mut dyn Read, why: &str) -> Result<(), Error> {
    check_name(name)?;
    let corrupt = spool.join(CORRUPT);
    let path = corrupt.join(name);
    let mut file = create(&path).map_err(Error::io("write", &path))?;
    io::copy(from, &mut file)
        .and_then(|_| sync::all(&file))
        .map_err(Error::io("write", &path))?;
    write_why(&path, &format!("{why}\n"))?;
    sync_names(&corrupt)
}

/// Most bytes of a damage that are copied.
const MAX_ASIDE: u64 = 64 << 20;

fn make_directory(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io("create", path)(error))
        }
        _ if path.is_dir() => Ok(()),
        _ => Err(Error::NotADirectory(path.to_owned())),
    }
}

/// Locks the directory itself: a lock file could be removed and made anew, and
/// then two processes would each hold one. The file only says who it is.
fn lock(path: &Path, directory: &File) -> Result<(), Error> {
    let file = path.join(LOCK);
    match rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let text = format!("{}\n", std::process::id());
            write_file(&file, text.as_bytes())
        }
        Err(Errno::WOULDBLOCK) => {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let pid = text.trim().parse().ok();
            let path = path.to_owned();
            Err(Error::Locked { path, pid })
        }
        Err(errno) => Err(Error::system("lock", path)(errno)),
    }
}

/// Writes `PATH.why`.
pub(crate) fn write_why(path: &Path, why: &str) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".why");
    write_file(Path::new(&name), why.as_bytes())
}

fn sync_names(directory: &Path) -> Result<(), Error> {
    let synced = File::open(directory).and_then(|directory| sync::all(&directory));
    synced.map_err(Error::io("sync", directory))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Error::BadName(name.to_owned()));
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        sync::data(&file)
    });
    written.map_err(Error::io("write", path))
}

fn create(path: &Path) -> io::Result<File> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nofollow)
        .open(path)
}
