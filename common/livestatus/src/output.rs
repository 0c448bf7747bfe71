//! Answers: rows in csv or JSON, framed or not.

use std::io::{self, Write};

use crate::error::{Status, excerpt};
use crate::number::{push_float, push_int};
use crate::response::{HEAD_LEN, Head};
use crate::value::Value;

/// Longest text of an error: some clients drop longer ones.
const MAX_MESSAGE: usize = 298;

/// Form of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Values between separators, nothing quoted.
    #[default]
    Csv,
    /// `CSV`: everything quoted, after RFC 4180.
    QuotedCsv,
    /// A list of lists, in ASCII.
    Json,
    /// The same within an object that also has the names and the number of rows
    /// before `Offset` and `Limit`.
    WrappedJson,
    /// A list of lists for Python 2 and 3, in ASCII.
    Python,
    /// A list of lists for Python 3, in ASCII.
    Python3,
}

impl OutputFormat {
    pub(crate) const WORDS: [(&str, Self); 6] = [
        ("csv", Self::Csv),
        ("CSV", Self::QuotedCsv),
        ("json", Self::Json),
        ("wrapped_json", Self::WrappedJson),
        ("python", Self::Python),
        ("python3", Self::Python3),
    ];

    /// The word in the `OutputFormat` header.
    pub fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, format)| *format == self);
        known.expect("the table has all of them").0
    }

    /// The format of that word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        let known = Self::WORDS
            .iter()
            .find(|(known, _)| known.as_bytes() == word);
        known.map(|(_, format)| *format)
    }
}

/// What stands between the values of csv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// Ends a row.
    pub row: u8,
    /// Between cells.
    pub field: u8,
    /// Between elements of a list.
    pub list: u8,
    /// Between the parts of an element.
    pub part: u8,
}

impl Default for Separators {
    fn default() -> Self {
        Self {
            row: b'\n',
            field: b';',
            list: b',',
            part: b'|',
        }
    }
}

/// How cells look within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Form of the rows.
    pub format: OutputFormat,
    /// Separators of csv.
    pub separators: Separators,
}

impl Layout {
    /// Appends the cell at place `index` of its row, from 0.
    pub fn push_cell(self, out: &mut Vec<u8>, index: usize, value: &Value<'_>) {
        if index > 0 {
            out.push(match self.format {
                OutputFormat::Csv => self.separators.field,
                _ => b',',
            });
        }
        match self.format {
            OutputFormat::Csv => push_csv(out, value, self.separators, self.separators.list),
            OutputFormat::QuotedCsv => push_quoted_csv(out, value),
            OutputFormat::Json | OutputFormat::WrappedJson => push_literal(out, value, &JSON),
            OutputFormat::Python => push_literal(out, value, &PYTHON),
            OutputFormat::Python3 => push_literal(out, value, &PYTHON3),
        }
    }
}

/// Builds one answer: begin a row, give its cells, end the row, finish.
///
/// ```
/// use livestatus::{OutputFormat, RowWriter, Separators, Value};
///
/// let mut rows = RowWriter::new(OutputFormat::Json, Separators::default(), true);
/// rows.begin_row();
/// rows.cell(&Value::text("db1"));
/// rows.cell(&Value::Int(0));
/// rows.end_row();
/// assert_eq!(rows.finish(), b"200          12\n[[\"db1\",0]]\n");
/// ```
#[derive(Debug)]
pub struct RowWriter {
    layout: Layout,
    fixed16: bool,
    out: Vec<u8>,
    /// Bytes that have been taken out.
    taken: u64,
    ended: bool,
    /// Whether what stands before the first row has been written.
    opened: bool,
    /// Rows in `out`; in most formats the names are one.
    rows: u64,
    total: Option<u64>,
    cells: usize,
}

impl RowWriter {
    /// An answer in this form; `fixed16` puts the frame's header before it.
    pub fn new(format: OutputFormat, separators: Separators, fixed16: bool) -> Self {
        let mut out = Vec::with_capacity(4096);
        if fixed16 {
            // Filled in at the end, when the length is known.
            out.extend_from_slice(&[b' '; HEAD_LEN]);
        }
        Self {
            layout: Layout { format, separators },
            fixed16,
            out,
            taken: 0,
            ended: false,
            opened: false,
            rows: 0,
            total: None,
            cells: 0,
        }
    }

