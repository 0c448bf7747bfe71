//! Many clients that do nothing, and many that got stuck, beside one that works.

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Daemon, framed, host};
use tls::{Authority, TlsStream};

const SERVICES: usize = 3000;
const SMALL: &str = "GET hosts\nColumns: name\n";

/// Any connection.
trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// The test itself has more files open than most programs.
fn raise_own_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn daemon(settings: &str) -> Daemon {
    let names: Vec<String> = (0..SERVICES).map(|n| format!("service {n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let daemon = Daemon::new(&[]);
    daemon.settings(settings);
    daemon.configure("a", &[("h", host(&names))]);
    daemon
}

/// Ports of a TCP and of a TLS listener.
fn ports(daemon: &Daemon) -> (u16, u16) {
    let port = |scheme: &str| -> u16 {
        let text = format!("listening on {scheme}:");
        daemon.wait_for_log(&text);
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(&text)).unwrap();
        line.rsplit(':').next().unwrap().parse().unwrap()
    };
    (port("tcp"), port("tls"))
}

/// Asks for something small in every way there is; how long the slowest took.
fn is_served(daemon: &Daemon, kept: &mut TlsStream) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        assert_eq!(daemon.text("live", SMALL), "h\n");
        assert_eq!(daemon.text("live.d/a", SMALL), "h\n");
        let query = format!("{SMALL}KeepAlive: on\nResponseHeader: fixed16\n\n");
        let want = framed(200, "h\n");
        kept.write_all(query.as_bytes()).unwrap();
        let mut answer = vec![0; want.len()];
        kept.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), want);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

#[test]
fn a_thousand_idle_and_a_hundred_stuck_clients_do_no_harm() {
    raise_own_limit();
    let authority = Authority::new("ca");
    let mut daemon = daemon(&format!(
        "request_timeout = '600s'\nhandshake_timeout = '600s'\nwrite_timeout = '600s'\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:0'\n{}",
        authority.listen("")
    ));
    daemon.start();
    let (tcp, tls) = ports(&daemon);
    let mut kept = tls::connect(tls, None).unwrap();
    let alone = is_served(&daemon, &mut kept);
    // What threads take once, they keep.
    let (descriptors, anonymous) = (daemon.descriptors(), daemon.memory("RssAnon"));

    let plain = || TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    let mut idle: Vec<Box<dyn Connection>> = Vec::new();
    for _ in 0..400 {
        idle.push(Box::new(daemon.connect("live")));
        idle.push(Box::new(plain()));
    }
    for _ in 0..200 {
        idle.push(Box::new(tls::connect(tls, None).unwrap()));
        idle.push(Box::new(daemon.connect("ingest.d/a")));
    }
    let count = |daemon: &Daemon| -> usize {
        let query = "GET status\nColumns: livestatus_active_connections\n";
        daemon.cell("live", query).parse().unwrap()
    };
    daemon.wait_for("a thousand connections", || count(&daemon) > idle.len());
    let beside_idle = is_served(&daemon, &mut kept);
    let idle_takes = daemon.memory("RssAnon").saturating_sub(anonymous);

    // Each of these answers is larger than what a socket holds.
    let columns = "description ".repeat(200);
    let big = format!("GET services\nColumns: {columns}\nResponseHeader: fixed16\n\n");
    let length = daemon.text("live", &big).len();
    assert!(length > 7_000_000, "{length}");
    let mut stuck: Vec<Box<dyn Connection>> = Vec::new();
    let mut ask = |mut stream: Box<dyn Connection>, bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
        stuck.push(stream);
    };
    for _ in 0..20 {
        ask(Box::new(daemon.connect("live")), big.as_bytes());
        ask(Box::new(plain()), big.as_bytes());
        ask(Box::new(tls::connect(tls, None).unwrap()), big.as_bytes());
        // In the middle of a request, of a dump, and of TLS.
        ask(Box::new(daemon.connect("live")), b"GET hosts\nColumns: na");
        let begin = b"COMMAND [1] SITEWIRE_BEGIN;1;a;st";
        ask(Box::new(daemon.connect("ingest.d/a")), begin);
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        ask(
            Box::new(TcpStream::connect(("127.0.0.1", tls)).unwrap()),
            hello,
        );
    }
    assert!(stuck.len() >= 100);
    // All answers are there, as far as anybody takes them.
    for index in (0..stuck.len()).filter(|index| index % 6 < 3) {
        stuck[index].read_exact(&mut [0; 16]).unwrap();
    }
    let beside_stuck = is_served(&daemon, &mut kept);
    let stuck_take = daemon
        .memory("RssAnon")
        .saturating_sub(anonymous + idle_takes);
    println!(
        "slowest of 50: {alone:?} alone, {beside_idle:?} beside idle, {beside_stuck:?} beside stuck clients; \
         idle clients take {idle_takes} KiB, stuck ones {stuck_take} KiB"
    );
    assert!(idle_takes < 20 * 1024, "{idle_takes} KiB for idle clients");
    // 60 answers would be 450 MB.
    assert!(
        stuck_take < 60 * 1024 * 2,
        "{stuck_take} KiB for stuck clients"
    );

    drop(idle);
    drop(stuck);
    daemon.wait_for("the descriptors to come back", || {
        daemon.descriptors() <= descriptors
    });
    assert_eq!(count(&daemon), 2);
    is_served(&daemon, &mut kept);
}

