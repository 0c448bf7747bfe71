//! Why a fault has no good end.

use std::process::Command;

/// What came instead of a verdict that all is well.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It cannot be done here, for this reason.
    Skipped(String),
    /// What must hold does not.
    Wrong(String),
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

/// Fails with `what` unless `holds`.
pub(crate) fn require(holds: bool, what: &str) -> Result<(), Problem> {
    match holds {
        true => Ok(()),
        false => Err(Problem::Wrong(what.to_owned())),
    }
}

/// Runs a line of shell; what it printed. Where it fails, its first complaint says
/// why the fault cannot be made here.
pub(crate) fn sh(script: &str) -> Result<String, Problem> {
    let output = Command::new("sh").args(["-c", script]).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let why = errors.lines().next().unwrap_or("failed");
    Err(Problem::Skipped(format!("{script}: {why}")))
}
