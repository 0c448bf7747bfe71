//! The threads of a lane: as many attempts at once as it has places.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use objects::SiteId;

use crate::config::Lane;
use crate::delivery::{Outcome, Task, Verdict};
use crate::means::Means;
use crate::owner::Request;
use crate::processes::Processes;
use crate::stop::Stop;

/// What all lanes share.
#[derive(Clone)]
pub(crate) struct Crew {
    pub(crate) owner: Sender<Request>,
    pub(crate) processes: Processes,
    pub(crate) stop: Stop,
}

/// Delivers what comes in `tasks` until its sender is gone. `number` is the
/// lane's place in the configuration.
pub(crate) fn start(
    number: usize,
    lane: &Lane,
    site: &SiteId,
    tasks: Receiver<Task>,
    crew: &Crew,
) -> std::io::Result<()> {
    let tasks = Arc::new(Mutex::new(tasks));
    for _ in 0..lane.flow.places {
        let mut means = Means::of(lane.clone(), site.clone());
        let runs_processes = lane.to.runs_processes();
        let (tasks, crew) = (Arc::clone(&tasks), crew.clone());
        let work = move || {
            while let Some(task) = next(&tasks) {
                let place = runs_processes.then(|| crew.processes.enter(number, &crew.stop));
                let outcome = match place {
                    Some(None) => Outcome::new(Verdict::Temporary, "notifyd was stopped"),
                    Some(Some(_)) | None => means.deliver(&task.work, &crew.stop),
                };
                drop(place);
                let finished = Request::Finished {
                    lane: number,
                    work: task.number,
                    outcome,
                };
                if crew.owner.send(finished).is_err() {
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
