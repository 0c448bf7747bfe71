//! The configuration of hosts and services, as a configuration dump carries it.

use std::collections::BTreeMap;

use bstr::BString;

use crate::SiteId;

/// Names a host at the centre: eighty sites all have a `localhost`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    /// The site that monitors it.
    pub site: SiteId,
    /// Its name there.
    pub host_name: BString,
}

/// Names a service at the centre.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The host it belongs to.
    pub host: HostKey,
    /// Its description there.
    pub service_description: BString,
}

/// Texts by name that few objects have: the absence of them is small.
pub type RareTexts = Option<Box<BTreeMap<BString, BString>>>;

/// A host as configured at its site. The name is the key it is stored under.
///
/// Members have the names of the Livestatus columns they come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Host {
    /// Free text.
    pub alias: BString,
    /// Name for people; empty means the host's name.
    pub display_name: BString,
    /// IP address or name.
    pub address: BString,
    /// Host groups.
    pub groups: Vec<BString>,
    /// Contacts.
    pub contacts: Vec<BString>,
    /// Contact groups.
    pub contact_groups: Vec<BString>,
    /// Parent hosts of the same site.
    pub parents: Vec<BString>,
    /// File name of an icon.
    pub icon_image: BString,
    /// The check as configured at the site, for show.
    pub check_command: BString,
    /// Attempts until a problem is hard; at least 1.
    pub max_check_attempts: u32,
    /// Check interval in units of the core's interval length (60 s).
    pub check_interval: f64,
    /// Retry interval in the same unit.
    pub retry_interval: f64,
    /// Notes for people.
    pub notes: BString,
    /// Custom variables, names in upper case without underscore.
    pub custom_variables: BTreeMap<BString, BString>,
    /// Labels.
    pub labels: BTreeMap<BString, BString>,
    /// Where the labels are from: `discovered`, `ruleset`.
    pub label_sources: RareTexts,
    /// Its services by description.
    pub services: BTreeMap<BString, Service>,
}

/// A service as configured at its site. The description is the key it is stored under.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Service {
    /// Name for people; empty means the description.
    pub display_name: BString,
    /// Service groups.
    pub groups: Vec<BString>,
    /// Contacts.
    pub contacts: Vec<BString>,
    /// Contact groups.
    pub contact_groups: Vec<BString>,
    /// File name of an icon.
    pub icon_image: BString,
    /// The check as configured at the site, for show.
    pub check_command: BString,
    /// Attempts until a problem is hard; at least 1.
    pub max_check_attempts: u32,
    /// Check interval in units of the core's interval length (60 s).
    pub check_interval: f64,
    /// Retry interval in the same unit.
    pub retry_interval: f64,
    /// Notes for people.
    pub notes: BString,
    /// Custom variables, names in upper case without underscore.
    pub custom_variables: BTreeMap<BString, BString>,
    /// Labels.
    pub labels: BTreeMap<BString, BString>,
    /// Where the labels are from: `discovered`, `ruleset`.
    pub label_sources: RareTexts,
}
