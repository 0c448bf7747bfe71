//! One object definition: `define KIND {`, a directive a line, `}`.

use bstr::{BStr, BString, ByteSlice};

use super::rules::{Kind, usual};
use super::{Key, Place};

/// Longest line, with those that continue it.
const MAX_LINE: usize = 1 << 20;
/// Most directives of one object.
const MAX_DIRECTIVES: usize = 200;

/// An object definition as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Definition {
    /// The word behind `define`.
    pub(super) kind: BString,
    /// The line it begins in, from 1.
    pub(super) line: usize,
    /// Each directive with its value, by their usual words, in the order of
    /// the text; none is empty, none stands there twice.
    pub(super) directives: Vec<(BString, BString)>,
}

/// Reads a text that must be object definitions and nothing else.
pub(super) fn definitions(text: &[u8]) -> Result<Vec<Definition>, String> {
    readable(text).collect()
}

/// Reads object definitions up to the first mistake.
pub(super) fn readable(text: &[u8]) -> impl Iterator<Item = Result<Definition, String>> {
    let mut lines = Lines {
        rest: text,
        number: 0,
    };
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let read = definition(&mut lines).transpose();
        failed = matches!(read, Some(Err(_)));
        read
    })
}

fn definition(lines: &mut Lines<'_>) -> Result<Option<Definition>, String> {
    let Some((number, line)) = lines.next()? else {
        return Ok(None);
    };
    let wrong = |what: &str| Err(format!("{number}: {what}"));
    let Some(kind) = line
        .strip_prefix(b"define")
        .and_then(|rest| rest.strip_suffix(b"{"))
    else {
        let shown = line.get(..40).unwrap_or(&line).as_bstr();
        return wrong(&format!(
            "expected `define KIND {{`, found {shown:?}: nothing else is read"
        ));
    };
    if !kind.first().is_some_and(u8::is_ascii_whitespace) {
        return wrong("expected a kind of object behind `define`");
    }
    let mut definition = Definition {
        kind: kind.trim_ascii().into(),
        line: number,
        directives: Vec::new(),
    };
    loop {
        let Some((number, line)) = lines.next()? else {
            return wrong("the object has no end: the file was cut");
        };
        if line == "}" {
            return Ok(Some(definition));
        }
        definition
            .add(&line)
            .map_err(|what| format!("{number}: {what}"))?;
    }
}

impl Definition {
    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let end = line.find_byteset(b" \t").unwrap_or(line.len());
        let (key, value) = (usual(&line[..end]), line[end..].trim_ascii());
        if value.iter().any(u8::is_ascii_control) {
            return Err(format!("{} has a control character", key.as_bstr()));
        }
        if self.value(key).is_some() {
            return Err(format!("{} stands there twice", key.as_bstr()));
        }
        if self.directives.len() == MAX_DIRECTIVES {
            return Err(format!(
                "an object with more than {MAX_DIRECTIVES} directives"
            ));
        }
        // What has no value says nothing; the cores do not even start with it.
        if !value.is_empty() {
            self.directives.push((key.into(), value.into()));
        }
        Ok(())
    }

    fn value(&self, key: impl AsRef<[u8]>) -> Option<&BStr> {
        let key = key.as_ref();
        let mut all = self.directives.iter();
        all.find(|(known, _)| known == key)
            .map(|(_, value)| value.as_bstr())
    }

    /// A complaint about this object.
    pub(super) fn wrong(&self, what: &str) -> String {
        format!("{}: {} {}: {what}", self.line, self.kind, self.title())
    }

    fn title(&self) -> String {
        let names = ["host_name", "service_description", "name"];
        let kind = Kind::from_word(&self.kind).map(Kind::name_key);
        let mut shown: Vec<String> = Vec::new();
        for key in names.into_iter().chain(kind) {
            let Some(value) = self.value(key) else {
                continue;
            };
            let text = format!("{:?}", value.get(..100).unwrap_or(value).as_bstr());
            if !shown.contains(&text) {
                shown.push(text);
            }
        }
        shown.join(", ")
    }

    /// Where it stands among the objects of a file.
    pub(super) fn place(&self) -> Result<Place, String> {
        let Some(kind) = Kind::from_word(&self.kind) else {
            return Err(self.wrong("a dump may not define such objects"));
        };
        let is_object = self.value("register").is_none_or(|value| value != "0");
        let named = |key: &str| {
            let value = self.value(key).map(BString::from);
            value.ok_or_else(|| self.wrong(&format!("{key} is missing")))
        };
        let (name, description) = match (kind, is_object) {
            (_, false) => (named("name")?, BString::default()),
            (Kind::Service, true) => (named("host_name")?, named("service_description")?),
            (kind, true) => (named(kind.name_key())?, BString::default()),
        };
        Ok(Place {
            kind,
            is_object,
            name,
            description,
        })
    }

    /// What may be in a configuration only once; `None` for services.
    pub(super) fn key(&self, kind: Kind) -> Option<Key> {
        if let Some(template) = self.value("name") {
            return Some((kind.template_word(), template.into()));
        }
        if kind == Kind::Service {
            return None;
        }
        let name = self.value(kind.name_key())?;
        Some((kind.word(), name.into()))
    }

    /// Prints it, with values as `value` makes them.
    pub(super) fn print(&self, out: &mut Vec<u8>, value: impl Fn(&[u8], &[u8]) -> Vec<u8>) {
        out.extend_from_slice(b"\ndefine ");
        out.extend_from_slice(&self.kind);
        out.extend_from_slice(b" {\n");
        let mut sorted: Vec<_> = self.directives.iter().collect();
        sorted.sort();
        for (key, text) in sorted {
            out.extend_from_slice(b"  ");
            out.extend_from_slice(key);
            out.extend(std::iter::repeat_n(
                b' ',
                28_usize.saturating_sub(key.len()).max(1),
            ));
            escape(&value(key, text), out);
            out.push(b'\n');
        }
        out.extend_from_slice(b"}\n");
    }
}

