//! One mail per notification, put into a maildir.
//!
//! The file's name comes from the job id alone, so that a repeat after a crash
//! replaces itself instead of standing there twice; one that a mail reader has
//! moved to `cur/` meanwhile counts as delivered.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use bstr::{BString, ByteSlice};
use objects::notification::Context;
use objects::{Envelope, SiteId, UnixTime};
use uuid::Uuid;

use crate::delivery::{self, Job, Outcome, Verdict, delay_secs};

/// Longest encoded word, by RFC 2047; 45 bytes become 60 in base64.
const ENCODED_WORD_BYTES: usize = 45;
/// Longest subject, in bytes before encoding.
const MAX_SUBJECT: usize = 400;

/// Everything a maildir lane knows.
pub(crate) struct Maildir<'a> {
    pub(crate) path: &'a Path,
    pub(crate) sender: &'a str,
    pub(crate) recipient: &'a str,
    pub(crate) lane: &'a str,
    pub(crate) site: &'a SiteId,
}

impl Maildir<'_> {
    /// Puts the mail for `job` in.
    pub(crate) fn deliver(&self, job: &Job) -> Outcome {
        let (envelope, context) = match delivery::open(job) {
            Ok(opened) => opened,
            Err(outcome) => return outcome,
        };
        let job_id = envelope.id.job_id(self.lane);
        // The usual form: seconds, something unique, where it was made.
        let name = format!("{}.{job_id}.{}", envelope.created.secs(), self.site);
        let mail = self.print(job, &envelope, &context, job_id);
        match self.put(&name, &mail, job.attempt > 1) {
            Ok(where_) => Outcome::new(Verdict::Delivered, format!("{where_}/{name}")),
            Err(error) => {
                let text = format!("cannot write to {}: {error}", self.path.display());
                Outcome::new(Verdict::Temporary, text)
            }
        }
    }

    /// Written in `tmp/`, synced, renamed into `new/`, directory synced.
    fn put(&self, name: &str, mail: &[u8], again: bool) -> io::Result<&'static str> {
        if !self.path.join("new").is_dir() {
            self.make()?;
        }
        if again && self.was_read(name)? {
            return Ok("cur");
        }
        let (tmp, new) = (self.path.join("tmp").join(name), self.path.join("new"));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&tmp)?;
        file.write_all(mail)?;
        file.sync_all()?;
        std::fs::rename(&tmp, new.join(name))?;
        File::open(&new)?.sync_all()?;
        Ok("new")
    }

    /// `new` comes last: with it, everything is there.
    fn make(&self) -> io::Result<()> {
        for part in ["", "tmp", "cur", "new"] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(self.path.join(part))?;
        }
        File::open(self.path)?.sync_all()?;
        program::file::sync_directory(self.path)
    }

    /// Mail readers move a file to `cur/` and append their flags to its name.
    fn was_read(&self, name: &str) -> io::Result<bool> {
        for entry in std::fs::read_dir(self.path.join("cur"))? {
            let found = entry?.file_name();
            let found = found.as_encoded_bytes();
            if let Some(flags) = found.strip_prefix(name.as_bytes())
                && (flags.is_empty() || flags[0] == b':')
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn print(
        &self,
        job: &Job,
        envelope: &Envelope<'_>,
        context: &Context,
        job_id: Uuid,
    ) -> Vec<u8> {
        let mut out = String::new();
        let mut header = |name: &str, value: &str| {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push('\n');
        };
        header("From", self.sender);
        header("To", self.recipient);
        header("Subject", &encode_header(&subject(envelope, context)));
        header("Date", &rfc2822(envelope.created));
        header("Message-ID", &format!("<{job_id}@{}>", self.site));
        header("Auto-Submitted", "auto-generated");
        header("X-Sitewire-Id", &job.id.to_string());
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "8bit");
        out.push('\n');
        out.push_str(&text(job, envelope, context));
        out.into_bytes()
    }
}

