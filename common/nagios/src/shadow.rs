//! Shadow configuration: the hosts and services of another site, as
//! Checkmk's loader takes them from a `.mk` file.
//!
//! ```text
//! # sitewire 1 config site=remote1 seq=1795217983000000 epoch=0 mode=full time=1795217983
//! shadow_hosts.update({
//! 'db1': {'address': '10.1.1.5', 'alias': 'Database', 'services': {'Disk /': {}}},
//! })
//! # sitewire-end records=2 crc32c=89ab12cd
//! ```
//!
//! The comments frame it; sitewire-dump(5) describes the whole. Printing and
//! reading both need the memory of one host at a time, beyond what the caller
//! keeps.

mod fields;

use std::collections::BTreeMap;
use std::io::{self, Write};

use bstr::{BStr, BString, ByteSlice};
use objects::{DumpBegin, DumpEnd, Host};

use crate::python::{Reader, Value, print_str};
use crate::{Error, frame};

pub use crate::python::Limits;

/// What a shadow configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShadowConfiguration {
    /// What the frame says; `None` if there is no frame, and so no way to know
    /// whether the file is whole.
    pub begin: Option<DumpBegin>,
    /// The hosts with their services, by name.
    pub hosts: BTreeMap<BString, Host>,
}

/// Reads a shadow configuration.
///
/// Taken are the statements `shadow_hosts.update({...})` and
/// `shadow_hosts = {...}`, in any number, with comments and blank lines; keys
/// of a host or service that we do not know are skipped. Nothing is evaluated.
/// A frame that does not fit what it frames is an error, so a file with a frame
/// that was cut at any place is never taken.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<ShadowConfiguration, Error> {
    let mut reader = Reader::new(bytes, limits)?;
    let frame = frame::check(bytes)?;
    let mut hosts = BTreeMap::new();
    let records = statements(&mut reader, &mut hosts)?;
    let damaged = |at: usize, what: String| Error::Damaged {
        at: reader.position(at),
        what,
    };
    let begin = match (frame, reader.mark()) {
        (None, None) => None,
        (None, Some(at)) => {
            let what = "a dump's mark that does not begin the file: it was cut, or put together";
            return Err(damaged(at, what.to_owned()));
        }
        (Some((_, end)), _) if end.records != records => {
            let what = format!(
                "the end mark counts {} hosts and services, but there are {records}",
                end.records
            );
            return Err(damaged(bytes.len() - 1, what));
        }
        (Some((begin, _)), _) => Some(begin),
    };
    Ok(ShadowConfiguration { begin, hosts })
}

/// Reads all statements; returns how many hosts and services they name.
fn statements(reader: &mut Reader<'_>, hosts: &mut BTreeMap<BString, Host>) -> Result<u64, Error> {
    let mut records = 0;
    let mut seen = false;
    loop {
        reader.skip_blank_lines()?;
        if reader.is_at_end() {
            break;
        }
        let at = reader.at();
        let name = reader.take_name();
        if name != b"shadow_hosts" {
            let found = if name.is_empty() { reader.rest() } else { name };
            let found = found
                .chars()
                .take(40)
                .take_while(|c| *c != '\n')
                .collect::<String>();
            return Err(reader.syntax(
                at,
                format!("expected `shadow_hosts`, found `{found}`: nothing else is read"),
            ));
        }
        reader.skip_blanks()?;
        if reader.take(b'=') {
            reader.skip_blanks()?;
            hosts.clear();
            records = 0;
            read_hosts(reader, hosts, &mut records)?;
        } else if reader.take(b'.') && reader.take_name() == b"update" {
            reader.call(|reader| read_hosts(reader, hosts, &mut records))?;
        } else {
            return Err(reader.unexpected("`.update({...})` or ` = {...}` behind `shadow_hosts`"));
        }
        reader.end_statement()?;
        seen = true;
    }
    if !seen {
        return Err(reader.unexpected("`shadow_hosts`"));
    }
    Ok(records)
}

/// Reads the dict of hosts; a later host of the same name replaces an earlier
/// one as a whole, as `update` does.
fn read_hosts(
    reader: &mut Reader<'_>,
    hosts: &mut BTreeMap<BString, Host>,
    records: &mut u64,
) -> Result<(), Error> {
    if reader.rest().first() != Some(&b'{') {
        return Err(reader.unexpected("a dict of hosts"));
    }
    reader.dict(|reader, name, at| {
        let Value::Str(name) = name else {
            let what = format!("a host's name must be a str, not a {}", name.type_name());
            return Err(reader.syntax(at, what));
        };
        let host = fields::read_host(reader, &name, at)?;
        *records += 1 + host.services.len() as u64;
        hosts.insert(name, host);
        Ok(())
    })
}

/// Prints a shadow configuration with its frame, host by host.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    /// The line being made, kept for its memory.
    line: Vec<u8>,
    end: DumpEnd,
}

impl<W: Write> Printer<W> {
    /// Prints what comes before the first host.
    pub fn new(mut out: W, begin: &DumpBegin) -> io::Result<Self> {
        frame::print_begin(&mut out, begin)?;
        let end = DumpEnd {
            sequence: begin.sequence,
            records: 0,
            crc32c: 0,
        };
        let mut printer = Self {
            out,
            line: Vec::new(),
            end,
        };
        printer.line.extend(b"shadow_hosts.update({\n");
        printer.write_line()?;
        Ok(printer)
    }

    /// Prints one host with its services. Hosts given in ascending order make
    /// equal configurations equal files.
    pub fn host(&mut self, name: &BStr, host: &Host) -> io::Result<()> {
        print_str(name, &mut self.line);
        self.line.extend(b": ");
        fields::print_host(host, &mut self.line);
        self.line.extend(b",\n");
        self.end.records += 1 + host.services.len() as u64;
        self.write_line()
    }

    /// Prints the end, without which nobody takes the file, and flushes.
    pub fn finish(mut self) -> io::Result<DumpEnd> {
        self.line.extend(b"})\n");
        self.write_line()?;
        frame::print_end(&mut self.out, &self.end)?;
        self.out.flush()?;
        Ok(self.end)
    }

    fn write_line(&mut self) -> io::Result<()> {
        self.end.crc32c = crc32c::crc32c_append(self.end.crc32c, &self.line);
        self.out.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}
