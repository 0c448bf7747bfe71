//! The questions of people: which query each of them is, and how its answer
//! is shown.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use livestatus::Server;
use program::connection::Target;
use program::{Failure, Status};

use crate::ask::{self, Error};
use crate::cli::{Format, Shortcut, What};
use crate::query;
use crate::screen::Screen;
use crate::sites;
use crate::table::Table;
use crate::view::{self, Lines, View};
use crate::words;

pub(crate) struct Question<'a> {
    table: &'static str,
    /// How the usual columns are shown; the table of sites has its own way.
    view: Option<&'static View>,
    what: &'a What,
    filters: Vec<BString>,
    since: Option<Duration>,
    problems: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(shortcut: &'a Shortcut) -> Result<Self, Failure> {
        let question = |table, view, what| Question {
            table,
            view,
            what,
            filters: Vec::new(),
            since: None,
            problems: false,
        };
        let mut question = match shortcut {
            Shortcut::Hosts {
                what,
                problems,
                pattern,
            } => question("hosts", Some(&view::HOSTS), what)
                .problems(*problems)
                .matching("name", pattern.as_deref())?,
            Shortcut::Services {
                what,
                problems,
                host,
                pattern,
            } => question("services", Some(&view::SERVICES), what)
                .problems(*problems)
                .matching("host_name", host.as_deref())?
                .matching("description", pattern.as_deref())?,
            Shortcut::Sites { what } => question("sites", None, what),
            Shortcut::Log {
                what,
                since,
                host,
                pattern,
            } => Question {
                since: Some(*since),
                ..question("log", Some(&view::LOG), what)
            }
            .matching("host_name", host.as_deref())?
            .matching("message", pattern.as_deref())?,
        };
        for column in what_columns(question.what) {
            if column.is_empty() || column.contains(|c: char| c.is_whitespace() || c == '\0') {
                return Err(wrong(format!("'{column}' is not the name of a column")));
            }
        }
        if let Some(site) = &question.what.site {
            let filter = filter("site =", site.as_bytes())?;
            question.filters.push(filter);
        }
        Ok(question)
    }

    /// States that are not good. What has not been checked has none, whatever
    /// number stands there.
    fn problems(mut self, problems: bool) -> Self {
        if problems {
            self.filters.push("Filter: has_been_checked = 1".into());
            self.filters.push("Filter: state > 0".into());
        }
        self.problems = problems;
        self
    }

    fn matching(mut self, column: &str, pattern: Option<&OsStr>) -> Result<Self, Failure> {
        if let Some(pattern) = pattern {
            let test = format!("{column} ~~");
            self.filters.push(filter(&test, pattern.as_bytes())?);
        }
        Ok(self)
    }

    /// Asks, and prints the answer.
    pub(crate) fn answer(
        &self,
        format: Option<Format>,
        target: &Target,
        screen: &Screen,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let with_site = self.knows_sites(target)?;
        let result = match format {
            None | Some(Format::Table) => self.table(with_site, target, screen, out),
            Some(format) => self.raw(format, with_site, target, out),
        };
        result.map_err(|error| self.failure(error))
    }

    /// Whether rows have a site. Only livestatusd keeps several apart; others
    /// answer a question for that column in all kinds of ways.
    fn knows_sites(&self, target: &Target) -> Result<bool, Failure> {
        let matters = self.what.columns.is_none() || self.what.site.is_some();
        if self.table == "sites" || !matters {
            return Ok(false);
        }
        let lines = [
            "GET status".into(),
            "Columns: program_version livestatus_version".into(),
        ];
        let request = query::framed(&lines, Some("json"), false);
        let mut server = None;
        ask::rows(&mut target.connect()?, &request, |row| {
            server = Some(Server::detect(&row.cell(0).text(), &row.cell(1).text()));
            Ok(())
        })?;
        if server == Some(Server::Livestatusd) {
            return Ok(true);
        }
        if self.what.site.is_some() {
            let name = server.map_or("this server", Server::name);
            let what = format!("{name} does not tell sites apart: --site is for livestatusd");
            return Err(Failure::new(Status::Failed, what));
        }
        Ok(false)
    }

    fn table(
        &self,
        with_site: bool,
        target: &Target,
        screen: &Screen,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let table = match (&self.what.columns, self.view) {
            (Some(columns), _) => self.chosen(columns, target)?,
            (None, Some(view)) => self.usual(view, with_site, target)?,
            (None, None) => {
                let request = self.request(&sites::COLUMNS, Some("json"), false);
                sites::table(&mut target.connect()?, &request)?
            }
        };
        Ok(ask::write(out, table.print(screen).as_bytes())?)
    }

    fn usual(&self, view: &'static View, with_site: bool, target: &Target) -> Result<Table, Error> {
        let columns = usual_columns(view, with_site);
        let mut lines = Lines::new(view, with_site, self.problems);
        let request = self.request(&columns, Some("json"), false);
        ask::rows(&mut target.connect()?, &request, |row| {
            lines.push(row);
            Ok(())
        })?;
        Ok(lines.table())
    }

    fn chosen(&self, columns: &[String], target: &Target) -> Result<Table, Error> {
        let (kinds, more) = view::kinds(self.table, columns);
        let names = || columns.iter().map(String::as_str);
        let all: Vec<&str> = names().chain(more).collect();
        let mut table = Table::new(names());
        let request = self.request(&all, Some("json"), false);
        ask::rows(&mut target.connect()?, &request, |row| {
            table.push(view::cells(row, &kinds));
            Ok(())
        })?;
        Ok(table)
    }

    /// For scripts: the same columns, with their names.
    fn raw(
        &self,
        format: Format,
        with_site: bool,
        target: &Target,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let columns: Vec<&str> = match (&self.what.columns, self.view) {
            (Some(columns), _) => columns.iter().map(String::as_str).collect(),
            (None, Some(view)) => usual_columns(view, with_site),
            (None, None) => sites::COLUMNS.to_vec(),
        };
        let request = self.request(&columns, Some(query::word(format)), true);
        ask::print(&mut target.connect()?, &request, format, out)
    }

    fn request(&self, columns: &[&str], format: Option<&str>, names: bool) -> Vec<u8> {
        let mut lines: Vec<BString> = vec![
            format!("GET {}", self.table).into(),
            format!("Columns: {}", columns.join(" ")).into(),
        ];
        if let Some(since) = self.since {
            let since = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            let from = words::now().saturating_sub(since).max(0);
            lines.push(format!("Filter: time >= {from}").into());
        }
        lines.extend_from_slice(&self.filters);
        query::framed(&lines, format, names)
    }

    fn failure(&self, error: Error) -> Failure {
        match error {
            Error::Answer(livestatus::Error::Refused {
                status: 404,
                message,
            }) => {
                let table = self.table;
                let what = format!("the server has no table of {table}: it says 404: {message}");
                Failure::new(Status::Failed, what)
            }
            error => error.into(),
        }
    }
}

fn what_columns(what: &What) -> impl Iterator<Item = &String> {
    what.columns.iter().flatten()
}

fn usual_columns(view: &View, with_site: bool) -> Vec<&'static str> {
    let site = with_site.then_some("site");
    view.columns.iter().copied().chain(site).collect()
}

/// A filter whose value somebody typed. A line cannot hold every value.
fn filter(test: &str, value: &[u8]) -> Result<BString, Failure> {
    if value.find_byteset(b"\n\r\0").is_some() || value.trim() != value || value.is_empty() {
        let shown = value.to_str_lossy().escape_debug().to_string();
        let why = "a pattern is not empty, has no line breaks, and no blanks at its ends";
        return Err(wrong(format!("'{shown}' cannot be asked for: {why}")));
    }
    Ok([b"Filter: ", test.as_bytes(), b" ", value].concat().into())
}

fn wrong(what: String) -> Failure {
    Failure::new(Status::Usage, what)
}
