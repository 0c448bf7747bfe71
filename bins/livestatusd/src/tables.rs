//! The tables of Livestatus: which columns there are, what type they have and
//! where their values come from. `GET columns` prints these same lists.

mod annotated;
mod bygroup;
mod checked;
mod columns;
mod counts;
mod hostgroups;
mod hosts;
mod log;
mod names;
mod selection;
mod servicegroups;
mod services;
mod sites;
mod statehist;
mod status;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, LazyLock};

use bstr::BString;
use livestatus::{ColumnType, Value};
use objects::UnixTime;

use crate::annotations::{Comment, Downtime};
use crate::auth::Viewer;
use crate::counters::Counters;
use crate::store::Site;

pub(crate) use annotated::EntryRow;
use counts::Counts;
pub(crate) use hostgroups::HostgroupRow;
pub(crate) use hosts::HostRow;
pub(crate) use log::{LogRow, times};
pub(crate) use names::{ContactRow, ContactgroupRow, NameRow};
pub(crate) use selection::Selection;
pub(crate) use servicegroups::ServicegroupRow;
pub(crate) use services::ServiceRow;
pub(crate) use sites::SiteRow;
pub(crate) use statehist::StatehistRow;
pub(crate) use status::StatusRow;

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// The columns of all tables.
    Columns,
    /// The check commands that objects name.
    Commands,
    /// What people have said about objects.
    Comments,
    /// The groups of contacts.
    Contactgroups,
    /// The contacts.
    Contacts,
    /// When objects are not expected to work.
    Downtimes,
    /// The groups of hosts.
    Hostgroups,
    /// The hosts of all sites in view.
    Hosts,
    /// Every host in every of its groups.
    Hostsbygroup,
    /// Changes of state.
    Log,
    /// The groups of services.
    Servicegroups,
    /// The services of all sites in view.
    Services,
    /// Every service in every of its groups.
    Servicesbygroup,
    /// Every service in every group of its host.
    Servicesbyhostgroup,
    /// The sites, and how old what is known about them is.
    Sites,
    /// How long objects were in which state.
    Statehist,
    /// This program, one row.
    Status,
    /// The time periods that contacts name.
    Timeperiods,
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
    Hostgroup(for<'a> fn(&'a HostgroupRow<'a>) -> Value<'a>),
    Servicegroup(for<'a> fn(&'a ServicegroupRow<'a>) -> Value<'a>),
    /// A number of a group's hosts or services.
    Counts(fn(&Counts) -> i64),
    Contact(for<'a> fn(&ContactRow<'a>) -> Value<'a>),
    Contactgroup(for<'a> fn(&ContactgroupRow<'a>) -> Value<'a>),
    Name(for<'a> fn(&NameRow<'a>) -> Value<'a>),
    Log(for<'a> fn(&'a LogRow<'a>) -> Value<'a>),
    Comment(for<'a> fn(&EntryRow<'a, Comment>) -> Value<'a>),
    Downtime(for<'a> fn(&EntryRow<'a, Downtime>) -> Value<'a>),
    Statehist(for<'a> fn(&'a StatehistRow<'a>) -> Value<'a>),
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
    Hostgroup(&'a HostgroupRow<'a>),
    Servicegroup(&'a ServicegroupRow<'a>),
    HostInGroup(HostRow<'a>, &'a HostgroupRow<'a>),
    ServiceInGroup(ServiceRow<'a>, &'a ServicegroupRow<'a>),
    ServiceInHostgroup(ServiceRow<'a>, &'a HostgroupRow<'a>),
    Contact(ContactRow<'a>),
    Contactgroup(ContactgroupRow<'a>),
    Name(NameRow<'a>),
    Log(&'a LogRow<'a>),
    Comment(EntryRow<'a, Comment>),
    Downtime(EntryRow<'a, Downtime>),
    Statehist(&'a StatehistRow<'a>),
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
    /// Who looks at each of them; nobody in particular sees everything.
    pub(crate) viewers: Option<&'v [Viewer]>,
    /// The span of time, in seconds, that is of interest in the log.
    pub(crate) times: RangeInclusive<i64>,
    /// What the program counts.
    pub(crate) counters: &'v Counters,
    /// The moment that all rows are of.
    pub(crate) now: UnixTime,
}

impl<'v> View<'v> {
    /// The sites, each with who looks at it.
    fn sites(&self) -> impl Iterator<Item = (&'v Arc<Site>, Option<&'v Viewer>)> {
        let viewers = self.viewers;
        let sites = self.sites.iter().enumerate();
        sites.map(move |(at, site)| (site, viewers.map(|viewers| &viewers[at])))
    }
}

impl Table {
    const ALL: [Self; 18] = [
        Self::Columns,
        Self::Commands,
        Self::Comments,
        Self::Contactgroups,
        Self::Contacts,
        Self::Downtimes,
        Self::Hostgroups,
        Self::Hosts,
        Self::Hostsbygroup,
        Self::Log,
        Self::Servicegroups,
        Self::Services,
        Self::Servicesbygroup,
        Self::Servicesbyhostgroup,
        Self::Sites,
        Self::Statehist,
        Self::Status,
        Self::Timeperiods,
    ];

    /// The table of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.names().0
    }

    /// Its name, the prefix that its own columns may have, and the prefixes of
    /// the columns of other tables that it has too.
    fn names(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Columns => ("columns", "column_", &[]),
            Self::Commands => ("commands", "command_", &[]),
            Self::Comments => ("comments", "comment_", &["host_", "service_"]),
            Self::Downtimes => ("downtimes", "downtime_", &["host_", "service_"]),
            Self::Contactgroups => ("contactgroups", "contactgroup_", &[]),
            Self::Contacts => ("contacts", "contact_", &[]),
            Self::Hostgroups => ("hostgroups", "hostgroup_", &[]),
            Self::Hosts => ("hosts", "host_", &[]),
            Self::Hostsbygroup => ("hostsbygroup", "host_", &["hostgroup_"]),
            Self::Log => ("log", "log_", &["current_host_", "current_service_"]),
            Self::Servicegroups => ("servicegroups", "servicegroup_", &[]),
            Self::Services => ("services", "service_", &["host_"]),
            Self::Servicesbygroup => ("servicesbygroup", "service_", &["host_", "servicegroup_"]),
            Self::Servicesbyhostgroup => {
                ("servicesbyhostgroup", "service_", &["host_", "hostgroup_"])
            }
            Self::Sites => ("sites", "site_", &[]),
            Self::Statehist => (
                "statehist",
                "statehist_",
                &["current_host_", "current_service_"],
            ),
            Self::Status => ("status", "status_", &[]),
            Self::Timeperiods => ("timeperiods", "timeperiod_", &[]),
        }
    }

    /// All columns in the order of their names.
    pub(crate) fn columns(self) -> &'static [Column] {
        static ALL: [LazyLock<Vec<Column>>; Table::ALL.len()] = [
            LazyLock::new(|| sorted(columns::columns())),
            LazyLock::new(|| sorted(names::commands())),
            LazyLock::new(|| sorted(annotated::comment_columns())),
            LazyLock::new(|| sorted(names::contactgroups())),
            LazyLock::new(|| sorted(names::contacts())),
            LazyLock::new(|| sorted(annotated::downtime_columns())),
            LazyLock::new(|| sorted(hostgroups::columns())),
            LazyLock::new(|| sorted(hosts::columns())),
            LazyLock::new(|| sorted(bygroup::hosts_columns())),
            LazyLock::new(|| sorted(log::columns())),
            LazyLock::new(|| sorted(servicegroups::columns())),
            LazyLock::new(|| sorted(services::columns())),
            LazyLock::new(|| sorted(bygroup::services_columns())),
            LazyLock::new(|| sorted(bygroup::services_by_hostgroup_columns())),
            LazyLock::new(|| sorted(sites::columns())),
            LazyLock::new(|| sorted(statehist::columns())),
            LazyLock::new(|| sorted(status::columns())),
            LazyLock::new(|| sorted(names::timeperiods())),
        ];
        // In the order of the variants, which is that of `ALL`.
        &ALL[self as usize]
    }

    /// The column of that name. The table's own prefix may stand before it,
    /// also repeatedly, as in all servers.
    pub(crate) fn column(self, name: &str) -> Option<&'static Column> {
        let columns = self.columns();
        if let Ok(index) = columns.binary_search_by(|column| column.name.as_str().cmp(name)) {
            return Some(&columns[index]);
        }
        let (_, own, joined) = self.names();
        if let Some(rest) = name.strip_prefix(own) {
            return self.column(rest);
        }
        if matches!(self, Self::Log | Self::Statehist)
            && (name.starts_with("host_") || name.starts_with("service_"))
        {
            // What is not in the history is looked for in what is known now.
            return self.column(&format!("current_{name}"));
        }
        // `host_host_name` of a service.
        joined.iter().find_map(|prefix| {
            let rest = name.strip_prefix(prefix)?;
            rest.starts_with(prefix).then(|| self.column(rest))?
        })
    }

    /// Gives every row that may pass to `visit` until it breaks off.
    pub(crate) fn for_each(
        self,
        view: &View<'_>,
        selection: &Selection<'_>,
        mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) {
        let _ = match self {
            Self::Columns => columns::for_each(visit),
            Self::Commands => names::for_each_command(view, visit),
            Self::Comments => annotated::for_each_comment(view, visit),
            Self::Downtimes => annotated::for_each_downtime(view, visit),
            Self::Contactgroups => names::for_each_contactgroup(view, visit),
            Self::Contacts => names::for_each_contact(view, visit),
            Self::Hostgroups => hostgroups::each(view, |group| visit(&Row::Hostgroup(group))),
            Self::Hosts => hosts::for_each(view, selection, visit),
            Self::Hostsbygroup => bygroup::for_each_host(view, visit),
            Self::Log => log::for_each(view, visit),
            Self::Servicegroups => {
                servicegroups::each(view, |group| visit(&Row::Servicegroup(group)))
            }
            Self::Services => services::for_each(view, selection, visit),
            Self::Servicesbygroup => bygroup::for_each_service(view, visit),
            Self::Servicesbyhostgroup => bygroup::for_each_service_by_hostgroup(view, visit),
            Self::Sites => sites::for_each(view, visit),
            Self::Statehist => statehist::for_each(view, visit),
            Self::Status => visit(&Row::Status(&StatusRow::new(view))),
            Self::Timeperiods => names::for_each_timeperiod(view, visit),
        };
    }

    /// About how many rows it has.
    fn rows(self, sites: &[Arc<Site>]) -> usize {
        let objects = sites.iter().map(|site| site.objects());
        match self {
            Self::Hosts => objects.map(|objects| objects.hosts.len()).sum(),
            // Groups have to look at all their members to count them.
            Self::Services
            | Self::Comments
            | Self::Downtimes
            | Self::Hostgroups
            | Self::Hostsbygroup
            | Self::Servicegroups
            | Self::Servicesbygroup
            | Self::Servicesbyhostgroup => objects
                .map(|objects| objects.hosts.len() + objects.num_services)
                .sum(),
            Self::Contacts => objects.map(|objects| objects.groups.contacts.len()).sum(),
            Self::Contactgroups | Self::Commands | Self::Timeperiods => sites.len() * 20,
            // It reads files.
            Self::Log | Self::Statehist => usize::MAX,
            Self::Columns => 3000,
            Self::Sites | Self::Status => sites.len(),
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

    /// Columns that all say nothing: empty or 0.
    fn nothing<'n>(
        kind: ColumnType,
        description: &'static str,
        names: &'n str,
    ) -> impl Iterator<Item = Self> + 'n {
        let get = match kind {
            ColumnType::Int | ColumnType::Time => || Value::Int(0),
            ColumnType::Float => || Value::Float(0.0),
            ColumnType::Text => || Value::text(""),
            ColumnType::List => || Value::Names(&[]),
            ColumnType::Dict => || Value::Dict(&NO_TEXTS),
        };
        let names = names.split_ascii_whitespace();
        names.map(move |name| Self::neutral(name, kind, description, get))
    }

    /// The same column under a longer name, in a table that has it from another.
    fn prefixed(self, prefix: &str) -> Self {
        Self {
            name: format!("{prefix}{}", self.name),
            ..self
        }
    }

    /// The value in this row of the column's table.
    pub(crate) fn value<'a>(&self, row: &Row<'a>) -> Value<'a> {
        let value = match self.get {
            Get::Service(get) => row.service().map(get),
            Get::Host(get) => row.host().map(get),
            Get::Neutral(get) => Some(get()),
            Get::Hostgroup(get) => row.hostgroup().map(get),
            Get::Servicegroup(get) => row.servicegroup().map(get),
            Get::Counts(get) => row.counts().map(|counts| Value::Int(get(counts))),
            Get::Contact(get) => match row {
                Row::Contact(row) => Some(get(row)),
                _ => None,
            },
            Get::Contactgroup(get) => match row {
                Row::Contactgroup(row) => Some(get(row)),
                _ => None,
            },
            Get::Name(get) => match row {
                Row::Name(row) => Some(get(row)),
                _ => None,
            },
            Get::Log(get) => match row {
                Row::Log(row) => Some(get(row)),
                _ => None,
            },
            Get::Comment(get) => match row {
                Row::Comment(row) => Some(get(row)),
                _ => None,
            },
            Get::Downtime(get) => match row {
                Row::Downtime(row) => Some(get(row)),
                _ => None,
            },
            Get::Statehist(get) => match row {
                Row::Statehist(row) => Some(get(row)),
                _ => None,
            },
            Get::Status(get) => match row {
                Row::Status(row) => Some(get(row)),
                _ => None,
            },
            Get::Column(get) => match row {
                Row::Column(row) => Some(get(row)),
                _ => None,
            },
            Get::Site(get) => match row {
                Row::Site(row) => Some(get(row)),
                _ => None,
            },
        };
        value.unwrap_or_else(|| nothing_of(self.kind))
    }
}

/// What stands in a column of services where there is no service.
fn nothing_of(kind: ColumnType) -> Value<'static> {
    match kind {
        ColumnType::Int | ColumnType::Time => Value::Int(0),
        ColumnType::Float => Value::Float(0.0),
        ColumnType::Text => Value::text(""),
        ColumnType::List => Value::Names(&[]),
        ColumnType::Dict => Value::Dict(&NO_TEXTS),
    }
}

