//! The comment lines that make a check result a complete state.

use bstr::{BString, ByteSlice};
use objects::{
    AcknowledgementType, Comment, Downtime, DowntimeKind, EntryType, StateType, UnixTime,
};

use super::Full;

const FULL: &[u8] = b"# full ";
const ACKNOWLEDGEMENT: &[u8] = b"# acknowledgement ";
const DOWNTIME: &[u8] = b"# downtime ";
/// Most comments and downtimes of an object.
const MAX_ANNOTATIONS: usize = 1000;

/// Appends the lines.
pub(super) fn print(full: &Full, out: &mut Vec<u8>) {
    out.extend_from_slice(FULL);
    let mut line = Line {
        out,
        separator: b"",
    };
    let flag = u32::from;
    line.word("has_been_checked", flag(full.has_been_checked));
    line.word("state_type", flag(full.state_type == StateType::Hard));
    line.word("current_attempt", full.current_attempt);
    line.word("max_check_attempts", full.max_check_attempts);
    line.word("last_state_change", full.last_state_change);
    line.word("last_hard_state_change", full.last_hard_state_change);
    line.word("is_flapping", flag(full.is_flapping));
    line.number("percent_state_change", full.percent_state_change);
    let acknowledgement = AcknowledgementType::code(full.acknowledgement);
    line.word("acknowledgement_type", acknowledgement);
    line.word("scheduled_downtime_depth", full.scheduled_downtime_depth);
    line.number("staleness", full.staleness);
    out.push(b'\n');
    for comment in &full.acknowledgement_comments {
        out.extend_from_slice(ACKNOWLEDGEMENT);
        put(
            out,
            format_args!(
                "{};{};{};{};",
                comment.id,
                comment.entry_time,
                u8::from(comment.persistent),
                comment.expire_time
            ),
        );
        push_texts(out, [&comment.author, &comment.comment]);
    }
    for downtime in &full.downtimes {
        out.extend_from_slice(DOWNTIME);
        put(
            out,
            format_args!(
                "{};{};{};{};{};{};",
                downtime.id,
                downtime.entry_time,
                downtime.start_time,
                downtime.end_time,
                u8::from(downtime.kind == DowntimeKind::Fixed),
                downtime.duration
            ),
        );
        push_texts(out, [&downtime.author, &downtime.comment]);
    }
}

struct Line<'o> {
    out: &'o mut Vec<u8>,
    separator: &'static [u8],
}

impl Line<'_> {
    fn word(&mut self, key: &str, value: impl std::fmt::Display) {
        self.out.extend_from_slice(self.separator);
        self.separator = b" ";
        put(self.out, format_args!("{key}={value}"));
    }

    /// A number that is not known is left out.
    fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.word(key, value);
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    out.write_fmt(text).expect("a vector takes everything");
}

/// As in state dumps of commands. The `;` behind the last keeps a backslash off
/// the end of the line.
fn push_texts(out: &mut Vec<u8>, texts: [&BString; 2]) {
    for text in texts {
        for byte in text.iter() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b';' => out.extend_from_slice(b"\\s"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0 => {}
                other => out.push(*other),
            }
        }
        out.push(b';');
    }
    out.push(b'\n');
}

fn read_text(raw: &[u8]) -> Result<BString, String> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find_byte(b'\\') {
        text.extend_from_slice(&rest[..at]);
        text.push(match rest.get(at + 1) {
            Some(b'\\') => b'\\',
            Some(b'n') => b'\n',
            Some(b's') => b';',
            Some(b'r') => b'\r',
            _ => return Err("a text has a backslash that begins no escape".to_owned()),
        });
        rest = &rest[at + 2..];
    }
    text.extend_from_slice(rest);
    Ok(text.into())
}

