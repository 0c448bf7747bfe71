//! Reads literals out of a text, one value after the other.

use bstr::ByteSlice;

use super::{Limits, Position, Value, number, text};
use crate::Error;

/// A text and how far it has been read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    values: usize,
    /// Open brackets: inside of any, a line break is a blank.
    depth: usize,
    /// Where the first comment that looks like a frame's mark stands.
    mark: Option<usize>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Result<Self, Error> {
        if bytes.len() > limits.bytes {
            return Err(Error::Limit {
                at: Position { line: 1, column: 1 },
                what: format!(
                    "{} bytes, more than {} are not read",
                    bytes.len(),
                    limits.bytes
                ),
            });
        }
        let mut reader = Self {
            bytes,
            at: 0,
            limits,
            values: 0,
            depth: 0,
            mark: None,
        };
        if bytes.starts_with(b"\xef\xbb\xbf") {
            reader.at = 3;
        }
        Ok(reader)
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Where the first comment that looks like a frame's mark stands.
    pub(crate) fn mark(&self) -> Option<usize> {
        self.mark
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Steps over LF, CR LF or CR, which are all one line break.
    pub(super) fn advance_line_break(&mut self) {
        self.at += if self.rest().starts_with(b"\r\n") {
            2
        } else {
            1
        };
    }

    /// Reads one value.
    pub(crate) fn value(&mut self) -> Result<Value, Error> {
        self.skip_blanks()?;
        self.values += 1;
        if self.values > self.limits.values {
            return Err(self.limit(format!("more than {} values", self.limits.values)));
        }
        let Some(&first) = self.rest().first() else {
            return Err(self.unexpected("a value"));
        };
        match first {
            b'{' => self.braces(),
            b'[' => self.items(b']').map(|(items, _)| Value::List(items)),
            b'(' => self.parentheses(),
            b'0'..=b'9' => number::read(self, false),
            b'.' if self.rest().get(1).is_some_and(u8::is_ascii_digit) => number::read(self, false),
            b'+' | b'-' => self.signed(first == b'-'),
            _ if text::begins(self.rest()) => text::read(self),
            b if b.is_ascii_alphabetic() || b == b'_' || !b.is_ascii() => self.word(),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Reads a dict whose values `entry` reads: it gets each key, which must be
    /// a string, with its place. Memory is then bounded by one entry.
    pub(crate) fn dict(
        &mut self,
        mut entry: impl FnMut(&mut Self, Value, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open()?;
        loop {
            self.skip_blanks()?;
            if self.take(b'}') {
                break;
            }
            let at = self.at;
            let key = self.value()?;
            self.expect(b':', "`:`")?;
            self.skip_blanks()?;
            entry(self, key, at)?;
            self.skip_blanks()?;
            if !self.take(b',') {
                self.expect(b'}', "`,` or `}`")?;
                break;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads the argument of a call, which `argument` does, in parentheses.
    pub(crate) fn call<T>(
        &mut self,
        argument: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.skip_blanks()?;
        if self.rest().first() != Some(&b'(') {
            return Err(self.unexpected("`(`"));
        }
        self.open()?;
        self.skip_blanks()?;
        let value = argument(self)?;
        self.skip_blanks()?;
        self.take(b',');
        self.expect(b')', "`)`")?;
        self.depth -= 1;
        Ok(value)
    }

    fn braces(&mut self) -> Result<Value, Error> {
        self.open()?;
        let (mut entries, mut items) = (Vec::new(), Vec::new());
        loop {
            self.skip_blanks()?;
            if self.take(b'}') {
                break;
            }
            let at = self.at;
            let key = self.value()?;
            if !key.is_hashable() {
                return Err(self.syntax(at, format!("a {} cannot be a key", key.type_name())));
            }
            self.skip_blanks()?;
            // The first element decides whether this is a dict or a set.
            if items.is_empty() && (!entries.is_empty() || self.rest().first() == Some(&b':')) {
                self.expect(b':', "`:`")?;
                entries.push((key, self.value()?));
                self.skip_blanks()?;
            } else {
                items.push(key);
            }
            if !self.take(b',') {
                self.expect(b'}', "`,` or `}`")?;
                break;
            }
        }
        self.depth -= 1;
        Ok(if items.is_empty() {
            Value::Dict(entries)
        } else {
            Value::Set(items)
        })
    }

    fn parentheses(&mut self) -> Result<Value, Error> {
        let (mut items, comma) = self.items(b')')?;
        Ok(match items.pop() {
            Some(only) if items.is_empty() && !comma => only,
            last => {
                items.extend(last);
                Value::Tuple(items)
            }
        })
    }

    /// Reads a bracket with its values; also tells whether there was a comma.
    fn items(&mut self, close: u8) -> Result<(Vec<Value>, bool), Error> {
        self.open()?;
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            self.skip_blanks()?;
            if self.take(close) {
                break;
            }
            items.push(self.value()?);
            self.skip_blanks()?;
            if !self.take(b',') {
                self.expect(
                    close,
                    if close == b']' {
                        "`,` or `]`"
                    } else {
                        "`,` or `)`"
                    },
                )?;
                break;
            }
            comma = true;
        }
        self.depth -= 1;
        Ok((items, comma))
    }

    fn signed(&mut self, negative: bool) -> Result<Value, Error> {
        self.advance(1);
        self.skip_blanks()?;
        match self.rest() {
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => number::read(self, negative),
            _ => Err(self.unexpected("a number")),
        }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let start = self.at;
        let word = self.take_name();
        Ok(match word {
            b"None" => Value::None,
            b"True" => Value::Bool(true),
            b"False" => Value::Bool(false),
            b"set" => {
                // The only way to write an empty set.
                self.expect(b'(', "`(`")?;
                self.expect(b')', "`)`")?;
                Value::Set(Vec::new())
            }
            _ => {
                let word = word.as_bstr();
                let what = format!("`{word}` is not a literal, and nothing else is read");
                return Err(self.syntax(start, what));
            }
        })
    }

    /// Takes the name that begins here; empty if none does.
    pub(crate) fn take_name(&mut self) -> &'a [u8] {
        let name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || !b.is_ascii();
        let length = self.rest().iter().take(64).take_while(|b| name(b)).count();
        let word = &self.rest()[..length];
        self.advance(length);
        word
    }

    /// Takes `byte` if it is the next one.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.rest().first() == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, name: &str) -> Result<(), Error> {
        self.skip_blanks()?;
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected(name))
        }
    }

    /// Steps over an opening bracket.
    fn open(&mut self) -> Result<(), Error> {
        if self.depth == self.limits.depth {
            let what = format!("brackets are nested deeper than {}", self.limits.depth);
            return Err(self.limit(what));
        }
        self.depth += 1;
        self.advance(1);
        Ok(())
    }

    /// Skips blanks, and inside of brackets line breaks and comments.
    pub(crate) fn skip_blanks(&mut self) -> Result<(), Error> {
        loop {
            match self.rest() {
                [b' ' | b'\t' | b'\x0c', ..] => self.advance(1),
                [b'\\', b'\n' | b'\r', ..] => {
                    self.advance(1);
                    self.advance_line_break();
                }
                [b'\n' | b'\r', ..] if self.depth > 0 => self.advance_line_break(),
                [b'#', ..] if self.depth > 0 => self.skip_comment()?,
                [0, ..] => return Err(self.syntax(self.at, "a NUL byte")),
                _ => return Ok(()),
            }
        }
    }

    /// Skips blank lines and comments between statements.
    pub(crate) fn skip_blank_lines(&mut self) -> Result<(), Error> {
        self.depth += 1;
        let result = self.skip_blanks();
        self.depth -= 1;
        result
    }

    /// Reads what ends a statement: a semicolon, a line break, a comment or
    /// the end of the text.
    pub(crate) fn end_statement(&mut self) -> Result<(), Error> {
        self.skip_blanks()?;
        match self.rest() {
            [] => Ok(()),
            [b';', ..] => {
                self.advance(1);
                Ok(())
            }
            [b'\n' | b'\r' | b'#', ..] => self.skip_blank_lines(),
            _ => Err(self.unexpected("the end of the statement")),
        }
    }

    fn skip_comment(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        if rest.starts_with(b"# sitewire") && self.mark.is_none() {
            self.mark = Some(self.at);
        }
        let length = rest.find_byteset(b"\r\n").unwrap_or(rest.len());
        if let Some(nul) = rest[..length].find_byte(0) {
            return Err(self.syntax(self.at + nul, "a NUL byte"));
        }
        self.advance(length);
        Ok(())
    }

    pub(super) fn check_string(&self, length: usize) -> Result<(), Error> {
        if length > self.limits.string {
            let what = format!("a string is longer than {} bytes", self.limits.string);
            return Err(self.limit(what));
        }
        Ok(())
    }

    /// The place of a byte, for errors.
    pub(crate) fn position(&self, at: usize) -> Position {
        Position::of(self.bytes, at)
    }

    pub(crate) fn syntax(&self, at: usize, what: impl Into<String>) -> Error {
        Error::Syntax {
            at: self.position(at),
            what: what.into(),
        }
    }

    fn limit(&self, what: String) -> Error {
        Error::Limit {
            at: self.position(self.at),
            what,
        }
    }

    /// An error at the present place.
    pub(crate) fn unexpected(&self, wanted: &str) -> Error {
        let found = match self.rest().chars().next() {
            None => "the end of the text".to_owned(),
            Some('\n' | '\r') => "the end of the line".to_owned(),
            Some(c) if c.is_control() => format!("the character {}", c.escape_unicode()),
            Some(c) => format!("`{c}`"),
        };
        self.syntax(self.at, format!("expected {wanted}, found {found}"))
    }
}
