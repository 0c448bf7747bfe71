//! One round of collecting: every collector is asked, and none of them can keep
//! the others waiting.
//!
//! Collectors stand in lanes. A lane is a thread that asks one after the other.
//! One that does not answer by its deadline keeps its thread, and another
//! thread goes on with those behind it; it is not asked again before it has
//! answered, so that never more threads hang than there are collectors. Until
//! then the document has its last good value, and says how old that is.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agent::Document;

use super::part::{Collector, Finding, Key};

/// A last good value is shown for as many intervals, as long as the whole
/// document would be believed.
const KEPT_INTERVALS: u32 = 3;

/// Enough for all that collectors do.
const STACK: usize = 1 << 20;

/// All collectors, and where they are.
pub(crate) struct Round {
    slots: Vec<Slot>,
    interval: Duration,
    answers: Receiver<Answer>,
    /// Cloned for every thread.
    answer: Sender<Answer>,
}

/// Collectors with the same number are asked by the same thread.
pub(crate) type LaneNumber = usize;

struct Slot {
    key: Key,
    lane: LaneNumber,
    deadline: Duration,
    place: Place,
    /// When its last good value was found.
    good: Option<Instant>,
    /// How long its last answer took, and how often there was none that is good.
    took: Duration,
    failures: u64,
}

/// How one collector does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) key: &'static str,
    pub(crate) took: Duration,
    pub(crate) failures: u64,
}

enum Place {
    Here(Box<dyn Collector>),
    /// With a thread, since then.
    Away(Instant),
}

struct Answer {
    slot: usize,
    collector: Box<dyn Collector>,
    result: Result<Finding, String>,
    took: Duration,
}

/// Collectors that wait for their turn in a lane.
type Queue = Arc<Mutex<VecDeque<(usize, Box<dyn Collector>)>>>;

/// A lane while a round runs.
struct Lane {
    queue: Queue,
    /// Told to the thread that it has been left behind.
    is_left: Arc<AtomicBool>,
    /// Who has been asked, in turn; the first one is being asked.
    asked: VecDeque<usize>,
    since: Instant,
}

impl Round {
    pub(crate) fn new(interval: Duration) -> Self {
        let (answer, answers) = mpsc::channel();
        Self {
            slots: Vec::new(),
            interval,
            answers,
            answer,
        }
    }

    /// `deadline` is cut to what the interval allows.
    pub(crate) fn add(
        &mut self,
        key: Key,
        lane: LaneNumber,
        deadline: Duration,
        collector: Box<dyn Collector>,
    ) {
        self.slots.push(Slot {
            key,
            lane,
            deadline: deadline.min(self.interval * 3 / 4),
            place: Place::Here(collector),
            good: None,
            took: Duration::ZERO,
            failures: 0,
        });
    }

    /// Asks all of them and puts what they found into a document. `earlier` is
    /// the one of the round before.
    pub(crate) fn collect(&mut self, earlier: &Document) -> Document {
        self.ask(|_| true, earlier)
    }

    /// Asks only those with these keys, so that they have counted once.
    pub(crate) fn prime(&mut self, keys: &[Key]) {
        self.ask(|key| keys.contains(&key), &Document::default());
    }

    /// How each of them has done.
    pub(crate) fn efforts(&self) -> Vec<Effort> {
        let effort = |slot: &Slot| Effort {
            key: slot.key.name(),
            took: slot.took,
            failures: slot.failures,
        };
        self.slots.iter().map(effort).collect()
    }

    fn ask(&mut self, is_asked: impl Fn(Key) -> bool, earlier: &Document) -> Document {
        let mut document = Document::default();
        // Those who came back late are here for this round.
        while let Ok(answer) = self.answers.try_recv() {
            self.slots[answer.slot].place = Place::Here(answer.collector);
        }
        let mut lanes = self.fill_lanes(is_asked, &mut document, earlier);
        for lane in &mut lanes {
            self.start(lane, &mut document);
        }
        while let Some((deadline, number)) = self.next_deadline(&lanes) {
            let patience = deadline.saturating_duration_since(Instant::now());
            let Ok(answer) = self.answers.recv_timeout(patience) else {
                self.leave(&mut lanes[number], &mut document, earlier);
                continue;
            };
            if let Some(lane) = lanes.iter_mut().find(|lane| lane.asks(answer.slot)) {
                lane.asked.pop_front();
                lane.since = Instant::now();
            }
            self.take(answer, &mut document);
        }
        document
    }

