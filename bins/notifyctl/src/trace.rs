//! `notifyctl trace ID`: everything the journal of this site says about one
//! notification, in order, in words.

use std::io::Write;
use std::path::Path;

use bstr::ByteSlice;
use objects::{Envelope, NotificationId, UnixTime};
use program::{Failure, Status};
use serde_json::{Value, json};
use spool::record::Event;
use spool::{End, Target};

use crate::listing::{cannot_read, object_of};
use crate::place::Place;
use crate::results;
use crate::run::line;
use crate::told;
use crate::waiting::{self, Waiting};
use crate::words::{self, shown};

pub(crate) fn show(
    place: &Place,
    id: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let Some(id) = NotificationId::parse(id) else {
        let what = format!("{:?} is not the id of a notification", id);
        return Err(Failure::new(Status::Usage, what));
    };
    let history = spool::history::of(&place.spool, id).map_err(cannot_read)?;
    if !json && let Some(object) = object(&history) {
        line(out, &format!("{id} {object}"))?;
    }
    print_history(id, &history, json, out)?;
    for result in results::of(&place.spool, id)? {
        let text = match json {
            true => result.json(id).to_string(),
            false => format!("{}  {}", words::local(result.time), result.describe()),
        };
        line(out, &text)?;
    }
    if is_dropped(&place.spool, id) {
        let text = "in the drop box, not taken in by notifyd yet";
        let all = if json {
            json!({"id": id.to_string(), "event": "dropped", "text": text}).to_string()
        } else {
            text.to_owned()
        };
        return line(out, &all).map(|()| Status::Done);
    }
    print_now(&place.spool, id, &history, json, out)?;
    if history.is_empty() {
        let what = format!("{id} is not known here (or its records are gone already)");
        return Err(Failure::new(Status::Failed, what));
    }
    Ok(Status::Done)
}

