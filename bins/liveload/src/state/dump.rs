//! A state dump as it comes in, in either of its two forms, record by record.

use std::io::{self, BufRead};

use livestatus::dump::{self, DumpReader};
use nagios::check_result::{self, CheckResult, Core, Full, Limits, Reader};
use objects::{DumpBegin, ShadowState, StateCode, UnixTime};

use crate::input::{Format, Input};

/// What comes out of a dump.
pub(crate) enum Item {
    /// It begins; `None` where it has no frame.
    Begin(Option<Box<DumpBegin>>),
    Record(Box<CheckResult>),
    /// Something that a core cannot be told, left out without a word.
    Other,
    /// Something that is no record; why.
    Refused(String),
    /// It ends, or breaks off; why.
    End(Result<(), String>),
}

/// A dump that is being read.
pub(crate) struct Dump {
    reader: Box<dyn BufRead>,
    form: Form,
    ended: bool,
}

enum Form {
    CheckResults(Box<Reader>),
    ShadowStates {
        reader: Box<DumpReader>,
        has_begun: bool,
    },
}

impl Dump {
    pub(crate) fn new(input: Input, format: Format, unframed: Option<Core>) -> Self {
        let form = match format {
            Format::ShadowStates => Form::ShadowStates {
                reader: Box::new(DumpReader::new()),
                has_begun: false,
            },
            _ => Form::CheckResults(Box::new(Reader::new(unframed, Limits::default()))),
        };
        Self {
            reader: input.reader,
            form,
            ended: false,
        }
    }

    /// What comes next; `None` after the end.
    pub(crate) fn poll_item(&mut self) -> Option<Item> {
        while !self.ended {
            if let Some(item) = self.form.poll_item() {
                // After the end of a dump of commands another one may begin; the
                // other form ends with its stream.
                self.ended = matches!((&item, &self.form), (Item::End(_), Form::CheckResults(_)));
                return Some(item);
            }
            match self.reader.fill_buf() {
                Ok([]) => {
                    self.form.finish();
                    let last = self.form.poll_item();
                    self.ended = last.is_none() || matches!(last, Some(Item::End(_)));
                    if last.is_some() {
                        return last;
                    }
                }
                Ok(bytes) => {
                    let length = bytes.len();
                    self.form.push(bytes);
                    self.reader.consume(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Item::End(Err(error.to_string())));
                }
            }
        }
        None
    }
}

impl Form {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::CheckResults(reader) => reader.push(bytes),
            Self::ShadowStates { reader, .. } => reader.push(bytes),
        }
    }

    fn finish(&mut self) {
        match self {
            Self::CheckResults(reader) => reader.finish(),
            Self::ShadowStates { reader, .. } => reader.finish(),
        }
    }

    fn poll_item(&mut self) -> Option<Item> {
        match self {
            Self::CheckResults(reader) => Some(match reader.poll_event() {
                Ok(check_result::Event::NeedInput) => return None,
                Ok(check_result::Event::Begin(begin)) => {
                    Item::Begin(begin.map(|begin| Box::new(begin.dump)))
                }
                Ok(check_result::Event::Record(record)) => Item::Record(Box::new(record.clone())),
                Ok(check_result::Event::Refused(refused)) => {
                    let object = object(
                        &refused.host_name,
                        refused.service_description.as_deref().map(|name| &name[..]),
                    );
                    Item::Refused(format!("line {}: {object}: {}", refused.line, refused.why))
                }
                Ok(check_result::Event::End(_)) => Item::End(Ok(())),
                Err(error) => Item::End(Err(error.to_string())),
            }),
            Self::ShadowStates { reader, has_begun } => {
                if !*has_begun && !reader.is_inside_dump() {
                    // Records without a beginning would come out like others.
                    *has_begun = true;
                    return match reader.poll_item() {
                        None => {
                            *has_begun = false;
                            None
                        }
                        Some(dump::Item::Begin(begin)) => Some(Item::Begin(Some(begin))),
                        Some(_) => Some(Item::End(Err("it has no mark at its beginning".into()))),
                    };
                }
                let item = match reader.poll_item()? {
                    dump::Item::Begin(begin) => Item::Begin(Some(begin)),
                    dump::Item::Record(record) => match check_result(*record) {
                        Some(record) => Item::Record(Box::new(record)),
                        None => Item::Other,
                    },
                    dump::Item::Refused(error) => Item::Refused(error.to_string()),
                    dump::Item::End(end) => {
                        *has_begun = false;
                        Item::End(end.map(|_| ()).map_err(|why| why.to_string()))
                    }
                };
                Some(item)
            }
        }
    }
}

/// `HOST` or `HOST;SERVICE`, for messages.
pub(crate) fn object(host: &[u8], service: Option<&[u8]>) -> String {
    let mut name = program::log::quote(host, 100);
    if let Some(description) = service {
        name.push(';');
        name.push_str(&program::log::quote(description, 100));
    }
    name
}

fn check_result(record: dump::Record) -> Option<CheckResult> {
    match record {
        dump::Record::Host { host_name, state } => Some(CheckResult {
            host_name,
            ..from_shadow(state)
        }),
        dump::Record::Service {
            host_name,
            service_description,
            state,
        } => Some(CheckResult {
            host_name,
            service_description: Some(service_description),
            ..from_shadow(state)
        }),
        _ => None,
    }
}

fn from_shadow<S: StateCode>(state: ShadowState<S>) -> CheckResult {
    let micros = state.execution_time.filter(|seconds| seconds.is_finite());
    let micros = (micros.unwrap_or(0.0).clamp(0.0, 1e9) * 1e6) as i64;
    CheckResult {
        return_code: state.state.code(),
        start_time: state.last_check,
        finish_time: UnixTime::from_micros(state.last_check.micros().saturating_add(micros)),
        latency: state.latency.unwrap_or(0.0),
        plugin_output: state.plugin_output,
        long_plugin_output: state.long_plugin_output,
        perf_data: state.perf_data,
        full: Some(Full {
            has_been_checked: state.has_been_checked,
            state_type: state.state_type,
            current_attempt: state.current_attempt,
            last_state_change: state.last_state_change,
            last_hard_state_change: state.last_hard_state_change,
            is_flapping: state.is_flapping,
            percent_state_change: state.percent_state_change,
            acknowledgement: state.acknowledgement,
            scheduled_downtime_depth: state.scheduled_downtime_depth,
            staleness: state.staleness,
            ..Full::default()
        }),
        ..CheckResult::default()
    }
}

/// As livestatusd takes it; `None` for a state that there is not.
pub(crate) fn to_shadow<S: StateCode + Default>(record: &CheckResult) -> Option<ShadowState<S>> {
    let full = record.full.clone().unwrap_or_default();
    let micros = record.finish_time.micros() - record.start_time.micros();
    Some(ShadowState {
        has_been_checked: full.has_been_checked,
        state: S::from_code(i64::from(record.return_code))?,
        state_type: full.state_type,
        current_attempt: full.current_attempt,
        last_check: record.start_time,
        last_state_change: full.last_state_change,
        last_hard_state_change: full.last_hard_state_change,
        execution_time: Some(micros.max(0) as f64 / 1e6),
        latency: Some(record.latency),
        is_flapping: full.is_flapping,
        percent_state_change: full.percent_state_change,
        acknowledgement: full.acknowledgement,
        scheduled_downtime_depth: full.scheduled_downtime_depth,
        staleness: full.staleness,
        plugin_output: record.plugin_output.clone(),
        long_plugin_output: record.long_plugin_output.clone(),
        perf_data: record.perf_data.clone(),
        past: Default::default(),
    })
}