    /// Every collector that is here into its lane.
    fn fill_lanes(
        &mut self,
        is_asked: impl Fn(Key) -> bool,
        document: &mut Document,
        earlier: &Document,
    ) -> Vec<Lane> {
        let count = self.slots.iter().map(|slot| slot.lane + 1).max();
        let mut lanes = Vec::new();
        lanes.resize_with(count.unwrap_or(0), Lane::default);
        let now = Instant::now();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if !is_asked(slot.key) {
                continue;
            }
            match std::mem::replace(&mut slot.place, Place::Away(now)) {
                Place::Here(collector) => {
                    let lane: &mut Lane = &mut lanes[slot.lane];
                    lane.asked.push_back(number);
                    lock(&lane.queue).push_back((number, collector));
                }
                away => {
                    slot.place = away;
                    slot.miss(self.interval, document, earlier);
                }
            }
        }
        lanes
    }

    /// A thread for those who wait in the lane.
    fn start(&mut self, lane: &mut Lane, document: &mut Document) {
        if lane.asked.is_empty() {
            return;
        }
        lane.is_left = Arc::default();
        lane.since = Instant::now();
        let (queue, is_left) = (Arc::clone(&lane.queue), Arc::clone(&lane.is_left));
        let answer = self.answer.clone();
        let spawned = thread::Builder::new()
            .name("collect".to_owned())
            .stack_size(STACK)
            .spawn(move || work(&queue, &is_left, &answer));
        if let Err(error) = spawned {
            lane.asked.clear();
            for (number, collector) in lock(&lane.queue).drain(..) {
                let slot = &mut self.slots[number];
                slot.place = Place::Here(collector);
                slot.key
                    .fail(document, format!("cannot start a thread: {error}"));
            }
        }
    }

    fn next_deadline(&self, lanes: &[Lane]) -> Option<(Instant, usize)> {
        let deadlines = lanes.iter().enumerate().filter_map(|(number, lane)| {
            let deadline = self.slots[*lane.asked.front()?].deadline;
            Some((lane.since + deadline, number))
        });
        deadlines.min()
    }

    /// Goes on without the collector that the lane waits for.
    fn leave(&mut self, lane: &mut Lane, document: &mut Document, earlier: &Document) {
        lane.is_left.store(true, Ordering::Release);
        if let Some(number) = lane.asked.pop_front() {
            self.slots[number].miss(self.interval, document, earlier);
        }
        self.start(lane, document);
    }

    fn take(&mut self, answer: Answer, document: &mut Document) {
        let slot = &mut self.slots[answer.slot];
        slot.place = Place::Here(answer.collector);
        slot.took = answer.took;
        let key = slot.key;
        // If it comes too late, but before the others are done, this was a lie.
        document.errors.remove(key.name());
        match answer.result {
            Ok(Finding { part, note }) => {
                slot.good = Some(Instant::now());
                part.put(document);
                if let Some(note) = note {
                    document.errors.insert(key.name().to_owned(), note);
                }
            }
            Err(why) => {
                slot.failures += 1;
                key.fail(document, why);
            }
        }
    }
}

impl Slot {
    /// It has not answered: its last good value is shown, if it can still be
    /// believed.
    fn miss(&mut self, interval: Duration, document: &mut Document, earlier: &Document) {
        let Place::Away(since) = self.place else {
            return;
        };
        self.failures += 1;
        let waited = since.elapsed().as_secs();
        let age = self.good.map(|good| good.elapsed());
        match age {
            Some(age) if age < interval * KEPT_INTERVALS && self.key.is_done(earlier) => {
                self.key.keep(document, earlier);
                document.errors.insert(
                    self.key.name().to_owned(),
                    format!(
                        "no answer for {waited} s: what is shown is {} s old",
                        age.as_secs()
                    ),
                );
            }
            _ => self.key.fail(document, format!("no answer for {waited} s")),
        }
    }
}

impl Lane {
    fn asks(&self, slot: usize) -> bool {
        self.asked.front() == Some(&slot)
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            is_left: Arc::default(),
            asked: VecDeque::new(),
            since: Instant::now(),
        }
    }
}

