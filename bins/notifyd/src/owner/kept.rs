//! Small files of the spool for what the owner knows and the journal does not:
//! JSON, replaced as a whole.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One of them.
pub(super) struct Kept {
    path: PathBuf,
}

impl Kept {
    pub(super) fn new(spool: &Path, name: &str) -> Self {
        Self {
            path: spool.join(name),
        }
    }

    /// What an earlier run left, null for nothing. So is a file that cannot be
    /// read; the log says then what that means.
    pub(super) fn load(&self, meaning: &str) -> Value {
        let read = match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Value::Null,
            Err(error) => Err(error),
        };
        read.unwrap_or_else(|error| {
            tracing::error!("{self}: {error}: {meaning}");
            Value::Null
        })
    }

    /// It is durable when this returns.
    pub(super) fn store(&self, value: &Value) -> io::Result<()> {
        let text = value.to_string() + "\n";
        program::file::replace(&self.path, 0o600, |out| out.write_all(text.as_bytes()))
    }
}

/// Its path.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
