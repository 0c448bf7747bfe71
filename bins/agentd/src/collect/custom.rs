//! Plugins of the administrator: run from time to time, and what became of each.

#[cfg(any(test, windows))]
mod windows;
mod words;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::document::CustomCheck;
use program::child::{Call, End, Environment, Leftovers};

use super::root::unix_time;
use super::schedule::Job;
use super::stop::Stop;
use crate::config;

/// What the plugins said last, by their names.
#[derive(Clone, Default)]
pub(crate) struct Results(Arc<Mutex<BTreeMap<String, CustomCheck>>>);

/// Exit codes for those that did not come to one, as a shell has them.
const TIMED_OUT: i64 = 124;
const NOT_EXECUTABLE: i64 = 126;
const NOT_FOUND: i64 = 127;
const KILLED: i64 = -1;
const UNKNOWN: i64 = 3;

impl Results {
    pub(crate) fn all(&self) -> BTreeMap<String, CustomCheck> {
        self.lock().clone()
    }

    fn put(&self, name: &str, result: CustomCheck) {
        self.lock().insert(name.to_owned(), result);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CustomCheck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job for each plugin. One that cannot be run has its result at once.
pub(crate) fn jobs(custom: &config::Custom, results: &Results, stop: &Stop) -> Vec<Job> {
    let job = |check: &config::CustomCheck| {
        let run = match Plugin::of(check, custom.output) {
            Ok(plugin) => plugin,
            Err(why) => {
                results.put(&check.name, result(UNKNOWN, why.into_bytes()));
                return None;
            }
        };
        let (name, results, stop) = (check.name.clone(), results.clone(), stop.clone());
        Some(Job {
            interval: check.interval,
            delay: Duration::ZERO,
            work: Box::new(move || {
                if let Some(result) = run.run(&stop) {
                    results.put(&name, result);
                }
            }),
        })
    };
    custom.checks.iter().filter_map(job).collect()
}

/// How a plugin is started.
#[derive(Debug, PartialEq)]
struct Plugin {
    program: OsString,
    arguments: Vec<OsString>,
    input: Vec<u8>,
    timeout: Duration,
    kept_output: usize,
    /// Program and arguments as they stand in texts.
    shown: String,
}

impl Plugin {
    fn of(check: &config::CustomCheck, kept_output: usize) -> Result<Self, String> {
        if let Some(problem) = &check.problem {
            return Err(problem.clone());
        }
        let (words, input) = command(check)?;
        let shown = words.join(" ");
        let mut words = words.into_iter().map(OsString::from);
        Ok(Self {
            program: words.next().ok_or("there is no command")?,
            arguments: words.collect(),
            input,
            timeout: check.timeout,
            kept_output,
            shown,
        })
    }

    /// `None` if it was killed because we end: that says nothing about it.
    fn run(&self, stop: &Stop) -> Option<CustomCheck> {
        let (started, begun) = (unix_time(), Instant::now());
        let call = Call {
            program: OsStr::new(&self.program),
            arguments: &self.arguments,
            environment: Environment::Inherited(&[]),
            directory: None,
            input: &self.input,
            timeout: self.timeout,
            kept_output: self.kept_output,
            leftovers: Leftovers::Killed,
        };
        let ran = call.run(|_| stop.is_stopped());
        let shown = &self.shown;
        let (rc, stdout) = match ran.end {
            End::Exited(code) => (code.into(), ran.printed),
            End::Signalled(_) => (KILLED, ran.printed),
            End::Stopped => return None,
            End::TimedOut => {
                let timeout = go_duration(self.timeout);
                let text = format!("Custom check {shown} timed out after {timeout} seconds");
                (TIMED_OUT, text.into_bytes())
            }
            End::NotStarted(error) if error.kind() == ErrorKind::NotFound => {
                let text = format!("No such file or directory: '{shown}'");
                (NOT_FOUND, text.into_bytes())
            }
            End::NotStarted(error) if error.kind() == ErrorKind::PermissionDenied => {
                let text = format!("File not executable: '{shown}'");
                (NOT_EXECUTABLE, text.into_bytes())
            }
            End::NotStarted(error) | End::Lost(error) => {
                let text = format!("Unknown error: {error} Command: '{shown}'");
                (UNKNOWN, text.into_bytes())
            }
        };
        Some(CustomCheck {
            execution_unix_timestamp_sec: started,
            duration_secs: begun.elapsed().as_secs_f64(),
            ..result(rc, stdout)
        })
    }
}

/// Program and arguments, and what the program reads.
#[cfg(not(windows))]
fn command(check: &config::CustomCheck) -> Result<(Vec<String>, Vec<u8>), String> {
    match check.shell.as_str() {
        "" => Ok((words::split(&check.command)?, Vec::new())),
        // It reads the command as if somebody typed it.
        shell => {
            let line = format!("{}\n", check.command);
            Ok((vec![shell.to_owned()], line.into_bytes()))
        }
    }
}

#[cfg(windows)]
fn command(check: &config::CustomCheck) -> Result<(Vec<String>, Vec<u8>), String> {
    windows::command(check).map(|words| (words, Vec::new()))
}

fn result(rc: i64, stdout: Vec<u8>) -> CustomCheck {
    CustomCheck {
        stdout: match String::from_utf8(stdout) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        },
        rc,
        execution_unix_timestamp_sec: unix_time(),
        duration_secs: 0.0,
    }
}

/// As the original prints a time: `15s`, `1m30s`, `1h0m0s`.
fn go_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs}s"),
        (0, minutes, secs) => format!("{minutes}m{secs}s"),
        (hours, minutes, secs) => format!("{hours}h{minutes}m{secs}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    pub(super) fn check(command: &str) -> config::CustomCheck {
        config::CustomCheck {
            name: "x".to_owned(),
            command: command.to_owned(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(15),
            shell: String::new(),
            powershell: String::new(),
            problem: None,
        }
    }

    fn run(check: &config::CustomCheck) -> (i64, String) {
        let plugin = Plugin::of(check, 1000).unwrap();
        let result = plugin.run(&Stop::default()).unwrap();
        (result.rc, result.stdout)
    }

    /// A file that tells whether it may be executed, and what it says.
    fn file(directory: &Path, name: &str, text: &str, mode: u32) -> String {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_outcome_is_shown_as_the_original_shows_it() {
        let directory = tempfile::tempdir().unwrap();
        let plain = file(directory.path(), "plain", "#!/bin/sh\n", 0o644);
        let odd = file(directory.path(), "odd", "\u{1}\u{2}", 0o755);
        for (command, rc, stdout) in [
            ("/bin/echo 'a  b' c#d # e", 0, "a  b c#d\n".to_owned()),
            (
                "/bin/sh -c 'echo out; echo err >&2; exit 2'",
                2,
                "out\nerr\n".to_owned(),
            ),
            ("/bin/sh -c 'exit 255'", 255, String::new()),
            ("/bin/sh -c 'echo a; kill -TERM $$'", -1, "a\n".to_owned()),
            (
                r"/usr/bin/printf 'a\000b\377'",
                0,
                "a\0b\u{fffd}".to_owned(),
            ),
            (
                "/opt/gone/check -w 5",
                127,
                "No such file or directory: '/opt/gone/check -w 5'".to_owned(),
            ),
            (
                plain.as_str(),
                126,
                format!("File not executable: '{plain}'"),
            ),
        ] {
            assert_eq!(run(&check(command)), (rc, stdout), "{command}");
        }
        let (rc, stdout) = run(&check(&odd));
        assert_eq!(rc, 3);
        assert!(stdout.starts_with("Unknown error: "), "{stdout}");
        assert!(stdout.ends_with(&format!("Command: '{odd}'")), "{stdout}");
    }

    #[test]
    fn at_the_timeout_it_is_told_which_command_it_was() {
        let mut slow = check("/bin/sh -c 'sleep 600; true'");
        slow.timeout = Duration::from_secs(1);
        assert_eq!(
            run(&slow),
            (
                124,
                "Custom check /bin/sh -c sleep 600; true timed out after 1s seconds".to_owned()
            )
        );
        for (secs, want) in [(15, "15s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s")] {
            assert_eq!(go_duration(Duration::from_secs(secs)), want);
        }
    }

    #[test]
    fn a_shell_reads_the_command_and_a_plugin_reads_nothing() {
        let mut typed = check("echo $((1 + 1)); exit 1 # \"");
        typed.shell = "/bin/sh".to_owned();
        assert_eq!(run(&typed), (1, "2\n".to_owned()));
        assert_eq!(run(&check("/bin/cat")), (0, String::new()));
    }

    #[test]
    fn what_is_wrong_harms_only_itself() {
        let mut refused = check("/bin/true");
        refused.problem = Some("`timeout` is no number".to_owned());
        let mut open = check("/bin/echo 'a");
        open.name = "open".to_owned();
        let mut good = check("/bin/true");
        good.name = "good".to_owned();
        let custom = config::Custom {
            file: Default::default(),
            checks: vec![refused, open, good],
            workers: 1,
            output: 10,
        };
        let results = Results::default();
        let jobs = jobs(&custom, &results, &Stop::default());
        assert_eq!(jobs.len(), 1);
        for mut job in jobs {
            (job.work)();
        }
        let all = results.all();
        assert_eq!(
            (all["x"].rc, all["x"].stdout.as_str()),
            (3, "`timeout` is no number")
        );
        assert_eq!(all["open"].stdout, "EOF found when expecting closing quote");
        assert_eq!(all["good"].rc, 0);
    }

    #[test]
    fn the_end_of_the_agent_is_the_end_of_its_plugins() {
        let plugin = Plugin::of(&check("/bin/sh -c 'sleep 600; true'"), 10).unwrap();
        let stop = Stop::default();
        let started = Instant::now();
        let result = std::thread::scope(|scope| {
            let running = scope.spawn(|| plugin.run(&stop));
            stop.stop();
            running.join().unwrap()
        });
        assert_eq!(result, None);
        assert!(started.elapsed() < plugin.timeout);
    }
}
