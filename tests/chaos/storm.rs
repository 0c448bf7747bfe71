//! Storms: everything breaks at random moments, again and again, while
//! notifications are submitted. After each the sky clears, and the judge looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::disk::{EXT4, SmallDisk};
use crate::field::{Field, Plan};
use crate::inject::inject;
use crate::problem::Problem;
use crate::submitters::{Manner, ORDINARY, Submitters};

/// What is special about a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Two sites, the second delivers by a script.
    Delivery,
    /// Three sites, as fast as they go.
    Relay,
    /// The connection is reset at one byte after the other.
    Cuts,
    /// The receiving site's disk is full again and again. It delivers, because to make
    /// room it may forget what has ended.
    FullDisk,
    /// The clock of one site jumps.
    Clock,
}

const ALL: [Weather; 5] = [
    Weather::Delivery,
    Weather::Relay,
    Weather::Cuts,
    Weather::FullDisk,
    Weather::Clock,
];

/// How long everything may take to arrive afterwards, on a machine that does other
/// work too.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where connections were cut so far, over all storms of a run.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// What a storm did.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) accepted: usize,
    pub(crate) kills: usize,
    pub(crate) faults: usize,
    pub(crate) repeated: usize,
}

/// Storms until the time is over; each says its seed. An error is what is wrong.
pub(crate) fn run(seed: u64, duration: Duration) -> Result<(), String> {
    let began = Instant::now();
    let mut total = Summary::default();
    let mut storms = 0;
    let mut skipped = Vec::new();
    while began.elapsed() < duration || storms == 0 {
        let seed = seed + storms;
        let left = duration.saturating_sub(began.elapsed());
        let length = left
            .min(Duration::from_secs(15))
            .max(Duration::from_secs(3));
        let weather = ALL[(seed % ALL.len() as u64) as usize];
        storms += 1;
        match storm(seed, weather, length) {
            Ok(summary) => {
                println!(
                    "seed {seed}: {weather:?}: {} accepted, {} kills, {} other faults, {} deliveries repeated: nothing lost, nothing doubled, order kept",
                    summary.accepted, summary.kills, summary.faults, summary.repeated
                );
                total.accepted += summary.accepted;
                total.kills += summary.kills;
                total.faults += summary.faults;
            }
            Err(Problem::Skipped(why)) => {
                if !skipped.contains(&why) {
                    println!("seed {seed}: {weather:?}: skipped: {why}");
                    skipped.push(why);
                }
            }
            Err(Problem::Wrong(what)) => {
                return Err(format!("seed {seed}: {weather:?}:\n{what}"));
            }
        }
    }
    println!(
        "{storms} storms in {:.0} s: {} accepted, {} kills, {} other faults, connections cut at {} offsets; 0 lost, 0 stored twice",
        began.elapsed().as_secs_f64(),
        total.accepted,
        total.kills,
        total.faults,
        OFFSET.load(Ordering::Relaxed)
    );
    Ok(())
}

fn storm(seed: u64, weather: Weather, length: Duration) -> Result<Summary, Problem> {
    let mut dice = Dice::new(seed);
    let mut plan = Plan {
        relay: weather == Weather::Relay,
        delivers: matches!(
            weather,
            Weather::Delivery | Weather::Clock | Weather::FullDisk
        ),
        ..Plan::default()
    };
    let disk = match weather {
        Weather::FullDisk => Some(SmallDisk::new(96, EXT4)?),
        _ => None,
    };
    if let Some(disk) = &disk {
        plan.spools.push((1, disk.spool()));
    }
    let clock = match weather {
        Weather::Clock => Some(Clock::new()?),
        _ => None,
    };
    if let Some(clock) = &clock {
        let number = dice.below(2) as usize;
        for (name, value) in clock.environment() {
            plan.environment.push((number, name, value));
        }
    }
    let mut field = Field::new(&plan);
    field.start();
    let manner = Manner {
        threads: dice.between(2, 6),
        pause: Duration::from_millis(match plan.delivers {
            true => dice.between(20, 60),
            false => dice.between(0, 8),
        }),
        longest: [200, 2000, 30_000][dice.below(3) as usize],
        ..ORDINARY
    };
    let submitters = Submitters::start(&field.entrance(), manner, &mut dice);
    let mut summary = Summary::default();
    let end = Instant::now() + length;
    while Instant::now() < end {
        match weather {
            Weather::Cuts => cut(&mut field, &mut summary),
            _ => {
                let pause = Duration::from_millis(dice.between(20, 700));
                std::thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
                disturb(
                    &mut field,
                    &mut dice,
                    disk.as_ref(),
                    clock.as_ref(),
                    &mut summary,
                );
            }
        }
    }
    if let Some(disk) = &disk {
        disk.empty();
    }
    if let Some(clock) = &clock {
        // Yesterday no certificate was valid yet.
        clock.set(0);
    }
    field.heal();
    let promises = submitters.finish();
    let finished = field.wait_until_empty(PATIENCE);
    let verdict = field.judge(&promises);
    summary.accepted = promises.count();
    summary.repeated = verdict.repeated;
    let mut wrong = verdict.violations;
    wrong.extend(finished.err());
    if summary.accepted == 0 {
        wrong.push("nothing was accepted at all".to_owned());
    }
    if wrong.is_empty() {
        return Ok(summary);
    }
    wrong.truncate(20);
    let logs = field.logs();
    let tail = logs.len().saturating_sub(200);
    wrong.extend(logs[tail..].iter().cloned());
    Err(Problem::Wrong(wrong.join("\n")))
}

