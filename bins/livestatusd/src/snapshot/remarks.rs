//! Comments and downtimes as lines of a snapshot.

use bstr::{BString, ByteSlice};
use objects::UnixTime;

use crate::annotations::{Comment, Downtime, DowntimeKind, EntryType, Origin};
use crate::field::{escape, unescape};
use crate::owners::Owner;
use crate::store::Saved;

const COMMENT: &[u8] = b"# comment ";
const DOWNTIME: &[u8] = b"# downtime ";

/// Appends the line of a comment.
pub(super) fn print_comment(
    host_name: &BString,
    service_description: Option<&BString>,
    comment: &Comment,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(COMMENT);
    number(comment.id, out);
    text(host_name, out);
    text(service_description.map_or(&b""[..], |name| name), out);
    number(comment.entry_type.code(), out);
    number(comment.entry_time, out);
    number(u8::from(comment.persistent), out);
    text(&comment.author, out);
    text(&comment.comment, out);
    number(comment.expire_time, out);
    origin(comment.origin, out);
    end_line(out);
}

/// Appends the line of a downtime.
pub(super) fn print_downtime(
    host_name: &BString,
    service_description: Option<&BString>,
    downtime: &Downtime,
    out: &mut Vec<u8>,
) {
    let began = match downtime.kind {
        DowntimeKind::Fixed => None,
        DowntimeKind::Flexible { began } | DowntimeKind::Triggered { began, .. } => began,
    };
    out.extend_from_slice(DOWNTIME);
    number(downtime.id, out);
    text(host_name, out);
    text(service_description.map_or(&b""[..], |name| name), out);
    number(downtime.entry_time, out);
    number(downtime.start_time, out);
    number(downtime.end_time, out);
    number(u8::from(downtime.is_fixed()), out);
    number(downtime.duration, out);
    number(began.unwrap_or(UnixTime::NEVER), out);
    text(&downtime.author, out);
    text(&downtime.comment, out);
    number(downtime.triggered_by(), out);
    number(downtime.comment_id, out);
    number(u8::from(downtime.has_begun), out);
    origin(downtime.origin, out);
    end_line(out);
}

/// Reads such a line. `None` if it is another one, `Some(None)` if it is wrong.
pub(super) fn parse(line: &[u8]) -> Option<Option<Saved>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if let Some(fields) = line.strip_prefix(COMMENT) {
        return Some(parse_comment(Fields(fields.split(is_separator))));
    }
    let fields = line.strip_prefix(DOWNTIME)?;
    Some(parse_downtime(Fields(fields.split(is_separator))))
}

fn is_separator(b: &u8) -> bool {
    *b == b';'
}

fn parse_comment<'l>(mut fields: Fields<impl Iterator<Item = &'l [u8]>>) -> Option<Saved> {
    let id = u64::try_from(fields.number()?).ok()?;
    let owner = fields.owner()?;
    let comment = Comment {
        id,
        entry_type: EntryType::from_code(fields.number()?)?,
        entry_time: fields.time()?,
        persistent: fields.number()? != 0,
        author: fields.text()?,
        comment: fields.text()?,
        // Missing before the third format, as are those at the end of a downtime.
        expire_time: fields.time_or_never()?,
        origin: fields.origin()?,
    };
    Some(Saved::Comment(owner, comment))
}

fn parse_downtime<'l>(mut fields: Fields<impl Iterator<Item = &'l [u8]>>) -> Option<Saved> {
    let id = u64::try_from(fields.number()?).ok()?;
    let owner = fields.owner()?;
    let (entry_time, start_time, end_time) = (fields.time()?, fields.time()?, fields.time()?);
    let fixed = fields.number()? != 0;
    let duration = fields.number()?;
    let began = Some(fields.time()?).filter(|began| !began.is_never());
    let (author, comment) = (fields.text()?, fields.text()?);
    let kind = match fields.id_or_none()? {
        0 if fixed => DowntimeKind::Fixed,
        0 => DowntimeKind::Flexible { began },
        by => DowntimeKind::Triggered { by, fixed, began },
    };
    let downtime = Downtime {
        id,
        author,
        comment,
        entry_time,
        start_time,
        end_time,
        duration,
        kind,
        comment_id: fields.id_or_none()?,
        has_begun: fields.id_or_none()? != 0,
        origin: fields.origin()?,
    };
    Some(Saved::Downtime(owner, downtime))
}

/// The fields of a line, one after the other.
struct Fields<I>(I);

impl<'l, I: Iterator<Item = &'l [u8]>> Fields<I> {
    fn number(&mut self) -> Option<i64> {
        self.0.next()?.to_str().ok()?.parse().ok()
    }

    fn time(&mut self) -> Option<UnixTime> {
        UnixTime::parse(self.0.next()?)
    }

    fn text(&mut self) -> Option<BString> {
        Some(unescape(self.0.next()?))
    }

