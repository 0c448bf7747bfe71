//! The end of a program: one status, one line on standard error.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// How a program ended, as cron, ssh and systemd are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done and complete: 0.
    Done,
    /// Failed; the same input will fail again: 1.
    Failed,
    /// Used wrongly: 2.
    Usage,
    /// Something was written or delivered, but not all: 3.
    Incomplete,
    /// Trying again later may help: 75.
    TryAgain,
    /// The configuration cannot be used: 78.
    BadConfiguration,
}

impl Status {
    /// The number handed to the system.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::TryAgain => 75,
            Self::BadConfiguration => 78,
        }
    }
}

/// Why a program did not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    silent: bool,
}

impl Failure {
    /// A failure described by `what` alone.
    pub fn new(status: Status, what: impl Into<String>) -> Self {
        Self {
            status,
            what: what.into(),
            source: None,
            silent: false,
        }
    }

    /// A failure at `what`, with its cause.
    pub fn caused(
        status: Status,
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            status,
            what: what.into(),
            source: Some(source.into()),
            silent: false,
        }
    }

    /// Ends with `status` and prints nothing: the reader of our output went
    /// away, or everything has been said.
    pub fn silent(status: Status) -> Self {
        Self {
            status,
            what: String::new(),
            source: None,
            silent: true,
        }
    }

    /// The status the program will end with.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Prints an error and all its causes once each: `what: cause: cause`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Ends a program: prints `PROGRAM: what: cause` on standard error for a
/// failure, and returns the code for `main`.
pub fn exit(program: &str, result: Result<Status, Failure>) -> ExitCode {
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            if !failure.silent {
                eprintln!("{program}: {}", chain(&failure));
            }
            failure.status
        }
    };
    ExitCode::from(status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("No space left on device");
        let failure = Failure::caused(Status::TryAgain, "cannot write x", cause);
        assert_eq!(chain(&failure), "cannot write x: No space left on device");
    }
}
