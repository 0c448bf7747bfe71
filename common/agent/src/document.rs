//! The result document of an agent, with openITCOCKPIT's keys.
//!
//! Reading is lenient: versions 1 to 3 of that agent differ, and so do the
//! systems it runs on. A key may be missing or `null`, numbers may be whole or
//! not, unknown keys are ignored, and a check that failed is `{"error": TEXT}`
//! in the place of its result. Members that nothing here uses are not kept.

use std::collections::BTreeMap;
use std::fmt;

use objects::UnixTime;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient;

/// Longest document that is read, in bytes.
pub const MAX_LEN: usize = 64 << 20;

/// The interval assumed when a document does not tell its own, in seconds.
pub const DEFAULT_CHECK_INTERVAL: u64 = 60;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Checked<T> {
    /// The agent does not run it.
    #[default]
    Absent,
    /// It failed, and why.
    Failed(String),
    /// What it found.
    Done(T),
}

/// Everything that one collection found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Document {
    /// The agent itself and its system.
    pub agent: Checked<Agent>,
    /// Processor time.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub cpu: Checked<Cpu>,
    /// Main memory.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub memory: Checked<Memory>,
    /// Swap space.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub swap: Checked<Swap>,
    /// Load averages; Windows has none.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub system_load: Checked<SystemLoad>,
    /// Mounted file systems.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub disks: Checked<Vec<Disk>>,
    /// Block devices by name.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub disk_io: Checked<BTreeMap<String, DiskIo>>,
    /// Links by interface.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub net_stats: Checked<BTreeMap<String, NetStats>>,
    /// Traffic by interface.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub net_io: Checked<BTreeMap<String, NetIo>>,
    /// Temperatures and batteries.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub sensors: Checked<Sensors>,
    /// The clock.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub ntp: Checked<Ntp>,
    /// Results of configured plugins by name.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub customchecks: Checked<BTreeMap<String, CustomCheck>>,
    /// Installed software, in short.
    #[serde(skip_serializing_if = "Checked::is_absent")]
    pub packagemanager: Checked<PackageManager>,
    /// Ours: what went wrong in checks whose value must stay a list or an
    /// object of items, because openITCOCKPIT's server iterates over it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
}

/// `agent`: the agent itself and its system.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Agent {
    #[serde(deserialize_with = "lenient::nullable")]
    pub last_updated: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub last_updated_timestamp: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub system: String,
    #[serde(deserialize_with = "lenient::optional")]
    pub system_uptime: Option<u64>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub kernel_version: String,
    /// The version of the distribution, on every system but Windows.
    #[serde(deserialize_with = "lenient::nullable")]
    pub mac_version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub windows_release_id: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub windows_current_build: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub family: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub agent_version: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub temperature_unit: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub goos: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub goarch: String,
    /// Seconds between collections; agents before 3.1 do not tell.
    #[serde(
        deserialize_with = "lenient::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub check_interval: Option<u64>,
}

/// `cpu`: percentages over one second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Cpu {
    pub cpu_total_percentage: Option<f64>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub cpu_percentage: Vec<f64>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub cpu_total_percentage_detailed: CpuShares,
    #[serde(deserialize_with = "lenient::nullable")]
    pub cpu_percentage_detailed: Vec<CpuShares>,
}

/// Shares of processor time in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct CpuShares {
    #[serde(deserialize_with = "lenient::nullable")]
    pub user: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub nice: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub system: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub idle: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub iowait: f64,
}

/// `memory`: bytes, and `percent` = used / total.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Memory {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub total: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub available: u64,
    pub percent: Option<f64>,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub used: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub free: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub active: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub inactive: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub wired: u64,
}

/// `swap`: bytes; all zero without swap space.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Swap {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub total: u64,
    pub percent: Option<f64>,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub used: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub free: u64,
    /// Swapped in since the system started.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub sin: u64,
    /// Swapped out since the system started.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub sout: u64,
}

/// `system_load`: `{"0": …, "1": …, "2": …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemLoad {
    /// Over one minute.
    #[serde(rename = "0")]
    pub load1: Option<f64>,
    /// Over five minutes.
    #[serde(rename = "1")]
    pub load5: Option<f64>,
    /// Over fifteen minutes.
    #[serde(rename = "2")]
    pub load15: Option<f64>,
}

