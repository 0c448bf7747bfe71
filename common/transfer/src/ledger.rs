//! What was taken in from each site: one small file per site and kind of dump.
//!
//! ```text
//! DIRECTORY/SITE.state          what states came last
//! DIRECTORY/SITE.config         what configuration came last
//! DIRECTORY/SITE.KIND.lock      held while a dump of that kind is taken in
//! DIRECTORY/expected            sites that must come, one a line; `#` begins a comment
//! ```
//!
//! A file is lines `key=value` below `sitewire-ledger 1`, and is replaced by
//! rename. Keys that a release does not know it leaves out when it writes.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use objects::{DumpBegin, DumpContent, SiteId, UnixTime};
use program::lock::Lock;

use crate::Error;

const MAGIC: &str = "sitewire-ledger 1";
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Longest text in an entry, in bytes.
const MAX_TEXT: usize = 500;

/// What a dump carries, as a file is named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// States.
    State,
    /// Hosts and services as configured.
    Configuration,
}

impl Kind {
    /// Both, states first.
    pub const ALL: [Self; 2] = [Self::State, Self::Configuration];

    /// The word in file names and in the frame of a dump.
    pub fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Configuration => "config",
        }
    }
}

impl From<DumpContent> for Kind {
    fn from(content: DumpContent) -> Self {
        match content {
            DumpContent::State => Self::State,
            DumpContent::Configuration => Self::Configuration,
        }
    }
}

/// How the last dump that was taken in ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// With its end mark.
    #[default]
    Complete,
    /// Without; why.
    Incomplete(String),
}

/// What is remembered of a site. Counts are those of the last dump, unless said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Epoch of the newest dump that was accepted.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// The source's clock when it began; never for a dump without a frame.
    pub dump_time: UnixTime,
    /// Our clock when it was taken in.
    pub taken: UnixTime,
    /// The source's clock when the last complete dump began.
    pub complete_dump_time: UnixTime,
    /// Our clock when the last complete dump was taken in.
    pub complete_taken: UnixTime,
    /// How the last one ended.
    pub outcome: Outcome,
    /// Hosts that were taken in.
    pub hosts: u64,
    /// Services that were taken in.
    pub services: u64,
    /// Records for objects that the target does not know.
    pub unknown: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Why the first of those was.
    pub refused_why: String,
    /// Hash of the configuration that the states belong to, or of the
    /// configuration itself, in hexadecimal; empty if nobody said.
    pub config_hash: String,
    /// Whole dumps refused since one was accepted: older, forged, not framed.
    pub dumps_refused: u64,
    /// Our clock when that happened last.
    pub dump_refused_at: UnixTime,
    /// Why.
    pub dump_refused_why: String,
}

/// How a dump relates to what was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first of its site.
    First,
    /// Newer than all before.
    Newer,
    /// The newest one, once more.
    Same,
    /// Older than one that was accepted.
    Older,
}

impl Entry {
    /// How a dump of that epoch and sequence relates to what was accepted.
    pub fn order(&self, epoch: u64, sequence: u64) -> Order {
        if (self.epoch, self.sequence) == (0, 0) {
            return Order::First;
        }
        match (epoch, sequence).cmp(&(self.epoch, self.sequence)) {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Equal => Order::Same,
            std::cmp::Ordering::Less => Order::Older,
        }
    }

    /// Whether a delta with that base fits upon what was accepted.
    pub fn is_base(&self, epoch: u64, base: u64) -> bool {
        self.outcome == Outcome::Complete && (self.epoch, self.sequence) == (epoch, base)
    }

    /// How long ago the last complete dump was made: by the clock of its site,
    /// unless that is ahead of ours or said nothing. `None` if none ever came.
    pub fn age(&self, now: UnixTime) -> Option<Duration> {
        let made = match self.complete_dump_time.is_never() {
            true => self.complete_taken,
            false => self.complete_dump_time.min(self.complete_taken),
        };
        since(made, now)
    }

