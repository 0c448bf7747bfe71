//! What two well-behaved sessions do with each other.

mod common;

use std::time::Duration;

use common::{Pair, config, config_with_window, events, id, messages, output, site};
use wire::{Cause, Config, Disk, Error, Event, Health, Range, RefusalCode, Session, Window};

#[test]
fn both_learn_who_the_other_is() {
    let mut b = config("b");
    b.features = vec!["moon".into(), "results".into()];
    b.protocol = Range(1, 7);
    b.started = objects::UnixTime::from_micros(common::START.micros() + 2_500_000);
    let mut a = config("a");
    a.features = vec!["results".into(), "sun".into()];
    a.peer_site = Some(site("b"));
    let mut pair = Pair::new(a, b);
    pair.carry().unwrap();
    let [Event::PeerHello(hello)] = &events(&mut pair.a)[..] else {
        panic!("no hello");
    };
    assert_eq!(hello.hello.site, site("b"));
    assert_eq!(hello.protocol, 1);
    assert_eq!(hello.features, ["results"]);
    assert_eq!(hello.skew_us, 2_500_000);
    assert_eq!(pair.a.peer(), Some(&**hello));
}

#[test]
fn a_message_crosses_and_is_acknowledged_only_when_stored() {
    let mut pair = Pair::open(config("a"), config("b"));
    for n in 1..=3 {
        pair.a.send(id(n), format!("body {n}").as_bytes()).unwrap();
    }
    pair.carry().unwrap();
    let got = events(&mut pair.b);
    let want: Vec<_> = (1..=3)
        .map(|n| (n, id(n), format!("body {n}").into_bytes()))
        .collect();
    assert_eq!(messages(&got), want);
    assert_eq!(events(&mut pair.a), []);
    pair.b.stored(2).unwrap();
    pair.carry().unwrap();
    assert_eq!(
        events(&mut pair.a),
        [Event::Acknowledged {
            ids: vec![id(1), id(2)]
        }]
    );
    pair.b.stored(3).unwrap();
    pair.b.stored(3).unwrap();
    pair.carry().unwrap();
    assert_eq!(
        events(&mut pair.a),
        [Event::Acknowledged { ids: vec![id(3)] }]
    );
}

#[test]
fn every_split_of_the_stream_means_the_same() {
    for size in [1, 2, 3, 7, 4096] {
        let mut pair = Pair::new(config("a"), config("b"));
        pair.carry_in_pieces(size).unwrap();
        pair.a.resume(&[id(7)]).unwrap();
        pair.b.resume(&[]).unwrap();
        pair.carry_in_pieces(size).unwrap();
        let bodies: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; n * 13]).collect();
        for (n, body) in bodies.iter().enumerate() {
            pair.a.send(id(n as u64), body).unwrap();
        }
        pair.a.go_away("done", Duration::from_secs(3), pair.now);
        pair.carry_in_pieces(size).unwrap();
        let got = events(&mut pair.b);
        assert!(
            matches!(&got[1], Event::Resumed { have, .. } if *have == [id(7)]),
            "{size}"
        );
        let got: Vec<_> = messages(&got)
            .into_iter()
            .map(|(_, _, body)| body)
            .collect();
        assert_eq!(got, bodies, "{size}");
    }
}

#[test]
fn nothing_is_sent_before_both_resumes() {
    let mut pair = Pair::new(config("a"), config("b"));
    assert!(matches!(pair.a.send(id(1), b"x"), Err(Error::Misuse(_))));
    pair.carry().unwrap();
    assert_eq!(pair.a.room(), Window::CLOSED);
    pair.b.resume(&[id(1)]).unwrap();
    pair.carry().unwrap();
    // The peer's has come, ours is missing.
    assert!(matches!(pair.a.send(id(2), b"x"), Err(Error::Misuse(_))));
    pair.a.resume(&[]).unwrap();
    assert!(matches!(pair.a.resume(&[]), Err(Error::Misuse(_))));
    pair.a.send(id(2), b"x").unwrap();
    pair.carry().unwrap();
    assert_eq!(messages(&events(&mut pair.b)).len(), 1);
}

