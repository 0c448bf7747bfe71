//! Which columns a server can be asked for.

use bstr::ByteSlice;
use livestatus::filter::Comparison;
use livestatus::json::{Cell, Row};
use livestatus::{Filter, Operator, Query, Server};
use program::Failure;

use crate::{Error, Source};

/// The columns of a query, chosen from those that we would like to have.
#[derive(Debug)]
pub struct Columns {
    table: &'static str,
    asked: Vec<&'static str>,
    /// For each wanted column its place in a row, if it was asked for.
    places: Vec<Option<usize>>,
}

impl Columns {
    /// Chooses from `wanted` what the server's `table` has.
    ///
    /// Icinga 2 has no table of columns and refuses a query for one that it
    /// lacks; the others would send nothing for it.
    pub fn choose(
        source: &Source,
        table: &'static str,
        wanted: &[&'static str],
    ) -> Result<Self, Failure> {
        Self::choose_some(source, table, wanted, |_| true)
    }

    /// The same, but of `wanted` only those that `are_used`.
    pub fn choose_some(
        source: &Source,
        table: &'static str,
        wanted: &[&'static str],
        are_used: impl Fn(&str) -> bool,
    ) -> Result<Self, Failure> {
        let present = if source.server().has_columns_table() {
            columns_of(source, table)?
        } else {
            Vec::new()
        };
        let has = |column: &str| {
            are_used(column)
                && !lacks(source.server(), table, column)
                && (present.is_empty() || present.iter().any(|name| name == column))
        };
        let mut columns = Self {
            table,
            asked: Vec::new(),
            places: Vec::new(),
        };
        for column in wanted {
            columns
                .places
                .push(has(column).then_some(columns.asked.len()));
            if has(column) {
                columns.asked.push(column);
            }
        }
        Ok(columns)
    }

    /// The table that has them.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// The names to ask for.
    pub fn names(&self) -> &[&'static str] {
        &self.asked
    }

    /// The cells of a row in the order of the wanted columns; what was not asked
    /// for is null.
    pub fn cells<'r>(&self, row: &'r Row) -> impl FnMut() -> Cell<'r> {
        let mut places = self.places.iter();
        move || row.cell(places.next().copied().flatten().unwrap_or(usize::MAX))
    }

    /// The cell of a row in the column that stands at `index` among the wanted
    /// ones.
    pub fn cell<'r>(&self, row: &'r Row, index: usize) -> Cell<'r> {
        let place = self.places.get(index).copied().flatten();
        row.cell(place.unwrap_or(usize::MAX))
    }

    /// Gives up the column that the server's `message` objects to. False where
    /// it names none that was asked for, or one without which a row says
    /// nothing.
    pub fn give_up(&mut self, message: &str) -> bool {
        const NEEDED: [&str; 3] = ["name", "host_name", "description"];
        let objected =
            |column: &&str| message.contains(&format!("'{column}'")) && !NEEDED.contains(column);
        let Some(at) = self.asked.iter().position(objected) else {
            return false;
        };
        self.asked.remove(at);
        for place in &mut self.places {
            *place = match *place {
                Some(place) if place == at => None,
                Some(place) if place > at => Some(place - 1),
                other => other,
            };
        }
        true
    }
}

/// What a server does not have, or has wrong.
fn lacks(server: Server, table: &str, column: &str) -> bool {
    match (server, table, column) {
        // It is too small by a factor of 3600.
        (Server::Icinga2, _, "staleness") => true,
        // It is unknown as long as no state was hard.
        (Server::Icinga2, _, "last_hard_state") => true,
        (Server::Icinga2, "contacts", "groups") => true,
        (Server::Icinga2, "downtimes", "is_pending") => true,
        (Server::Icinga2 | Server::Naemon | Server::Nagios, _, "labels" | "label_sources") => true,
        _ => false,
    }
}

fn columns_of(source: &Source, table: &str) -> Result<Vec<String>, Failure> {
    let mut query = Query::rows("columns", ["name"]);
    query.filters.push(Filter::Compare {
        column: "table".into(),
        operator: Operator {
            comparison: Comparison::Equal,
            negated: false,
        },
        value: table.into(),
    });
    let mut names = Vec::new();
    let asked = source.each_row(&query, |row| {
        names.push(row.cell(0).text().to_str_lossy().into_owned());
        Ok(())
    });
    match asked {
        // It does not know them itself; what it lacks it will tell.
        Err(Error::Refused(refusal)) if refusal.status == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(names),
    }
}
