//! What is wrong with, or worth knowing of, a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// It works, perhaps otherwise than was meant.
    Warning,
    /// A part is left out; the rest works.
    Error,
    /// The configuration cannot be used.
    Fatal,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    /// Counted from 1; none for the file as a whole.
    pub(crate) line: Option<usize>,
    pub(crate) severity: Severity,
    pub(crate) text: String,
}

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        file: &Path,
        line: Option<usize>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line: line.filter(|line| *line > 0),
            severity,
            text: text.into(),
        }
    }
}

/// The worst of what was found, if anything.
pub(crate) fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        match self.severity {
            Severity::Warning => write!(f, " warning: {}", self.text),
            Severity::Error | Severity::Fatal => write!(f, " {}", self.text),
        }
    }
}
