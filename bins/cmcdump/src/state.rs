//! The complete state of all hosts and services. Records leave as they come.

use bstr::{BString, ByteSlice};
use livestatus::Server;
use livestatus::json::Cell;
use objects::{
    AcknowledgementType, HostState, Past, ServiceState, ShadowState, StateCode, StateType,
};
use program::Failure;

use crate::cells::{count, is_true, put, time};
use crate::columns::Columns;
use crate::dump::Dump;
use crate::pieces;
use crate::remarks;
use crate::site::Scope;
use crate::source::Source;

const HOST: [&str; 24] = with_state(
    ["name"],
    ["last_time_up", "last_time_down", "last_time_unreachable"],
);
const SERVICE: [&str; 26] = with_state(
    ["host_name", "description"],
    [
        "last_time_ok",
        "last_time_warning",
        "last_time_critical",
        "last_time_unknown",
    ],
);

/// The names of an object, its state, and when it was in each state, in the
/// order that [`read_state`] expects.
const fn with_state<const N: usize, const T: usize, const M: usize>(
    names: [&'static str; N],
    times: [&'static str; T],
) -> [&'static str; M] {
    const STATE: [&str; 20] = [
        "has_been_checked",
        "state",
        "state_type",
        "current_attempt",
        "last_check",
        "last_state_change",
        "last_hard_state_change",
        "execution_time",
        "latency",
        "is_flapping",
        "percent_state_change",
        "acknowledged",
        "acknowledgement_type",
        "scheduled_downtime_depth",
        "staleness",
        "plugin_output",
        "long_plugin_output",
        "perf_data",
        "last_state",
        "last_hard_state",
    ];
    assert!(N + STATE.len() + T == M);
    let mut all = [""; M];
    let mut index = 0;
    while index < M {
        all[index] = if index < N {
            names[index]
        } else if index < N + STATE.len() {
            STATE[index - N]
        } else {
            times[index - N - STATE.len()]
        };
        index += 1;
    }
    all
}

/// Dumps the states of all hosts, then those of all services, then what people
/// have said about them.
pub(crate) fn dump(source: &Source, scope: &Scope, mut dump: Dump<'_>) -> Result<(), Failure> {
    let mut hosts = Columns::choose(source, "hosts", &HOST)?;
    let mut services = Columns::choose(source, "services", &SERVICE)?;
    let long_output = LongOutput::of(source.server());
    let mut state = ShadowState::<HostState>::default();
    let mut name = BString::default();
    pieces::each_row(source, scope, &mut hosts, |columns, row| {
        let mut cell = columns.cells(row);
        put(&mut name, cell());
        read_state(&mut state, cell, HostState::Down, 3, long_output);
        dump.host(&name, &mut state)
    })?;
    let mut state = ShadowState::<ServiceState>::default();
    let mut description = BString::default();
    pieces::each_row(source, scope, &mut services, |columns, row| {
        let mut cell = columns.cells(row);
        put(&mut name, cell());
        put(&mut description, cell());
        read_state(&mut state, cell, ServiceState::Unknown, 4, long_output);
        dump.service(&name, &description, &mut state)
    })?;
    remarks::each_comment(source, scope, |object, comment| {
        dump.comment(object, comment)
    })?;
    remarks::each_downtime(source, scope, |object, downtime| {
        dump.downtime(object, downtime)
    })?;
    dump.end()
}

/// How line breaks stand in the column `long_plugin_output`. All servers write
/// them as a backslash and an n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LongOutput {
    /// And leave backslashes as they are.
    BreaksEscaped,
    /// And double backslashes.
    AllEscaped,
}

impl LongOutput {
    fn of(server: Server) -> Self {
        match server {
            Server::Livestatusd | Server::Nagios => Self::AllEscaped,
            Server::Checkmk | Server::Naemon | Server::Icinga2 => Self::BreaksEscaped,
        }
    }

    fn read(self, mut text: &[u8], out: &mut Vec<u8>) {
        out.clear();
        while let Some(at) = text.find_byte(b'\\') {
            out.extend_from_slice(&text[..at]);
            let (byte, length) = match text.get(at + 1) {
                Some(b'n') => (b'\n', 2),
                Some(b'\\') if self == Self::AllEscaped => (b'\\', 2),
                _ => (b'\\', 1),
            };
            out.push(byte);
            text = &text[at + length..];
        }
        out.extend_from_slice(text);
    }
}

/// Fills `state` from the cells of a row that follow the object's names.
fn read_state<'r, S: StateCode + Default>(
    state: &mut ShadowState<S>,
    mut cell: impl FnMut() -> Cell<'r>,
    worst: S,
    states: usize,
    long_output: LongOutput,
) {
    state.has_been_checked = is_true(cell());
    let code = cell().int().unwrap_or(0);
    // A state beyond those that there are is a problem at least. What Icinga 2
    // tells of an object that was never checked is none.
    state.state = match S::from_code(code) {
        Some(known) if state.has_been_checked => known,
        None if state.has_been_checked => worst,
        _ => S::default(),
    };
    state.state_type = if cell().int() == Some(0) {
        StateType::Soft
    } else {
        StateType::Hard
    };
    state.current_attempt = count(cell());
    state.last_check = time(cell());
    state.last_state_change = time(cell());
    state.last_hard_state_change = time(cell());
    state.execution_time = cell().float();
    state.latency = cell().float();
    state.is_flapping = is_true(cell());
    state.percent_state_change = cell().float();
    let acknowledged = is_true(cell());
    let kind = cell().int();
    state.acknowledgement = acknowledged.then_some(match kind {
        Some(2) => AcknowledgementType::Sticky,
        _ => AcknowledgementType::Normal,
    });
    state.scheduled_downtime_depth = count(cell());
    state.staleness = cell().float();
    put(&mut state.plugin_output, cell());
    long_output.read(&cell().text(), &mut state.long_plugin_output);
    put(&mut state.perf_data, cell());
    state.past = Past::default();
    // What Icinga 2 remembers of an object that was never checked is nothing.
    let known = |cell: Cell<'_>| S::from_code(cell.int()?).filter(|_| state.has_been_checked);
    state.past.last_state = known(cell());
    state.past.last_hard_state = known(cell());
    for last_time in &mut state.past.last_time[..states] {
        *last_time = time(cell());
    }
}
