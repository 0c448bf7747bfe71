//! Python's `pprint.pformat()`, with its defaults: what Checkmk writes its files
//! with. Dicts are sorted, lines end before column 80, and long strings are
//! broken at blanks into several, which Python joins when it reads them.
//!
//! Widths are characters. A byte that is not UTF-8 is one character, as it is to
//! Python, and six when printed.

use std::cmp::Ordering;

use super::{Value, text};

const WIDTH: usize = 80;

/// Appends `value` as `pformat` lays it out.
pub(super) fn print(value: &Value, out: &mut Vec<u8>) {
    layout(value, Place::default(), out);
}

/// Appends `value` on one line, as `repr()` prints it, but with dicts sorted.
fn print_line(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Str(string) => text::print_repr(string, out),
        Value::List(items) => join(b"[", items, b"]", out),
        Value::Tuple(items) if items.len() == 1 => join(b"(", items, b",)", out),
        Value::Tuple(items) => join(b"(", items, b")", out),
        Value::Set(items) if !items.is_empty() => join(b"{", sorted(items), b"}", out),
        Value::Dict(entries) => {
            out.push(b'{');
            for (index, (key, value)) in sorted_entries(entries).into_iter().enumerate() {
                if index > 0 {
                    out.extend(b", ");
                }
                print_line(key, out);
                out.extend(b": ");
                print_line(value, out);
            }
            out.push(b'}');
        }
        other => other.print(out),
    }
}

fn join<'a>(
    open: &[u8],
    items: impl IntoIterator<Item = &'a Value>,
    close: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        print_line(item, out);
    }
    out.extend(close);
}

/// Where a value is printed.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Columns before it.
    indent: usize,
    /// Columns that what follows it on its last line needs.
    allowance: usize,
    /// Whether it is inside of another value.
    inside: bool,
}

impl Place {
    fn is_room_for(self, width: usize) -> bool {
        width + self.indent + self.allowance <= WIDTH
    }
}

fn layout(value: &Value, place: Place, out: &mut Vec<u8>) {
    let mut line = Vec::new();
    print_line(value, &mut line);
    if place.is_room_for(characters(&line)) {
        out.extend(line);
        return;
    }
    match value {
        Value::Str(string) if !string.is_empty() => break_string(string, place, out),
        Value::List(items) => columns(b"[", items, b"]", place, out),
        Value::Tuple(items) if items.len() == 1 => columns(b"(", items, b",)", place, out),
        Value::Tuple(items) => columns(b"(", items, b")", place, out),
        Value::Set(items) if !items.is_empty() => columns(b"{", sorted(items), b"}", place, out),
        Value::Dict(entries) => rows(entries, place, out),
        _ => out.extend(line),
    }
}

/// One item a line.
fn columns<'a>(
    open: &[u8],
    items: impl IntoIterator<Item = &'a Value>,
    close: &[u8],
    place: Place,
    out: &mut Vec<u8>,
) {
    out.extend(open);
    let indent = place.indent + 1;
    let mut items = items.into_iter().peekable();
    while let Some(item) = items.next() {
        let last = items.peek().is_none();
        let allowance = if last {
            place.allowance + close.len()
        } else {
            1
        };
        let inside = true;
        layout(
            item,
            Place {
                indent,
                allowance,
                inside,
            },
            out,
        );
        if !last {
            new_line(b",", indent, out);
        }
    }
    out.extend(close);
}

/// One entry a line, at least.
fn rows(entries: &[(Value, Value)], place: Place, out: &mut Vec<u8>) {
    out.push(b'{');
    let column = place.indent + 1;
    let entries = sorted_entries(entries);
    for (index, (key, value)) in entries.iter().enumerate() {
        let last = index + 1 == entries.len();
        let mut printed = Vec::new();
        print_line(key, &mut printed);
        let indent = column + characters(&printed) + 2;
        out.extend(printed);
        out.extend(b": ");
        let allowance = if last { place.allowance + 1 } else { 1 };
        let inside = true;
        layout(
            value,
            Place {
                indent,
                allowance,
                inside,
            },
            out,
        );
        if !last {
            new_line(b",", column, out);
        }
    }
    out.push(b'}');
}

