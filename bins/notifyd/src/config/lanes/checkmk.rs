//! `checkmk = { … }`: the Checkmk of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use program::config::Table;

use super::positive;
use super::read::{TIMEOUT, absolute, check_program, command_line};

/// How notifications get into a Checkmk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckmkLane {
    /// The directory of its spooler.
    Spool(PathBuf),
    /// What is run, with the variables in the environment.
    Command {
        words: Vec<String>,
        timeout: Duration,
    },
}

impl CheckmkLane {
    pub(super) fn parse(table: &mut Table, problems: &mut Vec<String>) -> Option<Self> {
        let mut checkmk = table.take("checkmk", Table::table, problems)?;
        let spool = checkmk.take("spool", absolute, problems);
        let words = checkmk.take("command", command_line, problems);
        let what = "`checkmk` needs either `spool` or `command`";
        let both = checkmk.problem(what);
        checkmk.finish(problems);
        match (spool, words) {
            (Some(directory), None) => Some(Self::Spool(directory)),
            (None, Some(words)) => {
                let timeout = table.take("timeout", positive, problems);
                let timeout = timeout.unwrap_or(TIMEOUT);
                Some(Self::Command { words, timeout })
            }
            _ => {
                problems.push(both);
                None
            }
        }
    }

    pub(super) fn check_files(&self) -> Option<String> {
        match self {
            Self::Spool(directory) if directory.is_dir() => None,
            Self::Spool(directory) => Some(format!("{} is no directory", directory.display())),
            Self::Command { words, .. } => check_program(Path::new(words.first()?)),
        }
    }
}
