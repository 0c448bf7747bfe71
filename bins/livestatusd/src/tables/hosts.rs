//! The table `hosts`.

use std::ops::ControlFlow;

use livestatus::ColumnType::{Float, Int, List, Text, Time};
use livestatus::Value;
use objects::{Host, HostState, ServiceState, StateCode, StateType, UnixTime};

use super::checked::{self, checked_columns, code, int, time};
use super::{Column, Get, Row, Selection, View};
use crate::check::State;
use crate::store::{HostEntry, HostStates, Site};

/// One host with its states, as of one moment.
#[derive(Clone, Copy)]
pub(crate) struct HostRow<'a> {
    pub(super) site: &'a Site,
    pub(super) host: &'a HostEntry,
    pub(super) states: &'a HostStates,
    pub(super) now: UnixTime,
}

pub(super) fn for_each(
    view: &View<'_>,
    selection: &Selection<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    each(view, selection, |host| visit(&Row::Host(host)))
}

/// Every host in view that may pass, locked while it is looked at.
pub(super) fn each(
    view: &View<'_>,
    selection: &Selection<'_>,
    mut visit: impl FnMut(HostRow<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view
        .sites
        .iter()
        .filter(|site| selection.has_site(&site.id))
    {
        selection.each_host(&site.objects(), |host| {
            let states = host.states();
            visit(HostRow {
                site,
                host,
                states: &states,
                now: view.now,
            })
        })?;
    }
    ControlFlow::Continue(())
}

impl<'a> HostRow<'a> {
    fn config(&self) -> &'a Host {
        &self.host.config
    }

    fn state(&self) -> &'a State<HostState> {
        &self.states.host
    }

    fn staleness(&self) -> Value<'a> {
        checked::staleness(
            self.now,
            &self.state().now,
            self.config().check_interval,
            self.site,
        )
    }

    /// Services in that state; pending ones count as nothing but pending.
    fn count(&self, state: ServiceState) -> Value<'a> {
        self.count_if(|service| service.now.has_been_checked && service.now.state == state)
    }

    fn count_hard(&self, state: ServiceState) -> Value<'a> {
        self.count_if(|service| service.now.has_been_checked && service.last_hard_state == state)
    }

    fn count_if(&self, which: impl Fn(&State<ServiceState>) -> bool) -> Value<'a> {
        Value::Int(
            self.states
                .services
                .iter()
                .filter(|service| which(service))
                .count() as i64,
        )
    }

    /// Descriptions, with further cells of each state if there are any.
    fn services(&self, cells: impl Fn(&'a State<ServiceState>) -> Vec<Value<'a>>) -> Value<'a> {
        let services = self.host.services.iter().zip(&self.states.services);
        let element = |(service, state): (&'a crate::store::ServiceEntry, _)| {
            let mut element = cells(state);
            let description = Value::text(&service.description);
            if element.is_empty() {
                return description;
            }
            element.insert(0, description);
            Value::List(element)
        };
        Value::List(services.map(element).collect())
    }
}

