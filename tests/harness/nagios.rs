//! A real Nagios 4, run as an ordinary user in a temporary directory.
//!
//! Never as root: a core that may do everything removes what its configuration
//! names, whatever that is.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Outcome, Program, Running, Site, peer, wait_until};

/// A Nagios with its directories, running or not.
pub struct Nagios {
    site: Site,
    process: Option<Running>,
    files: AtomicU32,
}

/// What is known of an object: the directives of a block, values as they stand
/// in the file.
pub type Block = BTreeMap<String, String>;

/// Names an object: the host, and the service unless it is the host itself.
pub type Name = (String, Option<String>);

/// The objects that a centre has of its own, whatever comes from its sites.
const BASE: &str = "\
define command {
    command_name check_dummy
    command_line /bin/true
}
define timeperiod {
    timeperiod_name 24x7
    alias           Always
    monday          00:00-24:00
}
define contact {
    contact_name                  alice
    host_notifications_enabled    0
    service_notifications_enabled 0
    host_notification_commands    check_dummy
    service_notification_commands check_dummy
    host_notification_period      24x7
    service_notification_period   24x7
}
define contactgroup {
    contactgroup_name ops
    members           alice
}
define host {
    host_name              central
    address                127.0.0.1
    check_command          check_dummy
    max_check_attempts     1
    active_checks_enabled  0
    contact_groups         ops
}
define service {
    host_name              central
    service_description    is there
    check_command          check_dummy
    max_check_attempts     1
    active_checks_enabled  0
    contact_groups         ops
}
";

impl Nagios {
    /// Makes the directories and a configuration with one host, `central`, one
    /// contact, `alice`, and one contact group, `ops`. `None` where Nagios is not
    /// installed.
    #[track_caller]
    pub fn new(name: &str) -> Option<Self> {
        if !peer::available("nagios4", "nagios4-core") || !peer::available("setpriv", "util-linux")
        {
            return None;
        }
        let site = Site::new(name);
        let at = site.directory().display();
        let main = format!(
            "log_file={at}/var/nagios.log\n\
             cfg_dir={at}/etc/conf.d\n\
             object_cache_file={at}/var/objects.cache\n\
             precached_object_file={at}/var/objects.precache\n\
             status_file={at}/var/status.dat\n\
             status_update_interval=1\n\
             command_file={at}/tmp/run/nagios.cmd\n\
             check_external_commands=1\n\
             lock_file={at}/tmp/run/nagios.pid\n\
             query_socket={at}/tmp/run/nagios.qh\n\
             temp_file={at}/tmp/nagios.tmp\n\
             temp_path={at}/tmp\n\
             check_result_path={at}/var/checkresults\n\
             check_result_reaper_frequency=1\n\
             state_retention_file={at}/var/retention.dat\n\
             retain_state_information=1\n\
             log_archive_path={at}/var/archives\n\
             use_syslog=0\n\
             log_passive_checks=0\n\
             illegal_object_name_chars=`~!$%^&*|'\"<>?,()=\n\
             check_for_updates=0\n\
             check_for_orphaned_hosts=0\n\
             check_for_orphaned_services=0\n\
             process_performance_data=0\n\
             enable_flap_detection=1\n\
             check_workers=1\n"
        );
        site.write("etc/nagios.cfg", main);
        site.write("etc/conf.d/base.cfg", BASE);
        for directory in ["var/checkresults", "var/archives"] {
            fs::create_dir_all(site.path(directory)).expect("cannot make a directory");
        }
        let nagios = Self {
            site,
            process: None,
            files: AtomicU32::new(0),
        };
        nagios.give();
        Some(nagios)
    }

    /// With those files in its configuration directory, running.
    #[track_caller]
    pub fn start(name: &str, files: &[(&str, &[u8])]) -> Option<Self> {
        let mut nagios = Self::new(name)?;
        for (file, text) in files {
            nagios.configure(file, text);
        }
        nagios.run();
        Some(nagios)
    }

    /// Puts a file into its configuration directory.
    pub fn configure(&self, file: &str, text: impl AsRef<[u8]>) {
        self.site
            .write(PathBuf::from("etc/conf.d").join(file), text);
        self.give();
    }

    /// The directory of all its files.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Its main configuration file.
    pub fn main(&self) -> PathBuf {
        self.site.path("etc/nagios.cfg")
    }

    /// Its configuration directory.
    pub fn conf_d(&self) -> PathBuf {
        self.site.path("etc/conf.d")
    }

    /// Its check result spool.
    pub fn spool(&self) -> PathBuf {
        self.site.path("var/checkresults")
    }

    /// Its command pipe; there while it runs.
    pub fn pipe(&self) -> PathBuf {
        self.site.path("tmp/run/nagios.cmd")
    }

    /// The file of all objects that it writes at its start.
    pub fn object_cache(&self) -> PathBuf {
        self.site.path("var/objects.cache")
    }

