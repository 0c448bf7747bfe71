//! The columns that hosts and services have in common.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice};
use livestatus::ColumnType::{Float, Int, List, Text, Time};
use livestatus::Value;
use objects::{Perfdata, ShadowState, UnixTime};

use super::{Column, NO_TEXTS};

use crate::annotations::{Annotations, Comment, Downtime, DowntimeKind};
use crate::check::State;
use crate::store::Site;

/// The columns of whatever has `config()`, `state()` and `staleness()`; the
/// members of hosts and services have the same names.
macro_rules! checked_columns {
    ($get:path) => {{
        use crate::annotations::Annotated as _;
        use crate::tables::{Column, checked::*};
        use livestatus::ColumnType::*;
        use livestatus::Value;
        use objects::state::AcknowledgementType;
        vec![
            Column::new(
                "acknowledged",
                Int,
                "Whether the problem is acknowledged (0/1)",
                $get(|r| r.state().now.acknowledgement.is_some().into()),
            ),
            Column::new(
                "acknowledgement_type",
                Int,
                "0 none, 1 normal, 2 sticky",
                $get(|r| int(AcknowledgementType::code(r.state().now.acknowledgement))),
            ),
            Column::new(
                "active_checks_enabled",
                Int,
                "Whether its site checks it; 0 where passive results are handed in",
                $get(|r| r.state().is_shadow().into()),
            ),
            Column::new(
                "check_command",
                Text,
                "The check as configured at its site",
                $get(|r| Value::text(&r.config().check_command)),
            ),
            Column::new(
                "check_interval",
                Float,
                "Interval between checks at its site, in minutes",
                $get(|r| Value::Float(r.config().check_interval)),
            ),
            Column::new(
                "check_type",
                Int,
                "1 passive result, 2 shadow of an object of another site",
                $get(|r| Value::Int(r.state().source.code())),
            ),
            Column::new(
                "checks_enabled",
                Int,
                "As active_checks_enabled",
                $get(|r| r.state().is_shadow().into()),
            ),
            Column::new(
                "comments",
                List,
                "Ids of its comments",
                $get(|r| list_comments(r.state().annotations(), r.now(), |_| Vec::new())),
            ),
            Column::new(
                "comments_with_extra_info",
                List,
                "id, author, comment, entry_type, entry_time",
                $get(|r| list_comments(r.state().annotations(), r.now(), comment_extra_info)),
            ),
            Column::new(
                "comments_with_info",
                List,
                "id, author, comment",
                $get(|r| list_comments(r.state().annotations(), r.now(), comment_info)),
            ),
            Column::new(
                "downtimes",
                List,
                "Ids of its downtimes",
                $get(|r| list_downtimes(r.state().annotations(), r.now(), |_, _| Vec::new())),
            ),
            Column::new(
                "downtimes_with_extra_info",
                List,
                "id, author, comment, 0, entry_time, start_time, end_time, fixed, duration, 0, pending",
                $get(|r| list_downtimes(r.state().annotations(), r.now(), downtime_extra_info)),
            ),
            Column::new(
                "downtimes_with_info",
                List,
                "id, author, comment",
                $get(|r| list_downtimes(r.state().annotations(), r.now(), downtime_info)),
            ),
            Column::new(
                "pending_flex_downtime",
                Int,
                "Flexible downtimes that wait for a problem",
                $get(|r| pending_flexible(r.state().annotations(), r.now())),
            ),
            Column::new(
                "contact_groups",
                List,
                "Contact groups",
                $get(|r| Value::Names(&r.config().contact_groups)),
            ),
            Column::new(
                "contacts",
                List,
                "Contacts",
                $get(|r| Value::Names(&r.config().contacts)),
            ),
            Column::new(
                "current_attempt",
                Int,
                "Attempt within the current state",
                $get(|r| int(r.state().now.current_attempt)),
            ),
            Column::new(
                "custom_variable_names",
                List,
                "Names of the custom variables",
                $get(|r| keys(&r.config().custom_variables)),
            ),
            Column::new(
                "custom_variable_values",
                List,
                "Values of the custom variables, in the same order",
                $get(|r| values(&r.config().custom_variables)),
            ),
            Column::new(
                "custom_variables",
                Dict,
                "Custom variables",
                $get(|r| Value::Dict(&r.config().custom_variables)),
            ),
            Column::new(
                "execution_time",
                Float,
                "Duration of the last check in seconds",
                $get(|r| Value::Float(r.state().now.execution_time.unwrap_or(0.0))),
            ),
            Column::new(
                "groups",
                List,
                "Groups it is in",
                $get(|r| Value::Names(&r.config().groups)),
            ),
            Column::new(
                "has_been_checked",
                Int,
                "0 while pending, else 1",
                $get(|r| r.state().now.has_been_checked.into()),
            ),
            Column::new(
                "icon_image",
                Text,
                "File name of an icon",
                $get(|r| Value::text(&r.config().icon_image)),
            ),
            Column::new(
                "icon_image_expanded",
                Text,
                "As icon_image: macros are not expanded here",
                $get(|r| Value::text(&r.config().icon_image)),
            ),
            Column::new(
                "is_flapping",
                Int,
                "Whether it flaps (0/1)",
                $get(|r| r.state().now.is_flapping.into()),
            ),
            Column::new(
                "label_names",
                List,
                "Names of the labels",
                $get(|r| keys(&r.config().labels)),
            ),
            Column::new(
                "label_source_names",
                List,
                "Names of the labels whose origin is known",
                $get(|r| names_of(dict(r.config().label_sources.as_deref()))),
            ),
            Column::new(
                "label_source_values",
                List,
                "Where these are from, in the same order",
                $get(|r| values_of(dict(r.config().label_sources.as_deref()))),
            ),
            Column::new(
                "label_sources",
                Dict,
                "Where the labels are from, as far as their site tells",
                $get(|r| dict(r.config().label_sources.as_deref())),
            ),
            Column::new(
                "label_values",
                List,
                "Values of the labels, in the same order",
                $get(|r| values(&r.config().labels)),
            ),
            Column::new(
                "labels",
                Dict,
                "Labels",
                $get(|r| Value::Dict(&r.config().labels)),
            ),
            Column::new(
                "last_check",
                Time,
                "When it was last checked, by the clock of its site",
                $get(|r| time(r.state().now.last_check)),
            ),
            Column::new(
                "last_hard_state",
                Int,
                "The last confirmed state",
                $get(|r| code(r.state().last_hard_state())),
            ),
            Column::new(
                "last_hard_state_change",
                Time,
                "Last change between confirmed states",
                $get(|r| time(r.state().now.last_hard_state_change)),
            ),
            Column::new(
                "last_state",
                Int,
                "The state before the last check",
                $get(|r| code(r.state().last_state())),
            ),
            Column::new(
                "last_state_change",
                Time,
                "Last change between states",
                $get(|r| time(r.state().now.last_state_change)),
            ),
            Column::new(
                "last_update",
                Time,
                "When its state last arrived here",
                $get(|r| time(r.state().now.past.last_update)),
            ),
            Column::new(
                "latency",
                Float,
                "Delay of the last check in seconds",
                $get(|r| Value::Float(r.state().now.latency.unwrap_or(0.0))),
            ),
            Column::new(
                "long_plugin_output",
                Text,
                "Further lines of the output; a line break is \\n, a backslash \\\\",
                $get(|r| escaped(&r.state().now.long_plugin_output)),
            ),
            Column::new(
                "max_check_attempts",
                Int,
                "Attempts until a problem is confirmed",
                $get(|r| int(r.config().max_check_attempts.max(1))),
            ),
            Column::new(
                "notes",
                Text,
                "Notes",
                $get(|r| Value::text(&r.config().notes)),
            ),
            Column::new(
                "notes_expanded",
                Text,
                "As notes: macros are not expanded here",
                $get(|r| Value::text(&r.config().notes)),
            ),
            Column::new(
                "percent_state_change",
                Float,
                "How much it flaps, 0 to 100",
                $get(|r| Value::Float(r.state().now.percent_state_change.unwrap_or(0.0))),
            ),
            Column::new(
                "perf_data",
                Text,
                "Performance data of the last check",
                $get(|r| Value::text(&r.state().now.perf_data)),
            ),
            Column::new(
                "plugin_output",
                Text,
                "First line of the output of the last check",
                $get(|r| Value::text(&r.state().now.plugin_output)),
            ),
            Column::new(
                "retry_interval",
                Float,
                "Interval between checks of an unconfirmed problem, in minutes",
                $get(|r| Value::Float(r.config().retry_interval)),
            ),
            Column::new(
                "scheduled_downtime_depth",
                Int,
                "Number of downtimes in effect",
                $get(|r| int(r.downtime_depth())),
            ),
            Column::new(
                "staleness",
                Float,
                "Age of the last check at its site, in check intervals",
                $get(|r| r.staleness()),
            ),
            Column::new(
                "state",
                Int,
                "The current state",
                $get(|r| code(r.state().now.state)),
            ),
            Column::new(
                "state_type",
                Int,
                "0 soft, 1 hard",
                $get(|r| int(r.state().now.state_type as u8)),
            ),
            Column::new(
                "check_command_expanded",
                Text,
                "As check_command: macros are not expanded here",
                $get(|r| Value::text(&r.config().check_command)),
            ),
            Column::new(
                "check_source",
                Text,
                "The site whose check or dump it is",
                $get(|r| Value::text(r.site_name())),
            ),
            Column::new(
                "flappiness",
                Float,
                "As percent_state_change",
                $get(|r| Value::Float(r.state().now.percent_state_change.unwrap_or(0.0))),
            ),
            Column::new(
                "metrics",
                List,
                "Names of the metrics in perf_data",
                $get(|r| metrics(&r.state().now.perf_data)),
            ),
            Column::new(
                "previous_hard_state",
                Int,
                "As last_hard_state",
                $get(|r| code(r.state().last_hard_state())),
            ),
            Column::new(
                "site",
                Text,
                "The site it belongs to",
                $get(|r| Value::text(r.site_name())),
            ),
            Column::new(
                "tag_names",
                List,
                "Names of the tags",
                $get(|r| names_of(r.tags())),
            ),
            Column::new(
                "tag_values",
                List,
                "Values of the tags, in the same order",
                $get(|r| values_of(r.tags())),
            ),
            Column::new(
                "tags",
                Dict,
                "Tags, from custom variables TAG_name, else from TAGS",
                $get(|r| r.tags()),
            ),
        ]
        .into_iter()
        .chain(neutral())
        .collect::<Vec<Column>>()
    }};
}

