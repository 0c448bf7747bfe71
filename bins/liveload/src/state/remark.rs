//! What somebody has said about an object at the source: that its problem is
//! known, or that it will be away. And who tells a core of it.
//!
//! In a file a remark is a line; a tab stands between its fields, as none of
//! them has one.

use bstr::ByteSlice;
use nagios::check_result::{CheckResult, Full};
use objects::{AcknowledgementType, Comment, Downtime, DowntimeKind, SiteId, UnixTime};
use program::Failure;

/// Most bytes of what somebody said; the rest of a command fits beside it.
const MAX_TEXT: usize = 1500;

/// A remark as a core is told it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Remark {
    pub(super) host: String,
    /// `None`: it is about the host itself.
    pub(super) service: Option<String>,
    pub(super) kind: Kind,
    /// Who said what, on one line; of a downtime the core finds it by this.
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Acknowledgement {
        is_sticky: bool,
    },
    /// Times in seconds.
    Downtime {
        start: i64,
        end: i64,
        is_fixed: bool,
        duration: i64,
    },
}

/// Somebody who tells a core of remarks, and takes them back.
pub(super) trait Teller {
    /// Whether the core can be told about an object of that name at all.
    fn can_name(&self, remark: &Remark) -> bool;

    /// Tells it, as from `author`.
    fn tell(&mut self, remark: &Remark, author: &str, now: UnixTime) -> Result<(), Failure>;

    /// Takes it back, and nothing that anybody else has said.
    fn undo(&mut self, remark: &Remark, author: &str, now: UnixTime) -> Result<(), Failure>;
}

/// Whom a core has remarks of a site from.
pub(super) fn author(site: &SiteId) -> String {
    format!("sitewire:{site}")
}

impl Remark {
    /// About the object of `record`, whose names a core reads as text.
    fn new(record: &CheckResult, kind: Kind, text: String) -> Option<Self> {
        let service = record.service_description.as_ref();
        Some(Self {
            host: record.host_name.to_str().ok()?.to_owned(),
            service: match service {
                Some(name) => Some(name.to_str().ok()?.to_owned()),
                None => None,
            },
            kind,
            text,
        })
    }

    pub(super) fn acknowledgement(
        record: &CheckResult,
        kind: AcknowledgementType,
        comment: Option<&Comment>,
    ) -> Option<Self> {
        let text = match comment {
            Some(comment) => said(&comment.author, &comment.comment),
            None => "acknowledged at the source".to_owned(),
        };
        let is_sticky = kind == AcknowledgementType::Sticky;
        Self::new(record, Kind::Acknowledgement { is_sticky }, text)
    }

    /// The downtimes that an object is to have; `None` for one that the core
    /// cannot be told of.
    ///
    /// A flexible one that has begun at the source is a fixed one for the core,
    /// for as long as the source has it: the core itself would begin it with the
    /// next problem only. One that should have begun with the problem that there
    /// is, and has not, is over.
    pub(super) fn downtimes(
        record: &CheckResult,
        full: &Full,
        author: &str,
        now: UnixTime,
    ) -> Vec<Option<Self>> {
        let is_open = |downtime: &&Downtime| downtime.end_time > now;
        let open = || full.downtimes.iter().filter(is_open);
        let is_fixed = |downtime: &Downtime| downtime.kind == DowntimeKind::Fixed;
        let is_due = |downtime: &Downtime| downtime.start_time <= now;
        let fixed = open().filter(|downtime| is_fixed(downtime) && is_due(downtime));
        let in_effect = usize::try_from(full.scheduled_downtime_depth).unwrap_or(0);
        let mut begun = in_effect.saturating_sub(fixed.count());
        let mut remarks = Vec::new();
        for downtime in open() {
            let said = said(&downtime.author, &downtime.comment);
            if is_fixed(downtime) {
                remarks.push(Self::downtime(record, downtime, true, author, &said));
            } else if is_due(downtime) && begun > 0 {
                begun -= 1;
                let said = format!("{said} (flexible, {} s)", downtime.duration);
                remarks.push(Self::downtime(record, downtime, true, author, &said));
            } else if !is_due(downtime) || record.return_code == 0 {
                remarks.push(Self::downtime(record, downtime, false, author, &said));
            }
        }
        remarks
    }

