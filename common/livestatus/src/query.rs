//! Queries as values, and their printing for another server.

use bstr::{BString, ByteSlice};
use objects::UnixTime;

use crate::error::{Error, excerpt};
use crate::filter::Filter;
use crate::output::{OutputFormat, Separators};
use crate::stats::Stat;

/// A query, with the effective value of every header.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The table's name.
    pub table: String,
    /// Columns in the order asked for; empty means all, or with `stats` that
    /// there are no groups.
    pub columns: Vec<String>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// What is counted and calculated, instead of giving the rows themselves.
    pub stats: Vec<Stat>,
    /// How rows are ordered; the first has precedence.
    pub sort: Vec<SortKey>,
    /// So many rows are skipped, before `limit` counts.
    pub offset: u64,
    /// At most this many rows.
    pub limit: Option<u64>,
    /// The query may take so many seconds.
    pub time_limit: Option<u64>,
    /// The client's clock when it asked.
    pub localtime: Option<u64>,
    /// The contact whose objects are shown.
    pub auth_user: Option<BString>,
    /// What is waited for before the query is answered.
    pub wait: Wait,
    /// Form of the rows.
    pub output_format: OutputFormat,
    /// Separators of csv.
    pub separators: Separators,
    /// Whether the first row has the names. Without columns and stats it always has.
    pub column_headers: bool,
    /// `ResponseHeader: fixed16`
    pub fixed16: bool,
    /// Whether another request may follow on the same connection.
    pub keep_alive: bool,
}

/// One column by which rows are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// Name of the column.
    pub column: String,
    /// The entry of a dict column.
    pub entry: Option<BString>,
    /// Largest first.
    pub descending: bool,
}

/// What a query waits for. Without conditions and trigger it does not wait.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wait {
    /// The object that the conditions are about.
    pub object: Option<BString>,
    /// All of these must hold.
    pub conditions: Vec<Filter>,
    /// The events after which they are looked at again.
    pub trigger: Option<Trigger>,
    /// Milliseconds after which it goes on in any case.
    pub timeout: Option<u64>,
}

/// Events that a query may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Any of the others.
    All,
    /// A check was executed.
    Check,
    /// A state changed.
    State,
    /// Something was logged.
    Log,
    /// A downtime was set, changed or removed.
    Downtime,
    /// A comment was set or removed.
    Comment,
    /// A command was executed.
    Command,
    /// The program's own status changed.
    Program,
}

/// All triggers, with their words.
pub(crate) const TRIGGERS: [(&str, Trigger); 8] = [
    ("all", Trigger::All),
    ("check", Trigger::Check),
    ("state", Trigger::State),
    ("log", Trigger::Log),
    ("downtime", Trigger::Downtime),
    ("comment", Trigger::Comment),
    ("command", Trigger::Command),
    ("program", Trigger::Program),
];

impl Query {
    /// A query for all columns of `table` as csv, neither framed nor kept alive.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            columns: Vec::new(),
            filters: Vec::new(),
            stats: Vec::new(),
            sort: Vec::new(),
            offset: 0,
            limit: None,
            time_limit: None,
            localtime: None,
            auth_user: None,
            wait: Wait::default(),
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

    /// Seconds that the client's clock is ahead of `now`, in whole half hours:
    /// what is added to every time it is sent, and taken off every time it sends.
    pub fn timezone_offset(&self, now: UnixTime) -> Result<i64, Error> {
        let Some(localtime) = self.localtime else {
            return Ok(0);
        };
        let ahead = i64::try_from(localtime).unwrap_or(i64::MAX);
        let ahead = ahead.saturating_sub(now.secs());
        let (halves, rest) = (ahead / 1800, ahead % 1800);
        let halves = halves + i64::from(rest >= 900) - i64::from(rest <= -900);
        if halves.unsigned_abs() >= 48 {
            return Err(Error::BadRequest(
                "while processing header 'Localtime': timezone difference greater than or equal to 24 hours"
                    .to_owned(),
            ));
        }
        Ok(halves * 1800)
    }

