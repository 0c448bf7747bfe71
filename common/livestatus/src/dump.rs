//! State dumps: complete states of a site as a stream of commands in a frame.
//! sitewire-dump(5) describes the format.

mod field;
mod remark;

use std::fmt;
use std::io::Write as _;

use bstr::{BString, ByteSlice};
use objects::{
    Comment, Downtime, DumpBegin, DumpContent, DumpEnd, DumpMode, HostState, ObjectName,
    ServiceState, ShadowState, SiteId, StateCode, UnixTime, dump::FORMAT,
};

use crate::command::Parts;
use crate::error::{Error, excerpt};
use crate::lines::{Line, Lines};
use crate::number::parse_count;

pub use field::{Layout, print_content};
pub use remark::{CheckedHost, names_sum};

use field::{escape, unescape};

/// Longest line of a dump in bytes, without line feed.
pub const MAX_LINE: usize = 1 << 20;
/// Longest hash of a configuration that is taken, in digits.
const MAX_HASH: usize = 128;

const BEGIN: &str = "SITEWIRE_BEGIN";
const END: &str = "SITEWIRE_END";
/// What a signature is called; it is checked before anything is read here.
const SIGNATURE: &str = "SITEWIRE_SIGNATURE";
/// What the commands of this suite begin with. A reader passes over those that
/// it does not know.
const OURS: &str = "SITEWIRE_";

/// Writes a dump, piece by piece, to the end of a buffer that the caller empties.
#[derive(Debug)]
pub struct DumpWriter {
    sequence: u64,
    /// Whole seconds, for the brackets of every line.
    time: i64,
    records: u64,
    crc: u32,
    layout: Layout,
    /// The line of check times that has begun.
    checked: Vec<u8>,
}

impl DumpWriter {
    /// Begins a dump.
    pub fn begin(begin: &DumpBegin, out: &mut Vec<u8>) -> Self {
        Self::begin_as(begin, Layout::default(), out)
    }

    /// Begins a dump for somebody who expects another layout.
    pub fn begin_as(begin: &DumpBegin, layout: Layout, out: &mut Vec<u8>) -> Self {
        let time = begin.time.secs();
        let (mode, base) = match begin.mode {
            DumpMode::Full => ("full", String::new()),
            DumpMode::Delta { base } => ("delta", base.to_string()),
        };
        if layout.frame {
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
        }
        Self {
            sequence: begin.sequence,
            time,
            records: 0,
            crc: 0,
            layout,
            checked: Vec::new(),
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
        self.state(false, &[host_name], state, out)
    }

    /// Adds a service's state.
    pub fn service(
        &mut self,
        host_name: &[u8],
        service_description: &[u8],
        state: &ShadowState<ServiceState>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.state(true, &[host_name, service_description], state, out)
    }

    fn state<S: StateCode>(
        &mut self,
        of_service: bool,
        object: &[&[u8]],
        state: &ShadowState<S>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let start = out.len();
        let name = if of_service {
            &self.layout.service
        } else {
            &self.layout.host
        };
        put(out, format_args!("COMMAND [{}] {name}", self.time));
        for part in object {
            out.push(b';');
            escape(out, part);
        }
        self.layout.print(state, out);
        self.end_record(start, out)
            .map_err(|()| remark::too_long(&object.join(&b";"[..])))
    }

    /// Adds a comment of the object.
    pub fn comment(
        &mut self,
        object: &ObjectName,
        comment: &Comment,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.remark(remark::COMMENT, out, |out| {
            remark::print_comment(object, comment, out);
        })
        .map_err(|()| remark::too_long(&object.host_name))
    }

    /// Adds a downtime of the object.
    pub fn downtime(
        &mut self,
        object: &ObjectName,
        downtime: &Downtime,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.remark(remark::DOWNTIME, out, |out| {
            remark::print_downtime(object, downtime, out);
        })
        .map_err(|()| remark::too_long(&object.host_name))
    }

    /// Says in a delta that there is no comment of that id any more.
    pub fn comment_gone(&mut self, id: u64, out: &mut Vec<u8>) {
        // A number fits in any line.
        let _ = self.remark(remark::COMMENT_GONE, out, |out| {
            put(out, format_args!(";{id}"));
        });
    }

    /// Says in a delta that there is no downtime of that id any more.
    pub fn downtime_gone(&mut self, id: u64, out: &mut Vec<u8>) {
        let _ = self.remark(remark::DOWNTIME_GONE, out, |out| {
            put(out, format_args!(";{id}"));
        });
    }

    /// Says in a delta when a host and its services were checked. Several hosts
    /// share a line: other records must not come between before
    /// [`end_checked`](Self::end_checked).
    pub fn checked(&mut self, host: &CheckedHost, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.checked.len();
        remark::print_checked(host, self.time, &mut self.checked);
        if start > 0 && self.checked.len() > remark::CHECKED_LINE {
            let rest = self.checked.split_off(start);
            self.end_checked(out)?;
            self.checked = rest;
        }
        Ok(())
    }

    /// Ends a line of check times, if one has begun.
    pub fn end_checked(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.checked.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.checked);
        self.remark(remark::CHECKED, out, |out| out.extend_from_slice(&line))
            .map_err(|()| remark::too_long(&line))
    }

