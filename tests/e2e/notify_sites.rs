//! Two sites for notifications, `remote1` and `central`, with certificates by
//! `sitecert` and a TLS link that `remote1` opens.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Program, Running, Site, wait_for, wait_until};

pub(crate) struct Sites {
    pub(crate) remote: Site,
    pub(crate) central: Site,
    certificates: PathBuf,
    /// Where central listens.
    pub(crate) port: u16,
}

impl Sites {
    /// Both sites, with nothing running. Central delivers to a script, which
    /// appends id and attempt to `delivered`, and to the maildir `mail`.
    pub(crate) fn new() -> Self {
        let (remote, central) = (Site::new("remote1"), Site::new("central"));
        let certificates = central.path("certs");
        let sites = Self {
            remote,
            central,
            certificates,
            port: harness::ports::free(),
        };
        sitecert(&["init-ca"], &sites.certificates);
        for site in ["remote1", "central"] {
            sitecert(&["issue", site], &sites.certificates);
        }
        let script = format!(
            "#!/bin/sh\necho \"$NOTIFY_ID $NOTIFY_ATTEMPT\" >>{}\n",
            sites.central.path("delivered").display()
        );
        let script = sites.central.write("deliver", script);
        make_executable(&script);
        sites.configure_central(&format!(
            "[[lane]]\nname = 'log'\nscript = '{}'\nretry = '100ms'\n\
             [[lane]]\nname = 'mail'\nmaildir = '{}'\n",
            script.display(),
            sites.central.path("mail").display()
        ));
        sites.connect_remote_to(sites.port);
        sites
    }

    fn configure_central(&self, lanes: &str) {
        let text = format!(
            "[[listen]]\naddress = '127.0.0.1:{}'\n[[peer]]\nsite = 'remote1'\n{lanes}",
            self.port
        );
        let text = self.site_text("central", &self.central) + &text;
        self.central.write("etc/notifyd.toml", text);
    }

    /// Another port than central's own: somebody stands between.
    pub(crate) fn connect_remote_to(&self, port: u16) {
        let text =
            format!("[[peer]]\nsite = 'central'\nconnect = '127.0.0.1:{port}'\nsend = true\n");
        let text = self.site_text("remote1", &self.remote) + &text;
        self.remote.write("etc/notifyd.toml", text);
    }

    /// What every configuration has, with the certificate of `name`.
    pub(crate) fn site_text(&self, name: &str, site: &Site) -> String {
        let certs = self.certificates.display();
        format!(
            "[site]\nname = '{name}'\n[spool]\ndirectory = '{}'\n\
             [state]\nfile = '{}'\ninterval = '200ms'\n\
             [tls]\ncertificate = '{certs}/{name}.crt'\nkey = '{certs}/{name}.key'\nca = '{certs}/ca.crt'\n",
            site.path("spool").display(),
            site.path("var/notifyd.state").display(),
        )
    }

    pub(crate) fn start_central(&self) -> Running {
        let mut running = notifyd(&self.central, "central");
        running.wait_for_line("is ready");
        running
    }

    pub(crate) fn start_remote(&self) -> Running {
        let mut running = notifyd(&self.remote, "remote1");
        running.wait_for_line("is ready");
        running
    }

    /// Submits at the remote site; the id, if `notify` said it was accepted.
    pub(crate) fn notify(&self, entries: &[String]) -> Option<String> {
        notify(&self.remote.path("spool"), entries)
    }

    /// Waits until nothing is open at `site` any more.
    pub(crate) fn wait_until_empty(&self, site: &Site) {
        wait_until(&format!("nothing is open at {}", site.name()), || {
            let queue = notifyctl(site, &["queue", "--json"]);
            queue.is_some_and(|queue| queue.is_empty())
        });
    }

    /// What `notifyctl trace` says of `id`, without the times.
    pub(crate) fn trace(&self, site: &Site, id: &str) -> Vec<String> {
        let text = wait_for("notifyctl trace", || notifyctl(site, &["trace", id]));
        let lines = text.lines().skip(1);
        lines
            .map(|line| {
                line.split_once("  ")
                    .map_or(line, |(_, text)| text)
                    .to_owned()
            })
            .collect()
    }

    /// What the script of the lane `log` wrote: id and attempt.
    pub(crate) fn delivered(&self) -> Vec<(String, u32)> {
        let text = fs::read_to_string(self.central.path("delivered")).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(id, attempt)| (id.to_owned(), attempt.parse().expect("a number")))
            .collect()
    }

    pub(crate) fn mails(&self) -> usize {
        fs::read_dir(self.central.path("mail/new")).map_or(0, Iterator::count)
    }
}

pub(crate) fn sitecert(args: &[&str], directory: &Path) {
    Program::new("sitecert")
        .args(args)
        .arg("--directory")
        .arg(directory)
        .run()
        .success();
}

pub(crate) fn notifyd(site: &Site, label: &str) -> Running {
    Program::new("notifyd")
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .label(label)
        .start()
}

/// The standard output of notifyctl, if it ended with 0.
pub(crate) fn notifyctl(site: &Site, args: &[&str]) -> Option<String> {
    let outcome = Program::new("notifyctl")
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .args(args)
        .run();
    (outcome.code() == Some(0)).then(|| outcome.text())
}

/// Runs `notify` as a monitoring core would.
pub(crate) fn notify(spool: &Path, entries: &[String]) -> Option<String> {
    let outcome = Program::new("notify")
        .arg("--spool")
        .arg(spool)
        .args(["--site", "remote1"])
        .args(entries)
        .run();
    (outcome.code() == Some(0)).then(|| outcome.text().trim().to_owned())
}

pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own file");
}