pub(super) use checked_columns;

/// Columns that nobody can know here, with values that make no noise.
pub(super) fn neutral() -> impl Iterator<Item = Column> {
    let ones = [
        "accept_passive_checks",
        "in_check_period",
        "in_notification_period",
        "in_service_period",
        "is_reachable",
        "notifications_enabled",
    ];
    let ones = ones
        .into_iter()
        .map(|name| Column::neutral(name, Int, "Not known here: 1", || Value::Int(1)));
    const ZERO: &str = "Not known here: 0";
    const EMPTY: &str = "Not known here: empty";
    ones.chain(Column::nothing(
        Int,
        ZERO,
        "check_flapping_recovery_notification check_freshness check_options check_timeout \
         current_notification_number event_handler_enabled flap_detection_enabled hourly_value id initial_state \
         is_executing modified_attributes no_more_notifications notified_on obsess pnpgraph_present \
         process_performance_data should_be_scheduled",
    ))
    .chain(Column::nothing(
        Time,
        ZERO,
        "last_notification next_check next_notification",
    ))
    .chain(Column::nothing(
        Float,
        ZERO,
        "first_notification_delay high_flap_threshold low_flap_threshold notification_interval",
    ))
    .chain(Column::nothing(
        Text,
        EMPTY,
        "action_url action_url_expanded check_period event_handler icon_image_alt \
         notes_url notes_url_expanded notification_period notification_postponement_reason original_attributes \
         service_period",
    ))
    .chain(Column::nothing(
        List,
        EMPTY,
        "depends_exec depends_exec_with_info depends_notify depends_notify_with_info \
         modified_attributes_list",
    ))
}

