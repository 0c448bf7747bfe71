//! Files with a section for each thing that is done now and then, if it is
//! enabled. A section that is wrong harms only itself.

use std::path::Path;
use std::time::Duration;

use agent::ini::{DEFAULT_SECTION, Ini};

use super::{Finding, Keys, Reading, Severity, seconds};

/// What the enabled sections say, each with the reason why it cannot be done,
/// if there is one. What is not enabled may be wrong.
pub(super) fn read<T>(
    ini: &Ini,
    file: &Path,
    findings: &mut Vec<Finding>,
    mut read_section: impl FnMut(&str, &mut Keys<'_, '_>) -> T,
) -> Vec<(T, Option<String>)> {
    let mut settings = Vec::new();
    let mut reading = Reading {
        file,
        findings,
        settings: &mut settings,
    };
    let mut all = Vec::new();
    for section in ini.sections() {
        if section.name == DEFAULT_SECTION {
            continue;
        }
        let mut keys = Keys::new(&section.name, Some(section), Severity::Error, &mut reading);
        let enabled = keys.flag("enabled", false);
        if !enabled {
            keys.tolerate();
        }
        let one = read_section(&section.name, &mut keys);
        let problem = keys.finish();
        if enabled {
            all.push((one, problem));
        }
    }
    all
}

/// At most the interval; `what` is it that has it.
pub(super) fn timeout(what: &str, interval: Duration, keys: &mut Keys<'_, '_>) -> Duration {
    let timeout = match keys.integer("timeout", 15) {
        ..=0 => Duration::from_secs(15),
        number => seconds(number),
    };
    if timeout > interval {
        let text = format!(
            "{what}: timeout {} s is longer than the interval, which counts ({} s)",
            timeout.as_secs(),
            interval.as_secs()
        );
        keys.warn("timeout", text);
    }
    timeout.min(interval)
}
