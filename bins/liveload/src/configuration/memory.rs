//! What is remembered about a configuration directory between two runs: the
//! file that is being tried, and whether and when the core was told.
//!
//! ```text
//! replacing sitewire-remote1.cfg      or: adding sitewire-remote1.cfg
//! reload due
//! reloaded 1795217983.250000
//! ```
//!
//! Each line is there or not. The file is replaced whole, so that a crash
//! leaves one state or the next.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use objects::UnixTime;
use program::{Failure, Status, file};

/// The file's name in the directory.
const NAME: &str = ".sitewire";

/// How the file that is being tried came to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// There was one before, which is kept aside.
    Replacing,
    /// There was none.
    Adding,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Memory {
    /// A file that the core has not yet been asked about.
    pub(crate) attempt: Option<(Attempt, String)>,
    /// The core does not know what is in the directory.
    pub(crate) reload_due: bool,
    /// When it was last told, or was tried to be.
    pub(crate) reloaded: UnixTime,
}

impl Memory {
    /// Reads it; without a file nothing is remembered.
    pub(crate) fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(cannot("read", &path, error)),
        };
        Self::parse(&text).ok_or_else(|| {
            let what = format!("{}: this was not written by liveload", path.display());
            Failure::new(Status::Failed, what)
        })
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let path = directory.join(NAME);
        file::replace(&path, 0o600, |out| out.write_all(self.print().as_bytes()))
            .map_err(|error| cannot("write", &path, error))
    }

    /// How long the next reload has to wait. A clock that was put back does not
    /// make it wait longer than the interval.
    pub(crate) fn pause(&self, now: UnixTime, interval: Duration) -> Option<Duration> {
        let since = now.micros().checked_sub(self.reloaded.micros())?;
        let since = Duration::from_micros(u64::try_from(since).ok()?);
        interval.checked_sub(since).filter(|pause| !pause.is_zero())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut memory = Self::default();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "replacing" => memory.attempt = Some((Attempt::Replacing, rest.to_owned())),
                "adding" => memory.attempt = Some((Attempt::Adding, rest.to_owned())),
                "reload" if rest == "due" => memory.reload_due = true,
                "reloaded" => memory.reloaded = UnixTime::parse(rest.as_bytes())?,
                _ => return None,
            }
        }
        Some(memory)
    }

    fn print(&self) -> String {
        let mut text = String::new();
        if let Some((attempt, name)) = &self.attempt {
            let word = match attempt {
                Attempt::Replacing => "replacing",
                Attempt::Adding => "adding",
            };
            let _ = writeln!(text, "{word} {name}");
        }
        if self.reload_due {
            text.push_str("reload due\n");
        }
        if !self.reloaded.is_never() {
            let _ = writeln!(text, "reloaded {}", self.reloaded);
        }
        text
    }
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Failure {
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
        _ => Status::Failed,
    };
    Failure::caused(status, format!("cannot {what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_survives() {
        for attempt in [
            None,
            Some((Attempt::Adding, "sitewire-a.cfg".to_owned())),
            Some((Attempt::Replacing, "a/sitewire.mk".to_owned())),
        ] {
            for reload_due in [false, true] {
                let reloaded = UnixTime::from_micros(1_795_217_983_250_000);
                let memory = Memory {
                    attempt: attempt.clone(),
                    reload_due,
                    reloaded,
                };
                assert_eq!(Memory::parse(&memory.print()), Some(memory));
            }
        }
        assert_eq!(Memory::parse(""), Some(Memory::default()));
        for strange in ["reload", "reload soon", "reloaded x", "x y"] {
            assert_eq!(Memory::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn reloads_keep_their_distance_whatever_the_clock_does() {
        let interval = Duration::from_secs(60);
        let memory = Memory {
            reloaded: UnixTime::from_secs(1000),
            ..Memory::default()
        };
        for (now, pause) in [
            (1000, Some(60)),
            (1001, Some(59)),
            (1060, None),
            (5000, None),
            // The clock was put back.
            (900, None),
        ] {
            let pause = pause.map(Duration::from_secs);
            assert_eq!(memory.pause(UnixTime::from_secs(now), interval), pause);
        }
    }
}
