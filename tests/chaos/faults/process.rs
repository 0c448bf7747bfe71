//! Faults of processes: kills, limits, clocks, rivals for the spool.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Program;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::field::{Field, Plan};
use crate::inject::inject;
use crate::problem::{Problem, require, sh};

use super::{sleep, submit_to, wait};

/// Each daemon is killed at the first, second, … entry of each call that matters.
pub(super) fn killed_at_calls() -> Result<String, Problem> {
    sh("command -v strace")?;
    let mut field = Field::new(&Plan {
        delivers: true,
        ..Plan::default()
    });
    field.start();
    let submitters = submit_to(&field);
    let mut kills = 0;
    for number in [0, 1] {
        for call in [
            "pwrite64",
            "fdatasync",
            "fsync",
            "openat",
            "unlinkat,unlink",
            "renameat2,rename",
            "sendto,writev,write",
        ] {
            for when in [1, 2, 3, 5, 8] {
                inject(
                    field.daemons[number].pid(),
                    1.0,
                    call,
                    &format!("signal=KILL:when={when}"),
                );
                if !field.daemons[number].is_running() {
                    kills += 1;
                    field.daemons[number].kill();
                    field.daemons[number].start();
                }
            }
        }
    }
    let promises = submitters.finish();
    require(kills > 10, &format!("only {kills} kills"))?;
    Ok(format!("{} after {kills} kills", field.finish(&promises)?))
}

/// Few descriptors at the receiver while others take them, and short files.
pub(super) fn limits() -> Result<String, Problem> {
    let shell = |limit: &str| {
        let words = ["sh", "-c", limit, "sh"];
        words.map(str::to_owned).to_vec()
    };
    let mut words = Vec::new();
    for (number, limit) in [
        (1, "ulimit -n 32; exec \"$@\""),
        (0, "ulimit -n 32; exec \"$@\""),
        (1, "ulimit -f 4096; exec \"$@\""),
    ] {
        let mut field = Field::new(&Plan {
            prefix: vec![(number, shell(limit))],
            ..Plan::default()
        });
        field.start();
        let submitters = submit_to(&field);
        sleep(1.0);
        let takers: Vec<_> = match number {
            0 => Vec::new(),
            _ => (0..60)
                .map(|_| std::net::TcpStream::connect(("127.0.0.1", field.listening[1])))
                .collect(),
        };
        let asking: Vec<_> = match number {
            1 => Vec::new(),
            _ => (0..60)
                .map(|_| std::os::unix::net::UnixStream::connect(field.entrance().join("socket")))
                .collect(),
        };
        sleep(2.0);
        require(field.daemons[number].is_running(), "it ended at its limit")?;
        drop((takers, asking));
        sleep(1.0);
        let promises = submitters.finish();
        words.push(field.finish(&promises)?);
    }
    Ok(words.join("; "))
}

/// A day back, a year on, and a monotonic clock that began elsewhere.
pub(super) fn clock() -> Result<String, Problem> {
    let mut words = Vec::new();
    for number in [0, 1] {
        let clock = Clock::new()?;
        let environment = clock.environment().into_iter();
        let mut field = Field::new(&Plan {
            delivers: true,
            environment: environment
                .map(|(name, value)| (number, name, value))
                .collect(),
            ..Plan::default()
        });
        field.start();
        let submitters = submit_to(&field);
        for step in [-86_400, 365 * 86_400, 0] {
            sleep(1.0);
            clock.set(step);
            let before = submitters.promises.count();
            wait("submissions go on", 20, || {
                submitters.promises.count() > before + 10
            })?;
        }
        let promises = submitters.finish();
        field
            .wait_until_empty(Duration::from_secs(90))
            .map_err(Problem::Wrong)?;
        words.push(field.finish(&promises)?);
    }
    let other = "unshare --time --boottime 864000 --monotonic 864000 --fork --kill-child";
    if sh(&format!("{other} true")).is_ok() {
        let prefix: Vec<String> = other.split(' ').map(str::to_owned).collect();
        let mut field = Field::new(&Plan {
            prefix: vec![(1, prefix)],
            ..Plan::default()
        });
        field.start();
        let submitters = submit_to(&field);
        sleep(2.0);
        let promises = submitters.finish();
        // Its process is a child of the one we know.
        wait("all are there", 60, || {
            let journal = harness::journal::read(&field.daemons[1].spool);
            promises
                .accepted()
                .iter()
                .all(|one| journal.contains_key(&one.id.replace('-', "")))
        })?;
        words.push(format!("{} with another monotonic clock", promises.count()));
    }
    Ok(words.join("; "))
}

