//! Which records of a dump may go on to the core: those that the site may
//! send, about objects that the core has, with values that can be.

use std::time::Duration;

use bstr::{ByteSlice, ByteVec};
use nagios::check_result::CheckResult;
use objects::{SiteId, UnixTime};
use program::Failure;
use transfer::{Claim, Owners};

use super::dump::object;
use super::known::Known;
use crate::cli::OnSkew;
use crate::pattern::Pattern;
use crate::run::ledger_failure;

/// What is to become of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// The core has no such object.
    Unknown,
    Refused(String),
}

/// The rules of one import.
pub(crate) struct Gate {
    pub(crate) prefix: String,
    /// Without any, all hosts are allowed.
    pub(crate) allowed: Vec<Pattern>,
    /// Without, hosts of all sites are told apart by the core.
    pub(crate) owners: Option<Owners>,
    /// Without, the core sorts out what it knows.
    pub(crate) known: Option<Known>,
    pub(crate) now: UnixTime,
    pub(crate) max_skew: Duration,
    pub(crate) on_skew: OnSkew,
    /// Claim no hosts.
    pub(crate) dry_run: bool,
    pub(crate) site: SiteId,
    /// The host of the last record, as the dump has it, and why it was refused:
    /// records of a host stand together.
    pub(crate) last_host: Option<(Vec<u8>, Option<String>)>,
}

impl Gate {
    /// Looks at a record and, if it passes, gives it the names that the core
    /// knows it by.
    pub(crate) fn pass(&mut self, record: &mut CheckResult) -> Result<Verdict, Failure> {
        if let Some(why) = self.host(&record.host_name)? {
            return Ok(Verdict::Refused(why));
        }
        if let Err(why) = self.values(record) {
            let object = object(
                &record.host_name,
                record.service_description.as_deref().map(|name| &name[..]),
            );
            return Ok(Verdict::Refused(format!("{object}: {why}")));
        }
        if !self.prefix.is_empty() {
            record.host_name.insert_str(0, &self.prefix);
        }
        let known = self.known.as_ref().is_none_or(|known| {
            let service = record.service_description.as_deref().map(|name| &name[..]);
            known.has(&record.host_name, service)
        });
        Ok(if known {
            Verdict::Pass
        } else {
            Verdict::Unknown
        })
    }

    /// Why the site may not speak about that host, if it may not.
    fn host(&mut self, name: &[u8]) -> Result<Option<String>, Failure> {
        if let Some((last, verdict)) = &self.last_host
            && last == name
        {
            return Ok(verdict.clone());
        }
        let verdict = self.judge_host(name)?;
        self.last_host = Some((name.to_owned(), verdict.clone()));
        Ok(verdict)
    }

    fn judge_host(&mut self, name: &[u8]) -> Result<Option<String>, Failure> {
        let quoted = || program::log::quote(name, 100);
        if let Err(why) = check_name(name) {
            return Ok(Some(format!("host {}: {why}", quoted())));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|pattern| pattern.matches(name)) {
            return Ok(Some(format!(
                "host {}: site {} may not have it",
                quoted(),
                self.site
            )));
        }
        let Some(owners) = &mut self.owners else {
            return Ok(None);
        };
        let full = [self.prefix.as_bytes(), name].concat();
        if self.dry_run {
            return Ok(owners
                .owner(&full)
                .filter(|owner| **owner != self.site)
                .map(|other| clash(&full, &self.site, other)));
        }
        match owners.claim(&full).map_err(ledger_failure)? {
            Claim::Ours | Claim::New => Ok(None),
            Claim::Of(other) => Ok(Some(clash(&full, &self.site, &other))),
        }
    }

    fn values(&self, record: &mut CheckResult) -> Result<(), String> {
        if let Some(description) = &record.service_description {
            check_name(description)?;
        }
        let worst = if record.service_description.is_some() {
            3
        } else {
            2
        };
        if record.return_code > worst {
            return Err(format!(
                "return code {} is not 0 to {worst}",
                record.return_code
            ));
        }
        if !record.latency.is_finite() {
            return Err("latency is no number".to_owned());
        }
        // A clock that was put back makes these.
        record.latency = record.latency.max(0.0);
        if record.start_time < UnixTime::NEVER {
            return Err("time of the check is before 1970".to_owned());
        }
        if record.has_been_checked() {
            self.time(record)?;
        }
        clean(&mut record.plugin_output, false);
        clean(&mut record.long_plugin_output, true);
        clean(&mut record.perf_data, false);
        Ok(())
    }

    /// A check in the future would hide everything that comes until then.
    fn time(&self, record: &mut CheckResult) -> Result<(), String> {
        let skew = i64::try_from(self.max_skew.as_micros()).unwrap_or(i64::MAX);
        let ahead = record.start_time.micros().saturating_sub(self.now.micros());
        if ahead <= skew {
            return Ok(());
        }
        if self.on_skew == OnSkew::Refuse {
            return Err(format!("checked {} s in the future", ahead / 1_000_000));
        }
        let back = |time: UnixTime| UnixTime::from_micros(time.micros() - ahead);
        record.start_time = self.now;
        record.finish_time = back(record.finish_time).max(self.now);
        if let Some(full) = &mut record.full {
            full.last_state_change = full.last_state_change.min(self.now);
            full.last_hard_state_change = full.last_hard_state_change.min(self.now);
        }
        Ok(())
    }
}

