//! The messages of a spool.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use objects::{NotificationId, SiteId, UnixTime};

use crate::draft::{Draft, Rest};
use crate::index::{Entry, Index, Whereabouts};
use crate::journal::{Group, Journal, Options, Place, Recovery};
use crate::record::{ACCEPTED, ENDED, End, Event, MAX_DETAILS, Record, Standing, Target, Verdict};
use crate::segment::{Frame, MAX_RECORD};
use crate::trace::Trace;
use crate::{Error, Label, Message, Space, Storage, Syncing, Totals};

/// What [`Queue::accept`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, and durable after the next commit.
    New,
    /// It is known; acknowledge it like a new one, after the next commit.
    Duplicate(Known),
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The message is here and has not ended.
    Open,
    /// The message was here.
    Ended,
}

/// What [`Queue::settle`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Other targets still need the message.
    Open,
    /// It was the last target; the message has ended.
    Ended,
    /// There is no such open message, or it is not for this target, or settled there.
    Unknown,
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commit {
    /// How many records.
    pub records: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// How far [`Queue::begin_commit`] has come.
pub enum Begun {
    /// Everything is durable.
    Done(Commit),
    /// What was said so far is written. It is durable when this sync, called anywhere
    /// and once, has succeeded; [`Queue::finish_commit`] wants to know of it.
    UnderWay(Syncing),
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages that have not ended.
    pub open: usize,
    /// Those of them that are held by hand.
    pub held: usize,
    /// Segments of the journal.
    pub segments: usize,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Records that wait for the next commit.
    pub pending: usize,
}

/// The messages of a spool: an index over its journal. One thread owns it.
///
/// Nothing said to it is durable, or may be acknowledged, before the next
/// [`Queue::commit`] has returned `Ok`. One commit covers everything since the last.
pub struct Queue<S: Storage> {
    journal: Journal<S>,
    index: Index,
    options: Options,
    pending: Vec<Pending>,
    /// The number of the first of `pending`, counted over the life of the queue,
    /// around.
    first_pending: u32,
    /// How many of `pending` must be committed together: they are void where
    /// recovery found them as soon as the first of them is durable elsewhere.
    doubtful: usize,
    /// What those added to the totals. Not all of them did: some may be there
    /// twice, where a disk has given one group from two places.
    doubtful_totals: Totals,
    /// The oldest segment with a message whose end is not durable yet: until then
    /// it is needed.
    ending: Option<u32>,
    /// The commit whose sync is somebody else's now: of the first of `pending`.
    under_way: Option<UnderWay>,
    /// Whether recovery could not read everything.
    partial: bool,
    /// Records of later releases, with the message each is about.
    unknown: Vec<(Place, Option<NotificationId>)>,
    /// How far the open messages of the oldest segment have been copied.
    copied: Option<Copied>,
    failing: Option<String>,
}

struct UnderWay {
    group: Group,
    /// What [`Queue::ending`] was for it.
    ending: Option<u32>,
}

/// Messages of this segment below this order were copied out of it.
struct Copied {
    segment: u32,
    order: u64,
}

struct Pending {
    draft: Draft,
    /// For an acceptance: the message whose body this is.
    order: Option<u64>,
    /// For a record of a later release: the message it is about, if any.
    unknown: Option<Option<NotificationId>>,
}

/// Most messages copied to the head after one commit, so that it stays short.
const COPY_AT_ONCE: usize = 256;
/// Most segments kept because they are small.
const MOST_SEGMENTS: usize = 64;
/// What a record has beside the body, most of the time.
const RECORD_AROUND_BODY: usize = 128;
/// Longest body: the details of its jobs go with it into a copy.
const MAX_BODY: usize = MAX_RECORD - MAX_DETAILS - 1024;

impl Commit {
    fn add(&mut self, places: &[Place]) {
        self.records += places.len();
        self.bytes += places.iter().map(|place| u64::from(place.len)).sum::<u64>();
    }
}

impl<S: Storage> Queue<S> {
    /// Reads the journal. If the disk refuses to take what recovery has to
    /// write, the queue is there nevertheless, and [`Queue::failing`].
    pub fn recover(storage: S, options: Options) -> Result<(Self, Recovery), Error> {
        let mut index = Index::new(&options);
        index.expect(crate::replay::were_open(&storage)?);
        let mut unknown = Vec::new();
        let mut durable = Totals::default();
        let mut visit = |place: Place, frame: &Frame<'_>, is_doubtful: bool| {
            if is_doubtful {
                durable = *index.totals();
            }
            let record = Record::read(frame.kind, frame.body);
            if let Some(about) = of_later_release(&record) {
                unknown.push((place, about));
            }
            index.apply(&record, frame.flags, place.into());
        };
        let (journal, doubtful, mut recovery) = Journal::recover(storage, &options, &mut visit)?;
        let ended = doubtful.records.iter();
        let ended = ended.filter(|(_, draft)| draft.kind == ENDED);
        let ended = ended.filter_map(|(_, draft)| draft.id());
        let ended: HashSet<NotificationId> = ended.filter(|id| index.has_ended(id)).collect();
        if !doubtful.is_visited {
            durable = *index.totals();
        }
        let doubtful_totals = index.totals().without(&durable);
        index.finish_replay();
        recovery.open = index.len();
        let mut queue = Self {
            journal,
            index,
            options,
            pending: Vec::new(),
            first_pending: 0,
            doubtful: 0,
            doubtful_totals,
            ending: None,
            under_way: None,
            partial: recovery.unread > 0,
            unknown,
            copied: None,
            failing: None,
        };
        for (place, draft) in doubtful.records {
            if let Some(draft) = queue.still_true(draft, &ended) {
                queue.write_again(place, draft);
            }
        }
        queue.doubtful = queue.pending.len();
        // A failure is remembered, and told by `failing`.
        let _ = queue.commit();
        queue.journal.recovered();
        // Likewise by the next look.
        let _ = queue.look_at_space();
        Ok((queue, recovery))
    }

    /// Takes a message. `from` is the peer that sent it, none if it was submitted
    /// here. An error only if it is too large.
    pub fn accept(
        &mut self,
        id: NotificationId,
        from: Option<&SiteId>,
        label: Option<Label>,
        body: &[u8],
        time: UnixTime,
    ) -> Result<Accepted, Error> {
        self.accept_body(id, from, label, (body, None), time)
    }

    /// The same; the body is not copied before it is written.
    pub fn accept_shared(
        &mut self,
        id: NotificationId,
        from: Option<&SiteId>,
        label: Option<Label>,
        body: Arc<String>,
        time: UnixTime,
    ) -> Result<Accepted, Error> {
        let shared = Some(Arc::clone(&body));
        self.accept_body(id, from, label, (body.as_bytes(), shared), time)
    }

    fn accept_body(
        &mut self,
        id: NotificationId,
        from: Option<&SiteId>,
        label: Option<Label>,
        (body, shared): (&[u8], Option<Arc<String>>),
        time: UnixTime,
    ) -> Result<Accepted, Error> {
        if let Some(known) = self.index.knows(id) {
            return Ok(Accepted::Duplicate(known));
        }
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge {
                len: body.len(),
                limit: MAX_BODY,
            });
        }
        let event = Event::Accepted {
            order: self.index.next_order(),
            from: from.cloned(),
            standing: Standing::default(),
            label,
            body: body.into(),
        };
        self.record_with(id, time, event, shared);
        Ok(Accepted::New)
    }

    /// Whether an id was ever accepted, as far as is remembered.
    pub fn knows(&self, id: NotificationId) -> Option<Known> {
        self.index.knows(id)
    }

    /// Gives an open message that has none a label, for as long as this process
    /// runs; a copy takes it along.
    pub fn set_label(&mut self, id: NotificationId, label: Label) {
        self.index.set_label(id, label);
    }

    /// Adds targets to an open message; those it has already stay as they are.
    /// `false` if there is no such open message, or if the details of the jobs are
    /// longer than [`MAX_DETAILS`].
    ///
    /// With all its targets settled a message ends: assign all at once, or
    /// before the first of them is settled.
    pub fn assign(&mut self, id: NotificationId, targets: &[Target], time: UnixTime) -> bool {
        if self.index.order(id).is_none() || self.details_with(id, targets) > MAX_DETAILS {
            return false;
        }
        let mut targets = targets.to_vec();
        targets.retain(|target| self.index.end_at(id, target).is_none());
        if !targets.is_empty() {
            self.record(id, time, Event::Assigned { targets });
        }
        true
    }

    /// How long the details of all its jobs would be with these.
    fn details_with(&self, id: NotificationId, targets: &[Target]) -> usize {
        let new: usize = targets.iter().map(Target::detail_len).sum();
        if new == 0 {
            return 0;
        }
        let known = self.message(id).map_or(Vec::new(), |known| known.targets);
        let known = known
            .iter()
            .filter(|state| !targets.contains(&state.target));
        new + known.map(|state| state.target.detail_len()).sum::<usize>()
    }

    /// Records that delivery number `number` (from 1) starts. Commit before starting it.
    /// `false` if the message is not open at this target.
    pub fn attempt(
        &mut self,
        id: NotificationId,
        target: &Target,
        number: u32,
        time: UnixTime,
    ) -> bool {
        let open = self.index.end_at(id, target) == Some(None);
        if open {
            let target = target.clone();
            self.record(id, time, Event::Attempt { target, number });
        }
        open
    }

    /// Records how a delivery went. Does not settle the target.
    /// `false` if the message is not open at this target.
    pub fn result(
        &mut self,
        id: NotificationId,
        target: &Target,
        number: u32,
        verdict: Verdict,
        text: &[u8],
        time: UnixTime,
    ) -> bool {
        let open = self.index.end_at(id, target) == Some(None);
        if open {
            let event = Event::Result {
                target: target.clone(),
                number,
                verdict,
                text: text.into(),
            };
            self.record(id, time, event);
        }
        open
    }

    /// Records what the next attempt has to know, at most
    /// [`MAX_TEXT`](crate::record::MAX_TEXT) bytes that mean nothing here.
    /// `false` if the message is not open at this target.
    pub fn note(
        &mut self,
        id: NotificationId,
        target: &Target,
        detail: &[u8],
        time: UnixTime,
    ) -> bool {
        let open = self.index.end_at(id, target) == Some(None);
        if open {
            let (target, detail) = (target.clone(), detail.into());
            self.record(id, time, Event::Noted { target, detail });
        }
        open
    }

    /// Records that one target needs the message no more. With the last target
    /// the message ends.
    pub fn settle(
        &mut self,
        id: NotificationId,
        target: &Target,
        end: End,
        detail: &str,
        time: UnixTime,
    ) -> Settled {
        if self.index.end_at(id, target) != Some(None) {
            return Settled::Unknown;
        }
        let event = Event::Settled {
            target: target.clone(),
            end,
            detail: detail.as_bytes().into(),
        };
        self.record(id, time, event);
        match self.index.settled_everywhere(id) {
            Some(end) => {
                self.end(id, end, detail, time);
                Settled::Ended
            }
            None => Settled::Open,
        }
    }

    /// Ends a message as a whole, whatever its targets: dropped by hand, refused
    /// as unreadable, expired, nobody to notify. `false` if it is not open.
    pub fn end(&mut self, id: NotificationId, end: End, detail: &str, time: UnixTime) -> bool {
        let Some(order) = self.index.order(id) else {
            return false;
        };
        let detail = detail.as_bytes().into();
        self.record(id, time, Event::Ended { end, detail, order });
        true
    }

    /// Records that nothing is to be done with a message until it is released.
    /// `detail` says who wants that, and why. `false` if it is not open, or held
    /// already.
    pub fn hold(&mut self, id: NotificationId, detail: &str, time: UnixTime) -> bool {
        let detail = detail.as_bytes().into();
        self.record_if(id, Some(false), time, Event::Held { detail })
    }

    /// Records that a held message is as others again. `false` if it is not held.
    pub fn release(&mut self, id: NotificationId, detail: &str, time: UnixTime) -> bool {
        let detail = detail.as_bytes().into();
        self.record_if(id, Some(true), time, Event::Released { detail })
    }

    /// Records that the next attempt was asked for by hand. `false` if the message
    /// is not open.
    pub fn ask_retry(&mut self, id: NotificationId, detail: &str, time: UnixTime) -> bool {
        let detail = detail.as_bytes().into();
        self.record_if(id, None, time, Event::RetryAsked { detail })
    }

    /// Ends the messages that are settled everywhere and have no end: a crash
    /// came between the two records. For the start, after [`Queue::recover`].
    pub fn end_settled(&mut self, time: UnixTime) {
        // Few, at most.
        let settled: Vec<(NotificationId, End)> = self.index.settled().collect();
        for (id, end) in settled {
            self.end(id, end, "", time);
        }
    }

    /// Makes everything since the last commit durable, with one sync.
    ///
    /// On an error nothing of it may be acknowledged. It is kept, and the next
    /// commit tries it again in a new segment: so stop taking in, and commit again
    /// from time to time until it succeeds.
    ///
    /// # Panics
    ///
    /// While a commit is under way.
    pub fn commit(&mut self) -> Result<Commit, Error> {
        assert!(self.under_way.is_none(), "a commit is under way");
        let mut commit = Commit::default();
        while !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            let drafts: Vec<&Draft> = pending.iter().map(|p| &p.draft).collect();
            let written = self.write(&drafts, self.doubtful);
            self.pending = pending;
            match written {
                Ok(places) => {
                    self.doubtful = 0;
                    commit.add(&places);
                    self.stored(&places);
                }
                Err(error) => {
                    self.failing = Some(with_cause(&error));
                    return Err(error);
                }
            }
        }
        self.ending = None;
        self.forget_ended();
        // What was asked for is durable. If tidying up fails, the next commit
        // finds the disk in the same condition and says so.
        self.failing = self.tidy().err().as_ref().map(with_cause);
        Ok(commit)
    }

    /// As [`Queue::commit`], but where that is possible somebody else makes the sync,
    /// and more can be said in the meantime: it belongs to the next commit.
    ///
    /// # Panics
    ///
    /// While a commit is under way.
    pub fn begin_commit(&mut self) -> Result<Begun, Error> {
        if !self.can_sync_later() {
            return self.commit().map(Begun::Done);
        }
        let drafts: Vec<&Draft> = self.pending.iter().map(|p| &p.draft).collect();
        match self.journal.append_group(&drafts, 0) {
            Ok(group) => {
                let sync = self.journal.sync_later(&group);
                let ending = self.ending.take();
                self.under_way = Some(UnderWay { group, ending });
                Ok(Begun::UnderWay(sync))
            }
            // The head is given up, and it goes to a new segment.
            Err(_) => self.commit().map(Begun::Done),
        }
    }

    /// The sync of the commit that is under way has come to this. If it failed, all
    /// that was said since goes to a new segment together with what was to be synced.
    ///
    /// On an error nothing of either may be acknowledged, as with [`Queue::commit`].
    pub fn finish_commit(&mut self, synced: io::Result<()>) -> Result<Commit, Error> {
        let Some(UnderWay { group, ending }) = self.under_way.take() else {
            return Ok(Commit::default());
        };
        match self.journal.finish_group(group, synced) {
            Ok(places) => {
                let mut commit = Commit::default();
                commit.add(&places);
                self.stored(&places);
                self.forget_ended();
                Ok(commit)
            }
            Err(_) => {
                self.ending = ending.into_iter().chain(self.ending).min();
                self.commit()
            }
        }
    }

    /// Whether what is pending goes to the head, and nothing else is to be done.
    fn can_sync_later(&self) -> bool {
        self.under_way.is_none()
            && !self.pending.is_empty()
            && self.doubtful == 0
            && self.failing.is_none()
            && self.journal.has_room_for(self.pending_bytes())
            && self.crowded().is_none()
    }

    /// Tells the journal what of its end nobody will ask for again.
    fn forget_ended(&mut self) {
        let oldest = self.index.entries().next().map(|(_, entry)| entry.at);
        self.journal.ended_before(match oldest {
            Some(Whereabouts::Stored { segment, offset }) => Some((segment, offset)),
            Some(Whereabouts::Pending(_)) | None => None,
        });
    }

    /// Why the last commit failed, if it did.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Looks how much room there is. To be asked every second or so: what is kept
    /// for a full disk is made ready again here when there is room. Where it is low,
    /// what the journal does not need any more is given away.
    pub fn look_at_space(&mut self) -> Result<Space, Error> {
        let space = self.journal.look_at_space()?;
        if space == Space::Low && self.pending.is_empty() && self.give_away()? {
            return self.journal.look_at_space();
        }
        Ok(space)
    }

    /// What [`Queue::look_at_space`] said last; full also since a commit found
    /// the disk so.
    pub fn space(&self) -> Space {
        self.journal.space()
    }

    /// The body of an open message; none if it is not open.
    pub fn body(&self, id: NotificationId) -> Result<Option<Vec<u8>>, Error> {
        self.look_at_body(id, <[u8]>::to_vec)
    }

    /// Shows the body of an open message; none if it is not open.
    pub fn look_at_body<T>(
        &self,
        id: NotificationId,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        let Some(entry) = self.index.entry(id) else {
            return Ok(None);
        };
        let look = |record: &[u8]| match Record::decode(ACCEPTED, record) {
            Some(Record::Message {
                event: Event::Accepted { body, .. },
                ..
            }) => Some(look(&body)),
            _ => None,
        };
        match entry.at {
            Whereabouts::Stored { segment, offset } => {
                let likely = entry.body_len + RECORD_AROUND_BODY;
                let look = |frame: &Frame<'_>| look(frame.body);
                self.journal.look_at(segment, offset, likely, look)
            }
            Whereabouts::Pending(number) => Ok(look(&self.pending(number).draft.whole())),
        }
    }

    /// Whether a message is open, and not settled at this target.
    pub fn is_open_at(&self, id: NotificationId, target: &Target) -> bool {
        self.index.end_at(id, target) == Some(None)
    }

    /// Whether a message is open and held by hand.
    pub fn is_held(&self, id: NotificationId) -> bool {
        self.index.is_held(id) == Some(true)
    }

    /// One open message. Also one that is not durable yet.
    pub fn message(&self, id: NotificationId) -> Option<Message> {
        self.index.message(self.index.order(id)?)
    }

    /// The open messages that are durable, in the order of acceptance.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = Message> + '_ {
        let durable = self.index.entries().filter(|(_, entry)| is_stored(entry));
        durable.filter_map(|(order, _)| self.index.message(order))
    }

    /// All open messages from this place in the order on, also those that are
    /// durable only after the next commit.
    pub fn open_or_pending_from(&self, order: u64) -> impl Iterator<Item = Message> + '_ {
        let entries = self.index.entries_from(order);
        entries.filter_map(|(order, _)| self.index.message(order))
    }

    /// Of each of those that are durable, which it is and when it was accepted.
    pub fn open_since(&self) -> impl Iterator<Item = (NotificationId, UnixTime)> + '_ {
        let durable = self.index.entries().filter(|(_, entry)| is_stored(entry));
        durable.map(|(_, entry)| (entry.id, entry.accepted))
    }

    /// The open messages that some of these targets still need, from this place in
    /// the order on: place, id, and what its label says it is about. Those held
    /// are left out, and all behind the first that is not durable yet.
    pub fn waiting_from(
        &self,
        order: u64,
        targets: &[Target],
    ) -> impl Iterator<Item = (u64, NotificationId, u32)> + '_ {
        let waiting = self.index.waiting_from(order, targets);
        waiting.map(|(order, entry)| (order, entry.id, entry.about))
    }

    /// How many open messages some of these targets still need, those held not
    /// counted.
    pub fn waiting_at_any(&self, targets: &[Target]) -> u64 {
        self.index.waiting_at_any(targets)
    }

    /// The place of an open message in the order.
    pub fn order(&self, id: NotificationId) -> Option<u64> {
        self.index.order(id)
    }

    /// The place in the order of the next message that is accepted.
    pub fn next_order(&self) -> u64 {
        self.index.next_order()
    }

    /// How many open messages are not settled at `target`, those held not counted.
    pub fn waiting_for(&self, target: &Target) -> u64 {
        self.index.waiting_for(target)
    }

    /// The ids accepted durably from a peer, as far as remembered, oldest first.
    pub fn accepted_from(&self, peer: &SiteId) -> Vec<NotificationId> {
        let accepted = self.pending.iter().filter(|p| p.order.is_some());
        let pending: HashSet<&[u8]> = accepted.filter_map(|p| p.draft.body.get(..16)).collect();
        let durable = |id: &NotificationId| !pending.contains(&id.as_bytes()[..]);
        self.index.remembered(peer).filter(durable).collect()
    }

    /// All that the journal still has about an id, oldest first.
    pub fn history(&self, id: NotificationId) -> Result<Vec<(UnixTime, Event<'static>)>, Error> {
        let mut trace = Trace::new(id);
        self.journal.visit(&mut |_, frame| trace.add(frame))?;
        Ok(trace.into_events())
    }

    /// What attempts there are with a start and no end, of messages that are open:
    /// after a start, nobody knows how they ended. One that was released since then
    /// does not count.
    pub fn running(&self) -> impl Iterator<Item = (NotificationId, &Target)> {
        self.index.running()
    }

    /// What [`Queue::note`] said last of an open message at a target.
    pub fn noted(&self, id: NotificationId, target: &Target) -> Option<&[u8]> {
        self.index.noted(id, target)
    }

    /// What was accepted and how it ended, over the life of the spool: with
    /// what is not committed yet, and with what [`Figures::open`] counts the
    /// rule of [`Totals`] holds.
    pub fn totals(&self) -> Totals {
        *self.index.totals()
    }

    /// How full it is.
    pub fn figures(&self) -> Figures {
        Figures {
            open: self.index.len(),
            held: self.index.held(),
            segments: self.journal.segments().len(),
            bytes: self.journal.bytes(),
            pending: self.pending.len(),
        }
    }

    /// How long the records are that wait for the next commit.
    pub fn pending_bytes(&self) -> u64 {
        let rooms = self.pending.iter().map(|pending| pending.draft.room());
        rooms.sum::<usize>() as u64
    }

    /// Records an event of a message that is open, and held or not as demanded.
    fn record_if(
        &mut self,
        id: NotificationId,
        held: Option<bool>,
        time: UnixTime,
        event: Event<'_>,
    ) -> bool {
        let is_held = self.index.is_held(id);
        let fits = is_held.is_some_and(|is_held| held.is_none_or(|held| is_held == held));
        if fits {
            self.record(id, time, event);
        }
        fits
    }

    fn record(&mut self, id: NotificationId, time: UnixTime, event: Event<'_>) {
        self.record_with(id, time, event, None);
    }

    /// `shared` is the body of an acceptance, if others have it, too.
    fn record_with(
        &mut self,
        id: NotificationId,
        time: UnixTime,
        event: Event<'_>,
        shared: Option<Arc<String>>,
    ) {
        let order = match &event {
            Event::Accepted { order, .. } => Some(*order),
            _ => None,
        };
        if let Event::Ended { .. } = &event
            && let Some(Whereabouts::Stored { segment, .. }) =
                self.index.entry(id).map(|entry| entry.at)
        {
            self.ending = Some(self.ending.map_or(segment, |oldest| oldest.min(segment)));
        }
        let mut record = Record::Message { id, time, event };
        let at = self.next_pending();
        self.index.apply(&record, 0, at);
        if let Record::Message {
            event: Event::Accepted { body, .. },
            ..
        } = &mut record
            && shared.is_some()
        {
            *body = Cow::Borrowed(&[]);
        }
        let draft = Draft {
            rest: shared.map_or(Rest::None, Rest::Shared),
            ..Draft::of(&record, false)
        };
        self.pending.push(Pending {
            draft,
            order,
            unknown: None,
        });
    }

    /// What is to be written again for a record that recovery found. It may be
    /// older than others that count, where the disk gave one group from two places
    /// or did not give some for a while: it must not undo those when they are gone
    /// with their segments. `ended` are the messages whose end is
    /// written again.
    fn still_true(&self, draft: Draft, ended: &HashSet<NotificationId>) -> Option<Draft> {
        let record = Record::read(draft.kind, &draft.body);
        let Record::Message { id, event, .. } = &record else {
            return Some(draft);
        };
        let message = self.message(*id);
        match (event, message) {
            (Event::Accepted { .. }, None) if !ended.contains(id) => None,
            // It ended nothing: what it is about was never there, or is open.
            (Event::Ended { .. }, _) if !ended.contains(id) => None,
            (Event::Accepted { .. }, Some(message)) if draft.copy => {
                Some(self.up_to_date(draft, message.order))
            }
            (Event::Held { .. }, Some(message)) if !message.held => None,
            (Event::Released { .. }, Some(message)) if message.held => None,
            _ => Some(draft),
        }
    }

    /// Puts a record that recovery found at `place` into the next commit.
    fn write_again(&mut self, place: Place, draft: Draft) {
        let id = draft.id().filter(|_| draft.kind == ACCEPTED);
        let order = id.and_then(|id| self.index.order(id));
        let at = self.next_pending();
        if let Some(order) = order {
            self.index.move_from(order, place.into(), at);
        }
        let unknown = of_later_release(&Record::read(draft.kind, &draft.body));
        self.unknown.retain(|(unknown, _)| *unknown != place);
        self.pending.push(Pending {
            draft,
            order,
            unknown,
        });
    }

    /// The first of what was pending is durable, at these places.
    fn stored(&mut self, places: &[Place]) {
        for (pending, place) in self.pending.drain(..places.len()).zip(places) {
            let at = Whereabouts::Pending(self.first_pending);
            self.first_pending = self.first_pending.wrapping_add(1);
            if let Some(order) = pending.order {
                self.index.move_from(order, at, (*place).into());
            }
            if let Some(about) = pending.unknown {
                self.unknown.push((*place, about));
            }
        }
    }

    /// Makes some of the first of `drafts` durable, at least `together`.
    fn write(&mut self, drafts: &[&Draft], together: usize) -> Result<Vec<Place>, Error> {
        let fits = drafts
            .first()
            .is_some_and(|first| self.journal.has_room(first));
        if fits && let Ok(places) = self.journal.write_group(drafts, together) {
            return Ok(places);
        }
        match self.write_to_new_segment(drafts, together) {
            // What was kept for this moment.
            Err(error) if error.is_full() && self.journal.release_reserve() => {
                self.write_to_new_segment(drafts, together)
            }
            other => other,
        }
    }

    /// As [`Queue::write`], to a new segment. It begins with all that is only in
    /// the segments that can go then.
    fn write_to_new_segment(
        &mut self,
        drafts: &[&Draft],
        together: usize,
    ) -> Result<Vec<Place>, Error> {
        let oldest = self.oldest_needed();
        let older = |place: &Place| oldest.is_none_or(|oldest| place.segment < oldest);
        let mut prologue = Vec::new();
        // Not what is accepted in this very group: if that is torn, an id must not
        // be known of which the message is not there.
        let accepted = drafts.iter().filter(|d| d.kind == ACCEPTED && !d.copy);
        let new: HashSet<&[u8]> = accepted.filter_map(|d| d.body.get(..16)).collect();
        prologue.extend(
            self.index
                .checkpoints(|id| !new.contains(&id.as_bytes()[..])),
        );
        let next_order = drafts.iter().find_map(|draft| order_of(draft));
        let (doubtful, certain) = drafts.split_at(together.min(drafts.len()));
        let mut before = self.index.totals().without(&counts(certain));
        if !doubtful.is_empty() {
            before = before.without(&self.doubtful_totals);
        }
        let totals = Record::Totals {
            next_order: next_order.unwrap_or_else(|| self.index.next_order()),
            totals: before,
            partial: self.partial,
        };
        prologue.push(Draft::of(&totals, false));
        let index = &self.index;
        let needed = |about: &Option<_>| about.is_none_or(|id| index.order(id).is_some());
        self.unknown
            .retain(|(place, about)| !older(place) || needed(about));
        for (place, _) in self.unknown.iter().filter(|(place, _)| older(place)) {
            let (segment, offset) = (place.segment, place.offset);
            let copy = self
                .journal
                .read_draft(segment, offset, place.len as usize)?;
            prologue.push(Draft { copy: true, ..copy });
        }
        self.journal.start_segment(oldest)?;
        let count = prologue.len();
        let all: Vec<&Draft> = prologue.iter().chain(drafts.iter().copied()).collect();
        let mut places = self.journal.write_group(&all, count + together.max(1))?;
        let rest = places.split_off(count);
        let moved = self.unknown.iter_mut().filter(|(place, _)| older(place));
        for (unknown, place) in moved.rev().zip(places.iter().rev()) {
            unknown.0 = *place;
        }
        self.journal.remove_older_than(oldest);
        Ok(rest)
    }

    /// Makes a new segment, if an old one can go with it. Commits do the same in
    /// passing; but as long as nothing is taken in there may be none.
    fn give_away(&mut self) -> Result<bool, Error> {
        self.tidy()?;
        let oldest = self.journal.segments().next().map(|(number, _)| number);
        if self.oldest_needed() == oldest {
            return Ok(false);
        }
        self.write_to_new_segment(&[], 0)?;
        Ok(true)
    }

    /// The oldest segment that is needed beside a new one, if any is.
    fn oldest_needed(&self) -> Option<u32> {
        // On a full disk nothing is kept for tracing.
        let keep = match self.journal.space() {
            Space::Full => 0,
            Space::Low | Space::Ok => self.options.keep_segments.max(1) - 1,
        };
        // Not what is kept for tracing is to use up the room.
        let enough = self.journal.segment_size() * keep as u64;
        let enough = enough.min(self.journal.limit() / 4);
        let mut left = self.journal.segments().len();
        let mut bytes = self.segment_bytes();
        for (number, len) in self.journal.segments() {
            let too_many = left > keep && (bytes > enough || left >= MOST_SEGMENTS);
            let is_ending = self.ending.is_some_and(|oldest| oldest <= number);
            // What could not be read may be needed.
            if self.partial || !too_many || is_ending || self.index.live_count(number) > 0 {
                let mut together = self.journal.going_first();
                let oldest = together.next();
                return match together.any(|going| going == number) {
                    true => oldest,
                    false => Some(number),
                };
            }
            bytes -= len;
            left -= 1;
        }
        None
    }

    /// What the segments take on the disk: with what was written ahead, and what
    /// failed.
    fn segment_bytes(&self) -> u64 {
        self.journal.segments().map(|(_, bytes)| bytes).sum()
    }

    /// Copies open messages out of the oldest segment that has some, if there are too
    /// many segments for what is open: it can go with the next new one then, like
    /// those before it.
    fn tidy(&mut self) -> Result<(), Error> {
        match self.crowded() {
            Some(oldest) => self.copy_from(oldest),
            None => Ok(()),
        }
    }

    /// The segment that it would copy from now.
    fn crowded(&self) -> Option<u32> {
        // What room there is is for ends. They let the oldest segments go, too. And a
        // copy would open again what has ended in a place that could not be read.
        if self.partial || self.journal.is_full_of_bytes() {
            return None;
        }
        let mut left = self.journal.segments().len();
        let mut going = 0;
        let oldest = self.journal.segments().find(|(number, bytes)| {
            let is_live = self.index.live_count(*number) > 0;
            if !is_live {
                left -= 1;
                going += bytes;
            }
            is_live
        });
        let disk_bytes = self.journal.disk_bytes().saturating_sub(going);
        let crowded = left > self.options.compact_above
            || disk_bytes > self.journal.limit() / 2
            || self.journal.space() == Space::Full;
        let (oldest, _) = oldest?;
        let pays =
            left > 1 && crowded && self.index.live_bytes() < (self.segment_bytes() - going) / 2;
        pays.then_some(oldest)
    }

    /// Copies some open messages of `segment` to the head, each with how far it
    /// has come. They keep their place in the order.
    fn copy_from(&mut self, segment: u32) -> Result<(), Error> {
        let copied = self
            .copied
            .take()
            .filter(|copied| copied.segment == segment);
        let from = copied.map_or(0, |copied| copied.order);
        let there = |entry: &Entry| matches!(entry.at, Whereabouts::Stored { segment: s, .. } if s == segment);
        let entries = self.index.entries_from(from);
        let moving: Vec<(u64, Entry)> = entries
            .filter(|(_, entry)| there(entry))
            .take(self.index.live_count(segment).min(COPY_AT_ONCE))
            .collect();
        let mut drafts = Vec::with_capacity(moving.len());
        for (order, entry) in &moving {
            drafts.push(self.copy(*order, entry)?);
        }
        let places = self.write_all(&drafts)?;
        let last = moving.last().map(|(order, _)| *order);
        for ((order, entry), place) in moving.into_iter().zip(places) {
            self.index.move_from(order, entry.at, place.into());
        }
        // Without one there, all of its messages have other places in the order.
        self.copied = last.map(|last| Copied {
            segment,
            order: last.saturating_add(1),
        });
        Ok(())
    }

    /// The record of an acceptance, with how far the message has come since.
    fn copy(&self, order: u64, entry: &Entry) -> Result<Draft, Error> {
        let mut original = self.draft_of(entry)?;
        original.copy = true;
        Ok(self.up_to_date(original, order))
    }

    /// The record that holds the body of a message.
    fn draft_of(&self, entry: &Entry) -> Result<Draft, Error> {
        match entry.at {
            Whereabouts::Stored { segment, offset } => {
                let likely = entry.body_len + RECORD_AROUND_BODY;
                self.journal.read_draft(segment, offset, likely)
            }
            Whereabouts::Pending(number) => {
                let draft = &self.pending(number).draft;
                Ok(Draft {
                    body: draft.whole().into_owned(),
                    rest: Rest::None,
                    ..*draft
                })
            }
        }
    }

    /// The copy of an acceptance, with how far the message has come.
    fn up_to_date(&self, copy: Draft, order: u64) -> Draft {
        let mut record = Record::read(copy.kind, &copy.body);
        if let Record::Message {
            event: Event::Accepted {
                standing, label, ..
            },
            ..
        } = &mut record
        {
            *standing = self.index.standing(order);
            *label = self.index.label(order);
            let again = copy.again;
            return Draft {
                again,
                ..Draft::of(&record, true)
            };
        }
        copy
    }

    /// Where the next draft will be.
    fn next_pending(&self) -> Whereabouts {
        Whereabouts::Pending(self.first_pending.wrapping_add(self.pending.len() as u32))
    }

    fn pending(&self, number: u32) -> &Pending {
        &self.pending[number.wrapping_sub(self.first_pending) as usize]
    }

    fn write_all(&mut self, drafts: &[Draft]) -> Result<Vec<Place>, Error> {
        let drafts: Vec<&Draft> = drafts.iter().collect();
        let mut places = Vec::with_capacity(drafts.len());
        while places.len() < drafts.len() {
            places.extend(self.write(&drafts[places.len()..], 0)?);
        }
        Ok(places)
    }
}

