//! The two comment lines that frame a dump in a format of Nagios or Checkmk,
//! described in sitewire-dump(5).
//!
//! To Python, Nagios and Naemon they are comments; to us they tell whether the
//! file is whole.

use std::fmt::Write as _;
use std::io::{self, Write};

use bstr::ByteSlice;
use objects::dump::FORMAT;
use objects::{DumpBegin, DumpContent, DumpEnd, DumpMode, SiteId, UnixTime};

use crate::Error;
use crate::python::Position;

const BEGIN: &[u8] = b"# sitewire ";
const END: &[u8] = b"# sitewire-end ";
/// Begins a line behind the last one, by which somebody vouches for the rest.
const SIGNATURE: &[u8] = b"# sitewire-signature ";
/// Longest hash of a configuration, in digits.
const MAX_HASH: usize = 128;

/// Looks for the marks around a text and checks that they fit the bytes between
/// them. `None` if there are none. Whether the number of records is right is
/// known only after reading.
pub fn check(bytes: &[u8]) -> Result<Option<(DumpBegin, DumpEnd)>, Error> {
    let bytes = without_signature(bytes);
    let (first, rest) = split_line(bytes);
    if !first.starts_with(BEGIN) {
        return Ok(None);
    }
    let damaged = |at: usize, what: String| Error::Damaged {
        at: Position::of(bytes, at),
        what,
    };
    let begin = parse_begin(first).map_err(|what| damaged(0, what))?;
    if begin.content != DumpContent::Configuration {
        let what = "this is a dump of states, not of a configuration";
        return Err(damaged(0, what.to_owned()));
    }
    let last_at = last_line(bytes);
    let last = &bytes[last_at..];
    let Some(last) = last
        .strip_suffix(b"\n")
        .filter(|last| last.starts_with(END))
    else {
        let what = "the end mark is missing: the file was cut short, or something follows the mark";
        return Err(damaged(last_at, what.to_owned()));
    };
    let end = parse_end(last, begin.sequence).map_err(|what| damaged(last_at, what))?;
    let body = &rest[..rest.len() - (last.len() + 1)];
    let found = crc32c::crc32c(body);
    if found != end.crc32c {
        let what = format!(
            "the end mark gives the checksum {:08x}, but the text has {found:08x}: it was changed",
            end.crc32c
        );
        return Err(damaged(last_at, what));
    }
    Ok(Some((begin, end)))
}

/// Whether a line says how a dump begins.
pub(crate) fn is_begin(line: &[u8]) -> bool {
    line.starts_with(BEGIN)
}

/// Whether a line says how a dump ends.
pub(crate) fn is_end(line: &[u8]) -> bool {
    line.starts_with(END)
}

/// The first line, without line feed.
pub(crate) fn begin_line(begin: &DumpBegin) -> String {
    let mut line = format!(
        "# sitewire {FORMAT} {} site={} seq={} epoch={}",
        begin.content.word(),
        begin.site,
        begin.sequence,
        begin.epoch
    );
    let written = match begin.mode {
        DumpMode::Full => write!(line, " mode=full time={}", begin.time),
        DumpMode::Delta { base } => write!(line, " mode=delta base={base} time={}", begin.time),
    };
    written.expect("memory takes all");
    if let Some(hash) = &begin.config_hash {
        line.push_str(" config=");
        line.push_str(hash);
    }
    line
}

/// The last line, without line feed.
pub(crate) fn end_line(end: &DumpEnd) -> String {
    format!(
        "# sitewire-end records={} crc32c={:08x}",
        end.records, end.crc32c
    )
}

/// Prints the first line.
pub(crate) fn print_begin(out: &mut dyn Write, begin: &DumpBegin) -> io::Result<()> {
    writeln!(out, "{}", begin_line(begin))
}

/// Prints the last line.
pub(crate) fn print_end(out: &mut dyn Write, end: &DumpEnd) -> io::Result<()> {
    writeln!(out, "{}", end_line(end))
}

