//! The drop box: a file per notification in `new/`, written in `tmp/`.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::Error;

/// What [`submit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is in `new/`, durably.
    New,
    /// A file of that name was there already, and is durable.
    AlreadyThere,
}

/// Drops `body` as `new/NAME`: durable when this returns `Ok`. Needs no daemon.
/// On an error nothing half is left in `new/`.
pub fn submit(spool: &Path, name: &str, body: &[u8]) -> Result<Submitted, Error> {
    let _ = (spool, name, body);
    todo!()
}

/// The drop box as seen by the daemon that empties it.
pub struct DropBox {}

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

/// A file taken from the drop box; it stays there until [`DropBox::remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub name: OsString,
    /// Its content.
    pub body: Vec<u8>,
    /// Which file it is, so that another of the same name is not removed for it.
    pub identity: FileIdentity,
}

/// Tells a file from another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    inode: u64,
    size: u64,
    modified_ns: i128,
}

impl DropBox {
    /// At most `limit` names in `new/`, in no order.
    pub fn names(&self, limit: usize) -> Result<Vec<OsString>, Error> {
        let _ = limit;
        todo!()
    }

    /// Looks at one name and reads the file.
    pub fn look(&self, name: &OsStr) -> Result<Found, Error> {
        let _ = name;
        todo!()
    }

    /// Removes a file after it was absorbed. Repeatable. A file that took its
    /// place in the meantime is left alone.
    pub fn remove(&self, file: &Dropped) -> Result<(), Error> {
        let _ = file;
        todo!()
    }

    /// Moves whatever has this name to `corrupt/`, with the reason beside it.
    pub fn set_aside(&self, name: &OsStr, why: &str) -> Result<(), Error> {
        let _ = (name, why);
        todo!()
    }

    /// Removes files in `tmp/` last written more than `age` before `now`, and says how many.
    pub fn remove_leftovers(&self, now: SystemTime, age: Duration) -> Result<usize, Error> {
        let _ = (now, age);
        todo!()
    }
}

/// Since when files that are not whole yet have been so.
#[derive(Debug, Default)]
pub struct Grace {
    first_seen: HashMap<OsString, Instant>,
}

impl Grace {
    /// Whether `name` was first told here at least `period` ago.
    pub fn is_over(&mut self, name: &OsStr, now: Instant, period: Duration) -> bool {
        let _ = (name, now, period);
        todo!()
    }

    /// Forgets a name: it was taken or set aside.
    pub fn forget(&mut self, name: &OsStr) {
        self.first_seen.remove(name);
    }
}

pub(crate) fn rename_to_free_name(from: &Path, to: &Path) -> rustix::io::Result<()> {
    let _ = (from, to);
    todo!()
}
