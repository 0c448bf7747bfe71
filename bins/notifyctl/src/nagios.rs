//! `notifyctl status --nagios`: the state file as a plugin of a monitoring core
//! reads it. Everything is as old as the clock of the reader says.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use program::{Failure, Status};
use serde_json::Value;

use crate::cli::hand::{Limit, Of, StatusArgs};
use crate::run::line;
use crate::status::{age_secs, array, since_secs};
use crate::words;

/// The state file is written every 20 seconds. Two may be missed.
const STALE_WARN: i64 = 60;
const STALE_CRIT: i64 = 90;

/// States of a service, by their exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// From what on something is worth a word.
struct Levels {
    warn: Option<u64>,
    crit: Option<u64>,
}

impl Levels {
    /// What was asked for, else the default; 0 switches a level off.
    fn of(args: &StatusArgs, what: Of) -> Self {
        let (warn, crit) = what.defaults();
        let pick = |limits: &[Limit], default: Option<u64>| {
            let asked = limits.iter().rev().find(|limit| limit.of == what);
            asked.map_or(default, |limit| (limit.value > 0).then_some(limit.value))
        };
        Self {
            warn: pick(&args.warning, warn),
            crit: pick(&args.critical, crit),
        }
    }

    fn judge(&self, value: u64) -> Verdict {
        let over = |level: Option<u64>| level.is_some_and(|level| value >= level);
        match (over(self.crit), over(self.warn)) {
            (true, _) => Verdict::Critical,
            (false, true) => Verdict::Warning,
            (false, false) => Verdict::Ok,
        }
    }

    /// For what is worse the smaller it is.
    fn judge_left(&self, value: i64) -> Verdict {
        let under = |level: Option<u64>| {
            level.is_some_and(|level| value < i64::try_from(level).unwrap_or(i64::MAX))
        };
        match (under(self.crit), under(self.warn)) {
            (true, _) => Verdict::Critical,
            (false, true) => Verdict::Warning,
            (false, false) => Verdict::Ok,
        }
    }
}

impl fmt::Display for Levels {
    /// As performance data has it: `;WARN;CRIT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in [self.warn, self.crit] {
            f.write_str(";")?;
            if let Some(level) = level {
                write!(f, "{level}")?;
            }
        }
        Ok(())
    }
}

/// What is found, the gravest first when it is printed.
#[derive(Default)]
struct Findings {
    all: Vec<(Verdict, String)>,
    perfdata: Vec<String>,
}

impl Findings {
    fn add(&mut self, verdict: Verdict, text: String) {
        if verdict > Verdict::Ok {
            self.all.push((verdict, text));
        }
    }

    fn measure(&mut self, name: &str, value: u64, unit: &str, levels: &Levels) {
        self.perfdata
            .push(format!("{name}={value}{unit}{levels};0"));
    }

    fn tell(mut self, otherwise: &str, out: &mut dyn Write) -> Result<Status, Failure> {
        self.all.sort_by_key(|finding| std::cmp::Reverse(finding.0));
        let verdict = self
            .all
            .first()
            .map_or(Verdict::Ok, |(verdict, _)| *verdict);
        let texts: Vec<&str> = self.all.iter().map(|(_, text)| text.as_str()).collect();
        let text = match texts.as_slice() {
            [] => otherwise.to_owned(),
            // A bar would begin the performance data.
            texts => texts.join(", ").replace('|', "/"),
        };
        let perfdata = match self.perfdata.as_slice() {
            [] => String::new(),
            all => format!(" | {}", all.join(" ")),
        };
        line(
            out,
            &format!("NOTIFYD {} - {text}{perfdata}", verdict.word()),
        )?;
        match verdict {
            Verdict::Ok => Ok(Status::Done),
            Verdict::Warning => Err(Failure::silent(Status::Failed)),
            Verdict::Critical => Err(Failure::silent(Status::Usage)),
            Verdict::Unknown => Err(Failure::silent(Status::Incomplete)),
        }
    }
}

/// Judges what the state file says, or that it cannot be read.
pub(crate) fn check(
    state: Result<Value, Failure>,
    args: &StatusArgs,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let mut findings = Findings::default();
    let state = match state {
        Ok(state) => state,
        Err(failure) => {
            findings.add(Verdict::Unknown, failure.to_string());
            return findings.tell("", out);
        }
    };
    let age = age_secs(&state);
    let stale = Levels {
        warn: Some(STALE_WARN as u64),
        crit: Some(STALE_CRIT as u64),
    };
    let age_u64 = u64::try_from(age).unwrap_or(0);
    let verdict = stale.judge(age_u64);
    findings.add(
        verdict,
        format!("nothing was written for {}", words::duration(age)),
    );
    findings.measure("age", age_u64, "s", &stale);
    check_queue(&state, age, args, &mut findings);
    check_peers(&state, args, &mut findings);
    check_certificate(&state, args, &mut findings);
    check_canary(&state, args, &mut findings);
    let peers = array(&state["peers"]);
    let up = peers
        .iter()
        .filter(|peer| peer["state"] == "established")
        .count();
    let otherwise = format!(
        "{up} of {} peers up, {} waiting, {} deferred",
        peers.len(),
        state["new"]["count"],
        state["deferred"]["count"]
    );
    findings.tell(&otherwise, out)
}

