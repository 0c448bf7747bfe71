//! Requests: reading them from a stream, and printing queries for another
//! server.

use bstr::{BString, ByteSlice};

use crate::command::Command;
use crate::error::{Error, Status, excerpt};
use crate::filter::{Filter, MAX_DEPTH, Operator};
use crate::lines::{Line, Lines};
use crate::number::parse_count;
use crate::output::{OutputFormat, Separators};

/// Most columns of a query: they may be repeated, and so blow up the answer.
const MAX_COLUMNS: usize = 4096;
/// Most filters of a query.
const MAX_FILTERS: usize = 10_000;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `GET`
    Query(Query),
    /// `COMMAND`
    Command(CommandRequest),
}

/// A command, and how its sender wants it answered.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// The command.
    pub command: Command,
    /// Whether a framed answer was asked for; without, success is silent.
    pub fixed16: bool,
}

/// A query, with the effective value of every header.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The table's name.
    pub table: String,
    /// Columns in the order asked for; empty means all.
    pub columns: Vec<String>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// At most this many rows.
    pub limit: Option<u64>,
    /// Only what this contact may see.
    pub auth_user: Option<BString>,
    /// Form of the rows.
    pub output_format: OutputFormat,
    /// Separators of csv.
    pub separators: Separators,
    /// Whether the first row has the names.
    pub column_headers: bool,
    /// `ResponseHeader: fixed16`
    pub fixed16: bool,
    /// Whether another request may follow on the same connection.
    pub keep_alive: bool,
}

impl Query {
    /// A query for all columns of `table` as csv, neither framed nor kept alive.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            columns: Vec::new(),
            filters: Vec::new(),
            limit: None,
            auth_user: None,
            output_format: OutputFormat::default(),
            separators: Separators::default(),
            column_headers: true,
            fixed16: false,
            keep_alive: false,
        }
    }

    /// The query that a client of ours begins with: framed JSON, these columns,
    /// no names.
    pub fn rows<'n>(table: impl Into<String>, columns: impl IntoIterator<Item = &'n str>) -> Self {
        Self {
            columns: columns.into_iter().map(str::to_owned).collect(),
            output_format: OutputFormat::Json,
            column_headers: false,
            fixed16: true,
            ..Self::new(table)
        }
    }

    /// The request's bytes, ending with the blank line. Headers stand in the
    /// order that all servers understand: the frame first, because Naemon forgets
    /// it at the first fault, the names last, because `Columns` turns them off.
    pub fn print(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        line(&mut out, &[b"GET ", word("table", &self.table)?]);
        if self.fixed16 {
            line(&mut out, &[b"ResponseHeader: fixed16"]);
        }
        if self.keep_alive {
            line(&mut out, &[b"KeepAlive: on"]);
        }
        let format = self.output_format.word().as_bytes();
        line(&mut out, &[b"OutputFormat: ", format]);
        if self.separators != Separators::default() {
            let Separators {
                row,
                field,
                list,
                part,
            } = self.separators;
            let codes = format!("Separators: {row} {field} {list} {part}");
            line(&mut out, &[codes.as_bytes()]);
        }
        if !self.columns.is_empty() {
            out.extend_from_slice(b"Columns:");
            for column in &self.columns {
                out.push(b' ');
                out.extend_from_slice(word("column", column)?);
            }
            out.push(b'\n');
        }
        for filter in &self.filters {
            print_filter(filter, &mut out)?;
        }
        if let Some(limit) = self.limit {
            line(&mut out, &[format!("Limit: {limit}").as_bytes()]);
        }
        if let Some(user) = &self.auth_user {
            if user.is_empty()
                || user.find_byteset(b"\n\r\0").is_some()
                || user.trim_ascii() != user.as_bytes()
            {
                return Err(not_expressible("user", user));
            }
            line(&mut out, &[b"AuthUser: ", user]);
        }
        let headers: &[u8] = if self.column_headers { b"on" } else { b"off" };
        line(&mut out, &[b"ColumnHeaders: ", headers]);
        out.push(b'\n');
        Ok(out)
    }
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

