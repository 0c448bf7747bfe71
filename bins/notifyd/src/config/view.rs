//! The part of the configuration that is about what can be seen: `[metrics]` and
//! `[log]`.

use net::Address;
use program::config::{Table, Value};
use program::log::Format;

/// How the log looks, and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Log {
    pub(crate) format: Format,
    /// Whether there is a line for each notification and what becomes of it.
    pub(crate) notifications: bool,
}

/// Under this name Checkmk's spooler writes its log.
const CHECKMK_LOGGER: &str = "cmk.mknotifyd";

pub(super) fn parse_log(mut table: Table, problems: &mut Vec<String>) -> Log {
    let style = table.take("style", style, problems);
    let notifications = table.take("notifications", Table::boolean, problems);
    table.finish(problems);
    Log {
        format: style.unwrap_or_default(),
        notifications: notifications.unwrap_or(false),
    }
}

fn style(value: Value) -> Result<Format, String> {
    match Table::text(value)?.as_str() {
        "sitewire" => Ok(Format::Text),
        "checkmk" => Ok(Format::Checkmk(CHECKMK_LOGGER)),
        _ => Err("must be \"sitewire\" or \"checkmk\"".to_owned()),
    }
}

/// Nobody beyond this machine reads the metrics unless that is spelled out.
pub(super) fn parse_metrics(mut table: Table, problems: &mut Vec<String>) -> Option<Address> {
    let listen: Option<Address> = table.require("listen", Table::parsed, problems);
    let exposed = table.take("exposed", Table::boolean, problems);
    if let Some(address) = &listen
        && !address.is_local()
        && !exposed.unwrap_or(false)
    {
        let what = format!("others can reach {address}: `exposed` must say that they may");
        problems.push(table.problem(&what));
    }
    table.finish(problems);
    listen
}
