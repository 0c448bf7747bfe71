//! `[[lane]]`: ways of delivery. What all lanes have in common is here; where
//! they deliver to: `destination`.

mod destination;
mod mail;
mod read;
mod script;

use std::time::Duration;

use objects::SiteId;
use program::config::{Table, Value};

pub(crate) use destination::Destination;
pub(crate) use mail::{MailLane, Transport};
pub(super) use read::absolute;
pub(crate) use script::ScriptLane;

use super::positive;

/// `retry`: the first pause; each further one is twice as long.
const RETRY: Duration = Duration::from_secs(30);
/// `retry_max`: no pause is longer.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);
/// `expire`: for notifications that do not say it themselves.
const EXPIRE: Duration = Duration::from_secs(24 * 3600);

/// A way of delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) to: Destination,
    pub(crate) retry: Retry,
}

/// When a delivery that failed is tried again, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) expire: Duration,
}

pub(super) fn parse_lane(mut table: Table, site: &str, problems: &mut Vec<String>) -> Option<Lane> {
    let name = table.require("name", lane_name, problems);
    let to = Destination::parse(&mut table, site, problems);
    let retry = Retry {
        first: table.take("retry", positive, problems).unwrap_or(RETRY),
        longest: table
            .take("retry_max", positive, problems)
            .unwrap_or(RETRY_MAX),
        expire: table.take("expire", positive, problems).unwrap_or(EXPIRE),
    };
    table.finish(problems);
    Some(Lane {
        name: name?,
        to: to?,
        retry,
    })
}

/// The name stands in journal records, in the state file and in file names.
fn lane_name(value: Value) -> Result<String, String> {
    let name = Table::text(value)?;
    match SiteId::new(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!(
            "{name:?} must be 1 to {} letters, digits, underscores and dashes, no dash first",
            objects::site::MAX_LEN
        )),
    }
}
