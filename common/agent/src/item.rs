//! What one service is about, and the description it has.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

use crate::document::{
    Battery, Checked, Container, CustomCheck, Disk, DiskIo, Document, Guest, LaunchdService, NetIo,
    NetStats, Ntp, SystemdUnit, Temperature, WindowsEvent, WindowsService,
};
use crate::process::{self, ProcessRule};
use crate::rules::Rules;

/// One thing that a document tells about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    CpuUsage,
    CpuLoad,
    Memory,
    Swap,
    Uptime,
    SystemTime(&'a Ntp),
    DiskUsage(&'a Disk),
    DiskFree(&'a Disk),
    DiskStats(&'a DiskIo),
    NetworkStats(&'a str, &'a NetIo),
    NetworkState(&'a NetStats),
    Sensor(&'a Temperature),
    Battery(&'a Battery),
    CustomCheck(&'a CustomCheck),
    Processes(&'a ProcessRule),
    SystemdUnit(&'a SystemdUnit),
    LaunchdService(&'a LaunchdService),
    WindowsService(&'a WindowsService),
    EventLog(&'a [WindowsEvent]),
    ContainerRunning(&'a Container),
    ContainerCpu(&'a Container),
    ContainerMemory(&'a Container),
    Guest(&'a Guest),
}

/// Why there is no item of a description that is one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The agent does not run the check with this key.
    CheckAbsent(&'static str),
    /// The check failed.
    CheckFailed(String),
    /// The check ran, and the named item is not among what it found; perhaps
    /// because of what the agent says about it.
    ItemAbsent(BString, Option<String>),
    /// As before, of something that ought to run and so does not.
    NotRunning(BString),
}

/// Everything in the document, by description. Of two file systems mounted
/// one over the other, the later one is what can be seen.
pub(crate) fn items<'a>(document: &'a Document, rules: &'a Rules) -> BTreeMap<BString, Item<'a>> {
    let mut items = BTreeMap::new();
    let mut add = |description: String, item| {
        items.insert(BString::from(description), item);
    };
    let singles = [
        (CPU_USAGE, Item::CpuUsage, document.cpu.done().is_some()),
        (
            CPU_LOAD,
            Item::CpuLoad,
            document.system_load.done().is_some(),
        ),
        (MEMORY, Item::Memory, document.memory.done().is_some()),
        (SWAP, Item::Swap, document.swap.done().is_some()),
        (UPTIME, Item::Uptime, document.agent.done().is_some()),
    ];
    for (description, item, known) in singles {
        if known {
            add(description.to_owned(), item);
        }
    }
    if let Some(ntp) = document.ntp.done() {
        add(SYSTEM_TIME.to_owned(), Item::SystemTime(ntp));
    }
    for disk in document.disks.done().into_iter().flatten() {
        let name = format!("{} ({})", disk.disk.mountpoint, disk.disk.device);
        add(format!("{DISK_FREE}{name}"), Item::DiskFree(disk));
        add(format!("{DISK_USAGE}{name}"), Item::DiskUsage(disk));
    }
    for (device, disk_io) in document.disk_io.done().into_iter().flatten() {
        add(format!("{DISK_STATS}{device}"), Item::DiskStats(disk_io));
    }
    for (interface, net_io) in document.net_io.done().into_iter().flatten() {
        add(
            format!("{NETWORK_STATS}{interface}"),
            Item::NetworkStats(interface, net_io),
        );
    }
    for (interface, link) in document.net_stats.done().into_iter().flatten() {
        add(
            format!("{NETWORK_STATE}{interface}"),
            Item::NetworkState(link),
        );
    }
    if let Some(sensors) = document.sensors.done() {
        for sensor in &sensors.temperatures {
            add(format!("{SENSOR}{}", sensor.label), Item::Sensor(sensor));
        }
        for battery in &sensors.batteries {
            add(format!("{BATTERY}{}", battery.id), Item::Battery(battery));
        }
    }
    for (name, check) in document.customchecks.done().into_iter().flatten() {
        add(format!("{CUSTOM_CHECK}{name}"), Item::CustomCheck(check));
    }
    running(document, rules, &mut add);
    items
}

/// What runs, or should.
fn running<'a>(document: &'a Document, rules: &'a Rules, add: &mut impl FnMut(String, Item<'a>)) {
    if document.processes.done().is_some() {
        for rule in rules.processes() {
            add(rule.description().to_string(), Item::Processes(rule));
        }
    }
    for unit in document.systemd_services.done().into_iter().flatten() {
        if is_unit(unit.name.as_bytes()) {
            add(unit.name.clone(), Item::SystemdUnit(unit));
        }
    }
    for service in document.launchd_services.done().into_iter().flatten() {
        let description = format!("{LAUNCHD_SERVICE}{}", service.label);
        add(description, Item::LaunchdService(service));
    }
    for service in document.windows_services.done().into_iter().flatten() {
        let description = format!("{WINDOWS_SERVICE}{}", service.name);
        add(description, Item::WindowsService(service));
    }
    for (name, events) in document.windows_eventlog.done().into_iter().flatten() {
        add(format!("{EVENT_LOG}{name}"), Item::EventLog(events));
    }
    for container in document.docker.done().into_iter().flatten() {
        let name = container.name.trim_start_matches('/');
        add(
            format!("{CONTAINER_RUNNING}{name}"),
            Item::ContainerRunning(container),
        );
        add(
            format!("{CONTAINER_CPU}{name}"),
            Item::ContainerCpu(container),
        );
        add(
            format!("{CONTAINER_MEMORY}{name}"),
            Item::ContainerMemory(container),
        );
    }
    for (uuid, guest) in document.libvirt.done().into_iter().flatten() {
        let name = match guest.name.is_empty() {
            true => uuid,
            false => &guest.name,
        };
        add(format!("{GUEST}{name}"), Item::Guest(guest));
    }
}

/// A service with the name of a unit of systemd.
fn is_unit(description: &[u8]) -> bool {
    const KINDS: [&[u8]; 11] = [
        b".service",
        b".socket",
        b".target",
        b".timer",
        b".mount",
        b".automount",
        b".swap",
        b".path",
        b".device",
        b".slice",
        b".scope",
    ];
    KINDS.iter().any(|kind| description.ends_with(kind)) && !description.contains(&b' ')
}

/// Why `description`, which is not among the document's items, is not there.
/// `None` if it is the description of no item at all.
pub(crate) fn missing(document: &Document, description: &BStr) -> Option<Missing> {
    let kinds = [
        kind(CPU_USAGE, "cpu", &document.cpu),
        kind(CPU_LOAD, "system_load", &document.system_load),
        kind(MEMORY, "memory", &document.memory),
        kind(SWAP, "swap", &document.swap),
        kind(UPTIME, "agent", &document.agent),
        kind(SYSTEM_TIME, "ntp", &document.ntp),
        kind(DISK_USAGE, "disks", &document.disks),
        kind(DISK_FREE, "disks", &document.disks),
        kind(DISK_STATS, "disk_io", &document.disk_io),
        kind(NETWORK_STATS, "net_io", &document.net_io),
        kind(NETWORK_STATE, "net_stats", &document.net_stats),
        kind(SENSOR, "sensors", &document.sensors),
        kind(BATTERY, "sensors", &document.sensors),
        kind(CUSTOM_CHECK, "customchecks", &document.customchecks),
        kind(process::PREFIX, "processes", &document.processes),
        kind(
            LAUNCHD_SERVICE,
            "launchd_services",
            &document.launchd_services,
        ),
        kind(
            WINDOWS_SERVICE,
            "windows_services",
            &document.windows_services,
        ),
        kind(EVENT_LOG, "windows_eventlog", &document.windows_eventlog),
        kind(CONTAINER_RUNNING, "docker", &document.docker),
        kind(CONTAINER_CPU, "docker", &document.docker),
        kind(CONTAINER_MEMORY, "docker", &document.docker),
        kind(GUEST, "libvirt", &document.libvirt),
    ];
    for (name, key, why) in kinds {
        let item = match name.ends_with(": ") {
            true => description.strip_prefix(name.as_bytes()),
            false => (description == name).then_some(&b""[..]),
        };
        let Some(item) = item else { continue };
        let error = document.errors.get(key).cloned();
        return Some(why.unwrap_or_else(|| match (name, error) {
            (LAUNCHD_SERVICE | WINDOWS_SERVICE | CONTAINER_RUNNING | GUEST, None) => {
                Missing::NotRunning(item.into())
            }
            (_, error) => Missing::ItemAbsent(item.into(), error),
        }));
    }
    if !is_unit(description) {
        return None;
    }
    let (_, key, why) = kind("", "systemd_services", &document.systemd_services);
    let name = || description.to_owned();
    Some(
        why.unwrap_or_else(|| match document.errors.get(key).cloned() {
            None => Missing::NotRunning(name()),
            error => Missing::ItemAbsent(name(), error),
        }),
    )
}

/// The check of a kind of items: ran (`None`), failed or absent.
fn kind<T>(
    name: &'static str,
    key: &'static str,
    check: &Checked<T>,
) -> (&'static str, &'static str, Option<Missing>) {
    let why = match check {
        Checked::Done(_) => None,
        Checked::Absent => Some(Missing::CheckAbsent(key)),
        Checked::Failed(error) => Some(Missing::CheckFailed(error.clone())),
    };
    (name, key, why)
}

// Descriptions; those that end with a colon and a blank are followed by the
// name of the item.
const CPU_USAGE: &str = "CPU usage percentage";
const CPU_LOAD: &str = "CPU load";
const MEMORY: &str = "Memory";
const SWAP: &str = "Swap";
const UPTIME: &str = "Uptime";
const SYSTEM_TIME: &str = "System Time";
const DISK_USAGE: &str = "Disk usage of: ";
const DISK_FREE: &str = "Disk free space of: ";
const DISK_STATS: &str = "Disk stats of: ";
const NETWORK_STATS: &str = "Network stats of: ";
const NETWORK_STATE: &str = "Network state of: ";
const SENSOR: &str = "Sensor: ";
const BATTERY: &str = "Battery: ";
const CUSTOM_CHECK: &str = "Custom check: ";
const LAUNCHD_SERVICE: &str = "Launchd service: ";
const WINDOWS_SERVICE: &str = "Windows service: ";
const EVENT_LOG: &str = "Event log: ";
const CONTAINER_RUNNING: &str = "Container running: ";
const CONTAINER_CPU: &str = "Container CPU: ";
const CONTAINER_MEMORY: &str = "Container memory: ";
const GUEST: &str = "Virtual machine: ";
