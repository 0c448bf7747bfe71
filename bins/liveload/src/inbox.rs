//! A directory into which dumps are put as whole files.
//!
//! ```text
//! INBOX/NAME             waits, or is still being copied
//! INBOX/done/NAME        was taken; the newest are kept
//! INBOX/refused/NAME     was not taken, and NAME.reason beside it says why
//! INBOX/.sitewire.lock   held by the one process that takes files
//! ```
//!
//! In a maildir the files wait in `INBOX/new`. Names that begin with a dot, or
//! end as those of unfinished copies do, are never looked at. Any other file is
//! taken when its end mark is there, which no unfinished copy has; a file
//! without one is taken, and mostly refused, when nobody has written to it for
//! a while. The order is that of the sequences in the dumps: the names may say
//! what they want.
//!
//! A crash between taking a file and moving it makes the next run take it
//! again. The ledger knows it then, and it is moved to where it belongs.

mod peek;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use program::lock::{self, Lock};
use program::{Failure, Status};
use rustix::fs::OFlags;
use transfer::compress;

use crate::state::stale;
use crate::{cli, configuration, mail, run};
use peek::Peek;

/// Endings of names under which copying programs write what is not whole yet.
const UNFINISHED: [&[u8]; 4] = [b".tmp", b".part", b".filepart", b"~"];

/// Takes what is in the inbox, once or for ever.
pub(crate) fn run(args: &cli::Import, directory: &Path) -> Result<Status, Failure> {
    let inbox = Inbox::open(args, directory)?;
    let mut told = String::new();
    loop {
        let rounds = [inbox.round(), stale::run_beside(args)];
        if args.inbox.once {
            return rounds
                .into_iter()
                .reduce(run::and_then)
                .unwrap_or(Ok(Status::Done));
        }
        // What keeps going wrong is told once.
        let wrong = rounds.into_iter().filter_map(Result::err);
        let wrong: Vec<String> = wrong
            .map(|failure| program::exit::chain(&failure))
            .collect();
        let wrong = wrong.join("; ");
        if !wrong.is_empty() && wrong != told {
            eprintln!("liveload: {wrong}");
        }
        told = wrong;
        std::thread::sleep(args.inbox.interval);
    }
}

struct Inbox<'a> {
    args: &'a cli::Import,
    directory: PathBuf,
    _lock: Lock,
}

/// A file that waits.
struct Waiting {
    path: PathBuf,
    name: OsString,
    peek: Peek,
    modified: SystemTime,
}

