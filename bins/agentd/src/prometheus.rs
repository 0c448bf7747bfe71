//! The figures of the machine for Prometheus, with node_exporter's names where
//! the meaning is the same, so that existing dashboards show them.
//!
//! What costs nothing is read when it is asked for; the rest is what the last
//! collection has found. Processes are not shown one by one.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use agent::Document;

use crate::board::Published;
use crate::collect::root::{lines, number, parse, text, word, words};
use crate::collect::{Root, clock_ticks, kernel_file, uname};

/// Prometheus' text format, with the characters.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bytes of what the kernel counts of block devices.
const SECTOR: f64 = 512.0;

/// All series.
pub(crate) fn write(published: &Published, root: &Root) -> String {
    let mut series = Series(String::with_capacity(32 << 10));
    let document = &published.document;
    let read = |path: &str| kernel_file(root, document, path);
    if let Some(ticks) = clock_ticks() {
        processors(&mut series, &read("proc/stat"), ticks);
    }
    load(&mut series, &read("proc/loadavg"));
    memory(&mut series, &read("proc/meminfo"));
    block_devices(&mut series, &read("proc/diskstats"));
    traffic(&mut series, &read("proc/net/dev"));
    links(&mut series, &root.path("sys/class/net"));
    system(&mut series);
    file_systems(&mut series, document);
    temperatures(&mut series, document);
    clock(&mut series, document);
    units(&mut series, document);
    custom_checks(&mut series, document);
    ourselves(&mut series, published);
    series.0
}

/// Text that grows, a metric after another.
struct Series(String);

impl Series {
    /// All samples of one metric; nothing at all if there are none.
    fn metric<L: Display, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            // Writing to a string does not fail.
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge<V: Display>(&mut self, name: &str, help: &str, value: Option<V>) {
        self.metric(name, "gauge", help, value.map(|value| ("", value)));
    }
}

/// `{name="value",…}` with what must be escaped.
fn labels(pairs: &[(&str, &str)]) -> String {
    let mut labels = String::from("{");
    for (number, (name, value)) in pairs.iter().enumerate() {
        if number > 0 {
            labels.push(',');
        }
        labels.push_str(name);
        labels.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => labels.push_str("\\\\"),
                '"' => labels.push_str("\\\""),
                '\n' => labels.push_str("\\n"),
                c => labels.push(c),
            }
        }
        labels.push('"');
    }
    labels.push('}');
    labels
}

fn processors(series: &mut Series, stat: &[u8], ticks: f64) {
    const MODES: [&str; 8] = [
        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
    ];
    let mut samples = Vec::new();
    for line in lines(stat) {
        let mut fields = words(line);
        let Some(cpu) = fields.next().and_then(|name| name.strip_prefix(b"cpu")) else {
            continue;
        };
        if cpu.is_empty() {
            continue;
        }
        let cpu = text(cpu);
        for (mode, spent) in MODES.iter().zip(fields) {
            let spent: u64 = parse(spent).unwrap_or(0);
            samples.push((
                labels(&[("cpu", &cpu), ("mode", mode)]),
                spent as f64 / ticks,
            ));
        }
    }
    series.metric(
        "node_cpu_seconds_total",
        "counter",
        "Seconds the CPUs spent in each mode.",
        samples,
    );
    let boot = lines(stat).find_map(|line| line.strip_prefix(b"btime "));
    let boot = boot.and_then(|time| parse::<u64>(time.trim_ascii()));
    series.gauge(
        "node_boot_time_seconds",
        "Unix time of the last boot.",
        boot,
    );
}

fn load(series: &mut Series, loadavg: &[u8]) {
    let names = ["node_load1", "node_load5", "node_load15"];
    let helps = ["1m load average.", "5m load average.", "15m load average."];
    for ((name, help), load) in names.iter().zip(helps).zip(words(loadavg)) {
        series.gauge(name, help, parse::<f64>(load));
    }
}

/// Every line `Name: NUMBER kB` of the kernel's.
fn memory(series: &mut Series, meminfo: &[u8]) {
    for line in lines(meminfo) {
        let mut fields = words(line);
        let name = fields.next().and_then(|name| name.strip_suffix(b":"));
        let value = fields.next().and_then(parse::<u64>);
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        let name = text(name).replace('(', "_").replace(')', "");
        let (name, value) = match fields.next() {
            Some(b"kB") => (
                format!("node_memory_{name}_bytes"),
                value.saturating_mul(1024),
            ),
            _ => (format!("node_memory_{name}"), value),
        };
        let help = "Memory information field of that name.";
        series.gauge(&name, help, Some(value));
    }
}

