//! Any bytes as a shadow configuration: no panic, no more memory than the limits
//! allow, and what was taken survives printing and reading.

#![no_main]

use bstr::ByteSlice;
use libfuzzer_sys::fuzz_target;
use nagios::shadow::{Limits, Printer, parse};
use objects::{DumpBegin, DumpContent, DumpMode, SiteId, UnixTime};

fuzz_target!(|bytes: &[u8]| {
    let Ok(configuration) = parse(bytes, Limits::default()) else {
        return;
    };
    let begin = configuration.begin.unwrap_or_else(|| DumpBegin {
        site: SiteId::new("fuzz").expect("a site id"),
        content: DumpContent::Configuration,
        epoch: 0,
        sequence: 0,
        mode: DumpMode::Full,
        time: UnixTime::NEVER,
        config_hash: None,
    });
    let mut printed = Vec::new();
    let mut printer = Printer::new(&mut printed, &begin).expect("memory takes all");
    for (name, host) in &configuration.hosts {
        printer
            .host(name.as_bstr(), host)
            .expect("memory takes all");
    }
    printer
        .finish_with(&configuration.definitions)
        .expect("memory takes all");
    let again = parse(&printed, Limits::default()).expect("what we print we read");
    assert_eq!(again.begin, Some(begin));
    assert_eq!(again.hosts, configuration.hosts);
    assert_eq!(again.definitions, configuration.definitions);
});
