//! What agentd finds is what the system's own tools and other agents find.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use harness::program::repository;
use harness::{Program, Running, Site, peer, ports, program};
use serde_json::Value;

/// agentd once, with these arguments more.
#[track_caller]
fn once(args: &[&str]) -> String {
    let agentd = Program::new("agentd")
        .args(["--once", "--sample", "0"])
        .args(args);
    agentd.run().success().text()
}

fn document(args: &[&str]) -> Value {
    serde_json::from_str(&once(args)).expect("a document")
}

#[track_caller]
fn tool(command: &[&str]) -> String {
    let tool = Program::foreign(command[0], command[0]).args(&command[1..]);
    tool.run().success().text()
}

fn fixture(name: &str) -> String {
    let path = repository().join("tests/fixtures/agent").join(name);
    path.display().to_string()
}

/// What the other reader understands of Checkmk's sections.
#[track_caller]
pub(crate) fn checkmk_reader(sections: String) -> Value {
    let read = Program::foreign("python3", "checkmk_reader.py")
        .arg(fixture("checkmk_reader.py"))
        .input(sections)
        .run()
        .success()
        .text();
    serde_json::from_str(&read).expect("JSON")
}

/// A configuration with everything in it that needs no server.
fn configuration(site: &Site) -> String {
    site.write(
        "etc/customchecks.ini",
        "[fine]\ncommand = `/bin/echo 'OK | age=5s;10;20'`\nenabled = true\n\
         [late]\ncommand = /bin/sleep 600\ninterval = 1\ntimeout = 1\nenabled = true\n\
         [missing]\ncommand = /opt/gone -w 5\nenabled = true\n",
    );
    let checks = site.path("etc/customchecks.ini");
    let config = format!(
        "[default]\nsensorstats = True\ndockerstats = True\ncustomchecks = {}\n",
        checks.display()
    );
    site.write("etc/config.ini", config).display().to_string()
}

#[test]
fn the_document_is_what_the_schema_says() {
    if !peer::works(
        &["/usr/bin/python3", "-c", "import jsonschema"],
        "python3-jsonschema",
    ) {
        return;
    }
    let site = Site::new("schema");
    let config = configuration(&site);
    let document = once(&["-c", &config]);
    Program::foreign("/usr/bin/python3", "validate.py")
        .arg(fixture("validate.py"))
        .arg(fixture("result.schema.json"))
        .input(document.clone())
        .run()
        .success();
    // The reader does refuse what is wrong.
    Program::foreign("/usr/bin/python3", "validate.py")
        .arg(fixture("validate.py"))
        .arg(fixture("result.schema.json"))
        .input(document.replacen("\"cpu_total_percentage\":", "\"cpu_total\":", 1))
        .run()
        .expect(1);
}

#[test]
fn counters_lie_between_two_looks_of_the_tools() {
    if !peer::available("ip", "iproute2") {
        return;
    }
    let traffic = || -> BTreeMap<String, Value> {
        let links: Vec<Value> =
            serde_json::from_str(&tool(&["ip", "-s", "-j", "link"])).expect("JSON");
        let named = |link: Value| (link["ifname"].as_str().unwrap_or_default().to_owned(), link);
        links.into_iter().map(named).collect()
    };
    let before = traffic();
    let document = document(&[]);
    let after = traffic();
    for (name, then) in &before {
        let (ours, later) = (&document["net_io"][name], &after[name]);
        for (key, path) in [
            ("bytes_recv", "/stats64/rx/bytes"),
            ("bytes_sent", "/stats64/tx/bytes"),
            ("packets_recv", "/stats64/rx/packets"),
            ("packets_sent", "/stats64/tx/packets"),
            ("errin", "/stats64/rx/errors"),
            ("dropout", "/stats64/tx/dropped"),
        ] {
            let number = |value: &Value| value.pointer(path).and_then(Value::as_u64);
            let (Some(low), Some(high)) = (number(then), number(later)) else {
                panic!("{name} has no {path}");
            };
            let ours = ours[key].as_u64().expect("a counter");
            assert!(
                (low..=high).contains(&ours),
                "{name} {key}: {low} {ours} {high}"
            );
        }
        assert_eq!(document["net_stats"][name]["mtu"], then["mtu"], "{name}");
    }
}

