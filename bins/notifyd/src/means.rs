//! What a lane delivers by: every way by which a notification reaches a person.

mod child;
mod environment;
mod maildir;
mod script;

use objects::SiteId;

use crate::config::{Destination, Lane, MailLane, Transport};
use crate::delivery::{Job, Outcome, Verdict, Work};
use crate::mail::{Composer, Smtp, Templates};
use crate::stop::Stop;
use maildir::Maildir;
use script::Script;

/// One lane's way.
pub(crate) enum Means {
    Script(Script),
    Maildir(Box<Maildir>),
    Smtp(Box<Smtp>),
    /// What it needs has gone since the configuration was checked.
    Broken(String),
}

impl Means {
    /// Reads what `lane` needs at the site `site`.
    pub(crate) fn of(lane: Lane, site: SiteId) -> Self {
        match lane.to {
            Destination::Script(settings) => Self::Script(Script { settings }),
            Destination::Mail(mail) => Self::of_mail(*mail, lane.name, site),
        }
    }

    fn of_mail(mail: MailLane, lane: String, site: SiteId) -> Self {
        let templates = match Templates::read(&mail.templates) {
            Ok(templates) => templates,
            Err(problem) => return Self::Broken(problem),
        };
        let composer = Composer {
            lane,
            site,
            sender: mail.sender,
            recipients: mail.recipients,
            usual: mail.usual,
            templates,
        };
        match mail.transport {
            Transport::Maildir(path) => Self::Maildir(Box::new(Maildir { path, composer })),
            Transport::Smtp(server) => Self::Smtp(Box::new(Smtp::new(composer, server))),
        }
    }

    /// One attempt.
    pub(crate) fn deliver(&mut self, work: &Work, stop: &Stop) -> Outcome {
        match work {
            Work::One(job) => self.deliver_one(job, stop),
            // One after the other, up to the first that fails.
            Work::Together { jobs, why } => {
                tracing::debug!(?why, "{} one after the other", jobs.len());
                let outcomes = jobs.iter().map(|job| self.deliver_one(job, stop));
                let mut last = Outcome::new(Verdict::Delivered, "");
                for outcome in outcomes {
                    last = outcome;
                    if last.verdict != Verdict::Delivered {
                        break;
                    }
                }
                last
            }
        }
    }

    fn deliver_one(&mut self, job: &Job, stop: &Stop) -> Outcome {
        match self {
            Self::Script(script) => script.deliver(job, stop),
            Self::Maildir(maildir) => maildir.deliver(job),
            Self::Smtp(smtp) => smtp.deliver(job),
            Self::Broken(problem) => Outcome::new(Verdict::Temporary, problem.as_str()),
        }
    }
}
