//! What is known of each message, in memory: enough to say what is to be done
//! with it, and where its body is. Built by the same function from the records
//! of the journal and from those about to be written.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use objects::{NotificationId, SiteId, UnixTime};

use crate::Totals;
use crate::journal::{Options, Place};
use crate::queue::Known;
use crate::record::{End, Event, Record, Standing, Target};

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

/// Where the record that holds a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the journal.
    Stored(Place),
    /// Still to be committed: the draft that was made as number this.
    Pending(u64),
}

pub(crate) struct Entry {
    pub(crate) id: NotificationId,
    pub(crate) accepted: UnixTime,
    pub(crate) at: Whereabouts,
    body_len: u32,
    from: Option<u32>,
    pub(crate) held: bool,
    targets: Vec<Progress>,
}

struct Progress {
    target: u32,
    attempts: u32,
    end: Option<End>,
}

/// All messages and all remembered ids.
pub(crate) struct Index {
    messages: BTreeMap<u64, Entry>,
    orders: HashMap<NotificationId, u64>,
    /// Targets and peers are few and long-lived: entries name them by number.
    targets: Vec<Target>,
    peers: Vec<SiteId>,
    rings: BTreeMap<Option<SiteId>, Ring>,
    next_order: u64,
    totals: Totals,
    /// How many messages are held.
    held: usize,
    /// The next order of acceptance when the totals were recorded last; 0 if they
    /// never were. A journal of an early release has none: then what is found is
    /// counted.
    counted_to: u64,
    /// Orders of messages that have ended, while the journal is being read: a
    /// group that was written twice must not open them again.
    ended: Option<HashSet<u64>>,
    /// While the journal is being read: ids of what has ended since the totals.
    ended_since: HashSet<NotificationId>,
    peer_ids: usize,
    all_ids: usize,
    /// Per segment: how many open messages have their body there, in how many bytes.
    live: HashMap<u32, (usize, u64)>,
}