#[test]
fn memory_load_and_file_systems_are_as_full_as_the_tools_say() {
    let document = document(&[]);
    let free = tool(&["free", "-b", "-w"]);
    let memory: Vec<u64> = numbers(free.lines().nth(1).expect("Mem:"));
    let ours = |key: &str| document["memory"][key].as_u64().expect("bytes");
    assert_eq!(ours("total"), memory[0]);
    // Other tests come and go meanwhile: a tenth of all memory.
    let tolerance = memory[0] / 10;
    assert_near("free", ours("free"), memory[2], tolerance);
    assert_near("available", ours("available"), memory[6], tolerance);
    let swap: Vec<u64> = numbers(free.lines().nth(2).expect("Swap:"));
    assert_eq!(document["swap"]["total"].as_u64(), Some(swap[0]));

    let loadavg = std::fs::read_to_string("/proc/loadavg").expect("Linux has it");
    let load15: f64 = loadavg
        .split(' ')
        .nth(2)
        .and_then(|load| load.parse().ok())
        .expect("a load");
    let ours = document["system_load"]["2"].as_f64().expect("a load");
    assert!((ours - load15).abs() < 1.0, "{ours} {load15}");

    let df = tool(&["df", "-B1", "-P", "/"]);
    let line = df.lines().nth(1).expect("a file system");
    let disks = document["disks"].as_array().expect("a list");
    let Some(root) = disks.iter().rfind(|disk| disk["disk"]["mountpoint"] == "/") else {
        assert!(line.starts_with("overlay "), "{line}");
        return;
    };
    let want = numbers(line);
    let ours = |key: &str| root["usage"][key].as_u64().expect("bytes");
    assert_eq!(ours("total"), want[0]);
    assert_near("used", ours("used"), want[1], want[0] / 50);
    assert_near("free", ours("free"), want[2], want[0] / 50);
}

/// The whole numbers of a line.
fn numbers(line: &str) -> Vec<u64> {
    let words = line.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

#[track_caller]
fn assert_near(what: &str, ours: u64, theirs: u64, tolerance: u64) {
    assert!(
        ours.abs_diff(theirs) <= tolerance,
        "{what}: {ours} is not near {theirs}"
    );
}

#[test]
fn processes_are_those_of_ps() {
    let mut sleeps = Program::bash("exec -a '/opt/odd name/x' sleep 61235").start();
    let pid = sleeps.pid();
    harness::wait_until("the other name", || {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"/opt/odd")
    });
    let before = numbers(&tool(&["ps", "-A", "-o", "pid="]));
    let document = document(&[]);
    let format = "pid=,ppid=,nice=,rss=,vsize=,user:32=,state=,args=";
    let ps = tool(&["ps", "-ww", "-o", format, "-p", &pid.to_string()]);
    let processes = document["processes"].as_array().expect("a list");
    let ours = processes.iter().find(|process| process["pid"] == pid);
    let ours = ours.expect("it is among them");
    let kilobytes = |key: &str| ours["Memory"][key].as_u64().expect("bytes") / 1024;
    let line = format!(
        "{pid} {} {} {} {} S {}",
        ours["ppid"],
        ours["nice_level"],
        kilobytes("vms"),
        ours["username"].as_str().unwrap_or_default(),
        ours["cmdline"].as_str().unwrap_or_default(),
    );
    let mut squeezed: Vec<&str> = ps.split_whitespace().collect();
    // The kernel keeps this one exactly in some of its files only.
    let rss = squeezed.remove(3).parse().expect("a number");
    assert_near("rss", kilobytes("rss"), rss, 1024);
    assert_eq!(squeezed.join(" "), line);
    assert_eq!(ours["status"], serde_json::json!(["Sleep"]));
    assert_eq!(ours["exec"], "/opt/odd");
    assert!(sleeps.is_running());
    // So is every other one: those that are there before and after.
    let known: Vec<u64> = processes
        .iter()
        .filter_map(|process| process["pid"].as_u64())
        .collect();
    let after = numbers(&tool(&["ps", "-A", "-o", "pid="]));
    let missed = before
        .iter()
        .filter(|pid| after.contains(pid) && !known.contains(pid));
    assert_eq!(missed.count(), 0);
}

/// Samples of an exposition by their names and labels; what has no HELP and
/// TYPE before it, stands twice or is no number ends the test.
#[track_caller]
fn series(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut described = std::collections::BTreeSet::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().unwrap_or_default().to_owned();
            assert!(
                described.insert(current.clone()),
                "{current} is described twice"
            );
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let metric = name.split('{').next().unwrap_or_default();
            assert!(
                metric.starts_with(current.as_str()),
                "{metric} stands below {current}"
            );
            let value = value.parse().expect("a number");
            assert!(
                found.insert(name.to_owned(), value).is_none(),
                "{name} stands twice"
            );
        }
    }
    found
}

fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = b"GET /metrics HTTP/1.0\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

#[test]
fn series_are_those_of_node_exporter() {
    const PROGRAM: &str = "prometheus-node-exporter";
    if !peer::available(PROGRAM, PROGRAM) {
        return;
    }
    let port = ports::free();
    let mut exporter = Program::foreign(PROGRAM, PROGRAM)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // As we do: all of them, whatever they are for.
        .args(["--collector.filesystem.mount-points-exclude", "^$"])
        .args(["--collector.filesystem.fs-types-exclude", "^$"])
        .start();
    exporter.wait_for_line("Listening on");
    let before = series(&scrape(port));
    let ours = series(&once(&["--format", "prometheus"]));
    let after = series(&scrape(port));
    let mut compared = 0;
    for (name, value) in &ours {
        if name.starts_with("sitewire_") {
            continue;
        }
        let (Some(low), Some(high)) = (before.get(name), after.get(name)) else {
            // A mount that is gone, or one of a test; Debian's leaves out the
            // loopback.
            let may_miss = ["node_filesystem_", "node_systemd_"]
                .iter()
                .any(|what| name.starts_with(what))
                || name.contains("device=\"lo\"");
            assert!(may_miss, "node_exporter has no {name}");
            continue;
        };
        compared += 1;
        let metric = name.split('{').next().unwrap_or_default();
        let is_counter = metric.ends_with("_total") || metric == "node_time_seconds";
        let tolerance = match metric {
            // Waiting for disks is only guessed by the kernel, and may go back.
            "node_cpu_seconds_total" => 0.5,
            _ if is_counter => 1e-6 * high.abs(),
            "node_load1" | "node_load5" | "node_load15" => 2.0,
            "node_timex_offset_seconds" => 0.1,
            "node_boot_time_seconds" => 1.0,
            _ if metric.ends_with("Total_bytes") || metric.contains("_size_") => 0.0,
            // What others do meanwhile.
            _ if metric.starts_with("node_memory_") => 2e9,
            _ if metric.starts_with("node_filesystem_") => high.abs() * 0.05,
            _ => 0.0,
        };
        let (low, high) = (low.min(*high) - tolerance, low.max(*high) + tolerance);
        assert!((low..=high).contains(value), "{name}: {low} {value} {high}");
    }
    assert!(compared > 80, "{compared} of {}", ours.len());
    for name in [
        "node_cpu_seconds_total",
        "node_load1",
        "node_memory_MemAvailable_bytes",
        "node_filesystem_avail_bytes",
        "node_disk_io_time_seconds_total",
        "node_network_receive_bytes_total",
        "node_timex_sync_status",
        "node_uname_info",
    ] {
        let is_it = |found: &String| found.split('{').next() == Some(name);
        assert!(ours.keys().any(is_it), "{name}");
    }
}

#[test]
fn checkmks_sections_are_read_by_another_reader() {
    if !peer::available("python3", "python3") {
        return;
    }
    let site = Site::new("sections");
    let config = configuration(&site);
    let sections = once(&["-c", &config, "--format", "checkmk"]);
    let read = checkmk_reader(sections);
    let local = &read["local:0"];
    assert_eq!(local["fine"]["state"], "0");
    assert_eq!(
        local["fine"]["metrics"]["age"],
        serde_json::json!(["5", "10", "20"])
    );
    assert_eq!(local["missing"]["state"], "3");
    assert_eq!(local["late"]["state"], "3");
    let own = std::process::id().to_string();
    assert!(read["ps_lnx"][&own]["elapsed"].as_u64().is_some());
    assert!(read["mem"]["MemTotal"].as_u64() > Some(0));
    assert!(
        read["lnx_if"]["lo"]["flags"]
            .to_string()
            .contains("LOOPBACK")
    );
    assert!(read["lnx_if:58"]["counters"]["lo"].is_array());
    assert!(read["kernel"]["fields"]["cpu"].is_array());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(read["cpu"]["cpus"].as_u64() >= Some(cpus as u64));
}

