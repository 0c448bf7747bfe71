//! The daemon's hand in the drop box: which files are taken in next, and what
//! happens to those that cannot be.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant, SystemTime};

use spool::Error;
use spool::drop_box::{DropBox, Dropped, Found, Grace};

/// Most files taken in with one commit.
const GROUP_FILES: usize = 256;
/// Most bytes taken in with one commit.
const GROUP_BYTES: usize = 4 << 20;
/// Most names that one scan gives.
const SCAN: usize = 100_000;
/// How long a file that is empty or not yet a notification may stay so.
const GRACE: Duration = Duration::from_secs(10);
/// When such a file is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The clocks of file systems go in steps no longer than this.
const TICK: Duration = Duration::from_millis(50);
/// When the drop box is scanned though nothing was heard of it.
const RESCAN: Duration = Duration::from_secs(60);

/// The drop box and how far it was read.
pub(crate) struct Intake {
    drop_box: DropBox,
    grace: Grace,
    /// Names found by the last scan and not looked at yet.
    names: VecDeque<OsString>,
    /// When to scan next.
    scan: Instant,
    /// When the directory had changed at the last scan.
    changed: Option<SystemTime>,
    /// What the log was told last, so that it is told once.
    complaint: String,
}

impl Intake {
    pub(crate) fn new(drop_box: DropBox, now: Instant) -> Self {
        Self {
            drop_box,
            grace: Grace::default(),
            names: VecDeque::new(),
            scan: now,
            changed: None,
            complaint: String::new(),
        }
    }

    /// Something was dropped.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.scan = now;
    }

    /// Something may have been dropped of which nobody has told yet: what the
    /// directory says of itself costs less than to read it.
    pub(crate) fn wake_if_changed(&mut self, now: Instant) {
        let changed = self.drop_box.changed();
        // Two changes in one tick of the file system's clock look like one.
        let is_fresh = changed.is_none_or(|at| {
            let age = SystemTime::now().duration_since(at);
            age.is_ok_and(|age| age < TICK)
        });
        if is_fresh || changed != self.changed {
            self.wake(now);
        }
    }

    /// Whether everything has been looked at that was there at the last wake.
    pub(crate) fn is_read(&self, now: Instant) -> bool {
        self.names.is_empty() && now < self.scan
    }

    /// Whether the next group begins with a scan.
    pub(crate) fn is_to_scan(&self) -> bool {
        self.names.is_empty()
    }

    /// When [`Intake::next_group`] has something to do.
    pub(crate) fn next_due(&self, now: Instant) -> Instant {
        if self.names.is_empty() {
            self.scan
        } else {
            now
        }
    }

    /// The next files to take in. Names are in order of creation, because
    /// what submits names files by the notification's id.
    pub(crate) fn next_group(&mut self, now: Instant) -> Result<Vec<Dropped>, Error> {
        if self.names.is_empty() {
            if now < self.scan {
                return Ok(Vec::new());
            }
            self.changed = self.drop_box.changed();
            let (names, more_came) = self.drop_box.names_in_order(SCAN)?;
            self.scan = match more_came {
                true => now,
                // A full scan may have left some out.
                false if names.len() >= SCAN => now + LOOK_AGAIN,
                false => now + RESCAN,
            };
            self.names = names.into();
        }
        let (mut files, mut bytes) = (Vec::new(), 0);
        while files.len() < GROUP_FILES && bytes < GROUP_BYTES {
            let Some(name) = self.names.pop_front() else {
                break;
            };
            match self.drop_box.look(&name)? {
                Found::File(file) => {
                    bytes += file.body.len();
                    files.push(file);
                }
                Found::NotYet(why) => self.not_yet(&name, &why, now)?,
                Found::Never(why) => self.set_aside(&name, &why)?,
                Found::Gone => self.grace.forget(&name),
            }
        }
        Ok(files)
    }

    /// The disk refused something: everything is looked at again soon.
    pub(crate) fn failed(&mut self, error: &Error, now: Instant) {
        self.names.clear();
        self.scan = now + LOOK_AGAIN;
        let complaint = program::exit::chain(error);
        if complaint != self.complaint {
            tracing::error!("drop box: {complaint}");
            self.complaint = complaint;
        }
    }

    /// What this file holds is no notification: perhaps it is still written.
    pub(crate) fn not_yet(&mut self, name: &OsStr, why: &str, now: Instant) -> Result<(), Error> {
        if self.grace.is_over(name, now, GRACE) {
            return self.set_aside(name, why);
        }
        self.scan = self.scan.min(now + LOOK_AGAIN);
        Ok(())
    }

    /// This file is no notification and never will be.
    pub(crate) fn set_aside(&mut self, name: &OsStr, why: &str) -> Result<(), Error> {
        let quoted = program::log::quote(name.as_encoded_bytes(), 100);
        tracing::warn!("dropped file {quoted} goes to corrupt/: {why}");
        self.grace.forget(name);
        self.drop_box.set_aside(name, why)
    }

    /// The file's content is in the journal, durably.
    pub(crate) fn absorbed(&mut self, file: &Dropped) {
        self.grace.forget(&file.name);
        if let Err(error) = self.drop_box.remove(file) {
            // It will be found again and recognised by its id.
            tracing::warn!("{}", program::exit::chain(&error));
        }
    }

    /// How many files there are, as far as the scan that is being worked off
    /// has seen.
    pub(crate) fn count(&self) -> u64 {
        if !self.names.is_empty() {
            return self.names.len() as u64;
        }
        self.drop_box
            .names(SCAN)
            .map_or(0, |names| names.len() as u64)
    }
}
