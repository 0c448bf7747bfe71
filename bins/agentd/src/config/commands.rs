//! `customchecks.ini`: a section for each plugin. One that is wrong harms only
//! itself: it is in the list with the reason, to be seen where its result would be.

use std::path::Path;
use std::time::Duration;

use agent::ini::Ini;

use super::{Finding, Keys, enabled, seconds};

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
    enabled::read(ini, file, findings, read_check)
        .into_iter()
        .map(|(check, problem)| CustomCheck { problem, ..check })
        .collect()
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
    let timeout = enabled::timeout(&format!("custom check {name}"), interval, keys);
    CustomCheck {
        name: name.to_owned(),
        command,
        interval,
        timeout,
        shell: keys.text("shell", ""),
        powershell: keys.text("powershell_exe", "powershell.exe"),
        problem: None,
    }
}
