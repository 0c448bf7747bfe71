//! Starts the real program in a directory of its own and talks to its sockets.

// Not every test file needs all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bstr::{BStr, BString};
use livestatus::dump::DumpWriter;
use nagios::shadow::Printer;
use objects::{
    DumpBegin, DumpContent, DumpMode, Host, HostState, Service, ServiceState, ShadowState, SiteId,
    UnixTime,
};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A directory with a configuration, and perhaps a running daemon.
pub(crate) struct Daemon {
    pub(crate) dir: tempfile::TempDir,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// A directory with these sites, without configuration yet.
    pub(crate) fn new(sites: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for site in sites {
            std::fs::create_dir_all(dir.path().join("shadow").join(site)).unwrap();
        }
        let daemon = Self {
            dir,
            child: None,
            log: Arc::default(),
        };
        daemon.settings("");
        daemon
    }

    /// Writes livestatusd.toml with additional lines.
    pub(crate) fn settings(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "socket = '{dir}/live'\nsite_sockets = '{dir}/live.d'\ningest_sockets = '{dir}/ingest.d'\n\
             configuration = '{dir}/shadow'\nsnapshot = '{dir}/snapshot'\n{more}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("livestatusd.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the shadow configuration of a site, as a file that appears whole.
    pub(crate) fn configure(&self, site: &str, hosts: &[(&str, Host)]) {
        self.write_file(site, "shadow.mk", &configuration(site, hosts));
    }

    pub(crate) fn write_file(&self, site: &str, name: &str, bytes: &[u8]) {
        let directory = self.path("shadow").join(site);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), bytes).unwrap();
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.launch(Command::new(env!("CARGO_BIN_EXE_livestatusd")));
    }

    /// As [`Self::start`], with no more than so many files open at once.
    pub(crate) fn start_with_descriptors(&mut self, limit: u32) {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_livestatusd")]);
        self.launch(shell);
    }

    fn launch(&mut self, mut program: Command) {
        let ready = self.path("notify");
        let _ = std::fs::remove_file(&ready);
        let socket = std::os::unix::net::UnixDatagram::bind(&ready).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut child = program
            .arg("--config")
            .arg(self.config())
            .env("NOTIFY_SOCKET", &ready)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        self.log = Arc::default();
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        self.child = Some(child);
        let began = Instant::now();
        let mut buffer = [0; 100];
        loop {
            if let Ok(length) = socket.recv(&mut buffer)
                && buffer[..length].starts_with(b"READY=1")
            {
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the daemon ended: {ended:?}\n{}",
                self.log()
            );
            assert!(began.elapsed() < DEADLINE, "not ready:\n{}", self.log());
        }
    }

    pub(crate) fn running(sites: &[(&str, &[(&str, Host)])]) -> Self {
        let mut daemon = Self::new(&[]);
        std::fs::create_dir_all(daemon.path("shadow")).unwrap();
        for (site, hosts) in sites {
            daemon.configure(site, hosts);
        }
        daemon.start();
        daemon
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        std::fs::read_dir(directory).unwrap().count()
    }

    /// A figure of `/proc/PID/status`, such as `VmRSS`, in KiB.
    pub(crate) fn memory(&self, figure: &str) -> usize {
        let file = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(file).unwrap();
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let value = value.unwrap().trim_end_matches("kB").trim();
        value.parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Asks the daemon to end and waits for it.
    pub(crate) fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut child = self.child.take().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if began.elapsed() > DEADLINE {
                let _ = child.kill();
                panic!("the daemon does not end:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for(&format!("the log to say '{text}'"), || {
            self.log().contains(text)
        });
    }

    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(
                began.elapsed() < DEADLINE,
                "waited in vain for {what}; log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends HUP and waits until the configuration has been read.
    pub(crate) fn reload(&self) {
        let before = self.cell("live", "GET status\nColumns: program_start\n");
        // The time has whole seconds, so the log tells when it is done.
        let reads = || self.log().matches("configuration read again").count();
        let count = reads();
        self.signal(Signal::HUP);
        self.wait_for("the configuration to be read again", || reads() > count);
        assert!(self.cell("live", "GET status\nColumns: program_start\n") >= before);
    }

    pub(crate) fn connect(&self, socket: &str) -> UnixStream {
        let path = self.path(socket);
        let stream = UnixStream::connect(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends all of it, half-closes, and returns the whole answer.
    pub(crate) fn ask(&self, socket: &str, request: impl AsRef<[u8]>) -> BString {
        let mut stream = self.connect(socket);
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(request.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        read_to_end(&mut stream)
    }

    /// The answer as text.
    pub(crate) fn text(&self, socket: &str, request: impl AsRef<[u8]>) -> String {
        String::from_utf8(self.ask(socket, request).into()).unwrap()
    }

    /// The one cell of an answer.
    pub(crate) fn cell(&self, socket: &str, request: &str) -> String {
        let answer = self.text(socket, request);
        answer.trim_end_matches('\n').to_owned()
    }

    /// The columns of one site in the table of sites.
    pub(crate) fn site(&self, site: &str, columns: &str) -> String {
        self.cell(
            "live",
            &format!("GET sites\nColumns: {columns}\nFilter: site = {site}\n"),
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        }
    }
}

pub(crate) fn read_to_end(stream: &mut UnixStream) -> BString {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // It closed before it had read everything, which is its right.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!(
            "no end of the answer: {error}; so far {:?}",
            BStr::new(&answer)
        ),
    }
    answer.into()
}

/// The whole answer with this frame.
pub(crate) fn framed(status: u16, body: &str) -> String {
    format!("{status} {:>11}\n{body}", body.len())
}

/// A host with services of these descriptions.
pub(crate) fn host(services: &[&str]) -> Host {
    Host {
        max_check_attempts: 1,
        check_interval: 1.0,
        services: services
            .iter()
            .map(|description| {
                let service = Service {
                    max_check_attempts: 3,
                    check_interval: 2.0,
                    ..Service::default()
                };
                (BString::from(*description), service)
            })
            .collect(),
        ..Host::default()
    }
}

/// The bytes of a configuration dump.
pub(crate) fn configuration(site: &str, hosts: &[(&str, Host)]) -> Vec<u8> {
    let begin = DumpBegin {
        content: DumpContent::Configuration,
        ..begin(site, 1)
    };
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, &begin).unwrap();
    for (name, host) in hosts {
        printer.host((*name).into(), host).unwrap();
    }
    printer.finish().unwrap();
    out
}

