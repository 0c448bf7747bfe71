//! `syslog = "unix:/dev/log"`: lines for the log of this machine or another.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use program::config::{Table, Value};

use super::positive;
use super::read::parse_host_and_port;
use crate::means::Syslog;

/// `timeout`
const TIMEOUT: Duration = Duration::from_secs(10);
/// In the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const DAEMON: u8 = 3;

/// A log that gets a line for each notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyslogLane {
    pub(crate) server: SyslogServer,
    pub(crate) format: SyslogFormat,
    pub(crate) facility: u8,
    /// Template of the text.
    pub(crate) message: Option<String>,
    /// What this machine is called in it.
    pub(crate) hostname: String,
    pub(crate) timeout: Duration,
}

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyslogServer {
    Unix(PathBuf),
    Udp(String, u16),
    Tcp(String, u16),
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyslogFormat {
    /// As servers on the network take it.
    Rfc5424,
    /// As the C library writes it to the socket of its machine.
    Local,
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Udp(host, port) | Self::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl SyslogLane {
    pub(super) fn parse(table: &mut Table, problems: &mut Vec<String>) -> Option<Self> {
        let server = table.take("syslog", server, problems);
        let format = table.take("format", format, problems);
        let facility = table.take("facility", facility, problems);
        let message = table.take("message", Table::text, problems);
        let timeout = table.take("timeout", positive, problems);
        let server = server?;
        let by_server = match server {
            SyslogServer::Unix(_) => SyslogFormat::Local,
            _ => SyslogFormat::Rfc5424,
        };
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Some(Self {
            format: format.unwrap_or(by_server),
            server,
            facility: facility.unwrap_or(DAEMON),
            message,
            hostname,
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }

    pub(super) fn check_files(&self, lane: &str) -> Option<String> {
        Syslog::new(lane.to_owned(), self.clone()).err()
    }
}

fn server(value: Value) -> Result<SyslogServer, String> {
    let text = Table::text(value)?;
    let wrong = "must be such as \"unix:/dev/log\", \"udp:log.example.org:514\" or \
                 \"tcp:log.example.org:514\"";
    let host_and_port = |rest| parse_host_and_port(rest).ok_or(wrong.to_owned());
    match text.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(SyslogServer::Unix(path.into())),
        Some(("udp", rest)) => {
            host_and_port(rest).map(|(host, port)| SyslogServer::Udp(host, port))
        }
        Some(("tcp", rest)) => {
            host_and_port(rest).map(|(host, port)| SyslogServer::Tcp(host, port))
        }
        _ => Err(wrong.to_owned()),
    }
}

fn format(value: Value) -> Result<SyslogFormat, String> {
    match &*Table::text(value)? {
        "rfc5424" => Ok(SyslogFormat::Rfc5424),
        "local" => Ok(SyslogFormat::Local),
        _ => Err("must be \"rfc5424\" or \"local\"".to_owned()),
    }
}

fn facility(value: Value) -> Result<u8, String> {
    let text = Table::text(value)?;
    match FACILITIES.iter().zip(0..).find(|(name, _)| **name == text) {
        Some((_, number)) => Ok(number),
        None => Err(format!("must be one of {}", FACILITIES.join(", "))),
    }
}
