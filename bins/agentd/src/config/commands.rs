//! `customchecks.ini`: a section for each plugin. One that is wrong harms only
//! itself: it is in the list with the reason, to be seen where its result would be.

use std::path::Path;
use std::time::Duration;

use agent::ini::{DEFAULT_SECTION, Ini};

use super::{Finding, Keys, Reading, Severity, seconds};

/// A plugin that is started now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomCheck {
    /// The section's name, in lower case.
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) interval: Duration,
    /// At most the interval.
    pub(crate) timeout: Duration,
    /// A program that the command is fed to; empty for none.
    pub(crate) shell: String,
    pub(crate) powershell: String,
    /// Why it cannot be run, if that is so.
    pub(crate) problem: Option<String>,
}

pub(super) fn read(ini: &Ini, file: &Path, findings: &mut Vec<Finding>) -> Vec<CustomCheck> {
    let mut settings = Vec::new();
    let mut reading = Reading {
        file,
        findings,
        settings: &mut settings,
    };
    let mut checks = Vec::new();
    for section in ini.sections() {
        if section.name == DEFAULT_SECTION {
            continue;
        }
        let mut keys = Keys::new(&section.name, Some(section), Severity::Error, &mut reading);
        let enabled = keys.flag("enabled", false);
        if !enabled {
            keys.tolerate();
        }
        let mut check = read_check(&section.name, &mut keys);
        check.problem = keys.finish();
        if enabled {
            checks.push(check);
        }
    }
    checks
}

fn read_check(name: &str, keys: &mut Keys<'_, '_>) -> CustomCheck {
    let command = keys.text("command", "");
    if command.trim().is_empty() {
        keys.refuse("command", format!("custom check {name} has no command"));
    }
    let interval = match keys.integer("interval", 60) {
        ..=0 => Duration::from_secs(60),
        number => seconds(number),
    };
    let timeout = match keys.integer("timeout", 15) {
        ..=0 => Duration::from_secs(15),
        number => seconds(number),
    };
    if timeout > interval {
        let text = format!(
            "custom check {name}: timeout {} s is longer than the interval, which counts ({} s)",
            timeout.as_secs(),
            interval.as_secs()
        );
        keys.warn("timeout", text);
    }
    CustomCheck {
        name: name.to_owned(),
        command,
        interval,
        timeout: timeout.min(interval),
        shell: keys.text("shell", ""),
        powershell: keys.text("powershell_exe", "powershell.exe"),
        problem: None,
    }
}
