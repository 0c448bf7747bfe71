//! What only a few messages have: an attempt that runs, and what the next one has
//! to know. In the states it would make each of them its own.

use std::collections::HashMap;

use objects::NotificationId;

use crate::record::{Event, Note, Target};

/// By message, then by target.
#[derive(Default)]
pub(super) struct Notes(HashMap<NotificationId, Vec<(Target, Note)>>);

impl Notes {
    /// Applies what happened to an open message.
    pub(super) fn apply(&mut self, id: NotificationId, event: &Event<'_>) {
        match event {
            Event::Attempt { target, .. } => self.of(id, target).is_running = true,
            Event::Result { target, .. } => {
                self.change(id, target, |note| note.is_running = false);
            }
            Event::Noted { target, detail } => self.of(id, target).detail = detail.as_ref().into(),
            Event::Settled { target, .. } => {
                self.change(id, target, |note| *note = Note::default());
            }
            Event::Released { .. } => {
                if let Some(notes) = self.0.get_mut(&id) {
                    notes
                        .iter_mut()
                        .for_each(|(_, note)| note.is_running = false);
                    self.tidy(id);
                }
            }
            _ => {}
        }
    }

    /// It has ended.
    pub(super) fn forget(&mut self, id: NotificationId) {
        self.0.remove(&id);
    }

    pub(super) fn set(&mut self, id: NotificationId, notes: Vec<(Target, Note)>) {
        if !notes.is_empty() {
            self.0.insert(id, notes);
        }
    }

    pub(super) fn all(&self, id: NotificationId) -> &[(Target, Note)] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Those of all messages of which an attempt runs.
    pub(super) fn running(&self) -> impl Iterator<Item = (NotificationId, &Target)> {
        self.0.iter().flat_map(|(id, notes)| {
            let running = notes.iter().filter(|(_, note)| note.is_running);
            running.map(|(target, _)| (*id, target))
        })
    }

    fn of(&mut self, id: NotificationId, target: &Target) -> &mut Note {
        let notes = self.0.entry(id).or_default();
        let at = notes.iter().position(|(known, _)| known == target);
        let at = at.unwrap_or_else(|| {
            notes.push((target.clone(), Note::default()));
            notes.len() - 1
        });
        &mut notes[at].1
    }

    fn change(&mut self, id: NotificationId, target: &Target, change: impl FnOnce(&mut Note)) {
        let notes = self.0.get_mut(&id);
        let found = notes.and_then(|notes| notes.iter_mut().find(|(known, _)| known == target));
        if let Some((_, note)) = found {
            change(note);
            self.tidy(id);
        }
    }

    fn tidy(&mut self, id: NotificationId) {
        if let Some(notes) = self.0.get_mut(&id) {
            notes.retain(|(_, note)| *note != Note::default());
            if notes.is_empty() {
                self.0.remove(&id);
            }
        }
    }
}
