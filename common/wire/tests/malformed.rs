//! What a session does with bytes that are not what they should be: it ends
//! with the right error, tells the peer, and has believed nothing of it.

mod common;

use std::time::Instant;

use common::{Chance, Pair, config, config_with_window, events, id, messages, output};
use wire::frame;
use wire::{Cause, Error, Event, Session};

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}

fn preface() -> Vec<u8> {
    frame::PREFACE.to_vec()
}

const HELLO: &str = r#"{"proto":[1,1],"software":"s","version":"1","site":"b","instance":"i",
"features":[],"max_frame":1048576,"window_msgs":4,"window_bytes":1000,"heartbeat_ms":10000,
"dead_ms":30000,"now_us":1,"sends":true,"accepts":true,"later":{"than":[1]}}"#;

fn hello_with(from: &str, to: &str) -> Vec<u8> {
    assert!(HELLO.contains(from), "{from}");
    [preface(), frame(1, HELLO.replace(from, to).as_bytes())].concat()
}

fn hello() -> Vec<u8> {
    [preface(), frame(1, HELLO.as_bytes())].concat()
}

fn opened() -> Vec<u8> {
    [hello(), frame(2, br#"{"have":[]}"#)].concat()
}

fn batch(first_seq: u64, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = frame::begin_batch(&mut bytes, first_seq);
    for (n, body) in bodies.iter().enumerate() {
        frame::encode_message(&mut bytes, id(first_seq + n as u64), body);
    }
    frame::end(&mut bytes, start);
    bytes
}

/// A session `a` that has done its part of the opening and sent the messages
/// 1 to 3, with a window of 4 messages for the peer.
fn session(now: Instant) -> Session {
    Session::new(config_with_window("a", 4), now)
}

/// Feeds `bytes` in pieces and opens our half as an owner would.
fn feed(bytes: &[u8], size: usize) -> (Session, Result<(), Error>, Vec<Event>) {
    let now = Instant::now();
    let mut session = session(now);
    let mut seen = Vec::new();
    let mut result = Ok(());
    // A peer sends nothing after its RESUME before it has ours.
    let opening = if bytes.starts_with(&opened()) {
        opened().len()
    } else {
        0
    };
    let (opening, rest) = bytes.split_at(opening);
    for piece in opening.chunks(size).chain(rest.chunks(size)) {
        result = session.handle_input(piece, now);
        while let Some(event) = session.poll_event() {
            match event {
                Event::PeerHello(_) => session.resume(&[]).unwrap(),
                Event::Resumed { .. } => {
                    for n in 1..=3 {
                        session.send(id(n), b"body").unwrap();
                    }
                }
                other => seen.push(other),
            }
        }
        if result.is_err() {
            break;
        }
    }
    (session, result, seen)
}

fn rows() -> Vec<(&'static str, Vec<u8>, &'static str, Cause)> {
    use Cause::{Malformed, NothingInCommon, PeerBrokeRules, PeerEnded, Stranger};
    let after_hello = |bytes: Vec<u8>| [hello(), bytes].concat();
    let open = |bytes: Vec<u8>| [opened(), bytes].concat();
    let ack = |text: &str| open(frame(4, text.as_bytes()));
    let mut damaged = batch(1, &[b"one", b"two"]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut cut = batch(1, &[b"one", b"two"]);
    cut.truncate(cut.len() - 1);
    let len = cut.len() as u32 - 4;
    cut[..4].copy_from_slice(&len.to_be_bytes());
    vec![
        (
            "an HTTP client",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "GET / HTTP/1.1\\r\\n",
            Stranger,
        ),
        (
            "a TLS client",
            b"\x16\x03\x01\x02\x00\x01".to_vec(),
            "\\x16\\x03\\x01",
            Stranger,
        ),
        (
            "a preface that is nearly right",
            b"SITEWIRE-NOTIFY\r".to_vec(),
            "NOTIFY\\r",
            Stranger,
        ),
        (
            "length 0",
            [preface(), vec![0, 0, 0, 0]].concat(),
            "length is 0",
            Malformed,
        ),
        (
            "endless hello",
            [preface(), vec![0, 0, 0x10, 1]].concat(),
            "limit is 4096",
            Malformed,
        ),
        (
            "huge length",
            [preface(), vec![0xff; 4]].concat(),
            "4294967295 bytes",
            Malformed,
        ),
        (
            "huge length later",
            open(vec![0x01, 0, 0, 0]),
            "16777216 bytes",
            Malformed,
        ),
        (
            "first frame is no HELLO",
            [preface(), frame(5, b"{\"n\":1}")].concat(),
            "no HELLO",
            PeerBrokeRules,
        ),
        (
            "first frame is ignorable",
            [preface(), frame(0x80, b"")].concat(),
            "no HELLO",
            PeerBrokeRules,
        ),
        (
            "unknown type",
            open(frame(9, b"")),
            "unknown type 9",
            PeerBrokeRules,
        ),
        (
            "type 0",
            open(frame(0, b"")),
            "unknown type 0",
            PeerBrokeRules,
        ),
        (
            "HELLO is no JSON",
            [preface(), frame(1, b"hello")].concat(),
            "malformed HELLO",
            Malformed,
        ),
        (
            "HELLO without site",
            hello_with("\"site\"", "\"sight\""),
            "missing field `site`",
            Malformed,
        ),
        (
            "HELLO with a path as site",
            hello_with("\"b\"", "\"../b\""),
            "not a site id",
            Malformed,
        ),
        (
            "HELLO of another version, otherwise unreadable",
            [preface(), frame(1, br#"{"proto":[3,9],"max_frame":"big"}"#)].concat(),
            "here 1 to 1, peer 3 to 9",
            NothingInCommon,
        ),
        (
            "HELLO with our own name",
            hello_with("\"b\"", "\"a\""),
            "which we are",
            NothingInCommon,
        ),
        (
            "HELLO with tiny frames",
            hello_with("1048576", "100"),
            "max_frame",
            PeerBrokeRules,
        ),
        (
            "HELLO with endless frames",
            hello_with("1048576", "4294967295"),
            "max_frame",
            PeerBrokeRules,
        ),
        (
            "HELLO with negative frames",
            hello_with("1048576", "-1"),
            "malformed HELLO",
            Malformed,
        ),
        (
            "HELLO that is always dead",
            hello_with("30000", "0"),
            "dead_ms",
            PeerBrokeRules,
        ),
        (
            "a second HELLO",
            open(frame(1, HELLO.as_bytes())),
            "second HELLO",
            PeerBrokeRules,
        ),
        (
            "a second RESUME",
            open(frame(2, b"{}")),
            "second RESUME",
            PeerBrokeRules,
        ),
        (
            "RESUME with an id that is none",
            after_hello(frame(2, br#"{"have":["x"]}"#)),
            "not a UUID",
            Malformed,
        ),
        (
            "BATCH before RESUME",
            after_hello(batch(1, &[b"x"])),
            "no RESUME",
            PeerBrokeRules,
        ),
        (
            "ACK before RESUME",
            after_hello(frame(4, b"{}")),
            "malformed ACK",
            Malformed,
        ),
        (
            "PING before RESUME",
            after_hello(frame(5, b"{\"n\":1}")),
            "no RESUME",
            PeerBrokeRules,
        ),
        (
            "BATCH without number",
            open(frame(3, &[0; 7])),
            "no sequence number",
            Malformed,
        ),
        (
            "BATCH without message",
            open(frame(3, &1_u64.to_be_bytes())),
            "no message",
            Malformed,
        ),
        (
            "BATCH from 0",
            open(batch(0, &[b"x"])),
            "starts with message 0",
            PeerBrokeRules,
        ),
        (
            "BATCH with a gap",
            open(batch(2, &[b"x"])),
            "expected 1",
            PeerBrokeRules,
        ),
        (
            "BATCH twice",
            open([batch(1, &[b"x"]), batch(1, &[b"x"])].concat()),
            "expected 2",
            PeerBrokeRules,
        ),
        (
            "BATCH whose message is cut",
            open(cut),
            "beyond its frame",
            Malformed,
        ),
        (
            "BATCH with a damaged body",
            open(damaged),
            "checksum of message 2",
            Malformed,
        ),
        (
            "BATCH beyond the window",
            open(batch(1, &[b"x" as &[u8]; 5])),
            "window",
            PeerBrokeRules,
        ),
        (
            "ACK for what was never sent",
            ack(r#"{"seq":4,"window":{"msgs":4,"bytes":9}}"#),
            "only 3 were sent",
            PeerBrokeRules,
        ),
        (
            "ACK without window",
            ack(r#"{"seq":1}"#),
            "malformed ACK",
            Malformed,
        ),
        (
            "ACK that goes back",
            open(
                [
                    frame(4, br#"{"seq":2,"window":{"msgs":4,"bytes":9}}"#),
                    frame(4, br#"{"seq":1,"window":{"msgs":4,"bytes":9}}"#),
                ]
                .concat(),
            ),
            "after the one of 2",
            PeerBrokeRules,
        ),
        (
            "ACK that refuses above its number",
            ack(&refusal(1, 2, 2)),
            "out of turn",
            PeerBrokeRules,
        ),
        (
            "ACK that refuses what it acknowledged before",
            open(
                [
                    frame(4, br#"{"seq":2,"window":{"msgs":4,"bytes":9}}"#),
                    frame(4, refusal(3, 1, 1).as_bytes()),
                ]
                .concat(),
            ),
            "out of turn",
            PeerBrokeRules,
        ),
        (
            "ACK that refuses another id",
            ack(&refusal(3, 2, 3)),
            "which it is not",
            PeerBrokeRules,
        ),
        (
            "ACK with records of what we never acknowledged",
            ack(r#"{"seq":0,"window":{"msgs":4,"bytes":9},"settled":1}"#),
            "1 acknowledgements",
            PeerBrokeRules,
        ),
        (
            "PONG that answers nothing",
            open(frame(6, b"{\"n\":1}")),
            "answers nothing",
            PeerBrokeRules,
        ),
        (
            "PING without number",
            open(frame(5, b"{}")),
            "malformed PING",
            Malformed,
        ),
        (
            "JSON that is not UTF-8",
            open(frame(5, b"{\"n\":1,\"\xff\":0}")),
            "malformed PING",
            Malformed,
        ),
        (
            "JSON that nests for ever",
            open(frame(5, &[b'['; 60_000])),
            "malformed PING",
            Malformed,
        ),
        (
            "the peer's own error",
            open(frame(8, br#"{"code":"violation","text":"no\u001b[2J"}"#)),
            "no\\u{1b}[2J (violation)",
            PeerEnded,
        ),
        (
            "an error instead of a HELLO",
            [preface(), frame(8, br#"{"code":"busy"}"#)].concat(),
            "(busy)",
            PeerEnded,
        ),
    ]
}

fn refusal(seq: u64, refused: u64, of: u64) -> String {
    format!(
        r#"{{"seq":{seq},"window":{{"msgs":4,"bytes":9}},"refused":[{{"seq":{refused},"id":"{}","code":"loop"}}]}}"#,
        id(of)
    )
}

#[test]
fn each_ends_the_connection_and_names_whose_fault_it_is() {
    for size in [usize::MAX, 1] {
        for (name, bytes, message, cause) in rows() {
            let (mut session, result, seen) = feed(&bytes, size);
            let error = result.expect_err(name);
            let text = error.to_string();
            // Byte by byte, a stranger is known by less.
            if size > 1 || cause != Cause::Stranger {
                assert!(text.contains(message), "{name}: {text}");
            }
            assert_eq!(error.cause(), cause, "{name}");
            assert!(
                session.is_finished() && session.poll_timeout().is_none(),
                "{name}"
            );
            // Acknowledged is at most what the good ACK before said.
            for event in seen {
                match event {
                    Event::Acknowledged { ids } => assert_eq!(ids, [id(1), id(2)], "{name}"),
                    Event::Message { seq, .. } => assert!(seq <= 4, "{name}"),
                    Event::Window(_) => {}
                    other => panic!("{name}: {other:?}"),
                }
            }
            check_last_words(name, &output(&mut session, 1), cause);
            assert_eq!(
                session.handle_input(&bytes, Instant::now()),
                Ok(()),
                "{name}"
            );
        }
    }
}

/// The peer is told by an ERROR frame at the end; a stranger is told nothing.
fn check_last_words(name: &str, output: &[u8], cause: Cause) {
    let text = String::from_utf8_lossy(output);
    let told = text.contains("{\"code\":");
    match cause {
        Cause::Stranger => assert!(output.is_empty(), "{name}: {text}"),
        Cause::PeerEnded => assert!(!told, "{name}: {text}"),
        _ => assert!(told && text.ends_with('}'), "{name}: {text}"),
    }
}

#[test]
fn a_stranger_is_known_from_its_first_wrong_byte() {
    let now = Instant::now();
    let mut session = session(now);
    session.handle_input(b"SITEWIRE-", now).unwrap();
    let error = session.handle_input(b"n", now).unwrap_err();
    let first = b"SITEWIRE-n".to_vec();
    assert_eq!(error, Error::NotThisProtocol { first });
    let long = session_error(&[b'x'; 5000]);
    assert!(matches!(long, Error::NotThisProtocol { first } if first.len() == frame::FIRST_BYTES));
}

fn session_error(bytes: &[u8]) -> Error {
    feed(bytes, usize::MAX).1.unwrap_err()
}

#[test]
fn what_may_be_ignored_is_ignored() {
    let bytes = [
        opened(),
        frame(0x80, b"anything"),
        frame(0xff, b""),
        frame(5, br#"{"n":1,"mood":"blue"}"#),
        batch(1, &[b"x"]),
    ]
    .concat();
    let (_, result, seen) = feed(&bytes, 3);
    assert_eq!(result, Ok(()));
    assert_eq!(seen.len(), 2);
    assert_eq!(messages(&seen)[0].2, b"x");
}

#[test]
fn a_flood_of_pings_is_one_question() {
    let mut bytes = opened();
    for n in 1..=10_000 {
        bytes.extend(frame(5, format!("{{\"n\":{n}}}").as_bytes()));
    }
    let (mut session, result, seen) = feed(&bytes, usize::MAX);
    assert_eq!((result, seen.len()), (Ok(()), 1));
    output(&mut session, usize::MAX);
    session.pong(wire::Health::default());
    session.pong(wire::Health::default());
    let answer = output(&mut session, usize::MAX);
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert_eq!(text.matches("\"n\":").count(), 1);
    assert!(text.contains("\"n\":10000"), "{text}");
}

#[test]
fn a_recorded_conversation_cut_anywhere_waits_for_more() {
    let bytes = [
        opened(),
        batch(1, &[b"one", b"two"]),
        frame(5, b"{\"n\":1}"),
    ]
    .concat();
    for end in 0..bytes.len() {
        let (mut session, result, seen) = feed(&bytes[..end], usize::MAX);
        assert_eq!(result, Ok(()), "{end}");
        assert!([0, 2].contains(&messages(&seen).len()), "{end}");
        let error = session.handle_end().unwrap_err();
        assert_eq!(error.cause(), Cause::Dead, "{end}");
    }
}

#[test]
fn a_conversation_with_one_wrong_byte_never_panics_nor_changes_a_body() {
    let bytes = [
        opened(),
        batch(1, &[b"one", b"two"]),
        frame(5, b"{\"n\":1}"),
    ]
    .concat();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            let (_, _, seen) = feed(&wrong, usize::MAX);
            for (_, _, body) in messages(&seen) {
                assert!(
                    [&b"one"[..], b"two"].contains(&&body[..]),
                    "byte {at} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn garbage_after_the_opening_never_panics() {
    let mut chance = Chance(7);
    for _ in 0..2000 {
        let mut bytes = opened();
        for _ in 0..chance.below(4) {
            let payload: Vec<u8> = (0..chance.below(80)).map(|_| chance.next() as u8).collect();
            bytes.extend(frame(chance.below(10) as u8, &payload));
        }
        let (session, result, _) = feed(&bytes, 1 + chance.below(50));
        assert_eq!(session.is_finished(), result.is_err());
    }
}

#[test]
fn one_connection_s_error_tells_the_other_end_why() {
    let mut pair = Pair::open(config("a"), config("b"));
    let now = pair.now;
    let error = pair.a.handle_input(&frame(9, b""), now).unwrap_err();
    let last = output(&mut pair.a, usize::MAX);
    let heard = pair.b.handle_input(&last, now).unwrap_err();
    let want = Error::Peer {
        code: "unsupported".into(),
        text: error.to_string(),
    };
    assert_eq!(heard, want);
    assert_eq!(events(&mut pair.b), []);
}
