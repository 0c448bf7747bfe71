//! The part of notifyd.toml that a site needs which has joined. What is there
//! stays as it is; what is missing is added at the end.

use std::fmt::Write;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use authority::{Credentials, Token};
use objects::SiteId;
use program::config::Table;
use program::{Failure, Status};

/// What is to be in the file, and what of it is missing.
pub(crate) struct Stanza {
    file: PathBuf,
    missing: String,
}

impl Stanza {
    /// Looks into the file; fails if what is there does not fit.
    pub(crate) fn plan(
        file: &Path,
        token: &Token,
        credentials: &Credentials,
    ) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let what = format!("cannot read {}", file.display());
                return Err(Failure::caused(Status::Failed, what, error));
            }
        };
        let present = Present::read(file, &text)?;
        let missing = present
            .missing(token, credentials)
            .map_err(|what| Failure::new(Status::Failed, format!("{}: {what}", file.display())))?;
        Ok(Self {
            file: file.to_owned(),
            missing,
        })
    }

    /// Adds what is missing; whether anything was.
    pub(crate) fn write(&self) -> Result<bool, Failure> {
        if self.missing.is_empty() {
            return Ok(false);
        }
        self.append().map_err(|error| {
            let what = format!(
                "cannot write {}, and these lines belong into it:\n{}\n",
                self.file.display(),
                self.missing
            );
            Failure::caused(Status::Failed, what, error)
        })?;
        Ok(true)
    }

    fn append(&self) -> io::Result<()> {
        let (mut text, mode) = match std::fs::read(&self.file) {
            Ok(text) => (text, std::fs::metadata(&self.file)?.permissions().mode()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = self.file.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                (Vec::new(), 0o644)
            }
            Err(error) => return Err(error),
        };
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend(self.missing.as_bytes());
        program::file::replace(&self.file, mode & 0o7777, |out| out.write_all(&text))
    }
}

/// What a file says already.
struct Present {
    site: Option<SiteId>,
    tls: Option<(PathBuf, PathBuf)>,
    peers: Vec<SiteId>,
}

impl Present {
    fn read(file: &Path, text: &str) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut root = Table::parse(&file.display().to_string(), text, &mut problems);
        let site = root
            .take("site", Table::table, &mut problems)
            .and_then(|mut table| table.take("name", Table::parsed, &mut problems));
        let tls = root
            .take("tls", Table::table, &mut problems)
            .and_then(|mut table| {
                let certificate = table.take("certificate", Table::path, &mut problems);
                certificate.zip(table.take("key", Table::path, &mut problems))
            });
        let peers = root.take_tables("peer", &mut problems).into_iter();
        let peers = peers.filter_map(|mut table| table.take("site", Table::parsed, &mut problems));
        let peers = peers.collect();
        match problems.first() {
            Some(problem) => Err(Failure::new(Status::BadConfiguration, problem.clone())),
            None => Ok(Self { site, tls, peers }),
        }
    }

    fn missing(&self, token: &Token, credentials: &Credentials) -> Result<String, String> {
        let mut parts = Vec::new();
        match &self.site {
            Some(site) if *site != token.site => {
                return Err(format!(
                    "this is site {site}, and the token is for {}",
                    token.site
                ));
            }
            Some(_) => {}
            None => parts.push(format!("[site]\nname = \"{}\"\n", token.site)),
        }
        match &self.tls {
            Some((certificate, key))
                if *certificate != credentials.certificate || *key != credentials.key =>
            {
                return Err(format!(
                    "[tls] names other files: say --directory {}, or take the table out",
                    certificate.parent().unwrap_or(Path::new("DIR")).display()
                ));
            }
            Some(_) => {}
            None => parts.push(tls_table(credentials)?),
        }
        if !self.peers.contains(&token.centre) {
            parts.push(format!(
                "[[peer]]\nsite = \"{}\"\nconnect = \"{}\"\nsend = true\n",
                token.centre, token.address
            ));
        }
        Ok(parts.join("\n"))
    }
}

fn tls_table(credentials: &Credentials) -> Result<String, String> {
    let mut text = "[tls]\n".to_owned();
    let files = [
        ("certificate", Some(&credentials.certificate)),
        ("key", Some(&credentials.key)),
        ("ca", Some(&credentials.authority)),
        ("crl", credentials.revoked.as_ref()),
    ];
    for (key, path) in files {
        let Some(path) = path else { continue };
        let path = path.to_str().filter(|path| {
            let special = |c: char| c.is_control() || "\"\\".contains(c);
            !path.contains(special)
        });
        let path = path.ok_or("the directory has a name that cannot be written here")?;
        let _ = writeln!(text, "{key} = \"{path}\"");
    }
    text.push_str("renew = true\n");
    Ok(text)
}
