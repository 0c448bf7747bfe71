//! `notifyctl test`: submits a notification as a core would, and follows it to
//! its end; or a canary, which it follows there and back.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use program::{Failure, Status};
use serde_json::json;
use spool::End;
use spool::control::{Answer, Question};
use spool::drop_box;
use spool::record::Event;
use spool::submission::{self, Asked};

use crate::cli::hand::Test;
use crate::control::Control;
use crate::listing::cannot_read;
use crate::place::Place;
use crate::run::line;
use crate::{results, trace, words};

/// How long notifyd may take to say that it has the notification.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often notifyd is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(100);
/// A test says nothing any more after this long.
const LIFETIME: Duration = Duration::from_secs(3600);

pub(crate) fn test(
    place: &Place,
    args: &Test,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    // Who waits needs somebody to wait for.
    let mut control = match args.wait {
        Some(_) => Some(Control::require(&place.spool)?),
        None => None,
    };
    let began = Instant::now();
    let notification = notification(args, site(place, args)?);
    let id = notification.id;
    submit(&place.spool, &notification)?;
    let (Some(wait), Some(control)) = (args.wait, &mut control) else {
        let text = match json {
            true => json!({"id": id.to_string()}).to_string(),
            false => id.to_string(),
        };
        return line(out, &text).map(|()| Status::Done);
    };
    if args.canary {
        let way = Way { place, id, began };
        return way.follow(control, wait, json, out);
    }
    let has_ended = wait_for_end(control, id, began + wait)?;
    let took = began.elapsed();
    let history = spool::history::of(&place.spool, id).map_err(cannot_read)?;
    let end = end_here(&history);
    if json {
        let result = json!({
            "id": id.to_string(),
            "end": end.map(End::words),
            "took_s": took.as_secs_f64(),
        });
        line(out, &result.to_string())?;
    } else {
        line(out, &id.to_string())?;
        trace::print_history(id, &history, false, out)?;
    }
    match end {
        Some(End::Delivered | End::StoredByPeer) => Ok(Status::Done),
        Some(end) => Err(Failure::new(
            Status::Failed,
            format!("the test ended: {end}"),
        )),
        None if has_ended => Err(Failure::new(Status::Failed, "its records are gone already")),
        None => {
            let wait = words::duration(wait.as_secs() as i64);
            let what = format!("the test has not ended after {wait}");
            Err(Failure::new(Status::Failed, what))
        }
    }
}

fn end_here(history: &[(UnixTime, Event<'_>)]) -> Option<End> {
    history.iter().find_map(|(_, event)| match event {
        Event::Ended { end, .. } => Some(*end),
        _ => None,
    })
}

/// A canary that is under way.
struct Way<'a> {
    place: &'a Place,
    id: NotificationId,
    began: Instant,
}

impl Way<'_> {
    /// Waits until it is known what became of it.
    fn follow(
        &self,
        control: &mut Control,
        wait: Duration,
        json: bool,
        out: &mut dyn Write,
    ) -> Result<Status, Failure> {
        let (spool, id, end) = (&self.place.spool, self.id, self.began + wait);
        let mut elsewhere = Vec::new();
        let mut here = None;
        // First it has to leave.
        if wait_for_end(control, id, end)? {
            let history = spool::history::of(spool, id).map_err(cannot_read)?;
            here = end_here(&history).filter(|end| *end != End::StoredByPeer);
            loop {
                elsewhere = results::of(spool, id)?;
                if here.is_some() || !elsewhere.is_empty() || Instant::now() >= end {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        let took = self.began.elapsed().as_secs_f64();
        let has_arrived = here == Some(End::Delivered)
            || elsewhere
                .iter()
                .any(|result| result.end() == End::Delivered.words());
        if json {
            let told: Vec<_> = elsewhere.iter().map(|result| result.json(id)).collect();
            let result = json!({
                "id": id.to_string(),
                "arrived": has_arrived,
                "took_s": took,
                "end": here.map(End::words),
                "elsewhere": told,
            });
            line(out, &result.to_string())?;
        } else {
            line(out, &id.to_string())?;
            for result in &elsewhere {
                line(out, &result.describe())?;
            }
        }
        match (has_arrived, here) {
            (true, _) => Ok(Status::Done),
            (false, Some(end)) => Err(Failure::new(
                Status::Failed,
                format!("the canary ended: {end}"),
            )),
            (false, None) => {
                let wait = words::duration(wait.as_secs() as i64);
                let what = match elsewhere.is_empty() {
                    true => format!("the canary has not come back after {wait}"),
                    false => "the canary did not come through".to_owned(),
                };
                Err(Failure::new(Status::Failed, what))
            }
        }
    }
}

fn site(place: &Place, args: &Test) -> Result<SiteId, Failure> {
    let variable = |name: &str| SiteId::new(&std::env::var(name).ok()?).ok();
    let known = args.site.clone().or_else(|| place.site.clone());
    known
        .or_else(|| variable("SITEWIRE_SITE"))
        .or_else(|| variable("OMD_SITE"))
        .ok_or_else(|| Failure::new(Status::Usage, "the site is not known: give --site SITE"))
}

/// What scripts get to see of it looks like a notification that a person sent.
fn notification(args: &Test, site: SiteId) -> Notification {
    let created = UnixTime::from(SystemTime::now());
    let host = args.host.clone().unwrap_or_else(|| site.to_string());
    let mut context = Context::new();
    if args.canary {
        let made = created.micros().to_string();
        context.insert("CANARY".to_owned(), made.into());
    }
    let mut set = |name: &str, value: &str| {
        context.insert(name.to_owned(), value.into());
    };
    set("NOTIFICATIONTYPE", "CUSTOM");
    set("NOTIFICATIONCOMMENT", &args.comment);
    set("HOSTNAME", &host);
    set("HOSTALIAS", &host);
    set("HOSTSTATE", "UP");
    set("HOSTOUTPUT", &args.comment);
    set("SHORTDATETIME", &words::local(created));
    match &args.service {
        Some(service) => {
            set("WHAT", "SERVICE");
            set("SERVICEDESC", service);
            set("SERVICESTATE", "OK");
            set("SERVICEOUTPUT", &args.comment);
        }
        None => set("WHAT", "HOST"),
    }
    let lifetime = i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX);
    Notification {
        id: NotificationId::new(created),
        kind: Kind::Canary,
        created,
        expires: Some(UnixTime::from_micros(created.micros() + lifetime)),
        site,
        context,
    }
}

fn submit(spool: &Path, notification: &Notification) -> Result<(), Failure> {
    let not_accepted = |why: String| Failure::new(Status::Failed, why);
    let body = notification
        .print()
        .map_err(|error| not_accepted(format!("the test cannot be printed: {error}")))?;
    match submission::submit(spool, body.as_bytes(), PATIENCE) {
        Asked::Submitted(_) => Ok(()),
        Asked::Refused(why) => Err(not_accepted(format!("the test is not accepted: {why}"))),
        Asked::Unanswered => drop_box::submit(spool, notification.id, body.as_bytes())
            .map(drop)
            .map_err(|error| Failure::caused(Status::TryAgain, "the test is not accepted", error)),
    }
}

fn wait_for_end(control: &mut Control, id: NotificationId, end: Instant) -> Result<bool, Failure> {
    loop {
        let answer = control.ask(&Question::Known(vec![id]))?;
        if let Answer::Told(told) = answer
            && told[0] == "ended"
        {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}
