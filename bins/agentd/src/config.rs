//! What the administrator wants: `config.ini` and the files it names, in the
//! form that the openITCOCKPIT agent 3.x has, and a section `[sitewire]` for
//! what only this agent knows.

mod commands;
mod enabled;
mod finding;
mod keys;
mod scrapes;
mod sections;
mod sitewire;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::ini::{Ini, MAX_FILE};
use ipnet::IpNet;

pub(crate) use commands::CustomCheck;
pub(crate) use finding::{Finding, Severity, worst};
use keys::{Keys, Reading, Setting};
pub(crate) use scrapes::Exporter;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `config.ini` itself.
    pub(crate) path: PathBuf,
    pub(crate) web: Web,
    pub(crate) tls: Tls,
    pub(crate) checks: Checks,
    pub(crate) custom: Custom,
    pub(crate) prometheus: Prometheus,
    pub(crate) packages: Packages,
    pub(crate) push: Push,
    pub(crate) checkmk: Checkmk,
    /// What is in effect, in the order of the manual.
    settings: Vec<Setting>,
}

/// Where and to whom the results are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Web {
    /// Empty for all.
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) auth: Option<Credentials>,
    /// Whether `/config` answers.
    pub(crate) config_update: bool,
    pub(crate) connections: usize,
}

/// Who may ask.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, hidden)", self.user)
    }
}

/// Which TLS is spoken, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) level: Level,
    /// A certificate of the administrator's, and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    pub(crate) auto: AutoTls,
}

/// How old the TLS of a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Lax,
    Intermediate,
    Modern,
}

/// The exchange of certificates with openITCOCKPIT's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AutoTls {
    /// Whether the files are used when they are there.
    pub(crate) enabled: bool,
    pub(crate) csr: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) key_type: KeyType,
    pub(crate) first: FirstExchange,
}

/// What key is made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// P-256: a handshake takes a tenth of what it takes with RSA, and the
    /// server signs it as any other.
    Ecdsa,
    /// Of 4096 bits, as the original makes it.
    Rsa,
}

/// Who may give us the first certificate. With neither of them set anybody may,
/// as with the original, unless `restricted` says that nobody may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FirstExchange {
    /// Shown by the server with the request.
    pub(crate) token: Option<String>,
    /// Where it may come from.
    pub(crate) peers: Vec<IpNet>,
    /// SHA-256 of the only CA certificate that is taken.
    pub(crate) ca_fingerprint: Option<[u8; 32]>,
    pub(crate) restricted: bool,
    /// Whether nothing is told to anybody before it.
    pub(crate) hides: bool,
}

impl FirstExchange {
    /// Whether somebody in particular may make it.
    pub(crate) fn is_guarded(&self) -> bool {
        self.token.is_some() || !self.peers.is_empty() || self.ca_fingerprint.is_some()
    }
}

/// Which checks are made, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) interval: Duration,
    pub(crate) cpu: bool,
    pub(crate) load: bool,
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) processes: bool,
    pub(crate) net_stats: bool,
    pub(crate) net_io: bool,
    pub(crate) disks: bool,
    pub(crate) disk_io: bool,
    pub(crate) sensors: bool,
    pub(crate) users: bool,
    pub(crate) ntp: bool,
    /// Where a chronyd takes commands, and where an ntpd is asked.
    pub(crate) chrony: SocketAddr,
    pub(crate) ntp_server: SocketAddr,
    pub(crate) systemd: bool,
    pub(crate) launchd: bool,
    pub(crate) windows_services: bool,
    pub(crate) event_log: EventLog,
    pub(crate) docker: bool,
    pub(crate) libvirt: bool,
}

/// What is read of the event log of Windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventLog {
    pub(crate) enabled: bool,
    pub(crate) logs: Vec<String>,
    pub(crate) age: Duration,
    pub(crate) method: String,
}

/// Plugins of the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Custom {
    pub(crate) file: PathBuf,
    /// Those that are enabled.
    pub(crate) checks: Vec<CustomCheck>,
    /// How many run at a time.
    pub(crate) workers: usize,
    /// How much of the output of each is kept, in bytes.
    pub(crate) output: usize,
}

/// Exporters whose figures are handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prometheus {
    pub(crate) enabled: bool,
    pub(crate) file: PathBuf,
    /// Those that are enabled.
    pub(crate) exporters: Vec<Exporter>,
}

