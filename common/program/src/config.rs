//! Configuration files: TOML, read strictly, every mistake reported with the
//! place where it stands.
//!
//! ```
//! use program::config::Table;
//!
//! let mut problems = Vec::new();
//! let mut root = Table::parse("x.toml", "socket = '/run/live'\nsokcet = 1\n", &mut problems);
//! let socket = root.take("socket", Table::text, &mut problems);
//! root.finish(&mut problems);
//! assert_eq!(socket.as_deref(), Some("/run/live"));
//! assert_eq!(problems, ["x.toml:2:1: unknown key `sokcet`, did you mean `socket`?"]);
//! ```

use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One table of a configuration file, from which keys are taken one by one.
pub struct Table {
    source: Rc<Source>,
    /// `peer` for `[[peer]]`, for messages.
    name: String,
    at: usize,
    entries: Vec<(String, usize, Value)>,
    known: Vec<&'static str>,
}

/// A value of any kind, for keys whose meaning is somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(Vec<Plain>),
    /// A table, in the order of the text.
    Table(Vec<(String, Plain)>),
}

/// A value with the place where it stands.
pub struct Value {
    at: usize,
    kind: Kind,
}

enum Kind {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(Table),
    Other,
}

struct Source {
    file: String,
    text: String,
}

impl Source {
    fn problem(&self, at: usize, what: &str) -> String {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        format!("{}:{line}:{column}: {what}", self.file)
    }
}

impl Table {
    /// Reads a whole file. Syntax errors are added to `problems`, and what
    /// could be read is returned.
    pub fn parse(file: &str, text: &str, problems: &mut Vec<String>) -> Self {
        let source = Rc::new(Source {
            file: file.to_owned(),
            text: text.to_owned(),
        });
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            problems.push(source.problem(at, error.message()));
        }
        convert_table(&source, String::new(), 0, table.into_inner())
    }

    /// Takes `key` out, if it is there, and reads it with `read`: one of
    /// [`Table::text`], [`Table::integer`], [`Table::boolean`],
    /// [`Table::duration`], [`Table::table`], or an own function.
    pub fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
        problems: &mut Vec<String>,
    ) -> Option<T> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, ..)| name == key)?;
        let (_, _, value) = self.entries.remove(index);
        let at = value.at;
        match read(value) {
            Ok(value) => Some(value),
            Err(what) => {
                problems.push(self.source.problem(at, &format!("`{key}` {what}")));
                None
            }
        }
    }

    /// As [`Table::take`], but the key must be there.
    pub fn require<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
        problems: &mut Vec<String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.known.push(key);
            let place = if self.name.is_empty() {
                String::new()
            } else {
                format!(" in [{}]", self.name)
            };
            problems.push(
                self.source
                    .problem(self.at, &format!("`{key}` is missing{place}")),
            );
            return None;
        }
        self.take(key, read, problems)
    }

    /// Takes the tables of `[[key]]`; none is an empty list.
    pub fn take_tables(&mut self, key: &'static str, problems: &mut Vec<String>) -> Vec<Self> {
        let read = |value: Value| match value.kind {
            Kind::List(items) => items.into_iter().map(Self::table).collect(),
            Kind::Table(table) => Ok(vec![table]),
            _ => Err(format!("must be a list of tables, [[{key}]]")),
        };
        self.take(key, read, problems).unwrap_or_default()
    }

    /// Takes everything that nobody has taken yet, for tables whose keys are
    /// free names.
    pub fn take_rest<T>(
        &mut self,
        mut read: impl FnMut(Value) -> Result<T, String>,
        problems: &mut Vec<String>,
    ) -> Vec<(String, T)> {
        let mut taken = Vec::new();
        for (key, _, value) in std::mem::take(&mut self.entries) {
            let at = value.at;
            match read(value) {
                Ok(value) => taken.push((key, value)),
                Err(what) => problems.push(self.source.problem(at, &format!("`{key}` {what}"))),
            }
        }
        taken
    }

    /// Whether `key` is there and nobody has taken it yet. It is one that can be.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.known.push(key);
        self.entries.iter().any(|(name, ..)| name == key)
    }

    /// A complaint about this table as a whole.
    pub fn problem(&self, what: &str) -> String {
        self.source.problem(self.at, what)
    }

    /// Complains about every key that nobody took.
    pub fn finish(self, problems: &mut Vec<String>) {
        for (key, at, _) in &self.entries {
            let nearest = self
                .known
                .iter()
                .map(|known| (distance(known, key), known))
                .min();
            let hint = match nearest {
                Some((distance, known)) if distance <= 2 => format!(", did you mean `{known}`?"),
                _ => String::new(),
            };
            problems.push(
                self.source
                    .problem(*at, &format!("unknown key `{key}`{hint}")),
            );
        }
    }

    /// Reads a text.
    pub fn text(value: Value) -> Result<String, String> {
        match value.kind {
            Kind::Text(text) => Ok(text),
            _ => Err("must be a text in quotes".to_owned()),
        }
    }

    /// Reads a path.
    pub fn path(value: Value) -> Result<std::path::PathBuf, String> {
        Self::text(value).map(Into::into)
    }

    /// Reads a list of texts.
    pub fn texts(value: Value) -> Result<Vec<String>, String> {
        match value.kind {
            Kind::List(items) => items.into_iter().map(Self::text).collect(),
            _ => Err("must be a list of texts".to_owned()),
        }
    }

    /// Reads a text or a list of texts.
    pub fn one_or_more(value: Value) -> Result<Vec<String>, String> {
        match value.kind {
            Kind::Text(text) => Ok(vec![text]),
            _ => Self::texts(value).map_err(|_| "must be a text or a list of texts".to_owned()),
        }
    }

    /// Reads a value of any kind; numbers with a fraction and dates have none.
    pub fn plain(value: Value) -> Result<Plain, String> {
        Ok(match value.kind {
            Kind::Text(text) => Plain::Text(text),
            Kind::Integer(number) => Plain::Integer(number),
            Kind::Boolean(yes) => Plain::Boolean(yes),
            Kind::List(items) => Plain::List(
                items
                    .into_iter()
                    .map(Self::plain)
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Table(table) => {
                let entries = table.entries.into_iter();
                let read = entries.map(|(key, _, value)| Ok((key, Self::plain(value)?)));
                Plain::Table(read.collect::<Result<_, String>>()?)
            }
            Kind::Other => {
                return Err(
                    "must be a text, a whole number, true, false, a list or a table".into(),
                );
            }
        })
    }

    /// Reads a whole number.
    pub fn integer(value: Value) -> Result<i64, String> {
        match value.kind {
            Kind::Integer(number) => Ok(number),
            _ => Err("must be a whole number".to_owned()),
        }
    }

    /// Reads `true` or `false`.
    pub fn boolean(value: Value) -> Result<bool, String> {
        match value.kind {
            Kind::Boolean(yes) => Ok(yes),
            _ => Err("must be true or false".to_owned()),
        }
    }

    /// Reads a duration: a number and a unit, `"250ms"`, `"30s"`, `"5m"`, `"24h"`, `"7d"`.
    pub fn duration(value: Value) -> Result<Duration, String> {
        let text = Self::text(value).map_err(|_| "must be a duration such as \"30s\"")?;
        parse_duration(&text).ok_or_else(|| {
            format!("{text:?} is not a duration: a number and ms, s, m, h or d, such as \"30s\"")
        })
    }

    /// Reads a nested table.
    #[allow(clippy::self_named_constructors)] // one of the readers for `take`, named as the others
    pub fn table(value: Value) -> Result<Self, String> {
        match value.kind {
            Kind::Table(table) => Ok(table),
            _ => Err("must be a table".to_owned()),
        }
    }

    /// Reads anything that parses from text.
    pub fn parsed<T: std::str::FromStr>(value: Value) -> Result<T, String>
    where
        T::Err: std::fmt::Display,
    {
        Self::text(value)?
            .parse()
            .map_err(|error: T::Err| format!("is wrong: {error}"))
    }
}