/// An entry of `disks`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// What is mounted where.
    #[serde(deserialize_with = "lenient::nullable")]
    pub disk: Mount,
    /// How full it is; all zero if the system did not tell.
    #[serde(deserialize_with = "lenient::nullable")]
    pub usage: Usage,
}

/// What is mounted where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Mount {
    #[serde(deserialize_with = "lenient::nullable")]
    pub device: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub mountpoint: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub fstype: String,
    /// `None` on Windows.
    pub opts: Option<Vec<String>>,
}

/// Bytes; `free` is what users can have, `percent` = used / (used + free).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Usage {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub total: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub used: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub free: u64,
    pub percent: Option<f64>,
}

/// An entry of `disk_io`, without its raw counters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct DiskIo {
    /// How much of the time the device was busy; absent where it is not known.
    pub load_percent: Option<f64>,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_bytes_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_bytes_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_iops_per_second: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_iops_per_second: u64,
    /// Milliseconds per operation.
    #[serde(deserialize_with = "lenient::nullable")]
    pub total_avg_wait: f64,
}

/// An entry of `net_stats`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct NetStats {
    pub isup: Option<bool>,
    /// 0 unknown, 1 half, 2 full.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub duplex: u64,
    /// Mbit/s; 0 or -1 when unknown.
    #[serde(deserialize_with = "lenient::signed")]
    pub speed: i64,
    #[serde(deserialize_with = "lenient::signed")]
    pub mtu: i64,
}

/// An entry of `net_io`: counters, and rates per second (`avg_…`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct NetIo {
    #[serde(deserialize_with = "lenient::nullable")]
    pub name: String,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub timestamp: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub bytes_sent: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub bytes_recv: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub packets_sent: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub packets_recv: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub errin: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub errout: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub dropin: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub dropout: u64,
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

/// `sensors`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Sensors {
    #[serde(deserialize_with = "lenient::nullable")]
    pub temperatures: Vec<Temperature>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub batteries: Vec<Battery>,
}

/// Degrees Celsius; a limit of 0 is not known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Temperature {
    #[serde(deserialize_with = "lenient::nullable")]
    pub label: String,
    pub current: Option<f64>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub high: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub critical: f64,
}

/// A battery and how full it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Battery {
    #[serde(deserialize_with = "lenient::signed")]
    pub id: i64,
    pub percent: Option<f64>,
    #[serde(deserialize_with = "lenient::nullable")]
    pub secsleft: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub power_plugged: bool,
}

/// `ntp`: the clock and its distance from the true time in seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct Ntp {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub timestamp: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub timestamp_micro: u64,
    pub sync_status: Option<bool>,
    pub offset: Option<f64>,
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
}

/// `packagemanager`. Disabled, its keys are in lower case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct PackageManager {
    #[serde(alias = "enabled", deserialize_with = "lenient::nullable")]
    pub enabled: bool,
    #[serde(alias = "pending", deserialize_with = "lenient::nullable")]
    pub pending: bool,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub last_update: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub stats: PackageStats,
}

/// Counts of installed software.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct PackageStats {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub installed_packages: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub upgradable_packages: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub security_updates: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub reboot_required: bool,
    #[serde(deserialize_with = "lenient::nullable")]
    pub last_error: String,
    #[serde(deserialize_with = "lenient::nullable")]
    pub package_manager: String,
}

/// Why something is not a result document.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It is longer than [`MAX_LEN`].
    TooLong,
    /// It is not JSON, or not an object.
    Json(serde_json::Error),
    /// It is one, but has no `agent`: what an agent answers before its first
    /// collection is done.
    Empty,
    /// The agent could not make its document, and says why.
    Agent(String),
}

