//! `[[lane]]`: ways of delivery. What all lanes have in common is here; where
//! they deliver to: `destination`.

mod checkmk;
mod command;
mod destination;
mod mail;
mod read;
mod script;
mod syslog;
mod webhook;

use objects::SiteId;
use program::config::{Table, Value};

pub(crate) use checkmk::CheckmkLane;
pub(crate) use command::{Argument, CommandLane};
pub(crate) use destination::Destination;
pub(crate) use mail::{MailLane, Transport};
pub(super) use read::{absolute, check_file, check_program, command_line};
pub(crate) use script::ScriptLane;
pub(crate) use syslog::{SyslogFormat, SyslogLane, SyslogServer};
pub(crate) use webhook::{WebhookLane, WebhookTemplate};

use super::flow::Flow;
use super::positive;

/// `places` of lanes that send mails, and of all others.
const MAIL_PLACES: usize = 4;
const PLACES: usize = 1;

/// A way of delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) to: Destination,
    pub(crate) flow: Flow,
}

pub(super) fn parse_lane(mut table: Table, site: &str, problems: &mut Vec<String>) -> Option<Lane> {
    let name = table.require("name", lane_name, problems);
    let to = Destination::parse(&mut table, site, problems);
    let places = match to {
        Some(Destination::Mail(_)) => MAIL_PLACES,
        _ => PLACES,
    };
    let flow = Flow::parse(&mut table, places, problems);
    table.finish(problems);
    Some(Lane {
        name: name?,
        to: to?,
        flow,
    })
}

/// The name stands in journal records, in the state file and in file names.
pub(super) fn lane_name(value: Value) -> Result<String, String> {
    let name = Table::text(value)?;
    match SiteId::new(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(format!(
            "{name:?} must be 1 to {} letters, digits, underscores and dashes, no dash first",
            objects::site::MAX_LEN
        )),
    }
}
