//! The object cache of Nagios and Naemon, and the memory of what such a core was
//! told: liveload's own file, which a disk may have damaged.

#![no_main]
// The modules are liveload's, and only their readers are called.
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;
use nagios::check_result::{CheckResult, Full};
use objects::UnixTime;

#[path = "../../bins/liveload/src/state/known.rs"]
mod known;
#[path = "../../bins/liveload/src/state/replay.rs"]
mod replay;

/// The one word of liveload's command line that they look at.
mod cli {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Core {
        Nagios,
        Icinga2,
    }
}

fuzz_target!(|data: &[u8]| {
    let (cache, memory) = data.split_at(data.len() / 2);
    let known = known::Known::parse(cache).ok();
    if let Some(attempts) = known.as_ref().and_then(|known| known.max_check_attempts(b"h", None)) {
        assert!(attempts > 0);
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), memory).expect("it is there");
    for core in [cli::Core::Nagios, cli::Core::Icinga2] {
        let mut replay = replay::Replay::open(file.path().to_owned(), core);
        for (service, state) in [(None, 1), (Some("s"), 2), (Some("s"), 0)] {
            let record = CheckResult {
                host_name: "h".into(),
                service_description: service.map(Into::into),
                return_code: state,
                start_time: UnixTime::from_secs(20),
                full: Some(Full {
                    has_been_checked: true,
                    current_attempt: u32::from(memory.first().copied().unwrap_or(0)),
                    last_state_change: UnixTime::from_secs(10),
                    ..Full::default()
                }),
                ..CheckResult::default()
            };
            let results = replay.results(&record, known.as_ref());
            // A hundred attempts, an OK before them, the last check behind.
            assert!(results.len() <= 103, "{}", results.len());
            assert!(results.iter().all(|result| result.host_name == "h"));
        }
    }
});
