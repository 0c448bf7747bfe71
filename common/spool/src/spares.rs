//! Files that stand ready beside the segments of a journal, so that it goes on
//! when the disk is full.
//!
//! - `spare.` and 20 digits: becomes the next segment. Most are segments that
//!   were needed once; their blocks are there, and a commit that writes over them
//!   changes no length. Some are empty: they hold an inode.
//! - `reserve.1` and `reserve.2`: hold blocks. The first is removed when the disk is
//!   full, so that the ends of what is there can still be recorded, the second when
//!   it is so again: for a new segment, with which old ones can go.
//!
//! Nothing in them is ever read.

use std::io;

use crate::Storage;

/// How many files stand ready at least.
const LEAST: usize = 2;
/// More than this many are removed.
const MOST: usize = 4;

/// The files that are removed when the disk is full, the last one first.
const RESERVES: [&str; 2] = ["reserve.2", "reserve.1"];

/// A file that becomes a segment.
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// What stands ready.
pub(crate) struct Spares {
    /// The smallest first.
    files: Vec<Spare>,
    next: u64,
    /// How much each reserve holds; 0 for no reserve at all.
    reserve: u64,
    /// Those of [`RESERVES`] that are there.
    reserves: Vec<&'static str>,
}

impl Spares {
    /// Finds what an earlier process left. `reserve` is how many bytes all reserves
    /// hold together.
    pub(crate) fn find(storage: &impl Storage, reserve: u64) -> io::Result<Self> {
        let mut spares = Self {
            files: Vec::new(),
            next: 0,
            reserve: reserve / RESERVES.len() as u64,
            reserves: Vec::new(),
        };
        for name in storage.list()? {
            if let Some(reserve) = RESERVES.into_iter().find(|reserve| *reserve == name) {
                // One that was not finished is none.
                if storage.len(&name).is_ok_and(|len| len >= spares.reserve) {
                    spares.reserves.push(reserve);
                }
            } else if let Some(number) = number_of(&name) {
                spares.next = spares.next.max(number.saturating_add(1));
                spares.add_found(storage, name);
            }
        }
        Ok(spares)
    }

    /// Takes over what an earlier process left. Where the disk lost the half of a
    /// rename, it is a segment, too: then only this name of it goes.
    fn add_found(&mut self, storage: &impl Storage, name: String) {
        match (storage.has_other_names(&name), storage.len(&name)) {
            (Ok(false), Ok(size)) => self.add(Spare { name, size }),
            // While it cannot be removed it is left alone.
            (Ok(true), _) => drop(storage.remove(&name)),
            _ => {}
        }
    }

    /// The largest that is ready, or a new one.
    pub(crate) fn take(&mut self, storage: &impl Storage) -> io::Result<Spare> {
        match self.files.pop() {
            Some(spare) => Ok(spare),
            None => self.create(storage),
        }
    }

    /// Puts one back that was not used after all.
    pub(crate) fn add(&mut self, spare: Spare) {
        let at = self.files.partition_point(|other| other.size < spare.size);
        self.files.insert(at, spare);
    }

    /// Makes a segment that is not needed any more a spare, or removes it.
    pub(crate) fn recycle(
        &mut self,
        storage: &impl Storage,
        segment: &str,
        size: u64,
    ) -> io::Result<()> {
        if self.files.len() >= MOST {
            // Rather this one than an empty one.
            if self.files[0].size >= size {
                return storage.remove(segment);
            }
            storage.remove(&self.files[0].name)?;
            self.files.remove(0);
        }
        let name = self.next_name();
        storage.rename(segment, &name)?;
        self.add(Spare { name, size });
        Ok(())
    }

    /// Creates what should stand ready and does not.
    pub(crate) fn fill(&mut self, storage: &impl Storage) -> io::Result<()> {
        while self.files.len() < LEAST {
            let spare = self.create(storage)?;
            self.add(spare);
        }
        for name in RESERVES {
            if self.reserve == 0 || self.reserves.contains(&name) {
                continue;
            }
            let made = make_reserve(storage, name, self.reserve);
            if made.is_err() {
                let _ = storage.remove(name);
            }
            made?;
            self.reserves.push(name);
        }
        Ok(())
    }

    /// Whether all is there that should be.
    pub(crate) fn is_complete(&self) -> bool {
        let reserved = self.reserve == 0 || self.reserves.len() == RESERVES.len();
        self.files.len() >= LEAST && reserved
    }

    /// Gives the blocks of a reserve back to the disk; `false` if there is none.
    pub(crate) fn release_reserve(&mut self, storage: &impl Storage) -> bool {
        let Some(name) = self.reserves.pop() else {
            return false;
        };
        // The sync makes file systems that free blocks late free them now.
        storage.remove(name).is_ok() && self.sync_names(storage).is_ok()
    }

    /// Makes the names of all files durable. If that fails, the names that came
    /// since the last time may never be, whatever a later sync says. So no spare
    /// has a name then that a segment's could be made from.
    pub(crate) fn sync_names(&mut self, storage: &impl Storage) -> io::Result<()> {
        let synced = storage.sync_directory();
        if synced.is_err() {
            for spare in self.files.drain(..) {
                let _ = storage.remove(&spare.name);
            }
        }
        synced
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        let reserved = self.reserve * self.reserves.len() as u64;
        self.files.iter().map(|spare| spare.size).sum::<u64>() + reserved
    }

    fn create(&mut self, storage: &impl Storage) -> io::Result<Spare> {
        let name = self.next_name();
        storage.create(&name)?;
        Ok(Spare { name, size: 0 })
    }

    fn next_name(&mut self) -> String {
        let name = format!("spare.{:020}", self.next);
        self.next += 1;
        name
    }
}

fn make_reserve(storage: &impl Storage, name: &str, len: u64) -> io::Result<()> {
    match storage.create(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    storage.allocate(name, len)
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("spare.")?;
    let regular = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    // Not the last number of all, so that counting on works.
    digits.parse().ok().filter(|n| regular && *n < u64::MAX / 2)
}