fn is_stored(entry: &Entry) -> bool {
    matches!(entry.at, Whereabouts::Stored { .. })
}

/// For a record of a later release: the message it is about, if it is about one.
fn of_later_release(record: &Record<'_>) -> Option<Option<NotificationId>> {
    match record {
        Record::Message {
            id,
            event: Event::Unknown { .. },
            ..
        } => Some(Some(*id)),
        Record::Unknown { .. } => Some(None),
        _ => None,
    }
}

/// What these records add to the totals.
fn counts(drafts: &[&Draft]) -> Totals {
    let mut totals = Totals::default();
    for draft in drafts.iter().filter(|draft| !draft.copy) {
        if !matches!(draft.kind, ACCEPTED | ENDED) {
            continue;
        }
        if let Record::Message { event, .. } = Record::read(draft.kind, &draft.body) {
            match event {
                Event::Accepted { from, .. } => totals.add_accepted(from.is_some()),
                Event::Ended { end, .. } => totals.add_ended(end, 1),
                _ => {}
            }
        }
    }
    totals
}

/// The place in the order that a record of an acceptance gives.
fn order_of(draft: &Draft) -> Option<u64> {
    if draft.kind != ACCEPTED || draft.copy || draft.again.is_some() {
        return None;
    }
    match Record::read(draft.kind, &draft.body) {
        Record::Message {
            event: Event::Accepted { order, .. },
            ..
        } => Some(order),
        _ => None,
    }
}

fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
