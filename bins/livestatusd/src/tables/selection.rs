//! Which rows a query can be about at all, as far as its filters ask for
//! equality with names, or for states of services: these are found without
//! looking at the others.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use bstr::{BStr, ByteSlice};
use livestatus::Filter;
use objects::SiteId;

use super::Table;
use crate::store::{HostEntry, HostStates, Objects, Site};

/// The names of sites, hosts and services that may pass, and the states of
/// services; `None` where any may.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection<'q> {
    sites: Option<BTreeSet<&'q BStr>>,
    hosts: Option<BTreeSet<&'q BStr>>,
    services: Option<BTreeSet<&'q BStr>>,
    /// A bit for each state, the lowest for ok.
    states: Option<u8>,
}

/// States that services have.
const STATES: std::ops::Range<u8> = 0..4;

impl<'q> Selection<'q> {
    /// What these filters leave of a table.
    pub(crate) fn of(table: Table, filters: &'q [Filter]) -> Self {
        let only = |column: Option<&str>| {
            let column = column?;
            let is = |name: &str| table.column(name).is_some_and(|found| found.name == column);
            Filter::only_values(filters, &is)
        };
        let (host, service) = match table {
            Table::Hosts => (Some("name"), None),
            Table::Services => (Some("host_name"), Some("description")),
            _ => return Self::default(),
        };
        Self {
            sites: only(Some("site")),
            hosts: only(host),
            services: only(service),
            states: (table == Table::Services).then(|| states(filters)),
        }
    }

    /// One host, or a service of it, at whatever site.
    pub(crate) fn one(host: &'q BStr, description: Option<&'q BStr>) -> Self {
        Self {
            sites: None,
            hosts: Some(BTreeSet::from([host])),
            services: description.map(|description| BTreeSet::from([description])),
            states: None,
        }
    }

    /// About how many rows have to be looked at.
    pub(crate) fn rows(&self, table: Table, sites: &[Arc<Site>]) -> usize {
        if self.hosts.is_none() {
            return table.rows(sites);
        }
        let mut rows = 0;
        for site in sites.iter().filter(|site| self.has_site(&site.id)) {
            let _ = self.each_host(&site.objects(), |host| {
                rows += match table {
                    Table::Services => host.services.len(),
                    _ => 1,
                };
                ControlFlow::Continue(())
            });
        }
        rows
    }

    pub(super) fn has_site(&self, site: &SiteId) -> bool {
        let name = BStr::new(site.as_str());
        self.sites.as_ref().is_none_or(|sites| sites.contains(name))
    }

    /// The hosts that may pass, in the order of their names.
    pub(super) fn each_host(
        &self,
        objects: &Objects,
        visit: impl FnMut(&Arc<HostEntry>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &self.hosts {
            None => objects.hosts.iter().try_for_each(visit),
            Some(names) => names
                .iter()
                .filter_map(|name| objects.host(name))
                .try_for_each(visit),
        }
    }

    /// The places of a host's services that may pass, in the order of their
    /// descriptions.
    pub(super) fn each_service(
        &self,
        host: &HostEntry,
        states: &HostStates,
        mut visit: impl FnMut(usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let wanted = self.states.unwrap_or(u8::MAX);
        let mut look = |index: usize| {
            if wanted & bit(states.codes[index]) == 0 {
                return ControlFlow::Continue(());
            }
            visit(index)
        };
        match &self.services {
            None => (0..host.services.len()).try_for_each(look),
            Some(descriptions) => descriptions
                .iter()
                .filter_map(|description| host.service_index(description.as_bstr()))
                .try_for_each(&mut look),
        }
    }
}

/// The states with which a service may pass.
fn states(filters: &[Filter]) -> u8 {
    let is_state = |name: &str| {
        let column = Table::Services.column(name);
        column.is_some_and(|column| column.name == "state")
    };
    let may_pass =
        |code: &u8| Filter::may_pass(filters, &|name| is_state(name).then_some(i64::from(*code)));
    STATES
        .filter(may_pass)
        .fold(0, |states, code| states | bit(code))
}

fn bit(code: u8) -> u8 {
    1 << (code % STATES.end)
}

#[cfg(test)]
mod tests {
    use livestatus::filter::Comparison;

    use super::*;

    #[test]
    fn names_are_found_under_all_their_columns() {
        let eq = |column: &str, value: &str| Filter::compare(column, Comparison::Equal, value);
        let filters = [
            eq("site", "a"),
            Filter::Or(vec![eq("host_name", "h"), eq("host_host_name", "i")]),
            eq("service_description", "s"),
        ];
        let selection = Selection::of(Table::Services, &filters);
        assert_eq!(
            selection,
            Selection {
                sites: Some(BTreeSet::from(["a".into()])),
                hosts: Some(BTreeSet::from(["h".into(), "i".into()])),
                services: Some(BTreeSet::from(["s".into()])),
                states: Some(0b1111),
            }
        );
        let hosts = Selection::of(Table::Hosts, &filters[1..2]);
        assert_eq!(hosts.hosts, selection.hosts);
        let columns = [eq("name", "state")];
        assert_eq!(
            Selection::of(Table::Columns, &columns),
            Selection::default()
        );
        let problems = [
            Filter::compare("service_state", Comparison::Greater, "0"),
            Filter::Not(Box::new(eq("state", "3"))),
        ];
        let selection = Selection::of(Table::Services, &problems);
        assert_eq!(selection.states, Some(0b0110));
        let aliases = [eq("alias", "h")];
        assert_eq!(Selection::of(Table::Hosts, &aliases), Selection::default());
    }
}
