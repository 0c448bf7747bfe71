//! Any regular expression on any text: no panic and no long search; a text
//! with everything special in it escaped matches itself, and one that has
//! nothing special is looked for as it is.

#![no_main]

use bstr::ByteSlice;
use libfuzzer_sys::fuzz_target;
use livestatus::{ColumnType, Filter, Operator, Value};

/// Whether `pattern` is found in `text`; `None` if it is no pattern.
fn matches(operator: &str, pattern: &[u8], text: &[u8]) -> Option<bool> {
    let filter = Filter::Compare {
        column: "x".to_owned(),
        operator: Operator::parse(operator.as_bytes()).expect("an operator"),
        value: pattern.into(),
    };
    let matcher = filter.compile(&mut |_| Some(((), ColumnType::Text))).ok()?;
    Some(matcher.matches(&mut |()| Value::text(text)))
}

fn escaped(text: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::new();
    for byte in text {
        if byte.is_ascii_punctuation() {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

fuzz_target!(|bytes: &[u8]| {
    let (pattern, text) = bytes.split_once_str("\n").unwrap_or((bytes, b""));
    let found = matches("~", pattern, text);
    let found_in_any_case = matches("~~", pattern, text);
    // Whatever is a pattern is one in either case.
    assert_eq!(found.is_some(), found_in_any_case.is_some());
    if let Some(found) = found {
        assert_eq!(matches("!~", pattern, text), Some(!found));
    }
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-' | b'/');
    if pattern.iter().all(is_plain) && pattern.len() < 1024 {
        assert_eq!(found, Some(text.contains_str(pattern)));
    }
    let printable = |b: &u8| !b.is_ascii_control();
    // In angle brackets a backslash is a word's boundary.
    if text.len() < 1024 && text.iter().all(printable) && text.find_byteset(b"<>").is_none() {
        let whole = [&b"^"[..], &escaped(text), b"$"].concat();
        for operator in ["~", "~~"] {
            assert_eq!(matches(operator, &whole, text), Some(true), "{operator}");
        }
    }
});
