//! `notifyctl show ID`: one notification, from the journal or the drop box.

use std::io::Write;
use std::path::Path;

use objects::{Envelope, NotificationId, UnixTime};
use program::{Failure, Status};
use serde_json::{Value, json};
use spool::Target;
use spool::record::Event;

use crate::cli::hand::Show;
use crate::listing::cannot_read;
use crate::place::Place;
use crate::run::line;
use crate::told;
use crate::waiting::{Waiting, open_targets};
use crate::words::{self, shown};

/// Longest file that is read from the drop box.
const MAX_FILE: u64 = 4 << 20;

/// A notification, and where it was found.
struct Found {
    body: Vec<u8>,
    accepted: Option<UnixTime>,
    from: Option<String>,
    /// Where it goes or went.
    targets: Vec<Target>,
    /// Those of them that still need it.
    open: Vec<Target>,
    /// In words, without `ended: ` an open one.
    stands: String,
}

pub(crate) fn show(
    place: &Place,
    args: &Show,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let history = spool::history::of(&place.spool, args.id).map_err(cannot_read)?;
    let found = in_journal(&history).or_else(|| in_drop_box(&place.spool, args.id));
    let Some(found) = found else {
        let what = format!(
            "{} is not known here (or its records are gone already)",
            args.id
        );
        return Err(Failure::new(Status::Failed, what));
    };
    if args.body {
        let written = out.write_all(&found.body);
        return match written {
            Ok(()) => Ok(Status::Done),
            Err(_) => Err(Failure::silent(Status::Failed)),
        };
    }
    let text = objects::notification::to_utf8(&found.body);
    let envelope = Envelope::parse(&text)
        .map_err(|error| Failure::caused(Status::Failed, "its body cannot be read", error))?;
    match json {
        true => line(out, &print_json(&found, &envelope).to_string())?,
        false => {
            let waiting = match found.open.is_empty() {
                true => Waiting::default(),
                false => Waiting::ask(&place.spool),
            };
            print(&found, &envelope, &waiting, out)?;
        }
    }
    Ok(Status::Done)
}

fn in_journal(history: &[(UnixTime, Event<'static>)]) -> Option<Found> {
    let mut found = history.iter().find_map(|(time, event)| match event {
        Event::Accepted { body, from, .. } => Some(Found {
            body: body.to_vec(),
            accepted: Some(*time),
            from: from.as_ref().map(ToString::to_string),
            targets: Vec::new(),
            open: open_targets(history),
            stands: "open".to_owned(),
        }),
        _ => None,
    })?;
    for (_, event) in history {
        match event {
            Event::Assigned { targets } => found.targets.extend(targets.iter().cloned()),
            Event::Standing(standing) if found.targets.is_empty() => {
                let targets = standing.targets.iter();
                found.targets = targets.map(|(target, ..)| target.clone()).collect();
                if standing.held {
                    found.stands = "held".to_owned();
                }
            }
            Event::Held { .. } => found.stands = "held".to_owned(),
            Event::Standing(standing) if standing.held => found.stands = "held".to_owned(),
            Event::Released { .. } => found.stands = "open".to_owned(),
            Event::Ended { end, detail, .. } => {
                let detail = shown(detail);
                found.stands = match detail.as_str() {
                    "" => format!("ended: {end}"),
                    detail => format!("ended: {end}: {detail}"),
                };
            }
            _ => {}
        }
    }
    Some(found)
}

/// Files are named by the id, perhaps with an ending.
fn in_drop_box(spool: &Path, id: NotificationId) -> Option<Found> {
    let text = id.to_string();
    let names = std::fs::read_dir(spool.join("new")).ok()?;
    let file = names.flatten().find(|file| {
        let name = file.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&text))
    })?;
    let is_file = file
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
    Some(Found {
        body: std::fs::read(file.path()).ok().filter(|_| is_file)?,
        accepted: None,
        from: None,
        targets: Vec::new(),
        open: Vec::new(),
        stands: "in the drop box, not taken in yet".to_owned(),
    })
}

fn print(
    found: &Found,
    envelope: &Envelope<'_>,
    waiting: &Waiting,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut row = |name: &str, value: String| line(out, &format!("{name:<10} {value}"));
    row("id", envelope.id.to_string())?;
    row("stands", found.stands.clone())?;
    row("kind", envelope.kind.word().to_owned())?;
    row("created", words::local(envelope.created))?;
    if let Some(expires) = envelope.expires {
        row("expires", words::local(expires))?;
    }
    if let Some(accepted) = found.accepted {
        let from = match &found.from {
            Some(from) => format!(" from {from}"),
            None => ", submitted here".to_owned(),
        };
        row("accepted", words::local(accepted) + &from)?;
    }
    row("site", envelope.site.to_string())?;
    let path: Vec<&str> = envelope.path.iter().map(objects::SiteId::as_str).collect();
    row("path", path.join(" -> "))?;
    row("bytes", found.body.len().to_string())?;
    for target in &found.targets {
        let mut text = format!("{target}{}", told::describe(target));
        if found.open.contains(target) {
            text.push_str(&waiting.words(envelope.id, target));
        }
        row("target", text)?;
    }
    line(out, "")?;
    let context = envelope
        .context()
        .map_err(|error| Failure::caused(Status::Failed, "its context cannot be read", error))?;
    for (name, value) in &context {
        let name = words::one_line(name.as_bytes(), 100);
        line(out, &format!("{name}={}", words::one_line(value, 4096)))?;
    }
    Ok(())
}

/// The stored body as it is, and beside it what the journal knows.
fn print_json(found: &Found, envelope: &Envelope<'_>) -> Value {
    // Bytes that are not UTF-8 are escaped in it.
    let body: Value = serde_json::from_slice(&found.body).unwrap_or_default();
    json!({
        "id": envelope.id.to_string(),
        "stands": found.stands,
        "accepted": found.accepted.map(words::utc),
        "from": found.from,
        "bytes": found.body.len(),
        "targets": found.targets.iter().map(told::json).collect::<Vec<_>>(),
        "notification": body,
    })
}
