//! The complete state of a host or service, as a row has it.

use bstr::{BString, ByteSlice};
use livestatus::Server;
use livestatus::json::{Cell, Row};
use objects::{
    AcknowledgementType, HostState, Past, ServiceState, ShadowState, StateCode, StateType,
};

use crate::Columns;
use crate::cells::{count, is_true, put, time};

/// Columns of a host's name and complete state.
pub const HOST: [&str; 24] = with_state(
    ["name"],
    ["last_time_up", "last_time_down", "last_time_unreachable"],
);
/// Columns of a service's names and complete state.
pub const SERVICE: [&str; 26] = with_state(
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

/// Fills states from rows with the columns [`HOST`] and [`SERVICE`].
#[derive(Debug, Clone, Copy)]
pub struct StateReader {
    long_output: LongOutput,
}

impl StateReader {
    /// Reads what that server sends.
    pub fn of(server: Server) -> Self {
        Self {
            long_output: LongOutput::of(server),
        }
    }

    /// Reads a row of hosts.
    pub fn host(
        self,
        columns: &Columns,
        row: &Row,
        name: &mut BString,
        state: &mut ShadowState<HostState>,
    ) {
        let mut cell = columns.cells(row);
        put(name, cell());
        read_state(state, cell, HostState::Down, 3, self.long_output);
    }

    /// Reads a row of services.
    pub fn service(
        self,
        columns: &Columns,
        row: &Row,
        names: (&mut BString, &mut BString),
        state: &mut ShadowState<ServiceState>,
    ) {
        let mut cell = columns.cells(row);
        put(names.0, cell());
        put(names.1, cell());
        read_state(state, cell, ServiceState::Unknown, 4, self.long_output);
    }
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
