//! Links from `/sys/class/net`, traffic from `/proc/net/dev`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent::document::NetStats;

use super::growth::Growth;
use super::part::{Collector, Finding, Part};
use super::root::{Root, cannot_read, lines, number, parse, text, word, words};
use super::traffic::Counters;

/// State of every link.
pub(crate) struct Links {
    pub(crate) root: Root,
}

/// Traffic, measured from one collection to the next.
pub(crate) struct Traffic {
    root: Root,
    growth: Growth<Counters>,
    buffer: Vec<u8>,
}

impl Collector for Links {
    fn collect(&mut self) -> Result<Finding, String> {
        let directory = self.root.path("sys/class/net");
        let entries = fs::read_dir(&directory).map_err(|error| cannot_read(&directory, &error))?;
        let mut links = BTreeMap::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            // There are plain files too (`bonding_masters`).
            let (true, Some(name)) = (path.is_dir(), path.file_name()) else {
                continue;
            };
            links.insert(name.to_string_lossy().into_owned(), link(&path));
        }
        Ok(Part::NetStats(links).into())
    }
}

/// The kernel refuses most of these for an interface that is down, and speed
/// and duplex for a loopback.
fn link(path: &Path) -> NetStats {
    NetStats {
        isup: Some(number(&path.join("carrier")) == Some(1)),
        duplex: match word(&path.join("duplex")).as_deref() {
            Some("half") => 1,
            Some("full") => 2,
            _ => 0,
        },
        // The kernel says -1 for unknown, and some drivers the same number
        // without sign.
        speed: match number(&path.join("speed")).unwrap_or(0) {
            speed if speed == i64::from(u32::MAX) => -1,
            speed => speed.max(-1),
        },
        mtu: number(&path.join("mtu")).unwrap_or(0),
    }
}

impl Traffic {
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            growth: Growth::new(),
            buffer: Vec::new(),
        }
    }
}

impl Collector for Traffic {
    fn collect(&mut self) -> Result<Finding, String> {
        let counted = counters(self.root.read("proc/net/dev", &mut self.buffer)?);
        Ok(Part::NetIo(self.growth.interfaces(counted)).into())
    }
}

/// `NAME: BYTES PACKETS ERRORS DROPS` and four more, then the same sent.
fn counters(dev: &[u8]) -> BTreeMap<String, Counters> {
    let line = |line: &[u8]| {
        // An alias has a colon in its name.
        let colon = line.iter().rposition(|byte| *byte == b':')?;
        let numbers: Vec<u64> = words(&line[colon + 1..]).map_while(parse).collect();
        let counters = Counters {
            received: *numbers.first_chunk()?,
            sent: *numbers.get(8..)?.first_chunk()?,
        };
        Some((text(line[..colon].trim_ascii()), counters))
    };
    lines(dev).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_and_heads_are_not() {
        let found = counters(
            b"Inter-|   Receive                    |  Transmit\n\
              \x20face |bytes    packets errs drop\n\
              \x20   lo: 10 1 2 3 4 5 6 7 20 21 22 23 24 25 26 27\n\
              eth0:1:99 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n\
              eth1: 1 2 3\n",
        );
        assert_eq!(found.keys().collect::<Vec<_>>(), ["eth0:1", "lo"]);
        let lo = Counters {
            received: [10, 1, 2, 3],
            sent: [20, 21, 22, 23],
        };
        assert_eq!(found["lo"], lo);
    }

    #[test]
    fn a_counter_that_went_back_was_reset() {
        let then = Counters {
            received: [1000, 10, 0, 0],
            sent: [u64::MAX, 10, 0, 0],
        };
        let now = Counters {
            received: [3000, 10, 4, 0],
            sent: [5, 0, 0, 2],
        };
        let net_io = now.since(&then, 2.0);
        assert_eq!(net_io.avg_bytes_recv_ps, 1000);
        assert_eq!(net_io.avg_errin, 2);
        assert_eq!(net_io.avg_bytes_sent_ps, 0);
        assert_eq!(net_io.avg_dropout, 1);
        assert_eq!(net_io.bytes_sent, 5);
    }
}
