//! The tables `contacts`, `contactgroups`, `commands` and `timeperiods`: what
//! the objects of a site name.

use std::ops::ControlFlow;

use bstr::BString;
use livestatus::ColumnType::{Dict, Int, List, Text, Time};
use livestatus::Value;
use objects::Contact;

use super::{Column, Get, Row, View};
use crate::groups::Group;
use crate::store::Site;

/// One contact.
pub(crate) struct ContactRow<'a> {
    site: &'a Site,
    name: &'a BString,
    contact: &'a Contact,
}

/// One group of contacts.
pub(crate) struct ContactgroupRow<'a> {
    site: &'a Site,
    group: &'a Group<BString>,
}

/// A command or a time period, of which only the name is known.
pub(crate) struct NameRow<'a> {
    site: &'a Site,
    name: &'a BString,
}

pub(super) fn for_each_contact(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view.sites {
        for (name, contact) in &site.objects().groups.contacts {
            visit(&Row::Contact(ContactRow {
                site,
                name,
                contact,
            }))?;
        }
    }
    ControlFlow::Continue(())
}

pub(super) fn for_each_contactgroup(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view.sites {
        for group in &site.objects().groups.contactgroups {
            visit(&Row::Contactgroup(ContactgroupRow { site, group }))?;
        }
    }
    ControlFlow::Continue(())
}

pub(super) fn for_each_command(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view.sites {
        for name in &site.objects().groups.commands {
            visit(&Row::Name(NameRow { site, name }))?;
        }
    }
    ControlFlow::Continue(())
}

pub(super) fn for_each_timeperiod(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for site in view.sites {
        for name in &site.objects().groups.timeperiods {
            visit(&Row::Name(NameRow { site, name }))?;
        }
    }
    ControlFlow::Continue(())
}

const UNKNOWN_TEXT: &str = "Not known here: empty";

#[rustfmt::skip] // a list: one column after the other
pub(super) fn contacts() -> Vec<Column> {
    let mut columns = vec![
        Column::new("alias", Text, "Name for people; its name if it was not defined",
            Get::Contact(|r| Value::text(if r.contact.alias.is_empty() { r.name } else { &r.contact.alias }))),
        Column::new("email", Text, "Address of mail", Get::Contact(|r| Value::text(&r.contact.email))),
        Column::new("groups", List, "Contact groups it is a member of", Get::Contact(|r| Value::Names(&r.contact.contact_groups))),
        Column::new("host_notification_period", Text, "Time period in which it is notified of hosts",
            Get::Contact(|r| Value::text(&r.contact.notification_period))),
        Column::new("name", Text, "Name at its site", Get::Contact(|r| Value::text(r.name))),
        Column::new("pager", Text, "Number of a pager", Get::Contact(|r| Value::text(&r.contact.pager))),
        Column::new("service_notification_period", Text, "Time period in which it is notified of services",
            Get::Contact(|r| Value::text(&r.contact.notification_period))),
        Column::new("site", Text, "The site it belongs to", Get::Contact(|r| Value::text(r.site.id.as_str()))),
    ];
    for name in ["can_submit_commands", "host_notifications_enabled", "in_host_notification_period",
        "in_service_notification_period", "service_notifications_enabled"]
    {
        columns.push(Column::neutral(name, Int, "Not known here: 1", || Value::Int(1)));
    }
    columns.extend(Column::nothing(Int, "Not known here: 0", "modified_attributes"));
    columns.extend(Column::nothing(Text, UNKNOWN_TEXT, "address1 address2 address3 address4 address5 address6"));
    columns.extend(Column::nothing(List, UNKNOWN_TEXT,
        "custom_variable_names custom_variable_values host_notification_commands label_names label_source_names \
         label_source_values label_values modified_attributes_list service_notification_commands tag_names tag_values"));
    columns.extend(Column::nothing(Dict, UNKNOWN_TEXT, "custom_variables label_sources labels tags"));
    columns
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn contactgroups() -> Vec<Column> {
    vec![
        Column::new("alias", Text, "Name for people; its name if it was not defined",
            Get::Contactgroup(|r| Value::text(if r.group.alias.is_empty() { &r.group.name } else { &r.group.alias }))),
        Column::new("members", List, "Names of the contacts", Get::Contactgroup(|r| Value::Names(&r.group.members))),
        Column::new("name", Text, "Name at its site", Get::Contactgroup(|r| Value::text(&r.group.name))),
        Column::new("site", Text, "The site it belongs to", Get::Contactgroup(|r| Value::text(r.site.id.as_str()))),
    ]
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn commands() -> Vec<Column> {
    let mut columns = vec![
        Column::new("name", Text, "Name at its site", Get::Name(|r| Value::text(r.name))),
        Column::new("site", Text, "The site it belongs to", Get::Name(|r| Value::text(r.site.id.as_str()))),
    ];
    columns.extend(Column::nothing(Text, "Not known here: empty; nothing is run here", "line"));
    columns
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn timeperiods() -> Vec<Column> {
    let mut columns = vec![
        Column::new("alias", Text, "As name", Get::Name(|r| Value::text(r.name))),
        Column::new("name", Text, "Name at its site", Get::Name(|r| Value::text(r.name))),
        Column::new("site", Text, "The site it belongs to", Get::Name(|r| Value::text(r.site.id.as_str()))),
        Column::neutral("in", Int, "Not known here: 1", || Value::Int(1)),
    ];
    columns.extend(Column::nothing(Time, "Not known here: 0", "next_transition"));
    columns.extend(Column::nothing(Int, "Not known here: 0", "next_transition_id num_transitions"));
    columns.extend(Column::nothing(List, UNKNOWN_TEXT,
        "days exceptions_calendar_dates exceptions_month_date exceptions_month_day exceptions_month_week_day \
         exceptions_week_day exclusions transitions"));
    columns
}
