//! Processor time between two readings of `/proc/stat`.
//!
//! Busy is everything but idle and waiting for disks, the time stolen by the
//! hypervisor included; the total is the mean of the processors. The detailed
//! shares are of user, nice, system, idle and iowait alone, so they add up to
//! 100 but on a machine with much stolen time do not match the total.

use agent::document::{Cpu, CpuShares};
use procfs::{CurrentSI, KernelStats, ProcError};

/// What one processor has done since the start, in clock ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticks {
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    /// Interrupts and what the hypervisor took.
    other: u64,
}

/// The counters of every processor.
pub(crate) fn read() -> Result<Vec<Ticks>, ProcError> {
    let stats = KernelStats::current()?;
    let ticks = stats.cpu_time.iter().map(|time| Ticks {
        user: time.user,
        nice: time.nice,
        system: time.system,
        idle: time.idle,
        iowait: time.iowait.unwrap_or(0),
        other: [time.irq, time.softirq, time.steal]
            .into_iter()
            .flatten()
            .sum(),
    });
    Ok(ticks.collect())
}

/// Percentages between two readings.
pub(crate) fn shares(
    before: Result<Vec<Ticks>, ProcError>,
    after: Result<Vec<Ticks>, ProcError>,
) -> Result<Cpu, ProcError> {
    let spent: Vec<Ticks> = before?
        .iter()
        .zip(&after?)
        .map(|(before, after)| after.since(before))
        .collect();
    let percentages: Vec<f64> = spent.iter().map(Ticks::busy_percentage).collect();
    let sum: f64 = percentages.iter().sum();
    Ok(Cpu {
        cpu_total_percentage: Some(sum / percentages.len().max(1) as f64),
        cpu_percentage: percentages,
        cpu_total_percentage_detailed: spent
            .iter()
            .copied()
            .fold(Ticks::default(), Ticks::plus)
            .shares(),
        cpu_percentage_detailed: spent.iter().map(Ticks::shares).collect(),
    })
}

impl Ticks {
    /// Saturating: the kernel's figure for iowait can go back.
    fn since(&self, before: &Self) -> Self {
        Self {
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

/// A processor that counted nothing, as one just plugged in, was 0 % busy:
/// what is not a number would make the whole document unreadable.
fn percentage(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64 * 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(user: u64, system: u64, idle: u64, iowait: u64, other: u64) -> Ticks {
        Ticks {
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
        let before = vec![ticks(100, 100, 100, 100, 100), ticks(0, 0, 0, 0, 0)];
        let after = vec![ticks(120, 110, 150, 110, 110), ticks(10, 0, 90, 0, 0)];
        let cpu = shares(Ok(before), Ok(after)).unwrap();
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
            let cpu = shares(Ok(before), Ok(after)).unwrap();
            assert_eq!(cpu.cpu_total_percentage, Some(0.0));
            assert_eq!(cpu.cpu_total_percentage_detailed, CpuShares::default());
        }
    }
}
