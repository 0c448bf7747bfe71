//! `command = ["/path", "argument", …]`: a program with templates as arguments.

use std::path::PathBuf;
use std::time::Duration;

use program::config::{Plain, Table, Value};

use super::positive;
use super::read::{self, TIMEOUT};
use crate::means::Command;

/// A program that is run once per notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLane {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<Argument>,
    /// Templates of further variables, by name.
    pub(crate) environment: Vec<(String, String)>,
    /// Of a link to the object in some user interface.
    pub(crate) link: Option<String>,
    pub(crate) timeout: Duration,
}

/// One argument or some, as templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    One([String; 1]),
    /// Left out as a whole where one of them is empty.
    Group(Vec<String>),
}

impl Argument {
    pub(crate) fn templates(&self) -> &[String] {
        match self {
            Self::One(one) => one,
            Self::Group(all) => all,
        }
    }
}

impl CommandLane {
    pub(super) fn parse(table: &mut Table, problems: &mut Vec<String>) -> Option<Self> {
        let words = table.take("command", words, problems);
        let environment = table.take("environment", texts_by_name, problems);
        let link = table.take("link", Table::text, problems);
        let timeout = table.take("timeout", positive, problems);
        let (program, arguments) = words?;
        Some(Self {
            program,
            arguments,
            environment: environment.unwrap_or_default(),
            link,
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }

    pub(super) fn check_files(&self, lane: &str) -> Option<String> {
        let checked = Command::new(lane.to_owned(), self.clone());
        checked.err().or_else(|| read::check_program(&self.program))
    }
}

fn words(value: Value) -> Result<(PathBuf, Vec<Argument>), String> {
    let wrong = || "must be a list: an absolute path, then texts or lists of texts".to_owned();
    let Plain::List(items) = Table::plain(value)? else {
        return Err(wrong());
    };
    let mut items = items.into_iter();
    let program = match items.next() {
        Some(Plain::Text(path)) if path.starts_with('/') => PathBuf::from(path),
        _ => return Err(wrong()),
    };
    let arguments = items.map(|item| match item {
        Plain::Text(text) => Ok(Argument::One([text])),
        Plain::List(items) => {
            let texts = items.into_iter().map(|item| match item {
                Plain::Text(text) => Ok(text),
                _ => Err(wrong()),
            });
            texts.collect::<Result<_, _>>().map(Argument::Group)
        }
        _ => Err(wrong()),
    });
    Ok((program, arguments.collect::<Result<_, _>>()?))
}

/// A table of texts whose keys are names of variables.
pub(super) fn texts_by_name(value: Value) -> Result<Vec<(String, String)>, String> {
    let wrong = || "must be a table of texts".to_owned();
    let Plain::Table(entries) = Table::plain(value)? else {
        return Err(wrong());
    };
    let texts = entries.into_iter().map(|(name, value)| match value {
        Plain::Text(text) if !name.is_empty() && !name.contains(['=', '\0']) => Ok((name, text)),
        _ => Err(wrong()),
    });
    texts.collect()
}
