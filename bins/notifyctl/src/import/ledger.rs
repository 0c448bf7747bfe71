//! What was imported before: one id a line in the file `imported` of the spool.
//!
//! The daemon recognises an id that came twice only as long as it remembers it.
//! An import may be repeated much later than that.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use objects::NotificationId;
use rustix::fs::FlockOperation;

const NAME: &str = "imported";
const HEAD: &str = "# sitewire 1 imported\n";
/// Most bytes of it: ten million ids.
const MAX_BYTES: u64 = 400 << 20;

/// The file, locked, and what it says.
pub(crate) struct Ledger {
    file: File,
    pub(crate) path: PathBuf,
    known: HashSet<NotificationId>,
}

impl Ledger {
    /// Opens it, or makes it. Only one import at a time may.
    pub(crate) fn open(spool: &Path) -> io::Result<Self> {
        let path = spool.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            match errno {
                rustix::io::Errno::WOULDBLOCK => io::Error::other("another import is under way"),
                errno => errno.into(),
            }
        })?;
        let mut text = String::new();
        (&mut file).take(MAX_BYTES).read_to_string(&mut text)?;
        if text.is_empty() {
            file.write_all(HEAD.as_bytes())?;
            file.sync_all()?;
            program::file::sync_directory(&path)?;
        } else if !text.ends_with('\n') {
            // What a power cut left of a line.
            file.write_all(b"\n")?;
        }
        let known = text.lines().filter(|line| line.len() == 36);
        let known = known.filter_map(NotificationId::parse).collect();
        Ok(Self { file, path, known })
    }

    pub(crate) fn knows(&self, id: NotificationId) -> bool {
        self.known.contains(&id)
    }

    /// Adds what is durable elsewhere; durable itself when this returns.
    pub(crate) fn add(&mut self, ids: &[NotificationId]) -> io::Result<()> {
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.known.extend(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_again_whatever_a_power_cut_left() {
        let spool = tempfile::tempdir().unwrap();
        let id = |n: u8| NotificationId::from_bytes([n; 16]);
        let mut ledger = Ledger::open(spool.path()).unwrap();
        ledger.add(&[id(1), id(2)]).unwrap();
        assert!(Ledger::open(spool.path()).is_err(), "it is locked");
        drop(ledger);
        let path = spool.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut ledger = Ledger::open(spool.path()).unwrap();
        assert!(ledger.knows(id(1)) && !ledger.knows(id(2)));
        ledger.add(&[id(3)]).unwrap();
        drop(ledger);
        let ledger = Ledger::open(spool.path()).unwrap();
        assert!(ledger.knows(id(1)) && ledger.knows(id(3)));
        assert!(!ledger.knows(id(2)));
    }
}