#[test]
fn what_the_peer_has_takes_up_the_window_until_it_is_recorded() {
    let mut pair = Pair::new(config("a"), config_with_window("b", 3));
    pair.carry().unwrap();
    pair.a.resume(&[]).unwrap();
    pair.b.resume(&[id(1), id(2)]).unwrap();
    pair.carry().unwrap();
    assert_eq!(pair.a.room().msgs, 1);
    for n in 1..=3 {
        pair.a.settled(id(n));
    }
    assert_eq!(pair.a.room().msgs, 3);
}

#[test]
fn a_resume_that_is_too_long_keeps_the_newest() {
    let mut b = config("b");
    b.max_frame = 64 << 10;
    let mut pair = Pair::new(config("a"), b);
    pair.carry().unwrap();
    let have: Vec<_> = (0..5000).map(id).collect();
    pair.a.resume(&have).unwrap();
    pair.b.resume(&[]).unwrap();
    pair.carry().unwrap();
    let got = events(&mut pair.b);
    let Some(Event::Resumed { have: got, .. }) = got.last() else {
        panic!("{got:?}");
    };
    assert!(got.len() > 1600, "{}", got.len());
    assert_eq!(got[..], have[have.len() - got.len()..]);
}

#[test]
fn the_window_holds_until_acknowledgements_are_recorded() {
    let mut pair = Pair::open(config("a"), config_with_window("b", 4));
    assert_eq!(pair.a.room().msgs, 4);
    for n in 1..=10 {
        pair.a.send(id(n), b"x").unwrap();
    }
    assert_eq!(pair.a.room(), Window::CLOSED);
    pair.carry().unwrap();
    assert_eq!(messages(&events(&mut pair.b)).len(), 4);
    pair.b.stored(4).unwrap();
    pair.carry().unwrap();
    assert_eq!(events(&mut pair.a).len(), 1);
    // Acknowledged is not settled.
    assert_eq!(messages(&events(&mut pair.b)).len(), 0);
    pair.a.settled(id(2));
    pair.a.settled(id(1));
    pair.a.settled(id(1));
    pair.a.settled(id(9));
    pair.carry().unwrap();
    let seqs: Vec<_> = messages(&events(&mut pair.b));
    let seqs: Vec<u64> = seqs.into_iter().map(|(seq, ..)| seq).collect();
    assert_eq!(seqs, [5, 6]);
    // The rest, in order, once there is room.
    for n in [3, 4] {
        pair.a.settled(id(n));
    }
    pair.carry().unwrap();
    pair.b.stored(8).unwrap();
    pair.carry().unwrap();
    for n in 5..=8 {
        pair.a.settled(id(n));
    }
    pair.carry().unwrap();
    let last: Vec<_> = messages(&events(&mut pair.b));
    assert_eq!(last.last().unwrap().1, id(10));
    assert_eq!(pair.a.room().msgs, 2);
}

#[test]
fn the_window_counts_bytes_but_always_takes_one() {
    let mut b = config("b");
    b.window = Window {
        msgs: 10,
        bytes: 100,
    };
    let mut pair = Pair::open(config("a"), b);
    pair.a.send(id(1), &[0; 500]).unwrap();
    pair.a.send(id(2), &[0; 60]).unwrap();
    pair.a.send(id(3), &[0; 60]).unwrap();
    let mut got = Vec::new();
    for n in 1..=3 {
        pair.carry().unwrap();
        got.push(messages(&events(&mut pair.b)).len());
        pair.b.stored(n).unwrap();
        pair.carry().unwrap();
        pair.a.settled(id(n));
    }
    assert_eq!(got, [1, 1, 1]);
}

#[test]
fn a_window_of_nothing_stops_the_sender_and_the_heartbeat_goes_on() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.b.grant(Window::CLOSED);
    pair.carry().unwrap();
    assert_eq!(events(&mut pair.a), [Event::Window(Window::CLOSED)]);
    pair.a.send(id(1), b"x").unwrap();
    pair.pass(Duration::from_secs(300)).unwrap();
    assert_eq!(messages(&events(&mut pair.b)), []);
    pair.b.grant(Window { msgs: 1, bytes: 1 });
    pair.carry().unwrap();
    assert_eq!(messages(&events(&mut pair.b)).len(), 1);
}

