//! The configuration file, agentpoll.toml.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nagios::object::ILLEGAL_CHARACTERS;
use nagios::passive::Core;
use program::config::{Table, Value};
use program::connection::{Limits, Target};
use program::{Address, Failure, tls};

mod host;

pub(crate) use host::{Host, Mode, Tls};

/// The file that is read when none is named.
pub(crate) const DEFAULT: &str = "/etc/sitewire/agentpoll.toml";
/// Longest file that is read.
const MAX_FILE: usize = 16 << 20;

/// What the configuration file says, with the defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) state: State,
    pub(crate) poll: Poll,
    pub(crate) authority: Option<Signing>,
    pub(crate) receive: Option<Receive>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) hosts: Vec<Host>,
}

/// What is kept, and what is shown.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// What must survive: who pushes, who has spoken TLS.
    pub(crate) directory: PathBuf,
    /// How it goes, for people and checks.
    pub(crate) file: Option<PathBuf>,
    /// The same for Prometheus.
    pub(crate) metrics: Option<PathBuf>,
}

/// How agents are asked.
#[derive(Debug, Clone)]
pub(crate) struct Poll {
    pub(crate) interval: Duration,
    pub(crate) deadline: Duration,
    /// Agents asked at the same time.
    pub(crate) connections: usize,
}

/// Who signs for agents, and what is shown to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signing {
    /// What `sitecert init-ca` has made.
    pub(crate) directory: PathBuf,
    /// How long certificates of agents are valid.
    pub(crate) lifetime: Duration,
    pub(crate) shown: Shown,
}

/// What agents are shown that ask for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// One that the authority has signed for agentpoll.
    Certificate,
    /// The authority's own, as openITCOCKPIT's server does.
    Authority,
}

/// Where agents push to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receive {
    pub(crate) address: net::Address,
    /// Certificate and key; without, plain text on this machine only.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) api_key: String,
    /// Agents that wait for acceptance at most.
    pub(crate) waiting: usize,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Files in the check result spool of a core.
    CheckResults {
        directory: PathBuf,
        reader: Reader,
        mode: u32,
    },
    /// The command pipe of a core.
    Commands { pipe: PathBuf, reader: Reader },
    /// The Livestatus socket of a core.
    Livestatus { core: Livestatus, reader: Reader },
    /// A file, or standard output, with a JSON object a line.
    Json { file: Option<PathBuf> },
}

/// Where a core's Livestatus is, and with TLS whom we believe to be it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Livestatus {
    pub(crate) address: Address,
    ca: Option<PathBuf>,
    /// Ours, and its key.
    identity: Option<(PathBuf, PathBuf)>,
    /// Whom its certificate is for, if not the host.
    name: Option<String>,
}

/// How a core reads results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) core: Core,
    /// What it does not take in names.
    pub(crate) illegal: String,
}

impl Livestatus {
    /// Reads the files that TLS needs: who renews them tells nobody.
    pub(crate) fn target(&self, limits: Limits) -> Result<Target, Failure> {
        let (certificate, key) = match &self.identity {
            Some((certificate, key)) => (Some(certificate.as_path()), Some(key.as_path())),
            None => (None, None),
        };
        let options = tls::Options {
            ca: self.ca.as_deref(),
            certificate,
            key,
            name: self.name.as_deref(),
            peer: "core",
        };
        Target::with_tls(self.address.clone(), limits, options)
    }
}

