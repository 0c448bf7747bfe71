//! A disk that can be crashed: a [`Storage`] in memory that keeps apart what is
//! durable and what is only cached, for files and for names.
//!
//! For tests, here and in whatever is built on the spool. All chance comes from
//! seeds, so a failing run is repeated by its seed.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Room, Storage, Syncing};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The disk. A clone is the same disk, for who looks at it from outside.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: BTreeMap<u64, File>,
    next_file: u64,
    /// Names as every process sees them.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    operations: u64,
    /// Each operation of the running process, for who wants to know what it did.
    log: Vec<String>,
    faults: Vec<Fault>,
    /// Files, and in each a range that cannot be read.
    unreadable: Vec<(String, std::ops::Range<u64>)>,
    /// The process ends before this operation.
    kill_at: Option<u64>,
    /// Bytes that all files together may have.
    capacity: Option<u64>,
    /// How many files there may be.
    most_files: Option<usize>,
}

/// One file.
#[derive(Default, Clone)]
struct File {
    /// What every process reads.
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Writes not synced yet.
    pending: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    /// The new name is written whether or not the old one was ever durable.
    Rename(String, String, u64),
}

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The operation fails with "Input/output error". A sync that does so has
    /// written a part, forgets the rest, and the next sync will say nothing.
    Error,
    /// A file cannot be made or written: "No space left on device". A sync fails.
    NoSpace,
    /// A write writes a part only.
    Short,
}

struct Fault {
    at: u64,
    until: u64,
    wrong: Wrong,
}

/// A small generator of chance.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy that goes its own way from here.
    pub fn fork(&self) -> Self {
        let disk = self.disk();
        Self(Arc::new(Mutex::new(Disk {
            files: disk.files.clone(),
            next_file: disk.next_file,
            names: disk.names.clone(),
            durable_names: disk.durable_names.clone(),
            pending_names: disk.pending_names.clone(),
            capacity: disk.capacity,
            most_files: disk.most_files,
            ..Disk::default()
        })))
    }

    /// How many operations there were since the last restart.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// The operations since the last restart, in words.
    pub fn log(&self) -> Vec<String> {
        self.disk().log.clone()
    }

    /// From operation `at` on (counted from 0 since the last restart), `count` of
    /// them go wrong.
    pub fn fail(&self, at: u64, count: u64, wrong: Wrong) {
        let until = at.saturating_add(count);
        self.disk().faults.push(Fault { at, until, wrong });
    }

    /// These bytes of a file cannot be read any more.
    pub fn spoil(&self, name: &str, offset: u64, len: u64) {
        let range = offset..offset + len;
        self.disk().unreadable.push((name.to_owned(), range));
    }

    /// The process is killed before operation `at`: that one and all after it fail,
    /// and nothing reaches the disk any more.
    pub fn kill_at(&self, at: u64) {
        self.disk().kill_at = Some(at);
    }

    /// Whether the process was killed.
    pub fn is_killed(&self) -> bool {
        let disk = self.disk();
        disk.kill_at.is_some_and(|at| disk.operations > at)
    }

    /// How many bytes there is room for.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// How many bytes there are.
    pub fn used(&self) -> u64 {
        self.disk().used()
    }

    /// How many files there is room for.
    pub fn set_most_files(&self, files: Option<usize>) {
        self.disk().most_files = files;
    }

    /// A new process starts; the machine never stopped, so caches are what they were.
    /// Counting begins again, faults and kills are forgotten.
    pub fn restart(&self) {
        let mut disk = self.disk();
        disk.operations = 0;
        disk.log.clear();
        disk.faults.clear();
        disk.kill_at = None;
    }

    /// The machine loses power and starts again: of what was not synced, a part
    /// chosen by `seed` remains, in pieces of 512 bytes and single names.
    pub fn crash(&self, seed: u64) {
        let mut chance = Chance::new(seed);
        let mut disk = self.disk();
        // Some crashes keep nearly all, some nearly nothing.
        let share = chance.below(5) * 25;
        for file in disk.files.values_mut() {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                write_part(&mut file.durable, offset, &bytes, share, &mut chance);
            }
            file.cached = file.durable.clone();
        }
        for change in std::mem::take(&mut disk.pending_names) {
            if chance.below(100) < share {
                change.apply(&mut disk.durable_names);
            }
        }
        disk.names = disk.durable_names.clone();
        drop(disk);
        self.restart();
    }

    /// Changes bytes on the disk, behind everybody's back.
    pub fn damage(&self, name: &str, offset: usize, bytes: &[u8]) {
        let mut disk = self.disk();
        if let Some(number) = disk.names.get(name).copied()
            && let Some(file) = disk.files.get_mut(&number)
        {
            for copy in [&mut file.cached, &mut file.durable] {
                if let Some(place) = copy.get_mut(offset..offset + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// Places a file on the disk, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut disk = self.disk();
        let number = disk.next_file;
        disk.next_file += 1;
        disk.names.insert(name.to_owned(), number);
        disk.durable_names.insert(name.to_owned(), number);
        let file = File {
            cached: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        };
        disk.files.insert(number, file);
    }

    /// What a process would read from a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        let number = disk.names.get(name)?;
        Some(disk.files[number].cached.clone())
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and says what goes wrong with it.
    fn begin(&self, what: &str, name: &str) -> io::Result<(MutexGuard<'_, Disk>, Option<Wrong>)> {
        let mut disk = self.disk();
        let number = disk.operations;
        disk.operations += 1;
        if disk.kill_at.is_some_and(|at| number >= at) {
            return Err(io::Error::other("killed"));
        }
        disk.log.push(format!("{what} {name}"));
        let fault = disk
            .faults
            .iter()
            .find(|fault| (fault.at..fault.until).contains(&number));
        let wrong = fault.map(|fault| fault.wrong);
        Ok((disk, wrong))
    }

    /// As [`Self::begin`], for operations that only succeed or fail.
    fn begin_whole(&self, what: &str, name: &str) -> io::Result<MutexGuard<'_, Disk>> {
        match self.begin(what, name)? {
            (_, Some(Wrong::Error)) => Err(io_error()),
            (_, Some(Wrong::NoSpace)) if what == "create" => Err(io::ErrorKind::StorageFull.into()),
            (disk, _) => Ok(disk),
        }
    }
}

fn io_error() -> io::Error {
    rustix::io::Errno::IO.into()
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name, file);
            }
            Self::Unlink(name) => {
                names.remove(&name);
            }
            Self::Rename(from, to, file) => {
                names.remove(&from);
                names.insert(to, file);
            }
        }
    }
}

