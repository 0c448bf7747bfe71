//! What a record says about an object: the fields, their order, and how each is
//! written.

use std::fmt;

use bstr::{BString, ByteSlice};
use objects::{AcknowledgementType, ShadowState, StateCode, StateType, UnixTime};

use super::put;
use crate::error::{Error, excerpt};
use crate::number::{parse_count, parse_float, push_float};

/// Longest map of fields, in bytes.
const MAX_MAP: usize = 1 << 16;

/// How records of states are laid out: the names of their commands, and which
/// fields follow the names of the object in which order.
///
/// The default is the format of this suite, as sitewire-dump(5) has it. Another
/// one is read from a map, for receivers that expect something else:
///
/// ```text
/// # the commands
/// host_command UPDATE_SHADOW_HOST_STATE
/// service_command UPDATE_SHADOW_SERVICE_STATE
/// # in this order; a dash is an empty argument
/// fields has_been_checked state - plugin_output
/// # without SITEWIRE_BEGIN, SITEWIRE_END and other commands of this suite
/// frame no
/// ```
///
/// What a map does not say stays as it is; `fields` may be repeated to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(super) host: String,
    pub(super) service: String,
    /// `None` is an empty argument.
    fields: Vec<Option<Field>>,
    /// Fields without which a record is not whole.
    required: usize,
    /// Whether the marks and other records of our own are written.
    pub(super) frame: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            host: "UPDATE_SHADOW_HOST_STATE".to_owned(),
            service: "UPDATE_SHADOW_SERVICE_STATE".to_owned(),
            fields: FIELDS.into_iter().map(Some).collect(),
            required: REQUIRED,
            frame: true,
        }
    }
}

impl Layout {
    /// Reads a map.
    pub fn parse(map: &[u8]) -> Result<Self, Error> {
        if map.len() > MAX_MAP {
            return Err(Error::TooLong {
                what: "map of fields",
                limit: MAX_MAP,
            });
        }
        let mut layout = Self::default();
        let mut fields = Vec::new();
        for (number, line) in map.lines().enumerate() {
            let bad =
                |what: &str| Error::BadCommand(format!("line {} of the map: {what}", number + 1));
            let text = line.split(|b| *b == b'#').next().unwrap_or_default();
            let mut words = text.fields_with(|c| c.is_ascii_whitespace());
            let Some(key) = words.next() else {
                continue;
            };
            match key {
                b"fields" => {
                    for word in words {
                        let field = Field::named(word).ok_or_else(|| {
                            bad(&format!("there is no field '{}'", excerpt(word, 40)))
                        })?;
                        fields.push(field);
                    }
                    continue;
                }
                b"host_command" | b"service_command" => {
                    let name = words.next().and_then(command_name);
                    let name = name.ok_or_else(|| bad("the name of a command is missing"))?;
                    if key == b"host_command" {
                        layout.host = name;
                    } else {
                        layout.service = name;
                    }
                }
                b"frame" => {
                    layout.frame = match words.next() {
                        Some(b"yes") => true,
                        Some(b"no") => false,
                        _ => return Err(bad("frame is yes or no")),
                    };
                }
                _ => return Err(bad(&format!("'{}' is unknown", excerpt(key, 40)))),
            }
            if words.next().is_some() {
                return Err(bad("something follows"));
            }
        }
        if !fields.is_empty() {
            layout.required = fields.len();
            layout.fields = fields;
        }
        if layout.host == layout.service {
            return Err(Error::BadCommand(
                "the map gives hosts and services the same command".to_owned(),
            ));
        }
        Ok(layout)
    }

    /// The same without marks and other records of our own.
    pub fn without_frame(mut self) -> Self {
        self.frame = false;
        self
    }

    /// Whether it has the marks by which a reader knows that a dump is whole.
    pub fn has_frame(&self) -> bool {
        self.frame
    }

    /// Appends the fields, a semicolon before each.
    pub(super) fn print<S: StateCode>(&self, state: &ShadowState<S>, out: &mut Vec<u8>) {
        for field in &self.fields {
            out.push(b';');
            if let Some(field) = field {
                field.print(state, out);
            }
        }
    }

    /// Reads them; `object` names what they are about in errors.
    pub(super) fn parse_state<S: StateCode + Default>(
        &self,
        text: &[u8],
        object: impl Fn() -> String,
    ) -> Result<ShadowState<S>, Error> {
        let mut state = ShadowState::default();
        let mut texts = text.split_str(";");
        // Fields of later releases follow and are left alone.
        for (place, field) in self.fields.iter().enumerate() {
            let name = || field.map_or("an empty field", Field::name);
            let bad = |what: &str| Error::BadRecord {
                object: object(),
                what: format!("{} {what}", name()),
            };
            let text = match texts.next() {
                Some(text) => text,
                None if place >= self.required => break,
                None => return Err(bad("is missing")),
            };
            let Some(field) = field else { continue };
            field
                .parse(text, &mut state)
                .ok_or_else(|| bad(&format!("is '{}'", excerpt(text, 40))))?;
        }
        Ok(state)
    }
}

