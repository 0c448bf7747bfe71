//! Two sites for notifications, of which the remote one belongs to the user that
//! cores run as, so that a real core can be put in front of it; and the ready
//! configurations in `packaging/examples`, as they stand but for paths.

use std::fs;
use std::path::PathBuf;

use harness::program::{built, repository};
use harness::{Program, Running, peer, wait_until};

use crate::notify_sites::{Sites, make_executable, notifyctl};

/// An example as it stands, but for where things are on this machine.
pub(crate) fn example(name: &str, replaced: &[(&str, &str)]) -> String {
    let path = repository().join("packaging/examples").join(name);
    let mut text = fs::read_to_string(&path).expect("an example");
    for (from, to) in replaced {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    text
}

/// Both sites, running.
pub(crate) struct Line {
    pub(crate) sites: Sites,
    /// A copy that the cores' user may run.
    notify: PathBuf,
    _central: Running,
    _remote: Running,
}

impl Line {
    /// Central has what `more` adds to its configuration.
    pub(crate) fn start(more: impl FnOnce(&Sites) -> String) -> Self {
        let sites = Sites::new();
        let mut text = String::from_utf8(sites.central.read("etc/notifyd.toml")).expect("text");
        text += &more(&sites);
        sites.central.write("etc/notifyd.toml", text);
        let central = sites.start_central();

        let remote = &sites.remote;
        for file in ["remote1.crt", "remote1.key", "ca.crt"] {
            let content = sites.central.read(format!("certs/{file}"));
            let path = remote.write(format!("etc/certs/{file}"), content);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(path, mode).expect("own file");
        }
        forward_only(&sites);
        for name in ["notify", "notifyd"] {
            let path = remote.path(name);
            fs::copy(built(name), &path).expect("a copy");
            make_executable(&path);
        }
        if peer::is_root() {
            peer::give(remote.directory(), "nagios:");
        }
        let mut running = as_core(remote.path("notifyd"), "remote1")
            .arg("-c")
            .arg(remote.path("etc/notifyd.toml"))
            .start();
        running.wait_for_line("is ready");
        Self {
            notify: remote.path("notify"),
            _central: central,
            _remote: running,
            sites,
        }
    }

    /// `notify` and its spool, as they replace `/usr/bin/notify` in an example.
    pub(crate) fn notify(&self, between: &str) -> String {
        let spool = self.sites.remote.path("spool");
        format!(
            "{}{between}--spool{between}{}",
            self.notify.display(),
            spool.display()
        )
    }

    /// It went from journal to journal.
    pub(crate) fn check_trace(&self, id: &str) {
        let trace = self.sites.trace(&self.sites.central, id);
        assert_eq!(trace[0], "accepted from remote1 (path remote1 -> central)");
        wait_until("the remote site knows that central has it", || {
            let trace = notifyctl(&self.sites.remote, &["trace", id]).unwrap_or_default();
            trace.contains("stored by central")
        });
    }
}

/// The remote site's configuration, from the example of five lines.
pub(crate) fn forward_only(sites: &Sites) {
    let remote = &sites.remote;
    let text = example(
        "notifyd-forward.toml",
        &[
            (
                "/var/spool/sitewire",
                remote.path("spool").to_str().expect("text"),
            ),
            (
                "/etc/sitewire/certs",
                remote.path("etc/certs").to_str().expect("text"),
            ),
            (
                "central.example.com:6555",
                &format!("127.0.0.1:{}", sites.port),
            ),
        ],
    );
    assert_eq!(text.lines().count(), 5);
    remote.write("etc/notifyd.toml", text);
}

/// A program as the user that cores run as.
fn as_core(path: PathBuf, label: &str) -> Program {
    if !peer::is_root() {
        return Program::foreign(path, label);
    }
    Program::foreign("setpriv", label)
        .args([
            "--reuid=nagios",
            "--regid=nagios",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(path)
}
