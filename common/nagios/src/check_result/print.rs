//! Printing of check results.

use std::io::Write as _;

use objects::{DumpBegin, DumpEnd, UnixTime};

use super::escape::{push_name, push_output};
use super::{CheckResult, Core, full};
use crate::frame;

/// Prints a state dump, piece by piece, to the end of a buffer that the caller
/// empties.
#[derive(Debug)]
pub struct Printer {
    core: Core,
    end: DumpEnd,
}

impl Printer {
    /// Begins a dump.
    pub fn begin(begin: &DumpBegin, core: Core, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(frame::begin_line(begin).as_bytes());
        if core != Core::default() {
            // Who reads it must know how to undo the escapes.
            out.extend_from_slice(b" core=");
            out.extend_from_slice(core.word().as_bytes());
        }
        out.push(b'\n');
        Self {
            core,
            end: DumpEnd {
                sequence: begin.sequence,
                records: 0,
                crc32c: 0,
            },
        }
    }

    /// Adds a record.
    pub fn record(&mut self, result: &CheckResult, out: &mut Vec<u8>) {
        let start = out.len();
        print(self.core, result, out);
        self.end.records += 1;
        self.end.crc32c = crc32c::crc32c_append(self.end.crc32c, &out[start..]);
    }

    /// Ends the dump.
    pub fn end(self, out: &mut Vec<u8>) -> DumpEnd {
        out.extend_from_slice(frame::end_line(&self.end).as_bytes());
        out.push(b'\n');
        self.end
    }
}

/// Prints one record with the empty line that ends it.
///
/// Bytes that the format cannot carry do not get in: control characters become
/// blanks, a `|` in the output becomes a box-drawing line, and for [`Core::Naemon`]
/// a backslash before the letter n becomes a slash.
pub fn print(core: Core, result: &CheckResult, out: &mut Vec<u8>) {
    out.extend_from_slice(b"host_name=");
    push_name(out, &result.host_name);
    if let Some(description) = &result.service_description {
        out.extend_from_slice(b"\nservice_description=");
        push_name(out, description);
    }
    if !result.has_been_checked() {
        out.push(b'\n');
    } else {
        out.extend_from_slice(b"\ncheck_type=1\ncheck_options=0\nlatency=");
        push_seconds(out, UnixTime::from_micros((result.latency * 1e6) as i64));
        out.extend_from_slice(b"\nstart_time=");
        push_seconds(out, result.start_time);
        out.extend_from_slice(b"\nfinish_time=");
        push_seconds(out, result.finish_time.max(result.start_time));
        out.extend_from_slice(b"\nreturn_code=");
        push_number(out, result.return_code.into());
        out.extend_from_slice(b"\noutput=");
        push_output(core, out, result);
        out.push(b'\n');
    }
    if let Some(full) = &result.full {
        full::print(full, out);
    }
    out.push(b'\n');
}

/// Always with six decimals: the cores read them as a count of microseconds.
fn push_seconds(out: &mut Vec<u8>, time: UnixTime) {
    let micros = time.micros().max(0).unsigned_abs();
    push_number(out, micros / 1_000_000);
    write!(out, ".{:06}", micros % 1_000_000).expect("a vector takes everything");
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect("a vector takes everything");
}
