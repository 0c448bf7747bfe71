//! Who asks, and what of a site that contact may see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use objects::{Host, Service, SiteId};

use crate::groups::Groups;
use crate::store::Site;

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

/// Who users are at the sites, and what they may see there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Users {
    /// What contacts see.
    pub(crate) rules: Authorization,
    /// Who a user of the merged socket is if [`Self::mapped`] does not say it.
    pub(crate) others: Others,
    /// The contacts of users of the merged socket.
    pub(crate) mapped: BTreeMap<BString, Contacts>,
}

/// Who a user is at sites that nothing is said about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Others {
    /// Nobody: the same name at two sites may be two people.
    #[default]
    Nobody,
    /// The contact of the same name.
    SameName,
}

/// The contacts that a user is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contacts {
    /// At these sites.
    pub(crate) at: BTreeMap<SiteId, BString>,
    /// At all others.
    pub(crate) elsewhere: Option<BString>,
}

impl Users {
    /// That contact of that site, looking at it.
    pub(crate) fn viewer(&self, contact: &BStr, site: &Site) -> Viewer {
        Viewer::new(contact, &site.objects().groups, self.rules)
    }

    /// The sites at which a user of the merged socket is somebody, with who
    /// that is.
    pub(crate) fn viewers(
        &self,
        user: &BStr,
        sites: Vec<Arc<Site>>,
    ) -> (Vec<Arc<Site>>, Vec<Viewer>) {
        let seen = sites.into_iter().filter_map(|site| {
            let viewer = self.viewer(self.contact(user, &site.id)?, &site);
            Some((site, viewer))
        });
        seen.unzip()
    }

    fn contact<'u>(&'u self, user: &'u BStr, site: &SiteId) -> Option<&'u BStr> {
        match (self.mapped.get(user), self.others) {
            (Some(contacts), _) => {
                let contact = contacts.at.get(site);
                contact
                    .or(contacts.elsewhere.as_ref())
                    .map(|name| name.as_bstr())
            }
            (None, Others::SameName) => Some(user),
            (None, Others::Nobody) => None,
        }
    }
}

/// A contact of one site, looking at it.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    contact: BString,
    is_known: bool,
    groups: BTreeSet<BString>,
    rules: Authorization,
}

impl Viewer {
    /// The contact of that name. If nobody knows it, it sees nothing.
    fn new(contact: &BStr, groups: &Groups, rules: Authorization) -> Self {
        let contacts = &groups.contacts;
        let known = contacts.binary_search_by(|(name, _)| name.as_bstr().cmp(contact));
        Self {
            contact: contact.to_owned(),
            is_known: known.is_ok(),
            groups: known.map_or_else(
                |_| BTreeSet::new(),
                |at| contacts[at].1.contact_groups.iter().cloned().collect(),
            ),
            rules,
        }
    }

    /// Whether the site knows that contact.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
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
