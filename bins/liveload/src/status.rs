//! What came from which site: for people, programs and as a plugin.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;

use objects::notification::print_json_string;
use objects::{SiteId, UnixTime};
use program::{Failure, Status};
use transfer::{Entry, Kind, Ledger, Outcome};

use crate::cli;
use crate::run::{ledger_directory, ledger_failure};

/// A site and what is remembered of one kind of its dumps; nothing for a site
/// that must come and never came.
struct Row {
    site: SiteId,
    kind: Kind,
    entry: Option<Entry>,
    expected: bool,
}

/// Shows it. As a plugin even a failure is an answer.
pub(crate) fn run(args: &cli::Status) -> Result<Status, Failure> {
    if args.nagios {
        let (code, text) = match rows(args) {
            Ok(rows) => judge(&rows, args),
            Err(failure) => (
                3,
                format!("SITES UNKNOWN: {}", program::exit::chain(&failure)),
            ),
        };
        print(&format!("{text}\n"))?;
        std::process::exit(code);
    }
    let mut text = String::new();
    for row in rows(args)? {
        match args.json {
            true => row.json(&mut text),
            false => row.line(&mut text),
        }
    }
    print(&text)?;
    Ok(Status::Done)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|_| Failure::silent(Status::Failed))
}

fn rows(args: &cli::Status) -> Result<Vec<Row>, Failure> {
    let ledger = Ledger::open(ledger_directory(args.ledger.as_ref())).map_err(ledger_failure)?;
    let expected: BTreeSet<SiteId> = ledger
        .expected()
        .map_err(ledger_failure)?
        .into_iter()
        .collect();
    let mut sites = expected.clone();
    sites.extend(ledger.sites().map_err(ledger_failure)?);
    if !args.sites.is_empty() {
        sites = args.sites.iter().cloned().collect();
    }
    let mut rows = Vec::new();
    for site in sites {
        for kind in Kind::ALL {
            let entry = ledger.read(&site, kind).map_err(ledger_failure)?;
            // A configuration comes rarely, and to some cores never.
            if entry.is_some() || kind == Kind::State {
                rows.push(Row {
                    expected: expected.contains(&site) || args.sites.contains(&site),
                    site: site.clone(),
                    kind,
                    entry,
                });
            }
        }
    }
    Ok(rows)
}

impl Row {
    /// How long ago the last complete dump was made, in seconds.
    fn age(&self) -> Option<u64> {
        let now = UnixTime::from(SystemTime::now());
        Some(self.entry.as_ref()?.age(now)?.as_secs())
    }

    /// What is wrong with it, apart from its age.
    fn trouble(&self) -> Option<String> {
        match &self.entry {
            None => Some("never came".to_owned()),
            Some(entry) => match &entry.outcome {
                _ if entry.dumps_refused > 0 => Some(format!(
                    "{} dumps refused: {}",
                    entry.dumps_refused, entry.dump_refused_why
                )),
                Outcome::Incomplete(why) => Some(format!("incomplete: {why}")),
                Outcome::Complete if entry.refused > 0 => Some(format!(
                    "{} records refused: {}",
                    entry.refused, entry.refused_why
                )),
                Outcome::Complete => None,
            },
        }
    }

    fn line(&self, text: &mut String) {
        let age = self
            .age()
            .map_or("never complete".to_owned(), |age| format!("{age} s ago"));
        let _ = write!(text, "{} {}: {age}", self.site, self.kind.word());
        if let Some(entry) = &self.entry {
            let _ = write!(
                text,
                ", {} hosts, {} services, {} unknown, {} refused",
                entry.hosts, entry.services, entry.unknown, entry.refused
            );
        }
        if let Some(trouble) = self.trouble() {
            let _ = write!(text, "; {trouble}");
        }
        text.push('\n');
    }

    fn json(&self, text: &mut String) {
        let entry = self.entry.clone().unwrap_or_default();
        let _ = write!(
            text,
            "{{\"site\":\"{}\",\"kind\":\"{}\",\"expected\":{},\"came\":{}",
            self.site,
            self.kind.word(),
            self.expected,
            self.entry.is_some()
        );
        for (key, time) in [
            ("dump_time", entry.dump_time),
            ("taken", entry.taken),
            ("complete_dump_time", entry.complete_dump_time),
            ("complete_taken", entry.complete_taken),
            ("dump_refused_at", entry.dump_refused_at),
        ] {
            let time = jiff::Timestamp::from_microsecond(time.micros())
                .ok()
                .filter(|_| !time.is_never());
            match time {
                Some(time) => {
                    let _ = write!(text, ",\"{key}\":\"{time}\"");
                }
                None => {
                    let _ = write!(text, ",\"{key}\":null");
                }
            }
        }
        match self.age() {
            Some(age) => {
                let _ = write!(text, ",\"age_s\":{age}");
            }
            None => text.push_str(",\"age_s\":null"),
        }
        for (key, count) in [
            ("epoch", entry.epoch),
            ("sequence", entry.sequence),
            ("hosts", entry.hosts),
            ("services", entry.services),
            ("unknown", entry.unknown),
            ("refused", entry.refused),
            ("dumps_refused", entry.dumps_refused),
        ] {
            let _ = write!(text, ",\"{key}\":{count}");
        }
        let complete = self.entry.is_some() && entry.outcome == Outcome::Complete;
        let _ = write!(text, ",\"complete\":{complete},\"trouble\":");
        match self.trouble() {
            Some(trouble) => print_json_string(text, trouble.as_bytes()),
            None => text.push_str("null"),
        }
        text.push_str("}\n");
    }
}

/// The exit code of a plugin, and what it says.
fn judge(rows: &[Row], args: &cli::Status) -> (i32, String) {
    let states = rows.iter().filter(|row| row.kind == Kind::State);
    let mut worst = 0;
    let mut details = String::new();
    let mut figures = String::new();
    let mut sites = 0;
    let mut oldest = 0;
    for row in states {
        sites += 1;
        let age = row.age();
        let code = match age {
            None => 2,
            Some(age) if age >= args.critical => 2,
            Some(age) if age >= args.warning => 1,
            Some(_) => i32::from(row.trouble().is_some()),
        };
        oldest = oldest.max(age.unwrap_or(0));
        worst = worst.max(code);
        if code > 0 {
            details.push('\n');
            row.line(&mut details);
            details.truncate(details.trim_end().len());
        }
        if let Some(age) = age {
            let _ = write!(
                figures,
                " {}={age}s;{};{};0",
                row.site, args.warning, args.critical
            );
        }
    }
    if sites == 0 {
        return (
            3,
            "SITES UNKNOWN: no site ever came, and none is expected".to_owned(),
        );
    }
    let word = ["OK", "WARNING", "CRITICAL"][usize::try_from(worst).unwrap_or(2)];
    // What is wrong stands in the first line where it is one thing.
    let first = match details.trim_start().lines().collect::<Vec<_>>()[..] {
        [] => format!("{sites} sites, oldest dump {oldest} s"),
        [one] => {
            let one = one.replace('|', "/");
            return (worst, format!("SITES {word}: {one} |{figures}"));
        }
        ref all => format!("{} of {sites} sites", all.len()),
    };
    let details = details.replace('|', "/");
    (worst, format!("SITES {word}: {first} |{figures}{details}"))
}
