//! How many notifications each contact has got lately survives a restart: the
//! buckets of the lanes stand in a file of the spool. It is written at the first
//! token that is taken, then every few seconds while more are, and at the end: a
//! kill forgets those seconds, and a contact may get a few messages more.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use objects::UnixTime;
use serde_json::json;
use spool::Storage;

use super::kept::Kept;
use super::{Owner, now};
use crate::clock;

/// In the spool directory.
const FILE: &str = "tokens";
/// Not written more often than this.
const PAUSE: Duration = Duration::from_secs(2);

/// When a token of each kind is there again, by contact, by lane.
type Lanes = BTreeMap<String, BTreeMap<String, Vec<i64>>>;

/// The file.
pub(super) struct Tokens {
    file: Kept,
    /// Until when nothing is written again.
    quiet: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(spool: &Path) -> Self {
        Self {
            file: Kept::new(spool, FILE),
            quiet: None,
        }
    }

    /// Those of an earlier run. A file that cannot be read says nothing.
    fn load(&self) -> Lanes {
        let value = self.file.load("taken for empty");
        serde_json::from_value(value["full_at_us"].clone()).unwrap_or_default()
    }

    fn store(&self, lanes: &Lanes) -> io::Result<()> {
        self.file.store(&json!({"full_at_us": lanes}))
    }
}

impl<S: Storage> Owner<S> {
    /// At the start.
    pub(super) fn restore_tokens(&mut self) {
        let mut lanes = self.tokens.load();
        let at = clock::instant();
        for lane in &mut self.lanes {
            let Some(contacts) = lanes.remove(&lane.name) else {
                continue;
            };
            let left = |full_at: i64| {
                let left = full_at.saturating_sub(now().micros());
                Duration::from_micros(u64::try_from(left).unwrap_or(0))
            };
            let contacts = contacts
                .into_iter()
                .map(|(contact, all)| (contact, all.into_iter().map(left).collect()));
            lane.line.owe(contacts, at);
        }
    }

    /// When the file is to be written.
    pub(super) fn tokens_due(&self) -> Option<Instant> {
        let has_changed = self.lanes.iter().any(|lane| lane.line.has_spent());
        has_changed.then(|| self.tokens.quiet.unwrap_or_else(clock::instant))
    }

    /// Writes it when that is due, or anyway.
    pub(super) fn store_tokens(&mut self, anyway: bool) {
        let due = self.tokens_due();
        let at = clock::instant();
        if due.is_none_or(|due| due > at && !anyway) {
            return;
        }
        let until = |left: Duration| {
            let left = i64::try_from(left.as_micros()).unwrap_or(i64::MAX);
            UnixTime::micros(now()).saturating_add(left)
        };
        let mut lanes = Lanes::new();
        for lane in &mut self.lanes {
            let owed = lane.line.owed(at);
            let contacts =
                owed.map(|(contact, all)| (contact, all.into_iter().map(until).collect()));
            let contacts: BTreeMap<_, _> = contacts.collect();
            if !contacts.is_empty() {
                lanes.insert(lane.name.clone(), contacts);
            }
        }
        self.tokens.quiet = Some(at + PAUSE);
        if let Err(error) = self.tokens.store(&lanes) {
            tracing::warn!("{}: {error}", self.tokens.file);
        }
    }
}
