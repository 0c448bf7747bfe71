//! A million notifications that wait: what they cost in memory, how long a start
//! after a kill takes, and how long it takes until the peer has them all.

use std::time::Instant;

use crate::disk::Disk;
use crate::measure::Family;
use crate::report::{Better, OURS, Report, Row};

use super::pair::{Opens, Pair};
use super::submit::submit_by_many;

const COUNT: u64 = 1_000_000;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let directory = disk.path().join("million");
    std::fs::create_dir(&directory).expect("cannot make a directory");
    let pair = Pair::new(&directory, Opens::Central);
    let sender = pair.start_remote();
    submit_by_many(&pair.spool, 8, COUNT, 256);
    pair.wait_for_queue(COUNT);
    let memory = Family::of_process(sender.pid()).memory();
    sender.kill();
    let began = Instant::now();
    let sender = pair.start_remote();
    let recovery = began.elapsed().as_secs_f64();
    let after = Family::of_process(sender.pid()).memory();
    let began = Instant::now();
    let receiver = pair.start_central();
    pair.wait(|_, received| received["accepted"].as_u64() == Some(COUNT));
    pair.wait_until_empty();
    let drain = began.elapsed().as_secs_f64();
    let _ = receiver.terminate();
    let _ = sender.terminate();
    std::fs::remove_dir_all(&directory).expect("own directory");
    let note = format!("2 KiB each, link down; {}", disk.kind);
    for (work, figure, unit, note) in [
        ("a million waiting: memory", memory, "MiB", note),
        (
            "a million waiting: memory, started",
            after,
            "MiB",
            "after a start".into(),
        ),
        (
            "a million waiting: start after kill",
            recovery,
            "s",
            "until it is ready; the journal is in the page cache".into(),
        ),
        (
            "a million waiting: until drained",
            drain,
            "s",
            "link comes up; until the sender knows that all are stored".into(),
        ),
    ] {
        report.add(Row {
            work: work.into(),
            program: OURS.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note,
        });
    }
}
