//! What the last dump said that the central site is known to have, so that the
//! next one need not say it again.
//!
//! | file | what it is |
//! |---|---|
//! | `FILE` | what the last dump said whose arrival was confirmed |
//! | `FILE.next` | what the dump after it said; begun before its first byte leaves, whole before its last |
//! | `FILE.lock` | held while a dump is made |
//!
//! `--confirm` renames `FILE.next` to `FILE`. Where it is found by the next dump
//! instead, nobody knows how that one ended, and the next is a full one. So it is
//! after a crash at any moment.
//!
//! A file is a line of text, then for each object 40 bytes in the order of the
//! first 16: half the SHA-256 of its name, half that of what was said about it,
//! and its last check in microseconds; then the CRC-32C of all that.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use objects::{DumpBegin, DumpMode, SiteId, UnixTime};
use program::lock::{self, Lock};
use program::{Failure, Status};

const MAGIC: &str = "sitewire-since 1";
const ENTRY: usize = 40;
/// Longest file, in bytes: ten million objects.
const MAX_FILE: u64 = 400 << 20;

/// One object, comment or downtime, as it was dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) content: [u8; 16],
    pub(crate) last_check: UnixTime,
}

/// Names an object, comment or downtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; 16]);

/// A comment or downtime by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remark {
    Comment(u64),
    Downtime(u64),
}

/// What the dump before has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Something else, or nothing.
    Other,
    /// The same, with another time of the check.
    Before(UnixTime),
    /// The same.
    Same,
}

impl Known {
    /// The time that is all there is to tell.
    pub(crate) fn time(self) -> Option<UnixTime> {
        match self {
            Self::Before(now) => Some(now),
            Self::Other | Self::Same => None,
        }
    }
}

impl Key {
    /// Of a host or service, by half the hash of its names.
    pub(crate) fn object(half: [u8; 16]) -> Self {
        Self(half)
    }

    /// Of a comment or downtime. No hash begins like this.
    pub(crate) fn remark(remark: Remark) -> Self {
        let (kind, id) = match remark {
            Remark::Comment(id) => (1, id),
            Remark::Downtime(id) => (2, id),
        };
        let mut key = [0; 16];
        key[7] = kind;
        key[8..].copy_from_slice(&id.to_be_bytes());
        Self(key)
    }

    fn as_remark(self) -> Option<Remark> {
        let (kind, id) = self.0.split_at(8);
        let id = id.try_into().map_or(0, u64::from_be_bytes);
        match kind {
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Remark::Comment(id)),
            [0, 0, 0, 0, 0, 0, 0, 2] => Some(Remark::Downtime(id)),
            _ => None,
        }
    }
}

/// The comparison of one dump with the one before.
pub(crate) struct Since {
    next: PathBuf,
    base: Option<Base>,
    entries: Vec<Entry>,
    /// Whether there are objects that the dump before did not have.
    has_new: bool,
    _lock: Lock,
}

/// What a confirmed dump has said.
#[derive(Debug, PartialEq, Eq)]
struct Base {
    site: SiteId,
    epoch: u64,
    sequence: u64,
    /// Deltas since the last full dump.
    deltas: u32,
    /// By key.
    entries: Vec<Entry>,
}

