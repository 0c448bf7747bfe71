//! `notifyctl queue`: what has not ended yet, read from the journal itself, so
//! that it can be asked whether notifyd runs or not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use bstr::BStr;
use comfy_table::{Table, presets};
use objects::{NotificationId, UnixTime};
use program::{Failure, Status};
use serde_json::{Value, json};
use spool::history::Snapshot;
use spool::record::Event;
use spool::{Message, TargetState};

use crate::place::Place;
use crate::run::line;
use crate::words;

/// Most files of the drop box that are listed.
const DROPPED: usize = 100_000;

/// One notification that has not ended.
struct Entry {
    id: String,
    since: UnixTime,
    object: String,
    from: Option<String>,
    targets: Vec<(TargetState, String)>,
    /// Still a file that notifyd has not taken in.
    in_drop_box: bool,
}

pub(crate) fn show(place: &Place, json: bool, out: &mut dyn Write) -> Result<Status, Failure> {
    let now = SystemTime::now().into();
    let Snapshot {
        open: messages,
        recovery,
        ..
    } = spool::history::snapshot(&place.spool).map_err(cannot_read)?;
    let mut entries = dropped(&place.spool);
    let ids: Vec<NotificationId> = messages.iter().map(|message| message.id).collect();
    let mut histories = spool::history::of_each(&place.spool, &ids).map_err(cannot_read)?;
    for message in &messages {
        let history = histories.remove(&message.id).unwrap_or_default();
        entries.push(open(message, &history));
    }
    if json {
        for entry in &entries {
            line(out, &entry.print_json(now).to_string())?;
        }
    } else if !entries.is_empty() {
        line(out, &table(&entries, now))?;
    }
    if !recovery.damages.is_empty() {
        let what = format!(
            "{} places of the journal are damaged; the list may be incomplete",
            recovery.damages.len()
        );
        return Err(Failure::new(Status::Incomplete, what));
    }
    Ok(Status::Done)
}

pub(crate) fn cannot_read(error: spool::Error) -> Failure {
    Failure::caused(Status::Failed, "cannot read the spool", error)
}

/// Files that notifyd has not taken in yet.
fn dropped(spool: &Path) -> Vec<Entry> {
    let Ok(names) = std::fs::read_dir(spool.join("new")) else {
        return Vec::new();
    };
    let files = names.flatten().take(DROPPED).map(|file| {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        Entry {
            id: program::log::quote(file.file_name().as_encoded_bytes(), 64),
            since: modified.map_or(UnixTime::NEVER, UnixTime::from),
            object: String::new(),
            from: None,
            targets: Vec::new(),
            in_drop_box: true,
        }
    });
    let mut files: Vec<Entry> = files.collect();
    files.sort_by(|a, b| a.id.cmp(&b.id));
    files
}

/// What the journal says of one open message.
fn open(message: &Message, history: &[(UnixTime, Event<'static>)]) -> Entry {
    let mut said = BTreeMap::new();
    let mut object = String::new();
    for (_, event) in history {
        match event {
            Event::Accepted { body, .. } => object = object_of(body),
            Event::Result { target, text, .. } => {
                said.insert(target.clone(), words::one_line(text, 200));
            }
            _ => {}
        }
    }
    let targets = message.targets.iter().map(|state| {
        let said = said.remove(&state.target).unwrap_or_default();
        (state.clone(), said)
    });
    Entry {
        id: message.id.to_string(),
        since: message.accepted,
        object,
        from: message.from.as_ref().map(ToString::to_string),
        targets: targets.collect(),
        in_drop_box: false,
    }
}

/// `db1/Disk /`, from the stored body.
pub(crate) fn object_of(body: &[u8]) -> String {
    let text = objects::notification::to_utf8(body);
    let envelope = objects::Envelope::parse(&text);
    let Ok(context) = envelope.and_then(|envelope| envelope.context()) else {
        return String::new();
    };
    let get = |name: &str| context.get(name).map(|value| words::one_line(value, 80));
    match (get("HOSTNAME"), get("SERVICEDESC")) {
        (Some(host), Some(service)) if !service.is_empty() => format!("{host}/{service}"),
        (Some(host), _) => host,
        (None, _) => String::new(),
    }
}

impl Entry {
    fn print_json(&self, now: UnixTime) -> Value {
        let target = |(state, said): &(TargetState, String)| {
            json!({
                "target": state.target.to_string(),
                "attempts": state.attempts,
                "end": state.end.map(spool::End::words),
                "last_result": (!said.is_empty()).then_some(said),
            })
        };
        json!({
            "id": self.id,
            "accepted": words::utc(self.since),
            "age_s": words::age_secs(self.since, now),
            "object": self.object,
            "from": self.from,
            "in_drop_box": self.in_drop_box,
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
        })
    }

    /// `lane ops: 3 attempts, exit code 1: no modem`
    fn print_targets(&self) -> String {
        if self.in_drop_box {
            return "not taken in yet".to_owned();
        }
        if self.targets.is_empty() {
            return "not assigned yet".to_owned();
        }
        let target = |(state, said): &(TargetState, String)| {
            let mut text = state.target.to_string();
            match (state.end, state.attempts) {
                (Some(end), _) => text.push_str(&format!(": {end}")),
                (None, 0) => text.push_str(": waiting"),
                (None, 1) => text.push_str(": 1 attempt"),
                (None, n) => text.push_str(&format!(": {n} attempts")),
            }
            if state.end.is_none() && !said.is_empty() {
                text.push_str(", ");
                text.push_str(said);
            }
            text
        };
        let targets: Vec<String> = self.targets.iter().map(target).collect();
        targets.join("\n")
    }
}

fn table(entries: &[Entry], now: UnixTime) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "AGE", "OBJECT", "TARGETS"]);
    for entry in entries {
        table.add_row([
            entry.id.clone(),
            words::duration(words::age_secs(entry.since, now)),
            entry.object.clone(),
            entry.print_targets(),
        ]);
    }
    table.trim_fmt()
}

/// What an unreadable value looks like, for messages.
pub(crate) fn shown(text: &[u8]) -> String {
    words::one_line(BStr::new(text), 300)
}
