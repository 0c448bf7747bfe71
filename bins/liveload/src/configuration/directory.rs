//! A core's configuration directory, in which one file is replaced under the
//! eyes of the core's own check.
//!
//! Beside the file NAME lie `.NAME.new` and `.NAME.old`, which no core reads,
//! and in the directory the memory `.sitewire` (see [`Memory`]). All of it is
//! written by one process at a time, the one that holds `.sitewire.lock`.
//!
//! ```text
//! step                                    what the core finds    what the next run does after a crash here
//! 1  write .NAME.new, sync                old                    removes it
//! 2  link NAME to .NAME.old, sync         old                    as above
//! 3  memory: replacing NAME               old                    .NAME.new is there: forgets the attempt
//! 4  rename .NAME.new to NAME, sync       new, not yet checked   checks it: 6 or 7
//! 5  run the check                        new, not yet checked   checks it: 6 or 7
//! 6  good: memory: reload is due          new                    reloads
//!    remove .NAME.old                     new                    reloads
//! 7  bad: rename .NAME.old to NAME, sync  old                    .NAME.old is gone: forgets the attempt
//!    memory: nothing                      old                    nothing
//! 8  memory: reload tried at TIME         new                    reloads, when the interval is over
//! 9  run the reload                       new                    reloads once more
//! 10 memory: reload done                  new                    nothing
//! ```
//!
//! Where there was no file NAME before, step 2 is left out, step 3 remembers
//! `adding`, and step 7 removes NAME. Without a check command every file is good.
//! What a crash leaves of .NAME.new and .NAME.old, the next run removes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use objects::UnixTime;
use program::file::sync_directory;
use program::lock::{self, Lock};
use program::{Failure, Status};

use super::command;
use super::memory::{Attempt, Memory};

/// So long another import is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the administrator wants run, and how often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands {
    /// Says whether the core would start with the directory as it is.
    pub(crate) check: Option<String>,
    /// Has the core read it.
    pub(crate) reload: Option<String>,
    /// Reloads are at least this far apart.
    pub(crate) reload_interval: Duration,
    /// Longest time that either may take.
    pub(crate) limit: Duration,
}

/// The directory, held by this process.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    commands: Commands,
    _lock: Lock,
}

/// What became of a reload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// The core has what is there.
    NotNeeded,
    /// The core was told.
    Done,
    /// It is too early since the last one.
    Later(Duration),
    /// Nobody said how.
    NoCommand,
}

impl Directory {
    /// Takes the directory, waiting for others that have it, and puts right
    /// what a crash left.
    pub(crate) fn open(path: &Path, commands: Commands) -> Result<Self, Failure> {
        let directory = Self {
            path: path.to_owned(),
            commands,
            _lock: Lock::take_within(&path.join(".sitewire.lock"), PATIENCE).map_err(not_locked)?,
        };
        directory.recover()?;
        Ok(directory)
    }

    /// Puts `content` in the place of file `name` (a path below the
    /// directory), has the core check it, and puts the old file back if the
    /// core does not want it.
    pub(crate) fn install(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let file = Names::of(&self.path, name)?;
        let failed = |error| cannot_write(&file.present, error);
        file.remove_leftovers().map_err(failed)?;
        file.write_new(content).map_err(failed)?;
        let attempt = file.keep_old().map_err(failed)?;
        self.remember(|memory| memory.attempt = Some((attempt, name.to_owned())))?;
        file.put_new().map_err(failed)?;
        self.prove(attempt, name, &file)
    }

    /// Runs the reload if one is due.
    pub(crate) fn reload_if_due(&self) -> Result<Reload, Failure> {
        let memory = self.memory()?;
        if !memory.reload_due {
            return Ok(Reload::NotNeeded);
        }
        let Some(line) = &self.commands.reload else {
            return Ok(Reload::NoCommand);
        };
        let now = UnixTime::from(SystemTime::now());
        if let Some(pause) = memory.pause(now, self.commands.reload_interval) {
            return Ok(Reload::Later(pause));
        }
        self.remember(|memory| memory.reloaded = now)?;
        command::run(line, self.commands.limit).map_err(|error| {
            let what = format!(
                "the configuration is in place, but the reload command `{line}` {error}; it will be tried again"
            );
            Failure::new(Status::TryAgain, what)
        })?;
        self.remember(|memory| memory.reload_due = false)?;
        Ok(Reload::Done)
    }

