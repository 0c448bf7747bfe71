//! Strings in Python's notation: prefixes, quotes, escapes.

use bstr::ByteSlice;

use super::{Reader, Value};
use crate::Error;

/// Whether a string begins here, perhaps with a prefix.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let letters = bytes
        .iter()
        .take(4)
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    letters < 4 && matches!(bytes.get(letters), Some(b'\'' | b'"'))
}

/// Reads a string and those that follow it, which Python joins.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Value, Error> {
    let mut out = Vec::new();
    let is_bytes = read_one(reader, &mut out)?;
    loop {
        reader.skip_blanks()?;
        if !begins(reader.rest()) {
            break;
        }
        let at = reader.at();
        if read_one(reader, &mut out)? != is_bytes {
            return Err(reader.syntax(at, "a string and bytes cannot be joined"));
        }
    }
    Ok(if is_bytes {
        Value::Bytes(out.into())
    } else {
        Value::Str(out.into())
    })
}

#[derive(Clone, Copy)]
struct Kind {
    raw: bool,
    bytes: bool,
}

fn read_one(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
    let start = reader.at();
    let letters = reader
        .rest()
        .iter()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    let prefix = reader.rest()[..letters].to_ascii_lowercase();
    let kind = match prefix.as_slice() {
        b"" | b"u" => Kind {
            raw: false,
            bytes: false,
        },
        b"r" => Kind {
            raw: true,
            bytes: false,
        },
        b"b" => Kind {
            raw: false,
            bytes: true,
        },
        b"br" | b"rb" => Kind {
            raw: true,
            bytes: true,
        },
        b"f" | b"fr" | b"rf" => return Err(reader.syntax(start, "an f-string is not a literal")),
        other => {
            let what = format!("`{}` is not a prefix of a string", other.as_bstr());
            return Err(reader.syntax(start, what));
        }
    };
    reader.advance(letters);
    let quote = reader.rest()[0];
    let triple = reader.rest().starts_with(&[quote; 3]);
    reader.advance(if triple { 3 } else { 1 });
    body(reader, kind, quote, triple, start, out)?;
    Ok(kind.bytes)
}

/// Reads up to and including the closing quotes.
fn body(
    reader: &mut Reader<'_>,
    kind: Kind,
    quote: u8,
    triple: bool,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    loop {
        let plain = reader
            .rest()
            .iter()
            .position(|b| *b == quote || matches!(b, b'\\' | b'\n' | b'\r' | 0))
            .ok_or_else(|| reader.syntax(start, "this string has no end"))?;
        if kind.bytes
            && let Some(at) = reader.rest()[..plain].iter().position(|b| !b.is_ascii())
        {
            return Err(reader.syntax(reader.at() + at, "bytes hold ASCII characters only"));
        }
        out.extend(&reader.rest()[..plain]);
        reader.check_string(out.len())?;
        reader.advance(plain);
        match reader.rest()[0] {
            b'\\' => escape(reader, kind, start, out)?,
            0 => return Err(reader.syntax(reader.at(), "a NUL byte")),
            b'\n' | b'\r' if !triple => {
                return Err(reader.syntax(start, "this string has no end in its line"));
            }
            b'\n' | b'\r' => {
                out.push(b'\n');
                reader.advance_line_break();
            }
            _ if !triple => {
                reader.advance(1);
                return Ok(());
            }
            _ if reader.rest().starts_with(&[quote; 3]) => {
                reader.advance(3);
                return Ok(());
            }
            _ => {
                out.push(quote);
                reader.advance(1);
            }
        }
    }
}

/// Reads the backslash here and what belongs to it.
fn escape(
    reader: &mut Reader<'_>,
    kind: Kind,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let at = reader.at();
    let Some(&letter) = reader.rest().get(1) else {
        return Err(reader.syntax(start, "this string has no end"));
    };
    reader.advance(1);
    if matches!(letter, b'\n' | b'\r') {
        // In a raw string backslash and line break stay what they are.
        if kind.raw {
            out.extend(b"\\\n");
        }
        reader.advance_line_break();
        return Ok(());
    }
    if kind.raw {
        out.push(b'\\');
        // A quote behind a backslash does not end a raw string; anything else
        // is read by the loop.
        if matches!(letter, b'\'' | b'"' | b'\\') {
            out.push(letter);
            reader.advance(1);
        }
        return Ok(());
    }
    let plain = match letter {
        b'\\' | b'\'' | b'"' => letter,
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'0'..=b'7' => {
            let rest = reader.rest();
            let digits = rest.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7'));
            let (mut code, mut length) = (0, 0);
            for digit in digits {
                code = code * 8 + u32::from(digit - b'0');
                length += 1;
            }
            reader.advance(length);
            push_code(code, kind, out);
            return Ok(());
        }
        b'x' => return hexadecimal(reader, at, 2, kind, out),
        b'u' if !kind.bytes => return hexadecimal(reader, at, 4, kind, out),
        b'U' if !kind.bytes => return hexadecimal(reader, at, 8, kind, out),
        b'N' if !kind.bytes => return Err(reader.syntax(at, "\\N{...} is not read")),
        _ => {
            // Python keeps an escape that it does not know.
            out.push(b'\\');
            return Ok(());
        }
    };
    out.push(plain);
    reader.advance(1);
    Ok(())
}

