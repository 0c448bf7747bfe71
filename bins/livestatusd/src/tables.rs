//! The tables of Livestatus: which columns there are, what type they have and
//! where their values come from. `GET columns` prints these same lists.

mod checked;
mod columns;
mod hosts;
mod selection;
mod services;
mod sites;
mod status;

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use livestatus::{ColumnType, Value};
use objects::UnixTime;

use crate::counters::Counters;
use crate::store::Site;

pub(crate) use hosts::HostRow;
pub(crate) use selection::Selection;
pub(crate) use services::ServiceRow;
pub(crate) use sites::SiteRow;
pub(crate) use status::StatusRow;

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// The hosts of all sites in view.
    Hosts,
    /// Their services.
    Services,
    /// This program, one row.
    Status,
    /// The columns of all tables.
    Columns,
    /// The sites, and how old what is known about them is.
    Sites,
}

/// One column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) kind: ColumnType,
    /// What it says, for people.
    pub(crate) description: &'static str,
    get: Get,
}

/// How the value of a cell is found.
#[derive(Debug, Clone, Copy)]
enum Get {
    Host(for<'a> fn(&HostRow<'a>) -> Value<'a>),
    Service(for<'a> fn(&ServiceRow<'a>) -> Value<'a>),
    Status(for<'a> fn(&'a StatusRow) -> Value<'a>),
    Column(for<'a> fn(&'a ColumnRow) -> Value<'a>),
    Site(for<'a> fn(&'a SiteRow) -> Value<'a>),
    /// A value that a shadow object cannot know, nor can anybody else here.
    Neutral(fn() -> Value<'static>),
}

/// One row of a table.
pub(crate) enum Row<'a> {
    Host(HostRow<'a>),
    Service(ServiceRow<'a>),
    Status(&'a StatusRow),
    Column(&'a ColumnRow),
    Site(&'a SiteRow),
}

/// A row of the table of columns.
pub(crate) struct ColumnRow {
    table: Table,
    column: &'static Column,
}

/// What a query can see.
pub(crate) struct View<'v> {
    /// The sites, in the order of their names.
    pub(crate) sites: &'v [Arc<Site>],
    /// What the program counts.
    pub(crate) counters: &'v Counters,
    /// The moment that all rows are of.
    pub(crate) now: UnixTime,
}

impl Table {
    const ALL: [Self; 5] = [
        Self::Columns,
        Self::Hosts,
        Self::Services,
        Self::Sites,
        Self::Status,
    ];

    /// The table of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Services => "services",
            Self::Status => "status",
            Self::Columns => "columns",
            Self::Sites => "sites",
        }
    }

    /// The prefix that its own columns may have.
    fn prefix(self) -> &'static str {
        match self {
            Self::Hosts => "host_",
            Self::Services => "service_",
            Self::Status => "status_",
            Self::Columns => "column_",
            Self::Sites => "site_",
        }
    }

    /// All columns in the order of their names.
    pub(crate) fn columns(self) -> &'static [Column] {
        static HOSTS: LazyLock<Vec<Column>> = LazyLock::new(|| sorted(hosts::columns()));
        static SERVICES: LazyLock<Vec<Column>> = LazyLock::new(|| sorted(services::columns()));
        static STATUS: LazyLock<Vec<Column>> = LazyLock::new(|| sorted(status::columns()));
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| sorted(columns::columns()));
        static SITES: LazyLock<Vec<Column>> = LazyLock::new(|| sorted(sites::columns()));
        match self {
            Self::Hosts => &HOSTS,
            Self::Services => &SERVICES,
            Self::Status => &STATUS,
            Self::Columns => &COLUMNS,
            Self::Sites => &SITES,
        }
    }

    /// The column of that name. The table's own prefix may stand before it,
    /// also repeatedly, as in all servers.
    pub(crate) fn column(self, name: &str) -> Option<&'static Column> {
        let columns = self.columns();
        if let Ok(index) = columns.binary_search_by(|column| column.name.as_str().cmp(name)) {
            return Some(&columns[index]);
        }
        if let Some(rest) = name.strip_prefix(self.prefix()) {
            return self.column(rest);
        }
        // `host_host_name` of a service.
        let rest = name
            .strip_prefix("host_host_")
            .filter(|_| self == Self::Services)?;
        self.column(&format!("host_{rest}"))
    }

    /// Gives every row that may pass to `visit` until it breaks off.
    pub(crate) fn for_each(
        self,
        view: &View<'_>,
        selection: &Selection<'_>,
        mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) {
        let _ = match self {
            Self::Hosts => hosts::for_each(view, selection, visit),
            Self::Services => services::for_each(view, selection, visit),
            Self::Status => visit(&Row::Status(&StatusRow::new(view))),
            Self::Columns => columns::for_each(visit),
            Self::Sites => sites::for_each(view, visit),
        };
    }

    /// About how many rows it has.
    fn rows(self, sites: &[Arc<Site>]) -> usize {
        let objects = sites.iter().map(|site| site.objects());
        match self {
            Self::Hosts => objects.map(|objects| objects.hosts.len()).sum(),
            Self::Services => objects.map(|objects| objects.num_services).sum(),
            Self::Status => 1,
            Self::Columns => 500,
            Self::Sites => sites.len(),
        }
    }
}

