//! The spool directory: its layout, its owner, its lock.

use std::path::{Path, PathBuf};

use crate::drop_box::DropBox;
use crate::journal::Damage;
use crate::{DirectoryStorage, Error};

/// A spool directory that this process owns until it drops this.
pub struct SpoolDirectory {
    path: PathBuf,
}

impl SpoolDirectory {
    /// Makes what is missing of the layout (the parent of `path` must exist),
    /// checks the owner, and takes the lock.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let _ = path;
        todo!()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage for [`crate::Queue::recover`].
    pub fn journal(&self) -> Result<DirectoryStorage, Error> {
        todo!()
    }

    /// The side of the drop box that takes in.
    pub fn drop_box(&self) -> Result<DropBox, Error> {
        todo!()
    }

    /// Copies the bytes of a damage to `corrupt/`, with the reason beside them.
    /// Repeatable: the same damage has the same name.
    pub fn set_aside(&self, damage: &Damage) -> Result<(), Error> {
        let _ = damage;
        todo!()
    }

    /// Stores a body that can never be delivered in `refused/`, with the reason
    /// beside it. Repeatable.
    pub fn store_refused(&self, name: &str, body: &[u8], why: &str) -> Result<(), Error> {
        let _ = (name, body, why);
        todo!()
    }
}
