//! `[heartbeat]`: who is told that we are alive.

use std::time::Duration;

use program::config::{Table, Value};

use super::{http, positive};
use crate::http::Settings;

/// `every`
const EVERY: Duration = Duration::from_secs(60);

/// An outside watcher, who raises the alarm when he hears nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) url: String,
    pub(crate) every: Duration,
    pub(crate) http: Settings,
}

impl Heartbeat {
    pub(super) fn parse(mut table: Table, problems: &mut Vec<String>) -> Option<Self> {
        let url = table.require("url", address, problems);
        let every = table.take("every", positive, problems);
        let http = http::settings(&mut table, problems);
        table.finish(problems);
        Some(Self {
            url: url?,
            every: every.unwrap_or(EVERY),
            http,
        })
    }
}

fn address(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match text.starts_with("https://") || text.starts_with("http://") {
        true => Ok(text),
        false => Err("must begin with https:// or http://".to_owned()),
    }
}