    /// The process that leads its process group.
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// What it says of its configuration: `nagios4 -v`.
    #[track_caller]
    pub fn check(&self) -> Outcome {
        self.program().arg("-v").arg(self.main()).run()
    }

    /// Adds lines to its main configuration file.
    pub fn add_to_main(&self, lines: &str) {
        let main = self.site.read("etc/nagios.cfg");
        self.site
            .write("etc/nagios.cfg", [&main, lines.as_bytes()].concat());
    }

    /// Runs it.
    #[track_caller]
    pub fn run(&mut self) {
        self.give();
        let _ = fs::remove_file(self.site.path("var/status.dat"));
        let process = self.program().arg(self.main()).with_family().start();
        self.process = Some(process);
        wait_until("Nagios takes commands and tells states", || {
            let process = self.process.as_mut().expect("started above");
            assert!(process.is_running(), "Nagios has ended");
            self.pipe().exists() && self.site.path("var/status.dat").exists()
        });
    }

    /// Ends it, its objects and states kept in its retention file.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate();
        }
    }

    /// Has it read its configuration again, and waits until it has.
    #[track_caller]
    pub fn reload(&mut self) {
        let _ = fs::remove_file(self.site.path("var/status.dat"));
        self.running().hang_up();
        wait_until("Nagios tells states again", || {
            self.site.path("var/status.dat").exists()
        });
    }

    /// Puts a file of check results into its spool and waits until it has read it.
    #[track_caller]
    pub fn take(&self, results: &[u8]) {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.spool().join(format!("c{number:06}"));
        fs::write(&path, results).expect("cannot write to the spool");
        fs::write(path.with_extension("ok"), "").expect("cannot write to the spool");
        wait_until("Nagios has read the check results", || !path.exists());
    }

    /// Sends external commands through its pipe.
    pub fn command<S: AsRef<str>>(&self, commands: impl IntoIterator<Item = S>) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let mut pipe = fs::OpenOptions::new()
            .write(true)
            .open(self.pipe())
            .expect("cannot open the command pipe");
        for command in commands {
            writeln!(pipe, "[{now}] {}", command.as_ref()).expect("cannot write a command");
        }
    }

    /// What its log says.
    pub fn log(&self) -> String {
        let log = fs::read(self.site.path("var/nagios.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The objects of its object cache, by kind: `host`, `hostgroup`, ...
    pub fn objects(&self, kind: &str) -> Vec<Block> {
        let opening = format!("define {kind} ");
        blocks(&self.object_cache(), &opening, '\t')
    }

    /// The states of all hosts and services but `central`.
    pub fn states(&self) -> BTreeMap<Name, Block> {
        let status = self.site.path("var/status.dat");
        let hosts = blocks(&status, "hoststatus ", '=');
        let services = blocks(&status, "servicestatus ", '=');
        let named = |block: Block| {
            let host = block.get("host_name").cloned().unwrap_or_default();
            ((host, block.get("service_description").cloned()), block)
        };
        let all = hosts.into_iter().chain(services).map(named);
        all.filter(|((host, _), _)| host != "central").collect()
    }

    /// The comments or downtimes of a kind: `hostcomment`, `servicecomment`,
    /// `hostdowntime`, `servicedowntime`.
    pub fn annotations(&self, kind: &str) -> Vec<Block> {
        let status = self.site.path("var/status.dat");
        blocks(&status, &format!("{kind} "), '=')
    }

    /// Waits until the states are what is waited for.
    #[track_caller]
    pub fn wait_for_states(&self, what: &str, is_there: impl Fn(&BTreeMap<Name, Block>) -> bool) {
        wait_until(what, || is_there(&self.states()));
    }

    fn running(&self) -> &Running {
        self.process.as_ref().expect("it was started")
    }

    fn program(&self) -> Program {
        let binary = peer::find("nagios4").expect("looked for in `new`");
        if !peer::is_root() {
            return Program::foreign(binary, "nagios");
        }
        Program::foreign("setpriv", "nagios")
            .args([
                "--reuid=nagios",
                "--regid=nagios",
                "--clear-groups",
                "--inh-caps=-all",
            ])
            .arg(binary)
    }

    /// Its files belong to the user that it runs as.
    fn give(&self) {
        if peer::is_root() {
            peer::give(self.site.directory(), "nagios:");
        }
    }
}

/// Blocks of a file that begin with `opening` and `{`. Nagios replaces such
/// files by renaming, so that what is read is whole.
fn blocks(path: &Path, opening: &str, separator: char) -> Vec<Block> {
    let text = fs::read(path).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in String::from_utf8_lossy(&text).split('\n') {
        let line = line.trim_start();
        match &mut open {
            None if line.strip_prefix(opening) == Some("{") => open = Some(Block::new()),
            None => {}
            Some(_) if line == "}" => blocks.extend(open.take()),
            Some(block) => {
                let (key, value) = line.split_once(separator).unwrap_or((line, ""));
                block.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    blocks
}
