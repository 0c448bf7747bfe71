//! Collecting: what is asked, when, and what becomes of it.
//!
//! One thread makes the documents, round by round, and puts each on the board.
//! Plugins, exporters and the inventory have their own intervals and threads;
//! what they found last is merged into the next document.

mod cpu;
mod custom;
mod dbus;
mod disk_io;
mod disks;
mod docker;
mod exporters;
mod growth;
mod http;
mod machine;
mod memory;
mod mount_table;
mod names;
mod network;
mod ntp;
mod packages;
mod part;
mod processes;
pub(crate) mod root;
mod round;
mod schedule;
mod sensors;
mod stop;
mod system;
mod systemd;
mod users;

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent::{Checked, Document};

use crate::board::{Board, Published};
use crate::config::{Checks, Config};
use cpu::Processors;
use disk_io::BlockDevices;
use disks::FileSystems;
use docker::Containers;
pub(crate) use machine::Machine;
use memory::{LoadAverages, MainMemory, SwapSpace};
use network::{Links, Traffic};
use ntp::Clock;
pub(crate) use ntp::keeper as clock;
use part::{Collector, Key};
use processes::Processes;
pub(crate) use root::Root;
pub(crate) use round::Effort;
use round::Round;
use schedule::Schedule;
use sensors::Thermometers;
use stop::Stop;
use system::Origin;
use systemd::Units;
use users::Logins;

/// Between the first reading of counters and the first document.
pub(crate) const FIRST_SAMPLE: Duration = Duration::from_secs(1);

/// One that hangs shall not keep the others waiting.
const EXPORTERS_AT_ONCE: usize = 4;

/// Parts that tell what counters grew by: they must have been read before.
const RATES: [Key; 4] = [Key::Cpu, Key::DiskIo, Key::NetIo, Key::Docker];

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

/// Whether it is wanted, what it finds, its lane, and how long it may take.
type Wanted = (bool, Key, usize, Duration, Box<dyn Collector>);

/// The collectors that are wanted. Those that can take long have a lane of
/// their own.
fn round(checks: &Checks, machine: &Machine) -> Round {
    const AT_ONCE: Duration = Duration::from_secs(2);
    const SOON: Duration = Duration::from_secs(5);
    const LATER: Duration = Duration::from_secs(10);
    const FILES: usize = 0;
    const DEVICES: usize = 1;
    const DISKS: usize = 2;
    const SYSTEMD: usize = 3;
    const DOCKER: usize = 4;
    const CLOCK: usize = 5;
    let root = || machine.root.clone();
    let collectors: [Wanted; 15] = [
        (
            true,
            Key::Agent,
            FILES,
            AT_ONCE,
            Box::new(Origin::new(root(), checks.interval)),
        ),
        (
            checks.memory,
            Key::Memory,
            FILES,
            AT_ONCE,
            Box::new(MainMemory::new(root())),
        ),
        (
            checks.swap,
            Key::Swap,
            FILES,
            AT_ONCE,
            Box::new(SwapSpace::new(root())),
        ),
        (
            checks.load,
            Key::SystemLoad,
            FILES,
            AT_ONCE,
            Box::new(LoadAverages::new(root())),
        ),
        (
            checks.cpu,
            Key::Cpu,
            FILES,
            AT_ONCE,
            Box::new(Processors::new(root())),
        ),
        (
            checks.net_io,
            Key::NetIo,
            FILES,
            AT_ONCE,
            Box::new(Traffic::new(root())),
        ),
        (
            checks.disk_io,
            Key::DiskIo,
            FILES,
            AT_ONCE,
            Box::new(BlockDevices::new(root())),
        ),
        (
            checks.users,
            Key::Users,
            FILES,
            AT_ONCE,
            Box::new(Logins::new(root())),
        ),
        (
            checks.ntp,
            Key::Ntp,
            CLOCK,
            AT_ONCE,
            Box::new(Clock {
                keepers: machine.keepers.clone(),
            }),
        ),
        (
            checks.processes,
            Key::Processes,
            FILES,
            SOON,
            Box::new(Processes::new(root())),
        ),
        (
            checks.net_stats,
            Key::NetStats,
            DEVICES,
            SOON,
            Box::new(Links { root: root() }),
        ),
        (
            checks.sensors,
            Key::Sensors,
            DEVICES,
            SOON,
            Box::new(Thermometers { root: root() }),
        ),
        (
            checks.disks,
            Key::Disks,
            DISKS,
            SOON,
            Box::new(FileSystems::new(root())),
        ),
        (
            checks.systemd,
            Key::SystemdServices,
            SYSTEMD,
            SOON,
            Box::new(Units::new(machine.systemd())),
        ),
        (
            checks.docker,
            Key::Docker,
            DOCKER,
            LATER,
            Box::new(Containers::new()),
        ),
    ];
    let mut round = Round::new(checks.interval);
    for (is_wanted, key, lane, deadline, collector) in collectors {
        if is_wanted {
            round.add(key, lane, deadline, collector);
        }
    }
    round
}
