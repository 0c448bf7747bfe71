//! What is told together: bulks, storms, what is late, what is superseded.

use super::*;

#[test]
fn a_bulk_is_ripe_when_its_oldest_is_old_enough_or_it_is_full() {
    let mut bench = Bench::new(bulk(3));
    bench.push(1, "a");
    bench.pass(MINUTE / 2);
    bench.push(2, "a");
    bench.push(3, "b");
    assert_eq!(bench.take(), "");
    bench.pass(MINUTE / 2);
    assert_eq!(bench.take_all(), ["1+2 Bulk"]);
    bench.deliver(1);
    assert_eq!(bench.line.next_due(), Some(bench.now + MINUTE / 2));
    for n in 4..=8 {
        bench.push(n, "b");
    }
    assert_eq!(bench.take_all(), ["3+4+5 Bulk"], "full");
    bench.deliver(3);
    assert_eq!(bench.take_all(), ["6+7+8 Bulk"], "full again");
    bench.deliver(6);
    bench.check_empty();
}

#[test]
fn a_bulk_that_fails_is_tried_again_with_the_same_ones() {
    let mut bench = Bench::new(bulk(3));
    for n in 1..=2 {
        bench.push(n, "a");
    }
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["1+2 Bulk"]);
    bench.push(3, "a");
    let pause = bench.fail(1).pause.unwrap();
    assert_eq!(bench.take(), "", "it is not hurried by more");
    for n in 4..=6 {
        bench.push(n, "a");
    }
    assert_eq!(bench.take(), "");
    bench.pass(pause);
    assert_eq!(bench.take_all(), ["1+2 Bulk"]);
    bench.fail(2);
    let now = bench.now;
    bench.line.take_out(&HashSet::from([id(1)]), |_| true, now);
    bench.line.hurry(None, now);
    let turns = bench.take_all();
    assert!(
        ["2 Bulk", "2+3+4 Bulk"].contains(&turns[0].as_str()),
        "{turns:?}"
    );
    bench.deliver(2);
}

#[test]
fn a_bulk_that_was_begun_before_a_restart_is_tried_with_the_same_ones() {
    let mut bench = Bench::new(bulk(10));
    for n in 1..=2 {
        bench.push_with(n, "a", |new| new.attempts = 1);
    }
    bench.push(3, "a");
    assert_eq!(bench.take_all(), ["1+2 Bulk"], "without waiting");
    bench.deliver(1);
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["3 Bulk"]);
}

#[test]
fn what_was_collected_before_a_restart_need_not_wait_anew() {
    let mut bench = Bench::new(bulk(10));
    let accepted = bench.now - MINUTE * 2;
    bench.push_with(1, "a", |new| new.accepted = accepted);
    assert_eq!(bench.take_all(), ["1 Bulk"]);
}

#[test]
fn bodies_that_are_told_together_have_a_limit() {
    let mut bench = Bench::new(bulk(1000));
    for n in 0..100 {
        bench.push_with(n, "a", |new| new.size = 1 << 20);
    }
    bench.pass(MINUTE);
    let turn = bench.take();
    assert_eq!(turn.split('+').count(), 64);
}

#[test]
fn a_storm_ends_in_few_digests_that_name_everything_once() {
    let mut bench = Bench::new(storm(5, 15 * MINUTE));
    let start = bench.now;
    let objects: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    for (n, object) in objects.iter().enumerate() {
        bench.push(n as u16, object);
    }
    let mut told = Vec::new();
    let mut deliveries = 0;
    while bench.counts() != (0, 0) {
        while let turn = bench.take()
            && !turn.is_empty()
        {
            let ids = turn.split(' ').next().unwrap().split('+');
            let ids: Vec<u16> = ids.map(|n| n.parse().unwrap()).collect();
            bench.deliver(ids[0]);
            told.extend(ids);
            deliveries += 1;
        }
        if let Some(due) = bench.line.next_due() {
            bench.now = due;
        }
    }
    told.sort();
    assert_eq!(told, (0..5000).collect::<Vec<_>>());
    assert_eq!(deliveries, 6, "five alone, and one digest");
    assert_eq!(
        bench.now,
        start + 3 * MINUTE,
        "when there was a token again"
    );
    bench.check_empty();
}

#[test]
fn the_younger_ones_of_an_object_follow_it_into_the_digest() {
    let mut bench = Bench::new(storm(1, 10 * MINUTE));
    bench.push(1, "a");
    assert_eq!(bench.take_all(), ["1"]);
    bench.push(2, "b");
    assert_eq!(bench.take(), "");
    assert_eq!(bench.line.counts().in_digests, 1);
    bench.pass(10 * MINUTE);
    assert_eq!(bench.take_all(), ["2 Storm"]);
    // There is a token again while the digest is under way.
    bench.pass(10 * MINUTE);
    bench.push(3, "b");
    bench.push_with(4, "b", |new| new.aim = aim("bob"));
    bench.deliver(1);
    assert_eq!(bench.take(), "", "3 must not overtake 2");
    bench.fail(2);
    assert_eq!(bench.line.counts().in_digests, 3);
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["2 Storm"], "the same ones again");
    bench.deliver(2);
    assert_eq!(bench.take_all(), ["3+4 Storm"]);
    bench.deliver(3);
    bench.check_empty();
}

