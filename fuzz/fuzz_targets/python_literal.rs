//! Any bytes as a Python literal: no panic, no more memory than the limits
//! allow, and what is printed of a value is read as the same value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nagios::python::{Limits, Value};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        values: 10_000,
        ..Limits::default()
    };
    let Ok(value) = Value::parse(bytes, limits) else {
        return;
    };
    let mut printed = Vec::new();
    value.print(&mut printed);
    assert!(printed.is_ascii());
    let again = Value::parse(&printed, limits).expect("what we print we read");
    // Not by value: what is not a number differs from itself.
    let mut reprinted = Vec::new();
    again.print(&mut reprinted);
    assert_eq!(reprinted, printed);
});
