//! Numbers in Python's notation.

use super::{Reader, Value};
use crate::Error;

/// Reads the number that begins here. `negative` tells of a minus before it,
/// which the caller has read: the smallest number has no positive twin.
pub(super) fn read(reader: &mut Reader<'_>, negative: bool) -> Result<Value, Error> {
    let start = reader.at();
    let length = token_length(reader.rest());
    let token = &reader.rest()[..length];
    let value = parse(token, negative).map_err(|what| reader.syntax(start, what))?;
    reader.advance(length);
    Ok(value)
}

/// Everything that could belong to a number, so that `1__0` or `12abc` is one
/// mistake and not two values.
fn token_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let exponent_sign = matches!(byte, b'+' | b'-')
            && length > 0
            && matches!(bytes[length - 1], b'e' | b'E')
            && !matches!(bytes.get(1), Some(b'x' | b'X'));
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || exponent_sign) {
            break;
        }
        length += 1;
    }
    length
}

fn parse(token: &[u8], negative: bool) -> Result<Value, &'static str> {
    let radix = match token {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => return decimal(token, negative),
    };
    // One underscore may stand right behind the prefix.
    let digits = token[2..].strip_prefix(b"_").unwrap_or(&token[2..]);
    int(digits, radix, negative)
}

fn decimal(token: &[u8], negative: bool) -> Result<Value, &'static str> {
    if let Some(b'j' | b'J') = token.last() {
        return Err("complex numbers are not read");
    }
    if !token.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        let number = int(token, 10, negative)?;
        if token[0] == b'0' && token.iter().any(|b| !matches!(b, b'0' | b'_')) {
            return Err("a number may not begin with 0");
        }
        return Ok(number);
    }
    let exponent = token.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = token.split_at(exponent.unwrap_or(token.len()));
    let point = mantissa.iter().position(|b| *b == b'.');
    let (whole, fraction) = mantissa.split_at(point.unwrap_or(mantissa.len()));
    let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
    let exponent_digits = match exponent {
        [] => None,
        [_, b'+' | b'-', digits @ ..] | [_, digits @ ..] => Some(digits),
    };
    let well_formed = (!whole.is_empty() || !fraction.is_empty())
        && [whole, fraction]
            .iter()
            .all(|part| part.is_empty() || are_digits(part, 10))
        && exponent_digits.is_none_or(|digits| are_digits(digits, 10));
    if !well_formed {
        return Err(NOT_A_NUMBER);
    }
    let text: String = token
        .iter()
        .filter(|b| **b != b'_')
        .map(|b| char::from(*b))
        .collect();
    let number: f64 = text.parse().map_err(|_| NOT_A_NUMBER)?;
    Ok(Value::Float(if negative { -number } else { number }))
}

fn int(digits: &[u8], radix: u32, negative: bool) -> Result<Value, &'static str> {
    if !are_digits(digits, radix) {
        return Err(NOT_A_NUMBER);
    }
    let mut number: i64 = 0;
    for digit in digits.iter().filter_map(|b| char::from(*b).to_digit(radix)) {
        let digit = i64::from(digit);
        number = number
            .checked_mul(i64::from(radix))
            .and_then(|n| {
                if negative {
                    n.checked_sub(digit)
                } else {
                    n.checked_add(digit)
                }
            })
            .ok_or("this number has more than 64 bits")?;
    }
    Ok(Value::Int(number))
}

/// Digits with single underscores between them.
fn are_digits(bytes: &[u8], radix: u32) -> bool {
    bytes
        .split(|b| *b == b'_')
        .all(|group| !group.is_empty() && group.iter().all(|b| char::from(*b).is_digit(radix)))
}

const NOT_A_NUMBER: &str = "this is not a number";

/// Appends a number so that Python reads the same one back. There is no
/// literal for "not a number"; that becomes `None`.
pub(super) fn print_float(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend(b"None");
    } else if number.is_infinite() {
        out.extend(if number > 0.0 {
            &b"1e999"[..]
        } else {
            b"-1e999"
        });
    } else {
        out.extend(format!("{number:?}").bytes());
    }
}