impl Config {
    /// Reads it, or says all that is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, Vec<String>> {
        let name = path.display().to_string();
        let text = read_file(path, MAX_FILE).map_err(|what| vec![format!("{name}: {what}")])?;
        Self::parse(&name, &text)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut root = Table::parse(name, text, &mut problems);
        let problems_of = &mut problems;
        let state = parse_state(root.take("state", Table::table, problems_of), problems_of);
        let poll = parse_poll(root.take("poll", Table::table, problems_of), problems_of);
        let authority = root
            .take("authority", Table::table, problems_of)
            .and_then(|table| parse_signing(table, problems_of));
        let receive = root
            .take("receive", Table::table, problems_of)
            .and_then(|table| parse_receive(table, problems_of));
        let outputs = root.take_tables("output", problems_of);
        let outputs = outputs
            .into_iter()
            .filter_map(|table| parse_output(table, problems_of))
            .collect();
        let hosts = host::parse_all(&mut root, &poll, problems_of);
        root.finish(problems_of);
        let config = Self {
            state,
            poll,
            authority,
            receive,
            outputs,
            hosts,
        };
        config.check(name, problems_of);
        match problems.is_empty() {
            true => Ok(config),
            false => Err(problems),
        }
    }

    /// The host of this name.
    pub(crate) fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// What no single table can know.
    fn check(&self, name: &str, problems: &mut Vec<String>) {
        let mut names = BTreeSet::new();
        for host in &self.hosts {
            if !names.insert(&host.name) {
                problems.push(format!(
                    "{name}: there are two hosts called {:?}",
                    host.name
                ));
            }
            if host.mode == Mode::Push && self.receive.is_none() {
                let host = &host.name;
                problems.push(format!("{name}: {host} pushes, but there is no [receive]"));
            }
            if host.tls == Tls::Auto && self.authority.is_none() {
                let host = &host.name;
                problems.push(format!(
                    "{name}: {host} has tls = \"auto\", but there is no [authority] that signs"
                ));
            }
        }
    }
}

/// Reads a text of limited length.
pub(crate) fn read_file(path: &Path, limit: usize) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(limit as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() > limit {
        return Err(format!("is longer than {limit} bytes"));
    }
    Ok(text)
}

/// Reads a secret: the first line of a file that only its owner can read.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let text =
        authority::directory::read_secret(path).map_err(|error| program::exit::chain(&error))?;
    let line = text.lines().next().unwrap_or_default().trim_end();
    match line.is_empty() {
        true => Err(format!("{}: its first line is empty", path.display())),
        false => Ok(line.to_owned()),
    }
}

/// The reader for the name of a file that has a secret.
fn secret(value: Value) -> Result<String, String> {
    read_secret(&Table::path(value)?).map_err(|why| format!("cannot be used: {why}"))
}

fn parse_state(table: Option<Table>, problems: &mut Vec<String>) -> State {
    let mut state = State {
        directory: "/var/lib/sitewire/agentpoll".into(),
        file: None,
        metrics: None,
    };
    let Some(mut table) = table else {
        return state;
    };
    if let Some(directory) = table.take("directory", Table::path, problems) {
        state.directory = directory;
    }
    state.file = table.take("file", Table::path, problems);
    state.metrics = table.take("metrics", Table::path, problems);
    table.finish(problems);
    state
}

fn parse_poll(table: Option<Table>, problems: &mut Vec<String>) -> Poll {
    let mut poll = Poll {
        interval: Duration::from_secs(60),
        deadline: Duration::from_secs(10),
        connections: 512,
    };
    let Some(mut table) = table else {
        return poll;
    };
    if let Some(interval) = table.take("interval", positive, problems) {
        poll.interval = interval;
    }
    if let Some(deadline) = table.take("deadline", positive, problems) {
        poll.deadline = deadline;
    }
    if let Some(connections) = table.take("connections", count, problems) {
        poll.connections = connections;
    }
    table.finish(problems);
    poll
}

fn positive(value: Value) -> Result<Duration, String> {
    let duration = Table::duration(value)?;
    match duration.is_zero() {
        true => Err("must not be zero".to_owned()),
        false => Ok(duration),
    }
}

fn count(value: Value) -> Result<usize, String> {
    let number = Table::integer(value)?;
    let number = usize::try_from(number).ok();
    number
        .filter(|number| (1..=100_000).contains(number))
        .ok_or_else(|| "must be from 1 to 100000".to_owned())
}

fn parse_signing(mut table: Table, problems: &mut Vec<String>) -> Option<Signing> {
    let directory = table.require("directory", Table::path, problems);
    let lifetime = table.take("lifetime", lifetime, problems);
    let shown = table.take("client", shown, problems);
    table.finish(problems);
    Some(Signing {
        directory: directory?,
        lifetime: lifetime.unwrap_or(authority::settings::LIFETIME),
        shown: shown.unwrap_or(Shown::Certificate),
    })
}

fn lifetime(value: Value) -> Result<Duration, String> {
    let lifetime = Table::duration(value)?;
    match lifetime < Duration::from_secs(3600) {
        true => Err("must be an hour at least".to_owned()),
        false => Ok(lifetime),
    }
}

fn shown(value: Value) -> Result<Shown, String> {
    match Table::text(value)?.as_str() {
        "certificate" => Ok(Shown::Certificate),
        "authority" => Ok(Shown::Authority),
        other => Err(format!(
            "{other:?} is neither \"certificate\" nor \"authority\""
        )),
    }
}

