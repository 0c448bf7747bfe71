//! Notifications from one site to the journal of another, acknowledged, over TLS:
//! from the drop directory and through the spool's socket; against what the disk
//! can do in the same minute.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Authority, Program, Running, Site, ports};
use serde_json::Value;

use crate::disk::{Disk, appends_per_second};
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

const ROUNDS: usize = 3;
const NOTIFICATIONS: u32 = 30_000;
/// Of the body.
const SIZE: usize = 2048;
/// How many submissions of a connection are on their way at a time.
const IN_FLIGHT: usize = 32;

pub(crate) fn measure(report: &mut Report) {
    let disk = Disk::new(3072);
    let (mut grouped, mut single) = (Vec::new(), Vec::new());
    let mut ours = WAYS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        let directory = disk.path().join(round.to_string());
        std::fs::create_dir(&directory).expect("cannot make a directory");
        grouped.push(appends_per_second(&directory, 1000, 50));
        single.push(appends_per_second(&directory, 1, 300));
        for (way, figures) in WAYS.iter().zip(&mut ours) {
            let directory = directory.join("spools");
            std::fs::create_dir(&directory).expect("cannot make a directory");
            figures.push(way.measure(&directory));
            std::fs::remove_dir_all(&directory).expect("own directory");
        }
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
    let kind = &disk.kind;
    let note = format!("median of {ROUNDS}, {kind}");
    let mut add = |program: &str, figure: Option<f64>, note: String| {
        report.add(Row {
            work: "notifications, spool to spool".into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure,
            unit: "1/s",
            better: Better::Higher,
            note,
        });
    };
    for (way, figures) in WAYS.iter().zip(ours) {
        let best = figures.iter().copied().fold(0.0, f64::max);
        let (count, words) = (way.count(), way.words());
        let note = format!(
            "{count} of 2 KiB {words} to the peer's journal, acknowledged, TLS; best {best:.0}; {note}"
        );
        add(OURS, Some(median(figures)), note);
    }
    add(
        LIMIT,
        Some(median(grouped) / 2.0),
        format!("two logs on one disk, each 1,000 × 2 KiB per fdatasync; {note}"),
    );
    add(
        LIMIT,
        Some(median(single)),
        format!("one log, one 2 KiB append per fdatasync; {note}"),
    );
    for peer in ["rsyslog", "nats-server", "postfix", "redis-server"] {
        let reason = match harness::peer::find(peer) {
            Some(_) => "installed, but there is no comparison with it yet",
            None => "not installed, and there is no comparison with it yet",
        };
        add(peer, None, reason.into());
    }
}

/// How notifications come into the spool.
#[derive(Clone, Copy)]
enum Way {
    /// All of them lie in `new/` when the sending daemon starts.
    DropBox,
    /// Through the socket, over so many connections.
    Socket(u32),
}

const WAYS: [Way; 3] = [Way::DropBox, Way::Socket(1), Way::Socket(32)];

impl Way {
    fn count(self) -> u32 {
        match self {
            Self::DropBox => NOTIFICATIONS,
            Self::Socket(_) => 2 * NOTIFICATIONS,
        }
    }

    fn words(self) -> String {
        match self {
            Self::DropBox => "from new/".to_owned(),
            Self::Socket(connections) => {
                format!("through the socket, {connections} connections × {IN_FLIGHT} in flight,")
            }
        }
    }

    /// Notifications a second until the sender knows that the peer has stored
    /// the last.
    fn measure(self, directory: &Path) -> f64 {
        let pair = Pair::new(directory);
        let mut receiver = start(&pair.central);
        receiver.wait_for_line("listening on");
        match self {
            Self::DropBox => {
                fill(&pair.spool);
                let began = Instant::now();
                let _sender = start(&pair.remote);
                pair.wait_for_all(self.count());
                f64::from(self.count()) / began.elapsed().as_secs_f64()
            }
            Self::Socket(connections) => {
                let _sender = start(&pair.remote);
                pair.wait_for_link();
                let began = Instant::now();
                let each = self.count() / connections;
                std::thread::scope(|scope| {
                    for connection in 0..connections {
                        let spool = &pair.spool;
                        scope.spawn(move || submit(spool, connection, each));
                    }
                });
                pair.wait_for_all(each * connections);
                f64::from(each * connections) / began.elapsed().as_secs_f64()
            }
        }
    }
}

/// Two sites that are configured for each other.
struct Pair {
    remote: Site,
    central: Site,
    /// The remote site's.
    spool: PathBuf,
    _authority: Authority,
}

