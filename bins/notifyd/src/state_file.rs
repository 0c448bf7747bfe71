//! The state file, in the text form that Checkmk's own check reads, and beside
//! it the same and more as JSON.
//!
//! What that check insists on, and what therefore must not be "tidied up":
//! version and update time are the first two lines and are taken by position;
//! after `Spool` come exactly count, oldest, youngest, for all three spools;
//! `Site` comes before `Connection`; between `Type` and `Notifications
//! Received` stands no line of ours, only after it; `State` is one of four
//! words. The agent ships the file through `grep`, which takes it for binary
//! if anything but text is in it: what came from outside is escaped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use objects::{SiteId, UnixTime};
use serde_json::{Value, json};
use spool::End;

use crate::figures::{CanaryFigures, LaneFigures, LinkFigures, QueueFigures, Stack};

/// Everything that stands in the file.
pub(crate) struct State {
    pub(crate) site: SiteId,
    pub(crate) updated: UnixTime,
    pub(crate) started: UnixTime,
    pub(crate) configuration: UnixTime,
    /// Until when our certificate is valid.
    pub(crate) certificate_expires: Option<UnixTime>,
    /// The descriptor of the first listener.
    pub(crate) listening: Option<i32>,
    /// What people should know of.
    pub(crate) warnings: Vec<String>,
    pub(crate) queue: QueueFigures,
    pub(crate) links: Vec<(SiteId, LinkFigures)>,
}

impl State {
    /// Replaces `file` and `file.json`.
    pub(crate) fn write(&self, file: &Path) -> std::io::Result<()> {
        let text = self.print();
        let json = self.print_json().to_string() + "\n";
        program::file::replace(file, 0o644, |out| out.write_all(text.as_bytes()))?;
        program::file::replace(&json_name(file), 0o644, |out| {
            out.write_all(json.as_bytes())
        })
    }

    /// The text form.
    pub(crate) fn print(&self) -> String {
        let now = self.updated;
        let mut out = String::from("# notifyd state file\n");
        let global = [
            ("Version:", program::RELEASE.to_owned()),
            ("Updated:", moment(self.updated)),
            ("Started:", ago(self.started, now)),
            ("Configuration:", ago(self.configuration, now)),
            ("Listening FD:", descriptor(self.listening)),
        ];
        print_block(&mut out, 17, &global);
        for (name, stack) in [
            ("New", self.queue.new),
            ("Deferred", self.queue.deferred),
            ("Corrupted", self.queue.corrupted),
        ] {
            print_block(&mut out, 17, &spool_lines(name, stack));
        }
        // Forwarded notifications have no plugin; the check's name for that is None.
        let forwarded = self.queue.forwards.iter().map(|line| ("None", line));
        let lanes = self
            .queue
            .lanes
            .iter()
            .map(|lane| (&*lane.line.name, &lane.line));
        for (name, line) in lanes.chain(forwarded) {
            let block = [
                ("Queue:", name.to_owned()),
                ("Waiting:", line.waiting.to_string()),
                ("Processing:", line.processing.to_string()),
            ];
            print_block(&mut out, 17, &block);
        }
        for (site, link) in &self.links {
            print_block(&mut out, 26, &link_lines(site, link, now));
        }
        if let Some(error) = &self.queue.disk_error {
            print_block(&mut out, 26, &[("Disk Error:", error.clone())]);
        }
        for warning in &self.warnings {
            print_block(&mut out, 26, &[("Warning:", warning.clone())]);
        }
        out
    }

    /// The JSON form: one object, durations in seconds, times RFC 3339 in UTC.
    pub(crate) fn print_json(&self) -> Value {
        let queue = &self.queue;
        let lines = |lines: &[crate::figures::Line]| -> Vec<Value> {
            let one = |line: &crate::figures::Line| json!({"name": line.name, "waiting": line.waiting, "processing": line.processing});
            lines.iter().map(one).collect()
        };
        json!({
            "program": "notifyd",
            "version": program::RELEASE,
            "pid": std::process::id(),
            "site": self.site.as_str(),
            "updated": utc(self.updated),
            "started": utc(self.started),
            "configuration": utc(self.configuration),
            "certificate_expires": self.certificate_expires.and_then(utc),
            "warnings": self.warnings,
            "disk_error": queue.disk_error,
            "disk_warning": queue.disk_warning,
            "new": self.stack_json(queue.new),
            "deferred": self.stack_json(queue.deferred),
            "corrupted": self.stack_json(queue.corrupted),
            "lanes": queue.lanes.iter().map(lane_json).collect::<Vec<_>>(),
            "forwards": lines(&queue.forwards),
            "canary": canary_json(&queue.canary),
            "totals": totals_json(queue),
            "open": queue.open,
            "held": queue.held,
            "accepted": queue.accepted,
            "duplicates": queue.duplicates,
            "delivered": queue.delivered,
            "failed": queue.failed,
            "peers": self.links.iter().map(|(site, link)| self.link_json(site, link)).collect::<Vec<_>>(),
        })
    }

