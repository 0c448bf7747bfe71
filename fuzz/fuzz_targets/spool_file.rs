//! Any bytes as a spool file of Checkmk, as a file of its directory for bulks and
//! as its configuration: no panic, and a spool file that was a notification in
//! between is printed as before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nagios::SpoolFile;
use nagios::python::{Limits, parse_assignments};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        values: 10_000,
        ..Limits::default()
    };
    let _ = parse_assignments(bytes, limits);
    let parsed = SpoolFile::parse(bytes).or_else(|_| SpoolFile::parse_bulk(bytes, b"mail"));
    let Ok(file) = parsed else {
        return;
    };
    let mut printed = Vec::new();
    file.print(&mut printed);
    let again = SpoolFile::parse(&printed).expect("what we print we read");
    let (_, context) = again.into_notification();
    let file = SpoolFile::of_notification(&context).expect("it was a spool file");
    let mut reprinted = Vec::new();
    file.print(&mut reprinted);
    assert_eq!(reprinted, printed);
});