#[test]
fn a_refusal_in_the_middle_does_not_stop_the_line() {
    let mut pair = Pair::open(config("a"), config("b"));
    for n in 1..=5 {
        pair.a.send(id(n), b"x").unwrap();
    }
    pair.carry().unwrap();
    pair.b
        .refuse(3, RefusalCode::Loop, "was at b before")
        .unwrap();
    pair.b.refuse(5, RefusalCode::Corrupt, "no JSON").unwrap();
    pair.carry().unwrap();
    // Nothing before them is stored yet.
    assert_eq!(events(&mut pair.a), []);
    pair.b.stored(2).unwrap();
    pair.carry().unwrap();
    let refused = |n, code, text: &str| Event::Refused {
        id: id(n),
        code,
        text: text.into(),
    };
    let acknowledged = |ids: &[u64]| Event::Acknowledged {
        ids: ids.iter().map(|n| id(*n)).collect(),
    };
    assert_eq!(
        events(&mut pair.a),
        [
            refused(3, RefusalCode::Loop, "was at b before"),
            acknowledged(&[1, 2])
        ]
    );
    assert!(matches!(
        pair.b.refuse(3, RefusalCode::Loop, ""),
        Err(Error::Misuse(_))
    ));
    pair.b.stored(4).unwrap();
    pair.carry().unwrap();
    assert_eq!(
        events(&mut pair.a),
        [
            refused(5, RefusalCode::Corrupt, "no JSON"),
            acknowledged(&[4])
        ]
    );
}

#[test]
fn many_refusals_with_long_texts_fit_in_the_smallest_frames() {
    let mut a = config("a");
    a.max_frame = 1;
    let mut pair = Pair::open(a, config("b"));
    for n in 1..=1000 {
        pair.a.send(id(n), b"x").unwrap();
    }
    pair.carry().unwrap();
    let text = "\u{1}".repeat(10_000);
    for seq in 1..=1000 {
        pair.b
            .refuse(seq, RefusalCode::Other("ü".repeat(40)), &text)
            .unwrap();
    }
    pair.carry().unwrap();
    let got = events(&mut pair.a);
    assert_eq!(got.len(), 1000);
    assert!(matches!(&got[999], Event::Refused { id: last, text, .. }
        if *last == id(1000) && text.len() == 512));
}

#[test]
fn a_body_that_fits_in_no_frame_is_refused_at_home() {
    let mut b = config("b");
    b.max_frame = 64 << 10;
    let mut pair = Pair::open(config("a"), b);
    let longest = (64 << 10) - 1 - 8 - 24;
    pair.a.send(id(1), &vec![b'x'; longest]).unwrap();
    pair.a.send(id(2), &vec![b'x'; longest + 1]).unwrap();
    pair.a.send(id(3), b"x").unwrap();
    pair.carry().unwrap();
    let [
        Event::Refused {
            id: which, code, ..
        },
    ] = &events(&mut pair.a)[..]
    else {
        panic!("not refused");
    };
    assert_eq!((*which, code), (id(2), &RefusalCode::TooLarge));
    let got = messages(&events(&mut pair.b));
    assert_eq!(
        got.iter().map(|m| m.2.len()).collect::<Vec<_>>(),
        [longest, 1]
    );
}

#[test]
fn the_longest_notification_fits_with_the_defaults() {
    let mut pair = Pair::open(config("a"), config("b"));
    let body = vec![b'x'; objects::notification::MAX_BODY + 512];
    pair.a.send(id(1), &body).unwrap();
    pair.carry().unwrap();
    assert_eq!(messages(&events(&mut pair.b))[0].2, body);
}

#[test]
fn batches_are_bounded_and_need_no_timer() {
    let mut pair = Pair::open(config("a"), config("b"));
    for n in 1..=65 {
        pair.a.send(id(n), &[1; 10]).unwrap();
    }
    for n in 66..=69 {
        pair.a.send(id(n), &[1; 100 << 10]).unwrap();
    }
    let mut sizes = Vec::new();
    loop {
        let len = pair.a.poll_output().len();
        if len == 0 {
            break;
        }
        sizes.push(len);
        pair.a.output_written(len);
    }
    // 64 small ones; one small and two large ones; the other two.
    let large = 24 + (100 << 10);
    assert_eq!(sizes, [13 + 64 * 34, 13 + 34 + 2 * large, 13 + 2 * large]);
}