/// The second daemon refuses; when the spool is gone nothing is accepted.
pub(super) fn two_daemons() -> Result<String, Problem> {
    let mut field = Field::new(&Plan::default());
    field.start();
    let submitters = submit_to(&field);
    sleep(1.0);
    let second = Program::new("notifyd")
        .arg("-c")
        .arg(field.daemons[0].site.path("etc/notifyd.toml"))
        .run();
    require(
        second.code().is_some_and(|code| code != 0),
        "a second daemon took the spool",
    )?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(60))
        .map_err(Problem::Wrong)?;
    let spool = field.entrance();
    let aside = PathBuf::from(format!("{}.aside", spool.display()));
    std::fs::rename(&spool, &aside)?;
    let outcome = Program::new("notify")
        .arg("--spool")
        .arg(&spool)
        .args(["--site", "remote1", "HOSTNAME=db1"])
        .run();
    std::fs::rename(&aside, &spool)?;
    require(
        outcome.code() != Some(0),
        "a notification was accepted by a spool that is not there",
    )?;
    field.finish(&promises)
}

/// Both sides are killed again and again before they have done anything.
pub(super) fn restarts() -> Result<String, Problem> {
    let mut field = Field::new(&Plan::default());
    field.start();
    let submitters = submit_to(&field);
    let mut dice = Dice::new(16);
    let mut kills = 0;
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        sleep(dice.between(0, 200) as f64 / 1000.0);
        let number = dice.below(2) as usize;
        field.daemons[number].kill();
        field.daemons[number].begin();
        kills += 1;
    }
    for daemon in &mut field.daemons {
        daemon.kill();
    }
    field.start();
    let promises = submitters.finish();
    Ok(format!("{} after {kills} kills", field.finish(&promises)?))
}

/// In a memory cgroup with the stated bound both sides keep up.
pub(super) fn memory() -> Result<String, Problem> {
    let group = format!("/sys/fs/cgroup/memory/sitewire-{}", std::process::id());
    sh(&format!(
        "mkdir {group} && echo 100663296 >{group}/memory.limit_in_bytes"
    ))?;
    let enter = format!("echo $$ >{group}/cgroup.procs; exec \"$@\"");
    let prefix = ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec();
    let mut field = Field::new(&Plan {
        prefix: vec![(1, prefix)],
        ..Plan::default()
    });
    field.start();
    let submitters = submit_to(&field);
    let big = super::submit_large(&field);
    // What has ended is forgotten with the oldest segments: no more large ones than
    // fit into those that are kept, or the judge misses what came first.
    sleep(1.5);
    let large = big.finish();
    sleep(3.5);
    let alive = field.daemons[1].is_running();
    let promises = submitters.finish();
    let words = alive.then(|| field.finish(&promises));
    drop(field);
    let _ = sh(&format!("sleep 0.2; rmdir {group}"));
    match words {
        Some(words) => Ok(format!("{} and {} large", words?, large.count())),
        None => Err(Problem::Wrong("it was killed at 96 MiB".to_owned())),
    }
}

/// A journal that an older release left is read; one of a newer release is left
/// alone.
pub(super) fn releases() -> Result<String, Problem> {
    let sample = harness::program::repository().join("common/spool/tests/data/format-1");
    let mut field = Field::new(&Plan::default());
    let journal = field.entrance().join("journal");
    std::fs::create_dir_all(&journal)?;
    sh(&format!(
        "chmod 700 {} && cp {}/seg.* {}",
        field.entrance().display(),
        sample.display(),
        journal.display()
    ))?;
    field.daemons[0].start();
    require(
        field.daemons[0].has_said(&["open messages from"]),
        "it does not say what it found",
    )?;
    field.daemons[0].kill();
    // A newer format: number and checksum of the header in both its copies.
    let newest = std::fs::read_dir(&journal)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.display().to_string().contains("/seg."))
        .max()
        .ok_or_else(|| Problem::Wrong("there is no segment".to_owned()))?;
    let mut bytes = std::fs::read(&newest)?;
    for at in [0, 2048] {
        bytes[at + 8] = 99;
        let crc = crc32c::crc32c(&bytes[at..at + 52]);
        bytes[at + 52..at + 56].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&newest, &bytes)?;
    let outcome = Program::new("notifyd")
        .arg("-c")
        .arg(field.daemons[0].site.path("etc/notifyd.toml"))
        .run();
    require(
        outcome.code() != Some(0) && outcome.errors().contains("format"),
        &format!("a newer journal was not refused: {}", outcome.errors()),
    )?;
    require(
        std::fs::read(&newest)? == bytes,
        "the newer journal was changed",
    )?;
    Ok("read, and refused".to_owned())
}
