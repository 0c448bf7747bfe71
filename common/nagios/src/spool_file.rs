//! Spool files of Checkmk's notification spooler: one Python literal each, read
//! as data and printed as Checkmk's own `store` prints it.
//!
//! | kind | keys |
//! |---|---|
//! | forward | `context`, `forward: True` (`'host:port'` in the first generation) |
//! | by plugin | `context`, `plugin: 'name'`, or `None` for a plain mail |
//! | raw | `context` |
//! | result | `context`, `plugin`, `status`, `output`, sometimes `forward` |
//! | bulk | no dict: a tuple of the plugin's parameters and the context |
//!
//! A spool file and a notification are made of each other: the keys beside
//! `context` travel in the variable [`KEYS`], so that what was read can be printed
//! again, byte by byte.

use std::fmt;

use bstr::{BString, ByteSlice};
use objects::notification::{Context, Kind, MAX_CONTEXT, MAX_ENTRIES, MAX_NAME};

use crate::python::{Limits, Value};

/// The variable that holds the keys beside the context, as a literal. A
/// notification that never was a spool file has none.
pub const KEYS: &str = "SITEWIRE_CHECKMK";
/// The variable that names the plugin, for scripts.
pub const PLUGIN: &str = "SITEWIRE_PLUGIN";

/// How much of a spool file is read.
const LIMITS: Limits = Limits {
    bytes: MAX_CONTEXT,
    string: MAX_CONTEXT,
    values: 4 * MAX_ENTRIES,
    depth: 8,
};

/// A spool file.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolFile {
    /// The variables of the notification.
    pub context: Context,
    /// The other keys, in the order of the file.
    keys: Vec<(BString, Value)>,
}

/// What a spool file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolKind {
    /// To be sent to another site.
    Forward,
    /// To be delivered by one plugin, to one contact.
    ByPlugin,
    /// To be judged by the rules here.
    Raw,
    /// What became of a delivery, to be sent to the origin.
    Result,
}

impl SpoolKind {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::ByPlugin => "plugin",
            Self::Raw => "raw",
            Self::Result => "result",
        }
    }
}

/// Why something is no spool file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SpoolFileError {
    /// Not a literal, or beyond the limits.
    Literal(crate::Error),
    /// A literal, but not of this form.
    Form(String),
}

