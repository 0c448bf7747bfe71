//! The drop box: a file per notification in `new/`, written in `tmp/`.
//!
//! Whoever can write in the two directories can submit, with or without
//! [`submit`], while the daemon runs or not. So the side that takes in expects
//! anything there: half files, empty ones, directories, links, odd names.

use std::collections::{BinaryHeap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use objects::notification::{MAX_BODY, to_utf8};
use objects::{Envelope, NotificationId};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::directory::{CORRUPT, NEW, TMP};
use crate::{Error, Room, Space, sync};

/// What [`submit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is in `new/`, durably.
    New,
    /// The notification of this id was there already, and is durable.
    AlreadyThere,
}

/// Drops `body` as `new/ID`: durable when this returns `Ok`. Needs no daemon.
///
/// The file is written in `tmp/`, synced, renamed to a name that is free, and
/// `new/` is synced; so a kill or a power loss at any moment leaves it in `new/`
/// whole, or not at all. On an error nothing is left in `new/`. It is refused when
/// what is left of the disk is needed for what was accepted before.
pub fn submit(spool: &Path, id: NotificationId, body: &[u8]) -> Result<Submitted, Error> {
    submit_named(spool, &id.to_string(), id, body)
}

/// The same as `new/NAME`. The daemon takes what it finds there at once in the
/// order of names, so many that have an order are named in it. `name` is the
/// caller's own: a plain name that is the same whenever `id` is.
pub fn submit_named(
    spool: &Path,
    name: &str,
    id: NotificationId,
    body: &[u8],
) -> Result<Submitted, Error> {
    if body.len() > MAX_BODY {
        return Err(Error::TooLarge {
            len: body.len(),
            limit: MAX_BODY,
        });
    }
    let tmp = spool.join(TMP);
    let stat = rustix::fs::statvfs(&tmp).map_err(Error::system("look at", &tmp))?;
    if Room::of(&stat).space() == Space::Full {
        return Err(Error::NoSpace(spool.to_owned()));
    }
    let (temporary, file) = create_temporary(&tmp, id)?;
    let written = write_synced(file, body).map_err(Error::io("write", &temporary));
    let result = written.and_then(|()| publish(&temporary, &spool.join(NEW), name, id));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Most names tried for one file.
const TRIES: u32 = 1000;

fn create_temporary(tmp: &Path, id: NotificationId) -> Result<(PathBuf, File), Error> {
    let mut tries = 0;
    loop {
        // A process of the same number, killed earlier, may have left its file.
        let path = tmp.join(format!("{id}.{}.{tries}", std::process::id()));
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        tries += 1;
        match created {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {}
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
    }
}

fn write_synced(mut file: File, body: &[u8]) -> io::Result<()> {
    file.write_all(body)?;
    sync::all(&file)
}

/// Gives a file its final name.
fn publish(
    temporary: &Path,
    new: &Path,
    name: &str,
    id: NotificationId,
) -> Result<Submitted, Error> {
    let mut tries = 0;
    loop {
        let path = match tries {
            0 => new.join(name),
            n => new.join(format!("{name}.{n}")),
        };
        tries += 1;
        match rename_to_free_name(temporary, &path) {
            Ok(()) => {
                sync_directory(new).inspect_err(|_| {
                    // The caller is told that it failed, and may come again.
                    let _ = std::fs::remove_file(&path);
                })?;
                return Ok(Submitted::New);
            }
            Err(Errno::EXIST) if is_notification(&path, id)? => {
                sync_directory(new)?;
                let _ = std::fs::remove_file(temporary);
                return Ok(Submitted::AlreadyThere);
            }
            Err(Errno::EXIST) if tries < TRIES => {}
            Err(errno) => return Err(Error::system("rename to", &path)(errno)),
        }
    }
}

/// Whether the file is that notification, whole; its bytes are durable then. It
/// need not be: a script may have dropped anything under this name, and
/// what is there is no reason to lose ours.
fn is_notification(path: &Path, id: NotificationId) -> Result<bool, Error> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path);
    // It may have been taken away in this moment. Under another name ours is
    // one more of the same id, which the daemon recognises.
    let Ok(mut file) = opened else {
        return Ok(false);
    };
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut body = Vec::new();
    let mut limited = (&mut file).take(MAX_BODY as u64 + 1);
    if !is_file || limited.read_to_end(&mut body).is_err() {
        return Ok(false);
    }
    if !Envelope::parse(&to_utf8(&body)).is_ok_and(|envelope| envelope.id == id) {
        return Ok(false);
    }
    sync::all(&file).map_err(Error::io("sync", path))?;
    Ok(true)
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|directory| sync::all(&directory));
    synced.map_err(Error::io("sync", path))
}

