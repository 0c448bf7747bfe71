//! `notifyctl rules`: whom a file of rules tells of what, and why.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, ByteSlice};
use objects::notification::{Context, MAX_CONTEXT, parse_context, to_utf8};
use objects::{Envelope, SiteId, UnixTime};
use program::{Failure, Status};
use rules::{Decision, Delivery, Event, Explanation, Outcome, Rules};
use serde_json::{Value, json};

use crate::cli::Args;
use crate::cli::rules::Test;
use crate::place;
use crate::run::line;

/// A notification to try rules on.
struct Sample {
    site: Option<SiteId>,
    created: Option<UnixTime>,
    context: Context,
}

pub(crate) fn check(file: &Path, json: bool, out: &mut dyn Write) -> Result<Status, Failure> {
    let rules = read(file)?;
    let (count, contacts) = rules.counts();
    let lanes: Vec<&str> = rules.lanes().into_iter().collect();
    let text = if json {
        json!({"rules": count, "contacts": contacts, "lanes": lanes}).to_string()
    } else {
        let lanes = lanes.join(", ");
        format!(
            "{}: {count} rules, {contacts} contacts, lanes: {lanes}",
            file.display()
        )
    };
    line(out, &text).map(|()| Status::Done)
}

pub(crate) fn test(
    file: &Path,
    args: &Test,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let rules = read(file)?;
    let place = Place::new(args)?;
    if args.each {
        return test_each(&rules, args, &place, json, out);
    }
    let sample = sample(args)?;
    let explanation = rules.explain(&place.event(&sample));
    if json {
        line(out, &print_json(&explanation).to_string())?;
    } else {
        print(&explanation, out)?;
    }
    Ok(match explanation.decision.deliveries[..] {
        [] => Status::Failed,
        _ => Status::Done,
    })
}

/// As many notifications as come, without keeping any.
fn test_each(
    rules: &Rules,
    args: &Test,
    place: &Place,
    json: bool,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let path = args.context.as_deref().unwrap_or(Path::new("-"));
    let failed = |what: String| Failure::new(Status::Failed, format!("{}: {what}", path.display()));
    let mut input = open(path)?;
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let limit = MAX_CONTEXT as u64;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut text);
        if read.map_err(|error| failed(error.to_string()))? == 0 {
            break;
        }
        let sample = parse_json(&text).map_err(|what| failed(format!("line {number}: {what}")))?;
        let event = place.event(&sample);
        let decision = rules.decide(&event);
        if json {
            line(
                out,
                &json!({"deliveries": deliveries_json(&decision)}).to_string(),
            )?;
        } else {
            let object = match event.service {
                Some(service) => format!("{}/{}", shown(event.host), shown(service)),
                None => shown(event.host),
            };
            line(out, &format!("{object}: {}", summary(&decision)))?;
        }
    }
    Ok(Status::Done)
}

/// Where and when a sample is looked at.
struct Place {
    /// Counts more than what the sample says.
    site: Option<SiteId>,
    local: SiteId,
    now: UnixTime,
}

impl Place {
    fn new(args: &Test) -> Result<Self, Failure> {
        let local = SiteId::new("local");
        let now = args.at.unwrap_or_else(jiff::Timestamp::now);
        Ok(Self {
            site: args.site.clone(),
            local: local.map_err(|error| Failure::new(Status::Usage, error.to_string()))?,
            now: UnixTime::from_micros(now.as_microsecond()),
        })
    }

    fn event<'s>(&'s self, sample: &'s Sample) -> Event<'s> {
        let site = self
            .site
            .as_ref()
            .or(sample.site.as_ref())
            .unwrap_or(&self.local);
        Event::new(
            &sample.context,
            site,
            sample.created.unwrap_or(self.now),
            self.now,
        )
    }
}

/// The rules beside the configuration that `args` name.
pub(crate) fn beside(args: &Args) -> PathBuf {
    let config = args.config.clone().unwrap_or_else(place::default_path);
    config.with_file_name("rules.toml")
}

fn read(file: &Path) -> Result<Rules, Failure> {
    Rules::read(file)
        .map_err(|problems| Failure::new(Status::BadConfiguration, problems.join("\n")))
}

