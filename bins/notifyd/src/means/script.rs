//! A plugin is run once: its exit code is the verdict, what it prints is kept.
//!
//! It has no arguments and an empty standard input. Exit code 0 is delivered,
//! 1 is temporary, everything above is permanent; a signal or the timeout is
//! temporary. A plugin that says in one of its first lines that it can do bulk
//! gets several notifications at once on its standard input; any other gets one
//! that tells of all.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::SystemTime;

use bstr::ByteSlice;
use objects::UnixTime;

use super::child::{Call, Ran};
use super::environment::{self, Variable};
use super::summary;
use crate::config::ScriptLane;
use crate::delivery::{Outcome, Verdict, Why, Work};
use crate::facts::Opened;
use crate::left_alone;
use crate::stop::Stop;

/// In how many lines, and bytes, a plugin says what it can do.
const HEAD: (usize, u64) = (10, 4096);
/// What it says then; letters of either case.
const CAN_BULK: &[u8] = b"# bulk: yes";

/// A lane that runs plugins.
pub(crate) struct Script {
    pub(crate) lane: String,
    pub(crate) settings: ScriptLane,
}

impl Script {
    /// Runs the plugin for `work`.
    pub(crate) fn deliver(&self, work: &Work, stop: &Stop) -> Outcome {
        let delivered = match work {
            Work::One(job) => Opened::of(job).map(|one| self.run_one(&one, stop)),
            Work::Together { jobs, why } => {
                Opened::of_all(jobs).map(|all| self.run_all(&all, *why, stop))
            }
        };
        delivered.unwrap_or_else(|outcome| outcome)
    }

    fn run_one(&self, one: &Opened<'_>, stop: &Stop) -> Outcome {
        let variables = environment::of_one(one, &self.lane, now());
        self.run(&[], variables, b"", stop)
    }

    fn run_all(&self, all: &[Opened<'_>], why: Why, stop: &Stop) -> Outcome {
        if !self.can_bulk() {
            let variables = summary::environment(all, why, &self.lane, now());
            return self.run(&[], variables, b"", stop);
        }
        let block = environment::block(all, &self.lane, now());
        let variables = environment::clean();
        self.run(&["--bulk".into()], variables, &block, stop)
    }

    fn run(
        &self,
        arguments: &[OsString],
        variables: Vec<Variable>,
        input: &[u8],
        stop: &Stop,
    ) -> Outcome {
        let call = Call {
            program: self.settings.path.as_os_str(),
            arguments,
            variables: environment::fit(variables, arguments),
            input,
            timeout: self.settings.timeout,
        };
        outcome(&call.run(stop))
    }

    /// Whether it says so, as plugins of Checkmk do. It may be changed at any
    /// time.
    fn can_bulk(&self) -> bool {
        let Ok(file) = File::open(&self.settings.path) else {
            return false;
        };
        let (lines, bytes) = HEAD;
        let head = BufReader::new(file.take(bytes)).split(b'\n');
        head.take(lines)
            .map_while(Result::ok)
            .any(|line| line.to_ascii_lowercase().trim() == CAN_BULK)
    }
}

/// What has become of a plugin, or of any program that keeps to its contract.
pub(super) fn outcome(ran: &Ran) -> Outcome {
    let mut outcome = ran.outcome(judge);
    outcome.retry_after = left_alone::said_by_plugin(&ran.printed);
    outcome
}

fn judge(code: i32) -> Verdict {
    match code {
        0 => Verdict::Delivered,
        1 => Verdict::Temporary,
        _ => Verdict::Permanent,
    }
}

fn now() -> UnixTime {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use objects::NotificationId;

    use super::super::child::KEPT_OUTPUT;
    use super::*;
    use crate::delivery::Job;

    fn run(path: &Path, timeout: Duration, job: &Job, stop: &Stop) -> Outcome {
        let settings = ScriptLane {
            path: path.to_owned(),
            timeout,
        };
        let lane = "lane".to_owned();
        Script { lane, settings }.deliver(&Work::One(job.clone()), stop)
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
            left: Vec::new(),
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
            left: Vec::new(),
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
