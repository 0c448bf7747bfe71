//! The centre comes back after an hour. Eighty sites, each a notifyd of its own,
//! have a backlog of that hour for it, and the mail server takes its time. How long
//! it is until the newest notification of each site is out, and all of the rest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Authority, Program, Running, Site, ports};

use crate::disk::Disk;
use crate::report::{Better, LIMIT, OURS, Report, Row, median};

use super::mail::{lane, start};
use super::sink::Sink;

const SITES: usize = 80;
/// What waits at each of them.
const BACKLOG: usize = 250;
/// What a mail takes the server; as many at once as the lane has places.
const PAUSE: Duration = Duration::from_millis(20);
const PLACES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(900);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn measure(report: &mut Report, _: &Disk) {
    // Eighty spools share the disk of the machine: they have 8 MiB in reserve each.
    let directory = tempfile::Builder::new()
        .prefix("sw-bench-")
        .tempdir_in("/var/tmp")
        .expect("cannot make a directory in /var/tmp");
    let (newest, all) = measure_in(directory.path());
    let in_order = PAUSE.as_secs_f64() * (SITES * (BACKLOG + 1)) as f64 / PLACES as f64;
    let mut add = |work: &str, program: &str, figure, note: &str| {
        report.add(Row {
            work: work.into(),
            program: program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            figure: Some(figure),
            unit: "s",
            better: Better::Lower,
            note: note.into(),
        });
    };
    let server = format!("a server that takes {PLACES} mails in {PAUSE:?}");
    let work = "80 sites after an outage: newest";
    let last = newest.iter().copied().fold(0.0, f64::max);
    let note = format!(
        "from the centre's start, links hurried, until the last of {SITES} is out, one of each site, \
         {:.2} in the middle; each came behind {BACKLOG} older ones; {server}",
        median(newest)
    );
    add(work, OURS, last, &note);
    add(work, LIMIT, in_order, "what it takes in order of arrival");
    let work = "80 sites after an outage: all";
    add(work, OURS, all, &server);
    add(work, LIMIT, in_order, "the mail server alone");
}

/// Seconds until the newest of each site is out, and until all is.
fn measure_in(directory: &Path) -> (Vec<f64>, f64) {
    let sink = Sink::start(PAUSE);
    let names: Vec<String> = (0..SITES).map(|n| format!("site{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("central");
    let (authority, port) = (Authority::new(&all), ports::free());
    let central = central(directory, &authority, &names, port, &sink);
    let remotes: Vec<Remote> = names
        .iter()
        .enumerate()
        .map(|(n, name)| Remote::new(directory, &authority, name, n, port))
        .collect();
    let mut running: Vec<Running> = remotes.iter().map(Remote::start).collect();
    let newest: Vec<String> = remotes.iter().map(Remote::submit_newest).collect();
    running.push(start(&central));
    let began = Instant::now();
    // As somebody does who does not want to wait for the next attempt to connect.
    std::thread::scope(|scope| {
        for remote in &remotes {
            scope.spawn(|| remote.hurry());
        }
    });
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(began.elapsed() < PATIENCE, "in vain: {}", sink.count());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(&|| newest.iter().all(|id| sink.taken(id).is_some()));
    let taken = newest.iter().filter_map(|id| sink.taken(id));
    let newest = taken.map(|at| (at - began).as_secs_f64()).collect();
    wait(&|| sink.count() >= SITES * (BACKLOG + 1));
    (newest, began.elapsed().as_secs_f64())
}

fn configure(site: &Site, spool: &Path, authority: &Authority, rest: &str) {
    let name = site.name();
    site.write(
        "etc/notifyd.toml",
        format!(
            "[site]\nname = \"{name}\"\n[spool]\ndirectory = \"{}\"\n[state]\nfile = \"{}\"\n{}{rest}",
            spool.display(),
            site.path("var/state").display(),
            authority.tls_table(name)
        ),
    );
}

fn central(
    directory: &Path,
    authority: &Authority,
    names: &[String],
    port: u16,
    sink: &Sink,
) -> Site {
    let site = Site::new("central");
    let mut rest = format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n");
    for name in names {
        let _ = writeln!(rest, "[[peer]]\nsite = \"{name}\"");
    }
    let _ = writeln!(rest, "{}places = {PLACES}", lane(sink));
    configure(&site, &directory.join("central"), authority, &rest);
    site
}

/// A remote site and what waits there.
struct Remote {
    site: Site,
    spool: PathBuf,
    number: usize,
}

impl Remote {
    fn new(directory: &Path, authority: &Authority, name: &str, number: usize, port: u16) -> Self {
        let remote = Self {
            site: Site::new(name),
            spool: directory.join(name),
            number,
        };
        let rest =
            format!("[[peer]]\nsite = \"central\"\nconnect = \"127.0.0.1:{port}\"\nsend = true\n");
        configure(&remote.site, &remote.spool, authority, &rest);
        remote.drop_backlog();
        remote
    }

    fn id(&self, n: usize) -> String {
        format!("0199d3a8-{:04x}-7000-8000-{n:012x}", self.number)
    }

    /// What happened in the last hour.
    fn drop_backlog(&self) {
        for part in ["new", "tmp"] {
            std::fs::create_dir_all(self.spool.join(part)).expect("cannot make a directory");
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.expect("after 1970");
        for n in 0..BACKLOG {
            let age = HOUR * (BACKLOG - n) as u32 / BACKLOG as u32;
            let (id, name, created) = (self.id(n), self.site.name(), (now - age).as_micros());
            let body = format!(
                "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":{created},\"site\":\"{name}\",\"path\":[],\
                 \"context\":{{\"NOTIFICATIONTYPE\":\"PROBLEM\",\"HOSTNAME\":\"{name}-h{}\",\"SERVICEDESC\":\"Disk {}\",\
                 \"SERVICESTATE\":\"WARNING\",\"SERVICEOUTPUT\":\"{}\"}}}}",
                n % 50,
                n / 50,
                "x".repeat(1200)
            );
            std::fs::write(self.spool.join("new").join(&id), body).expect("cannot write");
        }
    }

    /// Ready, with its backlog taken in.
    fn start(&self) -> Running {
        let running = start(&self.site);
        let began = Instant::now();
        let new = self.spool.join("new");
        while std::fs::read_dir(&new)
            .expect("it is there")
            .next()
            .is_some()
        {
            assert!(began.elapsed() < PATIENCE, "nothing is taken in");
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }

    fn submit_newest(&self) -> String {
        let id = self.id(0xffff);
        Program::new("notify")
            .args([
                "--quiet",
                "--site",
                self.site.name(),
                "--id",
                &id,
                "--spool",
            ])
            .arg(&self.spool)
            .args(["NOTIFICATIONTYPE=PROBLEM", "SERVICESTATE=CRITICAL"])
            .args(["HOSTNAME=newest", "SERVICEDESC=Disk /"])
            .run()
            .success();
        id
    }

    fn hurry(&self) {
        Program::new("notifyctl")
            .arg("-c")
            .arg(self.site.path("etc/notifyd.toml"))
            .arg("flush")
            .run()
            .success();
    }
}
