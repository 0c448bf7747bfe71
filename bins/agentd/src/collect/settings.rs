//! What is to be collected, and how often.

use std::time::Duration;

/// Everything that collecting needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Between two collections.
    pub(crate) interval: Duration,
    pub(crate) checks: Checks,
    pub(crate) custom_checks: Vec<CustomCheck>,
    /// As many custom checks run at the same time.
    pub(crate) custom_workers: usize,
    pub(crate) exporters: Vec<Exporter>,
    /// `None`: no inventory of installed software is made.
    pub(crate) inventory: Option<InventorySettings>,
}

/// Which of the checks run that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) cpu: bool,
    pub(crate) system_load: bool,
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) processes: bool,
    pub(crate) net_stats: bool,
    pub(crate) net_io: bool,
    pub(crate) disks: bool,
    pub(crate) disk_io: bool,
    pub(crate) sensors: bool,
    pub(crate) users: bool,
    pub(crate) ntp: bool,
    pub(crate) systemd_services: bool,
    pub(crate) docker: bool,
    pub(crate) libvirt: bool,
}

/// A plugin that is run from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomCheck {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) interval: Duration,
    /// At most the interval.
    pub(crate) timeout: Duration,
    /// The program that gets the command on its standard input; empty: the
    /// command is run itself.
    pub(crate) shell: String,
}

/// Somebody's metrics that are handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exporter {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// How the inventory of installed software is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InventorySettings {
    pub(crate) interval: Duration,
    /// Whether the package manager is asked for newer versions, which makes it
    /// use the network.
    pub(crate) check_updates: bool,
    /// Bytes that are kept of a description; `None`: all of them.
    pub(crate) description_limit: Option<usize>,
}

impl Default for Settings {
    /// What is collected without any configuration.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            checks: Checks::default(),
            custom_checks: Vec::new(),
            custom_workers: 8,
            exporters: Vec::new(),
            inventory: None,
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            cpu: true,
            system_load: true,
            memory: true,
            swap: true,
            processes: true,
            net_stats: true,
            net_io: true,
            disks: true,
            disk_io: true,
            sensors: true,
            users: true,
            ntp: true,
            systemd_services: true,
            docker: false,
            libvirt: false,
        }
    }
}