    fn stack_json(&self, stack: Stack) -> Value {
        let age = stack.oldest.map(|oldest| age_secs(oldest, self.updated));
        json!({"count": stack.count, "oldest_s": age})
    }

    fn link_json(&self, site: &SiteId, link: &LinkFigures) -> Value {
        json!({
            "site": site.as_str(),
            "address": link.address,
            "type": link_type(link),
            "state": link.state.word(),
            "message": link.message,
            "since": utc(link.since),
            "connect_time_s": link.connect_time.map(|time| time.as_secs_f64()),
            "sent": link.sent,
            "received": link.received,
            "in_doubt": link.in_doubt,
            "paused": link.paused,
            "heartbeat_s": link.heartbeat.as_secs_f64(),
            "last_incoming": utc(link.last_incoming),
            "silent_since": self.queue.silent.get(site).and_then(|since| utc(*since)),
            "clock_skew_s": link.clock_skew_us.map(|us| us as f64 / 1e6),
        })
    }
}

fn lane_json(lane: &LaneFigures) -> Value {
    let breaker = lane.breaker.as_ref().map(|breaker| {
        json!({
            "since": utc(breaker.since),
            "next_s": breaker.next.map(|next| next.as_secs_f64()),
            "why": breaker.why,
        })
    });
    let paused = lane.paused.as_ref().map(|paused| {
        json!({
            "since": utc(paused.since),
            "until": paused.until.and_then(utc),
            "hand": paused.hand,
        })
    });
    json!({
        "name": lane.line.name,
        "waiting": lane.line.waiting,
        "processing": lane.line.processing,
        "places": lane.places,
        "collected": lane.collected,
        "breaker": breaker,
        "paused": paused,
    })
}

fn canary_json(canary: &CanaryFigures) -> Value {
    let secs = |length: std::time::Duration| length.as_secs_f64();
    json!({
        "every_s": canary.every.map(secs),
        "within_s": secs(canary.within),
        "sent": canary.sent,
        "came_through": canary.came_through,
        "arrived": canary.arrived,
        "last_sent": canary.last_sent.and_then(utc),
        "last_came_through": canary.last_came_through.and_then(utc),
        "round_trip_s": canary.round_trip.map(secs),
        "overdue_since": canary.overdue_since.and_then(utc),
    })
}

/// What was accepted over the life of the spool is the sum of all others.
fn totals_json(queue: &QueueFigures) -> Value {
    let totals = &queue.totals;
    let mut all = json!({
        "submitted": totals.submitted,
        "received": totals.received,
        "open": queue.open,
        "lost": totals.lost(queue.open),
    });
    for end in End::ALL {
        all[end.words().replace(' ', "_")] = totals.ended(end).into();
    }
    all
}

