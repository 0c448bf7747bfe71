//! `command`: a program whose arguments are templates, for the mailers that came
//! with a core. No shell is between. Its environment is that of a plugin, and
//! so is the meaning of its exit code; besides, 75 is temporary, as everywhere.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::SystemTime;

use super::child::Call;
use super::environment;
use super::{script, summary};
use crate::config::{Argument, CommandLane};
use crate::delivery::{Outcome, Verdict, Work};
use crate::facts::{self, Opened};
use crate::stop::Stop;
use crate::template::{Facts, Templates};

/// Longer arguments are cut.
const MAX_ARGUMENT: usize = 32 * 1024;
/// `EX_TEMPFAIL`
const TRY_AGAIN: i32 = 75;

/// A lane that runs programs.
pub(crate) struct Command {
    lane: String,
    settings: CommandLane,
    templates: Templates,
}

impl Command {
    /// Checks the templates.
    pub(crate) fn new(lane: String, settings: CommandLane) -> Result<Self, String> {
        let mut templates = Templates::new();
        let arguments = settings.arguments.iter().flat_map(Argument::templates);
        for (name, template) in arguments.zip(0..).map(|(text, n)| (argument(n), text)) {
            templates.add(name, template.clone())?;
        }
        for (name, template) in &settings.environment {
            templates.add(variable(name), template.clone())?;
        }
        templates.add("link", settings.link.clone().unwrap_or_default())?;
        Ok(Self {
            lane,
            settings,
            templates,
        })
    }

    /// Runs the program for `work`.
    pub(crate) fn deliver(&self, work: &Work, stop: &Stop) -> Outcome {
        self.run(work, stop).unwrap_or_else(|outcome| outcome)
    }

    fn run(&self, work: &Work, stop: &Stop) -> Result<Outcome, Outcome> {
        let permanent = |text: String| Outcome::new(Verdict::Permanent, text);
        let now = SystemTime::now().into();
        let mut facts = facts::of_work(work, &self.lane, now)?;
        let link = self.templates.render("link", &facts).map_err(permanent)?;
        facts.insert("link", link.into());
        let arguments = self.arguments(&facts).map_err(permanent)?;
        let mut variables = match work {
            Work::One(job) => environment::of_one(&Opened::of(job)?, &self.lane, now),
            Work::Together { jobs, why } => {
                summary::environment(&Opened::of_all(jobs)?, *why, &self.lane, now)
            }
        };
        for (name, _) in &self.settings.environment {
            let value = self.templates.render(&variable(name), &facts);
            variables.retain(|(other, _)| other != name);
            variables.push((name.clone(), value.map_err(permanent)?.into_bytes()));
        }
        let call = Call {
            program: self.settings.program.as_os_str(),
            arguments: &arguments,
            variables: environment::fit(variables, &arguments),
            input: b"",
            timeout: self.settings.timeout,
        };
        let ran = call.run(stop);
        let mut outcome = script::outcome(&ran);
        if ran.exit_code() == Some(TRY_AGAIN) {
            outcome.verdict = Verdict::Temporary;
        }
        Ok(outcome)
    }

    fn arguments(&self, facts: &Facts) -> Result<Vec<OsString>, String> {
        let mut all = Vec::new();
        let mut number = 0..;
        for argument_or_group in &self.settings.arguments {
            let templates = argument_or_group.templates();
            let rendered = templates.iter().zip(number.by_ref()).map(|(_, n)| {
                let mut text = self.templates.render(&argument(n), facts)?.into_bytes();
                text.retain(|byte| *byte != 0);
                environment::cut(&mut text, MAX_ARGUMENT);
                Ok(text)
            });
            let rendered: Vec<Vec<u8>> = rendered.collect::<Result<_, String>>()?;
            let is_left_out = matches!(argument_or_group, Argument::Group(_))
                && rendered.iter().any(Vec::is_empty);
            if !is_left_out {
                all.extend(rendered.into_iter().map(OsString::from_vec));
            }
        }
        Ok(all)
    }
}

fn argument(number: usize) -> String {
    format!("argument {}", number + 1)
}

fn variable(name: &str) -> String {
    format!("variable {name}")
}