/// `PROBLEM db1/Disk /: CRITICAL`
fn subject(envelope: &Envelope<'_>, context: &Context) -> String {
    let get = |name: &str| {
        context
            .get(name)
            .map(clean)
            .filter(|value| !value.is_empty())
    };
    let kind = get("NOTIFICATIONTYPE").unwrap_or_else(|| envelope.kind.word().to_owned());
    let host = get("HOSTNAME").unwrap_or_else(|| envelope.site.to_string());
    let (object, state) = match get("SERVICEDESC") {
        Some(service) => (format!("{host}/{service}"), get("SERVICESTATE")),
        None => (host, get("HOSTSTATE")),
    };
    let mut subject = format!("{kind} {object}");
    if let Some(state) = state {
        subject.push_str(": ");
        subject.push_str(&state);
    }
    let end = subject.floor_char_boundary(MAX_SUBJECT);
    subject.truncate(end);
    subject
}

/// A value on one line, whatever a plugin printed.
fn clean(value: &BString) -> String {
    let text = value.to_str_lossy();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The mail's text: the usual rows first, then where the notification was.
fn text(job: &Job, envelope: &Envelope<'_>, context: &Context) -> String {
    let mut out = String::new();
    let mut row = |title: &str, value: &str| {
        if !value.is_empty() {
            // Continued lines stand below the value, so that no line of a
            // plugin's output can pass for a row of ours.
            let value = value.replace('\n', &format!("\n{:14}", ""));
            out.push_str(&format!("{title:<14}{value}\n"));
        }
    };
    for (title, name) in [
        ("Host:", "HOSTNAME"),
        ("Alias:", "HOSTALIAS"),
        ("Address:", "HOSTADDRESS"),
        ("Service:", "SERVICEDESC"),
        ("Event:", "NOTIFICATIONTYPE"),
        ("Host state:", "HOSTSTATE"),
        ("State:", "SERVICESTATE"),
        ("Author:", "NOTIFICATIONAUTHOR"),
        ("Comment:", "NOTIFICATIONCOMMENT"),
        (
            "Output:",
            if context.contains_key("SERVICEDESC") {
                "SERVICEOUTPUT"
            } else {
                "HOSTOUTPUT"
            },
        ),
        (
            "Details:",
            if context.contains_key("SERVICEDESC") {
                "LONGSERVICEOUTPUT"
            } else {
                "LONGHOSTOUTPUT"
            },
        ),
        (
            "Metrics:",
            if context.contains_key("SERVICEDESC") {
                "SERVICEPERFDATA"
            } else {
                "HOSTPERFDATA"
            },
        ),
    ] {
        if let Some(value) = context.get(name) {
            row(title, &lines(value));
        }
    }
    row("Site:", envelope.site.as_str());
    let path: Vec<&str> = envelope.path.iter().map(SiteId::as_str).collect();
    row("Path:", &path.join(" -> "));
    row("Time:", &local(envelope.created));
    row("Id:", &job.id.to_string());
    let late = delay_secs(envelope.created, std::time::SystemTime::now().into());
    row("Delay:", &format!("{late} s"));
    if job.attempt > 1 {
        row("Attempt:", &job.attempt.to_string());
    }
    out
}

/// Line ends become plain ones; other control characters become visible.
fn lines(value: &BString) -> String {
    let text = value.to_str_lossy().replace("\r\n", "\n");
    let text = text.trim_end_matches('\n');
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn zoned(time: UnixTime) -> jiff::Zoned {
    jiff::Timestamp::from_microsecond(time.micros())
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::system())
}

fn local(time: UnixTime) -> String {
    zoned(time).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn rfc2822(time: UnixTime) -> String {
    zoned(time).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// A header's text as RFC 2047 wants it: ASCII as it is, anything else in
/// encoded words of whole characters, one per line.
fn encode_header(text: &str) -> String {
    let plain = text.is_ascii() && text.len() < 900 && !text.contains("=?");
    if plain {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(ENCODED_WORD_BYTES);
        words.push(format!("=?utf-8?B?{}?=", base64(&rest.as_bytes()[..end])));
        rest = &rest[end..];
    }
    words.join("\n ")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(DIGITS[(word >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199d3a8-0000-7000-8000-000000000001";

    fn job(context: &str, attempt: u32) -> Job {
        Job {
            id: objects::NotificationId::parse(ID).unwrap(),
            attempt,
            body: format!(
                "{{\"v\":1,\"id\":\"{ID}\",\"kind\":\"raw\",\"created_us\":1795217983000000,\
                 \"site\":\"remote1\",\"path\":[\"remote1\",\"central\"],\"context\":{context}}}"
            ),
        }
    }

    fn deliver(dir: &Path, job: &Job) -> Outcome {
        Maildir {
            path: dir,
            sender: "sitewire@central",
            recipient: "ops@example.com",
            lane: "mail",
            site: &SiteId::new("central").unwrap(),
        }
        .deliver(job)
    }

    fn mails(dir: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir.join("new")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_mail_has_its_headers_and_rows() {
        let dir = tempfile::tempdir().unwrap();
        let context = r#"{"HOSTNAME":"db1","SERVICEDESC":"Disk /","SERVICESTATE":"CRITICAL",
            "NOTIFICATIONTYPE":"PROBLEM","SERVICEOUTPUT":"99% used","LONGSERVICEOUTPUT":"a\nId: fake"}"#;
        let outcome = deliver(dir.path(), &job(context, 1));
        assert_eq!(outcome.verdict, Verdict::Delivered, "{}", outcome.text);
        let mail = std::fs::read_to_string(&mails(dir.path())[0]).unwrap();
        let (headers, body) = mail.split_once("\n\n").unwrap();
        let job_id = objects::NotificationId::parse(ID).unwrap().job_id("mail");
        for line in [
            "From: sitewire@central".to_owned(),
            "To: ops@example.com".to_owned(),
            "Subject: PROBLEM db1/Disk /: CRITICAL".to_owned(),
            format!("Message-ID: <{job_id}@central>"),
            "Auto-Submitted: auto-generated".to_owned(),
        ] {
            assert!(headers.lines().any(|l| l == line), "{line}\n{headers}");
        }
        assert!(
            headers.contains("\nDate: ") && headers.contains(" Nov 2026 "),
            "{headers}"
        );
        assert!(body.contains("Service:      Disk /\n"), "{body}");
        assert!(
            body.contains("Details:      a\n              Id: fake\n"),
            "{body}"
        );
        assert!(body.contains(&format!("Id:           {ID}\n")), "{body}");
        assert!(
            body.contains("Path:         remote1 -> central\n"),
            "{body}"
        );
    }

    #[test]
    fn a_repeat_replaces_itself() {
        let dir = tempfile::tempdir().unwrap();
        for attempt in 1..=3 {
            deliver(dir.path(), &job("{}", attempt));
            assert_eq!(mails(dir.path()).len(), 1);
        }
        let mail = std::fs::read_to_string(&mails(dir.path())[0]).unwrap();
        assert!(mail.contains("\nAttempt:      3\n"));
        assert_eq!(
            std::fs::read_dir(dir.path().join("tmp")).unwrap().count(),
            0
        );
    }

    #[test]
    fn what_was_read_already_counts_as_delivered() {
        let dir = tempfile::tempdir().unwrap();
        deliver(dir.path(), &job("{}", 1));
        let mail = mails(dir.path()).remove(0);
        let name = mail.file_name().unwrap().to_str().unwrap();
        std::fs::rename(&mail, dir.path().join("cur").join(format!("{name}:2,S"))).unwrap();
        let outcome = deliver(dir.path(), &job("{}", 2));
        assert_eq!(outcome.verdict, Verdict::Delivered);
        assert!(mails(dir.path()).is_empty());
    }

    #[test]
    fn a_maildir_that_cannot_be_written_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let outcome = deliver(&file, &job("{}", 1));
        assert_eq!(outcome.verdict, Verdict::Temporary);
    }

    #[test]
    fn values_cannot_add_headers() {
        let context = r#"{"HOSTNAME":"db1\r\nBcc: x@example.com","HOSTSTATE":"DOWN"}"#;
        let dir = tempfile::tempdir().unwrap();
        deliver(dir.path(), &job(context, 1));
        let mail = std::fs::read_to_string(&mails(dir.path())[0]).unwrap();
        let (headers, _) = mail.split_once("\n\n").unwrap();
        assert!(
            headers.lines().all(|line| !line.starts_with("Bcc")),
            "{headers}"
        );
    }

    #[test]
    fn headers_that_are_not_ascii_are_encoded() {
        assert_eq!(encode_header("plain"), "plain");
        assert_eq!(encode_header("ü"), "=?utf-8?B?w7w=?=");
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        let long = encode_header(&"ü".repeat(100));
        assert!(long.lines().all(|line| line.len() <= 76), "{long}");
    }
}