/// Renames without ever replacing: `EXIST` if the name is taken.
pub(crate) fn rename_to_free_name(from: &Path, to: &Path) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot do this in one step can in two.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?;
            rustix::fs::unlink(from)
        }
        other => other,
    }
}

/// Reads a file of `len` bytes: with one more at most, which it had not when it was
/// looked at. A regular file gives less than was asked for at its end only.
fn read_short(file: &mut File, len: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; len + 1];
    let mut filled = 0;
    while filled < body.len() {
        match file.read(&mut body[filled..]) {
            Ok(count) => {
                filled += count;
                if count == 0 || filled == len {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    body.truncate(filled);
    Ok(body)
}

/// The drop box as seen by the daemon that empties it.
#[derive(Debug)]
pub struct DropBox {
    spool: PathBuf,
    new: File,
    owners: Vec<u32>,
}

/// What became of a name in `new/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A regular file of the right owner and size, read whole.
    File(Dropped),
    /// It may become one: it is empty or cannot be opened. Look again, for as long as
    /// [`Grace`] says.
    NotYet(String),
    /// It never will be: a directory, a link, too large. Set it aside.
    Never(String),
    /// It is not there any more.
    Gone,
}

/// A file read from the drop box; it stays there until [`DropBox::remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub name: OsString,
    /// Its content.
    pub body: Vec<u8>,
    /// Which file it is, so that another of the same name is not removed for it.
    pub identity: FileIdentity,
}

/// Tells a file from another of the same name, and from itself after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    inode: u64,
    size: i64,
    modified: (i64, u64),
}

impl FileIdentity {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            #[allow(
                clippy::unnecessary_cast,
                reason = "the types differ between platforms"
            )]
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        }
    }
}

impl DropBox {
    pub(crate) fn open(spool: &Path) -> Result<Self, Error> {
        let path = spool.join(NEW);
        Ok(Self {
            spool: spool.to_owned(),
            new: File::open(&path).map_err(Error::io("open", &path))?,
            owners: vec![0, rustix::process::geteuid().as_raw()],
        })
    }

    /// Takes files of this user, too, not only our own and root's.
    pub fn allow_owner(&mut self, user: u32) {
        self.owners.push(user);
    }

    /// When a name last came to `new/` or went from it, by the clock of the file
    /// system; none if it does not say.
    pub fn changed(&self) -> Option<SystemTime> {
        self.new.metadata().and_then(|new| new.modified()).ok()
    }