impl fmt::Display for SpoolFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(error) => error.fmt(f),
            Self::Form(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for SpoolFileError {}

impl SpoolFile {
    /// Reads a file of the directories `spool` and `deferred`.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpoolFileError> {
        let value = Value::parse(bytes, LIMITS).map_err(SpoolFileError::Literal)?;
        let Value::Dict(entries) = value else {
            return form(format!(
                "a spool file is a dict, not a {}",
                value.type_name()
            ));
        };
        let (mut context, mut keys) = (None, Vec::new());
        for (key, value) in entries {
            match key {
                Value::Str(key) if key == "context" => context = Some(value),
                Value::Str(key) => set(&mut keys, key, value),
                other => {
                    return form(format!("a key of it is a {}, not a str", other.type_name()));
                }
            }
        }
        match context {
            Some(Value::Dict(entries)) => Ok(Self {
                context: read_context(entries)?,
                keys,
            }),
            Some(other) => form(format!(
                "its context is a {}, not a dict",
                other.type_name()
            )),
            None => form("it has no context".to_owned()),
        }
    }

    /// Reads a file of the directory `bulk`, which waits for the plugin that the
    /// directory is named after. What it becomes is one to be delivered at once.
    pub fn parse_bulk(bytes: &[u8], plugin: &[u8]) -> Result<Self, SpoolFileError> {
        let value = Value::parse(bytes, LIMITS).map_err(SpoolFileError::Literal)?;
        let parts: Option<[Value; 2]> = match value {
            Value::Tuple(parts) => parts.try_into().ok(),
            _ => None,
        };
        let Some([parameters, Value::Dict(entries)]) = parts else {
            return form("a bulk file is a tuple of parameters and context".to_owned());
        };
        let mut context = read_context(entries)?;
        let mut more = Vec::new();
        flatten("PARAMETER", &parameters, &mut more);
        for (name, value) in more {
            // What the core says counts more than what is derived here.
            if context.len() < MAX_ENTRIES && is_name(name.as_bytes()) {
                context.entry(name).or_insert(value);
            }
        }
        let keys = vec![("plugin".into(), Value::Str(plugin.into()))];
        Ok(Self { context, keys })
    }

    /// One that the rules of a Checkmk site are to judge.
    pub fn raw(context: Context) -> Self {
        let keys = Vec::new();
        Self { context, keys }
    }

    /// One that a Checkmk site is to forward.
    pub fn forward(context: Context) -> Self {
        let keys = vec![("forward".into(), Value::Bool(true))];
        Self { context, keys }
    }

    /// What it asks for.
    pub fn kind(&self) -> SpoolKind {
        let no = [Value::None, Value::Bool(false), Value::Str("".into())];
        if self.key("status").is_some() || self.key("output").is_some() {
            SpoolKind::Result
        } else if self.key("forward").is_some_and(|value| !no.contains(value)) {
            SpoolKind::Forward
        } else if self.key("plugin").is_some() {
            SpoolKind::ByPlugin
        } else {
            SpoolKind::Raw
        }
    }

    /// The plugin that is to deliver it, or did; none for a plain mail.
    pub fn plugin(&self) -> Option<&[u8]> {
        match self.key("plugin") {
            Some(Value::Str(name)) => Some(name),
            _ => None,
        }
    }

    fn key(&self, name: &str) -> Option<&Value> {
        let mut keys = self.keys.iter();
        keys.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The kind and the context of the notification that it is.
    pub fn into_notification(mut self) -> (Kind, Context) {
        let kind = match self.kind() {
            SpoolKind::Result => Kind::Result,
            _ => Kind::Raw,
        };
        let plugin = self.plugin().map(BString::from);
        let keys = self
            .keys
            .into_iter()
            .map(|(key, value)| (Value::Str(key), value));
        let mut literal = Vec::new();
        Value::Dict(keys.collect()).print(&mut literal);
        self.context.insert(KEYS.to_owned(), literal.into());
        if let Some(plugin) = plugin {
            self.context.insert(PLUGIN.to_owned(), plugin);
        }
        (kind, self.context)
    }

    /// The spool file that a notification was made of; `None` if it was not, or
    /// if what it says of that cannot be read.
    pub fn of_notification(context: &Context) -> Option<Self> {
        let literal = Value::parse(context.get(KEYS)?, LIMITS).ok()?;
        let Value::Dict(entries) = literal else {
            return None;
        };
        let mut keys = Vec::new();
        for (key, value) in entries {
            match key {
                Value::Str(key) if key != "context" => set(&mut keys, key, value),
                _ => return None,
            }
        }
        let mut context = context.clone();
        context.remove(KEYS);
        context.remove(PLUGIN);
        Some(Self { context, keys })
    }

    /// Appends the file as Checkmk writes it.
    pub fn print(&self, out: &mut Vec<u8>) {
        let context = self.context.iter();
        let context = context.map(|(name, value)| {
            let name = Value::Str(name.as_str().into());
            (name, Value::Str(value.clone()))
        });
        let mut entries = vec![(Value::Str("context".into()), Value::Dict(context.collect()))];
        let keys = self.keys.iter();
        entries.extend(keys.map(|(key, value)| (Value::Str(key.clone()), value.clone())));
        Value::Dict(entries).print_pretty(out);
        out.push(b'\n');
    }
}

fn form<T>(what: String) -> Result<T, SpoolFileError> {
    Err(SpoolFileError::Form(what))
}

/// The later of two equal keys counts, as it does to Python.
fn set(keys: &mut Vec<(BString, Value)>, key: BString, value: Value) {
    match keys.iter_mut().find(|(known, _)| *known == key) {
        Some(entry) => entry.1 = value,
        None => keys.push((key, value)),
    }
}

fn read_context(entries: Vec<(Value, Value)>) -> Result<Context, SpoolFileError> {
    let mut context = Context::new();
    for (name, value) in entries {
        let name = match name {
            Value::Str(name) if is_name(&name) => name,
            _ => return form("its context has a name that is no name".to_owned()),
        };
        let Some(value) = plain(value) else {
            return form(format!("{name} in its context is no text"));
        };
        // `is_name` has seen that it is UTF-8.
        context.insert(name.to_string(), value);
    }
    if context.len() > MAX_ENTRIES {
        return form(format!("its context has more than {MAX_ENTRIES} entries"));
    }
    Ok(context)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.to_str().is_ok()
        && name.find_byteset(b"=\0").is_none()
}

/// The text of a value as it would reach a plugin's environment.
fn plain(value: Value) -> Option<BString> {
    Some(match value {
        Value::Str(text) | Value::Bytes(text) => text,
        Value::None => BString::default(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let mut out = Vec::new();
            value.print(&mut out);
            out.into()
        }
        _ => return None,
    })
}

/// Parameters of a plugin as variables, by the rules of Checkmk: names of keys
/// are joined, a list has an `S` behind its name and a variable for each element.
fn flatten(name: &str, value: &Value, into: &mut Vec<(String, BString)>) {
    match value {
        Value::Dict(entries) => {
            for (key, value) in entries {
                if let Value::Str(key) = key
                    && let Ok(key) = key.to_str()
                {
                    flatten(&format!("{name}_{}", key.to_uppercase()), value, into);
                }
            }
        }
        Value::List(items) => {
            let texts: Vec<BString> = items.iter().cloned().filter_map(plain).collect();
            into.push((format!("{name}S"), bstr::join(" ", &texts).into()));
            for (index, text) in texts.into_iter().enumerate() {
                into.push((format!("{name}_{}", index + 1), text));
            }
        }
        Value::Tuple(items) => {
            let texts: Vec<BString> = items.iter().cloned().filter_map(plain).collect();
            into.push((name.to_owned(), bstr::join("\t", &texts).into()));
        }
        other => into.extend(plain(other.clone()).map(|text| (name.to_owned(), text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_PLUGIN: &str = "\
{'context': {'CONTACTEMAIL': 'jane@example.com',
             'CONTACTNAME': 'jane',
             'HOSTNAME': 'db1',
             'LONGSERVICEOUTPUT': '/var is full: 98.7% of 20 GB used, it was '
                                  '91.2% an hour ago and grows by 2.1 '
                                  \"GB/h\\\\nsecond line's end\",
             'NOTIFICATIONTYPE': 'PROBLEM',
             'OMD_SITE': 'branch7',
             'SERVICEDESC': 'Größe von /var',
             'SERVICESTATE': 'CRITICAL',
             'WHAT': 'SERVICE'},
 'plugin': 'mail'}
";
    const FORWARD: &str =
        "{'context': {'HOSTNAME': 'db1', 'OMD_SITE': 'branch7'}, 'forward': True}\n";
    const RESULT: &str = "\
{'context': {'CONTACTNAME': 'jane', 'HOSTNAME': 'db1', 'NOTIFICATIONTYPE': 'x'},
 'output': ['connecting to mail.example.com', 'refused: no such user'],
 'plugin': 'mail',
 'status': 2}
";

    fn read(text: &str) -> SpoolFile {
        SpoolFile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn printed(file: &SpoolFile) -> String {
        let mut out = Vec::new();
        file.print(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_becomes_a_notification_and_the_same_file_again() {
        for (text, kind, plugin) in [
            (BY_PLUGIN, SpoolKind::ByPlugin, Some(&b"mail"[..])),
            (FORWARD, SpoolKind::Forward, None),
            (RESULT, SpoolKind::Result, Some(b"mail")),
            ("{'context': {'HOSTNAME': 'db1'}}\n", SpoolKind::Raw, None),
            (
                "{'context': {'HOSTNAME': 'db1'}, 'plugin': None}\n",
                SpoolKind::ByPlugin,
                None,
            ),
            // First generation: the target is in the file.
            (
                "{'context': {'HOSTNAME': 'db1'}, 'forward': '10.1.1.5:6555'}\n",
                SpoolKind::Forward,
                None,
            ),
            // A key of a later version.
            (
                "{'context': {'A': '\\udce4'}, 'later': [1, (2.5, None)]}\n",
                SpoolKind::Raw,
                None,
            ),
        ] {
            let file = read(text);
            assert_eq!((file.kind(), file.plugin()), (kind, plugin), "{text}");
            assert_eq!(printed(&file), text);
            let (of, context) = file.clone().into_notification();
            assert_eq!(of == Kind::Result, kind == SpoolKind::Result);
            assert_eq!(SpoolFile::of_notification(&context), Some(file), "{text}");
        }
    }

    #[test]
    fn files_of_old_versions_are_read() {
        let file = read(
            "{u'context': {u'HOSTNAME': u'db\\xe4', 'N': 5, 'E': None,\n # comment\n 'B': b'\\xff'},}",
        );
        assert_eq!(file.context["HOSTNAME"], "dbä");
        assert_eq!(file.context["N"], "5");
        assert_eq!(file.context["E"], "");
        assert_eq!(file.context["B"], &b"\xff"[..]);
        // Later keys count.
        let file = read("{'context': {'A': '1', 'A': '2'}, 'plugin': 'a', 'plugin': 'b'}");
        assert_eq!(
            (&file.context["A"][..], file.plugin()),
            (&b"2"[..], Some(&b"b"[..]))
        );
    }

    #[test]
    fn a_bulk_file_becomes_one_for_its_plugin() {
        let text = b"({'elements': ['graph', 'abstime'], 'smtp': {'port': 25, 'on': None}, \
                      'pair': ('a', 'b'), 'url_prefix': 'http://x'}, {'HOSTNAME': 'db1'})\n";
        let file = SpoolFile::parse_bulk(text, b"mail").unwrap();
        assert_eq!(file.kind(), SpoolKind::ByPlugin);
        assert_eq!(file.plugin(), Some(&b"mail"[..]));
        for (name, value) in [
            ("HOSTNAME", "db1"),
            ("PARAMETER_ELEMENTSS", "graph abstime"),
            ("PARAMETER_ELEMENTS_1", "graph"),
            ("PARAMETER_ELEMENTS_2", "abstime"),
            ("PARAMETER_SMTP_PORT", "25"),
            ("PARAMETER_SMTP_ON", ""),
            ("PARAMETER_PAIR", "a\tb"),
            ("PARAMETER_URL_PREFIX", "http://x"),
        ] {
            assert_eq!(file.context[name], value, "{name}");
        }
        let old = SpoolFile::parse_bulk(b"(['a', 'b'], {'HOSTNAME': 'db1'})", b"mail").unwrap();
        assert_eq!(old.context["PARAMETERS"], "a b");
        assert_eq!(old.context["PARAMETER_2"], "b");
    }

    #[test]
    fn what_is_no_spool_file_is_refused_with_the_reason() {
        let long = format!("{{'context': {{'{}': ''}}}}", "x".repeat(MAX_NAME + 1));
        let deep = format!("{{'context': {}", "{'a': ".repeat(20));
        for (text, want) in [
            ("", "1:1: expected a value, found the end of the text"),
            (
                "{'context': {'A': 'b'",
                "1:22: expected `,` or `}`, found the end of the text",
            ),
            ("[1]", "a spool file is a dict, not a list"),
            ("{'plugin': 'mail'}", "it has no context"),
            ("{'context': 'x'}", "its context is a str, not a dict"),
            ("{'context': {'A': ['b']}}", "A in its context is no text"),
            (
                "{'context': {'A=B': 'b'}}",
                "its context has a name that is no name",
            ),
            (
                "{'context': {1: 'b'}}",
                "its context has a name that is no name",
            ),
            (&long, "its context has a name that is no name"),
            ("{1: {}}", "a key of it is a int, not a str"),
            (
                "{'context': __import__('os').system('x')}",
                "1:13: `__import__` is not a literal, and nothing else is read",
            ),
            (&deep, "1:55: brackets are nested deeper than 8"),
        ] {
            let error = SpoolFile::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), want, "{text}");
        }
        for text in ["{}", "(1,)", "(1, 2)", "({}, {}, {})"] {
            assert!(
                SpoolFile::parse_bulk(text.as_bytes(), b"mail").is_err(),
                "{text}"
            );
        }
        // Cut at any byte: never taken for a whole one.
        for end in 0..BY_PLUGIN.len() - 2 {
            assert!(
                SpoolFile::parse(&BY_PLUGIN.as_bytes()[..end]).is_err(),
                "{end}"
            );
        }
    }

    #[test]
    fn a_notification_of_our_own_is_no_spool_file_until_it_is_told_which() {
        let context: Context = [("HOSTNAME".to_owned(), "db1".into())].into();
        assert_eq!(SpoolFile::of_notification(&context), None);
        assert_eq!(
            printed(&SpoolFile::raw(context.clone())),
            "{'context': {'HOSTNAME': 'db1'}}\n"
        );
        assert_eq!(
            printed(&SpoolFile::forward(context.clone())),
            "{'context': {'HOSTNAME': 'db1'}, 'forward': True}\n"
        );
        for odd in ["", "[1]", "{'context': {}}", "{1: 2}", "os.system('x')"] {
            let mut context = context.clone();
            context.insert(KEYS.to_owned(), odd.into());
            assert_eq!(SpoolFile::of_notification(&context), None, "{odd}");
        }
    }
}
