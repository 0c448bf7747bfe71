//! From a hard state to a mail, over two sites and over eighty; and who is told.

mod mail;
mod outage;
mod rules;
mod sink;

use crate::disk::Disk;
use crate::parts::{self, Part};
use crate::report::Report;

const PARTS: [(&str, Part<Disk>); 3] = [
    ("rules", |report, _| rules::measure(report)),
    ("mail", mail::measure),
    ("outage", outage::measure),
];

/// All parts, or those named in `SITEWIRE_BENCH_PARTS`.
pub(crate) fn measure(report: &mut Report) {
    parts::run(&PARTS, report, &Disk::new(2048));
}