#[test]
fn control_frames_overtake_batches_but_tear_none() {
    let mut pair = Pair::open(config("a"), config("b"));
    for n in 1..=4 {
        pair.a.send(id(n), &[1; 200 << 10]).unwrap();
        pair.b.send(id(10 + n), b"x").unwrap();
    }
    // The first batch is under way when there is something to acknowledge.
    let first = pair.a.poll_output().to_vec();
    pair.a.output_written(100);
    let from_b = output(&mut pair.b, usize::MAX);
    pair.a.handle_input(&from_b, pair.now).unwrap();
    pair.a.stored(4).unwrap();
    assert_eq!(pair.a.poll_output(), &first[100..]);
    pair.a.output_written(first.len() - 100);
    let next = pair.a.poll_output();
    assert_eq!(next[4], 4, "an ACK comes before the second batch");
    pair.b.handle_input(&first, pair.now).unwrap();
    pair.carry().unwrap();
    let got = events(&mut pair.b);
    assert_eq!(messages(&got).len(), 4);
    assert!(
        got.iter()
            .any(|e| matches!(e, Event::Acknowledged { ids } if ids.len() == 4))
    );
}

#[test]
fn the_receiver_learns_what_need_not_be_resumed() {
    let mut pair = Pair::open(config("a"), config_with_window("b", 4));
    for n in 1..=2 {
        pair.a.send(id(n), b"x").unwrap();
    }
    pair.carry().unwrap();
    pair.b.stored(2).unwrap();
    pair.carry().unwrap();
    events(&mut pair.b);
    pair.a.settled(id(1));
    pair.a.settled(id(2));
    pair.carry().unwrap();
    assert_eq!(events(&mut pair.b), [Event::PeerSettled { seq: 2 }]);
}

#[test]
fn a_single_settled_message_is_told_with_the_next_heartbeat() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.a.send(id(1), b"x").unwrap();
    pair.carry().unwrap();
    pair.b.stored(1).unwrap();
    pair.carry().unwrap();
    pair.a.settled(id(1));
    pair.carry().unwrap();
    events(&mut pair.b);
    pair.pass(Duration::from_secs(10)).unwrap();
    assert!(events(&mut pair.b).contains(&Event::PeerSettled { seq: 1 }));
}

#[test]
fn heartbeats_keep_an_idle_connection_for_a_day() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.pass(Duration::from_secs(86_400)).unwrap();
    let pongs = events(&mut pair.a);
    let count = pongs
        .iter()
        .filter(|e| matches!(e, Event::Pong { .. }))
        .count();
    assert_eq!(count, 8640);
}

#[test]
fn pong_tells_how_the_journal_stands() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.now += Duration::from_secs(10);
    pair.a.handle_timeout(pair.now).unwrap();
    pair.carry().unwrap();
    let got = events(&mut pair.b);
    assert_eq!(
        got,
        [Event::Ping {
            queued: 0,
            oldest_us: 0
        }]
    );
    pair.now += Duration::from_millis(40);
    let health = Health {
        disk: Disk::Low,
        queued: 7,
        oldest_us: 8,
    };
    pair.b.pong(health);
    pair.carry().unwrap();
    let rtt = Duration::from_millis(40);
    assert_eq!(events(&mut pair.a), [Event::Pong { rtt, health }]);
    // Its own PINGs say the same from now on.
    pair.b.handle_timeout(pair.now).unwrap();
    pair.carry().unwrap();
    let got = events(&mut pair.a);
    assert_eq!(
        got,
        [Event::Ping {
            queued: 7,
            oldest_us: 8
        }]
    );
}

#[test]
fn a_silent_peer_is_dead_after_thirty_seconds() {
    let mut pair = Pair::open(config("a"), config("b"));
    // A frame that never gets whole is no sign of life.
    pair.a.handle_input(&[0, 0, 4, 0, 3], pair.now).unwrap();
    for second in 1..30 {
        let now = pair.now + Duration::from_secs(second);
        pair.a.handle_input(&[0], now).unwrap();
        pair.a.handle_timeout(now).unwrap();
    }
    let dead = pair.now + Duration::from_secs(30);
    assert_eq!(
        pair.a.handle_timeout(dead - Duration::from_millis(1)),
        Ok(())
    );
    let error = pair.a.handle_timeout(dead).unwrap_err();
    assert_eq!(error, Error::Silent(Duration::from_secs(30)));
    assert_eq!(error.cause(), Cause::Dead);
    assert!(pair.a.is_finished());
    assert_eq!(pair.a.poll_timeout(), None);
}