    /// Its text names it, as cores find a downtime by its comment.
    fn downtime(
        record: &CheckResult,
        downtime: &Downtime,
        is_fixed: bool,
        author: &str,
        said: &str,
    ) -> Option<Self> {
        let (start, end) = (downtime.start_time.secs(), downtime.end_time.secs());
        let kind = Kind::Downtime {
            start,
            end,
            is_fixed,
            duration: match is_fixed {
                true => end - start,
                false => downtime.duration,
            },
        };
        Self::new(record, kind, format!("{author} {}, {said}", downtime.id))
    }

    /// Whether it has come to its end by itself.
    pub(super) fn is_over(&self, now: UnixTime) -> bool {
        matches!(self.kind, Kind::Downtime { end, .. } if end <= now.secs())
    }

    /// The line that stands for it.
    pub(super) fn print(&self) -> String {
        let (host, text) = (&self.host, &self.text);
        let service = self.service.as_deref().unwrap_or_default();
        match self.kind {
            Kind::Acknowledgement { is_sticky } => {
                let is_sticky = u8::from(is_sticky);
                format!("acknowledgement\t{host}\t{service}\t{is_sticky}\t{text}")
            }
            Kind::Downtime {
                start,
                end,
                is_fixed,
                duration,
            } => {
                let is_fixed = u8::from(is_fixed);
                format!(
                    "downtime\t{host}\t{service}\t{start}\t{end}\t{is_fixed}\t{duration}\t{text}"
                )
            }
        }
    }

    /// What [`print`](Self::print) printed.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let (kind, host, service, text) = match fields[..] {
            ["acknowledgement", host, service, is_sticky, text] => {
                let is_sticky = is_sticky == "1";
                (Kind::Acknowledgement { is_sticky }, host, service, text)
            }
            [
                "downtime",
                host,
                service,
                start,
                end,
                is_fixed,
                duration,
                text,
            ] => {
                let kind = Kind::Downtime {
                    start: start.parse().ok()?,
                    end: end.parse().ok()?,
                    is_fixed: is_fixed == "1",
                    duration: duration.parse().ok()?,
                };
                (kind, host, service, text)
            }
            _ => return None,
        };
        Some(Self {
            host: host.to_owned(),
            service: (!service.is_empty()).then(|| service.to_owned()),
            kind,
            text: text.to_owned(),
        })
    }
}

/// Who said what, on one line without what ends a field anywhere.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_remembered_as_a_line() {
        for (service, kind) in [
            (None, Kind::Acknowledgement { is_sticky: true }),
            (Some("a;b"), Kind::Acknowledgement { is_sticky: false }),
            (
                Some("s"),
                Kind::Downtime {
                    start: 1,
                    end: 2,
                    is_fixed: false,
                    duration: 3,
                },
            ),
        ] {
            let remark = Remark {
                host: "h".to_owned(),
                service: service.map(str::to_owned),
                kind,
                text: "sitewire:a 7, bob: x".to_owned(),
            };
            assert_eq!(Remark::parse(&remark.print()), Some(remark));
        }
        for bad in ["", "downtime\th\ts\tx\t2\t1\t3\tt", "SHUTDOWN_PROGRAM"] {
            assert_eq!(Remark::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_said_is_one_field_on_one_line() {
        assert_eq!(
            said(b"bob", b"a;b\nSHUTDOWN\r\0\xff\t "),
            "bob: a,b SHUTDOWN  \u{fffd}"
        );
        assert_eq!(said(b"b", &vec![b'x'; 9000]).len(), MAX_TEXT);
    }

    #[test]
    fn flexible_downtimes_are_in_effect_when_they_are_at_the_source() {
        let now = UnixTime::from_secs(100);
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
            let remarks = Remark::downtimes(&record, &full, "sitewire:a", now);
            let lines: Vec<_> = remarks.iter().flatten().map(Remark::print).collect();
            let want: Vec<_> = want
                .iter()
                .map(|line| match *line {
                    "fixed" => "downtime\th\t\t50\t200\t1\t150\tsitewire:a 1, b: c",
                    "waiting" => "downtime\th\t\t50\t200\t0\t30\tsitewire:a 2, b: c",
                    _ => "downtime\th\t\t50\t200\t1\t150\tsitewire:a 2, b: c (flexible, 30 s)",
                })
                .chain(["downtime\th\t\t150\t200\t0\t30\tsitewire:a 3, b: c"])
                .collect();
            assert_eq!(lines, want, "{code} {depth}");
        }
    }
}
