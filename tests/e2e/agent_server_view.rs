//! What openITCOCKPIT's server finds in documents: of the original agent on
//! three systems, and of agentd on this machine. The reader is another one than
//! ours, in another language.

use std::collections::BTreeMap;
use std::path::PathBuf;

use harness::program::repository;
use harness::{Outcome, Program, peer};

fn read(document: impl Into<Vec<u8>>) -> Outcome {
    Program::foreign("python3", "server_reader")
        .arg(repository().join("tests/fixtures/agent/server_reader.py"))
        .input(document)
        .run()
}

/// A document of the original agent on that system.
fn sample(name: &str) -> PathBuf {
    repository().join(format!("common/agent/tests/samples/agent-{name}.json"))
}

fn read_sample(name: &str) -> Outcome {
    read(std::fs::read(sample(name)).unwrap())
}

/// How many services of each plugin there are.
fn counts(text: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let plugin = line.split(' ').next().unwrap_or_default();
        *counts.entry(plugin).or_default() += 1;
    }
    counts
}

#[test]
fn the_server_finds_the_services_of_three_systems() {
    if !peer::available("python3", "python3") {
        return;
    }
    for (name, wanted) in [
        (
            "linux",
            &[
                "SystemLoad 4 6",
                "DiskUsage / (/dev/sda2)",
                "SystemdService cron.service",
            ][..],
        ),
        (
            "windows",
            &[
                "WindowsService W32Time",
                "WindowsEventlog System",
                "DiskFree C: (C:)",
            ],
        ),
        (
            "darwin",
            &[
                "Launchd com.apple.coreservicesd",
                "Battery 0",
                "SystemLoad 2 4",
            ],
        ),
    ] {
        let found = read_sample(name).success().text();
        for line in wanted {
            assert!(
                found.lines().any(|found| found == *line),
                "{name}: {line}\n{found}"
            );
        }
    }
}

/// The two are written apart; where they find different things, one of them is
/// wrong, or there is a reason, which stands here.
#[test]
fn agentpoll_finds_what_the_server_finds() {
    if !peer::available("python3", "python3") {
        return;
    }
    for name in ["linux", "windows", "darwin"] {
        let found = read_sample(name).success().text();
        let counts = counts(&found);
        let once = Program::new("agentpoll")
            .args(["once", "-n", "--host", "h"])
            .arg(sample(name))
            .run()
            .success()
            .text();
        let services: Vec<&str> = once
            .lines()
            .filter(|line| line.contains("PROCESS_SERVICE"))
            .filter_map(|line| line.split(';').nth(2))
            .collect();
        let ours = |prefix: &str| services.iter().filter(|s| s.starts_with(prefix)).count();
        for (plugin, prefix) in [
            ("CpuTotalPercentage", "CPU usage percentage"),
            ("SystemLoad", "CPU load"),
            ("MemoryUsage", "Memory"),
            ("SwapUsage", "Swap"),
            ("SystemUptime", "Uptime"),
            ("Customcheck", "Custom check: "),
            ("DiskIO", "Disk stats of: "),
            ("Temperature", "Sensor: "),
            ("Battery", "Battery: "),
            ("Launchd", "Launchd service: "),
            ("WindowsEventlog", "Event log: "),
        ] {
            let theirs = counts.get(plugin).copied().unwrap_or(0);
            assert_eq!(ours(prefix), theirs, "{name}: {plugin}\n{services:?}");
        }
        // Links that are down are not wanted by ours, and file systems without
        // figures; processes are, by ours, only those that were asked for.
        assert!(
            ours("Network stats of: ") <= counts["NetIO"],
            "{name}: {services:?}"
        );
        assert!(
            ours("Disk usage of: ") <= counts["DiskUsage"],
            "{name}: {services:?}"
        );
    }
}

#[test]
fn the_server_understands_agentd_on_this_machine() {
    if !peer::available("python3", "python3") {
        return;
    }
    let document = Program::new("agentd").arg("--once").run().success();
    let found = read(document.stdout).success().text();
    let counts = counts(&found);
    for plugin in [
        "SystemUptime",
        "MemoryUsage",
        "SwapUsage",
        "CpuTotalPercentage",
        "SystemLoad",
        "DiskUsage",
        "DiskFree",
        "NetIO",
        "NetStats",
        "Process",
        "Ntp",
    ] {
        assert!(counts.contains_key(plugin), "no {plugin}\n{found}");
    }
    assert!(
        found.lines().any(|line| line.starts_with("NetStats lo")),
        "{found}"
    );
    assert!(
        found.lines().any(|line| line.contains("agentd --once")),
        "{found}"
    );
}

#[test]
fn the_reader_stumbles_where_the_server_would() {
    if !peer::available("python3", "python3") {
        return;
    }
    for (document, why) in [
        ("{}", "there is no `agent`"),
        (r#"{"agent": null}"#, "there is no `agent`"),
        ("x", "not JSON"),
        (
            r#"{"agent": {}, "disks": {"error": "x"}}"#,
            "indexed with disk",
        ),
        (
            r#"{"agent": {}, "processes": {"error": "x"}}"#,
            "is no object",
        ),
        (
            r#"{"agent": {}, "net_io": "x"}"#,
            "neither a list nor an object",
        ),
    ] {
        let errors = read(document).expect(1).errors();
        assert!(errors.contains(why), "{document}: {errors}");
    }
    // These it tolerates.
    let text = r#"{"agent": {}, "systemd_services": {"error": "x"}, "novel": 7, "swap": null}"#;
    assert_eq!(read(text).success().text(), "SystemUptime\n");
}
