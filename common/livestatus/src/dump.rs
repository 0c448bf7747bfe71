//! State dumps: complete states of a site as a stream of commands in a frame.
//! sitewire-dump(5) describes the format.

use std::fmt;
use std::io::Write as _;

use bstr::{BString, ByteSlice};
use objects::{
    AcknowledgementType, DumpBegin, DumpContent, DumpEnd, DumpMode, HostState, ServiceState,
    ShadowState, SiteId, StateCode, StateType, UnixTime, dump::FORMAT,
};

use crate::command::Parts;
use crate::error::{Error, excerpt};
use crate::lines::{Line, Lines};
use crate::number::{parse_count, parse_float, push_float};

/// Longest line of a dump in bytes, without line feed.
pub const MAX_LINE: usize = 1 << 20;
/// Longest hash of a configuration that is taken, in digits.
const MAX_HASH: usize = 128;

const BEGIN: &str = "SITEWIRE_BEGIN";
const END: &str = "SITEWIRE_END";
const HOST: &str = "UPDATE_SHADOW_HOST_STATE";
const SERVICE: &str = "UPDATE_SHADOW_SERVICE_STATE";

/// Writes a dump, piece by piece, to the end of a buffer that the caller empties.
#[derive(Debug)]
pub struct DumpWriter {
    sequence: u64,
    /// Whole seconds, for the brackets of every line.
    time: i64,
    records: u64,
    crc: u32,
}

impl DumpWriter {
    /// Begins a dump.
    pub fn begin(begin: &DumpBegin, out: &mut Vec<u8>) -> Self {
        let time = begin.time.secs();
        let (mode, base) = match begin.mode {
            DumpMode::Full => ("full", String::new()),
            DumpMode::Delta { base } => ("delta", base.to_string()),
        };
        put(
            out,
            format_args!(
                "COMMAND [{time}] {BEGIN};{FORMAT};{};{};{};{};{};{mode};{base};{}\n\n",
                begin.site,
                begin.content.word(),
                begin.sequence,
                begin.config_hash.as_deref().unwrap_or_default(),
                begin.epoch,
                begin.time,
            ),
        );
        Self {
            sequence: begin.sequence,
            time,
            records: 0,
            crc: 0,
        }
    }

    /// Adds a host's state. A record that does not fit in a line is an error
    /// and leaves the dump as it was.
    pub fn host(
        &mut self,
        host_name: &[u8],
        state: &ShadowState<HostState>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.record(HOST, &[host_name], state, out)
    }

    /// Adds a service's state.
    pub fn service(
        &mut self,
        host_name: &[u8],
        service_description: &[u8],
        state: &ShadowState<ServiceState>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.record(SERVICE, &[host_name, service_description], state, out)
    }

    fn record<S: StateCode>(
        &mut self,
        name: &str,
        object: &[&[u8]],
        state: &ShadowState<S>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let start = out.len();
        put(out, format_args!("COMMAND [{}] {name}", self.time));
        for part in object {
            out.push(b';');
            escape(out, part);
        }
        for field in FIELDS {
            out.push(b';');
            field.print(state, out);
        }
        if out.len() - start > MAX_LINE {
            out.truncate(start);
            return Err(Error::BadRecord {
                object: excerpt(&object.join(&b";"[..]), 200),
                what: format!("its state does not fit in a line of {MAX_LINE} bytes"),
            });
        }
        out.extend_from_slice(b"\n\n");
        self.crc = crc32c::crc32c_append(self.crc, &out[start..]);
        self.records += 1;
        Ok(())
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the dump.
    pub fn end(self, out: &mut Vec<u8>) -> DumpEnd {
        let Self {
            sequence,
            time,
            records,
            crc: crc32c,
        } = self;
        put(
            out,
            format_args!("COMMAND [{time}] {END};{sequence};{records};{crc32c:08x}\n\n"),
        );
        DumpEnd {
            sequence,
            records,
            crc32c,
        }
    }
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}

/// What comes out of a stream that carries dumps.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A dump begins.
    Begin(Box<DumpBegin>),
    /// A record, whole. Outside a frame if no dump has begun.
    Record(Box<Record>),
    /// A line that cannot be taken; nothing of it was.
    Refused(Error),
    /// The dump that had begun is over, complete or not.
    End(Result<DumpEnd, Incomplete>),
}

