//! The table `log`: changes of state, the newest first, with what is known now
//! about the host and service.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use bstr::ByteSlice;
use livestatus::ColumnType::{Int, Text, Time};
use livestatus::filter::Comparison;
use livestatus::{Filter, Value};
use objects::UnixTime;

use super::checked::{int, time};
use super::{Column, Get, HostRow, Row, ServiceRow, View, hosts, services};
use crate::auth::Viewer;
use crate::history::{Alert, Event, NewestFirst, What};
use crate::owners::Owner;
use crate::store::{Objects, Site};

/// One line.
pub(crate) struct LogRow<'a> {
    site: &'a Site,
    event: &'a Event,
    lineno: usize,
    pub(super) host: Option<HostRow<'a>>,
    pub(super) service: Option<ServiceRow<'a>>,
}

/// The span of time, in seconds, outside of which nothing can pass the
/// filters, to which times appear `shift` seconds later.
pub(crate) fn times(filters: &[Filter], shift: i64) -> RangeInclusive<i64> {
    let (mut first, mut last) = (i64::MIN, i64::MAX);
    for filter in filters {
        let inner = times_of(filter, shift);
        (first, last) = (first.max(*inner.start()), last.min(*inner.end()));
    }
    first..=last
}

fn times_of(filter: &Filter, shift: i64) -> RangeInclusive<i64> {
    const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;
    match filter {
        Filter::And(filters) => times(filters, shift),
        Filter::Or(filters) => {
            let spans = filters.iter().map(|filter| times_of(filter, shift));
            let hull = |a: RangeInclusive<i64>, b: RangeInclusive<i64>| {
                *a.start().min(b.start())..=*a.end().max(b.end())
            };
            spans.reduce(hull).unwrap_or(ALL)
        }
        Filter::Compare {
            column,
            operator,
            value,
        } if column == "time" || column == "log_time" || column == "statehist_time" => {
            let Some(value) = leading_number(value) else {
                return ALL;
            };
            let value = value.saturating_sub(shift);
            match (operator.comparison, operator.negated) {
                (Comparison::Equal, false) => value..=value,
                (Comparison::GreaterOrEqual, false) | (Comparison::Less, true) => value..=i64::MAX,
                (Comparison::Greater, false) | (Comparison::LessOrEqual, true) => {
                    value.saturating_add(1)..=i64::MAX
                }
                (Comparison::LessOrEqual, false) | (Comparison::Greater, true) => i64::MIN..=value,
                (Comparison::Less, false) | (Comparison::GreaterOrEqual, true) => {
                    i64::MIN..=value.saturating_sub(1)
                }
                _ => ALL,
            }
        }
        _ => ALL,
    }
}

/// The number that the value begins with; filters drop its fraction, too.
fn leading_number(value: &[u8]) -> Option<i64> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    value[..digits].to_str().ok()?.parse().ok()
}

/// The lines of all sites, the newest first; of lines of one second those of
/// the first site.
pub(super) fn for_each(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut logs: Vec<Log<'_>> = view
        .sites()
        .filter_map(|(site, viewer)| {
            Some(Log {
                site,
                viewer,
                objects: site.objects(),
                lines: site.history()?.newest_first(&view.times, view.now),
            })
        })
        .collect();
    let mut heads: Vec<_> = logs.iter_mut().map(|log| log.lines.next()).collect();
    let key = |place: usize, head: &Option<(Event, usize)>| {
        let (event, _) = head.as_ref()?;
        Some((event.time, Reverse(place)))
    };
    let mut order: BinaryHeap<_> = heads
        .iter()
        .enumerate()
        .filter_map(|(at, head)| key(at, head))
        .collect();
    while let Some((_, Reverse(at))) = order.pop() {
        if let Some((event, lineno)) = heads[at].take() {
            logs[at].show(&event, lineno, view.now, &mut visit)?;
        }
        heads[at] = logs[at].lines.next();
        order.extend(key(at, &heads[at]));
    }
    ControlFlow::Continue(())
}

/// The log of one site.
struct Log<'v> {
    site: &'v Site,
    viewer: Option<&'v Viewer>,
    objects: Arc<Objects>,
    lines: NewestFirst<'v>,
}

impl Log<'_> {
    fn show(
        &self,
        event: &Event,
        lineno: usize,
        now: UnixTime,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Owner {
            host_name,
            service_description,
        } = &event.owner;
        let host = self.objects.host(host_name.as_bstr());
        let states = host.map(|host| host.states());
        let host = host.zip(states.as_deref()).map(|(host, states)| HostRow {
            site: self.site,
            objects: &self.objects,
            host,
            states,
            viewer: self.viewer,
            now,
        });
        let description = service_description.as_ref();
        let service = host.zip(description).and_then(|(row, description)| {
            let at = row.host.service_index(description.as_bstr())?;
            Some(ServiceRow::new(row, at))
        });
        let seen = match (self.viewer, description) {
            (None, _) => true,
            // What is about no object is for those who are somebody here.
            (Some(viewer), None) if host_name.is_empty() => viewer.is_known(),
            (Some(_), None) => host.is_some_and(|host| host.is_seen()),
            (Some(_), Some(_)) => service.is_some_and(|service| service.is_seen()),
        };
        if !seen {
            return ControlFlow::Continue(());
        }
        visit(&Row::Log(&LogRow {
            site: self.site,
            event,
            lineno,
            host,
            service,
        }))
    }
}

