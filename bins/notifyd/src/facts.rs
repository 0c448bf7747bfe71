//! What is said of a notification: its variables, made readable for templates.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice};
use minijinja::Value;
use objects::notification::Context;
use objects::perfdata::Perfdata;
use objects::{Envelope, SiteId, UnixTime};

use crate::delivery::{self, Job, Outcome, Why, Work, delay_secs};
use crate::template::Facts;

/// More of one value is left out: what is said is read by people.
const MAX_VALUE: usize = 64 * 1024;
/// More metrics are left out.
const MAX_METRICS: usize = 100;
/// From this many seconds on something is said to be late.
const LATE: i64 = 5 * 60;

/// A job whose body has been read.
pub(crate) struct Opened<'a> {
    pub(crate) job: &'a Job,
    pub(crate) envelope: Envelope<'a>,
    pub(crate) context: Context,
}

impl<'a> Opened<'a> {
    /// Reads the body of `job`.
    pub(crate) fn of(job: &'a Job) -> Result<Self, Outcome> {
        let (envelope, context) = delivery::open(job)?;
        Ok(Self {
            job,
            envelope,
            context,
        })
    }

    /// Reads the bodies of all.
    pub(crate) fn of_all(jobs: &'a [Job]) -> Result<Vec<Self>, Outcome> {
        jobs.iter().map(Self::of).collect()
    }

    fn get(&self, name: &str) -> String {
        self.context.get(name).map(lines).unwrap_or_default()
    }

    fn is_service(&self) -> bool {
        let name = self.context.get("SERVICEDESC");
        name.is_some_and(|name| !name.is_empty())
    }

    fn what(&self) -> &'static str {
        match self.is_service() {
            true => "service",
            false => "host",
        }
    }

    fn pick(&self, of_service: &str, of_host: &str) -> String {
        match self.is_service() {
            true => self.get(of_service),
            false => self.get(of_host),
        }
    }

    pub(crate) fn state(&self) -> String {
        self.pick("SERVICESTATE", "HOSTSTATE")
    }

    fn host(&self) -> String {
        match self.get("HOSTNAME") {
            name if name.is_empty() => self.envelope.site.to_string(),
            name => name,
        }
    }

    pub(crate) fn kind(&self) -> String {
        match self.get("NOTIFICATIONTYPE") {
            word if word.is_empty() => self.envelope.kind.word().to_uppercase(),
            word => word,
        }
    }

    /// `HOST/SERVICE is STATE: OUTPUT`
    fn line(&self) -> String {
        let (mut text, service) = (self.host(), self.get("SERVICEDESC"));
        if !service.is_empty() {
            text.push('/');
            text.push_str(&service);
        }
        let (state, output) = (self.state(), self.pick("SERVICEOUTPUT", "HOSTOUTPUT"));
        format!("{} {text} is {}: {output}", self.kind(), short(&state))
    }
}

/// What templates can use, by name. `lane` is where it goes.
pub(crate) fn of(opened: &Opened<'_>, lane: &str, now: UnixTime) -> Facts {
    let mut facts = of_one(opened, lane, now);
    let context = opened.context.iter();
    let all: BTreeMap<String, Value> = context
        .map(|(name, value)| (name.clone(), Value::from(lines(value))))
        .collect();
    facts.insert("context", Value::from(all));
    facts
}