    /// How long ago the last complete dump came, by our clock. `None` if none
    /// ever did.
    pub fn silence(&self, now: UnixTime) -> Option<Duration> {
        since(self.complete_taken, now)
    }

    /// Remembers that a whole dump was refused.
    pub fn refuse_dump(&mut self, now: UnixTime, why: &str) {
        self.dumps_refused += 1;
        self.dump_refused_at = now;
        why.clone_into(&mut self.dump_refused_why);
    }

    /// Goes through all fields; printing and parsing must not differ.
    fn fields(&mut self) -> [(&'static str, Field<'_>); 16] {
        let Self {
            epoch,
            sequence,
            dump_time,
            taken,
            complete_dump_time,
            complete_taken,
            outcome,
            hosts,
            services,
            unknown,
            refused,
            refused_why,
            config_hash,
            dumps_refused,
            dump_refused_at,
            dump_refused_why,
        } = self;
        [
            ("epoch", Field::Count(epoch)),
            ("sequence", Field::Count(sequence)),
            ("dump_time", Field::Time(dump_time)),
            ("taken", Field::Time(taken)),
            ("complete_dump_time", Field::Time(complete_dump_time)),
            ("complete_taken", Field::Time(complete_taken)),
            ("incomplete", Field::Outcome(outcome)),
            ("hosts", Field::Count(hosts)),
            ("services", Field::Count(services)),
            ("unknown", Field::Count(unknown)),
            ("refused", Field::Count(refused)),
            ("refused_why", Field::Text(refused_why)),
            ("config_hash", Field::Text(config_hash)),
            ("dumps_refused", Field::Count(dumps_refused)),
            ("dump_refused_at", Field::Time(dump_refused_at)),
            ("dump_refused_why", Field::Text(dump_refused_why)),
        ]
    }

    fn print(&self) -> String {
        let mut text = format!("{MAGIC}\n");
        for (key, field) in self.clone().fields() {
            // Writing to a String does not fail.
            let _ = match field {
                Field::Count(count) => writeln!(text, "{key}={count}"),
                Field::Time(time) => writeln!(text, "{key}={time}"),
                Field::Text(why) | Field::Outcome(Outcome::Incomplete(why)) if !why.is_empty() => {
                    writeln!(text, "{key}={}", one_line(why))
                }
                Field::Text(_) | Field::Outcome(_) => Ok(()),
            };
        }
        text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Err(format!("does not begin with \"{MAGIC}\""));
        }
        let mut entry = Self::default();
        for line in lines {
            let (key, value) = line.split_once('=').ok_or("a line has no `=`")?;
            let field = entry.fields().into_iter().find(|(name, _)| *name == key);
            let bad = || format!("{key} is {value:?}");
            match field.map(|(_, field)| field) {
                Some(Field::Count(count)) => *count = value.parse().map_err(|_| bad())?,
                Some(Field::Time(time)) => {
                    *time = UnixTime::parse(value.as_bytes()).ok_or_else(bad)?;
                }
                Some(Field::Text(text)) => value.clone_into(text),
                Some(Field::Outcome(outcome)) => *outcome = Outcome::Incomplete(value.to_owned()),
                None => {}
            }
        }
        Ok(entry)
    }
}

fn since(time: UnixTime, now: UnixTime) -> Option<Duration> {
    let micros = now.micros().saturating_sub(time.micros()).max(0);
    (!time.is_never()).then(|| Duration::from_micros(micros.unsigned_abs()))
}

