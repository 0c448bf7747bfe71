//! The thread of a lane: one attempt after the other.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use objects::SiteId;

use crate::config::Lane;
use crate::delivery::Work;
use crate::means::Means;
use crate::owner::Request;
use crate::stop::Stop;

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
