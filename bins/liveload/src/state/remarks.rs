//! Acknowledgements and downtimes of a source, brought to a core by commands.
//!
//! What the core was told stands in the ledger's file `SITE.remarks`: the
//! commands themselves, one a line. A command that is wanted and does not stand
//! there is sent; one that stands there and is wanted no more is undone. So only
//! remarks that came from here are touched, and nothing is sent twice.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bstr::ByteSlice;
use nagios::check_result::{CheckResult, Full};
use objects::{AcknowledgementType, Downtime, DowntimeKind, SiteId, UnixTime};
use program::{Failure, Status};

use super::backend::Backend;
use super::command::Pipe;

/// Most bytes of what somebody said; the rest of the command fits beside it.
const MAX_TEXT: usize = 1500;

/// What the core is to be told, while one dump goes through.
pub(crate) struct Remarks {
    memory: PathBuf,
    author: String,
    pipe: Pipe,
    now: UnixTime,
    told: BTreeSet<String>,
    wanted: BTreeSet<String>,
    /// Of those: the core takes them only when it has read this dump.
    early: BTreeSet<String>,
    unnamed: u64,
}

impl Remarks {
    pub(crate) fn open(
        memory: PathBuf,
        site: &SiteId,
        pipe: Pipe,
        now: UnixTime,
    ) -> Result<Self, Failure> {
        let told = match fs::read_to_string(&memory) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(failure(&memory, error)),
        };
        Ok(Self {
            memory,
            author: format!("sitewire:{site}"),
            pipe,
            now,
            told,
            wanted: BTreeSet::new(),
            early: BTreeSet::new(),
            unnamed: 0,
        })
    }

    /// Notes what is wanted for an object. With `is_new_spell` its state is
    /// another than at the last dump, so that the core has let go of an
    /// acknowledgement, or will.
    pub(crate) fn note(&mut self, record: &CheckResult, is_new_spell: bool) {
        let Some(full) = &record.full else { return };
        if full.acknowledgement.is_none() && full.downtimes.is_empty() {
            return;
        }
        let Some(object) = object(record) else {
            self.unnamed += 1;
            return;
        };
        if let Some(line) = self.acknowledgement(record, full, &object) {
            if is_new_spell {
                self.told.remove(&line);
                self.early.insert(line.clone());
            }
            self.wanted.insert(line);
        }
        for line in self.downtimes(record, full, &object) {
            self.wanted.insert(line);
        }
    }

    /// The downtimes that an object is to have.
    ///
    /// A flexible one that has begun at the source is a fixed one for the core,
    /// for as long as the source has it: the core itself would begin it with the
    /// next problem only. One that should have begun with the problem that there
    /// is, and has not, is over.
    fn downtimes(&self, record: &CheckResult, full: &Full, object: &str) -> Vec<String> {
        let is_open = |downtime: &&Downtime| downtime.end_time > self.now;
        let open = || full.downtimes.iter().filter(is_open);
        let is_fixed = |downtime: &Downtime| downtime.kind == DowntimeKind::Fixed;
        let is_due = |downtime: &Downtime| downtime.start_time <= self.now;
        let fixed = open().filter(|downtime| is_fixed(downtime) && is_due(downtime));
        let in_effect = usize::try_from(full.scheduled_downtime_depth).unwrap_or(0);
        let mut begun = in_effect.saturating_sub(fixed.count());
        let mut lines = Vec::new();
        for downtime in open() {
            let said = said(&downtime.author, &downtime.comment);
            if is_fixed(downtime) {
                lines.push(self.downtime(record, object, downtime, true, &said));
            } else if is_due(downtime) && begun > 0 {
                begun -= 1;
                let said = format!("{said} (flexible, {} s)", downtime.duration);
                lines.push(self.downtime(record, object, downtime, true, &said));
            } else if !is_due(downtime) || record.return_code == 0 {
                lines.push(self.downtime(record, object, downtime, false, &said));
            }
        }
        lines
    }

    fn downtime(
        &self,
        record: &CheckResult,
        object: &str,
        downtime: &Downtime,
        is_fixed: bool,
        said: &str,
    ) -> String {
        let (kind, author, id) = (kind(record), &self.author, downtime.id);
        let (start, end) = (downtime.start_time.secs(), downtime.end_time.secs());
        let duration = match is_fixed {
            true => end - start,
            false => downtime.duration,
        };
        // The core deletes by start and comment: the comment names it.
        format!(
            "SCHEDULE_{kind}_DOWNTIME;{object};{start};{end};{};0;{duration};{author};\
             {author} {id}, {said}",
            u8::from(is_fixed)
        )
    }

    fn acknowledgement(&self, record: &CheckResult, full: &Full, object: &str) -> Option<String> {
        let sticky = match full.acknowledgement? {
            _ if record.return_code == 0 || !full.has_been_checked => return None,
            AcknowledgementType::Sticky => 2,
            AcknowledgementType::Normal => 1,
        };
        let said = match full.acknowledgement_comments.last() {
            Some(comment) => said(&comment.author, &comment.comment),
            None => "acknowledged at the source".to_owned(),
        };
        let (kind, author) = (kind(record), &self.author);
        Some(format!(
            "ACKNOWLEDGE_{kind}_PROBLEM;{object};{sticky};0;0;{author};{said}"
        ))
    }

    /// Tells the core what is new and what is gone; of a dump that is not whole
    /// only what is new. What the core cannot take yet is left to the next dump.
    pub(crate) fn finish(
        &mut self,
        name: &str,
        is_complete: bool,
        states: &mut dyn Backend,
        wait: Duration,
    ) -> Result<(), Failure> {
        let told = self.tell(is_complete, states, wait);
        let stored = self.store();
        let late = told?;
        stored?;
        if late > 0 {
            eprintln!(
                "liveload: {name}: {late} acknowledgements wait for the next dump: the core has not read this one"
            );
        }
        if self.unnamed > 0 {
            let unnamed = self.unnamed;
            eprintln!("liveload: {name}: a command cannot name {unnamed} objects with remarks");
        }
        Ok(())
    }

    fn tell(
        &mut self,
        is_complete: bool,
        states: &mut dyn Backend,
        wait: Duration,
    ) -> Result<usize, Failure> {
        let seconds = self.now.secs();
        if is_complete {
            let gone: Vec<String> = self.told.difference(&self.wanted).cloned().collect();
            for line in gone {
                if let Some(undo) = undo(&line, self.now) {
                    self.pipe
                        .command(format!("[{seconds}] {undo}").as_bytes())?;
                }
                self.told.remove(&line);
            }
        }
        let new: BTreeSet<String> = self.wanted.difference(&self.told).cloned().collect();
        for line in new.difference(&self.early) {
            self.pipe
                .command(format!("[{seconds}] {line}").as_bytes())?;
            self.told.insert(line.clone());
        }
        let early: Vec<&String> = new.intersection(&self.early).collect();
        if early.is_empty() {
            return Ok(0);
        }
        if !states.await_core(wait)? {
            return Ok(early.len());
        }
        for line in early {
            self.pipe
                .command(format!("[{seconds}] {line}").as_bytes())?;
            self.told.insert(line.clone());
        }
        Ok(0)
    }

    fn store(&self) -> Result<(), Failure> {
        program::file::replace(&self.memory, 0o600, |out| {
            for line in &self.told {
                writeln!(out, "{line}")?;
            }
            Ok(())
        })
        .map_err(|error| failure(&self.memory, error))
    }
}

