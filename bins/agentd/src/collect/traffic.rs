//! What an interface has carried, and how much of it per second.

use std::collections::BTreeMap;

use agent::document::NetIo;

use super::growth::Growth;
use super::root::{per_second, unix_time};

/// Bytes, packets, errors and drops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counters {
    pub(super) received: [u64; 4],
    pub(super) sent: [u64; 4],
}

impl Growth<Counters> {
    /// All interfaces with their rates.
    pub(super) fn interfaces(
        &mut self,
        counted: BTreeMap<String, Counters>,
    ) -> BTreeMap<String, NetIo> {
        let timestamp = unix_time();
        self.measure(counted, |name, now, then, secs| NetIo {
            name: name.to_owned(),
            timestamp,
            ..now.since(then, secs)
        })
    }
}

impl Counters {
    /// The counters as they are, and what they grew by per second.
    pub(super) fn since(&self, then: &Self, secs: f64) -> NetIo {
        let rate = |then: u64, now: u64| per_second(then, now, secs);
        NetIo {
            bytes_sent: self.sent[0],
            bytes_recv: self.received[0],
            packets_sent: self.sent[1],
            packets_recv: self.received[1],
            errin: self.received[2],
            errout: self.sent[2],
            dropin: self.received[3],
            dropout: self.sent[3],
            avg_bytes_sent_ps: rate(then.sent[0], self.sent[0]),
            avg_bytes_recv_ps: rate(then.received[0], self.received[0]),
            avg_packets_sent_ps: rate(then.sent[1], self.sent[1]),
            avg_packets_recv_ps: rate(then.received[1], self.received[1]),
            avg_errin: rate(then.received[2], self.received[2]),
            avg_errout: rate(then.sent[2], self.sent[2]),
            avg_dropin: rate(then.received[3], self.received[3]),
            avg_dropout: rate(then.sent[3], self.sent[3]),
            ..NetIo::default()
        }
    }
}
