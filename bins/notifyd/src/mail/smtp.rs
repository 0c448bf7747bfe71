//! Handing mails to a mail server.
//!
//! The server's answer for each recipient is the verdict: 2xx is delivered, 4xx
//! is worth another attempt, 5xx is not. What may heal without the mail being
//! changed, such as a server that is away or does not believe our password, is
//! worth another attempt whatever its number.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{self, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::{Code, Response};

use super::Composer;
use crate::delivery::{Outcome, Verdict, Work};

/// A connection that was idle for longer is opened anew.
const KEPT: Duration = Duration::from_secs(20);

/// Answers that ask for encryption or another password (RFC 3207, RFC 4954): a
/// better configuration heals them.
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];
/// What some servers say instead of 452 to one recipient too many (RFC 5321,
/// 4.5.3.1.10), or to one whose mailbox is full: both are so for a while.
const TOO_MUCH: u16 = 552;
/// What a server says to anything when it is about to end the connection.
const LEAVING: u16 = 421;

/// The mail server of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) encryption: Encryption,
    /// Who may vouch for the server; the machine's own authorities if none.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) credentials: Option<Credentials>,
    /// Limit for each answer.
    pub(crate) timeout: Duration,
    /// What we call ourselves.
    pub(crate) hello: String,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    /// Plain at first, then TLS, or no mail.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// Who we are to the server. The password stays in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password_file: PathBuf,
}

/// A lane that sends mails.
pub(crate) struct Smtp {
    composer: Composer,
    server: Server,
    kept: Option<(SmtpConnection, Instant)>,
}

/// One way in which a mail did not get to anybody.
struct Trouble {
    verdict: Verdict,
    text: String,
    /// Nothing was said about the mail, so a new connection may help.
    is_network: bool,
    /// The server works; it does not take these recipients.
    is_about_recipients: bool,
}

/// What became of each recipient.
#[derive(Default)]
struct Verdicts {
    accepted: Vec<Address>,
    later: Vec<Address>,
    /// What was said to each of those who were not accepted.
    texts: Vec<String>,
    /// The same of those who never will be.
    refused: Vec<String>,
}

/// A mail as it goes over the line (RFC 5321, 4.5.2), together with what ends it.
/// Written by itself, the end would wait until the server's system acknowledges the
/// rest, which takes it 40 ms where the server has nothing to say yet.
struct Content<'a>(&'a str);

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.split_inclusive("\r\n") {
            if line.starts_with('.') {
                f.write_str(".")?;
            }
            f.write_str(line)?;
        }
        f.write_str("\r\n.\r\n")
    }
}

impl Smtp {
    pub(crate) fn new(composer: Composer, server: Server) -> Self {
        Self {
            composer,
            server,
            kept: None,
        }
    }

    /// One attempt.
    pub(crate) fn deliver(&mut self, work: &Work) -> Outcome {
        let mail = match self.composer.compose(work) {
            Ok(mail) => mail,
            Err(outcome) => return outcome,
        };
        let envelope = mail.message.envelope();
        let recipients = left(work).unwrap_or_else(|| envelope.to().to_vec());
        let body = mail.message.formatted();
        let was_kept = self.kept.is_some();
        let mut sent = self.send(envelope.from(), &recipients, &body);
        // A server may have closed a connection that it found idle.
        if was_kept && matches!(&sent, Err(trouble) if trouble.is_network) {
            sent = self.send(envelope.from(), &recipients, &body);
        }
        match sent {
            Ok((reply, verdicts)) => judge(&reply, &verdicts),
            Err(trouble) => {
                let server = format!("{}:{}", self.server.host, self.server.port);
                let text = format!("{server}: {}", trouble.text);
                let mut outcome = Outcome::new(trouble.verdict, text);
                outcome.lane_works |= trouble.is_about_recipients;
                outcome
            }
        }
    }

