//! Conversations as they were once, byte by byte: every release must be able to
//! go on with them, from either end. Files of earlier releases stay as they
//! are; `SITEWIRE_RECORD=1` writes those of this one anew.

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{config_with_window, id, output};
use wire::{Config, Event, Health, RefusalCode, Session};

/// What both ends do, in this release. `a!` and `b!` are what the owner of the
/// journal says of itself; everything else is answered by the rules in [`End::answer`].
const SCRIPTS: [(&str, &str); 3] = [
    (
        "protocol-1-messages",
        "a! send 1 {\"v\":1,\"id\":\"one\"}\na! send 2 two\na! send 3 poison\na! send 4 four\n\
         b! send 5 the other way\nt 10000\na! send 6 six\nt 10000\nb! goaway stopping 5000\n",
    ),
    (
        "protocol-1-window",
        "b! window 0\na! send 1 waits\nt 10000\nb! window 2\na! send 2 two\na! send 3 three\n\
         t 10000\na! goaway done 0\n",
    ),
    (
        "protocol-1-resume",
        "b! have 7 8\na! send 9 new\nt 10000\nb! goaway duplicate 60000\n",
    ),
];

/// One end and its owner.
struct End {
    session: Session,
    have: Vec<u64>,
}

impl End {
    fn new(name: &str, now: Instant) -> Self {
        let config = Config {
            version: "0.1.0".into(),
            features: vec![wire::config::FEATURE_RESULTS.into()],
            ..config_with_window(name, 8)
        };
        Self {
            session: Session::new(config, now),
            have: Vec::new(),
        }
    }

    fn obey(&mut self, command: &str, now: Instant) {
        let (word, rest) = command.split_once(' ').unwrap();
        match word {
            "send" => {
                let (n, body) = rest.split_once(' ').unwrap();
                let n = n.parse().unwrap();
                self.session.send(id(n), body.as_bytes()).unwrap();
            }
            "window" => self.session.grant(wire::Window {
                msgs: rest.parse().unwrap(),
                bytes: 1 << 20,
            }),
            "have" => self.have = rest.split(' ').map(|n| n.parse().unwrap()).collect(),
            "goaway" => {
                let (reason, millis) = rest.split_once(' ').unwrap();
                let pause = Duration::from_millis(millis.parse().unwrap());
                self.session.go_away(reason, pause, now);
            }
            other => panic!("{other}"),
        }
    }

    /// Answers an event as an owner does whose journal has no delay, and says
    /// in words what it was.
    fn answer(&mut self, event: Event) -> String {
        let session = &mut self.session;
        match event {
            Event::PeerHello(hello) => {
                let have: Vec<_> = self.have.iter().map(|n| id(*n)).collect();
                session.resume(&have).unwrap();
                let hello = (hello.hello.site, hello.protocol, hello.features);
                format!("hello {} {} {:?}", hello.0, hello.1, hello.2)
            }
            Event::Resumed { have, window } => {
                have.iter().for_each(|id| session.settled(*id));
                format!("resumed {have:?} {} {}", window.msgs, window.bytes)
            }
            Event::Message { seq, id, body } => {
                match body == b"poison" {
                    true => session.refuse(seq, RefusalCode::Corrupt, "poison").unwrap(),
                    false => session.stored(seq).unwrap(),
                }
                format!("message {seq} {id} {}", body.escape_ascii())
            }
            Event::Acknowledged { ids } => {
                ids.iter().for_each(|id| session.settled(*id));
                format!("acknowledged {ids:?}")
            }
            Event::Refused { id, code, text } => {
                session.settled(id);
                format!("refused {id} {code} {text}")
            }
            Event::Ping { queued, oldest_us } => {
                session.pong(Health::default());
                format!("ping {queued} {oldest_us}")
            }
            Event::Pong { health, .. } => format!("pong {:?}", health.disk),
            Event::Window(window) => format!("window {} {}", window.msgs, window.bytes),
            Event::PeerSettled { seq } => format!("settled {seq}"),
            Event::GoAway {
                reason,
                retry_after,
            } => format!("goaway {reason} {retry_after:?}"),
        }
    }

