//! The dialect of the agent's configuration files: that of Go's `ini` package
//! with its default options, as it is seen through `viper`.
//!
//! What is worth knowing of it: sections and keys are lower-cased; the value
//! of a key ends at the first `#` or `;`, wherever it stands and whatever
//! quotes are around it; a backslash at the end of a line goes on with the
//! next one; `%(key)s` is replaced. A value in backticks or in three double
//! quotes is taken as it is, and may be of several lines.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};

/// Longest file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Longest value after continuation and replacement, in bytes.
pub const MAX_VALUE: usize = 64 << 10;
/// Most sections of a file.
pub const MAX_SECTIONS: usize = 4096;
/// Most keys of a section.
pub const MAX_KEYS: usize = 1024;
/// The name of the section before the first header.
pub const DEFAULT_SECTION: &str = "default";
/// How often `%(key)s` is replaced in one value.
const MAX_REPLACEMENTS: usize = 99;

/// A file: sections in their order, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ini {
    sections: Vec<Section>,
}

/// A section, with what all its parts in the file say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// In lower case.
    pub name: String,
    /// Where it begins first; 0 for keys before any header.
    pub line: usize,
    entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// Without quotes and comment, with `%(key)s` replaced.
    pub value: BString,
    /// The line of the file, counted from 1.
    pub line: usize,
    /// What was cut off the value because it looks like a comment, with the
    /// blanks before it.
    pub cut: Option<BString>,
    /// Where the same key stood before. The last one counts.
    pub repeats: Option<usize>,
}

/// A line that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line of the file, counted from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl Ini {
    /// Reads a file. Lines that cannot be understood are left out, and named.
    pub fn parse(bytes: &[u8]) -> (Self, Vec<Problem>) {
        let mut reader = Reader::new(bytes);
        reader.read();
        let Reader { ini, problems, .. } = reader;
        (ini.replaced(), problems)
    }

    /// All sections, in the order of the file.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }

    /// The section of this name, which is in lower case.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// `%(key)s` is looked up in the section itself, then in the default one.
    fn replaced(mut self) -> Self {
        let raw = self.clone();
        let default = raw.section(DEFAULT_SECTION);
        for (section, raw) in self.sections.iter_mut().zip(&raw.sections) {
            for entry in &mut section.entries {
                replace(entry, raw, default);
            }
        }
        self
    }

    /// The section of this name, which begins here if it is new.
    fn begin(&mut self, name: String, line: usize) -> Option<usize> {
        if let Some(at) = self.sections.iter().position(|known| known.name == name) {
            return Some(at);
        }
        if self.sections.len() == MAX_SECTIONS {
            return None;
        }
        self.sections.push(Section {
            name,
            line,
            entries: Vec::new(),
        });
        Some(self.sections.len() - 1)
    }
}

impl Section {
    /// All keys, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The key of this name, which is in lower case.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether there was room for it.
    fn put(&mut self, mut entry: Entry) -> bool {
        let at = self.entries.iter().position(|old| old.key == entry.key);
        match at {
            Some(at) => {
                entry.repeats = Some(self.entries[at].line);
                self.entries[at] = entry;
            }
            None if self.entries.len() == MAX_KEYS => return false,
            None => self.entries.push(entry),
        }
        true
    }
}

fn replace(entry: &mut Entry, section: &Section, default: Option<&Section>) {
    for _ in 0..MAX_REPLACEMENTS {
        let Some((start, end)) = variable(&entry.value) else {
            return;
        };
        let name = entry.value[start + 2..end - 2].to_str_lossy();
        let name = name.to_lowercase();
        let here = section.get(&name).filter(|_| name != entry.key);
        let Some(found) = here.or_else(|| default?.get(&name)) else {
            return;
        };
        let value = entry
            .value
            .replace(&entry.value[start..end], found.value.as_slice());
        if value.len() > MAX_VALUE {
            return;
        }
        entry.value = value.into();
    }
}