/// A name: white space would end it.
fn word<'a>(place: &'static str, name: &'a str) -> Result<&'a [u8], Error> {
    let bad = |b: u8| b.is_ascii_whitespace() || b == 0;
    if name.is_empty() || name.bytes().any(bad) {
        return Err(not_expressible(place, name.as_bytes()));
    }
    Ok(name.as_bytes())
}

fn not_expressible(place: &'static str, value: &[u8]) -> Error {
    Error::NotExpressible {
        place,
        value: excerpt(value, 80),
    }
}

/// Depth is bounded by who built the filter.
fn print_filter(filter: &Filter, out: &mut Vec<u8>) -> Result<(), Error> {
    match filter {
        Filter::Compare {
            column,
            operator,
            value,
        } => {
            if value.find_byteset(b"\n\r\0").is_some() || value.trim_ascii() != value.as_bytes() {
                return Err(not_expressible("filter value", value));
            }
            let operator = operator.to_string();
            let column = word("column", column)?;
            line(
                out,
                &[b"Filter: ", column, b" ", operator.as_bytes(), b" ", value],
            );
        }
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                print_filter(filter, out)?;
            }
            let verb = if matches!(filter, Filter::And(_)) {
                "And"
            } else {
                "Or"
            };
            line(out, &[format!("{verb}: {}", filters.len()).as_bytes()]);
        }
        Filter::Not(filter) => {
            print_filter(filter, out)?;
            line(out, &[b"Negate:"]);
        }
    }
    Ok(())
}

/// A request that cannot be answered with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// The status to answer with.
    pub status: Status,
    /// The text for the client and the log: the first fault of the request.
    pub message: String,
    /// Whether the client asked for a framed answer anywhere in the request.
    pub fixed16: bool,
    /// Whether the client asked to keep the connection, anywhere in the request.
    pub keep_alive: bool,
    /// Whether it was a command: those keep the connection in any case.
    pub command: bool,
}

/// What a reader takes in at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest line in bytes.
    pub line: usize,
    /// Longest request in bytes.
    pub request: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            request: 4 << 20,
        }
    }
}

/// Reads requests from a stream of bytes, however it is split.
///
/// After each [`push`](Self::push) call [`poll_request`](Self::poll_request)
/// until it gives `None`.
///
/// A request ends with a blank line or with the stream. A command also ends
/// where the next request begins, because the tools that send many of them
/// leave the blank lines out.
///
/// ```
/// use livestatus::{Request, RequestReader};
///
/// let mut reader = RequestReader::new(Default::default());
/// reader.push(b"GET hosts\nColumns: name st");
/// assert!(reader.poll_request().is_none());
/// reader.push(b"ate\nFilter: state = 1\n\n");
/// let Some(Ok(Request::Query(query))) = reader.poll_request() else { panic!() };
/// assert_eq!(query.columns, ["name", "state"]);
/// ```
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    lines: Lines,
    draft: Option<Draft>,
}

impl RequestReader {
    /// A reader at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lines: Lines::new(limits.line),
            draft: None,
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The client has closed its sending side: what it has sent is all.
    pub fn finish(&mut self) {
        self.lines.finish();
    }

    /// The next complete request, or `None` if more bytes are needed.
    pub fn poll_request(&mut self) -> Option<Result<Request, RequestError>> {
        loop {
            let Some(line) = self.lines.next_line() else {
                if self.lines.is_finished() {
                    return self.draft.take().map(Draft::finish);
                }
                return None;
            };
            let text = match line {
                Line::Whole(text) | Line::Last(text) => text,
                Line::TooLong { .. } => {
                    let limit = self.limits.line;
                    let draft = self.draft.get_or_insert_with(|| Draft::new(Verb::Unknown));
                    draft.fault(
                        Status::BadRequest,
                        format!("line longer than {limit} bytes"),
                    );
                    continue;
                }
            };
            if text.is_empty() || text == b"\r" {
                if let Some(draft) = self.draft.take() {
                    return Some(draft.finish());
                }
                continue;
            }
            let text = text.trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            match &mut self.draft {
                None => self.draft = Some(Draft::begin(text)),
                Some(draft) if !draft.is_query() && begins_request(text) => {
                    self.lines.unread();
                    return self.draft.take().map(Draft::finish);
                }
                Some(draft) => draft.header(text, self.limits.request),
            }
        }
    }