/// Parses `250ms`, `30s`, `5m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let millis = match text[split..].trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn convert_table(source: &Rc<Source>, name: String, at: usize, table: DeTable<'_>) -> Table {
    let mut entries: Vec<(String, usize, Value)> = table
        .into_iter()
        .map(|(key, value)| {
            let at = key.span().start;
            let key = key.into_inner().into_owned();
            let value = convert(source, &key, value);
            (key, at, value)
        })
        .collect();
    entries.sort_by_key(|(_, at, _)| *at);
    Table {
        source: Rc::clone(source),
        name,
        at,
        entries,
        known: Vec::new(),
    }
}

fn convert(source: &Rc<Source>, name: &str, value: Spanned<DeValue<'_>>) -> Value {
    let at = value.span().start;
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Kind::Other, Kind::Integer)
        }
        DeValue::Boolean(yes) => Kind::Boolean(yes),
        DeValue::Array(items) => Kind::List(
            items
                .into_iter()
                .map(|item| convert(source, name, item))
                .collect(),
        ),
        DeValue::Table(table) => Kind::Table(convert_table(source, name.to_owned(), at, table)),
        DeValue::Float(_) | DeValue::Datetime(_) => Kind::Other,
    };
    Value { at, kind }
}

/// Edit distance, for "did you mean"; a swap of neighbours counts as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_listed_with_its_place() {
        let text =
            "[site]\nname = 7\n[[peer]]\nsite = 'b'\nheartbeat = '10'\n[[peer]]\ncolour = 'red'\n";
        let mut problems = Vec::new();
        let mut root = Table::parse("notifyd.toml", text, &mut problems);
        if let Some(mut site) = root.take("site", Table::table, &mut problems) {
            site.require("name", Table::text, &mut problems);
            site.finish(&mut problems);
        }
        for mut peer in root.take_tables("peer", &mut problems) {
            peer.require("site", Table::text, &mut problems);
            peer.take("heartbeat", Table::duration, &mut problems);
            peer.finish(&mut problems);
        }
        root.finish(&mut problems);
        assert_eq!(
            problems,
            [
                "notifyd.toml:2:8: `name` must be a text in quotes",
                "notifyd.toml:5:13: `heartbeat` \"10\" is not a duration: a number and ms, s, m, h or d, such as \"30s\"",
                "notifyd.toml:6:1: `site` is missing in [peer]",
                "notifyd.toml:7:1: unknown key `colour`",
            ]
        );
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("5 m"), Some(Duration::from_secs(300)));
        for bad in ["", "s", "5", "-1s", "1y", "99999999999999999999s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
