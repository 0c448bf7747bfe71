//! What programs leave behind. A program may start others, and these may leave its
//! process group and its session; without their parents they become children of
//! ours, if the system was asked for that. So what a killed program has started
//! is found by its descent, or by a mark in its environment; and what ends later is
//! waited for. Only what has neither its parents nor its environment any more
//! belongs to nobody: it runs on, and the log says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions};

/// The variable that marks a run.
const MARK: &str = "SITEWIRE_RUN";
/// Something that starts others as fast as they are killed is followed so often.
const ROUNDS: usize = 20;

/// The programs that run and are waited for by those who started them.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// What was left behind and is known.
static LEFT: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
static RUNS: AtomicU64 = AtomicU64::new(0);

/// From now on whoever loses his parents is a child of ours.
pub fn adopt() {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!("what programs leave behind is not found: {error}");
    }
}

/// A program that runs. Whoever has it must wait for it.
pub(crate) struct Run {
    pub(crate) child: Child,
    mark: String,
}

/// A line of `/proc/PID/stat`.
struct Process {
    pid: i32,
    state: u8,
    parent: i32,
    group: i32,
    name: String,
}

impl Run {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}.{number}", std::process::id());
        command.env(MARK, &mark);
        // Nobody may take it for left behind before it is known.
        let mut running = lock(&RUNNING);
        let child = command.spawn()?;
        running.insert(child.id() as i32);
        let mark = format!("{MARK}={mark}");
        Ok(Self { child, mark })
    }

    /// Kills it and all it has started. How many of those had left its group.
    pub(crate) fn kill(&mut self) -> io::Result<usize> {
        let group = Pid::from_child(&self.child);
        let mut strays = self.kill_strays();
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        // It may have left its group itself.
        self.child.kill()?;
        self.child.wait()?;
        for _ in 0..ROUNDS {
            let more = self.kill_strays();
            if more.is_subset(&strays) {
                break;
            }
            strays.extend(more);
        }
        Ok(strays.len())
    }

    /// Those outside of the group that descend from it or carry its mark.
    fn kill_strays(&self) -> BTreeSet<i32> {
        let (all, own) = (processes(), self.child.id() as i32);
        let mut children = BTreeMap::<i32, Vec<i32>>::new();
        for process in &all {
            children
                .entry(process.parent)
                .or_default()
                .push(process.pid);
        }
        let mut family = BTreeSet::new();
        let mut next = vec![own];
        while let Some(pid) = next.pop() {
            if family.insert(pid) {
                next.extend(children.get(&pid).into_iter().flatten());
            }
        }
        let is_stray = |process: &&Process| {
            process.group != own
                && process.state != b'Z'
                && (family.contains(&process.pid) || self.has_marked(process.pid))
        };
        let strays = all.iter().filter(is_stray).map(|process| process.pid);
        let strays: BTreeSet<i32> = strays.collect();
        for pid in strays.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        strays
    }

    fn has_marked(&self, pid: i32) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|entry| entry == self.mark.as_bytes())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        lock(&RUNNING).remove(&(self.child.id() as i32));
    }
}

/// Lets those go that were left behind and have ended, and says once of each of the
/// others that it runs on.
pub fn look() {
    let own = std::process::id() as i32;
    let running = lock(&RUNNING);
    let mut left = BTreeSet::new();
    for process in processes().into_iter().filter(|p| p.parent == own) {
        let Some(pid) = Pid::from_raw(process.pid).filter(|_| !running.contains(&process.pid))
        else {
            continue;
        };
        if process.state == b'Z' {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            continue;
        }
        left.insert(process.pid);
        if !lock(&LEFT).contains(&process.pid) {
            let (pid, name) = (process.pid, process.name);
            tracing::warn!("a program has left process {pid} ({name}) behind");
        }
    }
    *lock(&LEFT) = left;
}

fn lock(set: &Mutex<BTreeSet<i32>>) -> MutexGuard<'_, BTreeSet<i32>> {
    // Whoever panicked while holding it left plain numbers behind.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// One that is still there.
fn process(pid: i32) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name, which may have anything in it, stands in brackets.
    let (before, rest) = stat.rsplit_once(')')?;
    let mut rest = rest.split_ascii_whitespace();
    Some(Process {
        pid,
        state: *rest.next()?.as_bytes().first()?,
        parent: rest.next()?.parse().ok()?,
        group: rest.next()?.parse().ok()?,
        name: crate::log::quote(before.split_once('(')?.1.as_bytes(), 32),
    })
}
