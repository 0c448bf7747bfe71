//! Collecting: what is asked, when, and what becomes of it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent::{Checked, Document};

mod cpu;
mod disks;
mod memory;
mod mount_table;
mod network;
mod settings;
mod system;

use crate::board::{Board, Published};

pub(crate) use settings::Settings;

/// Collects until it is stopped.
pub(crate) struct Collecting {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    woken: Condvar,
}

/// Starts to collect, and puts what is found on the board. What was there
/// before stays until there is something newer.
pub(crate) fn start(settings: Settings, board: Board) -> io::Result<Collecting> {
    let stop = Arc::new(Stop::default());
    let thread = {
        let stop = Arc::clone(&stop);
        thread::Builder::new()
            .name("collect".to_owned())
            .spawn(move || {
                loop {
                    if let Ok(published) = Published::new(collect(), SystemTime::now()) {
                        board.put_document(published);
                    }
                    if stop.wait(settings.interval) {
                        return;
                    }
                }
            })?
    };
    Ok(Collecting { stop, thread })
}

impl Collecting {
    /// Ends it, with everything that it has started.
    pub(crate) fn stop(self) {
        self.stop.stop();
        // A panic in there was told when it happened.
        let _ = self.thread.join();
    }
}

impl Stop {
    fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    /// Whether it was stopped within this time.
    fn wait(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        *self
            .woken
            .wait_timeout_while(stopped, pause, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

