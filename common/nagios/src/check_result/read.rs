//! Reading of check results: bytes in, records out, one at a time.

use bstr::{BString, ByteSlice};
use memchr::memchr;
use objects::{DumpBegin, DumpContent, DumpEnd, UnixTime};

use super::escape::{read_name, read_output};
use super::{CheckResult, Core, full};
use crate::python::Position;
use crate::{Error, frame};

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line in bytes.
    pub line: usize,
    /// Most lines of a record.
    pub record: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 4 << 20,
            record: 2000,
        }
    }
}

/// How a dump begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// What the first line says.
    pub dump: DumpBegin,
    /// For which core it was written.
    pub core: Core,
}

/// A record that cannot be right. Those around it are not touched by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line it begins in, from 1.
    pub line: usize,
    /// The host, where it has one.
    pub host_name: BString,
    /// The service, where it has one.
    pub service_description: Option<BString>,
    /// What is wrong with it.
    pub why: String,
}

/// What comes out of a [`Reader`].
#[derive(Debug)]
pub enum Event<'r> {
    /// More bytes are needed.
    NeedInput,
    /// The dump begins: the first thing that comes. `None` where there is no
    /// frame, and so no way to know whether the dump is whole.
    Begin(Option<Begin>),
    /// A record.
    Record(&'r CheckResult),
    /// A record that is left out.
    Refused(Refused),
    /// The dump is over: the last thing that comes. The checksum and the number
    /// of records were right, if there is a frame.
    End(Option<DumpEnd>),
}

/// Reads a state dump from a stream, however it is split, holding no more than a
/// record of it. After an error, or the end, it is of no more use.
///
/// A record counts when the empty line behind it has come, so one that was cut
/// is never taken. A CR before a line feed is taken off.
///
/// ```
/// use nagios::check_result::{Event, Limits, Reader};
///
/// let mut reader = Reader::new(None, Limits::default());
/// reader.push(b"host_name=db1\nstart_time=1795217983.0\nreturn_code=0\noutput=OK|a=1\n\n");
/// reader.finish();
/// assert!(matches!(reader.poll_event().unwrap(), Event::Begin(None)));
/// let Event::Record(result) = reader.poll_event().unwrap() else { panic!() };
/// assert_eq!(result.perf_data, "a=1");
/// assert!(matches!(reader.poll_event().unwrap(), Event::End(None)));
/// ```
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    input: Vec<u8>,
    /// Bytes of `input` before this are done with.
    start: usize,
    /// Bytes of `input` before this have no line feed, counted from `start`.
    searched: usize,
    finished: bool,
    line_number: usize,
    state: State,
    /// How the escapes are undone; `None` leaves them.
    core: Option<Core>,
    records: u64,
    crc32c: u32,
    draft: Draft,
    result: CheckResult,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Start,
    /// Inside a frame, whose sequence that is.
    Framed {
        sequence: u64,
    },
    Unframed,
    /// Behind the end of the frame.
    Ended(DumpEnd),
}

impl Reader {
    /// A reader at the beginning of a dump.
    ///
    /// What undoes the escapes of a dump with a frame is said in the frame. One
    /// without is read as `unframed` would read it; `None` takes every byte for
    /// what it is, as the original livedump writes it.
    pub fn new(unframed: Option<Core>, limits: Limits) -> Self {
        Self {
            limits,
            input: Vec::new(),
            start: 0,
            searched: 0,
            finished: false,
            line_number: 0,
            state: State::Start,
            core: unframed,
            records: 0,
            crc32c: 0,
            draft: Draft::default(),
            result: CheckResult::default(),
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.start);
        self.start = 0;
        self.input.extend_from_slice(bytes);
    }