    fn send(
        &mut self,
        sender: Option<&Address>,
        recipients: &[Address],
        body: &[u8],
    ) -> Result<(String, Verdicts), Trouble> {
        let kept = self.kept.take().filter(|(_, last)| last.elapsed() < KEPT);
        let mut connection = match kept {
            Some((connection, _)) => connection,
            None => self.server.connect()?,
        };
        let sent = transfer(&mut connection, sender, recipients, body);
        if sent.is_ok() {
            self.kept = Some((connection, Instant::now()));
        } else if !connection.has_broken() {
            connection.abort();
        }
        sent
    }
}

/// Who still has to get it, if others have got it by an earlier attempt.
fn left(work: &Work) -> Option<Vec<Address>> {
    let jobs = work.jobs();
    if jobs.iter().any(|job| job.left.is_empty()) {
        return None;
    }
    let left: BTreeSet<&String> = jobs.iter().flat_map(|job| &job.left).collect();
    let left: Result<Vec<Address>, _> = left.into_iter().map(|text| text.parse()).collect();
    left.ok().filter(|left| !left.is_empty())
}

/// The server has the mail for some.
fn judge(reply: &str, verdicts: &Verdicts) -> Outcome {
    let mut text = reply.to_owned();
    for refused in &verdicts.texts {
        text.push_str("; ");
        text.push_str(refused);
    }
    let refused = verdicts.refused.clone();
    if verdicts.later.is_empty() {
        return Outcome {
            refused,
            ..Outcome::new(Verdict::Delivered, text)
        };
    }
    Outcome {
        refused,
        left: verdicts.later.iter().map(ToString::to_string).collect(),
        lane_works: true,
        ..Outcome::new(Verdict::Temporary, text)
    }
}

