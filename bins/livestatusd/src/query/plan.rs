//! A query made ready for its table: columns found, filters compiled once.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bstr::BString;
use livestatus::filter::Compiler;
use livestatus::query::SortKey;
use livestatus::stats::Counter;
use livestatus::{ColumnType, Error, Matcher, Query, Status, Value, order};

use super::Refusal;
use crate::tables::{Column, Row, Selection, Table, View};

/// What is to be done with the rows of a table.
pub(super) struct Plan<'q> {
    /// The query itself.
    pub(super) query: &'q Query,
    /// What is shown of each row, or what rows are grouped by.
    pub(super) columns: Vec<Cell>,
    /// The figures of each group.
    pub(super) counters: Vec<Counter<Cell>>,
    /// How rows or groups are ordered.
    pub(super) order: Vec<Order>,
    /// Largest answer, and most memory for what is kept to make it.
    pub(super) max: usize,
    table: Table,
    matcher: Matcher<Cell>,
    selection: Selection<'q>,
}

/// A column of the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// `None` if the table has no such column: clients ask for more than one
    /// server has.
    column: Option<&'static Column>,
    /// Seconds added to its times, for a client whose clock is ahead.
    shift: i64,
}

/// One of the things that rows are ordered by.
#[derive(Debug)]
pub(super) struct Order {
    /// The column.
    pub(super) by: OrderBy,
    /// The entry of a dict column.
    entry: Option<BString>,
    descending: bool,
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum OrderBy {
    /// A value of the row.
    Cell(Cell),
    /// A figure of the group, by its place.
    Stat(usize),
}

impl Cell {
    /// The value in a row.
    pub(super) fn value<'a>(&self, row: &Row<'a>) -> Value<'a> {
        let value = match self.column {
            Some(column) => column.value(row),
            None => return Value::Null,
        };
        match value {
            Value::Int(time) if self.shift != 0 => Value::Int(time.saturating_add(self.shift)),
            value => value,
        }
    }
}

impl Order {
    /// Appends the bytes by which this value is compared.
    pub(super) fn push_key(&self, out: &mut Vec<u8>, value: &Value<'_>) {
        let from = out.len();
        match &self.entry {
            Some(entry) => order::push_entry_key(out, value, entry.as_ref()),
            None => order::push_key(out, value),
        }
        if self.descending {
            order::reverse_key(out, from);
        }
    }
}

impl<'q> Plan<'q> {
    /// Finds out what is asked for, or what is wrong with it.
    pub(super) fn new(query: &'q Query, view: &View<'_>, max: usize) -> Result<Self, Refusal> {
        let table = Table::named(&query.table).ok_or_else(|| Refusal {
            status: Status::NotFound,
            message: format!(
                "Invalid GET request, no such table '{}'",
                shown(&query.table)
            ),
        })?;
        if table == Table::Statehist && *view.times.start() == i64::MIN {
            return Err(Refusal {
                status: Status::InvalidRequest,
                message: "Start of timeframe required. e.g. Filter: time > 1234567890".to_owned(),
            });
        }
        let resolver = Resolver::new(table, query, view)?;
        let mut compiler = Compiler::default();
        let matcher = resolver.apply("Filter", |resolve| {
            compiler.compile(&query.filters, resolve)
        })?;
        let counters: Vec<_> = resolver.apply("Stats", |resolve| {
            let stats = query.stats.iter();
            stats
                .map(|stat| stat.compile(&mut compiler, resolve))
                .collect()
        })?;
        let columns: Vec<Cell> = if query.columns.is_empty() && counters.is_empty() {
            let all = table.columns().iter();
            all.map(|column| resolver.cell(Some(column))).collect()
        } else {
            let names = query.columns.iter();
            names
                .map(|name| resolver.cell(table.column(name)))
                .collect()
        };
        let order = query
            .sort
            .iter()
            .map(|key| resolver.order(key, query, &columns))
            .collect::<Result<_, _>>()
            .map_err(|what| Refusal::bad_header("Sort", &what))?;
        Ok(Self {
            query,
            columns,
            counters,
            order,
            max,
            table,
            matcher,
            selection: Selection::of(table, &query.filters),
        })
    }

    /// What stands above the columns.
    pub(super) fn names(&self) -> Vec<String> {
        if self.query.columns.is_empty() && self.counters.is_empty() {
            let all = self.table.columns().iter();
            return all.map(|column| column.name.clone()).collect();
        }
        let mut names = self.query.columns.clone();
        names.extend((1..=self.counters.len()).map(|number| format!("stats_{number}")));
        names
    }

    /// Gives every row that passes to `visit`, until it breaks off or the time
    /// is up.
    pub(super) fn scan(
        &self,
        view: &View<'_>,
        mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let mut clock = Clock::start(self.query.time_limit);
        let mut result = Ok(());
        self.table.for_each(view, &self.selection, |row| {
            let passes = self.matcher.matches(&mut |cell: &Cell| cell.value(row));
            if let Err(refusal) = clock.tick(passes) {
                result = Err(refusal);
                return ControlFlow::Break(());
            }
            if passes {
                visit(row)
            } else {
                ControlFlow::Continue(())
            }
        });
        result
    }
}

/// Finds the columns of a table.
#[derive(Clone, Copy)]
pub(super) struct Resolver {
    table: Table,
    shift: i64,
}