    /// Whether a part of a request has been read, so that the rest is due.
    pub fn is_inside_request(&self) -> bool {
        self.draft.is_some() || self.lines.is_inside_line()
    }
}

fn begins_request(line: &[u8]) -> bool {
    matches!(split_word(line).0, b"GET" | b"COMMAND")
}

/// A request of which some lines have been read.
#[derive(Debug)]
struct Draft {
    verb: Verb,
    size: usize,
    fault: Option<(Status, String)>,
    fixed16: bool,
    keep_alive: bool,
}

#[derive(Debug)]
enum Verb {
    Get(Box<GetDraft>),
    Command(Command),
    BadCommand,
    Unknown,
}

#[derive(Debug)]
struct GetDraft {
    query: Query,
    /// Filters so far, each with its depth.
    stack: Vec<(Filter, usize)>,
    filters: usize,
}

impl Draft {
    fn new(verb: Verb) -> Self {
        Self {
            verb,
            size: 0,
            fault: None,
            fixed16: false,
            keep_alive: false,
        }
    }

    fn begin(line: &[u8]) -> Self {
        let (verb, rest) = split_word(line);
        match verb {
            b"GET" => {
                let mut query = Query::new(rest.to_str_lossy());
                query.column_headers = false;
                let mut draft = Self::new(Verb::Get(Box::new(GetDraft {
                    query,
                    stack: Vec::new(),
                    filters: 0,
                })));
                if rest.is_empty() {
                    let what = "Invalid GET request, missing tablename";
                    draft.fault(Status::InvalidRequest, what);
                }
                draft
            }
            b"COMMAND" => match Command::parse(rest) {
                Ok(command) => Self::new(Verb::Command(command)),
                Err(error) => {
                    let mut draft = Self::new(Verb::BadCommand);
                    draft.fault(Status::BadRequest, error.to_string());
                    draft
                }
            },
            _ => {
                let mut draft = Self::new(Verb::Unknown);
                let what = format!("Invalid request method '{}'", excerpt(verb, 40));
                draft.fault(Status::InvalidRequest, what);
                draft
            }
        }
    }

    /// Only the first fault is told.
    fn fault(&mut self, status: Status, message: impl Into<String>) {
        if self.fault.is_none() {
            self.fault = Some((status, message.into()));
        }
    }

    fn is_query(&self) -> bool {
        matches!(self.verb, Verb::Get(_))
    }

    fn is_command(&self) -> bool {
        matches!(self.verb, Verb::Command(_) | Verb::BadCommand)
    }

    fn header(&mut self, line: &[u8], limit: usize) {
        let (name, value) = match line.split_once_str(":") {
            Some((name, value)) => (name, value.trim_ascii()),
            None => (line, &b""[..]),
        };
        self.size += line.len();
        let result = match name {
            // These two count even in a request with faults.
            b"KeepAlive" => on_off(value).map(|on| self.keep_alive = on),
            b"ResponseHeader" => fixed16(value).map(|fixed16| self.fixed16 = fixed16),
            _ if self.size > limit => Err(format!("request longer than {limit} bytes")),
            _ if self.fault.is_some() => Ok(()),
            _ => match &mut self.verb {
                Verb::Get(get) => get.header(name, value),
                _ => Err("undefined request header".to_owned()),
            },
        };
        if let Err(what) = result {
            let name = excerpt(name, 80);
            let message = format!("while processing header '{name}': {what}");
            self.fault(Status::BadRequest, message);
        }
    }