fn block_devices(series: &mut Series, diskstats: &[u8]) {
    let mut devices: Vec<(String, Vec<f64>)> = Vec::new();
    for line in lines(diskstats) {
        let mut fields = words(line).skip(2);
        let name = fields.next().map(text).filter(|name| !is_part(name));
        let numbers: Vec<f64> = fields.map_while(parse).take(11).collect();
        if let Some(name) = name
            && numbers.len() == 11
        {
            devices.push((labels(&[("device", &name)]), numbers));
        }
    }
    for (name, help, field, factor) in [
        ("reads_completed_total", "Reads completed.", 0, 1.0),
        ("read_bytes_total", "Bytes read.", 2, SECTOR),
        (
            "read_time_seconds_total",
            "Seconds spent by all reads.",
            3,
            1e-3,
        ),
        ("writes_completed_total", "Writes completed.", 4, 1.0),
        ("written_bytes_total", "Bytes written.", 6, SECTOR),
        (
            "write_time_seconds_total",
            "Seconds spent by all writes.",
            7,
            1e-3,
        ),
        ("io_time_seconds_total", "Seconds spent doing I/O.", 9, 1e-3),
    ] {
        let samples = devices
            .iter()
            .map(|(labels, numbers)| (labels, numbers[field] * factor));
        series.metric(&format!("node_disk_{name}"), "counter", help, samples);
    }
}

/// Whether it is a part of a device, or none of storage; the same that
/// node_exporter leaves out.
fn is_part(name: &str) -> bool {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if base.len() == name.len() {
        return false;
    }
    let is_letter_of = |kind: &str| {
        let letter = base.strip_prefix(kind);
        letter.is_some_and(|letter| letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
    };
    ["ram", "loop", "fd"].contains(&base)
        || ["hd", "sd", "vd", "xvd"]
            .iter()
            .any(|kind| is_letter_of(kind))
        || (base.starts_with("nvme") && base.ends_with('p'))
}

fn traffic(series: &mut Series, dev: &[u8]) {
    let mut devices: Vec<(String, Vec<u64>)> = Vec::new();
    for line in lines(dev) {
        let Some(colon) = line.iter().rposition(|byte| *byte == b':') else {
            continue;
        };
        let numbers: Vec<u64> = words(&line[colon + 1..]).map_while(parse).collect();
        if numbers.len() >= 16 {
            let name = text(line[..colon].trim_ascii());
            devices.push((labels(&[("device", &name)]), numbers));
        }
    }
    for (direction, first) in [("receive", 0), ("transmit", 8)] {
        for (number, what) in ["bytes", "packets", "errs", "drop"].iter().enumerate() {
            let name = format!("node_network_{direction}_{what}_total");
            let help = format!("Network device statistic {direction}_{what}.");
            let samples = devices
                .iter()
                .map(|(labels, numbers)| (labels, numbers[first + number]));
            series.metric(&name, "counter", &help, samples);
        }
    }
}

fn links(series: &mut Series, directory: &Path) {
    let mut up = Vec::new();
    let mut speed = Vec::new();
    let mut mtu = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let labels = labels(&[("device", &name)]);
        let state = word(&path.join("operstate"));
        up.push((labels.clone(), u8::from(state.as_deref() == Some("up"))));
        // Mbit/s.
        let known = number(&path.join("speed")).filter(|speed| *speed >= 0);
        speed.extend(known.map(|speed| (labels.clone(), speed * 125_000)));
        mtu.extend(number(&path.join("mtu")).map(|mtu| (labels, mtu)));
    }
    let gauge = "gauge";
    let help = "1 if the operational state is up, 0 otherwise.";
    series.metric("node_network_up", gauge, help, up);
    let help = "Speed of the link in bytes per second.";
    series.metric("node_network_speed_bytes", gauge, help, speed);
    let help = "Longest packet in bytes.";
    series.metric("node_network_mtu_bytes", gauge, help, mtu);
}

