//! Notifications that notifyd makes itself.

use std::time::Duration;

use objects::{Envelope, Notification};
use program::exit::chain;
use spool::{Accepted, Storage, Target};

use super::{Owner, now, read_route};
use crate::clock;
use crate::decision::Decided;
use crate::route::Route;

impl<S: Storage> Owner<S> {
    /// Stores one, and returns what decides where it goes; none if it is there
    /// already.
    pub(super) fn accept_own(
        &mut self,
        mut notification: Notification,
    ) -> Result<Option<Route>, String> {
        let body = notification.print_to_fit().map_err(|error| chain(&error))?;
        let envelope = Envelope::parse(&body).map_err(|error| chain(&error))?;
        let body = envelope.append_hop(&self.site);
        let body = body.map_err(|error| chain(&error))?;
        let route = read_route(body.clone().into_bytes())?;
        let (place, id) = (self.queue.next_order(), notification.id);
        let label = Some(route.label);
        let accepted = self.queue.accept(id, None, label, body.as_bytes(), now());
        match accepted.map_err(|error| chain(&error))? {
            Accepted::New => {
                self.ages.push(place, Duration::ZERO, clock::instant());
                Ok(Some(route))
            }
            Accepted::Duplicate(_) => Ok(None),
        }
    }

    /// Stores one that people here are to be told of: by the lane `tell`; without
    /// that by the lanes that it would go to in any case, at once; at a site
    /// without lanes by whoever it is forwarded to.
    pub(super) fn tell(
        &mut self,
        notification: Notification,
        tell: Option<&str>,
    ) -> Result<(), String> {
        let id = notification.id;
        let Some(route) = self.accept_own(notification)? else {
            return Ok(());
        };
        self.counters.accepted += 1;
        let has_lanes = self.lanes.iter().any(|lane| !lane.retired);
        let targets = match (tell, has_lanes) {
            (Some(lane), _) => Decided::To(vec![Target::Lane(lane.to_owned())]),
            (None, true) => self.lanes_for(&route),
            (None, false) => {
                self.assign(id, now(), &route);
                return Ok(());
            }
        };
        self.assign_to(id, now(), &route, targets, Vec::new());
        Ok(())
    }
}
