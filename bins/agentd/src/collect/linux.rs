//! Linux: what `/proc` and `/sys` show, what systemd says on the bus, and a few
//! system calls. No program is started, and no library asked, that could be
//! slower than reading.

mod cpu;
mod dbus;
mod disk_io;
mod disks;
pub(crate) mod libvirt;
mod memory;
mod mount_table;
mod names;
mod network;
pub(crate) mod ntp;
pub(crate) mod others;
mod processes;
mod sensors;
mod stream;
mod system;
mod systemd;
pub(crate) mod unit_details;
mod users;

use super::{
    AT_ONCE, CLOCK, DEVICES, DISKS, FILES, LIBVIRT, Machine, SOON, SYSTEMD, Uname, Wanted, growth,
    http, origin, part, root, traffic,
};
use crate::config::Checks;
use cpu::Processors;
use disk_io::BlockDevices;
use disks::FileSystems;
use libvirt::Guests;
use memory::{LoadAverages, MainMemory, SwapSpace};
use network::{Links, Traffic};
use ntp::Clock;
use part::Key;
use processes::Processes;
use sensors::Thermometers;
use system::Origin;
pub(super) use system::{System, uptime};
use systemd::Units;
use users::Logins;

/// What can be found out here.
pub(super) fn collectors(checks: &Checks, machine: &Machine) -> Vec<Wanted> {
    let root = || machine.root.clone();
    let others = &machine.others;
    vec![
        (
            true,
            Key::Agent,
            FILES,
            AT_ONCE,
            Box::new(Origin::new(root(), checks.interval)),
        ),
        (
            checks.memory,
            Key::Memory,
            FILES,
            AT_ONCE,
            Box::new(MainMemory::new(root())),
        ),
        (
            checks.swap,
            Key::Swap,
            FILES,
            AT_ONCE,
            Box::new(SwapSpace::new(root())),
        ),
        (
            checks.load,
            Key::SystemLoad,
            FILES,
            AT_ONCE,
            Box::new(LoadAverages::new(root())),
        ),
        (
            checks.cpu,
            Key::Cpu,
            FILES,
            AT_ONCE,
            Box::new(Processors::new(root())),
        ),
        (
            checks.net_io,
            Key::NetIo,
            FILES,
            AT_ONCE,
            Box::new(Traffic::new(root())),
        ),
        (
            checks.disk_io,
            Key::DiskIo,
            FILES,
            AT_ONCE,
            Box::new(BlockDevices::new(root())),
        ),
        (
            checks.users,
            Key::Users,
            FILES,
            AT_ONCE,
            Box::new(Logins::new(root())),
        ),
        (
            checks.ntp,
            Key::Ntp,
            CLOCK,
            AT_ONCE,
            Box::new(Clock {
                keepers: others.keepers.clone(),
            }),
        ),
        (
            checks.processes,
            Key::Processes,
            FILES,
            SOON,
            Box::new(Processes::new(root())),
        ),
        (
            checks.net_stats,
            Key::NetStats,
            DEVICES,
            SOON,
            Box::new(Links { root: root() }),
        ),
        (
            checks.sensors,
            Key::Sensors,
            DEVICES,
            SOON,
            Box::new(Thermometers { root: root() }),
        ),
        (
            checks.disks,
            Key::Disks,
            DISKS,
            SOON,
            Box::new(FileSystems::new(root())),
        ),
        (
            checks.systemd,
            Key::SystemdServices,
            SYSTEMD,
            SOON,
            Box::new(Units::new(others.systemd())),
        ),
        (
            checks.libvirt,
            Key::Libvirt,
            LIBVIRT,
            SOON,
            Box::new(Guests::new(&machine.root, others.libvirt.as_deref())),
        ),
    ]
}

/// What `uname` prints.
pub(crate) fn uname() -> Uname {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Uname {
        sysname: text(uname.sysname()),
        nodename: text(uname.nodename()),
        release: text(uname.release()),
        version: text(uname.version()),
        machine: text(uname.machine()),
        domainname: text(uname.domainname()),
    }
}
