//! What comments and downtimes belong to, by their ids, and when something is
//! due: a downtime that begins or ends, a comment that expires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bstr::ByteSlice;
use livestatus::query::Trigger;
pub(crate) use objects::ObjectName as Owner;
use objects::UnixTime;

use crate::annotations::Annotated;
use crate::history::Step;
use crate::store::Site;

/// The owners of all comments and downtimes of a site.
#[derive(Default)]
pub(crate) struct Owners(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_id: BTreeMap<u64, Owner>,
    due: BTreeSet<(UnixTime, Owner)>,
    /// Who waits for the beginning of a downtime.
    waiting: BTreeMap<u64, Vec<Owner>>,
}

impl Owners {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the comment or downtime of that id belongs to.
    pub(crate) fn of(&self, id: u64) -> Option<Owner> {
        self.known().by_id.get(&id).cloned()
    }

    /// The objects that have comments or downtimes, each once.
    pub(crate) fn objects(&self) -> BTreeSet<Owner> {
        self.known().by_id.values().cloned().collect()
    }

    /// Notes what a new comment or downtime belongs to.
    pub(crate) fn remember(&self, id: u64, owner: Owner) {
        self.known().by_id.insert(id, owner);
    }

    /// Notes that a downtime of `owner` begins with the one of that id.
    pub(crate) fn wait_for(&self, id: u64, owner: Owner) {
        if id != 0 {
            self.known().waiting.entry(id).or_default().push(owner);
        }
    }

    /// Notes that something will happen to `owner`.
    pub(crate) fn note_due(&self, when: Option<UnixTime>, owner: Owner) {
        if let Some(when) = when {
            self.known().due.insert((when, owner));
        }
    }

    fn waiting_for(&self, id: u64) -> Vec<Owner> {
        self.known().waiting.remove(&id).unwrap_or_default()
    }

    /// To whom something has happened by now.
    fn take_due(&self, now: UnixTime) -> Vec<Owner> {
        let mut known = self.known();
        let mut due = Vec::new();
        while known.due.first().is_some_and(|(when, _)| *when <= now) {
            due.extend(known.due.pop_first().map(|(_, owner)| owner));
        }
        due
    }
}

impl Site {
    /// As [`Self::with_object`], then does what this moment brings: downtimes
    /// begin or end, and with them those that wait for them. `left` is how the
    /// history calls the end of a downtime.
    pub(crate) fn annotate(
        &self,
        owner: &Owner,
        now: UnixTime,
        left: Step,
        change: &mut dyn FnMut(&mut dyn Annotated),
    ) -> bool {
        let mut began = Vec::new();
        let found = self.annotate_one(owner, now, left, change, &mut began);
        self.begin_waiting(began, now);
        found
    }

    /// The downtimes of these ids began, and with them those that wait for them.
    pub(crate) fn begin_waiting(&self, mut began: Vec<u64>, now: UnixTime) {
        // Each begins once, so this comes to an end.
        while let Some(id) = began.pop() {
            for waiting in self.owners().waiting_for(id) {
                let mut begin = |object: &mut dyn Annotated| object.trigger(id, now);
                self.annotate_one(&waiting, now, Step::Stopped, &mut begin, &mut began);
            }
        }
    }

    fn annotate_one(
        &self,
        owner: &Owner,
        now: UnixTime,
        left: Step,
        change: &mut dyn FnMut(&mut dyn Annotated),
        began: &mut Vec<u64>,
    ) -> bool {
        let mut due = None;
        let mut step = None;
        let found = self.with_object(owner, &mut |object| {
            let was = object.is_in_downtime();
            change(object);
            began.extend(object.settle(now));
            step = Step::between(was, object.is_in_downtime(), left);
            due = object.due(now);
        });
        self.owners().note_due(due, owner.clone());
        if let Some(step) = step {
            self.note_downtime(owner.clone(), step, now);
        }
        found
    }

    /// Removes the downtimes that wait for the one of that id, which was
    /// cancelled, and those that wait for them.
    pub(crate) fn cancel_waiting(&self, id: u64, now: UnixTime) {
        let mut cancelled = vec![id];
        while let Some(id) = cancelled.pop() {
            for owner in self.owners().waiting_for(id) {
                self.annotate(&owner, now, Step::Cancelled, &mut |object| {
                    let all = object.annotations().downtimes.iter();
                    let waits = all.filter(|downtime| downtime.triggered_by() == id);
                    cancelled.extend(waits.map(|downtime| downtime.id));
                    object.remove_downtimes(&|downtime| downtime.triggered_by() == id, now);
                });
            }
        }
    }

    /// Does what has come due; to be called every [`TICK`](crate::counters::TICK).
    pub(crate) fn pass_time(&self, now: UnixTime) {
        if let Some(history) = self.history() {
            history.noted.tick();
        }
        for owner in self.owners().take_due(now) {
            if self.annotate(&owner, now, Step::Stopped, &mut |_| {}) {
                self.annotations_changed(Trigger::Comment);
            }
        }
    }

    /// Forgets the ids of what is gone.
    pub(crate) fn tidy(&self) {
        let owners = self.owners().known().by_id.clone();
        let objects = self.objects();
        let is_there = |id: u64, owner: &Owner| -> Option<bool> {
            let host = objects.host(owner.host_name.as_bstr())?;
            let states = host.states();
            let all = match &owner.service_description {
                None => states.host.annotations(),
                Some(name) => states.services[host.service_index(name.as_bstr())?].annotations(),
            };
            Some(all.has(id))
        };
        let gone = owners
            .into_iter()
            .filter(|(id, owner)| is_there(*id, owner) != Some(true));
        let gone: Vec<u64> = gone.map(|(id, _)| id).collect();
        let mut known = self.owners().known();
        for id in gone {
            known.by_id.remove(&id);
            known.waiting.remove(&id);
        }
    }
}
