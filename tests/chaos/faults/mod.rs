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

/// One entry of the list.
struct Fault {
    name: &'static str,
    what: &'static str,
    /// Where the test suite has the same, or a part of it, in every build.
    tests: &'static str,
    /// What it did, in words, if all was well.
    run: fn() -> Result<String, Problem>,
}

const FAULTS: [Fault; 22] = [
    Fault {
        name: "T1",
        what: "killed at the entry of system calls",
        tests: "bins/notify/tests/durable.rs, common/spool/tests/survives_crashes.rs and failure_table.rs, bins/notifyd/src/owner/kills.rs and crashes.rs",
        run: process::killed_at_calls,
    },
    Fault {
        name: "T2",
        what: "power loss, torn and reordered writes",
        tests: "scripts/replay; common/spool/tests/survives_crashes.rs and sum_rule.rs",
        run: disk::power_loss,
    },
    Fault {
        name: "T3",
        what: "power loss under load, quick form",
        tests: "common/spool/tests/survives_crashes.rs",
        run: disk::shut_down,
    },
    Fault {
        name: "T4",
        what: "disk full, then room",
        tests: "common/spool/tests/room.rs and failure_table.rs (b4)",
        run: disk::full,
    },
    Fault {
        name: "T4i",
        what: "no inodes left",
        tests: "common/spool/tests/failure_table.rs (b4)",
        run: disk::no_inodes,
    },
    Fault {
        name: "T5",
        what: "syncs fail, writes fail or are short",
        tests: "bins/notifyd/tests/failing_disk.rs; common/spool/tests/survives_crashes.rs and failure_table.rs (b4)",
        run: disk::failing_calls,
    },
    Fault {
        name: "T5d",
        what: "a data write fails, the sync heals",
        tests: "scripts/replay --failing-writes; common/spool/tests/journal.rs",
        run: disk::failing_writes,
    },
    Fault {
        name: "T6",
        what: "the file system becomes read-only",
        tests: "common/spool/tests/journal.rs",
        run: disk::read_only,
    },
    Fault {
        name: "T7",
        what: "permissions lost",
        tests: "bins/notify/tests/cli.rs",
        run: disk::permissions,
    },
    Fault {
        name: "T8",
        what: "out of descriptors; file size limit",
        tests: "bins/notify/tests/durable.rs",
        run: process::limits,
    },
    Fault {
        name: "T9",
        what: "half-open link, one way and both",
        tests: "common/wire/tests/conversation.rs; bins/notifyd/src/owner/simulation.rs",
        run: network::half_open,
    },
    Fault {
        name: "T10",
        what: "reset, refused, flapping, loss, thin line",
        tests: "bins/notifyd/src/owner/simulation.rs; bins/notifyd/tests/links.rs",
        run: network::broken,
    },
    Fault {
        name: "T11",
        what: "frozen receiver",
        tests: "common/wire/tests/conversation.rs; bins/notifyd/tests/strangers.rs",
        run: network::frozen,
    },
    Fault {
        name: "T12",
        what: "garbage on the port",
        tests: "common/wire/tests/malformed.rs; bins/notifyd/tests/strangers.rs",
        run: network::garbage,
    },
    Fault {
        name: "T13",
        what: "clock jumps",
        tests: "common/spool/tests/failure_table.rs (a_clock_that_jumps)",
        run: process::clock,
    },
    Fault {
        name: "T14",
        what: "100,000 files dropped at once, with rubbish",
        tests: "common/spool/tests/drop_box.rs",
        run: disk::flood,
    },
    Fault {
        name: "T15",
        what: "two daemons; spool moved away",
        tests: "common/spool/tests/journal.rs (the_second_owner)",
        run: process::two_daemons,
    },
    Fault {
        name: "T16",
        what: "restart storm",
        tests: "bins/notifyd/tests/links.rs; common/spool/tests/survives_crashes.rs",
        run: process::restarts,
    },
    Fault {
        name: "T17",
        what: "memory limit",
        tests: "common/spool/tests/memory.rs; bins/notifyd/tests/crowd.rs",
        run: process::memory,
    },
    Fault {
        name: "T18",
        what: "journal of an older and of a newer release",
        tests: "bins/notifyd/tests/takeover.rs; common/spool/tests/journal.rs",
        run: process::releases,
    },
    Fault {
        name: "LANE",
        what: "a lane hangs with 5,000 queued, others do not",
        tests: "bins/notifyd/tests/lanes.rs",
        run: lanes::hanging,
    },
    Fault {
        name: "STORM",
        what: "5,000 problems for one contact",
        tests: "bins/notifyd/tests/together.rs",
        run: lanes::many_problems,
    },
];

/// Runs one of them; none if there is no such.
pub(crate) fn run_one(name: &str) -> Option<Result<(), String>> {
    let Fault {
        name, what, run, ..
    } = FAULTS
        .iter()
        .find(|fault| fault.name.eq_ignore_ascii_case(name))?;
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

/// Which there are, and which tests are about the same.
pub(crate) fn list() {
    for fault in FAULTS {
        println!("{:<6} {:<48} {}", fault.name, fault.what, fault.tests);
    }
}

/// Runs all, one after the other, and prints a table.
pub(crate) fn run_all() -> Result<(), String> {
    let mut wrong = 0;
    println!(
        "{:<5} {:<48} {:<8} {:>7}  remark",
        "fault", "what", "verdict", "seconds"
    );
    for Fault {
        name, what, run, ..
    } in FAULTS
    {
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
