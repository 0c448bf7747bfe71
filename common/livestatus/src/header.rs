//! The header lines of a query, one by one.

use bstr::{BString, ByteSlice};

use crate::number::parse_count;
use crate::output::{OutputFormat, Separators};
use crate::query::{Query, SortKey, TRIGGERS};
use crate::stack::{Combination, FilterStack};
use crate::stats::{Aggregation, Stat};
use crate::words::{choice, count, on_off, only_word, split_word, words};

/// Most columns of a query: they may be repeated, and so blow up the answer.
const MAX_COLUMNS: usize = 4096;
/// Most filters of a query, those in `Stats` and `WaitCondition` included.
const MAX_FILTERS: usize = 10_000;
/// Most columns to sort by.
const MAX_SORT_KEYS: usize = 64;

/// A query of which some lines have been read.
#[derive(Debug)]
pub(crate) struct QueryDraft {
    query: Query,
    filters: FilterStack,
    stats: StatsDraft,
    conditions: FilterStack,
    /// Filters read so far, on whatever stack.
    count: usize,
}

/// Stats so far. Those that count stand on a stack; a calculation is never
/// combined with them, so what stood before it is done.
#[derive(Debug, Default)]
struct StatsDraft {
    done: Vec<Stat>,
    counts: FilterStack,
}

impl QueryDraft {
    pub(crate) fn new(table: &[u8]) -> Self {
        let mut query = Query::new(table.to_str_lossy());
        query.column_headers = false;
        Self {
            query,
            filters: FilterStack::default(),
            stats: StatsDraft::default(),
            conditions: FilterStack::default(),
            count: 0,
        }
    }

    /// Takes a header. The error says what is wrong with its value.
    pub(crate) fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        use Combination::{And, Or};
        let query = &mut self.query;
        match name {
            b"Columns" | b"StatsGroupBy" => self.columns(value),
            b"ColumnHeaders" => on_off(value).map(|on| query.column_headers = on),
            b"Filter" => {
                self.count_filter()?;
                self.filters.compare(value)
            }
            b"And" => self.filters.combine(value, And),
            b"Or" => self.filters.combine(value, Or),
            b"Negate" => self.filters.negate(value),
            b"Stats" => {
                self.count_filter()?;
                self.query.column_headers = false;
                self.stats.stat(value)
            }
            b"StatsAnd" => self.stats.counts.combine(value, And),
            b"StatsOr" => self.stats.counts.combine(value, Or),
            b"StatsNegate" => self.stats.counts.negate(value),
            b"Sort" => sort_key(value).and_then(|key| self.sort(key)),
            b"OrderBy" => order_key(value).and_then(|key| self.sort(key)),
            b"Limit" => count(value).map(|limit| query.limit = Some(limit)),
            b"Offset" => count(value).map(|offset| query.offset = offset),
            b"Timelimit" => count(value).map(|seconds| query.time_limit = Some(seconds)),
            b"Localtime" => count(value).map(|time| query.localtime = Some(time)),
            b"AuthUser" => argument(value).map(|user| query.auth_user = Some(user)),
            b"OutputFormat" => choice("output format", value, &OutputFormat::WORDS)
                .map(|format| query.output_format = format),
            b"Separators" => separators(value).map(|given| query.separators = given),
            b"WaitObject" => argument(value).map(|object| query.wait.object = Some(object)),
            b"WaitCondition" => {
                self.count_filter()?;
                self.conditions.compare(value)
            }
            b"WaitConditionAnd" => self.conditions.combine(value, And),
            b"WaitConditionOr" => self.conditions.combine(value, Or),
            b"WaitConditionNegate" => self.conditions.negate(value),
            b"WaitTrigger" => choice("trigger", value, &TRIGGERS)
                .map(|trigger| query.wait.trigger = Some(trigger)),
            // 0 is for ever, as if it were not given.
            b"WaitTimeout" => {
                count(value).map(|timeout| query.wait.timeout = Some(timeout).filter(|t| *t > 0))
            }
            // Addressed to proxies.
            b"Cache" | b"Backends" => Ok(()),
            _ => Err("undefined request header".to_owned()),
        }
    }

    /// The query, when all headers have been read.
    pub(crate) fn finish(mut self) -> Query {
        let mut query = self.query;
        query.filters = self.filters.take().collect();
        query.wait.conditions = self.conditions.take().collect();
        self.stats.close();
        query.stats = self.stats.done;
        query.column_headers |= query.columns.is_empty() && query.stats.is_empty();
        query
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

    fn count_filter(&mut self) -> Result<(), String> {
        self.count += 1;
        if self.count > MAX_FILTERS {
            return Err(format!("more than {MAX_FILTERS} filters"));
        }
        Ok(())
    }

    fn sort(&mut self, key: SortKey) -> Result<(), String> {
        if self.query.sort.len() == MAX_SORT_KEYS {
            return Err(format!("more than {MAX_SORT_KEYS} columns to sort by"));
        }
        self.query.sort.push(key);
        Ok(())
    }
}

