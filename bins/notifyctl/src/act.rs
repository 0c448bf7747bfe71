//! `notifyctl hold`, `release`, `retry`, `drop`, `pause`, `resume`, `flush`,
//! `reload`: what is asked
//! of notifyd. Which notifications are meant is found out here, by reading the
//! journal, so that it is what `notifyctl queue` lists with the same options.

use std::io::Write;

use objects::NotificationId;
use program::{Failure, Status};
use serde_json::json;
use spool::Target;
use spool::control::{Action, Answer, Hand, MAX_IDS, Question};

use crate::cli::hand;
use crate::control::Control;
use crate::listing::Listing;
use crate::place::Place;
use crate::run::line;
use crate::words;

pub(crate) fn act(
    place: &Place,
    action: Action,
    args: &hand::Act,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let ids = meant(place, &args.which, args.all)?;
    ask(place, (action, &ids, None), &args.why, json, out)
}

/// Where a lane or a peer is named, at that target only.
pub(crate) fn drop(
    place: &Place,
    args: &hand::Drop,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let lane = args.which.lane.clone().map(Target::Lane);
    let target = lane.or_else(|| args.which.peer.clone().map(Target::Peer));
    let ids = meant(place, &args.which, args.all)?;
    ask(place, (Action::Drop, &ids, target), &args.why, json, out)
}

pub(crate) fn flush(
    place: &Place,
    args: &hand::Said,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let question = Question::Flush(by_whom(&args.why));
    let answer = Control::require(&place.spool)?.ask(&question)?;
    let done = match answer {
        Answer::Done { done, .. } => done,
        _ => 0,
    };
    let text = match json {
        true => json!({"action": "flush", "deliveries": done}).to_string(),
        false => format!("links connect now; {done} deliveries are tried again now"),
    };
    line(out, &text).map(|()| Status::Done)
}

pub(crate) fn pause(
    place: &Place,
    args: &hand::Pause,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let hand::Pausable::Delivery = args.what;
    let question = Question::Pause {
        lane: args.lane.clone(),
        length: args.length,
        hand: by_whom(&args.why),
    };
    Control::require(&place.spool)?.ask(&question)?;
    let lane = args.lane.as_deref();
    let until = match args.length {
        Some(length) => format!("for {}", words::duration(length.as_secs() as i64)),
        None => "until it is resumed".to_owned(),
    };
    let text = match json {
        true => {
            let secs = args.length.map(|length| length.as_secs_f64());
            json!({"action": "pause", "lane": lane, "for_s": secs}).to_string()
        }
        false => format!("{} paused {until}", delivery(lane)),
    };
    line(out, &text).map(|()| Status::Done)
}

pub(crate) fn resume(
    place: &Place,
    args: &hand::Resume,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let hand::Pausable::Delivery = args.what;
    let question = Question::Resume {
        lane: args.lane.clone(),
        hand: by_whom(&args.why),
    };
    let answer = Control::require(&place.spool)?.ask(&question)?;
    let lane = args.lane.as_deref();
    let text = match (json, answer) {
        (true, _) => json!({"action": "resume", "lane": lane}).to_string(),
        (false, Answer::Done { done: 0, .. }) => format!("{} was not paused", delivery(lane)),
        (false, _) => format!("{} goes on", delivery(lane)),
    };
    line(out, &text).map(|()| Status::Done)
}

fn delivery(lane: Option<&str>) -> String {
    match lane {
        Some(lane) => format!("delivery by lane {lane}"),
        None => "delivery".to_owned(),
    }
}

pub(crate) fn reload(
    place: &Place,
    args: &hand::Said,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let question = Question::Reload(by_whom(&args.why));
    Control::require(&place.spool)?.ask(&question)?;
    let text = match json {
        true => json!({"action": "reload"}).to_string(),
        false => "notifyd reads its configuration again; its log and its state say how it went"
            .to_owned(),
    };
    line(out, &text).map(|()| Status::Done)
}

/// The ids of what is meant. Nothing is done to everything by mistake.
fn meant(
    place: &Place,
    which: &hand::Selection,
    all: bool,
) -> Result<Vec<NotificationId>, Failure> {
    if which.is_empty() && !all {
        let what = "say which notifications: ids, a condition, or --all";
        return Err(Failure::new(Status::Usage, what));
    }
    // Ids alone need no reading: notifyd knows which of them are open.
    if !which.ids.is_empty() && !which.has_conditions() {
        return Ok(which.ids.clone());
    }
    let ids = Listing::read(&place.spool, which)?.ids();
    if ids.is_empty() {
        return Err(Failure::new(Status::Failed, "no notification is like that"));
    }
    Ok(ids)
}

/// Asks in portions; each is durable when the next one is asked for.
fn ask(
    place: &Place,
    (action, ids, target): (Action, &[NotificationId], Option<Target>),
    why: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let mut control = Control::require(&place.spool)?;
    let (mut done, mut not) = (0, Vec::new());
    for ids in ids.chunks(MAX_IDS) {
        let answer = control.ask(&Question::Act {
            action,
            ids: ids.to_vec(),
            target: target.clone(),
            hand: by_whom(why),
        })?;
        if let Answer::Done {
            done: count,
            not: others,
        } = answer
        {
            done += count;
            not.extend(others.iter().map(ToString::to_string));
        }
    }
    let past = match action {
        Action::Hold => "held",
        Action::Release => "released",
        Action::Retry => "tried again now",
        Action::Drop => "dropped",
    };
    if json {
        let all = json!({"action": action.word(), "done": done, "not": not});
        line(out, &all.to_string())?;
    } else {
        line(out, &format!("{done} {past}"))?;
    }
    match not.as_slice() {
        [] => Ok(Status::Done),
        [id] => Err(Failure::new(Status::Failed, format!("not {past}: {id}"))),
        [id, ..] => {
            let what = format!("{} not {past}: {id} and others", not.len());
            Err(Failure::new(Status::Failed, what))
        }
    }
}

/// The person, also behind sudo.
fn by_whom(why: &str) -> Hand {
    let name = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let by = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(name);
    let own = || format!("user {}", rustix::process::getuid().as_raw());
    let one_line = |text: &str| text.replace(|c: char| c.is_control(), " ");
    Hand {
        by: one_line(&by.unwrap_or_else(own)),
        why: one_line(why),
    }
}