    /// Adds any record.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), Error> {
        match record {
            Record::Host { host_name, state } => self.host(host_name, state, out),
            Record::Service {
                host_name,
                service_description,
                state,
            } => self.service(host_name, service_description, state, out),
            Record::Comment(object, comment) => self.comment(object, comment, out),
            Record::Downtime(object, downtime) => self.downtime(object, downtime, out),
            Record::CommentGone(id) => {
                self.comment_gone(*id, out);
                Ok(())
            }
            Record::DowntimeGone(id) => {
                self.downtime_gone(*id, out);
                Ok(())
            }
            Record::Checked(hosts) => {
                for host in hosts {
                    self.checked(host, out)?;
                }
                self.end_checked(out)
            }
        }
    }

    /// Adds a record of our own, where the layout has such.
    fn remark(
        &mut self,
        name: &str,
        out: &mut Vec<u8>,
        print: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ()> {
        if !self.layout.frame {
            return Ok(());
        }
        let start = out.len();
        put(out, format_args!("COMMAND [{}] {name}", self.time));
        print(out);
        self.end_record(start, out)
    }

    /// Ends the record that began at `start`, or takes it back if it is too long.
    fn end_record(&mut self, start: usize, out: &mut Vec<u8>) -> Result<(), ()> {
        if out.len() - start > MAX_LINE {
            out.truncate(start);
            return Err(());
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
            layout,
            checked: _,
        } = self;
        if layout.frame {
            put(
                out,
                format_args!("COMMAND [{time}] {END};{sequence};{records};{crc32c:08x}\n\n"),
            );
        }
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

/// What a line of a dump says.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// The state of a host.
    Host {
        /// Its name.
        host_name: BString,
        /// Its state.
        state: ShadowState<HostState>,
    },
    /// The state of a service.
    Service {
        /// Its host.
        host_name: BString,
        /// Its description.
        service_description: BString,
        /// Its state.
        state: ShadowState<ServiceState>,
    },
    /// A comment; an acknowledgement has one, too. The id is that of its site.
    Comment(ObjectName, Comment),
    /// A downtime.
    Downtime(ObjectName, Downtime),
    /// In a delta: there is no comment of that id any more.
    CommentGone(u64),
    /// In a delta: there is no downtime of that id any more.
    DowntimeGone(u64),
    /// In a delta: when objects were checked that are otherwise as they were.
    Checked(Vec<CheckedHost>),
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
    layout: Layout,
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
        Self::of_layout(Layout::default())
    }

    /// The same, for a dump whose states are laid out otherwise.
    pub fn of_layout(layout: Layout) -> Self {
        Self {
            lines: Lines::new(MAX_LINE),
            layout,
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
                Line::Whole(text) => match parse_line(text, &self.layout) {
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
                Line::Last(text) => match parse_line(text, &self.layout) {
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
    /// One of a later release.
    Unknown,
    Signature,
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
        let is_record = matches!(parsed, Ok(Command::Record(_) | Command::Unknown));
        frame.count(text, is_record);
    }
    match parsed {
        // Outside a dump nobody knows whose that would be.
        Ok(Command::Unknown) if frame.is_none() => {
            Some(Item::Refused(bad_line(text, "not a line of a dump")))
        }
        Ok(Command::Blank | Command::Unknown | Command::Signature) => None,
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

fn parse_line(text: &[u8], layout: &Layout) -> Result<Command, Error> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Ok(Command::Blank);
    }
    let Some(command) = text.strip_prefix(b"COMMAND ") else {
        return Err(bad_line(text, "not a line of a dump"));
    };
    let parts = Parts::parse(command)?;
    let name = parts.name;
    if name == layout.host.as_bytes() {
        let record = parse_host(parts.arguments, layout);
        Ok(Command::Record(record.map(Box::new)))
    } else if name == layout.service.as_bytes() {
        let record = parse_service(parts.arguments, layout);
        Ok(Command::Record(record.map(Box::new)))
    } else if let Some(record) = remark::parse(name, parts.arguments, parts.time) {
        Ok(Command::Record(record.map(Box::new)))
    } else if name == BEGIN.as_bytes() {
        match parse_begin(parts.arguments) {
            Ok(begin) => Ok(Command::Begin(Box::new(begin))),
            Err(what) => Err(bad_line(text, &what)),
        }
    } else if name == END.as_bytes() {
        Ok(Command::End(parse_end(parts.arguments)))
    } else if name == SIGNATURE.as_bytes() {
        Ok(Command::Signature)
    } else if name.starts_with(OURS.as_bytes()) {
        Ok(Command::Unknown)
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

fn parse_host(arguments: &[u8], layout: &Layout) -> Result<Record, Error> {
    let (host_name, fields) = split_name(arguments, "host name")?;
    let state = layout.parse_state(fields, || excerpt(&host_name, 200))?;
    Ok(Record::Host { host_name, state })
}

fn parse_service(arguments: &[u8], layout: &Layout) -> Result<Record, Error> {
    let (host_name, rest) = split_name(arguments, "host name")?;
    let (service_description, fields) = split_name(rest, "service description")?;
    let state = layout.parse_state(fields, || {
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

#[cfg(test)]
mod tests {
    use objects::{AcknowledgementType, Past, StateType};

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
                    other => panic!("{other:?}"),
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
