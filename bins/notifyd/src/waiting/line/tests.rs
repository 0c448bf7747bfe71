//! A test for each rule of a line, with a clock of its own.

use std::collections::BTreeMap;

use spool::Target;

use super::*;
use crate::config::{Bulk, Late, Limit, Storm, WhatIfLate};

mod together;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A line, its clock, and what has become of everything.
struct Bench {
    line: Line,
    now: Instant,
    works: BTreeMap<u64, Vec<u16>>,
}

fn id(n: u16) -> NotificationId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn number(id: NotificationId) -> u16 {
    u16::from_be_bytes([id.as_bytes()[0], id.as_bytes()[1]])
}

fn aim(contact: &str) -> Arc<Aim> {
    Arc::new(Aim {
        target: Target::Lane("l".to_owned()),
        recipients: contact.as_bytes().into(),
        contacts: vec![contact.to_owned()],
        told: Arc::default(),
    })
}

fn flow(change: impl FnOnce(&mut Flow)) -> Flow {
    let mut flow = Flow::plain(1);
    change(&mut flow);
    flow
}

fn bulk(count: usize) -> Flow {
    flow(|flow| {
        flow.bulk = Some(Bulk {
            by: Vec::new(),
            interval: MINUTE,
            count,
        });
    })
}

fn storm(count: u32, within: Duration) -> Flow {
    flow(|flow| {
        flow.places = 2;
        flow.storm = Some(Storm {
            at_most: vec![Limit { count, within }],
            interval: None,
        });
    })
}

fn late(what: WhatIfLate) -> Flow {
    flow(|flow| {
        flow.late = Some(Late {
            after: 30 * MINUTE,
            what,
        });
    })
}

impl Bench {
    fn new(flow: Flow) -> Self {
        Self {
            line: Line::new(flow),
            now: Instant::now(),
            works: BTreeMap::new(),
        }
    }

    fn new_of(&self, n: u16, object: &str) -> New {
        New {
            id: id(n),
            aim: aim("ann"),
            stream: Object::named([object.as_bytes()]),
            matter: Matter::Other,
            size: 1000,
            attempts: 0,
            accepted: self.now,
            expires: self.now + 24 * HOUR,
            happened: self.now,
        }
    }

    fn push(&mut self, n: u16, object: &str) {
        self.push_with(n, object, |_| ());
    }

    fn push_with(&mut self, n: u16, object: &str, change: impl FnOnce(&mut New)) {
        let mut new = self.new_of(n, object);
        change(&mut new);
        self.line.push(new, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// `1`, `1+2 Bulk`, `-3` for expired, `~4` for too late; empty for nothing.
    fn take(&mut self) -> String {
        let numbers = |tickets: &[Ticket]| -> Vec<u16> {
            tickets.iter().map(|ticket| number(ticket.id)).collect()
        };
        match self.line.take(self.now) {
            None => String::new(),
            Some(Turn::Expired(ticket)) => format!("-{}", number(ticket.id)),
            Some(Turn::TooLate(ticket)) => format!("~{}", number(ticket.id)),
            Some(Turn::Try { work, tickets, why }) => {
                let all = numbers(&tickets);
                let texts: Vec<String> = all.iter().map(u16::to_string).collect();
                self.works.insert(work, all);
                match why {
                    Some(why) => format!("{} {why:?}", texts.join("+")),
                    None => texts.join("+"),
                }
            }
        }
    }

    fn take_all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.take()).filter(|turn| !turn.is_empty())).collect()
    }

    /// The work that `n` is in ends so.
    fn end(&mut self, n: u16, verdict: Verdict) -> Finished {
        self.end_after(n, verdict, None)
    }

    fn end_after(&mut self, n: u16, verdict: Verdict, after: Option<Duration>) -> Finished {
        let mut works = self.works.iter();
        let (work, _) = works.find(|(_, all)| all.contains(&n)).unwrap();
        let work = *work;
        self.works.remove(&work);
        let outcome = Outcome {
            retry_after: after,
            ..Outcome::new(verdict, "")
        };
        let finished = self.line.finish(work, &outcome, self.now, |_| true);
        finished.unwrap()
    }

    fn deliver(&mut self, n: u16) {
        self.end(n, Verdict::Delivered);
    }

    fn fail(&mut self, n: u16) -> Finished {
        self.end(n, Verdict::Temporary)
    }

    fn counts(&self) -> (u64, u64) {
        let counts = self.line.counts();
        (counts.waiting, counts.working)
    }

    /// Nothing is left anywhere.
    #[track_caller]
    fn check_empty(&self) {
        assert_eq!(self.line.counts(), Counts::default());
        assert!(self.line.streams.is_empty(), "{:?}", self.line.streams);
        assert!(self.line.numbers.is_empty() && self.line.due.is_empty());
        assert!(self.line.works.is_empty());
    }
}

