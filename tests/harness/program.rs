//! Programs as processes: ours out of cargo's target directory, foreign ones
//! from the system; run to their end, or left running.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::{wait_for, wait_until};

/// A program about to be run.
pub struct Program {
    label: String,
    command: Command,
    input: Vec<u8>,
    family: bool,
}

impl Program {
    /// One of ours, as cargo built it. Fails the test when it is not there, or
    /// is older than the sources it was built from.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        Self::foreign(built(name), name)
    }

    /// Any other program.
    pub fn foreign(path: impl AsRef<OsStr>, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            command: Command::new(path),
            input: Vec::new(),
            family: false,
        }
    }

    /// A line of shell, run by bash, in which our programs are found by name.
    #[track_caller]
    pub fn bash(script: &str) -> Self {
        let mut path = OsString::from(target_directory());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Self::foreign("bash", "bash")
            .args(["-c", script])
            .env("PATH", path)
    }

    /// Says what the output is relabelled with when a test fails.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in `directory`.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What it reads from standard input; empty otherwise.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// It starts processes that outlive it, which are to be killed along.
    #[must_use]
    pub fn with_family(mut self) -> Self {
        self.command.process_group(0);
        self.family = true;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Outcome {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.label));
        let mut stdin = child.stdin.take().expect("piped");
        let input = std::mem::take(&mut self.input);
        // A program that does not want its input may close it.
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child
            .wait_with_output()
            .unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.label));
        feeder.join().expect("the feeder does not panic");
        Outcome {
            label: self.label,
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// Starts it and lets it run.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.label));
        let log = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &log),
            collect(child.stderr.take().expect("piped"), &log),
        ];
        Running {
            label: self.label,
            child,
            log,
            readers,
            family: self.family,
        }
    }
}

type Log = Arc<Mutex<Vec<String>>>;

fn collect(from: impl Read + Send + 'static, log: &Log) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            log.lock().expect("nobody panics with the log").push(text);
            line.clear();
        }
    })
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    label: String,
    /// The status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    /// The exit code; `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(
            self.status.code() == Some(code),
            "{} ended with {} instead of {code}\n{}{}",
            self.label,
            match (self.status.code(), self.status.signal()) {
                (Some(code), _) => code.to_string(),
                (None, signal) => format!("signal {signal:?}"),
            },
            relabelled(&self.label, self.text().lines()),
            relabelled(&self.label, self.errors().lines()),
        );
        self
    }

    /// Fails the test unless it ended with 0.
    #[track_caller]
    pub fn success(self) -> Self {
        self.expect(0)
    }
}

fn relabelled<S: AsRef<str>>(label: &str, lines: impl Iterator<Item = S>) -> String {
    lines.fold(String::new(), |text, line| {
        text + label + "| " + line.as_ref() + "\n"
    })
}

/// A program that runs; killed on drop.
pub struct Running {
    label: String,
    child: Child,
    log: Log,
    readers: Vec<JoinHandle<()>>,
    family: bool,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far, on both streams.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with the log").clone()
    }

    /// Whether a line of what it said has all of `parts` in it.
    pub fn has_said(&self, parts: &[&str]) -> bool {
        self.log()
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }

    /// Waits until it says a line with `part` in it, and returns that line.
    #[track_caller]
    pub fn wait_for_line(&mut self, part: &str) -> String {
        let label = self.label.clone();
        let mut ended = false;
        wait_for(&format!("{label} says {part:?}"), || {
            let line = self.log().into_iter().find(|line| line.contains(part));
            if line.is_none() {
                assert!(!ended, "{label} ended without saying {part:?}");
                // Once more after the end: the last line may still be read.
                ended = !self.is_running() && self.readers.iter().all(JoinHandle::is_finished);
            }
            line
        })
    }

    /// Waits until somebody listens at `socket`.
    #[track_caller]
    pub fn wait_for_socket(&mut self, socket: &Path) {
        let what = format!("{} listens at {}", self.label, socket.display());
        let label = self.label.clone();
        wait_until(&what, || {
            assert!(self.is_running(), "{label} has ended");
            std::os::unix::net::UnixStream::connect(socket).is_ok()
        });
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("kill {}: {error}", self.label));
    }

    /// Tells it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to end, and waits for that.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Kills it, as a power cut would.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.label);
        wait_for(&what, || self.child.try_wait().expect("own child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.family {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprint!("{}", relabelled(&self.label, self.log().iter()));
        }
    }
}

/// Where cargo put our programs: above the directory of the running test.
pub fn target_directory() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let directory = own.parent().expect("a file is in a directory");
    match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().expect("target/PROFILE/deps").into(),
        _ => directory.into(),
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
}

/// The path of one of our programs, which is neither missing nor stale.
#[track_caller]
pub fn built(name: &str) -> PathBuf {
    let path = target_directory().join(name);
    if let Err(problem) = check_built(&path) {
        panic!("{problem}");
    }
    path
}

/// Compares a program with the sources that it was made of, whose list cargo
/// keeps beside it.
fn check_built(path: &Path) -> Result<(), String> {
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(at) = modified(path) else {
        return Err(format!(
            "{} is missing. `cargo test -p end-to-end` builds no programs: run `cargo build --workspace` first",
            path.display()
        ));
    };
    let list = std::fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    // That there was a commit does not change what the program does.
    let of_git = |source: &&str| source.contains("/.git/");
    for source in sources
        .split_ascii_whitespace()
        .filter(|source| !of_git(source))
    {
        if modified(Path::new(source)).is_some_and(|changed| changed > at) {
            return Err(format!(
                "{} is stale: {source} is newer. Run `cargo build --workspace` first",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn missing_and_stale_programs_are_told_by_name() {
        let site = crate::Site::new("build");
        let program = site.path("var/lq");
        let missing = check_built(&program).unwrap_err();
        assert!(missing.contains("var/lq is missing"), "{missing}");

        site.write("var/lq", "");
        let source = site.write("var/main.rs", "");
        let list = format!("{}: {}\n", program.display(), source.display());
        site.write("var/lq.d", list);
        let set = |path: &Path, age: u64| {
            let time = SystemTime::now() - Duration::from_secs(age);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        set(&source, 20);
        set(&program, 10);
        assert_eq!(check_built(&program), Ok(()));
        set(&source, 5);
        let stale = check_built(&program).unwrap_err();
        assert!(stale.contains("var/lq is stale"), "{stale}");
        assert!(stale.contains("main.rs is newer"), "{stale}");
    }

    #[test]
    fn what_runs_is_killed_when_it_is_dropped_with_its_family() {
        let mut sleeper = Program::bash("sleep 1000 & echo started $!; wait")
            .with_family()
            .start();
        let line = sleeper.wait_for_line("started");
        let child = line.rsplit(' ').next().unwrap().to_owned();
        drop(sleeper);
        wait_until("the family is gone", || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
            // Its new parent may take a while to collect it.
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
        });
    }
}
