//! Commands, and check results as commands.

use bstr::{BStr, BString};
use objects::{CheckResult, UnixTime};

use crate::error::Error;

/// An external command: `[TIME] NAME;argument;argument`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// When it was given.
    pub time: UnixTime,
    /// Its name.
    pub name: BString,
    /// Everything after the first semicolon, as it came.
    pub arguments: BString,
}

impl Command {
    /// Parses what stands after `COMMAND `, without line feed.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Appends `COMMAND [TIME] NAME;arguments`, line feed and blank line.
    pub fn print(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }

    /// The arguments one by one; the last of `count` keeps its semicolons.
    pub fn split(&self, count: usize) -> impl Iterator<Item = &BStr> {
        self.arguments.splitn(count, |b| *b == b';').map(BStr::new)
    }

    /// The check result, if this is `PROCESS_HOST_CHECK_RESULT` or
    /// `PROCESS_SERVICE_CHECK_RESULT`; `None` for any other command.
    pub fn check_result(&self) -> Option<Result<CheckResult, Error>> {
        todo!()
    }

    /// The command that hands in `result`.
    pub fn from_check_result(result: &CheckResult) -> Result<Self, Error> {
        let _ = result;
        todo!()
    }
}