/// A line for each target that still needs it: what is to come.
fn print_now(
    spool: &Path,
    id: NotificationId,
    history: &[(UnixTime, Event<'static>)],
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let open = waiting::open_targets(history);
    if open.is_empty() {
        return Ok(());
    }
    let waiting = Waiting::ask(spool);
    for target in open {
        let words = waiting.words(id, &target);
        if words.is_empty() {
            continue;
        }
        let text = format!("now  {target}{words}");
        if json {
            let mut all = json!({"id": id.to_string(), "event": "now", "text": text});
            all["target"] = target.to_string().into();
            waiting.add_to(&mut all, id, &target);
            line(out, &all.to_string())?;
        } else {
            line(out, &text)?;
        }
    }
    Ok(())
}

/// A line for each event.
pub(crate) fn print_history(
    id: NotificationId,
    history: &[(UnixTime, Event<'static>)],
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for (time, event) in history {
        let text = describe(event);
        if json {
            line(out, &print_json(id, *time, event, &text).to_string())?;
        } else {
            line(out, &format!("{}  {text}", words::local(*time)))?;
        }
    }
    Ok(())
}

fn is_dropped(spool: &Path, id: NotificationId) -> bool {
    let text = id.to_string();
    let Ok(names) = std::fs::read_dir(spool.join("new")) else {
        return false;
    };
    names.flatten().any(|file| {
        let name = file.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&text))
    })
}

/// What it is about, from its body.
fn object(history: &[(UnixTime, Event<'static>)]) -> Option<String> {
    history.iter().find_map(|(_, event)| match event {
        Event::Accepted { body, .. } => Some(object_of(body)).filter(|object| !object.is_empty()),
        _ => None,
    })
}

/// One event in words.
fn describe(event: &Event<'_>) -> String {
    let with = |text: String, detail: &[u8]| match shown(detail) {
        detail if detail.is_empty() => text,
        detail => format!("{text}: {detail}"),
    };
    match event {
        Event::Accepted { from, body, .. } => {
            let way = match from {
                Some(site) => format!("accepted from {site}"),
                None => "accepted, submitted here".to_owned(),
            };
            match path_of(body).as_slice() {
                [] => way,
                path => format!("{way} (path {})", path.join(" -> ")),
            }
        }
        Event::Assigned { targets } => {
            let one = |target: &Target| format!("{target}{}", told::describe(target));
            let targets: Vec<String> = targets.iter().map(one).collect();
            format!("assigned to {}", targets.join("; "))
        }
        Event::Attempt { target, number } => format!("{target}: attempt {number} started"),
        Event::Result {
            target,
            number,
            verdict,
            text,
        } => with(format!("{target}: attempt {number} ended, {verdict}"), text),
        Event::Settled {
            target,
            end,
            detail,
        } => with(settled(target, *end), detail),
        Event::Ended { end, detail, .. } => with(format!("ended: {end}"), detail),
        Event::Noted { target, detail } => {
            let left: Vec<String> = detail.lines().map(shown).collect();
            format!("{target}: still to get it: {}", left.join(", "))
        }
        Event::Held { detail } => with("held".to_owned(), detail),
        Event::Released { detail } => with("released".to_owned(), detail),
        Event::RetryAsked { detail } => with("retry asked for".to_owned(), detail),
        Event::Standing(standing) => {
            let one = |(target, attempts, end): &(Target, u32, Option<End>)| match end {
                Some(end) => format!("{target}{} {end}", told::describe(target)),
                None => format!(
                    "{target}{} open after {attempts} attempts",
                    told::describe(target)
                ),
            };
            let mut all: Vec<String> = standing.targets.iter().map(one).collect();
            all.extend(standing.held.then(|| "held".to_owned()));
            format!("earlier records tidied away; {}", all.join(", "))
        }
        other => format!("something of a later release ({other:?})"),
    }
}

/// `stored by central`, `lane ops: delivered`
fn settled(target: &Target, end: End) -> String {
    match (target, end) {
        (Target::Peer(site), End::StoredByPeer) => format!("stored by {site}"),
        (target, end) => format!("{target}: {end}"),
    }
}

/// The sites that have stored it, the first one first.
fn path_of(body: &[u8]) -> Vec<String> {
    let text = objects::notification::to_utf8(body);
    let Ok(envelope) = Envelope::parse(&text) else {
        return Vec::new();
    };
    envelope.path.iter().map(ToString::to_string).collect()
}

fn print_json(id: NotificationId, time: UnixTime, event: &Event<'_>, text: &str) -> Value {
    let mut all = json!({
        "id": id.to_string(),
        "time": words::utc(time),
        "event": word(event),
        "text": text,
    });
    match event {
        Event::Accepted { from, body, .. } => {
            all["from"] = json!(from.as_ref().map(ToString::to_string));
            all["path"] = json!(path_of(body));
        }
        Event::Assigned { targets } => {
            all["targets"] = targets.iter().map(told::json).collect();
        }
        Event::Attempt { target, number } => {
            all["target"] = target.to_string().into();
            all["attempt"] = (*number).into();
        }
        Event::Result {
            target,
            number,
            verdict,
            text,
        } => {
            all["target"] = target.to_string().into();
            all["attempt"] = (*number).into();
            all["verdict"] = verdict.words().into();
            all["answer"] = shown(text).into();
        }
        Event::Settled {
            target,
            end,
            detail,
        } => {
            all["target"] = target.to_string().into();
            all["end"] = end.words().into();
            all["answer"] = shown(detail).into();
        }
        Event::Ended { end, detail, .. } => {
            all["end"] = end.words().into();
            all["answer"] = shown(detail).into();
        }
        Event::Noted { target, .. } => all["target"] = target.to_string().into(),
        _ => {}
    }
    all
}

fn word(event: &Event<'_>) -> &'static str {
    match event {
        Event::Accepted { .. } => "accepted",
        Event::Assigned { .. } => "assigned",
        Event::Attempt { .. } => "attempt",
        Event::Result { .. } => "result",
        Event::Settled { .. } => "settled",
        Event::Ended { .. } => "ended",
        Event::Held { .. } => "held",
        Event::Released { .. } => "released",
        Event::RetryAsked { .. } => "retry_asked",
        Event::Noted { .. } => "noted",
        Event::Standing(_) => "standing",
        _ => "unknown",
    }
}
