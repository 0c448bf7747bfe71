//! Any bytes as a map of fields, and any bytes behind it as a dump laid out like
//! that: no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use livestatus::dump::{DumpReader, Layout};

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (map, dump) = bytes.split_at(cut);
    let Ok(layout) = Layout::parse(map) else {
        return;
    };
    let mut reader = DumpReader::of_layout(layout);
    reader.push(dump);
    reader.finish();
    while reader.poll_item().is_some() {}
});