    /// The row of column names, before all others.
    pub fn names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        let names = names.into_iter().map(Value::text);
        if self.layout.format == OutputFormat::WrappedJson {
            self.out.extend_from_slice(b"{\"columns\":");
            push_literal(&mut self.out, &Value::List(names.collect()), &JSON);
            self.out.extend_from_slice(b",\"data\":[");
            self.opened = true;
            return;
        }
        self.begin_row();
        names.for_each(|name| self.cell(&name));
        self.end_row();
    }

    /// Begins a row.
    pub fn begin_row(&mut self) {
        self.open();
        if self.is_list() {
            let before: &[u8] = if self.rows == 0 { b"[" } else { b",\n[" };
            self.out.extend_from_slice(before);
        }
        self.rows += 1;
        self.cells = 0;
    }

    /// Adds a cell to the row.
    pub fn cell(&mut self, value: &Value<'_>) {
        self.layout.push_cell(&mut self.out, self.cells, value);
        self.cells += 1;
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        match self.layout.format {
            OutputFormat::Csv => self.out.push(self.layout.separators.row),
            OutputFormat::QuotedCsv => self.out.extend_from_slice(b"\r\n"),
            _ => self.out.push(b']'),
        }
    }

    /// Adds a row whose cells have been written before by a [`Layout`].
    pub fn row(&mut self, cells: &[u8]) {
        self.begin_row();
        self.out.extend_from_slice(cells);
        self.end_row();
    }

    /// How the cells look.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How many rows there are before `Offset` and `Limit`; without this, as many
    /// as were written.
    pub fn total(&mut self, rows: u64) {
        self.total = Some(rows);
    }

    /// Length of the answer so far, for a limit on it.
    pub fn size(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Bytes that are held here.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Writes what is held here to `sink`. An answer of which some has been taken
    /// out begins with a place for the frame's header, which [`end`](Self::end)
    /// gives.
    pub fn take_into(&mut self, sink: &mut impl Write) -> io::Result<()> {
        sink.write_all(&self.out)?;
        self.taken += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Ends the answer, and returns the frame's header if it has one.
    pub fn end(&mut self) -> Option<[u8; HEAD_LEN]> {
        if !self.ended {
            self.ended = true;
            self.open();
            if self.layout.format == OutputFormat::WrappedJson {
                self.out.extend_from_slice(b"],\"total_count\":");
                let total = self.total.unwrap_or(self.rows);
                push_int(&mut self.out, i64::try_from(total).unwrap_or(i64::MAX));
                self.out.extend_from_slice(b"}\n");
            } else if self.is_list() {
                self.out.extend_from_slice(b"]\n");
            }
        }
        let head = Head {
            status: Status::Ok.code(),
            length: self.size().saturating_sub(HEAD_LEN as u64),
        };
        self.fixed16.then(|| head.print())
    }

    /// The whole answer, ready to be sent in one write, if nothing has been taken
    /// out; else its rest.
    pub fn finish(mut self) -> Vec<u8> {
        let head = self.end();
        if let (Some(head), 0) = (head, self.taken) {
            self.out[..HEAD_LEN].copy_from_slice(&head);
        }
        self.out
    }

    fn open(&mut self) {
        if self.opened {
            return;
        }
        self.opened = true;
        if self.layout.format == OutputFormat::WrappedJson {
            self.out.extend_from_slice(b"{\"data\":[");
        } else if self.is_list() {
            self.out.push(b'[');
        }
    }

    fn is_list(&self) -> bool {
        !matches!(
            self.layout.format,
            OutputFormat::Csv | OutputFormat::QuotedCsv
        )
    }
}

/// The answer to a request that failed: with `fixed16` a frame with one line of
/// text, without it nothing at all, because a client would take text for data.
pub fn error(status: Status, message: &str, fixed16: bool) -> Vec<u8> {
    if !fixed16 {
        return Vec::new();
    }
    let text = excerpt(message.as_bytes(), MAX_MESSAGE);
    let head = Head {
        status: status.code(),
        length: text.len() as u64 + 1,
    };
    [&head.print()[..], text.as_bytes(), b"\n"].concat()
}

/// The answer to a command that was taken, with `fixed16`; success is silent
/// without it.
pub fn command_taken(fixed16: bool) -> Vec<u8> {
    let head = Head {
        status: Status::Ok.code(),
        length: 0,
    };
    if fixed16 {
        head.print().to_vec()
    } else {
        Vec::new()
    }
}

fn push_csv(out: &mut Vec<u8>, value: &Value<'_>, separators: Separators, between: u8) {
    match value {
        Value::Null => {}
        Value::Int(number) => push_int(out, *number),
        Value::Float(number) if number.is_finite() => push_float(out, *number),
        Value::Float(_) => {}
        Value::Text(text) => out.extend_from_slice(text),
        Value::Names(names) => {
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    out.push(between);
                }
                out.extend_from_slice(name);
            }
        }
        Value::List(elements) => {
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(between);
                }
                push_csv(out, element, separators, separators.part);
            }
        }
        Value::Dict(entries) => {
            for (index, (name, text)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(separators.list);
                }
                out.extend_from_slice(name);
                out.push(separators.part);
                out.extend_from_slice(text);
            }
        }
    }
}

