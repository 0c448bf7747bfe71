//! A program that delivers: what it gets, and what its end is for those who
//! wait.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use program::child::{self, End, Environment, Leftovers};

use super::environment;
use crate::delivery::{Outcome, Verdict};
use crate::stop::Stop;

/// How much of what a program prints is kept; the rest is read and dropped.
pub(super) const KEPT_OUTPUT: usize = 64 * 1024;

/// What is to be run.
pub(super) struct Call<'a> {
    pub(super) program: &'a OsStr,
    pub(super) arguments: &'a [OsString],
    /// Its whole environment.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// Its standard input.
    pub(super) input: &'a [u8],
    pub(super) timeout: Duration,
}

/// What became of it.
pub(super) struct Ran {
    end: End,
    /// What is said of its end.
    head: String,
    /// The beginning of what it printed.
    pub(super) printed: Vec<u8>,
}

/// Runs a program that is told of nothing but by its arguments. Only exit code 0
/// is good.
pub(crate) fn run_alone(words: &[String], timeout: Duration, stop: &Stop) -> Outcome {
    let mut words = words.iter().map(OsString::from);
    let program = words.next().unwrap_or_default();
    let arguments: Vec<OsString> = words.collect();
    let call = Call {
        program: &program,
        variables: environment::fit(environment::clean(), &arguments),
        arguments: &arguments,
        input: b"",
        timeout,
    };
    call.run(stop).outcome(|code| match code {
        0 => Verdict::Delivered,
        _ => Verdict::Temporary,
    })
}

impl Ran {
    /// Its exit code, if it came to one.
    pub(super) fn exit_code(&self) -> Option<i32> {
        match self.end {
            End::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// What it has been for those who wait: `of_code` knows what an exit code
    /// means. All else may be better at another attempt, even a program that
    /// cannot be started: it may be there again then.
    pub(super) fn outcome(&self, of_code: impl FnOnce(i32) -> Verdict) -> Outcome {
        let verdict = self.exit_code().map_or(Verdict::Temporary, of_code);
        let mut text = self.head.clone().into_bytes();
        let printed = self.printed.trim_ascii();
        if !printed.is_empty() {
            text.extend_from_slice(b": ");
            text.extend_from_slice(printed);
        }
        Outcome::new(verdict, text)
    }
}

impl Call<'_> {
    /// Runs it to its end. A daemon that is told to end ends it at `stop`'s
    /// deadline. What it leaves running in the background stays.
    pub(super) fn run(self, stop: &Stop) -> Ran {
        let call = child::Call {
            program: self.program,
            arguments: self.arguments,
            environment: Environment::Only(&self.variables),
            directory: Some(Path::new("/")),
            input: self.input,
            timeout: self.timeout,
            kept_output: KEPT_OUTPUT,
            leftovers: Leftovers::Stay,
        };
        let child::Ran {
            end,
            printed,
            strays,
        } = call.run(|now| stop.is_over(now));
        let head = match &end {
            End::Exited(code) => format!("exit code {code}"),
            End::Signalled(signal) => format!("ended by signal {signal}"),
            End::TimedOut if strays > 0 => format!(
                "killed after {:?}, with {strays} outside of its group",
                self.timeout
            ),
            End::TimedOut => format!("killed after {:?}", self.timeout),
            End::Stopped => "killed because notifyd was stopped".to_owned(),
            End::NotStarted(error) => {
                format!("cannot run {}: {error}", self.program.to_string_lossy())
            }
            End::Lost(error) => format!("lost sight of it: {error}"),
        };
        Ran { end, head, printed }
    }
}
