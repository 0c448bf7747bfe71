//! The owner's side of a new configuration: what stays the same goes on, what is
//! gone leaves its notifications in the journal, what is new takes up what is
//! there for it.

use std::collections::BTreeSet;

use program::exit::chain;
use spool::{Message, Storage, Target};

use super::forwards::ForwardWork;
use super::lanes::LaneWork;
use super::peers::PeerWork;
use super::{LaneChange, Owner, read_route};
use crate::clock;
use crate::config::{Forward, Peer};

impl<S: Storage> Owner<S> {
    pub(super) fn reconfigure(
        &mut self,
        peers: Vec<Peer>,
        forwards: Vec<Forward>,
        lanes: Vec<LaneChange>,
    ) {
        self.change_peers(peers);
        self.change_forwards(forwards);
        let new_lanes = self.change_lanes(lanes);
        self.apply_pauses();
        if new_lanes.is_empty() {
            return;
        }
        let mut next = 0;
        while let Some(page) = self.open_page(&mut next) {
            for message in &page {
                self.take_up(message, &new_lanes);
            }
        }
    }

    fn change_peers(&mut self, peers: Vec<Peer>) {
        let names: BTreeSet<_> = peers.iter().map(|peer| peer.site.clone()).collect();
        for (_, gone) in self.peers.extract_if(.., |site, _| !names.contains(site)) {
            gone.dismiss();
        }
        for peer in peers {
            match self.peers.get_mut(&peer.site) {
                Some(work) => work.set(peer),
                None => {
                    let site = peer.site.clone();
                    self.peers.insert(site, PeerWork::new(peer));
                }
            }
        }
    }

    /// The line of one that is new begins with the oldest that waits for it.
    fn change_forwards(&mut self, forwards: Vec<Forward>) {
        let mut old = std::mem::take(&mut self.forwards);
        for forward in forwards {
            let same = old.iter().position(|work| work.has_peers(&forward.to));
            self.forwards.push(match same {
                Some(same) => old.swap_remove(same).with(&forward),
                None => ForwardWork::new(forward, clock::instant()),
            });
        }
        for gone in old {
            let count = gone.waiting(&self.queue);
            if count > 0 {
                tracing::warn!(
                    "{count} notifications wait for {}, to which nothing is sent any more",
                    gone.active()
                );
            }
        }
    }

    /// Returns the numbers of those that are new.
    fn change_lanes(&mut self, lanes: Vec<LaneChange>) -> Vec<usize> {
        let mut new = Vec::new();
        for LaneChange { number, now } in lanes {
            match (self.lanes.get_mut(number), now) {
                (Some(work), Some((lane, tasks))) => work.change(lane, tasks),
                (Some(work), None) => work.retired = true,
                (None, Some((lane, tasks))) => {
                    new.push(self.lanes.len());
                    self.lanes.push(LaneWork::new(lane, tasks));
                }
                (None, None) => {}
            }
        }
        new
    }

    /// An open message that one of these lanes has to get, and had not in this run.
    fn take_up(&mut self, message: &Message, lanes: &[usize]) {
        let open = message.targets.iter().filter(|target| target.end.is_none());
        let is_it = |target: &Target| {
            let mut lanes = lanes.iter().map(|at| &self.lanes[*at].target);
            lanes.any(|lane| target.is_meant_by(lane))
        };
        let meant: Vec<_> = open.filter(|state| is_it(&state.target)).collect();
        if meant.is_empty() {
            return;
        }
        let body = self.queue.body(message.id).map_err(|error| chain(&error));
        match body.and_then(|body| read_route(body.unwrap_or_default())) {
            Ok(route) => {
                for state in meant {
                    let (accepted, attempts) = (message.accepted, state.attempts);
                    self.push_lane(&state.target, message.id, accepted, attempts, &route);
                }
            }
            // The next start reads it again.
            Err(why) => tracing::error!(id = %message.id, "stored body cannot be read: {why}"),
        }
    }
}
