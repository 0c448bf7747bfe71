//! `check`: a plugin of a monitoring core. What ends first decides; one line
//! on standard output, the state as the exit status. Whatever goes wrong is
//! UNKNOWN.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use objects::{Metric, Perfdata, Range, ServiceState, Thresholds};
use program::{Failure, Status};

use crate::cli::Check;
use crate::show::{self, Part, left_s, local};

/// Checks all files.
pub(crate) fn run(args: &Check) -> ExitCode {
    match look(args) {
        Ok((state, text, perfdata)) => {
            let (word, code) = match state {
                ServiceState::Ok => ("OK", 0),
                ServiceState::Warn => ("WARNING", 1),
                ServiceState::Crit => ("CRITICAL", 2),
                ServiceState::Unknown => ("UNKNOWN", 3),
            };
            println(&format!(
                "{word}: {} | {}",
                harmless(&text),
                perfdata.print()
            ));
            ExitCode::from(code)
        }
        Err(failure) => unknown(&program::exit::chain(&failure)),
    }
}

/// Ends after a command line that clap did not take, or that asks for help. A
/// core takes the usual 2 for critical.
pub(crate) fn wrong_use(error: &clap::Error) -> ExitCode {
    let asks_for_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if asks_for_help
        || std::env::args_os()
            .nth(1)
            .is_none_or(|word| word != "check")
    {
        error.exit();
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    unknown(line.strip_prefix("error: ").unwrap_or(line))
}

/// Something that ends.
struct Ending {
    label: String,
    what: String,
    left_s: i64,
}

fn look(args: &Check) -> Result<(ServiceState, String, Perfdata), Failure> {
    if args.critical > args.warning {
        let what = "-c must not be longer than -w";
        return Err(Failure::new(Status::Usage, what));
    }
    let mut endings = Vec::new();
    for path in &args.files {
        endings.extend(ending(path)?);
    }
    let thresholds = Thresholds {
        warn: Range::at_least(args.warning.as_secs_f64()),
        crit: Range::at_least(args.critical.as_secs_f64()),
    };
    let Some(first) = endings.iter().min_by_key(|ending| ending.left_s) else {
        let what = "no file has anything that ends";
        return Err(Failure::new(Status::Failed, what));
    };
    let text = match endings.len() {
        1 => first.what.clone(),
        count => format!("{}, the first of {count}", first.what),
    };
    let seconds = |ending: &Ending| ending.left_s as f64;
    let state = thresholds.state(seconds(first));
    let metrics = endings.iter().map(|ending| {
        Metric::new(ending.label.clone(), seconds(ending), "s").thresholds(thresholds)
    });
    let perfdata = Perfdata {
        metrics: metrics.collect(),
    };
    Ok((state, text, perfdata))
}

/// The certificate of a file, or its list. Those above it end later, or are
/// checked by their own file.
fn ending(path: &Path) -> Result<Option<Ending>, Failure> {
    let file = path.file_stem().unwrap_or(path.as_os_str());
    let file = file.to_string_lossy().into_owned();
    let (label, what, end) = match show::read(path)?.swap_remove(0) {
        Part::Certificate(shown) => {
            let name = match shown.site() {
                Some(site) => site.to_string(),
                None => file,
            };
            let what = format!("certificate of {name}");
            (name, what, shown.not_after)
        }
        Part::List(shown) => match shown.next_update {
            Some(next) => (format!("{file}.crl"), format!("list {file}.crl"), next),
            None => return Ok(None),
        },
        Part::Request(_) => return Ok(None),
    };
    let left_s = left_s(end);
    let days = left_s.abs() / 86_400;
    let verb = match left_s {
        ..0 => format!("ended {days} days ago, on {}", local(end)),
        _ => format!("ends in {days} days, on {}", local(end)),
    };
    Ok(Some(Ending {
        label,
        what: format!("{what} {verb}"),
        left_s,
    }))
}

fn unknown(why: &str) -> ExitCode {
    println(&format!("UNKNOWN: {}", harmless(why)));
    ExitCode::from(3)
}

/// A bar would begin the performance data, a line break the long output.
fn harmless(text: &str) -> String {
    let harmless = |c: char| match c {
        '|' => '/',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// To a core that does not listen any more there is nothing to say.
fn println(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
