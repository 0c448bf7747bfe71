//! Which services a document suggests.

use objects::{Host, Service};

use crate::document::{Disk, Document};
use crate::item::{self, Item};
use crate::rules::Rules;

/// Seconds in the unit in which a core counts check intervals.
const INTERVAL_LENGTH: f64 = 60.0;

/// File systems that are full by nature: images that nobody writes to.
const IMAGES: [&str; 5] = ["squashfs", "iso9660", "udf", "erofs", "cramfs"];

/// The host that a document describes, with a service for everything in it
/// that is worth watching. What is not right at this moment (an interface
/// without link, a file system that does not answer) is taken for not wanted.
pub fn discover(document: &Document) -> Host {
    discover_for(document, &Rules::default())
}

/// As [`discover`], with the processes that the rules look for.
pub fn discover_for(document: &Document, rules: &Rules) -> Host {
    let check_interval = (document.check_interval() as f64 / INTERVAL_LENGTH).max(1.0);
    let service = Service {
        check_command: COMMAND.into(),
        max_check_attempts: 1,
        check_interval,
        retry_interval: check_interval,
        ..Service::default()
    };
    let services = item::items(document, rules)
        .into_iter()
        .filter(|(description, item)| is_expressible(description) && is_wanted(document, *item))
        .map(|(description, _)| (description, service.clone()))
        .collect();
    Host {
        check_command: COMMAND.into(),
        max_check_attempts: 1,
        check_interval,
        retry_interval: check_interval,
        notes: notes(document).into(),
        services,
        ..Host::default()
    }
}

/// What feeds the results, for show: nothing is run by that name.
const COMMAND: &str = "agentpoll";

/// Results are submitted in lines whose fields end at a semicolon.
fn is_expressible(description: &[u8]) -> bool {
    !description
        .iter()
        .any(|b| *b == b';' || b.is_ascii_control())
}

fn is_wanted(document: &Document, item: Item<'_>) -> bool {
    let links = document.net_stats.done();
    match item {
        // The same figure as the usage, seen from the other side.
        Item::DiskFree(_) => false,
        Item::DiskUsage(disk) => can_fill_up(disk),
        Item::DiskStats(disk_io) => disk_io.load_percent.is_some(),
        Item::NetworkState(link) => link.isup == Some(true),
        Item::NetworkStats(name, _) => {
            let link = links.and_then(|links| links.get(name));
            link.is_none_or(|link| link.isup == Some(true))
        }
        // macOS has no figure for it.
        Item::SystemTime(ntp) => ntp.sync_status == Some(true),
        // Of the units, the services that go on for ever.
        Item::SystemdUnit(unit) => {
            unit.name.ends_with(".service")
                && unit.active_state == "active"
                && unit.sub_state == "running"
        }
        Item::LaunchdService(service) => service.is_running,
        Item::WindowsService(service) => {
            service.status == "Running" && service.start_type.starts_with("Auto")
        }
        Item::Guest(guest) => guest.is_running,
        _ => true,
    }
}

fn can_fill_up(disk: &Disk) -> bool {
    disk.usage.total > 0 && !IMAGES.contains(&disk.disk.fstype.as_str())
}

fn notes(document: &Document) -> String {
    let Some(agent) = document.agent.done() else {
        return String::new();
    };
    let words = [
        &agent.system,
        &agent.mac_version,
        &agent.kernel_version,
        &agent.goarch,
    ];
    let words: Vec<&str> = words
        .into_iter()
        .filter(|word| !word.is_empty())
        .map(String::as_str)
        .collect();
    words.join(" ")
}