impl Document {
    /// Reads a document.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            return Err(Error::TooLong);
        }
        let checks: BTreeMap<String, &RawValue> =
            serde_json::from_slice(text).map_err(Error::Json)?;
        let checks = Checks(checks);
        if let Some(error) = checks.error() {
            return Err(Error::Agent(error));
        }
        let document = Self {
            agent: checks.read("agent"),
            cpu: checks.read("cpu"),
            memory: checks.read("memory"),
            swap: checks.read("swap"),
            system_load: checks.read("system_load"),
            disks: checks.read_list("disks"),
            disk_io: checks.read("disk_io"),
            net_stats: checks.read("net_stats"),
            net_io: checks.read("net_io"),
            sensors: checks.read("sensors"),
            ntp: checks.read("ntp"),
            customchecks: checks.read("customchecks"),
            packagemanager: checks.read("packagemanager"),
            errors: match checks.read("errors") {
                Checked::Done(errors) => errors,
                _ => BTreeMap::new(),
            },
        };
        if document.agent.is_absent() {
            return Err(Error::Empty);
        }
        Ok(document)
    }

    /// The document as one line of JSON, without a line feed.
    pub fn print(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(Error::Json)
    }

    /// When it was made; `None` if it does not say.
    pub fn last_updated(&self) -> Option<UnixTime> {
        let secs = self.agent.done()?.last_updated_timestamp;
        let secs = i64::try_from(secs).ok().filter(|secs| *secs > 0)?;
        Some(UnixTime::from_secs(secs))
    }

    /// Whether this is the first document since the agent started, in which
    /// openITCOCKPIT's agent has zeros for every rate: those need two
    /// collections. It shows in the `m=+SECONDS` that Go appends to a time.
    pub fn is_first_collection(&self) -> bool {
        let running = self
            .agent
            .done()
            .and_then(|agent| agent.last_updated.split_once("m=+"))
            .and_then(|(_, secs)| secs.trim().parse::<f64>().ok());
        running.is_some_and(|secs| secs < self.check_interval() as f64)
    }

    /// Seconds between two collections.
    pub fn check_interval(&self) -> u64 {
        let told = self.agent.done().and_then(|agent| agent.check_interval);
        told.filter(|secs| *secs > 0)
            .unwrap_or(DEFAULT_CHECK_INTERVAL)
    }
}