impl<'a> Inbox<'a> {
    fn open(args: &'a cli::Import, directory: &Path) -> Result<Self, Failure> {
        let made = ["done", "refused"]
            .map(|part| directory.join(part))
            .into_iter()
            .try_for_each(|part| {
                let made = fs::DirBuilder::new().mode(0o700).create(&part);
                made.or_else(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Ok(()),
                    _ => Err(cannot("make", &part, error)),
                })
            });
        made?;
        let lock = Lock::take(&directory.join(".sitewire.lock")).map_err(|error| match error {
            lock::Error::InUse { .. } => Failure::new(Status::TryAgain, error.to_string()),
            lock::Error::Io { path, source } => cannot("lock", &path, source),
        })?;
        Ok(Self {
            args,
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// Takes every file that is ready, the oldest dump first. One that has to
    /// wait for something makes those behind it wait as well.
    fn round(&self) -> Result<Status, Failure> {
        let mut worst = Status::Done;
        for waiting in self.ready()? {
            match self.take(&waiting) {
                Err(failure) if failure.status() == Status::TryAgain => return Err(failure),
                Ok(Status::TryAgain) => return Ok(Status::TryAgain),
                Ok(Status::Done) => self.put("done", &waiting, None)?,
                Ok(status) => {
                    let reason = "taken in part: see the messages of liveload, and liveload status";
                    self.put("refused", &waiting, Some(reason))?;
                    worst = worse(worst, status);
                }
                Err(failure) => {
                    let reason = program::exit::chain(&failure);
                    eprintln!("liveload: {}: {reason}", waiting.path.display());
                    self.put("refused", &waiting, Some(&reason))?;
                    worst = worse(worst, failure.status());
                }
            }
        }
        self.forget("done")?;
        self.forget("refused")?;
        if self.args.configuration.config_dir.is_some() {
            configuration::finish(self.args)?;
        }
        Ok(worst)
    }

    /// The files that can be taken now, in the order of their dumps.
    fn ready(&self) -> Result<Vec<Waiting>, Failure> {
        let from = match self.args.inbox.mail {
            true => self.directory.join("new"),
            false => self.directory.clone(),
        };
        let mut ready = Vec::new();
        for entry in fs::read_dir(&from).map_err(|error| cannot("read", &from, error))? {
            let entry = entry.map_err(|error| cannot("read", &from, error))?;
            if is_unfinished(entry.file_name().as_bytes()) {
                continue;
            }
            match self.look(entry.path(), entry.file_name()) {
                Ok(waiting) => ready.extend(waiting),
                // It was moved away meanwhile, by whoever put it there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("read", &entry.path(), error)),
            }
        }
        ready.sort_by(|a, b| {
            let key = |w: &Waiting| (w.peek.order(), w.modified);
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        Ok(ready)
    }

    fn look(&self, path: PathBuf, name: OsString) -> io::Result<Option<Waiting>> {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        let modified = metadata.modified()?;
        let peek = match self.content(&path) {
            // What is not whole yet, or cannot be read at all: taking it will
            // tell.
            Ok(dump) => peek::peek(dump).unwrap_or(Peek::Unmarked),
            Err(_) => Peek::Unmarked,
        };
        let age = modified.elapsed().unwrap_or(Duration::ZERO);
        let ready = peek.is_whole() || age >= self.args.inbox.settle;
        Ok(ready.then_some(Waiting {
            path,
            name,
            peek,
            modified,
        }))
    }

    /// The dump in a file, before anybody asked for its signature.
    fn content(&self, path: &Path) -> Result<impl BufRead + use<>, Failure> {
        let file = open(path)?;
        let name = path.display().to_string();
        let from: Box<dyn Read> = match self.args.inbox.mail {
            true => Box::new(Cursor::new(mail::dump(&name, file)?)),
            false => Box::new(file),
        };
        let limit = self.args.reading.max_bytes;
        let dump = compress::open(from, limit).map_err(|error| cannot("read", path, error))?;
        Ok(BufReader::new(dump))
    }

    fn take(&self, waiting: &Waiting) -> Result<Status, Failure> {
        let name = waiting.path.display().to_string();
        run::import(self.args, &name, open(&waiting.path)?)
    }

    /// Moves a file out of the way, and says why beside it.
    fn put(&self, part: &str, waiting: &Waiting, reason: Option<&str>) -> Result<(), Failure> {
        let part = self.directory.join(part);
        let mut to = part.join(&waiting.name);
        let mut copies = 1;
        while to.symlink_metadata().is_ok() {
            copies += 1;
            let mut name = waiting.name.clone();
            name.push(format!(".{copies}"));
            to = part.join(name);
        }
        if let Some(reason) = reason {
            let mut beside = to.clone().into_os_string();
            beside.push(".reason");
            fs::write(&beside, format!("{reason}\n"))
                .map_err(|error| cannot("write", Path::new(&beside), error))?;
        }
        fs::rename(&waiting.path, &to).map_err(|error| cannot("move", &waiting.path, error))
    }

    /// Removes what is more than is to be kept, the oldest first.
    fn forget(&self, part: &str) -> Result<(), Failure> {
        let part = self.directory.join(part);
        let failed = |error| cannot("read", &part, error);
        let mut files = Vec::new();
        for entry in fs::read_dir(&part).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_bytes().ends_with(b".reason") {
                continue;
            }
            // When it was moved there, which is not when it was written.
            let metadata = entry.metadata().map_err(failed)?;
            let moved = (metadata.ctime(), metadata.ctime_nsec());
            files.push((moved, entry.path()));
        }
        files.sort();
        let many = files.len().saturating_sub(self.args.inbox.keep);
        for (_, path) in files.drain(..many) {
            let mut beside = path.clone().into_os_string();
            beside.push(".reason");
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, error))?;
            // Only what was refused has one.
            let _ = fs::remove_file(beside);
        }
        Ok(())
    }
}

/// Links are not followed: they could point at any file that we may read; and a
/// pipe without a writer would hold us up.
fn open(path: &Path) -> Result<File, Failure> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot("read", path, error))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let what = format!("{}: not an ordinary file", path.display());
        return Err(Failure::new(Status::Failed, what));
    }
    Ok(file)
}

fn is_unfinished(name: &[u8]) -> bool {
    name.starts_with(b".") || UNFINISHED.iter().any(|end| name.ends_with(end))
}

fn worse(a: Status, b: Status) -> Status {
    if a.code() > b.code() { a } else { b }
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Failure {
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
        _ => Status::Failed,
    };
    Failure::caused(status, format!("cannot {what} {}", path.display()), error)
}
