//! Any bytes as a dump of check results: no panic, however they are split, and
//! what was taken survives printing and reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nagios::check_result::{CheckResult, Core, Event, Limits, Reader, print};

fn read(unframed: Option<Core>, bytes: &[u8], piece: usize) -> Vec<CheckResult> {
    let mut reader = Reader::new(unframed, Limits::default());
    let mut pieces = bytes.chunks(piece);
    let mut results = Vec::new();
    loop {
        match reader.poll_event() {
            Ok(Event::NeedInput) => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
            Ok(Event::Record(result)) => results.push(result.clone()),
            Ok(Event::Begin(_) | Event::Refused(_)) => {}
            Ok(Event::End(_)) | Err(_) => return results,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    for core in [None, Some(Core::Nagios), Some(Core::Naemon)] {
        let results = read(core, bytes, bytes.len().max(1));
        assert_eq!(read(core, bytes, 1), results);
        let core = core.unwrap_or_default();
        let again = |results: &[CheckResult]| {
            let mut printed = Vec::new();
            for result in results {
                let plain = CheckResult {
                    full: None,
                    ..result.clone()
                };
                print(core, &plain, &mut printed);
            }
            read(Some(core), &printed, 100)
        };
        let once = again(&results);
        assert_eq!(once.len(), results.len());
        assert_eq!(again(&once), once);
    }
});
