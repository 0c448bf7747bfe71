//! How HTTP servers are spoken to: the keys of webhooks and of the heartbeat.

use std::time::Duration;

use program::config::{Table, Value};

use super::lanes::absolute;
use super::positive;
use crate::http::Settings;

/// `timeout`
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn settings(table: &mut Table, problems: &mut Vec<String>) -> Settings {
    Settings {
        ca: table.take("ca", absolute, problems),
        proxy: table.take("proxy", proxy, problems),
        timeout: table.take("timeout", positive, problems).unwrap_or(TIMEOUT),
    }
}

fn proxy(value: Value) -> Result<String, String> {
    let text = Table::text(value)?;
    match text.starts_with("http://") && ureq::Proxy::new(&text).is_ok() {
        true => Ok(text),
        false => Err("must be such as \"http://proxy.example.org:3128\"".to_owned()),
    }
}
