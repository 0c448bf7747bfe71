//! Requests: reading them from a stream.

use bstr::ByteSlice;

use crate::command::Command;
use crate::error::{Status, excerpt};
use crate::header::{QueryDraft, fixed16};
use crate::lines::{Line, Lines};
use crate::query::Query;
use crate::words::{on_off, split_word};

/// One request.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all requests are queries, and each is moved once or twice"
)]
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
    Get(Box<QueryDraft>),
    Command(Command),
    BadCommand,
    Unknown,
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
                let mut draft = Self::new(Verb::Get(Box::new(QueryDraft::new(rest))));
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
                let mut query = get.finish();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Comparison, Filter, MAX_DEPTH};
    use crate::output::{OutputFormat, Separators};
    use crate::query::{SortKey, Trigger, Wait};
    use crate::stats::{Aggregation, Stat};

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
            "GET hosts\nColumns: name  state\nColumns: alias\nStatsGroupBy: site\nFilter: state = 1\n\
             Limit: 5\nOffset: 6\nTimelimit: 7\nLocaltime: 8\nAuthUser: bob the  builder \n\
             OutputFormat:json\nColumnHeaders: on\nResponseHeader: fixed16\nKeepAlive: on\n\
             Separators: 0 1 2 3\nCache: reload\nBackends: a b",
        );
        let want = Query {
            table: "hosts".into(),
            columns: ["name", "state", "alias", "site"].map(Into::into).into(),
            filters: vec![Filter::compare("state", Comparison::Equal, "1")],
            stats: vec![],
            sort: vec![],
            limit: Some(5),
            offset: 6,
            time_limit: Some(7),
            localtime: Some(8),
            auth_user: Some("bob the  builder".into()),
            wait: Wait::default(),
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
    fn stats_count_and_calculate() {
        let f = |value: &str| Filter::compare("x", Comparison::Equal, value);
        let sum = |column: &str| Stat::Aggregate {
            aggregation: Aggregation::Sum,
            column: column.into(),
        };
        for (headers, want) in [
            ("Stats: x = 1", vec![Stat::Count(f("1"))]),
            (
                "Stats: x = 1\nStats: x = 2\nStats: x = 3\nStatsOr: 2\nStatsNegate:",
                vec![
                    Stat::Count(f("1")),
                    Stat::Count(Filter::Not(Box::new(Filter::Or(vec![f("2"), f("3")])))),
                ],
            ),
            (
                "Stats: x = 1\nStats: sum y\nStats: x = 2\nStats: x = 3\nStatsAnd: 2",
                vec![
                    Stat::Count(f("1")),
                    sum("y"),
                    Stat::Count(Filter::And(vec![f("2"), f("3")])),
                ],
            ),
            ("Stats: sum y as total", vec![sum("y")]),
            ("Stats: sum =", vec![sum("=")]),
            ("StatsAnd: 0", vec![Stat::Count(Filter::And(vec![]))]),
        ] {
            let query = query(&format!("GET a\nFilter: z = 1\n{headers}"));
            assert_eq!(query.stats, want, "{headers}");
            assert_eq!(query.filters.len(), 1);
            assert!(!query.column_headers);
        }
        for (word, aggregation) in [
            ("sum", Aggregation::Sum),
            ("min", Aggregation::Min),
            ("max", Aggregation::Max),
            ("avg", Aggregation::Avg),
            ("std", Aggregation::Std),
            ("suminv", Aggregation::SumInv),
            ("avginv", Aggregation::AvgInv),
        ] {
            let column = "y".into();
            let want = [Stat::Aggregate {
                aggregation,
                column,
            }];
            assert_eq!(query(&format!("GET a\nStats: {word} y")).stats, want);
        }
    }

    #[test]
    fn rows_are_sorted_by_columns_and_entries() {
        for (header, column, entry, descending) in [
            ("Sort: state", "state", None, false),
            ("Sort: state asc", "state", None, false),
            ("Sort: state desc", "state", None, true),
            (
                "Sort: custom_variables SITE",
                "custom_variables",
                Some("SITE"),
                false,
            ),
            (
                "Sort: custom_variables SITE desc",
                "custom_variables",
                Some("SITE"),
                true,
            ),
            (
                "Sort: custom_variables asc asc",
                "custom_variables",
                Some("asc"),
                false,
            ),
            ("OrderBy: state", "state", None, false),
            ("OrderBy: state desc", "state", None, true),
            ("OrderBy: labels.os asc", "labels", Some("os"), false),
            ("OrderBy: labels.a.b", "labels", Some("a.b"), false),
        ] {
            let want = SortKey {
                column: column.into(),
                entry: entry.map(Into::into),
                descending,
            };
            assert_eq!(query(&format!("GET a\n{header}")).sort, [want], "{header}");
        }
        let two = query("GET a\nSort: x desc\nSort: y").sort;
        assert_eq!(
            (two.len(), two[0].descending, two[1].descending),
            (2, true, false)
        );
    }

    #[test]
    fn waiting_is_asked_for() {
        let all = query(
            "GET hosts\nWaitObject: db1;Disk /\nWaitCondition: state = 0\nWaitCondition: state = 1\n\
             WaitConditionOr: 2\nWaitConditionNegate:\nWaitTrigger: check\nWaitTimeout: 700",
        );
        let f = |value: &str| Filter::compare("state", Comparison::Equal, value);
        let want = Wait {
            object: Some("db1;Disk /".into()),
            conditions: vec![Filter::Not(Box::new(Filter::Or(vec![f("0"), f("1")])))],
            trigger: Some(Trigger::Check),
            timeout: Some(700),
        };
        assert_eq!(all.wait, want);
        assert!(all.filters.is_empty());
        assert_eq!(
            query("GET a\nWaitTimeout: 0").wait,
            Wait::default(),
            "for ever"
        );
    }

    #[test]
    fn columns_turn_the_names_off_until_they_are_asked_for() {
        for (text, want) in [
            ("GET a", true),
            ("GET a\nColumnHeaders: off", true),
            ("GET a\nColumns: x", false),
            ("GET a\nColumns: x\nColumnHeaders: on", true),
            ("GET a\nColumnHeaders: on\nColumns: x", false),
            ("GET a\nStats: x = 1", false),
            ("GET a\nStats: x = 1\nColumnHeaders: on", true),
            ("GET a\nColumnHeaders: on\nStats: sum x", false),
            ("GET a\nColumnHeaders: on\nStatsGroupBy: x", false),
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
            ("And: 0\nAnd: 2", vec![f("1"), f("2"), f("3")]),
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
                "GET a\nLimit: -1",
                400,
                "while processing header 'Limit': expected non-negative integer",
            ),
            (
                "GET a\nLimit:",
                400,
                "while processing header 'Limit': missing argument",
            ),
            (
                "GET a\nOffset: 5 6",
                400,
                "while processing header 'Offset': superfluous argument(s)",
            ),
            (
                "GET a\nTimelimit: 1s",
                400,
                "while processing header 'Timelimit': expected non-negative integer",
            ),
            (
                "GET a\nLocaltime: now",
                400,
                "while processing header 'Localtime': expected non-negative integer",
            ),
            (
                "GET a\nAuthUser:",
                400,
                "while processing header 'AuthUser': missing argument",
            ),
            (
                "GET a\nStats: sum",
                400,
                "while processing header 'Stats': missing column name",
            ),
            (
                "GET a\nStats: x",
                400,
                "while processing header 'Stats': missing operator after column 'x'",
            ),
            (
                "GET a\nStats: x = 1\nStats: sum y\nStats: x = 2\nStatsOr: 2",
                400,
                "while processing header 'StatsOr': cannot combine filters: expecting 2 filters, but only 1 is on stack",
            ),
            (
                "GET a\nFilter: x = 1\nStatsNegate:",
                400,
                "while processing header 'StatsNegate': cannot negate: no filter on stack",
            ),
            (
                "GET a\nSort: x y up",
                400,
                "while processing header 'Sort': direction 'up' is not one of asc, desc",
            ),
            (
                "GET a\nSort: x y desc z",
                400,
                "while processing header 'Sort': superfluous argument(s)",
            ),
            (
                "GET a\nSort:",
                400,
                "while processing header 'Sort': missing column name",
            ),
            (
                "GET a\nOrderBy: x.",
                400,
                "while processing header 'OrderBy': expected COLUMN or COLUMN.KEY",
            ),
            (
                "GET a\nWaitTrigger: x",
                400,
                "while processing header 'WaitTrigger': trigger 'x' is not one of all, check, state, log, \
                 downtime, comment, command, program",
            ),
            (
                "GET a\nWaitConditionAnd: 1",
                400,
                "while processing header 'WaitConditionAnd': cannot combine filters: expecting 1 filters, but only 0 are on stack",
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
                "while processing header 'OutputFormat': output format 'xml' is not one of csv, CSV, json, wrapped_json, python, python3",
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
                "while processing header 'And': cannot combine filters: expecting 2 filters, but only 1 is on stack",
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
}