    fn events(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(event) = self.session.poll_event() {
            all.push(self.answer(event));
        }
        all
    }
}

/// What two ends of this release say to each other.
fn record(script: &str) -> String {
    let mut now = Instant::now();
    let mut ends = [End::new("a", now), End::new("b", now)];
    let mut text = String::new();
    let mut lines = script.lines().peekable();
    // What is said before the first frame is not said in time.
    while let Some(line) = lines.next_if(|line| line.contains("! have ")) {
        let _ = writeln!(text, "{line}");
        ends[usize::from(line.starts_with('b'))].obey(&line[3..], now);
    }
    exchange(&mut ends, &mut text, now);
    for line in lines {
        let _ = writeln!(text, "{line}");
        match line.split_once(' ').unwrap() {
            ("t", millis) => {
                now += Duration::from_millis(millis.parse().unwrap());
                for end in &mut ends {
                    end.session.handle_timeout(now).unwrap();
                }
            }
            (who, command) => ends[usize::from(who == "b!")].obey(command, now),
        }
        exchange(&mut ends, &mut text, now);
    }
    text
}

fn exchange(ends: &mut [End; 2], text: &mut String, now: Instant) {
    loop {
        let mut quiet = true;
        for (from, name) in ["a", "b"].into_iter().enumerate() {
            let bytes = output(&mut ends[from].session, usize::MAX);
            if bytes.is_empty() {
                continue;
            }
            quiet = false;
            let _ = writeln!(text, "{name}> {}", bytes.escape_ascii());
            let to = 1 - from;
            ends[to].session.handle_input(&bytes, now).unwrap();
            for event in ends[to].events() {
                let _ = writeln!(text, "{}= {event}", ["a", "b"][to]);
            }
        }
        if quiet {
            return;
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut all = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            all.push(byte);
            continue;
        }
        all.push(match bytes.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    all
}

/// Plays one end of a recorded conversation; the other one's bytes come as they
/// were recorded, `step` at a time.
fn replay(text: &str, role: &str, step: usize) {
    let mut now = Instant::now();
    let mut end = End::new(role, now);
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').unwrap();
        match (mark.strip_prefix(role), mark) {
            (Some("!"), _) => end.obey(rest, now),
            (Some(">"), _) => {
                let said = output(&mut end.session, usize::MAX);
                // In how many frames it says something depends on how it hears.
                if step == usize::MAX {
                    assert_eq!(said.escape_ascii().to_string(), rest, "{role}");
                }
            }
            (Some("="), _) => want.push(rest.to_owned()),
            (_, "t") => {
                now += Duration::from_millis(rest.parse().unwrap());
                end.session.handle_timeout(now).unwrap();
            }
            (None, other) if other.ends_with('>') => {
                for piece in unescape(rest).chunks(step) {
                    end.session.handle_input(piece, now).unwrap();
                    got.extend(end.events());
                }
            }
            _ => {}
        }
    }
    assert_eq!(got, want, "{role}, {step} bytes at a time");
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn this_release_says_what_was_recorded() {
    for (name, script) in SCRIPTS {
        let path = data().join(format!("{name}.txt"));
        let now = record(script);
        if std::env::var_os("SITEWIRE_RECORD").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        assert_eq!(now, std::fs::read_to_string(path).unwrap(), "{name}");
    }
}

#[test]
fn recorded_conversations_go_on_from_either_end() {
    let mut count = 0;
    for entry in std::fs::read_dir(data()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for role in ["a", "b"] {
            for step in [1, 7, usize::MAX] {
                replay(&text, role, step);
            }
        }
        count += 1;
    }
    assert!(count >= SCRIPTS.len());
}