pub(crate) fn begin(site: &str, sequence: u64) -> DumpBegin {
    DumpBegin {
        site: SiteId::new(site).unwrap(),
        content: DumpContent::State,
        epoch: 1,
        sequence,
        mode: DumpMode::Full,
        time: UnixTime::from_secs(1_795_217_983),
        config_hash: None,
    }
}

/// One record of a dump: host, service, state, output.
pub(crate) type Line<'a> = (&'a str, Option<&'a str>, u8, &'a str);

/// The bytes of a state dump.
pub(crate) fn dump(begin: &DumpBegin, lines: &[Line<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = DumpWriter::begin(begin, &mut out);
    for (host, service, state, output) in lines {
        match service {
            None => {
                let state = shadow(
                    [HostState::Up, HostState::Down, HostState::Unreachable][usize::from(*state)],
                    output,
                );
                writer.host(host.as_bytes(), &state, &mut out).unwrap();
            }
            Some(service) => {
                use ServiceState::{Crit, Ok as Good, Unknown, Warn};
                let state = shadow([Good, Warn, Crit, Unknown][usize::from(*state)], output);
                writer
                    .service(host.as_bytes(), service.as_bytes(), &state, &mut out)
                    .unwrap();
            }
        }
    }
    writer.end(&mut out);
    out
}

pub(crate) fn shadow<S: Default>(state: S, output: &str) -> ShadowState<S> {
    ShadowState {
        has_been_checked: true,
        state,
        current_attempt: 1,
        // Whole seconds, so that all dumps of the same objects have the same length.
        last_check: UnixTime::from_secs(now().secs()),
        last_state_change: UnixTime::from_secs(1_795_000_000),
        last_hard_state_change: UnixTime::from_secs(1_795_000_001),
        plugin_output: output.into(),
        ..ShadowState::default()
    }
}

pub(crate) fn now() -> UnixTime {
    std::time::SystemTime::now().into()
}

pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
