//! Who we are towards openITCOCKPIT's server: a UUID of ours, and the password
//! that the server has given us for it.
//!
//! The server gives a password once. If it is lost, the UUID is refused until
//! somebody deletes it there; so what is on the disk is never half a file, and
//! what was there before stays beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Longest file, in bytes.
const MAX_FILE: u64 = 64 << 10;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    pub(super) uuid: String,
    /// Empty as long as we are not registered.
    #[serde(default)]
    pub(super) password: String,
}

/// Where it is kept.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// What is kept, or a new UUID if there is nothing.
    pub(super) fn load(&self) -> Result<Identity, String> {
        let named = |error: io::Error| format!("{}: {error}", self.path.display());
        let identity = match read(&self.path) {
            Ok(identity) => identity,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Identity::default(),
            // A file of the original that was cut short, most likely.
            Err(error) => read(&self.old()).map_err(|_| named(error))?,
        };
        if !identity.uuid.is_empty() {
            return Ok(identity);
        }
        let identity = Identity::fresh()?;
        self.save(&identity).map_err(named)?;
        Ok(identity)
    }

    /// Whether what is kept can be read. That there is nothing is no fault.
    pub(super) fn check(&self) -> Result<(), String> {
        match read(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Keeps it, and what was there before.
    pub(super) fn save(&self, identity: &Identity) -> io::Result<()> {
        let text = serde_json::to_vec(identity)?;
        match read(&self.path) {
            Ok(old) if old == *identity => {}
            Ok(old) => write(&self.old(), &serde_json::to_vec(&old)?)?,
            Err(_) => {}
        }
        write(&self.path, &text)
    }

    fn old(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".old");
        name.into()
    }
}

impl Identity {
    pub(super) fn fresh() -> Result<Self, String> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "there are no random numbers".to_owned())?;
        let uuid: Uuid = Builder::from_random_bytes(bytes).into_uuid();
        Ok(Self {
            uuid: uuid.to_string(),
            password: String::new(),
        })
    }
}

fn read(path: &Path) -> io::Result<Identity> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    program::file::replace(path, 0o600, |out| out.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_new_identity_is_kept_and_an_old_one_stays_beside() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("auth.json");
        let store = Store::new(&path);
        let mut identity = store.load().unwrap();
        assert_eq!(
            Uuid::parse_str(&identity.uuid).unwrap().get_version_num(),
            4
        );
        assert_eq!(store.load().unwrap(), identity);
        let old = identity.clone();
        identity.password = "secret".to_owned();
        store.save(&identity).unwrap();
        assert_eq!(store.load().unwrap(), identity);
        assert_eq!(read(&store.old()).unwrap(), old);
    }

    #[test]
    fn a_file_that_was_cut_short_is_replaced_by_the_older_one_or_named() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("auth.json");
        let store = Store::new(&path);
        fs::write(&path, "{\"uuid\": \"a").unwrap();
        let error = store.load().unwrap_err();
        assert!(error.contains("auth.json"), "{error}");
        fs::write(store.old(), "{\"uuid\":\"u\",\"password\":\"p\"}").unwrap();
        assert_eq!(store.load().unwrap().password, "p");
        fs::write(&path, "{}").unwrap();
        assert_ne!(store.load().unwrap().uuid, "");
        assert!(
            Store::new(Path::new("/nonexistent/auth.json"))
                .load()
                .is_err()
        );
    }
}
