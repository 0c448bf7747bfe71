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
        let new_forwards = self.change_forwards(forwards);
        let new_lanes = self.change_lanes(lanes);
        self.apply_pauses();
        if new_forwards.is_empty() && new_lanes.is_empty() {
            return;
        }
        let mut next = 0;
        while let Some(page) = self.open_page(&mut next) {
            for message in &page {
                self.take_up(message, &new_forwards, &new_lanes);
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

    /// Returns the places of those that are new.
    fn change_forwards(&mut self, forwards: Vec<Forward>) -> Vec<usize> {
        let mut old = std::mem::take(&mut self.forwards);
        let mut new = Vec::new();
        for (at, forward) in forwards.into_iter().enumerate() {
            let same = old.iter().position(|work| work.has_peers(&forward.to));
            self.forwards.push(match same {
                Some(same) => old.swap_remove(same).with(&forward),
                None => {
                    new.push(at);
                    ForwardWork::new(forward, clock::instant())
                }
            });
        }
        for gone in old {
            let (waiting, sent) = gone.line.counts();
            if waiting + sent > 0 {
                let count = waiting + sent;
                tracing::warn!(
                    "{count} notifications wait for {}, to which nothing is sent any more",
                    gone.active()
                );
            }
        }
        new
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

    /// An open message that one of these has to get, and had not in this run.
    fn take_up(&mut self, message: &Message, forwards: &[usize], lanes: &[usize]) {
        let open = message.targets.iter().filter(|target| target.end.is_none());
        let mut at_forwards = BTreeSet::new();
        let mut at_lanes = Vec::new();
        for state in open {
            match &state.target {
                Target::Peer(peer) => {
                    let goes = |at: &&usize| self.forwards[**at].goes_to(peer);
                    at_forwards.extend(forwards.iter().filter(goes).copied());
                }
                lane => {
                    let is_it = |at: &usize| lane.is_meant_by(&self.lanes[*at].target);
                    if lanes.iter().any(is_it) {
                        at_lanes.push((lane, state.attempts));
                    }
                }
            }
        }
        if at_forwards.is_empty() && at_lanes.is_empty() {
            return;
        }
        let body = self.queue.body(message.id).map_err(|error| chain(&error));
        match body.and_then(|body| read_route(body.unwrap_or_default())) {
            Ok(route) => {
                for at in at_forwards {
                    self.push_forward(at, message.id, message.accepted, &route);
                }
                for (lane, attempts) in at_lanes {
                    self.push_lane(lane, message.id, message.accepted, attempts, &route);
                }
            }
            // The next start reads it again.
            Err(why) => tracing::error!(id = %message.id, "stored body cannot be read: {why}"),
        }
    }
}
