//! The complete state of all hosts and services. Records leave as they come.

use bstr::{BString, ByteSlice};
use livestatus::Server;
use livestatus::dump::DumpWriter;
use livestatus::json::Cell;
use objects::{
    AcknowledgementType, DumpBegin, HostState, Past, ServiceState, ShadowState, StateCode,
    StateType, UnixTime,
};
use program::{Failure, Status};

use crate::columns::Columns;
use crate::output::Output;
use crate::pieces;
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

/// Dumps the states of all hosts, then those of all services.
pub(crate) fn dump(
    source: &Source,
    scope: &Scope,
    begin: &DumpBegin,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut hosts = Columns::choose(source, "hosts", &HOST)?;
    let mut services = Columns::choose(source, "services", &SERVICE)?;
    let mut dump = Dump {
        long_output: LongOutput::of(source.server()),
        begin,
        writer: None,
        out,
    };
    let mut state = ShadowState::<HostState>::default();
    let mut name = BString::default();
    pieces::each_row(source, scope, &mut hosts, |columns, row| {
        let mut cell = columns.cells(row);
        put(&mut name, cell());
        read_state(&mut state, cell, HostState::Down, 3, dump.long_output);
        dump.host(&name, &mut state)
    })?;
    let mut state = ShadowState::<ServiceState>::default();
    let mut description = BString::default();
    pieces::each_row(source, scope, &mut services, |columns, row| {
        let mut cell = columns.cells(row);
        put(&mut name, cell());
        put(&mut description, cell());
        read_state(&mut state, cell, ServiceState::Unknown, 4, dump.long_output);
        dump.service(&name, &description, &mut state)
    })?;
    dump.end()
}

/// A dump that begins with its first record, so that a server which refuses to
/// answer leaves no trace in the output.
struct Dump<'a> {
    long_output: LongOutput,
    begin: &'a DumpBegin,
    writer: Option<DumpWriter>,
    out: &'a mut Output,
}

impl Dump<'_> {
    fn host(&mut self, name: &BString, state: &mut ShadowState<HostState>) -> Result<(), Failure> {
        self.record(state, |writer, state, out| writer.host(name, state, out))
    }

    fn service(
        &mut self,
        host_name: &BString,
        description: &BString,
        state: &mut ShadowState<ServiceState>,
    ) -> Result<(), Failure> {
        self.record(state, |writer, state, out| {
            writer.service(host_name, description, state, out)
        })
    }

    fn record<S>(
        &mut self,
        state: &mut ShadowState<S>,
        print: impl Fn(&mut DumpWriter, &ShadowState<S>, &mut Vec<u8>) -> Result<(), livestatus::Error>,
    ) -> Result<(), Failure> {
        let out = self.out.buffer();
        let writer = self
            .writer
            .get_or_insert_with(|| DumpWriter::begin(self.begin, out));
        if let Err(error) = print(writer, state, out) {
            eprintln!("cmcdump: {error}: only the beginning of its output is dumped");
            shorten(state);
            print(writer, state, out)
                .map_err(|error| Failure::caused(Status::Failed, "a record", error))?;
        }
        self.out.settle()
    }

    fn end(mut self) -> Result<(), Failure> {
        let out = self.out.buffer();
        let writer = self
            .writer
            .take()
            .unwrap_or_else(|| DumpWriter::begin(self.begin, out));
        writer.end(out);
        self.out.settle()
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
    let is_true = |cell: Cell<'_>| cell.int().is_some_and(|number| number != 0);
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

fn put(text: &mut BString, cell: Cell<'_>) {
    text.clear();
    text.extend_from_slice(&cell.text());
}

fn count(cell: Cell<'_>) -> u32 {
    u32::try_from(cell.int().unwrap_or(0)).unwrap_or(0)
}

/// "Never" is 0 to some and -1 to Icinga 2.
fn time(cell: Cell<'_>) -> UnixTime {
    let seconds = cell.float().unwrap_or(0.0).max(0.0);
    UnixTime::from_micros((seconds * 1e6).round() as i64)
}

/// Cuts the texts so that they fit in a record in any case.
fn shorten<S>(state: &mut ShadowState<S>) {
    const KEPT: usize = 1 << 16;
    state.plugin_output.truncate(KEPT);
    state.long_plugin_output.truncate(KEPT);
    // Half a perf data would be wrong figures.
    if state.perf_data.len() > KEPT {
        state.perf_data.clear();
    }
}