enum Field<'a> {
    Count(&'a mut u64),
    Time(&'a mut UnixTime),
    Text(&'a mut String),
    Outcome(&'a mut Outcome),
}

/// A text that stays in its line, and short.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or(0));
    }
    line
}

/// The directory in which all this lies.
#[derive(Debug, Clone)]
pub struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    /// Uses `directory`, and makes it if it is not there.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| Error::Io {
                path: directory.clone(),
                source,
            })?;
        Ok(Self { directory })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file of that site beside its entries: `SITE.NAME`.
    pub fn file(&self, site: &SiteId, name: &str) -> PathBuf {
        self.directory.join(format!("{site}.{name}"))
    }

    /// The sites of which anything came, by name.
    pub fn sites(&self) -> Result<Vec<SiteId>, Error> {
        let failed = |source| Error::Io {
            path: self.directory.clone(),
            source,
        };
        let mut sites = Vec::new();
        for file in fs::read_dir(&self.directory).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            let Some((site, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            if Kind::ALL.iter().any(|known| known.word() == kind) {
                sites.extend(SiteId::new(site));
            }
        }
        sites.sort();
        sites.dedup();
        Ok(sites)
    }

    /// The sites that must come, as the file `expected` has them.
    pub fn expected(&self) -> Result<Vec<SiteId>, Error> {
        let path = self.directory.join("expected");
        let Some(text) = read(&path)? else {
            return Ok(Vec::new());
        };
        let mut sites = Vec::new();
        for line in text.lines() {
            let name = line.split('#').next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            sites.push(SiteId::new(name).map_err(|error| Error::BadFile {
                path: path.clone(),
                what: error.to_string(),
            })?);
        }
        Ok(sites)
    }

    /// What is remembered of `site`.
    pub fn read(&self, site: &SiteId, kind: Kind) -> Result<Option<Entry>, Error> {
        let path = self.file(site, kind.word());
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        match Entry::parse(&text) {
            Ok(entry) => Ok(Some(entry)),
            Err(what) => Err(Error::BadFile { path, what }),
        }
    }

    /// Takes the turn to import a dump of that kind; waits for another import
    /// that long, then fails with [`Error::Locked`].
    pub fn turn(&self, site: &SiteId, kind: Kind, wait: Duration) -> Result<Turn, Error> {
        let lock = self.file(site, &format!("{}.lock", kind.word()));
        let lock = Lock::take_within(&lock, wait).map_err(Error::Locked)?;
        let entry = self.read(site, kind)?.unwrap_or_default();
        Ok(Turn {
            path: self.file(site, kind.word()),
            site: site.clone(),
            entry,
            _lock: lock,
        })
    }
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE => Err(Error::BadFile {
            path: path.to_owned(),
            what: format!("is longer than {MAX_FILE} bytes"),
        }),
        Ok(_) => fs::read_to_string(path).map(Some).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The right to import a dump of one site and kind, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    path: PathBuf,
    site: SiteId,
    entry: Entry,
    _lock: Lock,
}

impl Turn {
    /// Whose turn it is.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// What is remembered so far; empty if nothing ever came.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether a dump may be taken in after what came before: an older one is
    /// an error unless it is allowed. The newest one may come again: an import
    /// that was broken off is repeated like that.
    pub fn check_order(&self, begin: &DumpBegin, allow_older: bool) -> Result<Order, Error> {
        let order = self.entry.order(begin.epoch, begin.sequence);
        if order == Order::Older && !allow_older {
            return Err(Error::Older {
                site: self.site.clone(),
                came: (begin.epoch, begin.sequence),
                newest: (self.entry.epoch, self.entry.sequence),
            });
        }
        Ok(order)
    }

    /// Remembers that a whole dump was refused.
    pub fn refuse(&mut self, now: UnixTime, why: &str) -> Result<(), Error> {
        let mut entry = self.entry.clone();
        entry.refuse_dump(now, why);
        self.store(entry)
    }