/// The same without the variables themselves.
fn of_one(opened: &Opened<'_>, lane: &str, now: UnixTime) -> Facts {
    let (job, envelope) = (opened.job, &opened.envelope);
    let pick = |of_service: &str, of_host: &str| opened.pick(of_service, of_host);
    let state = opened.state();
    let previous = previous(opened, now);
    let since = pick("LASTSERVICESTATECHANGE", "LASTHOSTSTATECHANGE");
    let since = since
        .parse()
        .ok()
        .filter(|secs| *secs > 0)
        .map(UnixTime::from_secs);
    let delay = delay_secs(envelope.created, now);
    let path: Vec<&str> = envelope.path.iter().map(SiteId::as_str).collect();
    let perfdata = pick("SERVICEPERFDATA", "HOSTPERFDATA");
    let parameters: BTreeMap<String, Value> = job
        .told
        .parameters
        .iter()
        .cloned()
        .map(|(name, value)| (name, Value::from(value)))
        .collect();
    let mut facts = BTreeMap::from([
        ("what", Value::from(opened.what())),
        ("state_short", Value::from(short(&state))),
        ("previous_short", Value::from(short(&previous))),
        ("color", Value::from(color(&state))),
        ("site", Value::from(envelope.site.as_str())),
        ("path", Value::from(path.join(" -> "))),
        ("time", Value::from(local(envelope.created))),
        ("timestamp", Value::from(envelope.created.secs())),
        ("since", Value::from(since.map(local).unwrap_or_default())),
        ("delay", Value::from(delay)),
        ("is_late", Value::from(job.is_late || delay >= LATE)),
        ("late", Value::from(job.is_late)),
        ("attempt", Value::from(job.attempt)),
        ("count", Value::from(1)),
        ("id", Value::from(job.id.to_string())),
        ("job", Value::from(job.id_in(lane).to_string())),
        ("lane", Value::from(lane)),
        ("metrics", metrics(&perfdata)),
        ("contacts", contacts(opened)),
        ("email", Value::from(addresses(opened, "EMAIL"))),
        ("pager", Value::from(addresses(opened, "PAGER"))),
        ("contact", Value::from(contact_names(opened))),
        ("rules", Value::from(job.told.rules.clone())),
        ("parameters", Value::from(parameters)),
    ]);
    for (name, value) in [
        ("type", opened.kind()),
        ("host", opened.host()),
        ("service", opened.get("SERVICEDESC")),
        ("state", state),
        ("previous", previous),
        ("alias", opened.get("HOSTALIAS")),
        ("address", opened.get("HOSTADDRESS")),
        ("groups", opened.get("HOSTGROUPNAMES")),
        ("output", pick("SERVICEOUTPUT", "HOSTOUTPUT")),
        (
            "details",
            unescaped(&pick("LONGSERVICEOUTPUT", "LONGHOSTOUTPUT")),
        ),
        ("perfdata", perfdata),
        ("author", opened.get("NOTIFICATIONAUTHOR")),
        ("comment", opened.get("NOTIFICATIONCOMMENT")),
        (
            "number",
            pick("SERVICENOTIFICATIONNUMBER", "HOSTNOTIFICATIONNUMBER"),
        ),
    ] {
        facts.insert(name, Value::from(value));
    }
    facts
}

/// The hard state before, as far as the core says or it can be deduced.
fn previous(opened: &Opened<'_>, now: UnixTime) -> String {
    let envelope = &opened.envelope;
    let event = rules::Event::new(&opened.context, &envelope.site, envelope.created, now);
    let previous = event.previous.map(rules::State::word);
    previous.unwrap_or_default().to_uppercase()
}

/// What templates can use of `work`; for several with the list of them.
pub(crate) fn of_work(work: &Work, lane: &str, now: UnixTime) -> Result<Facts, Outcome> {
    Ok(match work {
        Work::One(job) => of(&Opened::of(job)?, lane, now),
        Work::Together { jobs, why } => {
            let all = Opened::of_all(jobs)?;
            let (mut facts, each) = of_several(&all, *why, lane, now);
            facts.insert("notifications", Value::from(each));
            facts
        }
    })
}