    fn finish(self) -> Result<Request, RequestError> {
        let command = self.is_command();
        match (self.verb, self.fault) {
            (Verb::Get(get), None) => {
                let mut query = get.query;
                query.filters = get.stack.into_iter().map(|(filter, _)| filter).collect();
                query.column_headers |= query.columns.is_empty();
                (query.fixed16, query.keep_alive) = (self.fixed16, self.keep_alive);
                Ok(Request::Query(query))
            }
            (Verb::Command(command), None) => Ok(Request::Command(CommandRequest {
                command,
                fixed16: self.fixed16,
            })),
            (_, fault) => {
                let unknown = || (Status::InvalidRequest, "Invalid request method".to_owned());
                let (status, message) = fault.unwrap_or_else(unknown);
                Err(RequestError {
                    status,
                    message,
                    fixed16: self.fixed16,
                    keep_alive: self.keep_alive,
                    command,
                })
            }
        }
    }
}

impl GetDraft {
    fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        match name {
            b"Columns" => self.columns(value),
            b"ColumnHeaders" => on_off(value).map(|on| self.query.column_headers = on),
            b"Filter" => self.filter(value),
            b"And" => self.combine(value, "And", Filter::And),
            b"Or" => self.combine(value, "Or", Filter::Or),
            b"Negate" => self.negate(value),
            b"Limit" => count(value).map(|limit| self.query.limit = Some(limit)),
            b"AuthUser" if value.is_empty() => Err("missing argument".to_owned()),
            b"AuthUser" => {
                self.query.auth_user = Some(value.into());
                Ok(())
            }
            b"OutputFormat" => OutputFormat::from_word(value)
                .map(|format| self.query.output_format = format)
                .ok_or_else(|| {
                    format!(
                        "output format '{}' is not one of csv, json",
                        excerpt(value, 40)
                    )
                }),
            b"Separators" => separators(value).map(|given| self.query.separators = given),
            // Addressed to proxies, or without effect where clocks are right.
            b"Cache" | b"Backends" | b"Localtime" => Ok(()),
            _ => Err("undefined request header".to_owned()),
        }
    }

    fn columns(&mut self, value: &[u8]) -> Result<(), String> {
        let names = words(value).map(|name| name.to_str_lossy().into_owned());
        self.query.columns.extend(names);
        self.query.column_headers = false;
        if self.query.columns.len() > MAX_COLUMNS {
            return Err(format!("more than {MAX_COLUMNS} columns"));
        }
        Ok(())
    }

    fn filter(&mut self, value: &[u8]) -> Result<(), String> {
        self.filters += 1;
        if self.filters > MAX_FILTERS {
            return Err(format!("more than {MAX_FILTERS} filters"));
        }
        let (column, rest) = split_word(value);
        let (operator, value) = split_word(rest);
        if column.is_empty() {
            return Err("missing column name".to_owned());
        }
        if operator.is_empty() {
            let column = excerpt(column, 80);
            return Err(format!("missing operator after column '{column}'"));
        }
        let operator = Operator::parse(operator)
            .ok_or_else(|| format!("invalid operator '{}'", excerpt(operator, 40)))?;
        let filter = Filter::Compare {
            column: column.to_str_lossy().into_owned(),
            operator,
            value: BString::from(value),
        };
        self.stack.push((filter, 1));
        Ok(())
    }

    fn combine(
        &mut self,
        value: &[u8],
        name: &str,
        make: fn(Vec<Filter>) -> Filter,
    ) -> Result<(), String> {
        let wanted = count(value)?;
        let present = self.stack.len();
        let from = usize::try_from(wanted)
            .ok()
            .and_then(|wanted| present.checked_sub(wanted))
            .ok_or_else(|| {
                format!("cannot combine filters with {name}: expecting {wanted} filters, but only {present} are on stack")
            })?;
        if wanted == 1 {
            return Ok(());
        }
        let mut depth = 0;
        let mut parts = Vec::new();
        for (filter, below) in self.stack.drain(from..) {
            match (name, filter) {
                // And of And is one And: long chains stay flat.
                ("And", Filter::And(inner)) | ("Or", Filter::Or(inner)) => {
                    parts.extend(inner);
                    depth = depth.max(below - 1);
                }
                (_, filter) => {
                    parts.push(filter);
                    depth = depth.max(below);
                }
            }
        }
        self.push(make(parts), depth + 1)
    }

    fn negate(&mut self, value: &[u8]) -> Result<(), String> {
        if !value.is_empty() {
            return Err("superfluous argument(s)".to_owned());
        }
        match self.stack.pop() {
            None => Err("cannot negate: no filter on stack".to_owned()),
            Some((Filter::Not(filter), depth)) => self.push(*filter, depth - 1),
            Some((filter, depth)) => self.push(Filter::Not(Box::new(filter)), depth + 1),
        }
    }

    fn push(&mut self, filter: Filter, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("filters nested deeper than {MAX_DEPTH}"));
        }
        self.stack.push((filter, depth));
        Ok(())
    }
}

