//! All rows of a table. A column that the server turns out not to have is given
//! up; where the server finds the answer too large, the hosts are asked for in
//! ranges of their names.

use bstr::BString;
use livestatus::filter::Comparison;
use livestatus::json::Row;
use livestatus::{Filter, Operator};
use program::{Failure, Status};

use crate::Columns;
use crate::Scope;
use crate::{Error, Source};

/// The status of an answer that would be too large.
const TOO_LARGE: u16 = 413;
/// The status of an answer about a table that is not there.
const NO_TABLE: u16 = 404;

/// Hands over each row of the table that `columns` are of. These may become
/// fewer, so a row is to be read with those that come along with it.
pub fn each_row(
    source: &Source,
    scope: &Scope,
    columns: &mut Columns,
    mut visit: impl FnMut(&Columns, &Row) -> Result<(), Failure>,
) -> Result<(), Error> {
    let refusal = match each_row_of(None, source, scope, columns, &mut visit) {
        Err(Error::Refused(refusal)) if refusal.status == TOO_LARGE => refusal,
        done => return done,
    };
    let Some(host_name) = host_name(columns.table()) else {
        return Err(Error::Refused(refusal));
    };
    let names = host_names(source, scope)?;
    in_ranges(&names, refusal.failure, |range| {
        each_row_of(Some((host_name, range)), source, scope, columns, &mut visit)
    })?;
    Ok(())
}

/// The same for a table that the server need not have: then there are no rows.
pub fn each_row_if_any(
    source: &Source,
    scope: &Scope,
    columns: &mut Columns,
    visit: impl FnMut(&Columns, &Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match each_row(source, scope, columns, visit) {
        Err(Error::Refused(refusal)) if refusal.status == NO_TABLE => Ok(()),
        done => Ok(done?),
    }
}

/// The column with the name of the host, where the rows of a table have one.
fn host_name(table: &str) -> Option<&'static str> {
    match table {
        "hosts" => Some("name"),
        "services" | "comments" | "downtimes" => Some("host_name"),
        _ => None,
    }
}

/// Asks for as many hosts at once as the server bears. `refusal` is what it
/// said about all of them.
fn in_ranges(
    names: &[BString],
    refusal: Failure,
    mut ask: impl FnMut(Range<'_>) -> Result<(), Error>,
) -> Result<(), Failure> {
    let mut refusal = Some(refusal);
    let (mut begin, mut count) = (0, names.len());
    while begin < names.len() || refusal.is_some() {
        if let Some(refusal) = refusal.take() {
            if count < 2 {
                return Err(not_even_one(names.get(begin), refusal));
            }
            count /= 2;
        }
        let end = names.len().min(begin + count);
        let range = Range {
            // Open at both ends of the whole, for hosts that are new.
            from: names.get(begin).filter(|_| begin > 0),
            to: names.get(end),
        };
        match ask(range) {
            Ok(()) => begin = end,
            Err(Error::Refused(refused)) if refused.status == TOO_LARGE => {
                count = end - begin;
                refusal = Some(refused.failure);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn not_even_one(name: Option<&BString>, refusal: Failure) -> Failure {
    let Some(name) = name else { return refusal };
    let name = program::log::quote(name, 100);
    let what = format!("host '{name}' alone is more than the server answers");
    Failure::caused(Status::Failed, what, refusal)
}

/// Hosts whose names are not less than `from`, and less than `to`. All servers
/// compare them byte by byte.
#[derive(Clone, Copy)]
struct Range<'a> {
    from: Option<&'a BString>,
    to: Option<&'a BString>,
}

impl Range<'_> {
    fn filters(self, column: &str) -> impl Iterator<Item = Filter> {
        let bound = |comparison, name: &BString| Filter::Compare {
            column: column.to_owned(),
            operator: Operator {
                comparison,
                negated: false,
            },
            value: name.clone(),
        };
        let from = self
            .from
            .map(|name| bound(Comparison::GreaterOrEqual, name));
        let to = self.to.map(|name| bound(Comparison::Less, name));
        from.into_iter().chain(to)
    }
}

/// Asks for all rows, or for those whose column is in a range.
fn each_row_of(
    range: Option<(&str, Range<'_>)>,
    source: &Source,
    scope: &Scope,
    columns: &mut Columns,
    visit: &mut impl FnMut(&Columns, &Row) -> Result<(), Failure>,
) -> Result<(), Error> {
    loop {
        let mut query = scope.query(columns.table(), columns.names());
        if let Some((column, range)) = range {
            query.filters.extend(range.filters(column));
        }
        match source.each_row(&query, |row| visit(columns, row)) {
            // No row has come.
            Err(Error::Refused(refusal)) if columns.give_up(&refusal.message) => {}
            done => return done,
        }
    }
}

/// The names of all hosts, in their order.
fn host_names(source: &Source, scope: &Scope) -> Result<Vec<BString>, Failure> {
    let mut names = Vec::new();
    source.each_row(&scope.query("hosts", &["name"]), |row| {
        names.push(row.cell(0).text().into_owned());
        Ok(())
    })?;
    names.sort_unstable();
    Ok(names)
}
