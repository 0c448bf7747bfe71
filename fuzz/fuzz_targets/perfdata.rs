//! Any bytes as performance data: no panic, and what was taken is printed in a
//! form that is taken again and printed the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use objects::{Perfdata, Range};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(perfdata) = Perfdata::parse(bytes) {
        let printed = perfdata.print();
        let again = Perfdata::parse(&printed).expect("what we print we read");
        assert_eq!(again.print(), printed);
        assert_eq!(again.metrics.len(), perfdata.metrics.len());
    }
    if let Ok(range) = Range::parse(bytes) {
        let printed = range.to_string();
        let again: Range = printed.parse().expect("what we print we read");
        for value in [f64::MIN, -1.0, 0.0, 1.0, f64::MAX] {
            assert_eq!(again.alerts(value), range.alerts(value), "{printed}");
        }
    }
});
