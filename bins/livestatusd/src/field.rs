//! Text as a field of a line that ends at a line feed and has semicolons
//! between its fields: in the history, and in the remarks of the snapshot.
//!
//! A backslash is `\\`, a semicolon `\s`, a line feed `\n`; every other byte is
//! itself. A state dump escapes more: see sitewire-dump(5).

use bstr::BString;

/// Appends `text`, escaped.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    for b in text {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b';' => out.extend_from_slice(b"\\s"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b => out.push(*b),
        }
    }
}

/// The text that was escaped. A backslash before anything else is taken for one
/// that was doubled.
pub(crate) fn unescape(text: &[u8]) -> BString {
    let mut out = BString::default();
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'\\' => match bytes.next() {
                Some(b's') => b';',
                Some(b'n') => b'\n',
                _ => b'\\',
            },
            b => *b,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_and_none_ends_a_field() {
        let all: Vec<u8> = (0..=255).chain(*b"\\s\\n\\\\;").collect();
        let mut escaped = Vec::new();
        escape(&all, &mut escaped);
        assert!(!escaped.contains(&b';') && !escaped.contains(&b'\n'));
        assert_eq!(unescape(&escaped), all);
    }
}
