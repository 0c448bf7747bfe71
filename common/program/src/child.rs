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
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::orphans::Run;

/// How often a running program is looked at for the end of ours.
const LOOK: Duration = Duration::from_millis(200);

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The program; without a slash it is looked for in `PATH`.
    pub program: &'a OsStr,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Its variables.
    pub environment: Environment<'a>,
    /// Where it runs; `None`: where we do.
    pub directory: Option<&'a Path>,
    /// Its standard input.
    pub input: &'a [u8],
    /// How long it may take.
    pub timeout: Duration,
    /// As much of what it prints is kept; the rest is read and dropped.
    pub kept_output: usize,
    /// What becomes of those that it left running behind it, and that could
    /// still print.
    pub leftovers: Leftovers,
}

/// The variables that a program gets.
#[derive(Debug, Clone, Copy)]
pub enum Environment<'a> {
    /// Ours, and these.
    Inherited(&'a [(OsString, OsString)]),
    /// No others than these.
    Only(&'a [(OsString, OsString)]),
}

/// What becomes of what a program left running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// It is none of our business.
    Stay,
    /// Killed with its process group, if it holds the program's output open.
    Killed,
}

/// What became of a program.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The beginning of what it printed.
    pub printed: Vec<u8>,
    /// How many that it had started were killed outside of its process group.
    pub strays: usize,
}

/// How a program ended.
#[derive(Debug)]
pub enum End {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Killed, because it was still running after its timeout.
    TimedOut,
    /// Killed, because we end.
    Stopped,
    /// It did not run.
    NotStarted(io::Error),
    /// Nobody knows how it ended.
    Lost(io::Error),
}

impl Call<'_> {
    /// Runs it to its end, or kills it as soon as `is_over`.
    pub fn run(&self, is_over: impl Fn(Instant) -> bool) -> Ran {
        let (mut run, pipe) = match self.start() {
            Ok(started) => started,
            Err(error) => {
                return Ran {
                    end: End::NotStarted(error),
                    printed: Vec::new(),
                    strays: 0,
                };
            }
        };
        let mut output = Output {
            pipe: Some(pipe),
            kept: Vec::new(),
            limit: self.kept_output,
        };
        let (end, strays) = self
            .wait(&mut run, &mut output, is_over)
            .unwrap_or_else(|error| (End::Lost(error), 0));
        Ran {
            end,
            printed: output.kept,
            strays,
        }
    }

    fn start(&self) -> io::Result<(Run, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(self.program);
        let variables = match self.environment {
            Environment::Inherited(variables) => variables,
            Environment::Only(variables) => {
                command.env_clear();
                variables
            }
        };
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        command
            .args(self.arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
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

fn ended(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(status.signal().unwrap_or(0)),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn sh<'a>(arguments: &'a [OsString], leftovers: Leftovers) -> Call<'a> {
        Call {
            program: OsStr::new("/bin/sh"),
            arguments,
            environment: Environment::Inherited(&[]),
            directory: None,
            input: b"",
            timeout: LIMIT,
            kept_output: 1000,
            leftovers,
        }
    }

    fn run(line: &str, leftovers: Leftovers) -> Ran {
        sh(&["-c".into(), line.into()], leftovers).run(|_| false)
    }

    #[test]
    fn the_end_and_both_outputs_are_told() {
        let ran = run("echo out; echo err >&2; exit 7", Leftovers::Stay);
        assert!(matches!(ran.end, End::Exited(7)), "{ran:?}");
        assert_eq!(ran.printed, b"out\nerr\n");
        let ran = run("kill -9 $$", Leftovers::Stay);
        assert!(matches!(ran.end, End::Signalled(9)), "{ran:?}");
    }

    #[test]
    fn what_is_too_much_is_read_and_dropped() {
        let ran = run("head -c 1000000 /dev/zero; exit 3", Leftovers::Stay);
        assert!(matches!(ran.end, End::Exited(3)), "{ran:?}");
        assert_eq!(ran.printed.len(), 1000);
    }

    #[test]
    fn at_the_timeout_the_whole_group_dies() {
        let arguments = ["-c".into(), "sleep 600 & echo $!; wait".into()];
        let mut call = sh(&arguments, Leftovers::Stay);
        call.timeout = Duration::from_millis(300);
        let ran = call.run(|_| false);
        assert!(matches!(ran.end, End::TimedOut), "{ran:?}");
        assert_is_dead(&ran.printed);
    }

    #[test]
    fn what_is_left_behind_dies_with_its_parent_if_it_is_to() {
        let ran = run("sleep 600 & echo $!", Leftovers::Killed);
        assert!(matches!(ran.end, End::Exited(0)), "{ran:?}");
        assert_is_dead(&ran.printed);
        let ran = run(
            "sleep 600 >/dev/null 2>&1 & echo $!
             until [ $(readlink /proc/$!/fd/2) = /dev/null ]; do sleep 0.01; done",
            Leftovers::Killed,
        );
        // This one was sent away properly, so that it is there to be killed.
        let pid = String::from_utf8(ran.printed).unwrap();
        let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(killed.success());
    }

    /// A zombie whom nobody has waited for yet is dead, too.
    fn assert_is_dead(pid: &[u8]) {
        let pid = String::from_utf8_lossy(pid);
        let path = format!("/proc/{}/stat", pid.trim());
        let deadline = Instant::now() + LIMIT;
        while std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "{pid} lives");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
