//! One attempt to deliver one notification: what goes in, what comes out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use objects::notification::Context;
use objects::{Envelope, NotificationId, UnixTime};
use rules::{Contact, Told};
use uuid::Uuid;

/// What a lane's worker is given, with the number by which its line knows it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) number: u64,
    pub(crate) work: Work,
}

/// What is to be delivered at once.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    One(Job),
    /// Several of which one text is made.
    Together {
        jobs: Vec<Job>,
        why: Why,
    },
}

impl Work {
    /// All that is to be delivered.
    pub(crate) fn jobs(&self) -> &[Job] {
        match self {
            Self::One(job) => std::slice::from_ref(job),
            Self::Together { jobs, .. } => jobs,
        }
    }
}

/// Why several are delivered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The configuration or the rules want it so.
    Bulk,
    /// There were too many for one each.
    Digest,
    /// They are late.
    Late,
    /// They are a problem and its end.
    Superseded,
}

impl Why {
    /// As templates and logs name it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Digest => "digest",
            Self::Late => "late",
            Self::Superseded => "superseded",
        }
    }
}

/// A notification that a lane is to deliver now.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: NotificationId,
    /// 1 for the first.
    pub(crate) attempt: u32,
    /// The stored body.
    pub(crate) body: String,
    /// What the rules said of it.
    pub(crate) told: Arc<Told>,
    /// It is older than the lane's `late_after`.
    pub(crate) is_late: bool,
    /// Who still has to get it, after an attempt by which others got it; nobody
    /// named: all.
    pub(crate) left: Vec<String>,
}

impl Job {
    /// The same at every attempt, whatever happens in between: a mail's
    /// `Message-ID`, a plugin's `NOTIFY_JOB_ID`.
    pub(crate) fn id_in(&self, lane: &str) -> Uuid {
        let contacts = self.told.names().map(|name| name.as_slice());
        let parameters = &self.told.parameters;
        self.id.job_id_with(lane, parameters, contacts)
    }

    /// Makes `context` what rules made of it: who is told is whom they chose, and
    /// parameters are theirs. Values of several contacts stand between commas; one
    /// within a value becomes a blank then, so that all lists have one order.
    pub(crate) fn complete(&self, context: &mut Context) {
        if !self.told.rules.is_empty() {
            context.retain(|name, _| !name.starts_with("PARAMETER_"));
        }
        let parameters = self.told.parameters.iter();
        context.extend(
            parameters.map(|(name, value)| (format!("PARAMETER_{name}"), value.as_str().into())),
        );
        let contacts = &self.told.contacts;
        if contacts.is_empty() {
            return;
        }
        let is_of_contact = |name: &str| {
            let rest = name.strip_prefix("CONTACT");
            rest.is_some_and(|rest| {
                matches!(rest, "NAME" | "ALIAS" | "EMAIL" | "PAGER") || rest.starts_with('_')
            })
        };
        context.retain(|name, _| !is_of_contact(name));
        let mut set = |name: String, value: &dyn Fn(&Contact) -> BString| {
            let values = contacts.iter().map(|contact| match contacts.len() {
                1 => value(contact),
                _ => value(contact).replace(",", " ").into(),
            });
            let values: Vec<BString> = values.collect();
            context.insert(name, bstr::join(",", values).into());
        };
        set("CONTACTNAME".to_owned(), &|contact| contact.name.clone());
        set("CONTACTALIAS".to_owned(), &|contact| contact.alias.clone());
        set("CONTACTEMAIL".to_owned(), &|contact| contact.email.clone());
        set("CONTACTPAGER".to_owned(), &|contact| contact.pager.clone());
        let names: BTreeSet<&String> = contacts.iter().flat_map(|c| c.attributes.keys()).collect();
        for name in names {
            set(format!("CONTACT_{name}"), &|contact| {
                contact.attributes.get(name).cloned().unwrap_or_default()
            });
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Worth another attempt.
    Temporary,
    /// Another attempt would end the same way.
    Permanent,
}

/// An attempt's verdict and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// One line for people, then what the plugin printed, if anything.
    pub(crate) text: BString,
    /// How long the other side wants to be left alone, if it says so.
    pub(crate) retry_after: Option<Duration>,
    /// The addresses of those who still have to get it, if others have got it.
    pub(crate) left: Vec<String>,
    /// Those who will never get it, if others have got it: addresses, and why.
    pub(crate) refused: Vec<String>,
    /// The lane works: what failed is what was to be delivered.
    pub(crate) lane_works: bool,
}

impl Outcome {
    pub(crate) fn new(verdict: Verdict, text: impl Into<BString>) -> Self {
        Self {
            verdict,
            text: text.into(),
            retry_after: None,
            left: Vec::new(),
            refused: Vec::new(),
            lane_works: verdict != Verdict::Temporary,
        }
    }

    /// What there is to say about it, as it is logged.
    pub(crate) fn first_line(&self) -> String {
        program::log::quote(self.text.lines().next().unwrap_or(b""), 300)
    }
}

/// What a lane reads of a stored body. Bodies were checked when they were
/// accepted, so a failure here is one of the disk or of a later release.
pub(crate) fn open(job: &Job) -> Result<(Envelope<'_>, Context), Outcome> {
    let permanent = |error: objects::notification::Error| {
        Outcome::new(Verdict::Permanent, program::exit::chain(&error))
    };
    let envelope = Envelope::parse(&job.body).map_err(permanent)?;
    let mut context = envelope.context().map_err(permanent)?;
    job.complete(&mut context);
    Ok((envelope, context))
}

/// Seconds since the event, never negative: the clocks of two sites differ.
pub(crate) fn delay_secs(created: UnixTime, now: UnixTime) -> i64 {
    (now.secs() - created.secs()).max(0)
}