/// Appends what a record says about an object, as it is told from another one
/// to see whether anything has changed: without the times and figures that move
/// with every check.
pub fn print_content<S: StateCode>(state: &ShadowState<S>, out: &mut Vec<u8>) {
    let current = usize::from(state.state.code());
    for field in FIELDS {
        out.push(b';');
        match field {
            Field::LastCheck
            | Field::ExecutionTime
            | Field::Latency
            | Field::Staleness
            | Field::LastUpdate => {}
            Field::LastTime(code) if code == current => {}
            field => field.print(state, out),
        }
    }
}

fn command_name(word: &[u8]) -> Option<String> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let name = word.iter().all(allowed).then_some(word)?;
    String::from_utf8(name.to_vec()).ok()
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    HasBeenChecked,
    State,
    StateType,
    CurrentAttempt,
    LastCheck,
    LastStateChange,
    LastHardStateChange,
    ExecutionTime,
    Latency,
    IsFlapping,
    PercentStateChange,
    Acknowledged,
    AcknowledgementType,
    ScheduledDowntimeDepth,
    Staleness,
    PluginOutput,
    LongPluginOutput,
    PerfData,
    LastState,
    LastHardState,
    /// When the state of that number was last seen.
    LastTime(usize),
    LastUpdate,
}

/// Fields that every release has written; older ones end there.
const REQUIRED: usize = 18;

/// The order of the fields in a record. This table is the format: both
/// directions follow it.
const FIELDS: [Field; 25] = [
    Field::HasBeenChecked,
    Field::State,
    Field::StateType,
    Field::CurrentAttempt,
    Field::LastCheck,
    Field::LastStateChange,
    Field::LastHardStateChange,
    Field::ExecutionTime,
    Field::Latency,
    Field::IsFlapping,
    Field::PercentStateChange,
    Field::Acknowledged,
    Field::AcknowledgementType,
    Field::ScheduledDowntimeDepth,
    Field::Staleness,
    Field::PluginOutput,
    Field::LongPluginOutput,
    Field::PerfData,
    Field::LastState,
    Field::LastHardState,
    Field::LastTime(0),
    Field::LastTime(1),
    Field::LastTime(2),
    Field::LastTime(3),
    Field::LastUpdate,
];

impl Field {
    /// The field of that name; a dash is an empty one.
    fn named(word: &[u8]) -> Option<Option<Self>> {
        if word == b"-" {
            return Some(None);
        }
        let mut fields = FIELDS.into_iter();
        fields
            .find(|field| field.name().as_bytes() == word)
            .map(Some)
    }

