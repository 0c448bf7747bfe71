//! The thread of a lane: one attempt after the other.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use objects::SiteId;

use crate::config::{Destination, Lane, MailLane, Transport};
use crate::delivery::{Job, Outcome, Verdict, Work};
use crate::mail::{Composer, Smtp, Templates};
use crate::maildir::Maildir;
use crate::owner::Request;
use crate::script;
use crate::stop::Stop;

/// What a lane delivers by.
enum Means {
    Script {
        path: PathBuf,
        timeout: Duration,
    },
    Maildir(Box<Maildir>),
    Smtp(Box<Smtp>),
    /// What it needs has gone since the configuration was checked.
    Broken(String),
}

/// Delivers what comes in `work` until its sender is gone. `number` is the
/// lane's place in the configuration.
pub(crate) fn start(
    number: usize,
    lane: Lane,
    site: SiteId,
    work: Receiver<Work>,
    owner: Sender<Request>,
    stop: Stop,
) -> std::io::Result<()> {
    let mut means = Means::of(lane, site);
    let run = move || {
        for work in work {
            let outcome = means.deliver(&work, &stop);
            let finished = Request::Finished {
                lane: number,
                outcome,
            };
            if owner.send(finished).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("lane".to_owned())
        .spawn(run)
        .map(drop)
}

impl Means {
    fn of(lane: Lane, site: SiteId) -> Self {
        match lane.to {
            Destination::Script { path, timeout } => Self::Script { path, timeout },
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
            templates,
        };
        match mail.transport {
            Transport::Maildir(path) => Self::Maildir(Box::new(Maildir { path, composer })),
            Transport::Smtp(server) => Self::Smtp(Box::new(Smtp::new(composer, server))),
        }
    }

    fn deliver(&mut self, work: &Work, stop: &Stop) -> Outcome {
        match work {
            Work::One(job) => self.deliver_one(job, stop),
            // One after the other, up to the first that fails.
            Work::Together { jobs, .. } => {
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
            Self::Script { path, timeout } => script::run(path, *timeout, job, stop),
            Self::Maildir(maildir) => maildir.deliver(job),
            Self::Smtp(smtp) => smtp.deliver(job),
            Self::Broken(problem) => Outcome::new(Verdict::Temporary, problem.as_str()),
        }
    }
}
