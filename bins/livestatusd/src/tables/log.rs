//! The table `log`: changes of state, the newest first, with what is known now
//! about the host and service.

use std::ops::{ControlFlow, RangeInclusive};

use bstr::ByteSlice;
use livestatus::ColumnType::{Int, Text, Time};
use livestatus::filter::Comparison;
use livestatus::{Filter, Value};

use super::checked::{int, time};
use super::{Column, Get, HostRow, Row, ServiceRow, View, hosts, services};
use crate::history::Alert;
use crate::store::Site;

/// In seconds.
const DAY: i64 = 86_400;

/// One line.
pub(crate) struct LogRow<'a> {
    site: &'a Site,
    alert: &'a Alert,
    lineno: usize,
    pub(super) host: Option<HostRow<'a>>,
    pub(super) service: Option<ServiceRow<'a>>,
}

/// The span of time, in seconds, outside of which nothing can pass the filters.
pub(crate) fn times(filters: &[Filter]) -> RangeInclusive<i64> {
    let (mut first, mut last) = (i64::MIN, i64::MAX);
    for filter in filters {
        match filter {
            Filter::And(filters) => {
                let inner = times(filters);
                (first, last) = (first.max(*inner.start()), last.min(*inner.end()));
            }
            Filter::Compare {
                column,
                operator,
                value,
            } if column == "time" || column == "log_time" => {
                let Some(value) = leading_number(value) else {
                    continue;
                };
                match (operator.comparison, operator.negated) {
                    (Comparison::Equal, false) => {
                        (first, last) = (first.max(value), last.min(value));
                    }
                    (Comparison::GreaterOrEqual, false) | (Comparison::Less, true) => {
                        first = first.max(value);
                    }
                    // One more than needed is harmless.
                    (Comparison::Greater, false) | (Comparison::LessOrEqual, true) => {
                        first = first.max(value);
                    }
                    (Comparison::LessOrEqual | Comparison::Less, false)
                    | (Comparison::Greater | Comparison::GreaterOrEqual, true) => {
                        last = last.min(value);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    first..=last
}

/// The number that the value begins with; filters drop its fraction, too.
fn leading_number(value: &[u8]) -> Option<i64> {
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    value[..digits].to_str().ok()?.parse().ok()
}

pub(super) fn for_each(
    view: &View<'_>,
    mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    // A day more on both sides: the client's clock may be taken into account by the filters.
    let (first, last) = (view.times.start(), view.times.end());
    let times = first.saturating_sub(DAY)..=last.saturating_add(DAY);
    for (site, viewer) in view.sites() {
        let Some(history) = site.history() else {
            continue;
        };
        let objects = site.objects();
        history.each(&times, view.now, |alert, lineno| {
            let host = objects.host(alert.host_name.as_bstr());
            let states = host.map(|host| host.states());
            let host = host.zip(states.as_deref()).map(|(host, states)| HostRow {
                site,
                objects: &objects,
                host,
                states,
                viewer,
                now: view.now,
            });
            let description = alert.service_description.as_ref();
            let service = host.zip(description).and_then(|(row, description)| {
                let at = row.host.service_index(description.as_bstr())?;
                Some(ServiceRow::new(row, at))
            });
            let seen = match (viewer, description) {
                (None, _) => true,
                (Some(_), None) => host.is_some_and(|host| host.is_seen()),
                (Some(_), Some(_)) => service.is_some_and(|service| service.is_seen()),
            };
            if !seen {
                return ControlFlow::Continue(());
            }
            visit(&Row::Log(&LogRow {
                site,
                alert,
                lineno,
                host,
                service,
            }))
        })?;
    }
    ControlFlow::Continue(())
}

impl LogRow<'_> {
    /// As a core would have written it.
    fn options(&self) -> Vec<u8> {
        self.alert
            .options(|text, out| out.extend_from_slice(&text.replace("\n", " ")))
    }

    fn message(&self) -> Vec<u8> {
        let mut message =
            format!("[{}] {}: ", self.alert.time.secs(), self.alert.kind()).into_bytes();
        message.extend(self.options());
        message
    }
}

#[rustfmt::skip] // a list: one column after the other
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("attempt", Int, "Attempt within the state", Get::Log(|r| int(r.alert.attempt))),
        Column::new("host_name", Text, "The host", Get::Log(|r| Value::text(&r.alert.host_name))),
        Column::new("lineno", Int, "Number of the line in its file", Get::Log(|r| Value::Int(r.lineno as i64))),
        Column::new("message", Text, "The whole line", Get::Log(|r| Value::owned(r.message()))),
        Column::new("options", Text, "What stands behind the type", Get::Log(|r| Value::owned(r.options()))),
        Column::new("plugin_output", Text, "First line of the output", Get::Log(|r| Value::text(&r.alert.plugin_output))),
        Column::new("service_description", Text, "The service; empty if it is about a host",
            Get::Log(|r| r.alert.service_description.as_ref().map_or(Value::text(""), Value::text))),
        Column::new("site", Text, "The site it belongs to", Get::Log(|r| Value::text(r.site.id.as_str()))),
        Column::new("state", Int, "The new state", Get::Log(|r| int(r.alert.state))),
        Column::new("state_info", Text, "As state_type", Get::Log(|r| Value::text(r.alert.state_type()))),
        Column::new("state_type", Text, "SOFT or HARD", Get::Log(|r| Value::text(r.alert.state_type()))),
        Column::new("time", Time, "When it became known here", Get::Log(|r| time(r.alert.time))),
        Column::new("type", Text, "HOST ALERT or SERVICE ALERT", Get::Log(|r| Value::text(r.alert.kind()))),
        Column::neutral("class", Int, "Always 1: changes of state", || Value::Int(1)),
    ];
    columns.extend(Column::nothing(Text, "Always empty", "command_name comment contact_name long_plugin_output"));
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
            (vec![compare(Greater, "5.5"), compare(Less, "9")], (5, 9)),
            (
                vec![compare(LessOrEqual, "9"), compare(Equal, "7 as n")],
                (7, 7),
            ),
            (
                vec![Filter::And(vec![compare(Greater, "5"), compare(Less, "9")])],
                (5, 9),
            ),
            (
                vec![Filter::Or(vec![compare(Greater, "5"), compare(Less, "2")])],
                (min, max),
            ),
            (
                vec![Filter::Not(Box::new(compare(Greater, "5")))],
                (min, max),
            ),
            (vec![Filter::compare("state", Equal, "1")], (min, max)),
            (vec![compare(GreaterOrEqual, "x")], (min, max)),
        ] {
            let times = times(&filters);
            assert_eq!((*times.start(), *times.end()), want, "{filters:?}");
        }
    }
}
