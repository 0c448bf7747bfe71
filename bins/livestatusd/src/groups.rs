//! What the objects of a site name: groups, contacts, commands and time
//! periods. Each exists where something names it, or where it is defined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::BString;
use nagios::shadow::Definitions;
use objects::Contact;

use crate::store::HostEntry;

/// Everything that the objects of a site name, each in the order of the names.
#[derive(Default)]
pub(crate) struct Groups {
    /// Groups of hosts, by their places in the list of hosts.
    pub(crate) hostgroups: Vec<Group<u32>>,
    /// Groups of services, by the places of host and service.
    pub(crate) servicegroups: Vec<Group<(u32, u32)>>,
    /// Contacts.
    pub(crate) contacts: Vec<(BString, Contact)>,
    /// Groups of contacts, by their names.
    pub(crate) contactgroups: Vec<Group<BString>>,
    /// Check commands, without arguments.
    pub(crate) commands: Vec<BString>,
    /// Time periods.
    pub(crate) timeperiods: Vec<BString>,
}

/// A group with its members.
pub(crate) struct Group<M> {
    /// Its name.
    pub(crate) name: BString,
    /// Its name for people; empty if it was not defined.
    pub(crate) alias: BString,
    /// Its members, in their order, each once.
    pub(crate) members: Vec<M>,
}

/// Groups that are being gathered.
type Gathered<M> = BTreeMap<BString, Vec<M>>;

impl Groups {
    /// Gathers what `hosts` and the definitions beside them name.
    pub(crate) fn gather(hosts: &[Arc<HostEntry>], defined: Definitions) -> Self {
        let mut hostgroups = Gathered::default();
        let mut servicegroups = Gathered::default();
        let mut contacts = defined.contacts;
        let mut contactgroups = Gathered::default();
        let mut commands = BTreeSet::new();
        for (host_at, host) in (0..).zip(hosts) {
            add(&mut hostgroups, &host.config.groups, host_at);
            name_contacts(&mut contacts, &host.config.contacts);
            name_groups(&mut contactgroups, &host.config.contact_groups);
            name_command(&mut commands, &host.config.check_command);
            for (service_at, service) in (0..).zip(&host.services) {
                let config = &service.config;
                add(&mut servicegroups, &config.groups, (host_at, service_at));
                name_contacts(&mut contacts, &config.contacts);
                name_groups(&mut contactgroups, &config.contact_groups);
                name_command(&mut commands, &config.check_command);
            }
        }
        let mut timeperiods = BTreeSet::new();
        for (name, contact) in &contacts {
            add(&mut contactgroups, &contact.contact_groups, name.clone());
            if !contact.notification_period.is_empty() {
                timeperiods.insert(contact.notification_period.clone());
            }
        }
        Self {
            hostgroups: finish(hostgroups, defined.hostgroups),
            servicegroups: finish(servicegroups, defined.servicegroups),
            contacts: contacts.into_iter().collect(),
            contactgroups: finish(contactgroups, defined.contactgroups),
            commands: commands.into_iter().collect(),
            timeperiods: timeperiods.into_iter().collect(),
        }
    }
}

// Names are copied only if they are new: there are many objects and few groups.

fn add<M: Clone + PartialEq>(groups: &mut Gathered<M>, names: &[BString], member: M) {
    for name in names {
        match groups.get_mut(name) {
            // An object may name the same group twice.
            Some(members) if members.last() == Some(&member) => {}
            Some(members) => members.push(member.clone()),
            None => drop(groups.insert(name.clone(), vec![member.clone()])),
        }
    }
}

fn name_groups<'n, M>(groups: &mut Gathered<M>, names: impl IntoIterator<Item = &'n BString>) {
    for name in names {
        if !groups.contains_key(name) {
            groups.insert(name.clone(), Vec::new());
        }
    }
}

fn name_contacts(contacts: &mut BTreeMap<BString, Contact>, names: &[BString]) {
    for name in names {
        if !contacts.contains_key(name) {
            contacts.insert(name.clone(), Contact::default());
        }
    }
}

/// `check_disk!/!90%` is the command `check_disk`.
fn name_command(commands: &mut BTreeSet<BString>, check_command: &BString) {
    let name = check_command.split(|b| *b == b'!').next();
    let name = name.unwrap_or_default();
    if !name.is_empty() && !commands.contains(bstr::BStr::new(name)) {
        commands.insert(name.into());
    }
}

fn finish<M>(mut groups: Gathered<M>, mut aliases: BTreeMap<BString, BString>) -> Vec<Group<M>> {
    name_groups(&mut groups, aliases.keys());
    groups
        .into_iter()
        .map(|(name, members)| Group {
            alias: aliases.remove(&name).unwrap_or_default(),
            name,
            members,
        })
        .collect()
}
