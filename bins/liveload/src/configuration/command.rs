//! A command of the administrator's: the core's own check, or its reload.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use bstr::ByteSlice;
use program::child::{Call, End, Environment, Leftovers};

/// As much of what a command says is kept; the rest is read and dropped.
const MAX_OUTPUT: usize = 1 << 20;
/// As many lines of it are shown.
const SHOWN: usize = 10;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Unsuccessful {
    /// It could not be started.
    NotStarted(std::io::Error),
    /// It was still running after this long, and was killed.
    TimedOut(Duration),
    /// It ended so, otherwise than with 0, and had said this.
    Ended(String, String),
}

impl std::fmt::Display for Unsuccessful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
            Self::TimedOut(limit) => write!(f, "was killed after {} s", limit.as_secs()),
            Self::Ended(how, said) if said.is_empty() => write!(f, "ended with {how}"),
            Self::Ended(how, said) => write!(f, "ended with {how}: {said}"),
        }
    }
}

/// Runs a line of shell to its end, for at most `limit`. It gets no input, and
/// what it prints is kept for the message. A daemon that a reload leaves behind
/// stays.
pub(crate) fn run(line: &str, limit: Duration) -> Result<(), Unsuccessful> {
    let arguments = [OsString::from("-c"), OsString::from(line)];
    let call = Call {
        program: OsStr::new("sh"),
        arguments: &arguments,
        environment: Environment::Inherited(&[]),
        directory: None,
        input: b"",
        timeout: limit,
        kept_output: MAX_OUTPUT,
        leftovers: Leftovers::Stay,
    };
    let ran = call.run(|_| false);
    let how = match ran.end {
        End::Exited(0) => return Ok(()),
        End::Exited(code) => format!("exit status: {code}"),
        End::Signalled(signal) => format!("signal: {signal}"),
        End::TimedOut | End::Stopped => return Err(Unsuccessful::TimedOut(limit)),
        End::NotStarted(error) | End::Lost(error) => return Err(Unsuccessful::NotStarted(error)),
    };
    Err(Unsuccessful::Ended(how, telling_lines(&ran.printed)))
}

/// The lines that name errors, as Nagios prints them among hundreds of others;
/// where there are none, the last lines.
fn telling_lines(output: &[u8]) -> String {
    let lines: Vec<_> = output
        .lines()
        .map(|line| line.trim().to_str_lossy())
        .filter(|line| !line.is_empty())
        .collect();
    let errors = lines.iter().filter(|line| line.starts_with("Error"));
    let mut shown: Vec<_> = errors.take(SHOWN).map(AsRef::as_ref).collect();
    if shown.is_empty() {
        let from = lines.len().saturating_sub(SHOWN);
        shown = lines[from..].iter().map(AsRef::as_ref).collect();
    }
    let text = shown.join(" / ");
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn success_needs_no_words_and_failure_shows_the_errors() {
        assert!(run("echo all is well", LIMIT).is_ok());
        let failed = run(
            "echo Reading; echo 'Error: no host' >&2; echo Bye; exit 3",
            LIMIT,
        );
        let text = failed.unwrap_err().to_string();
        assert_eq!(text, "ended with exit status: 3: Error: no host");
        let failed = run("echo one; echo two; exit 1", LIMIT).unwrap_err();
        assert_eq!(failed.to_string(), "ended with exit status: 1: one / two");
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_us_up() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        run(&format!("sleep 600 & echo $! >{}", pid.display()), LIMIT).unwrap();
        let pid = std::fs::read_to_string(pid).unwrap();
        // It runs still, so that nobody can have waited for it.
        let killed = std::process::Command::new("kill")
            .arg(pid.trim())
            .status()
            .unwrap();
        assert!(killed.success());
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_started() {
        let failed = run("sleep 600; true", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(failed, Unsuccessful::TimedOut(_)), "{failed}");
    }
}