impl Pair {
    fn new(directory: &Path) -> Self {
        let authority = Authority::new(&["remote1", "central"]);
        let port = ports::free();
        let (remote, central) = (Site::new("remote1"), Site::new("central"));
        let configure = |site: &Site, peer: &str| {
            let spool = directory.join(site.name());
            std::fs::create_dir(&spool).expect("cannot make a directory");
            site.write(
                "etc/notifyd.toml",
                format!(
                    "[site]\nname = \"{}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\ninterval = \"100ms\"\n{}{peer}",
                    site.name(),
                    spool.display(),
                    site.path("var/state").display(),
                    authority.tls_table(site.name()),
                ),
            );
            spool
        };
        configure(
            &central,
            &format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n[[peer]]\nsite = \"remote1\"\n"),
        );
        let spool = configure(
            &remote,
            &format!("[[peer]]\nsite = \"central\"\nconnect = \"127.0.0.1:{port}\"\nsend = true\n"),
        );
        Self {
            remote,
            central,
            spool,
            _authority: authority,
        }
    }

    /// Until everything has been accepted on both sides, and the sender knows.
    fn wait_for_all(&self, count: u32) {
        self.wait(|sent, received| {
            let all = |value: &Value| value.as_u64() == Some(count.into());
            let forward = &sent["forwards"][0];
            all(&sent["accepted"])
                && all(&received["accepted"])
                && forward["waiting"] == 0
                && forward["processing"] == 0
        });
    }

    fn wait_for_link(&self) {
        self.wait(|sent, _| sent["peers"][0]["state"] == "established");
    }

    fn wait(&self, done: impl Fn(&Value, &Value) -> bool) {
        let began = Instant::now();
        loop {
            let (sent, received) = (state(&self.remote), state(&self.central));
            if done(&sent, &received) {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "after 300 s: {sent} {received}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Submits through the socket, with so many on their way at a time, and waits
/// for every answer.
fn submit(spool: &Path, connection: u32, count: u32) {
    let mut stream = UnixStream::connect(spool.join("socket")).expect("no socket");
    let mut answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
    let mut line = String::new();
    let mut take = || {
        line.clear();
        answers.read_line(&mut line).expect("an answer");
        assert!(line.starts_with("stored "), "{line}");
    };
    let mut request = String::new();
    for number in 0..count {
        if number as usize >= IN_FLIGHT {
            take();
        }
        let (_, body) = notification(u64::from(connection) << 32 | u64::from(number));
        let crc = crc32c::crc32c(body.as_bytes());
        request.clear();
        request.push_str(&format!("submit {number} {} {crc:08x}\n{body}", body.len()));
        stream.write_all(request.as_bytes()).expect("cannot submit");
    }
    for _ in 0..count.min(IN_FLIGHT as u32) {
        take();
    }
}

fn start(site: &Site) -> Running {
    Program::new("notifyd")
        .label(&format!("notifyd {}", site.name()))
        .arg("--config")
        .arg(site.path("etc/notifyd.toml"))
        .start()
}

fn state(site: &Site) -> Value {
    let text = std::fs::read(site.path("var/state.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What any script could do: whole files in `tmp/`, renamed into `new/`; one
/// sync for all of them, because filling is not what is measured.
fn fill(spool: &Path) {
    let (tmp, new) = (spool.join("tmp"), spool.join("new"));
    for directory in [&tmp, &new] {
        std::fs::create_dir(directory).expect("cannot make a directory");
    }
    for number in 0..NOTIFICATIONS {
        let (id, body) = notification(number.into());
        std::fs::write(tmp.join(&id), body).expect("cannot write");
        std::fs::rename(tmp.join(&id), new.join(&id)).expect("cannot rename");
    }
    rustix::fs::sync();
}

/// The id and the body of one notification.
fn notification(number: u64) -> (String, String) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let (ms, us) = (now.as_millis(), now.as_micros());
    let id = format!(
        "{:08x}-{:04x}-7000-8000-{number:012x}",
        ms >> 16,
        ms & 0xffff
    );
    let head = format!(
        "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":{us},\"site\":\"remote1\",\"path\":[],\
         \"context\":{{\"WHAT\":\"SERVICE\",\"HOSTNAME\":\"db1\",\"SERVICEDESC\":\"Disk /\",\"SERVICEOUTPUT\":\""
    );
    let fill = "x".repeat(SIZE.saturating_sub(head.len() + 3));
    (id, format!("{head}{fill}\"}}}}"))
}
