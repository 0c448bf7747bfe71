//! What watching a machine costs: one collection, doing nothing between two of
//! them, and answering those who ask. Beside agentd the agents that Debian has,
//! and a loop that only reads what has to be read.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::program::built;
use harness::{Program, Running, Site, peer, ports, tls};

use crate::measure::{Family, run};
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

/// One-shot runs that are measured together: what one takes is too little to
/// be seen.
const RUNS: usize = 20;
/// For how long a daemon is watched that collects every second.
const WATCHED: Duration = Duration::from_secs(15);
/// Requests of each client.
const REQUESTS: usize = 3_000;

pub(crate) fn measure(report: &mut Report) {
    let count = processes();
    one_collection(report, count);
    let agent = Agent::start("");
    idle(report, &agent, count);
    let port = agent.port;
    pull(report, OURS, &agent.process, port, "/", REQUESTS);
    drop(agent);
    node_exporter(report, count);
    zabbix(report, count);
    floor(report, count);
    handshakes(report);
}

fn processes() -> usize {
    let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(|entry| is_process(&entry.file_name().to_string_lossy()))
        .count()
}

/// A daemon with a configuration of its own.
struct Agent {
    _site: Site,
    process: Running,
    port: u16,
}

impl Agent {
    fn start(more: &str) -> Self {
        let site = Site::new("agent");
        let port = ports::free();
        let config = format!(
            "[default]\naddress = 127.0.0.1\nport = {port}\ninterval = 1\nsensorstats = True\n\
             customchecks =\n{more}[packagemanager]\nenabled = False\n"
        );
        let config = site.write("etc/config.ini", config);
        let mut process = Program::new("agentd")
            .args(["--disable-logfile", "-v", "-c"])
            .arg(config)
            .start();
        process.wait_for_line("listening on");
        Self {
            _site: site,
            process,
            port,
        }
    }
}

fn one_collection(report: &mut Report, count: usize) {
    let agentd = built("agentd");
    let work = format!("one-shot collection, {count} processes");
    let args = ["--once", "--sample", "0"];
    let mut walls = Vec::new();
    let mut memories = Vec::new();
    for _ in 0..5 {
        let cost = run(&agentd, &args, None);
        walls.push(cost.wall * 1e3);
        memories.push(cost.memory);
    }
    let note = "whole program, beyond the time over which rates are measured";
    add(report, &work, OURS, median(walls), "ms wall", note);
    let cpu = cpu_of_runs(&format!("{} {}", agentd.display(), args.join(" ")), RUNS);
    let note = format!("whole program, mean of {RUNS}, started by a shell");
    add(report, &work, OURS, cpu * 1e3, "ms CPU", &note);
    add(report, &work, OURS, median(memories), "MiB peak", "");
}

/// Seconds of CPU time of a command, with all its threads and children.
fn cpu_of_runs(command: &str, runs: usize) -> f64 {
    let script = format!(
        "i=0; while [ $i -lt {runs} ]; do {command} >/dev/null 2>&1 || exit 1; i=$((i+1)); done; \
         set -- $(cat /proc/$$/stat); shift 15; echo $1 $2"
    );
    let output = Command::new("sh").args(["-c", &script]).output();
    let output = output.expect("there is a shell");
    assert!(output.status.success(), "{command}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ticks: f64 = text
        .split_whitespace()
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / rustix::param::clock_ticks_per_second() as f64 / runs as f64
}

/// Collects every second, which shows what a collection costs a daemon.
fn idle(report: &mut Report, agent: &Agent, count: usize) {
    let family = Family::of_process(agent.process.pid());
    thread::sleep(Duration::from_secs(3));
    let before = whole_cpu(agent.process.pid());
    thread::sleep(WATCHED);
    let after = whole_cpu(agent.process.pid());
    let each = (after - before) / WATCHED.as_secs_f64();
    let work = format!("daemon, {count} processes");
    let note = format!("one collection, mean over {} s at 1 s", WATCHED.as_secs());
    add(report, &work, OURS, each * 1e3, "ms CPU", &note);
    let note = "at an interval of 30 s, from the figure above";
    add(report, &work, OURS, each / 30.0 * 100.0, "% CPU", note);
    add(
        report,
        &work,
        OURS,
        family.memory(),
        "MiB",
        "resident, idle",
    );
}

/// Seconds of all threads, those that have ended included: in ticks, which is
/// exact enough for a longer time.
fn whole_cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

/// What those feel who ask, alone and in company.
fn pull(
    report: &mut Report,
    program: &str,
    process: &Running,
    port: u16,
    path: &str,
    requests: usize,
) {
    for clients in [1, 32] {
        let each = requests / clients.min(8);
        let family = Family::of_process(process.pid());
        let cpu = family.cpu();
        let began = Instant::now();
        let handles: Vec<_> = (0..clients)
            .map(|_| {
                let path = path.to_owned();
                thread::spawn(move || ask(port, &path, each))
            })
            .collect();
        let mut times: Vec<f64> = handles
            .into_iter()
            .flat_map(|handle| handle.join().expect("a client"))
            .collect();
        let elapsed = began.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e3;
        let work = format!("pull, {clients} clients");
        let rate = times.len() as f64 / elapsed;
        add(
            report,
            &work,
            program,
            rate,
            "req/s",
            "connections stay open",
        );
        add(report, &work, program, at(0.5), "ms p50", "");
        add(report, &work, program, at(0.99), "ms p99", "");
        let each = (family.cpu() - cpu) / times.len() as f64 * 1e3;
        add(report, &work, program, each, "ms CPU", "a request");
    }
}

/// Seconds that each answer took.
fn ask(port: u16, path: &str, requests: usize) -> Vec<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).expect("it reads");
        bytes.clear();
        loop {
            let n = stream.read(&mut buffer).expect("it answers");
            assert!(n > 0, "it has closed the connection");
            bytes.extend_from_slice(&buffer[..n]);
            if is_whole(&bytes) {
                break;
            }
        }
        times.push(began.elapsed().as_secs_f64());
    }
    times
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    match head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
    {
        Some(length) => bytes.len() >= end + 4 + length.trim().parse::<usize>().unwrap_or(0),
        None => bytes.ends_with(b"0\r\n\r\n"),
    }
}

