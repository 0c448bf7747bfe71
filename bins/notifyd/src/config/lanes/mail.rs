//! `maildir = "/path"`, `smtp = "host:port"` and `sendmail = "/path"`: mails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use program::config::{Table, Value};

use super::positive;
use super::read::{TIMEOUT, absolute, check_file, check_program, check_secret, host_and_port};
use crate::mail::{Credentials, Encryption, Server, Sources, Templates};

/// Mails, and where they are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailLane {
    pub(crate) sender: Mailbox,
    /// Nobody: whom rules chose, or the contact of each notification.
    pub(crate) recipients: Vec<Mailbox>,
    /// Who gets it if rules chose nobody, instead of the notification's contact.
    pub(crate) usual: Option<Mailbox>,
    pub(crate) templates: Sources,
    pub(crate) transport: Transport,
}

/// How mails leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    Maildir(PathBuf),
    Smtp(Server),
    Sendmail { program: PathBuf, timeout: Duration },
}

pub(super) fn parse(
    table: &mut Table,
    key: &str,
    site: &str,
    problems: &mut Vec<String>,
) -> Option<MailLane> {
    let transport = match key {
        "maildir" => Transport::Maildir(table.take("maildir", absolute, problems)?),
        "sendmail" => {
            let timeout = table.take("timeout", positive, problems);
            Transport::Sendmail {
                program: table.take("sendmail", absolute, problems)?,
                timeout: timeout.unwrap_or(TIMEOUT),
            }
        }
        _ => {
            let (host, port) = table.take("smtp", host_and_port, problems)?;
            Transport::Smtp(parse_server(table, host, port, site, problems))
        }
    };
    parse_mail(table, transport, site, problems)
}

fn parse_mail(
    table: &mut Table,
    transport: Transport,
    site: &str,
    problems: &mut Vec<String>,
) -> Option<MailLane> {
    let sender = match table.take("from", mailbox, problems) {
        Some(sender) => Some(sender),
        None => address_at(site, "sitewire", table, problems),
    };
    let recipients = table.take("to", mailboxes, problems).unwrap_or_default();
    // Whoever has a maildir reads what is in it, whoever it is addressed to.
    let usual = match (&transport, recipients.is_empty()) {
        (Transport::Maildir(_), true) => address_at(site, "notifications", table, problems),
        _ => None,
    };
    let templates = Sources {
        subject: table.take("subject", Table::text, problems),
        link: table.take("link", Table::text, problems),
        text: table.take("text", absolute, problems),
        html: table.take("html", absolute, problems),
    };
    Some(MailLane {
        sender: sender?,
        recipients,
        usual,
        templates,
        transport,
    })
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

impl MailLane {
    pub(super) fn check_files(&self) -> Option<String> {
        if let Err(problem) = Templates::read(&self.templates) {
            return Some(problem);
        }
        match &self.transport {
            Transport::Maildir(path) => check_maildir(path),
            Transport::Sendmail { program, .. } => check_program(program),
            Transport::Smtp(server) => {
                let password_file = server
                    .credentials
                    .as_ref()
                    .map(|known| &known.password_file);
                let secret = password_file.and_then(|path| check_secret(path));
                secret.or_else(|| {
                    let path = server.ca.as_ref()?;
                    check_file(path)
                })
            }
        }
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
