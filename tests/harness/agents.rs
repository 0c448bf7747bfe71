//! Monitoring agents: a server that has many addresses on loopback, and answers
//! at each of them with another document, or in other ways.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How an agent answers.
#[derive(Debug, Clone)]
pub enum Manner {
    /// With this, under a head that fits.
    Document(String),
    /// With exactly these bytes, and closes.
    Bytes(Vec<u8>),
    /// Not at all, and keeps the connection.
    Hang,
    /// One byte a second, for ever.
    Drip,
}

type Manners = dyn Fn(usize, &str) -> Manner + Send + Sync;

/// The server.
pub struct Agents {
    port: u16,
    asked: Arc<Mutex<BTreeMap<usize, Vec<SystemTime>>>>,
    stop: Arc<AtomicBool>,
}

impl Agents {
    /// Starts it. `manner` says how an agent answers to a request, of which it
    /// is given the head.
    pub fn start(manner: impl Fn(usize, &str) -> Manner + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(BTreeMap::<usize, Vec<SystemTime>>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let manner: Arc<Manners> = Arc::new(manner);
        let (seen, ends) = (Arc::clone(&asked), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = number(&stream);
                let now = SystemTime::now();
                let mut seen = seen.lock().expect("nobody panics with it");
                seen.entry(number).or_default().push(now);
                drop(seen);
                let (manner, ends) = (Arc::clone(&manner), Arc::clone(&ends));
                let thread = std::thread::Builder::new().stack_size(128 << 10);
                thread
                    .spawn(move || answer(stream, number, &*manner, &ends))
                    .expect("a thread");
            }
        });
        Self { port, asked, stop }
    }

    /// The port of all of them.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where an agent is.
    pub fn address(number: usize) -> Ipv4Addr {
        let number = u16::try_from(number + 1).expect("few enough").to_be_bytes();
        Ipv4Addr::new(127, 1, number[0], number[1])
    }

    /// When connections to an agent came.
    pub fn asked(&self, number: usize) -> Vec<SystemTime> {
        let asked = self.asked.lock().expect("nobody panics with it");
        asked.get(&number).cloned().unwrap_or_default()
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn number(stream: &TcpStream) -> usize {
    match stream.local_addr() {
        Ok(SocketAddr::V4(address)) => {
            let octets = address.ip().octets();
            (usize::from(octets[2]) * 256 + usize::from(octets[3])).saturating_sub(1)
        }
        _ => 0,
    }
}

fn answer(mut stream: TcpStream, number: usize, manner: &Manners, ends: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Some(head) = read_head(&mut stream) else {
        return;
    };
    match manner(number, &head) {
        Manner::Bytes(bytes) => {
            let _ = stream.write_all(&bytes);
        }
        Manner::Document(text) => {
            let _ = stream.write_all(&answer_with("200 OK", &text));
        }
        Manner::Hang => {
            let _ = stream.set_read_timeout(None);
            let _ = stream.read(&mut [0]);
        }
        Manner::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while !ends.load(Ordering::Relaxed) && stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// An answer over HTTP.
pub fn answer_with(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        if head.first() == Some(&0x16) {
            // TLS, which is not spoken here.
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
            return None;
        }
        match stream.read(&mut piece) {
            Ok(len @ 1..) if head.len() < 1 << 20 => head.extend_from_slice(&piece[..len]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// A document made so many seconds ago, of a machine that differs from others in
/// its memory.
pub fn document(number: usize, age: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let made = now.expect("after 1970").as_secs() - age;
    let used = number % 100;
    let bytes = used * 10_000;
    format!(
        r#"{{"agent": {{"last_updated_timestamp": {made}, "check_interval": 30, "system_uptime": 7200,
            "agent_version": "3.6.1", "system": "debian", "mac_version": "13", "goos": "linux"}},
          "cpu": {{"cpu_total_percentage": 7.5, "cpu_percentage": [5, 10]}},
          "memory": {{"total": 1000000, "available": 500000, "percent": {used}, "used": {bytes}}},
          "swap": {{"total": 0, "percent": 0}},
          "system_load": {{"0": 0.1, "1": 0.2, "2": 0.3}},
          "disks": [{{"disk": {{"device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4"}},
                     "usage": {{"total": 1000, "used": 400, "free": 600, "percent": 40}}}}],
          "net_stats": {{"eth0": {{"isup": true, "speed": 1000, "mtu": 1500}}}},
          "net_io": {{"eth0": {{"name": "eth0", "avg_bytes_sent_ps": 100, "avg_bytes_recv_ps": 200}}}},
          "processes": [{{"pid": 1, "cmdline": "/sbin/init", "exec": "/sbin/init", "name": "init"}}],
          "systemd_services": [{{"Name": "cron.service", "ActiveState": "active", "SubState": "running"}}],
          "customchecks": {{"raid": {{"stdout": "OK: agent {number} | n={number}\n", "rc": 0,
                            "execution_unix_timestamp_sec": {made}}}}}}}"#
    )
}
