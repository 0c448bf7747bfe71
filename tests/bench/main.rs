//! Measures our programs next to their peers and to what the machine can do at
//! all. See `scripts/bench`, which builds for release first.

mod agent;
mod agentpoll;
mod delivery;
mod disk;
mod dump;
mod livestatus;
mod load;
mod measure;
mod notify;
mod parts;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;

const USAGE: &str =
    "Usage: scripts/bench agent|agentpoll|delivery|dump|livestatus|notify [--json FILE]";

fn main() -> ExitCode {
    let mut name = None;
    let mut json = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next().map(PathBuf::from),
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ if name.is_none() && !arg.starts_with('-') => name = Some(arg),
            _ => name = Some(String::new()),
        }
    }
    let mut report = Report::default();
    match name.as_deref() {
        Some("agent") => agent::measure(&mut report),
        Some("agentpoll") => agentpoll::measure(&mut report),
        Some("delivery") => delivery::measure(&mut report),
        Some("dump") => dump::measure(&mut report),
        Some("livestatus") => livestatus::measure(&mut report),
        Some("notify") => notify::measure(&mut report),
        _ => {
            eprintln!("bench: {USAGE}");
            return ExitCode::from(2);
        }
    }
    report.print();
    if let Some(file) = json
        && let Err(error) = std::fs::write(&file, report.json_lines())
    {
        eprintln!("bench: cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