    /// The request's bytes, ending with the blank line. Headers stand in the
    /// order that all servers understand: the frame first, because Naemon forgets
    /// it at the first fault, the names last, because `Columns` turns them off.
    pub fn print(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        line(&mut out, &[b"GET ", word("table", self.table.as_bytes())?]);
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
        if let Some(user) = &self.auth_user {
            line(&mut out, &[b"AuthUser: ", argument("user", user)?]);
        }
        number(&mut out, "Localtime", self.localtime);
        number(&mut out, "Timelimit", self.time_limit);
        self.wait.print(&mut out)?;
        if !self.columns.is_empty() {
            out.extend_from_slice(b"Columns:");
            for column in &self.columns {
                out.push(b' ');
                out.extend_from_slice(word("column", column.as_bytes())?);
            }
            out.push(b'\n');
        }
        for filter in &self.filters {
            print_filter(filter, &FILTER, &mut out)?;
        }
        for stat in &self.stats {
            print_stat(stat, &mut out)?;
        }
        for key in &self.sort {
            key.print(&mut out)?;
        }
        number(&mut out, "Offset", Some(self.offset).filter(|n| *n > 0));
        number(&mut out, "Limit", self.limit);
        let headers: &[u8] = if self.column_headers { b"on" } else { b"off" };
        line(&mut out, &[b"ColumnHeaders: ", headers]);
        out.push(b'\n');
        Ok(out)
    }
}

impl SortKey {
    fn print(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(b"Sort: ");
        out.extend_from_slice(word("column", self.column.as_bytes())?);
        if let Some(entry) = &self.entry {
            out.push(b' ');
            out.extend_from_slice(word("entry", entry)?);
        }
        let direction: &[u8] = if self.descending { b" desc" } else { b" asc" };
        line(out, &[direction]);
        Ok(())
    }
}

impl Wait {
    fn print(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(object) = &self.object {
            line(out, &[b"WaitObject: ", argument("object", object)?]);
        }
        for condition in &self.conditions {
            print_filter(condition, &WAIT_CONDITION, out)?;
        }
        if let Some(trigger) = self.trigger {
            line(out, &[b"WaitTrigger: ", trigger.word().as_bytes()]);
        }
        number(out, "WaitTimeout", self.timeout);
        Ok(())
    }
}

impl Trigger {
    /// The word in the `WaitTrigger` header.
    pub fn word(self) -> &'static str {
        let known = TRIGGERS.iter().find(|(_, trigger)| *trigger == self);
        known.expect("the table has all of them").0
    }
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

fn number(out: &mut Vec<u8>, name: &str, number: Option<u64>) {
    if let Some(number) = number {
        line(out, &[format!("{name}: {number}").as_bytes()]);
    }
}

/// A name: white space would end it.
fn word<'a>(place: &'static str, name: &'a [u8]) -> Result<&'a [u8], Error> {
    let bad = |b: &u8| b.is_ascii_whitespace() || *b == 0;
    if name.is_empty() || name.iter().any(bad) {
        return Err(not_expressible(place, name));
    }
    Ok(name)
}

/// The rest of a line, which may be empty.
fn rest_of_line<'a>(place: &'static str, value: &'a [u8]) -> Result<&'a [u8], Error> {
    if value.find_byteset(b"\n\r\0").is_some() || value.trim_ascii() != value {
        return Err(not_expressible(place, value));
    }
    Ok(value)
}

/// The rest of a line, which must not be empty.
fn argument<'a>(place: &'static str, value: &'a [u8]) -> Result<&'a [u8], Error> {
    if value.is_empty() {
        return Err(not_expressible(place, value));
    }
    rest_of_line(place, value)
}

fn not_expressible(place: &'static str, value: &[u8]) -> Error {
    Error::NotExpressible {
        place,
        value: excerpt(value, 80),
    }
}

/// The headers that make a filter.
struct Headers {
    compare: &'static str,
    and: &'static str,
    or: &'static str,
    negate: &'static str,
}

const FILTER: Headers = Headers {
    compare: "Filter",
    and: "And",
    or: "Or",
    negate: "Negate",
};

const STATS: Headers = Headers {
    compare: "Stats",
    and: "StatsAnd",
    or: "StatsOr",
    negate: "StatsNegate",
};

const WAIT_CONDITION: Headers = Headers {
    compare: "WaitCondition",
    and: "WaitConditionAnd",
    or: "WaitConditionOr",
    negate: "WaitConditionNegate",
};

/// Depth is bounded by who built the filter.
fn print_filter(filter: &Filter, headers: &Headers, out: &mut Vec<u8>) -> Result<(), Error> {
    match filter {
        Filter::Compare {
            column,
            operator,
            value,
        } => {
            let value = rest_of_line("filter value", value)?;
            let column = word("column", column.as_bytes())?;
            let operator = operator.to_string();
            let name = headers.compare.as_bytes();
            line(
                out,
                &[name, b": ", column, b" ", operator.as_bytes(), b" ", value],
            );
        }
        Filter::And(filters) => {
            print_combined(filters, headers.and, headers, out)?;
        }
        Filter::Or(filters) => {
            print_combined(filters, headers.or, headers, out)?;
        }
        Filter::Not(filter) => {
            print_filter(filter, headers, out)?;
            line(out, &[headers.negate.as_bytes(), b":"]);
        }
    }
    Ok(())
}

