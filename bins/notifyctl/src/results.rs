//! What other sites say became of a notification: results, which have travelled
//! back here and stand in the journal as notifications of their own.

use std::collections::BTreeMap;
use std::path::Path;

use bstr::{BString, ByteSlice};
use objects::notification::Kind;
use objects::{Envelope, NotificationId, SiteId, UnixTime};
use program::Failure;
use serde_json::{Value, json};
use spool::record::{Event, Record};

use crate::listing::cannot_read;
use crate::words;

/// One end at another site.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    /// Where.
    pub(crate) site: SiteId,
    /// When, by the clock there.
    pub(crate) time: UnixTime,
    entries: BTreeMap<String, BString>,
}

/// All that came back about `id`, in the order in which it happened.
pub(crate) fn of(spool: &Path, id: NotificationId) -> Result<Vec<Elsewhere>, Failure> {
    let name = id.to_string();
    let found = spool::history::fold(spool, BTreeMap::new, |found, record| {
        let Record::Message { id, event, .. } = record else {
            return;
        };
        // What was submitted here is on its way to others.
        let Event::Accepted {
            from: Some(_),
            body,
            ..
        } = event
        else {
            return;
        };
        // Most bodies need not be taken apart.
        if body.contains_str(&name)
            && let Some(result) = read(body, &name)
        {
            found.insert(*id, result);
        }
    });
    let mut found: Vec<Elsewhere> = found.map_err(cannot_read)?.into_values().collect();
    found.sort_by_key(|result| result.time);
    Ok(found)
}

fn read(body: &[u8], id: &str) -> Option<Elsewhere> {
    let text = objects::notification::to_utf8(body);
    let envelope = Envelope::parse(&text).ok()?;
    let entries = envelope.context().ok()?;
    let is_meant = entries.get("RESULT_OF").is_some_and(|of| of == id);
    (envelope.kind == Kind::Result && is_meant).then(|| Elsewhere {
        site: envelope.site.clone(),
        time: envelope.created,
        entries,
    })
}

impl Elsewhere {
    fn get(&self, name: &str) -> String {
        let value = self.entries.get(&format!("RESULT_{name}"));
        value.map_or(String::new(), |value| words::one_line(value, 300))
    }

    /// How it ended there, in the words of [`spool::End`].
    pub(crate) fn end(&self) -> String {
        self.get("END")
    }

    /// `at central: lane mail by disks to anna, attempt 1: delivered: 250 ok`
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("at {}:", self.site);
        for (before, name) in [
            (" lane ", "LANE"),
            (" by ", "RULES"),
            (" to ", "CONTACTS"),
            (", attempt ", "ATTEMPT"),
        ] {
            let value = self.get(name);
            if !value.is_empty() && value != "0" {
                text.push_str(&format!("{before}{value}"));
            }
        }
        if !self.get("LANE").is_empty() {
            text.push(':');
        }
        text.push_str(&format!(" {}", self.get("END")));
        match self.get("ANSWER") {
            answer if answer.is_empty() => text,
            answer => format!("{text}: {answer}"),
        }
    }

    pub(crate) fn json(&self, id: NotificationId) -> Value {
        json!({
            "id": id.to_string(),
            "time": words::utc(self.time),
            "event": "elsewhere",
            "text": self.describe(),
            "site": self.site.as_str(),
            "lane": self.get("LANE"),
            "rules": self.get("RULES"),
            "contacts": self.get("CONTACTS"),
            "attempt": self.get("ATTEMPT").parse::<u32>().ok(),
            "end": self.get("END"),
            "answer": self.get("ANSWER"),
        })
    }
}
