//! Canaries: notifications that say nothing but prove that the way is open. They
//! go where all go; the site where they go no further delivers them into one lane,
//! or counts them, and what became of them travels back as a result.

use std::time::{Duration, Instant};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, UnixTime};
use spool::{End, Known, Storage, Target};

use super::alarms::{About, words};
use super::watch::before;
use super::{Owner, now};
use crate::decision::Decided;
use crate::figures::CanaryFigures;
use crate::route::{CANARY, Route};

/// A canary says nothing any more after this long.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Those of this site.
pub(super) struct Canaries {
    /// When the next one is sent.
    next: Option<Instant>,
    last: Option<NotificationId>,
    /// How long one has been waited for.
    waiting: Option<Duration>,
    figures: CanaryFigures,
}

impl Canaries {
    pub(super) fn new(first: Option<Instant>) -> Self {
        Self {
            next: first,
            last: None,
            waiting: None,
            figures: CanaryFigures::default(),
        }
    }

    /// From now on the next one is sent then.
    pub(super) fn schedule(&mut self, next: Option<Instant>) {
        self.next = next;
        self.waiting = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn waits(&self) -> bool {
        self.waiting.is_some()
    }
}

impl<S: Storage> Owner<S> {
    /// Where a canary goes that is to go to `peers`.
    pub(super) fn assign_canary(
        &mut self,
        id: NotificationId,
        accepted: UnixTime,
        route: &Route,
        peers: Vec<Target>,
    ) {
        let is_own = self.queue.message(id).is_some_and(|m| m.from.is_none());
        let canaries = &mut self.watch.canaries;
        if is_own {
            canaries.figures.sent += 1;
            canaries.figures.last_sent = route.canary;
            canaries.last = Some(id);
        }
        if !peers.is_empty() {
            return self.assign_to(id, accepted, route, Decided::To(Vec::new()), peers);
        }
        canaries.figures.arrived += 1;
        match &self.watch.canary().lane {
            Some(lane) => {
                let lane = vec![Target::Lane(lane.clone())];
                self.assign_to(id, accepted, route, Decided::To(lane), Vec::new());
            }
            None => {
                let detail = "a canary: counted";
                self.report(id, None, 0, End::Delivered, detail.as_bytes());
                self.queue.end(id, End::Delivered, detail, now());
            }
        }
    }

    /// The result of one of ours has travelled back here.
    pub(super) fn canary_came_back(&mut self, result: &Route) {
        let get = |name: &str| {
            result
                .context()
                .get(name)
                .and_then(|v| std::str::from_utf8(v).ok())
        };
        let made = get(CANARY).and_then(|made| made.parse().ok());
        let is_delivered = get("RESULT_END") == Some(End::Delivered.words());
        if let Some(made) = made.filter(|_| is_delivered) {
            self.canary_came_through(UnixTime::from_micros(made));
        }
    }

    /// One that was made here, and goes no further.
    pub(super) fn canary_ended_here(&mut self, id: NotificationId, end: End) {
        if end == End::Delivered
            && self.watch.canaries.last == Some(id)
            && let Some(made) = self.watch.canaries.figures.last_sent
        {
            self.canary_came_through(made);
        }
    }

    fn canary_came_through(&mut self, made: UnixTime) {
        let micros = now().micros().saturating_sub(made.micros());
        let took = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let canaries = &mut self.watch.canaries;
        canaries.waiting = None;
        canaries.figures.came_through += 1;
        canaries.figures.last_came_through = Some(now());
        canaries.figures.round_trip = Some(took);
        self.changes.note();
        let text = format!("a canary has come through, after {}", words(took));
        self.end_alarm(&About::Canary, &text);
    }

    /// What is to be told if one does not come back in time.
    pub(super) fn overdue_canary(
        &mut self,
        listened: Duration,
    ) -> Option<(About, UnixTime, String)> {
        let within = self.watch.canary().within;
        let waiting = self.watch.canaries.waiting.as_mut()?;
        *waiting += listened;
        let text = format!("no canary has come through for {}", words(*waiting));
        (*waiting >= within).then(|| (About::Canary, before(*waiting), text))
    }

    pub(super) fn send_canary_if_due(&mut self, at: Instant) {
        let canary = self.watch.canary();
        let canaries = &self.watch.canaries;
        let Some(every) = canary.every else {
            if self.alarms.since(&About::Canary).is_some() {
                self.end_alarm(&About::Canary, "canaries are not sent any more");
            }
            return;
        };
        if canaries.next.is_none_or(|next| next > at) {
            return;
        }
        let last = canaries.last.and_then(|id| self.queue.knows(id));
        self.watch.canaries.next = Some(at + every);
        // One that is still here proves what another one would.
        if last != Some(Known::Open)
            && let Err(why) = self.send_canary()
        {
            tracing::error!("no canary is sent: {why}");
        }
        self.watch.canaries.waiting.get_or_insert(Duration::ZERO);
    }

    fn send_canary(&mut self) -> Result<(), String> {
        let created = now();
        let lifetime = i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX);
        let site = self.site.as_str();
        let mut context = Context::new();
        for (name, value) in [
            (CANARY, created.micros().to_string().as_str()),
            ("NOTIFICATIONTYPE", "CUSTOM"),
            ("NOTIFICATIONCOMMENT", "a canary: nothing has happened"),
            ("WHAT", "SERVICE"),
            ("OMD_SITE", site),
            ("HOSTNAME", site),
            ("HOSTSTATE", "UP"),
            ("SERVICEDESC", "Notification canary"),
            ("SERVICESTATE", "OK"),
            ("SERVICEOUTPUT", "a canary: nothing has happened"),
        ] {
            context.insert(name.to_owned(), value.into());
        }
        let notification = Notification {
            id: NotificationId::new(created),
            kind: Kind::Canary,
            created,
            expires: Some(UnixTime::from_micros(created.micros() + lifetime)),
            site: self.site.clone(),
            context,
        };
        let id = notification.id;
        if let Some(route) = self.accept_own(notification)? {
            self.counters.accepted += 1;
            self.assign(id, created, &route);
        }
        Ok(())
    }

    pub(super) fn canary_figures(&self) -> CanaryFigures {
        let canary = self.watch.canary();
        CanaryFigures {
            every: canary.every,
            within: canary.within,
            overdue_since: self.alarms.since(&About::Canary),
            ..self.watch.canaries.figures.clone()
        }
    }
}
