//! On Linux: its standard input lies in memory, so that nobody has to feed it,
//! whether it reads all of it or nothing; the kernel says when it has ended; and
//! whoever it started is found by descent.

use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Call, End, Leftovers, Ran, ended};
use crate::orphans::Run;

/// How often a running program is looked at for the end of ours.
const LOOK: Duration = Duration::from_millis(200);

/// Runs it to its end, or kills it as soon as `is_over`.
pub(super) fn run(call: &Call<'_>, is_over: impl Fn(Instant) -> bool) -> Ran {
    let (mut run, pipe) = match call.start() {
        Ok(started) => started,
        Err(error) => return Ran::not_started(error),
    };
    let mut output = Output {
        pipe: Some(pipe),
        kept: Vec::new(),
        limit: call.kept_output,
    };
    let (end, strays) = call
        .wait(&mut run, &mut output, is_over)
        .unwrap_or_else(|error| (End::Lost(error), 0));
    Ran {
        end,
        printed: output.kept,
        strays,
    }
}

impl Call<'_> {
    fn start(&self) -> io::Result<(Run, PipeReader)> {
        let (mut command, reader) = self.command()?;
        command.stdin(self.stdin()?);
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

    /// Waits for the program itself, not for what it left running in the
    /// background: that may hold the pipe open for ever. How it ended, and how
    /// many were killed outside of its group.
    fn wait(
        &self,
        run: &mut Run,
        output: &mut Output,
        is_over: impl Fn(Instant) -> bool,
    ) -> io::Result<(End, usize)> {
        let pid = Pid::from_child(&run.child);
        let deadline = Instant::now() + self.timeout;
        let exited = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let end = loop {
            let now = Instant::now();
            if now >= deadline {
                break End::TimedOut;
            }
            if is_over(now) {
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
                // As long as it is not waited for, its number is no other's.
                if output.pipe.is_some() && self.leftovers == Leftovers::Killed {
                    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
                return Ok((ended(run.child.wait()?), 0));
            }
        };
        Ok((end, run.kill()?))
    }
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
    limit: usize,
}

impl Output {
    fn is_full(&self) -> bool {
        self.kept.len() >= self.limit
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
                let room = self.limit - self.kept.len();
                self.kept.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
