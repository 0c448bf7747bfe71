//! What runs on the machine: processes, services, containers, guests, users, and
//! the checks of the administrator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lenient;

/// An entry of `processes`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Process {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub pid: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub ppid: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub username: String,
    /// Last component of the path of the program; `[kthreadd]` for a thread of the kernel.
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    /// Of one processor, over the life of the process on Unix.
    #[serde(deserialize_with = "lenient::nullable")]
    pub cpu_percent: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub memory_percent: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub cmdline: String,
    /// One word or an empty one: `Running`, `Sleep`, `Stop`, `Idle`, `Zombie`, `Wait`, `Lock`; `None` on Windows.
    pub status: Option<Vec<String>>,
    /// First word of the command line.
    #[serde(deserialize_with = "lenient::nullable")]
    pub exec: String,
    #[serde(deserialize_with = "lenient::signed")]
    pub nice_level: i64,
    /// Always 0 on Unix; handles on Windows.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub num_fds: u64,
    #[serde(rename = "Memory", deserialize_with = "lenient::nullable")]
    pub memory: ProcessMemory,
    /// Always 0 on Unix.
    #[serde(rename = "CreateTime", deserialize_with = "lenient::signed")]
    pub create_time: i64,
    /// Seconds of processor time; not in the printed document.
    #[serde(skip)]
    pub spent_secs: u64,
    /// Seconds since its start; not in the printed document.
    #[serde(skip)]
    pub elapsed_secs: u64,
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub enum ProcessMemory {
    /// On Windows.
    Windows {
        #[serde(deserialize_with = "lenient::unsigned")]
        working_set: u64,
        #[serde(deserialize_with = "lenient::unsigned")]
        working_set_private: u64,
        #[serde(deserialize_with = "lenient::unsigned")]
        private_bytes: u64,
    },
    /// Elsewhere.
    Unix(UnixMemory),
}

impl Default for ProcessMemory {
    fn default() -> Self {
        Self::Unix(UnixMemory::default())
    }
}

/// Memory of a process on a Unix.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct UnixMemory {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub rss: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub vms: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub hwm: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub data: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub stack: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub locked: u64,
    /// Pages that had to be read from a disk, times 1024.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub swap: u64,
}

/// An entry of `users`: somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct User {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub terminal: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub host: String,
    /// Seconds; on Windows milliseconds.
    #[serde(deserialize_with = "lenient::signed")]
    pub started: i64,
}

/// An entry of `systemd_services`: a unit of any type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct SystemdUnit {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub description: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub load_state: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub active_state: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub sub_state: String,
}

/// An entry of `launchd_services`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct LaunchdService {
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_running: bool,
    #[serde(deserialize_with = "lenient::signed")]
    pub pid: i64,
    #[serde(deserialize_with = "lenient::signed")]
    pub status: i64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub label: String,
}

/// An entry of `windows_services`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct WindowsService {
    #[serde(deserialize_with = "lenient::nullable")]
    pub display_name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub bin_path: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub start_type: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub status: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub pid: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub description: String,
}

/// An entry of a log in `windows_eventlog`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct WindowsEvent {
    #[serde(deserialize_with = "lenient::nullable")]
    pub machine_name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub category: String,
    #[serde(deserialize_with = "lenient::signed")]
    pub category_number: i64,
    #[serde(rename = "EventID", deserialize_with = "lenient::signed")]
    pub event_id: i64,
    /// 1 error, 2 warning, 4 information, 8 and 16 audits.
    #[serde(deserialize_with = "lenient::signed")]
    pub entry_type: i64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub message: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub source: String,
    #[serde(deserialize_with = "lenient::signed")]
    pub time_generated: i64,
    #[serde(deserialize_with = "lenient::signed")]
    pub time_written: i64,
    #[serde(deserialize_with = "lenient::signed")]
    pub index: i64,
}

/// An entry of `docker`: a running container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Container {
    #[serde(deserialize_with = "lenient::nullable")]
    pub id: String,
    /// With its leading slash.
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub image: String,
    #[serde(deserialize_with = "lenient::signed")]
    pub size_rw: i64,
    #[serde(deserialize_with = "lenient::signed")]
    pub size_root_fs: i64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub state: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub status: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub network_rx: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub network_tx: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub cpu_percentage: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub memory_percentage: f64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub disk_read: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub disk_write: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub memory_used: f64,
}

/// An entry of `libvirt`: a virtual machine. One that is stopped has none of the figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Guest {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub uuid: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub is_running: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub guest_agent_running: bool,
    pub memory: Option<GuestMemory>,
    pub interfaces: Option<BTreeMap<String, GuestInterface>>,
    pub diskio: Option<BTreeMap<String, GuestDisk>>,
    pub cpu_usage: Option<GuestCpu>,
}

/// Memory of a guest in KiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct GuestMemory {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub total: u64,
    /// Spelled so in the document.
    #[serde(rename = "Ununsed", deserialize_with = "lenient::unsigned")]
    pub unused: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub available: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub rss: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub swap_in: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub swap_out: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub minor_fault: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub major_fault: u64,
}

/// Traffic of a guest's interface per second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct GuestInterface {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_bytes_sent_ps: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_bytes_recv_ps: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_packets_sent_ps: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_packets_recv_ps: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_errin: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_errout: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_dropin: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub avg_dropout: u64,
}

/// Traffic of a guest's disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct GuestDisk {
    #[serde(rename = "name", deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(rename = "path/filepath", deserialize_with = "lenient::nullable")]
    pub path: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_iops_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_iops_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub total_iops_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_bytes_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_bytes_per_second: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub read_avg_size: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub write_avg_size: f64,
}

/// Processor time of a guest in percent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct GuestCpu {
    #[serde(deserialize_with = "lenient::nullable")]
    pub host_percent: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub guest_percent: f64,
}

/// An entry of `customchecks`: what a plugin printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct CustomCheck {
    #[serde(deserialize_with = "lenient::nullable")]
    pub stdout: String,
    /// Its exit status; 124 timed out, 126 and 127 not started, -1 killed.
    #[serde(deserialize_with = "lenient::signed")]
    pub rc: i64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub execution_unix_timestamp_sec: u64,
    /// How long it took; not in the printed document.
    #[serde(skip)]
    pub duration_secs: f64,
}