impl StatsDraft {
    /// `AGGREGATION COLUMN` or a filter. Words after the column are ignored:
    /// a client in the field sends `as NAME`.
    fn stat(&mut self, value: &[u8]) -> Result<(), String> {
        let (word, rest) = split_word(value);
        let Some(aggregation) = Aggregation::from_word(word) else {
            return self.counts.compare(value);
        };
        let (column, _) = split_word(rest);
        if column.is_empty() {
            return Err("missing column name".to_owned());
        }
        self.close();
        self.done.push(Stat::Aggregate {
            aggregation,
            column: column.to_str_lossy().into_owned(),
        });
        Ok(())
    }

    fn close(&mut self) {
        self.done.extend(self.counts.take().map(Stat::Count));
    }
}

/// `COLUMN [ENTRY] [asc|desc]`
fn sort_key(value: &[u8]) -> Result<SortKey, String> {
    let given: Vec<&[u8]> = words(value).take(4).collect();
    let (column, entry, direction) = match *given.as_slice() {
        [] => return Err("missing column name".to_owned()),
        [column] => (column, None, &b"asc"[..]),
        [column, direction @ (b"asc" | b"desc")] => (column, None, direction),
        [column, entry] => (column, Some(entry), &b"asc"[..]),
        [column, entry, direction] => (column, Some(entry), direction),
        _ => return Err("superfluous argument(s)".to_owned()),
    };
    Ok(SortKey {
        column: column.to_str_lossy().into_owned(),
        entry: entry.map(BString::from),
        descending: descending(direction)?,
    })
}

/// `COLUMN[.ENTRY] [asc|desc]`
fn order_key(value: &[u8]) -> Result<SortKey, String> {
    let given: Vec<&[u8]> = words(value).take(3).collect();
    let (column, direction) = match *given.as_slice() {
        [] => return Err("missing column name".to_owned()),
        [column] => (column, &b"asc"[..]),
        [column, direction] => (column, direction),
        _ => return Err("superfluous argument(s)".to_owned()),
    };
    let (column, entry) = match column.split_once_str(".") {
        Some((column, entry)) => (column, Some(entry)),
        None => (column, None),
    };
    if column.is_empty() || entry.is_some_and(<[u8]>::is_empty) {
        return Err("expected COLUMN or COLUMN.KEY".to_owned());
    }
    Ok(SortKey {
        column: column.to_str_lossy().into_owned(),
        entry: entry.map(BString::from),
        descending: descending(direction)?,
    })
}

fn descending(word: &[u8]) -> Result<bool, String> {
    choice("direction", word, &[("asc", false), ("desc", true)])
}

/// The rest of the line, which must not be empty.
fn argument(value: &[u8]) -> Result<BString, String> {
    if value.is_empty() {
        return Err("missing argument".to_owned());
    }
    Ok(BString::from(value))
}

pub(crate) fn fixed16(value: &[u8]) -> Result<bool, String> {
    match only_word(value) {
        Ok(b"off") => Ok(false),
        Ok(b"fixed16") => Ok(true),
        _ => Err("expected 'off' or 'fixed16'".to_owned()),
    }
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