#[test]
fn a_peer_whose_journal_hangs_is_dead_though_its_socket_answers() {
    let mut pair = Pair::open(config("a"), config("b"));
    let start = pair.now;
    let result = loop {
        pair.now += Duration::from_secs(5);
        // b lives and pings, but its owner never answers.
        pair.b.handle_timeout(pair.now).unwrap();
        pair.carry().unwrap();
        pair.a.pong(Health::default());
        if let Err(error) = pair.a.handle_timeout(pair.now) {
            break error;
        }
        pair.carry().unwrap();
        assert!(pair.now < start + Duration::from_secs(100));
    };
    assert_eq!(result, Error::JournalHangs(Duration::from_secs(30)));
    assert_eq!(pair.now, start + Duration::from_secs(40));
}

#[test]
fn acknowledgements_prove_the_journal_as_well_as_pongs() {
    let mut pair = Pair::open(config("a"), config("b"));
    for n in 1..=60 {
        pair.now += Duration::from_secs(5);
        pair.a.send(id(n), b"x").unwrap();
        pair.a.handle_timeout(pair.now).unwrap();
        pair.b.handle_timeout(pair.now).unwrap();
        pair.carry().unwrap();
        pair.b.stored(n).unwrap();
        pair.a.pong(Health::default());
        pair.carry().unwrap();
    }
}

#[test]
fn the_more_impatient_end_sets_the_pace() {
    let mut a = config("a");
    a.heartbeat = Duration::from_secs(1000);
    let mut b = config("b");
    b.dead = Duration::from_secs(3);
    b.heartbeat = Duration::from_secs(1);
    let mut pair = Pair::open(a, b);
    pair.pass(Duration::from_secs(60)).unwrap();
}

#[test]
fn no_common_version_is_told_with_both_ranges_and_nothing_is_lost() {
    let mut b = config("b");
    b.protocol = Range(2, 3);
    let mut pair = Pair::new(config("a"), b);
    let to_b = output(&mut pair.a, usize::MAX);
    let to_a = output(&mut pair.b, usize::MAX);
    let want = |ours, theirs| Error::Version { ours, theirs };
    let at_a = pair.a.handle_input(&to_a, pair.now).unwrap_err();
    assert_eq!(at_a, want(Range(1, 1), Range(2, 3)));
    assert_eq!(at_a.cause(), Cause::NothingInCommon);
    let at_b = pair.b.handle_input(&to_b, pair.now).unwrap_err();
    assert_eq!(at_b, want(Range(2, 3), Range(1, 1)));
    let last = output(&mut pair.a, usize::MAX);
    let last = String::from_utf8_lossy(&last).into_owned();
    assert!(last.contains("\"version\""), "{last}");
    assert!(last.contains("here 1 to 1, peer 2 to 3"), "{last}");
    assert_eq!(events(&mut pair.a), []);
}

#[test]
fn a_peer_with_another_name_than_its_certificate_is_turned_away() {
    let mut a = config("a");
    a.peer_site = Some(site("c"));
    let mut pair = Pair::new(a, config("b"));
    let error = pair.carry().unwrap_err();
    let want = Error::WrongSite {
        expected: site("c"),
        claimed: site("b"),
    };
    assert_eq!(error, want);
    let mut pair = Pair::new(config("a"), config("a"));
    assert_eq!(pair.carry(), Err(Error::OwnSite(site("a"))));
}

#[test]
fn an_end_that_may_not_send_does_not() {
    let mut a = config("a");
    a.sends = false;
    let mut pair = Pair::open(a, config("b"));
    assert!(matches!(pair.a.send(id(1), b"x"), Err(Error::Misuse(_))));
    assert_eq!(pair.a.room(), Window::CLOSED);
    pair.b.send(id(2), b"x").unwrap();
    pair.carry().unwrap();
    assert_eq!(messages(&events(&mut pair.a)).len(), 1);
    let mut b = config("b");
    b.accepts = false;
    let mut pair = Pair::open(config("a"), b);
    assert!(matches!(pair.a.send(id(1), b"x"), Err(Error::Misuse(_))));
}

