//! From the submission by socket to the peer's acknowledgement, at 100 a second.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::journal;

use crate::disk::Disk;
use crate::report::{Better, LIMIT, OURS, Report, Row, quantile};

use super::pair::{Opens, Pair};
use super::submit::{Bodies, SIZE, Submitter};

const COUNT: u64 = 1000;
const PACE: Duration = Duration::from_millis(10);
/// A round trip over TLS on this machine, without any disk.
const ROUND_TRIP: f64 = 0.025;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let directory = disk.path().join("latency");
    std::fs::create_dir(&directory).expect("cannot make a directory");
    let floor = two_syncs(&directory);
    let ours = until_acknowledged(&directory);
    std::fs::remove_dir_all(&directory).expect("own directory");
    for (part, name) in [(0.5, "median"), (0.99, "99th percentile")] {
        let work = format!("submission to peer's ACK, {name}");
        for (program, figures, note) in [
            (
                OURS,
                &ours,
                "100/s by socket, TLS, until the sender writes the acknowledgement down, as its journal says",
            ),
            (
                LIMIT,
                &floor,
                "two appends of 2 KiB, each with fdatasync, and 25 µs for TLS; 100/s",
            ),
        ] {
            report.add(Row {
                work: work.clone(),
                program: program.into(),
                version: env!("CARGO_PKG_VERSION").into(),
                figure: Some(quantile(figures, part)),
                unit: "ms",
                better: Better::Lower,
                note: note.into(),
            });
        }
    }
}

/// In milliseconds, sorted. The sender's journal says when each acknowledgement came:
/// nobody looks on while it runs.
fn until_acknowledged(directory: &Path) -> Vec<f64> {
    let pair = Pair::with_state(directory, Opens::Remote, "1s");
    let _receiver = pair.start_central();
    let _sender = pair.start_remote();
    pair.wait_for_link();
    let mut submitter = Submitter::new(&pair.spool);
    let mut bodies = Bodies::new(SIZE);
    let mut submitted = Vec::new();
    let began = Instant::now();
    for number in 0..COUNT {
        let due = PACE * number as u32;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let (id, body) = bodies.make(number);
        submitter.prepare(number, body);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        submitted.push((id.replace('-', ""), since.expect("after 1970")));
        submitter.send();
        submitter.take();
    }
    pair.wait(|sent, _| sent["accepted"].as_u64() == Some(COUNT) && sent["open"] == 0);
    let ended = journal::ended_at(&pair.spool);
    let took = |(id, at): &(String, Duration)| {
        let micros = ended[id].saturating_sub(at.as_micros() as u64);
        micros as f64 / 1e3
    };
    let mut figures: Vec<f64> = submitted.iter().map(took).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// What the disk alone takes, one after the other, in milliseconds, sorted.
fn two_syncs(directory: &Path) -> Vec<f64> {
    let open = |name: &str| {
        let path = directory.join(name);
        let file = OpenOptions::new().create_new(true).write(true).open(path);
        let file = file.expect("cannot make a file to measure the disk with");
        let zeros = vec![0; SIZE * COUNT as usize];
        file.write_all_at(&zeros, 0).expect("cannot write");
        file.sync_all().expect("cannot sync");
        file
    };
    let files = [open("one"), open("other")];
    let record = vec![b'x'; SIZE];
    let began = Instant::now();
    let mut figures = Vec::new();
    for number in 0..COUNT {
        let due = PACE * number as u32;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let at = Instant::now();
        for file in &files {
            let offset = number * SIZE as u64;
            file.write_all_at(&record, offset).expect("cannot write");
            file.sync_data().expect("cannot sync");
        }
        figures.push(at.elapsed().as_secs_f64() * 1e3 + ROUND_TRIP);
    }
    figures.sort_by(f64::total_cmp);
    figures
}
