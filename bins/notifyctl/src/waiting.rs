//! What only a running notifyd knows of what waits for its lanes: when it is tried
//! next and with what, and whether a lane is paused or does not work.

use std::collections::HashMap;
use std::path::Path;

use objects::{NotificationId, UnixTime};
use serde_json::{Value, json};
use spool::Target;
use spool::control::{Answer, Question};
use spool::record::Event;

use crate::control::Control;
use crate::{status, words};

/// Nothing, if it cannot be asked.
#[derive(Default)]
pub(crate) struct Waiting {
    /// By id and target.
    tries: HashMap<(String, String), NextTry>,
    /// Of lanes that deliver nothing: why, in words.
    lanes: HashMap<String, String>,
}

/// When it is tried, and with what.
struct NextTry {
    /// From now; none if an attempt runs.
    secs: Option<f64>,
    /// What it is told in, if not alone.
    together: Option<String>,
}

impl Waiting {
    /// Asks the notifyd of this spool.
    pub(crate) fn ask(spool: &Path) -> Self {
        let Some(mut control) = Control::open(spool).ok().flatten() else {
            return Self::default();
        };
        let mut ask = |question| match control.ask(&question) {
            Ok(Answer::Told(told)) => told,
            _ => Value::Null,
        };
        let tries = ask(Question::Retries);
        let state = ask(Question::State);
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let next = |next: &Value| {
            let key = (text(&next["id"]), text(&next["target"]));
            let next = NextTry {
                secs: next["next_s"].as_f64(),
                together: next["together"].as_str().map(str::to_owned),
            };
            (key, next)
        };
        let lanes = status::array(&state["lanes"]).iter();
        let lanes =
            lanes.filter_map(|lane| Some((text(&lane["name"]), status::standing(lane, 0)?)));
        Self {
            tries: status::array(&tries).iter().map(next).collect(),
            lanes: lanes.collect(),
        }
    }

    fn next(&self, id: NotificationId, target: &Target) -> Option<&NextTry> {
        self.tries.get(&(id.to_string(), target.to_string()))
    }

    fn lane(&self, target: &Target) -> Option<&str> {
        match target {
            Target::Peer(_) => None,
            lane => self.lanes.get(lane.name()).map(String::as_str),
        }
    }

    /// `, next in 2 min (bulk); the lane is paused for another 20 min, by ann`
    pub(crate) fn words(&self, id: NotificationId, target: &Target) -> String {
        let mut text = String::new();
        if let Some(next) = self.next(id, target) {
            match next.secs {
                Some(secs) => {
                    let secs = words::duration(secs.ceil() as i64);
                    text.push_str(&format!(", next in {secs}"));
                }
                None => text.push_str(", one runs"),
            }
            if let Some(together) = &next.together {
                text.push_str(&format!(" ({together})"));
            }
        }
        if let Some(lane) = self.lane(target) {
            text.push_str(&format!("; the lane {lane}"));
        }
        text
    }

    /// Members of the same meaning for programs.
    pub(crate) fn add_to(&self, object: &mut Value, id: NotificationId, target: &Target) {
        let next = self.next(id, target);
        object["next_try_s"] = json!(next.and_then(|next| next.secs));
        object["running"] = next.is_some_and(|next| next.secs.is_none()).into();
        object["together"] = json!(next.and_then(|next| next.together.as_deref()));
        object["lane"] = json!(self.lane(target));
    }
}

/// The targets that still need the notification with this history.
pub(crate) fn open_targets(history: &[(UnixTime, Event<'static>)]) -> Vec<Target> {
    let mut open: Vec<Target> = Vec::new();
    for (_, event) in history {
        match event {
            Event::Assigned { targets } => open.extend(targets.iter().cloned()),
            Event::Standing(standing) => {
                let left = standing.targets.iter().filter(|(.., end)| end.is_none());
                open.extend(left.map(|(target, ..)| target.clone()));
            }
            Event::Settled { target, .. } => open.retain(|other| other != target),
            Event::Ended { .. } => open.clear(),
            _ => {}
        }
    }
    open.sort();
    open.dedup();
    open
}
