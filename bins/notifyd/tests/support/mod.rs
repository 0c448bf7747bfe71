//! A site with a notifyd in it, as the tests of this program need it.
#![allow(dead_code)] // each test file uses its part

pub(crate) mod authority;
pub(crate) mod control;
pub(crate) mod peer;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId, UnixTime};

pub(crate) const NOTIFYD: &str = env!("CARGO_BIN_EXE_notifyd");
const DEADLINE: Duration = Duration::from_secs(20);

/// Asks until there is an answer; fails the test after a long while.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut ask: impl FnMut() -> bool) {
    wait_for(what, || ask().then_some(()));
}

/// A directory with a configuration, a spool and whatever lanes need.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    directory: tempfile::TempDir,
}

impl Site {
    /// A site whose configuration goes on with `rest`, in which `@` at the
    /// beginning of a path stands for the site's directory.
    pub(crate) fn new(name: &'static str, rest: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("nd-")
            .tempdir_in("/tmp")
            .unwrap();
        let site = Self { name, directory };
        site.configure(rest);
        site
    }

    pub(crate) fn configure(&self, rest: &str) {
        let at = self.path("").display().to_string();
        let text = format!(
            "stop_timeout = '10s'\n[site]\nname = '{}'\n[spool]\ndirectory = '@spool'\n\
             [state]\nfile = '@notifyd.state'\ninterval = '100ms'\n{rest}",
            self.name
        );
        let text = text
            .replace("'@", &format!("'{at}"))
            .replace("unix:@", &format!("unix:{at}"));
        fs::write(self.path("notifyd.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Makes a script for a lane; `@` stands for the site's directory.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let at = self.path("").display().to_string();
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{}\n", text.replace('@', &at))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(NOTIFYD);
        command.arg("-c").arg(self.path("notifyd.toml"));
        command
    }

    /// Starts notifyd and waits until it has taken the spool.
    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        let mut daemon = Daemon::start(self.name, self.command());
        daemon.wait_for_line("is ready");
        daemon
    }

    /// Drops a notification as `notify` would, without its syncs.
    pub(crate) fn submit(&self, entries: &[(&str, &str)]) -> NotificationId {
        let notification = notification(self.name, entries);
        let body = notification.print().unwrap();
        self.drop_file(&notification.id.to_string(), body.as_bytes());
        notification.id
    }

    pub(crate) fn drop_file(&self, name: &str, content: &[u8]) {
        let (tmp, new) = (self.path("spool/tmp"), self.path("spool/new"));
        fs::write(tmp.join(name), content).unwrap();
        fs::rename(tmp.join(name), new.join(name)).unwrap();
    }

    /// The lines of a file that a script appends to.
    pub(crate) fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The state file's JSON.
    pub(crate) fn state(&self) -> serde_json::Value {
        let text = fs::read(self.path("notifyd.state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Starts it under strace, which lets calls to the disk fail as `how` says and
    /// writes them to `trace`.
    pub(crate) fn start_traced(&self, trace: &Path, how: &str) -> Daemon {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-y", "-s", "0", "-o"])
            .arg(trace);
        command.args(["-e", "trace=fdatasync,fsync,pwrite64"]);
        command.args(["-e", &format!("inject={how}")]);
        command
            .arg(NOTIFYD)
            .arg("-c")
            .arg(self.path("notifyd.toml"));
        Daemon::start(self.name, command)
    }

    /// To the notifyd that runs under strace: strace ends with it, but passes no
    /// signal on.
    #[track_caller]
    pub(crate) fn signal_traced(&self, signal: rustix::process::Signal) {
        let pid = wait_for("a state file", || self.state()["pid"].as_i64());
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Submits, waits for the end, and tells what the journal says: attempts with
    /// their texts, then the end.
    #[track_caller]
    pub(crate) fn outcome(&self, context: &[(&str, &str)]) -> Vec<String> {
        use spool::record::Event;
        let id = self.submit(context);
        wait_until("it has ended", || {
            let history = self.history(id);
            history
                .last()
                .is_some_and(|last| last.starts_with("ended "))
        });
        let events = spool::history::of(&self.path("spool"), id).unwrap();
        let words = events.into_iter().filter_map(|(_, event)| match event {
            Event::Result { verdict, text, .. } => {
                Some(format!("{verdict}: {}", String::from_utf8_lossy(&text)))
            }
            Event::Ended { end, .. } => Some(format!("ended {end}")),
            _ => None,
        });
        words.collect()
    }

    /// All that the journal says about an id, in a few words each.
    pub(crate) fn history(&self, id: NotificationId) -> Vec<String> {
        use spool::record::Event;
        let events = spool::history::of(&self.path("spool"), id).unwrap();
        let words = events.into_iter().map(|(_, event)| match event {
            Event::Accepted {
                from: Some(site), ..
            } => format!("accepted from {site}"),
            Event::Accepted { .. } => "accepted".to_owned(),
            Event::Assigned { targets } => {
                let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
                format!("assigned {}", targets.join(" "))
            }
            Event::Attempt { number, .. } => format!("attempt {number}"),
            Event::Result {
                number, verdict, ..
            } => format!("result {number} {verdict}"),
            Event::Settled { target, end, .. } => format!("{target} {end}"),
            Event::Ended { end, .. } => format!("ended {end}"),
            other => format!("{other:?}"),
        });
        words.collect()
    }
}

pub(crate) fn notification(site: &str, entries: &[(&str, &str)]) -> Notification {
    let created = UnixTime::from(std::time::SystemTime::now());
    let context = entries.iter();
    Notification {
        id: NotificationId::new(created),
        kind: Kind::Raw,
        created,
        expires: None,
        site: SiteId::new(site).unwrap(),
        context: context
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect::<Context>(),
    }
}

/// A running notifyd; killed on drop.
pub(crate) struct Daemon {
    label: &'static str,
    pub(crate) child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    pub(crate) fn start(label: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).split(b'\n');
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.lock().unwrap().push(line);
            }
        });
        Self { label, child, log }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        let label = self.label;
        wait_for(&format!("{label} says {part:?}"), || {
            self.log().into_iter().find(|line| line.contains(part))
        })
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// As a power cut would end it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    pub(crate) fn terminate(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:?}", self.log());
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("notifyd ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.log() {
                eprintln!("{}| {line}", self.label);
            }
        }
    }
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
