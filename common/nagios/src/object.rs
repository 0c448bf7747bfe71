//! Object configuration of Nagios and Naemon: `define KIND {`, a directive a
//! line, `}`. Printing, with the frame of a dump, and reading.
//!
//! ```text
//! # sitewire 1 config site=remote1 seq=1795217983000000 epoch=0 mode=full time=1795217983
//! define host {
//!   use                livedump-host
//!   host_name          db1
//! }
//!
//! # sitewire-end records=1 crc32c=89ab12cd
//! ```
//!
//! A `;` in a value would begin a comment and is written `\;`; a backslash at
//! the end would continue the line and is doubled. Other backslashes stay as
//! they are. Blanks around a value are lost, and it cannot have line feeds.

use std::io::{self, Write};

use bstr::{BString, ByteSlice};
use objects::{DumpBegin, DumpEnd};

use crate::python::Position;
use crate::{Error, frame};

/// Longest line, with those that continue it.
const MAX_LINE: usize = 1 << 20;
/// Most directives of one object.
const MAX_DIRECTIVES: usize = 200;
/// Where values begin, counted from where directives begin.
const VALUE_COLUMN: usize = 19;

/// What Nagios and Naemon do not take in names, as Debian configures them.
pub const ILLEGAL_CHARACTERS: &str = "`~!$%^&*|'\"<>?,()=";

/// A name with `_` in the place of what is `illegal` in it, ASCII only.
pub fn legal_name(name: &[u8], illegal: &str) -> BString {
    let replace = |byte: &u8| match illegal.as_bytes().contains(byte) {
        true => b'_',
        false => *byte,
    };
    name.iter().map(replace).collect::<Vec<u8>>().into()
}

/// One object as it is written, without any notion of what it means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definition {
    /// The word behind `define`.
    pub kind: BString,
    /// The line it begins in, from 1.
    pub line: usize,
    /// Its directives in the order of the text.
    pub directives: Vec<Directive>,
}

/// One directive of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directive {
    /// The line it stands in, from 1.
    pub line: usize,
    /// The word it begins with.
    pub key: BString,
    /// The rest of the line; may be empty.
    pub value: BString,
}

/// Appends one object with an empty line behind it. Directives without a value
/// are left out: the cores do not start with them.
pub fn print<'v>(
    kind: &str,
    directives: impl IntoIterator<Item = (&'v [u8], &'v [u8])>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"define ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b" {\n");
    for (key, value) in directives {
        if !value.is_empty() {
            out.extend_from_slice(b"  ");
            out.extend_from_slice(key);
            let blanks = VALUE_COLUMN.saturating_sub(key.len()).max(1);
            out.extend(std::iter::repeat_n(b' ', blanks));
            push_value(out, value);
            out.push(b'\n');
        }
    }
    out.extend_from_slice(b"}\n\n");
}

fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b';' => out.extend_from_slice(b"\\;"),
            b'\n' | b'\r' | 0 => out.push(b' '),
            other => out.push(*other),
        }
    }
    if value.ends_with(b"\\") {
        out.push(b'\\');
    }
}

/// Prints a configuration dump: objects in their frame.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    end: DumpEnd,
}

impl<W: Write> Printer<W> {
    /// Prints what comes before the first object.
    pub fn new(mut out: W, begin: &DumpBegin) -> io::Result<Self> {
        frame::print_begin(&mut out, begin)?;
        let end = DumpEnd {
            sequence: begin.sequence,
            records: 0,
            crc32c: 0,
        };
        Ok(Self { out, end })
    }

    /// Prints objects that [`print()`] has made, of which so many
    /// count as records: hosts and services, but not templates, groups and such.
    pub fn objects(&mut self, text: &[u8], records: u64) -> io::Result<()> {
        self.end.records += records;
        self.end.crc32c = crc32c::crc32c_append(self.end.crc32c, text);
        self.out.write_all(text)
    }

    /// Prints the end, without which nobody takes the dump, and flushes.
    pub fn finish(mut self) -> io::Result<DumpEnd> {
        frame::print_end(&mut self.out, &self.end)?;
        self.out.flush()?;
        Ok(self.end)
    }
}

/// Reads a text that is object definitions and comments and nothing else, object
/// by object. After an error nothing comes.
pub fn definitions(text: &[u8]) -> impl Iterator<Item = Result<Definition, Error>> {
    let mut lines = Lines {
        rest: text,
        number: 0,
    };
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let read = definition(&mut lines).transpose();
        failed = matches!(read, Some(Err(_)));
        read
    })
}

fn definition(lines: &mut Lines<'_>) -> Result<Option<Definition>, Error> {
    let Some((line, text)) = lines.next()? else {
        return Ok(None);
    };
    let kind = text
        .strip_prefix(b"define")
        .and_then(|rest| rest.strip_suffix(b"{"))
        .filter(|kind| kind.first().is_some_and(u8::is_ascii_whitespace));
    let Some(kind) = kind.map(<[u8]>::trim_ascii).filter(|kind| !kind.is_empty()) else {
        let shown = text.get(..40).unwrap_or(&text).as_bstr();
        let what = format!("expected `define KIND {{`, found {shown:?}: nothing else is read");
        return Err(syntax(line, what));
    };
    let mut definition = Definition {
        kind: kind.into(),
        line,
        directives: Vec::new(),
    };
    loop {
        let Some((line, text)) = lines.next()? else {
            let what = "the object has no end: the file was cut".to_owned();
            return Err(syntax(lines.number, what));
        };
        if text == "}" {
            return Ok(Some(definition));
        }
        if definition.directives.len() == MAX_DIRECTIVES {
            let what = format!("an object with more than {MAX_DIRECTIVES} directives");
            return Err(limit(line, what));
        }
        let end = text.find_byteset(b" \t").unwrap_or(text.len());
        definition.directives.push(Directive {
            line,
            key: text[..end].into(),
            value: text[end..].trim_ascii().into(),
        });
    }
}