/// The state of one object.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// Of a host.
    Host {
        /// Its name.
        host_name: BString,
        /// Its state.
        state: ShadowState<HostState>,
    },
    /// Of a service.
    Service {
        /// Its host.
        host_name: BString,
        /// Its description.
        service_description: BString,
        /// Its state.
        state: ShadowState<ServiceState>,
    },
}

/// Why a dump is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomplete {
    /// The stream ended, or another dump began, before the end mark.
    NoEnd,
    /// The end mark belongs to another dump.
    OtherSequence,
    /// Another number of records came than the end mark says.
    Records {
        /// What the end mark says.
        announced: u64,
        /// What came.
        came: u64,
    },
    /// The checksum differs: something was changed on the way.
    Checksum,
    /// The end mark cannot be read.
    BadEnd,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnd => f.write_str("end mark missing"),
            Self::OtherSequence => f.write_str("end mark of another dump"),
            Self::Records { announced, came } => {
                write!(f, "{announced} records announced, {came} came")
            }
            Self::Checksum => f.write_str("checksum differs"),
            Self::BadEnd => f.write_str("end mark unreadable"),
        }
    }
}

/// Reads dumps from a stream of bytes, however it is split, in bounded memory.
///
/// After each [`push`](Self::push) call [`poll_item`](Self::poll_item) until it
/// gives `None`.
///
/// | state | line | item | then |
/// |---|---|---|---|
/// | outside | `SITEWIRE_BEGIN` | `Begin` | inside |
/// | outside | `SITEWIRE_END` | `Refused` | outside |
/// | inside | `SITEWIRE_END` | `End` | outside |
/// | inside | `SITEWIRE_BEGIN` | `End(NoEnd)`, `Begin` | inside |
/// | inside | end of the stream | `End(NoEnd)` | outside |
/// | both | a shadow state | `Record` or `Refused` | the same |
/// | both | anything else | `Refused` | the same |
#[derive(Debug)]
pub struct DumpReader {
    lines: Lines,
    frame: Option<Frame>,
}

/// The dump that has begun.
#[derive(Debug)]
struct Frame {
    sequence: u64,
    records: u64,
    crc: u32,
    /// The blank line that ends the beginning is still to come.
    blank_due: bool,
}

impl Default for DumpReader {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpReader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            lines: Lines::new(MAX_LINE),
            frame: None,
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The stream has ended. A last line without line feed is dropped: it may
    /// be the beginning of a longer one. Only an end mark, whose length is
    /// known, is taken without.
    pub fn finish(&mut self) {
        self.lines.finish();
    }

    /// Whether a dump has begun and not ended.
    pub fn is_inside_dump(&self) -> bool {
        self.frame.is_some()
    }

    /// Records that came in the dump that has begun, those refused included.
    pub fn records(&self) -> u64 {
        self.frame.as_ref().map_or(0, |frame| frame.records)
    }

    /// The next item, or `None` if more bytes are needed.
    pub fn poll_item(&mut self) -> Option<Item> {
        loop {
            let Some(line) = self.lines.next_line() else {
                let over = self.lines.is_finished() && self.frame.take().is_some();
                return over.then_some(Item::End(Err(Incomplete::NoEnd)));
            };
            match line {
                Line::Whole(text) => match parse_line(text) {
                    Ok(Command::Begin(_)) if self.frame.is_some() => {
                        self.lines.unread();
                        self.frame = None;
                        return Some(Item::End(Err(Incomplete::NoEnd)));
                    }
                    parsed => {
                        if let Some(item) = take_line(&mut self.frame, text, parsed) {
                            return Some(item);
                        }
                    }
                },
                Line::Last(text) => match parse_line(text) {
                    Ok(end @ Command::End(Some(_))) if self.frame.is_some() => {
                        return take_line(&mut self.frame, text, Ok(end));
                    }
                    _ if self.frame.is_some() => {}
                    _ => return Some(Item::Refused(bad_line(text, "line is cut off"))),
                },
                Line::TooLong { piece, ends } => {
                    if let Some(frame) = &mut self.frame {
                        frame.crc = crc32c::crc32c_append(frame.crc, piece);
                        frame.blank_due = false;
                        frame.records += u64::from(ends);
                    }
                    if ends {
                        return Some(Item::Refused(Error::TooLong {
                            what: "line of the dump",
                            limit: MAX_LINE,
                        }));
                    }
                }
            }
        }
    }
}

