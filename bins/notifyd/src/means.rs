//! What a lane delivers by: every way by which a notification reaches a person.

mod checkmk;
mod child;
mod command;
mod document;
mod environment;
mod maildir;
mod script;
mod sendmail;
mod summary;
mod syslog;
mod webhook;

use objects::SiteId;

use crate::config::{Destination, Lane, MailLane, Transport};
use crate::delivery::{Outcome, Verdict, Work};
use crate::mail::{Composer, Smtp, Templates};
use crate::stop::Stop;
use checkmk::Checkmk;
pub(crate) use child::run_alone;
pub(crate) use command::Command;
use maildir::Maildir;
use script::Script;
use sendmail::Sendmail;
pub(crate) use syslog::Syslog;
pub(crate) use webhook::{READY, Webhook};

/// One lane's way.
pub(crate) enum Means {
    Script(Script),
    Command(Box<Command>),
    Maildir(Box<Maildir>),
    Smtp(Box<Smtp>),
    Sendmail(Box<Sendmail>),
    Webhook(Box<Webhook>),
    Syslog(Box<Syslog>),
    Checkmk(Checkmk),
    /// What it needs has gone since the configuration was checked.
    Broken(String),
}

impl Means {
    /// Reads what `lane` needs at the site `site`.
    pub(crate) fn of(lane: Lane, site: SiteId) -> Self {
        let Lane { name, to, .. } = lane;
        Self::open(name, to, site).unwrap_or_else(Self::Broken)
    }

    fn open(lane: String, to: Destination, site: SiteId) -> Result<Self, String> {
        Ok(match to {
            Destination::Script(settings) => Self::Script(Script { lane, settings }),
            Destination::Command(settings) => {
                Self::Command(Box::new(Command::new(lane, *settings)?))
            }
            Destination::Mail(mail) => Self::of_mail(*mail, lane, site)?,
            Destination::Webhook(settings) => {
                Self::Webhook(Box::new(Webhook::new(lane, *settings)?))
            }
            Destination::Syslog(settings) => Self::Syslog(Box::new(Syslog::new(lane, *settings)?)),
            Destination::Checkmk(settings) => Self::Checkmk(Checkmk { lane, settings }),
        })
    }

    fn of_mail(mail: MailLane, lane: String, site: SiteId) -> Result<Self, String> {
        let composer = Composer {
            lane,
            site,
            sender: mail.sender,
            recipients: mail.recipients,
            usual: mail.usual,
            templates: Templates::read(&mail.templates)?,
        };
        Ok(match mail.transport {
            Transport::Maildir(path) => Self::Maildir(Box::new(Maildir { path, composer })),
            Transport::Smtp(server) => Self::Smtp(Box::new(Smtp::new(composer, server))),
            Transport::Sendmail { program, timeout } => Self::Sendmail(Box::new(Sendmail {
                program,
                timeout,
                composer,
            })),
        })
    }

    /// One attempt.
    pub(crate) fn deliver(&mut self, work: &Work, stop: &Stop) -> Outcome {
        match self {
            Self::Script(script) => script.deliver(work, stop),
            Self::Command(command) => command.deliver(work, stop),
            Self::Maildir(maildir) => maildir.deliver(work),
            Self::Smtp(smtp) => smtp.deliver(work),
            Self::Sendmail(sendmail) => sendmail.deliver(work, stop),
            Self::Webhook(webhook) => webhook.deliver(work),
            Self::Syslog(syslog) => syslog.deliver(work),
            Self::Checkmk(checkmk) => checkmk.deliver(work, stop),
            Self::Broken(problem) => Outcome::new(Verdict::Temporary, problem.as_str()),
        }
    }
}
