//! A notification of what a lane could not deliver, through another lane.
//!
//! Its id is made of that of the one that failed, and it is durable before that
//! one ends: so there is one, whatever is repeated after a crash. One that fails
//! itself raises none.

use objects::notification::Context;
use objects::{Envelope, Notification, NotificationId};
use program::exit::chain;
use spool::{End, Storage, Target};

use super::{Owner, now};
use crate::waiting::Ticket;

/// A notification that ends as soon as the one that tells of it is durable.
pub(super) struct Told {
    id: NotificationId,
    target: Target,
    end: End,
    detail: String,
}

/// Who did not get one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    All,
    /// Some of its recipients, while the others have it or may get it.
    Some,
}

impl Whom {
    fn words(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Some => " to some",
        }
    }
}

/// The entry that says of which notification it tells.
const OF: &str = "FAILED_ID";

impl<S: Storage> Owner<S> {
    /// A lane could not deliver it, and never will.
    pub(super) fn end_undelivered(&mut self, at: usize, ticket: &Ticket, end: End, detail: &str) {
        let (id, target) = (ticket.id, &ticket.aim.target);
        if !self.queue.is_open_at(id, target) {
            return;
        }
        let attempts = ticket.attempt;
        tracing::warn!(%id, %target, attempts, "{end}: {detail}");
        self.counters.failed += 1;
        self.report(id, Some(target), attempts, end, detail.as_bytes());
        match self.raise(at, ticket, Whom::All, end, detail) {
            Ok(Some((other, lane))) => self.telling.push(Told {
                id,
                target: target.clone(),
                end,
                detail: format!("{detail}; {other} tells of it by lane {lane}"),
            }),
            Ok(None) => {
                self.queue.settle(id, target, end, detail, now());
            }
            Err(why) => {
                tracing::error!(%id, %target, "nobody is told that it failed: {why}");
                self.queue.settle(id, target, end, detail, now());
            }
        }
    }

    /// A lane has delivered it to some, and these will never get it. Told once,
    /// however often the others are tried.
    pub(super) fn tell_refused(&mut self, at: usize, ticket: &Ticket, refused: &[String]) {
        let (id, target) = (ticket.id, &ticket.aim.target);
        let who = program::log::quote(refused.join("; ").as_bytes(), 300);
        tracing::warn!(%id, %target, "refused for some: {who}");
        if let Err(why) = self.raise(at, ticket, Whom::Some, End::Refused, &who) {
            tracing::error!(%id, %target, "nobody is told that some were refused: {why}");
        }
    }

    /// What is told of durably ends.
    pub(super) fn end_told(&mut self) {
        for told in std::mem::take(&mut self.told) {
            self.queue
                .settle(told.id, &told.target, told.end, &told.detail, now());
        }
    }

    /// Which notification tells of it, and through which lane.
    fn raise(
        &mut self,
        at: usize,
        ticket: &Ticket,
        whom: Whom,
        end: End,
        detail: &str,
    ) -> Result<Option<(NotificationId, String)>, String> {
        let failed = &self.lanes[at];
        let Some(lane) = failed.flow().on_failure.clone() else {
            return Ok(None);
        };
        let text = self.stored_text(ticket.id)?;
        let envelope = Envelope::parse(&text).map_err(|error| chain(&error))?;
        let context = envelope.context().map_err(|error| chain(&error))?;
        if context.contains_key(OF) {
            return Ok(None);
        }
        let name = format!("{} {}{}", ticket.id, ticket.aim.target, whom.words());
        let id = NotificationId::named(&self.site, name.as_bytes());
        let notification = Notification {
            id,
            kind: envelope.kind.clone(),
            created: now(),
            expires: None,
            site: envelope.site,
            context: tell(context, ticket.id, (&failed.name, whom), end, detail),
        };
        if let Some(route) = self.accept_own(notification)? {
            self.counters.accepted += 1;
            let target = Target::Lane(lane.clone());
            self.queue.assign(id, std::slice::from_ref(&target), now());
            self.push_lane(&target, id, now(), 0, &route);
        }
        Ok(Some((id, lane)))
    }
}

/// The same object, and what became of it.
fn tell(
    mut context: Context,
    id: NotificationId,
    (lane, whom): (&str, Whom),
    end: End,
    detail: &str,
) -> Context {
    let kind = context.get("NOTIFICATIONTYPE").cloned();
    let kind = kind.unwrap_or_else(|| "notification".into());
    let to = whom.words();
    let what = format!("{kind} was not delivered{to} by lane {lane}: {end}, {detail}");
    let is_service = context
        .get("SERVICEDESC")
        .is_some_and(|name| !name.is_empty());
    let output = if is_service {
        "SERVICEOUTPUT"
    } else {
        "HOSTOUTPUT"
    };
    let before = context.get(output).cloned().unwrap_or_default();
    for (name, value) in [
        ("NOTIFICATIONTYPE", "CUSTOM".into()),
        ("NOTIFICATIONAUTHOR", "notifyd".into()),
        ("NOTIFICATIONCOMMENT", what.clone().into()),
        (output, format!("{what} - {before}").into()),
        (OF, id.to_string().into()),
        ("FAILED_LANE", lane.into()),
        ("FAILED_WHY", format!("{end}: {detail}").into()),
    ] {
        context.insert(name.to_owned(), value);
    }
    context
}