#[test]
fn who_comes_when_descriptors_run_out_waits_and_nothing_spins() {
    raise_own_limit();
    let mut daemon = daemon("");
    daemon.start_with_descriptors(60);
    daemon.wait_for_log("the system allows 60 open files: too few for 4096 connections");
    let before = daemon.descriptors();
    let mut first = daemon.connect("live");
    let query = format!("{SMALL}KeepAlive: on\nResponseHeader: fixed16\n\n");
    let mut go_on = || {
        let want = framed(200, "h\n");
        first.write_all(query.as_bytes()).unwrap();
        let mut answer = vec![0; want.len()];
        first.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), want);
    };
    go_on();
    let mut many: Vec<UnixStream> = (0..100).map(|_| daemon.connect("live")).collect();
    daemon.wait_for_log("cannot accept a connection: Too many open files");
    go_on();
    let used = processor_time(&daemon);
    std::thread::sleep(Duration::from_secs(1));
    let used = processor_time(&daemon) - used;
    // In hundredths of a second: a loop without pause would use all of it.
    assert!(used < 50, "{used} hundredths of a second");
    go_on();
    // Those who wait are served as others leave, the last of them too.
    let mut last = many.pop().unwrap();
    last.write_all(SMALL.as_bytes()).unwrap();
    last.shutdown(std::net::Shutdown::Write).unwrap();
    drop(many);
    assert_eq!(support::read_to_end(&mut last), "h\n");
    go_on();
    daemon.wait_for("the descriptors to come back", || {
        daemon.descriptors() <= before + 1
    });
    let lines = daemon.log().matches("Too many open files").count();
    assert!(lines <= 20, "{lines} lines");
}

/// What the daemon has used of a processor, in hundredths of a second.
fn processor_time(daemon: &Daemon) -> u64 {
    let file = format!("/proc/{}/stat", daemon.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(file).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<u64> = fields
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    fields[11] + fields[12]
}

#[test]
fn who_fills_the_places_of_tls_keeps_nobody_out() {
    raise_own_limit();
    let authority = Authority::new("ca");
    let mut daemon = daemon(&format!(
        "[[listen]]\naddress = 'tcp:127.0.0.1:0'\n{}",
        authority.listen("")
    ));
    daemon.start();
    let (_, port) = ports(&daemon);
    let before = daemon.descriptors();
    let silent: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    let answer = tls::ask(port, None, SMALL.as_bytes()).unwrap();
    assert_eq!(answer, b"h\n");
    // 256 may be half open, and the rest had to go.
    daemon.wait_for("most of them to be gone", || {
        daemon.descriptors() <= before + 256
    });
    drop(silent);
    daemon.wait_for("the descriptors to come back", || {
        daemon.descriptors() <= before
    });
}
