//! `notifyctl status`: what notifyd last said about itself, and how long ago.

use std::io::Write;
use std::path::Path;

use program::{Failure, Status};
use serde_json::Value;
use spool::End;
use spool::control::{Answer, Question};

use crate::cli::hand::StatusArgs;
use crate::control::Control;
use crate::nagios;
use crate::place::Place;
use crate::run::line;
use crate::words;

/// A state file that is older than this was not written by a daemon that works.
const STALE_SECS: i64 = 90;

/// Whether what the state file says can be believed.
enum Life {
    Running,
    /// The process is gone.
    Dead,
    /// The process is there but has not written for long.
    Hangs,
}

pub(crate) fn show(
    place: &Place,
    args: &StatusArgs,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    if args.nagios {
        return nagios::check(read(&place.state), args, out);
    }
    let mut state = match ask(place) {
        Some(state) => state,
        None => read(&place.state)?,
    };
    let age = age_secs(&state);
    let life = life(&state, age);
    let word = match life {
        Life::Running => "running",
        Life::Dead => "not running",
        Life::Hangs => "hangs",
    };
    if json {
        state["age_s"] = age.into();
        state["life"] = word.into();
        line(out, &state.to_string())?;
    } else {
        print(&state, word, age, out)?;
    }
    match life {
        Life::Running => Ok(Status::Done),
        Life::Dead => Err(Failure::new(
            Status::Failed,
            format!(
                "notifyd is not running; it last wrote its state {} ago",
                words::duration(age)
            ),
        )),
        Life::Hangs => Err(Failure::new(
            Status::Failed,
            format!(
                "notifyd has not written its state for {}",
                words::duration(age)
            ),
        )),
    }
}

/// What notifyd says now, if it can be asked.
fn ask(place: &Place) -> Option<Value> {
    let mut control = Control::open(&place.spool).ok()??;
    match control.ask(&Question::State).ok()? {
        Answer::Told(state) => Some(state),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let failure = |error: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("cannot read the state of notifyd from {}", path.display());
        Failure::caused(Status::Failed, what, error)
    };
    let text = std::fs::read(path).map_err(|error| failure(error.into()))?;
    serde_json::from_slice(&text).map_err(|error| failure(error.into()))
}

/// How old a state is, by the clock here.
pub(crate) fn age_secs(state: &Value) -> i64 {
    let never = jiff::Timestamp::now().as_second();
    since_secs(&state["updated"]).unwrap_or(never).max(0)
}

/// How long ago a moment of the state file was; negative if it is to come, none
/// if it never was.
pub(crate) fn since_secs(moment: &Value) -> Option<i64> {
    let moment = moment.as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(jiff::Timestamp::now().as_second() - moment.as_second())
}

/// A process of that number may be another program by now, so its name counts.
/// One that nobody has waited for since its end still has a name, but is dead.
fn life(state: &Value, age: i64) -> Life {
    let stat = state["pid"]
        .as_u64()
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    let is_notifyd = stat
        .as_deref()
        .and_then(|stat| stat.split_once(" (notifyd) "))
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
    match is_notifyd {
        true if age < STALE_SECS => Life::Running,
        true => Life::Hangs,
        false => Life::Dead,
    }
}

