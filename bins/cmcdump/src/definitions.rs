//! Contacts and groups. A server need not have any of these tables.

use std::collections::BTreeMap;

use bstr::BString;
use livestatus::json::Row;
use nagios::shadow::{Definitions, is_name};
use objects::Contact;
use program::Failure;
use source::cells::text;
use source::{Columns, Scope, Source, each_row_if_any};

/// In the order in which [`read_contact`] expects them.
const CONTACT: [&str; 7] = [
    "name",
    "alias",
    "email",
    "pager",
    "host_notification_period",
    "service_notification_period",
    "groups",
];

/// Asks for all of them. Who is in a group of hosts or services stands with
/// those.
pub(crate) fn ask(source: &Source, scope: &Scope) -> Result<Definitions, Failure> {
    let mut definitions = Definitions {
        hostgroups: aliases(source, scope, "hostgroups")?,
        servicegroups: aliases(source, scope, "servicegroups")?,
        ..Definitions::default()
    };
    let contacts = &mut definitions.contacts;
    each_row(source, scope, "contacts", &CONTACT, |columns, row| {
        let (name, contact) = read_contact(columns, row);
        contacts.insert(name, contact);
    })?;
    let groups = &mut definitions.contactgroups;
    let wanted = ["name", "alias", "members"];
    each_row(source, scope, "contactgroups", &wanted, |columns, row| {
        let mut cell = columns.cells(row);
        let (name, alias) = (text(cell()), text(cell()));
        // Not every server knows the groups of a contact.
        for member in cell().elements() {
            let groups = &mut contacts.entry(text(member)).or_default().contact_groups;
            if !groups.contains(&name) {
                groups.push(name.clone());
            }
        }
        groups.insert(name, alias);
    })?;
    for contact in contacts.values_mut() {
        contact.contact_groups.sort_unstable();
    }
    leave_out_odd_names(&mut definitions);
    Ok(definitions)
}

fn aliases(
    source: &Source,
    scope: &Scope,
    table: &'static str,
) -> Result<BTreeMap<BString, BString>, Failure> {
    let mut aliases = BTreeMap::new();
    each_row(source, scope, table, &["name", "alias"], |columns, row| {
        let mut cell = columns.cells(row);
        aliases.insert(text(cell()), text(cell()));
    })?;
    Ok(aliases)
}

fn read_contact(columns: &Columns, row: &Row) -> (BString, Contact) {
    let mut cell = columns.cells(row);
    let name = text(cell());
    let (alias, email, pager) = (text(cell()), text(cell()), text(cell()));
    let (of_hosts, of_services) = (text(cell()), text(cell()));
    let contact = Contact {
        alias,
        email,
        pager,
        notification_period: if of_hosts.is_empty() {
            of_services
        } else {
            of_hosts
        },
        contact_groups: cell().elements().map(text).collect(),
    };
    (name, contact)
}

fn each_row(
    source: &Source,
    scope: &Scope,
    table: &'static str,
    wanted: &[&'static str],
    mut visit: impl FnMut(&Columns, &Row),
) -> Result<(), Failure> {
    let mut columns = Columns::choose(source, table, wanted)?;
    each_row_if_any(source, scope, &mut columns, |columns, row| {
        visit(columns, row);
        Ok(())
    })
}

/// A name that nobody could ask for would make the whole dump unreadable.
fn leave_out_odd_names(definitions: &mut Definitions) {
    definitions.contacts.retain(|name, _| is_name(name));
    definitions.hostgroups.retain(|name, _| is_name(name));
    definitions.servicegroups.retain(|name, _| is_name(name));
    definitions.contactgroups.retain(|name, _| is_name(name));
}