fn clash(host: &[u8], site: &SiteId, owner: &SiteId) -> String {
    let host = program::log::quote(host, 100);
    format!("host {host}: sites {owner} and {site} both have it; {owner} had it first")
}

/// A name that can stand in a file of the core and in its commands.
pub(crate) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("has no name")
    } else if name.len() > transfer::owners::MAX_HOST {
        Err("name is too long")
    } else if name.iter().any(u8::is_ascii_control) {
        Err("control character in a name")
    } else if name[0] == b' ' || name.ends_with(b" ") {
        Err("blank at the beginning or end of a name")
    } else {
        Ok(())
    }
}

/// Leaves no control character but tabs in a text, and line feeds where lines
/// are meant.
fn clean(text: &mut Vec<u8>, lines: bool) {
    if !text.iter().any(u8::is_ascii_control) {
        return;
    }
    if text.contains_str("\r\n") {
        *text = text.replace("\r\n", "\n");
    }
    text.retain(|b| *b != 0);
    for b in text {
        match *b {
            b'\t' => {}
            b'\n' | b'\r' if lines => *b = b'\n',
            c if c.is_ascii_control() => *b = b' ',
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::BString;
    use std::path::Path;

    fn gate(directory: &Path, site: &str) -> Gate {
        let site = SiteId::new(site).unwrap();
        Gate {
            prefix: String::new(),
            allowed: Vec::new(),
            owners: Some(Owners::open(directory, &site).unwrap()),
            known: None,
            now: UnixTime::from_secs(1_000_000),
            max_skew: Duration::from_secs(300),
            on_skew: OnSkew::Refuse,
            dry_run: false,
            site,
            last_host: None,
        }
    }

    fn record(host: &str, service: Option<&str>, code: u8, time: i64) -> CheckResult {
        CheckResult {
            host_name: host.into(),
            service_description: service.map(BString::from),
            return_code: code,
            start_time: UnixTime::from_secs(time),
            plugin_output: "a\r\nb\0\x1b".into(),
            long_plugin_output: "c\r\nd\re".into(),
            ..CheckResult::default()
        }
    }

    #[test]
    fn records_that_cannot_be_are_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let mut gate = gate(directory.path(), "a");
        gate.allowed = vec![
            Pattern::new("web*"),
            Pattern::new(" *"),
            Pattern::new("\n*"),
        ];
        let verdict = |gate: &mut Gate, mut record| match gate.pass(&mut record).unwrap() {
            Verdict::Refused(why) => why,
            other => format!("{other:?}"),
        };
        for (record, want) in [
            (record("web", None, 2, 5), "Pass"),
            (record("web", Some("x"), 3, 1_000_300), "Pass"),
            (record("db", None, 0, 5), "host db: site a may not have it"),
            (
                record("web", None, 3, 5),
                "web: return code 3 is not 0 to 2",
            ),
            (
                record("web", Some("x"), 4, 5),
                "web;x: return code 4 is not 0 to 3",
            ),
            (
                record("web", Some("x"), 0, 1_000_301),
                "web;x: checked 301 s in the future",
            ),
            (record("web", Some(""), 0, 5), "web;: has no name"),
            (
                record("web", Some("a\tb"), 0, 5),
                "web;a\\tb: control character in a name",
            ),
            (
                record(" web", None, 0, 5),
                "host  web: blank at the beginning or end of a name",
            ),
            (
                record("\n", None, 0, 5),
                "host \\n: control character in a name",
            ),
            (
                record("web", None, 0, -5),
                "web: time of the check is before 1970",
            ),
        ] {
            assert_eq!(verdict(&mut gate, record), want);
        }
    }

    #[test]
    fn what_passes_has_clean_texts_and_the_names_of_the_core() {
        let directory = tempfile::tempdir().unwrap();
        let mut gate = gate(directory.path(), "a");
        gate.prefix = "r1-".to_owned();
        gate.on_skew = OnSkew::Clamp;
        let mut record = record("web", Some("x"), 0, 1_003_600);
        assert_eq!(gate.pass(&mut record).unwrap(), Verdict::Pass);
        assert_eq!(record.host_name, "r1-web");
        assert_eq!(record.plugin_output, "a b ");
        assert_eq!(record.long_plugin_output, "c\nd\ne");
        assert_eq!(record.start_time, gate.now);
    }

    #[test]
    fn two_sites_with_one_host_are_both_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = gate(directory.path(), "a");
        let mut second = gate(directory.path(), "b");
        let mut result = record("web", None, 0, 5);
        assert_eq!(first.pass(&mut result).unwrap(), Verdict::Pass);
        for dry_run in [false, true] {
            second.dry_run = dry_run;
            second.last_host = None;
            let Verdict::Refused(why) = second.pass(&mut result).unwrap() else {
                panic!("it passed");
            };
            assert_eq!(why, "host web: sites a and b both have it; a had it first");
        }
    }
}
