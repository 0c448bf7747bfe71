//! Answers queries: which rows, which cells, in which form.

use std::ops::ControlFlow;

use livestatus::{ColumnType, Filter, Query, RowWriter, Status, output};

use crate::tables::{Column, Table, View};

/// Why a query gets no rows.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: Status,
    /// The text for the client.
    pub(crate) message: String,
}

/// The whole answer, ready to be sent, and what was wrong with the query if it
/// tells that instead of rows.
pub(crate) fn answer(query: &Query, view: &View<'_>) -> (Vec<u8>, Option<Refusal>) {
    match rows(query, view) {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            let text = output::error(refusal.status, &refusal.message, query.fixed16);
            (text, Some(refusal))
        }
    }
}

fn rows(query: &Query, view: &View<'_>) -> Result<Vec<u8>, Refusal> {
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
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    }
    Ok(writer.finish())
}

/// A client's word for a message: clients drop messages of 300 bytes and more.
fn shown(word: &str) -> String {
    program::log::quote(word.as_bytes(), 100)
}