/// The next connection is reset one byte later than the last.
fn cut(field: &mut Field, summary: &mut Summary) {
    let at = OFFSET.fetch_add(1, Ordering::Relaxed);
    field.lines[0].behave(|line| line.cut_after = Some(at));
    // A new process connects at once.
    field.daemons[0].kill();
    field.daemons[0].start();
    std::thread::sleep(Duration::from_millis(30));
    field.lines[0].behave(|line| line.cut_after = None);
    summary.kills += 1;
    summary.faults += 1;
}

fn disturb(
    field: &mut Field,
    dice: &mut Dice,
    disk: Option<&SmallDisk>,
    clock: Option<&Clock>,
    summary: &mut Summary,
) {
    let daemon = dice.below(field.daemons.len() as u64) as usize;
    let line = dice.below(field.lines.len() as u64) as usize;
    let short = Duration::from_millis(dice.between(50, 1500));
    match dice.below(13) {
        0..=3 => {
            field.daemons[daemon].kill();
            summary.kills += 1;
            if dice.below(2) == 0 {
                std::thread::sleep(short / 4);
            }
            field.daemons[daemon].start();
            return;
        }
        4 => {
            for daemon in &mut field.daemons {
                daemon.kill();
                summary.kills += 1;
            }
            field.start();
            return;
        }
        5 => field.lines[line].reset(),
        6 => {
            let at = dice.below(200_000);
            field.lines[line].behave(|line| line.cut_after = Some(at));
            field.lines[line].reset();
            std::thread::sleep(short);
            field.lines[line].behave(|line| line.cut_after = None);
        }
        7 => {
            field.lines[line].behave(|line| line.deaf = true);
            std::thread::sleep(short);
            field.lines[line].behave(|line| line.deaf = false);
        }
        8 => {
            field.daemons[daemon].signal(Signal::STOP);
            std::thread::sleep(short);
            field.daemons[daemon].signal(Signal::CONT);
        }
        9 => {
            field.lines[line].behave(|line| {
                line.rate = Some(64 * 1024);
                line.delay = Duration::from_millis(50);
                line.lost = 20;
            });
            field.lines[line].reset();
            std::thread::sleep(short);
            field.lines[line].behave(|line| *line = Default::default());
        }
        10 => {
            // With so many segments that it drops the oldest, only what it delivered
            // shows what the last one had.
            let last = daemon + 1 == field.daemons.len();
            let daemon = if last && field.delivered.is_none() {
                0
            } else {
                daemon
            };
            failing_syncs(field.daemons[daemon].pid(), dice);
        }
        11 => match disk {
            Some(disk) => {
                disk.fill();
                std::thread::sleep(short);
                disk.empty();
            }
            None => field.lines[line].reset(),
        },
        _ => match clock {
            Some(clock) => clock.set([0, -86_400, 3600, -5, 60][dice.below(5) as usize]),
            None => field.lines[line].reset(),
        },
    }
    summary.faults += 1;
}

/// Syncs of a process fail for a moment, as strace makes them.
fn failing_syncs(pid: u32, dice: &mut Dice) {
    let when = match dice.below(3) {
        0 => "1".to_owned(),
        1 => "1+".to_owned(),
        _ => format!("{}+3", dice.between(1, 4)),
    };
    inject(pid, 0.7, "fdatasync", &format!("error=EIO:when={when}"));
}
