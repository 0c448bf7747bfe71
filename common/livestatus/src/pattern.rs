//! Regular expressions as Livestatus means them, on bytes, in linear time.
//!
//! The existing servers use three different engines. What they agree on is kept;
//! where the `regex` crate means something else by the same text, it is
//! rewritten first: `\w \d \s \b` are about ASCII, a brace that begins no
//! repetition is itself, and inside brackets only what is special everywhere is
//! special.

use regex::bytes::{Regex, RegexBuilder};

/// Longest expression in bytes.
const MAX_LEN: usize = 8 << 10;
/// Largest compiled expression in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Compiles an expression that is searched anywhere in a text. The error is the
/// reason in a few words.
pub(crate) fn compile(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    if pattern.len() > MAX_LEN {
        return Err(format!("longer than {MAX_LEN} bytes"));
    }
    RegexBuilder::new(&translate(pattern))
        .case_insensitive(ignore_case)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(100)
        .build()
        .map_err(|error| reason(&error))
}

fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "too large".to_owned(),
        // The crate draws a picture over several lines; the last one says it.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

/// The same expression in the words of the `regex` crate.
fn translate(pattern: &[u8]) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = false;
    for chunk in pattern.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(c) = rest.chars().next() {
            let taken = if c == '\\' {
                translate_escape(rest, in_class, &mut out)
            } else if in_class {
                translate_in_class(rest, c, &mut in_class, &mut out)
            } else {
                translate_outside(rest, c, &mut in_class, &mut out)
            };
            rest = &rest[taken..];
        }
        for b in chunk.invalid() {
            out.push_str(&format!("(?-u:\\x{b:02x})"));
        }
    }
    out
}

/// All of these return how many bytes of `rest` are dealt with.
fn translate_escape(rest: &str, in_class: bool, out: &mut String) -> usize {
    let Some(c) = rest[1..].chars().next() else {
        // A lone backslash at the end: an error in every engine.
        out.push('\\');
        return 1;
    };
    match c {
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str("[\\t\\n\\x0b\\f\\r ]"),
        'S' => out.push_str("[^\\t\\n\\x0b\\f\\r ]"),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        'Q' if !in_class => {
            let quoted = &rest[2..];
            let end = quoted.find("\\E");
            out.push_str(&regex::escape(&quoted[..end.unwrap_or(quoted.len())]));
            return 2 + end.map_or(quoted.len(), |at| at + 2);
        }
        // Escaping what needs none is fine everywhere else, but not here.
        c if !c.is_ascii_alphanumeric() && c != '<' && c != '>' => {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    1 + c.len_utf8()
}

fn translate_outside(rest: &str, c: char, in_class: &mut bool, out: &mut String) -> usize {
    match c {
        '[' => {
            *in_class = true;
            out.push('[');
            let mut taken = 1;
            if rest[taken..].starts_with('^') {
                out.push('^');
                taken += 1;
            }
            // A bracket that comes first is a member.
            if rest[taken..].starts_with(']') {
                out.push_str("\\]");
                taken += 1;
            }
            return taken;
        }
        '{' if !begins_repetition(rest) => out.push_str("\\{"),
        c => out.push(c),
    }
    c.len_utf8()
}

fn translate_in_class(rest: &str, c: char, in_class: &mut bool, out: &mut String) -> usize {
    match c {
        ']' => {
            *in_class = false;
            out.push(']');
        }
        '[' if rest.starts_with("[:") => {
            if let Some(end) = rest.find(":]") {
                out.push_str(&rest[..end + 2]);
                return end + 2;
            }
            out.push_str("\\[");
        }
        '[' | '&' | '~' => {
            out.push('\\');
            out.push(c);
        }
        c => out.push(c),
    }
    c.len_utf8()
}

/// Whether `{n}`, `{n,}` or `{n,m}` stands at the beginning.
fn begins_repetition(rest: &str) -> bool {
    let Some(end) = rest.find('}') else {
        return false;
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match rest[1..end].split_once(',') {
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
        None => number(&rest[1..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_the_field_means() {
        for (pattern, ignore_case, text, want) in [
            ("^(CPU|Mem)", false, "Memory", true),
            ("^(CPU|Mem)", false, "xMemory", false),
            ("mem", true, "MEMORY", true),
            ("ÄÖÜ", true, "äöü", true),
            (r"^\w+$", false, "ä", false),
            (r"^\d$", false, "٣", false),
            (r"^[\w.-]+$", false, "a.b-c_9", true),
            (r"^[^\s]+$", false, "a b", false),
            (r"\bdisk\b", false, "ädiskä", true),
            ("{", false, "a{b", true),
            ("{a}", false, "x{a}", true),
            ("a{2}", false, "baab", true),
            ("a{2,}", false, "bab", false),
            ("^a{,2}$", false, "a{,2}", true),
            (r"\Q{[(\E$", false, "{[(", true),
            ("^[[]$", false, "[", true),
            ("^[]]$", false, "]", true),
            ("^[^]]$", false, "x", true),
            ("^[[:alpha:]]+$", false, "abc", true),
            ("^[a&&b]+$", false, "a&b", true),
            (r"C:\\", false, r"C:\temp", true),
            (r"a\/b", false, "a/b", true),
            (r"a\-b", false, "a-b", true),
            ("", false, "anything", true),
        ] {
            let regex = compile(pattern.as_bytes(), ignore_case).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), want, "{pattern} on {text}");
        }
    }

    #[test]
    fn latin1_bytes_match_themselves() {
        let regex = compile(b"K\xfchl", false).unwrap();
        assert!(regex.is_match(b"the K\xfchlung"));
        assert!(!regex.is_match("Kühlung".as_bytes()));
        assert!(compile(b"^a.b", false).unwrap().is_match(b"axb\xfc"));
    }

    #[test]
    fn bad_expressions_have_a_reason_of_one_line() {
        let long = "x".repeat(MAX_LEN + 1);
        for (pattern, want) in [
            ("(", "unclosed group"),
            ("[a", "unclosed character class"),
            ("*", "repetition operator missing expression"),
            ("\\", "incomplete escape"),
            ("(?=x)", "look-around"),
            ("(a{1000}){1000}", "too large"),
            (&long, "longer than"),
        ] {
            let reason = compile(pattern.as_bytes(), false).unwrap_err();
            assert!(reason.contains(want), "{pattern}: {reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
