//! Results: what became of a notification travels back to the site that it came
//! from, as a notification of the kind `result`, hop by hop. It is durable with the
//! end that it tells of, and its id is made of it: so it comes, and comes once.

use bstr::ByteSlice;
use objects::notification::{Context, Kind};
use objects::{Envelope, Notification, NotificationId, SiteId};
use program::exit::chain;
use rules::Told;
use spool::{End, Storage, Target};

use super::{Owner, now};
use crate::route::{CANARY, Route};

/// Longest answer of a lane that travels back, in bytes.
const MAX_ANSWER: usize = 1000;

/// The names of the entries of a result. sitewire-notify-protocol(5) has them.
mod entry {
    pub(super) const NOTIFICATION: &str = "RESULT_OF";
    pub(super) const WAY: &str = "RESULT_WAY";
    pub(super) const LANE: &str = "RESULT_LANE";
    pub(super) const RULES: &str = "RESULT_RULES";
    pub(super) const CONTACTS: &str = "RESULT_CONTACTS";
    pub(super) const ATTEMPT: &str = "RESULT_ATTEMPT";
    pub(super) const END: &str = "RESULT_END";
    pub(super) const ANSWER: &str = "RESULT_ANSWER";
}

/// Whether a body is a result. Nearly all that are none need not be taken apart.
pub(super) fn is_result(body: &[u8]) -> bool {
    body.contains_str(entry::NOTIFICATION)
        && std::str::from_utf8(body)
            .ok()
            .and_then(|text| Envelope::parse(text).ok())
            .is_some_and(|envelope| envelope.kind == Kind::Result)
}

impl<S: Storage> Owner<S> {
    /// Tells the site that a notification came from how it ends at one of its
    /// targets here, or altogether. To be called before that end is recorded.
    pub(super) fn report(
        &mut self,
        id: NotificationId,
        target: Option<&Target>,
        attempt: u32,
        end: End,
        answer: &[u8],
    ) {
        let from = self.queue.message(id).and_then(|message| message.from);
        if from.is_none() {
            self.canary_ended_here(id, end);
        }
        let wants = |from: &SiteId| {
            self.peers
                .get(from)
                .is_some_and(|peer| peer.wants_results())
        };
        if !from.as_ref().is_some_and(wants) {
            return;
        }
        if let Err(why) = self.send_result(id, target, attempt, end, answer) {
            tracing::error!(%id, "its result does not travel back: {why}");
        }
    }

    fn send_result(
        &mut self,
        id: NotificationId,
        target: Option<&Target>,
        attempt: u32,
        end: End,
        answer: &[u8],
    ) -> Result<(), String> {
        let text = self.stored_text(id)?;
        let envelope = Envelope::parse(&text).map_err(|error| chain(&error))?;
        if !matches!(envelope.kind, Kind::Raw | Kind::Canary) {
            return Ok(());
        }
        let context = envelope.context().map_err(|error| chain(&error))?;
        let way: Vec<&str> = envelope.path.iter().map(SiteId::as_str).collect();
        let mut entries = Context::from([
            (entry::NOTIFICATION.to_owned(), id.to_string().into()),
            (entry::WAY.to_owned(), way.join(",").into()),
            (entry::END.to_owned(), end.words().into()),
        ]);
        // So that it is seen what it is about, and a canary is known again.
        for name in ["HOSTNAME", "SERVICEDESC", CANARY] {
            entries.extend(context.get(name).map(|v| (name.to_owned(), v.clone())));
        }
        let mut name = format!("result of {id}: {end}");
        if let Some(target) = target {
            name.push_str(&format!(" at {target}"));
            entries.insert(entry::LANE.to_owned(), target.name().into());
            entries.insert(entry::ATTEMPT.to_owned(), attempt.to_string().into());
            if let Target::Job(job) = target
                && let Some(Ok(told)) = job.detail().map(Told::parse)
            {
                entries.insert(entry::RULES.to_owned(), told.rules.join(", ").into());
                let contacts = bstr::join(", ", told.names());
                entries.insert(entry::CONTACTS.to_owned(), contacts.into());
            }
        }
        let answer = answer.lines().next().unwrap_or_default();
        let answer = &answer[..answer.len().min(MAX_ANSWER)];
        entries.insert(entry::ANSWER.to_owned(), answer.into());
        let result = Notification {
            id: NotificationId::named(&self.site, name.as_bytes()),
            kind: Kind::Result,
            created: now(),
            expires: None,
            site: self.site.clone(),
            context: entries,
        };
        let id = result.id;
        if let Some(route) = self.accept_own(result)? {
            self.pass_on(id, &route);
        }
        Ok(())
    }

    /// Sends a result to the site before us on the way that its notification came;
    /// the first of them keeps it.
    pub(super) fn pass_on(&mut self, id: NotificationId, route: &Route) {
        let get = |name: &str| route.context().get(name).map_or(&b""[..], |v| v.as_slice());
        let way: Vec<&[u8]> = get(entry::WAY).split(|b| *b == b',').collect();
        let own = self.site.as_str().as_bytes();
        let (end, detail) = match way.iter().position(|site| *site == own) {
            Some(0) => {
                self.canary_came_back(route);
                (End::Delivered, "a result for this site".to_owned())
            }
            None => (End::NobodyToNotify, "not on its way".to_owned()),
            Some(at) => {
                let before = way[at - 1];
                let mut forwards = self.forwards.iter();
                let forward = forwards.position(|forward| {
                    let mut peers = self.peers.keys();
                    let peer = peers.find(|peer| peer.as_str().as_bytes() == before);
                    peer.is_some_and(|peer| forward.goes_to(peer))
                });
                let peer = std::str::from_utf8(before)
                    .ok()
                    .and_then(|name| SiteId::new(name).ok());
                if let (Some(forward), Some(peer)) = (forward, peer) {
                    self.queue.assign(id, &[Target::Peer(peer)], now());
                    if let Some(place) = self.queue.order(id) {
                        self.put_in_forward(forward, place, id, route.label);
                    }
                    return;
                }
                let before = program::log::quote(before, 64);
                (End::NobodyToNotify, format!("no way back to {before}"))
            }
        };
        self.queue.end(id, end, &detail, now());
    }
}