/// Where the JSON form of a state file stands.
pub(crate) fn json_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn print_block(out: &mut String, width: usize, lines: &[(&str, String)]) {
    for (key, value) in lines {
        // The trailing blank of an empty value would be a difference nobody sees.
        let line = format!("{key:<width$}{}", escape(value));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push('\n');
}

fn spool_lines(name: &str, stack: Stack) -> [(&'static str, String); 4] {
    let time = |time: Option<UnixTime>| time.map_or_else(String::new, moment);
    [
        ("Spool:", name.to_owned()),
        ("Count:", stack.count.to_string()),
        ("Oldest:", time(stack.oldest)),
        ("Youngest:", time(stack.youngest)),
    ]
}

fn link_lines(site: &SiteId, link: &LinkFigures, now: UnixTime) -> Vec<(&'static str, String)> {
    let address = match link.address.as_str() {
        "" => "unknown:0",
        address => address,
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let mut lines = vec![
        ("Site:", format!("{site} ({host})")),
        ("Connection:", address.to_owned()),
        ("Type:", link_type(link).to_owned()),
        ("State:", link.state.word().to_owned()),
    ];
    let message = match link.paused {
        true => format!("{}; it takes nothing now", link.message),
        false => link.message.clone(),
    };
    if !message.is_empty() {
        lines.push(("Status Message:", message));
    }
    lines.push(("Since:", ago(link.since, now)));
    if let Some(time) = link.connect_time {
        lines.push(("Connect Time:", format!("{:.3} sec", time.as_secs_f64())));
    }
    lines.extend([
        ("Notifications Sent:", link.sent.to_string()),
        ("Notifications Received:", link.received.to_string()),
        ("Pending Acknowledgements:", link.in_doubt.to_string()),
        ("Socket FD:", descriptor(link.socket)),
        ("HB. Interval:", format!("{} sec", link.heartbeat.as_secs())),
        ("LastIncomingData:", ago(link.last_incoming, now)),
        ("LastHeartbeat:", ago(link.last_heartbeat, now)),
        ("InputBuffer:", "0 Bytes".to_owned()),
        ("OutputBuffer:", "0 Bytes".to_owned()),
    ]);
    lines
}

fn descriptor(number: Option<i32>) -> String {
    number.unwrap_or(-1).to_string()
}

fn link_type(link: &LinkFigures) -> &'static str {
    if link.outgoing {
        "outgoing"
    } else {
        "incoming"
    }
}

/// ASCII without control characters, whatever the agent's locale is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            out.push(c);
        } else {
            let _ = write!(out, "{}", c.escape_default());
        }
    }
    out
}

fn age_secs(time: UnixTime, now: UnixTime) -> i64 {
    (now.secs() - time.secs()).max(0)
}

fn timestamp(time: UnixTime) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default()
}

fn utc(time: UnixTime) -> Option<String> {
    let whole = UnixTime::from_secs(time.secs());
    (!time.is_never()).then(|| timestamp(whole).to_string())
}

