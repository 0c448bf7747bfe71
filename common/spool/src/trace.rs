//! What a journal says about one message.

use std::collections::HashSet;

use objects::{NotificationId, UnixTime};

use crate::record::{Event, Record, Standing, Target};
use crate::segment::Frame;

/// Collects what a journal says about one message. Copies of the same record
/// count once, and a copied acceptance only if the original is gone.
pub(crate) struct Trace {
    id: NotificationId,
    seen: HashSet<(u8, Vec<u8>)>,
    events: Vec<(UnixTime, Event<'static>)>,
}

impl Trace {
    pub(crate) fn new(id: NotificationId) -> Self {
        Self {
            id,
            seen: HashSet::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, frame: &Frame<'_>) {
        if !frame.body.starts_with(self.id.as_bytes()) {
            return;
        }
        let Record::Message { time, event, .. } = Record::read(frame.kind, frame.body) else {
            return;
        };
        let mut proof = frame.body;
        let mut standing = None;
        if let Event::Accepted {
            standing: copied, ..
        } = &event
        {
            // Id, time and order say which acceptance it is.
            proof = frame.body.get(..32).unwrap_or(proof);
            standing = (*copied != Standing::default()).then(|| copied.clone());
        }
        if self.seen.insert((frame.kind, proof.to_vec())) {
            self.events.push((time, event.into_owned()));
            self.events
                .extend(standing.map(|standing| (time, Event::Standing(standing))));
        }
    }

    /// Jobs have their details in all of them, if any record still has it.
    pub(crate) fn into_events(mut self) -> Vec<(UnixTime, Event<'static>)> {
        let mut whole = HashSet::new();
        for (_, event) in &self.events {
            match event {
                Event::Assigned { targets } => whole.extend(targets.iter().cloned()),
                Event::Standing(standing) => {
                    whole.extend(standing.targets.iter().map(|(target, ..)| target.clone()));
                }
                _ => {}
            }
        }
        for (_, event) in &mut self.events {
            if let Event::Attempt { target, .. }
            | Event::Result { target, .. }
            | Event::Noted { target, .. }
            | Event::Settled { target, .. } = event
                && let Target::Job(_) = target
                && let Some(known) = whole.get(target)
            {
                *target = known.clone();
            }
        }
        self.events
    }
}
