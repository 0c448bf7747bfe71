//! Collecting: what is asked, when, and what becomes of it.
//!
//! One thread makes the documents, round by round, and puts each on the board.
//! Plugins, exporters and the inventory have their own intervals and threads;
//! what they found last is merged into the next document.

mod custom;
#[cfg(unix)]
mod docker;
mod exporters;
mod growth;
mod http;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod machine;
mod origin;
mod packages;
mod part;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;
pub(crate) mod root;
mod round;
mod schedule;
mod stop;
mod traffic;

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent::{Checked, Document};

use crate::board::{Board, Published};
use crate::config::{Checks, Config};
#[cfg(unix)]
use docker::Containers;
#[cfg(target_os = "linux")]
use linux as platform;
pub(crate) use machine::Machine;
use part::{Collector, Key};
pub(crate) use platform::uname;
#[cfg(not(target_os = "linux"))]
use portable as platform;
pub(crate) use root::Root;
pub(crate) use round::Effort;
use round::Round;
use schedule::Schedule;
use stop::Stop;

/// Between the first reading of counters and the first document.
pub(crate) const FIRST_SAMPLE: Duration = Duration::from_secs(1);

/// One that hangs shall not keep the others waiting.
const EXPORTERS_AT_ONCE: usize = 4;

/// Parts that tell what counters grew by: they must have been read before.
const RATES: [Key; 5] = [Key::Cpu, Key::DiskIo, Key::NetIo, Key::Docker, Key::Libvirt];

/// Collects until it is stopped.
pub(crate) struct Collecting {
    stop: Stop,
    rounds: JoinHandle<()>,
    plugins: Schedule,
    exporters: Schedule,
    inventory: Schedule,
}

/// What is found beside the rounds.
#[derive(Clone, Default)]
struct Beside {
    plugins: custom::Results,
    exporters: exporters::Answered,
}

/// Starts to collect, and puts what is found on the board. What was there
/// before stays until there is something newer.
pub(crate) fn start(config: &Config, board: Board) -> io::Result<Collecting> {
    let stop = Stop::default();
    let beside = Beside::default();
    let plugins = custom::jobs(&config.custom, &beside.plugins, &stop);
    let exporters = exporters::jobs(&config.prometheus, &beside.exporters, &board);
    let inventory = packages::job(&config.packages, &board, &stop);
    let rounds = {
        let mut round = round(&config.checks, &Machine::real(&config.checks));
        let (interval, stop) = (config.checks.interval, stop.clone());
        thread::Builder::new()
            .name("rounds".to_owned())
            .spawn(move || make_documents(&mut round, &beside, interval, &board, &stop))?
    };
    Ok(Collecting {
        stop,
        rounds,
        plugins: Schedule::start(plugins, config.custom.workers),
        exporters: Schedule::start(exporters, EXPORTERS_AT_ONCE),
        inventory: Schedule::start(inventory.into_iter().collect(), 1),
    })
}

fn make_documents(
    round: &mut Round,
    beside: &Beside,
    interval: Duration,
    board: &Board,
    stop: &Stop,
) {
    round.prime(&RATES);
    let mut next = Instant::now() + FIRST_SAMPLE;
    while !stop.wait_until(next) {
        let mut document = round.collect(&board.document().document);
        beside.merge_into(&mut document);
        let packages = packages::summary(&board.packages().inventory);
        document.packagemanager = Checked::Done(packages);
        if let Ok(published) = Published::new(document, round.efforts(), SystemTime::now()) {
            board.put_document(published);
        }
        // What is late is not made up for.
        let now = Instant::now();
        while next <= now {
            next += interval;
        }
    }
}

impl Collecting {
    /// Ends it, with everything that it has started.
    pub(crate) fn stop(self) {
        self.stop.stop();
        // Who panicked has said so.
        let _ = self.rounds.join();
        self.plugins.stop();
        self.inventory.stop();
        self.exporters.leave();
    }
}

impl Beside {
    fn merge_into(&self, document: &mut Document) {
        // The key is always there in the original, even without any plugin.
        document.customchecks = Checked::Done(self.plugins.all());
        document.prometheus_exporters = Checked::Done(self.exporters.names());
    }
}

/// One document, whose rates are those of the time `sample`. Plugins run once.
pub(crate) fn once(config: &Config, sample: Duration) -> Result<Published, agent::Error> {
    let beside = Beside::default();
    let plugins = custom::jobs(&config.custom, &beside.plugins, &Stop::default());
    let plugins = Schedule::start(plugins, config.custom.workers);
    let mut round = round(&config.checks, &Machine::real(&config.checks));
    let start = Instant::now();
    round.prime(&RATES);
    thread::sleep(sample.saturating_sub(start.elapsed()));
    plugins.wait_for_all();
    plugins.stop();
    let mut document = round.collect(&Document::default());
    beside.merge_into(&mut document);
    Published::new(document, round.efforts(), SystemTime::now())
}

/// What the system says of itself, as `uname` prints it.
pub(crate) struct Uname {
    pub(crate) sysname: String,
    pub(crate) nodename: String,
    pub(crate) release: String,
    pub(crate) version: String,
    pub(crate) machine: String,
    pub(crate) domainname: String,
}

/// Whether it is wanted, what it finds, its lane, and how long it may take.
type Wanted = (bool, Key, usize, Duration, Box<dyn Collector>);

/// For what answers at once, for what may take a moment, and for what asks others.
const AT_ONCE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(5);
#[cfg(unix)]
const LATER: Duration = Duration::from_secs(10);

/// Those that can take long have a lane of their own.
const FILES: usize = 0;
const DEVICES: usize = 1;
const DISKS: usize = 2;
#[cfg(target_os = "linux")]
const SYSTEMD: usize = 3;
#[cfg(unix)]
const DOCKER: usize = 4;
#[cfg(target_os = "linux")]
const CLOCK: usize = 5;
#[cfg(target_os = "linux")]
const LIBVIRT: usize = 6;

/// A file of the kernel's as it is; where there is no such kernel, what the
/// document knows of it. Nothing if there is nothing.
#[cfg(target_os = "linux")]
pub(crate) fn kernel_file(root: &Root, _: &Document, path: &str) -> Vec<u8> {
    let mut buffer = Vec::new();
    match root.read(path, &mut buffer) {
        Ok(_) => buffer,
        Err(_) => Vec::new(),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn kernel_file(_: &Root, document: &Document, path: &str) -> Vec<u8> {
    portable::kernel::file(document, path)
}

/// In a second, as the kernel counts the time of processors; none where it does
/// not show what it has counted.
pub(crate) fn clock_ticks() -> Option<f64> {
    #[cfg(target_os = "linux")]
    return Some(rustix::param::clock_ticks_per_second() as f64);
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// The collectors that are wanted: those of the platform, and those that are
/// the same on more than one.
fn round(checks: &Checks, machine: &Machine) -> Round {
    let mut round = Round::new(checks.interval);
    let collectors = platform::collectors(checks, machine);
    for (is_wanted, key, lane, deadline, collector) in collectors.into_iter().chain(shared(checks))
    {
        if is_wanted {
            round.add(key, lane, deadline, collector);
        }
    }
    round
}

#[cfg(unix)]
fn shared(checks: &Checks) -> [Wanted; 1] {
    [(
        checks.docker,
        Key::Docker,
        DOCKER,
        LATER,
        Box::new(Containers::new()),
    )]
}

/// The engine of containers is asked on a Unix socket.
#[cfg(not(unix))]
fn shared(_: &Checks) -> [Wanted; 0] {
    []
}