/// What a line says.
enum Command {
    Blank,
    Begin(Box<DumpBegin>),
    /// `None` if it cannot be read.
    End(Option<DumpEnd>),
    Record(Result<Box<Record>, Error>),
}

/// Deals with a line that does not begin a dump inside another one.
fn take_line(
    frame: &mut Option<Frame>,
    text: &[u8],
    parsed: Result<Command, Error>,
) -> Option<Item> {
    if let (Some(begun), Ok(Command::End(end))) = (&*frame, &parsed) {
        let verdict = begun.verdict(*end);
        *frame = None;
        return Some(Item::End(verdict));
    }
    if let Some(frame) = frame {
        let is_record = matches!(parsed, Ok(Command::Record(_)));
        frame.count(text, is_record);
    }
    match parsed {
        Ok(Command::Blank) => None,
        Ok(Command::Begin(begin)) => {
            *frame = Some(Frame {
                sequence: begin.sequence,
                records: 0,
                crc: 0,
                blank_due: true,
            });
            Some(Item::Begin(begin))
        }
        Ok(Command::End(_)) => Some(Item::Refused(bad_line(
            text,
            "end mark without a beginning",
        ))),
        Ok(Command::Record(record)) => Some(record.map_or_else(Item::Refused, Item::Record)),
        Err(error) => Some(Item::Refused(error)),
    }
}

impl Frame {
    fn count(&mut self, text: &[u8], is_record: bool) {
        self.records += u64::from(is_record);
        if std::mem::take(&mut self.blank_due) && text.is_empty() {
            return;
        }
        self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, text), b"\n");
    }

    fn verdict(&self, end: Option<DumpEnd>) -> Result<DumpEnd, Incomplete> {
        let end = end.ok_or(Incomplete::BadEnd)?;
        if end.sequence != self.sequence {
            return Err(Incomplete::OtherSequence);
        }
        if end.records != self.records {
            return Err(Incomplete::Records {
                announced: end.records,
                came: self.records,
            });
        }
        if end.crc32c != self.crc {
            return Err(Incomplete::Checksum);
        }
        Ok(end)
    }
}

fn parse_line(text: &[u8]) -> Result<Command, Error> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Ok(Command::Blank);
    }
    let Some(command) = text.strip_prefix(b"COMMAND ") else {
        return Err(bad_line(text, "not a line of a dump"));
    };
    let parts = Parts::parse(command)?;
    let name = parts.name;
    if name == HOST.as_bytes() {
        Ok(Command::Record(parse_host(parts.arguments).map(Box::new)))
    } else if name == SERVICE.as_bytes() {
        Ok(Command::Record(
            parse_service(parts.arguments).map(Box::new),
        ))
    } else if name == BEGIN.as_bytes() {
        match parse_begin(parts.arguments) {
            Ok(begin) => Ok(Command::Begin(Box::new(begin))),
            Err(what) => Err(bad_line(text, &what)),
        }
    } else if name == END.as_bytes() {
        Ok(Command::End(parse_end(parts.arguments)))
    } else {
        Err(Error::BadCommand(format!(
            "command {} is not part of a dump",
            excerpt(name, 80)
        )))
    }
}

fn bad_line(text: &[u8], what: &str) -> Error {
    Error::BadRecord {
        object: String::new(),
        what: format!("{what}: '{}'", excerpt(text, 80)),
    }
}

/// The error names the field.
fn parse_begin(arguments: &[u8]) -> Result<DumpBegin, String> {
    let mut fields = arguments.split_str(";");
    let mut next = |what: &str| {
        let text = fields.next().ok_or_else(|| format!("{what} is missing"))?;
        let text = text.to_str().map_err(|_| format!("{what} is not text"))?;
        Ok::<&str, String>(text)
    };
    fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("{what} is not a number"))
    }
    let format: u32 = number("format", next("format")?)?;
    if format != FORMAT {
        return Err(format!(
            "format {format} of the dump is not known, {FORMAT} is"
        ));
    }
    let site = SiteId::new(next("site")?).map_err(|error| error.to_string())?;
    let content = DumpContent::from_word(next("content")?.as_bytes());
    if content != Some(DumpContent::State) {
        return Err("the dump does not carry states".to_owned());
    }
    let sequence = number("sequence", next("sequence")?)?;
    let hash = next("configuration hash")?;
    if hash.len() > MAX_HASH || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("configuration hash is not hexadecimal".to_owned());
    }
    let epoch = number("epoch", next("epoch")?)?;
    let mode = next("mode")?;
    let base = next("base")?;
    let mode = match mode {
        "full" => DumpMode::Full,
        "delta" => DumpMode::Delta {
            base: number("base", base)?,
        },
        _ => return Err("mode is neither full nor delta".to_owned()),
    };
    let time = UnixTime::parse(next("time")?.as_bytes()).ok_or("time is not a time")?;
    Ok(DumpBegin {
        site,
        content: DumpContent::State,
        epoch,
        sequence,
        mode,
        time,
        config_hash: (!hash.is_empty()).then(|| hash.to_owned()),
    })
}

