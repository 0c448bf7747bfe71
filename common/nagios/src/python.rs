//! Python literals: read without evaluating anything, and printed as Python's
//! `ascii()` prints them.
//!
//! Strings are bytes here. Bytes that are not UTF-8 stand in the text as the
//! escapes `\udc80` to `\udcff`, one per byte, which is what Python makes of
//! such bytes itself (PEP 383), so that Checkmk's loader and ours read the
//! same string.

mod number;
mod pretty;
mod reader;
mod statements;
mod text;

use std::fmt;

use bstr::{BString, ByteSlice};

use crate::Error;
pub(crate) use reader::Reader;
pub use statements::parse_assignments;

/// A value that a literal can have.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` and `False`.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// `'...'`
    Str(BString),
    /// `b'...'`
    Bytes(BString),
    /// `[...]`
    List(Vec<Value>),
    /// `(...)`
    Tuple(Vec<Value>),
    /// `{...}`, in the order of the text, equal elements not merged.
    Set(Vec<Value>),
    /// `{...: ...}`, in the order of the text, equal keys not merged.
    Dict(Vec<(Value, Value)>),
}

/// How much is read before giving up. Memory used is bounded by these, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Longest string in it, in bytes.
    pub string: usize,
    /// Most values, counting those inside others.
    pub values: usize,
    /// Deepest nesting of brackets.
    pub depth: usize,
}

impl Default for Limits {
    /// Enough for a million services, not enough to fill a machine.
    fn default() -> Self {
        Self {
            bytes: 1 << 29,
            string: 1 << 20,
            values: 50_000_000,
            depth: 32,
        }
    }
}

/// A place in a text, counted from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character in the line.
    pub column: usize,
}

impl Position {
    /// The place of the byte `at` of `bytes`.
    pub(crate) fn of(bytes: &[u8], at: usize) -> Self {
        let before = &bytes[..at.min(bytes.len())];
        let line_start = before.rfind_byte(b'\n').map_or(0, |newline| newline + 1);
        let continues = |b: &&u8| **b & 0xc0 != 0x80;
        Self {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + before[line_start..].iter().filter(continues).count(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Value {
    /// Reads a text that is one literal, as Python's `ast.literal_eval` does.
    ///
    /// Not read, although Python would: complex numbers, `...`, tuples without
    /// parentheses, `\N{...}`, and whole numbers beyond 64 bits.
    pub fn parse(text: &[u8], limits: Limits) -> Result<Self, Error> {
        let mut reader = Reader::new(text, limits)?;
        reader.skip_blank_lines()?;
        let value = reader.value()?;
        reader.skip_blank_lines()?;
        if !reader.is_at_end() {
            return Err(reader.unexpected("the end of the text"));
        }
        Ok(value)
    }

    /// Appends the value as Python's `ascii()` prints it.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.extend(b"None"),
            Self::Bool(true) => out.extend(b"True"),
            Self::Bool(false) => out.extend(b"False"),
            Self::Int(number) => out.extend(number.to_string().bytes()),
            Self::Float(number) => number::print_float(*number, out),
            Self::Str(string) => text::print_str(string, out),
            Self::Bytes(bytes) => text::print_bytes(bytes, out),
            Self::List(items) => print_items(b"[", items, b"]", out),
            Self::Tuple(items) if items.len() == 1 => print_items(b"(", items, b",)", out),
            Self::Tuple(items) => print_items(b"(", items, b")", out),
            Self::Set(items) if items.is_empty() => out.extend(b"set()"),
            Self::Set(items) => print_items(b"{", items, b"}", out),
            Self::Dict(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.extend(b", ");
                    }
                    key.print(out);
                    out.extend(b": ");
                    value.print(out);
                }
                out.push(b'}');
            }
        }
    }

    /// Appends the value as Python's `pprint.pformat()` prints it: over as many
    /// lines as it needs, dicts sorted, characters that can be shown as they are.
    pub fn print_pretty(&self, out: &mut Vec<u8>) {
        pretty::print(self, out);
    }

    /// What Python calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Dict(_) => "dict",
        }
    }

    /// Whether Python would take it as a key of a dict.
    fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Set(_) | Self::Dict(_) => false,
            Self::Tuple(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }
}

/// Appends a string literal.
pub fn print_str(string: &[u8], out: &mut Vec<u8>) {
    text::print_str(string, out);
}

/// Appends a float literal.
pub fn print_float(number: f64, out: &mut Vec<u8>) {
    number::print_float(number, out);
}