#[test]
fn a_digest_does_not_wait_longer_than_its_interval() {
    let mut bench = Bench::new(flow(|flow| {
        flow.storm = Some(Storm {
            at_most: vec![Limit {
                count: 1,
                within: 10 * HOUR,
            }],
            interval: Some(HOUR),
        });
    }));
    for (n, object) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.push(n, object);
    }
    assert_eq!(bench.take_all(), ["1"]);
    bench.deliver(1);
    assert_eq!(bench.take(), "");
    bench.pass(HOUR);
    assert_eq!(bench.take_all(), ["2+3 Storm"]);
    bench.deliver(2);
    bench.check_empty();
}

#[test]
fn each_contact_has_limits_of_its_own() {
    let mut bench = Bench::new(storm(1, HOUR));
    for (n, object, contact) in [(1, "a", "ann"), (2, "b", "bob"), (3, "c", "ann")] {
        bench.push_with(n, object, |new| new.aim = aim(contact));
    }
    assert_eq!(bench.take_all(), ["1", "2"]);
    assert_eq!(bench.line.counts().in_digests, 0, "no place, no look");
    bench.deliver(1);
    assert_eq!(bench.take(), "");
    assert_eq!(bench.line.counts().in_digests, 1);
}

#[test]
fn attempts_that_fail_cost_one_token_together() {
    let mut bench = Bench::new(storm(2, HOUR));
    bench.push(1, "a");
    for _ in 0..4 {
        assert_eq!(bench.take_all(), ["1"]);
        bench.fail(1);
        bench.pass(20 * MINUTE);
    }
    bench.push(2, "b");
    let turns = [bench.take(), bench.take()];
    assert_eq!(turns, ["2", "1"], "what is new first");
}

#[test]
fn what_is_in_a_digest_can_be_taken_out_and_expires() {
    let mut bench = Bench::new(storm(1, HOUR));
    let now = bench.now;
    for (n, object) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        let life = if n == 3 { MINUTE } else { 5 * HOUR };
        bench.push_with(n, object, |new| new.expires = now + life);
    }
    assert_eq!(bench.take_all(), ["1"]);
    bench.deliver(1);
    assert_eq!(bench.take(), "");
    bench.line.take_out(&HashSet::from([id(2)]), |_| true, now);
    assert_eq!(bench.line.counts().in_digests, 2);
    bench.pass(MINUTE);
    assert_eq!(bench.take_all(), ["-3"]);
    bench.pass(HOUR);
    assert_eq!(bench.take_all(), ["4 Storm"]);
    bench.deliver(4);
    bench.check_empty();
}

fn superseding() -> Flow {
    flow(|flow| flow.supersede_after = Some(10 * MINUTE))
}

#[test]
fn a_recovery_is_told_together_with_its_old_problem() {
    for (wait, want) in [(9 * MINUTE, "1"), (10 * MINUTE, "1+2+3 Superseded")] {
        let mut bench = Bench::new(superseding());
        bench.push_with(1, "a", |new| new.matter = Matter::Problem);
        bench.push(2, "a");
        bench.line.pause(Some(bench.now + HOUR));
        bench.pass(wait);
        bench.push_with(3, "a", |new| new.matter = Matter::Recovery);
        bench.push_with(4, "a", |new| new.matter = Matter::Problem);
        bench.push_with(5, "b", |new| new.matter = Matter::Recovery);
        bench.line.pause(None);
        assert_eq!(bench.take_all(), [want], "{wait:?}");
        bench.fail(1);
        assert_eq!(bench.take_all(), ["5"], "another object is not meant");
        bench.deliver(5);
        bench.pass(MINUTE);
        assert_eq!(bench.take_all(), [want], "the same once more");
        bench.deliver(1);
        let rest = if want == "1" { "2" } else { "4" };
        assert_eq!(bench.take_all(), [rest]);
    }
}

#[test]
fn what_is_late_is_marked() {
    let mut bench = Bench::new(late(WhatIfLate::Mark));
    let happened = bench.now - 30 * MINUTE;
    bench.push_with(1, "a", |new| new.happened = happened);
    bench.push(2, "b");
    for want in [true, false] {
        let Some(Turn::Try { work, tickets, .. }) = bench.line.take(bench.now) else {
            panic!("nothing");
        };
        assert_eq!(tickets[0].is_late, want);
        let now = bench.now;
        bench
            .line
            .finish(work, &Outcome::new(Verdict::Delivered, ""), now, |_| true);
    }
}

#[test]
fn what_is_late_is_dropped_where_nobody_wants_it() {
    let mut bench = Bench::new(late(WhatIfLate::Drop));
    let happened = bench.now - 30 * MINUTE;
    bench.push_with(1, "a", |new| new.happened = happened);
    bench.push(2, "a");
    assert_eq!(bench.take_all(), ["~1", "2"]);
    bench.fail(2);
    bench.pass(HOUR);
    assert_eq!(bench.take(), "2", "what was tried in time goes on");
    bench.deliver(2);
    bench.check_empty();
}

#[test]
fn what_is_late_is_told_together_and_does_not_hold_up_what_is_new() {
    let mut bench = Bench::new(late(WhatIfLate::Digest));
    let happened = bench.now - 30 * MINUTE;
    for (n, object) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.push_with(n, object, |new| new.happened = happened);
    }
    bench.push(4, "d");
    bench.push(5, "a");
    assert_eq!(bench.take_all(), ["4"], "5 must not overtake 1");
    bench.deliver(4);
    assert_eq!(bench.take(), "");
    bench.pass(LATE_COLLECTED);
    assert_eq!(bench.take_all(), ["1+2+5+3 Late"]);
    bench.deliver(1);
    bench.check_empty();
}
