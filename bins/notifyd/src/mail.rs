//! A notification as a mail: text and HTML, with headers by which mail programs
//! see what belongs together.

mod smtp;
mod template;

use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use objects::{SiteId, UnixTime};
use uuid::Uuid;

use crate::delivery::{Outcome, Verdict, Why, Work};
use crate::facts::{self, Opened};

pub(crate) use smtp::{Credentials, Encryption, Server, Smtp};
use template::Rendered;
pub(crate) use template::{Sources, Templates};

/// What all mails of a lane have in common.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) lane: String,
    pub(crate) site: SiteId,
    pub(crate) sender: Mailbox,
    /// Nobody: whom rules chose, or the contact of each notification.
    pub(crate) recipients: Vec<Mailbox>,
    /// Who gets it if rules chose nobody, instead of the notification's contact.
    pub(crate) usual: Option<Mailbox>,
    pub(crate) templates: Templates,
}

/// A mail that is ready to go.
pub(crate) struct Mail {
    pub(crate) attempt: u32,
    /// Deterministic: the same at every attempt.
    pub(crate) job_id: Uuid,
    pub(crate) created: UnixTime,
    pub(crate) message: Message,
}

#[derive(Clone)]
struct AutoSubmitted;
#[derive(Clone)]
struct SitewireId(String);

impl Composer {
    /// Makes the mail for `work`.
    pub(crate) fn compose(&self, work: &Work) -> Result<Mail, Outcome> {
        let permanent = |what: String| Outcome::new(Verdict::Permanent, what);
        let (jobs, why) = match work {
            Work::One(job) => (std::slice::from_ref(job), None),
            Work::Together { jobs, why } => (jobs.as_slice(), Some(*why)),
        };
        let all = Opened::of_all(jobs)?;
        let Some(first) = all.first() else {
            return Err(permanent("nothing to send".to_owned()));
        };
        let recipients = self.recipients(&all).map_err(permanent)?;
        let rendered = self.render(&all, why).map_err(permanent)?;
        let job_id = self.job_id(&all);
        let created = first.envelope.created;
        let mut message = Message::builder()
            .from(self.sender.clone())
            .subject(rendered.subject)
            .date(facts::zoned(created).timestamp().into())
            .message_id(Some(format!("<{job_id}@{}>", self.site)))
            .header(AutoSubmitted)
            .header(SitewireId(first.job.id.to_string()));
        if all.len() == 1 {
            let thread = self.thread(first);
            message = message.in_reply_to(thread.clone()).references(thread);
        }
        for recipient in recipients {
            message = message.to(recipient);
        }
        let parts = MultiPart::alternative_plain_html(rendered.text, rendered.html);
        let message = message.multipart(parts);
        Ok(Mail {
            attempt: first.job.attempt,
            job_id,
            created,
            message: message.map_err(|error| permanent(program::exit::chain(&error)))?,
        })
    }

    fn render(&self, all: &[Opened<'_>], why: Option<Why>) -> Result<Rendered, String> {
        let now = std::time::SystemTime::now().into();
        match (all, why) {
            ([one], _) => self.templates.render(facts::of(one, &self.lane, now)),
            (_, why) => {
                let why = why.unwrap_or(Why::Bulk);
                let (facts, each) = facts::of_several(all, why, &self.lane, now);
                self.templates.render_several(facts, each)
            }
        }
    }

    /// Deterministic for several, too: made of those of all.
    fn job_id(&self, all: &[Opened<'_>]) -> Uuid {
        let ids = all.iter().map(|one| one.job.id_in(&self.lane));
        let ids: Vec<Uuid> = ids.collect();
        match ids.as_slice() {
            [one] => *one,
            all => {
                let bytes: Vec<u8> = all.iter().flat_map(|id| *id.as_bytes()).collect();
                Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes)
            }
        }
    }

    /// Those of the lane; else those whom the rules chose; else those whom the
    /// core chose. Each once.
    fn recipients(&self, all: &[Opened<'_>]) -> Result<Vec<Mailbox>, String> {
        if !self.recipients.is_empty() {
            return Ok(self.recipients.clone());
        }
        let is_told = all.iter().any(|one| !one.job.told.contacts.is_empty());
        if let (Some(usual), false) = (&self.usual, is_told) {
            return Ok(vec![usual.clone()]);
        }
        let mut recipients: Vec<Mailbox> = Vec::new();
        for address in all.iter().flat_map(addresses) {
            let parsed = address.parse();
            let mailbox: Mailbox =
                parsed.map_err(|error| format!("{address:?} is no address of mail: {error}"))?;
            if !recipients.contains(&mailbox) {
                recipients.push(mailbox);
            }
        }
        if recipients.is_empty() {
            return Err(
                "nobody to send it to: neither the lane nor the contacts nor the \
                        notification (NOTIFY_CONTACTEMAIL) name an address"
                    .to_owned(),
            );
        }
        Ok(recipients)
    }

    /// What all mails of one problem refer to, so that mail programs show them
    /// together; where the core does not number its problems, all of one object.
    fn thread(&self, one: &Opened<'_>) -> String {
        let context = &one.context;
        let get = |name: &str| context.get(name).map_or(&b""[..], |value| value.as_slice());
        let is_service = !get("SERVICEDESC").is_empty();
        let names = if is_service {
            ["SERVICEPROBLEMID", "LASTSERVICEPROBLEMID"]
        } else {
            ["HOSTPROBLEMID", "LASTHOSTPROBLEMID"]
        };
        let numbers = names.into_iter().map(get);
        let mut numbers = numbers.filter(|number| !number.is_empty() && *number != b"0");
        let number = numbers.next().unwrap_or_default();
        let site = one.envelope.site.as_str().as_bytes();
        // No value has a NUL in it.
        let key = [site, get("HOSTNAME"), get("SERVICEDESC"), number].join(&0);
        format!(
            "<{}@{}>",
            Uuid::new_v5(&Uuid::NAMESPACE_OID, &key),
            self.site
        )
    }
}

/// The addresses of those who are to be told of one notification.
fn addresses(one: &Opened<'_>) -> Vec<String> {
    let told = &one.job.told.contacts;
    let text = match told.is_empty() {
        true => one.context.get("CONTACTEMAIL").map(ToString::to_string),
        false => {
            let emails = told.iter().map(|contact| contact.email.to_string());
            Some(emails.collect::<Vec<_>>().join(","))
        }
    };
    let text = text.unwrap_or_default();
    let addresses = text.split(',').map(str::trim);
    addresses
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Header for SitewireId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("X-Sitewire-Id")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}
