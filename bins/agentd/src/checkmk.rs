//! The figures of the machine as the sections of Checkmk's agent for Linux.
//!
//! What the server takes as the kernel prints it is read when it is asked for;
//! the rest is what the last collection has found.

#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod units;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::Document;
use agent::document::{CustomCheck, Disk, Process, ProcessMemory};
use objects::{Metric, Perfdata, Range};

use crate::collect::root::{lines, number, text, unix_time, word, words};
use crate::collect::{Machine, kernel_file, uname};

/// File systems that Checkmk's `df` does not show.
const NOT_IN_DF: [&str; 15] = [
    "smbfs", "smb3", "cifs", "iso9660", "udf", "nfs", "nfs4", "nfsv4", "mvfs", "prl_fs",
    "squashfs", "devtmpfs", "autofs", "beegfs", "zfs",
];

/// Everything, section by section.
pub(crate) fn write(document: &Document, machine: &Machine) -> Vec<u8> {
    let mut output = Output {
        text: Vec::with_capacity(64 << 10),
        machine,
        document,
    };
    output.about();
    output.file_systems(document);
    output.network_file_systems(document);
    output.mounts();
    output.processes(document);
    output.file("mem", "proc/meminfo");
    output.load();
    output.file("uptime", "proc/uptime");
    output.kernel();
    output.interfaces();
    output.connections();
    output.block_devices();
    #[cfg(target_os = "linux")]
    {
        output.units(document);
        output.clock(document);
    }
    output.zones();
    output.raids();
    output.local(document);
    output.text
}

struct Output<'a> {
    text: Vec<u8>,
    machine: &'a Machine,
    document: &'a Document,
}

