//! Records beside the states: what people said about objects, and when objects
//! were checked that are otherwise as they were.

use bstr::{BString, ByteSlice};
use objects::{Comment, Downtime, DowntimeKind, EntryType, ObjectName, UnixTime};

use super::field::{escape, parse_bool, parse_time, print_bool, print_count, unescape};
use super::{MAX_LINE, Record};
use crate::error::{Error, excerpt};
use crate::number::parse_count;

pub(super) const COMMENT: &str = "SITEWIRE_COMMENT";
pub(super) const COMMENT_GONE: &str = "SITEWIRE_COMMENT_GONE";
pub(super) const DOWNTIME: &str = "SITEWIRE_DOWNTIME";
pub(super) const DOWNTIME_GONE: &str = "SITEWIRE_DOWNTIME_GONE";
pub(super) const CHECKED: &str = "SITEWIRE_CHECKED";

/// Where a line of check times ends, so that a record stays small.
pub(super) const CHECKED_LINE: usize = 8 * 1024;

/// When a host and its services were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedHost {
    /// The host.
    pub host_name: BString,
    /// [`names_sum`] of the services that the times belong to.
    pub names: u32,
    /// Of the host, then of its services in the order of their descriptions.
    /// `None` if it has not changed, or another record tells it.
    pub last_checks: Vec<Option<UnixTime>>,
}

/// The CRC-32C of descriptions in their order, each followed by a line feed:
/// whether two places mean the same services of a host.
pub fn names_sum<'a>(descriptions: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    descriptions.into_iter().fold(0, |sum, description| {
        crc32c::crc32c_append(crc32c::crc32c_append(sum, description), b"\n")
    })
}

/// Appends the arguments of a comment.
pub(super) fn print_comment(object: &ObjectName, comment: &Comment, out: &mut Vec<u8>) {
    print_object(object, out);
    number(out, comment.id);
    number(out, comment.entry_type.code());
    number(out, comment.entry_time);
    out.push(b';');
    print_bool(out, comment.persistent);
    number(out, comment.expire_time);
    text(out, &comment.author);
    text(out, &comment.comment);
}

/// Appends the arguments of a downtime.
pub(super) fn print_downtime(object: &ObjectName, downtime: &Downtime, out: &mut Vec<u8>) {
    let (fixed, began) = match downtime.kind {
        DowntimeKind::Fixed => (true, UnixTime::NEVER),
        DowntimeKind::Flexible { began } => (false, began.unwrap_or(UnixTime::NEVER)),
    };
    print_object(object, out);
    number(out, downtime.id);
    number(out, downtime.entry_time);
    number(out, downtime.start_time);
    number(out, downtime.end_time);
    out.push(b';');
    print_bool(out, fixed);
    number(out, downtime.duration);
    number(out, began);
    text(out, &downtime.author);
    text(out, &downtime.comment);
}

/// Appends one host's check times. They are seconds before `time`.
pub(super) fn print_checked(host: &CheckedHost, time: i64, out: &mut Vec<u8>) {
    text(out, &host.host_name);
    number(out, format_args!("{:08x}", host.names));
    let mut separator = b';';
    for last_check in &host.last_checks {
        out.push(separator);
        separator = b',';
        if let Some(last_check) = last_check {
            let before = UnixTime::from_secs(time).micros() - last_check.micros();
            print_count(out, UnixTime::from_micros(before));
        }
    }
}

/// Reads the arguments of one of these commands; `None` if it is another one.
pub(super) fn parse(
    name: &[u8],
    arguments: &[u8],
    time: UnixTime,
) -> Option<Result<Record, Error>> {
    let fields = Fields(arguments.split(|b| *b == b';'));
    let record = if name == COMMENT.as_bytes() {
        parse_comment(fields)
    } else if name == DOWNTIME.as_bytes() {
        parse_downtime(fields)
    } else if name == COMMENT_GONE.as_bytes() {
        parse_id(fields).map(Record::CommentGone)
    } else if name == DOWNTIME_GONE.as_bytes() {
        parse_id(fields).map(Record::DowntimeGone)
    } else if name == CHECKED.as_bytes() {
        parse_checked(fields, time)
    } else {
        return None;
    };
    Some(record.ok_or_else(|| Error::BadRecord {
        object: excerpt(name, 40),
        what: format!("cannot be read: '{}'", excerpt(arguments, 80)),
    }))
}

