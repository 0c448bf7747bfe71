//! `--nagios`: a plugin of a monitoring core. The first number of the answer is
//! held against thresholds; one line on standard output, the state as the exit
//! status. Whatever goes wrong is UNKNOWN.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use clap::error::ErrorKind;
use livestatus::json::Row;
use objects::{Metric, Perfdata, Range, ServiceState, Thresholds};
use program::{Failure, Status};

use crate::ask;
use crate::cli::Args;
use crate::query::{self, Request};
use crate::run;
use crate::target;

/// Cores give a plugin up after a minute, or less.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks what the command line says.
pub(crate) fn check(args: &Args) -> ExitCode {
    match measure(args) {
        Ok((label, value)) => {
            let thresholds = Thresholds {
                warn: args.warning,
                crit: args.critical,
            };
            report(&label, value, thresholds)
        }
        Err(failure) => unknown(&program::exit::chain(&failure)),
    }
}

/// Ends after a command line that clap did not take, or that asks for help. A
/// core shows standard output, and takes the usual 2 for critical.
pub(crate) fn wrong_use(error: &clap::Error) -> ExitCode {
    let asks_for_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if asks_for_help || !std::env::args_os().any(|argument| argument == "--nagios") {
        error.exit();
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    unknown(line.strip_prefix("error: ").unwrap_or(line))
}

/// The name of the table that is asked, and the number.
fn measure(args: &Args) -> Result<(BString, f64), Failure> {
    let usage = |what: &str| Failure::new(Status::Usage, what);
    if args.shortcut.is_some() {
        return Err(usage("--nagios checks a query"));
    }
    let requests = run::requests(args)?;
    let [Request::Get(lines)] = &requests[..] else {
        return Err(usage("--nagios checks one query"));
    };
    let label = lines[0].fields().nth(1).unwrap_or_default();
    let target = target::of(args, TIMEOUT)?;
    let mut connection = target.connect()?;
    let request = query::framed(lines, Some("json"), false);
    let mut rows: u64 = 0;
    let mut found = None;
    ask::rows(&mut connection, &request, |row| {
        rows += 1;
        if rows == 1 {
            found = first_number(row);
        }
        Ok(())
    })?;
    match found {
        Some(number) => Ok((label.into(), number)),
        None if rows == 0 => Err(usage("the answer has no rows")),
        None => Err(usage("the first row of the answer has no number")),
    }
}

/// Names that look like numbers are none.
fn first_number(row: &Row) -> Option<f64> {
    row.cells()
        // Text is there to be borrowed, a number has to be printed.
        .find(|cell| matches!(cell.text(), Cow::Owned(_)))
        .and_then(|cell| cell.float())
}

fn report(label: &BString, value: f64, thresholds: Thresholds) -> ExitCode {
    let state = thresholds.state(value);
    let limit = match state {
        ServiceState::Crit => describe(thresholds.crit),
        ServiceState::Warn => describe(thresholds.warn),
        ServiceState::Ok | ServiceState::Unknown => String::new(),
    };
    let metric = Metric::new(label.clone(), value, "").thresholds(thresholds);
    let perfdata = Perfdata {
        metrics: vec![metric],
    };
    let (word, code) = match state {
        ServiceState::Ok => ("OK", 0),
        ServiceState::Warn => ("WARNING", 1),
        ServiceState::Crit => ("CRITICAL", 2),
        ServiceState::Unknown => ("UNKNOWN", 3),
    };
    let text = format!("{label} {value}{limit}");
    println(&format!(
        "{word}: {} | {}",
        harmless(&text),
        perfdata.print()
    ));
    ExitCode::from(code)
}

fn describe(range: Option<Range>) -> String {
    range.map_or_else(String::new, |range| format!(" (range {range})"))
}

fn unknown(why: &str) -> ExitCode {
    println(&format!("UNKNOWN: {}", harmless(why)));
    ExitCode::from(3)
}

/// A bar would begin the performance data, a line break the long output.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '/',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// To a core that does not listen any more there is nothing to say.
fn println(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_no_name_and_no_null() {
        for (json, want) in [
            ("[[7]]", Some(7.0)),
            (r#"[["10", 3, 4]]"#, Some(3.0)),
            ("[[null, 0.5]]", Some(0.5)),
            (r#"[["x", [1]]]"#, None),
            ("[[true]]", Some(1.0)),
            ("[[-nan]]", None),
        ] {
            let mut reader = livestatus::json::RowReader::new(100);
            reader.push(json.as_bytes());
            let row = reader.poll_row().unwrap().unwrap();
            assert_eq!(first_number(row), want, "{json}");
        }
    }
}
