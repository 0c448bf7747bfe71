//! A disk that remembers what was written to it, in which order, and where it
//! was told to flush: a file of a FUSE file system, for a loop device.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, FileAttr, FileType, Filesystem, MountOption, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Something that happened to the disk.
pub enum Entry {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// All before this is safe from a loss of power.
    Flush,
    /// Somebody noted this text.
    Mark(String),
}

/// Everything that happened, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Entry>>>);

impl Log {
    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes that the disk fails when it is told to: every third of those with this
/// text in them, until there were some. What the file system writes for itself does
/// not have it.
#[derive(Clone, Default)]
pub struct Failing(Arc<Fails>);

#[derive(Default)]
struct Fails {
    /// How many are still to fail.
    left: AtomicUsize,
    seen: AtomicUsize,
    failed: AtomicUsize,
}

/// What all notifications have in them.
pub const TEXT: &[u8] = &[b'x'; 64];
const EVERY: usize = 3;
const AT_ONCE: usize = 20;

impl Failing {
    pub fn arm(&self, armed: bool) {
        let left = if armed { AT_ONCE } else { 0 };
        self.0.left.store(left, Ordering::SeqCst);
    }

    /// How many writes have failed.
    pub fn count(&self) -> usize {
        self.0.failed.load(Ordering::SeqCst)
    }

    fn fails(&self, data: &[u8]) -> bool {
        let left = self.0.left.load(Ordering::SeqCst);
        let fails = left > 0
            && data.windows(TEXT.len()).any(|part| part == TEXT)
            && self.0.seen.fetch_add(1, Ordering::SeqCst) % EVERY == EVERY - 1;
        if fails {
            self.0.left.store(left - 1, Ordering::SeqCst);
            self.0.failed.fetch_add(1, Ordering::SeqCst);
        }
        fails
    }
}

/// The mounted FUSE file system; it is unmounted when this is dropped.
pub struct Disk {
    pub log: Log,
    pub failing: Failing,
    directory: PathBuf,
    _session: BackgroundSession,
}

impl Disk {
    /// Shows a disk of `len` bytes under `directory`.
    pub fn mount(directory: &Path, len: usize) -> std::io::Result<Self> {
        let (log, failing) = (Log::default(), Failing::default());
        let files = Files {
            log: log.clone(),
            failing: failing.clone(),
            bytes: vec![0; len],
        };
        let options = [MountOption::FSName("replay".to_owned())];
        Ok(Self {
            log,
            failing,
            directory: directory.to_owned(),
            _session: fuser::spawn_mount2(files, directory, &options)?,
        })
    }

    pub fn file(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// Where texts are noted.
    pub fn mark(&self) -> PathBuf {
        self.directory.join("mark")
    }
}

/// What is on the disk when the power fails after `point` entries of the log: all
/// that was flushed, and of the rest a part chosen by `chance`.
pub struct Images<'a> {
    log: &'a [Entry],
    /// What all entries before `at` have made.
    flushed: Vec<u8>,
    at: usize,
}

impl<'a> Images<'a> {
    pub fn new(log: &'a [Entry], len: usize) -> Self {
        Self {
            log,
            flushed: vec![0; len],
            at: 0,
        }
    }

    /// Points come in ascending order.
    pub fn at(&mut self, point: usize, below: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
        let before = &self.log[..point];
        let flush = before.iter().rposition(|e| matches!(e, Entry::Flush));
        let flush = flush.map_or(0, |flush| flush + 1).max(self.at);
        for entry in &self.log[self.at..flush] {
            if let Entry::Write { offset, bytes } = entry {
                let offset = *offset as usize;
                self.flushed[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
        self.at = flush;
        let mut image = self.flushed.clone();
        // Some crashes keep nearly all, some nearly nothing.
        let share = below(5) * 25;
        for entry in &self.log[flush..point] {
            let Entry::Write { offset, bytes } = entry else {
                continue;
            };
            for (number, piece) in bytes.chunks(SECTOR).enumerate() {
                if below(100) < share {
                    let at = *offset as usize + number * SECTOR;
                    image[at..at + piece.len()].copy_from_slice(piece);
                }
            }
        }
        image
    }
}

const ROOT: u64 = 1;
const DISK: u64 = 2;
const MARK: u64 = 3;
const TTL: Duration = Duration::from_secs(3600);

struct Files {
    log: Log,
    failing: Failing,
    bytes: Vec<u8>,
}

impl Files {
    fn attributes(&self, ino: u64) -> FileAttr {
        let (kind, perm, size) = match ino {
            ROOT => (FileType::Directory, 0o755, 0),
            DISK => (FileType::RegularFile, 0o600, self.bytes.len() as u64),
            _ => (FileType::RegularFile, 0o600, 0),
        };
        FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Files {
    fn lookup(&mut self, _: &Request<'_>, _: u64, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some("disk") => reply.entry(&TTL, &self.attributes(DISK), 0),
            Some("mark") => reply.entry(&TTL, &self.attributes(MARK), 0),
            _ => reply.error(libc::ENOENT),
        }
    }

    fn getattr(&mut self, _: &Request<'_>, ino: u64, _: Option<u64>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(ino));
    }

    fn setattr(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<u64>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<u32>,
        reply: ReplyAttr,
    ) {
        reply.attr(&TTL, &self.attributes(ino));
    }

    fn open(&mut self, _: &Request<'_>, ino: u64, _: i32, reply: ReplyOpen) {
        // Marks come at once, and as they were written.
        let flags = match ino {
            MARK => fuser::consts::FOPEN_DIRECT_IO,
            _ => 0,
        };
        reply.opened(0, flags);
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        _: u64,
        offset: i64,
        size: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        let rest = match ino {
            DISK => self.bytes.get(offset as usize..).unwrap_or_default(),
            _ => &[],
        };
        reply.data(&rest[..rest.len().min(size as usize)]);
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        _: u64,
        offset: i64,
        data: &[u8],
        _: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyWrite,
    ) {
        let entry = match ino {
            DISK if self.failing.fails(data) => return reply.error(libc::EIO),
            DISK => {
                let place = self.bytes.get_mut(offset as usize..);
                let Some(place) = place.and_then(|rest| rest.get_mut(..data.len())) else {
                    return reply.error(libc::ENOSPC);
                };
                place.copy_from_slice(data);
                Entry::Write {
                    offset: offset as u64,
                    bytes: data.to_vec(),
                }
            }
            _ => Entry::Mark(String::from_utf8_lossy(data).into_owned()),
        };
        self.log.entries().push(entry);
        reply.written(data.len() as u32);
    }

    fn fsync(&mut self, _: &Request<'_>, ino: u64, _: u64, _: bool, reply: ReplyEmpty) {
        if ino == DISK {
            self.log.entries().push(Entry::Flush);
        }
        reply.ok();
    }

    fn fallocate(
        &mut self,
        _: &Request<'_>,
        _: u64,
        _: u64,
        _: i64,
        _: i64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(libc::EOPNOTSUPP);
    }
}
