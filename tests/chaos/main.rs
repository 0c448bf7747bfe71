//! Breaks everything around notifyd, on purpose. See `scripts/chaos`.

mod clock;
mod dice;
mod disk;
mod faults;
mod field;
mod inject;
mod problem;
mod storm;
mod submitters;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

const USAGE: &str = "Usage: scripts/chaos notify [--minutes N | --seconds N] [--seed S] | fault NAME | faults | --list";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.split_first() {
        Some((&"notify", options)) => match read_options(options) {
            Some((seed, duration)) => {
                println!("first seed {seed}");
                storm::run(seed, duration)
            }
            None => return usage(),
        },
        Some((&"fault", [name])) => match faults::run_one(name) {
            Some(done) => done,
            None => return usage(),
        },
        Some((&"faults", [])) => faults::run_all(),
        Some((&"--list", [])) => {
            faults::list();
            Ok(())
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("chaos: {what}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("chaos: {USAGE}");
    ExitCode::from(2)
}

/// The seed and how long.
fn read_options(mut options: &[&str]) -> Option<(u64, Duration)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut seed = now.map_or(0, |now| now.as_secs());
    let mut duration = Duration::from_secs(60);
    while let [name, value, rest @ ..] = options {
        let value: u64 = value.parse().ok()?;
        match *name {
            "--seed" => seed = value,
            "--minutes" => duration = Duration::from_secs(60 * value),
            "--seconds" => duration = Duration::from_secs(value),
            _ => return None,
        }
        options = rest;
    }
    options.is_empty().then_some((seed, duration))
}