impl<S> State<S> {
    pub(super) fn is_shadow(&self) -> bool {
        self.source == crate::check::Source::Shadow
    }
}

/// Age of the last check in check intervals. An object that was never checked
/// ages from the moment it became known.
pub(super) fn staleness<S>(
    now: UnixTime,
    state: &ShadowState<S>,
    check_interval: f64,
    site: &Site,
) -> Value<'static> {
    let since = if state.has_been_checked {
        state.last_check
    } else {
        site.status().config_loaded_at
    };
    // Without an interval of its own, one minute, as other servers count.
    let interval = if check_interval > 0.0 {
        check_interval * 60.0
    } else {
        60.0
    };
    let staleness = (now.as_secs_f64() - since.as_secs_f64()) / interval;
    // Six decimals are all that is known, and print faster than seventeen.
    Value::Float((staleness.max(0.0) * 1e6).round() / 1e6)
}

/// Ids of comments, with further cells of each if there are any.
pub(super) fn list_comments(
    all: &Annotations,
    now: UnixTime,
    cells: for<'a> fn(&'a Comment) -> Vec<Value<'a>>,
) -> Value<'_> {
    let comments = all.comments.iter();
    let comments = comments.filter(|comment| !comment.is_over(now));
    Value::List(
        comments
            .map(|comment| with_id(comment.id, cells(comment)))
            .collect(),
    )
}