static NO_TEXTS: BTreeMap<BString, BString> = BTreeMap::new();

impl<'a> Row<'a> {
    fn host(&self) -> Option<&HostRow<'a>> {
        match self {
            Self::Host(host) | Self::HostInGroup(host, _) => Some(host),
            Self::Service(service)
            | Self::ServiceInGroup(service, _)
            | Self::ServiceInHostgroup(service, _) => Some(&service.host),
            Self::Comment(entry) => Some(&entry.host),
            Self::Downtime(entry) => Some(&entry.host),
            Self::Log(line) => line.host.as_ref(),
            Self::Statehist(span) => Some(&span.host),
            _ => None,
        }
    }

    fn service(&self) -> Option<&ServiceRow<'a>> {
        match self {
            Self::Service(service)
            | Self::ServiceInGroup(service, _)
            | Self::ServiceInHostgroup(service, _) => Some(service),
            Self::Comment(entry) => entry.service.as_ref(),
            Self::Downtime(entry) => entry.service.as_ref(),
            Self::Log(line) => line.service.as_ref(),
            Self::Statehist(span) => span.service.as_ref(),
            _ => None,
        }
    }

    fn hostgroup(&self) -> Option<&'a HostgroupRow<'a>> {
        match self {
            Self::Hostgroup(group)
            | Self::HostInGroup(_, group)
            | Self::ServiceInHostgroup(_, group) => Some(group),
            _ => None,
        }
    }

    fn servicegroup(&self) -> Option<&'a ServicegroupRow<'a>> {
        match self {
            Self::Servicegroup(group) | Self::ServiceInGroup(_, group) => Some(group),
            _ => None,
        }
    }

    fn counts(&self) -> Option<&'a Counts> {
        let of_hosts = self.hostgroup().map(HostgroupRow::counts);
        of_hosts.or_else(|| self.servicegroup().map(ServicegroupRow::counts))
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
            (Table::Hostsbygroup, "host_name", Some("name")),
            (
                Table::Hostsbygroup,
                "hostgroup_hostgroup_name",
                Some("hostgroup_name"),
            ),
            (Table::Servicesbyhostgroup, "host_name", Some("host_name")),
            (Table::Servicesbyhostgroup, "servicegroup_name", None),
            (Table::Log, "log_time", Some("time")),
            (Table::Log, "host_name", Some("host_name")),
            (Table::Log, "host_alias", Some("current_host_alias")),
            (
                Table::Log,
                "current_service_state",
                Some("current_service_state"),
            ),
            (Table::Log, "service_nosuch", None),
        ] {
            let found = table.column(name).map(|column| column.name.as_str());
            assert_eq!(found, want, "{} {name}", table.name());
        }
    }
}