fn print(state: &Value, life: &str, age: i64, out: &mut dyn Write) -> Result<(), Failure> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    line(
        out,
        &format!(
            "{}: notifyd {} {life}, process {}, state {} old",
            text(&state["site"]),
            text(&state["version"]),
            state["pid"],
            words::duration(age)
        ),
    )?;
    if let Some(error) = state["disk_error"].as_str() {
        line(out, &format!("DISK ERROR: {error}"))?;
    }
    for name in ["new", "deferred", "corrupted"] {
        let stack = &state[name];
        let oldest = stack["oldest_s"].as_i64().map_or_else(String::new, |secs| {
            format!(", oldest {}", words::duration(secs + age))
        });
        line(out, &format!("{name:<10} {}{oldest}", stack["count"]))?;
    }
    if state["held"].as_u64().is_some_and(|held| held > 0) {
        line(out, &format!("held       {}", state["held"]))?;
    }
    if state["totals"].is_object() {
        line(out, &sum(&state["totals"]))?;
    }
    line(
        out,
        &format!(
            "since start: {} accepted, {} duplicates, {} delivered, {} failed",
            state["accepted"], state["duplicates"], state["delivered"], state["failed"]
        ),
    )?;
    for (what, key) in [("lane", "lanes"), ("forward", "forwards")] {
        for one in array(&state[key]) {
            let (waiting, processing) = (&one["waiting"], &one["processing"]);
            let name = text(&one["name"]);
            let collected = match one["collected"].as_u64() {
                Some(count) if count > 0 => format!(" ({count} collected)"),
                _ => String::new(),
            };
            let standing = standing(one, age).map_or_else(String::new, |text| format!("; {text}"));
            line(
                out,
                &format!(
                    "{what} {name}: {waiting} waiting{collected}, {processing} in work{standing}"
                ),
            )?;
        }
    }
    for peer in array(&state["peers"]) {
        let message = match text(&peer["message"]) {
            message if message.is_empty() => message,
            message => format!(": {message}"),
        };
        line(
            out,
            &format!(
                "peer {} ({}): {}{message}; sent {}, received {}{}",
                text(&peer["site"]),
                text(&peer["type"]),
                text(&peer["state"]),
                peer["sent"],
                peer["received"],
                since_secs(&peer["silent_since"]).map_or_else(String::new, |secs| {
                    format!("; SILENT for {}", words::duration(secs.max(0)))
                })
            ),
        )?;
    }
    match canary(&state["canary"]) {
        Some(text) => line(out, &text),
        None => Ok(()),
    }
}

/// What is known of canaries, if there are any.
fn canary(canary: &Value) -> Option<String> {
    let count = |name: &str| canary[name].as_u64().unwrap_or(0);
    let mut parts = Vec::new();
    if !canary["every_s"].is_null() || count("sent") > 0 {
        parts.push(match since_secs(&canary["last_came_through"]) {
            Some(secs) => format!(
                "the last came through {} ago, after {:.1} s",
                words::duration(secs.max(0)),
                canary["round_trip_s"].as_f64().unwrap_or(0.0)
            ),
            None => "none has come through since the start".to_owned(),
        });
    }
    if let Some(secs) = since_secs(&canary["overdue_since"]) {
        let secs = words::duration(secs.max(0));
        parts.push(format!("OVERDUE for {secs}"));
    }
    if count("arrived") > 0 {
        parts.push(format!("{} have arrived here", count("arrived")));
    }
    (!parts.is_empty()).then(|| format!("canary: {}", parts.join("; ")))
}

/// Why a lane delivers nothing, if it does not, as the state said it `age`
/// seconds ago.
pub(crate) fn standing(lane: &Value, age: i64) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let paused = &lane["paused"];
    if paused.is_object() {
        let until = match since_secs(&paused["until"]) {
            Some(since) => format!("for another {}", words::duration((-since).max(0))),
            None => "until it is resumed".to_owned(),
        };
        return Some(format!("paused {until}, {}", text(&paused["hand"])));
    }
    let breaker = &lane["breaker"];
    if !breaker.is_object() {
        return None;
    }
    let next = match breaker["next_s"].as_f64() {
        Some(secs) => {
            let secs = (secs.ceil() as i64 - age).max(0);
            format!("the next try in {}", words::duration(secs))
        }
        None => "a try runs".to_owned(),
    };
    Some(format!("does not work, {next}: {}", text(&breaker["why"])))
}

/// `7 submitted + 0 received = 4 delivered + 1 dropped + 2 open`
fn sum(totals: &Value) -> String {
    let ends = End::ALL.map(|end| end.words());
    let parts = ends
        .into_iter()
        .chain(["lost", "open"])
        .filter_map(|words| {
            let count = totals[words.replace(' ', "_")].as_u64()?;
            (count > 0 || words == "open").then(|| format!("{count} {words}"))
        });
    let parts: Vec<String> = parts.collect();
    let (submitted, received) = (&totals["submitted"], &totals["received"]);
    format!(
        "{submitted} submitted + {received} received = {}",
        parts.join(" + ")
    )
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