impl<T> Checked<T> {
    /// What was found, if it was.
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the agent does not run this check.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Serialize> Serialize for Checked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Done(value) => value.serialize(serializer),
            Self::Absent => serializer.serialize_none(),
            Self::Failed(text) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("error", text)?;
                map.end()
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "document is longer than {} MiB", MAX_LEN >> 20),
            Self::Json(_) => f.write_str("document is not a JSON object"),
            Self::Empty => {
                f.write_str("document has no `agent`: no collection of the agent is done yet")
            }
            Self::Agent(text) => write!(f, "agent could not make its document: {text}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}

/// The top level of a document: each check is read on its own, so that a wrong
/// one does not take the others with it.
struct Checks<'a>(BTreeMap<String, &'a RawValue>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorObject {
    error: String,
}

impl Checks<'_> {
    /// The error that stands in the place of the whole document.
    fn error(&self) -> Option<String> {
        serde_json::from_str(self.0.get("error")?.get()).ok()
    }

    /// A check whose value is an object.
    fn read<T: DeserializeOwned>(&self, key: &str) -> Checked<T> {
        self.read_value(key, b'{')
    }

    /// A check whose value is a list.
    fn read_list<T: DeserializeOwned>(&self, key: &str) -> Checked<T> {
        self.read_value(key, b'[')
    }

    /// serde would take a list for a structure, hence the look at the first byte.
    fn read_value<T: DeserializeOwned>(&self, key: &str, first: u8) -> Checked<T> {
        let Some(raw) = self.0.get(key).filter(|raw| raw.get() != "null") else {
            return Checked::Absent;
        };
        if let Ok(ErrorObject { error }) = serde_json::from_str(raw.get()) {
            return Checked::Failed(error);
        }
        let wrong = |cause: &dyn fmt::Display| {
            Checked::Failed(format!("`{key}` of the document is wrong: {cause}"))
        };
        if raw.get().as_bytes().first() != Some(&first) {
            return wrong(&"not an object or list as it should be");
        }
        serde_json::from_str(raw.get()).map_or_else(|cause| wrong(&cause), Checked::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = r#""agent": {"last_updated_timestamp": 1795000000, "check_interval": 30}"#;

    fn with(checks: &str) -> Document {
        Document::parse(format!("{{{AGENT}, {checks}}}").as_bytes()).unwrap()
    }

    #[test]
    fn numbers_may_be_whole_or_not() {
        let document = with(
            r#""cpu": {"cpu_total_percentage": 7, "cpu_percentage": [4, 9.5]},
               "memory": {"total": 8.0e9, "percent": 41, "used": 18446744073709551615, "free": -1},
               "net_stats": {"eth0": {"speed": -1, "mtu": 1500.0, "isup": true}}"#,
        );
        let cpu = document.cpu.done().unwrap();
        assert_eq!(cpu.cpu_total_percentage, Some(7.0));
        assert_eq!(cpu.cpu_percentage, [4.0, 9.5]);
        let memory = document.memory.done().unwrap();
        assert_eq!(memory.total, 8_000_000_000);
        assert_eq!((memory.used, memory.free), (u64::MAX, 0));
        let link = &document.net_stats.done().unwrap()["eth0"];
        assert_eq!((link.speed, link.mtu), (-1, 1500));
    }

    #[test]
    fn missing_null_and_unknown_members_are_no_mistakes() {
        let document = with(
            r#""cpu": {}, "memory": {"total": null, "percent": null, "novel": [1, {}]}, "swap": null,
               "disks": [{"disk": {"mountpoint": "C:", "opts": null}}, {"usage": null}],
               "qemu": {"x": 1}"#,
        );
        assert_eq!(document.cpu, Checked::Done(Cpu::default()));
        assert_eq!(document.memory, Checked::Done(Memory::default()));
        assert_eq!(document.swap, Checked::Absent);
        assert_eq!(document.disks.done().unwrap()[0].disk.mountpoint, "C:");
        assert_eq!(document.disks.done().unwrap()[1], Disk::default());
    }

    #[test]
    fn a_check_that_failed_leaves_the_others() {
        let document = with(
            r#""cpu": {"error": "no such device"}, "memory": [1], "net_io": {"error": {"name": "error"}}"#,
        );
        assert_eq!(document.cpu, Checked::Failed("no such device".into()));
        assert!(matches!(&document.memory, Checked::Failed(text) if text.contains("`memory`")));
        // An interface may well be called "error".
        assert_eq!(document.net_io.done().unwrap()["error"].name, "error");
    }

    #[test]
    fn both_spellings_of_the_package_manager_are_read() {
        for (text, enabled, security_updates) in [
            (r#"{"enabled": false, "pending": false}"#, false, 0),
            (r#"{"enabled": true, "pending": false}"#, true, 0),
            (
                r#"{"Enabled": true, "Pending": true, "LastUpdate": 9, "Stats": {"SecurityUpdates": 4, "LastError": null}}"#,
                true,
                4,
            ),
        ] {
            let document = with(&format!("\"packagemanager\": {text}"));
            let packages = document.packagemanager.done().unwrap();
            assert_eq!(packages.enabled, enabled, "{text}");
            assert_eq!(packages.stats.security_updates, security_updates, "{text}");
        }
    }

    #[test]
    fn what_is_no_document_says_why() {
        for (text, want) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{\"agent\": {}", "not a JSON object"),
            ("{\"agent\": {}} x", "not a JSON object"),
            ("{}", "has no `agent`"),
            ("{\"agent\": null}", "has no `agent`"),
            (
                "{\"error\": \"unsupported value: NaN\"}",
                "unsupported value: NaN",
            ),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        let deep = format!("{{{AGENT}, \"x\": {}}}", "[".repeat(100_000));
        assert!(Document::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut document = with(
            r#""cpu": {"cpu_total_percentage": 7.25}, "disks": [], "swap": {"error": "x"},
               "customchecks": {"a": {"rc": -1, "stdout": "é"}}, "errors": {"disks": "y"}"#,
        );
        let text = document.print().unwrap();
        assert_eq!(Document::parse(&text).unwrap(), document);
        // What is not finite must not make the document unreadable.
        document.cpu = Checked::Done(Cpu {
            cpu_total_percentage: Some(f64::NAN),
            ..Cpu::default()
        });
        let text = document.print().unwrap();
        let cpu = Document::parse(&text).unwrap().cpu;
        assert_eq!(cpu.done().unwrap().cpu_total_percentage, None);
    }
}
