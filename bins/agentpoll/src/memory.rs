//! What must survive: which hosts have spoken TLS and what was found on them,
//! and which agents may push.
//!
//! | file | what |
//! |---|---|
//! | `lock` | one `agentpoll run` at a time |
//! | `hosts/HOST.json` | [`HostRecord`] |
//! | `agents/UUID.json` | [`AgentRecord`] |
//! | `packages/HOST.json` | the newest inventory that came from there |
//! | `client.crt`, `client.key` | who we are towards agents |
//!
//! Each file appears whole or not at all. The daemon looks at the record of an
//! agent whenever it pushes, so what other commands write counts at once.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use program::lock::{self, Lock};
use program::{Failure, Status};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest record.
const MAX_RECORD: usize = 4 << 20;
/// Bytes of chance in a password: what openITCOCKPIT's server gives.
const PASSWORD: usize = 64;

/// The state directory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    directory: PathBuf,
}

/// What is remembered of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    /// It has spoken TLS, and is never asked in plain text again.
    pub(crate) has_spoken_tls: bool,
    /// The services that were found on it, for hosts whose list is not configured.
    pub(crate) services: Vec<String>,
}

/// What is remembered of an agent that pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    pub(crate) uuid: String,
    /// SHA-256 of the password. It is 64 bytes of chance: that nobody guesses.
    pub(crate) password_hash: String,
    /// What the agent says of itself.
    pub(crate) hostname: String,
    pub(crate) ipaddress: String,
    /// Unix time.
    pub(crate) registered: i64,
    /// The agent has shown that it knows its password.
    pub(crate) is_used: bool,
    /// Whose agent it is; none as long as it was not accepted.
    pub(crate) host: Option<String>,
}

impl Memory {
    /// Opens it, and makes what is missing.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let memory = Self {
            directory: directory.to_owned(),
        };
        for part in ["hosts", "agents", "packages"] {
            let path = directory.join(part);
            make_private(&path).map_err(|error| {
                let what = format!("cannot make {}", path.display());
                Failure::caused(Status::Failed, what, error)
            })?;
        }
        Ok(memory)
    }

    /// For the daemon: no other one works with it.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        Lock::take(&self.directory.join("lock")).map_err(|error| {
            let status = match error {
                lock::Error::InUse { .. } => Status::TryAgain,
                lock::Error::Io { .. } => Status::Failed,
            };
            Failure::caused(status, "cannot use the state directory", error)
        })
    }

    /// A file of it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What is known of a host; nothing if it is new.
    pub(crate) fn host(&self, name: &str) -> io::Result<HostRecord> {
        Ok(read(&self.path("hosts", name))?.unwrap_or_default())
    }

    pub(crate) fn store_host(&self, name: &str, record: &HostRecord) -> io::Result<()> {
        write(&self.path("hosts", name), record)
    }

    /// Whether there was anything to forget.
    pub(crate) fn forget_host(&self, name: &str) -> io::Result<bool> {
        remove(&self.path("hosts", name))
    }

    pub(crate) fn agent(&self, uuid: &str) -> io::Result<Option<AgentRecord>> {
        read(&self.path("agents", uuid))
    }

    pub(crate) fn store_agent(&self, record: &AgentRecord) -> io::Result<()> {
        write(&self.path("agents", &record.uuid), record)
    }

    pub(crate) fn forget_agent(&self, uuid: &str) -> io::Result<bool> {
        remove(&self.path("agents", uuid))
    }

    /// All agents, in the order of their registration.
    pub(crate) fn agents(&self) -> io::Result<Vec<AgentRecord>> {
        let mut records: Vec<AgentRecord> = Vec::new();
        for entry in std::fs::read_dir(self.directory.join("agents"))? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                records.extend(read::<AgentRecord>(&path)?);
            }
        }
        records.sort_by_key(|record| record.registered);
        Ok(records)
    }

    /// Keeps the inventory of a host, as it came.
    pub(crate) fn store_packages(&self, host: &str, text: &[u8]) -> io::Result<()> {
        program::file::replace(&self.path("packages", host), 0o600, |out| {
            out.write_all(text)
        })
    }

    fn path(&self, part: &str, name: &str) -> PathBuf {
        let name = format!("{}.json", authority::agent::percent_encoded(name));
        self.directory.join(part).join(name)
    }
}

impl AgentRecord {
    /// Whether that is its password.
    pub(crate) fn knows(&self, password: &str) -> bool {
        is_same(hash(password).as_bytes(), self.password_hash.as_bytes())
    }
}

/// A new password and what is remembered of it.
pub(crate) fn new_password() -> io::Result<(String, String)> {
    let mut bytes = [0; PASSWORD];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| io::Error::other("the system has no random numbers"))?;
    let password = HEXLOWER.encode(&bytes);
    let hash = hash(&password);
    Ok((password, hash))
}

/// Compares secrets; how long it takes says nothing of where they differ.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn hash(password: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, password.as_bytes()).as_ref())
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(path, &error)),
    };
    let mut text = Vec::new();
    file.take(MAX_RECORD as u64)
        .read_to_end(&mut text)
        .map_err(|error| named(path, &error))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| named(path, &error))
}

fn write<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let text = serde_json::to_string(record)?;
    program::file::replace(path, 0o600, |out| writeln!(out, "{text}"))
        .map_err(|error| named(path, &error))
}

fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => program::file::sync_directory(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(named(path, &error)),
    }
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_survives_and_can_be_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::open(directory.path()).unwrap();
        assert_eq!(memory.host("a/b").unwrap(), HostRecord::default());
        let record = HostRecord {
            has_spoken_tls: true,
            services: vec!["Memory".to_owned()],
        };
        memory.store_host("a/b", &record).unwrap();
        let again = Memory::open(directory.path()).unwrap();
        assert_eq!(again.host("a/b").unwrap(), record);
        assert!(again.forget_host("a/b").unwrap());
        assert!(!again.forget_host("a/b").unwrap());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_no_new_host() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::open(directory.path()).unwrap();
        for text in ["", "{", "[]", "{\"has_spoken_tls\": 7}"] {
            std::fs::write(directory.path().join("hosts/a.json"), text).unwrap();
            assert!(memory.host("a").is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_kept() {
        let (password, hash) = new_password().unwrap();
        assert_eq!(password.len(), 128);
        let record = AgentRecord {
            uuid: "u".to_owned(),
            password_hash: hash,
            hostname: String::new(),
            ipaddress: String::new(),
            registered: 0,
            is_used: false,
            host: None,
        };
        assert!(record.knows(&password));
        assert!(!record.knows(&password[1..]));
        assert!(!record.knows(""));
        assert!(!serde_json::to_string(&record).unwrap().contains(&password));
    }
}
