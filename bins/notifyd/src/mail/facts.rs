//! What a mail says: the variables of a notification, made readable.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use minijinja::Value;
use objects::notification::Context;
use objects::perfdata::Perfdata;
use objects::{Envelope, SiteId, UnixTime};

use crate::delivery::delay_secs;

/// More of one value is left out: a mail is read by people.
const MAX_VALUE: usize = 64 * 1024;
/// More metrics are left out.
const MAX_METRICS: usize = 100;
/// From this many seconds on a mail says that it is late.
const LATE: i64 = 5 * 60;

/// What templates can use, by name.
pub(super) fn of(
    envelope: &Envelope<'_>,
    context: &Context,
    attempt: u32,
    now: UnixTime,
) -> BTreeMap<&'static str, Value> {
    let is_service = context
        .get("SERVICEDESC")
        .is_some_and(|name| !name.is_empty());
    let get = |name: &str| context.get(name).map(lines).unwrap_or_default();
    let pick = |of_service: &str, of_host: &str| get(if is_service { of_service } else { of_host });
    let state = pick("SERVICESTATE", "HOSTSTATE");
    let previous = match pick("PREVIOUSSERVICEHARDSTATE", "PREVIOUSHOSTHARDSTATE") {
        sent if sent.is_empty() => pick("LASTSERVICESTATE", "LASTHOSTSTATE"),
        sent => sent,
    };
    let host = match get("HOSTNAME") {
        name if name.is_empty() => envelope.site.to_string(),
        name => name,
    };
    let kind = match get("NOTIFICATIONTYPE") {
        word if word.is_empty() => envelope.kind.word().to_uppercase(),
        word => word,
    };
    let since = pick("LASTSERVICESTATECHANGE", "LASTHOSTSTATECHANGE");
    let since = since
        .parse()
        .ok()
        .filter(|secs| *secs > 0)
        .map(UnixTime::from_secs);
    let delay = delay_secs(envelope.created, now);
    let path: Vec<&str> = envelope.path.iter().map(SiteId::as_str).collect();
    let all: BTreeMap<String, Value> = context
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(lines(value))))
        .collect();
    let mut facts = BTreeMap::from([
        (
            "what",
            Value::from(if is_service { "service" } else { "host" }),
        ),
        ("state_short", Value::from(short(&state))),
        ("previous_short", Value::from(short(&previous))),
        ("color", Value::from(color(&state))),
        ("site", Value::from(envelope.site.as_str())),
        ("path", Value::from(path.join(" -> "))),
        ("time", Value::from(local(envelope.created))),
        ("since", Value::from(since.map(local).unwrap_or_default())),
        ("delay", Value::from(delay)),
        ("is_late", Value::from(delay >= LATE)),
        ("attempt", Value::from(attempt)),
        ("id", Value::from(envelope.id.to_string())),
        ("metrics", metrics(&pick("SERVICEPERFDATA", "HOSTPERFDATA"))),
        ("context", Value::from(all)),
    ]);
    for (name, value) in [
        ("type", kind),
        ("host", host),
        ("service", get("SERVICEDESC")),
        ("state", state),
        ("previous", previous),
        ("alias", get("HOSTALIAS")),
        ("address", get("HOSTADDRESS")),
        ("groups", get("HOSTGROUPNAMES")),
        ("output", pick("SERVICEOUTPUT", "HOSTOUTPUT")),
        (
            "details",
            unescaped(&pick("LONGSERVICEOUTPUT", "LONGHOSTOUTPUT")),
        ),
        ("perfdata", pick("SERVICEPERFDATA", "HOSTPERFDATA")),
        ("author", get("NOTIFICATIONAUTHOR")),
        ("comment", get("NOTIFICATIONCOMMENT")),
        (
            "number",
            pick("SERVICENOTIFICATIONNUMBER", "HOSTNOTIFICATIONNUMBER"),
        ),
        ("contact", get("CONTACTNAME")),
    ] {
        facts.insert(name, Value::from(value));
    }
    facts
}

/// Line ends become plain ones; other control characters become visible.
fn lines(value: &BString) -> String {
    let end = value.len().min(MAX_VALUE);
    let text = value[..end].to_str_lossy().replace("\r\n", "\n");
    let text = text.trim_end_matches('\n');
    let visible = |c: char| {
        let is_shown = !c.is_control() || c == '\n' || c == '\t';
        if is_shown {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    let mut text: String = text.chars().map(visible).collect();
    if value.len() > MAX_VALUE {
        text.push_str(" [cut]");
    }
    text
}

/// Nagios hands the lines of a long output over with `\n` between them.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").trim_end_matches('\n').to_owned()
}

/// The word that Checkmk's mails and most people use.
fn short(state: &str) -> &str {
    match state {
        "CRITICAL" => "CRIT",
        "WARNING" => "WARN",
        "UNKNOWN" => "UNKN",
        "UNREACHABLE" => "UNREACH",
        other => other,
    }
}

/// Of the banner; dark enough for white letters on it.
fn color(state: &str) -> &'static str {
    match state {
        "OK" | "UP" => "#1a7f37",
        "WARNING" => "#9a6700",
        "CRITICAL" | "DOWN" => "#b42318",
        "UNKNOWN" | "UNREACHABLE" => "#a04000",
        _ => "#475467",
    }
}

fn metrics(text: &str) -> Value {
    let Ok(perfdata) = Perfdata::parse(text.as_bytes()) else {
        return Value::from(Vec::<Value>::new());
    };
    let metrics = perfdata.metrics.iter().take(MAX_METRICS).map(|metric| {
        let value = match metric.value {
            Some(value) => format!("{value}{}", metric.unit),
            None => "unknown".to_owned(),
        };
        Value::from(BTreeMap::from([
            ("name", Value::from(metric.label.to_string())),
            ("value", Value::from(value)),
        ]))
    });
    Value::from(metrics.collect::<Vec<Value>>())
}

pub(super) fn zoned(time: UnixTime) -> jiff::Zoned {
    jiff::Timestamp::from_microsecond(time.micros())
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::system())
}

fn local(time: UnixTime) -> String {
    zoned(time).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}