/// A field in quotes, which are doubled within.
fn push_quoted_csv(out: &mut Vec<u8>, value: &Value<'_>) {
    out.push(b'"');
    let from = out.len();
    let separators = Separators::default();
    push_csv(out, value, separators, separators.list);
    if out[from..].contains(&b'"') {
        let text = out.split_off(from);
        for byte in text {
            out.push(byte);
            if byte == b'"' {
                out.push(byte);
            }
        }
    }
    out.push(b'"');
}

/// How a language writes down values.
struct Notation {
    null: &'static [u8],
    /// Begins a text.
    quote: &'static [u8],
    /// Whether characters above U+FFFF have an escape of their own.
    long_escapes: bool,
}

const JSON: Notation = Notation {
    null: b"null",
    quote: b"\"",
    long_escapes: false,
};

const PYTHON: Notation = Notation {
    null: b"None",
    quote: b"u\"",
    long_escapes: true,
};

const PYTHON3: Notation = Notation {
    null: b"None",
    quote: b"\"",
    long_escapes: true,
};

fn push_literal(out: &mut Vec<u8>, value: &Value<'_>, notation: &Notation) {
    match value {
        Value::Int(number) => push_int(out, *number),
        Value::Float(number) if number.is_finite() => push_float(out, *number),
        Value::Null | Value::Float(_) => out.extend_from_slice(notation.null),
        Value::Text(text) => push_text(out, text, notation),
        Value::Names(names) => {
            out.push(b'[');
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_text(out, name, notation);
            }
            out.push(b']');
        }
        Value::List(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_literal(out, element, notation);
            }
            out.push(b']');
        }
        Value::Dict(entries) => {
            out.push(b'{');
            for (index, (name, text)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_text(out, name, notation);
                out.push(b':');
                push_text(out, text, notation);
            }
            out.push(b'}');
        }
    }
}

/// Text in quotes, ASCII only: NagVis reads answers as Latin-1. Each invalid
/// sequence becomes U+FFFD.
fn push_text(out: &mut Vec<u8>, text: &[u8], notation: &Notation) {
    out.extend_from_slice(notation.quote);
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some(first) = special.first() else { break };
        if first.is_ascii() {
            match first {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *first]),
                _ => push_escape(out, u16::from(*first)),
            }
            rest = &special[1..];
        } else {
            let (decoded, size) = bstr::decode_utf8(special);
            let c = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
            if notation.long_escapes && c > '\u{ffff}' {
                out.extend_from_slice(format!("\\U{:08x}", u32::from(c)).as_bytes());
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_escape(out, *unit);
                }
            }
            rest = &special[size..];
        }
    }
    out.push(b'"');
}

/// How many bytes at the beginning stand for themselves in a literal.
fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    // Nearly all texts are plain from one end to the other: eight bytes at a time.
    for word in text.chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        if !is_plain(word) {
            break;
        }
        at += 8;
    }
    let special = text[at..].iter().position(|b| !is_plain_byte(*b));
    special.map_or(text.len(), |more| at + more)
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// Whether [`is_plain_byte`] holds for all eight.
fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // A byte of `word ^ x` is 0 where the byte is x, and only then can taking 1
    // from it set its high bit, unless it was set before.
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    (word | control | is(b'"') | is(b'\\') | is(0x7f)) & HIGH == 0
}