/// Where the first `%(key)s` begins and ends.
fn variable(value: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = value[from..].find(b"%(") {
        let start = from + at;
        let close = start + 2 + value[start + 2..].find_byte(b')')?;
        if close > start + 2 && value.get(close + 1) == Some(&b's') {
            return Some((start, close + 2));
        }
        from = start + 1;
    }
    None
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Of the line that was read last.
    line: usize,
    ini: Ini,
    /// Where keys go; none under a header that could not be understood.
    current: Option<usize>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self {
            rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
            line: 0,
            ini: Ini::default(),
            current: None,
            problems: Vec::new(),
        };
        if bytes.len() > MAX_FILE {
            reader.rest = &[];
            reader.problem("the file is longer than 1 MiB");
        } else if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            reader.rest = &[];
            reader.problem("the file is UTF-16: save it as UTF-8");
        }
        reader
    }

    fn problem(&mut self, what: &'static str) {
        self.problems.push(Problem {
            line: self.line,
            what,
        });
    }

    /// The next line with its end.
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self
            .rest
            .find_byte(b'\n')
            .map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.line += 1;
        Some(line)
    }

    fn read(&mut self) {
        let mut before_any_header = true;
        while let Some(line) = self.next() {
            let line = line.trim_start();
            match line.first() {
                None | Some(b'#' | b';') => {}
                Some(b'[') => {
                    before_any_header = false;
                    self.header(line);
                }
                Some(_) => {
                    if before_any_header {
                        before_any_header = false;
                        self.current = self.ini.begin(DEFAULT_SECTION.to_owned(), 0);
                    }
                    self.entry(line);
                }
            }
        }
    }

    fn header(&mut self, line: &[u8]) {
        self.current = None;
        let Some(end) = line.rfind_byte(b']') else {
            return self.problem("the section's name is not closed by a bracket");
        };
        let name = line[1..end].to_str_lossy().to_lowercase();
        if name.is_empty() {
            return self.problem("the section has no name");
        }
        self.current = self.ini.begin(name, self.line);
        if self.current.is_none() {
            self.problem("too many sections");
        }
    }

    fn entry(&mut self, line: &[u8]) {
        let number = self.line;
        let (key, value) = match split_key(line) {
            Ok(parts) => parts,
            Err(what) => return self.problem(what),
        };
        let key = key.to_str_lossy().to_lowercase();
        let Some((value, cut)) = self.value(value) else {
            return;
        };
        if value.len() > MAX_VALUE {
            return self.problem("the value is longer than 64 KiB");
        }
        let Some(section) = self.current else {
            return;
        };
        let entry = Entry {
            key,
            value,
            line: number,
            cut,
            repeats: None,
        };
        if !self.ini.sections[section].put(entry) {
            self.problem("too many keys in one section");
        }
    }

    /// What is meant by the rest of a line, and what was cut off it.
    fn value(&mut self, text: &[u8]) -> Option<(BString, Option<BString>)> {
        let text = text.trim_start();
        for quote in [&b"\"\"\""[..], b"`"] {
            let Some(inner) = text.strip_prefix(quote) else {
                continue;
            };
            // Three quotes alone are not the beginning of anything.
            if text.len() > quote.len() || quote.len() == 1 {
                return Some((self.literal(inner, quote)?, None));
            }
        }
        let text = text.trim();
        if let Some(first) = text.strip_suffix(b"\\") {
            return Some((self.continued(first), None));
        }
        let (text, cut) = match text.find_byteset(b"#;") {
            Some(at) => {
                let value = text[..at].trim_end();
                (value, Some(text[value.len()..].into()))
            }
            None => (text, None),
        };
        Some((unquote(text).into(), cut))
    }

    /// A value that ends at the last of these quotes in a line.
    fn literal(&mut self, first: &[u8], quote: &[u8]) -> Option<BString> {
        let number = self.line;
        let mut value = BString::default();
        let mut part = first;
        loop {
            if let Some(end) = part.rfind(quote) {
                value.extend_from_slice(&part[..end]);
                return Some(value);
            }
            value.extend_from_slice(part);
            let Some(next) = self.next() else {
                self.problems.push(Problem {
                    line: number,
                    what: "the quotes around the value are not closed",
                });
                return None;
            };
            part = next;
        }
    }

    /// A value that goes on as long as its lines end in a backslash. What
    /// looks like a comment in it is part of the value.
    fn continued(&mut self, first: &[u8]) -> BString {
        let mut value: BString = first.into();
        while let Some(line) = self.next() {
            let line = line.trim();
            match line.strip_suffix(b"\\") {
                Some(part) => value.extend_from_slice(part),
                None => {
                    value.extend_from_slice(line);
                    break;
                }
            }
        }
        value
    }
}

