//! Every other platform than Linux: what the crate `sysinfo` tells. What it does
//! not tell is absent from the document, as if that check were off.
//!
//! It is compiled for the tests on Linux, too, where its figures are compared
//! with those of the Linux side.

pub(super) mod kernel;
mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use agent::document::{
    Agent, Cpu, CpuShares, Disk, DiskIo, Memory, Mount, NetStats, Ntp, Sensors, Swap, SystemLoad,
    Temperature, Usage,
};
use sysinfo::{Components, Disks, InterfaceOperationalState, Networks};

use super::growth::Growth;
use super::part::{Collector, Finding, Key, Part};
use super::root::{Root, per_second, percentage, unix_time};
use super::traffic::Counters;
use super::{AT_ONCE, DEVICES, DISKS, FILES, Machine, SOON, Uname, Wanted, origin};
use crate::config::Checks;
use processes::Processes;

/// What can be found out here.
pub(super) fn collectors(checks: &Checks, _: &Machine) -> Vec<Wanted> {
    let mut collectors: Vec<Wanted> = vec![
        (
            true,
            Key::Agent,
            FILES,
            AT_ONCE,
            Box::new(Origin::new(checks.interval)),
        ),
        (
            checks.memory,
            Key::Memory,
            FILES,
            AT_ONCE,
            Box::new(MainMemory::default()),
        ),
        (
            checks.swap,
            Key::Swap,
            FILES,
            AT_ONCE,
            Box::new(SwapSpace::default()),
        ),
        (
            checks.cpu,
            Key::Cpu,
            FILES,
            AT_ONCE,
            Box::new(Processors::default()),
        ),
        (
            checks.net_io,
            Key::NetIo,
            FILES,
            AT_ONCE,
            Box::new(Traffic::new()),
        ),
        (
            checks.processes,
            Key::Processes,
            FILES,
            SOON,
            Box::new(Processes::default()),
        ),
        (
            checks.net_stats,
            Key::NetStats,
            DEVICES,
            SOON,
            Box::new(Links),
        ),
        (checks.disks, Key::Disks, DISKS, SOON, Box::new(FileSystems)),
        (
            checks.disk_io,
            Key::DiskIo,
            DISKS,
            SOON,
            Box::new(Volumes::new()),
        ),
    ];
    // The original has neither of them on Windows.
    if !cfg!(windows) {
        collectors.push((
            checks.load,
            Key::SystemLoad,
            FILES,
            AT_ONCE,
            Box::new(LoadAverages),
        ));
        collectors.push((
            checks.sensors,
            Key::Sensors,
            DEVICES,
            SOON,
            Box::new(Thermometers),
        ));
    }
    if cfg!(target_os = "macos") {
        collectors.push((checks.ntp, Key::Ntp, FILES, AT_ONCE, Box::new(Clock)));
    }
    collectors
}

/// What comes closest to it.
pub(crate) fn uname() -> Uname {
    Uname {
        sysname: sysinfo::System::name().unwrap_or_default(),
        nodename: sysinfo::System::host_name().unwrap_or_default(),
        release: sysinfo::System::kernel_version().unwrap_or_default(),
        version: sysinfo::System::long_os_version().unwrap_or_default(),
        machine: sysinfo::System::cpu_arch(),
        domainname: String::new(),
    }
}

/// Seconds since the machine has started.
pub(super) fn uptime(_: &Root) -> u64 {
    sysinfo::System::uptime().unwrap_or(0)
}

/// The operating system, in the original's words.
#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) family: String,
}

impl System {
    pub(super) fn read(_: &Root) -> Self {
        let version = sysinfo::System::os_version().unwrap_or_default();
        if !cfg!(windows) {
            let family = match cfg!(target_os = "macos") {
                true => "Standalone Workstation",
                false => "",
            };
            return Self {
                id: origin::system().to_owned(),
                version,
                family: family.to_owned(),
            };
        }
        let product = sysinfo::System::long_os_version().unwrap_or_default();
        let family = match product.contains("Server") {
            true => "Server",
            false => "Client",
        };
        Self {
            id: product,
            version,
            family: family.to_owned(),
        }
    }
}

/// What the document says about its origin.
struct Origin {
    interval: Duration,
    system: System,
}

impl Origin {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            system: System::read(&Root::real()),
        }
    }
}

impl Collector for Origin {
    fn collect(&mut self) -> Result<Finding, String> {
        let kernel = sysinfo::System::kernel_version().unwrap_or_default();
        let system = self.system.clone();
        let agent = Agent {
            system: system.id,
            system_uptime: Some(uptime(&Root::real())),
            family: system.family,
            ..origin::ours(self.interval)
        };
        let agent = match cfg!(windows) {
            true => Agent {
                windows_current_build: kernel,
                ..agent
            },
            false => Agent {
                kernel_version: kernel,
                mac_version: system.version,
                ..agent
            },
        };
        Ok(Part::Agent(agent).into())
    }
}