fn node_exporter(report: &mut Report, count: usize) {
    const NAME: &str = "node_exporter";
    let program = "prometheus-node-exporter";
    if !peer::available(program, program) {
        absent(report, NAME, program);
        return;
    }
    let port = ports::free();
    let mut process = Program::foreign(program, NAME)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .start();
    process.wait_for_line("Listening on");
    ask(port, "/metrics", 3);
    let family = Family::of_process(process.pid());
    let before = family.cpu();
    let times = ask(port, "/metrics", RUNS);
    let cpu = (family.cpu() - before) / RUNS as f64;
    let note = "one scrape of a running daemon; no processes, no users, no plugins";
    let work = format!("one-shot collection, {count} processes");
    add(report, &work, NAME, median(times) * 1e3, "ms wall", note);
    add(report, &work, NAME, cpu * 1e3, "ms CPU", note);
    let daemon = format!("daemon, {count} processes");
    add(report, &daemon, NAME, cpu * 1e3, "ms CPU", note);
    add(
        report,
        &daemon,
        NAME,
        cpu / 30.0 * 100.0,
        "% CPU",
        "one scrape every 30 s",
    );
    add(report, &daemon, NAME, family.memory(), "MiB", "resident");
    pull(report, NAME, &process, port, "/metrics", REQUESTS / 10);
}

fn zabbix(report: &mut Report, count: usize) {
    const NAME: &str = "zabbix-agent2";
    if !peer::available("zabbix_agent2", NAME) {
        absent(report, NAME, NAME);
        return;
    }
    let site = Site::new("zabbix");
    let port = ports::free();
    let directory = site.directory().display();
    let config = format!(
        "LogType=console\nServer=127.0.0.1\nListenPort={port}\nListenIP=127.0.0.1\nHostname=x\n\
         PidFile={directory}/pid\nControlSocket={directory}/control\nPluginSocket={directory}/plugin\n"
    );
    let config = site.write("zabbix.conf", config);
    zabbix_one_shot(report, NAME, &config.display().to_string(), count);
    let mut process = Program::foreign("/usr/sbin/zabbix_agent2", NAME)
        .arg("-f")
        .arg("-c")
        .arg(&config)
        .start();
    process.wait_for_line("hostname: [");
    thread::sleep(Duration::from_secs(3));
    let family = Family::of_process(process.pid());
    let before = family.cpu();
    thread::sleep(WATCHED);
    let each = (family.cpu() - before) / WATCHED.as_secs_f64();
    let work = format!("daemon, {count} processes");
    let note = "collects processors and disks each second, asked for nothing";
    add(report, &work, NAME, each * 1e3, "ms CPU", note);
    add(report, &work, NAME, each * 100.0, "% CPU", note);
    add(report, &work, NAME, family.memory(), "MiB", "resident");
}

