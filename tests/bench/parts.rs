//! A benchmark of several parts: all of them, or those that were asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::report::{Better, OURS, Report, Row};

/// One of them, which adds its rows; `T` is what all of them need.
pub(crate) type Part<T> = fn(&mut Report, &T);

/// Runs all parts, or those named in `SITEWIRE_BENCH_PARTS`.
pub(crate) fn run<T>(parts: &[(&str, Part<T>)], report: &mut Report, with: &T) {
    let wanted = std::env::var("SITEWIRE_BENCH_PARTS").unwrap_or_default();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.split(',').any(|wanted| wanted == *name) {
            // What has been measured so far is not lost with it.
            let measured = catch_unwind(AssertUnwindSafe(|| part(report, with)));
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