    /// The first `limit` names in `new/`, in their order. What comes while they are
    /// read may be among them or not.
    pub fn names(&self, limit: usize) -> Result<Vec<OsString>, Error> {
        let path = self.spool.join(NEW);
        let mut first = BinaryHeap::new();
        for entry in std::fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let name = entry.map_err(Error::io("list", &path))?.file_name();
            if first.len() < limit {
                first.push(name);
            } else if let Some(mut last) = first.peek_mut()
                && name < *last
            {
                *last = name;
            }
        }
        Ok(first.into_sorted_vec())
    }

    /// The same, and none without those that came before it: one that came while names
    /// were read may be seen where one before it was not. So they are read again, and
    /// only what is not behind the last of the first time counts. Whether more came.
    pub fn names_in_order(&self, limit: usize) -> Result<(Vec<OsString>, bool), Error> {
        let before = self.names(limit)?;
        let Some(last) = before.last() else {
            return Ok((before, false));
        };
        let mut names = self.names(limit)?;
        let count = names.partition_point(|name| name <= last);
        let more_came = count < names.len();
        names.truncate(count);
        Ok((names, more_came))
    }

    /// Looks at one name and reads the file.
    pub fn look(&self, name: &OsStr) -> Result<Found, Error> {
        let path = self.spool.join(NEW).join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file: File = match rustix::fs::openat(&self.new, name, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Ok(Found::Gone),
            Err(Errno::LOOP) => return Ok(Found::Never("a symbolic link".to_owned())),
            Err(Errno::NXIO | Errno::NODEV) => return Ok(Found::Never("not a file".to_owned())),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                return Ok(Found::NotYet(format!("cannot be opened: {errno}")));
            }
            Err(errno) => return Err(Error::system("open", &path)(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(Error::system("look at", &path))?;
        if let Some(verdict) = self.judge(&stat) {
            return Ok(verdict);
        }
        let body = read_short(&mut file, stat.st_size as usize);
        let body = body.map_err(Error::io("read", &path))?;
        let after = rustix::fs::fstat(&file).map_err(Error::system("look at", &path))?;
        let identity = FileIdentity::of(&stat);
        if FileIdentity::of(&after) != identity || body.len() as u64 != stat.st_size as u64 {
            return Ok(Found::NotYet("still being written".to_owned()));
        }
        let name = name.to_owned();
        Ok(Found::File(Dropped {
            name,
            body,
            identity,
        }))
    }

    /// What can be said without reading.
    fn judge(&self, stat: &Stat) -> Option<Found> {
        let sort = FileType::from_raw_mode(stat.st_mode);
        let size = stat.st_size as u64;
        if sort != FileType::RegularFile {
            let what = match sort {
                FileType::Directory => "a directory",
                FileType::Fifo => "a pipe",
                _ => "not a file",
            };
            Some(Found::Never(what.to_owned()))
        } else if !self.owners.contains(&stat.st_uid) {
            let what = format!("belongs to user {}", stat.st_uid);
            Some(Found::Never(what))
        } else if size > MAX_BODY as u64 {
            let what = format!("has {size} bytes, the limit is {MAX_BODY}");
            Some(Found::Never(what))
        } else if size == 0 {
            Some(Found::NotYet("empty".to_owned()))
        } else {
            None
        }
    }

    /// Removes a file after it was absorbed. Repeatable. A file that took its
    /// place in the meantime is left alone.
    ///
    /// The removal is not synced: a file that is back after a crash is known by
    /// its id, and removed again.
    pub fn remove(&self, file: &Dropped) -> Result<(), Error> {
        let path = self.spool.join(NEW).join(&file.name);
        let stat = match rustix::fs::statat(&self.new, &file.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::system("look at", &path)(errno)),
        };
        if FileIdentity::of(&stat) != file.identity {
            return Ok(());
        }
        match rustix::fs::unlinkat(&self.new, &file.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::system("remove", &path)(errno)),
        }
    }

    /// Makes the removals so far durable.
    pub fn sync(&self) -> Result<(), Error> {
        let path = self.spool.join(NEW);
        sync::all(&self.new).map_err(Error::io("sync", &path))
    }

    /// Moves whatever has this name to `corrupt/`, with the reason beside it.
    pub fn set_aside(&self, name: &OsStr, why: &str) -> Result<(), Error> {
        let from = self.spool.join(NEW).join(name);
        let corrupt = self.spool.join(CORRUPT);
        let plain = plain_name(name);
        let mut tries = 0;
        loop {
            let to = match tries {
                0 => corrupt.join(&plain),
                n => corrupt.join(format!("{plain}.{n}")),
            };
            tries += 1;
            match rename_to_free_name(&from, &to) {
                Ok(()) => {
                    let text = format!("dropped as {:?}: {why}\n", name.display());
                    return crate::directory::write_why(&to, &text);
                }
                Err(Errno::NOENT) if !from.is_symlink() && !from.exists() => return Ok(()),
                Err(Errno::EXIST | Errno::NOTEMPTY) if tries < TRIES => {}
                Err(errno) => return Err(Error::system("move away", &from)(errno)),
            }
        }
    }

    /// Removes files in `tmp/` last written more than `age` before `now`, and says how many.
    pub fn remove_leftovers(&self, now: SystemTime, age: Duration) -> Result<usize, Error> {
        let tmp = self.spool.join(TMP);
        let mut removed = 0;
        for entry in std::fs::read_dir(&tmp).map_err(Error::io("list", &tmp))? {
            let path = entry.map_err(Error::io("list", &tmp))?.path();
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let modified = metadata.modified().unwrap_or(now);
            let old = now.duration_since(modified).is_ok_and(|since| since > age);
            if old && !metadata.is_dir() && std::fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A name for `corrupt/` that needs no quoting and leaves room for a suffix.
fn plain_name(name: &OsStr) -> String {
    let plain = |b: &u8| match b {
        b if b.is_ascii_alphanumeric() || b"-_".contains(b) => char::from(*b),
        b'.' => '.',
        _ => '_',
    };
    let plain: String = name.as_bytes().iter().take(200).map(plain).collect();
    match plain.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => plain,
    }
}

/// Since when names whose file is not whole yet have been so.
#[derive(Debug, Default)]
pub struct Grace {
    first_seen: HashMap<OsString, Instant>,
}

impl Grace {
    /// Whether `name` was first told here at least `period` ago.
    pub fn is_over(&mut self, name: &OsStr, now: Instant, period: Duration) -> bool {
        match self.first_seen.get(name) {
            Some(first) => now.duration_since(*first) >= period,
            None => {
                self.first_seen.insert(name.to_owned(), now);
                period.is_zero()
            }
        }
    }

    /// Forgets a name: it was taken or set aside, or is gone.
    pub fn forget(&mut self, name: &OsStr) {
        self.first_seen.remove(name);
    }

    /// Forgets all names but these: what a full scan found.
    pub fn keep_only(&mut self, names: &[OsString]) {
        let names: std::collections::HashSet<&OsString> = names.iter().collect();
        self.first_seen.retain(|name, _| names.contains(name));
    }
}