/// Reads a comment line, if it is one of ours. Annotations of an object follow
/// the line that makes its state complete.
pub(super) fn read(line: &[u8], full: &mut Option<Full>) -> Result<(), String> {
    if let Some(words) = line.strip_prefix(FULL) {
        if full.is_some() {
            return Err("a second `# full`".to_owned());
        }
        *full = Some(read_words(words)?);
        return Ok(());
    }
    let annotation = line
        .strip_prefix(ACKNOWLEDGEMENT)
        .map(|fields| (fields, true))
        .or_else(|| line.strip_prefix(DOWNTIME).map(|fields| (fields, false)));
    let Some((fields, is_comment)) = annotation else {
        return Ok(());
    };
    let full = full.as_mut().ok_or("an annotation before `# full`")?;
    if full.acknowledgement_comments.len() + full.downtimes.len() == MAX_ANNOTATIONS {
        return Err(format!("more than {MAX_ANNOTATIONS} annotations"));
    }
    let mut fields = Fields(fields.split(|b| *b == b';'));
    if is_comment {
        full.acknowledgement_comments.push(fields.comment()?);
    } else {
        full.downtimes.push(fields.downtime()?);
    }
    Ok(())
}

fn read_words(words: &[u8]) -> Result<Full, String> {
    let mut full = Full::default();
    for word in words.split(|b| *b == b' ').take(100) {
        let Some((key, value)) = word.split_once_str("=") else {
            return Err(format!("{:?} is not KEY=VALUE", word.as_bstr()));
        };
        let wrong = || format!("{} cannot be {:?}", key.as_bstr(), value.as_bstr());
        let flag = || match value {
            b"0" => Ok(false),
            b"1" => Ok(true),
            _ => Err(wrong()),
        };
        let count = || number::<u32>(value).ok_or_else(wrong);
        let time = || UnixTime::parse(value).ok_or_else(wrong);
        let float = || {
            let number = number::<f64>(value).filter(|number| number.is_finite());
            number.ok_or_else(wrong).map(Some)
        };
        match key {
            b"has_been_checked" => full.has_been_checked = flag()?,
            b"state_type" => {
                full.state_type = if flag()? {
                    StateType::Hard
                } else {
                    StateType::Soft
                };
            }
            b"current_attempt" => full.current_attempt = count()?,
            b"max_check_attempts" => full.max_check_attempts = count()?,
            b"last_state_change" => full.last_state_change = time()?,
            b"last_hard_state_change" => full.last_hard_state_change = time()?,
            b"is_flapping" => full.is_flapping = flag()?,
            b"percent_state_change" => full.percent_state_change = float()?,
            b"acknowledgement_type" => {
                full.acknowledgement = match value {
                    b"0" => None,
                    b"1" => Some(AcknowledgementType::Normal),
                    b"2" => Some(AcknowledgementType::Sticky),
                    _ => return Err(wrong()),
                }
            }
            b"scheduled_downtime_depth" => full.scheduled_downtime_depth = count()?,
            b"staleness" => full.staleness = float()?,
            // Of a later release.
            _ => {}
        }
    }
    Ok(full)
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    value.to_str().ok()?.parse().ok()
}

/// The fields of an annotation.
struct Fields<I>(I);

impl<'a, I: Iterator<Item = &'a [u8]>> Fields<I> {
    fn comment(&mut self) -> Result<Comment, String> {
        Ok(Comment {
            id: self.number()?,
            entry_time: self.time()?,
            entry_type: EntryType::Acknowledgement,
            persistent: self.number::<u8>()? != 0,
            expire_time: self.time()?,
            author: self.text()?,
            comment: self.text()?,
        })
    }

    fn downtime(&mut self) -> Result<Downtime, String> {
        Ok(Downtime {
            id: self.number()?,
            entry_time: self.time()?,
            start_time: self.time()?,
            end_time: self.time()?,
            kind: match self.number::<u8>()? {
                0 => DowntimeKind::Flexible { began: None },
                _ => DowntimeKind::Fixed,
            },
            duration: self.number()?,
            author: self.text()?,
            comment: self.text()?,
        })
    }

    fn next(&mut self) -> Result<&'a [u8], String> {
        let missing = || "an annotation has too few fields".to_owned();
        self.0.next().ok_or_else(missing)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let field = self.next()?;
        number(field).ok_or_else(|| format!("{:?} is not a number", field.as_bstr()))
    }

    fn time(&mut self) -> Result<UnixTime, String> {
        let field = self.next()?;
        UnixTime::parse(field).ok_or_else(|| format!("{:?} is not a time", field.as_bstr()))
    }

    fn text(&mut self) -> Result<BString, String> {
        read_text(self.next()?)
    }
}