/// What agentd finds, in this form, where the script has put what it asks for:
/// in a network and directories of their own, and without the right to set the
/// clock. The script says for which line it waits.
#[track_caller]
pub(crate) fn enclosed(format: &str, variable: &str, script: &str) -> String {
    let script = format!(
        "set -e\nip link set lo up\nmount -t sysfs sysfs /sys\n\
         for there in /run /var/lib /var/cache; do mount -t tmpfs tmpfs $there; done\n\
         mkdir -m 0700 /run/chrony\n\
         own() {{ setpriv --bounding-set=-sys_time --inh-caps=-sys_time \"$@\" & }}\n\
         wait_for() {{ for i in $(seq 100); do {} --once --sample 0 --format {format} >/run/text\n\
         grep -q \"$1\" /run/text && break; sleep 0.1; done; }}\n{script}\ncat /run/text\n",
        program::built("agentd").display()
    );
    Program::foreign("unshare", "unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
        ])
        .args(["env", variable, "bash", "-c", &script])
        .run()
        .success()
        .text()
}

/// A real bus, on which a stand-in answers as systemd and systemd-timesyncd; and
/// its address.
pub(crate) fn systems_bus(site: &Site) -> Option<([Running; 2], String)> {
    let modules = [
        "/usr/bin/python3",
        "-c",
        "import dbus; from gi.repository import GLib",
    ];
    if !peer::available("dbus-daemon", "dbus-daemon")
        || !peer::works(&modules, "python3-dbus and python3-gi")
    {
        return None;
    }
    let socket = site.socket("bus");
    let address = format!("unix:path={}", socket.display());
    let config = format!(
        "<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/>\
         <allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>"
    );
    let config = site.write("etc/bus.conf", config);
    let mut bus = Program::foreign("dbus-daemon", "dbus-daemon")
        .arg("--nofork")
        .arg("--config-file")
        .arg(config)
        .start();
    bus.wait_for_socket(&socket);
    let mut systemd = Program::foreign("/usr/bin/python3", "systemd.py")
        .arg(fixture("systemd.py"))
        .arg(&address)
        .start();
    systemd.wait_for_line("ready");
    Some(([bus, systemd], address))
}

#[test]
fn units_come_over_a_real_bus() {
    let site = Site::new("bus");
    let Some((_running, address)) = systems_bus(&site) else {
        return;
    };
    let ask = |format: &str| {
        let agentd = Program::new("agentd").args(["--once", "--sample", "0", "--format", format]);
        let agentd = agentd.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        agentd.run().success().text()
    };
    let document: Value = serde_json::from_str(&ask("json")).expect("a document");
    let units = document["systemd_services"].as_array().expect("a list");
    assert_eq!(units.len(), 501, "{}", document["errors"]);
    assert_eq!(units[7]["Name"], "unit-7.service");
    assert_eq!(units[7]["Description"], "Unit number 7, größer");
    assert_eq!(units[500]["ActiveState"], "failed");

    let read = &checkmk_reader(ask("checkmk"))["systemd_units"];
    assert_eq!(read["files"]["unit-7.service"], "enabled");
    assert_eq!(read["all"].as_object().expect("units").len(), 501);
    let status = &read["status"]["unit-7.service"];
    assert_eq!(status["enabled"], "enabled");
    assert_eq!(status["active"], "active");
    assert_eq!(status["since"], 2 * 86_400);
    assert_eq!(status["memory"], f64::from(5 << 20));
    assert_eq!(status["tasks"], 3);
    assert_eq!(status["cpu"], 743.378);
    let status = &read["status"]["backup.service"];
    assert_eq!(status["since"], 3660);
    assert_eq!(status["enabled"], "static");
    // Of this one nothing is known.
    assert_eq!(
        read["status"]["unit-8.service"],
        serde_json::json!({"active": "active"})
    );
}

#[test]
fn a_check_is_a_plugin_for_those_who_start_plugins() {
    let site = Site::new("plugin");
    let config = configuration(&site);
    for (name, code, begins) in [
        ("Custom check: fine", 0, "OK | age=5s;10;20\n"),
        ("Custom check: missing", 3, "UNKNOWN"),
        ("Custom check: gone", 3, "UNKNOWN"),
        ("Uptime", 0, "OK - "),
        ("Nothing of ours", 3, "UNKNOWN - there is no check called"),
    ] {
        let args = [
            "--once", "--sample", "0", "-c", &config, "--format", "nagios", "--check", name,
        ];
        let outcome = Program::new("agentd").args(args).run().expect(code);
        assert!(
            outcome.text().starts_with(begins),
            "{name}: {}",
            outcome.text()
        );
    }
}