fn print_combined(
    filters: &[Filter],
    name: &str,
    headers: &Headers,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    for filter in filters {
        print_filter(filter, headers, out)?;
    }
    number(out, name, Some(filters.len() as u64));
    Ok(())
}

fn print_stat(stat: &Stat, out: &mut Vec<u8>) -> Result<(), Error> {
    match stat {
        Stat::Count(filter) => print_filter(filter, &STATS, out),
        Stat::Aggregate {
            aggregation,
            column,
        } => {
            let column = word("column", column.as_bytes())?;
            let aggregation = aggregation.word().as_bytes();
            line(out, &[b"Stats: ", aggregation, b" ", column]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Comparison;
    use crate::stats::Aggregation;

    #[test]
    fn every_header_is_printed() {
        let f = |column: &str| Filter::compare(column, Comparison::Equal, "1");
        let mut query = Query::rows("services", ["host_name", "state"]);
        query.keep_alive = true;
        query.separators.row = 0;
        query.auth_user = Some("bob".into());
        query.localtime = Some(7);
        query.time_limit = Some(8);
        query.wait = Wait {
            object: Some("db1;Disk /".into()),
            conditions: vec![Filter::Or(vec![f("a"), Filter::Not(Box::new(f("b")))])],
            trigger: Some(Trigger::Check),
            timeout: Some(700),
        };
        query.filters = vec![Filter::And(vec![f("c"), f("d")])];
        query.stats = vec![
            Stat::Count(Filter::And(vec![f("e"), Filter::Or(vec![])])),
            Stat::Aggregate {
                aggregation: Aggregation::AvgInv,
                column: "latency".into(),
            },
            Stat::Count(Filter::Not(Box::new(f("f")))),
        ];
        query.sort = vec![
            SortKey {
                column: "state".into(),
                entry: None,
                descending: true,
            },
            SortKey {
                column: "custom_variables".into(),
                entry: Some("SITE".into()),
                descending: false,
            },
        ];
        (query.offset, query.limit) = (5, Some(10));
        let want = "GET services\nResponseHeader: fixed16\nKeepAlive: on\nOutputFormat: json\n\
            Separators: 0 59 44 124\nAuthUser: bob\nLocaltime: 7\nTimelimit: 8\n\
            WaitObject: db1;Disk /\nWaitCondition: a = 1\nWaitCondition: b = 1\nWaitConditionNegate:\n\
            WaitConditionOr: 2\nWaitTrigger: check\nWaitTimeout: 700\nColumns: host_name state\n\
            Filter: c = 1\nFilter: d = 1\nAnd: 2\nStats: e = 1\nStatsOr: 0\nStatsAnd: 2\n\
            Stats: avginv latency\nStats: f = 1\nStatsNegate:\nSort: state desc\n\
            Sort: custom_variables SITE asc\nOffset: 5\nLimit: 10\nColumnHeaders: off\n\n";
        assert_eq!(BString::from(query.print().unwrap()), want);
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
            let mut query = Query::new("a");
            query.auth_user = Some(value.into());
            queries.push(query);
            let mut query = Query::new("a");
            query.wait.object = Some(value.into());
            queries.push(query);
        }
        for (column, entry) in [("", None), ("x", Some("")), ("x", Some("a b"))] {
            let mut query = Query::new("a");
            query.sort = vec![SortKey {
                column: column.into(),
                entry: entry.map(Into::into),
                descending: false,
            }];
            queries.push(query);
        }
        for query in queries {
            assert!(
                matches!(query.print(), Err(Error::NotExpressible { .. })),
                "{query:?}"
            );
        }
    }

    #[test]
    fn clocks_differ_by_whole_half_hours() {
        for (ahead, want) in [
            (0, Some(0)),
            (899, Some(0)),
            (900, Some(1800)),
            (1800, Some(1800)),
            (2699, Some(1800)),
            (-899, Some(0)),
            (-900, Some(-1800)),
            (-3600, Some(-3600)),
            (23 * 3600 + 1800 + 899, Some(23 * 3600 + 1800)),
            (23 * 3600 + 1800 + 900, None),
            (86_400, None),
            (-86_400, None),
        ] {
            let now = 1_795_217_983;
            let mut query = Query::new("hosts");
            query.localtime = Some(u64::try_from(now + ahead).unwrap());
            let offset = query.timezone_offset(UnixTime::from_secs(now));
            assert_eq!(offset.ok(), want, "{ahead}");
        }
        assert_eq!(
            Query::new("hosts").timezone_offset(UnixTime::NEVER),
            Ok(0),
            "not given"
        );
    }
}
