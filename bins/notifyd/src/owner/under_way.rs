//! Large commits, whose sync is made by a thread of its own while the owner works
//! on for the next one.
//!
//! What is answered after a commit is kept apart for the one that is under way and
//! for the next one. Where more than answers follows from a commit, such as an
//! attempt that starts, it is made at once; and so is a small one, because to wait
//! for another thread would take longer.

use std::io;
use std::sync::mpsc::{Sender, channel};

use spool::drop_box::Dropped;
use spool::{Begun, Storage, Syncing};

use super::submitters::Answered;
use super::{Owner, Request};

/// So many records are worth the other thread.
const MANY: usize = 64;
/// Or fewer, with so many bytes.
const LONG: u64 = 128 << 10;

/// Leads to whoever makes syncs.
pub(super) struct Syncs {
    to: Sender<Syncing>,
    /// How many records make a commit a large one.
    many: usize,
}

/// What is true when the commit that is under way is durable.
#[derive(Default)]
pub(super) struct UnderWay {
    absorbed: Vec<Dropped>,
    submitted: Vec<Answered>,
}

impl Syncs {
    /// With a thread that makes them, and tells the owner.
    pub(super) fn start(owner: Sender<Request>) -> io::Result<Self> {
        let (to, inbox) = channel::<Syncing>();
        std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || {
                for sync in inbox {
                    // The owner ends after the last sync, or does not want to know.
                    let _ = owner.send(Request::Synced(sync()));
                }
            })?;
        Ok(Self { to, many: MANY })
    }

    /// With somebody else in the place of the thread, and for the smallest commits.
    #[cfg(test)]
    pub(super) fn simulated() -> (Self, std::sync::mpsc::Receiver<Syncing>) {
        let (to, inbox) = channel();
        (Self { to, many: 1 }, inbox)
    }
}

impl<S: Storage> Owner<S> {
    /// Whether the next commit is one that somebody else may sync.
    fn can_be_under_way(&self) -> bool {
        let is_large = |syncs: &Syncs| {
            self.queue.figures().pending >= syncs.many || self.queue.pending_bytes() >= LONG
        };
        self.syncs.as_ref().is_some_and(is_large)
            && !self.stopping
            && self.telling.is_empty()
            && self.asked.is_empty()
            && !self.alarms.is_telling()
            && self.lanes.iter().all(|lane| !lane.is_starting())
    }

    /// Whether everything is durable now. What is answered then is under way in any
    /// case, until it is said to have arrived.
    pub(super) fn begin_commit(&mut self) -> Result<bool, spool::Error> {
        let begun = match self.can_be_under_way() {
            true => self.queue.begin_commit()?,
            false => Begun::Done(self.queue.commit()?),
        };
        self.under_way = Some(UnderWay {
            absorbed: std::mem::take(&mut self.absorbed),
            submitted: std::mem::take(&mut self.submitted),
        });
        self.links_under_way();
        match begun {
            Begun::Done(_) => Ok(true),
            Begun::UnderWay(sync) => {
                let syncs = self.syncs.as_ref().map(|syncs| &syncs.to);
                // Without the thread it is made here.
                match syncs.and_then(|to| to.send(sync).err()) {
                    None => {}
                    Some(unsent) => self.synced((unsent.0)()),
                }
                Ok(false)
            }
        }
    }

    /// What was under way is durable.
    pub(super) fn arrived(&mut self) {
        let Some(under_way) = self.under_way.take() else {
            return;
        };
        for file in under_way.absorbed {
            self.intake.absorbed(&file);
        }
        under_way.submitted.into_iter().for_each(Answered::send);
        self.answer_links();
    }

    /// The sync of the commit that is under way has come to this.
    pub(super) fn synced(&mut self, result: io::Result<()>) {
        match self.queue.finish_commit(result) {
            Ok(_) => self.arrived(),
            Err(error) => {
                let mut under_way = self.under_way.take().unwrap_or_default();
                under_way.absorbed.append(&mut self.absorbed);
                under_way.submitted.append(&mut self.submitted);
                (self.absorbed, self.submitted) = (under_way.absorbed, under_way.submitted);
                self.links_not_under_way();
                self.disk_refuses(&error);
            }
        }
    }

    /// Whether more files may be taken in: of the next commit some at a time, and
    /// none that are to be removed.
    pub(super) fn takes_files(&self) -> bool {
        match &self.under_way {
            None => true,
            Some(under_way) => {
                self.absorbed.is_empty()
                    && (under_way.absorbed.is_empty() || !self.intake.is_to_scan())
            }
        }
    }
}
