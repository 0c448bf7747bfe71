//! From the moment at which a core starts its notification command to the moment
//! at which the mail server of the central site has taken the mail: 10 a second,
//! over two sites with TLS. In the same run, in between, what nobody can save: a
//! process, three syncs, and the same mail handed over directly.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::program::built;
use harness::{Authority, Program, Running, Site, ports};

use crate::disk::Disk;
use crate::report::{Better, LIMIT, OURS, Report, Row, quantile};

use super::sink::{Client, Sink};

const COUNT: usize = 600;
const PACE: Duration = Duration::from_millis(100);
/// How long the last mails may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a record, and of a mail, more or less.
const RECORD: usize = 2048;
const MAIL: usize = 6000;

pub(super) fn measure(report: &mut Report, disk: &Disk) {
    let directory = disk.path().join("mail");
    std::fs::create_dir(&directory).expect("cannot make a directory");
    let (ours, floor) = measure_in(&directory);
    std::fs::remove_dir_all(&directory).expect("own directory");
    for (part, name) in [(0.5, "median"), (0.99, "99th percentile")] {
        for (program, figures, note) in [
            (
                OURS,
                &ours,
                "10/s; notify as a core runs it, two notifyd with TLS, SMTP",
            ),
            (
                LIMIT,
                &floor,
                "same run: start of a process, three appends of 2 KiB with fdatasync, SMTP",
            ),
        ] {
            report.add(Row {
                work: format!("hard state to mail taken, {name}"),
                program: program.into(),
                version: env!("CARGO_PKG_VERSION").into(),
                figure: Some(quantile(figures, part)),
                unit: "ms",
                better: Better::Lower,
                note: note.into(),
            });
        }
    }
}

/// Both in milliseconds, sorted.
fn measure_in(directory: &Path) -> (Vec<f64>, Vec<f64>) {
    let sink = Sink::start(Duration::ZERO);
    let sites = Sites::new(directory, &sink);
    let (_central, _remote) = (sites.start("central"), sites.start("remote1"));
    let mut floor = Floor::new(directory, &sink);
    let mut floors = Vec::new();
    let notify = built("notify");
    // The first ones open the connections.
    for n in 0..20 {
        submit(&notify, &sites.spool("remote1"), &id(n));
        std::thread::sleep(PACE);
    }
    let (began, mut started) = (Instant::now(), Vec::new());
    for n in 0..COUNT {
        let due = PACE * n as u32;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let id = id(1000 + n);
        started.push((id.clone(), Instant::now()));
        submit(&notify, &sites.spool("remote1"), &id);
        std::thread::sleep((due + PACE / 2).saturating_sub(began.elapsed()));
        floors.push(floor.one(n));
    }
    let end = Instant::now() + PATIENCE;
    let is_there = || started.iter().all(|(id, _)| sink.taken(id).is_some());
    while !is_there() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut ours = Vec::new();
    for (id, at) in started {
        let taken = sink.taken(&id).expect("every mail has come");
        ours.push((taken - at).as_secs_f64() * 1e3);
    }
    ours.sort_by(f64::total_cmp);
    floors.sort_by(f64::total_cmp);
    (ours, floors)
}

fn id(number: usize) -> String {
    format!("0199d3a8-0000-7000-8000-{number:012x}")
}

/// As a core does it: variables in the environment of a command.
fn submit(notify: &Path, spool: &Path, id: &str) {
    let status = Command::new(notify)
        .args(["--quiet", "--site", "remote1", "--id", id, "--spool"])
        .arg(spool)
        .envs([
            ("NOTIFY_NOTIFICATIONTYPE", "PROBLEM"),
            ("NOTIFY_HOSTNAME", "db1"),
            ("NOTIFY_SERVICEDESC", id),
            ("NOTIFY_SERVICESTATE", "CRITICAL"),
            ("NOTIFY_LASTSERVICESTATE", "OK"),
            ("NOTIFY_SERVICEOUTPUT", "99 % used (!!)"),
            ("NOTIFY_SERVICEPERFDATA", "used=99%;80;90"),
            ("NOTIFY_CONTACTNAME", "ops"),
        ])
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("notify runs").success(), "not accepted");
}

/// What none can do without.
struct Floor {
    files: [File; 3],
    client: Client,
    text: String,
}

impl Floor {
    fn new(directory: &Path, sink: &Sink) -> Self {
        let open = |name| {
            let path = directory.join(name);
            let file = OpenOptions::new().create_new(true).write(true).open(path);
            let file = file.expect("cannot make a file to measure the disk with");
            let zeros = vec![0; RECORD * COUNT];
            file.write_all_at(&zeros, 0).expect("cannot write");
            file.sync_all().expect("cannot sync");
            file
        };
        Self {
            files: ["one", "two", "three"].map(open),
            client: Client::new(sink),
            text: "a line of a mail\r\n".repeat(MAIL / 18),
        }
    }

    /// In milliseconds.
    fn one(&mut self, n: usize) -> f64 {
        let began = Instant::now();
        let status = Command::new("true").stdin(Stdio::null()).status();
        assert!(status.expect("true runs").success());
        let record = vec![b'x'; RECORD];
        for file in &self.files {
            let offset = (n * RECORD) as u64;
            file.write_all_at(&record, offset).expect("cannot write");
            file.sync_data().expect("cannot sync");
        }
        self.client.send(&format!("floor {n}"), &self.text);
        began.elapsed().as_secs_f64() * 1e3
    }
}

/// A remote site and a central one that sends mails.
struct Sites<'a> {
    directory: &'a Path,
    sites: [Site; 2],
    _authority: Authority,
}

impl<'a> Sites<'a> {
    fn new(directory: &'a Path, sink: &Sink) -> Self {
        let authority = Authority::new(&["remote1", "central"]);
        let (sites, port) = (["remote1", "central"].map(Site::new), ports::free());
        let rest = [
            format!("[[peer]]\nsite = \"central\"\nconnect = \"127.0.0.1:{port}\"\nsend = true\n"),
            format!(
                "[[listen]]\naddress = \"127.0.0.1:{port}\"\n[[peer]]\nsite = \"remote1\"\n{}",
                lane(sink)
            ),
        ];
        for (site, rest) in sites.iter().zip(rest) {
            let name = site.name();
            site.write(
                "etc/notifyd.toml",
                format!(
                    "[site]\nname = \"{name}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\n{}{rest}",
                    directory.join(name).display(),
                    site.path("var/state").display(),
                    authority.tls_table(name)
                ),
            );
        }
        Self {
            directory,
            sites,
            _authority: authority,
        }
    }

    fn spool(&self, name: &str) -> std::path::PathBuf {
        self.directory.join(name)
    }

    fn start(&self, name: &str) -> Running {
        let site = self.sites.iter().find(|site| site.name() == name);
        start(site.expect("one of the two"))
    }
}

/// A lane that sends mails to the sink.
pub(super) fn lane(sink: &Sink) -> String {
    format!(
        "[[lane]]\nname = \"mail\"\nsmtp = \"127.0.0.1:{}\"\nencryption = \"none\"\n\
         from = \"monitoring@example.org\"\nto = \"ops@example.org\"\n",
        sink.port
    )
}

/// Starts the notifyd of a site, and waits until it is ready.
pub(super) fn start(site: &Site) -> Running {
    let mut running = Program::new("notifyd")
        .label(&format!("notifyd {}", site.name()))
        .arg("--config")
        .arg(site.path("etc/notifyd.toml"))
        .start();
    running.wait_for_line("is ready");
    running
}
