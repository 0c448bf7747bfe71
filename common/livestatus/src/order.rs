//! Values as bytes whose order is that of the values, so that rows are sorted
//! by comparing bytes, whatever and however many columns they are sorted by.
//! Equal bytes mean equal values, so that they also tell groups apart.

use bstr::{BStr, BString};

use crate::value::Value;

/// Appends the key of a value: null first, then numbers, texts byte by byte,
/// lists element by element.
pub fn push_key(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Int(number) => push_int(out, *number),
        Value::Float(number) if number.is_nan() => out.push(NULL),
        Value::Float(number) => push_float(out, *number),
        Value::Text(text) => push_text(out, text),
        Value::Names(names) => {
            out.push(LIST);
            for name in *names {
                push_text(out, name);
            }
            out.push(END);
        }
        Value::List(elements) => {
            out.push(LIST);
            for element in elements {
                push_key(out, element);
            }
            out.push(END);
        }
        Value::Dict(entries) => {
            out.push(LIST);
            for (name, text) in *entries {
                push_text(out, name);
                push_text(out, text);
            }
            out.push(END);
        }
    }
}

/// Appends the key of one entry of a dict; one that is missing is the empty text.
pub fn push_entry_key(out: &mut Vec<u8>, value: &Value<'_>, entry: &BStr) {
    let text = match value {
        Value::Dict(entries) => entries.get(entry),
        _ => None,
    };
    push_text(out, text.map_or(BStr::new(""), BString::as_ref));
}

/// Turns the order of the key that begins at `from` around.
pub fn reverse_key(out: &mut [u8], from: usize) {
    for byte in &mut out[from..] {
        *byte = !*byte;
    }
}

/// What a key begins with. The end of a list is less than any element.
const END: u8 = 0;
const NULL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const TEXT: u8 = 4;
const LIST: u8 = 5;

fn push_int(out: &mut Vec<u8>, number: i64) {
    out.push(INT);
    let shifted = (number as u64) ^ (1 << 63);
    out.extend_from_slice(&shifted.to_be_bytes());
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    out.push(FLOAT);
    // Both zeros are one.
    let bits = (number + 0.0).to_bits();
    let ordered = if bits >> 63 == 0 {
        bits ^ (1 << 63)
    } else {
        !bits
    };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// A zero byte would end the text, so one in it is followed by another.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(TEXT);
    let mut rest = text;
    while let Some(at) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[0, 1]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(value: &Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        push_key(&mut out, value);
        out
    }

    fn assert_ascending(values: &[Value<'_>]) {
        for pair in values.windows(2) {
            assert!(key(&pair[0]) < key(&pair[1]), "{pair:?}");
            let reversed = |value| {
                let mut key = key(value);
                reverse_key(&mut key, 0);
                key
            };
            assert!(reversed(&pair[0]) > reversed(&pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn keys_are_ordered_as_their_values() {
        let numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX];
        assert_ascending(&numbers.map(Value::Int));
        let numbers = [f64::NEG_INFINITY, -1.5, -0.25, 0.0, 1e-9, 0.5, 1e300];
        assert_ascending(&numbers.map(Value::Float));
        let texts = ["", "\0", "\0\0", "\x01", "a", "a\0", "a\0b", "aa", "b"];
        assert_ascending(&texts.map(Value::text));
        assert_ascending(&[Value::Null, Value::Int(i64::MIN)]);
        let (one, two, short): ([BString; 1], [BString; 2], [BString; 1]) =
            (["a".into()], ["a".into(), "".into()], ["".into()]);
        assert_ascending(&[
            Value::Names(&[]),
            Value::Names(&short),
            Value::Names(&one),
            Value::Names(&two),
        ]);
    }

    #[test]
    fn both_kinds_of_zero_and_of_lists_are_equal() {
        assert_eq!(key(&Value::Float(0.0)), key(&Value::Float(-0.0)));
        assert_eq!(key(&Value::Float(f64::NAN)), key(&Value::Null));
        let names: [BString; 2] = ["a".into(), "b\0".into()];
        let list = Value::List(vec![Value::text("a"), Value::text("b\0")]);
        assert_eq!(key(&Value::Names(&names)), key(&list));
        let (none, null) = (Value::List(vec![]), Value::List(vec![Value::Null]));
        assert_ne!([key(&none), key(&Value::Null)].concat(), key(&null));
    }

    #[test]
    fn longer_rows_are_ordered_by_their_first_difference() {
        let row = |a: &str, b: i64| {
            let mut out = key(&Value::text(a));
            let from = out.len();
            push_key(&mut out, &Value::Int(b));
            reverse_key(&mut out, from);
            out
        };
        assert!(row("a", 5) < row("a", 4));
        assert!(row("a", 1) < row("ab", 9));
        assert!(row("a\0", 9) < row("a\x01", 9));
    }

    #[test]
    fn entries_are_ordered_by_their_text() {
        let entries = BTreeMap::from([("SITE".into(), "b".into()), ("TAGS".into(), "a".into())]);
        let entry = |name: &str| {
            let mut out = Vec::new();
            push_entry_key(&mut out, &Value::Dict(&entries), name.into());
            out
        };
        assert!(entry("TAGS") < entry("SITE"));
        assert_eq!(entry("NOPE"), key(&Value::text("")));
    }
}