/// A value as the cores read it back: `;` would begin a comment, and a
/// backslash at the end would continue the line.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for b in value {
        if *b == b';' {
            out.push(b'\\');
        }
        out.push(*b);
    }
    if value.ends_with(b"\\") {
        out.push(b'\\');
    }
}

/// Lines as the cores make them: continued behind a backslash, without blanks
/// around, without comments.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl Lines<'_> {
    /// The next line that says something, and its number.
    fn next(&mut self) -> Result<Option<(usize, BString)>, String> {
        while !self.rest.is_empty() {
            let number = self.number + 1;
            let line = self.joined()?;
            let line = without_comment(line.trim_ascii());
            if !line.is_empty() {
                return Ok(Some((number, line)));
            }
        }
        Ok(None)
    }

    /// One line, with those that continue it.
    fn joined(&mut self) -> Result<BString, String> {
        let mut joined = BString::default();
        loop {
            let (line, rest) = self.rest.split_once_str(b"\n").unwrap_or((self.rest, b""));
            self.rest = rest;
            self.number += 1;
            let line = match joined.is_empty() {
                true => line,
                false => line.trim_ascii_start(),
            };
            if joined.len() + line.len() > MAX_LINE {
                let number = self.number;
                return Err(format!("{number}: a line of more than {MAX_LINE} bytes"));
            }
            joined.extend_from_slice(line);
            // Of two backslashes at the end one is taken away, and that is all.
            if !joined.ends_with(b"\\") {
                return Ok(joined);
            }
            joined.pop();
            if joined.ends_with(b"\\") || self.rest.is_empty() {
                return Ok(joined);
            }
        }
    }
}

fn without_comment(line: &[u8]) -> BString {
    if line.starts_with(b"#") {
        return BString::default();
    }
    let mut out = BString::default();
    for b in line {
        if *b == b';' && !out.ends_with(b"\\") {
            break;
        }
        if *b == b';' {
            out.pop();
        }
        out.push(*b);
    }
    let end = out.trim_ascii_end().len();
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let read = definitions(text.as_bytes()).unwrap();
        let own = |text: &BString| text.to_string();
        let all = read.iter().flat_map(|read| &read.directives);
        all.map(|(key, value)| (own(key), own(value))).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn objects_are_read_as_the_cores_read_them() {
        let text = "# comment\n; comment\n\ndefine host{\n\thost_name  a b ; tail\n  alias x \\; y\n \
                    host_groups one,\\\n     two\n  description Drive C:\\\\\n contacts\n}\n";
        assert_eq!(
            values(text),
            [
                pair("host_name", "a b"),
                pair("alias", "x ; y"),
                pair("hostgroups", "one,two"),
                pair("service_description", "Drive C:\\"),
            ]
        );
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let definition = Definition {
            kind: "service".into(),
            line: 1,
            directives: [
                ("host_name", "h"),
                ("service_description", "a;b \\; c;"),
                ("notes", "ends in \\"),
                ("alias", "two \\\\"),
            ]
            .map(|(key, value)| (BString::from(key), BString::from(value)))
            .to_vec(),
        };
        let mut text = Vec::new();
        definition.print(&mut text, |_, value| value.to_vec());
        let mut read = definitions(&text).unwrap();
        let mut want = definition.directives;
        want.sort();
        assert_eq!(read.remove(0).directives, want, "{}", text.as_bstr());
        assert!(read.is_empty());
    }

    #[test]
    fn everything_else_is_refused_with_its_place() {
        for (text, why) in [
            ("cfg_file=/etc/passwd\n", "1: expected `define"),
            ("include_file=/etc/passwd\n", "1: expected `define"),
            ("\ninclude_dir=/\n", "2: expected `define"),
            ("define host{\nhost_name a\n", "the file was cut"),
            ("define host\n{\n}\n", "1: expected `define"),
            ("definehost{\n}\n", "a kind of object"),
            ("define host{ host_name a }\n", "1: expected `define"),
            ("}\n", "1: expected `define"),
            (
                "define host{\nalias a\nalias b\n}\n",
                "3: alias stands there twice",
            ),
            ("define host{\nalias a\rb\n}\n", "control character"),
        ] {
            let error = definitions(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let long = format!("define host{{\nalias {}\n}}\n", "x".repeat(MAX_LINE));
        assert!(definitions(long.as_bytes()).unwrap_err().contains("bytes"));
    }
}
