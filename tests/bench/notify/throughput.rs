//! Notifications a second from the journal of one site to that of another, over
//! TLS, until the sender has recorded that the peer has stored the last; against
//! what the disk can do in the same minute.

use std::path::Path;
use std::time::Instant;

use crate::disk::{Disk, appends_per_second};
use crate::measure::Family;
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

use super::pair::{Opens, Pair};
use super::submit::{drop_files, submit_by_many};

/// What the others are compared in, too.
pub(super) const WORK: &str = "notifications, journal to journal";
const ROUNDS: usize = 5;
const NOTIFICATIONS: u64 = 60_000;

/// How notifications come into the spool.
#[derive(Clone, Copy)]
enum Way {
    /// They wait in the journal when the link comes up.
    Journal,
    /// All of them lie in `new/` when the sending daemon starts.
    DropBox,
    /// Through the socket, over so many connections with so many in flight.
    Socket(u64, u64),
}

const WAYS: [Way; 5] = [
    Way::Journal,
    Way::DropBox,
    Way::Socket(1, 32),
    Way::Socket(1, 1024),
    Way::Socket(32, 32),
];

/// One run of one way.
struct Figure {
    per_second: f64,
    /// Seconds of both daemons for 100,000.
    cpu: f64,
    /// Notifications that shared a sync when they were accepted: of the sender's
    /// journal, and of the receiver's.
    per_sync: [f64; 2],
}

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let (mut grouped, mut single) = (Vec::new(), Vec::new());
    let mut ours = WAYS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        let directory = disk.path().join(format!("throughput-{round}"));
        std::fs::create_dir(&directory).expect("cannot make a directory");
        grouped.push(appends_per_second(&directory, 1000, 50));
        single.push(appends_per_second(&directory, 1, 300));
        for (way, figures) in WAYS.iter().zip(&mut ours) {
            let directory = directory.join("spools");
            std::fs::create_dir(&directory).expect("cannot make a directory");
            let mut figure = way.measure(&directory);
            figure.per_sync = ["remote1", "central"].map(|site| per_sync(&directory.join(site)));
            eprintln!(
                "bench: round {round}: {}: {:.0}/s, {:.2} s CPU per 100,000, {:.0?} per sync",
                way.words(),
                figure.per_second,
                figure.cpu,
                figure.per_sync
            );
            figures.push(figure);
            std::fs::remove_dir_all(&directory).expect("own directory");
        }
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
    let note = format!("median of {ROUNDS}, {}", disk.kind);
    let mut add = |work: &str, program: &str, unit, better, figure: f64, note: String| {
        report.add(Row {
            work: work.into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(figure),
            unit,
            better,
            note,
        });
    };
    let work = WORK;
    let half = median(grouped) / 2.0;
    for (way, figures) in WAYS.iter().zip(&ours) {
        let rates: Vec<f64> = figures.iter().map(|figure| figure.per_second).collect();
        let best = rates.iter().copied().fold(0.0, f64::max);
        let (words, rate) = (way.words(), median(rates));
        let note = format!(
            "{words}; {:.2} of the limit, best {best:.0}; {note}",
            rate / half
        );
        add(work, OURS, "1/s", Better::Higher, rate, note);
    }
    let note_of_limit = format!("two logs on one disk, each 1,000 × 2 KiB per fdatasync; {note}");
    add(work, LIMIT, "1/s", Better::Higher, half, note_of_limit);
    let note_of_single = format!("one log, one 2 KiB append per fdatasync; {note}");
    add(
        work,
        LIMIT,
        "1/s",
        Better::Higher,
        median(single),
        note_of_single,
    );
    for (way, figures) in WAYS.iter().zip(&ours) {
        let cpu = median(figures.iter().map(|figure| figure.cpu).collect());
        let note = format!("{}, both daemons, TLS; {note}", way.words());
        add(
            "CPU for 100,000 notifications",
            OURS,
            "s",
            Better::Lower,
            cpu,
            note,
        );
    }
    for (way, figures) in WAYS.iter().zip(&ours) {
        for (at, whose) in ["submission", "link"].into_iter().enumerate() {
            let mean = median(figures.iter().map(|figure| figure.per_sync[at]).collect());
            let note = format!("{}, mean of a run; {note}", way.words());
            let work = format!("notifications per sync, {whose}");
            add(&work, OURS, "", Better::Higher, mean, note);
        }
    }
}

/// The mean over the syncs that accepted anything.
fn per_sync(spool: &Path) -> f64 {
    let counts = harness::journal::accepted_per_sync(spool);
    counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64
}

impl Way {
    fn words(self) -> String {
        match self {
            Self::Journal => format!("{NOTIFICATIONS} waiting when the link comes up"),
            Self::DropBox => format!("{NOTIFICATIONS} from new/"),
            Self::Socket(connections, in_flight) => {
                format!("{NOTIFICATIONS} by socket, {connections} × {in_flight} in flight")
            }
        }
    }

    fn measure(self, directory: &Path) -> Figure {
        match self {
            Self::Journal => {
                let pair = Pair::new(directory, Opens::Central);
                let sender = pair.start_remote();
                submit_by_many(&pair.spool, 4, NOTIFICATIONS, 256);
                pair.wait_for_queue(NOTIFICATIONS);
                let sending = Family::of_process(sender.pid());
                let (began, cpu) = (Instant::now(), sending.cpu());
                let receiver = pair.start_central();
                pair.wait_for_all(NOTIFICATIONS);
                let took = began.elapsed().as_secs_f64();
                let cpu = sending.cpu() - cpu + Family::of_process(receiver.pid()).cpu();
                Figure::new(NOTIFICATIONS, took, cpu)
            }
            Self::DropBox => {
                let pair = Pair::new(directory, Opens::Remote);
                let receiver = pair.start_central();
                let receiving = Family::of_process(receiver.pid());
                drop_files(&pair.spool, NOTIFICATIONS);
                let (began, cpu) = (Instant::now(), receiving.cpu());
                let sender = pair.start_remote();
                pair.wait_for_all(NOTIFICATIONS);
                let took = began.elapsed().as_secs_f64();
                let cpu = receiving.cpu() - cpu + Family::of_process(sender.pid()).cpu();
                Figure::new(NOTIFICATIONS, took, cpu)
            }
            Self::Socket(connections, in_flight) => {
                let pair = Pair::new(directory, Opens::Remote);
                let receiver = pair.start_central();
                let sender = pair.start_remote();
                let daemons = Family::of_processes(&[sender.pid(), receiver.pid()]);
                pair.wait_for_link();
                let (began, cpu) = (Instant::now(), daemons.cpu());
                submit_by_many(&pair.spool, connections, NOTIFICATIONS, in_flight);
                pair.wait_for_all(NOTIFICATIONS);
                let took = began.elapsed().as_secs_f64();
                Figure::new(NOTIFICATIONS, took, daemons.cpu() - cpu)
            }
        }
    }
}

impl Figure {
    fn new(count: u64, took: f64, cpu: f64) -> Self {
        Self {
            per_second: count as f64 / took,
            cpu: cpu * 1e5 / count as f64,
            per_sync: [f64::NAN; 2],
        }
    }
}
