//! Processes, from `/proc`, with the meanings that `ps` gives to the figures.
//!
//! There may be thousands of them: everything is read into the same buffers,
//! and a process that is gone meanwhile is left out.

use std::fs::File;
use std::io::Read;

use agent::document::{Process, ProcessMemory, UnixMemory};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use super::names::Names;
use super::part::{Collector, Finding, Part};
use super::root::{Root, cannot_read, lines, parse, percentage, text, words};

/// As much of a command line is kept, as of the original's `ps`.
const MAX_COMMAND: usize = 10_000;

/// All processes of the machine.
pub(crate) struct Processes {
    root: Root,
    names: Names,
    buffer: Vec<u8>,
    /// How the kernel counts: per second, and in bytes.
    ticks: u64,
    page: u64,
}

/// What every process is compared with.
struct Machine {
    /// Seconds since the start.
    uptime: f64,
    /// Bytes of main memory.
    memory: u64,
    ticks: u64,
    page: u64,
}

impl Processes {
    pub(crate) fn new(root: Root) -> Self {
        Self {
            names: Names::new(root.clone()),
            root,
            buffer: Vec::new(),
            ticks: rustix::param::clock_ticks_per_second(),
            page: rustix::param::page_size() as u64,
        }
    }

    fn machine(&mut self) -> Result<Machine, String> {
        let uptime = self.root.read("proc/uptime", &mut self.buffer)?;
        let uptime = words(uptime).next().and_then(parse);
        let meminfo = self.root.read("proc/meminfo", &mut self.buffer)?;
        let total = lines(meminfo).find_map(|line| line.strip_prefix(b"MemTotal:"));
        let total = total.and_then(|line| words(line).next().and_then(parse::<u64>));
        Ok(Machine {
            uptime: uptime.unwrap_or(0.0),
            memory: total.unwrap_or(0).saturating_mul(1024),
            ticks: self.ticks,
            page: self.page,
        })
    }
}

impl Collector for Processes {
    fn collect(&mut self) -> Result<Finding, String> {
        let machine = self.machine()?;
        self.names.refresh();
        let path = self.root.path("proc");
        let proc = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
        let entries = Dir::read_from(&proc).map_err(|error| cannot_read(&path, &error))?;
        let mut processes = Vec::new();
        let mut name = Vec::with_capacity(32);
        for entry in entries {
            let entry = entry.map_err(|error| cannot_read(&path, &error))?;
            let pid = entry.file_name().to_bytes();
            if !pid.first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            name.clear();
            name.extend_from_slice(pid);
            processes.extend(self.process(&proc, &mut name, &machine));
        }
        Ok(Part::Processes(processes).into())
    }
}

impl Processes {
    /// `None` for one that is gone. `name` is its directory's, and longer after.
    fn process(&mut self, proc: &File, name: &mut Vec<u8>, machine: &Machine) -> Option<Process> {
        // The directory belongs to the effective user, whatever the process
        // lets others see.
        let owner = rustix::fs::statat(proc, name.as_slice(), AtFlags::empty()).ok()?;
        let length = name.len();
        name.extend_from_slice(b"/stat");
        read_at(proc, name, &mut self.buffer)?;
        let stat = Stat::parse(&self.buffer)?;
        name.truncate(length);
        name.extend_from_slice(b"/cmdline");
        // As good as empty, if it cannot be read any more.
        let _ = read_at(proc, name, &mut self.buffer);
        let command = command(&self.buffer, &stat);
        Some(stat.process(command, self.names.user(owner.st_uid), machine))
    }
}

/// `None` if it cannot be read; the buffer is empty then.
fn read_at(directory: &File, name: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
    buffer.clear();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let limit = MAX_COMMAND as u64;
    File::from(file).take(limit).read_to_end(buffer).ok()?;
    Some(())
}

/// The fields of `stat` that are used.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Stat {
    pid: u64,
    comm: Vec<u8>,
    state: u8,
    ppid: u64,
    major_faults: u64,
    /// Ticks of user and system together.
    spent: u64,
    nice: i64,
    /// Ticks from the start of the machine to that of the process.
    started: u64,
    vsize: u64,
    rss_pages: u64,
}

impl Stat {
    /// `PID (COMM) STATE PPID …`; there may be anything in the name.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let comm = text.get(open + 1..close)?.to_vec();
        let mut fields = words(text.get(close + 1..)?);
        let state = *fields.next()?.first()?;
        let ppid = parse(fields.next()?)?;
        // Counting from 0 behind the parent.
        let mut field = |skipped| fields.nth(skipped).and_then(parse::<i64>);
        let major_faults = field(7)?;
        let user = field(1)?;
        let system = field(0)?;
        let nice = field(3)?;
        let started = field(2)?;
        let vsize = fields.next().and_then(parse::<u64>)?;
        let rss_pages = fields.next().and_then(parse::<i64>)?;
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        Some(Self {
            pid: parse(text[..open].trim_ascii())?,
            comm,
            state,
            ppid,
            major_faults: unsigned(major_faults),
            spent: unsigned(user.saturating_add(system)),
            nice,
            started: unsigned(started),
            vsize,
            rss_pages: unsigned(rss_pages),
        })
    }

    fn process(&self, command: String, username: String, machine: &Machine) -> Process {
        let exec = command.split(' ').next().unwrap_or_default();
        let name = match exec.starts_with('[') {
            // A thread of the kernel may have a slash in its name.
            true => exec,
            false => exec.rsplit('/').next().unwrap_or_default(),
        };
        let ticks = machine.ticks as f64;
        let lived = machine.uptime - self.started as f64 / ticks;
        let rss = self.rss_pages.saturating_mul(machine.page);
        Process {
            pid: self.pid,
            ppid: self.ppid,
            username,
            name: name.to_owned(),
            cpu_percent: one_decimal(percentage(self.spent as f64 / ticks, lived)),
            memory_percent: one_decimal(percentage(rss as f64, machine.memory as f64)),
            exec: exec.to_owned(),
            cmdline: command,
            status: Some(vec![status(self.state).to_owned()]),
            nice_level: self.nice,
            num_fds: 0,
            memory: ProcessMemory::Unix(UnixMemory {
                rss,
                vms: self.vsize,
                swap: self.major_faults.saturating_mul(1024),
                ..UnixMemory::default()
            }),
            create_time: 0,
            spent_secs: self.spent / machine.ticks.max(1),
            elapsed_secs: lived.max(0.0) as u64,
        }
    }
}

