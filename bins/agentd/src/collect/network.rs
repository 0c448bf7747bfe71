//! Links from `/sys/class/net`, traffic from `/proc/net/dev`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use agent::document::{NetIo, NetStats};
use procfs::ProcError;
use procfs::net::DeviceStatus;

/// The counters of every interface.
pub(crate) type Counters = Result<HashMap<String, DeviceStatus>, ProcError>;

/// Reads the counters.
pub(crate) fn read_counters() -> Counters {
    procfs::net::dev_status()
}

/// Counters of the second reading, with what was added since the first per second.
pub(crate) fn rates(
    before: Counters,
    after: Counters,
    elapsed: Duration,
) -> Result<BTreeMap<String, NetIo>, ProcError> {
    let (before, after) = (before?, after?);
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let net_io = after.into_iter().map(|(name, now)| {
        // An interface that has just come has no rates yet.
        let then = before.get(&name).unwrap_or(&now);
        let net_io = NetIo {
            timestamp,
            ..net_io(then, &now, elapsed)
        };
        (name, net_io)
    });
    Ok(net_io.collect())
}

/// State of every link.
pub(crate) fn links() -> io::Result<BTreeMap<String, NetStats>> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        // There are plain files too (`bonding_masters`).
        let (true, Some(name)) = (path.is_dir(), path.file_name()) else {
            continue;
        };
        links.insert(name.to_string_lossy().into_owned(), link(&path));
    }
    Ok(links)
}

fn link(path: &Path) -> NetStats {
    // What cannot be read is not known: the kernel refuses most of these for
    // an interface that is down, and speed and duplex for a loopback.
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
    let number = |name: &str| read(name).trim().parse().unwrap_or(0);
    NetStats {
        isup: Some(read("carrier").trim() == "1"),
        duplex: match read("duplex").trim() {
            "half" => 1,
            "full" => 2,
            _ => 0,
        },
        // The kernel says -1 for unknown, and some drivers the same number
        // without sign.
        speed: match number("speed") {
            speed if speed == i64::from(u32::MAX) => -1,
            speed => speed.max(-1),
        },
        mtu: number("mtu"),
    }
}

fn net_io(then: &DeviceStatus, now: &DeviceStatus, elapsed: Duration) -> NetIo {
    let rate = |then: u64, now: u64| per_second(then, now, elapsed);
    NetIo {
        name: now.name.clone(),
        timestamp: 0,
        bytes_sent: now.sent_bytes,
        bytes_recv: now.recv_bytes,
        packets_sent: now.sent_packets,
        packets_recv: now.recv_packets,
        errin: now.recv_errs,
        errout: now.sent_errs,
        dropin: now.recv_drop,
        dropout: now.sent_drop,
        avg_bytes_sent_ps: rate(then.sent_bytes, now.sent_bytes),
        avg_bytes_recv_ps: rate(then.recv_bytes, now.recv_bytes),
        avg_packets_sent_ps: rate(then.sent_packets, now.sent_packets),
        avg_packets_recv_ps: rate(then.recv_packets, now.recv_packets),
        avg_errin: rate(then.recv_errs, now.recv_errs),
        avg_errout: rate(then.sent_errs, now.sent_errs),
        avg_dropin: rate(then.recv_drop, now.recv_drop),
        avg_dropout: rate(then.sent_drop, now.sent_drop),
    }
}

/// A counter that went back was reset: that is not traffic.
fn per_second(then: u64, now: u64, elapsed: Duration) -> u64 {
    let secs = elapsed.as_secs_f64();
    if secs <= 0.0 {
        return 0;
    }
    (now.saturating_sub(then) as f64 / secs).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_never_absurd() {
        for (then, now, millis, want) in [
            (1000, 3000, 1000, 2000),
            (1000, 3000, 2000, 1000),
            (1000, 1002, 3000, 1),
            (u64::MAX, 5, 1000, 0),
            (5, 5, 1000, 0),
            (1, 9, 0, 0),
        ] {
            let rate = per_second(then, now, Duration::from_millis(millis));
            assert_eq!(rate, want, "{then} {now} {millis}");
        }
    }
}
