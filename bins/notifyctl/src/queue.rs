//! `notifyctl queue`: what has not ended yet, and when what failed is tried again.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use comfy_table::{Table, presets};
use objects::UnixTime;
use program::{Failure, Status};
use serde_json::{Value, json};
use spool::{Target, TargetState};

use crate::cli::hand::Selection;
use crate::listing::{Entry, Listing};
use crate::place::Place;
use crate::run::line;
use crate::waiting::Waiting;
use crate::words;

/// Most files of the drop box that are listed.
const DROPPED: usize = 100_000;

pub(crate) fn show(
    place: &Place,
    which: &Selection,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let now = SystemTime::now().into();
    let listing = Listing::read(&place.spool, which)?;
    // What was not taken in yet has no target, and nobody has read it.
    let dropped = match which.is_empty() {
        true => dropped(&place.spool),
        false => Vec::new(),
    };
    let is_in_lane = |t: &TargetState| t.end.is_none() && !matches!(t.target, Target::Peer(_));
    let waits = |entry: &Entry| entry.message.targets.iter().any(is_in_lane);
    let waiting = match listing.entries.iter().any(waits) {
        true => Waiting::ask(&place.spool),
        false => Waiting::default(),
    };
    if json {
        for (id, since) in &dropped {
            line(out, &dropped_json(id, *since, now).to_string())?;
        }
        for entry in &listing.entries {
            line(out, &print_json(entry, &waiting, now).to_string())?;
        }
    } else if !dropped.is_empty() || !listing.entries.is_empty() {
        line(out, &table(&dropped, &listing.entries, &waiting, now))?;
    }
    if listing.damages > 0 {
        let what = format!(
            "{} places of the journal are damaged; the list may be incomplete",
            listing.damages
        );
        return Err(Failure::new(Status::Incomplete, what));
    }
    Ok(Status::Done)
}

/// Files that notifyd has not taken in yet, and since when they are there.
fn dropped(spool: &Path) -> Vec<(String, UnixTime)> {
    let Ok(names) = std::fs::read_dir(spool.join("new")) else {
        return Vec::new();
    };
    let files = names.flatten().take(DROPPED).map(|file| {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let name = program::log::quote(file.file_name().as_encoded_bytes(), 64);
        (name, modified.map_or(UnixTime::NEVER, UnixTime::from))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

fn dropped_json(id: &str, since: UnixTime, now: UnixTime) -> Value {
    json!({
        "id": id,
        "accepted": words::utc(since),
        "age_s": words::age_secs(since, now),
        "object": "",
        "from": null,
        "held": false,
        "in_drop_box": true,
        "targets": [],
    })
}

fn print_json(entry: &Entry, waiting: &Waiting, now: UnixTime) -> Value {
    let message = &entry.message;
    let target = |state: &TargetState| {
        let mut all = json!({
            "target": state.target.to_string(),
            "attempts": state.attempts,
            "end": state.end.map(spool::End::words),
            "last_result": entry.said.get(&state.target),
        });
        waiting.add_to(&mut all, message.id, &state.target);
        all
    };
    json!({
        "id": message.id.to_string(),
        "accepted": words::utc(message.accepted),
        "age_s": words::age_secs(message.accepted, now),
        "object": entry.about.object(),
        "site": entry.about.site.as_ref().map(ToString::to_string),
        "from": message.from.as_ref().map(ToString::to_string),
        "held": message.held,
        "in_drop_box": false,
        "targets": message.targets.iter().map(target).collect::<Vec<_>>(),
    })
}

/// `lane ops: 3 attempts, next in 2 min: exit code 1: no modem`
fn print_targets(entry: &Entry, waiting: &Waiting) -> String {
    let message = &entry.message;
    let target = |state: &TargetState| {
        let mut text = state.target.to_string();
        match (state.end, state.attempts) {
            (Some(end), _) => text.push_str(&format!(": {end}")),
            (None, 0) => text.push_str(": waiting"),
            (None, 1) => text.push_str(": 1 attempt"),
            (None, n) => text.push_str(&format!(": {n} attempts")),
        }
        if state.end.is_none() {
            text.push_str(&waiting.words(message.id, &state.target));
        }
        if state.end.is_none()
            && let Some(said) = entry.said.get(&state.target)
        {
            text.push_str(&format!(": {said}"));
        }
        text
    };
    let mut lines: Vec<String> = message.targets.iter().map(target).collect();
    if message.held {
        lines.insert(0, "HELD".to_owned());
    }
    match lines.is_empty() {
        true => "not assigned yet".to_owned(),
        false => lines.join("\n"),
    }
}

fn table(
    dropped: &[(String, UnixTime)],
    entries: &[Entry],
    waiting: &Waiting,
    now: UnixTime,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "AGE", "OBJECT", "TARGETS"]);
    let age = |since: UnixTime| words::duration(words::age_secs(since, now));
    for (id, since) in dropped {
        let what = "not taken in yet".to_owned();
        table.add_row([id.clone(), age(*since), String::new(), what]);
    }
    for entry in entries {
        table.add_row([
            entry.message.id.to_string(),
            age(entry.message.accepted),
            entry.about.object(),
            print_targets(entry, waiting),
        ]);
    }
    table.trim_fmt()
}
