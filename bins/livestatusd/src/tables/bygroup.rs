//! The tables `hostsbygroup`, `servicesbygroup` and `servicesbyhostgroup`: each
//! object once for each of its groups, with the columns of the group beside its own.

use std::ops::ControlFlow;

use super::{Column, Row, View, hostgroups, hosts, servicegroups, services};

pub(super) fn for_each_host(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    hostgroups::each(view, |group| {
        group.each_host(|host| visit(&Row::HostInGroup(host, group)))
    })
}

pub(super) fn for_each_service(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    servicegroups::each(view, |group| {
        group.each_service(|service| visit(&Row::ServiceInGroup(service, group)))
    })
}

pub(super) fn for_each_service_by_hostgroup(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    hostgroups::each(view, |group| {
        group.each_host(|host| {
            host.services()
                .try_for_each(|service| visit(&Row::ServiceInHostgroup(service, group)))
        })
    })
}

pub(super) fn hosts_columns() -> Vec<Column> {
    joined(hosts::columns(), hostgroups::columns(), "hostgroup_")
}

pub(super) fn services_columns() -> Vec<Column> {
    joined(
        services::columns(),
        servicegroups::columns(),
        "servicegroup_",
    )
}

pub(super) fn services_by_hostgroup_columns() -> Vec<Column> {
    joined(services::columns(), hostgroups::columns(), "hostgroup_")
}

fn joined(mut columns: Vec<Column>, of_group: Vec<Column>, prefix: &str) -> Vec<Column> {
    columns.extend(of_group.into_iter().map(|column| column.prefixed(prefix)));
    columns
}
