//! File systems and block devices.

use serde::{Deserialize, Serialize};

use crate::lenient;

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
    /// How many files it can hold; not in the printed document.
    #[serde(skip)]
    pub files: u64,
    /// How many more it can hold; not in the printed document.
    #[serde(skip)]
    pub files_free: u64,
}

/// An entry of `disk_io`: counters, and what they grew by per second. Every
/// member is always there; those of another system are 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct DiskIo {
    #[serde(deserialize_with = "lenient::unsigned")]
    pub timestamp: u64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub device: String,
    /// On Linux sectors of 512 bytes, whatever the name says.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_bytes: u64,
    /// On Linux sectors of 512 bytes, whatever the name says.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_bytes: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_count: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_count: u64,
    /// Milliseconds, as all times.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub read_time: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub write_time: u64,
    #[serde(deserialize_with = "lenient::unsigned")]
    pub io_time: u64,
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
    /// Milliseconds per operation.
    #[serde(deserialize_with = "lenient::nullable")]
    pub total_avg_wait: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub read_avg_wait: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub write_avg_wait: f64,
    /// Bytes per operation.
    #[serde(deserialize_with = "lenient::nullable")]
    pub read_avg_size: f64,
    #[serde(deserialize_with = "lenient::nullable")]
    pub write_avg_size: f64,
    /// How much of the time the device was busy; absent where it is not known.
    pub load_percent: Option<f64>,
    /// What Windows counts.
    #[serde(flatten)]
    pub windows: RawCounters,
}

/// Raw counters of Windows in an entry of `disk_io`; elsewhere all are 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the keys are the document's own")]
pub struct RawCounters {
    #[serde(rename = "Frequency_PerfTime", deserialize_with = "lenient::unsigned")]
    pub frequency_perf_time: u64,
    #[serde(rename = "Timestamp_Sys100NS", deserialize_with = "lenient::unsigned")]
    pub timestamp_sys100ns: u64,
    #[serde(rename = "AvgDiskSecPerRead", deserialize_with = "lenient::unsigned")]
    pub avg_disk_sec_per_read: u64,
    #[serde(
        rename = "AvgDiskSecPerRead_Base",
        deserialize_with = "lenient::unsigned"
    )]
    pub avg_disk_sec_per_read_base: u64,
    #[serde(rename = "AvgDiskSecPerWrite", deserialize_with = "lenient::unsigned")]
    pub avg_disk_sec_per_write: u64,
    #[serde(
        rename = "AvgDiskSecPerWrite_Base",
        deserialize_with = "lenient::unsigned"
    )]
    pub avg_disk_sec_per_write_base: u64,
    #[serde(rename = "PercentDiskTime", deserialize_with = "lenient::unsigned")]
    pub percent_disk_time: u64,
    #[serde(
        rename = "PercentDiskTime_Base",
        deserialize_with = "lenient::unsigned"
    )]
    pub percent_disk_time_base: u64,
    #[serde(rename = "DiskReadsPerSec", deserialize_with = "lenient::unsigned")]
    pub disk_reads_per_sec: u64,
    #[serde(rename = "DiskWritesPerSec", deserialize_with = "lenient::unsigned")]
    pub disk_writes_per_sec: u64,
    #[serde(rename = "DiskReadBytesPerSec", deserialize_with = "lenient::unsigned")]
    pub disk_read_bytes_per_sec: u64,
    #[serde(
        rename = "DiskWriteBytesPerSec",
        deserialize_with = "lenient::unsigned"
    )]
    pub disk_write_bytes_per_sec: u64,
    #[serde(rename = "AvgDiskBytesPerRead", deserialize_with = "lenient::unsigned")]
    pub avg_disk_bytes_per_read: u64,
    #[serde(
        rename = "AvgDiskBytesPerRead_Base",
        deserialize_with = "lenient::unsigned"
    )]
    pub avg_disk_bytes_per_read_base: u64,
    #[serde(
        rename = "AvgDiskBytesPerWrite",
        deserialize_with = "lenient::unsigned"
    )]
    pub avg_disk_bytes_per_write: u64,
    #[serde(
        rename = "AvgDiskBytesPerWrite_Base",
        deserialize_with = "lenient::unsigned"
    )]
    pub avg_disk_bytes_per_write_base: u64,
}
