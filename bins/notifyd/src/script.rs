//! A plugin is run once: its exit code is the verdict, what it prints is kept.
//!
//! It runs in a process group of its own, with no arguments, an empty standard
//! input, and standard output and error in one pipe. Exit code 0 is delivered,
//! 1 is temporary, everything above is permanent; a signal or the timeout is
//! temporary, and so is a plugin that cannot be started: it may be there again
//! at the next attempt.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use objects::UnixTime;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::delivery::{self, Job, Outcome, Verdict};
use crate::environment;
use crate::stop::Stop;

/// How much of what a plugin prints is kept; the rest is read and dropped.
const KEPT_OUTPUT: usize = 64 * 1024;
/// How often a running plugin is looked at for the end of the daemon.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the plugin at `path` for `job`. A daemon that is told to end ends the
/// plugin at `stop`'s deadline.
pub(crate) fn run(path: &Path, timeout: Duration, job: &Job, stop: &Stop) -> Outcome {
    let (envelope, context) = match delivery::open(job) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let now = UnixTime::from(std::time::SystemTime::now());
    let variables = environment::build(job, &envelope, context, now);
    let (mut child, pipe) = match start(path, variables) {
        Ok(started) => started,
        Err(error) => {
            let text = format!("cannot run {}: {error}", path.display());
            return Outcome::new(Verdict::Temporary, text);
        }
    };
    let mut output = Output::new(pipe);
    let ended = wait(&mut child, &mut output, timeout, stop);
    let (verdict, head) = match ended {
        Ok(End::Exited(status)) => judge(status),
        Ok(End::TimedOut) => (Verdict::Temporary, format!("killed after {timeout:?}")),
        Ok(End::Stopped) => (
            Verdict::Temporary,
            "killed because notifyd was stopped".to_owned(),
        ),
        Err(error) => (Verdict::Temporary, format!("lost sight of it: {error}")),
    };
    let mut text = head.into_bytes();
    let printed = output.kept.trim_ascii();
    if !printed.is_empty() {
        text.extend_from_slice(b": ");
        text.extend_from_slice(printed);
    }
    Outcome::new(verdict, text)
}

fn judge(status: ExitStatus) -> (Verdict, String) {
    match status.code() {
        Some(0) => (Verdict::Delivered, "exit code 0".to_owned()),
        Some(1) => (Verdict::Temporary, "exit code 1".to_owned()),
        Some(code) => (Verdict::Permanent, format!("exit code {code}")),
        None => {
            let signal = status.signal().unwrap_or(0);
            (Verdict::Temporary, format!("ended by signal {signal}"))
        }
    }
}

fn start(
    path: &Path,
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = Command::new(path)
        .env_clear()
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((child, reader))
}

enum End {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

/// Waits for the plugin itself, not for what it left running in the
/// background: that may hold the pipe open for ever.
fn wait(child: &mut Child, output: &mut Output, timeout: Duration, stop: &Stop) -> io::Result<End> {
    let pid = Pid::from_child(child);
    let deadline = Instant::now() + timeout;
    let exited = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let end = loop {
        let now = Instant::now();
        if now >= deadline {
            break End::TimedOut;
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
            break End::Exited(child.wait()?);
        }
    };
    if !matches!(end, End::Exited(_)) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        child.wait()?;
    }
    Ok(end)
}

fn poll(fds: &mut [PollFd<'_>], pause: Duration) -> io::Result<()> {
    let pause = Timespec::try_from(pause).map_err(io::Error::other)?;
    match rustix::event::poll(fds, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the plugin prints; the pipe is gone after its end.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use objects::NotificationId;

    use super::*;

    fn run_text(script: &str, timeout: Duration, stop: &Stop) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let id = "0199d3a8-0000-7000-8000-000000000001";
        let job = Job {
            id: NotificationId::parse(id).unwrap(),
            attempt: 1,
            body: format!(
                "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":1,\"site\":\"a\",\
                 \"context\":{{\"HOSTNAME\":\"db1\",\"RAW\":\"\\udcff\"}}}}"
            ),
            told: Default::default(),
        };
        // Another test's fork may hold the script open for writing for a moment.
        loop {
            let outcome = run(&path, timeout, &job, stop);
            if !outcome.text.ends_with(b"(os error 26)") {
                return outcome;
            }
        }
    }

    #[test]
    fn exit_codes_become_verdicts() {
        let minute = Duration::from_secs(60);
        for (script, verdict, text) in [
            ("echo sent", Verdict::Delivered, "exit code 0: sent"),
            (
                "echo later >&2; exit 1",
                Verdict::Temporary,
                "exit code 1: later",
            ),
            ("exit 2", Verdict::Permanent, "exit code 2"),
            ("exit 255", Verdict::Permanent, "exit code 255"),
            ("kill -9 $$", Verdict::Temporary, "ended by signal 9"),
            (
                "printf '%s' \"$NOTIFY_RAW\" | od -An -tx1; cat; exit 0",
                Verdict::Delivered,
                "exit code 0: ff",
            ),
        ] {
            let outcome = run_text(script, minute, &Stop::default());
            assert_eq!(outcome, Outcome::new(verdict, text), "{script}");
        }
    }

    #[test]
    fn a_plugin_that_cannot_be_started_is_tried_again() {
        let job = Job {
            id: NotificationId::from_bytes([1; 16]),
            attempt: 1,
            body: "{\"v\":1,\"id\":\"0199d3a8-0000-7000-8000-000000000001\",\"kind\":\"raw\",\
                   \"created_us\":1,\"site\":\"a\",\"context\":{}}"
                .into(),
            told: Default::default(),
        };
        let outcome = run(
            Path::new("/nowhere/plugin"),
            Duration::from_secs(1),
            &job,
            &Stop::default(),
        );
        assert_eq!(outcome.verdict, Verdict::Temporary);
        assert!(outcome.text.starts_with(b"cannot run /nowhere/plugin: "));
    }

    #[test]
    fn the_whole_group_is_killed_at_the_timeout() {
        let outcome = run_text(
            "sleep 300 & echo $!; sleep 300",
            Duration::from_millis(500),
            &Stop::default(),
        );
        assert_eq!(outcome.verdict, Verdict::Temporary);
        let text = outcome.text.to_string();
        let pid = text.strip_prefix("killed after 500ms: ").expect(&text);
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "process {pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A zombie counts as dead: nobody may be there to reap an orphan.
    fn is_alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_background_process_does_not_hold_a_lane() {
        let outcome = run_text(
            "sleep 30 & exit 0",
            Duration::from_secs(20),
            &Stop::default(),
        );
        assert_eq!(outcome.verdict, Verdict::Delivered);
    }

    #[test]
    fn output_is_read_to_its_end_and_kept_up_to_a_limit() {
        let outcome = run_text(
            "head -c 300000 /dev/zero | tr '\\0' x",
            Duration::from_secs(60),
            &Stop::default(),
        );
        assert_eq!(outcome.verdict, Verdict::Delivered);
        assert_eq!(outcome.text.len(), KEPT_OUTPUT + "exit code 0: ".len());
    }

    #[test]
    fn a_stopped_daemon_ends_its_plugin() {
        let stop = Stop::default();
        stop.begin(Instant::now());
        let outcome = run_text("sleep 60", Duration::from_secs(60), &stop);
        assert_eq!(outcome.verdict, Verdict::Temporary);
        assert_eq!(outcome.text, "killed because notifyd was stopped");
    }
}