fn print_items(open: &[u8], items: &[Value], close: &[u8], out: &mut Vec<u8>) {
    out.extend(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        item.print(out);
    }
    out.extend(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value, Error> {
        Value::parse(text.as_bytes(), Limits::default())
    }

    fn reprinted(text: &str) -> String {
        let mut out = Vec::new();
        parse(text)
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
            .print(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn literals_are_read_and_printed_as_python_prints_them() {
        for (text, want) in [
            ("None", "None"),
            ("True", "True"),
            ("-5", "-5"),
            ("+ 5", "5"),
            ("0x_ff", "255"),
            ("0o17", "15"),
            ("0B11", "3"),
            ("00", "0"),
            ("1_000", "1000"),
            ("-9223372036854775808", "-9223372036854775808"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1e3", "1000.0"),
            ("012.5", "12.5"),
            ("'a'", "'a'"),
            ("\"it's\"", "\"it's\""),
            (r#"'it\'s "x"'"#, r#"'it\'s "x"'"#),
            ("'a' \"b\"  'c'", "'abc'"),
            ("u'ä'", r"'\xe4'"),
            (r"'\xe4\u20ac\U0001f600'", r"'\xe4\u20ac\U0001f600'"),
            (r"'\udce4\udcf6'", r"'\udce4\udcf6'"),
            (
                r"'\a\b\f\n\r\t\v\\\0\101\q'",
                r"'\x07\x08\x0c\n\r\t\x0b\\\x00A\\q'",
            ),
            (r"r'\n\''", r#""\\n\\'""#),
            (r"b'\xff\u20ac'", r"b'\xff\\u20ac'"),
            (r"Rb'\xff'", r"b'\\xff'"),
            ("'''a\n'b''c'''", r#""a\n'b''c""#),
            ("\"\"\"a\r\nb\"\"\"", r"'a\nb'"),
            ("'a\\\nb'", "'ab'"),
            ("()", "()"),
            ("(1)", "1"),
            ("(1,)", "(1,)"),
            ("[1, 2,\n # comment\n 3,]", "[1, 2, 3]"),
            ("{1, 2}", "{1, 2}"),
            ("set()", "set()"),
            ("{}", "{}"),
            ("{'a': 1, (1, 2): [],}", "{'a': 1, (1, 2): []}"),
            ("('a'\n'b')", "'ab'"),
            ("1 # comment", "1"),
            ("\n1\n\n", "1"),
        ] {
            assert_eq!(reprinted(text), want, "{text:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, want) in [
            ("", "1:1: expected a value, found the end of the text"),
            (
                "[1, 2",
                "1:6: expected `,` or `]`, found the end of the text",
            ),
            ("[1 2]", "1:4: expected `,` or `]`, found `2`"),
            ("{'a': }", "1:7: expected a value, found `}`"),
            ("{'a': 1, 2}", "1:11: expected `:`, found `}`"),
            ("{[]: 1}", "1:2: a list cannot be a key"),
            ("'abc", "1:1: this string has no end"),
            ("'ä\n'", "1:1: this string has no end in its line"),
            ("'''ab", "1:1: this string has no end"),
            (r"'\x4'", "1:2: \\x wants 2 hexadecimal digits"),
            (r"'\U00110000'", "1:2: \\U00110000 is not a character"),
            (r"'\N{BULLET}'", "1:2: \\N{...} is not read"),
            ("f'{x}'", "1:1: an f-string is not a literal"),
            ("'a' b'b'", "1:5: a string and bytes cannot be joined"),
            ("b'ä'", "1:3: bytes hold ASCII characters only"),
            ("ur'x'", "1:1: `ur` is not a prefix of a string"),
            (
                "os.system('x')",
                "1:1: `os` is not a literal, and nothing else is read",
            ),
            ("012", "1:1: a number may not begin with 0"),
            ("1__0", "1:1: this is not a number"),
            ("0x", "1:1: this is not a number"),
            ("1e", "1:1: this is not a number"),
            ("1j", "1:1: complex numbers are not read"),
            (
                "9223372036854775808",
                "1:1: this number has more than 64 bits",
            ),
            ("- 'a'", "1:3: expected a number, found `'`"),
            ("\n\n  1 2", "3:5: expected the end of the text, found `2`"),
            ("[1]\u{0}", "1:4: a NUL byte"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            bytes: 40,
            string: 5,
            values: 6,
            depth: 3,
        };
        for (text, want) in [
            ("[[[1]]]", None),
            ("[[[[1]]]]", Some("brackets are nested deeper than 3")),
            ("'abcde'", None),
            ("'abcdef'", Some("a string is longer than 5 bytes")),
            ("'abc' 'def'", Some("a string is longer than 5 bytes")),
            ("[1,2,3,4,5]", None),
            ("[1,2,3,4,5,6]", Some("more than 6 values")),
            (
                "[                                          ]",
                Some("44 bytes, more than 40 are not read"),
            ),
        ] {
            let result = Value::parse(text.as_bytes(), limits);
            match want {
                None => assert!(result.is_ok(), "{text}: {result:?}"),
                Some(want) => assert!(
                    result.as_ref().unwrap_err().to_string().ends_with(want),
                    "{text}: {result:?}"
                ),
            }
        }
        let deep = "[".repeat(1_000_000);
        assert!(matches!(parse(&deep), Err(Error::Limit { .. })));
    }

    #[test]
    fn every_byte_survives_printing_and_reading() {
        let all: BString = (0..=255u8).collect::<Vec<_>>().into();
        for value in [Value::Str(all.clone()), Value::Bytes(all)] {
            let mut out = Vec::new();
            value.print(&mut out);
            assert!(out.is_ascii());
            assert_eq!(Value::parse(&out, Limits::default()), Ok(value));
        }
    }
}
