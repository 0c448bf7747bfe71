//! The table `hostgroups`.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use livestatus::ColumnType::{List, Text};
use livestatus::Value;
use objects::UnixTime;

use super::checked::code;
use super::{Column, Counts, Get, HostRow, View, counts};
use crate::auth::Viewer;
use crate::groups::Group;
use crate::store::{HostEntry, Objects, Site};

/// One group of hosts, as of one moment.
pub(crate) struct HostgroupRow<'a> {
    pub(super) site: &'a Site,
    pub(super) objects: &'a Objects,
    pub(super) group: &'a Group<u32>,
    pub(super) viewer: Option<&'a Viewer>,
    now: UnixTime,
    counts: OnceCell<Counts>,
}

/// Every group of hosts in view.
pub(super) fn each(
    view: &View<'_>,
    mut visit: impl FnMut(&HostgroupRow<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for (site, viewer) in view.sites() {
        let objects = site.objects();
        for group in &objects.groups.hostgroups {
            let row = HostgroupRow {
                site,
                objects: &objects,
                group,
                viewer,
                now: view.now,
                counts: OnceCell::new(),
            };
            if row.is_seen() {
                visit(&row)?;
            }
        }
    }
    ControlFlow::Continue(())
}

impl<'a> HostgroupRow<'a> {
    fn is_seen(&self) -> bool {
        self.viewer.is_none_or(|viewer| {
            let hosts = self.group.members.iter();
            viewer.sees_group(
                hosts.map(|at| viewer.sees_host(&self.objects.hosts[*at as usize].config)),
            )
        })
    }

    fn hosts(&self) -> impl Iterator<Item = &'a HostEntry> {
        let (hosts, viewer) = (&self.objects.hosts, self.viewer);
        let members = self.group.members.iter();
        members
            .map(|at| &*hosts[*at as usize])
            .filter(move |host| viewer.is_none_or(|viewer| viewer.sees_host(&host.config)))
    }

    /// Gives every member to `visit`, each locked meanwhile.
    pub(super) fn each_host(
        &self,
        mut visit: impl FnMut(HostRow<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for host in self.hosts() {
            visit(HostRow {
                site: self.site,
                objects: self.objects,
                host,
                states: &host.states(),
                viewer: self.viewer,
                now: self.now,
            })?;
        }
        ControlFlow::Continue(())
    }

    /// The numbers of its hosts and their services, counted when first asked for.
    pub(super) fn counts(&self) -> &Counts {
        self.counts.get_or_init(|| {
            let mut counts = Counts::default();
            let _ = self.each_host(|host| {
                let in_downtime = host.downtime_depth() > 0;
                counts.host(host.state(), in_downtime);
                for service in host.services() {
                    counts.service(service.state(), in_downtime || service.downtime_depth() > 0);
                }
                ControlFlow::Continue(())
            });
            counts
        })
    }

    fn members(&self) -> Value<'a> {
        Value::List(self.hosts().map(|host| Value::text(&host.name)).collect())
    }

    fn members_with_state(&self) -> Value<'a> {
        let element = |host: &'a HostEntry| {
            let now = &host.states().host.now;
            Value::List(vec![
                Value::text(&host.name),
                code(now.state),
                now.has_been_checked.into(),
            ])
        };
        Value::List(self.hosts().map(element).collect())
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("alias", Text, "Name for people; its name if it was not defined",
            Get::Hostgroup(|r| Value::text(if r.group.alias.is_empty() { &r.group.name } else { &r.group.alias }))),
        Column::new("members", List, "Names of the hosts", Get::Hostgroup(|r| r.members())),
        Column::new("members_with_state", List, "name, state, has_been_checked", Get::Hostgroup(|r| r.members_with_state())),
        Column::new("name", Text, "Name at its site", Get::Hostgroup(|r| Value::text(&r.group.name))),
        Column::new("site", Text, "The site it belongs to", Get::Hostgroup(|r| Value::text(r.site.id.as_str()))),
    ];
    columns.extend(counts::host_columns());
    columns.extend(counts::service_columns());
    columns.extend(Column::nothing(Text, "Not known here: empty", "action_url notes notes_url"));
    columns
}
