//! Notifications from one site to the journal of another, on a journaled file
//! system of its own.

mod backlog;
mod latency;
mod many_peers;
mod pair;
mod rivals;
mod slow_line;
mod submit;
mod throughput;

use crate::disk::Disk;
use crate::report::Report;

/// A part of this benchmark.
type Part = fn(&mut Report, &Disk);

const PARTS: [(&str, Part); 6] = [
    ("throughput", throughput::measure),
    ("rivals", rivals::measure),
    ("latency", latency::measure),
    ("backlog", backlog::measure),
    ("peers", many_peers::measure),
    ("slow", slow_line::measure),
];

/// All parts, or those named in `SITEWIRE_BENCH_PARTS`.
pub(crate) fn measure(report: &mut Report) {
    let wanted = std::env::var("SITEWIRE_BENCH_PARTS").unwrap_or_default();
    let disk = Disk::new(6144);
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.split(',').any(|wanted| wanted == name) {
            part(report, &disk);
        }
    }
}