#[test]
fn go_away_waits_for_what_is_under_way() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.a.send(id(1), b"x").unwrap();
    pair.a.go_away("restart", Duration::from_secs(7), pair.now);
    pair.a.go_away("again", Duration::ZERO, pair.now);
    pair.a.send(id(2), b"x").unwrap();
    pair.carry().unwrap();
    let got = events(&mut pair.b);
    assert_eq!(messages(&got).len(), 1);
    let away = Event::GoAway {
        reason: "restart".into(),
        retry_after: Duration::from_secs(7),
    };
    assert_eq!(got.iter().filter(|e| **e == away).count(), 1);
    assert!(!pair.a.is_finished());
    pair.b.send(id(9), b"not any more").unwrap();
    pair.b.stored(1).unwrap();
    pair.carry().unwrap();
    assert!(matches!(
        &events(&mut pair.a)[..],
        [Event::Acknowledged { .. }]
    ));
    assert!(pair.a.is_finished());
    assert!(!pair.b.is_finished());
    assert_eq!(pair.b.handle_end(), Ok(()));
    assert!(pair.b.is_finished());
}

#[test]
fn go_away_does_not_wait_for_ever() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.a.send(id(1), b"x").unwrap();
    pair.a.go_away("restart", Duration::ZERO, pair.now);
    pair.carry().unwrap();
    let until = pair.now + Duration::from_secs(5);
    assert_eq!(pair.a.poll_timeout(), Some(until));
    pair.a
        .handle_timeout(until - Duration::from_millis(1))
        .unwrap();
    assert!(!pair.a.is_finished());
    pair.a.handle_timeout(until).unwrap();
    assert!(pair.a.is_finished());
}

#[test]
fn an_owner_that_does_not_know_of_the_end_yet_makes_no_mistake() {
    let mut pair = Pair::open(config("a"), config("b"));
    pair.a.send(id(1), b"x").unwrap();
    pair.carry().unwrap();
    pair.b.handle_end().unwrap_err();
    pair.b.stored(1).unwrap();
    pair.b.refuse(2, RefusalCode::Loop, "").unwrap();
    pair.b.resume(&[]).unwrap();
    pair.b.send(id(3), b"x").unwrap();
    pair.b.settled(id(3));
    pair.b.pong(Health::default());
    pair.b.grant(Window::CLOSED);
    pair.b.go_away("", Duration::ZERO, pair.now);
    pair.b.handle_input(b"garbage", pair.now).unwrap();
    assert_eq!(output(&mut pair.b, usize::MAX), b"");
}

#[test]
fn an_acknowledgement_of_what_never_came_is_misuse_and_harms_nothing() {
    let mut pair = Pair::open(config("a"), config("b"));
    assert!(matches!(pair.b.stored(1), Err(Error::Misuse(_))));
    assert!(matches!(
        pair.b.refuse(1, RefusalCode::Loop, ""),
        Err(Error::Misuse(_))
    ));
    pair.a.send(id(1), b"x").unwrap();
    pair.carry().unwrap();
    pair.b.stored(1).unwrap();
    pair.carry().unwrap();
}

#[test]
fn memory_stays_what_the_window_allows() {
    let generous = Config {
        window: Window {
            msgs: u32::MAX,
            bytes: u64::MAX,
        },
        ..config("b")
    };
    let pair = Pair::open(config("a"), generous);
    assert_eq!(pair.a.room().msgs, 1 << 16);
    assert_eq!(pair.a.room().bytes, 64 << 20);
}

#[test]
fn a_stranger_waits_ten_seconds_at_most() {
    let pair = Pair::new(config("a"), config("b"));
    let until = pair.now + Duration::from_secs(10);
    assert_eq!(pair.a.poll_timeout(), Some(until));
    let mut late: Session = pair.a;
    late.handle_input(&wire::frame::PREFACE[..], until - Duration::from_millis(1))
        .unwrap();
    assert_eq!(late.handle_timeout(until), Err(Error::HelloTimeout));
}