fn on_off(value: &[u8]) -> Result<bool, String> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err("expected 'on' or 'off'".to_owned()),
    }
}

fn fixed16(value: &[u8]) -> Result<bool, String> {
    match value {
        b"off" => Ok(false),
        b"fixed16" => Ok(true),
        _ => Err("expected 'off' or 'fixed16'".to_owned()),
    }
}

fn count(value: &[u8]) -> Result<u64, String> {
    parse_count(value).ok_or_else(|| "expected non-negative integer".to_owned())
}

fn separators(value: &[u8]) -> Result<Separators, String> {
    let codes: Option<Vec<u8>> = words(value)
        .map(|code| parse_count(code).and_then(|code| u8::try_from(code).ok()))
        .collect();
    match codes.as_deref() {
        Some(&[row, field, list, part]) => Ok(Separators {
            row,
            field,
            list,
            part,
        }),
        _ => Err("expected four character codes".to_owned()),
    }
}

/// Only ASCII blanks part words: any other byte may belong to a name.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The first word and what follows it, without blanks around.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii();
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Comparison;

    fn read_chunks(chunks: &[&[u8]], finish: bool) -> Vec<Result<Request, RequestError>> {
        let mut reader = RequestReader::new(Limits {
            line: 200,
            request: 1000,
        });
        let mut out = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            out.extend(std::iter::from_fn(|| reader.poll_request()));
        }
        if finish {
            reader.finish();
            out.extend(std::iter::from_fn(|| reader.poll_request()));
            assert!(!reader.is_inside_request());
        }
        out
    }

    /// Reads in one piece and byte by byte, which must not differ.
    fn read(text: &[u8], finish: bool) -> Vec<Result<Request, RequestError>> {
        let whole = read_chunks(&[text], finish);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read_chunks(&single, finish), whole);
        whole
    }

    fn query(text: &str) -> Query {
        match read(format!("{text}\n\n").as_bytes(), false).remove(0) {
            Ok(Request::Query(query)) => query,
            other => panic!("{other:?}"),
        }
    }

    fn fault(text: &str) -> (u16, String) {
        let error = read(format!("{text}\n\n").as_bytes(), false)
            .remove(0)
            .unwrap_err();
        (error.status.code(), error.message)
    }

    fn tables(requests: &[Result<Request, RequestError>]) -> Vec<String> {
        requests
            .iter()
            .map(|request| match request {
                Ok(Request::Query(query)) => query.table.clone(),
                Ok(Request::Command(command)) => command.command.name.to_string(),
                Err(error) => error.status.code().to_string(),
            })
            .collect()
    }

    #[test]
    fn a_request_ends_with_a_blank_line_or_the_stream() {
        for (name, text, finish, want) in [
            ("blank line", "GET a\n\n", false, &["a"][..]),
            ("no blank line yet", "GET a\n", false, &[]),
            ("half-close instead", "GET a\n", true, &["a"]),
            ("unfinished last line", "GET a\nLimit: 5", true, &["a"]),
            (
                "CRLF",
                "GET a\r\nLimit: 5\r\n\r\nGET b\r\n\r\n",
                false,
                &["a", "b"],
            ),
            (
                "blank lines between",
                "\n\nGET a\n\n\n\nGET b\n\n",
                false,
                &["a", "b"],
            ),
            (
                "white space only",
                "GET a\n  \t\nLimit: 5\n\n",
                false,
                &["a"],
            ),
            (
                "pipelined",
                "GET a\n\nGET b\n\nGET c\n",
                true,
                &["a", "b", "c"],
            ),
            ("nothing", "", true, &[]),
            ("only blank lines", "\n\n", true, &[]),
            (
                "commands with blank lines",
                "COMMAND [1] A;x\n\nCOMMAND [1] B\n\n",
                false,
                &["A", "B"],
            ),
            (
                "commands without",
                "COMMAND [1] A;x\nCOMMAND [1] B\nGET a\n\n",
                false,
                &["A", "B", "a"],
            ),
            (
                "command waits for its headers",
                "COMMAND [1] A;x\n",
                false,
                &[],
            ),
            ("command and the end", "COMMAND [1] A;x", true, &["A"]),
            (
                "bad command, good command",
                "COMMAND A\nCOMMAND [1] B\n\n",
                false,
                &["400", "B"],
            ),
            (
                "fault, then the next",
                "GET a\nNo: x\n\nGET b\n\n",
                false,
                &["400", "b"],
            ),
        ] {
            assert_eq!(tables(&read(text.as_bytes(), finish)), want, "{name}");
        }
    }

    #[test]
    fn headers_have_effect() {
        let all = query(
            "GET hosts\nColumns: name  state\nColumns: alias\nFilter: state = 1\nLimit: 5\n\
             AuthUser: bob the  builder \nOutputFormat:json\nColumnHeaders: on\nResponseHeader: fixed16\nKeepAlive: on\n\
             Separators: 0 1 2 3\nLocaltime: 5\nCache: reload\nBackends: a b",
        );
        let want = Query {
            table: "hosts".into(),
            columns: vec!["name".into(), "state".into(), "alias".into()],
            filters: vec![Filter::compare("state", Comparison::Equal, "1")],
            limit: Some(5),
            auth_user: Some("bob the  builder".into()),
            output_format: OutputFormat::Json,
            separators: Separators {
                row: 0,
                field: 1,
                list: 2,
                part: 3,
            },
            column_headers: true,
            fixed16: true,
            keep_alive: true,
        };
        assert_eq!(all, want);
        assert_eq!(query("GET hosts"), Query::new("hosts"));
    }

    #[test]
    fn columns_turn_the_names_off_until_they_are_asked_for() {
        for (text, want) in [
            ("GET a", true),
            ("GET a\nColumnHeaders: off", true),
            ("GET a\nColumns: x", false),
            ("GET a\nColumns: x\nColumnHeaders: on", true),
            ("GET a\nColumnHeaders: on\nColumns: x", false),
        ] {
            assert_eq!(query(text).column_headers, want, "{text}");
        }
    }

    #[test]
    fn filters_are_a_stack() {
        let f = |value: &str| Filter::compare("x", Comparison::Equal, value);
        let three = "GET a\nFilter: x = 1\nFilter: x = 2\nFilter: x = 3\n";
        for (rest, want) in [
            ("", vec![f("1"), f("2"), f("3")]),
            ("Or: 2", vec![f("1"), Filter::Or(vec![f("2"), f("3")])]),
            (
                "Or: 2\nAnd: 2",
                vec![Filter::And(vec![f("1"), Filter::Or(vec![f("2"), f("3")])])],
            ),
            (
                "And: 2\nAnd: 2",
                vec![Filter::And(vec![f("1"), f("2"), f("3")])],
            ),
            ("And: 1", vec![f("1"), f("2"), f("3")]),
            ("And: 0", vec![f("1"), f("2"), f("3"), Filter::And(vec![])]),
            ("Or: 0", vec![f("1"), f("2"), f("3"), Filter::Or(vec![])]),
            (
                "Negate:",
                vec![f("1"), f("2"), Filter::Not(Box::new(f("3")))],
            ),
            ("Negate:\nNegate:", vec![f("1"), f("2"), f("3")]),
        ] {
            assert_eq!(query(&format!("{three}{rest}")).filters, want, "{rest}");
        }
    }

    #[test]
    fn values_of_filters_are_the_rest_of_the_line() {
        for (text, want) in [
            ("Filter: x = a b  c ", "a b  c"),
            ("Filter: x =", ""),
            ("Filter:x  =   a", "a"),
            ("Filter: x\t=\ta:b;c", "a:b;c"),
        ] {
            let filters = query(&format!("GET a\n{text}")).filters;
            assert_eq!(
                filters,
                [Filter::compare("x", Comparison::Equal, want)],
                "{text}"
            );
        }
        let latin1 = read(b"GET a\nFilter: x = K\xfchl\n\n", false);
        let Ok(Request::Query(query)) = &latin1[0] else {
            panic!("{latin1:?}")
        };
        assert_eq!(
            query.filters,
            [Filter::compare("x", Comparison::Equal, &b"K\xfchl"[..])]
        );
    }

    #[test]
    fn faults_are_told_the_first_one_only() {
        let long = "x".repeat(201);
        let nested = format!(
            "GET a\nFilter: x = 1\n{}",
            "Filter: x = 1\nAnd: 2\nFilter: x = 1\nOr: 2\n".repeat(30)
        );
        for (text, code, want) in [
            ("GET", 452, "Invalid GET request, missing tablename"),
            ("HELO there", 452, "Invalid request method 'HELO'"),
            ("get hosts", 452, "Invalid request method 'get'"),
            (
                "GET a\nNo: x\nLimit: y",
                400,
                "while processing header 'No': undefined request header",
            ),
            (
                "GET a\nColumns : x",
                400,
                "while processing header 'Columns ': undefined request header",
            ),
            (
                "GET a\ncolumns: x",
                400,
                "while processing header 'columns': undefined request header",
            ),
            (
                "GET a\nStats: x = 1",
                400,
                "while processing header 'Stats': undefined request header",
            ),
            (
                "GET a\nAuthUser: ",
                400,
                "while processing header 'AuthUser': missing argument",
            ),
            (
                "GET a\nLimit: -1",
                400,
                "while processing header 'Limit': expected non-negative integer",
            ),
            (
                "GET a\nLimit:",
                400,
                "while processing header 'Limit': expected non-negative integer",
            ),
            (
                "GET a\nKeepAlive: yes",
                400,
                "while processing header 'KeepAlive': expected 'on' or 'off'",
            ),
            (
                "GET a\nResponseHeader: x",
                400,
                "while processing header 'ResponseHeader': expected 'off' or 'fixed16'",
            ),
            (
                "GET a\nOutputFormat: xml",
                400,
                "while processing header 'OutputFormat': output format 'xml' is not one of csv, json",
            ),
            (
                "GET a\nFilter: x=1",
                400,
                "while processing header 'Filter': missing operator after column 'x=1'",
            ),
            (
                "GET a\nFilter: x == 1",
                400,
                "while processing header 'Filter': invalid operator '=='",
            ),
            (
                "GET a\nFilter:",
                400,
                "while processing header 'Filter': missing column name",
            ),
            (
                "GET a\nFilter: x = 1\nAnd: 2",
                400,
                "while processing header 'And': cannot combine filters with And: expecting 2 filters, but only 1 are on stack",
            ),
            (
                "GET a\nOr: 99999999999999999999",
                400,
                "while processing header 'Or': expected non-negative integer",
            ),
            (
                "GET a\nNegate:",
                400,
                "while processing header 'Negate': cannot negate: no filter on stack",
            ),
            (
                "GET a\nFilter: x = 1\nNegate: 1",
                400,
                "while processing header 'Negate': superfluous argument(s)",
            ),
            (
                "GET a\nSeparators: 1 2 3",
                400,
                "while processing header 'Separators': expected four character codes",
            ),
            (
                "GET a\nSeparators: 1 2 3 256",
                400,
                "while processing header 'Separators': expected four character codes",
            ),
            (
                &format!("GET a\nLimit: {long}"),
                400,
                "line longer than 200 bytes",
            ),
            (
                &nested,
                400,
                "while processing header 'Filter': request longer than 1000 bytes",
            ),
        ] {
            let (status, message) = fault(text);
            assert_eq!((status, &*message), (code, want), "{text}");
        }
    }

    #[test]
    fn deep_trees_are_refused() {
        let mut reader = RequestReader::new(Limits::default());
        reader.push(b"GET a\nFilter: x = 1\n");
        for _ in 0..MAX_DEPTH {
            reader.push(b"Filter: x = 1\nAnd: 2\nFilter: x = 1\nOr: 2\n");
        }
        reader.push(b"\n");
        let error = reader.poll_request().unwrap().unwrap_err();
        assert!(error.message.contains("nested deeper"), "{error:?}");
    }

    #[test]
    fn how_to_answer_is_known_wherever_it_stands() {
        for text in [
            "GET a\nResponseHeader: fixed16\nKeepAlive: on\nNo: x\n\n",
            "GET a\nNo: x\nResponseHeader: fixed16\nKeepAlive: on\n\n",
            "HELO\nResponseHeader: fixed16\nKeepAlive: on\n\n",
        ] {
            let error = read(text.as_bytes(), false).remove(0).unwrap_err();
            assert!(error.fixed16 && error.keep_alive, "{text}");
        }
        let command = read(b"COMMAND [1] A;b\nResponseHeader: fixed16\n\n", false);
        assert!(matches!(
            &command[0],
            Ok(Request::Command(CommandRequest { fixed16: true, .. }))
        ));
    }

    #[test]
    fn printed_queries_are_read_back() {
        let mut query = Query::rows("services", ["host_name", "description"]);
        query.keep_alive = true;
        query.limit = Some(10);
        query.auth_user = Some("bob".into());
        query.filters = vec![
            Filter::compare("state", Comparison::Greater, "0"),
            Filter::Or(vec![
                Filter::compare("notes", Comparison::Equal, ""),
                Filter::Not(Box::new(Filter::And(vec![
                    Filter::compare("host_name", Comparison::Matches, "^db"),
                    Filter::compare("plugin_output", Comparison::Matches, &b"K\xfchl"[..]),
                ]))),
            ]),
        ];
        let text = query.print().unwrap();
        assert_eq!(read(&text, false), [Ok(Request::Query(query))]);
        assert!(text.starts_with(
            b"GET services\nResponseHeader: fixed16\nKeepAlive: on\nOutputFormat: json\n"
        ));
        assert!(text.ends_with(b"ColumnHeaders: off\n\n"));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        let mut queries = vec![
            Query::new(""),
            Query::new("a b"),
            Query::rows("a", ["x\ny"]),
        ];
        for value in ["a\nGET b", "a\rb", "a\0", " a", "a "] {
            let mut query = Query::new("a");
            query.filters = vec![Filter::compare("x", Comparison::Equal, value)];
            queries.push(query);
        }
        for query in queries {
            assert!(
                matches!(query.print(), Err(Error::NotExpressible { .. })),
                "{query:?}"
            );
        }
    }
}