    /// Remembers `entry`, durably.
    pub fn store(&mut self, entry: Entry) -> Result<(), Error> {
        self.entry = entry;
        let text = self.entry.print();
        program::file::replace(&self.path, 0o600, |out| out.write_all(text.as_bytes())).map_err(
            |source| Error::Io {
                path: self.path.clone(),
                source,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use objects::DumpMode;

    const NOW: Duration = Duration::ZERO;

    fn site(name: &str) -> SiteId {
        SiteId::new(name).unwrap()
    }

    fn begin(epoch: u64, sequence: u64) -> DumpBegin {
        DumpBegin {
            site: site("remote1"),
            content: DumpContent::State,
            epoch,
            sequence,
            mode: DumpMode::Full,
            time: UnixTime::from_secs(1),
            config_hash: None,
        }
    }

    #[test]
    fn entries_survive_writing_and_reading() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path().join("new")).unwrap();
        let remote = site("remote1");
        assert_eq!(ledger.read(&remote, Kind::State).unwrap(), None);
        let entry = Entry {
            epoch: 1,
            sequence: 2,
            dump_time: UnixTime::from_micros(3_500_000),
            taken: UnixTime::from_secs(4),
            complete_dump_time: UnixTime::from_secs(5),
            complete_taken: UnixTime::from_secs(6),
            outcome: Outcome::Incomplete("end mark\nmissing".to_owned()),
            hosts: 7,
            services: 8,
            unknown: 9,
            refused: 10,
            refused_why: "x=y".to_owned(),
            config_hash: "ab".to_owned(),
            dumps_refused: 11,
            dump_refused_at: UnixTime::from_secs(12),
            dump_refused_why: "ä".repeat(600),
        };
        let mut turn = ledger.turn(&remote, Kind::State, NOW).unwrap();
        turn.store(entry.clone()).unwrap();
        let read = ledger.read(&remote, Kind::State).unwrap().unwrap();
        let want = Entry {
            outcome: Outcome::Incomplete("end mark missing".to_owned()),
            dump_refused_why: "ä".repeat(250),
            ..entry
        };
        assert_eq!(read, want);
        assert_eq!(ledger.read(&remote, Kind::Configuration).unwrap(), None);
        assert_eq!(ledger.sites().unwrap(), [remote]);
    }

    #[test]
    fn an_older_dump_never_wins() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut turn = ledger.turn(&site("remote1"), Kind::State, NOW).unwrap();
        assert_eq!(turn.check_order(&begin(0, 5), false).unwrap(), Order::First);
        turn.store(Entry {
            epoch: 1,
            sequence: 10,
            ..Entry::default()
        })
        .unwrap();
        for (name, begin, want) in [
            ("newer", begin(1, 11), Some(Order::Newer)),
            ("of a later life", begin(2, 1), Some(Order::Newer)),
            ("once more", begin(1, 10), Some(Order::Same)),
            ("older", begin(1, 9), None),
            ("of an earlier life", begin(0, 99), None),
        ] {
            assert_eq!(turn.check_order(&begin, false).ok(), want, "{name}");
            let allowed = turn.check_order(&begin, true).unwrap();
            assert_eq!(allowed, want.unwrap_or(Order::Older), "{name}");
        }
    }

    #[test]
    fn a_second_import_of_the_same_site_has_to_wait() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let turn = ledger.turn(&site("a"), Kind::State, NOW).unwrap();
        let error = ledger.turn(&site("a"), Kind::State, NOW).unwrap_err();
        assert!(error.is_temporary(), "{error}");
        ledger.turn(&site("a"), Kind::Configuration, NOW).unwrap();
        ledger.turn(&site("b"), Kind::State, NOW).unwrap();
        let long = Duration::from_secs(60);
        let waiting = std::thread::spawn(move || ledger.turn(&site("a"), Kind::State, long));
        drop(turn);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_file_that_is_not_ours_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        for text in ["", "hello\n", "sitewire-ledger 1\nepoch=x\n"] {
            fs::write(ledger.file(&site("a"), "state"), text).unwrap();
            let error = ledger.read(&site("a"), Kind::State).unwrap_err();
            assert!(error.to_string().contains("a.state: "), "{error}");
        }
        fs::write(directory.path().join("expected"), "# ours\na\n\nb # new\n").unwrap();
        assert_eq!(ledger.expected().unwrap(), [site("a"), site("b")]);
        fs::write(directory.path().join("expected"), "../x\n").unwrap();
        assert!(ledger.expected().is_err());
    }
}
