//! Answers queries: which rows, which cells, in which form.

use std::ops::ControlFlow;

use livestatus::{ColumnType, Filter, Query, RowWriter, Status, output};

use crate::tables::{Column, Table, View};

/// Largest answer in bytes. Columns may be repeated, so a small query could ask
/// for more than there is memory.
pub(crate) const MAX_ANSWER: usize = 1 << 30;

/// Why a query gets no rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: Status,
    /// The text for the client.
    pub(crate) message: String,
}

/// The whole answer of about `max` bytes at most, ready to be sent, and what was
/// wrong with the query if it tells that instead of rows.
pub(crate) fn answer(query: &Query, view: &View<'_>, max: usize) -> (Vec<u8>, Option<Refusal>) {
    match rows(query, view, max) {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            let text = output::error(refusal.status, &refusal.message, query.fixed16);
            (text, Some(refusal))
        }
    }
}

fn rows(query: &Query, view: &View<'_>, max: usize) -> Result<Vec<u8>, Refusal> {
    let table = Table::named(&query.table).ok_or_else(|| Refusal {
        status: Status::NotFound,
        message: format!(
            "Invalid GET request, no such table '{}'",
            shown(&query.table)
        ),
    })?;
    let mut unknown = None;
    let mut resolve = |name: &str| -> Option<(&'static Column, ColumnType)> {
        let column = table.column(name);
        if column.is_none() {
            unknown.get_or_insert_with(|| name.to_owned());
        }
        column.map(|column| (column, column.kind))
    };
    let compiled = Filter::compile_all(&query.filters, &mut resolve);
    let matcher = compiled.map_err(|error| Refusal {
        status: Status::BadRequest,
        message: match unknown {
            Some(name) => format!(
                "while processing header 'Filter': table '{}' has no column '{}'",
                table.name(),
                shown(&name)
            ),
            None => format!("while processing header 'Filter': {error}"),
        },
    })?;
    // An unknown column is not an error here: clients ask for more than one server has.
    let (names, columns): (Vec<&str>, Vec<Option<&Column>>) = if query.columns.is_empty() {
        table
            .columns()
            .iter()
            .map(|column| (column.name.as_str(), Some(column)))
            .unzip()
    } else {
        query
            .columns
            .iter()
            .map(|name| (name.as_str(), table.column(name)))
            .unzip()
    };
    let mut writer = RowWriter::new(query.output_format, query.separators, query.fixed16);
    if query.column_headers {
        writer.names(names);
    }
    let mut left = query.limit.unwrap_or(u64::MAX);
    if left > 0 {
        table.for_each(view, |row| {
            if !matcher.matches(&mut |column| column.value(row)) {
                return ControlFlow::Continue(());
            }
            writer.begin_row();
            for column in &columns {
                match column {
                    Some(column) => writer.cell(&column.value(row)),
                    None => writer.cell(&livestatus::Value::Null),
                }
            }
            writer.end_row();
            left -= 1;
            if left == 0 || writer.size() > max {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }
    if writer.size() > max {
        return Err(Refusal {
            status: Status::TooLarge,
            message: format!("the answer is larger than {max} bytes"),
        });
    }
    Ok(writer.finish())
}

/// A client's word for a message: clients drop messages of 300 bytes and more.
fn shown(word: &str) -> String {
    program::log::quote(word.as_bytes(), 100)
}

#[cfg(test)]
mod tests {
    use objects::UnixTime;

    use super::*;
    use crate::counters::Counters;

    #[test]
    fn an_answer_that_is_too_large_is_given_up() {
        let counters = Counters::new(UnixTime::NEVER);
        let view = View {
            sites: &[],
            viewers: None,
            times: i64::MIN..=i64::MAX,
            counters: &counters,
            now: UnixTime::NEVER,
        };
        let query = Query::rows("columns", ["table", "name"]);
        let (whole, refusal) = answer(&query, &view, MAX_ANSWER);
        assert!(whole.starts_with(b"200 ") && refusal.is_none());
        let (short, refusal) = answer(&query, &view, 1000);
        assert_eq!(refusal.unwrap().status, Status::TooLarge);
        assert_eq!(
            short,
            b"413          37\nthe answer is larger than 1000 bytes\n".as_slice()
        );
    }
}