/// What `sysinfo` keeps between two questions, from the first one on.
#[derive(Default)]
struct Asked(Option<sysinfo::System>);

impl Asked {
    fn system(&mut self) -> Result<&mut sysinfo::System, String> {
        if self.0.is_none() {
            self.0 = Some(sysinfo::System::new().map_err(not_told)?);
        }
        self.0.as_mut().ok_or_else(|| "no system".to_owned())
    }
}

fn not_told(error: sysinfo::Error) -> String {
    format!("the system does not tell: {error}")
}

/// Main memory.
#[derive(Default)]
struct MainMemory(Asked);

impl Collector for MainMemory {
    fn collect(&mut self) -> Result<Finding, String> {
        let system = self.0.system()?;
        system.refresh_memory();
        let (total, available) = (system.total_memory(), system.available_memory());
        // macOS counts as free what nothing at all is in.
        let free = match cfg!(windows) {
            true => available,
            false => system.free_memory(),
        };
        let used = total.saturating_sub(available);
        let memory = Memory {
            total,
            available,
            percent: Some(percentage(used as f64, total as f64)),
            used,
            free,
            ..Memory::default()
        };
        Ok(Part::Memory(memory).into())
    }
}

/// Swap space.
#[derive(Default)]
struct SwapSpace(Asked);

impl Collector for SwapSpace {
    fn collect(&mut self) -> Result<Finding, String> {
        let system = self.0.system()?;
        system.refresh_memory();
        let (total, used) = (system.total_swap(), system.used_swap());
        let swap = Swap {
            total,
            percent: Some(percentage(used as f64, total as f64)),
            used,
            free: system.free_swap(),
            ..Swap::default()
        };
        Ok(Part::Swap(swap).into())
    }
}

/// Processors, measured from one collection to the next.
#[derive(Default)]
struct Processors(Asked);

impl Collector for Processors {
    fn collect(&mut self) -> Result<Finding, String> {
        let system = self.0.system()?;
        system.refresh_cpu_usage();
        let busy = |usage: f32| f64::from(usage).clamp(0.0, 100.0);
        let each: Vec<f64> = system.cpus().iter().map(|cpu| busy(cpu.usage())).collect();
        // A mean of no processors would be no number.
        let total = each.iter().sum::<f64>() / each.len().max(1) as f64;
        let cpu = Cpu {
            cpu_total_percentage: Some(total),
            cpu_total_percentage_detailed: shares(total),
            cpu_percentage_detailed: each.iter().copied().map(shares).collect(),
            cpu_percentage: each,
        };
        Ok(Part::Cpu(cpu).into())
    }
}

/// With what it was busy is not told.
fn shares(busy: f64) -> CpuShares {
    CpuShares {
        idle: 100.0 - busy,
        ..CpuShares::default()
    }
}

/// Load averages.
struct LoadAverages;

impl Collector for LoadAverages {
    fn collect(&mut self) -> Result<Finding, String> {
        let load = sysinfo::System::load_average().map_err(not_told)?;
        let load = SystemLoad {
            load1: Some(load.one),
            load5: Some(load.five),
            load15: Some(load.fifteen),
        };
        Ok(Part::SystemLoad(load).into())
    }
}

/// State of every link.
struct Links;

impl Collector for Links {
    fn collect(&mut self) -> Result<Finding, String> {
        let networks = Networks::new_with_refreshed_list().map_err(not_told)?;
        let links = networks.iter().map(|(name, link)| {
            let megabits = link.receive_link_speed().unwrap_or(0) / 1_000_000;
            let stats = NetStats {
                isup: Some(link.operational_state() == InterfaceOperationalState::Up),
                duplex: 0,
                speed: i64::try_from(megabits).unwrap_or(0),
                mtu: i64::try_from(link.mtu()).unwrap_or(0),
            };
            (name.to_string_lossy().into_owned(), stats)
        });
        Ok(Part::NetStats(links.collect()).into())
    }
}

/// Traffic, measured from one collection to the next.
struct Traffic {
    networks: Option<Networks>,
    growth: Growth<Counters>,
}

impl Traffic {
    fn new() -> Self {
        Self {
            networks: None,
            growth: Growth::new(),
        }
    }
}