impl Disk {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let number = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.files.get_mut(number).expect("names name files"))
    }

    fn change_name(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn used(&self) -> u64 {
        let files = self.names.values().map(|number| &self.files[number]);
        files.map(|file| file.cached.len() as u64).sum()
    }

    fn free_files(&self) -> Option<usize> {
        Some(self.most_files?.saturating_sub(self.names.len()))
    }
}

fn put_at(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let offset = offset as usize;
    if bytes.len() < offset + new.len() {
        bytes.resize(offset + new.len(), 0);
    }
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

/// Writes some sectors of `new`, each with a chance of `share` in a hundred.
fn write_part(bytes: &mut Vec<u8>, offset: u64, new: &[u8], share: u64, chance: &mut Chance) {
    let mut done = 0;
    while done < new.len() {
        let at = offset as usize + done;
        let len = (SECTOR - at % SECTOR).min(new.len() - done);
        if chance.below(100) < share {
            put_at(bytes, at as u64, &new[done..done + len]);
        }
        done += len;
    }
}

impl Storage for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let disk = self.begin_whole("list", "")?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut disk = self.begin_whole("create", name)?;
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if disk.free_files() == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let number = disk.next_file;
        disk.next_file += 1;
        disk.files.insert(number, File::default());
        disk.change_name(NameChange::Link(name.to_owned(), number));
        Ok(())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let mut disk = self.begin_whole("len", name)?;
        Ok(disk.file(name)?.cached.len() as u64)
    }

    fn has_other_names(&self, name: &str) -> io::Result<bool> {
        let disk = self.begin_whole("count the names of", name)?;
        let number = disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.names.values().filter(|other| *other == number).count() > 1)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.begin_whole("read", name)?;
        let end = offset + into.len() as u64;
        let is_bad = |(file, range): &(String, std::ops::Range<u64>)| {
            file == name && range.start < end && offset < range.end
        };
        if disk.unreadable.iter().any(is_bad) {
            return Err(io_error());
        }
        let cached = &disk.file(name)?.cached;
        let rest = cached.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let (mut disk, wrong) = self.begin("write", name)?;
        let room = disk.capacity.map(|all| all.saturating_sub(disk.used()));
        let file = disk.file(name)?;
        let grows = (offset + bytes.len() as u64).saturating_sub(file.cached.len() as u64);
        let mut count = bytes.len();
        match wrong {
            Some(Wrong::Error) => return Err(io_error()),
            Some(Wrong::NoSpace) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Wrong::Short) => count = count.div_ceil(2),
            None => {}
        }
        if let Some(room) = room
            && grows > room
        {
            // A full disk takes what still fits, then refuses.
            count = count.saturating_sub((grows - room) as usize);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        put_at(&mut file.cached, offset, &bytes[..count]);
        file.pending.push((offset, bytes[..count].to_vec()));
        Ok(count)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let (mut disk, wrong) = self.begin("sync", name)?;
        let mut chance = Chance::new(disk.operations);
        let file = disk.file(name)?;
        let pending = std::mem::take(&mut file.pending);
        let share = if wrong.is_some() { 50 } else { 100 };
        for (offset, bytes) in pending {
            write_part(&mut file.durable, offset, &bytes, share, &mut chance);
        }
        match wrong {
            None => Ok(()),
            Some(_) => Err(io_error()),
        }
    }

    fn sync_later(&self, name: &str) -> Syncing {
        let (disk, name) = (self.clone(), name.to_owned());
        Box::new(move || disk.sync(&name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let (mut disk, wrong) = self.begin("sync the directory", "")?;
        let mut chance = Chance::new(disk.operations);
        for change in std::mem::take(&mut disk.pending_names) {
            if wrong.is_none() || chance.below(2) == 0 {
                change.apply(&mut disk.durable_names);
            }
        }
        match wrong {
            None => Ok(()),
            Some(_) => Err(io_error()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.begin_whole("remove", name)?;
        disk.file(name)?;
        disk.change_name(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.begin_whole("rename", from)?;
        let file = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn allocate(&self, name: &str, len: u64) -> io::Result<()> {
        match self.write_at(name, 0, &vec![0; len as usize])? {
            written if written as u64 == len => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn room(&self) -> io::Result<Option<Room>> {
        let disk = self.begin_whole("look at", "the room")?;
        if disk.capacity.is_none() && disk.most_files.is_none() {
            return Ok(None);
        }
        let size = disk.capacity.unwrap_or(1 << 40);
        Ok(Some(Room {
            size,
            free: size.saturating_sub(disk.used()),
            files: disk.most_files.unwrap_or(0) as u64,
            free_files: disk.free_files().unwrap_or(0) as u64,
        }))
    }

    /// Clean pages go, so what a failed sync did not write is seen to be lost.
    fn drop_cache(&self, name: &str) {
        if let Ok(mut disk) = self.begin_whole("drop the cache of", name)
            && let Ok(file) = disk.file(name)
        {
            file.cached = file.durable.clone();
            for (offset, bytes) in file.pending.clone() {
                put_at(&mut file.cached, offset, &bytes);
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("simulated").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_only_then() {
        let mut lost_bytes = false;
        let mut lost_name = false;
        for seed in 0..50 {
            let disk = SimulatedDisk::new();
            disk.create("a").unwrap();
            disk.write_at("a", 0, &[1; 2000]).unwrap();
            disk.sync("a").unwrap();
            disk.sync_directory().unwrap();
            disk.write_at("a", 1000, &[2; 2000]).unwrap();
            disk.create("b").unwrap();
            disk.crash(seed);
            let a = disk.content("a").unwrap();
            assert_eq!(a[..1000], [1; 1000], "seed {seed}");
            lost_bytes |= a.len() < 3000 || a.contains(&0);
            lost_name |= disk.content("b").is_none();
        }
        assert!(lost_bytes && lost_name);
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let disk = SimulatedDisk::new();
        disk.create("a").unwrap();
        disk.sync_directory().unwrap();
        disk.write_at("a", 0, &[1; 100 * SECTOR]).unwrap();
        disk.fail(disk.operations(), 1, Wrong::Error);
        assert!(disk.sync("a").is_err());
        disk.sync("a").unwrap();
        assert_eq!(disk.content("a").unwrap(), [1; 100 * SECTOR]);
        disk.drop_cache("a");
        assert_ne!(disk.content("a").unwrap(), [1; 100 * SECTOR]);
    }
}
