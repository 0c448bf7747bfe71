//! Processes as `sysinfo` tells of them, in the words of the original.

use agent::document::{Process, ProcessMemory, UnixMemory};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, UpdateKind, Users};

use super::super::part::{Collector, Finding, Part};
use super::super::root::percentage;
use super::{Asked, not_told};

/// What runs; remembered, because much of it does not change.
#[derive(Default)]
pub(super) struct Processes(Asked);

/// What a process has a share of.
struct Machine {
    processors: f64,
    memory: u64,
    /// Whose processes they are is told by numbers.
    users: Option<Users>,
}

impl Collector for Processes {
    fn collect(&mut self) -> Result<Finding, String> {
        let system = self.0.system()?;
        system.refresh_memory();
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing()
                .with_cpu()
                .with_memory()
                .with_user(UpdateKind::OnlyIfNotSet)
                .with_cmd(UpdateKind::OnlyIfNotSet)
                .with_exe(UpdateKind::OnlyIfNotSet)
                .without_tasks(),
        );
        // The original names nobody on Windows.
        let users = (!cfg!(windows)).then(Users::new_with_refreshed_list);
        let machine = Machine {
            processors: std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64),
            memory: system.total_memory(),
            users: users.transpose().map_err(not_told)?,
        };
        let mut found: Vec<Process> = system
            .processes()
            .values()
            .map(|process| machine.process(process))
            .collect();
        found.sort_unstable_by_key(|process| process.pid);
        Ok(Part::Processes(found).into())
    }
}

impl Machine {
    fn process(&self, process: &sysinfo::Process) -> Process {
        let words: Vec<_> = process.cmd().iter().map(|w| w.to_string_lossy()).collect();
        let exec = process
            .exe()
            .map_or_else(String::new, |path| path.to_string_lossy().into_owned());
        let spent = process.accumulated_cpu_time() as f64 / 1000.0;
        // A mean over its life, as `ps` has it; on Windows of all processors.
        let share = percentage(spent, process.run_time().max(1) as f64);
        Process {
            pid: process.pid().as_u32().into(),
            ppid: process.parent().map_or(0, |parent| parent.as_u32().into()),
            username: self.owner(process).unwrap_or_default(),
            name: process.name().to_string_lossy().into_owned(),
            cpu_percent: match cfg!(windows) {
                true => share / self.processors,
                false => share,
            },
            memory_percent: percentage(process.memory() as f64, self.memory as f64),
            cmdline: words.join(" "),
            status: (!cfg!(windows)).then(|| vec![status(process.status()).to_owned()]),
            exec,
            memory: memory(process),
            spent_secs: spent as u64,
            elapsed_secs: process.run_time(),
            ..Process::default()
        }
    }

    fn owner(&self, process: &sysinfo::Process) -> Option<String> {
        let uid = process.user_id()?;
        let user = self.users.as_ref()?.get_user_by_id(uid);
        Some(user.map_or_else(|| uid.to_string(), |user| user.name().to_owned()))
    }
}

fn memory(process: &sysinfo::Process) -> ProcessMemory {
    match cfg!(windows) {
        // How much of it nobody shares is not told.
        true => ProcessMemory::Windows {
            working_set: process.memory(),
            working_set_private: 0,
            private_bytes: process.virtual_memory(),
        },
        false => ProcessMemory::Unix(UnixMemory {
            rss: process.memory(),
            vms: process.virtual_memory(),
            ..UnixMemory::default()
        }),
    }
}

/// The words of the original; it has none for others.
fn status(status: ProcessStatus) -> &'static str {
    match status {
        ProcessStatus::Run => "Running",
        ProcessStatus::Sleep => "Sleep",
        ProcessStatus::Stop => "Stop",
        ProcessStatus::Idle => "Idle",
        ProcessStatus::Zombie => "Zombie",
        ProcessStatus::LockBlocked => "Lock",
        _ => "",
    }
}