fn parse_end(arguments: &[u8]) -> Option<DumpEnd> {
    let mut fields = arguments.split_str(";");
    let sequence = parse_count(fields.next()?)?;
    let records = parse_count(fields.next()?)?;
    let crc = fields.next()?;
    // All eight digits: an end mark that was cut off must not pass.
    if crc.len() != 8 {
        return None;
    }
    let crc32c = u32::from_str_radix(crc.to_str().ok()?, 16).ok()?;
    Some(DumpEnd {
        sequence,
        records,
        crc32c,
    })
}

fn parse_host(arguments: &[u8]) -> Result<Record, Error> {
    let (host_name, fields) = split_name(arguments, "host name")?;
    let state = parse_state(fields, || excerpt(&host_name, 200))?;
    Ok(Record::Host { host_name, state })
}

fn parse_service(arguments: &[u8]) -> Result<Record, Error> {
    let (host_name, rest) = split_name(arguments, "host name")?;
    let (service_description, fields) = split_name(rest, "service description")?;
    let state = parse_state(fields, || {
        excerpt(&[&host_name[..], b";", &service_description].concat(), 200)
    })?;
    Ok(Record::Service {
        host_name,
        service_description,
        state,
    })
}

fn split_name<'a>(text: &'a [u8], what: &str) -> Result<(BString, &'a [u8]), Error> {
    if let Some((name, rest)) = text.split_once_str(";") {
        let name = unescape(name);
        if !name.is_empty() {
            return Ok((name, rest));
        }
    }
    Err(Error::BadRecord {
        object: String::new(),
        what: format!("{what} is missing"),
    })
}

fn parse_state<S: StateCode + Default>(
    text: &[u8],
    object: impl Fn() -> String,
) -> Result<ShadowState<S>, Error> {
    let mut state = ShadowState::default();
    let mut texts = text.split_str(";");
    // Fields of later releases follow and are left alone.
    for (place, field) in FIELDS.into_iter().enumerate() {
        let bad = |what: &str| Error::BadRecord {
            object: object(),
            what: format!("{} {what}", field.name()),
        };
        let text = match texts.next() {
            Some(text) => text,
            None if place >= REQUIRED => break,
            None => return Err(bad("is missing")),
        };
        field
            .parse(text, &mut state)
            .ok_or_else(|| bad(&format!("is '{}'", excerpt(text, 40))))?;
    }
    Ok(state)
}

/// A field of a record.
#[derive(Debug, Clone, Copy)]
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
            Self::LastTime(_) => "last_time",
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

fn print_bool(out: &mut Vec<u8>, yes: bool) {
    out.push(if yes { b'1' } else { b'0' });
}

