//! What plugins print and servers answer about when to be asked again.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;

#[path = "../../bins/notifyd/src/left_alone.rs"]
mod left_alone;

fuzz_target!(|data: &[u8]| {
    let longest = Duration::from_secs(24 * 3600);
    if let Some(pause) = left_alone::said_by_plugin(data) {
        assert!(pause <= longest);
        // Whatever stands in front of it.
        let more = [b"sent\n", data].concat();
        assert_eq!(left_alone::said_by_plugin(&more), Some(pause));
    }
    let text = String::from_utf8_lossy(data);
    if let Some(pause) = left_alone::said_by_server(&text, SystemTime::UNIX_EPOCH) {
        assert!(pause <= longest);
    }
});
