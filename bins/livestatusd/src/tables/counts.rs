//! How many hosts and services of a group are in which state, counted in one
//! pass over its members.

use livestatus::ColumnType::Int;
use objects::{HostState, ServiceState, StateCode};

use super::{Column, Get};
use crate::check::State;

/// Numbers of hosts and services by state.
#[derive(Debug, Default)]
pub(super) struct Counts {
    hosts: i64,
    /// By the number of the state; pending ones stand apart.
    hosts_in: [i64; 3],
    hosts_pending: i64,
    hosts_handled: i64,
    hosts_unhandled: i64,
    worst_host: Option<HostState>,
    services: i64,
    services_in: [i64; 4],
    services_hard: [i64; 4],
    services_pending: i64,
    services_handled: i64,
    services_unhandled: i64,
    worst_service: Option<ServiceState>,
    worst_service_hard: Option<ServiceState>,
}

impl Counts {
    /// Counts a host.
    pub(super) fn host(&mut self, state: &State<HostState>, in_downtime: bool) {
        self.hosts += 1;
        if !state.now.has_been_checked {
            self.hosts_pending += 1;
            return;
        }
        self.hosts_in[usize::from(state.now.state.code())] += 1;
        self.worst_host = self
            .worst_host
            .max_by_badness(state.now.state, host_badness);
        if !state.now.state.is_ok() {
            let handled = in_downtime || state.now.acknowledgement.is_some();
            self.hosts_handled += i64::from(handled);
            self.hosts_unhandled += i64::from(!handled);
        }
    }

    /// Counts a service; `in_downtime` if it or its host is.
    pub(super) fn service(&mut self, state: &State<ServiceState>, in_downtime: bool) {
        self.services += 1;
        if !state.now.has_been_checked {
            self.services_pending += 1;
            return;
        }
        let (now, hard) = (state.now.state, state.last_hard_state());
        self.services_in[usize::from(now.code())] += 1;
        self.services_hard[usize::from(hard.code())] += 1;
        self.worst_service = self.worst_service.max_by_badness(now, service_badness);
        self.worst_service_hard = self
            .worst_service_hard
            .max_by_badness(hard, service_badness);
        if !now.is_ok() {
            let handled = in_downtime || state.now.acknowledgement.is_some();
            self.services_handled += i64::from(handled);
            self.services_unhandled += i64::from(!handled);
        }
    }
}

/// Unknown is less bad than critical.
pub(super) fn service_badness(state: ServiceState) -> u8 {
    match state {
        ServiceState::Ok => 0,
        ServiceState::Warn => 1,
        ServiceState::Unknown => 2,
        ServiceState::Crit => 3,
    }
}

/// Unreachable is less bad than down.
fn host_badness(state: HostState) -> u8 {
    match state {
        HostState::Up => 0,
        HostState::Unreachable => 1,
        HostState::Down => 2,
    }
}

/// The worse of what was seen before and now.
trait Worst<S> {
    fn max_by_badness(self, state: S, badness: fn(S) -> u8) -> Option<S>;
}

impl<S: Copy> Worst<S> for Option<S> {
    fn max_by_badness(self, state: S, badness: fn(S) -> u8) -> Self {
        match self {
            Some(before) if badness(before) >= badness(state) => Some(before),
            _ => Some(state),
        }
    }
}

fn code<S: StateCode + Default>(state: Option<S>) -> i64 {
    i64::from(state.unwrap_or_default().code())
}

/// The columns about hosts that groups of hosts have.
#[rustfmt::skip] // a list: one column after the other
pub(super) fn host_columns() -> Vec<Column> {
    vec![
        Column::new("num_hosts", Int, "Number of hosts", Get::Counts(|c| c.hosts)),
        Column::new("num_hosts_down", Int, "Hosts that are down", Get::Counts(|c| c.hosts_in[1])),
        Column::new("num_hosts_handled_problems", Int, "Hosts with a problem that is acknowledged or in downtime",
            Get::Counts(|c| c.hosts_handled)),
        Column::new("num_hosts_pending", Int, "Hosts never checked", Get::Counts(|c| c.hosts_pending)),
        Column::new("num_hosts_unhandled_problems", Int, "Hosts with a problem that nobody has taken on",
            Get::Counts(|c| c.hosts_unhandled)),
        Column::new("num_hosts_unreach", Int, "Hosts that are unreachable", Get::Counts(|c| c.hosts_in[2])),
        Column::new("num_hosts_up", Int, "Hosts that are up", Get::Counts(|c| c.hosts_in[0])),
        Column::new("worst_host_state", Int, "Worst state of the hosts: up, unreachable, down", Get::Counts(|c| code(c.worst_host))),
    ]
}

/// The columns about services that all groups have.
#[rustfmt::skip] // a list: one column after the other
pub(super) fn service_columns() -> Vec<Column> {
    vec![
        Column::new("num_services", Int, "Number of services", Get::Counts(|c| c.services)),
        Column::new("num_services_crit", Int, "Services that are critical", Get::Counts(|c| c.services_in[2])),
        Column::new("num_services_handled_problems", Int, "Services with a problem that is acknowledged or in downtime",
            Get::Counts(|c| c.services_handled)),
        Column::new("num_services_hard_crit", Int, "Services confirmed critical", Get::Counts(|c| c.services_hard[2])),
        Column::new("num_services_hard_ok", Int, "Services confirmed ok", Get::Counts(|c| c.services_hard[0])),
        Column::new("num_services_hard_unknown", Int, "Services confirmed unknown", Get::Counts(|c| c.services_hard[3])),
        Column::new("num_services_hard_warn", Int, "Services confirmed warning", Get::Counts(|c| c.services_hard[1])),
        Column::new("num_services_ok", Int, "Services that are ok", Get::Counts(|c| c.services_in[0])),
        Column::new("num_services_pending", Int, "Services never checked", Get::Counts(|c| c.services_pending)),
        Column::new("num_services_unhandled_problems", Int, "Services with a problem that nobody has taken on",
            Get::Counts(|c| c.services_unhandled)),
        Column::new("num_services_unknown", Int, "Services that are unknown", Get::Counts(|c| c.services_in[3])),
        Column::new("num_services_warn", Int, "Services that are warning", Get::Counts(|c| c.services_in[1])),
        Column::new("worst_service_hard_state", Int, "Worst confirmed state of the services",
            Get::Counts(|c| code(c.worst_service_hard))),
        Column::new("worst_service_state", Int, "Worst state of the services: ok, warning, unknown, critical",
            Get::Counts(|c| code(c.worst_service))),
    ]
}
