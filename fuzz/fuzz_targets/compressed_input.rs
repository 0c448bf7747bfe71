//! Any bytes as input that may be compressed: no panic, never more than the
//! limit, and what is not compressed is itself.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    let Ok(mut input) = transfer::open(bytes, LIMIT) else {
        return;
    };
    let read = input.read_to_end(&mut out);
    assert!(out.len() as u64 <= LIMIT);
    if read.is_ok() && !matches!(bytes.first(), Some(0x1f | 0x28 | 0x50..=0x5f)) {
        assert_eq!(out, bytes);
    }
});
