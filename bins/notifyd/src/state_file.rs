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

use crate::figures::{LinkFigures, QueueFigures, Stack};

/// Everything that stands in the file.
pub(crate) struct State {
    pub(crate) site: SiteId,
    pub(crate) updated: UnixTime,
    pub(crate) started: UnixTime,
    pub(crate) configuration: UnixTime,
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
            ("Listening FD:", String::from("-1")),
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
        let lanes = self.queue.lanes.iter().map(|line| (&*line.name, line));
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
            "disk_error": queue.disk_error,
            "disk_warning": queue.disk_warning,
            "new": self.stack_json(queue.new),
            "deferred": self.stack_json(queue.deferred),
            "corrupted": self.stack_json(queue.corrupted),
            "lanes": lines(&queue.lanes),
            "forwards": lines(&queue.forwards),
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
            "heartbeat_s": link.heartbeat.as_secs_f64(),
            "last_incoming": utc(link.last_incoming),
            "clock_skew_s": link.clock_skew_us.map(|us| us as f64 / 1e6),
        })
    }
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
    if !link.message.is_empty() {
        lines.push(("Status Message:", link.message.clone()));
    }
    lines.push(("Since:", ago(link.since, now)));
    if let Some(time) = link.connect_time {
        lines.push(("Connect Time:", format!("{:.3} sec", time.as_secs_f64())));
    }
    lines.extend([
        ("Notifications Sent:", link.sent.to_string()),
        ("Notifications Received:", link.received.to_string()),
        ("Pending Acknowledgements:", link.in_doubt.to_string()),
        ("Socket FD:", "-1".to_owned()),
        ("HB. Interval:", format!("{} sec", link.heartbeat.as_secs())),
        ("LastIncomingData:", ago(link.last_incoming, now)),
        ("LastHeartbeat:", ago(link.last_heartbeat, now)),
        ("InputBuffer:", "0 Bytes".to_owned()),
        ("OutputBuffer:", "0 Bytes".to_owned()),
    ]);
    lines
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
            queue: QueueFigures {
                new,
                lanes: vec![line("mail")],
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
                },
            )],
        }
    }

    /// Reads the file as Checkmk's check does, with its demands; an error
    /// where that check would raise one.
    fn parse_as_checkmk(text: &str) -> Result<Vec<Vec<(String, String)>>, String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines: Vec<&str> = lines.collect();
        let pair = |line: &str| {
            let (key, value) = line.split_once(':').ok_or(format!("no colon: {line}"))?;
            Ok::<_, String>((key.to_owned(), value.trim().to_owned()))
        };
        let updated = pair(lines[1])?.1;
        let first = updated.split(' ').next().unwrap_or("");
        first.parse::<i64>().map_err(|e| format!("{first}: {e}"))?;
        let mut blocks = vec![vec![]];
        for line in &lines {
            if line.is_empty() {
                blocks.push(vec![]);
            } else {
                let pair = pair(line)?;
                blocks.last_mut().unwrap().push(pair);
            }
        }
        blocks.retain(|block| !block.is_empty());
        let named = |key: &str| -> Vec<&Vec<(String, String)>> {
            blocks.iter().filter(|b| b[0].0 == key).collect()
        };
        let spools = named("Spool");
        let names: Vec<&str> = spools.iter().map(|b| b[0].1.as_str()).collect();
        if names != ["New", "Deferred", "Corrupted"] {
            return Err(format!("spools {names:?}"));
        }
        for spool in spools {
            let keys: Vec<&str> = spool.iter().map(|(key, _)| key.as_str()).collect();
            if keys != ["Spool", "Count", "Oldest", "Youngest"] {
                return Err(format!("spool {keys:?}"));
            }
            spool[1].1.parse::<u64>().map_err(|e| e.to_string())?;
        }
        for link in named("Site") {
            let keys: Vec<&str> = link.iter().map(|(key, _)| key.as_str()).collect();
            if keys[1..4] != ["Connection", "Type", "State"] {
                return Err(format!("connection {keys:?}"));
            }
            let end = keys.iter().position(|k| *k == "Notifications Received");
            for key in &keys[4..end.ok_or("no counters")?] {
                if ![
                    "Status Message",
                    "Since",
                    "Connect Time",
                    "Notifications Sent",
                ]
                .contains(key)
                {
                    return Err(format!("foreign line {key}"));
                }
            }
            if !["initial", "connecting", "established", "cooldown"].contains(&&*link[3].1) {
                return Err(format!("state {}", link[3].1));
            }
        }
        Ok(blocks)
    }

    #[test]
    fn checkmk_can_read_it() {
        let text = state().print();
        let blocks = parse_as_checkmk(&text).unwrap();
        assert_eq!(blocks.len(), 7, "{text}");
        assert_eq!(blocks[0][0], ("Version".into(), "0.1.0".into()));
        assert!(blocks[0][1].1.starts_with("1795216800 ("), "{text}");
        assert!(text.is_ascii() && !text.contains('\u{7}'), "{text}");
        assert!(
            text.contains("\nSite:                     branch7 (192.0.2.7)\n"),
            "{text}"
        );
        assert!(text.contains("\nCount:           2\n"), "{text}");
        assert!(text.contains(", 100 sec ago)\n"), "{text}");
    }

    #[test]
    fn a_peer_that_was_never_there_is_shown() {
        let mut state = state();
        state.links[0].1.address.clear();
        state.links[0].1.state = LinkState::Initial;
        parse_as_checkmk(&state.print()).unwrap();
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
