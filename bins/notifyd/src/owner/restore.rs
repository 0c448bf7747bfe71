//! What an earlier run left open, and what was held, comes into its lines again.

use std::collections::BTreeMap;
use std::sync::Arc;

use objects::{Envelope, NotificationId};
use program::exit::chain;
use spool::{End, Message, Storage, Target, TargetState};

use super::{GROUP, Owner, now};
use crate::route::Route;

impl<S: Storage> Owner<S> {
    /// Puts an open message of an earlier run, or one that was held, into its
    /// lines. Its body is read only if no more is known of it than that. An error
    /// if the disk does not give it out now.
    pub(super) fn restore(
        &mut self,
        message: &Message,
        orphans: &mut BTreeMap<String, usize>,
    ) -> Result<(), spool::Error> {
        if message.held {
            return Ok(());
        }
        if message.targets.is_empty() {
            // The records were torn apart between acceptance and assignment.
            if let Some(route) = self.stored_route(message.id)? {
                self.assign(message.id, message.accepted, &route);
            }
            return Ok(());
        }
        if self.hold_interrupted(message) {
            return Ok(());
        }
        let is_open = |target: &&TargetState| target.end.is_none();
        let is_lane = |target: &&TargetState| !matches!(target.target, Target::Peer(_));
        let mut open = message.targets.iter().filter(is_open);
        // Lanes have to know more of it than its label says.
        let (label, route) = match message.label {
            Some(label) if !open.any(|target| is_lane(&target)) => (label, None),
            _ => match self.stored_route(message.id)? {
                Some(route) => (route.label, Some(route)),
                None => return Ok(()),
            },
        };
        for peer in self.restore_forwards(message, label) {
            *orphans.entry(format!("peer {peer}")).or_default() += 1;
        }
        self.restore_fallback(message);
        let Some(route) = route else { return Ok(()) };
        for target in message.targets.iter().filter(is_open).filter(is_lane) {
            let (lane, accepted, attempts) = (&target.target, message.accepted, target.attempts);
            if !self.push_lane(lane, message.id, accepted, attempts, &route) {
                *orphans.entry(format!("lane {}", lane.name())).or_default() += 1;
            }
        }
        Ok(())
    }

    /// What the body of an open message says. One that says nothing has ended.
    pub(super) fn stored_route(
        &mut self,
        id: NotificationId,
    ) -> Result<Option<Route>, spool::Error> {
        let body = match self.queue.body(id) {
            Err(error) if error.is_temporary() => return Err(error),
            other => other.map_err(|error| chain(&error)),
        };
        match body.and_then(|body| read_route(body.unwrap_or_default())) {
            Ok(route) => {
                self.queue.set_label(id, route.label);
                Ok(Some(route))
            }
            Err(why) => {
                tracing::error!(%id, "stored body cannot be used: {why}");
                self.queue.end(id, End::Refused, &why, now());
                Ok(None)
            }
        }
    }

    /// Open messages from `next` on, which becomes the place behind them. Some at
    /// a time: of a million there is no room for all. Those that the disk refuses
    /// now are among them, as it may take them later.
    pub(super) fn open_page(&self, next: &mut u64) -> Option<Vec<Message>> {
        let open = self.queue.open_or_pending_from(*next);
        let page: Vec<Message> = open.take(GROUP).collect();
        *next = page.last()?.order.saturating_add(1);
        Some(page)
    }
}

pub(super) fn read_route(body: Vec<u8>) -> Result<Route, String> {
    let body = String::from_utf8(body).map_err(|error| error.to_string())?;
    let body = Arc::new(body);
    let envelope = Envelope::parse(&body).map_err(|error| chain(&error))?;
    Route::of(&envelope, body.len(), Arc::clone(&body)).map_err(|error| chain(&error))
}
