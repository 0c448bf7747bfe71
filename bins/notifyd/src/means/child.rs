//! A program that is run once: what it gets, how long it may take, how it ended
//! and what it printed.
//!
//! It runs in a process group of its own, with standard output and error in one
//! pipe, and with its standard input in memory: nobody has to feed it, whether
//! it reads all of it or nothing. At its timeout it is killed with all it started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags};

use super::orphans::Run;
use crate::delivery::{Outcome, Verdict};
use crate::stop::Stop;

/// How much of what a program prints is kept; the rest is read and dropped.
pub(super) const KEPT_OUTPUT: usize = 64 * 1024;
/// How often a running program is looked at for the end of the daemon.
const LOOK: Duration = Duration::from_millis(200);

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
    pub(super) end: End,
    /// The beginning of what it printed.
    pub(super) printed: Vec<u8>,
}

/// How it ended.
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
    /// How many had left its process group.
    TimedOut(Duration, usize),
    /// Killed because the daemon ends.
    Stopped,
    /// It did not run, or nobody knows how it ended.
    Lost(String),
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
        let (verdict, head) = match &self.end {
            End::Exited(code) => (of_code(*code), format!("exit code {code}")),
            End::Signalled(signal) => (Verdict::Temporary, format!("ended by signal {signal}")),
            End::TimedOut(timeout, 0) => (Verdict::Temporary, format!("killed after {timeout:?}")),
            End::TimedOut(timeout, strays) => (
                Verdict::Temporary,
                format!("killed after {timeout:?}, with {strays} outside of its group"),
            ),
            End::Stopped => (
                Verdict::Temporary,
                "killed because notifyd was stopped".to_owned(),
            ),
            End::Lost(why) => (Verdict::Temporary, why.clone()),
        };
        let mut text = head.into_bytes();
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
    /// deadline.
    pub(super) fn run(self, stop: &Stop) -> Ran {
        let (mut run, pipe) = match self.start() {
            Ok(started) => started,
            Err(error) => {
                let program = self.program.to_string_lossy();
                return Ran {
                    end: End::Lost(format!("cannot run {program}: {error}")),
                    printed: Vec::new(),
                };
            }
        };
        let mut output = Output::new(pipe);
        let end = wait(&mut run, &mut output, self.timeout, stop)
            .unwrap_or_else(|error| End::Lost(format!("lost sight of it: {error}")));
        Ran {
            end,
            printed: output.kept,
        }
    }

    fn start(&self) -> io::Result<(Run, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        let mut command = Command::new(self.program);
        command
            .args(self.arguments)
            .env_clear()
            .envs(variables)
            .current_dir("/")
            .stdin(self.stdin()?)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        Ok((Run::start(&mut command)?, reader))
    }

    fn stdin(&self) -> io::Result<Stdio> {
        if self.input.is_empty() {
            return Ok(Stdio::null());
        }
        let mut file: File = rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?.into();
        file.write_all(self.input)?;
        file.rewind()?;
        Ok(file.into())
    }
}

fn ended(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(status.signal().unwrap_or(0)),
    }
}

/// Waits for the program itself, not for what it left running in the
/// background: that may hold the pipe open for ever.
fn wait(run: &mut Run, output: &mut Output, timeout: Duration, stop: &Stop) -> io::Result<End> {
    let pid = Pid::from_child(&run.child);
    let deadline = Instant::now() + timeout;
    let exited = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let end = loop {
        let now = Instant::now();
        if now >= deadline {
            break End::TimedOut(timeout, 0);
        }
        if stop.is_over(now) {
            break End::Stopped;
        }
        let pause = LOOK.min(deadline - now);
        let mut fds = vec![PollFd::new(&exited, PollFlags::IN)];
        if let Some(pipe) = &output.pipe {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        poll(&mut fds, pause)?;
        let (has_exited, has_output) = (
            !fds[0].revents().is_empty(),
            fds.get(1).is_some_and(|fd| !fd.revents().is_empty()),
        );
        // Something left in the background may print for ever.
        if has_output && !(has_exited && output.is_full()) {
            output.read()?;
        } else if has_exited {
            return Ok(ended(run.child.wait()?));
        }
    };
    let strays = run.kill()?;
    Ok(match end {
        End::TimedOut(timeout, _) => End::TimedOut(timeout, strays),
        end => end,
    })
}

fn poll(fds: &mut [PollFd<'_>], pause: Duration) -> io::Result<()> {
    let pause = Timespec::try_from(pause).map_err(io::Error::other)?;
    match rustix::event::poll(fds, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the program prints; the pipe is gone after its end.
struct Output {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
}

impl Output {
    fn new(pipe: PipeReader) -> Self {
        Self {
            pipe: Some(pipe),
            kept: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= KEPT_OUTPUT
    }

    /// One read of what is there.
    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut buffer = [0; 8192];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                let room = KEPT_OUTPUT - self.kept.len();
                self.kept.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
