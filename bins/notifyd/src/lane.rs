//! The threads of a lane: as many attempts at once as it has places.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use objects::SiteId;

use crate::config::Lane;
use crate::delivery::Task;
use crate::means::Means;
use crate::owner::Request;
use crate::stop::Stop;

/// Delivers what comes in `tasks` until its sender is gone. `number` is the
/// lane's place in the configuration.
pub(crate) fn start(
    number: usize,
    lane: &Lane,
    site: &SiteId,
    tasks: Receiver<Task>,
    owner: &Sender<Request>,
    stop: &Stop,
) -> std::io::Result<()> {
    let tasks = Arc::new(Mutex::new(tasks));
    for _ in 0..lane.flow.places {
        let mut means = Means::of(lane.clone(), site.clone());
        let (tasks, owner, stop) = (Arc::clone(&tasks), owner.clone(), stop.clone());
        let work = move || {
            while let Some(task) = next(&tasks) {
                let outcome = means.deliver(&task.work, &stop);
                let finished = Request::Finished {
                    lane: number,
                    work: task.number,
                    outcome,
                };
                if owner.send(finished).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("lane".to_owned()).spawn(work)?;
    }
    Ok(())
}

/// Whoever is free waits for the next one, the others for him.
fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    let tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    tasks.recv().ok()
}
