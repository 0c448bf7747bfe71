//! One collection for those who asked for it on the command line, in the form
//! they want.

use std::path::Path;
use std::time::Duration;

use agent::{Checked, Evaluator, Rules};
use bstr::BStr;
use objects::UnixTime;
use program::{Failure, Status};

use crate::board::Published;
use crate::cli::{Args, Format};
use crate::collect::root::unix_time;
use crate::collect::{self, Machine, Root};
use crate::config::{Config, Severity, worst};
use crate::{checkmk, places, prometheus};

/// What is printed, and how we end.
pub(crate) fn run(args: &Args) -> Result<(Vec<u8>, Status), Failure> {
    let mut config = load(args)?;
    if let Some(name) = &args.check {
        // The others would only take their time.
        let own = name.strip_prefix(CUSTOM_CHECK).unwrap_or_default();
        config.custom.checks.retain(|check| check.name == own);
    }
    let sample = Duration::try_from_secs_f64(args.sample)
        .map_err(|error| Failure::caused(Status::Usage, "--sample", error))?;
    let published = collect::once(&config, sample)
        .map_err(|error| Failure::caused(Status::Failed, "cannot print the document", error))?;
    let text = match args.format {
        Format::Json => {
            let mut text = published.json.to_vec();
            text.push(b'\n');
            text
        }
        Format::Checkmk => checkmk::write(&published.document, &Machine::real(&config.checks)),
        Format::Prometheus => prometheus::write(&published, &Root::real()).into_bytes(),
        Format::Nagios => return Ok(plugin(args.check.as_deref(), &published)),
    };
    Ok((text, Status::Done))
}

/// How the description of a custom check's service begins.
const CUSTOM_CHECK: &str = "Custom check: ";

/// Without a configuration in its place everything is collected that can be
/// without one; if one was named, it counts.
fn load(args: &Args) -> Result<Config, Failure> {
    let (config, findings) = Config::load(&args.config);
    if args.config == Path::new(places::CONFIG) && !args.config.exists() {
        return Ok(config);
    }
    match worst(&findings) {
        Some(Severity::Fatal) => {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            Err(Failure::silent(Status::BadConfiguration))
        }
        _ => Ok(config),
    }
}

/// The result of one service as a plugin prints it, and its state as our end.
fn plugin(name: Option<&str>, published: &Published) -> (Vec<u8>, Status) {
    let document = &published.document;
    let rules = Rules::default();
    let now = UnixTime::from_secs(i64::try_from(unix_time()).unwrap_or(i64::MAX));
    let host = match &document.agent {
        Checked::Done(agent) => agent.system.clone(),
        _ => String::new(),
    };
    let evaluator = Evaluator::new(document, host, now, &rules);
    let Some(name) = name else {
        let mut names = String::from("UNKNOWN - --check must be one of these\n");
        for description in evaluator.descriptions() {
            names.push_str(&format!("{description}\n"));
        }
        return (names.into_bytes(), Status::Incomplete);
    };
    let Some(result) = evaluator.service(BStr::new(name)) else {
        let text = format!("UNKNOWN - there is no check called {name}\n");
        return (text.into_bytes(), Status::Incomplete);
    };
    let mut text = result.plugin_output.to_vec();
    if !result.perf_data.is_empty() {
        text.extend_from_slice(b" | ");
        text.extend_from_slice(&result.perf_data);
    }
    text.push(b'\n');
    if !result.long_plugin_output.is_empty() {
        text.extend_from_slice(&result.long_plugin_output);
        text.push(b'\n');
    }
    // The codes of plugins and ours are the same numbers.
    let status = match result.return_code {
        0 => Status::Done,
        1 => Status::Failed,
        2 => Status::Usage,
        _ => Status::Incomplete,
    };
    (text, status)
}
