//! The machine as a whole: the agent's own words about it, processors, memory,
//! load, sensors, the clock.

use serde::{Deserialize, Serialize};

use crate::lenient;

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
    /// Version of the compiler: `go1.24.0`, ours `rust1.95`.
    #[serde(deserialize_with = "lenient::nullable")]
    pub goversion: String,
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
    /// The chip by its place in the machine; not in the printed document.
    #[serde(skip)]
    pub chip: String,
    /// `temp1` and so on; not in the printed document.
    #[serde(skip)]
    pub sensor: String,
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