fn print_count(out: &mut Vec<u8>, count: impl fmt::Display) {
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
fn parse_bool(text: &[u8]) -> Option<bool> {
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

fn parse_time(text: &[u8]) -> Option<UnixTime> {
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

fn escape(out: &mut Vec<u8>, text: &[u8]) {
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

fn unescape(text: &[u8]) -> BString {
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

#[cfg(test)]
mod tests {
    use objects::Past;

    use super::*;

    fn begin(sequence: u64) -> DumpBegin {
        DumpBegin {
            site: SiteId::new("remote1").unwrap(),
            content: DumpContent::State,
            epoch: 7,
            sequence,
            mode: DumpMode::Full,
            time: UnixTime::from_micros(1_795_217_983_500_000),
            config_hash: None,
        }
    }

    fn state() -> ShadowState<ServiceState> {
        ShadowState {
            has_been_checked: true,
            state: ServiceState::Crit,
            state_type: StateType::Soft,
            current_attempt: 2,
            last_check: UnixTime::from_micros(1_795_217_900_123_456),
            last_state_change: UnixTime::from_secs(1_795_217_000),
            last_hard_state_change: UnixTime::NEVER,
            execution_time: Some(0.25),
            latency: None,
            is_flapping: true,
            percent_state_change: Some(12.5),
            acknowledgement: Some(AcknowledgementType::Sticky),
            scheduled_downtime_depth: 1,
            staleness: Some(0.1 + 0.2),
            plugin_output: b"a;b \\ c \xfc\r".into(),
            long_plugin_output: "one\ntwo \\n".into(),
            perf_data: "x=1;2;3".into(),
            past: Past {
                last_state: Some(ServiceState::Warn),
                last_hard_state: Some(ServiceState::Ok),
                last_time: [1_795_217_600, 1_795_217_700, 1_795_217_900, 0]
                    .map(UnixTime::from_secs),
                last_update: UnixTime::from_micros(1_795_217_900_250_000),
            },
        }
    }

    /// A dump of one host and two services.
    fn dump() -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = DumpWriter::begin(&begin(11), &mut out);
        let pending = ShadowState::default();
        writer.host(b"db1", &pending, &mut out).unwrap();
        writer
            .service(b"db1", b"Disk /;x", &state(), &mut out)
            .unwrap();
        writer
            .service(b"db1", b"K\xfchl", &state(), &mut out)
            .unwrap();
        assert_eq!(writer.records(), 3);
        writer.end(&mut out);
        out
    }

    fn read_chunks<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Item> {
        let mut reader = DumpReader::new();
        let mut items = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            items.extend(std::iter::from_fn(|| reader.poll_item()));
        }
        reader.finish();
        items.extend(std::iter::from_fn(|| reader.poll_item()));
        assert!(!reader.is_inside_dump());
        items
    }

    fn read(bytes: &[u8]) -> Vec<Item> {
        let whole = read_chunks(std::iter::once(bytes));
        assert_eq!(read_chunks(bytes.chunks(1)), whole);
        whole
    }

    fn show(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .map(|item| match item {
                Item::Begin(begin) => format!("begin {}", begin.sequence),
                Item::Record(_) => "record".to_owned(),
                Item::Refused(error) => format!("refused {error}"),
                Item::End(Ok(end)) => format!("end {}", end.records),
                Item::End(Err(why)) => why.to_string(),
            })
            .collect()
    }

    #[test]
    fn a_dump_reads_back_as_it_was_written() {
        let items = read(&dump());
        assert_eq!(
            show(&items),
            ["begin 11", "record", "record", "record", "end 3"]
        );
        assert_eq!(items[0], Item::Begin(Box::new(begin(11))));
        let host = Record::Host {
            host_name: "db1".into(),
            state: ShadowState::default(),
        };
        assert_eq!(items[1], Item::Record(Box::new(host)));
        let service = Record::Service {
            host_name: "db1".into(),
            service_description: "Disk /;x".into(),
            state: state(),
        };
        assert_eq!(items[2], Item::Record(Box::new(service)));
    }

    #[test]
    fn the_format_is_as_documented() {
        let text = dump();
        let lines: Vec<&[u8]> = text.split_str("\n").collect();
        assert_eq!(
            lines[0].as_bstr(),
            "COMMAND [1795217983] SITEWIRE_BEGIN;1;remote1;state;11;;7;full;;1795217983.5"
        );
        assert_eq!(
            lines[2].as_bstr(),
            "COMMAND [1795217983] UPDATE_SHADOW_HOST_STATE;db1;0;0;1;0;0;0;0;;;0;;0;0;0;;;;;;;;;;;"
        );
        assert_eq!(
            lines[4].as_bstr(),
            &b"COMMAND [1795217983] UPDATE_SHADOW_SERVICE_STATE;db1;Disk /\\sx;1;2;0;2;\
               1795217900.123456;1795217000;0;0.25;;1;12.5;1;2;1;0.30000000000000004;\
               a\\sb \\\\ c \xfc\\r;one\\ntwo \\\\n;x=1\\s2\\s3;\
               1;0;1795217600;1795217700;1795217900;;1795217900.25"[..]
        );
        let records =
            &text[lines[0].len() + 2..text.find("COMMAND [1795217983] SITEWIRE_END").unwrap()];
        let end = format!(
            "COMMAND [1795217983] SITEWIRE_END;11;3;{:08x}",
            crc32c::crc32c(records)
        );
        assert_eq!(lines[8].as_bstr(), end.as_str());
        assert!(text.ends_with(b"\n\n"));
    }

    #[test]
    fn what_was_before_need_not_be_told() {
        const FIELDS: &str = "1;2;1;1;0;0;0;;;0;;0;0;0;;out;;";
        for (fields, want) in [
            (String::new(), Some(Past::default())),
            (
                ";1".to_owned(),
                Some(Past {
                    last_state: Some(ServiceState::Warn),
                    ..Past::default()
                }),
            ),
            (
                ";;0;5;;;;6.5;later".to_owned(),
                Some(Past {
                    last_hard_state: Some(ServiceState::Ok),
                    last_time: [5, 0, 0, 0].map(UnixTime::from_secs),
                    last_update: UnixTime::from_micros(6_500_000),
                    ..Past::default()
                }),
            ),
            (";4".to_owned(), None),
            (";;;x".to_owned(), None),
        ] {
            let line = format!("COMMAND [1] UPDATE_SHADOW_SERVICE_STATE;h;s;{FIELDS}{fields}\n");
            let got = match &read(line.as_bytes())[..] {
                [Item::Record(record)] => match &**record {
                    Record::Service { state, .. } => Some(state.past),
                    Record::Host { .. } => panic!("a host"),
                },
                [Item::Refused(_)] => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{fields}");
        }
    }

    #[test]
    fn delta_and_hash_are_kept() {
        let mut want = begin(12);
        want.mode = DumpMode::Delta { base: 11 };
        want.config_hash = Some("ab".repeat(32));
        let mut out = Vec::new();
        DumpWriter::begin(&want, &mut out).end(&mut out);
        let items = read(&out);
        assert_eq!(items[0], Item::Begin(Box::new(want)));
        assert_eq!(show(&items[1..]), ["end 0"]);
    }

    #[test]
    fn a_dump_cut_anywhere_gives_whole_records_and_is_incomplete() {
        let text = dump();
        let whole = show(&read(&text));
        // Without the trailing blank line, or the last line feed, nothing is missing.
        for cut in 0..text.len() - 2 {
            let got = show(&read(&text[..cut]));
            let lines = text[..cut].find_iter("\n\n").count();
            let blank_cut = text[..cut].ends_with(b"\n") && !text[..cut].ends_with(b"\n\n");
            let lines = lines + usize::from(blank_cut);
            let mut want = whole[..lines].to_vec();
            match lines {
                0 if cut > 0 => {
                    assert!(
                        got[0].starts_with("refused line is cut off"),
                        "{cut}: {got:?}"
                    );
                    continue;
                }
                0 => {}
                _ => want.push("end mark missing".to_owned()),
            }
            assert_eq!(got, want, "cut at {cut}");
        }
        for cut in text.len() - 2..text.len() {
            assert_eq!(show(&read(&text[..cut])), whole, "cut at {cut}");
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = dump();
        for at in 0..text.len() - 2 {
            let mut changed = text.clone();
            changed[at] ^= 1;
            let items = read_chunks(std::iter::once(&changed[..]));
            // The time in the brackets of the first and last line, and the
            // beginning's own fields, are not under the checksum.
            let same = items.iter().zip(read(&text)).all(|(a, b)| *a == b);
            let complete = matches!(items.last(), Some(Item::End(Ok(_))));
            assert!(
                same || !complete || items[0] != Item::Begin(Box::new(begin(11))),
                "{at}"
            );
        }
    }

    #[test]
    fn frames_that_do_not_fit_are_incomplete() {
        let text = dump();
        let text = text.as_bstr();
        let replaced = |from: &str, to: &str| text.replacen(from, to, 1);
        let end = text.find("COMMAND [1795217983] SITEWIRE_END").unwrap();
        let twice = [text[..end].as_bytes(), text.as_bytes()].concat();
        for (name, bytes, want) in [
            (
                "other sequence",
                replaced("END;11", "END;12"),
                "end mark of another dump",
            ),
            (
                "other number",
                replaced("END;11;3", "END;11;4"),
                "4 records announced, 3 came",
            ),
            ("changed", replaced("Disk", "Disc"), "checksum differs"),
            (
                "line feeds became CRLF",
                text.replace("\n", "\r\n"),
                "checksum differs",
            ),
            (
                "short checksum",
                text[..text.len() - 3].to_vec(),
                "end mark missing",
            ),
            (
                "no checksum",
                replaced("END;11;3;", "END;11;3;x"),
                "end mark unreadable",
            ),
        ] {
            assert_eq!(show(&read(&bytes)).last().unwrap(), want, "{name}");
        }
        assert_eq!(
            show(&read(&twice)),
            [
                "begin 11",
                "record",
                "record",
                "record",
                "end mark missing",
                "begin 11",
                "record",
                "record",
                "record",
                "end 3"
            ]
        );
    }

    #[test]
    fn lines_that_are_no_records_are_refused_one_by_one() {
        const FIELDS: &str = "1;0;1;1;0;0;0;;;0;;0;0;0;;out;;";
        let long = "x".repeat(MAX_LINE + 1);
        for (line, want) in [
            ("GET hosts".to_owned(), "not a line of a dump: 'GET hosts'"),
            (
                "COMMAND x".to_owned(),
                "command does not begin with a time in brackets: 'x'",
            ),
            (
                "COMMAND [1] PROCESS_HOST_CHECK_RESULT;h;0;x".to_owned(),
                "command PROCESS_HOST_CHECK_RESULT is not part of a dump",
            ),
            (
                "COMMAND [1] UPDATE_SHADOW_HOST_STATE".to_owned(),
                "host name is missing",
            ),
            (
                format!("COMMAND [1] UPDATE_SHADOW_HOST_STATE;;{FIELDS}"),
                "host name is missing",
            ),
            (
                "COMMAND [1] UPDATE_SHADOW_HOST_STATE;h;1;0".to_owned(),
                "h: state_type is missing",
            ),
            (
                "COMMAND [1] UPDATE_SHADOW_HOST_STATE;h;1;3;".to_owned(),
                "h: state is '3'",
            ),
            (
                "COMMAND [1] UPDATE_SHADOW_HOST_STATE;h;2;".to_owned(),
                "h: has_been_checked is '2'",
            ),
            (
                format!(
                    "COMMAND [1] UPDATE_SHADOW_SERVICE_STATE;h;s;{}",
                    FIELDS.replacen("0;0;0;;;", "0;0;0;nan;;", 1)
                ),
                "h;s: execution_time is 'nan'",
            ),
            (
                "COMMAND [1] SITEWIRE_END;1;2;00000000".to_owned(),
                "end mark without a beginning: 'COMMAND [1] SITEWIRE_END;1;2;00000000'",
            ),
            (
                "COMMAND [1] SITEWIRE_BEGIN;2;s;state;1;;1;full;;1".to_owned(),
                "format 2 of the dump is not known, 1 is: 'COMMAND [1] SITEWIRE_BEGIN;2;s;state;1;;1;full;;1'",
            ),
            (
                "COMMAND [1] SITEWIRE_BEGIN;1;s;config;1;;1;full;;1".to_owned(),
                "the dump does not carry states: 'COMMAND [1] SITEWIRE_BEGIN;1;s;config;1;;1;full;;1'",
            ),
            (long, "line of the dump longer than 1048576 bytes"),
        ] {
            let good =
                format!("COMMAND [1] UPDATE_SHADOW_HOST_STATE;h;{FIELDS};;;;;;;;a later field");
            let text = format!("{line}\n\n{good}\n");
            let got = show(&read_chunks(text.as_bytes().chunks(1000)));
            assert_eq!(
                got,
                [format!("refused {want}"), "record".to_owned()],
                "{want}"
            );
        }
    }

    #[test]
    fn a_record_that_is_too_long_leaves_the_dump_as_it_was() {
        let mut out = Vec::new();
        let mut writer = DumpWriter::begin(&begin(1), &mut out);
        let mut big = state();
        big.long_plugin_output = vec![b'x'; MAX_LINE].into();
        let before = out.clone();
        assert!(writer.service(b"h", b"s", &big, &mut out).is_err());
        assert_eq!(out, before);
        writer.end(&mut out);
        assert_eq!(show(&read(&out)), ["begin 1", "end 0"]);
    }
}
