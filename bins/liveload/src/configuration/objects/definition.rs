//! One object definition of a dump, with directives by their usual words.

use bstr::{BStr, BString, ByteSlice};
use nagios::object;

use super::rules::{Kind, usual};
use super::{Key, Place};

/// An object definition: no directive is empty, none stands there twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Definition {
    /// The word behind `define`.
    pub(super) kind: BString,
    /// The line it begins in, from 1.
    pub(super) line: usize,
    /// Each directive with its value, in the order of the text.
    pub(super) directives: Vec<(BString, BString)>,
}

/// Reads a text that must be object definitions and nothing else.
pub(super) fn definitions(text: &[u8]) -> Result<Vec<Definition>, String> {
    readable(text).collect()
}

/// Reads object definitions up to the first mistake.
pub(super) fn readable(text: &[u8]) -> impl Iterator<Item = Result<Definition, String>> {
    object::definitions(text).map(|read| match read {
        Ok(read) => Definition::new(read),
        Err(error) => Err(error.to_string()),
    })
}

impl Definition {
    fn new(read: object::Definition) -> Result<Self, String> {
        let mut definition = Self {
            kind: read.kind,
            line: read.line,
            directives: Vec::with_capacity(read.directives.len()),
        };
        for directive in read.directives {
            let key = usual(&directive.key);
            let wrong = |what: &str| Err(format!("{}: {} {what}", directive.line, key.as_bstr()));
            if directive.value.iter().any(u8::is_ascii_control) {
                return wrong("has a control character");
            }
            if definition.value(key).is_some() {
                return wrong("stands there twice");
            }
            // What has no value says nothing; the cores do not even start with it.
            if !directive.value.is_empty() {
                definition.directives.push((key.into(), directive.value));
            }
        }
        Ok(definition)
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
        let mut sorted: Vec<_> = self
            .directives
            .iter()
            .map(|(key, text)| (key, value(key, text)))
            .collect();
        sorted.sort();
        let directives = sorted.iter().map(|(key, value)| (&key[..], &value[..]));
        object::print(&self.kind.to_string(), directives, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_for_the_same_directive_are_the_same() {
        let text = "define host{\n host_name a\n host_groups b\n contacts\n}\n";
        let read = definitions(text.as_bytes()).unwrap().remove(0);
        assert_eq!(read.value("hostgroups").unwrap(), "b");
        assert_eq!(read.value("contacts"), None);
        let mut out = Vec::new();
        read.print(&mut out, |_, value| value.to_vec());
        assert_eq!(definitions(&out).unwrap().remove(0), read);
    }

    #[test]
    fn what_the_cores_would_understand_in_two_ways_is_refused() {
        for (text, why) in [
            (
                "define host{\nalias a\nalias b\n}\n",
                "3: alias stands there twice",
            ),
            (
                "define host{\nhostgroups a\nhost_groups b\n}\n",
                "3: hostgroups stands there twice",
            ),
            (
                "define host{\nalias a\rb\n}\n",
                "2: alias has a control character",
            ),
            ("include_file=/etc/passwd\n", "nothing else is read"),
        ] {
            let error = definitions(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