    fn time_or_never(&mut self) -> Option<UnixTime> {
        self.0.next().map_or(Some(UnixTime::NEVER), UnixTime::parse)
    }

    fn id_or_none(&mut self) -> Option<u64> {
        let Some(id) = self.0.next() else {
            return Some(0);
        };
        id.to_str().ok()?.parse().ok()
    }

    fn origin(&mut self) -> Option<Origin> {
        match self.0.next() {
            None | Some(b"") => Some(Origin::Here),
            Some(id) => Some(Origin::Site {
                id: id.to_str().ok()?.parse().ok()?,
                dump: 0,
            }),
        }
    }

    fn owner(&mut self) -> Option<Owner> {
        let (host_name, service) = (self.text()?, self.text()?);
        Some(Owner {
            host_name,
            service_description: (!service.is_empty()).then_some(service),
        })
    }
}

fn number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{number};").as_bytes());
}

/// The id that it has at its site; nothing if it was given here.
fn origin(origin: Origin, out: &mut Vec<u8>) {
    match origin {
        Origin::Here => out.push(b';'),
        Origin::Site { id, .. } => number(id, out),
    }
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    escape(text, out);
    out.push(b';');
}

fn end_line(out: &mut Vec<u8>) {
    out.pop();
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_read() {
        for (service, text, kind) in [
            (None, "", DowntimeKind::Fixed),
            (
                Some(BString::from("Disk C:\\new;\n")),
                "a;b \\s \\\\ \u{e9}",
                DowntimeKind::Flexible { began: None },
            ),
            (
                Some(BString::from(&b"\xff"[..])),
                "x",
                DowntimeKind::Flexible {
                    began: Some(UnixTime::from_micros(7_500_000)),
                },
            ),
            (
                None,
                "y",
                DowntimeKind::Triggered {
                    by: 3,
                    fixed: true,
                    began: None,
                },
            ),
        ] {
            let comment = Comment {
                id: 7,
                author: "me; myself".into(),
                comment: text.into(),
                entry_time: UnixTime::from_micros(1_795_217_983_500_000),
                entry_type: EntryType::Acknowledgement,
                persistent: true,
                expire_time: UnixTime::from_secs(5),
                origin: Origin::Here,
            };
            let downtime = Downtime {
                id: u64::from(u32::MAX),
                author: "me".into(),
                comment: text.into(),
                entry_time: UnixTime::from_secs(1),
                start_time: UnixTime::from_secs(2),
                end_time: UnixTime::from_secs(3),
                duration: 4,
                kind,
                comment_id: 6,
                has_begun: true,
                origin: Origin::Site { id: 9, dump: 0 },
            };
            let (mut line, host) = (Vec::new(), BString::from("h;1"));
            print_comment(&host, service.as_ref(), &comment, &mut line);
            let Some(Some(Saved::Comment(owner, read))) = parse(&line) else {
                panic!("{:?}", line.as_bstr());
            };
            assert_eq!(
                (&owner.host_name, &owner.service_description),
                (&host, &service)
            );
            assert_eq!(read, comment);
            line.clear();
            print_downtime(&host, service.as_ref(), &downtime, &mut line);
            let Some(Some(Saved::Downtime(owner, read))) = parse(&line) else {
                panic!("{:?}", line.as_bstr());
            };
            assert_eq!(
                (&owner.host_name, &owner.service_description),
                (&host, &service)
            );
            assert_eq!(read, downtime);
        }
    }

    #[test]
    fn lines_of_the_second_format_are_read() {
        let Some(Some(Saved::Comment(_, comment))) = parse(b"# comment 1;h;;1;1;1;a;b\n") else {
            panic!("not read");
        };
        assert_eq!(comment.expire_time, UnixTime::NEVER);
        assert_eq!(comment.origin, Origin::Here);
        let line = b"# downtime 1;h;s;1;2;3;0;4;0;a;b\n";
        let Some(Some(Saved::Downtime(_, downtime))) = parse(line) else {
            panic!("not read");
        };
        assert_eq!(downtime.kind, DowntimeKind::Flexible { began: None });
        assert_eq!((downtime.comment_id, downtime.has_begun), (0, false));
    }

    #[test]
    fn other_lines_are_others_and_wrong_ones_are_wrong() {
        assert!(parse(b"# site a\n").is_none());
        for line in [
            "# comment ",
            "# comment x;h;;1;1;1;a;b",
            "# comment 1;h;;5;1;1;a;b",
            "# comment 1;h;;1;1;1;a;b;x",
            "# comment 1;h;;1;1;1;a;b;0;x",
            "# comment 1;h;;1;1;1;a",
            "# downtime 1;h;;1;2;3;1;4;0;a",
        ] {
            assert!(matches!(parse(line.as_bytes()), Some(None)), "{line}");
        }
    }
}
