//! `script = "/path"`: a plugin, as Checkmk has them.

use std::path::PathBuf;
use std::time::Duration;

use program::config::Table;

use super::positive;
use super::read::{self, TIMEOUT, absolute};

/// A program that is run once per notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScriptLane {
    pub(crate) path: PathBuf,
    pub(crate) timeout: Duration,
}

impl ScriptLane {
    pub(super) fn parse(table: &mut Table, problems: &mut Vec<String>) -> Option<Self> {
        let path = table.take("script", absolute, problems);
        let timeout = table.take("timeout", positive, problems);
        Some(Self {
            path: path?,
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }

    pub(super) fn check_files(&self) -> Option<String> {
        read::check_program(&self.path)
    }
}
