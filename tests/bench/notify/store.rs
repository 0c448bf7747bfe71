//! One daemon that takes in and keeps: what a store does, and no relay. For the
//! rivals that are only that.

use std::time::Instant;

use crate::disk::Disk;
use crate::measure::Family;
use crate::report::{Better, OURS, Report, Row, median};

use super::pair::{Opens, Pair};
use super::submit::submit_by_many;

/// What those are compared in.
pub(super) const WORK: &str = "notifications, taken in by one";
/// Connections, and how many are on their way over each.
pub(super) const CONNECTIONS: u64 = 32;
pub(super) const IN_FLIGHT: u64 = 32;
pub(super) const COUNT: u64 = 60_000;
const ROUNDS: usize = 5;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let directory = disk.path().join(format!("store-{round}"));
        std::fs::create_dir(&directory).expect("cannot make a directory");
        let pair = Pair::new(&directory, Opens::Central);
        let daemon = pair.start_remote();
        let family = Family::of_process(daemon.pid());
        let (began, cpu) = (Instant::now(), family.cpu());
        submit_by_many(&pair.spool, CONNECTIONS, COUNT, IN_FLIGHT);
        rates.push(COUNT as f64 / began.elapsed().as_secs_f64());
        cpus.push((family.cpu() - cpu) * 1e5 / COUNT as f64);
        let _ = daemon.terminate();
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
    let note = format!(
        "receiver alone: {COUNT} of 2 KiB by socket, {CONNECTIONS} × {IN_FLIGHT} in flight, each group synced before its answers; {:.2} s CPU per 100,000; median of {ROUNDS}, {}",
        median(cpus),
        disk.kind
    );
    report.add(Row {
        work: WORK.into(),
        program: OURS.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        figure: Some(median(rates)),
        unit: "1/s",
        better: Better::Higher,
        note,
    });
}