fn check_queue(state: &Value, age: i64, args: &StatusArgs, findings: &mut Findings) {
    if let Some(error) = state["disk_error"].as_str() {
        findings.add(Verdict::Critical, format!("disk error: {error}"));
    }
    for warning in array(&state["warnings"]) {
        findings.add(Verdict::Warning, warning.as_str().unwrap_or("").to_owned());
    }
    for name in ["new", "deferred"] {
        let count = state[name]["count"].as_u64().unwrap_or(0);
        let levels = Levels::of(args, Of::Waiting);
        findings.add(levels.judge(count), format!("{count} {name}"));
        findings.measure(name, count, "", &levels);
        let oldest = state[name]["oldest_s"].as_i64().map(|secs| secs + age);
        let oldest = oldest
            .and_then(|secs| u64::try_from(secs).ok())
            .unwrap_or(0);
        let levels = Levels::of(args, Of::Oldest);
        let words = words::duration(oldest as i64);
        findings.add(levels.judge(oldest), format!("oldest {name} {words}"));
        findings.measure(&format!("oldest_{name}"), oldest, "s", &levels);
    }
    let off = Levels {
        warn: None,
        crit: None,
    };
    let some = Levels {
        warn: Some(1),
        crit: None,
    };
    let lost = Levels {
        warn: None,
        crit: Some(1),
    };
    for (name, count, levels) in [
        ("held", &state["held"], &off),
        ("corrupted", &state["corrupted"]["count"], &some),
        ("lost", &state["totals"]["lost"], &lost),
    ] {
        let count = count.as_u64().unwrap_or(0);
        findings.add(levels.judge(count), format!("{count} {name}"));
        findings.measure(name, count, "", levels);
    }
}

/// A peer is silent since it said something last; one that never did, since the
/// link is as it is.
fn check_peers(state: &Value, args: &StatusArgs, findings: &mut Findings) {
    let levels = Levels::of(args, Of::Silent);
    let mut up = 0;
    for peer in array(&state["peers"]) {
        if peer["state"] == "established" {
            up += 1;
        }
        let heard = since_secs(&peer["last_incoming"]).or_else(|| since_secs(&peer["since"]));
        let silent = heard.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0);
        let site = peer["site"].as_str().unwrap_or("");
        let message = match peer["message"].as_str().unwrap_or("") {
            "" => String::new(),
            message => format!(" ({message})"),
        };
        let words = words::duration(silent as i64);
        findings.add(
            levels.judge(silent),
            format!("{site} silent for {words}{message}"),
        );
        findings.measure(&format!("'silent {site}'"), silent, "s", &levels);
    }
    findings.perfdata.push(format!(
        "peers_up={up};;;0;{}",
        array(&state["peers"]).len()
    ));
}

fn check_certificate(state: &Value, args: &StatusArgs, findings: &mut Findings) {
    let Some(past) = since_secs(&state["certificate_expires"]) else {
        return;
    };
    let levels = Levels::of(args, Of::Certificate);
    let left = -past;
    let text = match left {
        0.. => format!("certificate expires in {}", words::duration(left)),
        _ => format!("certificate expired {} ago", words::duration(past)),
    };
    findings.add(levels.judge_left(left), text);
    let range = |level: Option<u64>| level.map_or(String::new(), |level| format!("{level}:"));
    findings.perfdata.push(format!(
        "certificate={left}s;{};{}",
        range(levels.warn),
        range(levels.crit)
    ));
}

/// Nothing is said of canaries where none are sent.
fn check_canary(state: &Value, args: &StatusArgs, findings: &mut Findings) {
    let canary = &state["canary"];
    if let Some(secs) = since_secs(&canary["overdue_since"]) {
        let words = words::duration(secs.max(0));
        let text = format!("no canary has come through for {words}");
        findings.add(Verdict::Critical, text);
    }
    let age = since_secs(&canary["last_came_through"]);
    let Some(age) = age.and_then(|secs| u64::try_from(secs.max(0)).ok()) else {
        return;
    };
    let levels = Levels::of(args, Of::Canary);
    let words = words::duration(age as i64);
    findings.add(
        levels.judge(age),
        format!("the last canary came through {words} ago"),
    );
    findings.measure("canary_age", age, "s", &levels);
    if let Some(took) = canary["round_trip_s"].as_f64() {
        findings.perfdata.push(format!("canary={took:.3}s;;;0"));
    }
}

impl Of {
    /// In seconds, but for the first.
    fn defaults(self) -> (Option<u64>, Option<u64>) {
        const MINUTE: u64 = 60;
        const DAY: u64 = 86_400;
        match self {
            Self::Waiting | Self::Canary => (None, None),
            Self::Oldest => (Some(10 * MINUTE), Some(60 * MINUTE)),
            Self::Silent => (Some(2 * MINUTE), Some(10 * MINUTE)),
            Self::Certificate => (Some(30 * DAY), Some(7 * DAY)),
        }
    }

    fn parse_value(self, text: &str) -> Option<u64> {
        let secs = |duration: Duration| duration.as_secs();
        match self {
            Self::Waiting => text.parse().ok(),
            _ if text == "0" => Some(0),
            _ => program::config::parse_duration(text).map(secs),
        }
    }
}

/// `oldest=10m`
pub(crate) fn parse_limit(text: &str) -> Result<Limit, String> {
    let wrong = || {
        "must be waiting=NUMBER, or oldest=, silent=, certificate= or canary=DURATION; 0 for none"
            .to_owned()
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let of = match name {
        "waiting" => Of::Waiting,
        "oldest" => Of::Oldest,
        "silent" => Of::Silent,
        "certificate" => Of::Certificate,
        "canary" => Of::Canary,
        _ => return Err(wrong()),
    };
    let value = of.parse_value(value).ok_or_else(wrong)?;
    Ok(Limit { of, value })
}