impl Output<'_> {
    fn section(&mut self, name: &str) {
        self.line(&format!("<<<{name}>>>"));
    }

    fn line(&mut self, line: &str) {
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
    }

    fn bytes(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    fn read(&self, path: &str) -> Vec<u8> {
        kernel_file(&self.machine.root, self.document, path)
    }

    /// A section that is a file of the kernel's; none if there is no such file.
    fn file(&mut self, name: &str, path: &str) {
        let text = self.read(path);
        if !text.is_empty() {
            self.section(name);
            lines(&text).for_each(|line| self.bytes(line));
        }
    }

    fn about(&mut self) {
        self.section("check_mk");
        self.line(&format!("Version: sitewire-{}", program::RELEASE));
        self.line(&format!("AgentOS: {}", std::env::consts::OS));
        self.line(&format!("Hostname: {}", uname().nodename));
        for key in [
            "AgentDirectory",
            "DataDirectory",
            "SpoolDirectory",
            "PluginsDirectory",
            "LocalDirectory",
        ] {
            self.line(&format!("{key}: "));
        }
    }

    /// As `df` in blocks of 1 KiB, and the same once more with numbers of files.
    fn file_systems(&mut self, document: &Document) {
        let disks: Vec<&Disk> = seen(document)
            .into_iter()
            .filter(|disk| !NOT_IN_DF.contains(&disk.disk.fstype.as_str()))
            .collect();
        self.section("df");
        for disk in &disks {
            let usage = disk.usage;
            let blocks = [usage.total, usage.used, usage.free].map(|bytes| bytes >> 10);
            self.df(
                disk,
                blocks,
                usage.used as f64 / (usage.used + usage.free) as f64,
            );
        }
        self.section("df");
        self.line("[df_inodes_start]");
        for disk in &disks {
            let (files, free) = (disk.usage.files, disk.usage.files_free);
            let used = files.saturating_sub(free);
            self.df(disk, [files, used, free], used as f64 / files as f64);
        }
        self.line("[df_inodes_end]");
    }

    fn df(&mut self, disk: &Disk, [total, used, free]: [u64; 3], share: f64) {
        let percent = match share.is_finite() {
            // `df` rounds up.
            true => format!("{}%", (share * 100.0).ceil()),
            false => "-".to_owned(),
        };
        let mount = &disk.disk;
        // The server cuts a line at blanks.
        let device = mount.device.replace(' ', "_");
        let fstype = or_dash(&mount.fstype);
        self.line(&format!(
            "{device} {fstype} {total} {used} {free} {percent} {}",
            mount.mountpoint
        ));
    }

    fn network_file_systems(&mut self, document: &Document) {
        let errors = document.errors.get("disks").map_or("", String::as_str);
        let disks = seen(document);
        let mut served = disks
            .into_iter()
            .filter(|disk| disk.disk.fstype.starts_with("nfs") || disk.disk.fstype == "cifs")
            .peekable();
        if served.peek().is_none() {
            return;
        }
        self.section("nfsmounts_v2:sep(0)");
        for disk in served {
            let (mount, usage) = (&disk.disk, disk.usage);
            let hangs = errors.contains(&format!("{}: no answer", mount.mountpoint));
            let blocks = |bytes: u64| bytes >> 10;
            let mut entry = serde_json::json!({
                "mountpoint": mount.mountpoint,
                "source": mount.device,
                "state": if hangs { "hanging" } else { "ok" },
            });
            if !hangs {
                entry["usage"] = serde_json::json!({
                    "total_blocks": blocks(usage.total),
                    "free_blocks_su": blocks(usage.total.saturating_sub(usage.used)),
                    "free_blocks": blocks(usage.free),
                    "blocksize": 1024,
                });
            }
            self.line(&entry.to_string());
        }
    }

    fn mounts(&mut self) {
        let mounts = self.read("proc/mounts");
        if mounts.is_empty() {
            return;
        }
        self.section("mounts");
        for line in lines(&mounts) {
            let is_squashfs = words(line).nth(2) == Some(b"squashfs");
            if line.starts_with(b"/dev") && !is_squashfs {
                self.bytes(line);
            }
        }
    }

    fn processes(&mut self, document: &Document) {
        let Some(processes) = document.processes.done().filter(|found| !found.is_empty()) else {
            return;
        };
        self.section("ps_lnx");
        self.line("[time]");
        self.line(&unix_time().to_string());
        self.line("[processes]");
        self.line("[header] USER VSZ RSS TIME ELAPSED PID COMMAND");
        for process in processes {
            self.line(&process_line(process));
        }
    }

    /// `LOAD1 LOAD5 LOAD15 RUNNING/TOTAL LASTPID CPUS`
    fn load(&mut self) {
        let loadavg = self.read("proc/loadavg");
        let stat = self.read("proc/stat");
        let threads = self.read("proc/sys/kernel/threads-max");
        if loadavg.is_empty() {
            return;
        }
        let is_processor = |line: &&[u8]| {
            let number = line.strip_prefix(b"cpu").and_then(|rest| rest.first());
            number.is_some_and(u8::is_ascii_digit)
        };
        let processors = lines(&stat).filter(is_processor).count();
        self.section("cpu");
        self.line(&format!("{} {processors}", text(loadavg.trim_ascii())));
        self.line(&text(threads.trim_ascii()));
    }

    fn kernel(&mut self) {
        let vmstat = self.read("proc/vmstat");
        if vmstat.is_empty() {
            return;
        }
        self.section("kernel");
        self.line(&unix_time().to_string());
        for text in [vmstat, self.read("proc/stat")] {
            lines(&text).for_each(|line| self.bytes(line));
        }
    }

    fn interfaces(&mut self) {
        let names = names_in(&self.machine.root.path("sys/class/net"));
        self.section("lnx_if");
        self.line("[start_iplink]");
        for name in &names {
            self.ip_link(name);
        }
        self.line("[end_iplink]");
        self.section("lnx_if:sep(58)");
        let dev = self.read("proc/net/dev");
        for line in lines(&dev).filter(|line| line.contains(&b':')) {
            self.bytes(line);
        }
        for name in &names {
            let path = self.machine.root.path("sys/class/net").join(name);
            self.line(&format!("[{name}]"));
            if let Some(speed) = number(&path.join("speed")).filter(|speed| *speed > 0) {
                self.line(&format!("\tSpeed: {speed}Mb/s"));
            }
            match word(&path.join("duplex")).as_deref() {
                Some("full") => self.line("\tDuplex: Full"),
                Some("half") => self.line("\tDuplex: Half"),
                _ => {}
            }
            if let Some(carrier) = number(&path.join("carrier")) {
                let answer = if carrier == 1 { "yes" } else { "no" };
                self.line(&format!("\tLink detected: {answer}"));
            }
            if let Some(address) = word(&path.join("address")) {
                self.line(&format!("\tAddress: {address}"));
            }
        }
    }

    /// What the server reads of a link in the words of `ip address`.
    fn ip_link(&mut self, name: &str) {
        const FLAGS: [(i64, &str); 6] = [
            (0x8, "LOOPBACK"),
            (0x2, "BROADCAST"),
            (0x10, "POINTOPOINT"),
            (0x1000, "MULTICAST"),
            (0x1, "UP"),
            (0x10000, "LOWER_UP"),
        ];
        let path = self.machine.root.path("sys/class/net").join(name);
        let flags = word(&path.join("flags"));
        let flags =
            flags.and_then(|flags| i64::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
        let carrier = number(&path.join("carrier")) == Some(1);
        let flags = flags.unwrap_or(0) | if carrier { 0x10000 } else { 0 };
        let flags: Vec<&str> = FLAGS
            .iter()
            .filter(|(bit, _)| flags & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        let state = word(&path.join("operstate"))
            .unwrap_or_default()
            .to_uppercase();
        let file = |what: &str| word(&path.join(what)).unwrap_or_default();
        self.line(&format!(
            "{}: {name}: <{}> mtu {} state {state}",
            file("ifindex"),
            flags.join(","),
            file("mtu"),
        ));
        let kind = match number(&path.join("type")) {
            Some(1) => "ether",
            Some(772) => "loopback",
            _ => "none",
        };
        self.line(&format!(
            "    link/{kind} {} brd {}",
            file("address"),
            file("broadcast")
        ));
    }

    fn connections(&mut self) {
        let mut states: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for path in ["proc/net/tcp", "proc/net/tcp6"] {
            let text = self.read(path);
            for line in lines(&text).skip(1) {
                if let Some(state) = words(line).nth(3) {
                    *states.entry(state.to_vec()).or_default() += 1;
                }
            }
        }
        if states.is_empty() {
            return;
        }
        self.section("tcp_conn_stats");
        for (state, count) in states {
            self.line(&format!("{} {count}", text(&state)));
        }
    }

    fn block_devices(&mut self) {
        let diskstats = self.read("proc/diskstats");
        if diskstats.is_empty() {
            return;
        }
        self.section("diskstat");
        self.line(&unix_time().to_string());
        let is_real = |line: &&[u8]| {
            let name = words(line).nth(2).unwrap_or_default();
            !name.starts_with(b"loop") && !name.starts_with(b"ram") && words(line).nth(13).is_some()
        };
        for line in lines(&diskstats).filter(is_real) {
            self.bytes(line);
        }
        self.line("[dmsetup_info]");
    }

    /// `ZONE|MODE|TYPE|MILLIDEGREES` and pairs of a limit and its kind.
    fn zones(&mut self) {
        let directory = self.machine.root.path("sys/class/thermal");
        let mut names = names_in(&directory);
        names.retain(|name| name.starts_with("thermal_zone"));
        if names.is_empty() {
            return;
        }
        self.section("lnx_thermal:sep(124)");
        for name in names {
            let path = directory.join(&name);
            let file = |what: &str| word(&path.join(what));
            let Some(temperature) = file("temp") else {
                continue;
            };
            let mut line = format!(
                "{name}|{}|{}|{temperature}",
                file("mode").unwrap_or_else(|| "-".to_owned()),
                file("type").unwrap_or_default(),
            );
            for trip in 0.. {
                let limit = file(&format!("trip_point_{trip}_temp"));
                let kind = file(&format!("trip_point_{trip}_type"));
                let (Some(limit), Some(kind)) = (limit, kind) else {
                    break;
                };
                line.push_str(&format!("|{limit}|{kind}"));
            }
            self.line(&line);
        }
    }

    fn raids(&mut self) {
        let mdstat = self.read("proc/mdstat");
        if lines(&mdstat).any(|line| line.starts_with(b"md")) {
            self.section("md");
            lines(&mdstat).for_each(|line| self.bytes(line));
        }
    }

    /// Custom checks, as local checks.
    fn local(&mut self, document: &Document) {
        let Some(checks) = document
            .customchecks
            .done()
            .filter(|checks| !checks.is_empty())
        else {
            return;
        };
        self.section("local:sep(0)");
        for (name, check) in checks {
            self.line(&local_line(name, check));
        }
    }
}

/// Of two file systems mounted one over the other, the later one is seen.
fn seen(document: &Document) -> Vec<&Disk> {
    let mut seen: Vec<&Disk> = Vec::new();
    for disk in document.disks.done().into_iter().flatten().rev() {
        if !seen
            .iter()
            .any(|other| other.disk.mountpoint == disk.disk.mountpoint)
        {
            seen.push(disk);
        }
    }
    seen.reverse();
    seen
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Sizes in KiB, times as `ps` writes them, blanks squeezed.
/// Nothing would move the columns behind it.
fn or_dash(text: &str) -> &str {
    match text {
        "" => "-",
        text => text,
    }
}

fn process_line(process: &Process) -> String {
    let (vsz, rss) = match process.memory {
        ProcessMemory::Unix(memory) => (memory.vms >> 10, memory.rss >> 10),
        ProcessMemory::Windows {
            working_set,
            private_bytes,
            ..
        } => (private_bytes >> 10, working_set >> 10),
    };
    let mut command: Vec<&str> = process.cmdline.split_whitespace().collect();
    if command.is_empty() {
        command.push(&process.name);
    }
    format!(
        "{} {vsz} {rss} {} {} {} {}",
        or_dash(&process.username),
        clock(process.spent_secs, true),
        clock(process.elapsed_secs, false),
        process.pid,
        command.join(" ")
    )
}

/// `[DD-]HH:MM:SS`; the hours can be left out if they are none.
fn clock(secs: u64, with_hours: bool) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let secs = secs % 60;
    match (days, hours) {
        (0, 0) if !with_hours => format!("{minutes:02}:{secs:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{secs:02}"),
        _ => format!("{days:02}-{hours:02}:{minutes:02}:{secs:02}"),
    }
}

/// `cached(TIME,SECONDS)` is not said: the server would call a plugin with a
/// long interval stale. `STATE "NAME" METRICS TEXT`
fn local_line(name: &str, check: &CustomCheck) -> String {
    let state = match check.rc {
        0..=3 => check.rc,
        _ => 3,
    };
    let mut lines = check.stdout.lines();
    let first = lines.next().unwrap_or_default();
    let (shown, perfdata) = first.split_once('|').unwrap_or((first, ""));
    let mut metrics = metrics(perfdata);
    if metrics.is_empty() {
        metrics.push('-');
    }
    let mut line = format!(
        "{state} \"{}\" {metrics} {}",
        name.replace('"', "'"),
        shown.trim()
    );
    if !(0..=3).contains(&check.rc) {
        line.push_str(&format!(" (exit status {})", check.rc));
    }
    for more in lines {
        let more = more.split_once('|').map_or(more, |(text, _)| text);
        line.push_str("\\n");
        line.push_str(more);
    }
    line.replace('\0', "")
}

/// `name=value;warn;crit;min;max`, with bars in between and without units.
/// Nothing at all of what is no performance data.
fn metrics(perfdata: &str) -> String {
    let metric = |metric: &Metric| {
        let number = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
        let label = text(&metric.label).replace([' ', '=', '|', ';', '"'], "_");
        let fields = [
            number(metric.value),
            limit(metric.warn),
            limit(metric.crit),
            number(metric.min),
            number(metric.max),
        ];
        let fields = fields.join(";");
        format!("{label}={}", fields.trim_end_matches(';'))
    };
    let found = Perfdata::parse(perfdata.as_bytes()).unwrap_or_default();
    let known = found.metrics.iter().filter(|metric| metric.value.is_some());
    known.map(metric).collect::<Vec<_>>().join("|")
}

/// Checkmk knows `UPPER` and `LOWER:UPPER`; others it would not take.
fn limit(range: Option<Range>) -> String {
    let text = range.map(|range| range.to_string()).unwrap_or_default();
    match text.starts_with(['@', '~']) || text.ends_with(':') {
        true => String::new(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_checks_are_local_checks() {
        for (rc, stdout, want) in [
            (0, "OK", "0 \"x\" - OK"),
            (
                1,
                "WARN: old | age=93600s;86400;172800 'a b'=1.5%;10:20;@5;0;100\nmore | y=1\n",
                "1 \"x\" age=93600;86400;172800|a_b=1.5;10:20;;0;100 WARN: old\\nmore ",
            ),
            (2, "CRIT | no metrics here", "2 \"x\" - CRIT"),
            (124, "late", "3 \"x\" - late (exit status 124)"),
            (-1, "", "3 \"x\" -  (exit status -1)"),
        ] {
            let check = CustomCheck {
                rc,
                stdout: stdout.to_owned(),
                ..CustomCheck::default()
            };
            assert_eq!(local_line("x", &check), want);
        }
    }

    #[test]
    fn times_are_written_as_ps_does() {
        for (secs, spent, elapsed) in [
            (0, "00:00:00", "00:00"),
            (61, "00:01:01", "01:01"),
            (3_661, "01:01:01", "01:01:01"),
            (90_061, "01-01:01:01", "01-01:01:01"),
        ] {
            assert_eq!(
                (clock(secs, true).as_str(), clock(secs, false).as_str()),
                (spent, elapsed)
            );
        }
    }
}