/// What it can do at once: show all items that it knows, with one example of
/// each, or ask for a single one.
fn zabbix_one_shot(report: &mut Report, name: &str, config: &str, count: usize) {
    const ITEM: &str = "vm.memory.size[available]";
    let program = Path::new("/usr/sbin/zabbix_agent2");
    for (work, args, runs, note) in [
        (
            format!("one-shot collection, {count} processes"),
            vec!["-c", config, "-p"],
            3,
            "-p: an example of each item, no list of processes; it asks the network and waits for that",
        ),
        (
            "one-shot, a single item".to_owned(),
            vec!["-c", config, "-t", ITEM],
            5,
            "-t: nothing but the memory that is available",
        ),
    ] {
        let costs: Vec<_> = (0..runs).map(|_| run(program, &args, None)).collect();
        let walls = costs.iter().map(|cost| cost.wall * 1e3).collect();
        let memories = costs.iter().map(|cost| cost.memory).collect();
        let command = format!("{} '{}'", program.display(), args.join("' '"));
        let cpu = cpu_of_runs(&command, runs);
        let work = work.as_str();
        add(report, work, name, median(walls), "ms wall", note);
        add(report, work, name, cpu * 1e3, "ms CPU", note);
        add(report, work, name, median(memories), "MiB peak", "");
    }
}

fn absent(report: &mut Report, program: &str, package: &str) {
    report.add(Row {
        work: "all".to_owned(),
        program: program.to_owned(),
        version: String::new(),
        figure: None,
        unit: "-",
        better: Better::Lower,
        note: format!("not installed (Debian package {package})"),
    });
}

/// Reads everything that a collection must read, and looks at none of it.
fn floor(report: &mut Report, count: usize) {
    let mut walls = Vec::new();
    let mut cpus = Vec::new();
    for _ in 0..RUNS {
        let (began, cpu) = (Instant::now(), own_cpu());
        let mut buffer = Vec::with_capacity(64 << 10);
        for path in [
            "stat",
            "meminfo",
            "vmstat",
            "loadavg",
            "uptime",
            "diskstats",
            "net/dev",
            "1/mountinfo",
        ] {
            read(&Path::new("/proc").join(path), &mut buffer);
        }
        for entry in fs::read_dir("/proc").expect("Linux has it").flatten() {
            if entry.file_name().as_encoded_bytes()[0].is_ascii_digit() {
                let path = entry.path();
                read(&path.join("stat"), &mut buffer);
                read(&path.join("cmdline"), &mut buffer);
            }
        }
        walls.push(began.elapsed().as_secs_f64() * 1e3);
        cpus.push((own_cpu() - cpu) * 1e3);
    }
    let note = "a loop that reads the same files, and no more";
    let work = format!("one-shot collection, {count} processes");
    add(report, &work, LIMIT, median(walls), "ms wall", note);
    add(report, &work, LIMIT, median(cpus.clone()), "ms CPU", note);
    let work = format!("daemon, {count} processes");
    add(report, &work, LIMIT, median(cpus), "ms CPU", note);
}

fn read(path: &Path, buffer: &mut Vec<u8>) {
    buffer.clear();
    if let Ok(mut file) = fs::File::open(path) {
        let _ = file.read_to_end(buffer);
    }
}

/// Of this thread, in seconds.
fn own_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// What a new connection with TLS costs the agent that has a key of P-256.
fn handshakes(report: &mut Report) {
    const CONNECTIONS: usize = 300;
    let site = Site::new("tls");
    let (key, certificate) = (site.path("key.pem"), site.path("certificate.pem"));
    Program::foreign("openssl", "openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=x", "-days", "30", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .run()
        .success();
    let agent = Agent::start(&format!(
        "tls-security-level = modern\ncertfile = {}\nkeyfile = {}\n",
        certificate.display(),
        key.display()
    ));
    let client = tls::Client::new(None);
    let talk = || {
        let mut stream = client.open(agent.port).expect("TLS");
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let mut answer = Vec::new();
        // It may end without saying so in TLS.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "no answer");
    };
    talk();
    let family = Family::of_process(agent.process.pid());
    let cpu = family.cpu();
    (0..CONNECTIONS).for_each(|_| talk());
    let each = (family.cpu() - cpu) / CONNECTIONS as f64;
    let note = "TLS 1.3, P-256, one request, no session is resumed";
    add(
        report,
        "new connection with TLS",
        OURS,
        each * 1e3,
        "ms CPU",
        note,
    );
}

fn add(
    report: &mut Report,
    work: &str,
    program: &str,
    figure: f64,
    unit: &'static str,
    note: &str,
) {
    report.add(Row {
        work: work.to_owned(),
        program: program.to_owned(),
        version: String::new(),
        figure: Some(figure),
        unit,
        better: if unit == "req/s" {
            Better::Higher
        } else {
            Better::Lower
        },
        note: note.to_owned(),
    });
}