#[test]
fn an_object_keeps_its_order_and_others_overtake() {
    let mut bench = Bench::new(flow(|_| ()));
    for (n, object) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
        bench.push(n, object);
    }
    assert_eq!(bench.take_all(), ["1"], "one at a time");
    let pause = bench.fail(1).pause.unwrap();
    assert_eq!(bench.take_all(), ["3"], "b overtakes");
    bench.deliver(3);
    assert_eq!(bench.take(), "", "a's younger ones wait");
    assert_eq!(bench.line.next_due(), Some(bench.now + pause));
    assert_eq!(bench.line.deferred().count(), 1);
    bench.pass(pause);
    assert_eq!(bench.take(), "1");
    bench.deliver(1);
    for n in [2, 4] {
        assert_eq!(bench.take_all(), [n.to_string()]);
        bench.deliver(n);
    }
    bench.check_empty();
}

#[test]
fn so_many_at_once_as_there_are_places() {
    let mut bench = Bench::new(flow(|flow| flow.places = 3));
    for (n, object) in [(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "d")] {
        bench.push(n, object);
    }
    assert_eq!(bench.take_all(), ["1", "3", "4"], "2 waits for 1");
    assert_eq!(bench.line.next_due(), Some(bench.now + 24 * HOUR));
    assert_eq!(bench.counts(), (2, 3));
    bench.deliver(3);
    assert_eq!(bench.take_all(), ["5"]);
    bench.fail(1);
    assert_eq!(bench.take(), "", "2 waits while 1 waits");
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["1"]);
    for n in [1, 4, 5] {
        bench.deliver(n);
    }
    assert_eq!(bench.take_all(), ["2"]);
    bench.deliver(2);
    bench.check_empty();
}

#[test]
fn with_fewer_places_than_before_what_runs_goes_on() {
    let mut bench = Bench::new(flow(|flow| flow.places = 2));
    for (n, object) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.push(n, object);
    }
    assert_eq!(bench.take_all(), ["1", "2"]);
    bench.line.change(flow(|_| ()), bench.now);
    bench.deliver(1);
    assert_eq!(bench.take(), "");
    bench.deliver(2);
    assert_eq!(bench.take(), "3");
}

#[test]
fn what_is_taken_out_is_not_tried_and_does_not_hold_up_others() {
    let mut bench = Bench::new(flow(|_| ()));
    for (n, object) in [(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c")] {
        bench.push(n, object);
    }
    assert_eq!(bench.take(), "1");
    bench.fail(1);
    assert_eq!(bench.take(), "3");
    let ids = HashSet::from([1, 3, 5, 99].map(id));
    let now = bench.now;
    bench.line.take_out(&ids, |_| false, now);
    assert_eq!(bench.counts(), (4, 1), "it is not meant there");
    bench.line.take_out(&ids, |_| true, now);
    assert_eq!(bench.counts(), (2, 1), "what runs goes on");
    bench.deliver(3);
    assert_eq!(bench.take(), "4");
    bench.deliver(4);
    assert_eq!(bench.take(), "2", "it need not wait for 1");
    bench.deliver(2);
    bench.check_empty();
}

#[test]
fn what_was_taken_out_while_it_ran_is_not_tried_again() {
    let mut bench = Bench::new(flow(|_| ()));
    bench.push(1, "a");
    bench.take();
    let (work, _) = bench.works.pop_first().unwrap();
    let now = bench.now;
    let finished = bench
        .line
        .finish(work, &Outcome::new(Verdict::Temporary, ""), now, |_| false);
    assert!(finished.is_some());
    bench.check_empty();
    bench.push(2, "a");
    bench.take();
    let (work, _) = bench.works.pop_first().unwrap();
    assert!(!bench.line.keep(work, now, |_| false), "nothing is left");
    bench.check_empty();
}

#[test]
fn what_waits_for_its_next_attempt_can_be_hurried() {
    let mut bench = Bench::new(flow(|_| ()));
    for (n, object) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.push(n, object);
        if n < 3 {
            bench.take();
            bench.fail(n);
        }
    }
    let tries = |bench: &Bench| -> Vec<(u16, u32, bool)> {
        let all = bench.line.next_tries(bench.now);
        all.map(|next| (number(next.id), next.attempts, next.pause.is_some()))
            .collect()
    };
    let mut both = tries(&bench);
    both.sort();
    assert_eq!(both, [(1, 1, true), (2, 1, true)], "3 was not tried yet");
    let now = bench.now;
    assert_eq!(bench.line.hurry(Some(&HashSet::from([id(2)])), now), 1);
    assert_eq!(bench.take(), "3");
    bench.deliver(3);
    assert_eq!(bench.take(), "2");
    assert_eq!(tries(&bench), [(2, 2, false), (1, 1, true)]);
    bench.deliver(2);
    assert_eq!(bench.take(), "");
    assert_eq!(bench.line.hurry(None, now), 1);
    assert_eq!(bench.take(), "1");
}

