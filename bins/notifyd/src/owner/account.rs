//! What the state file says of the journal and its lines.

use std::path::Path;

use spool::{Message, Space, Storage};

use super::{Owner, now};
use crate::figures::{QueueFigures, Stack};

impl<S: Storage> Owner<S> {
    pub(super) fn figures(&self) -> QueueFigures {
        let waits_for_retry = self.deferred();
        let mut deferred = Stack::default();
        for id in &waits_for_retry {
            if let Some(message) = self.queue.message(*id) {
                deferred.add(message.accepted);
            }
        }
        // The first and the last of those in order of acceptance: this is asked
        // for often, and there may be a million.
        let is_new = |message: &Message| !waits_for_retry.contains(&message.id);
        let accepted = |message: Message| message.accepted;
        let open = self.queue.figures().open as u64;
        let mut new = Stack {
            count: open.saturating_sub(deferred.count) + self.intake.count(),
            oldest: self.queue.open().find(is_new).map(accepted),
            youngest: self.queue.open().rev().find(is_new).map(accepted),
        };
        if new.count > 0 {
            // What is in the drop box only has just come, as far as is known.
            new.oldest.get_or_insert_with(now);
            new.youngest.get_or_insert_with(now);
        }
        QueueFigures {
            new,
            deferred,
            corrupted: files_in(&self.corrupt),
            lanes: self.lane_figures(),
            forwards: self.forward_figures(),
            silent: self.silent_sites(),
            cut_off: self.cut_off_since(),
            canary: self.canary_figures(),
            totals: self.queue.totals(),
            open,
            held: self.queue.figures().held as u64,
            accepted: self.counters.accepted,
            duplicates: self.counters.duplicates,
            delivered: self.counters.delivered,
            failed: self.counters.failed,
            disk_warning: self.disk_warning.clone(),
            undecided: self.undecided_warning(),
            disk_error: match (self.queue.failing(), self.space) {
                (Some(why), _) => Some(why.to_owned()),
                (None, Space::Full) => Some("no space is left, nothing is taken in".to_owned()),
                (None, Space::Low | Space::Ok) => None,
            },
        }
    }
}

/// The files of a directory, but for the reasons beside them.
fn files_in(directory: &Path) -> Stack {
    let mut stack = Stack::default();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return stack;
    };
    for entry in entries.flatten() {
        if entry
            .path()
            .extension()
            .is_none_or(|ending| ending != "why")
            && let Ok(time) = entry.metadata().and_then(|metadata| metadata.modified())
        {
            stack.add(time.into());
        }
    }
    stack
}
