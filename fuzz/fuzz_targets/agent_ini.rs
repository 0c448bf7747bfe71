//! Any bytes as a configuration file of the agent: no panic, and every limit
//! holds.

#![no_main]

use agent::ini::{Ini, MAX_KEYS, MAX_SECTIONS, MAX_VALUE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ini, problems) = Ini::parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(problems.iter().all(|problem| problem.line <= lines));
    assert!(ini.sections().count() <= MAX_SECTIONS);
    assert!(ini.sections().all(|section| section.entries().count() <= MAX_KEYS));
    for entry in ini.sections().flat_map(|section| section.entries()) {
        assert!(entry.value.len() <= MAX_VALUE);
        assert!(entry.line <= lines);
        assert!(entry.repeats.is_none_or(|earlier| earlier < entry.line));
    }
});
