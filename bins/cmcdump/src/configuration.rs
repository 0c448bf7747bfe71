//! The configuration of all hosts and services, contacts and groups.
//!
//! Servers send services in an order of their own, while the dump has them host
//! by host in the order of their names. So the hosts are kept, and the services
//! as the text that they will be.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};
use livestatus::json::{Cell, Row};
use nagios::shadow::{Definitions, PrintedServices, Printer, is_name};
use objects::{DumpBegin, Host, Service};
use program::Failure;
use source::cells::text;
use source::{Columns, Scope, Source, each_row};
use transfer::Output;

use crate::definitions;

/// In the order in which [`read_host`] expects them.
const HOST: [&str; 17] = [
    "name",
    "alias",
    "display_name",
    "address",
    "groups",
    "contacts",
    "contact_groups",
    "parents",
    "icon_image",
    "check_command",
    "max_check_attempts",
    "check_interval",
    "retry_interval",
    "notes",
    "custom_variables",
    "labels",
    "label_sources",
];

/// In the order in which [`read_service`] expects them.
const SERVICE: [&str; 15] = [
    "host_name",
    "description",
    "display_name",
    "groups",
    "contacts",
    "contact_groups",
    "icon_image",
    "check_command",
    "max_check_attempts",
    "check_interval",
    "retry_interval",
    "notes",
    "custom_variables",
    "labels",
    "label_sources",
];

/// Dumps all hosts in the order of their names, each with its services in the
/// order of their descriptions. Nothing is written before everything has come.
pub(crate) fn dump(
    source: &Source,
    scope: &Scope,
    begin: &DumpBegin,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut columns = Columns::choose(source, "hosts", &HOST)?;
    let mut hosts = BTreeMap::new();
    each_row(source, scope, &mut columns, |columns, row| {
        let (name, host) = read_host(columns, row);
        if is_name(&name) {
            hosts.insert(name, (host, PrintedServices::default()));
        }
        Ok(())
    })?;
    let mut columns = Columns::choose(source, "services", &SERVICE)?;
    let mut strangers = 0;
    each_row(source, scope, &mut columns, |columns, row| {
        let (host_name, description, service) = read_service(columns, row);
        match hosts.get_mut(host_name.as_ref()) {
            Some((_, services)) if is_name(&description) => services.insert(description, &service),
            _ => strangers += 1,
        }
        Ok(())
    })?;
    let definitions = definitions::ask(source, scope)?;
    if strangers > 0 {
        // Added between the two queries; the next dump will have it. Or it has a
        // name that would make the whole dump unreadable.
        eprintln!(
            "cmcdump: {strangers} services of hosts that the server did not list, or without a usable name, are left out"
        );
    }
    print(&hosts, &definitions, begin, out).map_err(|error| out.failure(error))
}

fn print(
    hosts: &BTreeMap<BString, (Host, PrintedServices)>,
    definitions: &Definitions,
    begin: &DumpBegin,
    out: &mut Output,
) -> std::io::Result<()> {
    let mut printer = Printer::new(out, begin)?;
    for (name, (host, services)) in hosts {
        printer.host_with(name.as_bstr(), host, services)?;
    }
    printer.finish_with(definitions).map(drop)
}

fn read_host(columns: &Columns, row: &Row) -> (BString, Host) {
    let mut cell = columns.cells(row);
    let name = text(cell());
    let host = Host {
        alias: text(cell()),
        display_name: text_unless(&name, cell()),
        address: text(cell()),
        groups: texts(cell()),
        contacts: texts(cell()),
        contact_groups: texts(cell()),
        parents: texts(cell()),
        icon_image: text(cell()),
        check_command: text(cell()),
        max_check_attempts: attempts(cell()),
        check_interval: number(cell()),
        retry_interval: number(cell()),
        notes: text(cell()),
        custom_variables: dict(cell()),
        labels: dict(cell()),
        label_sources: Some(dict(cell()))
            .filter(|sources| !sources.is_empty())
            .map(Box::new),
        services: BTreeMap::new(),
    };
    (name, host)
}

fn read_service<'r>(columns: &Columns, row: &'r Row) -> (Name<'r>, BString, Service) {
    let mut cell = columns.cells(row);
    let host_name = cell().text();
    let description = text(cell());
    let service = Service {
        display_name: text_unless(&description, cell()),
        groups: texts(cell()),
        contacts: texts(cell()),
        contact_groups: texts(cell()),
        icon_image: text(cell()),
        check_command: text(cell()),
        max_check_attempts: attempts(cell()),
        check_interval: number(cell()),
        retry_interval: number(cell()),
        notes: text(cell()),
        custom_variables: dict(cell()),
        labels: dict(cell()),
        label_sources: Some(dict(cell()))
            .filter(|sources| !sources.is_empty())
            .map(Box::new),
    };
    (host_name, description, service)
}

type Name<'r> = std::borrow::Cow<'r, BStr>;

/// A display name that only repeats the name is none.
fn text_unless(name: &BString, cell: Cell<'_>) -> BString {
    let text = cell.text();
    if text.as_ref() == name.as_bstr() {
        BString::default()
    } else {
        text.into_owned()
    }
}

/// A list without order: sorted, so that equal configurations are equal dumps.
fn texts(cell: Cell<'_>) -> Vec<BString> {
    let mut texts: Vec<BString> = cell.elements().map(text).collect();
    texts.sort_unstable();
    texts
}

fn dict(cell: Cell<'_>) -> BTreeMap<BString, BString> {
    cell.entries()
        .map(|(name, value)| (name.into_owned(), text(value)))
        .collect()
}

fn attempts(cell: Cell<'_>) -> u32 {
    u32::try_from(cell.int().unwrap_or(1)).unwrap_or(1).max(1)
}

fn number(cell: Cell<'_>) -> f64 {
    cell.float()
        .filter(|number| number.is_finite())
        .unwrap_or(0.0)
}