/// What a lane's thread does. Nobody listens any more when the program ends.
fn work(queue: &Queue, is_left: &AtomicBool, answer: &Sender<Answer>) {
    while !is_left.load(Ordering::Acquire) {
        // Not held while the collector works.
        let next = lock(queue).pop_front();
        let Some((slot, mut collector)) = next else {
            return;
        };
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| collector.collect()))
            .unwrap_or_else(|panic| Err(words_of(panic.as_ref())));
        let sent = answer.send(Answer {
            slot,
            collector,
            result,
            took: started.elapsed(),
        });
        if sent.is_err() {
            return;
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("failed: {}", words.unwrap_or("a panic without words"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use agent::Checked;
    use agent::document::{Disk, Memory, Swap};

    use super::super::part::Part;
    use super::*;

    /// Does what the test says at each call.
    struct Told<F>(F);

    impl<F: FnMut() -> Result<Finding, String> + Send> Collector for Told<F> {
        fn collect(&mut self) -> Result<Finding, String> {
            (self.0)()
        }
    }

    fn told(f: impl FnMut() -> Result<Finding, String> + Send + 'static) -> Box<dyn Collector> {
        Box::new(Told(f))
    }

    fn swap() -> Result<Finding, String> {
        Ok(Part::Swap(Swap::default()).into())
    }

    fn memory(free: u64) -> Finding {
        let memory = Memory {
            free,
            ..Memory::default()
        };
        Part::Memory(memory).into()
    }

    const SHORT: Duration = Duration::from_millis(40);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn failures_and_panics_harm_only_their_own_key() {
        let mut round = Round::new(LONG);
        round.add(Key::Memory, 0, LONG, told(|| Err("no".to_owned())));
        round.add(Key::Disks, 0, LONG, told(|| panic!("broken")));
        round.add(Key::Swap, 0, LONG, told(swap));
        for _ in 0..2 {
            let document = round.collect(&Document::default());
            assert_eq!(document.memory, Checked::Failed("no".to_owned()));
            assert_eq!(document.disks, Checked::Done(Vec::<Disk>::new()));
            assert_eq!(document.errors["disks"], "failed: broken");
            assert!(document.swap.done().is_some());
            assert_eq!(document.cpu, Checked::Absent);
        }
    }

    #[test]
    fn who_hangs_keeps_his_last_good_value_and_holds_up_nobody() {
        let (release, gate) = mpsc::channel::<()>();
        let mut calls = 0;
        let mut round = Round::new(LONG);
        let hangs = told(move || {
            calls += 1;
            if calls == 2 {
                gate.recv().unwrap();
            }
            Ok(memory(calls))
        });
        round.add(Key::Memory, 0, SHORT, hangs);
        round.add(Key::Swap, 0, LONG, told(swap));
        let free = |document: &Document| document.memory.done().unwrap().free;

        let first = round.collect(&Document::default());
        assert_eq!(free(&first), 1);
        assert!(first.errors.is_empty());
        // It hangs, and is not asked again as long as it does.
        let mut earlier = first;
        for _ in 0..3 {
            let document = round.collect(&earlier);
            assert_eq!(free(&document), 1);
            assert!(document.errors["memory"].starts_with("no answer for"));
            assert!(document.swap.done().is_some());
            earlier = document;
        }
        release.send(()).unwrap();
        let deadline = Instant::now() + LONG;
        loop {
            let document = round.collect(&earlier);
            if document.errors.is_empty() {
                assert!(free(&document) >= 2);
                return;
            }
            assert!(Instant::now() < deadline, "{:?}", document.errors);
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_old_value_is_not_shown_for_ever() {
        let (_release, gate) = mpsc::channel::<()>();
        let mut round = Round::new(SHORT);
        let mut calls = 0;
        let hangs = told(move || {
            calls += 1;
            if calls == 2 {
                let _ = gate.recv();
            }
            Ok(memory(calls))
        });
        round.add(Key::Memory, 0, LONG, hangs);
        let mut earlier = round.collect(&Document::default());
        let deadline = Instant::now() + LONG;
        loop {
            let document = round.collect(&earlier);
            if let Checked::Failed(why) = &document.memory {
                assert!(why.starts_with("no answer for"), "{why}");
                return;
            }
            assert!(Instant::now() < deadline);
            earlier = document;
            thread::sleep(Duration::from_millis(5));
        }
    }
}