    fn name(self) -> &'static str {
        match self {
            Self::HasBeenChecked => "has_been_checked",
            Self::State => "state",
            Self::StateType => "state_type",
            Self::CurrentAttempt => "current_attempt",
            Self::LastCheck => "last_check",
            Self::LastStateChange => "last_state_change",
            Self::LastHardStateChange => "last_hard_state_change",
            Self::ExecutionTime => "execution_time",
            Self::Latency => "latency",
            Self::IsFlapping => "is_flapping",
            Self::PercentStateChange => "percent_state_change",
            Self::Acknowledged => "acknowledged",
            Self::AcknowledgementType => "acknowledgement_type",
            Self::ScheduledDowntimeDepth => "scheduled_downtime_depth",
            Self::Staleness => "staleness",
            Self::PluginOutput => "plugin_output",
            Self::LongPluginOutput => "long_plugin_output",
            Self::PerfData => "perf_data",
            Self::LastState => "last_state",
            Self::LastHardState => "last_hard_state",
            Self::LastTime(code) => {
                ["last_time_0", "last_time_1", "last_time_2", "last_time_3"][code]
            }
            Self::LastUpdate => "last_update",
        }
    }

    fn print<S: StateCode>(self, state: &ShadowState<S>, out: &mut Vec<u8>) {
        match self {
            Self::HasBeenChecked => print_bool(out, state.has_been_checked),
            Self::State => print_count(out, state.state.code()),
            Self::StateType => print_bool(out, state.state_type == StateType::Hard),
            Self::CurrentAttempt => print_count(out, state.current_attempt),
            Self::LastCheck => print_count(out, state.last_check),
            Self::LastStateChange => print_count(out, state.last_state_change),
            Self::LastHardStateChange => print_count(out, state.last_hard_state_change),
            Self::ExecutionTime => print_number(out, state.execution_time),
            Self::Latency => print_number(out, state.latency),
            Self::IsFlapping => print_bool(out, state.is_flapping),
            Self::PercentStateChange => print_number(out, state.percent_state_change),
            Self::Acknowledged => print_bool(out, state.acknowledgement.is_some()),
            Self::AcknowledgementType => {
                print_count(out, AcknowledgementType::code(state.acknowledgement));
            }
            Self::ScheduledDowntimeDepth => print_count(out, state.scheduled_downtime_depth),
            Self::Staleness => print_number(out, state.staleness),
            Self::PluginOutput => escape(out, &state.plugin_output),
            Self::LongPluginOutput => escape(out, &state.long_plugin_output),
            Self::PerfData => escape(out, &state.perf_data),
            Self::LastState => print_state(out, state.past.last_state),
            Self::LastHardState => print_state(out, state.past.last_hard_state),
            Self::LastTime(code) => print_known(out, state.past.last_time[code]),
            Self::LastUpdate => print_known(out, state.past.last_update),
        }
    }

    /// `None` if the text is not a value of this field.
    fn parse<S: StateCode>(self, text: &[u8], state: &mut ShadowState<S>) -> Option<()> {
        match self {
            Self::HasBeenChecked => state.has_been_checked = parse_bool(text)?,
            Self::State => state.state = parse_code(text)?,
            Self::StateType => {
                state.state_type = if parse_bool(text)? {
                    StateType::Hard
                } else {
                    StateType::Soft
                };
            }
            Self::CurrentAttempt => state.current_attempt = parse_u32(text)?,
            Self::LastCheck => state.last_check = parse_time(text)?,
            Self::LastStateChange => state.last_state_change = parse_time(text)?,
            Self::LastHardStateChange => state.last_hard_state_change = parse_time(text)?,
            Self::ExecutionTime => state.execution_time = parse_number(text)?,
            Self::Latency => state.latency = parse_number(text)?,
            Self::IsFlapping => state.is_flapping = parse_bool(text)?,
            Self::PercentStateChange => state.percent_state_change = parse_number(text)?,
            Self::Acknowledged => {
                state.acknowledgement = parse_bool(text)?.then_some(AcknowledgementType::Normal);
            }
            // Only says more about what the field before it said.
            Self::AcknowledgementType => match text {
                b"" | b"0" | b"1" => {}
                b"2" => {
                    state.acknowledgement =
                        state.acknowledgement.map(|_| AcknowledgementType::Sticky);
                }
                _ => return None,
            },
            Self::ScheduledDowntimeDepth => state.scheduled_downtime_depth = parse_u32(text)?,
            Self::Staleness => state.staleness = parse_number(text)?,
            Self::PluginOutput => state.plugin_output = unescape(text),
            Self::LongPluginOutput => state.long_plugin_output = unescape(text),
            Self::PerfData => state.perf_data = unescape(text),
            Self::LastState => state.past.last_state = parse_known_code(text)?,
            Self::LastHardState => state.past.last_hard_state = parse_known_code(text)?,
            Self::LastTime(code) => state.past.last_time[code] = parse_time(text)?,
            Self::LastUpdate => state.past.last_update = parse_time(text)?,
        }
        Some(())
    }
}

pub(super) fn print_bool(out: &mut Vec<u8>, yes: bool) {
    out.push(if yes { b'1' } else { b'0' });
}

pub(super) fn print_count(out: &mut Vec<u8>, count: impl fmt::Display) {
    put(out, format_args!("{count}"));
}

fn print_state(out: &mut Vec<u8>, state: Option<impl StateCode>) {
    if let Some(state) = state {
        print_count(out, state.code());
    }
}

/// A time that few sources know: nothing, where others are 0.
fn print_known(out: &mut Vec<u8>, time: UnixTime) {
    if !time.is_never() {
        print_count(out, time);
    }
}

fn print_number(out: &mut Vec<u8>, number: Option<f64>) {
    if let Some(number) = number.filter(|number| number.is_finite()) {
        push_float(out, number);
    }
}

/// Numbers that the source does not know are empty: a flag is then off.
pub(super) fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"" | b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

fn parse_code<S: StateCode>(text: &[u8]) -> Option<S> {
    S::from_code(i64::try_from(parse_count(text)?).ok()?)
}

fn parse_known_code<S: StateCode>(text: &[u8]) -> Option<Option<S>> {
    if text.is_empty() {
        return Some(None);
    }
    parse_code(text).map(Some)
}

fn parse_u32(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return Some(0);
    }
    u32::try_from(parse_count(text)?).ok()
}

pub(super) fn parse_time(text: &[u8]) -> Option<UnixTime> {
    if text.is_empty() {
        return Some(UnixTime::NEVER);
    }
    UnixTime::parse(text)
}

fn parse_number(text: &[u8]) -> Option<Option<f64>> {
    if text.is_empty() {
        return Some(None);
    }
    parse_float(text).map(Some)
}

pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.find_byteset(b"\\\n;\r\0") {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b';' => out.extend_from_slice(b"\\s"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {}
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

pub(super) fn unescape(text: &[u8]) -> BString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\\', 0, rest) {
        out.extend_from_slice(&rest[..at]);
        let (plain, taken) = match (rest[at], rest.get(at + 1)) {
            // No core keeps text behind a NUL, so none is let in.
            (0, _) => (None, 1),
            (_, Some(b'\\')) => (Some(b'\\'), 2),
            (_, Some(b'n')) => (Some(b'\n'), 2),
            (_, Some(b's')) => (Some(b';'), 2),
            (_, Some(b'r')) => (Some(b'\r'), 2),
            _ => (Some(b'\\'), 1),
        };
        out.extend(plain);
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest);
    out.into()
}
