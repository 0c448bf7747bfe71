//! What agentd prints, held against what the kernel and df say.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

fn agentd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_agentd"))
}

fn document() -> Value {
    let output = agentd().arg("--once").output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    assert_eq!(output.stdout.last(), Some(&b'\n'));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A line `Name:   NUMBER kB` of /proc/meminfo, in bytes.
fn meminfo(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn assert_near(what: &str, ours: u64, theirs: u64, tolerance: u64) {
    assert!(
        ours.abs_diff(theirs) <= tolerance,
        "{what}: {ours} is not near {theirs}"
    );
}

/// Kinds of values as they stand in the table below.
fn has_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "count" => value.as_u64().is_some(),
        "whole" => value.as_i64().is_some(),
        "number" => value.as_f64().is_some_and(f64::is_finite),
        "percent" => value
            .as_f64()
            .is_some_and(|number| (0.0..=100.0).contains(&number)),
        "text" => value.is_string(),
        "flag" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no kind"),
    }
}

#[test]
fn every_member_that_a_server_reads_is_there_and_of_its_type() {
    let document = document();
    // `*` is every element of a list or object.
    for (path, kind) in [
        ("agent.last_updated", "text"),
        ("agent.last_updated_timestamp", "count"),
        ("agent.system", "text"),
        ("agent.system_uptime", "count"),
        ("agent.kernel_version", "text"),
        ("agent.mac_version", "text"),
        ("agent.windows_release_id", "text"),
        ("agent.windows_current_build", "text"),
        ("agent.family", "text"),
        ("agent.agent_version", "text"),
        ("agent.temperature_unit", "text"),
        ("agent.goos", "text"),
        ("agent.goarch", "text"),
        ("agent.check_interval", "count"),
        ("cpu.cpu_total_percentage", "percent"),
        ("cpu.cpu_percentage.*", "percent"),
        ("cpu.cpu_total_percentage_detailed.User", "percent"),
        ("cpu.cpu_total_percentage_detailed.Nice", "percent"),
        ("cpu.cpu_total_percentage_detailed.System", "percent"),
        ("cpu.cpu_total_percentage_detailed.Idle", "percent"),
        ("cpu.cpu_total_percentage_detailed.Iowait", "percent"),
        ("cpu.cpu_percentage_detailed.*.Idle", "percent"),
        ("memory.total", "count"),
        ("memory.available", "count"),
        ("memory.percent", "percent"),
        ("memory.used", "count"),
        ("memory.free", "count"),
        ("memory.active", "count"),
        ("memory.inactive", "count"),
        ("memory.wired", "count"),
        ("swap.total", "count"),
        ("swap.percent", "percent"),
        ("swap.used", "count"),
        ("swap.free", "count"),
        ("swap.sin", "count"),
        ("swap.sout", "count"),
        ("system_load.0", "number"),
        ("system_load.1", "number"),
        ("system_load.2", "number"),
        ("disks", "list"),
        ("disks.*.disk.device", "text"),
        ("disks.*.disk.mountpoint", "text"),
        ("disks.*.disk.fstype", "text"),
        ("disks.*.disk.opts.*", "text"),
        ("disks.*.usage.total", "count"),
        ("disks.*.usage.used", "count"),
        ("disks.*.usage.free", "count"),
        ("disks.*.usage.percent", "percent"),
        ("net_stats.*.isup", "flag"),
        ("net_stats.*.duplex", "count"),
        ("net_stats.*.speed", "whole"),
        ("net_stats.*.mtu", "whole"),
        ("net_io.*.name", "text"),
        ("net_io.*.timestamp", "count"),
        ("net_io.*.bytes_sent", "count"),
        ("net_io.*.bytes_recv", "count"),
        ("net_io.*.packets_sent", "count"),
        ("net_io.*.packets_recv", "count"),
        ("net_io.*.errin", "count"),
        ("net_io.*.errout", "count"),
        ("net_io.*.dropin", "count"),
        ("net_io.*.dropout", "count"),
        ("net_io.*.avg_bytes_sent_ps", "count"),
        ("net_io.*.avg_bytes_recv_ps", "count"),
        ("net_io.*.avg_packets_sent_ps", "count"),
        ("net_io.*.avg_packets_recv_ps", "count"),
        ("net_io.*.avg_errin", "count"),
        ("net_io.*.avg_errout", "count"),
        ("net_io.*.avg_dropin", "count"),
        ("net_io.*.avg_dropout", "count"),
        ("customchecks", "object"),
    ] {
        let mut values = vec![&document];
        for step in path.split('.') {
            values = values
                .into_iter()
                .flat_map(|value| match (step, value) {
                    ("*", Value::Array(items)) => items.iter().collect(),
                    ("*", Value::Object(members)) => members.values().collect(),
                    _ => vec![value.get(step).unwrap_or(&Value::Null)],
                })
                .collect();
        }
        for value in values {
            assert!(has_kind(value, kind), "{path} is {value}, no {kind}");
        }
    }
    assert_eq!(document["agent"]["goos"], "linux");
    assert_eq!(document["agent"]["temperature_unit"], "C");
    assert!(!document["net_io"].as_object().unwrap().is_empty());
}