impl Since {
    /// Reads what the last confirmed dump has said. `full_every` is how many dumps
    /// there are from one full dump to the next.
    pub(crate) fn open(
        path: &Path,
        site: &SiteId,
        epoch: u64,
        full_every: u32,
    ) -> Result<Self, Failure> {
        let lock = Lock::take(&with_suffix(path, ".lock")).map_err(|error| {
            let status = match error {
                lock::Error::InUse { .. } => Status::TryAgain,
                _ => Status::Failed,
            };
            Failure::caused(status, path.display().to_string(), error)
        })?;
        let next = with_suffix(path, ".next");
        let mut base = None;
        // Otherwise nobody knows what has arrived.
        if !next.exists() {
            base = Base::read(path).unwrap_or_else(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    eprintln!(
                        "cmcdump: {}: {error}: the dump is a full one",
                        path.display()
                    );
                }
                None
            });
        }
        let base = base.filter(|base| {
            base.site == *site && base.epoch == epoch && base.deltas.saturating_add(1) < full_every
        });
        Ok(Self {
            next,
            base,
            entries: Vec::new(),
            has_new: false,
            _lock: lock,
        })
    }

    /// What the dump is.
    pub(crate) fn mode(&self) -> DumpMode {
        match &self.base {
            Some(base) => DumpMode::Delta {
                base: base.sequence,
            },
            None => DumpMode::Full,
        }
    }

    /// Whether only what has changed is to be told.
    pub(crate) fn is_delta(&self) -> bool {
        self.base.is_some()
    }

    /// Notes what is to be said, and tells what the dump before has said.
    pub(crate) fn compare(&mut self, entry: Entry) -> Known {
        self.entries.push(entry);
        let Some(base) = &self.base else {
            return Known::Other;
        };
        let place = base.entries.binary_search_by(|old| old.key.cmp(&entry.key));
        let Some(old) = place.ok().map(|place| &base.entries[place]) else {
            self.has_new |= entry.key.as_remark().is_none();
            return Known::Other;
        };
        if old.content != entry.content {
            Known::Other
        } else if old.last_check != entry.last_check {
            Known::Before(entry.last_check)
        } else {
            Known::Same
        }
    }

    /// The dump begins to leave: until it is known to have arrived, nothing is.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        let pending = |out: &mut dyn Write| writeln!(out, "{MAGIC} pending");
        program::file::replace(&self.next, 0o600, pending).map_err(|error| self.failed(error))
    }

    /// Comments and downtimes that are no more.
    pub(crate) fn gone(&self) -> Vec<Remark> {
        let remarks = |entries: &[Entry]| -> std::collections::BTreeSet<Key> {
            let keys = entries.iter().map(|entry| entry.key);
            keys.filter(|key| key.as_remark().is_some()).collect()
        };
        let now = remarks(&self.entries);
        let before = self.base.as_ref().map(|base| remarks(&base.entries));
        let gone = before
            .into_iter()
            .flatten()
            .filter(|key| !now.contains(key));
        gone.filter_map(Key::as_remark).collect()
    }

    /// All has been said but that it is all.
    ///
    /// Where objects came or went, the next dump is a full one: it says which of
    /// those at the central site are missing.
    pub(crate) fn finish(mut self, begin: &DumpBegin) -> Result<(), Failure> {
        let deltas = match &self.base {
            None => 0,
            Some(base) if self.has_new || objects(&base.entries) != objects(&self.entries) => {
                u32::MAX
            }
            Some(base) => base.deltas + 1,
        };
        self.entries.sort_unstable();
        let base = Base {
            site: begin.site.clone(),
            epoch: begin.epoch,
            sequence: begin.sequence,
            deltas,
            entries: std::mem::take(&mut self.entries),
        };
        program::file::replace(&self.next, 0o600, |out| base.write(out))
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::caused(Status::Failed, self.next.display().to_string(), error)
    }
}

/// How many hosts and services there are.
fn objects(entries: &[Entry]) -> usize {
    let objects = entries
        .iter()
        .filter(|entry| entry.key.as_remark().is_none());
    objects.count()
}

/// The last dump has arrived whole: the next one builds upon it.
pub(crate) fn confirm(path: &Path) -> Result<(), Failure> {
    let next = with_suffix(path, ".next");
    let failed = |error| Failure::caused(Status::Failed, next.display().to_string(), error);
    if Base::read(&next).map_err(failed)?.is_none() {
        let what = format!("{}: the dump did not end", next.display());
        return Err(Failure::new(Status::Failed, what));
    }
    fs::rename(&next, path).map_err(failed)?;
    program::file::sync_directory(path).map_err(failed)
}

impl Base {
    /// `None` if the dump it is about did not end.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if fs::metadata(path)?.len() > MAX_FILE {
            return Err(damaged("too large"));
        }
        let bytes = fs::read(path)?;
        let line = bytes.iter().position(|b| *b == b'\n');
        let line = line.ok_or_else(|| damaged("no line"))?;
        let text = std::str::from_utf8(&bytes[..line]).map_err(|_| damaged("not text"))?;
        let words = text.strip_prefix(MAGIC);
        let words = words.ok_or_else(|| damaged("of another format"))?;
        if words == " pending" {
            return Ok(None);
        }
        let (body, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or_else(|| damaged("cut off"))?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*sum) {
            return Err(damaged("its checksum differs"));
        }
        let mut words = words.split_ascii_whitespace();
        let mut next = || words.next().ok_or_else(|| damaged("a word is missing"));
        let site = SiteId::new(next()?).map_err(|_| damaged("no site"))?;
        let number = |word: &str| word.parse().map_err(|_| damaged("no number"));
        let (epoch, sequence) = (number(next()?)?, number(next()?)?);
        let deltas = number(next()?)?;
        let (entries, rest) = body[line + 1..].as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(damaged("cut off"));
        }
        Ok(Some(Self {
            site,
            epoch,
            sequence,
            deltas: u32::try_from(deltas).unwrap_or(u32::MAX),
            entries: entries.iter().map(Entry::read).collect(),
        }))
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut sum = 0;
        let mut put = |bytes: &[u8]| {
            sum = crc32c::crc32c_append(sum, bytes);
            out.write_all(bytes)
        };
        let Self {
            site,
            epoch,
            sequence,
            deltas,
            entries,
        } = self;
        put(format!("{MAGIC} {site} {epoch} {sequence} {deltas}\n").as_bytes())?;
        for entry in entries {
            put(&entry.bytes())?;
        }
        out.write_all(&sum.to_be_bytes())
    }
}

