//! A line of 256 kbit/s with 600 ms there and back and 2 % of its packets lost: how
//! long a fresh notification takes while an old backlog of others is under way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::{Line, Program};

use crate::disk::Disk;
use crate::report::{Better, OURS, Report, Row};

use super::pair::{Opens, Pair};
use super::submit::{Bodies, SIZE, Submitter, submit_by_many};

const BACKLOG: u64 = 20_000;
/// How old the backlog is, for the daemon.
const AGE: &str = "-1h";

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let mut add = |figure: Option<f64>, note: String| {
        report.add(Row {
            work: "fresh one past an old backlog".into(),
            program: OURS.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure,
            unit: "s",
            better: Better::Lower,
            note,
        });
    };
    let Some(library) = faketime() else {
        return add(
            None,
            "libfaketime is not installed: the backlog cannot be made old".into(),
        );
    };
    let directory = disk.path().join("slow");
    std::fs::create_dir(&directory).expect("cannot make a directory");
    let port = harness::ports::free();
    let line = Line::new(port);
    let through = line.port();
    let pair = Pair::new(&directory, Opens::RemoteThrough { port, through });
    // Filled an hour ago.
    line.behave(|line| line.refuses = true);
    let mut before = Program::new("notifyd")
        .label("notifyd of an hour ago")
        .env("LD_PRELOAD", library)
        .env("FAKETIME", AGE)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .arg("--config")
        .arg(pair.remote.path("etc/notifyd.toml"))
        .start();
    before.wait_for_line("is ready");
    submit_by_many(&pair.spool, 4, BACKLOG, 256);
    pair.wait_for_queue(BACKLOG);
    let _ = before.terminate();
    line.behave(|line| {
        line.refuses = false;
        line.rate = Some(256_000 / 8);
        line.delay = Duration::from_millis(300);
        line.lost = 20;
    });
    let _receiver = pair.start_central();
    let _sender = pair.start_remote();
    pair.wait(|_, received| received["accepted"].as_u64() > Some(20));
    std::thread::sleep(Duration::from_secs(20));
    let mut bodies = Bodies::about("fresh", SIZE);
    let (id, body) = bodies.make(1 << 40);
    let mut submitter = Submitter::new(&pair.spool);
    submitter.prepare(1, body);
    submitter.send();
    submitter.take();
    let began = Instant::now();
    let id = id.replace('-', "");
    let central = directory.join("central");
    let found = loop {
        if harness::journal::read(&central).contains_key(&id) {
            break true;
        }
        if began.elapsed() > Duration::from_secs(300) {
            break false;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let took = began.elapsed().as_secs_f64();
    let stored = pair.state(&pair.central)["accepted"].as_u64().unwrap_or(0);
    let words = format!(
        "256 kbit/s, 600 ms, 2 % loss; {BACKLOG} of 2 KiB an hour old before it, {stored} of them stored by then"
    );
    match found {
        true => add(Some(took), words),
        false => add(None, format!("not within 300 s: {words}")),
    }
    std::fs::remove_dir_all(&directory).expect("own directory");
}

/// The library that moves a program's clock.
fn faketime() -> Option<PathBuf> {
    let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let library = PathBuf::from(triplet).join("faketime/libfaketime.so.1");
    library.exists().then_some(library)
}
