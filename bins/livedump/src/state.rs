//! The states of all hosts and services as check results. Records leave as they
//! come; of each object only a number stays, to find two of the same name.

use bstr::{BString, ByteSlice};
use livestatus::json::Cell;
use nagios::check_result::{self, CheckResult, Full, Printer};
use objects::{DumpBegin, HostState, ObjectName, ServiceState, ShadowState, StateCode, UnixTime};
use program::Failure;
use source::{Columns, HOST, SERVICE, Scope, Source, StateReader, cells};
use transfer::Output;

use crate::annotations::Annotations;
use crate::cli::{Args, Core, Time};
use crate::names::Names;
use crate::run::mode_line;

/// What a check result says, beside the object's names.
const PLAIN: [&str; 8] = [
    "has_been_checked",
    "state",
    "last_check",
    "execution_time",
    "latency",
    "plugin_output",
    "long_plugin_output",
    "perf_data",
];

/// What makes it a complete state.
const FULL: [&str; 11] = [
    "state_type",
    "current_attempt",
    "last_state_change",
    "last_hard_state_change",
    "is_flapping",
    "percent_state_change",
    "acknowledged",
    "acknowledgement_type",
    "scheduled_downtime_depth",
    "staleness",
    ATTEMPTS,
];

const ATTEMPTS: &str = "max_check_attempts";

/// Dumps the states of all hosts, then those of all services.
pub(crate) fn dump(
    args: &Args,
    source: &Source,
    scope: &Scope,
    begin: &DumpBegin,
    out: &mut Output,
) -> Result<(), Failure> {
    let annotations = match args.states.full {
        true => Annotations::ask(source, scope)?,
        false => Annotations::default(),
    };
    let mut hosts = columns(args, source, "hosts", &HOST)?;
    let mut services = columns(args, source, "services", &SERVICE)?;
    let mut dump = Dump {
        args,
        begin,
        annotations,
        names: Names::new(&args.choice.illegal_characters, &args.prefix),
        printer: None,
        out,
        result: CheckResult::default(),
        records: 0,
        pending: 0,
        nameless: 0,
    };
    let reader = StateReader::of(source.server());
    let mut object = ObjectName::default();
    let mut state = ShadowState::<HostState>::default();
    source::each_row(source, scope, &mut hosts, |columns, row| {
        reader.host(columns, row, &mut object.host_name, &mut state);
        dump.record(&object, &mut state, attempts(columns.cell(row, HOST.len())))
    })?;
    let mut description = BString::default();
    let mut state = ShadowState::<ServiceState>::default();
    source::each_row(source, scope, &mut services, |columns, row| {
        let names = (&mut object.host_name, &mut description);
        reader.service(columns, row, names, &mut state);
        let kept = object.service_description.get_or_insert_default();
        std::mem::swap(kept, &mut description);
        dump.record(
            &object,
            &mut state,
            attempts(columns.cell(row, SERVICE.len())),
        )
    })?;
    dump.end()
}

fn columns(
    args: &Args,
    source: &Source,
    table: &'static str,
    all: &[&'static str],
) -> Result<Columns, Failure> {
    let mut wanted = all.to_vec();
    wanted.push(ATTEMPTS);
    let is_name = |column: &str| ["name", "host_name", "description"].contains(&column);
    let is_of_full = |column: &str| args.states.full && FULL.contains(&column);
    Columns::choose_some(source, table, &wanted, |column| {
        is_name(column) || PLAIN.contains(&column) || is_of_full(column)
    })
}

fn attempts(cell: Cell<'_>) -> u32 {
    cells::count(cell)
}

/// A dump that begins with its first record, so that a server which refuses to
/// answer leaves no trace in the output.
struct Dump<'a> {
    args: &'a Args,
    begin: &'a DumpBegin,
    annotations: Annotations,
    names: Names,
    printer: Option<Printer>,
    out: &'a mut Output,
    /// The record being made, kept for its memory.
    result: CheckResult,
    records: u64,
    /// Objects that were never checked, and are left out.
    pending: u64,
    /// Objects without a name.
    nameless: u64,
}