impl LogRow<'_> {
    fn message(&self) -> Vec<u8> {
        let event = self.event;
        let mut message = format!("[{}] {}: ", event.time.secs(), event.kind()).into_bytes();
        message.extend(event.options());
        message
    }

    /// `HARD (CRITICAL)`.
    fn state_info(&self) -> String {
        match (self.event.state_type(), self.event.state_word()) {
            (state_type, "") => state_type.to_owned(),
            (state_type, word) => format!("{state_type} ({word})"),
        }
    }

    fn alert(&self) -> Option<&Alert> {
        match &self.event.what {
            What::Alert(alert) => Some(alert),
            What::Downtime(_) | What::Flapping(_) | What::Command(_) => None,
        }
    }

    /// Of an external command.
    fn command_name(&self) -> &[u8] {
        match &self.event.what {
            What::Command(command) => command.split(|b| *b == b';').next().unwrap_or_default(),
            What::Alert(_) | What::Downtime(_) | What::Flapping(_) => b"",
        }
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("attempt", Int, "Attempt within the state", Get::Log(|r| int(r.alert().map_or(0, |alert| alert.attempt)))),
        Column::new("host_name", Text, "The host", Get::Log(|r| Value::text(&r.event.owner.host_name))),
        Column::new("lineno", Int, "Number of the line in its file", Get::Log(|r| Value::Int(r.lineno as i64))),
        Column::new("message", Text, "The whole line", Get::Log(|r| Value::owned(r.message()))),
        Column::new("options", Text, "What stands behind the type", Get::Log(|r| Value::owned(r.event.options()))),
        Column::new("plugin_output", Text, "First line of the output", Get::Log(|r| r.alert().map_or(Value::text(""), |alert| Value::text(&alert.plugin_output)))),
        Column::new("service_description", Text, "The service; empty if it is about a host",
            Get::Log(|r| r.event.owner.service_description.as_ref().map_or(Value::text(""), Value::text))),
        Column::new("site", Text, "The site it belongs to", Get::Log(|r| Value::text(r.site.id.as_str()))),
        Column::new("state", Int, "The new state", Get::Log(|r| int(r.alert().map_or(0, |alert| alert.state)))),
        Column::new("state_info", Text, "State type and state: HARD (CRITICAL)", Get::Log(|r| Value::owned(r.state_info()))),
        Column::new("state_type", Text, "SOFT or HARD of an alert; else STARTED, STOPPED or CANCELLED", Get::Log(|r| Value::text(r.event.state_type()))),
        Column::new("time", Time, "When it became known here", Get::Log(|r| time(r.event.time))),
        Column::new("type", Text, "HOST ALERT, SERVICE DOWNTIME ALERT and so on", Get::Log(|r| Value::text(r.event.kind()))),
        Column::new("class", Int, "1 alerts, 5 commands", Get::Log(|r| Value::Int(r.event.class()))),
        Column::new("command_name", Text, "The command", Get::Log(|r| Value::text(r.command_name()))),
        Column::new("comment", Text, "What began or ended", Get::Log(|r| Value::text(r.event.comment()))),
    ];
    columns.extend(Column::nothing(Text, "Always empty", "contact_name long_plugin_output"));
    let of_host = hosts::columns().into_iter();
    columns.extend(of_host.map(|column| column.prefixed("current_host_")));
    let of_service = services::own_columns().into_iter();
    columns.extend(of_service.map(|column| column.prefixed("current_service_")));
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_bound_the_time() {
        let compare = |comparison, value: &str| Filter::compare("time", comparison, value);
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let (min, max) = (i64::MIN, i64::MAX);
        for (filters, want) in [
            (vec![], (min, max)),
            (vec![compare(GreaterOrEqual, "5")], (5, max)),
            (vec![compare(Greater, "5.5"), compare(Less, "9")], (6, 8)),
            (
                vec![compare(LessOrEqual, "9"), compare(Equal, "7 as n")],
                (7, 7),
            ),
            (
                vec![Filter::And(vec![compare(Greater, "5"), compare(Less, "9")])],
                (6, 8),
            ),
            (
                vec![Filter::Or(vec![compare(Greater, "5"), compare(Less, "2")])],
                (min, max),
            ),
            (
                vec![Filter::Or(vec![compare(Equal, "5"), compare(Equal, "2")])],
                (2, 5),
            ),
            (
                vec![Filter::Not(Box::new(compare(Greater, "5")))],
                (min, max),
            ),
            (vec![Filter::compare("state", Equal, "1")], (min, max)),
            (vec![compare(GreaterOrEqual, "x")], (min, max)),
        ] {
            for shift in [0, 1800] {
                let times = times(&filters, shift);
                let bound = |time: i64| match time {
                    i64::MIN | i64::MAX => time,
                    time => time - shift,
                };
                let want = (bound(want.0), bound(want.1));
                assert_eq!((*times.start(), *times.end()), want, "{filters:?}");
            }
        }
    }
}
