//! What is known of each message, in memory: enough to say what is to be done
//! with it, and where its body is. Built by the same function from the records
//! of the journal and from those about to be written.
//!
//! A million messages wait in less than 64 MB. So a message takes 41 to 44 bytes
//! here ([`messages`], [`piece`]), its state is a number ([`states`]), and ids are
//! stored once ([`slots`]).

mod messages;
mod notes;
mod piece;
mod ring;
mod slots;
mod states;
mod targets;

use std::collections::{BTreeMap, HashMap, HashSet};

use objects::{NotificationId, SiteId, UnixTime};

use crate::draft::Draft;
use crate::journal::{Options, Place};
use crate::queue::Known;
use crate::record::{CHECKPOINT, End, Event, Record, Standing, Target, checkpoint_head};
use crate::segment::{AGAIN, COPY};
use crate::{Label, Totals};

pub(crate) use piece::{Entry, Whereabouts};

use messages::Messages;
use notes::Notes;
use ring::Ring;
use states::{State, States};
use targets::Targets;

/// A message that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: NotificationId,
    /// Counts acceptances: messages with a lower number came earlier.
    pub order: u64,
    /// When it was accepted here.
    pub accepted: UnixTime,
    /// The peer it came from; none if it was submitted here.
    pub from: Option<SiteId>,
    /// Length of its body, in bytes.
    pub body_len: usize,
    /// None if an early release accepted it: then its body has to be read.
    pub label: Option<Label>,
    /// Whether it is held by hand: nothing is to be done with it then.
    pub held: bool,
    /// Where it is to go; empty as long as nothing was assigned.
    pub targets: Vec<TargetState>,
}

/// How far a message has come at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// Which.
    pub target: Target,
    /// The number of the last attempt; 0 for none.
    pub attempts: u32,
    /// How it ended there, if it did.
    pub end: Option<End>,
}

impl From<Place> for Whereabouts {
    fn from(place: Place) -> Self {
        Self::Stored {
            segment: place.segment,
            offset: place.offset,
        }
    }
}

/// All messages and all remembered ids.
pub(crate) struct Index {
    messages: Messages,
    states: States,
    /// States name targets and peers by number. Peers are few and long-lived.
    targets: Targets,
    peers: Vec<SiteId>,
    notes: Notes,
    rings: BTreeMap<Option<SiteId>, Ring>,
    next_order: u64,
    totals: Totals,
    /// The next order of acceptance when the totals were recorded last; 0 if they
    /// never were. A journal of an early release has none: then what is found is
    /// counted.
    counted_to: u64,
    /// Whether those totals have what is written again behind them.
    counted_again: bool,
    /// Orders and ids of messages that have ended, while the journal is being read:
    /// a group that was written twice must not open them again.
    ended: Option<HashSet<(u64, NotificationId)>>,
    /// While the journal is being read: ids of what has ended since the totals, as
    /// far as there was something to end.
    ended_since: HashSet<NotificationId>,
    peer_ids: usize,
    all_ids: usize,
    /// Per segment: how many open messages have their body there, in how many bytes.
    live: HashMap<u32, (usize, u64)>,
}