fn push_escape(out: &mut Vec<u8>, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bstr::{BStr, BString};

    use super::*;

    fn print(format: OutputFormat, rows: &[&[Value<'_>]]) -> BString {
        let mut writer = RowWriter::new(format, Separators::default(), false);
        for row in rows {
            writer.begin_row();
            for cell in *row {
                writer.cell(cell);
            }
            writer.end_row();
        }
        writer.finish().into()
    }

    #[test]
    fn cells_in_both_formats() {
        let names: [BString; 2] = ["a".into(), "b,c".into()];
        let dict = BTreeMap::from([
            ("SITE".into(), "berlin-7".into()),
            ("TAGS".into(), "/wan/ prod".into()),
        ]);
        let nested = Value::List(vec![
            Value::List(vec![Value::text("CPU"), Value::Int(1), Value::Null]),
            Value::List(vec![Value::text("Disk"), Value::Int(0), Value::Float(0.5)]),
        ]);
        for (value, json, csv) in [
            (Value::Null, "null", ""),
            (Value::Int(-7), "-7", "-7"),
            (Value::from(true), "1", "1"),
            (Value::Float(0.9), "0.9", "0.9"),
            (
                Value::Float(0.1 + 0.2),
                "0.30000000000000004",
                "0.30000000000000004",
            ),
            (Value::Float(1.0), "1.0", "1.0"),
            (Value::Float(f64::NAN), "null", ""),
            (Value::Float(f64::NEG_INFINITY), "null", ""),
            (Value::text("x;y"), "\"x;y\"", "x;y"),
            (Value::text(""), "\"\"", ""),
            (Value::Names(&names), "[\"a\",\"b,c\"]", "a,b,c"),
            (Value::Names(&[]), "[]", ""),
            (
                nested,
                "[[\"CPU\",1,null],[\"Disk\",0,0.5]]",
                "CPU|1|,Disk|0|0.5",
            ),
            (
                Value::Dict(&dict),
                "{\"SITE\":\"berlin-7\",\"TAGS\":\"/wan/ prod\"}",
                "SITE|berlin-7,TAGS|/wan/ prod",
            ),
        ] {
            assert_eq!(
                print(OutputFormat::Json, &[std::slice::from_ref(&value)]),
                format!("[[{json}]]\n")
            );
            assert_eq!(print(OutputFormat::Csv, &[&[value]]), format!("{csv}\n"));
        }
    }

    #[test]
    fn rows_in_both_formats() {
        let (a, b) = (
            [Value::text("a"), Value::Int(0)],
            [Value::text("b"), Value::Int(1)],
        );
        assert_eq!(print(OutputFormat::Json, &[]), "[]\n");
        assert_eq!(print(OutputFormat::Csv, &[]), "");
        assert_eq!(
            print(OutputFormat::Json, &[&a, &b]),
            "[[\"a\",0],\n[\"b\",1]]\n"
        );
        assert_eq!(print(OutputFormat::Csv, &[&a, &b]), "a;0\nb;1\n");
    }

    #[test]
    fn json_text_is_ascii_whatever_the_plugin_printed() {
        for (name, text, want) in [
            ("quotes", &b"a \" b \\ c"[..], r#"a \" b \\ c"#),
            (
                "control characters",
                b"\t\n\r\x00\x7f",
                r"\u0009\u000a\u000d\u0000\u007f",
            ),
            ("two bytes", "ä".as_bytes(), r"\u00e4"),
            ("three bytes", "€".as_bytes(), r"\u20ac"),
            ("four bytes", "\u{1f600}".as_bytes(), r"\ud83d\ude00"),
            ("latin 1", b"\xe4\xf6\xfc", r"\ufffd\ufffd\ufffd"),
            ("lead byte at the end", b"ab\xc3", r"ab\ufffd"),
            ("cut sequence is one", b"\xf0\x9f\x98x", r"\ufffdx"),
            ("lone surrogate", b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        ] {
            let got = print(OutputFormat::Json, &[&[Value::text(text)]]);
            assert_eq!(got, format!("[[\"{want}\"]]\n"), "{name}");
        }
    }

    #[test]
    fn csv_keeps_bytes_that_are_not_utf8() {
        let got = print(OutputFormat::Csv, &[&[Value::text(b"K\xfchl \xc3")]]);
        assert_eq!(got, BStr::new(b"K\xfchl \xc3\n"));
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut text = *b"abcdefghijklmnopqrst";
                text[at] = byte;
                let want = if is_plain_byte(byte) { 20 } else { at };
                assert_eq!(plain_prefix(&text), want, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn rows_in_every_format() {
        let null = Value::Null;
        let text = Value::text("a\"ä\u{1f600}\\");
        let list = Value::List(vec![
            Value::text("x"),
            Value::List(vec![Value::Int(1), Value::Int(2)]),
        ]);
        let row = [null, text, Value::Float(0.5), list];
        for (word, none, two) in [
            (
                "csv",
                "n;o\n",
                "n;o\n;a\"ä\u{1f600}\\;0.5;x,1|2\n;a\"ä\u{1f600}\\;0.5;x,1|2\n",
            ),
            (
                "CSV",
                "\"n\",\"o\"\r\n",
                "\"n\",\"o\"\r\n\"\",\"a\"\"ä\u{1f600}\\\",\"0.5\",\"x,1|2\"\r\n\"\",\"a\"\"ä\u{1f600}\\\",\"0.5\",\"x,1|2\"\r\n",
            ),
            (
                "json",
                "[[\"n\",\"o\"]]\n",
                r#"[["n","o"],
[null,"a\"\u00e4\ud83d\ude00\\",0.5,["x",[1,2]]],
[null,"a\"\u00e4\ud83d\ude00\\",0.5,["x",[1,2]]]]
"#,
            ),
            (
                "wrapped_json",
                "{\"columns\":[\"n\",\"o\"],\"data\":[],\"total_count\":7}\n",
                r#"{"columns":["n","o"],"data":[[null,"a\"\u00e4\ud83d\ude00\\",0.5,["x",[1,2]]],
[null,"a\"\u00e4\ud83d\ude00\\",0.5,["x",[1,2]]]],"total_count":7}
"#,
            ),
            (
                "python",
                "[[u\"n\",u\"o\"]]\n",
                r#"[[u"n",u"o"],
[None,u"a\"\u00e4\U0001f600\\",0.5,[u"x",[1,2]]],
[None,u"a\"\u00e4\U0001f600\\",0.5,[u"x",[1,2]]]]
"#,
            ),
            (
                "python3",
                "[[\"n\",\"o\"]]\n",
                r#"[["n","o"],
[None,"a\"\u00e4\U0001f600\\",0.5,["x",[1,2]]],
[None,"a\"\u00e4\U0001f600\\",0.5,["x",[1,2]]]]
"#,
            ),
        ] {
            let format = OutputFormat::from_word(word.as_bytes()).unwrap();
            assert_eq!(format.word(), word);
            for (rows, want) in [(0, none), (2, two)] {
                let mut writer = RowWriter::new(format, Separators::default(), false);
                writer.names(["n", "o"]);
                let mut cells = Vec::new();
                for (index, value) in row.iter().enumerate() {
                    writer.layout().push_cell(&mut cells, index, value);
                }
                (0..rows).for_each(|_| writer.row(&cells));
                writer.total(7);
                assert_eq!(BString::from(writer.finish()), want, "{word}");
            }
        }
        for (format, want) in [
            (
                OutputFormat::WrappedJson,
                "{\"data\":[[1]],\"total_count\":1}\n",
            ),
            (OutputFormat::Python3, "[[1]]\n"),
        ] {
            assert_eq!(print(format, &[&[Value::Int(1)]]), want);
        }
        assert_eq!(
            print(OutputFormat::WrappedJson, &[]),
            "{\"data\":[],\"total_count\":0}\n"
        );
    }

    #[test]
    fn an_answer_taken_out_in_pieces_is_the_same() {
        for (format, fixed16) in [
            (OutputFormat::Csv, false),
            (OutputFormat::Json, true),
            (OutputFormat::WrappedJson, true),
        ] {
            let mut whole = RowWriter::new(format, Separators::default(), fixed16);
            let mut parts = RowWriter::new(format, Separators::default(), fixed16);
            let mut taken = Vec::new();
            for row in [&b"1"[..], b"2", b"3"] {
                whole.row(row);
                parts.row(row);
                assert_eq!(parts.size(), whole.size());
                parts.take_into(&mut taken).unwrap();
                assert_eq!(parts.pending(), 0);
            }
            let head = parts.end();
            let size = parts.size();
            taken.extend(parts.finish());
            assert_eq!(taken.len() as u64, size);
            assert_eq!(head.is_some(), fixed16);
            if let Some(head) = head {
                taken[..HEAD_LEN].copy_from_slice(&head);
            }
            assert_eq!(taken, whole.finish());
        }
    }

    #[test]
    fn own_separators() {
        let separators = Separators {
            row: 0,
            field: 1,
            list: 2,
            part: 3,
        };
        let mut writer = RowWriter::new(OutputFormat::Csv, separators, false);
        writer.begin_row();
        writer.cell(&Value::Int(1));
        writer.cell(&Value::List(vec![
            Value::List(vec![Value::Int(2), Value::Int(3)]),
            Value::Int(4),
        ]));
        writer.end_row();
        assert_eq!(writer.finish(), b"1\x012\x033\x024\x00");
    }

    #[test]
    fn errors_are_one_short_line() {
        assert_eq!(error(Status::NotFound, "x", false), b"");
        assert_eq!(
            error(Status::NotFound, "no\nx", true),
            b"404           5\nno?x\n"
        );
        let long = error(Status::BadRequest, &"ä".repeat(1000), true);
        assert_eq!(long.len(), HEAD_LEN + MAX_MESSAGE + 1);
        assert_eq!(command_taken(true), b"200           0\n");
    }
}
