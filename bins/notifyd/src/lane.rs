//! The thread of a lane: one attempt after the other.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use objects::SiteId;

use crate::config::Lane;
use crate::delivery::Job;
use crate::means::Means;
use crate::owner::Request;
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
    let mut means = Means::of(lane, site);
    let work = move || {
        for job in jobs {
            let outcome = means.deliver(&job, &stop);
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
