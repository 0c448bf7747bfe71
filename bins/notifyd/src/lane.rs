//! The thread of a lane: one attempt after the other.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use objects::SiteId;

use crate::config::{Destination, Lane};
use crate::delivery::{Job, Outcome};
use crate::maildir::Maildir;
use crate::owner::Request;
use crate::script;
use crate::stop::Stop;

/// Delivers what comes in `jobs` until its sender is gone. `number` is the
/// lane's place in the configuration.
pub(crate) fn start(
    number: usize,
    lane: Lane,
    site: SiteId,
    jobs: Receiver<Job>,
    owner: Sender<Request>,
    stop: Stop,
) -> std::io::Result<()> {
    let work = move || {
        for job in jobs {
            let outcome = deliver(&lane, &site, &job, &stop);
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
        .spawn(work)
        .map(drop)
}

fn deliver(lane: &Lane, site: &SiteId, job: &Job, stop: &Stop) -> Outcome {
    match &lane.to {
        Destination::Script { path, timeout } => script::run(path, *timeout, job, stop),
        Destination::Maildir {
            path,
            sender,
            recipient,
        } => Maildir {
            path,
            sender,
            recipient,
            lane: &lane.name,
            site,
        }
        .deliver(job),
    }
}
