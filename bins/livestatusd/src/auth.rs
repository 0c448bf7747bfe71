//! Who asks, and what of a site that contact may see.

use std::collections::BTreeSet;

use bstr::{BStr, BString};
use objects::{Host, Service};

use crate::groups::Groups;

/// How much is needed to see something that belongs to several contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// A service: being a contact of its host is enough. A group: one member
    /// in sight is enough.
    Loose,
    /// A service: being a contact of the host says nothing. A group: all
    /// members must be in sight.
    Strict,
}

/// The rules that decide what a contact sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// For services.
    pub(crate) service: Strictness,
    /// For groups of hosts and services.
    pub(crate) group: Strictness,
}

impl Default for Authorization {
    /// As the cores have it.
    fn default() -> Self {
        Self {
            service: Strictness::Loose,
            group: Strictness::Strict,
        }
    }
}

/// A contact of one site, looking at it.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    contact: BString,
    groups: BTreeSet<BString>,
    rules: Authorization,
}

impl Viewer {
    /// The contact of that name. Nobody need know it: it then sees nothing.
    #[expect(dead_code, reason = "requests do not name a user yet")]
    pub(crate) fn new(contact: &BStr, groups: &Groups, rules: Authorization) -> Self {
        let member = |name: &BString| name == contact;
        let groups = groups.contactgroups.iter();
        Self {
            contact: contact.to_owned(),
            groups: groups
                .filter(|group| group.members.iter().any(member))
                .map(|group| group.name.clone())
                .collect(),
            rules,
        }
    }

    /// Whether it is a contact of the host.
    pub(crate) fn sees_host(&self, host: &Host) -> bool {
        self.is_among(&host.contacts, &host.contact_groups)
    }

    /// Whether it is a contact of the service, or of its host where that is enough.
    pub(crate) fn sees_service(&self, host: &Host, service: &Service) -> bool {
        self.is_among(&service.contacts, &service.contact_groups)
            || self.rules.service == Strictness::Loose && self.sees_host(host)
    }

    /// Whether it sees a group of which it sees these members.
    pub(crate) fn sees_group(&self, members: impl IntoIterator<Item = bool>) -> bool {
        let mut members = members.into_iter().peekable();
        // What has no members is nobody's.
        members.peek().is_some()
            && match self.rules.group {
                Strictness::Loose => members.any(|seen| seen),
                Strictness::Strict => members.all(|seen| seen),
            }
    }

    fn is_among(&self, contacts: &[BString], groups: &[BString]) -> bool {
        contacts.contains(&self.contact) || groups.iter().any(|group| self.groups.contains(group))
    }
}