fn local(time: UnixTime) -> String {
    let zoned = timestamp(time).to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `1795216800 (2026-11-20 23:20:00)`
fn moment(time: UnixTime) -> String {
    format!("{} ({})", time.secs(), local(time))
}

/// `1795216800 (2026-11-20 23:20:00, 10 sec ago)`
fn ago(time: UnixTime, now: UnixTime) -> String {
    let age = age_secs(time, now);
    format!("{} ({}, {age} sec ago)", time.secs(), local(time))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::checkmk::{self, Shown, Verdict};
    use crate::figures::{Line, LinkState};

    fn state() -> State {
        let now = UnixTime::from_secs(1_795_216_800);
        let mut new = Stack::default();
        new.add(UnixTime::from_secs(1_795_216_790));
        new.add(UnixTime::from_secs(1_795_216_799));
        let line = |name: &str| Line {
            name: name.into(),
            waiting: 2,
            processing: 1,
        };
        State {
            site: SiteId::new("central").unwrap(),
            updated: now,
            started: UnixTime::from_secs(1_795_216_700),
            configuration: UnixTime::from_secs(1_795_216_700),
            certificate_expires: Some(UnixTime::from_secs(1_795_316_700)),
            listening: Some(7),
            warnings: vec!["our certificate expires in 1 days".into()],
            queue: QueueFigures {
                new,
                lanes: vec![LaneFigures {
                    line: line("mail"),
                    places: 4,
                    collected: 0,
                    breaker: None,
                    paused: None,
                }],
                forwards: vec![line("other")],
                ..QueueFigures::default()
            },
            links: vec![(
                SiteId::new("branch7").unwrap(),
                LinkFigures {
                    up: Vec::new(),
                    address: "192.0.2.7:6555".into(),
                    outgoing: true,
                    state: LinkState::Cooldown,
                    message: "connection refused: \u{7}\u{fc}".into(),
                    since: UnixTime::from_secs(1_795_216_700),
                    connect_time: Some(Duration::from_millis(2)),
                    sent: 12,
                    received: 40,
                    in_doubt: 0,
                    heartbeat: Duration::from_secs(10),
                    last_incoming: UnixTime::from_secs(1_795_216_695),
                    last_heartbeat: UnixTime::NEVER,
                    clock_skew_us: None,
                    paused: false,
                    socket: Some(9),
                },
            )],
        }
    }

    fn shown(state: &State) -> Shown {
        let text = state.print();
        let section = checkmk::section(text.as_bytes(), "site", state.updated.secs());
        let shown = section.and_then(|section| checkmk::check(&section));
        shown.unwrap_or_else(|why| panic!("{why}\n{text}"))
    }

    #[test]
    fn checkmk_can_read_it() {
        let text = state().print();
        let shown = shown(&state());
        assert_eq!(shown.version, "0.1.0");
        assert_eq!(shown.counts, [2, 0, 0]);
        assert_eq!(shown.spooler, Verdict::Ok);
        assert_eq!(
            shown.queues,
            [("mail".to_owned(), 2, 1), ("None".to_owned(), 2, 1)]
        );
        let peer = &shown.connections["branch7"];
        assert_eq!((peer.verdict, peer.is_incoming), (Verdict::Crit, false));
        assert_eq!((peer.sent, peer.received), (12, 40));
        assert_eq!((shown.listening, peer.socket), (7, 9));
        assert_eq!(peer.message, "connection refused: \\u{7}\\u{fc}");
        assert!(text.contains("\nSite:                     branch7 (192.0.2.7)\n"));
        assert!(text.contains("\nCount:           2\n"), "{text}");
        assert!(text.contains(", 100 sec ago)\n"), "{text}");
    }

    #[test]
    fn checkmk_can_read_it_in_every_condition() {
        type Change = fn(&mut State);
        let conditions: [(&str, Change); 12] = [
            ("no peers and no lanes", |state| {
                state.links.clear();
                state.queue = QueueFigures::default();
            }),
            ("a peer that was never there", |state| {
                state.links[0].1.address.clear();
                state.links[0].1.state = LinkState::Initial;
                state.links[0].1.last_incoming = UnixTime::NEVER;
            }),
            ("connecting", |state| {
                state.links[0].1.state = LinkState::Connecting;
            }),
            ("connected", |state| {
                let link = &mut state.links[0].1;
                link.state = LinkState::Established;
                link.message = "sitewire 0.1.0 at [2001:db8::1]:6555".into();
                link.address = "[2001:db8::1]:6555".into();
                link.clock_skew_us = Some(-7_000_000);
            }),
            ("a peer that takes nothing", |state| {
                let link = &mut state.links[0].1;
                (link.state, link.paused) = (LinkState::Established, true);
            }),
            ("a Unix socket", |state| {
                state.links[0].1.address = "unix:/run/a b:c".into();
            }),
            ("a TLS error with the words of a peer", |state| {
                state.links[0].1.message =
                    "invalid peer certificate: Expired\nState: up\n\n".into();
            }),
            ("deferred and corrupted", |state| {
                state.queue.deferred.add(UnixTime::from_secs(1_795_216_000));
                state
                    .queue
                    .corrupted
                    .add(UnixTime::from_secs(1_795_216_000));
            }),
            ("a full disk", |state| {
                state.queue.disk_error = Some("no space left: Count:\r\n".into());
            }),
            ("a bad configuration after a reload", |state| {
                state.warnings = vec!["notifyd.toml:7: unknown key `\u{e4}`\nSpool: x".into()];
            }),
            ("an expired certificate, and plain text", |state| {
                state.certificate_expires = Some(UnixTime::from_secs(1));
                state.warnings = vec!["our certificate has expired".into(), "plain text".into()];
            }),
            ("a clock that was set back", |state| {
                state.updated = UnixTime::from_secs(1_795_000_000);
            }),
        ];
        for (name, change) in conditions {
            let mut state = state();
            change(&mut state);
            let shown = shown(&state);
            assert_eq!(shown.connections.len(), state.links.len(), "{name}");
            let expected = match state.queue.deferred.count {
                0 => Verdict::Ok,
                _ => Verdict::Crit,
            };
            assert_eq!(shown.spooler, expected, "{name}");
        }
    }

    #[test]
    fn json_has_the_same_figures() {
        let json = state().print_json();
        assert_eq!(json["new"]["count"], 2);
        assert_eq!(json["new"]["oldest_s"], 10);
        assert_eq!(json["peers"][0]["state"], "cooldown");
        assert_eq!(json["updated"], "2026-11-20T23:20:00Z");
    }
}
