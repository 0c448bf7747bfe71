//! A program that is run once: what it gets, how long it may take, how it ended
//! and what it printed.
//!
//! It runs in a process group of its own where there are such groups, with
//! standard output and error in one pipe. At its timeout it is killed with all it
//! started, as far as the platform tells who that is.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

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
        #[cfg(target_os = "linux")]
        return linux::run(self, is_over);
        #[cfg(not(target_os = "linux"))]
        return portable::run(self, is_over);
    }

    /// All of it but its standard input, and the pipe that it prints to.
    fn command(&self) -> io::Result<(Command, PipeReader)> {
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
            .stdout(writer.try_clone()?)
            .stderr(writer);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok((command, reader))
    }
}

impl Ran {
    fn not_started(error: io::Error) -> Self {
        Self {
            end: End::NotStarted(error),
            printed: Vec::new(),
            strays: 0,
        }
    }
}

fn ended(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        #[cfg(unix)]
        None => {
            use std::os::unix::process::ExitStatusExt as _;
            End::Signalled(status.signal().unwrap_or(0))
        }
        #[cfg(not(unix))]
        None => End::Signalled(0),
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

    /// Both sides, of which one is for other systems.
    fn run_each(call: &Call<'_>) -> [Ran; 2] {
        [linux::run(call, |_| false), portable::run(call, |_| false)]
    }

    fn run(line: &str, leftovers: Leftovers) -> [Ran; 2] {
        run_each(&sh(&["-c".into(), line.into()], leftovers))
    }

    #[test]
    fn the_end_and_both_outputs_are_told() {
        for ran in run("echo out; echo err >&2; exit 7", Leftovers::Stay) {
            assert!(matches!(ran.end, End::Exited(7)), "{ran:?}");
            assert_eq!(ran.printed, b"out\nerr\n");
        }
        for ran in run("kill -9 $$", Leftovers::Stay) {
            assert!(matches!(ran.end, End::Signalled(9)), "{ran:?}");
        }
        let mut call = sh(&[], Leftovers::Stay);
        call.program = OsStr::new("/opt/gone");
        for ran in run_each(&call) {
            assert!(matches!(ran.end, End::NotStarted(_)), "{ran:?}");
        }
    }

    #[test]
    fn what_is_too_much_is_read_and_dropped() {
        for ran in run("head -c 1000000 /dev/zero; exit 3", Leftovers::Stay) {
            assert!(matches!(ran.end, End::Exited(3)), "{ran:?}");
            assert_eq!(ran.printed.len(), 1000);
        }
    }

    #[test]
    fn input_is_read_or_not() {
        let input = vec![b'x'; 1_000_000];
        for (line, want) in [("wc -c", "1000000"), ("echo done", "done")] {
            let arguments = ["-c".into(), line.into()];
            let mut call = sh(&arguments, Leftovers::Stay);
            call.input = &input;
            for ran in run_each(&call) {
                assert!(matches!(ran.end, End::Exited(0)), "{ran:?}");
                assert_eq!(ran.printed.trim_ascii(), want.as_bytes());
            }
        }
    }

    #[test]
    fn at_the_timeout_the_whole_group_dies() {
        let arguments = ["-c".into(), "sleep 600 & echo $!; wait".into()];
        let mut call = sh(&arguments, Leftovers::Stay);
        call.timeout = Duration::from_millis(300);
        for ran in run_each(&call) {
            assert!(matches!(ran.end, End::TimedOut), "{ran:?}");
            assert_is_dead(&ran.printed);
        }
    }

    #[test]
    fn at_our_end_it_dies() {
        let arguments = ["-c".into(), "sleep 600".into()];
        let call = sh(&arguments, Leftovers::Stay);
        for ran in [linux::run(&call, |_| true), portable::run(&call, |_| true)] {
            assert!(matches!(ran.end, End::Stopped), "{ran:?}");
        }
    }

    #[test]
    fn what_is_left_behind_dies_with_its_parent_if_it_is_to() {
        for ran in run("sleep 600 & echo $!", Leftovers::Killed) {
            assert!(matches!(ran.end, End::Exited(0)), "{ran:?}");
            assert_is_dead(&ran.printed);
        }
        let runs = run(
            "sleep 600 >/dev/null 2>&1 & echo $!
             until [ $(readlink /proc/$!/fd/2) = /dev/null ]; do sleep 0.01; done",
            Leftovers::Killed,
        );
        for ran in runs {
            // This one was sent away properly, so that it is there to be killed.
            let pid = String::from_utf8(ran.printed).unwrap();
            let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
            assert!(killed.success());
        }
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
