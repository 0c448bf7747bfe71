//! `[heartbeat]`: who is told that we are alive.

use std::time::Duration;

use program::config::{Table, Value};

use super::lanes::command_line;
use super::{http, positive};
use crate::http::Settings;

/// `every`
const EVERY: Duration = Duration::from_secs(60);
/// `timeout` of a program
const TIMEOUT: Duration = Duration::from_secs(30);

/// An outside watcher, who raises the alarm when he hears nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) watcher: Watcher,
    pub(crate) every: Duration,
}

/// How he is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// This address is asked.
    Url(String, Settings),
    /// This program is run, with these arguments.
    Command(Vec<String>, Duration),
}

impl Heartbeat {
    pub(super) fn parse(mut table: Table, problems: &mut Vec<String>) -> Option<Self> {
        let every = table.take("every", positive, problems);
        let watcher = match (table.has("url"), table.has("command")) {
            (true, false) => {
                let url = table.take("url", address, problems);
                let settings = http::settings(&mut table, problems);
                url.map(|url| Watcher::Url(url, settings))
            }
            (false, true) => {
                let words = table.take("command", command_line, problems);
                let timeout = table.take("timeout", positive, problems);
                words.map(|words| Watcher::Command(words, timeout.unwrap_or(TIMEOUT)))
            }
            _ => {
                problems.push(table.problem("[heartbeat] needs either `url` or `command`"));
                return None;
            }
        };
        table.finish(problems);
        Some(Self {
            watcher: watcher?,
            every: every.unwrap_or(EVERY),
        })
    }

    /// What is wrong with the files that it needs.
    pub(super) fn check_files(&self) -> Option<String> {
        match &self.watcher {
            Watcher::Url(_, settings) => {
                let ca = settings.ca.as_ref()?;
                super::lanes::check_file(ca)
            }
            Watcher::Command(words, _) => super::lanes::check_program(words.first()?.as_ref()),
        }
    }
}

fn address(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Ok(text),
        false => Err("must begin with https:// or http://".to_owned()),
    }
}