fn hexadecimal(
    reader: &mut Reader<'_>,
    at: usize,
    digits: usize,
    kind: Kind,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let letter = char::from(reader.rest()[0]);
    let code = reader
        .rest()
        .get(1..=digits)
        .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        .and_then(|hex| u32::from_str_radix(hex.to_str().ok()?, 16).ok())
        .ok_or_else(|| {
            reader.syntax(at, format!("\\{letter} wants {digits} hexadecimal digits"))
        })?;
    if code > 0x10_ffff {
        return Err(reader.syntax(at, format!("\\U{code:08x} is not a character")));
    }
    reader.advance(1 + digits);
    push_code(code, kind, out);
    Ok(())
}

/// Appends what an escape stands for: in bytes the byte, in a string the
/// character in UTF-8, or the byte that a surrogate escape stands for.
fn push_code(code: u32, kind: Kind, out: &mut Vec<u8>) {
    let low = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    if kind.bytes || (0xdc80..=0xdcff).contains(&code) {
        out.push(code as u8);
    } else if let Some(c) = char::from_u32(code) {
        out.extend(c.encode_utf8(&mut [0; 4]).bytes());
    } else {
        // Any other surrogate is not text to anybody, but two different ones
        // must stay different.
        out.extend([0xe0 | (code >> 12) as u8, low(6), low(0)]);
    }
}

/// Appends a string as `ascii()` prints it.
pub(super) fn print_str(string: &[u8], out: &mut Vec<u8>) {
    let quote = quote_for(string);
    out.push(quote);
    for chunk in string.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(special) = rest.bytes().position(|b| needs_escape(b, quote)) {
            out.extend(&rest.as_bytes()[..special]);
            let c = rest[special..].chars().next().unwrap_or_default();
            print_escape(u32::from(c), out);
            rest = &rest[special + c.len_utf8()..];
        }
        out.extend(rest.as_bytes());
        for byte in chunk.invalid() {
            print_escape(0xdc00 + u32::from(*byte), out);
        }
    }
    out.push(quote);
}

/// Appends a string as `repr()` prints it: as `ascii()` does, but characters
/// that can be shown stay what they are.
pub(super) fn print_repr(string: &[u8], out: &mut Vec<u8>) {
    print_characters(&characters(string), out);
}

/// The characters of a string as Python has them: bytes that are not UTF-8 are
/// lone surrogates.
pub(super) fn characters(string: &[u8]) -> Vec<u32> {
    let mut characters = Vec::with_capacity(string.len());
    for chunk in string.utf8_chunks() {
        characters.extend(chunk.valid().chars().map(u32::from));
        characters.extend(chunk.invalid().iter().map(|byte| 0xdc00 + u32::from(*byte)));
    }
    characters
}

/// Appends characters as `repr()` prints them.
pub(super) fn print_characters(characters: &[u32], out: &mut Vec<u8>) {
    let quote = quote_of(characters);
    out.push(quote);
    for code in characters {
        match char::from_u32(*code).filter(|c| is_shown(*c, quote)) {
            Some(c) => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            None => print_escape(*code, out),
        }
    }
    out.push(quote);
}

/// How many characters [`print_characters`] appends.
pub(super) fn width_of_repr(characters: &[u32]) -> usize {
    let quote = quote_of(characters);
    let width = |code: &u32| match char::from_u32(*code) {
        Some(c) if is_shown(c, quote) => 1,
        Some('\t' | '\n' | '\r' | ' '..='~') => 2,
        _ => match code {
            0..=0xff => 4,
            0x100..=0xffff => 6,
            _ => 10,
        },
    };
    2 + characters.iter().map(width).sum::<usize>()
}

fn quote_of(characters: &[u32]) -> u8 {
    let has = |quote: u8| characters.contains(&u32::from(quote));
    if has(b'\'') && !has(b'"') {
        b'"'
    } else {
        b'\''
    }
}

/// Whether Python shows a character as it is. Outside of ASCII it asks Unicode
/// for the same categories as Rust does for the escapes of a `Debug`; a
/// character behind another is not escaped for combining with it.
fn is_shown(c: char, quote: u8) -> bool {
    if c.is_ascii() {
        return !needs_escape(c as u8, quote);
    }
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let text = buffer[..length].to_str().unwrap_or_default();
    text.escape_debug().nth(1) == Some(c)
}

/// Appends bytes as `repr()` prints them.
pub(super) fn print_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let quote = quote_for(bytes);
    out.extend([b'b', quote]);
    for byte in bytes {
        if needs_escape(*byte, quote) {
            print_escape(u32::from(*byte), out);
        } else {
            out.push(*byte);
        }
    }
    out.push(quote);
}

/// Python prefers the apostrophe, unless the double quote saves an escape.
fn quote_for(string: &[u8]) -> u8 {
    if string.contains(&b'\'') && !string.contains(&b'"') {
        b'"'
    } else {
        b'\''
    }
}

fn needs_escape(byte: u8, quote: u8) -> bool {
    byte == quote || byte == b'\\' || !(b' '..=b'~').contains(&byte)
}

fn print_escape(code: u32, out: &mut Vec<u8>) {
    let hexadecimal = match code {
        9 => "\\t".to_owned(),
        10 => "\\n".to_owned(),
        13 => "\\r".to_owned(),
        32..=126 => {
            // Quote and backslash; nothing else of ASCII comes here.
            out.extend([b'\\', code as u8]);
            return;
        }
        0..=31 | 127..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    };
    out.extend(hexadecimal.bytes());
}