/// What is said of several at once, by the same names where that makes sense,
/// so that a template that knows nothing of it says all of it; then what there is
/// to say of each.
pub(crate) fn of_several(
    all: &[Opened<'_>],
    why: Why,
    lane: &str,
    now: UnixTime,
) -> (Facts, Vec<Facts>) {
    let each: Vec<Facts> = all.iter().map(|one| of_one(one, lane, now)).collect();
    let state = all
        .iter()
        .map(Opened::state)
        .max_by_key(|state| badness(state));
    let state = state.unwrap_or_default();
    let common = |of: &dyn Fn(&Opened<'_>) -> String, several: &str| {
        let values: BTreeSet<String> = all.iter().map(of).collect();
        match values.len() {
            1 => values.into_iter().next().unwrap_or_default(),
            _ if several.is_empty() => String::new(),
            count => format!("{count} {several}"),
        }
    };
    let details: Vec<String> = all.iter().map(Opened::line).collect();
    let oldest = all.iter().map(|one| one.envelope.created).min();
    let oldest = oldest.unwrap_or(now);
    let ids: Vec<String> = all.iter().map(|one| one.job.id.to_string()).collect();
    let attempt = all.iter().map(|one| one.job.attempt).max();
    let mut facts = each.first().cloned().unwrap_or_default();
    for (name, value) in [
        ("type", common(&|one| one.kind(), "kinds")),
        ("what", common(&|one| one.what().to_owned(), "")),
        ("host", common(&|one| one.host(), "hosts")),
        ("alias", common(&|one| one.get("HOSTALIAS"), "")),
        ("address", common(&|one| one.get("HOSTADDRESS"), "")),
        ("groups", common(&|one| one.get("HOSTGROUPNAMES"), "")),
        ("service", common(&|one| one.get("SERVICEDESC"), "")),
        (
            "site",
            common(&|one| one.envelope.site.to_string(), "sites"),
        ),
        ("state_short", short(&state).to_owned()),
        ("color", color(&state).to_owned()),
        ("state", state),
        ("previous", String::new()),
        ("previous_short", String::new()),
        ("since", String::new()),
        ("perfdata", String::new()),
        ("author", common(&|one| one.get("NOTIFICATIONAUTHOR"), "")),
        ("comment", common(&|one| one.get("NOTIFICATIONCOMMENT"), "")),
        ("output", format!("{} notifications", all.len())),
        ("details", details.join("\n")),
        ("time", local(oldest)),
        ("why", why.word().to_owned()),
    ] {
        facts.insert(name, Value::from(value));
    }
    let delay = delay_secs(oldest, now);
    facts.insert("metrics", Value::from(Vec::<Value>::new()));
    facts.insert("timestamp", Value::from(oldest.secs()));
    facts.insert("delay", Value::from(delay));
    let is_late = delay >= LATE || all.iter().any(|one| one.job.is_late);
    facts.insert("is_late", Value::from(is_late));
    facts.insert("count", Value::from(all.len()));
    facts.insert("attempt", Value::from(attempt.unwrap_or(1)));
    facts.insert("ids", Value::from(ids));
    (facts, each)
}

/// Whoever is told: those whom the rules chose, else the one whom the core chose.
fn contacts(opened: &Opened<'_>) -> Value {
    let told = &opened.job.told.contacts;
    if told.is_empty() {
        let own = ["name", "alias", "email", "pager"].map(|name| {
            let value = opened.get(&format!("CONTACT{}", name.to_uppercase()));
            (name.to_owned(), Value::from(value))
        });
        let is_there = own.iter().any(|(_, value)| value.is_true());
        let own = is_there.then(|| Value::from(BTreeMap::from(own)));
        return Value::from(own.into_iter().collect::<Vec<Value>>());
    }
    let told = told.iter().map(|contact| {
        let mut all = BTreeMap::from([
            ("name".to_owned(), Value::from(lines(&contact.name))),
            ("alias".to_owned(), Value::from(lines(&contact.alias))),
            ("email".to_owned(), Value::from(lines(&contact.email))),
            ("pager".to_owned(), Value::from(lines(&contact.pager))),
        ]);
        for (name, value) in &contact.attributes {
            all.entry(name.to_lowercase())
                .or_insert_with(|| Value::from(lines(value)));
        }
        Value::from(all)
    });
    Value::from(told.collect::<Vec<Value>>())
}

fn contact_names(opened: &Opened<'_>) -> String {
    let names: Vec<String> = opened.job.told.names().map(lines).collect();
    match names.is_empty() {
        true => opened.get("CONTACTNAME"),
        false => names.join(", "),
    }
}

/// `EMAIL` or `PAGER` of all contacts, with commas between.
fn addresses(opened: &Opened<'_>, which: &str) -> String {
    let told = opened.job.told.contacts.iter();
    let all: Vec<String> = told
        .map(|contact| match which {
            "EMAIL" => lines(&contact.email),
            _ => lines(&contact.pager),
        })
        .filter(|address| !address.is_empty())
        .collect();
    match opened.job.told.contacts.is_empty() {
        true => opened.get(&format!("CONTACT{which}")),
        false => all.join(","),
    }
}

fn badness(state: &str) -> u8 {
    match state {
        "CRITICAL" | "DOWN" => 4,
        "UNKNOWN" | "UNREACHABLE" => 3,
        "WARNING" => 2,
        "OK" | "UP" => 1,
        _ => 0,
    }
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

/// In the time zone of this machine.
pub(crate) fn zoned(time: UnixTime) -> jiff::Zoned {
    jiff::Timestamp::from_microsecond(time.micros())
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::system())
}

fn local(time: UnixTime) -> String {
    zoned(time).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}
