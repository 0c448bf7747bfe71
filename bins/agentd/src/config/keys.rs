//! The keys of one section, taken one by one: typed, with their defaults, and
//! with where each value came from.

use std::path::{Path, PathBuf};

use agent::ini::{Entry, Section};
use bstr::ByteSlice;

use super::finding::{Finding, Severity};

/// An effective value, as `--print-config` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// The line of the file; none for a default.
    pub(crate) line: Option<usize>,
}

/// What reading collects, whatever section it is at.
pub(super) struct Reading<'a> {
    pub(super) file: &'a Path,
    pub(super) findings: &'a mut Vec<Finding>,
    pub(super) settings: &'a mut Vec<Setting>,
}

impl Reading<'_> {
    pub(super) fn find(&mut self, severity: Severity, line: Option<usize>, text: String) {
        let finding = Finding::new(severity, self.file, line, text);
        self.findings.push(finding);
    }
}

/// The keys of a section that have not been taken yet.
pub(super) struct Keys<'a, 'r> {
    name: &'a str,
    section: Option<&'a Section>,
    /// How bad a value is that cannot be understood.
    severity: Severity,
    reading: &'a mut Reading<'r>,
    taken: Vec<&'static str>,
    /// What was wrong with values, the last of it.
    problem: Option<String>,
}

impl<'a, 'r> Keys<'a, 'r> {
    pub(super) fn new(
        name: &'a str,
        section: Option<&'a Section>,
        severity: Severity,
        reading: &'a mut Reading<'r>,
    ) -> Self {
        Self {
            name,
            section,
            severity,
            reading,
            taken: Vec::new(),
            problem: None,
        }
    }

    /// Whether the file says anything of it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.section
            .is_some_and(|section| section.get(key).is_some())
    }

    /// Where the key stands, or else the section.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        let section = self.section?;
        Some(section.get(key).map_or(section.line, |entry| entry.line))
    }

    pub(super) fn warn(&mut self, key: &str, text: String) {
        let line = self.line(key);
        self.reading.find(Severity::Warning, line, text);
    }

    /// Says that the value of a key cannot be used.
    pub(super) fn refuse(&mut self, key: &str, text: String) {
        let line = self.line(key);
        self.problem = Some(text.clone());
        self.reading.find(self.severity, line, text);
    }

    pub(super) fn text(&mut self, key: &'static str, default: &str) -> String {
        let text = self.take(key).map(text);
        let text = text.unwrap_or_else(|| default.to_owned());
        self.show(key, &text);
        text
    }

    /// A value that is not shown, and refused where a part of it was cut off.
    pub(super) fn secret(&mut self, key: &'static str) -> String {
        let Some(entry) = self.take(key) else {
            return String::new();
        };
        if entry.cut.as_ref().is_some_and(|cut| !is_remark(cut)) {
            let what = format!(
                "`{key}` is cut off before its first `#` or `;`: put it in backticks, `{key} = \\`...\\``"
            );
            self.refuse(key, what);
        }
        let text = text(entry);
        self.show(key, if text.is_empty() { "" } else { "(hidden)" });
        text
    }

    pub(super) fn path(&mut self, key: &'static str, default: &Path) -> PathBuf {
        let path = match self.take(key) {
            Some(entry) => path(entry),
            None => default.to_owned(),
        };
        self.show(key, &path.to_string_lossy());
        path
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let flag = match self.take(key) {
            None => default,
            Some(entry) => match parse_flag(&entry.value) {
                Some(flag) => flag,
                None => {
                    let what = format!("`{key} = {}` is neither True nor False", entry.value);
                    self.refuse(key, what);
                    default
                }
            },
        };
        self.show(key, if flag { "True" } else { "False" });
        flag
    }

    /// An empty value is 0.
    pub(super) fn integer(&mut self, key: &'static str, default: i64) -> i64 {
        let number = match self.take(key) {
            None => default,
            Some(entry) => match parse_integer(&text(entry)) {
                Some(number) => number,
                None => {
                    let what = format!("`{key} = {}` is no number", entry.value);
                    self.refuse(key, what);
                    default
                }
            },
        };
        self.show(key, &number.to_string());
        number
    }

    /// Separated by commas; blanks around them are kept.
    pub(super) fn list(&mut self, key: &'static str, default: &str) -> Vec<String> {
        let text = self.text(key, default);
        match text.is_empty() {
            true => Vec::new(),
            false => text.split(',').map(str::to_owned).collect(),
        }
    }

    /// What is wrong from here on harms nobody.
    pub(super) fn tolerate(&mut self) {
        self.severity = Severity::Warning;
    }

    /// Known, and without effect.
    pub(super) fn ignore(&mut self, key: &'static str) {
        self.taken.push(key);
    }

    /// Names what has not been taken, and gives back what was wrong, if anything.
    pub(super) fn finish(self) -> Option<String> {
        for entry in self.section.into_iter().flat_map(Section::entries) {
            if !self.taken.iter().any(|key| *key == entry.key) {
                let text = format!("unknown key `{}` in [{}]", entry.key, self.name);
                self.reading.find(Severity::Warning, Some(entry.line), text);
            }
        }
        self.problem
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.taken.push(key);
        let entry = self.section?.get(key)?;
        if let Some(earlier) = entry.repeats {
            self.warn(
                key,
                format!("`{key}` stands in line {earlier}, too; this one counts"),
            );
        }
        if let Some(cut) = &entry.cut
            && (!is_remark(cut) || key == "command")
        {
            self.warn(
                key,
                format!("`{key}` ends before `{}`", cut.trim().as_bstr()),
            );
        }
        if !entry.value.is_utf8() {
            self.warn(key, format!("`{key}` is not UTF-8"));
        }
        Some(entry)
    }

    fn show(&mut self, key: &str, value: &str) {
        let line = self
            .section
            .and_then(|section| section.get(key))
            .map(|entry| entry.line);
        self.reading.settings.push(Setting {
            section: self.name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            line,
        });
    }
}

/// Whether what was cut off was meant as a comment, most likely.
fn is_remark(cut: &[u8]) -> bool {
    cut.first().is_some_and(u8::is_ascii_whitespace)
}

fn text(entry: &Entry) -> String {
    entry.value.to_str_lossy().into_owned()
}

fn path(entry: &Entry) -> PathBuf {
    entry.value.to_path_lossy().into_owned()
}

fn parse_flag(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Some(true),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Some(false),
        _ => None,
    }
}

/// As in Go, where `0x` leads a hexadecimal number and `0` an octal one.
fn parse_integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if text.starts_with('-') => (-1, digits),
        Some(digits) => (1, digits),
        None => (1, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [] => return text.is_empty().then_some(0),
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // One sign is enough.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(digits, base)
        .ok()
        .map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, want) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("30", Some(30)),
            ("+30", Some(30)),
            ("-1", Some(-1)),
            ("030", Some(24)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("0o17", Some(15)),
            ("08", None),
            ("--1", None),
            ("0x", None),
            ("-", None),
            ("30s", None),
            ("3.5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_integer(text), want, "{text:?}");
        }
    }

    #[test]
    fn yes_is_no_flag() {
        for (text, want) in [
            ("True", Some(true)),
            ("t", Some(true)),
            ("1", Some(true)),
            ("False", Some(false)),
            ("0", Some(false)),
            ("", Some(false)),
            ("yes", None),
            ("on", None),
            ("tRUE", None),
        ] {
            assert_eq!(parse_flag(text.as_bytes()), want, "{text:?}");
        }
    }
}
