//! Memory, swap space and load averages.

use agent::document::{Memory, Swap, SystemLoad};

use super::part::{Collector, Finding, Part};
use super::root::{Root, lines, parse, percentage, words};

/// `/proc/vmstat` counts in pages, which the original takes for this long.
const PAGE: u64 = 4096;

/// Main memory.
pub(crate) struct MainMemory {
    root: Root,
    buffer: Vec<u8>,
}

/// Swap space.
pub(crate) struct SwapSpace {
    root: Root,
    buffer: Vec<u8>,
}

/// Load averages.
pub(crate) struct LoadAverages {
    root: Root,
    buffer: Vec<u8>,
}

impl MainMemory {
    pub(crate) fn new(root: Root) -> Self {
        let buffer = Vec::new();
        Self { root, buffer }
    }
}

impl Collector for MainMemory {
    /// Used is what is not available, as the original counts since 2025: what
    /// the kernel would give back is not used.
    fn collect(&mut self) -> Result<Finding, String> {
        let info = self.root.read("proc/meminfo", &mut self.buffer)?;
        let bytes = |key| bytes(info, key);
        let total = bytes(b"MemTotal:").ok_or("no MemTotal in /proc/meminfo")?;
        let free = bytes(b"MemFree:").unwrap_or(0);
        // Kernels before 3.14 do not estimate what is available.
        let estimate = || {
            let cached = bytes(b"Buffers:").unwrap_or(0) + bytes(b"Cached:").unwrap_or(0);
            free + cached
        };
        let available = bytes(b"MemAvailable:").unwrap_or_else(estimate);
        let used = total.saturating_sub(available);
        let memory = Memory {
            total,
            available,
            percent: Some(percentage(used as f64, total as f64)),
            used,
            free,
            // Always 0 in the original, and wired memory is no notion of Linux.
            active: 0,
            inactive: bytes(b"Inactive:").unwrap_or(0),
            wired: 0,
        };
        Ok(Part::Memory(memory).into())
    }
}

impl SwapSpace {
    pub(crate) fn new(root: Root) -> Self {
        let buffer = Vec::new();
        Self { root, buffer }
    }
}

impl Collector for SwapSpace {
    fn collect(&mut self) -> Result<Finding, String> {
        let info = self.root.read("proc/meminfo", &mut self.buffer)?;
        let total = bytes(info, b"SwapTotal:").unwrap_or(0);
        let free = bytes(info, b"SwapFree:").unwrap_or(0);
        if total == 0 {
            return Ok(Part::Swap(nothing()).into());
        }
        let used = total.saturating_sub(free);
        let pages = self.root.read("proc/vmstat", &mut self.buffer)?;
        let traffic = |key| number(pages, key).unwrap_or(0).saturating_mul(PAGE);
        let swap = Swap {
            total,
            percent: Some(percentage(used as f64, total as f64)),
            used,
            free,
            sin: traffic(b"pswpin"),
            sout: traffic(b"pswpout"),
        };
        Ok(Part::Swap(swap).into())
    }
}

fn nothing() -> Swap {
    Swap {
        percent: Some(0.0),
        ..Swap::default()
    }
}

impl LoadAverages {
    pub(crate) fn new(root: Root) -> Self {
        let buffer = Vec::new();
        Self { root, buffer }
    }
}

impl Collector for LoadAverages {
    fn collect(&mut self) -> Result<Finding, String> {
        let text = self.root.read("proc/loadavg", &mut self.buffer)?;
        let mut words = words(text).map(parse::<f64>);
        let mut next = || words.next().flatten().filter(|load| load.is_finite());
        let load = SystemLoad {
            load1: next(),
            load5: next(),
            load15: next(),
        };
        if load.load15.is_none() {
            return Err("no load averages in /proc/loadavg".to_owned());
        }
        Ok(Part::SystemLoad(load).into())
    }
}

/// `KEY:   NUMBER kB`
fn bytes(info: &[u8], key: &[u8]) -> Option<u64> {
    Some(number(info, key)?.saturating_mul(1024))
}

fn number(text: &[u8], key: &[u8]) -> Option<u64> {
    let line = lines(text).find(|line| words(line).next() == Some(key))?;
    words(line).nth(1).and_then(parse)
}
