//! `[[lane]]`: ways of delivery.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use objects::SiteId;
use program::config::{Table, Value};

use super::positive;
use crate::mail::{Credentials, Encryption, Server, Sources, Templates};

/// `timeout`: of a script as a whole, and of each answer of a mail server.
const TIMEOUT: Duration = Duration::from_secs(60);
/// `retry`: the first pause; each further one is twice as long.
const RETRY: Duration = Duration::from_secs(30);
/// `retry_max`: no pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);
/// `expire`: for notifications that do not say it themselves.
const EXPIRE: Duration = Duration::from_secs(24 * 3600);

/// A way of delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) to: Destination,
    pub(crate) retry: Retry,
}

/// Where a lane delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A program that is run once per notification.
    Script { path: PathBuf, timeout: Duration },
    /// One mail per notification.
    Mail(Box<MailLane>),
}

/// Mails, and where they are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailLane {
    pub(crate) sender: Mailbox,
    /// Nobody: the contact of each notification.
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) templates: Sources,
    pub(crate) transport: Transport,
}

/// How mails leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    Maildir(PathBuf),
    Smtp(Server),
}

/// When a delivery that failed is tried again, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) expire: Duration,
}

pub(super) fn parse_lane(mut table: Table, site: &str, problems: &mut Vec<String>) -> Option<Lane> {
    let name = table.require("name", lane_name, problems);
    let script = table.take("script", absolute, problems);
    let maildir = table.take("maildir", absolute, problems);
    let smtp = table.take("smtp", host_and_port, problems);
    let to = match (script, maildir, smtp) {
        (Some(path), None, None) => {
            let timeout = table.take("timeout", positive, problems).unwrap_or(TIMEOUT);
            Some(Destination::Script { path, timeout })
        }
        (None, Some(path), None) => {
            let transport = Transport::Maildir(path);
            parse_mail(&mut table, transport, site, problems)
        }
        (None, None, Some((host, port))) => {
            let server = parse_server(&mut table, host, port, site, problems);
            parse_mail(&mut table, Transport::Smtp(server), site, problems)
        }
        _ => {
            let what = "[[lane]] needs one of `script`, `maildir` and `smtp`";
            problems.push(table.problem(what));
            None
        }
    };
    let retry = Retry {
        first: table.take("retry", positive, problems).unwrap_or(RETRY),
        longest: table
            .take("retry_max", positive, problems)
            .unwrap_or(RETRY_MAX),
        expire: table.take("expire", positive, problems).unwrap_or(EXPIRE),
    };
    table.finish(problems);
    Some(Lane {
        name: name?,
        to: to?,
        retry,
    })
}

fn parse_mail(
    table: &mut Table,
    transport: Transport,
    site: &str,
    problems: &mut Vec<String>,
) -> Option<Destination> {
    let sender = match table.take("from", mailbox, problems) {
        Some(sender) => Some(sender),
        None => address_at(site, "sitewire", table, problems),
    };
    let mut recipients = table.take("to", mailboxes, problems).unwrap_or_default();
    // Whoever has a maildir reads what is in it, whoever it is addressed to.
    if let (Transport::Maildir(_), true) = (&transport, recipients.is_empty()) {
        recipients.extend(address_at(site, "notifications", table, problems));
    }
    let templates = Sources {
        subject: table.take("subject", Table::text, problems),
        link: table.take("link", Table::text, problems),
        text: table.take("text", absolute, problems),
        html: table.take("html", absolute, problems),
    };
    Some(Destination::Mail(Box::new(MailLane {
        sender: sender?,
        recipients,
        templates,
        transport,
    })))
}