fn new_line(before: &[u8], indent: usize, out: &mut Vec<u8>) {
    out.extend(before);
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', indent));
}

/// A string too long for its line, as several: one for each of its lines, and
/// for as many words as there is room for.
fn break_string(string: &[u8], place: Place, out: &mut Vec<u8>) {
    let Place {
        mut indent,
        mut allowance,
        inside,
    } = place;
    if !inside {
        // Parentheses hold the pieces together.
        indent += 1;
        allowance += 1;
    }
    let room = WIDTH.saturating_sub(indent);
    let characters = text::characters(string);
    let lines = split_lines(&characters);
    let mut chunks = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let last_line = index + 1 == lines.len();
        let reserved = if last_line { allowance } else { 0 };
        if text::width_of_repr(line) + reserved <= room {
            chunks.push(*line);
            continue;
        }
        let words = split_words(line);
        let (mut start, mut end) = (0, 0);
        for (index, word) in words.iter().enumerate() {
            let last = last_line && index + 1 == words.len();
            let reserved = if last { allowance } else { 0 };
            let candidate = &line[start..end + word];
            if text::width_of_repr(candidate) + reserved > room {
                if end > start {
                    chunks.push(&line[start..end]);
                }
                start = end;
            }
            end += word;
        }
        if end > start {
            chunks.push(&line[start..end]);
        }
    }
    let parentheses = !inside && chunks.len() > 1;
    if parentheses {
        out.push(b'(');
    }
    for (index, chunk) in chunks.iter().enumerate() {
        if index > 0 {
            new_line(b"", indent, out);
        }
        text::print_characters(chunk, out);
    }
    if parentheses {
        out.push(b')');
    }
}

/// Lines with what ends them, by Python's `splitlines(True)`.
fn split_lines(string: &[u32]) -> Vec<&[u32]> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < string.len() {
        let ends = matches!(
            string[at],
            0x0a..=0x0d | 0x1c..=0x1e | 0x85 | 0x2028 | 0x2029
        );
        at += 1;
        if ends {
            if string[at - 1] == 0x0d && string.get(at) == Some(&0x0a) {
                at += 1;
            }
            lines.push(&string[start..at]);
            start = at;
        }
    }
    if start < string.len() {
        lines.push(&string[start..]);
    }
    lines
}

/// The lengths of the words of a line, each with the blanks behind it.
fn split_words(line: &[u32]) -> Vec<usize> {
    let blank = |code: &u32| {
        (0x1c..=0x1f).contains(code) || char::from_u32(*code).is_some_and(char::is_whitespace)
    };
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.iter().take_while(|code| !blank(code)).count();
        let blanks = rest[word..].iter().take_while(|code| blank(code)).count();
        words.push(word + blanks);
        rest = &rest[word + blanks..];
    }
    words
}

/// How many characters valid UTF-8 has.
fn characters(utf8: &[u8]) -> usize {
    utf8.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn sorted(items: &[Value]) -> Vec<&Value> {
    let mut items: Vec<_> = items.iter().collect();
    items.sort_by(|a, b| compare(a, b));
    items
}

fn sorted_entries(entries: &[(Value, Value)]) -> Vec<(&Value, &Value)> {
    let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key, value)).collect();
    entries.sort_by(|(a, _), (b, _)| compare(a, b));
    entries
}

/// Python's order where it has one. Things that it does not compare are in the
/// order of their types, and otherwise stay as they are.
fn compare(a: &Value, b: &Value) -> Ordering {
    let number = |value: &Value| match value {
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => text::characters(a).cmp(&text::characters(b)),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Tuple(a), Value::Tuple(b)) => {
            let differing = a.iter().zip(b).map(|(a, b)| compare(a, b));
            let mut differing = differing.filter(|order| order.is_ne());
            differing.next().unwrap_or(a.len().cmp(&b.len()))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            _ => a.type_name().cmp(b.type_name()),
        },
    }
}
