//! Printing a shadow configuration, host by host.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bstr::{BStr, BString};
use objects::{DumpBegin, DumpEnd, Host, Service};

use super::{Definitions, definitions, fields};
use crate::frame;
use crate::python::print_str;

/// The services of one host as they will be printed.
///
/// Who has to gather all services of a site before the first host can be
/// printed needs a fraction of the memory that [`Service`] takes.
#[derive(Debug, Clone, Default)]
pub struct PrintedServices(BTreeMap<BString, Box<[u8]>>);

impl PrintedServices {
    /// Adds a service; one of the same description is replaced.
    pub fn insert(&mut self, description: BString, service: &Service) {
        let mut printed = Vec::new();
        fields::print_service(service, &mut printed);
        self.0.insert(description, printed.into());
    }
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
        self.end.records += 1 + host.services.len() as u64;
        print_str(name, &mut self.line);
        self.line.extend(b": ");
        fields::print_host(host, &mut self.line);
        self.line.extend(b",\n");
        self.write_line()
    }

    /// Prints one host with `services` in place of its own.
    pub fn host_with(
        &mut self,
        name: &BStr,
        host: &Host,
        services: &PrintedServices,
    ) -> io::Result<()> {
        self.end.records += 1 + services.0.len() as u64;
        print_str(name, &mut self.line);
        self.line.extend(b": ");
        fields::print_host_with(host, &services.0, &mut self.line);
        self.line.extend(b",\n");
        self.write_line()
    }

    /// Prints the end, without which nobody takes the file, and flushes.
    pub fn finish(self) -> io::Result<DumpEnd> {
        self.finish_with(&Definitions::default())
    }

    /// The same with contacts and groups before the end.
    pub fn finish_with(mut self, definitions: &Definitions) -> io::Result<DumpEnd> {
        self.line.extend(b"})\n");
        definitions::print(definitions, &mut self.line);
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
