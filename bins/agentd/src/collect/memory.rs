//! Memory, swap space and load averages.

use agent::document::{Memory, Swap, SystemLoad};
use procfs::{Current, LoadAverage, Meminfo, ProcError};

/// Main memory. Used is what is not available, as the original counts since
/// 2025: what the kernel would give back is not used.
pub(crate) fn memory() -> Result<Memory, ProcError> {
    let info = Meminfo::current()?;
    // Kernels before 3.14 do not estimate what is available.
    let available = info
        .mem_available
        .unwrap_or(info.mem_free + info.buffers + info.cached);
    let used = info.mem_total.saturating_sub(available);
    Ok(Memory {
        total: info.mem_total,
        available,
        percent: Some(percentage(used, info.mem_total)),
        used,
        free: info.mem_free,
        // Always 0 in the original, and wired memory is no notion of Linux.
        active: 0,
        inactive: info.inactive,
        wired: 0,
    })
}

/// Swap space, and the traffic to and from it since the system started.
pub(crate) fn swap() -> Result<Swap, ProcError> {
    let info = Meminfo::current()?;
    let pages = procfs::vmstat()?;
    let bytes = |key: &str| {
        let pages = pages.get(key).copied().unwrap_or(0);
        u64::try_from(pages)
            .unwrap_or(0)
            .saturating_mul(procfs::page_size())
    };
    let used = info.swap_total.saturating_sub(info.swap_free);
    Ok(Swap {
        total: info.swap_total,
        percent: Some(percentage(used, info.swap_total)),
        used,
        free: info.swap_free,
        sin: bytes("pswpin"),
        sout: bytes("pswpout"),
    })
}

/// Load averages, with the two decimals that the kernel prints.
pub(crate) fn system_load() -> Result<SystemLoad, ProcError> {
    let load = LoadAverage::current()?;
    let decimals = |value: f32| Some((f64::from(value) * 100.0).round() / 100.0);
    Ok(SystemLoad {
        load1: decimals(load.one),
        load5: decimals(load.five),
        load15: decimals(load.fifteen),
    })
}

fn percentage(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64 * 100.0,
    }
}
