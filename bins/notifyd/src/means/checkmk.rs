//! `checkmk`: the notification as it came, handed to the Checkmk of this
//! machine, whose own rules decide then.
//!
//! Either as a file in the spool of its notifications, named by the id, or by
//! running its command with the variables in the environment. Both are as
//! Checkmk documents them.

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use nagios::{KEYS, PLUGIN, SpoolFile};

use super::child::Call;
use super::environment;
use crate::config::CheckmkLane;
use crate::delivery::{Job, Outcome, Verdict, Work};
use crate::facts::Opened;
use crate::stop::Stop;

/// As Checkmk makes its own: its group may read and remove them.
const MODE: u32 = 0o660;

/// A lane that hands notifications to Checkmk.
pub(crate) struct Checkmk {
    pub(crate) lane: String,
    pub(crate) settings: CheckmkLane,
}

impl Checkmk {
    /// Hands `work` over, one after the other: Checkmk has bulks of its own. What
    /// was handed over before one failed comes again with the next attempt, by
    /// the same name.
    pub(crate) fn deliver(&self, work: &Work, stop: &Stop) -> Outcome {
        let jobs = match work {
            Work::One(job) => std::slice::from_ref(job),
            Work::Together { jobs, .. } => jobs.as_slice(),
        };
        let mut last = Outcome::new(Verdict::Delivered, "");
        for job in jobs {
            last = self.hand_over(job, stop).unwrap_or_else(|outcome| outcome);
            if last.verdict != Verdict::Delivered {
                break;
            }
        }
        last
    }

    fn hand_over(&self, job: &Job, stop: &Stop) -> Result<Outcome, Outcome> {
        let mut one = Opened::of(job)?;
        // What is said in a notification must not choose a plugin there.
        one.context
            .retain(|name, _| name != KEYS && name != PLUGIN && !name.starts_with("PARAMETER_"));
        match &self.settings {
            CheckmkLane::Spool(directory) => Ok(write(one, directory)),
            CheckmkLane::Command { words, timeout } => {
                let arguments: Vec<OsString> = words.iter().skip(1).map(OsString::from).collect();
                let variables = environment::of_one(&one, &self.lane, SystemTime::now().into());
                let program = words.first().map(OsString::from).unwrap_or_default();
                let call = Call {
                    program: &program,
                    variables: environment::fit(variables, &arguments),
                    arguments: &arguments,
                    input: b"",
                    timeout: *timeout,
                };
                Ok(call.run(stop).outcome(judge))
            }
        }
    }
}

/// Written aside and renamed, durably; written again it replaces itself.
fn write(one: Opened<'_>, directory: &Path) -> Outcome {
    let path = directory.join(one.job.id.to_string());
    let mut bytes = Vec::new();
    SpoolFile::raw(one.context).print(&mut bytes);
    match program::file::replace(&path, MODE, |out| out.write_all(&bytes)) {
        Ok(()) => Outcome::new(Verdict::Delivered, path.display().to_string()),
        Err(error) => {
            let text = format!("cannot write {}: {error}", path.display());
            Outcome::new(Verdict::Temporary, text)
        }
    }
}

/// Rules that fail today may work tomorrow: nothing else is known to be final.
fn judge(code: i32) -> Verdict {
    match code {
        0 => Verdict::Delivered,
        _ => Verdict::Temporary,
    }
}