impl Index {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            messages: BTreeMap::new(),
            orders: HashMap::new(),
            targets: Vec::new(),
            peers: Vec::new(),
            rings: BTreeMap::new(),
            next_order: 1,
            totals: Totals::default(),
            held: 0,
            counted_to: 0,
            ended: Some(HashSet::new()),
            ended_since: HashSet::new(),
            peer_ids: options.peer_ids.max(1),
            all_ids: options.all_ids.max(1),
            live: HashMap::new(),
        }
    }

    /// The journal has been read.
    pub(crate) fn finish_replay(&mut self) {
        self.ended = None;
        self.ended_since = HashSet::new();
        // More can be there than was counted only if a damaged place hid the
        // record of an end, or of the totals.
        let found = self.totals.ended_in_all() + self.messages.len() as u64;
        let uncounted = found.saturating_sub(self.totals.accepted());
        self.totals.submitted += uncounted;
    }

    /// Applies a record that is in the journal, or is going to be.
    pub(crate) fn apply(&mut self, record: &Record<'_>, copy: bool, at: Whereabouts) {
        match record {
            Record::Message { id, time, event } => {
                // A copy is no new acceptance: the ids of those that were removed
                // are in the checkpoint.
                if let (Event::Accepted { from, .. }, false) = (event, copy) {
                    self.remember(*id, from.as_ref());
                }
                self.apply_event(*id, *time, event, copy, at);
            }
            Record::Checkpoint { peer, ids } => {
                let ring = self.ring(peer.as_ref());
                ring.clear();
                ids.iter().for_each(|id| ring.push(*id));
            }
            // Only a release that does not know what they are copies them.
            Record::Totals { .. } if copy => {}
            // What could not be read then is not in them, but is counted now.
            Record::Totals { partial: true, .. } if self.counted_to > 0 => {}
            Record::Totals {
                totals, next_order, ..
            } => {
                self.totals = *totals;
                self.counted_to = *next_order;
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
        copy: bool,
        at: Whereabouts,
    ) {
        match event {
            Event::Accepted {
                order,
                from,
                standing,
                body,
            } => {
                let is_new = self.apply_accepted(id, time, (*order, from.as_ref(), body.len()), at);
                // A copy's original is in the totals.
                if is_new && !(copy && self.counted_to > 0) {
                    self.totals.add_accepted(from.is_some());
                }
                if copy {
                    self.set_held(id, standing.held);
                }
                for (target, attempts, end) in &standing.targets {
                    let number = self.target_number(target);
                    if let Some(entry) = self.entry_mut(id) {
                        let progress = entry.add_target(number);
                        progress.attempts = progress.attempts.max(*attempts);
                        progress.end = progress.end.or(*end);
                    }
                }
            }
            Event::Assigned { targets } => {
                for target in targets {
                    let number = self.target_number(target);
                    if let Some(entry) = self.entry_mut(id) {
                        entry.add_target(number);
                    }
                }
            }
            Event::Attempt { target, number } => {
                if let Some(progress) = self.progress_mut(id, target) {
                    progress.attempts = progress.attempts.max(*number);
                }
            }
            Event::Settled { target, end, .. } => {
                if let Some(progress) = self.progress_mut(id, target) {
                    progress.end.get_or_insert(*end);
                }
            }
            Event::Ended { end, order, .. } => self.remove(id, *order, *end),
            Event::Held { .. } => self.set_held(id, true),
            Event::Released { .. } => self.set_held(id, false),
            Event::Result { .. }
            | Event::RetryAsked { .. }
            | Event::Standing(_)
            | Event::Unknown { .. } => {}
        }
    }

    /// Whether it was not there before.
    fn apply_accepted(
        &mut self,
        id: NotificationId,
        time: UnixTime,
        (order, from, body_len): (u64, Option<&SiteId>, usize),
        at: Whereabouts,
    ) -> bool {
        self.next_order = self.next_order.max(order.saturating_add(1));
        if self
            .ended
            .as_ref()
            .is_some_and(|ended| ended.contains(&order))
        {
            return false;
        }
        if let Some(order) = self.orders.get(&id).copied() {
            self.move_to(order, at);
            return false;
        }
        let from = from.map(|from| number_of(&mut self.peers, from));
        let entry = Entry {
            id,
            accepted: time,
            at,
            body_len: body_len as u32,
            from,
            held: false,
            targets: Vec::new(),
        };
        self.count_live(at, body_len as u32, 1);
        self.orders.insert(id, order);
        self.messages.insert(order, entry);
        true
    }

    fn set_held(&mut self, id: NotificationId, held: bool) {
        if let Some(entry) = self.entry_mut(id)
            && entry.held != held
        {
            entry.held = held;
            self.held = self.held.saturating_add_signed(if held { 1 } else { -1 });
        }
    }

    fn remove(&mut self, id: NotificationId, order: u64, end: End) {
        // The segment of the acceptance may have gone when the one of this record
        // was started; then the totals say that the message was open.
        let was_counted = (1..self.counted_to).contains(&order);
        let order = self.orders.remove(&id);
        let is_news = self.ended.is_none() || self.ended_since.insert(id);
        if order.is_some() || (was_counted && is_news) {
            self.totals.add_ended(end, 1);
        }
        if let Some(order) = order {
            if let Some(ended) = &mut self.ended {
                ended.insert(order);
            }
            if let Some(entry) = self.messages.remove(&order) {
                self.held -= usize::from(entry.held);
                self.count_live(entry.at, entry.body_len, -1);
            }
        }
    }

    /// The body of message `order` is not there any more but here. If it is not
    /// there, nothing changes.
    pub(crate) fn move_from(&mut self, order: u64, from: Whereabouts, to: Whereabouts) {
        let entry = self.messages.get(&order);
        if entry.is_some_and(|entry| entry.at == from) {
            self.move_to(order, to);
        }
    }

    fn move_to(&mut self, order: u64, at: Whereabouts) {
        if let Some(entry) = self.messages.get_mut(&order) {
            let (before, len) = (std::mem::replace(&mut entry.at, at), entry.body_len);
            self.count_live(before, len, -1);
            self.count_live(at, len, 1);
        }
    }

    fn count_live(&mut self, at: Whereabouts, len: u32, by: i64) {
        if let Whereabouts::Stored(place) = at {
            let (count, bytes) = self.live.entry(place.segment).or_default();
            *count = count.saturating_add_signed(by as isize);
            *bytes = bytes.saturating_add_signed(by * i64::from(len));
            if *count == 0 {
                self.live.remove(&place.segment);
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
        let ring = self.rings.entry(peer.cloned());
        ring.or_insert_with(|| Ring::new(capacity))
    }

    fn target_number(&mut self, target: &Target) -> u32 {
        number_of(&mut self.targets, target)
    }

    fn entry_mut(&mut self, id: NotificationId) -> Option<&mut Entry> {
        self.messages.get_mut(self.orders.get(&id)?)
    }

    fn progress_mut(&mut self, id: NotificationId, target: &Target) -> Option<&mut Progress> {
        let number = self.targets.iter().position(|t| t == target)? as u32;
        let entry = self.entry_mut(id)?;
        entry.targets.iter_mut().find(|p| p.target == number)
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.next_order
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn knows(&self, id: NotificationId) -> Option<Known> {
        if self.orders.contains_key(&id) {
            return Some(Known::Open);
        }
        let remembered = self.rings.values().any(|ring| ring.contains(id));
        remembered.then_some(Known::Ended)
    }

    pub(crate) fn order(&self, id: NotificationId) -> Option<u64> {
        self.orders.get(&id).copied()
    }

    pub(crate) fn entry(&self, id: NotificationId) -> Option<&Entry> {
        self.messages.get(self.orders.get(&id)?)
    }

    /// In the order of acceptance.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> + '_ {
        self.messages.iter().map(|(order, entry)| (*order, entry))
    }

    pub(crate) fn message(&self, order: u64) -> Option<Message> {
        let entry = self.messages.get(&order)?;
        let targets = entry.targets.iter().map(|progress| TargetState {
            target: self.targets[progress.target as usize].clone(),
            attempts: progress.attempts,
            end: progress.end,
        });
        Some(Message {
            id: entry.id,
            order,
            accepted: entry.accepted,
            from: entry.from.map(|peer| self.peers[peer as usize].clone()),
            body_len: entry.body_len as usize,
            held: entry.held,
            targets: targets.collect(),
        })
    }

    /// How one target of an open message stands: the end, if it has one.
    pub(crate) fn end_at(&self, id: NotificationId, target: &Target) -> Option<Option<End>> {
        let number = self.targets.iter().position(|t| t == target)?;
        let entry = self.entry(id)?;
        let progress = entry.targets.iter().find(|p| p.target as usize == number)?;
        Some(progress.end)
    }

    /// The gravest end of a message that is settled at all its targets.
    pub(crate) fn settled_everywhere(&self, id: NotificationId) -> Option<End> {
        let ends = self.entry(id)?.targets.iter().map(|progress| progress.end);
        ends.reduce(|a, b| Some(a?.graver(b?)))?
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
        ring.into_iter().flat_map(|ring| ring.ids.iter().copied())
    }

    /// The ids remembered that are `durable`, as records.
    pub(crate) fn checkpoints(
        &self,
        durable: impl Fn(&NotificationId) -> bool,
    ) -> Vec<Record<'static>> {
        let rings = self.rings.iter().map(|(peer, ring)| Record::Checkpoint {
            peer: peer.clone(),
            ids: ring.ids.iter().copied().filter(&durable).collect(),
        });
        rings.collect()
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
        }
    }
}

impl Entry {
    fn add_target(&mut self, number: u32) -> &mut Progress {
        let known = self.targets.iter().position(|p| p.target == number);
        let at = known.unwrap_or_else(|| {
            self.targets.push(Progress {
                target: number,
                attempts: 0,
                end: None,
            });
            self.targets.len() - 1
        });
        &mut self.targets[at]
    }
}

fn number_of<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) -> u32 {
    let known = list.iter().position(|other| other == item);
    let number = known.unwrap_or_else(|| {
        list.push(item.clone());
        list.len() - 1
    });
    number as u32
}

/// The last ids accepted, a bounded number.
struct Ring {
    ids: VecDeque<NotificationId>,
    set: HashSet<NotificationId>,
    capacity: usize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self {
            ids: VecDeque::new(),
            set: HashSet::new(),
            capacity,
        }
    }

    fn push(&mut self, id: NotificationId) {
        if !self.set.insert(id) {
            return;
        }
        self.ids.push_back(id);
        while self.ids.len() > self.capacity {
            if let Some(oldest) = self.ids.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }

    fn contains(&self, id: NotificationId) -> bool {
        self.set.contains(&id)
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.set.clear();
    }
}