impl Entry {
    fn bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..16].copy_from_slice(&self.key.0);
        bytes[16..32].copy_from_slice(&self.content);
        bytes[32..].copy_from_slice(&self.last_check.micros().to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; ENTRY]) -> Self {
        let (mut key, mut content, mut time) = ([0; 16], [0; 16], [0; 8]);
        key.copy_from_slice(&bytes[..16]);
        content.copy_from_slice(&bytes[16..32]);
        time.copy_from_slice(&bytes[32..]);
        Self {
            key: Key(key),
            content,
            last_check: UnixTime::from_micros(i64::from_be_bytes(time)),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use objects::DumpContent;

    use super::*;

    fn site() -> SiteId {
        SiteId::new("a").unwrap()
    }

    fn begin(sequence: u64, mode: DumpMode) -> DumpBegin {
        DumpBegin {
            site: site(),
            content: DumpContent::State,
            epoch: 1,
            sequence,
            mode,
            time: UnixTime::from_secs(1),
            config_hash: None,
        }
    }

    fn entry(key: u8, content: u8, secs: i64) -> Entry {
        Entry {
            key: Key::object([key; 16]),
            content: [content; 16],
            last_check: UnixTime::from_secs(secs),
        }
    }

    fn open(path: &Path) -> Since {
        Since::open(path, &site(), 1, 3).unwrap()
    }

    fn run(path: &Path, sequence: u64, entries: &[Entry]) -> (DumpMode, Vec<Known>, Vec<Remark>) {
        let mut since = open(path);
        let mode = since.mode();
        since.begin().unwrap();
        let known = entries.iter().map(|entry| since.compare(*entry)).collect();
        let gone = since.gone();
        since.finish(&begin(sequence, mode)).unwrap();
        (mode, known, gone)
    }

    #[test]
    fn only_what_is_confirmed_is_built_upon() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("since");
        assert!(confirm(&path).is_err(), "there was no dump yet");
        let comment = Entry {
            key: Key::remark(Remark::Comment(7)),
            ..entry(0, 5, 0)
        };
        let first = [entry(2, 1, 10), entry(1, 1, 10), comment];
        assert_eq!(run(&path, 100, &first).0, DumpMode::Full);
        // Not confirmed: again a full one.
        assert_eq!(run(&path, 101, &first).0, DumpMode::Full);
        confirm(&path).unwrap();
        let second = [entry(1, 1, 10), entry(2, 1, 20)];
        let (mode, known, gone) = run(&path, 102, &second);
        assert_eq!(mode, DumpMode::Delta { base: 101 });
        let time = UnixTime::from_secs(20);
        assert_eq!(known, [Known::Same, Known::Before(time)]);
        assert_eq!(gone, [Remark::Comment(7)]);
        confirm(&path).unwrap();
        let third = [entry(1, 2, 10), entry(2, 1, 20)];
        let (mode, known, _) = run(&path, 103, &third);
        assert_eq!(mode, DumpMode::Delta { base: 102 });
        assert_eq!(known, [Known::Other, Known::Same]);
        confirm(&path).unwrap();
        // The third after a full one.
        assert_eq!(open(&path).mode(), DumpMode::Full);
    }

    #[test]
    fn objects_that_come_or_go_are_followed_by_a_full_dump() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("since");
        for (second, is_delta) in [
            (&[1, 2][..], true),
            (&[1], false),
            (&[1, 2, 3], false),
            (&[1, 3], false),
        ] {
            let _ = fs::remove_file(&path);
            run(&path, 1, &[entry(1, 1, 1), entry(2, 1, 1)]);
            confirm(&path).unwrap();
            let second: Vec<_> = second.iter().map(|key| entry(*key, 1, 1)).collect();
            run(&path, 2, &second);
            confirm(&path).unwrap();
            assert_eq!(open(&path).is_delta(), is_delta, "{second:?}");
        }
    }

    #[test]
    fn a_crash_at_any_moment_makes_the_next_dump_a_full_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("since");
        run(&path, 100, &[entry(1, 1, 1)]);
        confirm(&path).unwrap();
        assert!(open(&path).is_delta(), "nothing has left since");
        let since = open(&path);
        since.begin().unwrap();
        drop(since);
        assert!(confirm(&path).is_err(), "the dump did not end");
        assert!(!open(&path).is_delta());
        fs::remove_file(with_suffix(&path, ".next")).unwrap();
        // Of another site, life, or damaged.
        let other = SiteId::new("b").unwrap();
        assert!(!Since::open(&path, &other, 1, 9).unwrap().is_delta());
        assert!(!Since::open(&path, &site(), 2, 9).unwrap().is_delta());
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(!open(&path).is_delta(), "{cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            fs::write(&path, &changed).unwrap();
            assert!(!open(&path).is_delta(), "{at}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(open(&path).is_delta());
    }

    #[test]
    fn one_dump_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("since");
        let first = open(&path);
        let second = Since::open(&path, &site(), 1, 3).err().unwrap();
        assert_eq!(second.status(), Status::TryAgain);
        drop(first);
        open(&path);
    }
}
