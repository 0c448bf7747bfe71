//! Records survive their bytes, and bytes that are none do no harm.

use super::*;

fn records() -> Vec<Record<'static>> {
    let id = NotificationId::from_bytes([7; 16]);
    let site = SiteId::new("central").unwrap();
    let peer = Target::Peer(site.clone());
    let lane = Target::Lane("ops".into());
    let job = Target::Job(Job::new("ops", "{\"rules\":[]}"));
    let mut totals = Totals::default();
    totals.submitted = 7;
    totals.received = u64::MAX;
    totals.add_ended(End::Dropped, 3);
    let message = |event| Record::Message {
        id,
        time: UnixTime::from_micros(1_795_217_983_000_001),
        event,
    };
    vec![
        message(Event::Accepted {
            order: 9,
            from: None,
            standing: Standing::default(),
            label: None,
            body: b"{}"[..].into(),
        }),
        message(Event::Accepted {
            order: 10,
            from: None,
            standing: Standing::default(),
            label: Some(Label { about: 0x0102_0304 }),
            body: b"{}"[..].into(),
        }),
        message(Event::Accepted {
            order: u64::MAX,
            from: Some(site.clone()),
            standing: Standing {
                targets: vec![
                    (peer.clone(), 0, Some(End::StoredByPeer)),
                    (lane.clone(), 2, None),
                ],
                held: true,
                notes: vec![(
                    lane.clone(),
                    Note {
                        is_running: true,
                        detail: b"two of three"[..].into(),
                    },
                )],
            },
            label: Some(Label { about: u32::MAX }),
            body: b""[..].into(),
        }),
        message(Event::Accepted {
            order: 11,
            from: None,
            standing: Standing {
                notes: vec![(job.clone(), Note::default())],
                ..Standing::default()
            },
            label: None,
            body: b"{}"[..].into(),
        }),
        message(Event::Noted {
            target: job.clone(),
            detail: b"one of three"[..].into(),
        }),
        message(Event::Assigned {
            targets: vec![peer.clone(), lane.clone(), job.clone()],
        }),
        message(Event::Settled {
            target: job,
            end: End::Delivered,
            detail: b"x"[..].into(),
        }),
        message(Event::Attempt {
            target: lane.clone(),
            number: 3,
        }),
        message(Event::Result {
            target: lane,
            number: 3,
            verdict: Verdict::Temporary,
            text: b"\xff"[..].into(),
        }),
        message(Event::Settled {
            target: peer,
            end: End::StoredByPeer,
            detail: b""[..].into(),
        }),
        message(Event::Ended {
            end: End::NobodyToNotify,
            detail: b"why"[..].into(),
            order: 9,
        }),
        message(Event::Held {
            detail: b"by ann: storm"[..].into(),
        }),
        message(Event::Released {
            detail: b""[..].into(),
        }),
        message(Event::RetryAsked {
            detail: b"by ann"[..].into(),
        }),
        Record::Totals {
            next_order: 10,
            totals,
            partial: true,
        },
        Record::Checkpoint {
            peer: Some(site),
            ids: vec![id, NotificationId::from_bytes([8; 16])],
        },
        Record::Checkpoint {
            peer: None,
            ids: Vec::new(),
        },
    ]
}

#[test]
fn records_survive_encoding() {
    for record in records() {
        let mut body = Vec::new();
        record.encode(&mut body);
        assert_eq!(Record::decode(record.kind(), &body), Some(record));
    }
}

#[test]
fn the_detail_of_a_job_stands_where_it_is_assigned_and_nowhere_else() {
    let detail = "who is told, by which means".repeat(40);
    let job = Target::Job(Job::new("ops", &detail));
    let encoded = |event| {
        let mut body = Vec::new();
        Record::Message {
            id: NotificationId::from_bytes([7; 16]),
            time: UnixTime::from_secs(1),
            event,
        }
        .encode(&mut body);
        body
    };
    let assigned = encoded(Event::Assigned {
        targets: vec![job.clone()],
    });
    let attempt = encoded(Event::Attempt {
        target: job.clone(),
        number: 1,
    });
    assert!(assigned.len() > detail.len() && attempt.len() < 60);
    let target = |kind, body: &[u8]| match Record::decode(kind, body) {
        Some(Record::Message {
            event: Event::Assigned { targets },
            ..
        }) => targets[0].clone(),
        Some(Record::Message {
            event: Event::Attempt { target, .. },
            ..
        }) => target,
        other => panic!("{other:?}"),
    };
    let (whole, named) = (target(2, &assigned), target(3, &attempt));
    assert_eq!(whole, job);
    assert_eq!(named, job);
    let detail_of = |target: &Target| match target {
        Target::Job(job) => job.detail().map(str::to_owned),
        _ => None,
    };
    assert_eq!((detail_of(&whole), detail_of(&named)), (Some(detail), None));
}

#[test]
fn a_cut_body_is_no_record() {
    for record in records() {
        let mut body = Vec::new();
        record.encode(&mut body);
        if let Record::Message {
            event: Event::Accepted { body: inner, .. },
            ..
        } = &record
        {
            body.truncate(body.len() - inner.len());
        }
        if let Record::Message {
            event: Event::Ended { .. },
            ..
        } = &record
        {
            // Its order may be missing.
            body.truncate(body.len() - 8);
        }
        for len in 0..body.len() {
            assert_eq!(
                Record::decode(record.kind(), &body[..len]),
                None,
                "{record:?} {len}"
            );
        }
    }
}

#[test]
fn a_copy_of_an_early_release_is_not_held() {
    let accepted = |held| Record::Message {
        id: NotificationId::from_bytes([7; 16]),
        time: UnixTime::from_secs(1),
        event: Event::Accepted {
            order: 1,
            from: None,
            standing: Standing {
                targets: vec![(Target::Lane("ops".into()), 2, None)],
                held,
                notes: Vec::new(),
            },
            label: None,
            body: b"{}"[..].into(),
        },
    };
    let mut body = Vec::new();
    accepted(true).encode(&mut body);
    // Its standing ended with the targets: 16 id, 8 time, 8 order, 1 peer,
    // then the length, 2 for the count and 10 for the target.
    let flag = 33 + 4 + 2 + 10;
    assert_eq!((body[33], body[flag]), (13, 1));
    body[33] -= 1;
    body.remove(flag);
    assert_eq!(Record::decode(1, &body), Some(accepted(false)));
}

#[test]
fn kinds_of_later_releases_are_told_apart() {
    let id = [1; 24];
    assert!(matches!(
        Record::decode(99, &id),
        Some(Record::Message {
            event: Event::Unknown { kind: 99 },
            ..
        })
    ));
    assert_eq!(
        Record::decode(200, b"?"),
        Some(Record::Unknown { kind: 200 })
    );
}