#[test]
fn what_is_expired_is_not_tried() {
    let mut bench = Bench::new(flow(|_| ()));
    let now = bench.now;
    bench.push_with(1, "a", |new| new.expires = now + MINUTE);
    bench.push(2, "a");
    assert_eq!(bench.take(), "1");
    bench.end_after(1, Verdict::Temporary, Some(HOUR));
    assert_eq!(
        bench.line.next_due(),
        Some(now + MINUTE),
        "its end is a turn too"
    );
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["-1", "2"]);
    bench.deliver(2);
    bench.check_empty();
}

#[test]
fn what_waits_expires_even_if_nothing_can_be_tried() {
    for why in ["no place", "paused", "breaker"] {
        let mut bench = Bench::new(flow(|flow| flow.breaker = 1));
        let now = bench.now;
        match why {
            "paused" => bench.line.pause(Some(now + HOUR)),
            _ => {
                bench.push(9, "x");
                bench.take();
            }
        }
        if why == "breaker" {
            bench.end_after(9, Verdict::Temporary, Some(HOUR));
        }
        for (n, object) in [(1, "a"), (2, "a"), (3, "b")] {
            let life = if n == 3 { HOUR } else { MINUTE };
            bench.push_with(n, object, |new| new.expires = now + life);
        }
        assert_eq!(bench.take(), "", "{why}");
        assert_eq!(bench.line.next_due(), Some(now + MINUTE), "{why}");
        bench.pass(MINUTE);
        let mut expired = bench.take_all();
        expired.sort();
        assert_eq!(expired, ["-1", "-2"], "{why}");
    }
}

#[test]
fn a_receiver_that_says_when_is_obeyed_within_bounds() {
    for (after, want) in [
        (SECOND, 24 * SECOND..=30 * SECOND),
        (10 * MINUTE, 10 * MINUTE..=10 * MINUTE),
        (1000 * HOUR, 6 * HOUR..=6 * HOUR),
    ] {
        let mut bench = Bench::new(flow(|_| ()));
        bench.push(1, "a");
        bench.take();
        let pause = bench.end_after(1, Verdict::Temporary, Some(after)).pause;
        assert!(want.contains(&pause.unwrap()), "{after:?}: {pause:?}");
        assert_eq!(bench.line.next_due(), Some(bench.now + pause.unwrap()));
    }
}

#[test]
fn a_lane_that_fails_is_tried_by_one_and_the_others_burn_no_attempts() {
    let mut bench = Bench::new(flow(|flow| flow.places = 4));
    let objects: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for (n, object) in objects.iter().enumerate() {
        bench.push(n as u16, object);
    }
    let mut opened = 0;
    while let turn = bench.take()
        && !turn.is_empty()
    {
        opened += u32::from(bench.fail(turn.parse().unwrap()).breaker == Some(true));
    }
    assert_eq!(opened, 1);
    let attempts = |bench: &Bench| -> u32 {
        let jobs = bench.line.streams.values().flat_map(|stream| &stream.jobs);
        jobs.map(|job| job.attempts).sum()
    };
    assert_eq!(attempts(&bench), 5, "five were needed to open it");
    for probes in 1..10 {
        let due = bench.line.next_due().expect("a probe");
        assert!(due > bench.now);
        bench.now = due;
        let turns = bench.take_all();
        assert_eq!(turns.len(), 1, "{turns:?}");
        bench.fail(turns[0].parse().unwrap());
        assert_eq!(attempts(&bench), 5 + probes);
    }
    bench.now = bench.line.next_due().unwrap();
    let probe: u16 = bench.take().parse().unwrap();
    assert_eq!(bench.end(probe, Verdict::Delivered).breaker, Some(false));
    let turns = bench.take_all();
    assert_eq!(turns.len(), 4, "everybody's turn again: {turns:?}");
}

#[test]
fn what_is_paused_waits_and_goes_on_by_itself() {
    let mut bench = Bench::new(flow(|_| ()));
    let until = bench.now + HOUR;
    bench.line.pause(Some(until));
    bench.push(1, "a");
    assert_eq!(bench.take(), "");
    assert!(bench.line.is_paused(bench.now));
    assert_eq!(bench.line.next_due(), Some(until));
    let next = bench.line.hurry(None, bench.now);
    assert_eq!((next, bench.take()), (0, String::new()), "not even by hand");
    bench.now = until;
    assert!(!bench.line.is_paused(bench.now));
    assert_eq!(bench.take(), "1");
    bench.line.pause(Some(until + HOUR));
    bench.deliver(1);
    bench.push(2, "a");
    assert_eq!(bench.take(), "");
    bench.line.pause(None);
    assert_eq!(bench.take(), "2");
}

