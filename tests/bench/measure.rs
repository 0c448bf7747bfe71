//! What a program costs: time by the clock, CPU time, memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// By the clock, in seconds.
    pub(crate) wall: f64,
    /// In seconds, user and system.
    pub(crate) cpu: f64,
    /// The most memory it had resident, in MiB.
    pub(crate) memory: f64,
}

/// Runs a program that has one thread, with `input` as standard input and its
/// output thrown away. Panics if it fails: then there is nothing to measure.
pub(crate) fn run(program: &Path, args: &[&str], input: Option<&Path>) -> Cost {
    let stdin = match input {
        Some(path) => Stdio::from(std::fs::File::open(path).expect("the input is there")),
        None => Stdio::null(),
    };
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let pid = Pid::from_child(&child);
    let proc = Path::new("/proc").join(child.id().to_string());
    let mut memory = 0.0_f64;
    // The program stays a zombie until its CPU time has been read.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while let Ok(None) = waitid(WaitId::Pid(pid), options) {
        // The peak only grows, so that the last look is close to the truth.
        memory = memory.max(peak_memory(&proc));
        std::thread::sleep(Duration::from_micros(500));
    }
    let wall = began.elapsed().as_secs_f64();
    let cpu = cpu_time(&proc);
    let status = child.wait().expect("own child");
    assert!(status.success(), "{} {args:?}: {status}", program.display());
    Cost { wall, cpu, memory }
}

fn peak_memory(proc: &Path) -> f64 {
    status_mib(proc, "VmHWM:")
}

fn status_mib(proc: &Path, field: &str) -> f64 {
    let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0)
}

/// A server that runs, with the processes it has made.
pub(crate) struct Family {
    processes: Vec<PathBuf>,
}

impl Family {
    /// One process.
    pub(crate) fn of_process(pid: u32) -> Self {
        let process = Path::new("/proc").join(pid.to_string());
        Self {
            processes: vec![process],
        }
    }

    /// These processes.
    pub(crate) fn of_processes(pids: &[u32]) -> Self {
        let process = |pid: &u32| Path::new("/proc").join(pid.to_string());
        Self {
            processes: pids.iter().map(process).collect(),
        }
    }

    /// All that are now in the process group of `leader`.
    pub(crate) fn of_group(leader: u32) -> Self {
        let group = leader.to_string();
        let is_member = |process: &PathBuf| {
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            // The name, which may have blanks in it, ends with the last bracket.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(2) == Some(group.as_str())
        };
        let all = std::fs::read_dir("/proc").expect("Linux has it");
        Self {
            processes: all
                .flatten()
                .map(|entry| entry.path())
                .filter(is_member)
                .collect(),
        }
    }

    /// CPU time of all threads that are there, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let tasks = self
            .processes
            .iter()
            .flat_map(|process| std::fs::read_dir(process.join("task")));
        let threads = tasks
            .flatten()
            .flatten()
            .map(|entry| cpu_time(&entry.path()));
        threads.filter(|time| time.is_finite()).sum()
    }

    /// Resident now, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        self.processes
            .iter()
            .map(|process| status_mib(process, "VmRSS:"))
            .sum()
    }
}

/// The scheduler's own account, in nanoseconds; `stat` has hundredths only.
fn cpu_time(proc: &Path) -> f64 {
    let text = std::fs::read_to_string(proc.join("schedstat")).unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok())
        .map_or(f64::NAN, |nanos| nanos / 1e9)
}