fn parse_receive(mut table: Table, problems: &mut Vec<String>) -> Option<Receive> {
    let address = table.require("address", Table::parsed::<net::Address>, problems);
    let certificate = table.take("certificate", Table::path, problems);
    let key = table.take("key", Table::path, problems);
    let api_key = table.require("api_key_file", secret, problems);
    let waiting = table.take("waiting", count, problems);
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => {
            if address.as_ref().is_some_and(|address| !address.is_local()) {
                let what = "agents would push in plain text: `certificate` and `key` are missing";
                problems.push(table.problem(what));
            }
            None
        }
        _ => {
            problems.push(table.problem("`certificate` and `key` belong together"));
            None
        }
    };
    table.finish(problems);
    Some(Receive {
        address: address?,
        tls,
        api_key: api_key?,
        waiting: waiting.unwrap_or(1000),
    })
}

fn parse_output(mut table: Table, problems: &mut Vec<String>) -> Option<Output> {
    let kind = table.require("kind", Table::text, problems)?;
    let output = match kind.as_str() {
        "check-results" => {
            let directory = table.require("directory", Table::path, problems);
            let reader = reader(&mut table, ILLEGAL_CHARACTERS, problems);
            let mode = table.take("mode", mode, problems).unwrap_or(0o660);
            directory.map(|directory| Output::CheckResults {
                directory,
                reader,
                mode,
            })
        }
        "commands" => {
            let pipe = table.require("pipe", Table::path, problems);
            let reader = reader(&mut table, ILLEGAL_CHARACTERS, problems);
            pipe.map(|pipe| Output::Commands { pipe, reader })
        }
        "livestatus" => {
            let core = livestatus(&mut table, problems);
            // livestatusd takes every character.
            let reader = reader(&mut table, "", problems);
            core.map(|core| Output::Livestatus { core, reader })
        }
        "json" => {
            let file = table.require("file", Table::path, problems);
            file.map(|file| Output::Json {
                file: Some(file).filter(|file| file != Path::new("-")),
            })
        }
        other => {
            let what = format!(
                "there is no output of kind {other:?}: check-results, commands, livestatus, json"
            );
            problems.push(table.problem(&what));
            return None;
        }
    };
    table.finish(problems);
    output
}

fn livestatus(table: &mut Table, problems: &mut Vec<String>) -> Option<Livestatus> {
    let address = table.require("socket", Table::parsed::<Address>, problems);
    let ca = table.take("ca", Table::path, problems);
    let certificate = table.take("certificate", Table::path, problems);
    let key = table.take("key", Table::path, problems);
    let name = table.take("tls_name", Table::text, problems);
    let address = address?;
    let is_tls = matches!(address, Address::Tls { .. });
    if certificate.is_some() != key.is_some() {
        problems.push(table.problem("`certificate` and `key` belong together"));
        return None;
    }
    if is_tls != ca.is_some() || !is_tls && (key.is_some() || name.is_some()) {
        problems.push(table.problem(match is_tls {
            true => "`ca` is missing: the CA that vouches for the core",
            false => "`ca`, `certificate`, `key` and `tls_name` are for tls:HOST:PORT",
        }));
        return None;
    }
    Some(Livestatus {
        address,
        ca,
        identity: certificate.zip(key),
        name,
    })
}

fn reader(table: &mut Table, illegal: &str, problems: &mut Vec<String>) -> Reader {
    let read = |value| {
        let word = Table::text(value)?;
        Core::from_word(&word)
            .ok_or_else(|| format!("{word:?} is none of \"nagios\", \"naemon\" and \"icinga2\""))
    };
    let core = table.take("core", read, problems).unwrap_or_default();
    let illegal = match core {
        Core::Icinga2 => "",
        Core::Nagios | Core::Naemon => illegal,
    };
    let given = table.take("illegal_characters", Table::text, problems);
    Reader {
        core,
        illegal: given.unwrap_or_else(|| illegal.to_owned()),
    }
}

fn mode(value: Value) -> Result<u32, String> {
    let text = Table::text(value).map_err(|_| "must be a text such as \"0660\"".to_owned())?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 && mode & 0o400 != 0 => Ok(mode),
        _ => Err(format!("{text:?} is no mode of a file, such as \"0660\"")),
    }
}

#[cfg(test)]
mod tests;
