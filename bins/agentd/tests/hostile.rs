//! What hangs, floods, dies or lies harms only itself: the document stays
//! complete, and goes on coming.

mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::{Agent, Home, PATIENCE};

/// Keys that are in every document of a machine that is well.
const KEYS: [&str; 16] = [
    "agent",
    "cpu",
    "memory",
    "swap",
    "system_load",
    "disks",
    "disk_io",
    "net_stats",
    "net_io",
    "sensors",
    "processes",
    "users",
    "ntp",
    "customchecks",
    "prometheus_exporters",
    "packagemanager",
];

/// A home with these plugins, collecting every second.
fn home(plugins: &str, exporters: &str) -> Home {
    let home = Home::new(
        "interval = 1\nsensorstats = True\ncustomchecks = @/customchecks.ini\n\
         [prometheus]\nenabled = True\nexporters = @/exporters.ini\n\
         [sitewire]\ncustomcheck-output = 100000\n",
    );
    home.put("customchecks.ini", plugins);
    home.put("exporters.ini", exporters);
    home
}

/// Documents from now on, until one is as wanted.
fn wait_for(agent: &Agent, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let document = agent.document();
        if is_so(&document) {
            return document;
        }
        assert!(
            Instant::now() < deadline,
            "{what} does not come: {document}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_numbered(document: &Value, after: u64) -> bool {
    document["agent"]["last_updated_timestamp"]
        .as_u64()
        .unwrap()
        > after
}

/// Another three documents, of which the last is given.
fn three_more(agent: &Agent) -> Value {
    let mut document = agent.document();
    for _ in 0..3 {
        let time = document["agent"]["last_updated_timestamp"]
            .as_u64()
            .unwrap();
        document = wait_for(agent, "another document", |found| is_numbered(found, time));
    }
    document
}

#[test]
fn plugins_and_exporters_that_misbehave_harm_only_themselves() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let check = |name: &str, command: &str| {
        format!("[{name}]\ncommand = {command}\ninterval = 3\ntimeout = 1\nenabled = true\n")
    };
    let plugins = [
        check("fine", "/bin/echo all is well"),
        check("forks", "/bin/sh -c 'sleep 61234 & sleep 61234'"),
        check("leaves", "/bin/sh -c 'sleep 61234 & echo gone'"),
        check("floods", "/bin/sh -c 'head -c 104857600 /dev/zero'"),
        check("killed", "/bin/sh -c 'kill -9 $$'"),
        check("missing", "/opt/gone"),
        check("open", "/bin/echo \"a"),
    ]
    .concat();
    let exporter = |name: &str, port: u16| {
        format!(
            "[{name}]\nport = {port}\npath = /metrics\ninterval = 2\ntimeout = 1\nenabled = true\n"
        )
    };
    let exporters = [
        exporter("dead", dead.port()),
        exporter("silent", silent.local_addr().unwrap().port()),
    ]
    .concat();
    let mut agent = home(&plugins, &exporters).start();
    let document = wait_for(&agent, "every result", |document| {
        document["customchecks"]
            .as_object()
            .is_some_and(|checks| checks.len() == 7)
    });
    let checks = &document["customchecks"];
    for (name, rc) in [
        ("fine", 0),
        ("forks", 124),
        ("leaves", 0),
        ("killed", -1),
        ("missing", 127),
        ("open", 3),
    ] {
        assert_eq!(checks[name]["rc"], rc, "{name}: {}", checks[name]);
    }
    assert_eq!(checks["leaves"]["stdout"], "gone\n");
    // In time or not, not more of it is kept than shall be.
    assert!(checks["floods"]["stdout"].as_str().unwrap().len() <= 100_000);
    for name in ["dead", "silent"] {
        let path = format!("/prometheus?exporter={name}");
        let deadline = Instant::now() + PATIENCE;
        while !agent
            .get(&path)
            .text()
            .starts_with(&format!("# exporter {name}: "))
        {
            assert!(Instant::now() < deadline, "{}", agent.get(&path).text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let document = three_more(&agent);
    for key in KEYS {
        assert!(!document[key].is_null(), "{key}");
        assert!(document[key]["error"].is_null(), "{key}: {}", document[key]);
    }
    assert_eq!(document["prometheus_exporters"], serde_json::json!([]));

    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0), "{}", agent.said());
    let deadline = Instant::now() + PATIENCE;
    while let Some(left) = running("sleep\x0061234\0") {
        assert!(Instant::now() < deadline, "process {left} is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process with this command line.
fn running(command: &str) -> Option<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == command.as_bytes())
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .next()
}

#[test]
fn a_file_system_whose_server_is_gone_holds_up_nothing() {
    let home = home("", "");
    let (mountpoint, config) = (home.path("mnt"), home.path("config.ini"));
    fs::create_dir(&mountpoint).unwrap();
    // In a world of its own, so that nobody else hangs in there.
    let namespaces = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let allowed = Command::new("unshare")
        .args(namespaces)
        .arg("true")
        .status();
    if !allowed.is_ok_and(|status| status.success()) || fs::File::open("/dev/fuse").is_err() {
        eprintln!("skipped: may not mount");
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args([
            "python3",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hung_mount.py"),
        ])
        .arg(&mountpoint)
        .arg(env!("CARGO_BIN_EXE_agentd"))
        .args(["--disable-logfile", "-v", "-c"])
        .arg(config);
    let agent = Agent::start(home, command);
    let document = three_more(&agent);
    let why = document["errors"]["disks"].as_str().unwrap_or_default();
    assert!(why.contains("/mnt: no answer for "), "{why}");
    let disks = document["disks"].as_array().unwrap();
    let hung = disks
        .iter()
        .find(|disk| disk["disk"]["device"] == "nas:/export");
    assert_eq!(hung.unwrap()["usage"]["total"], 0);
    let others = disks
        .iter()
        .filter(|disk| disk["usage"]["total"].as_u64() > Some(0));
    assert!(others.count() > 0, "{disks:?}");
    for key in KEYS {
        assert!(!document[key].is_null(), "{key}");
    }
}