fn parse_server(
    table: &mut Table,
    host: String,
    port: u16,
    site: &str,
    problems: &mut Vec<String>,
) -> Server {
    let encryption = table.take("encryption", read_encryption, problems);
    let ca = table.take("ca", absolute, problems);
    let user = table.take("user", Table::text, problems);
    let password_file = table.take("password_file", absolute, problems);
    let is_local = ["localhost", "127.0.0.1", "::1"].contains(&&*host);
    let encryption = encryption.unwrap_or(match port {
        465 => Encryption::Tls,
        _ if is_local => Encryption::None,
        _ => Encryption::StartTls,
    });
    let credentials = match (user, password_file) {
        (Some(user), Some(password_file)) => Some(Credentials {
            user,
            password_file,
        }),
        (None, None) => None,
        _ => {
            problems.push(table.problem("`user` and `password_file` need each other"));
            None
        }
    };
    if credentials.is_some() && encryption == Encryption::None && !is_local {
        let what = "a password is not sent without encryption, except to this machine itself";
        problems.push(table.problem(what));
    }
    Server {
        host,
        port,
        encryption,
        ca,
        credentials,
        timeout: table.take("timeout", positive, problems).unwrap_or(TIMEOUT),
        hello: table
            .take("hello", Table::text, problems)
            .unwrap_or_else(|| site.to_owned()),
    }
}

impl Destination {
    /// What is wrong with the files that it needs; files that are made at the
    /// first delivery need not be there.
    pub(super) fn check_files(&self) -> Option<String> {
        match self {
            Self::Script { path, .. } => check_script(path),
            Self::Mail(mail) => check_mail(mail),
        }
    }
}

fn check_script(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(meta) if !meta.is_file() => Some(format!("{} is not a file", path.display())),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Some(format!("{} is not executable", path.display()))
        }
        Ok(_) => None,
    }
}

fn check_mail(mail: &MailLane) -> Option<String> {
    if let Err(problem) = Templates::read(&mail.templates) {
        return Some(problem);
    }
    match &mail.transport {
        Transport::Maildir(path) => check_maildir(path),
        Transport::Smtp(server) => {
            let password_file = server
                .credentials
                .as_ref()
                .map(|known| &known.password_file);
            let secret = password_file.and_then(|path| check_secret(path));
            secret.or_else(|| {
                let path = server.ca.as_ref()?;
                let error = std::fs::metadata(path).err()?;
                Some(format!("{}: {error}", path.display()))
            })
        }
    }
}

fn check_secret(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => Some(format!(
            "{} can be read by others: chmod 600 it",
            path.display()
        )),
        Ok(_) => None,
    }
}

fn check_maildir(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => Some(format!("{} is not a directory", path.display())),
        Ok(_) => None,
        Err(_) if path.parent().is_some_and(Path::is_dir) => None,
        Err(_) => Some(format!("{} is in no existing directory", path.display())),
    }
}

/// The name stands in journal records, in the state file and in file names.
fn lane_name(value: Value) -> Result<String, String> {
    let name = Table::text(value)?;
    match SiteId::new(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!(
            "{name:?} must be 1 to {} letters, digits, underscores and dashes, no dash first",
            objects::site::MAX_LEN
        )),
    }
}

pub(super) fn absolute(value: Value) -> Result<PathBuf, String> {
    let path = Table::path(value)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("{path:?} must be an absolute path"))
    }
}

fn host_and_port(value: Value) -> Result<(String, u16), String> {
    let text = Table::text(value)?;
    let wrong = || format!("{text:?} must be a host and a port, such as \"mail.example.org:587\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn read_encryption(value: Value) -> Result<Encryption, String> {
    match &*Table::text(value)? {
        "none" => Ok(Encryption::None),
        "starttls" => Ok(Encryption::StartTls),
        "tls" => Ok(Encryption::Tls),
        _ => Err("must be \"starttls\", \"tls\" or \"none\"".to_owned()),
    }
}

fn mailbox(value: Value) -> Result<Mailbox, String> {
    parse_mailbox(&Table::text(value)?)
}

fn mailboxes(value: Value) -> Result<Vec<Mailbox>, String> {
    Table::one_or_more(value)?
        .iter()
        .map(|text| parse_mailbox(text))
        .collect()
}

fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let parsed = text.parse();
    parsed.map_err(|error| format!("{text:?} must be a mail address: {error}"))
}

/// An address at this site.
fn address_at(
    site: &str,
    local: &str,
    table: &Table,
    problems: &mut Vec<String>,
) -> Option<Mailbox> {
    match parse_mailbox(&format!("{local}@{site}")) {
        Ok(mailbox) => Some(mailbox),
        Err(_) => {
            let what = format!("`from` and `to` are needed: {local}@{site} is no mail address");
            problems.push(table.problem(&what));
            None
        }
    }
}
