//! Patterns of names and texts.

use std::collections::HashSet;

use regex::bytes::{Regex, RegexBuilder};

/// Most memory that one compiled expression may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// What a condition wants of a value: one of several patterns.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// As they were written, for people.
    written: Vec<String>,
    exact: HashSet<Vec<u8>>,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
enum Pattern {
    /// `text*`
    Prefix(Vec<u8>),
    /// `*text`
    Suffix(Vec<u8>),
    /// `~` and everything else with a `*` or `?` in it.
    Expression(Regex),
}

impl Wanted {
    /// Reads patterns: `*` is any text, `?` any one character; one that begins
    /// with `~` is a regular expression that is searched for, with `~~` without
    /// regard to case.
    pub(crate) fn new(written: Vec<String>) -> Result<Self, String> {
        let mut exact = HashSet::new();
        let mut patterns = Vec::new();
        for text in &written {
            match Pattern::new(text)? {
                Some(pattern) => patterns.push(pattern),
                None => {
                    exact.insert(text.as_bytes().to_vec());
                }
            }
        }
        Ok(Self {
            written,
            exact,
            patterns,
        })
    }

    /// Whether one of the patterns fits.
    pub(crate) fn fits(&self, value: &[u8]) -> bool {
        self.exact.contains(value) || self.patterns.iter().any(|pattern| pattern.fits(value))
    }

    /// The patterns as they were written.
    pub(crate) fn written(&self) -> &[String] {
        &self.written
    }
}

impl Pattern {
    /// `None` if the text stands for itself.
    fn new(text: &str) -> Result<Option<Self>, String> {
        if let Some(expression) = text.strip_prefix("~~") {
            return expression_of(expression, true).map(Some);
        }
        if let Some(expression) = text.strip_prefix('~') {
            return expression_of(expression, false).map(Some);
        }
        let is_plain = |text: &str| !text.contains(['*', '?']);
        if is_plain(text) {
            return Ok(None);
        }
        if let Some(prefix) = text.strip_suffix('*').filter(|rest| is_plain(rest)) {
            return Ok(Some(Self::Prefix(prefix.into())));
        }
        if let Some(suffix) = text.strip_prefix('*').filter(|rest| is_plain(rest)) {
            return Ok(Some(Self::Suffix(suffix.into())));
        }
        let mut expression = String::from("(?s)^");
        for c in text.chars() {
            match c {
                '*' => expression.push_str("(?-u:.*)"),
                '?' => expression.push('.'),
                c => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        expression.push('$');
        expression_of(&expression, false).map(Some)
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Suffix(suffix) => value.ends_with(suffix),
            Self::Expression(expression) => expression.is_match(value),
        }
    }
}

fn expression_of(text: &str, ignores_case: bool) -> Result<Pattern, String> {
    RegexBuilder::new(text)
        .case_insensitive(ignores_case)
        .size_limit(MAX_COMPILED)
        .build()
        .map(Pattern::Expression)
        .map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_values_and_expressions_are_searched_for() {
        for (pattern, value, want) in [
            ("db1", &b"db1"[..], true),
            ("db1", b"db10", false),
            ("*", b"", true),
            ("db*", b"db10", true),
            ("*.example", b"a.example", true),
            ("*.example", b"a.example2", false),
            ("d?1", "dü1".as_bytes(), true),
            ("d?1", b"d1", false),
            ("a*b*c", b"aXbYc", true),
            ("a*b*c", b"aX\xff\nbYc", true),
            ("a.c*d?", b"abcde", false),
            ("a.c*d?", b"a.cde", true),
            ("~b+", b"abbc", true),
            ("~^b", b"abbc", false),
            ("~~^DB", b"db1", true),
            ("~DB", b"db1", false),
        ] {
            let wanted = Wanted::new(vec!["x".to_owned(), pattern.to_owned()]).unwrap();
            assert_eq!(wanted.fits(value), want, "{pattern} {value:?}");
        }
    }

    #[test]
    fn a_bad_expression_is_named() {
        let error = Wanted::new(vec!["~(".to_owned()]).unwrap_err();
        assert!(error.contains("\"(\" is no regular expression"), "{error}");
        let error = Wanted::new(vec!["~(a{1000}){1000}".to_owned()]).unwrap_err();
        assert!(error.contains("size limit"), "{error}");
    }
}
