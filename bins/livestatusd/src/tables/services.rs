//! The table `services`, which has every column of `hosts` as `host_…` too.

use std::ops::ControlFlow;

use bstr::BString;
use livestatus::ColumnType::{Int, List, Text, Time};
use livestatus::Value;
use objects::{Service, ServiceState, StateCode, StateType, UnixTime};

use super::checked::{self, checked_columns, code, int, time};
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
            let service = ServiceRow::new(host, index);
            if service.is_seen() {
                visit(&Row::Service(service))?;
            }
            ControlFlow::Continue(())
        })
    })
}

impl<'a> ServiceRow<'a> {
    /// The service at that place of the host's list.
    pub(super) fn new(host: HostRow<'a>, at: usize) -> Self {
        Self {
            host,
            service: &host.host.services[at],
            state: &host.states.services[at],
        }
    }

    /// Whether who asks may see it.
    pub(super) fn is_seen(&self) -> bool {
        self.host
            .viewer
            .is_none_or(|viewer| viewer.sees_service(self.host.config(), self.config()))
    }

    pub(super) fn description(&self) -> &'a BString {
        &self.service.description
    }

    pub(super) fn config(&self) -> &'a Service {
        &self.service.config
    }

    pub(super) fn state(&self) -> &'a State<ServiceState> {
        self.state
    }

    /// Number of downtimes in effect; those of the host do not count.
    pub(super) fn downtime_depth(&self) -> u32 {
        self.state.downtime_depth(self.host.now)
    }

    /// Whether it was checked and is not ok.
    pub(super) fn has_problem(&self) -> bool {
        self.state.now.has_been_checked && !self.state.now.state.is_ok()
    }

    pub(super) fn short_state(&self) -> Vec<Value<'a>> {
        let now = &self.state.now;
        vec![code(now.state), now.has_been_checked.into()]
    }

    pub(super) fn info(&self) -> Vec<Value<'a>> {
        let mut cells = self.short_state();
        cells.push(Value::text(&self.state.now.plugin_output));
        cells
    }

    pub(super) fn full_state(&self) -> Vec<Value<'a>> {
        let mut cells = self.info();
        cells.extend([
            code(self.state.last_hard_state()),
            int(self.state.now.current_attempt),
            int(self.config().max_check_attempts.max(1)),
            int(self.downtime_depth()),
            self.state.now.acknowledgement.is_some().into(),
            // Whether this is within its service period, which nobody knows here.
            Value::Int(1),
        ]);
        cells
    }

    fn staleness(&self) -> Value<'a> {
        checked::staleness(
            self.host.now,
            &self.state.now,
            self.config().check_interval,
            self.host.site,
        )
    }

    fn now(&self) -> UnixTime {
        self.host.now
    }

    fn site_name(&self) -> &'a str {
        self.host.site.id.as_str()
    }

    fn tags(&self) -> Value<'a> {
        checked::dict(self.service.tags.as_deref())
    }
}

pub(super) fn columns() -> Vec<Column> {
    let mut columns = own_columns();
    let of_host = hosts::columns().into_iter();
    columns.extend(of_host.map(|column| column.prefixed("host_")));
    columns
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn own_columns() -> Vec<Column> {
    let mut columns = checked_columns!(Get::Service);
    columns.extend([
        Column::new("description", Text, "Description at its site", Get::Service(|r| Value::text(&r.service.description))),
        Column::new("display_name", Text, "Name for people",
            Get::Service(|r| Value::text(if r.config().display_name.is_empty() { &r.service.description } else { &r.config().display_name }))),
        Column::new("last_time_critical", Time, "When it was last critical", Get::Service(|r| time(r.state.now.past.last_time[2]))),
        Column::new("last_time_ok", Time, "When it was last ok", Get::Service(|r| time(r.state.now.past.last_time[0]))),
        Column::new("last_time_unknown", Time, "When it was last unknown", Get::Service(|r| time(r.state.now.past.last_time[3]))),
        Column::new("last_time_warning", Time, "When it was last warning", Get::Service(|r| time(r.state.now.past.last_time[1]))),
        Column::new("hard_state", Int, "The confirmed state", Get::Service(|r| match r.state.now.state_type {
            StateType::Hard => code(r.state.now.state),
            StateType::Soft if r.state.now.state.is_ok() => Value::Int(0),
            StateType::Soft => code(r.state.last_hard_state()),
        })),
        Column::neutral("in_passive_check_period", Int, "Not known here: 1", || Value::Int(1)),
    ]);
    columns.extend(Column::nothing(Int, "Not known here: 0", "cache_interval cv_is_json obsess_over_service"));
    columns.extend(Column::nothing(Time, "Not known here: 0", "cached_at"));
    columns.extend(Column::nothing(Text, "Not known here: empty", "passive_check_period"));
    columns.extend(Column::nothing(List, "Not known here: empty", "parents prediction_files"));
    columns
}
