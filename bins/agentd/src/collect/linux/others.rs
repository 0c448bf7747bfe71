//! Those on this machine who can be asked, and where they are.

use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::dbus;
use super::ntp::keeper::Keepers;
use super::root::Root;
use crate::config::Checks;

/// The others of this machine, or of what a test takes for one.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    root: Root,
    pub(crate) keepers: Keepers,
    /// The socket of the system's bus.
    bus: PathBuf,
    /// Somebody has said where the bus is.
    is_bus_named: bool,
    /// The address that libvirt's own tools would take.
    pub(crate) libvirt: Option<String>,
}

impl Others {
    pub(crate) fn of(root: &Root, checks: &Checks) -> Self {
        let named = named_bus();
        let is_bus_named = named.is_some();
        let bus = named.unwrap_or_else(|| root.path(dbus::SOCKET));
        Self {
            root: root.clone(),
            keepers: Keepers::new(root, checks.chrony, checks.ntp_server, bus.clone()),
            bus,
            is_bus_named,
            libvirt: std::env::var("LIBVIRT_DEFAULT_URI").ok(),
        }
    }

    /// The socket at which systemd is asked, or somebody in its place; none if
    /// neither runs here.
    pub(crate) fn systemd(&self) -> Option<PathBuf> {
        // systemd makes this directory, and nobody else.
        let runs = self.is_bus_named || self.root.path("run/systemd/system").is_dir();
        runs.then(|| self.bus.clone())
    }

    /// When systemd-timesyncd last set the clock, in seconds since 1970. The
    /// first of these files only root may see.
    pub(crate) fn clock_set(&self) -> Option<u64> {
        let files = [
            "var/lib/systemd/timesync/clock",
            "run/systemd/timesync/synchronized",
        ];
        let found = files
            .iter()
            .find_map(|file| fs::metadata(self.root.path(file)).ok());
        let at = found?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(at.as_secs())
    }
}

/// The socket of the system's bus, if it is not in its usual place. Only that of
/// a socket with a path is understood.
fn named_bus() -> Option<PathBuf> {
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok()?;
    let path = address.strip_prefix("unix:path=")?;
    path.split([',', ';']).next().map(PathBuf::from)
}