fn sample(args: &Test) -> Result<Sample, Failure> {
    let mut sample = match &args.context {
        Some(path) => {
            let text = read_limited(path)?;
            parse(&text).map_err(|what| {
                Failure::new(Status::Failed, format!("{}: {what}", path.display()))
            })?
        }
        None => Sample {
            site: None,
            created: None,
            context: Context::new(),
        },
    };
    for variable in &args.variables {
        add(&mut sample.context, variable.as_bytes())
            .map_err(|what| Failure::new(Status::Usage, what))?;
    }
    Ok(sample)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    match std::fs::File::open(path) {
        Ok(file) => Ok(Box::new(BufReader::new(file))),
        Err(error) => {
            let what = format!("cannot open {}", path.display());
            Err(Failure::caused(Status::Failed, what, error))
        }
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = open(path)?
        .take(MAX_CONTEXT as u64 + 1)
        .read_to_end(&mut text);
    let what = || format!("cannot read {}", path.display());
    read.map_err(|error| Failure::caused(Status::Failed, what(), error))?;
    if text.len() > MAX_CONTEXT {
        let what = format!("{}: longer than {MAX_CONTEXT} bytes", path.display());
        return Err(Failure::new(Status::Failed, what));
    }
    Ok(text)
}

/// Reads a body, an object of variables, or lines of them.
fn parse(text: &[u8]) -> Result<Sample, String> {
    if text.trim_ascii_start().starts_with(b"{") {
        return parse_json(text);
    }
    let mut context = Context::new();
    for text in ByteSlice::lines(text).filter(|line| !line.trim_ascii().is_empty()) {
        add(&mut context, text)?;
    }
    Ok(Sample {
        site: None,
        created: None,
        context,
    })
}

fn parse_json(text: &[u8]) -> Result<Sample, String> {
    let text = to_utf8(text);
    let said = |error: objects::notification::Error| program::exit::chain(&error);
    // What has the members of a body is one.
    match Envelope::parse(&text) {
        Ok(envelope) => Ok(Sample {
            context: envelope.context().map_err(said)?,
            created: Some(envelope.created),
            site: Some(envelope.site),
        }),
        Err(_) => Ok(Sample {
            site: None,
            created: None,
            context: parse_context(&text).map_err(said)?,
        }),
    }
}

fn add(context: &mut Context, text: &[u8]) -> Result<(), String> {
    let wrong = || format!("{:?} is not of the form NAME=VALUE", text.as_bstr());
    let (name, value) = text.split_once_str("=").ok_or_else(wrong)?;
    let name = name.strip_prefix(b"NOTIFY_").unwrap_or(name);
    let name = name
        .to_str()
        .ok()
        .filter(|name| !name.is_empty())
        .ok_or_else(wrong)?;
    context.insert(name.to_owned(), value.into());
    Ok(())
}

fn print(explanation: &Explanation, out: &mut dyn Write) -> Result<(), Failure> {
    for (name, outcome) in &explanation.rules {
        match outcome {
            Outcome::NotReached => line(out, &format!("-      {name}: a rule before it decides"))?,
            Outcome::FitsNot(why) => {
                line(out, &format!("no     {name}"))?;
                for why in why {
                    line(out, &format!("         {why}"))?;
                }
            }
            Outcome::Fits {
                cancels,
                lanes,
                contacts,
                passed_over,
            } => {
                let word = if *cancels { "cancel" } else { "yes   " };
                line(out, &format!("{word} {name}"))?;
                let contacts = names(contacts.iter().map(|name| name.as_bstr()));
                let lanes = if lanes.is_empty() {
                    "all lanes".to_owned()
                } else {
                    lanes.join(", ")
                };
                let whom = if contacts.is_empty() {
                    "no contact"
                } else {
                    &contacts
                };
                line(out, &format!("         {lanes}: {whom}"))?;
                for (name, why) in passed_over {
                    let name = shown(name.as_bstr());
                    line(out, &format!("         not {name}, who {why}"))?;
                }
            }
        }
    }
    line(out, "")?;
    let Decision {
        deliveries,
        is_fallback,
    } = &explanation.decision;
    if *is_fallback {
        line(out, "No rule fits, so this is the fallback:")?;
    }
    if deliveries.is_empty() {
        line(out, "Nobody is told.")?;
    }
    for delivery in deliveries {
        let parameters = delivery.parameters.iter();
        let parameters: String = parameters
            .map(|(name, value)| format!(" {name}={value:?}"))
            .collect();
        line(out, &format!("{}{parameters}", whom(delivery)))?;
    }
    Ok(())
}

fn names<'n>(all: impl Iterator<Item = &'n BStr>) -> String {
    all.map(shown).collect::<Vec<String>>().join(", ")
}

fn shown(name: &BStr) -> String {
    program::log::quote(name, 200)
}

fn print_json(explanation: &Explanation) -> Value {
    let rules = explanation.rules.iter().map(|(name, outcome)| match outcome {
        Outcome::NotReached => json!({"rule": name, "outcome": "not reached"}),
        Outcome::FitsNot(why) => json!({"rule": name, "outcome": "fits not", "why": why}),
        Outcome::Fits { cancels, lanes, contacts, passed_over } => {
            let contacts: Vec<String> = contacts.iter().map(ToString::to_string).collect();
            let passed_over = passed_over.iter();
            let passed_over: Vec<Value> = passed_over
                .map(|(name, why)| json!({"contact": name.to_string(), "why": why}))
                .collect();
            json!({"rule": name, "outcome": if *cancels { "cancels" } else { "fits" }, "lanes": lanes,
                "contacts": contacts, "passed_over": passed_over})
        }
    });
    json!({
        "rules": rules.collect::<Vec<Value>>(),
        "deliveries": deliveries_json(&explanation.decision),
        "fallback": explanation.decision.is_fallback,
    })
}

fn deliveries_json(decision: &Decision) -> Value {
    let delivery = |delivery: &Delivery| {
        let contacts = delivery.contacts.iter();
        let contacts: Vec<String> = contacts.map(|contact| contact.name.to_string()).collect();
        let parameters = delivery.parameters.iter().cloned();
        let parameters: BTreeMap<String, String> = parameters.collect();
        json!({"lane": delivery.lane, "contacts": contacts, "parameters": parameters})
    };
    decision.deliveries.iter().map(delivery).collect()
}

/// `mail tells anna, joe; sms tells joe`
fn summary(decision: &Decision) -> String {
    if decision.deliveries.is_empty() {
        return "nobody is told".to_owned();
    }
    let all: Vec<String> = decision.deliveries.iter().map(whom).collect();
    all.join("; ")
}

fn whom(delivery: &Delivery) -> String {
    let contacts = names(
        delivery
            .contacts
            .iter()
            .map(|contact| contact.name.as_bstr()),
    );
    let whom = if contacts.is_empty() {
        "its own recipients"
    } else {
        &contacts
    };
    format!("{} tells {whom}", delivery.lane)
}