pub(super) fn comment_info(comment: &Comment) -> Vec<Value<'_>> {
    vec![Value::text(&comment.author), Value::text(&comment.comment)]
}

pub(super) fn comment_extra_info(comment: &Comment) -> Vec<Value<'_>> {
    let mut cells = comment_info(comment);
    cells.extend([
        Value::Int(comment.entry_type.code()),
        time(comment.entry_time),
    ]);
    cells
}

/// Ids of downtimes that are not over, with further cells of each if there are any.
pub(super) fn list_downtimes(
    all: &Annotations,
    now: UnixTime,
    cells: for<'a> fn(&'a Downtime, UnixTime) -> Vec<Value<'a>>,
) -> Value<'_> {
    let downtimes = all.downtimes.iter();
    let current = downtimes.filter(|downtime| !downtime.is_over(now));
    Value::List(
        current
            .map(|downtime| with_id(downtime.id, cells(downtime, now)))
            .collect(),
    )
}

pub(super) fn downtime_info(downtime: &Downtime, _: UnixTime) -> Vec<Value<'_>> {
    vec![
        Value::text(&downtime.author),
        Value::text(&downtime.comment),
    ]
}

pub(super) fn downtime_extra_info(downtime: &Downtime, now: UnixTime) -> Vec<Value<'_>> {
    let mut cells = downtime_info(downtime, now);
    cells.extend([
        Value::Int(0),
        time(downtime.entry_time),
        time(downtime.start_time),
        time(downtime.end_time),
        downtime.is_fixed().into(),
        Value::Int(downtime.duration),
        Value::Int(0),
        (!downtime.is_in_effect(now)).into(),
    ]);
    cells
}

pub(super) fn pending_flexible(all: &Annotations, now: UnixTime) -> Value<'static> {
    let waits = |downtime: &&Downtime| {
        downtime.kind == DowntimeKind::Flexible { began: None } && !downtime.is_over(now)
    };
    Value::Int(all.downtimes.iter().filter(waits).count() as i64)
}

fn with_id(id: u64, mut cells: Vec<Value<'_>>) -> Value<'_> {
    let id = Value::Int(id as i64);
    if cells.is_empty() {
        return id;
    }
    cells.insert(0, id);
    Value::List(cells)
}

pub(super) fn int(number: impl Into<i64>) -> Value<'static> {
    Value::Int(number.into())
}

pub(super) fn code(state: impl objects::StateCode) -> Value<'static> {
    Value::Int(i64::from(state.code()))
}

pub(super) fn time(time: UnixTime) -> Value<'static> {
    Value::Int(time.secs())
}

/// A dict that most objects do not have.
pub(super) fn dict(map: Option<&BTreeMap<BString, BString>>) -> Value<'_> {
    Value::Dict(map.unwrap_or(&NO_TEXTS))
}

pub(super) fn names_of(dict: Value<'_>) -> Value<'_> {
    match dict {
        Value::Dict(map) => keys(map),
        other => other,
    }
}

pub(super) fn values_of(dict: Value<'_>) -> Value<'_> {
    match dict {
        Value::Dict(map) => values(map),
        other => other,
    }
}

/// Names of the metrics; none if the performance data cannot be read.
pub(super) fn metrics(perf_data: &[u8]) -> Value<'static> {
    let metrics = Perfdata::parse(perf_data).map(|perfdata| perfdata.metrics);
    let names = metrics.unwrap_or_default().into_iter();
    Value::List(names.map(|metric| Value::owned(metric.label)).collect())
}

pub(super) fn keys(map: &BTreeMap<BString, BString>) -> Value<'_> {
    Value::List(map.keys().map(Value::text).collect())
}

pub(super) fn values(map: &BTreeMap<BString, BString>) -> Value<'_> {
    Value::List(map.values().map(Value::text).collect())
}

/// Several lines as one, as every server shows long output.
pub(super) fn escaped(text: &BString) -> Value<'_> {
    if !text.contains(&b'\n') && !text.contains(&b'\\') {
        return Value::text(text);
    }
    Value::owned(text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n"))
}