fn system(series: &mut Series) {
    let uname = uname();
    let labels = labels(&[
        ("domainname", &uname.domainname),
        ("machine", &uname.machine),
        ("nodename", &uname.nodename),
        ("release", &uname.release),
        ("sysname", &uname.sysname),
        ("version", &uname.version),
    ]);
    series.metric(
        "node_uname_info",
        "gauge",
        "What the system says of itself.",
        [(labels, 1)],
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map(|now| now.as_secs_f64()).ok();
    series.gauge("node_time_seconds", "System time in Unix seconds.", now);
}

fn file_systems(series: &mut Series, document: &Document) {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    // Of two that are mounted one over the other the later one is seen.
    for disk in document.disks.done().into_iter().flatten().rev() {
        if seen.insert(&disk.disk.mountpoint) {
            let labels = labels(&[
                ("device", &disk.disk.device),
                ("fstype", &disk.disk.fstype),
                ("mountpoint", &disk.disk.mountpoint),
            ]);
            found.push((labels, disk.usage));
        }
    }
    let mut gauge = |name: &str, help: &str, value: fn(&agent::document::Usage) -> u64| {
        let samples = found.iter().map(|(labels, usage)| (labels, value(usage)));
        series.metric(&format!("node_filesystem_{name}"), "gauge", help, samples);
    };
    gauge("size_bytes", "Size.", |usage| usage.total);
    gauge("free_bytes", "Free space.", |usage| {
        usage.total.saturating_sub(usage.used)
    });
    gauge("avail_bytes", "Space that users can have.", |usage| {
        usage.free
    });
    gauge("files", "Files that fit.", |usage| usage.files);
    gauge("files_free", "Files that still fit.", |usage| {
        usage.files_free
    });
}

fn temperatures(series: &mut Series, document: &Document) {
    let sensors = document.sensors.done();
    let found = sensors
        .into_iter()
        .flat_map(|sensors| &sensors.temperatures);
    let samples = found
        .filter(|found| !found.chip.is_empty())
        .filter_map(|found| {
            let labels = labels(&[("chip", &found.chip), ("sensor", &found.sensor)]);
            Some((labels, found.current?))
        });
    let help = "Temperature of a hardware monitor.";
    series.metric("node_hwmon_temp_celsius", "gauge", help, samples);
}

fn clock(series: &mut Series, document: &Document) {
    let ntp = document.ntp.done();
    let help = "How far the local clock is off its reference.";
    let offset = ntp.and_then(|ntp| ntp.offset);
    series.gauge("node_timex_offset_seconds", help, offset);
    let help = "Whether the clock is kept by a reliable server (1 = yes, 0 = no).";
    let status = ntp.and_then(|ntp| ntp.sync_status).map(u8::from);
    series.gauge("node_timex_sync_status", help, status);
}

fn units(series: &mut Series, document: &Document) {
    const STATES: [&str; 5] = ["activating", "active", "deactivating", "failed", "inactive"];
    let units = document.systemd_services.done().into_iter().flatten();
    let samples = units.flat_map(|unit| {
        STATES.map(|state| {
            let labels = labels(&[("name", &unit.name), ("state", state), ("type", "")]);
            (labels, u8::from(unit.active_state == state))
        })
    });
    let help = "Whether the unit is in the state.";
    series.metric("node_systemd_unit_state", "gauge", help, samples);
}

fn custom_checks(series: &mut Series, document: &Document) {
    let checks = || {
        let checks = document.customchecks.done().into_iter().flatten();
        checks.map(|(name, check)| (labels(&[("check", name)]), check))
    };
    series.metric(
        "sitewire_agentd_custom_check_rc",
        "gauge",
        "Exit status of the custom check.",
        checks().map(|(labels, check)| (labels, check.rc)),
    );
    series.metric(
        "sitewire_agentd_custom_check_start_timestamp_seconds",
        "gauge",
        "Unix time at which it was started.",
        checks().map(|(labels, check)| (labels, check.execution_unix_timestamp_sec)),
    );
    series.metric(
        "sitewire_agentd_custom_check_duration_seconds",
        "gauge",
        "How long it ran.",
        checks().map(|(labels, check)| (labels, check.duration_secs)),
    );
}

fn ourselves(series: &mut Series, published: &Published) {
    let efforts = || {
        let efforts = published.efforts.iter();
        efforts.map(|effort| (labels(&[("check", effort.key)]), effort))
    };
    series.metric(
        "sitewire_agentd_collection_duration_seconds",
        "gauge",
        "How long the last answer of the check took.",
        efforts().map(|(labels, effort)| (labels, effort.took.as_secs_f64())),
    );
    series.metric(
        "sitewire_agentd_collection_errors_total",
        "counter",
        "How often the check had no good answer.",
        efforts().map(|(labels, effort)| (labels, effort.failures)),
    );
    let collected = published
        .collected
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    series.gauge(
        "sitewire_agentd_collected_timestamp_seconds",
        "Unix time of the last collection.",
        collected.map(|at| at.as_secs_f64()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let labels = labels(&[("a", "x\\y\"z\n"), ("b", "")]);
        assert_eq!(labels, r#"{a="x\\y\"z\n",b=""}"#);
    }

    #[test]
    fn parts_of_devices_are_left_out() {
        for (name, want) in [
            ("sda", false),
            ("sda1", true),
            ("vdb12", true),
            ("sdaa1", false),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("loop7", true),
            ("dm-0", false),
            ("md127", false),
            ("mmcblk0", false),
            ("mmcblk0p1", false),
        ] {
            assert_eq!(is_part(name), want, "{name}");
        }
    }
}
