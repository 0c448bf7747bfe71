//! A real Icinga 2 with its Livestatus feature, run as an ordinary user.

use std::path::PathBuf;

use crate::{Program, Running, Site, livestatus, peer, wait};

/// An Icinga 2 that checks nothing by itself. Results come in through
/// [`Icinga2::command`], or from a plugin it is told to run.
pub struct Icinga2 {
    process: Running,
    site: Site,
}

/// What every configuration here begins with.
const HEAD: &str = r#"
include <itl>
library "livestatus"
object IcingaApplication "app" { enable_flapping = true }
object CheckerComponent "checker" { }
// Prints a file and ends with a code, as a plugin that says odd things.
object CheckCommand "says" {
  command = [ "/bin/sh", "-c", "cat \"$$0\"; exit $$1", "$file$", "$code$" ]
}
template Host "quiet" { check_command = "says", enable_active_checks = false }
template Service "quiet" { check_command = "says", enable_active_checks = false }
"#;

impl Icinga2 {
    /// Starts one with `objects` in its configuration, in which `@` stands for
    /// the directory of the site; `None` where Icinga 2 is not installed.
    /// `files` are what its plugin can say.
    #[track_caller]
    pub fn start(name: &str, objects: &str, files: &[(&str, &[u8])]) -> Option<Self> {
        if !peer::available("icinga2", "icinga2") || !peer::available("setpriv", "util-linux") {
            return None;
        }
        let site = Site::new(name);
        let at = site.directory().display().to_string();
        // The tables log and statehist look for files in the archives.
        for directory in ["data", "log/compat/archives", "cache", "spool", "run"] {
            std::fs::create_dir_all(site.path("var").join(directory))
                .expect("cannot make a directory");
        }
        for (file, content) in files {
            site.write(PathBuf::from("etc/says").join(file), content);
        }
        let listener = format!(
            "object LivestatusListener \"live\" {{ socket_type = \"unix\", socket_path = \"{at}/tmp/run/live\" }}\n"
        );
        let configuration = [HEAD, &listener, &objects.replace('@', &at)].concat();
        site.write("etc/icinga2.conf", configuration);

        let binary = peer::find("icinga2").expect("looked for above");
        let program = if peer::is_root() {
            // Never as root: the package's own user.
            peer::give(site.directory(), "nagios:");
            Program::foreign("setpriv", "icinga2")
                .args([
                    "--reuid=nagios",
                    "--regid=nagios",
                    "--init-groups",
                    "--inh-caps=-all",
                ])
                .arg(binary)
        } else {
            Program::foreign(binary, "icinga2")
        };
        let directories = [
            ("ConfigDir", "etc"),
            ("DataDir", "var/data"),
            ("LogDir", "var/log"),
            ("CacheDir", "var/cache"),
            ("SpoolDir", "var/spool"),
            ("InitRunDir", "var/run"),
        ];
        let mut process = program
            .arg("daemon")
            .arg("-c")
            .arg(site.path("etc/icinga2.conf"))
            .args(directories.map(|(constant, directory)| format!("-D{constant}={at}/{directory}")))
            .with_family()
            .start();
        process.wait_for_line("Activated all objects");
        process.wait_for_socket(&site.socket("live"));
        Some(Self { process, site })
    }

    /// The process that leads its process group.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its Livestatus socket.
    pub fn live(&self) -> PathBuf {
        self.site.socket("live")
    }

    /// Sends external commands.
    pub fn command<S: AsRef<str>>(&self, commands: impl IntoIterator<Item = S>) {
        livestatus::command(&self.live(), commands);
    }

    /// Sends external commands as of another time.
    pub fn command_at<S: AsRef<str>>(&self, time: u64, commands: impl IntoIterator<Item = S>) {
        livestatus::command_at(time, &self.live(), commands);
    }

    /// Waits until `count` rows of `table` pass the filters in `headers`.
    #[track_caller]
    pub fn wait_for_rows(&self, table: &str, headers: &[&str], count: usize) {
        wait::wait_until(&format!("{count} {table} with {headers:?}"), || {
            livestatus::rows(&self.live(), table, &["state"], headers).len() == count
        });
    }
}