fn syntax(line: usize, what: String) -> Error {
    let at = Position { line, column: 1 };
    Error::Syntax { at, what }
}

fn limit(line: usize, what: String) -> Error {
    let at = Position { line, column: 1 };
    Error::Limit { at, what }
}

/// Lines as the cores make them: continued behind a backslash, without blanks
/// around, without comments.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl Lines<'_> {
    /// The next line that says something, and its number.
    fn next(&mut self) -> Result<Option<(usize, BString)>, Error> {
        while !self.rest.is_empty() {
            let number = self.number + 1;
            let line = self.joined()?;
            let line = without_comment(line.trim_ascii());
            if !line.is_empty() {
                return Ok(Some((number, line)));
            }
        }
        Ok(None)
    }

    /// One line, with those that continue it.
    fn joined(&mut self) -> Result<BString, Error> {
        let mut joined = BString::default();
        let mut is_first = true;
        loop {
            let (line, rest) = self.rest.split_once_str(b"\n").unwrap_or((self.rest, b""));
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.rest = rest;
            self.number += 1;
            let line = if is_first {
                line
            } else {
                line.trim_ascii_start()
            };
            is_first = false;
            if joined.len() + line.len() > MAX_LINE {
                let what = format!("a line of more than {MAX_LINE} bytes");
                return Err(limit(self.number, what));
            }
            joined.extend_from_slice(line);
            // Of two backslashes at the end one is taken away, and that is all.
            if !line.ends_with(b"\\") {
                return Ok(joined);
            }
            joined.pop();
            if line.ends_with(b"\\\\") || self.rest.is_empty() {
                return Ok(joined);
            }
        }
    }
}

fn without_comment(line: &[u8]) -> BString {
    if line.starts_with(b"#") {
        return BString::default();
    }
    let mut out = BString::default();
    for byte in line {
        if *byte == b';' && !out.ends_with(b"\\") {
            break;
        }
        if *byte == b';' {
            out.pop();
        }
        out.push(*byte);
    }
    let end = out.trim_ascii_end().len();
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<Definition>, Error> {
        definitions(text).collect()
    }

    fn values(text: &str) -> Vec<(String, String)> {
        let directives = read(text.as_bytes()).unwrap().into_iter();
        let all = directives.flat_map(|definition| definition.directives);
        all.map(|directive| (directive.key.to_string(), directive.value.to_string()))
            .collect()
    }

    #[test]
    fn objects_are_read_as_the_cores_read_them() {
        let text = "# comment\n; comment\n\ndefine host{\r\n\thost_name  a b ; tail\n  alias x \\; y\n \
                    host_groups one,\\\n     two\n  description Drive C:\\\\\n contacts\n}\n";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            values(text),
            [
                pair("host_name", "a b"),
                pair("alias", "x ; y"),
                pair("host_groups", "one,two"),
                pair("description", "Drive C:\\"),
                pair("contacts", ""),
            ]
        );
        assert_eq!(read(text.as_bytes()).unwrap()[0].directives[3].line, 9);
    }

    #[test]
    fn an_object_looks_like_this() {
        let mut out = Vec::new();
        let directives = [
            ("use", "livedump-service"),
            ("service_description", "a;b C:\\"),
            ("hostgroups", ""),
        ];
        print(
            "service",
            directives.map(|(key, value)| (key.as_bytes(), value.as_bytes())),
            &mut out,
        );
        let want = "define service {\n  use                livedump-service\n  \
                    service_description a\\;b C:\\\\\n}\n\n";
        assert_eq!(out.as_bstr(), want);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, want) in [
            (
                "x\n",
                "1:1: expected `define KIND {`, found \"x\": nothing else is read",
            ),
            (
                "\ncfg_file=/etc/x\n",
                "2:1: expected `define KIND {`, found \"cfg_file=/etc/x\": nothing else is read",
            ),
            (
                "definehost {\n}\n",
                "1:1: expected `define KIND {`, found \"definehost {\": nothing else is read",
            ),
            (
                "define host {\n host_name a\n",
                "2:1: the object has no end: the file was cut",
            ),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), want);
        }
        let long = format!("define host {{\n alias {}\n}}\n", "x".repeat(MAX_LINE));
        assert!(matches!(read(long.as_bytes()), Err(Error::Limit { .. })));
        let many = format!("define host {{\n{}}}\n", "a b\n".repeat(MAX_DIRECTIVES + 1));
        assert!(matches!(read(many.as_bytes()), Err(Error::Limit { .. })));
    }

    /// Values without what the format cannot carry.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            prop::sample::select(&b"\\\\;;#{} \t'\"=\xc3\xa4"[..]),
            any::<u8>()
        ];
        prop::collection::vec(byte, 0..20).prop_map(|mut value| {
            value.retain(|byte| !matches!(byte, b'\n' | b'\r' | 0));
            value.trim_ascii().to_vec()
        })
    }

    proptest! {
        #[test]
        fn what_was_printed_is_read(values in prop::collection::vec(value(), 0..5)) {
            let mut out = Vec::new();
            let directives = values.iter().map(|value| (&b"alias"[..], &value[..]));
            print("host", directives, &mut out);
            let read = read(&out).unwrap();
            prop_assert_eq!(read.len(), 1);
            let read: Vec<_> = read[0].directives.iter().map(|d| d.value.to_vec()).collect();
            let want: Vec<_> = values.into_iter().filter(|value| !value.is_empty()).collect();
            prop_assert_eq!(read, want);
        }
    }
}
