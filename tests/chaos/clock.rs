//! The clock of one daemon, which a file tells.

use crate::problem::{Problem, sh};

/// With this environment a daemon reads its time of day from a file.
pub(crate) struct Clock {
    directory: tempfile::TempDir,
    library: String,
}

impl Clock {
    pub(crate) fn new() -> Result<Self, Problem> {
        let find = "find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1";
        let library = sh(find)?;
        if library.is_empty() {
            return Err(Problem::Skipped("libfaketime is not installed".to_owned()));
        }
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("time"), "+0\n")?;
        Ok(Self { directory, library })
    }

    /// What the daemon is started with.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let file = self.directory.path().join("time").display().to_string();
        [
            ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("LD_PRELOAD", self.library.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// So many seconds before or after the true time.
    pub(crate) fn set(&self, seconds: i64) {
        let text = format!("{seconds:+}\n");
        let _ = std::fs::write(self.directory.path().join("time"), text);
    }
}
