//! The table `services`, which has every column of `hosts` as `host_…` too.

use std::ops::ControlFlow;

use livestatus::ColumnType::{Int, Text, Time};
use livestatus::Value;
use objects::{Service, ServiceState};

use super::checked::{self, checked_columns, time};
use super::{Column, Get, HostRow, Row, Selection, View, hosts};
use crate::check::State;
use crate::store::ServiceEntry;

/// One service with its host, as of one moment.
#[derive(Clone, Copy)]
pub(crate) struct ServiceRow<'a> {
    pub(super) host: HostRow<'a>,
    service: &'a ServiceEntry,
    state: &'a State<ServiceState>,
}

pub(super) fn for_each(
    view: &View<'_>,
    selection: &Selection<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    hosts::each(view, selection, |host| {
        selection.each_service(host.host, host.states, |index| {
            visit(&Row::Service(ServiceRow {
                host,
                service: &host.host.services[index],
                state: &host.states.services[index],
            }))
        })
    })
}

impl<'a> ServiceRow<'a> {
    fn config(&self) -> &'a Service {
        &self.service.config
    }

    fn state(&self) -> &'a State<ServiceState> {
        self.state
    }

    fn staleness(&self) -> Value<'a> {
        checked::staleness(
            self.host.now,
            &self.state.now,
            self.config().check_interval,
            self.host.site,
        )
    }
}

pub(super) fn columns() -> Vec<Column> {
    let mut columns = own_columns();
    columns.extend(hosts::columns().into_iter().map(|column| Column {
        name: format!("host_{}", column.name),
        ..column
    }));
    columns
}

#[rustfmt::skip] // a list: one column after the other
fn own_columns() -> Vec<Column> {
    let mut columns = checked_columns!(Get::Service);
    columns.extend([
        Column::new("description", Text, "Description at its site", Get::Service(|r| Value::text(&r.service.description))),
        Column::new("display_name", Text, "Name for people",
            Get::Service(|r| Value::text(if r.config().display_name.is_empty() { &r.service.description } else { &r.config().display_name }))),
        Column::new("last_time_critical", Time, "When it was last critical", Get::Service(|r| time(r.state.last_time[2]))),
        Column::new("last_time_ok", Time, "When it was last ok", Get::Service(|r| time(r.state.last_time[0]))),
        Column::new("last_time_unknown", Time, "When it was last unknown", Get::Service(|r| time(r.state.last_time[3]))),
        Column::new("last_time_warning", Time, "When it was last warning", Get::Service(|r| time(r.state.last_time[1]))),
        Column::new("site", Text, "The site it belongs to", Get::Service(|r| Value::text(r.host.site.id.as_str()))),
        Column::neutral("obsess_over_service", Int, "Not known here: 0", || Value::Int(0)),
    ]);
    columns
}