impl Column {
    fn new(name: &str, kind: ColumnType, description: &'static str, get: Get) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            description,
            get,
        }
    }

    fn neutral(
        name: &str,
        kind: ColumnType,
        description: &'static str,
        get: fn() -> Value<'static>,
    ) -> Self {
        Self::new(name, kind, description, Get::Neutral(get))
    }

    /// The value in this row of the column's table.
    pub(crate) fn value<'a>(&self, row: &Row<'a>) -> Value<'a> {
        match (self.get, row) {
            (Get::Service(get), Row::Service(row)) => get(row),
            (Get::Host(get), Row::Service(row)) => get(&row.host),
            (Get::Host(get), Row::Host(row)) => get(row),
            (Get::Neutral(get), _) => get(),
            (Get::Status(get), Row::Status(row)) => get(row),
            (Get::Column(get), Row::Column(row)) => get(row),
            (Get::Site(get), Row::Site(row)) => get(row),
            // A column is only ever asked for rows of its own table.
            _ => Value::Null,
        }
    }
}

fn sorted(mut columns: Vec<Column>) -> Vec<Column> {
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_has_a_column_twice() {
        for table in Table::ALL {
            for pair in table.columns().windows(2) {
                assert!(
                    pair[0].name < pair[1].name,
                    "{} {}",
                    table.name(),
                    pair[0].name
                );
            }
            assert!(
                table
                    .columns()
                    .iter()
                    .all(|column| !column.description.is_empty())
            );
        }
    }

    #[test]
    fn prefixes_may_be_repeated() {
        for (table, name, want) in [
            (Table::Hosts, "name", Some("name")),
            (Table::Hosts, "host_name", Some("name")),
            (Table::Hosts, "host_host_name", Some("name")),
            (Table::Services, "description", Some("description")),
            (Table::Services, "service_description", Some("description")),
            (Table::Services, "service_service_state", Some("state")),
            (Table::Services, "host_name", Some("host_name")),
            (Table::Services, "host_host_host_name", Some("host_name")),
            (Table::Services, "service_host_name", Some("host_name")),
            (
                Table::Status,
                "status_program_version",
                Some("program_version"),
            ),
            (Table::Sites, "site", Some("site")),
            (Table::Columns, "column_table", Some("table")),
            (Table::Services, "name", None),
            (Table::Hosts, "service_state", None),
            (Table::Hosts, "", None),
            (Table::Services, "host_host_", None),
        ] {
            let found = table.column(name).map(|column| column.name.as_str());
            assert_eq!(found, want, "{} {name}", table.name());
        }
    }
}
