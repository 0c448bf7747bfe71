//! The columns that hosts and services have in common.

use bstr::{BString, ByteSlice};
use livestatus::Value;
use objects::{ShadowState, UnixTime};

use crate::check::State;
use crate::store::Site;

/// The columns of whatever has `config()`, `state()` and `staleness()`; the
/// members of hosts and services have the same names.
macro_rules! checked_columns {
    ($get:path) => {{
        use crate::tables::{Column, Get, checked::*};
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
                $get(|r| code(r.state().last_hard_state)),
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
                $get(|r| code(r.state().last_state)),
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
                $get(|r| time(r.state().last_update)),
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
                "Number of downtimes in effect at its site",
                $get(|r| int(r.state().now.scheduled_downtime_depth)),
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
            Column::neutral("accept_passive_checks", Int, "Always 1", || Value::Int(1)),
            Column::neutral("action_url", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("action_url_expanded", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("check_freshness", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("check_options", Int, "Not known here: 0", || Value::Int(0)),
            Column::neutral("check_period", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("comments", List, "Not known here: empty", empty),
            Column::neutral("comments_with_info", List, "Not known here: empty", empty),
            Column::neutral(
                "current_notification_number",
                Int,
                "Not known here: 0",
                || Value::Int(0),
            ),
            Column::neutral("downtimes", List, "Not known here: empty", empty),
            Column::neutral("downtimes_with_info", List, "Not known here: empty", empty),
            Column::neutral("event_handler", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("event_handler_enabled", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral(
                "first_notification_delay",
                Float,
                "Not known here: 0",
                || Value::Float(0.0),
            ),
            Column::neutral("flap_detection_enabled", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("high_flap_threshold", Float, "Not known here: 0", || {
                Value::Float(0.0)
            }),
            Column::neutral("icon_image_alt", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("in_check_period", Int, "Not known here: 1", || {
                Value::Int(1)
            }),
            Column::neutral("in_notification_period", Int, "Not known here: 1", || {
                Value::Int(1)
            }),
            Column::neutral("initial_state", Int, "Not known here: 0", || Value::Int(0)),
            Column::neutral(
                "is_executing",
                Int,
                "Always 0: nothing is checked here",
                || Value::Int(0),
            ),
            Column::neutral("last_notification", Time, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("low_flap_threshold", Float, "Not known here: 0", || {
                Value::Float(0.0)
            }),
            Column::neutral("modified_attributes", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral(
                "modified_attributes_list",
                List,
                "Not known here: empty",
                empty,
            ),
            Column::neutral("next_check", Time, "Not known here: 0", || Value::Int(0)),
            Column::neutral("next_notification", Time, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("no_more_notifications", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("notes_url", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("notes_url_expanded", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("notification_interval", Float, "Not known here: 0", || {
                Value::Float(0.0)
            }),
            Column::neutral("notification_period", Text, "Not known here: empty", || {
                Value::text("")
            }),
            Column::neutral("notifications_enabled", Int, "Not known here: 1", || {
                Value::Int(1)
            }),
            Column::neutral("pnpgraph_present", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
            Column::neutral("process_performance_data", Int, "Not known here: 0", || {
                Value::Int(0)
            }),
        ]
    }};
}

pub(super) use checked_columns;

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
    Value::Float(((now.as_secs_f64() - since.as_secs_f64()) / interval).max(0.0))
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

pub(super) fn empty() -> Value<'static> {
    Value::List(Vec::new())
}

pub(super) fn keys(map: &std::collections::BTreeMap<BString, BString>) -> Value<'_> {
    Value::List(map.keys().map(Value::text).collect())
}

pub(super) fn values(map: &std::collections::BTreeMap<BString, BString>) -> Value<'_> {
    Value::List(map.values().map(Value::text).collect())
}

/// Several lines as one, as every server shows long output.
pub(super) fn escaped(text: &BString) -> Value<'_> {
    if !text.contains(&b'\n') && !text.contains(&b'\\') {
        return Value::text(text);
    }
    Value::owned(text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n"))
}
