//! The table `servicegroups`.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use livestatus::ColumnType::{List, Text};
use livestatus::Value;
use objects::UnixTime;

use super::checked::code;
use super::{Column, Counts, Get, HostRow, ServiceRow, View, counts};
use crate::auth::Viewer;
use crate::groups::Group;
use crate::store::{HostEntry, Objects, ServiceEntry, Site};

/// One group of services, as of one moment.
pub(crate) struct ServicegroupRow<'a> {
    site: &'a Site,
    objects: &'a Objects,
    group: &'a Group<(u32, u32)>,
    viewer: Option<&'a Viewer>,
    now: UnixTime,
    counts: OnceCell<Counts>,
}

/// Every group of services in view.
pub(super) fn each(
    view: &View<'_>,
    mut visit: impl FnMut(&ServicegroupRow<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for (site, viewer) in view.sites() {
        let objects = site.objects();
        for group in &objects.groups.servicegroups {
            let row = ServicegroupRow {
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

impl<'a> ServicegroupRow<'a> {
    fn is_seen(&self) -> bool {
        self.viewer.is_none_or(|viewer| {
            let members = self.all_services();
            viewer.sees_group(
                members
                    .map(|(host, at)| viewer.sees_service(&host.config, &host.services[at].config)),
            )
        })
    }

    /// Its members, seen or not: the host, and the place of the service there.
    fn all_services(&self) -> impl Iterator<Item = (&'a HostEntry, usize)> {
        let hosts = &self.objects.hosts;
        let members = self.group.members.iter();
        members.map(|(host, service)| (&*hosts[*host as usize], *service as usize))
    }

    fn services(&self) -> impl Iterator<Item = (&'a HostEntry, usize)> {
        let viewer = self.viewer;
        self.all_services().filter(move |(host, at)| {
            viewer
                .is_none_or(|viewer| viewer.sees_service(&host.config, &host.services[*at].config))
        })
    }

    /// Gives every member to `visit`, its host locked meanwhile.
    pub(super) fn each_service(
        &self,
        mut visit: impl FnMut(ServiceRow<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (host, at) in self.services() {
            let states = host.states();
            let host = HostRow {
                site: self.site,
                objects: self.objects,
                host,
                states: &states,
                viewer: self.viewer,
                now: self.now,
            };
            visit(ServiceRow::new(host, at))?;
        }
        ControlFlow::Continue(())
    }

    /// The numbers of its services, counted when first asked for.
    pub(super) fn counts(&self) -> &Counts {
        self.counts.get_or_init(|| {
            let mut counts = Counts::default();
            let _ = self.each_service(|service| {
                let in_downtime = service.downtime_depth() > 0 || service.host.downtime_depth() > 0;
                counts.service(service.state(), in_downtime);
                ControlFlow::Continue(())
            });
            counts
        })
    }

    /// Host and description of each member, and further cells of its state.
    fn members(&self, with_state: bool) -> Value<'a> {
        let element = |(host, at): (&'a HostEntry, usize)| {
            let service: &ServiceEntry = &host.services[at];
            let mut element = vec![Value::text(&host.name), Value::text(&service.description)];
            if with_state {
                let now = &host.states().services[at].now;
                element.extend([code(now.state), now.has_been_checked.into()]);
            }
            Value::List(element)
        };
        Value::List(self.services().map(element).collect())
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("alias", Text, "Name for people; its name if it was not defined",
            Get::Servicegroup(|r| Value::text(if r.group.alias.is_empty() { &r.group.name } else { &r.group.alias }))),
        Column::new("members", List, "host, description of the services", Get::Servicegroup(|r| r.members(false))),
        Column::new("members_with_state", List, "host, description, state, has_been_checked", Get::Servicegroup(|r| r.members(true))),
        Column::new("name", Text, "Name at its site", Get::Servicegroup(|r| Value::text(&r.group.name))),
        Column::new("site", Text, "The site it belongs to", Get::Servicegroup(|r| Value::text(r.site.id.as_str()))),
    ];
    columns.extend(counts::service_columns());
    columns.extend(Column::nothing(Text, "Not known here: empty", "action_url notes notes_url"));
    columns
}