    /// Steps 5 to 7.
    fn prove(&self, attempt: Attempt, name: &str, file: &Names) -> Result<(), Failure> {
        let checked = match &self.commands.check {
            Some(line) => command::run(line, self.commands.limit).map_err(|error| (line, error)),
            None => Ok(()),
        };
        let failed = |error| cannot_write(&file.present, error);
        match checked {
            Ok(()) => {
                self.remember(|memory| {
                    memory.attempt = None;
                    memory.reload_due = true;
                })?;
                file.remove_leftovers().map_err(failed)
            }
            Err((line, error)) => {
                file.put_old_back(attempt).map_err(failed)?;
                self.remember(|memory| memory.attempt = None)?;
                let what =
                    format!("{name} was put back as it was: the check command `{line}` {error}");
                Err(Failure::new(Status::Failed, what))
            }
        }
    }

    fn recover(&self) -> Result<(), Failure> {
        self.settle_attempt()?;
        sweep(&self.path).map_err(|error| cannot_write(&self.path, error))
    }

    fn settle_attempt(&self) -> Result<(), Failure> {
        let Some((attempt, name)) = self.memory()?.attempt else {
            return Ok(());
        };
        let file = Names::of(&self.path, &name)?;
        if file.is_old_in_force(attempt) {
            return self.remember(|memory| memory.attempt = None);
        }
        match self.prove(attempt, &name, &file) {
            // Whoever tried it is gone; what it tried is not this run's failure.
            Err(refused) if refused.status() == Status::Failed => {
                eprintln!("liveload: after an interrupted import, {refused}");
                Ok(())
            }
            other => other,
        }
    }

    fn memory(&self) -> Result<Memory, Failure> {
        Memory::read(&self.path)
    }

    fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), Failure> {
        let mut memory = self.memory()?;
        change(&mut memory);
        memory.write(&self.path)
    }
}

/// Removes what a crash left aside, in the directory and in those of the sites.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let aside = name.strip_prefix('.').and_then(|name| {
            let rest = name.strip_suffix(".new").or(name.strip_suffix(".old"))?;
            (rest.ends_with(".cfg") || rest.ends_with(".mk")).then_some(())
        });
        if aside.is_some() {
            fs::remove_file(entry.path())?;
        } else if !name.starts_with('.') && entry.file_type()?.is_dir() {
            sweep(&entry.path())?;
        }
    }
    Ok(())
}

fn not_locked(error: lock::Error) -> Failure {
    match error {
        lock::Error::InUse { .. } => Failure::new(Status::TryAgain, error.to_string()),
        lock::Error::Io { path, source } => {
            let what = format!("cannot lock {}", path.display());
            Failure::caused(Status::Failed, what, source)
        }
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Failure {
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
        _ => Status::Failed,
    };
    Failure::caused(status, format!("cannot write {}", path.display()), error)
}

/// The three names of one file.
struct Names {
    present: PathBuf,
    new: PathBuf,
    old: PathBuf,
}

impl Names {
    fn of(directory: &Path, name: &str) -> Result<Self, Failure> {
        let present = directory.join(name);
        let last = present.file_name().and_then(|last| last.to_str());
        let Some(last) = last else {
            let what = format!("{}: {name:?} is not a file name", directory.display());
            return Err(Failure::new(Status::Failed, what));
        };
        Ok(Self {
            new: present.with_file_name(format!(".{last}.new")),
            old: present.with_file_name(format!(".{last}.old")),
            present,
        })
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        for path in [&self.new, &self.old] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Step 1. A file that could not be written whole does not stay.
    fn write_new(&self, content: &[u8]) -> io::Result<()> {
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&self.new)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            });
        if written.is_err() {
            let _ = fs::remove_file(&self.new);
        }
        written
    }

    /// Step 2.
    fn keep_old(&self) -> io::Result<Attempt> {
        match fs::hard_link(&self.present, &self.old) {
            Ok(()) => {
                sync_directory(&self.old)?;
                Ok(Attempt::Replacing)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Attempt::Adding),
            Err(error) => Err(error),
        }
    }

    /// Step 4.
    fn put_new(&self) -> io::Result<()> {
        fs::rename(&self.new, &self.present)?;
        sync_directory(&self.present)
    }

    /// Step 7.
    fn put_old_back(&self, attempt: Attempt) -> io::Result<()> {
        match attempt {
            Attempt::Replacing => fs::rename(&self.old, &self.present)?,
            Attempt::Adding => fs::remove_file(&self.present)?,
        }
        sync_directory(&self.present)
    }

    fn is_old_in_force(&self, attempt: Attempt) -> bool {
        let undone = match attempt {
            Attempt::Replacing => !self.old.exists(),
            Attempt::Adding => !self.present.exists(),
        };
        self.new.exists() || undone
    }
}
