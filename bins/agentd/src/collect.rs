//! One collection: everything that is counted is read twice, a second apart,
//! so that even the first document of a machine has rates.

use std::collections::BTreeMap;
use std::fmt::Display;
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

/// Time between the two readings of counters.
const SAMPLE: Duration = Duration::from_secs(1);

/// Collects once. A check that fails leaves its reason in the document.
pub(crate) fn collect() -> Document {
    let start = Instant::now();
    let cpu_before = cpu::read();
    let net_before = network::read_counters();
    thread::sleep(SAMPLE.saturating_sub(start.elapsed()));
    let cpu_after = cpu::read();
    let net_after = network::read_counters();
    let elapsed = start.elapsed();

    let mut errors = BTreeMap::new();
    let net_io = network::rates(net_before, net_after, elapsed)
        .unwrap_or_else(|error| note(&mut errors, "net_io", &error));
    let net_stats = network::links().unwrap_or_else(|error| note(&mut errors, "net_stats", &error));
    let (disks, disk_errors) = disks::disks();
    if !disk_errors.is_empty() {
        errors.insert("disks".to_owned(), disk_errors.join("; "));
    }
    Document {
        agent: Checked::Done(system::agent()),
        cpu: checked(cpu::shares(cpu_before, cpu_after)),
        memory: checked(memory::memory()),
        swap: checked(memory::swap()),
        system_load: checked(memory::system_load()),
        disks: Checked::Done(disks),
        net_stats: Checked::Done(net_stats),
        net_io: Checked::Done(net_io),
        // The key is always there in the original, even without any check.
        customchecks: Checked::Done(BTreeMap::new()),
        errors,
        ..Document::default()
    }
}

fn checked<T, E: Display>(result: Result<T, E>) -> Checked<T> {
    match result {
        Ok(value) => Checked::Done(value),
        Err(error) => Checked::Failed(error.to_string()),
    }
}

/// Keeps the reason beside the checks, for those whose value is iterated over
/// by openITCOCKPIT's server even if it is an error.
fn note<T: Default>(errors: &mut BTreeMap<String, String>, key: &str, error: &dyn Display) -> T {
    errors.insert(key.to_owned(), error.to_string());
    T::default()
}
