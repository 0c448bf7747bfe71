//! Mails put into a maildir.
//!
//! The file's name comes from the job id alone, so that a repeat after a crash
//! replaces itself instead of standing there twice; one that a mail reader has
//! moved to `cur/` meanwhile counts as delivered.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use bstr::ByteSlice;

use crate::delivery::{Outcome, Verdict, Work};
use crate::mail::Composer;

/// Everything a maildir lane knows.
pub(crate) struct Maildir {
    pub(crate) path: PathBuf,
    pub(crate) composer: Composer,
}

impl Maildir {
    /// Puts the mail for `work` in.
    pub(crate) fn deliver(&self, work: &Work) -> Outcome {
        let mail = match self.composer.compose(work) {
            Ok(mail) => mail,
            Err(outcome) => return outcome,
        };
        // The usual form: seconds, something unique, where it was made.
        let (secs, site) = (mail.created.secs(), &self.composer.site);
        let name = format!("{secs}.{}.{site}", mail.job_id);
        // Files have the line ends of the system, unlike mails on their way.
        let text = mail.message.formatted().replace("\r\n", "\n");
        match self.put(&name, &text, mail.attempt > 1) {
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
        File::open(&self.path)?.sync_all()?;
        program::file::sync_directory(&self.path)
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
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use objects::SiteId;

    use super::*;
    use crate::delivery::Job;
    use crate::mail::{Sources, Templates};

    const ID: &str = "0199d3a8-0000-7000-8000-000000000001";

    fn job(context: &str, attempt: u32) -> Job {
        Job {
            id: objects::NotificationId::parse(ID).unwrap(),
            attempt,
            body: format!(
                "{{\"v\":1,\"id\":\"{ID}\",\"kind\":\"raw\",\"created_us\":1795217983000000,\
                 \"site\":\"remote1\",\"path\":[\"remote1\",\"central\"],\"context\":{context}}}"
            ),
            told: Default::default(),
            is_late: false,
            left: Vec::new(),
        }
    }

    fn deliver(dir: &Path, job: &Job) -> Outcome {
        let composer = Composer {
            lane: "mail".to_owned(),
            site: SiteId::new("central").unwrap(),
            sender: "sitewire@central".parse().unwrap(),
            recipients: vec!["ops@example.com".parse().unwrap()],
            usual: None,
            templates: Templates::read(&Sources::default()).unwrap(),
        };
        let path = dir.to_owned();
        Maildir { path, composer }.deliver(&Work::One(job.clone()))
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
            "Subject: *** PROBLEM - db1/Disk / is CRIT ***".to_owned(),
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
}
