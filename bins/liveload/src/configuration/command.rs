//! A command of the administrator's: the core's own check, or its reload.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use rustix::process::{Pid, Signal, kill_process_group};

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
    /// It ended otherwise than with 0, and had said this.
    Ended(ExitStatus, String),
}

impl std::fmt::Display for Unsuccessful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
            Self::TimedOut(limit) => write!(f, "was killed after {} s", limit.as_secs()),
            Self::Ended(status, said) if said.is_empty() => write!(f, "ended with {status}"),
            Self::Ended(status, said) => write!(f, "ended with {status}: {said}"),
        }
    }
}

/// Runs a line of shell to its end, for at most `limit`. It gets no input, and
/// what it prints is kept for the message.
pub(crate) fn run(line: &str, limit: Duration) -> Result<(), Unsuccessful> {
    let mut child = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(Unsuccessful::NotStarted)?;
    let output = Arc::new(Mutex::new(Vec::new()));
    // Two threads that are not waited for: a reload may leave a daemon behind
    // that holds the other end for ever.
    let stdout = child.stdout.take().map(|from| collect(from, &output));
    let stderr = child.stderr.take().map(|from| collect(from, &output));
    let status = wait(&mut child, limit)?;
    if status.success() {
        return Ok(());
    }
    let readers = [stdout, stderr].into_iter().flatten();
    let patience = Instant::now() + Duration::from_secs(1);
    for reader in readers {
        while !reader.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let output = output.lock().expect("no reader panics with it");
    Err(Unsuccessful::Ended(status, telling_lines(&output)))
}

fn collect(
    mut from: impl Read + Send + 'static,
    output: &Arc<Mutex<Vec<u8>>>,
) -> std::thread::JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut output = output.lock().expect("no reader panics with it");
            let room = MAX_OUTPUT.saturating_sub(output.len()).min(count);
            output.extend_from_slice(&buffer[..room]);
        }
    })
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, Unsuccessful> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(Unsuccessful::NotStarted)? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            return Err(Unsuccessful::TimedOut(limit));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
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
        let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(killed.success());
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_started() {
        let failed = run("sleep 600; true", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(failed, Unsuccessful::TimedOut(_)), "{failed}");
    }
}