/// The software that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packages {
    pub(crate) enabled: bool,
    pub(crate) interval: Duration,
    /// Whether the package manager refreshes what it knows.
    pub(crate) update_check: bool,
    /// Whether snap, flatpak and the like count.
    pub(crate) alternatives: bool,
    /// In bytes; none for all.
    pub(crate) description_length: Option<usize>,
}

/// Sending the results to openITCOCKPIT's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) enabled: bool,
    pub(crate) url: String,
    pub(crate) apikey: String,
    /// Empty for what the environment says.
    pub(crate) proxy: String,
    /// For registration and submission together.
    pub(crate) timeout: Duration,
    pub(crate) verify: bool,
    pub(crate) webserver: bool,
    pub(crate) auth_file: PathBuf,
}

/// The port that Checkmk asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkmk {
    /// `ADDRESS:PORT`; none for no port of our own.
    pub(crate) listen: Option<String>,
    /// Who may ask; nobody in particular if it is empty.
    pub(crate) from: Vec<IpNet>,
}

impl Config {
    /// Reads `config.ini` and the files it names. What was found may be so bad
    /// that the result cannot be used, see [`worst`].
    pub(crate) fn load(path: &Path) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let ini = read(path, Severity::Fatal, &mut findings).unwrap_or_default();
        let mut settings = Vec::new();
        let config = {
            let mut reading = Reading {
                file: path,
                findings: &mut findings,
                settings: &mut settings,
            };
            sections::read(&ini, path, &mut reading)
        };
        let config = Self {
            settings,
            ..config.with_lists(&mut findings)
        };
        (config, findings)
    }

    /// The files that make up the configuration: itself, the custom checks and
    /// the exporters.
    pub(crate) fn files(&self) -> [&Path; 3] {
        [&self.path, &self.custom.file, &self.prometheus.file]
    }

    /// Whether results are served over HTTP.
    pub(crate) fn serves(&self) -> bool {
        !self.push.enabled || self.push.webserver
    }

    /// What is in effect, one key a line, with where it came from. Secrets are
    /// not shown.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for setting in &self.settings {
            if setting.section != section {
                if !section.is_empty() {
                    text.push('\n');
                }
                section = &setting.section;
                text.push_str(&format!("[{section}]\n"));
            }
            let pair = format!("{} = {}", setting.key, setting.value);
            let origin = match setting.line {
                Some(line) => format!("{}:{line}", self.path.display()),
                None => "default".to_owned(),
            };
            text.push_str(&format!("{pair:<50} # {origin}\n"));
        }
        text
    }

    fn with_lists(mut self, findings: &mut Vec<Finding>) -> Self {
        let given = |section: &str, key: &str| {
            let mut settings = self.settings.iter();
            settings.any(|s| s.section == section && s.key == key && s.line.is_some())
        };
        let needed = (
            given("default", "customchecks"),
            given("prometheus", "exporters"),
        );
        if let Some(ini) = read_list(&self.custom.file, needed.0, findings) {
            self.custom.checks = commands::read(&ini, &self.custom.file, findings);
        }
        if self.prometheus.enabled
            && let Some(ini) = read_list(&self.prometheus.file, needed.1, findings)
        {
            self.prometheus.exporters = scrapes::read(&ini, &self.prometheus.file, findings);
        }
        self
    }
}

/// A file of a list. That it is not there is worth a word if it was named.
fn read_list(path: &Path, named: bool, findings: &mut Vec<Finding>) -> Option<Ini> {
    if path.as_os_str().is_empty() {
        return None;
    }
    if !path.exists() {
        if named {
            let text = "there is no such file: none are configured";
            findings.push(Finding::new(Severity::Warning, path, None, text));
        }
        return None;
    }
    read(path, Severity::Error, findings)
}

fn read(path: &Path, severity: Severity, findings: &mut Vec<Finding>) -> Option<Ini> {
    let bytes = match read_limited(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let text = format!("cannot be read: {error}");
            findings.push(Finding::new(severity, path, None, text));
            return None;
        }
    };
    let (ini, problems) = Ini::parse(&bytes);
    let problems = problems
        .into_iter()
        .map(|problem| Finding::new(severity, path, Some(problem.line), problem.what));
    findings.extend(problems);
    Some(ini)
}

/// One byte more than is allowed is enough to see that it is too long.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names of sections other than those that are lists of something.
fn note_unknown(ini: &Ini, known: &[&str], reading: &mut Reading<'_>) {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    for section in ini.sections() {
        if !known.contains(section.name.as_str()) {
            let text = format!("unknown section [{}]", section.name);
            reading.find(Severity::Warning, Some(section.line), text);
        }
    }
}

/// A number of seconds.
fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests;
