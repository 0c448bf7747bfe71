//! The words of a header's value.

use crate::error::excerpt;
use crate::number::parse_count;

/// Only ASCII blanks part words: any other byte may belong to a name.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The first word and what follows it, without blanks around.
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii();
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}

/// The only word.
pub(crate) fn only_word(text: &[u8]) -> Result<&[u8], String> {
    match split_word(text) {
        (b"", _) => Err("missing argument".to_owned()),
        (word, b"") => Ok(word),
        _ => Err("superfluous argument(s)".to_owned()),
    }
}

pub(crate) fn count(text: &[u8]) -> Result<u64, String> {
    parse_count(only_word(text)?).ok_or_else(|| "expected non-negative integer".to_owned())
}

pub(crate) fn on_off(text: &[u8]) -> Result<bool, String> {
    match text {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err("expected 'on' or 'off'".to_owned()),
    }
}

/// The choice of that word; the error lists all of them.
pub(crate) fn choice<T: Copy>(
    what: &str,
    text: &[u8],
    choices: &[(&'static str, T)],
) -> Result<T, String> {
    let known = choices.iter().find(|(word, _)| word.as_bytes() == text);
    known.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let given = excerpt(text, 40);
        format!("{what} '{given}' is not one of {}", words.join(", "))
    })
}
