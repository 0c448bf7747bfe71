//! A daemon with very many peers: a thousand that are linked and have nothing to
//! say, and fifty that are away while notifications for them wait.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::tls::{Client, Stream};
use harness::{Authority, Site, ports};

use crate::disk::Disk;
use crate::measure::Family;
use crate::report::{Better, OURS, Report, Row};

use super::pair::{start, state};
use super::submit::submit_by_many;

const IDLE: usize = 1000;
const AWAY: usize = 50;
const WAITING: u64 = 20_000;
/// How long the idle ones are looked at.
const LOOK: Duration = Duration::from_secs(30);

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let directory = disk.path().join("peers");
    std::fs::create_dir(&directory).expect("cannot make a directory");
    let mut add = |work: &str, figure: f64, unit, note: &str| {
        report.add(Row {
            work: work.into(),
            program: OURS.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note: note.into(),
        });
    };
    let (bare, memory, cpu) = idle(&directory.join("idle"));
    let note = format!("linked by TLS; {bare:.1} MiB without any");
    add("1,000 idle peers: memory", memory, "MiB", &note);
    add(
        "1,000 idle peers: CPU",
        cpu * 100.0,
        "% of one",
        "heartbeats, over 30 s",
    );
    let seconds = away(&directory.join("away"));
    let note = format!("until ready after a kill; {WAITING} notifications, each for {AWAY} peers");
    add("50 peers × 20,000 waiting: start", seconds, "s", &note);
    std::fs::remove_dir_all(&directory).expect("own directory");
}

fn configure(site: &Site, spool: &Path, rest: &str) {
    site.write(
        "etc/notifyd.toml",
        format!(
            "[site]\nname = \"{}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\ninterval = \"500ms\"\n{rest}",
            site.name(),
            spool.display(),
            site.path("var/state").display(),
        ),
    );
}

/// Memory without peers and with them, in MiB, and CPU seconds a second.
fn idle(spool: &Path) -> (f64, f64, f64) {
    let names: Vec<String> = (0..IDLE).map(|number| format!("site{number}")).collect();
    let mut sites: Vec<&str> = names.iter().map(String::as_str).collect();
    sites.push("central");
    let authority = Authority::new(&sites);
    let (central, port) = (Site::new("central"), ports::free());
    let peers: String = names
        .iter()
        .map(|name| format!("[[peer]]\nsite = \"{name}\"\n"))
        .collect();
    let rest = format!(
        "{}[[listen]]\naddress = \"127.0.0.1:{port}\"\n{peers}",
        authority.tls_table("central")
    );
    configure(&central, spool, &rest);
    let mut daemon = start(&central);
    daemon.wait_for_line("is ready");
    let family = Family::of_process(daemon.pid());
    let bare = family.memory();
    let mut links: Vec<Link> = names
        .iter()
        .map(|name| Link::open(&authority, name, port))
        .collect();
    let up = |state: &serde_json::Value| {
        let peers = state["peers"].as_array().into_iter().flatten();
        peers.filter(|peer| peer["state"] == "established").count()
    };
    let file = central.path("var/state");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                links.iter_mut().for_each(Link::answer);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let began = Instant::now();
        while up(&state(&file)) < IDLE {
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "not all are linked"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let cpu = family.cpu();
        std::thread::sleep(LOOK);
        let cpu = (family.cpu() - cpu) / LOOK.as_secs_f64();
        assert_eq!(up(&state(&file)), IDLE, "some links broke");
        ended.store(true, Ordering::Relaxed);
        (bare, family.memory(), cpu)
    })
}

/// A peer that answers heartbeats.
struct Link {
    stream: Stream,
    input: Vec<u8>,
}

impl Link {
    fn open(authority: &Authority, site: &str, port: u16) -> Self {
        let mut client = Client::new(Some(&authority.of(site)));
        client.speak(b"sitewire-notify/1");
        let mut stream = client.open(port).expect("a link");
        let hello = format!(
            "{{\"proto\":[1,1],\"software\":\"bench\",\"version\":\"0\",\"site\":\"{site}\",\"instance\":\"{site}\",\
             \"max_frame\":1048576,\"window_msgs\":256,\"window_bytes\":1048576,\"heartbeat_ms\":10000,\"dead_ms\":30000,\
             \"now_us\":0,\"sends\":true,\"accepts\":true}}"
        );
        let mut bytes = b"SITEWIRE-NOTIFY\n".to_vec();
        bytes.extend(frame(1, &hello));
        bytes.extend(frame(2, "{\"have\":[]}"));
        stream.write_all(&bytes).expect("a link");
        let socket: &TcpStream = &stream.sock;
        socket.set_nonblocking(true).expect("own socket");
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// Answers what came; sends a heartbeat of its own for each of the other's.
    fn answer(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = self.stream.read(&mut bytes) {
            self.input.extend_from_slice(&bytes[..len]);
        }
        if self.input.starts_with(b"SITEWIRE-NOTIFY\n") {
            self.input.drain(..16);
        }
        while let Some(head) = self.input.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes(*head) as usize;
            if self.input.len() < end {
                return;
            }
            if self.input[4] == 5 {
                let ping: serde_json::Value =
                    serde_json::from_slice(&self.input[5..end]).unwrap_or_default();
                let pong = format!(
                    "{{\"n\":{},\"disk\":\"ok\",\"queued\":0,\"oldest_us\":0}}",
                    ping["n"]
                );
                let _ = self.stream.write_all(&frame(6, &pong));
            }
            self.input.drain(..end);
        }
    }
}

fn frame(kind: u8, payload: &str) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

/// Seconds until a daemon is ready for whose peers so much waits.
fn away(spool: &Path) -> f64 {
    let site = Site::new("central");
    let authority = Authority::new(&["central"]);
    let nobody = ports::free();
    let peers: String = (0..AWAY)
        .map(|number| {
            format!(
                "[[peer]]\nsite = \"site{number}\"\nconnect = \"127.0.0.1:{nobody}\"\nsend = true\n"
            )
        })
        .collect();
    configure(
        &site,
        spool,
        &format!("{}{peers}", authority.tls_table("central")),
    );
    let mut daemon = start(&site);
    daemon.wait_for_line("is ready");
    submit_by_many(spool, 4, WAITING, 256);
    daemon.kill();
    let began = Instant::now();
    let mut daemon = start(&site);
    daemon.wait_for_line("is ready");
    began.elapsed().as_secs_f64()
}