    /// No more bytes will come.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// What comes next.
    pub fn poll_event(&mut self) -> Result<Event<'_>, Error> {
        loop {
            let Some((from, to)) = self.take_line()? else {
                return self.at_end_of_input();
            };
            if self.state == State::Start {
                return self.begin(from, to);
            }
            let line = without_cr(&self.input[from..to]);
            match self.state {
                State::Framed { sequence } => {
                    if frame::is_end(line) {
                        let end = frame::parse_end(line, sequence);
                        return self.end(end);
                    }
                    self.crc32c = crc32c::crc32c_append(self.crc32c, line);
                    self.crc32c = crc32c::crc32c_append(self.crc32c, b"\n");
                }
                State::Ended(_) if frame::is_signature(line) => continue,
                State::Ended(_) => return Err(self.damaged("something follows the end mark")),
                State::Start | State::Unframed => {}
            }
            if !line.is_empty() {
                if self.draft.lines == self.limits.record {
                    let what = format!("a record of more than {} lines", self.limits.record);
                    return Err(self.limit(what));
                }
                let is_framed = matches!(self.state, State::Framed { .. });
                self.draft.add(
                    line,
                    self.line_number,
                    is_framed,
                    self.core,
                    &mut self.result,
                );
            } else if self.draft.lines > 0 {
                self.records += 1;
                let draft = std::mem::take(&mut self.draft);
                return Ok(match draft.close(&mut self.result) {
                    Ok(()) => Event::Record(&self.result),
                    Err(refused) => Event::Refused(refused),
                });
            }
        }
    }

    /// The place of the next line in `input`, without its line feed.
    fn take_line(&mut self) -> Result<Option<(usize, usize)>, Error> {
        let rest = &self.input[self.start..];
        let Some(found) = memchr(b'\n', &rest[self.searched..]) else {
            self.searched = rest.len();
            return if rest.len() > self.limits.line {
                self.line_number += 1;
                Err(self.limit(format!("a line of more than {} bytes", self.limits.line)))
            } else {
                Ok(None)
            };
        };
        let (from, to) = (self.start, self.start + self.searched + found);
        self.start = to + 1;
        self.searched = 0;
        self.line_number += 1;
        if to - from > self.limits.line {
            return Err(self.limit(format!("a line of more than {} bytes", self.limits.line)));
        }
        Ok(Some((from, to)))
    }

    fn begin(&mut self, from: usize, to: usize) -> Result<Event<'_>, Error> {
        let line = without_cr(&self.input[from..to]);
        if !frame::is_begin(line) {
            // The line is the first of a record.
            self.start = from;
            self.line_number = 0;
            self.state = State::Unframed;
            return Ok(Event::Begin(None));
        }
        let dump = frame::parse_begin(line).map_err(|what| self.damaged(&what))?;
        if dump.content != DumpContent::State {
            return Err(self.damaged("this is a dump of a configuration, not of states"));
        }
        let core = match frame::begin_word(line, "core") {
            None => Core::default(),
            Some(word) => Core::from_word(word)
                .ok_or_else(|| self.damaged("the mark's `core` is not one we know"))?,
        };
        self.core = Some(core);
        self.state = State::Framed {
            sequence: dump.sequence,
        };
        Ok(Event::Begin(Some(Begin { dump, core })))
    }

    fn end(&mut self, end: Result<DumpEnd, String>) -> Result<Event<'_>, Error> {
        let end = end.map_err(|what| self.damaged(&what))?;
        if self.draft.lines > 0 {
            return Err(self.damaged("the end mark stands inside a record"));
        }
        if end.records != self.records {
            let what = format!(
                "the end mark counts {} records, but there are {}",
                end.records, self.records
            );
            return Err(self.damaged(&what));
        }
        if end.crc32c != self.crc32c {
            let what = format!(
                "the end mark gives the checksum {:08x}, but the text has {:08x}: it was changed",
                end.crc32c, self.crc32c
            );
            return Err(self.damaged(&what));
        }
        self.state = State::Ended(end);
        self.poll_event()
    }

    fn at_end_of_input(&mut self) -> Result<Event<'_>, Error> {
        if !self.finished {
            return Ok(Event::NeedInput);
        }
        let is_cut = self.start < self.input.len() || self.draft.lines > 0;
        match self.state {
            State::Ended(_) if is_cut => Err(self.damaged("something follows the end mark")),
            State::Ended(end) => Ok(Event::End(Some(end))),
            State::Framed { .. } => {
                Err(self.damaged("the end mark is missing: the dump was cut short"))
            }
            State::Start | State::Unframed if is_cut => {
                Err(self.damaged("the last record has no end: the dump was cut short"))
            }
            State::Start => {
                self.state = State::Unframed;
                Ok(Event::Begin(None))
            }
            State::Unframed => Ok(Event::End(None)),
        }
    }

    fn position(&self) -> Position {
        Position {
            line: self.line_number.max(1),
            column: 1,
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged {
            at: self.position(),
            what: what.to_owned(),
        }
    }

    fn limit(&self, what: String) -> Error {
        Error::Limit {
            at: self.position(),
            what,
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A record of which some lines have been read.
#[derive(Debug, Default)]
struct Draft {
    /// Lines of any kind; a record of comments alone is none.
    lines: usize,
    first_line: usize,
    seen: Vec<Key>,
    /// The first thing that is wrong.
    wrong: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    HostName,
    ServiceDescription,
    ReturnCode,
    StartTime,
    FinishTime,
    Latency,
    Output,
}

const KEYS: [(&[u8], Key); 7] = [
    (b"host_name", Key::HostName),
    (b"service_description", Key::ServiceDescription),
    (b"return_code", Key::ReturnCode),
    (b"start_time", Key::StartTime),
    (b"finish_time", Key::FinishTime),
    (b"latency", Key::Latency),
    (b"output", Key::Output),
];

impl Draft {
    fn add(
        &mut self,
        line: &[u8],
        number: usize,
        is_framed: bool,
        core: Option<Core>,
        into: &mut CheckResult,
    ) {
        if self.lines == 0 {
            if line.starts_with(b"#") {
                return;
            }
            self.first_line = number;
            into.service_description = None;
            into.full = None;
            into.latency = 0.0;
        }
        self.lines += 1;
        if self.wrong.is_some() {
            return;
        }
        if line.starts_with(b"#") {
            if is_framed {
                self.wrong = full::read(line, &mut into.full).err();
            }
            return;
        }
        let Some((key, value)) = line.split_once_str("=") else {
            return;
        };
        let Some((word, key)) = KEYS.into_iter().find(|(word, _)| *word == key) else {
            return;
        };
        if self.seen.contains(&key) {
            self.wrong = Some(format!("{} stands there twice", word.as_bstr()));
            return;
        }
        self.seen.push(key);
        if let Err(what) = set(key, value, core, into) {
            self.wrong = Some(format!("{}: {what}", word.as_bstr()));
        }
    }

    /// Completes the record, or says what is wrong with it.
    fn close(mut self, result: &mut CheckResult) -> Result<(), Refused> {
        let missing = |wanted: &[Key]| {
            let missing =
                |(_, key): &&(&[u8], Key)| wanted.contains(key) && !self.seen.contains(key);
            let (word, _) = KEYS.iter().find(missing)?;
            Some(format!("{} is missing", word.as_bstr()))
        };
        if self.wrong.is_none() {
            self.wrong = if result.has_been_checked() {
                missing(&[Key::HostName, Key::ReturnCode, Key::StartTime, Key::Output])
            } else {
                clear(result);
                missing(&[Key::HostName])
            };
        }
        let has = |key| self.seen.contains(&key);
        let Some(why) = self.wrong else {
            if !has(Key::FinishTime) {
                result.finish_time = result.start_time;
            }
            return Ok(());
        };
        let host_name = has(Key::HostName).then(|| result.host_name.clone());
        Err(Refused {
            line: self.first_line,
            host_name: host_name.unwrap_or_default(),
            service_description: result.service_description.clone(),
            why,
        })
    }
}

/// An object that was never checked has no result.
fn clear(result: &mut CheckResult) {
    *result = CheckResult {
        host_name: std::mem::take(&mut result.host_name),
        service_description: result.service_description.take(),
        full: result.full.take(),
        ..CheckResult::default()
    };
}

fn set(key: Key, value: &[u8], core: Option<Core>, into: &mut CheckResult) -> Result<(), String> {
    let name = || match core {
        Some(_) => read_name(value).map_err(str::to_owned),
        None => Ok(value.as_bstr()),
    };
    let time = || {
        UnixTime::parse(value)
            .filter(|time| time.micros() >= 0)
            .ok_or_else(|| format!("{:?} is not a time", value.as_bstr()))
    };
    match key {
        Key::HostName => {
            into.host_name.clear();
            into.host_name.extend_from_slice(check_name(name()?)?);
        }
        Key::ServiceDescription => {
            into.service_description = Some(check_name(name()?)?.into());
        }
        Key::ReturnCode => {
            into.return_code = match value {
                [digit @ b'0'..=b'3'] => digit - b'0',
                _ => return Err(format!("{:?} is not a state", value.as_bstr())),
            }
        }
        Key::StartTime => into.start_time = time()?,
        Key::FinishTime => into.finish_time = time()?,
        Key::Latency => into.latency = time()?.as_secs_f64(),
        Key::Output if value.contains(&0) => return Err("it has a NUL byte".to_owned()),
        Key::Output => read_output(core, value, into)?,
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<&[u8], String> {
    if name.is_empty() {
        return Err("it is empty".to_owned());
    }
    if name.contains(&0) {
        return Err("it has a NUL byte".to_owned());
    }
    Ok(name)
}
