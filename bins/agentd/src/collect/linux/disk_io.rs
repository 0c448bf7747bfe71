//! What the block devices do, from `/proc/diskstats`.

use std::collections::BTreeMap;

use agent::document::DiskIo;

use super::growth::Growth;
use super::part::{Collector, Finding, Part};
use super::root::{Root, lines, parse, per_second, percentage, text, unix_time, words};

/// Bytes of what the kernel counts, whatever a device's own sectors are.
const SECTOR: u64 = 512;

/// Block devices, measured from one collection to the next.
pub(crate) struct BlockDevices {
    root: Root,
    growth: Growth<Counters>,
    buffer: Vec<u8>,
}

/// What a device has done; times in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    reads: u64,
    read_sectors: u64,
    read_time: u64,
    writes: u64,
    written_sectors: u64,
    write_time: u64,
    io_time: u64,
}

impl BlockDevices {
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            growth: Growth::new(),
            buffer: Vec::new(),
        }
    }
}

impl Collector for BlockDevices {
    fn collect(&mut self) -> Result<Finding, String> {
        let counted = counters(self.root.read("proc/diskstats", &mut self.buffer)?);
        let timestamp = unix_time();
        let rated = |name: &str, now: &Counters, then: &Counters, secs| DiskIo {
            timestamp,
            device: name.to_owned(),
            ..now.since(then, secs)
        };
        let devices = self.growth.measure(counted, rated);
        Ok(Part::DiskIo(devices).into())
    }
}

/// `MAJOR MINOR NAME READS MERGED SECTORS MS WRITES MERGED SECTORS MS RUNNING MS…`
fn counters(diskstats: &[u8]) -> BTreeMap<String, Counters> {
    let line = |line| {
        let mut words = words(line).skip(2);
        let name = words.next().filter(|name| !name.starts_with(b"loop"))?;
        let numbers: Vec<u64> = words.take(10).map_while(parse).collect();
        let [
            reads,
            _,
            read_sectors,
            read_time,
            writes,
            _,
            written_sectors,
            write_time,
            _,
            io_time,
        ] = *numbers.as_slice().first_chunk()?;
        let counters = Counters {
            reads,
            read_sectors,
            read_time,
            writes,
            written_sectors,
            write_time,
            io_time,
        };
        Some((text(name), counters))
    };
    lines(diskstats).filter_map(line).collect()
}

impl Counters {
    /// The counters as they are, and what they grew by per second.
    fn since(&self, then: &Self, secs: f64) -> DiskIo {
        let reads = self.reads.saturating_sub(then.reads);
        let writes = self.writes.saturating_sub(then.writes);
        let read_time = self.read_time.saturating_sub(then.read_time);
        let write_time = self.write_time.saturating_sub(then.write_time);
        let read = bytes(then.read_sectors, self.read_sectors);
        let written = bytes(then.written_sectors, self.written_sectors);
        let io_time = self.io_time.saturating_sub(then.io_time);
        DiskIo {
            // In sectors, as the original has them here.
            read_bytes: self.read_sectors,
            write_bytes: self.written_sectors,
            read_count: self.reads,
            write_count: self.writes,
            read_time: self.read_time,
            write_time: self.write_time,
            io_time: self.io_time,
            read_iops_per_second: per_second(0, reads, secs),
            write_iops_per_second: per_second(0, writes, secs),
            total_iops_per_second: per_second(0, reads + writes, secs),
            read_bytes_per_second: per_second(0, read, secs),
            write_bytes_per_second: per_second(0, written, secs),
            total_avg_wait: each(read_time + write_time, reads + writes),
            read_avg_wait: each(read_time, reads),
            write_avg_wait: each(write_time, writes),
            read_avg_size: each(read, reads),
            write_avg_size: each(written, writes),
            load_percent: Some(percentage(io_time as f64, secs * 1000.0).min(100.0)),
            ..DiskIo::default()
        }
    }
}

fn bytes(then: u64, now: u64) -> u64 {
    now.saturating_sub(then).saturating_mul(SECTOR)
}

/// For each operation; nothing if there was none.
fn each(amount: u64, operations: u64) -> f64 {
    match operations {
        0 => 0.0,
        operations => amount as f64 / operations as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_loops_left_out() {
        let found = counters(
            b"   7 0 loop0 1 0 2 3 0 0 0 0 0 1 1\n 8 0 sda 100 5 2000 30 50 1 800 40 0 60 70 1 2 3 4\n\
              8 1 sda1 1 2\n",
        );
        assert_eq!(found.keys().collect::<Vec<_>>(), ["sda"]);
        let sda = found["sda"];
        assert_eq!(
            (sda.reads, sda.written_sectors, sda.io_time),
            (100, 800, 60)
        );
    }

    #[test]
    fn growth_is_per_second_and_a_reset_is_none() {
        let then = Counters {
            reads: 100,
            read_sectors: 1000,
            read_time: 10,
            writes: 500,
            written_sectors: 9000,
            write_time: 50,
            io_time: 1000,
        };
        let now = Counters {
            reads: 120,
            read_sectors: 1400,
            read_time: 50,
            writes: 3,
            written_sectors: 24,
            write_time: 1,
            io_time: 2500,
        };
        let disk_io = now.since(&then, 2.0);
        assert_eq!(disk_io.read_iops_per_second, 10);
        assert_eq!(disk_io.read_bytes_per_second, 400 * 512 / 2);
        assert_eq!(disk_io.read_avg_wait, 2.0);
        assert_eq!(disk_io.read_avg_size, 10240.0);
        assert_eq!(disk_io.load_percent, Some(75.0));
        assert_eq!(disk_io.write_bytes_per_second, 0);
        assert_eq!(disk_io.write_avg_wait, 0.0);
        assert_eq!(disk_io.read_bytes, 1400);
        // The counter of the time ran over: not more than all of it.
        assert_eq!(now.since(&then, 0.1).load_percent, Some(100.0));
        assert_eq!(now.since(&then, 0.0).load_percent, Some(0.0));
    }
}
