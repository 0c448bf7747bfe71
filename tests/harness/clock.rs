//! A clock that goes wrong on purpose, by libfaketime.

use std::path::PathBuf;

use crate::{Program, peer};

/// A clock that programs have in the place of the system's, and that can be put
/// forward and back while they run.
pub struct Clock {
    library: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Clock {
    /// One that is `offset` from ours: `+1h`, `-1h`, `+0`. `None` where
    /// libfaketime is not installed.
    #[track_caller]
    pub fn new(offset: &str) -> Option<Self> {
        if !peer::available("faketime", "faketime") {
            return None;
        }
        let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
        let library = PathBuf::from("/usr/lib")
            .join(machine)
            .join("faketime/libfaketimeMT.so.1");
        assert!(library.exists(), "{} is missing", library.display());
        let file = tempfile::NamedTempFile::new().expect("cannot make a file");
        let clock = Self { library, file };
        clock.set(offset);
        Some(clock)
    }

    /// Puts it so far from ours.
    pub fn set(&self, offset: &str) {
        std::fs::write(self.file.path(), offset).expect("cannot write a file");
    }

    /// A program that goes by this clock. How long it waits is not changed.
    pub fn run(&self, program: Program) -> Program {
        program
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file.path())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}