impl Index {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            messages: Messages::new(),
            states: States::default(),
            targets: Targets::default(),
            peers: Vec::new(),
            notes: Notes::default(),
            rings: BTreeMap::new(),
            next_order: 1,
            totals: Totals::default(),
            counted_to: 0,
            counted_again: false,
            ended: Some(HashSet::new()),
            ended_since: HashSet::new(),
            peer_ids: options.peer_ids.max(1),
            all_ids: options.all_ids.max(1),
            live: HashMap::new(),
        }
    }

    /// About so many messages are going to be open.
    pub(crate) fn expect(&mut self, messages: u64) {
        self.messages.expect(messages);
    }

    /// While the journal is being read: whether a record of the end of this message,
    /// behind the last totals, had something to end. In what is left of an
    /// interrupted group the acceptance may be missing.
    pub(crate) fn has_ended(&self, id: &NotificationId) -> bool {
        self.ended_since.contains(id)
    }

    /// The journal has been read.
    pub(crate) fn finish_replay(&mut self) {
        self.ended = None;
        self.ended_since = HashSet::new();
        self.rings.values_mut().for_each(Ring::finish_replay);
        // More can be there than was counted only if a damaged place hid the
        // record of an end, or of the totals.
        let found = self.totals.ended_in_all() + self.messages.len() as u64;
        let uncounted = found.saturating_sub(self.totals.accepted());
        self.totals.submitted += uncounted;
    }

    /// Applies a record that is in the journal, or is going to be.
    pub(crate) fn apply(&mut self, record: &Record<'_>, flags: u8, at: Whereabouts) {
        let copy = flags & COPY != 0;
        match record {
            Record::Message { id, time, event } => {
                // A copy is no new acceptance: the ids of those that were removed
                // are in the checkpoint.
                if let (Event::Accepted { from, .. }, false) = (event, copy) {
                    self.remember(*id, from.as_ref());
                }
                self.apply_event(*id, *time, event, flags, at);
            }
            Record::Checkpoint { peer, ids } => {
                self.ring(peer.as_ref()).set(ids);
            }
            // Only a release that does not know what they are copies them.
            Record::Totals { .. } if copy => {}
            // What could not be read then is not in them, but is counted now.
            Record::Totals { partial: true, .. } if self.counted_to > 0 => {
                self.counted_again = false;
            }
            Record::Totals {
                totals,
                next_order,
                partial,
            } => {
                self.counted_again = !partial;
                self.totals = *totals;
                self.counted_to = *next_order;
                // The records that had the highest may have gone with their segment.
                self.next_order = self.next_order.max(*next_order);
                self.ended_since.clear();
            }
            Record::Unknown { .. } => {}
        }
    }

    fn apply_event(
        &mut self,
        id: NotificationId,
        time: UnixTime,
        event: &Event<'_>,
        flags: u8,
        at: Whereabouts,
    ) {
        // Other events change what is there only.
        let is_noted = matches!(event, Event::Attempt { .. } | Event::Noted { .. });
        if !is_noted || self.messages.order(&id).is_some() {
            self.notes.apply(id, event);
        }
        let copy = flags & COPY != 0;
        // What is written again is in the totals of who could read it all.
        let is_counted = flags & AGAIN != 0 && self.counted_again;
        match event {
            Event::Accepted {
                order,
                from,
                standing,
                label,
                body,
            } => {
                let accepted = (*order, from.as_ref(), body.len());
                let is_new = self.apply_accepted(id, time, accepted, *label, (at, copy));
                // A copy's original is in the totals.
                if is_new && !is_counted && !(copy && self.counted_to > 0) {
                    self.totals.add_accepted(from.is_some());
                }
                if copy {
                    self.apply_standing(id, standing);
                }
            }
            Event::Assigned { targets } => {
                if self.messages.order(&id).is_none() {
                    return;
                }
                let numbers = targets.iter().map(|target| self.targets.number(target));
                let numbers: Vec<u32> = numbers.collect();
                self.change_state(id, |state| {
                    for target in numbers {
                        state.at(target);
                    }
                });
            }
            Event::Attempt { target, number } => self.change_target(id, target, |progress| {
                progress.attempts = progress.attempts.max(*number);
            }),
            Event::Settled { target, end, .. } => self.change_target(id, target, |progress| {
                progress.end.get_or_insert(*end);
            }),
            Event::Ended { end, order, .. } => self.remove(id, *order, *end, is_counted),
            Event::Held { .. } => self.change_state(id, |state| state.held = true),
            Event::Released { .. } => self.change_state(id, |state| state.held = false),
            Event::Result { .. }
            | Event::Noted { .. }
            | Event::RetryAsked { .. }
            | Event::Standing(_)
            | Event::Unknown { .. } => {}
        }
    }

    fn apply_standing(&mut self, id: NotificationId, standing: &Standing) {
        if self.messages.order(&id).is_none() {
            return;
        }
        self.notes.set(id, standing.notes.clone());
        let targets = &standing.targets;
        let numbers = targets
            .iter()
            .map(|(target, ..)| self.targets.number(target));
        let numbers: Vec<u32> = numbers.collect();
        self.change_state(id, |state| {
            state.held = standing.held;
            for (number, (_, attempts, end)) in numbers.into_iter().zip(targets) {
                let progress = state.at(number);
                progress.attempts = progress.attempts.max(*attempts);
                progress.end = progress.end.or(*end);
            }
        });
    }

    /// Whether it was not there before.
    fn apply_accepted(
        &mut self,
        id: NotificationId,
        time: UnixTime,
        (order, from, body_len): (u64, Option<&SiteId>, usize),
        label: Option<Label>,
        (at, copy): (Whereabouts, bool),
    ) -> bool {
        self.next_order = self.next_order.max(order.saturating_add(1));
        let ended = self.ended.as_ref();
        if ended.is_some_and(|ended| ended.contains(&(order, id))) {
            return false;
        }
        if let Some(order) = self.messages.order(&id) {
            // What was said since of one that is accepted again, by a process that could
            // not read that, is not said again behind it.
            if copy {
                self.move_to(order, at);
            }
            return false;
        }
        // A process that could not read this record gave its order to another one.
        let order = match self.messages.get(order) {
            Some(_) => self.next_order,
            None => order,
        };
        self.next_order = self.next_order.max(order.saturating_add(1));
        let state = State {
            from: from.map(|from| number_of(&mut self.peers, from)),
            held: false,
            is_labelled: label.is_some(),
            targets: Vec::new(),
        };
        let state = self.states.enter(state);
        let about = label.map_or(0, |label| label.about);
        let entry = Entry {
            id,
            about,
            at,
            body_len,
            accepted: time,
            state,
        };
        self.count_live(at, body_len, 1);
        self.messages.insert(order, &entry);
        true
    }

    fn remove(&mut self, id: NotificationId, order: u64, end: End, is_counted: bool) {
        let recorded = order;
        // The segment of the acceptance may have gone when the one of this record
        // was started; then the totals say that the message was open.
        let was_counted = (1..self.counted_to).contains(&order);
        let order = self.messages.order(&id);
        let is_news = !self.ended_since.contains(&id);
        if order.is_some() || (was_counted && is_news) {
            if !is_counted {
                self.totals.add_ended(end, 1);
            }
            if self.ended.is_some() {
                self.ended_since.insert(id);
            }
        }
        if let Some(order) = order {
            if let Some(ended) = &mut self.ended {
                ended.insert((recorded, id));
            }
            self.notes.forget(id);
            if let Some(entry) = self.messages.remove(order) {
                self.states.leave(entry.state);
                self.forget_targets();
                self.count_live(entry.at, entry.body_len, -1);
            }
        }
    }

    fn change_state(&mut self, id: NotificationId, change: impl FnOnce(&mut State)) {
        let Some(order) = self.messages.order(&id) else {
            return;
        };
        let Some(Entry { state: number, .. }) = self.messages.get(order) else {
            return;
        };
        let before = self.states.get(number);
        let mut state = before.clone();
        change(&mut state);
        if state != *before {
            let after = self.states.enter(state);
            self.messages.set_state(order, after);
            self.states.leave(number);
            self.forget_targets();
        }
    }

    /// Those that the last change left without a message.
    fn forget_targets(&mut self) {
        while let Some(target) = self.states.pop_unused() {
            self.targets.forget(target);
        }
    }

    fn change_target(
        &mut self,
        id: NotificationId,
        target: &Target,
        change: impl FnOnce(&mut states::Progress),
    ) {
        let Some(number) = self.targets.find(target) else {
            return;
        };
        self.change_state(id, |state| {
            if let Some(progress) = state.find_mut(number) {
                change(progress);
            }
        });
    }

    /// The body of message `order` is not there any more but here. If it is not
    /// there, nothing changes.
    pub(crate) fn move_from(&mut self, order: u64, from: Whereabouts, to: Whereabouts) {
        let entry = self.messages.get(order);
        if entry.is_some_and(|entry| entry.at == from) {
            self.move_to(order, to);
        }
    }

    fn move_to(&mut self, order: u64, at: Whereabouts) {
        if let Some(entry) = self.messages.get(order) {
            self.messages.set_at(order, at);
            self.count_live(entry.at, entry.body_len, -1);
            self.count_live(at, entry.body_len, 1);
        }
    }

    fn count_live(&mut self, at: Whereabouts, len: usize, by: i64) {
        if let Whereabouts::Stored { segment, .. } = at {
            let (count, bytes) = self.live.entry(segment).or_default();
            *count = count.saturating_add_signed(by as isize);
            *bytes = bytes.saturating_add_signed(by * len as i64);
            if *count == 0 {
                self.live.remove(&segment);
            }
        }
    }

    fn remember(&mut self, id: NotificationId, from: Option<&SiteId>) {
        self.ring(None).push(id);
        if from.is_some() {
            self.ring(from).push(id);
        }
    }

    fn ring(&mut self, peer: Option<&SiteId>) -> &mut Ring {
        let capacity = if peer.is_some() {
            self.peer_ids
        } else {
            self.all_ids
        };
        let is_read = self.ended.is_some();
        let ring = self.rings.entry(peer.cloned());
        ring.or_insert_with(|| match is_read {
            true => Ring::replaying(capacity),
            false => Ring::new(capacity),
        })
    }

    fn state(&self, id: NotificationId) -> Option<&State> {
        Some(self.states.get(self.entry(id)?.state))
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.next_order
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn held(&self) -> usize {
        self.states.held()
    }

    /// Whether this message is held; none if it is not open.
    pub(crate) fn is_held(&self, id: NotificationId) -> Option<bool> {
        Some(self.state(id)?.held)
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn knows(&self, id: NotificationId) -> Option<Known> {
        if self.messages.order(&id).is_some() {
            return Some(Known::Open);
        }
        let remembered = self.rings.values().any(|ring| ring.contains(id));
        remembered.then_some(Known::Ended)
    }

    pub(crate) fn order(&self, id: NotificationId) -> Option<u64> {
        self.messages.order(&id)
    }

    pub(crate) fn entry(&self, id: NotificationId) -> Option<Entry> {
        self.messages.get(self.messages.order(&id)?)
    }

    /// All, in the order of acceptance.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, Entry)> + '_ {
        self.messages.from(0)
    }

    /// Those of this order and higher ones, in the order of acceptance.
    pub(crate) fn entries_from(&self, order: u64) -> impl Iterator<Item = (u64, Entry)> + '_ {
        self.messages.from(order)
    }

    pub(crate) fn message(&self, order: u64) -> Option<Message> {
        let entry = self.messages.get(order)?;
        let state = self.states.get(entry.state);
        let targets = state.targets.iter().map(|progress| TargetState {
            target: self.targets.get(progress.target).clone(),
            attempts: progress.attempts,
            end: progress.end,
        });
        Some(Message {
            id: entry.id,
            order,
            accepted: entry.accepted,
            from: state.from.map(|peer| self.peers[peer as usize].clone()),
            body_len: entry.body_len,
            label: label_of(&entry, state),
            held: state.held,
            targets: targets.collect(),
        })
    }

    /// Gives an open message a label that was read from its body.
    pub(crate) fn set_label(&mut self, id: NotificationId, label: Label) {
        self.change_state(id, |state| state.is_labelled = true);
        if let Some(order) = self.messages.order(&id) {
            self.messages.set_about(order, label.about);
        }
    }

    pub(crate) fn label(&self, order: u64) -> Option<Label> {
        let entry = self.messages.get(order)?;
        label_of(&entry, self.states.get(entry.state))
    }

    /// How one target of an open message stands: the end, if it has one.
    pub(crate) fn end_at(&self, id: NotificationId, target: &Target) -> Option<Option<End>> {
        let number = self.targets.find(target)?;
        Some(self.state(id)?.find(number)?.end)
    }

    /// The durable ones that some of these targets still need, from this place in
    /// the order on; none behind the first that is not durable yet. Those held
    /// are left out.
    pub(crate) fn waiting_from(
        &self,
        order: u64,
        targets: &[Target],
    ) -> impl Iterator<Item = (u64, Entry)> + '_ {
        let numbers = self.numbers(targets);
        let is_durable = |entry: &Entry| matches!(entry.at, Whereabouts::Stored { .. });
        let durable = self
            .entries_from(order)
            .take_while(move |(_, entry)| is_durable(entry));
        // Neighbours have the same state most of the time.
        let mut last = (u32::MAX, false);
        durable.filter(move |(_, entry)| {
            let number = entry.state;
            if last.0 != number {
                let mut waits_at = self.states.get(number).waits_at();
                last = (number, waits_at.any(|target| numbers.contains(&target)));
            }
            last.1
        })
    }

    /// How many messages some of these targets still need, but for those held.
    pub(crate) fn waiting_at_any(&self, targets: &[Target]) -> u64 {
        match self.numbers(targets)[..] {
            [] => 0,
            [target] => self.states.waiting(target),
            ref several => self.states.waiting_at_any(several),
        }
    }

    /// The numbers of those of these targets that have one.
    fn numbers(&self, targets: &[Target]) -> Vec<u32> {
        let numbers = targets
            .iter()
            .filter_map(|target| self.targets.find(target));
        numbers.collect()
    }

    /// How many messages a target still needs, but for those held: each once for
    /// every job of a lane.
    pub(crate) fn waiting_for(&self, target: &Target) -> u64 {
        let meant = self.targets.meant_by(target);
        meant.map(|number| self.states.waiting(number)).sum()
    }

    /// The gravest end of a message that is settled at all its targets.
    pub(crate) fn settled_everywhere(&self, id: NotificationId) -> Option<End> {
        self.state(id)?.settled()
    }

    /// All that are, and their ends.
    pub(crate) fn settled(&self) -> impl Iterator<Item = (NotificationId, End)> + '_ {
        self.entries()
            .filter_map(|(_, entry)| Some((entry.id, self.states.get(entry.state).settled()?)))
    }

    /// How many open messages have their body in a segment.
    pub(crate) fn live_count(&self, segment: u32) -> usize {
        self.live.get(&segment).map_or(0, |(count, _)| *count)
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.live.values().map(|(_, bytes)| bytes).sum()
    }

    pub(crate) fn remembered(&self, peer: &SiteId) -> impl Iterator<Item = NotificationId> + '_ {
        let ring = self.rings.get(&Some(peer.clone()));
        ring.into_iter().flat_map(Ring::iter)
    }

    /// The ids remembered that are `durable`, of each peer and of all.
    pub(crate) fn checkpoints(&self, durable: impl Fn(&NotificationId) -> bool) -> Vec<Draft> {
        let rings = self.rings.iter();
        let drafts = rings.map(|(peer, ring)| {
            let mut ids = ring.iter().filter(&durable);
            let head = checkpoint_head(peer.as_ref(), ids.clone().count());
            Draft::in_parts(CHECKPOINT, head, |part| {
                if let Some(id) = ids.next() {
                    part.extend_from_slice(id.as_bytes());
                }
            })
        });
        drafts.collect()
    }

    /// How far an open message has come, to go with a copy of its body.
    pub(crate) fn standing(&self, order: u64) -> Standing {
        let Some(message) = self.message(order) else {
            return Standing::default();
        };
        let targets = message.targets.into_iter();
        Standing {
            targets: targets.map(|t| (t.target, t.attempts, t.end)).collect(),
            held: message.held,
            notes: self.notes.all(message.id).to_vec(),
        }
    }

    /// What the next attempt at a target has to know.
    pub(crate) fn noted(&self, id: NotificationId, target: &Target) -> Option<&[u8]> {
        let mut notes = self.notes.all(id).iter();
        let (_, note) = notes.find(|(known, _)| known == target)?;
        (!note.detail.is_empty()).then_some(&*note.detail)
    }

    /// Attempts of open messages that have begun, and whose end is not recorded.
    pub(crate) fn running(&self) -> impl Iterator<Item = (NotificationId, &Target)> {
        self.notes.running()
    }
}

fn label_of(entry: &Entry, state: &State) -> Option<Label> {
    let about = entry.about;
    state.is_labelled.then_some(Label { about })
}

fn number_of<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) -> u32 {
    let known = list.iter().position(|other| other == item);
    let number = known.unwrap_or_else(|| {
        list.push(item.clone());
        list.len() - 1
    });
    number as u32
}
