//! Network interfaces.

use serde::{Deserialize, Serialize};

use crate::lenient;

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
