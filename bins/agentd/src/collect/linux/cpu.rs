//! Processor time between two readings of `/proc/stat`.
//!
//! Busy is everything but idle and waiting for disks, the time stolen by the
//! hypervisor included; the total is the mean of the processors. The detailed
//! shares are of user, nice, system, idle and iowait alone, so they add up to
//! 100 but on a machine with much stolen time do not match the total.

use agent::document::{Cpu, CpuShares};

use super::part::{Collector, Finding, Part};
use super::root::{self, Root, lines, parse, words};

/// Processors, measured from one collection to the next.
pub(crate) struct Processors {
    root: Root,
    before: Vec<Ticks>,
    buffer: Vec<u8>,
}

/// What one processor has done since the start, in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ticks {
    number: u32,
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    /// Interrupts and what the hypervisor took.
    other: u64,
}

impl Processors {
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            before: Vec::new(),
            buffer: Vec::new(),
        }
    }
}

impl Collector for Processors {
    fn collect(&mut self) -> Result<Finding, String> {
        let after = ticks(self.root.read("proc/stat", &mut self.buffer)?);
        let cpu = shares(&self.before, &after);
        self.before = after;
        Ok(Part::Cpu(cpu).into())
    }
}

/// The lines `cpu0 USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL GUEST…`; the
/// guests' time is in that of the users already.
fn ticks(stat: &[u8]) -> Vec<Ticks> {
    let line = |line| {
        let mut words = words(line);
        let number = parse(words.next()?.strip_prefix(b"cpu")?)?;
        let mut next = || words.next().and_then(parse).unwrap_or(0);
        Some(Ticks {
            number,
            user: next(),
            nice: next(),
            system: next(),
            idle: next(),
            iowait: next(),
            other: next() + next() + next(),
        })
    };
    lines(stat).filter_map(line).collect()
}

/// Percentages between two readings.
fn shares(before: &[Ticks], after: &[Ticks]) -> Cpu {
    let spent: Vec<Ticks> = after
        .iter()
        .map(|now| {
            // A processor that has just come has done nothing yet.
            let then = before.iter().find(|then| then.number == now.number);
            now.since(then.unwrap_or(now))
        })
        .collect();
    let percentages: Vec<f64> = spent.iter().map(Ticks::busy_percentage).collect();
    let sum: f64 = percentages.iter().sum();
    Cpu {
        cpu_total_percentage: Some(sum / percentages.len().max(1) as f64),
        cpu_percentage: percentages,
        cpu_total_percentage_detailed: spent
            .iter()
            .copied()
            .fold(Ticks::default(), Ticks::plus)
            .shares(),
        cpu_percentage_detailed: spent.iter().map(Ticks::shares).collect(),
    }
}

impl Ticks {
    /// Saturating: the kernel's figure for iowait can go back.
    fn since(&self, before: &Self) -> Self {
        Self {
            number: self.number,
            user: self.user.saturating_sub(before.user),
            nice: self.nice.saturating_sub(before.nice),
            system: self.system.saturating_sub(before.system),
            idle: self.idle.saturating_sub(before.idle),
            iowait: self.iowait.saturating_sub(before.iowait),
            other: self.other.saturating_sub(before.other),
        }
    }

    fn plus(self, more: Self) -> Self {
        Self {
            number: self.number,
            user: self.user + more.user,
            nice: self.nice + more.nice,
            system: self.system + more.system,
            idle: self.idle + more.idle,
            iowait: self.iowait + more.iowait,
            other: self.other + more.other,
        }
    }

    fn busy_percentage(&self) -> f64 {
        let busy = self.user + self.nice + self.system + self.other;
        percentage(busy, busy + self.idle + self.iowait)
    }

    fn shares(&self) -> CpuShares {
        let whole = self.user + self.nice + self.system + self.idle + self.iowait;
        CpuShares {
            user: percentage(self.user, whole),
            nice: percentage(self.nice, whole),
            system: percentage(self.system, whole),
            idle: percentage(self.idle, whole),
            iowait: percentage(self.iowait, whole),
        }
    }
}

fn percentage(part: u64, whole: u64) -> f64 {
    root::percentage(part as f64, whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(user: u64, system: u64, idle: u64, iowait: u64, other: u64) -> Ticks {
        Ticks {
            number: 0,
            user,
            nice: 0,
            system,
            idle,
            iowait,
            other,
        }
    }

    #[test]
    fn the_total_is_the_mean_of_the_processors() {
        let before = super::ticks(
            b"cpu  1 1 1 1 1\ncpu0 100 0 100 100 100 60 20 20 9 9\ncpu1 0 0 0 0 0 0 0 0\nintr 1\n",
        );
        let after = super::ticks(
            b"cpu  1 1 1 1 1\ncpu0 120 0 110 150 110 65 22 23 9 9\ncpu1 10 0 0 90 0 0 0 0\n",
        );
        let cpu = shares(&before, &after);
        // First: 20 + 10 + 10 busy of 100. Second: 10 busy of 100.
        assert_eq!(cpu.cpu_percentage, [40.0, 10.0]);
        assert_eq!(cpu.cpu_total_percentage, Some(25.0));
        let shares = cpu.cpu_total_percentage_detailed;
        let sum = shares.user + shares.nice + shares.system + shares.idle + shares.iowait;
        assert!((sum - 100.0).abs() < 1e-9, "{sum}");
        assert!((shares.user - 30.0 / 190.0 * 100.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_counted_is_nothing_and_not_no_number() {
        for (before, after) in [
            (vec![], vec![]),
            (vec![Ticks::default()], vec![Ticks::default()]),
            // A processor came between the readings, or counters went back.
            (vec![], vec![ticks(1, 1, 1, 1, 1)]),
            (vec![ticks(9, 9, 9, 9, 9)], vec![ticks(1, 1, 1, 1, 1)]),
        ] {
            let cpu = shares(&before, &after);
            assert_eq!(cpu.cpu_total_percentage, Some(0.0));
            assert_eq!(cpu.cpu_total_percentage_detailed, CpuShares::default());
        }
    }
}
