//! Notifications from one site to the journal of another, on a journaled file
//! system of its own.

mod backlog;
mod latency;
mod many_peers;
mod pair;
mod rivals;
mod slow_line;
mod store;
mod submit;
mod throughput;

use crate::disk::Disk;
use crate::parts::{self, Part};
use crate::report::Report;

const PARTS: [(&str, Part<Disk>); 7] = [
    ("throughput", throughput::measure),
    ("store", store::measure),
    ("rivals", rivals::measure),
    ("latency", latency::measure),
    ("backlog", backlog::measure),
    ("peers", many_peers::measure),
    ("slow", slow_line::measure),
];

/// All parts, or those named in `SITEWIRE_BENCH_PARTS`.
pub(crate) fn measure(report: &mut Report) {
    parts::run(&PARTS, report, &Disk::new(6144));
}
