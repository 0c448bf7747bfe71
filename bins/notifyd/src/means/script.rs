//! A plugin is run once: its exit code is the verdict, what it prints is kept.
//!
//! It has no arguments and an empty standard input. Exit code 0 is delivered,
//! 1 is temporary, everything above is permanent; a signal or the timeout is
//! temporary.

use objects::UnixTime;

use super::child::Call;
use super::environment;
use crate::config::ScriptLane;
use crate::delivery::{self, Job, Outcome, Verdict};
use crate::stop::Stop;

/// A lane that runs plugins.
pub(crate) struct Script {
    pub(crate) settings: ScriptLane,
}

impl Script {
    /// Runs the plugin for `job`.
    pub(crate) fn deliver(&self, job: &Job, stop: &Stop) -> Outcome {
        let (envelope, context) = match delivery::open(job) {
            Ok(opened) => opened,
            Err(outcome) => return outcome,
        };
        let now = UnixTime::from(std::time::SystemTime::now());
        let call = Call {
            program: self.settings.path.as_os_str(),
            arguments: &[],
            variables: environment::build(job, &envelope, context, now),
            input: b"",
            timeout: self.settings.timeout,
        };
        call.run(stop).outcome(judge)
    }
}

fn judge(code: i32) -> Verdict {
    match code {
        0 => Verdict::Delivered,
        1 => Verdict::Temporary,
        _ => Verdict::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use objects::NotificationId;

    use super::super::child::KEPT_OUTPUT;
    use super::*;

    fn run(path: &Path, timeout: Duration, job: &Job, stop: &Stop) -> Outcome {
        let settings = ScriptLane {
            path: path.to_owned(),
            timeout,
        };
        Script { settings }.deliver(job, stop)
    }

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
            is_late: false,
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
            is_late: false,
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
