//! The tables `comments` and `downtimes`, which have the columns of their host
//! and service too.

use std::ops::ControlFlow;

use livestatus::ColumnType::{Int, Text, Time};
use livestatus::Value;

use super::checked::time;
use super::{Column, Get, HostRow, Row, Selection, ServiceRow, View, hosts, services};
use crate::annotations::{Annotated, Annotations, Comment, Downtime, EntryType};

/// An entry and what it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct EntryRow<'a, E> {
    pub(super) host: HostRow<'a>,
    pub(super) service: Option<ServiceRow<'a>>,
    entry: &'a E,
}

pub(super) fn for_each_comment(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let now = view.now;
    each(view, |host, service, all| {
        let current = |comment: &&Comment| !comment.is_over(now);
        all.comments.iter().filter(current).try_for_each(|entry| {
            visit(&Row::Comment(EntryRow {
                host,
                service,
                entry,
            }))
        })
    })
}

pub(super) fn for_each_downtime(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let now = view.now;
    each(view, |host, service, all| {
        let current = |downtime: &&Downtime| !downtime.is_over(now);
        all.downtimes.iter().filter(current).try_for_each(|entry| {
            visit(&Row::Downtime(EntryRow {
                host,
                service,
                entry,
            }))
        })
    })
}

/// Every object that has any, as far as who asks may see it.
fn each(
    view: &View<'_>,
    mut visit: impl for<'a> FnMut(
        HostRow<'a>,
        Option<ServiceRow<'a>>,
        &'a Annotations,
    ) -> ControlFlow<()>,
) -> ControlFlow<()> {
    hosts::each(view, &Selection::default(), |host| {
        if host.is_seen() {
            visit(host, None, host.state().annotations())?;
        }
        for (at, state) in host.states.services.iter().enumerate() {
            if state.annotations.is_none() {
                continue;
            }
            let service = ServiceRow::new(host, at);
            if service.is_seen() {
                visit(host, Some(service), service.state().annotations())?;
            }
        }
        ControlFlow::Continue(())
    })
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn comment_columns() -> Vec<Column> {
    let columns = vec![
        Column::new("author", Text, "Who wrote it", Get::Comment(|r| Value::text(&r.entry.author))),
        Column::new("comment", Text, "What it says", Get::Comment(|r| Value::text(&r.entry.comment))),
        Column::new("entry_time", Time, "When it came", Get::Comment(|r| time(r.entry.entry_time))),
        Column::new("entry_type", Int, "1 somebody's, 2 of a downtime, 3 of flapping, 4 of an acknowledgement", Get::Comment(|r| Value::Int(r.entry.entry_type.code()))),
        Column::new("id", Int, "Names it among all comments and downtimes", Get::Comment(|r| Value::Int(r.entry.id as i64))),
        Column::new("is_service", Int, "Whether it is about a service (0/1)", Get::Comment(|r| r.service.is_some().into())),
        Column::new("persistent", Int, "Whether it outlives the acknowledgement it belongs to (0/1)",
            Get::Comment(|r| r.entry.persistent.into())),
        Column::new("site", Text, "The site it belongs to", Get::Comment(|r| Value::text(r.host.site.id.as_str()))),
        Column::new("type", Int, "1 of a host, 2 of a service", Get::Comment(|r| Value::Int(if r.service.is_some() { 2 } else { 1 }))),
        Column::new("expire_time", Time, "When it vanishes; 0 if it does not by itself", Get::Comment(|r| time(r.entry.expire_time))),
        Column::new("expires", Int, "Whether it vanishes by itself (0/1)", Get::Comment(|r| (!r.entry.expire_time.is_never()).into())),
        Column::new("source", Int, "0 made by the core, 1 given by a command", Get::Comment(|r| match r.entry.entry_type {
            EntryType::User | EntryType::Acknowledgement => Value::Int(1),
            EntryType::Downtime | EntryType::Flapping => Value::Int(0),
        })),
    ];
    join(columns)
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn downtime_columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("author", Text, "Who scheduled it", Get::Downtime(|r| Value::text(&r.entry.author))),
        Column::new("comment", Text, "What for", Get::Downtime(|r| Value::text(&r.entry.comment))),
        Column::new("duration", Int, "Length of a flexible one in seconds", Get::Downtime(|r| Value::Int(r.entry.duration))),
        Column::new("end_time", Time, "When it ends, or when a flexible one can begin no more", Get::Downtime(|r| time(r.entry.end_time))),
        Column::new("entry_time", Time, "When it was scheduled", Get::Downtime(|r| time(r.entry.entry_time))),
        Column::new("fixed", Int, "Whether it begins at its start, not with a problem (0/1)",
            Get::Downtime(|r| r.entry.is_fixed().into())),
        Column::new("id", Int, "Names it among all comments and downtimes", Get::Downtime(|r| Value::Int(r.entry.id as i64))),
        Column::new("is_pending", Int, "Whether it is yet to begin (0/1)",
            Get::Downtime(|r| (!r.entry.is_in_effect(r.host.now)).into())),
        Column::new("is_service", Int, "Whether it is of a service (0/1)", Get::Downtime(|r| r.service.is_some().into())),
        Column::new("site", Text, "The site it belongs to", Get::Downtime(|r| Value::text(r.host.site.id.as_str()))),
        Column::new("start_time", Time, "When it begins, or when a flexible one can begin", Get::Downtime(|r| time(r.entry.start_time))),
        Column::new("type", Int, "1 of a service, 2 of a host", Get::Downtime(|r| Value::Int(if r.service.is_some() { 1 } else { 2 }))),
    ];
    columns.push(Column::new("triggered_by", Int, "The downtime with which it begins; 0 for none",
        Get::Downtime(|r| Value::Int(r.entry.triggered_by() as i64))));
    columns.extend(Column::nothing(Int, "Always 0", "origin recurring"));
    join(columns)
}

fn join(mut columns: Vec<Column>) -> Vec<Column> {
    let of_host = hosts::columns().into_iter();
    columns.extend(of_host.map(|column| column.prefixed("host_")));
    let of_service = services::own_columns().into_iter();
    columns.extend(of_service.map(|column| column.prefixed("service_")));
    columns
}
