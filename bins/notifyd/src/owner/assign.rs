//! Where a notification goes: decided once, in the commit that accepts it. A
//! crash before that commit leaves no notification, one after it no question.

use objects::notification::Kind;
use objects::{NotificationId, UnixTime};
use program::exit::chain;
use rules::Rules;
use spool::{End, Storage, Target};

use super::{Owner, now, read_route};
use crate::decision::{self, Decided};
use crate::route::Route;

impl<S: Storage> Owner<S> {
    /// Decides where an accepted notification goes.
    pub(super) fn assign(&mut self, id: NotificationId, accepted: UnixTime, route: &Route) {
        if route.kind == Kind::Result {
            return self.pass_on(id, route);
        }
        let forwards = self.forwards.iter().filter(|f| f.wants(route));
        let peers: Vec<Target> = forwards
            .map(|forward| Target::Peer(forward.active().clone()))
            .collect();
        if route.canary.is_some() {
            return self.assign_canary(id, accepted, route, peers);
        }
        let waits = route.is_for_people() && self.falls_back(id, accepted, peers.len());
        let lanes = match waits {
            true => Decided::To(Vec::new()),
            false => self.lanes_for(route),
        };
        self.assign_to(id, accepted, route, lanes, peers);
    }

    /// It goes to these lanes, if that is decided, and beside them to `targets`.
    pub(super) fn assign_to(
        &mut self,
        id: NotificationId,
        accepted: UnixTime,
        route: &Route,
        lanes: Decided,
        mut targets: Vec<Target>,
    ) {
        self.undecided.remove(&id);
        let nobody = match lanes {
            Decided::To(lanes) => {
                targets.extend(lanes);
                String::new()
            }
            Decided::Nobody(why) => why,
            Decided::NotYet(why) => return self.leave_undecided(id, why),
        };
        if targets.is_empty() {
            let end = match route.delivered.is_empty() {
                true => End::NobodyToNotify,
                false => End::Superseded,
            };
            // Where nobody ever looks for anybody there is nothing to tell.
            if !nobody.is_empty() {
                self.report(id, None, 0, end, nobody.as_bytes());
            }
            self.queue.end(id, end, &nobody, now());
            return;
        }
        if !self.queue.assign(id, &targets, now()) {
            let why = "what they say of one notification is too long".to_owned();
            return self.leave_undecided(id, why);
        }
        if targets
            .iter()
            .any(|target| matches!(target, Target::Job(_)))
        {
            // As the index has them: there, equal details are one.
            let known = self.queue.message(id).map_or(Vec::new(), |m| m.targets);
            targets = known.into_iter().map(|state| state.target).collect();
        }
        for target in &targets {
            match target {
                Target::Peer(peer) => {
                    let mut forwards = self.forwards.iter();
                    let at = forwards.position(|f| f.active() == peer);
                    if let (Some(at), Some(place)) = (at, self.queue.order(id)) {
                        self.put_in_forward(at, place, id, route.label);
                    }
                }
                lane => {
                    self.push_lane(lane, id, accepted, 0, route);
                }
            }
        }
    }

    /// The lanes that deliver it here.
    pub(super) fn lanes_for(&self, route: &Route) -> Decided {
        if !route.is_for_people() {
            return Decided::To(Vec::new());
        }
        if let Some(site) = route.delivered.first() {
            return Decided::Nobody(format!("{site} has delivered it already"));
        }
        match &self.rules {
            None => Decided::To(self.all_lanes()),
            Some(rules) => decision::by_rules(rules, route, now()),
        }
    }

    fn all_lanes(&self) -> Vec<Target> {
        let lanes = self.lanes.iter().filter(|lane| !lane.retired);
        lanes.map(|lane| lane.target.clone()).collect()
    }

    /// It stays open, in nobody's line, until the rules can be followed.
    fn leave_undecided(&mut self, id: NotificationId, why: String) {
        tracing::error!(%id, "the rules cannot be followed: {why}");
        self.undecided.insert(id, why);
        self.changes.note();
    }

    /// Follows these rules from now on, also for what could not be decided by
    /// those before.
    pub(super) fn follow(&mut self, rules: Option<std::sync::Arc<Rules>>) {
        self.rules = rules;
        let ids: Vec<NotificationId> = self.undecided.keys().copied().collect();
        self.decide_again(ids.into_iter());
    }

    /// Tries again to decide these, if they are waiting for that.
    pub(super) fn decide_again(&mut self, ids: impl Iterator<Item = NotificationId>) {
        for id in ids {
            if !self.undecided.contains_key(&id) {
                continue;
            }
            let message = self.queue.message(id);
            let Some(message) = message.filter(|message| !message.held) else {
                // Dropped, or put back into its place when it is released.
                self.undecided.remove(&id);
                continue;
            };
            let body = self.queue.body(id).map_err(|error| chain(&error));
            match body.and_then(|body| read_route(body.unwrap_or_default())) {
                Ok(route) => self.assign(id, message.accepted, &route),
                Err(why) => tracing::error!(%id, "stored body cannot be read: {why}"),
            }
        }
    }

    /// For the state file.
    pub(super) fn undecided_warning(&self) -> Option<String> {
        let why = self.undecided.values().next()?;
        let count = self.undecided.len();
        Some(format!(
            "{count} notifications wait for rules that can be followed: {why}"
        ))
    }
}