fn parse_comment<'l>(mut fields: Fields<impl Iterator<Item = &'l [u8]>>) -> Option<Record> {
    let object = fields.object()?;
    let comment = Comment {
        id: fields.count()?,
        entry_type: EntryType::from_code(fields.count()?.try_into().ok()?)?,
        entry_time: fields.time()?,
        persistent: parse_bool(fields.next()?)?,
        expire_time: fields.time()?,
        author: unescape(fields.next()?),
        comment: unescape(fields.next()?),
    };
    Some(Record::Comment(object, comment))
}

fn parse_downtime<'l>(mut fields: Fields<impl Iterator<Item = &'l [u8]>>) -> Option<Record> {
    let object = fields.object()?;
    let id = fields.count()?;
    let (entry_time, start_time, end_time) = (fields.time()?, fields.time()?, fields.time()?);
    let fixed = parse_bool(fields.next()?)?;
    let duration = fields.count()?.try_into().ok()?;
    let began = fields.time()?;
    let kind = if fixed {
        DowntimeKind::Fixed
    } else {
        DowntimeKind::Flexible {
            began: (!began.is_never()).then_some(began),
        }
    };
    let downtime = Downtime {
        id,
        author: unescape(fields.next()?),
        comment: unescape(fields.next()?),
        entry_time,
        start_time,
        end_time,
        duration,
        kind,
    };
    Some(Record::Downtime(object, downtime))
}

fn parse_id<'l>(mut fields: Fields<impl Iterator<Item = &'l [u8]>>) -> Option<u64> {
    fields.count()
}

fn parse_checked<'l>(
    mut fields: Fields<impl Iterator<Item = &'l [u8]>>,
    time: UnixTime,
) -> Option<Record> {
    let mut hosts = Vec::new();
    while let Some(host_name) = fields.next() {
        let names = fields.next()?;
        if host_name.is_empty() || names.len() != 8 {
            return None;
        }
        let names = u32::from_str_radix(names.to_str().ok()?, 16).ok()?;
        let last_checks = fields.next()?.split(|b| *b == b',').map(|before| {
            if before.is_empty() {
                return Some(None);
            }
            let last_check = time
                .micros()
                .checked_sub(UnixTime::parse(before)?.micros())?;
            Some(Some(UnixTime::from_micros(last_check)))
        });
        hosts.push(CheckedHost {
            host_name: unescape(host_name),
            names,
            last_checks: last_checks.collect::<Option<_>>()?,
        });
    }
    (!hosts.is_empty()).then_some(Record::Checked(hosts))
}

/// The arguments of a command, one after the other.
struct Fields<I>(I);

impl<'l, I: Iterator<Item = &'l [u8]>> Fields<I> {
    fn next(&mut self) -> Option<&'l [u8]> {
        self.0.next()
    }

    fn count(&mut self) -> Option<u64> {
        parse_count(self.0.next()?)
    }

    fn time(&mut self) -> Option<UnixTime> {
        parse_time(self.0.next()?)
    }

    fn object(&mut self) -> Option<ObjectName> {
        let (host_name, service) = (unescape(self.0.next()?), unescape(self.0.next()?));
        (!host_name.is_empty()).then_some(ObjectName {
            host_name,
            service_description: (!service.is_empty()).then_some(service),
        })
    }
}

fn print_object(object: &ObjectName, out: &mut Vec<u8>) {
    text(out, &object.host_name);
    text(
        out,
        object
            .service_description
            .as_ref()
            .map_or(&b""[..], |name| name),
    );
}

fn number(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    out.push(b';');
    print_count(out, number);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b';');
    escape(out, text);
}

/// What to say of a record that is too long.
pub(super) fn too_long(object: &[u8]) -> Error {
    Error::BadRecord {
        object: excerpt(object, 200),
        what: format!("it does not fit in a line of {MAX_LINE} bytes"),
    }
}
