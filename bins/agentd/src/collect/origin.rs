//! What a document says about us who made it; the same on every platform.

use std::time::Duration;

use agent::document::Agent;
use jiff::Zoned;

/// All that we know without asking the system. The interval decides when a
/// reader calls the document stale.
pub(super) fn ours(interval: Duration) -> Agent {
    let now = Zoned::now();
    Agent {
        last_updated: now.strftime("%Y-%m-%d %H:%M:%S.%9f %z %Z").to_string(),
        last_updated_timestamp: u64::try_from(now.timestamp().as_second()).unwrap_or(0),
        agent_version: program::RELEASE.to_owned(),
        temperature_unit: "C".to_owned(),
        goos: system().to_owned(),
        goarch: architecture().to_owned(),
        goversion: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
        check_interval: Some(interval.as_secs()),
        ..Agent::default()
    }
}

/// The system's name as Go spells it.
pub(super) fn system() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The processor's name as Go spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}