impl Collector for Traffic {
    fn collect(&mut self) -> Result<Finding, String> {
        let networks = match &mut self.networks {
            Some(networks) => {
                networks.refresh(true);
                networks
            }
            none => none.insert(Networks::new_with_refreshed_list().map_err(not_told)?),
        };
        let counted = networks.iter().map(|(name, link)| {
            // What was dropped is not told.
            let counters = Counters {
                received: [
                    link.total_received(),
                    link.total_packets_received(),
                    link.total_errors_on_received(),
                    0,
                ],
                sent: [
                    link.total_transmitted(),
                    link.total_packets_transmitted(),
                    link.total_errors_on_transmitted(),
                    0,
                ],
            };
            (name.to_string_lossy().into_owned(), counters)
        });
        Ok(Part::NetIo(self.growth.interfaces(counted.collect())).into())
    }
}

/// File systems and how full they are.
struct FileSystems;

impl Collector for FileSystems {
    fn collect(&mut self) -> Result<Finding, String> {
        let disks = Disks::new_with_refreshed_list().map_err(not_told)?;
        Ok(Part::Disks(disks.iter().map(file_system).collect()).into())
    }
}

fn file_system(disk: &sysinfo::Disk) -> Disk {
    let (total, free) = (disk.total_space(), disk.available_space());
    let used = total.saturating_sub(free);
    let mountpoint = place(disk.mount_point());
    let mount = match cfg!(windows) {
        // As the original has it there.
        true => Mount {
            device: mountpoint.clone(),
            mountpoint,
            ..Mount::default()
        },
        false => Mount {
            device: disk.name().to_string_lossy().into_owned(),
            mountpoint,
            fstype: disk.file_system().to_string_lossy().into_owned(),
            opts: Some(match disk.is_read_only() {
                true => vec!["ro".to_owned()],
                false => vec!["rw".to_owned()],
            }),
        },
    };
    Disk {
        disk: mount,
        usage: Usage {
            total,
            used,
            free,
            percent: Some(percentage(used as f64, total as f64)),
            ..Usage::default()
        },
    }
}

/// `C:` for `C:\`.
fn place(path: &Path) -> String {
    let path = path.to_string_lossy();
    match path.strip_suffix('\\') {
        Some(drive) => drive.to_owned(),
        None => path.into_owned(),
    }
}

/// What is read from and written to volumes, measured from one collection to the
/// next. Only bytes are told.
struct Volumes {
    growth: Growth<[u64; 2]>,
}

impl Volumes {
    fn new() -> Self {
        Self {
            growth: Growth::new(),
        }
    }
}

impl Collector for Volumes {
    fn collect(&mut self) -> Result<Finding, String> {
        let disks = Disks::new_with_refreshed_list().map_err(not_told)?;
        let name = |disk: &sysinfo::Disk| match cfg!(windows) {
            true => place(disk.mount_point()),
            false => {
                let name = disk.name().to_string_lossy();
                name.strip_prefix("/dev/").unwrap_or(&name).to_owned()
            }
        };
        let counted: BTreeMap<String, [u64; 2]> = disks
            .iter()
            .map(|disk| {
                let usage = disk.usage();
                (
                    name(disk),
                    [usage.total_read_bytes, usage.total_written_bytes],
                )
            })
            .collect();
        let timestamp = unix_time();
        let volumes = self
            .growth
            .measure(counted, |name, now, then, secs| DiskIo {
                timestamp,
                device: name.to_owned(),
                read_bytes: now[0],
                write_bytes: now[1],
                read_bytes_per_second: per_second(then[0], now[0], secs),
                write_bytes_per_second: per_second(then[1], now[1], secs),
                ..DiskIo::default()
            });
        Ok(Part::DiskIo(volumes).into())
    }
}

/// Temperatures; batteries are not told.
struct Thermometers;

impl Collector for Thermometers {
    fn collect(&mut self) -> Result<Finding, String> {
        let components = Components::new_with_refreshed_list().map_err(not_told)?;
        let temperature = |component: &sysinfo::Component| Temperature {
            label: component.label().to_owned(),
            current: component.temperature().map(f64::from),
            critical: component.critical().map_or(0.0, f64::from),
            ..Temperature::default()
        };
        let sensors = Sensors {
            temperatures: components.iter().map(temperature).collect(),
            batteries: Vec::new(),
        };
        Ok(Part::Sensors(sensors).into())
    }
}

/// The clock of macOS does not say how far it is off; openITCOCKPIT's server
/// compares it with its own.
struct Clock;

impl Collector for Clock {
    fn collect(&mut self) -> Result<Finding, String> {
        let now = jiff::Timestamp::now();
        let ntp = Ntp {
            timestamp: unix_time(),
            timestamp_micro: u64::try_from(now.as_microsecond()).unwrap_or(0),
            sync_status: Some(false),
            offset: Some(0.0),
        };
        Ok(Part::Ntp(ntp).into())
    }
}

#[cfg(test)]
mod tests;