/// The words of the original; it knows none for one that waits for a disk.
fn status(state: u8) -> &'static str {
    match state {
        b'R' => "Running",
        b'S' => "Sleep",
        b'T' | b't' => "Stop",
        b'I' => "Idle",
        b'Z' => "Zombie",
        b'W' => "Wait",
        b'L' => "Lock",
        _ => "",
    }
}

/// As `ps` prints it: without a command line it is the name in brackets.
pub(crate) fn command(cmdline: &[u8], stat: &Stat) -> String {
    let line = match cmdline.iter().rposition(|byte| *byte != 0) {
        Some(last) => &cmdline[..=last],
        None => b"",
    };
    if line.is_empty() {
        let comm = text(&stat.comm);
        return match stat.state {
            b'Z' => format!("[{comm}] <defunct>"),
            _ => format!("[{comm}]"),
        };
    }
    let mut command = text(line);
    if command.contains(char::is_control) {
        let seen = |c: char| match c {
            '\0' => ' ',
            c if c.is_control() => '?',
            c => c,
        };
        command = command.chars().map(seen).collect();
    }
    command
}

fn one_decimal(percent: f64) -> f64 {
    // `ps` cuts, too.
    (percent * 10.0).floor() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine {
        uptime: 1000.0,
        memory: 1 << 30,
        ticks: 100,
        page: 4096,
    };

    fn stat(comm: &str, state: &str) -> Stat {
        let text = format!(
            "42 ({comm}) {state} 7 42 42 0 -1 4194560 100 0 3 0 200 50 0 0 20 -5 1 0 50000 8192000 2048 9 1 1\n"
        );
        Stat::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_figures_are_those_of_ps() {
        let stat = stat("cron", "S");
        let process = stat.process("/usr/sbin/cron -f".into(), "root".into(), &MACHINE);
        assert_eq!((process.pid, process.ppid, process.nice_level), (42, 7, -5));
        assert_eq!(process.name, "cron");
        assert_eq!(process.exec, "/usr/sbin/cron");
        // 2.5 s of the 500 s that it lives, and 8 of 1024 MiB.
        assert_eq!(process.cpu_percent, 0.5);
        assert_eq!(process.memory_percent, 0.7);
        let memory = UnixMemory {
            rss: 8 << 20,
            vms: 8_192_000,
            swap: 3072,
            ..UnixMemory::default()
        };
        assert_eq!(process.memory, ProcessMemory::Unix(memory));
        assert_eq!(process.status, Some(vec!["Sleep".to_owned()]));
    }

    #[test]
    fn names_may_be_anything() {
        for comm in ["a) R 1 2", "a (b)", "", "((", "x\ny"] {
            let stat = stat(comm, "Z");
            assert_eq!((stat.comm.as_slice(), stat.state), (comm.as_bytes(), b'Z'));
        }
        for text in ["", "1", "1 (a", "1 )a( S", "1 (a) S 1 2 3", "x (a) S 1"] {
            assert_eq!(Stat::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn command_lines_are_one_line_and_kernel_threads_have_brackets() {
        for (cmdline, comm, state, want) in [
            (&b"/bin/sh\0-c\0a b\0"[..], "sh", "S", "/bin/sh -c a b"),
            (b"nginx: worker\0\0\0", "nginx", "S", "nginx: worker"),
            (b"a\nb\0\x1b[1m", "a", "S", "a?b ?[1m"),
            (b"", "kworker/0:1", "I", "[kworker/0:1]"),
            (b"", "sh", "Z", "[sh] <defunct>"),
            (b"\xff\xfe\0", "x", "S", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(command(cmdline, &stat(comm, state)), want);
        }
        let thread = stat("kworker/0:1", "I");
        let process = thread.process("[kworker/0:1]".into(), "root".into(), &MACHINE);
        assert_eq!(process.name, "[kworker/0:1]");
    }

    #[test]
    fn five_thousand_processes_are_all_there() {
        // In memory, where there is such a place: these are many files.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let directory = directory.unwrap();
        let write = |path: String, text: &str| {
            let path = directory.path().join("proc").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("uptime".into(), "1000.0 1\n");
        write("meminfo".into(), "MemTotal: 1048576 kB\n");
        for pid in 1..=5000 {
            let stat = format!("{pid} (p) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 4096 1\n");
            write(format!("{pid}/stat"), &stat);
            write(format!("{pid}/cmdline"), "p\0");
        }
        // One that is gone before it is looked at.
        std::fs::create_dir(directory.path().join("proc/6000")).unwrap();
        let mut processes = Processes::new(Root::at(directory.path()));
        let Part::Processes(found) = processes.collect().unwrap().part else {
            panic!("these are no processes");
        };
        assert_eq!(found.len(), 5000);
    }
}