#[test]
fn memory_and_load_are_the_kernels() {
    let document = document();
    let memory = &document["memory"];
    let bytes = |value: &Value| value.as_u64().unwrap();
    assert_eq!(bytes(&memory["total"]), meminfo("MemTotal:"));
    assert_eq!(bytes(&document["swap"]["total"]), meminfo("SwapTotal:"));
    assert_eq!(
        bytes(&memory["used"]) + bytes(&memory["available"]),
        bytes(&memory["total"])
    );
    // Other tests run at the same time.
    let tolerance = bytes(&memory["total"]) / 10;
    let available = meminfo("MemAvailable:");
    assert_near(
        "available",
        bytes(&memory["available"]),
        available,
        tolerance,
    );
    assert_near(
        "free",
        bytes(&memory["free"]),
        meminfo("MemFree:"),
        tolerance,
    );

    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let ours = bytes(&document["agent"]["system_uptime"]);
    assert_near("uptime", ours, uptime as u64, 60);

    let loadavg = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load15: f64 = loadavg.split(' ').nth(2).unwrap().parse().unwrap();
    let ours = document["system_load"]["2"].as_f64().unwrap();
    assert!((ours - load15).abs() < 0.5, "{ours} {load15}");
    let cpus = std::thread::available_parallelism().unwrap().get();
    let ours = document["cpu"]["cpu_percentage"].as_array().unwrap().len();
    assert!(ours >= cpus, "{ours} processors of at least {cpus}");
}

#[test]
fn file_systems_are_as_full_as_df_says() {
    let output = Command::new("df")
        .args(["-B1", "-P", "/"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    let [_, total, used, free, percent, _] = fields[..] else {
        panic!("df: {text}");
    };
    let document = document();
    let root = document["disks"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|disk| disk["disk"]["mountpoint"] == "/");
    let Some(root) = root else {
        // In a container the root is an overlay, which is no storage.
        assert_eq!(fields[0], "overlay");
        return;
    };
    let usage = &root["usage"];
    let number = |text: &str| text.parse::<u64>().unwrap();
    let total = number(total);
    assert_eq!(usage["total"].as_u64(), Some(total));
    // Builds write to the same file system meanwhile.
    let tolerance = total / 50;
    assert_near(
        "used",
        usage["used"].as_u64().unwrap(),
        number(used),
        tolerance,
    );
    assert_near(
        "free",
        usage["free"].as_u64().unwrap(),
        number(free),
        tolerance,
    );
    // df rounds up.
    let percent: f64 = percent.trim_end_matches('%').parse().unwrap();
    let ours = usage["percent"].as_f64().unwrap();
    assert!((ours - percent).abs() < 3.0, "{ours} {percent}");
}

#[test]
fn interfaces_are_those_of_the_kernel() {
    let names = |value: &Value| -> Vec<String> {
        let members: BTreeMap<String, Value> = serde_json::from_value(value.clone()).unwrap();
        members.into_keys().collect()
    };
    let dev = std::fs::read_to_string("/proc/net/dev").unwrap();
    let mut want: Vec<String> = dev
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    want.sort();
    let document = document();
    assert_eq!(names(&document["net_io"]), want);
    for name in names(&document["net_stats"]) {
        let mtu = std::fs::read_to_string(format!("/sys/class/net/{name}/mtu")).unwrap();
        let ours = document["net_stats"][&name]["mtu"].as_i64();
        assert_eq!(ours, mtu.trim().parse().ok(), "{name}");
    }
}

#[test]
fn without_a_configuration_nothing_starts() {
    let missing = "/nonexistent/config.ini";
    for (args, code) in [
        (&["-c", missing, "--disable-logfile"][..], 1),
        (&["-c", missing, "--check-config"], 78),
        (&["-c", missing, "--print-config"], 78),
        (&["--listen"], 2),
        (&["--once", "--check-config"], 2),
    ] {
        let output = agentd().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains(missing), code != 2, "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_reader_that_went_away_is_a_silent_failure() {
    let mut child = agentd()
        .arg("--once")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
}
