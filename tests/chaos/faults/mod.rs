//! The list of faults: what is broken, and what must hold then. Each ends with
//! everything healed, the queue empty, and the judge.

mod disk;
mod lanes;
mod network;
mod process;

use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::field::Field;
use crate::problem::Problem;
use crate::submitters::{Manner, ORDINARY, Submitters};

/// One entry: what it did, in words, if all was well.
type Run = fn() -> Result<String, Problem>;

const FAULTS: [(&str, &str, Run); 22] = [
    (
        "T1",
        "killed at the entry of system calls",
        process::killed_at_calls,
    ),
    (
        "T2",
        "power loss, torn and reordered writes",
        disk::power_loss,
    ),
    ("T3", "power loss under load, quick form", disk::shut_down),
    ("T4", "disk full, then room", disk::full),
    ("T4i", "no inodes left", disk::no_inodes),
    (
        "T5",
        "syncs fail, writes fail or are short",
        disk::failing_calls,
    ),
    (
        "T5d",
        "a data write fails, the sync heals",
        disk::failing_writes,
    ),
    ("T6", "the file system becomes read-only", disk::read_only),
    ("T7", "permissions lost", disk::permissions),
    ("T8", "out of descriptors; file size limit", process::limits),
    ("T9", "half-open link, one way and both", network::half_open),
    (
        "T10",
        "reset, refused, flapping, loss, thin line",
        network::broken,
    ),
    ("T11", "frozen receiver", network::frozen),
    ("T12", "garbage on the port", network::garbage),
    ("T13", "clock jumps", process::clock),
    (
        "T14",
        "100,000 files dropped at once, with rubbish",
        disk::flood,
    ),
    ("T15", "two daemons; spool moved away", process::two_daemons),
    ("T16", "restart storm", process::restarts),
    ("T17", "memory limit", process::memory),
    (
        "T18",
        "journal of an older and of a newer release",
        process::releases,
    ),
    (
        "LANE",
        "a lane hangs with 5,000 queued, others do not",
        lanes::hanging,
    ),
    (
        "STORM",
        "5,000 problems for one contact",
        lanes::many_problems,
    ),
];

/// Runs one of them; none if there is no such.
pub(crate) fn run_one(name: &str) -> Option<Result<(), String>> {
    let (name, what, run) = FAULTS
        .iter()
        .find(|(own, ..)| own.eq_ignore_ascii_case(name))?;
    Some(match run() {
        Ok(words) => {
            println!("{name}: {what}: {words}");
            Ok(())
        }
        Err(Problem::Skipped(why)) => {
            println!("{name}: {what}: skipped: {why}");
            Ok(())
        }
        Err(Problem::Wrong(why)) => Err(format!("{name}: {what}: {why}")),
    })
}

/// Runs all, one after the other, and prints a table.
pub(crate) fn run_all() -> Result<(), String> {
    let mut wrong = 0;
    println!(
        "{:<5} {:<48} {:<8} {:>7}  remark",
        "fault", "what", "verdict", "seconds"
    );
    for (name, what, run) in FAULTS {
        let began = Instant::now();
        let done = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Err(Problem::Wrong("the test itself gave up".to_owned())));
        let (verdict, remark) = match done {
            Ok(words) => ("good", words),
            Err(Problem::Skipped(why)) => ("skipped", why),
            Err(Problem::Wrong(why)) => {
                wrong += 1;
                ("WRONG", why)
            }
        };
        let took = began.elapsed().as_secs_f64();
        println!("{name:<5} {what:<48} {verdict:<8} {took:>7.1}  {remark}");
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(format!("{wrong} faults have a bad end")),
    }
}

/// Submitters at an ordinary pace.
fn submit_to(field: &Field) -> Submitters {
    Submitters::start(&field.entrance(), ORDINARY, &mut Dice::new(1))
}

/// The same, but files of theirs would belong to the wrong user.
fn submit_to_socket(field: &Field) -> Submitters {
    let manner = Manner {
        drops: false,
        ..ORDINARY
    };
    Submitters::start(&field.entrance(), manner, &mut Dice::new(1))
}

/// Large ones, as fast as they are taken.
fn submit_large(field: &Field) -> Submitters {
    let manner = Manner {
        threads: 4,
        pause: Duration::ZERO,
        longest: 900_000,
        ..ORDINARY
    };
    Submitters::start(&field.entrance(), manner, &mut Dice::new(2))
}

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// Waits for something that must come.
fn wait(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) -> Result<Duration, Problem> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > Duration::from_secs(seconds) {
            return Err(Problem::Wrong(format!("not within {seconds} s: {what}")));
        }
        sleep(0.05);
    }
    Ok(began.elapsed())
}