fn failure(path: &Path, error: io::Error) -> Failure {
    Failure::caused(Status::Failed, path.display().to_string(), error)
}

fn kind(record: &CheckResult) -> &'static str {
    match record.service_description {
        Some(_) => "SVC",
        None => "HOST",
    }
}

/// The object as commands name it, if they can.
fn object(record: &CheckResult) -> Option<String> {
    let mut object = record.host_name.to_str().ok()?.to_owned();
    if object.contains(';') {
        return None;
    }
    if let Some(service) = &record.service_description {
        let service = service.to_str().ok().filter(|name| !name.contains(';'))?;
        object.push(';');
        object.push_str(service);
    }
    Some(object)
}

/// Who said what, as the last field of a command.
fn said(author: &[u8], comment: &[u8]) -> String {
    let text = format!("{}: {}", author.to_str_lossy(), comment.to_str_lossy());
    let mut safe: String = text
        .chars()
        .map(|c| match c {
            ';' => ',',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    safe.truncate(safe.floor_char_boundary(MAX_TEXT));
    safe.truncate(safe.trim_end().len());
    safe
}

/// The command that undoes another, unless that has come to its end by itself.
fn undo(line: &str, now: UnixTime) -> Option<String> {
    let fields: Vec<&str> = line.split(';').collect();
    match fields[..] {
        ["ACKNOWLEDGE_HOST_PROBLEM", host, ..] => {
            Some(format!("REMOVE_HOST_ACKNOWLEDGEMENT;{host}"))
        }
        ["ACKNOWLEDGE_SVC_PROBLEM", host, service, ..] => {
            Some(format!("REMOVE_SVC_ACKNOWLEDGEMENT;{host};{service}"))
        }
        ["SCHEDULE_HOST_DOWNTIME", host, start, end, .., comment] if is_ahead(end, now) => Some(
            format!("DEL_DOWNTIME_BY_HOST_NAME;{host};;{start};{comment}"),
        ),
        [
            "SCHEDULE_SVC_DOWNTIME",
            host,
            service,
            start,
            end,
            ..,
            comment,
        ] if is_ahead(end, now) => Some(format!(
            "DEL_DOWNTIME_BY_HOST_NAME;{host};{service};{start};{comment}"
        )),
        _ => None,
    }
}

fn is_ahead(end: &str, now: UnixTime) -> bool {
    end.parse().is_ok_and(|end: i64| end > now.secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_one_that_undoes_it() {
        let now = UnixTime::from_secs(100);
        for (line, want) in [
            (
                "ACKNOWLEDGE_HOST_PROBLEM;h;2;0;0;sitewire:a;bob: x",
                Some("REMOVE_HOST_ACKNOWLEDGEMENT;h"),
            ),
            (
                "ACKNOWLEDGE_SVC_PROBLEM;h;s;1;0;0;sitewire:a;bob: x",
                Some("REMOVE_SVC_ACKNOWLEDGEMENT;h;s"),
            ),
            (
                "SCHEDULE_HOST_DOWNTIME;h;50;101;1;0;51;sitewire:a;sitewire:a 7, b: c",
                Some("DEL_DOWNTIME_BY_HOST_NAME;h;;50;sitewire:a 7, b: c"),
            ),
            (
                "SCHEDULE_SVC_DOWNTIME;h;s;50;101;1;0;51;sitewire:a;sitewire:a 7, b: c",
                Some("DEL_DOWNTIME_BY_HOST_NAME;h;s;50;sitewire:a 7, b: c"),
            ),
            ("SCHEDULE_HOST_DOWNTIME;h;50;100;1;0;50;sitewire:a;x", None),
            ("SHUTDOWN_PROGRAM", None),
        ] {
            assert_eq!(undo(line, now).as_deref(), want, "{line}");
        }
    }

    #[test]
    fn flexible_downtimes_are_in_effect_when_they_are_at_the_source() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let _reader = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&pipe)
            .unwrap();
        let site = SiteId::new("a").unwrap();
        let pipe = Pipe::open(&pipe, crate::cli::Core::Nagios).unwrap();
        let now = UnixTime::from_secs(100);
        let remarks = Remarks::open(directory.path().join("a"), &site, pipe, now).unwrap();
        let downtime = |id, start, kind| Downtime {
            id,
            author: "b".into(),
            comment: "c".into(),
            start_time: UnixTime::from_secs(start),
            end_time: UnixTime::from_secs(200),
            duration: 30,
            kind,
            entry_time: UnixTime::NEVER,
        };
        let flexible = DowntimeKind::Flexible { began: None };
        for (code, depth, want) in [
            (0, 1, &["fixed", "waiting"][..]),
            (2, 1, &["fixed"]),
            (2, 2, &["fixed", "begun"]),
            (0, 2, &["fixed", "begun"]),
        ] {
            let record = CheckResult {
                host_name: "h".into(),
                return_code: code,
                ..CheckResult::default()
            };
            let full = Full {
                scheduled_downtime_depth: depth,
                downtimes: vec![
                    downtime(1, 50, DowntimeKind::Fixed),
                    downtime(2, 50, flexible),
                    downtime(3, 150, flexible),
                ],
                ..Full::default()
            };
            let lines = remarks.downtimes(&record, &full, "h");
            let want: Vec<_> = want.iter().map(|line| match *line {
                "fixed" => "SCHEDULE_HOST_DOWNTIME;h;50;200;1;0;150;sitewire:a;sitewire:a 1, b: c",
                "waiting" => "SCHEDULE_HOST_DOWNTIME;h;50;200;0;0;30;sitewire:a;sitewire:a 2, b: c",
                _ => "SCHEDULE_HOST_DOWNTIME;h;50;200;1;0;150;sitewire:a;sitewire:a 2, b: c (flexible, 30 s)",
            })
            .chain(["SCHEDULE_HOST_DOWNTIME;h;150;200;0;0;30;sitewire:a;sitewire:a 3, b: c"])
            .collect();
            assert_eq!(lines, want, "{code} {depth}");
        }
    }

    #[test]
    fn what_was_said_is_one_field_on_one_line() {
        assert_eq!(
            said(b"bob", b"a;b\nSHUTDOWN\r\0\xff "),
            "bob: a,b SHUTDOWN  \u{fffd}"
        );
        assert_eq!(said(b"b", &vec![b'x'; 9000]).len(), MAX_TEXT);
    }
}