/// Whether a line is a signature.
pub(crate) fn is_signature(line: &[u8]) -> bool {
    line.starts_with(SIGNATURE)
}

fn without_signature(bytes: &[u8]) -> &[u8] {
    let last = last_line(bytes);
    if is_signature(&bytes[last..]) {
        &bytes[..last]
    } else {
        bytes
    }
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_once_str(b"\n").unwrap_or((bytes, b""))
}

/// Where the last line begins; a line feed at the end belongs to it.
fn last_line(bytes: &[u8]) -> usize {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    text.rfind_byte(b'\n').map_or(0, |newline| newline + 1)
}

/// Reads the first line.
pub(crate) fn parse_begin(line: &[u8]) -> Result<DumpBegin, String> {
    let words = Words::new(&line[BEGIN.len()..]);
    let format = words.word(0);
    if parse_number(format) != Some(u64::from(FORMAT)) {
        return Err(format!(
            "the dump has format {:?}, this release reads {FORMAT}",
            format.as_bstr()
        ));
    }
    let content = words.word(1);
    let content = DumpContent::from_word(content)
        .ok_or_else(|| format!("a dump of {:?} is not known here", content.as_bstr()))?;
    let site = words.value("site")?;
    let site = site.to_str().ok().and_then(|site| SiteId::new(site).ok());
    let mode = match words.value("mode")? {
        b"full" => DumpMode::Full,
        b"delta" => DumpMode::Delta {
            base: words.number("base")?,
        },
        other => return Err(format!("mode {:?} is unknown", other.as_bstr())),
    };
    Ok(DumpBegin {
        site: site.ok_or("the mark's `site` is not a site id")?,
        content,
        epoch: words.number("epoch")?,
        sequence: words.number("seq")?,
        mode,
        time: UnixTime::parse(words.value("time")?).ok_or("the mark's `time` is not a time")?,
        config_hash: words.config_hash()?,
    })
}

/// What the first line says behind `KEY=`, if it does.
pub(crate) fn begin_word<'a>(line: &'a [u8], key: &str) -> Option<&'a [u8]> {
    Words::new(&line[BEGIN.len()..]).value(key).ok()
}

/// Reads the last line.
pub(crate) fn parse_end(line: &[u8], sequence: u64) -> Result<DumpEnd, String> {
    let words = Words::new(&line[END.len()..]);
    let crc32c = words.value("crc32c")?;
    let crc32c = (crc32c.len() == 8)
        .then(|| u32::from_str_radix(crc32c.to_str().ok()?, 16).ok())
        .flatten()
        .ok_or("the end mark's `crc32c` is not a checksum")?;
    Ok(DumpEnd {
        sequence,
        records: words.number("records")?,
        crc32c,
    })
}

/// The words of a mark; those that we do not know are left for later releases.
struct Words<'a>(Vec<&'a [u8]>);

impl<'a> Words<'a> {
    fn new(line: &'a [u8]) -> Self {
        // A mark has a handful of words; a longer line is somebody's joke.
        let words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
        Self(words.take(64).collect())
    }

    fn word(&self, index: usize) -> &'a [u8] {
        self.0.get(index).copied().unwrap_or_default()
    }

    fn value(&self, key: &str) -> Result<&'a [u8], String> {
        self.0
            .iter()
            .find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
            .ok_or_else(|| format!("the mark has no `{key}`"))
    }

    fn config_hash(&self) -> Result<Option<String>, String> {
        let Ok(hash) = self.value("config") else {
            return Ok(None);
        };
        let is_hash = hash.len() <= MAX_HASH && hash.iter().all(u8::is_ascii_hexdigit);
        match hash.to_str() {
            Ok(hash) if is_hash => Ok(Some(hash.to_owned())),
            _ => Err("the mark's `config` is not a hash".to_owned()),
        }
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        parse_number(self.value(key)?).ok_or_else(|| format!("the mark's `{key}` is not a number"))
    }
}

fn parse_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    text.to_str().ok().filter(|_| digits)?.parse().ok()
}
