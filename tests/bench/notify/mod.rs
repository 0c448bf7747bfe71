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

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::disk::Disk;
use crate::report::{Better, OURS, Report, Row};

/// A part of this benchmark.
type Part = fn(&mut Report, &Disk);

const PARTS: [(&str, Part); 7] = [
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
    let wanted = std::env::var("SITEWIRE_BENCH_PARTS").unwrap_or_default();
    let disk = Disk::new(6144);
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.split(',').any(|wanted| wanted == name) {
            // What has been measured so far is not lost with it.
            let measured = catch_unwind(AssertUnwindSafe(|| part(report, &disk)));
            if measured.is_err() {
                report.add(failed(name));
            }
        }
    }
}

fn failed(part: &str) -> Row {
    Row {
        work: part.into(),
        program: OURS.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        figure: None,
        unit: "",
        better: Better::Lower,
        note: "failed before all of it was measured; why stands on standard error".into(),
    }
}
