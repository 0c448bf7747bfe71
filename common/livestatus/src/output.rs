//! Answers: rows in csv or JSON, framed or not.

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
    /// A list of lists, in ASCII.
    Json,
}

impl OutputFormat {
    /// The word in the `OutputFormat` header.
    pub fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The format of that word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"csv" => Some(Self::Csv),
            b"json" => Some(Self::Json),
            _ => None,
        }
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
    format: OutputFormat,
    separators: Separators,
    fixed16: bool,
    out: Vec<u8>,
    rows: u64,
    cells: u64,
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
            format,
            separators,
            fixed16,
            out,
            rows: 0,
            cells: 0,
        }
    }

    /// The row of column names.
    pub fn names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.begin_row();
        for name in names {
            self.cell(&Value::text(name));
        }
        self.end_row();
    }

    /// Begins a row.
    pub fn begin_row(&mut self) {
        if self.format == OutputFormat::Json {
            let before: &[u8] = if self.rows == 0 { b"[[" } else { b",\n[" };
            self.out.extend_from_slice(before);
        }
        self.rows += 1;
        self.cells = 0;
    }

    /// Adds a cell to the row.
    pub fn cell(&mut self, value: &Value<'_>) {
        if self.cells > 0 {
            self.out.push(match self.format {
                OutputFormat::Json => b',',
                OutputFormat::Csv => self.separators.field,
            });
        }
        self.cells += 1;
        match self.format {
            OutputFormat::Json => push_json(&mut self.out, value),
            OutputFormat::Csv => {
                push_csv(&mut self.out, value, self.separators, self.separators.list);
            }
        }
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.out.push(match self.format {
            OutputFormat::Json => b']',
            OutputFormat::Csv => self.separators.row,
        });
    }

    /// Bytes so far, for a limit on the answer's size.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The whole answer, ready to be sent in one write.
    pub fn finish(mut self) -> Vec<u8> {
        if self.format == OutputFormat::Json {
            let end: &[u8] = if self.rows == 0 { b"[]\n" } else { b"]\n" };
            self.out.extend_from_slice(end);
        }
        if self.fixed16 {
            let head = Head {
                status: Status::Ok.code(),
                length: (self.out.len() - HEAD_LEN) as u64,
            };
            self.out[..HEAD_LEN].copy_from_slice(&head.print());
        }
        self.out
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

fn push_json(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Int(number) => push_int(out, *number),
        Value::Float(number) if number.is_finite() => push_float(out, *number),
        Value::Null | Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Text(text) => push_json_text(out, text),
        Value::Names(names) => {
            out.push(b'[');
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json_text(out, name);
            }
            out.push(b']');
        }
        Value::List(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(out, element);
            }
            out.push(b']');
        }
        Value::Dict(entries) => {
            out.push(b'{');
            for (index, (name, text)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json_text(out, name);
                out.push(b':');
                push_json_text(out, text);
            }
            out.push(b'}');
        }
    }
}

/// Whether a byte may stand in JSON text as it is.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0x20;
    while b < 0x7f {
        plain[b] = b != b'"' as usize && b != b'\\' as usize;
        b += 1;
    }
    plain
};

/// Text in quotes, ASCII only: NagVis reads answers as Latin-1. Each invalid
/// sequence becomes U+FFFD.
fn push_json_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest
            .iter()
            .position(|b| !PLAIN[usize::from(*b)])
            .unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(first) = rest.first() else { break };
        if first.is_ascii() {
            match first {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *first]),
                _ => push_escape(out, u16::from(*first)),
            }
            rest = &rest[1..];
        } else {
            let (decoded, size) = bstr::decode_utf8(rest);
            let c = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
            for unit in c.encode_utf16(&mut [0; 2]) {
                push_escape(out, *unit);
            }
            rest = &rest[size..];
        }
    }
    out.push(b'"');
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