/// The key of a line, which may be in quotes, and what follows its delimiter.
fn split_key(line: &[u8]) -> Result<(&BStr, &[u8]), &'static str> {
    const NO_DELIMITER: &str = "there is no `=` or `:` after the key";
    let quote: &[u8] = match line {
        [b'"', b'"', b'"', ..] if line.len() > 6 => b"\"\"\"",
        [b'"', ..] => b"\"",
        [b'`', ..] => b"`",
        _ => b"",
    };
    if quote.is_empty() {
        let end = line.find_byteset(b"=:").ok_or(NO_DELIMITER)?;
        return match line[..end].trim() {
            b"" => Err("there is no key before the delimiter"),
            key => Ok((key.as_bstr(), &line[end + 1..])),
        };
    }
    let inner = &line[quote.len()..];
    let end = inner
        .find(quote)
        .ok_or("the quotes around the key are not closed")?;
    let after = &inner[end + quote.len()..];
    let delimiter = after.find_byteset(b"=:").ok_or(NO_DELIMITER)?;
    Ok((inner[..end].trim().as_bstr(), &after[delimiter + 1..]))
}

/// Without one pair of quotes around it, if there are none inside.
fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last && !inner.contains(first) => {
            inner
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Ini, Vec<Problem>) {
        Ini::parse(text.as_bytes())
    }

    /// The value of `key` in the only section that has it.
    fn value_of(text: &str) -> Option<BString> {
        let (ini, _) = parse(text);
        let found = ini.sections().find_map(|section| section.get("key"))?;
        Some(found.value.clone())
    }

    #[test]
    fn values_are_what_the_original_reads() {
        for (text, want) in [
            ("key=value", "value"),
            ("key = value", "value"),
            ("  key \t=\t value \r\n", "value"),
            ("key: value", "value"),
            ("key = a:b=c", "a:b=c"),
            ("key : a=b", "a=b"),
            ("KEY = Value", "Value"),
            ("key =", ""),
            ("key = ", ""),
            // Comments are cut wherever they stand, also inside quotes.
            ("key = echo out; exit 2", "echo out"),
            ("key = secret#1", "secret"),
            ("key = 'a # b'", "'a"),
            ("key = \"a ; b\"", "\"a"),
            ("key = # nothing", ""),
            // Quotes go in pairs, once.
            ("key = 'a b'", "a b"),
            ("key = \"a b\"", "a b"),
            ("key = \"it's\"", "it's"),
            ("key = 'it's'", "'it's'"),
            ("key = \"a\" \"b\"", "\"a\" \"b\""),
            ("key = \"", "\""),
            ("key = 'a' # c", "a"),
            // Literals.
            ("key = `a # b ; c`", "a # b ; c"),
            ("key = `a` # b", "a"),
            ("key = `a\nb` rest\nother = 1", "a\nb"),
            ("key = \"\"\"a \"b\" ; c\"\"\"", "a \"b\" ; c"),
            ("key = \"\"\"a\nb\"\"\"", "a\nb"),
            ("key = \"\"\"", "\"\"\""),
            // Continuation.
            ("key = a\\\n  b", "ab"),
            ("key = a \\\n b \\\n c", "a b c"),
            ("key = a\\\nb # kept", "ab # kept"),
            ("key = C:\\dir\\\nother = 1", "C:\\dirother = 1"),
            ("key = a\\", "a"),
            ("key = C:\\dir\\x", "C:\\dir\\x"),
            // A section's parts are one; the last key counts.
            ("[s]\nkey = 1\n[t]\nx = 1\n[S]\nkey = 2", "2"),
            ("key = 1\nkey = 2", "2"),
            ("\"key\" = 1", "1"),
            ("`key` = 1", "1"),
            ("\u{feff}key = 1", "1"),
            ("key = 1\n\n\n", "1"),
        ] {
            assert_eq!(value_of(text), Some(want.into()), "{text:?}");
        }
    }

    #[test]
    fn what_is_replaced_comes_from_the_section_or_the_default_one() {
        for (text, want) in [
            ("a = x\n[s]\nkey = %(a)s/y", "x/y"),
            ("a = x\n[s]\na = z\nkey = %(a)s%(a)s", "zz"),
            ("[default]\na = x\n[s]\nkey = %(a)s", "x"),
            ("[s]\nkey = %(none)s", "%(none)s"),
            ("[s]\nkey = %()s 100% %(a", "%()s 100% %(a"),
            ("a = x\nkey = %(a)d %(a)s", "%(a)d x"),
            ("key = k\n[s]\nkey = %(key)s!", "k!"),
        ] {
            let (ini, problems) = parse(text);
            let section = ini.sections().last().unwrap();
            assert_eq!(section.get("key").unwrap().value, want, "{text:?}");
            assert_eq!(problems, [], "{text:?}");
        }
        // Grows without end, to the limit.
        let (ini, _) = parse(&format!("key = {}%(key)s%(key)s", "x".repeat(60)));
        assert!(
            ini.section("default")
                .unwrap()
                .get("key")
                .unwrap()
                .value
                .len()
                <= MAX_VALUE
        );
    }

    #[test]
    fn sections_and_keys_are_lower_case_and_have_lines() {
        let (ini, problems) = parse("x = 0\n\n[Check_WhoAmI]\n# c\nCommand = id ; cut\n[B.c]\n");
        assert_eq!(problems, []);
        let names: Vec<_> = ini.sections().map(|s| (s.name.as_str(), s.line)).collect();
        assert_eq!(names, [("default", 0), ("check_whoami", 3), ("b.c", 6)]);
        let entry = ini.section("check_whoami").unwrap().get("command").unwrap();
        assert_eq!(entry.line, 5);
        assert_eq!(entry.cut, Some(" ; cut".into()));
        assert_eq!(entry.repeats, None);
        let (ini, _) = parse("a = `1 # 2`\na = 2");
        let entry = ini.section("default").unwrap().get("a").unwrap();
        assert_eq!((entry.line, entry.repeats, &entry.cut), (2, Some(1), &None));
    }

    #[test]
    fn what_cannot_be_understood_is_named_and_left_out() {
        for (text, line) in [
            ("ok = 1\n[open\nkey = 1", 2),
            ("\nok = 1\n[]\nkey = 1", 3),
            ("ok = 1\njust words", 2),
            ("ok = 1\n= value", 2),
            ("ok = 1\n\"key = 1", 2),
            ("ok = 1\n\"key\" 1", 2),
            ("ok = 1\nb = `open\nkey = 2", 2),
            ("ok = 1\nb = \"\"\"open\nkey = 2", 2),
        ] {
            let (ini, problems) = parse(text);
            let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
            assert_eq!(lines, [line], "{text:?}");
            assert!(ini.section("default").unwrap().get("ok").is_some());
            assert_eq!(value_of(text), None, "{text:?}");
        }
        assert_eq!(Ini::parse(&vec![b'x'; MAX_FILE + 1]).1.len(), 1);
        assert_eq!(Ini::parse(b"\xff\xfea\0=\0").1.len(), 1);
        let many: String = (0..MAX_SECTIONS + 2).map(|n| format!("[{n}]\n")).collect();
        assert_eq!(parse(&many).1.len(), 2);
        let many: String = (0..MAX_KEYS + 2).map(|n| format!("{n} = 1\n")).collect();
        assert_eq!(parse(&many).1.len(), 2);
    }
}