/// Finds the column of a name, with its type.
pub(super) type Resolve<'r> = dyn FnMut(&str) -> Option<(Cell, ColumnType)> + 'r;

impl Resolver {
    pub(super) fn new(table: Table, query: &Query, view: &View<'_>) -> Result<Self, Refusal> {
        let shift = query.timezone_offset(view.now).map_err(|error| Refusal {
            status: Status::BadRequest,
            message: error.to_string(),
        })?;
        Ok(Self { table, shift })
    }

    fn cell(self, column: Option<&'static Column>) -> Cell {
        let is_time = column.is_some_and(|column| column.kind == ColumnType::Time);
        Cell {
            column,
            shift: if is_time { self.shift } else { 0 },
        }
    }

    /// Lets `compile` find columns, and says of which header a fault is.
    pub(super) fn apply<T>(
        self,
        header: &str,
        compile: impl FnOnce(&mut Resolve<'_>) -> Result<T, Error>,
    ) -> Result<T, Refusal> {
        let mut unknown = None;
        let compiled = compile(&mut |name| {
            let column = self.table.column(name);
            if column.is_none() {
                unknown.get_or_insert_with(|| name.to_owned());
            }
            column.map(|column| (self.cell(Some(column)), column.kind))
        });
        compiled.map_err(|error| match unknown {
            Some(name) => Refusal::bad_header(header, &self.no_column(&name)),
            None => Refusal::bad_header(header, &error.to_string()),
        })
    }

    fn no_column(self, name: &str) -> String {
        let table = self.table.name();
        format!("table '{table}' has no column '{}'", shown(name))
    }

    fn order(self, key: &SortKey, query: &Query, columns: &[Cell]) -> Result<Order, String> {
        let by = self.order_by(key, query, columns)?;
        let is_dict = match by {
            OrderBy::Cell(cell) => cell
                .column
                .is_some_and(|column| column.kind == ColumnType::Dict),
            OrderBy::Stat(_) => false,
        };
        if key.entry.is_some() && !is_dict {
            let column = shown(&key.column);
            return Err(format!("column '{column}' has no entries"));
        }
        Ok(Order {
            by,
            entry: key.entry.clone(),
            descending: key.descending,
        })
    }

    fn order_by(self, key: &SortKey, query: &Query, columns: &[Cell]) -> Result<OrderBy, String> {
        if let Some(place) = stat_place(&key.column, query.stats.len()) {
            return Ok(OrderBy::Stat(place));
        }
        let column = self
            .table
            .column(&key.column)
            .ok_or_else(|| self.no_column(&key.column))?;
        let is_shown = |cell: &Cell| cell.column.is_some_and(|shown| std::ptr::eq(shown, column));
        if !query.stats.is_empty() && !columns.iter().any(is_shown) {
            let column = shown(&key.column);
            return Err(format!(
                "groups have no column '{column}': it is not among Columns"
            ));
        }
        Ok(OrderBy::Cell(self.cell(Some(column))))
    }
}

/// The place of `stats_1`, `stats_2`, …
fn stat_place(name: &str, stats: usize) -> Option<usize> {
    let number: usize = name.strip_prefix("stats_")?.parse().ok()?;
    (1..=stats).contains(&number).then(|| number - 1)
}

/// Watches over `Timelimit`.
struct Clock {
    end: Option<(Instant, u64)>,
    rows: u32,
}

impl Clock {
    /// Rows between two looks at the time.
    const STEP: u32 = 256;

    fn start(seconds: Option<u64>) -> Self {
        let end = seconds.and_then(|seconds| {
            let end = Instant::now().checked_add(Duration::from_secs(seconds))?;
            Some((end, seconds))
        });
        Self { end, rows: 0 }
    }

    /// A row was looked at. Without any row that passes, no time at all is enough.
    fn tick(&mut self, passes: bool) -> Result<(), Refusal> {
        let Some((end, seconds)) = self.end else {
            return Ok(());
        };
        self.rows += 1;
        let due = self.rows.is_multiple_of(Self::STEP) && seconds > 0 || passes && seconds == 0;
        if !due || Instant::now() < end {
            return Ok(());
        }
        Err(Refusal {
            status: Status::TooLarge,
            message: format!("Maximum query time of {seconds} seconds exceeded!"),
        })
    }
}

/// A client's word for a message: clients drop messages of 300 bytes and more.
pub(super) fn shown(word: &str) -> String {
    program::log::quote(word.as_bytes(), 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_over_with_the_first_row_that_passes() {
        let mut clock = Clock::start(Some(0));
        for _ in 0..1000 {
            assert_eq!(clock.tick(false), Ok(()));
        }
        let refusal = clock.tick(true).unwrap_err();
        assert_eq!(refusal.status, Status::TooLarge);
        assert_eq!(refusal.message, "Maximum query time of 0 seconds exceeded!");
        for limit in [None, Some(3600), Some(u64::MAX)] {
            let mut clock = Clock::start(limit);
            for _ in 0..1000 {
                assert_eq!(clock.tick(true), Ok(()), "{limit:?}");
            }
        }
    }

    #[test]
    fn figures_of_groups_have_names() {
        for (name, want) in [
            ("stats_1", Some(0)),
            ("stats_2", Some(1)),
            ("stats_3", None),
            ("stats_0", None),
            ("stats_", None),
            ("state", None),
        ] {
            assert_eq!(stat_place(name, 2), want, "{name}");
        }
    }
}
