//! The table `hosts`.

use std::ops::ControlFlow;

use bstr::{BString, ByteSlice};
use livestatus::ColumnType::{Float, Int, List, Text, Time};
use livestatus::Value;
use objects::{Host, HostState, ServiceState, StateCode, StateType, UnixTime};

use super::checked::{self, checked_columns, code, time};
use super::counts::service_badness;
use super::{Column, Get, Row, Selection, ServiceRow, View};
use crate::auth::Viewer;
use crate::check::State;
use crate::store::{HostEntry, HostStates, Objects, Site};

/// One host with its states, as of one moment.
#[derive(Clone, Copy)]
pub(crate) struct HostRow<'a> {
    pub(super) site: &'a Site,
    pub(super) objects: &'a Objects,
    pub(super) host: &'a HostEntry,
    pub(super) states: &'a HostStates,
    pub(super) viewer: Option<&'a Viewer>,
    pub(super) now: UnixTime,
}

pub(super) fn for_each(
    view: &View<'_>,
    selection: &Selection<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    each(view, selection, |host| {
        if host.is_seen() {
            visit(&Row::Host(host))?;
        }
        ControlFlow::Continue(())
    })
}

/// Every host that may pass, seen or not, locked while it is looked at.
pub(super) fn each(
    view: &View<'_>,
    selection: &Selection<'_>,
    mut visit: impl FnMut(HostRow<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let sites = view.sites();
    for (site, viewer) in sites.filter(|(site, _)| selection.has_site(&site.id)) {
        let objects = site.objects();
        selection.each_host(&objects, |host| {
            visit(HostRow {
                site,
                objects: &objects,
                host,
                states: &host.states(),
                viewer,
                now: view.now,
            })
        })?;
    }
    ControlFlow::Continue(())
}

impl<'a> HostRow<'a> {
    /// Whether who asks may see it.
    pub(super) fn is_seen(&self) -> bool {
        self.viewer
            .is_none_or(|viewer| viewer.sees_host(&self.host.config))
    }

    pub(super) fn config(&self) -> &'a Host {
        &self.host.config
    }

    pub(super) fn state(&self) -> &'a State<HostState> {
        &self.states.host
    }

    /// Its services, as far as who asks may see them.
    pub(super) fn services(self) -> impl Iterator<Item = ServiceRow<'a>> {
        let services = 0..self.host.services.len();
        services
            .map(move |at| ServiceRow::new(self, at))
            .filter(ServiceRow::is_seen)
    }

    /// Number of downtimes in effect.
    pub(super) fn downtime_depth(&self) -> u32 {
        self.state().downtime_depth(self.now)
    }

    fn staleness(&self) -> Value<'a> {
        checked::staleness(
            self.now,
            &self.state().now,
            self.config().check_interval,
            self.site,
        )
    }

    fn now(&self) -> UnixTime {
        self.now
    }

    fn site_name(&self) -> &'a str {
        self.site.id.as_str()
    }

    fn tags(&self) -> Value<'a> {
        checked::dict(self.host.tags.as_deref())
    }

    /// Services in that state; pending ones count as nothing but pending.
    fn count(&self, state: ServiceState) -> Value<'a> {
        self.count_if(|service| service.now.has_been_checked && service.now.state == state)
    }

    fn count_hard(&self, state: ServiceState) -> Value<'a> {
        self.count_if(|service| service.now.has_been_checked && service.last_hard_state() == state)
    }

    fn count_if(&self, which: impl Fn(&State<ServiceState>) -> bool) -> Value<'a> {
        let services = self.services();
        Value::Int(services.filter(|service| which(service.state())).count() as i64)
    }

    /// Services with a problem that somebody has taken on, or nobody has.
    fn count_problems(&self, handled: bool) -> Value<'a> {
        let host_in_downtime = self.downtime_depth() > 0;
        let which = |service: &ServiceRow<'_>| {
            service.has_problem()
                && handled
                    == (host_in_downtime
                        || service.downtime_depth() > 0
                        || service.state().now.acknowledgement.is_some())
        };
        Value::Int(self.services().filter(which).count() as i64)
    }

    /// Descriptions, with further cells of each service if there are any.
    fn list_services(&self, cells: impl Fn(&ServiceRow<'a>) -> Vec<Value<'a>>) -> Value<'a> {
        let element = |service: ServiceRow<'a>| {
            let mut element = cells(&service);
            let description = Value::text(service.description());
            if element.is_empty() {
                return description;
            }
            element.insert(0, description);
            Value::List(element)
        };
        Value::List(self.services().map(element).collect())
    }

    /// Names of hosts, as far as who asks may see them.
    fn list_hosts(&self, names: &'a [BString]) -> Value<'a> {
        let Some(viewer) = self.viewer else {
            return Value::Names(names);
        };
        let seen = |name: &&BString| {
            let host = self.objects.host(name.as_bstr());
            host.is_some_and(|host| viewer.sees_host(&host.config))
        };
        Value::List(names.iter().filter(seen).map(Value::text).collect())
    }

    /// Worst of the services' states, where unknown is less bad than critical.
    fn worst(&self, state: impl Fn(&State<ServiceState>) -> ServiceState) -> Value<'a> {
        let states = self.services().map(|service| state(service.state()));
        code(
            states
                .max_by_key(|state| service_badness(*state))
                .unwrap_or_default(),
        )
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    use ServiceState::{Crit, Ok as Good, Unknown, Warn};
    let mut columns = checked_columns!(Get::Host);
    columns.extend([
        Column::new("address", Text, "Address at its site", Get::Host(|r| Value::text(&r.config().address))),
        Column::new("alias", Text, "Alias", Get::Host(|r| Value::text(&r.config().alias))),
        Column::new("childs", List, "Hosts that have it as a parent", Get::Host(|r| r.list_hosts(&r.host.childs))),
        Column::new("display_name", Text, "Name for people",
            Get::Host(|r| Value::text(if r.config().display_name.is_empty() { &r.host.name } else { &r.config().display_name }))),
        Column::new("hard_state", Int, "The confirmed state: 0 up, 1 down, 2 unreachable",
            Get::Host(|r| match r.state().now.state_type {
                StateType::Hard => code(r.state().now.state),
                StateType::Soft if r.state().now.state.is_ok() => Value::Int(0),
                StateType::Soft => code(r.state().last_hard_state()),
            })),
        Column::new("last_time_down", Time, "When it was last down", Get::Host(|r| time(r.state().now.past.last_time[1]))),
        Column::new("last_time_unreachable", Time, "When it was last unreachable", Get::Host(|r| time(r.state().now.past.last_time[2]))),
        Column::new("last_time_up", Time, "When it was last up", Get::Host(|r| time(r.state().now.past.last_time[0]))),
        Column::new("name", Text, "Name at its site", Get::Host(|r| Value::text(&r.host.name))),
        Column::new("num_services", Int, "Number of services", Get::Host(|r| Value::Int(r.services().count() as i64))),
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
        Column::new("parents", List, "Parent hosts", Get::Host(|r| r.list_hosts(&r.config().parents))),
        Column::new("num_services_handled_problems", Int, "Services with a problem that is acknowledged or in downtime",
            Get::Host(|r| r.count_problems(true))),
        Column::new("num_services_unhandled_problems", Int, "Services with a problem that nobody has taken on",
            Get::Host(|r| r.count_problems(false))),
        Column::new("services", List, "Descriptions of the services", Get::Host(|r| r.list_services(|_| Vec::new()))),
        Column::new("services_with_fullstate", List,
            "description, state, has_been_checked, plugin_output, last_hard_state, current_attempt, max_check_attempts, \
             scheduled_downtime_depth, acknowledged, 1",
            Get::Host(|r| r.list_services(ServiceRow::full_state))),
        Column::new("services_with_info", List, "description, state, has_been_checked, plugin_output",
            Get::Host(|r| r.list_services(ServiceRow::info))),
        Column::new("services_with_state", List, "description, state, has_been_checked",
            Get::Host(|r| r.list_services(ServiceRow::short_state))),
        Column::new("total_services", Int, "Number of services", Get::Host(|r| Value::Int(r.services().count() as i64))),
        Column::new("worst_service_hard_state", Int, "Worst confirmed state of its services",
            Get::Host(|r| r.worst(|state| state.last_hard_state()))),
        Column::new("worst_service_state", Int, "Worst state of its services: ok, warning, unknown, critical",
            Get::Host(|r| r.worst(|state| state.now.state))),
    ]);
    columns.extend(Column::nothing(Int, "Not known here: 0",
        "cv_is_json obsess_over_host smartping_timeout"));
    columns.extend(Column::nothing(Time, "Not known here: 0", "mk_inventory_last"));
    columns.extend(Column::nothing(Text, "Not known here: empty", "address6 filename statusmap_image"));
    columns.extend(Column::nothing(Float, "Not known here: 0", "x_2d x_3d y_2d y_3d z_3d"));
    columns.extend(Column::nothing(List, "Not known here: empty", "mk_logwatch_files"));
    columns
}
