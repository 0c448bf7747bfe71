//! A notification as a mail: text and HTML, with headers by which mail programs
//! see what belongs together.

mod facts;
mod smtp;
mod template;

use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use objects::notification::Context;
use objects::{Envelope, SiteId, UnixTime};
use uuid::Uuid;

use crate::delivery::{self, Job, Outcome, Verdict};

pub(crate) use smtp::{Credentials, Encryption, Server, Smtp};
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
    /// Makes the mail for `job`.
    pub(crate) fn compose(&self, job: &Job) -> Result<Mail, Outcome> {
        let permanent = |what: String| Outcome::new(Verdict::Permanent, what);
        let (envelope, context) = delivery::open(job)?;
        let recipients = self.recipients(job, &context).map_err(permanent)?;
        let job_id = job.id_in(&self.lane);
        let now = std::time::SystemTime::now().into();
        let facts = facts::of(&envelope, &context, job.attempt, now);
        let rendered = self.templates.render(facts).map_err(permanent)?;
        let thread = self.thread(&envelope, &context);
        let mut message = Message::builder()
            .from(self.sender.clone())
            .subject(rendered.subject)
            .date(facts::zoned(envelope.created).timestamp().into())
            .message_id(Some(format!("<{job_id}@{}>", self.site)))
            .in_reply_to(thread.clone())
            .references(thread)
            .header(AutoSubmitted)
            .header(SitewireId(job.id.to_string()));
        for recipient in recipients {
            message = message.to(recipient);
        }
        let parts = MultiPart::alternative_plain_html(rendered.text, rendered.html);
        let message = message.multipart(parts);
        Ok(Mail {
            job_id,
            created: envelope.created,
            message: message.map_err(|error| permanent(program::exit::chain(&error)))?,
        })
    }

    /// Those of the lane; else those whom the rules chose; else the one whom the
    /// core chose.
    fn recipients(&self, job: &Job, context: &Context) -> Result<Vec<Mailbox>, String> {
        if !self.recipients.is_empty() {
            return Ok(self.recipients.clone());
        }
        if let (Some(usual), true) = (&self.usual, job.told.contacts.is_empty()) {
            return Ok(vec![usual.clone()]);
        }
        let addresses = context.get("CONTACTEMAIL").map(ToString::to_string);
        let addresses = addresses.unwrap_or_default();
        let addresses = addresses
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty());
        let read = |address: &str| {
            let parsed = address.parse();
            parsed.map_err(|error| format!("{address:?} is no address of mail: {error}"))
        };
        let recipients: Vec<Mailbox> = addresses.map(read).collect::<Result<_, _>>()?;
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
    fn thread(&self, envelope: &Envelope<'_>, context: &Context) -> String {
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
        let site = envelope.site.as_str().as_bytes();
        // No value has a NUL in it.
        let key = [site, get("HOSTNAME"), get("SERVICEDESC"), number].join(&0);
        format!(
            "<{}@{}>",
            Uuid::new_v5(&Uuid::NAMESPACE_OID, &key),
            self.site
        )
    }
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