/// Whatever happens, each ends once, and an object keeps its order.
#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_happens() {
    use spool::sim::Chance;
    for seed in 0..300 {
        let mut chance = Chance::new(seed);
        let mut flow = Flow::plain(1 + chance.below(4) as usize);
        flow.breaker = chance.below(4) as usize;
        match chance.below(5) {
            0 => {
                flow = Flow {
                    bulk: bulk(1 + chance.below(6) as usize).bulk,
                    ..flow
                }
            }
            1 => flow.storm = storm(1 + chance.below(3) as u32, 5 * MINUTE).storm,
            2 => flow.supersede_after = Some(MINUTE),
            3 => {
                flow.storm = storm(2, 5 * MINUTE).storm;
                flow.late = late(WhatIfLate::Digest).late;
            }
            _ => {}
        }
        let is_bulk = flow.bulk.is_some();
        let mut bench = Bench::new(flow);
        let mut last: HashMap<String, u16> = HashMap::new();
        let mut ended = HashSet::new();
        let mut running: Vec<(u64, Vec<u16>)> = Vec::new();
        let object = |n: u16| (n % 7).to_string();
        let stream = |n: u16| match is_bulk {
            true => "all".to_owned(),
            false => object(n),
        };
        let mut next = 0;
        for step in 0..5000 {
            if next < 60 && chance.below(4) == 0 {
                let matters = [Matter::Problem, Matter::Recovery, Matter::Other];
                let matter = matters[chance.below(3) as usize];
                let age = Duration::from_secs(chance.below(3600));
                let happened = bench.now - age;
                bench.push_with(next, &stream(next), |new| {
                    new.matter = matter;
                    new.happened = happened;
                });
                next += 1;
            }
            bench.pass(Duration::from_millis(chance.below(20_000)));
            if chance.below(200) == 0 {
                bench.line.hurry(None, bench.now);
            }
            while let Some(turn) = bench.line.take(bench.now) {
                let Turn::Try { work, tickets, .. } = turn else {
                    panic!("seed {seed}: {turn:?}");
                };
                let ids: Vec<u16> = tickets.iter().map(|ticket| number(ticket.id)).collect();
                running.push((work, ids));
            }
            if !running.is_empty() && chance.below(3) == 0 {
                let at = chance.below(running.len() as u64) as usize;
                let (work, ids) = running.swap_remove(at);
                let verdict = match chance.below(3) {
                    0 if step < 4000 => Verdict::Temporary,
                    _ => Verdict::Delivered,
                };
                let now = bench.now;
                bench
                    .line
                    .finish(work, &Outcome::new(verdict, ""), now, |_| true)
                    .unwrap();
                if verdict == Verdict::Delivered {
                    for n in ids {
                        assert!(ended.insert(n), "seed {seed}: {n} twice");
                        let before = last.insert(object(n), n);
                        assert!(before.is_none_or(|before| before < n), "seed {seed}: {n}");
                    }
                }
            }
        }
        assert_eq!(ended.len(), 60, "seed {seed}");
        bench.check_empty();
    }
}

#[test]
fn what_is_new_does_not_queue_behind_a_backlog() {
    let mut bench = Bench::new(flow(|_| ()));
    let hour_ago = bench.now.checked_sub(HOUR).unwrap();
    for n in 0..20 {
        let mut new = bench.new_of(n, &format!("old{n}"));
        new.happened = hour_ago;
        bench.line.push(new, bench.now);
    }
    for n in 100..104 {
        bench.push(n, &format!("new{n}"));
    }
    let mut order = Vec::new();
    while bench.line.counts().waiting > 0 {
        let turn = bench.take();
        let n = *bench.works.values().flatten().next().unwrap();
        assert!(!turn.is_empty());
        bench.deliver(n);
        order.push(n);
    }
    let first: Vec<u16> = order.iter().copied().take(9).collect();
    assert_eq!(first, [0, 100, 1, 101, 2, 102, 3, 103, 4]);
    assert!(order[8..].is_sorted(), "{order:?}");
    bench.check_empty();
    // What waits long is of the past, too.
    let mut bench = Bench::new(flow(|_| ()));
    bench.push(200, "first");
    bench.push(201, "second");
    bench.now += HOUR;
    bench.push(202, "third");
    let mut next = || {
        bench.take();
        let n = *bench.works.values().flatten().next().unwrap();
        bench.deliver(n);
        n
    };
    assert_eq!([next(), next(), next()], [200, 202, 201]);
}