/// Worst of the states, where unknown is less bad than critical.
fn worst(states: impl Iterator<Item = ServiceState>) -> Value<'static> {
    let badness = |state: &ServiceState| match state {
        ServiceState::Ok => 0,
        ServiceState::Warn => 1,
        ServiceState::Unknown => 2,
        ServiceState::Crit => 3,
    };
    code(states.max_by_key(badness).unwrap_or_default())
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    use ServiceState::{Crit, Ok as Good, Unknown, Warn};
    let mut columns = checked_columns!(Get::Host);
    columns.extend([
        Column::new("address", Text, "Address at its site", Get::Host(|r| Value::text(&r.config().address))),
        Column::new("alias", Text, "Alias", Get::Host(|r| Value::text(&r.config().alias))),
        Column::new("childs", List, "Hosts that have it as a parent", Get::Host(|r| Value::Names(&r.host.childs))),
        Column::new("display_name", Text, "Name for people",
            Get::Host(|r| Value::text(if r.config().display_name.is_empty() { &r.host.name } else { &r.config().display_name }))),
        Column::new("hard_state", Int, "The confirmed state: 0 up, 1 down, 2 unreachable",
            Get::Host(|r| match r.state().now.state_type {
                StateType::Hard => code(r.state().now.state),
                StateType::Soft if r.state().now.state.is_ok() => Value::Int(0),
                StateType::Soft => code(r.state().last_hard_state),
            })),
        Column::new("last_time_down", Time, "When it was last down", Get::Host(|r| time(r.state().last_time[1]))),
        Column::new("last_time_unreachable", Time, "When it was last unreachable", Get::Host(|r| time(r.state().last_time[2]))),
        Column::new("last_time_up", Time, "When it was last up", Get::Host(|r| time(r.state().last_time[0]))),
        Column::new("name", Text, "Name at its site", Get::Host(|r| Value::text(&r.host.name))),
        Column::new("num_services", Int, "Number of services", Get::Host(|r| int(r.host.services.len() as i64))),
        Column::new("num_services_crit", Int, "Services that are critical", Get::Host(|r| r.count(Crit))),
        Column::new("num_services_hard_crit", Int, "Services confirmed critical", Get::Host(|r| r.count_hard(Crit))),
        Column::new("num_services_hard_ok", Int, "Services confirmed ok", Get::Host(|r| r.count_hard(Good))),
        Column::new("num_services_hard_unknown", Int, "Services confirmed unknown", Get::Host(|r| r.count_hard(Unknown))),
        Column::new("num_services_hard_warn", Int, "Services confirmed warning", Get::Host(|r| r.count_hard(Warn))),
        Column::new("num_services_ok", Int, "Services that are ok", Get::Host(|r| r.count(Good))),
        Column::new("num_services_pending", Int, "Services never checked",
            Get::Host(|r| r.count_if(|service| !service.now.has_been_checked))),
        Column::new("num_services_unknown", Int, "Services that are unknown", Get::Host(|r| r.count(Unknown))),
        Column::new("num_services_warn", Int, "Services that are warning", Get::Host(|r| r.count(Warn))),
        Column::new("parents", List, "Parent hosts", Get::Host(|r| Value::Names(&r.config().parents))),
        Column::new("services", List, "Descriptions of the services", Get::Host(|r| r.services(|_| Vec::new()))),
        Column::new("services_with_info", List, "description, state, has_been_checked, plugin_output",
            Get::Host(|r| r.services(|s| vec![code(s.now.state), s.now.has_been_checked.into(), Value::text(&s.now.plugin_output)]))),
        Column::new("services_with_state", List, "description, state, has_been_checked",
            Get::Host(|r| r.services(|s| vec![code(s.now.state), s.now.has_been_checked.into()]))),
        Column::new("site", Text, "The site it belongs to", Get::Host(|r| Value::text(r.site.id.as_str()))),
        Column::new("total_services", Int, "Number of services", Get::Host(|r| int(r.host.services.len() as i64))),
        Column::new("worst_service_hard_state", Int, "Worst confirmed state of its services",
            Get::Host(|r| worst(r.states.services.iter().map(|s| s.last_hard_state)))),
        Column::new("worst_service_state", Int, "Worst state of its services: ok, warning, unknown, critical",
            Get::Host(|r| worst(r.states.services.iter().map(|s| s.now.state)))),
        Column::neutral("check_flapping_recovery_notification", Int, "Not known here: 0", || Value::Int(0)),
        Column::neutral("filename", Text, "Not known here: empty", || Value::text("")),
        Column::neutral("obsess_over_host", Int, "Not known here: 0", || Value::Int(0)),
        Column::neutral("pending_flex_downtime", Int, "Not known here: 0", || Value::Int(0)),
        Column::neutral("statusmap_image", Text, "Not known here: empty", || Value::text("")),
        Column::neutral("x_3d", Float, "Not known here: 0", || Value::Float(0.0)),
        Column::neutral("y_3d", Float, "Not known here: 0", || Value::Float(0.0)),
        Column::neutral("z_3d", Float, "Not known here: 0", || Value::Float(0.0)),
    ]);
    columns
}