impl Dump<'_> {
    fn record<S: StateCode>(
        &mut self,
        object: &ObjectName,
        state: &mut ShadowState<S>,
        max_check_attempts: u32,
    ) -> Result<(), Failure> {
        let states = &self.args.states;
        if !state.has_been_checked && !states.full && !states.include_pending {
            self.pending += 1;
            return Ok(());
        }
        let result = &mut self.result;
        self.names.host(&object.host_name, &mut result.host_name);
        match &object.service_description {
            None => result.service_description = None,
            Some(original) => {
                let name = result.service_description.get_or_insert_default();
                self.names.other(original, name);
            }
        }
        let (host, service) = (result.host_name.as_bstr(), &result.service_description);
        let service = service.as_ref().map(|service| service.as_bstr());
        if host.is_empty() || service.is_some_and(|service| service.is_empty()) {
            self.nameless += 1;
            return Ok(());
        }
        if !self.names.is_new(host, service) {
            // The dump will fail; what is known of the other stays what it is.
            return Ok(());
        }
        result.return_code = state.state.code();
        (result.start_time, result.finish_time) = times(states.time, state, self.begin.time);
        result.latency = state.latency.unwrap_or(0.0).clamp(0.0, 1e9);
        // The texts go over and back, for their memory.
        swap_texts(result, state);
        if states.full {
            let full = result.full.get_or_insert_default();
            fill(full, state, max_check_attempts);
            self.annotations.add(object, full);
        }
        let out = self.out.buffer();
        let printer = match &mut self.printer {
            Some(printer) => printer,
            None => self.printer.insert(begin(self.args, self.begin, out)),
        };
        printer.record(result, out);
        self.records += 1;
        swap_texts(result, state);
        self.out.settle()
    }

    fn end(mut self) -> Result<(), Failure> {
        self.names.check()?;
        let out = self.out.buffer();
        let printer = match self.printer.take() {
            Some(printer) => printer,
            None => begin(self.args, self.begin, out),
        };
        printer.end(out);
        if self.nameless > 0 {
            let count = self.nameless;
            eprintln!("livedump: {count} objects without a name that could be used are left out");
        }
        if self.args.verbose {
            let (records, pending) = (self.records, self.pending);
            eprintln!("livedump: {records} states, without {pending} objects never checked");
        }
        self.out.settle()
    }
}

fn begin(args: &Args, begin: &DumpBegin, out: &mut Vec<u8>) -> Printer {
    out.extend_from_slice(mode_line(args, begin).as_bytes());
    let core = match args.states.core {
        Core::Nagios => check_result::Core::Nagios,
        Core::Naemon => check_result::Core::Naemon,
    };
    Printer::begin(begin, core, out)
}

/// When the check began and ended.
fn times<S>(time: Time, state: &ShadowState<S>, now: UnixTime) -> (UnixTime, UnixTime) {
    if time == Time::Now || state.last_check.is_never() {
        return (now, now);
    }
    let start = state.last_check;
    let seconds = state.execution_time.unwrap_or(0.0).clamp(0.0, 1e9);
    let end = UnixTime::from_micros(start.micros() + (seconds * 1e6) as i64);
    (start, end)
}

fn swap_texts<S>(result: &mut CheckResult, state: &mut ShadowState<S>) {
    use std::mem::swap;
    swap(&mut result.plugin_output, &mut state.plugin_output);
    swap(
        &mut result.long_plugin_output,
        &mut state.long_plugin_output,
    );
    swap(&mut result.perf_data, &mut state.perf_data);
}

fn fill<S>(full: &mut Full, state: &ShadowState<S>, max_check_attempts: u32) {
    full.has_been_checked = state.has_been_checked;
    full.state_type = state.state_type;
    full.current_attempt = state.current_attempt;
    full.max_check_attempts = max_check_attempts;
    full.last_state_change = state.last_state_change;
    full.last_hard_state_change = state.last_hard_state_change;
    full.is_flapping = state.is_flapping;
    full.percent_state_change = state.percent_state_change;
    full.acknowledgement = state.acknowledgement;
    full.scheduled_downtime_depth = state.scheduled_downtime_depth;
    full.staleness = state.staleness;
}
