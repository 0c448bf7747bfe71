//! The table `columns`: what the other tables offer.

use std::ops::ControlFlow;

use livestatus::ColumnType::Text;
use livestatus::Value;

use super::{Column, ColumnRow, Get, Row, Table};

pub(super) fn for_each(mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    for table in Table::ALL {
        for column in table.columns() {
            visit(&Row::Column(&ColumnRow { table, column }))?;
        }
    }
    ControlFlow::Continue(())
}

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::new(
            "description",
            Text,
            "What the column says",
            Get::Column(|r| Value::text(r.column.description)),
        ),
        Column::new(
            "name",
            Text,
            "Name of the column",
            Get::Column(|r| Value::text(&r.column.name)),
        ),
        Column::new(
            "table",
            Text,
            "Name of its table",
            Get::Column(|r| Value::text(r.table.name())),
        ),
        Column::new(
            "type",
            Text,
            "Type of its values",
            Get::Column(|r| Value::text(r.column.kind.word())),
        ),
    ]
}