/// One mail on an open connection. An error is one for all recipients.
fn transfer(
    connection: &mut SmtpConnection,
    sender: Option<&Address>,
    recipients: &[Address],
    body: &[u8],
) -> Result<(String, Verdicts), Trouble> {
    let mut parameters = Vec::new();
    let is_international = |address: &&Address| !address.to_string().is_ascii();
    if recipients
        .iter()
        .chain(sender)
        .any(|address| is_international(&address))
    {
        if !connection
            .server_info()
            .supports_feature(Extension::SmtpUtfEight)
        {
            let text = "the server takes no addresses beyond ASCII (SMTPUTF8)".to_owned();
            return Err(Trouble {
                verdict: Verdict::Permanent,
                text,
                is_network: false,
                is_about_recipients: true,
            });
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let mail = MailCommand::new(sender.cloned(), parameters);
    connection
        .command(mail)
        .map_err(|error| Trouble::about_mail("MAIL", &error))?;
    let mut verdicts = Verdicts::default();
    let (mut is_permanent, mut is_leaving) = (true, false);
    for recipient in recipients {
        match connection.command(Rcpt::new(recipient.clone(), Vec::new())) {
            Ok(_) => verdicts.accepted.push(recipient.clone()),
            Err(error) if error.status().is_none() => {
                return Err(Trouble::about_mail("RCPT", &error));
            }
            Err(error) => {
                let text = format!("{recipient}: {}", said(&error));
                let code = error.status().map(u16::from);
                is_leaving |= code == Some(LEAVING);
                if !error.is_permanent() || code == Some(TOO_MUCH) {
                    is_permanent = false;
                    verdicts.later.push(recipient.clone());
                } else {
                    verdicts.refused.push(text.clone());
                }
                verdicts.texts.push(text);
            }
        }
    }
    if verdicts.accepted.is_empty() {
        return Err(Trouble {
            verdict: if is_permanent {
                Verdict::Permanent
            } else {
                Verdict::Temporary
            },
            text: verdicts.texts.join("; "),
            is_network: false,
            is_about_recipients: !is_leaving,
        });
    }
    connection
        .command(Data)
        .map_err(|error| Trouble::about_mail("DATA", &error))?;
    let reply = match std::str::from_utf8(body) {
        Ok(text) => connection.command(Content(text)),
        Err(_) => connection.message(body),
    };
    let reply = reply.map_err(|error| {
        let mut trouble = Trouble::about_mail("end of data", &error);
        // The server may have it: another attempt is one for the core's sake,
        // but not at once on a new connection.
        trouble.is_network = false;
        trouble
    })?;
    Ok((said_well(&reply), verdicts))
}

impl Server {
    fn connect(&self) -> Result<SmtpConnection, Trouble> {
        let temporary = |text: String| Trouble {
            verdict: Verdict::Temporary,
            text,
            is_network: false,
            is_about_recipients: false,
        };
        let tls = match self.encryption {
            Encryption::None => None,
            _ => Some(self.tls().map_err(temporary)?),
        };
        let hello = ClientId::Domain(self.hello.clone());
        let wrapped = tls.as_ref().filter(|_| self.encryption == Encryption::Tls);
        let address = (self.host.as_str(), self.port);
        let connected = SmtpConnection::connect(address, Some(self.timeout), &hello, wrapped, None);
        let mut connection = connected.map_err(|error| temporary(said(&error)))?;
        if let (Encryption::StartTls, Some(tls)) = (self.encryption, &tls) {
            if !connection.can_starttls() {
                connection.abort();
                return Err(temporary(
                    "it offers no STARTTLS, and nothing is sent without".to_owned(),
                ));
            }
            let started = connection.starttls(tls, &hello);
            started.map_err(|error| temporary(format!("STARTTLS: {}", said(&error))))?;
        }
        if let Some(credentials) = &self.credentials {
            let credentials = credentials.read().map_err(temporary)?;
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let known = connection.auth(&mechanisms, &credentials);
            known.map_err(|error| {
                connection.abort();
                temporary(format!(
                    "it does not believe our name and password: {}",
                    said(&error)
                ))
            })?;
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca {
            let pem = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let all = Certificate::from_pem(&pem)
                .map_err(|error| format!("{}: {}", path.display(), program::exit::chain(&error)))?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(all);
        }
        builder
            .build()
            .map_err(|error| program::exit::chain(&error))
    }
}

impl Credentials {
    /// Read for every connection, so that a new password needs no reload.
    fn read(&self) -> Result<authentication::Credentials, String> {
        let password = fs::read_to_string(&self.password_file)
            .map_err(|error| format!("{}: {error}", self.password_file.display()))?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        Ok(authentication::Credentials::new(
            self.user.clone(),
            password,
        ))
    }
}

impl Trouble {
    /// While a mail was handed over: only an answer of 5xx is final, and only if it
    /// is about the mail.
    fn about_mail(step: &str, error: &Error) -> Self {
        let is_about_us = |status: &Code| ABOUT_US.contains(&u16::from(*status));
        let is_final = error.is_permanent() && !error.status().as_ref().is_some_and(is_about_us);
        Self {
            verdict: match is_final {
                true => Verdict::Permanent,
                false => Verdict::Temporary,
            },
            text: format!("{step}: {}", said(error)),
            is_network: error.status().is_none(),
            is_about_recipients: false,
        }
    }
}

/// What the server or the system said, on one line.
fn said(error: &Error) -> String {
    if is_late(error) {
        return "no answer in time".to_owned();
    }
    let text = program::exit::chain(error);
    text.replace(['\r', '\n'], " ")
}

/// Whether the time for an answer was over, which the system calls otherwise where
/// it was a read that waited.
fn is_late(error: &Error) -> bool {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    causes.any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    })
}

fn said_well(reply: &Response) -> String {
    let lines: Vec<&str> = reply.message().collect();
    format!("{} {}", reply.code(), lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::Content;

    #[test]
    fn no_line_of_a_mail_ends_it() {
        for (mail, sent) in [
            ("", "\r\n.\r\n"),
            ("a\r\nb", "a\r\nb\r\n.\r\n"),
            (".\r\n..\r\na.\r\n", "..\r\n...\r\na.\r\n\r\n.\r\n"),
            ("a\n.b\r\r\n.c\r", "a\n.b\r\r\n..c\r\r\n.\r\n"),
        ] {
            assert_eq!(Content(mail).to_string(), sent);
        }
    }
}
