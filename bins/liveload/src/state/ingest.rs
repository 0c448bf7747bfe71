//! The ingest socket of livestatusd: complete states, printed anew.

use livestatus::dump::DumpWriter;
use nagios::check_result::CheckResult;
use objects::DumpBegin;
use program::connection::{Connection, Target};
use program::{Failure, Status};

use super::backend::{Backend, Refusal};
use super::dump::to_shadow;

/// Sent in pieces of that size.
const PIECE: usize = 1 << 16;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4096;

/// A connection to the ingest socket of one site.
pub(crate) struct Ingest {
    target: Target,
    connection: Connection,
    writer: Option<DumpWriter>,
    buffer: Vec<u8>,
}

impl Ingest {
    pub(crate) fn open(target: Target, begin: &DumpBegin) -> Result<Self, Failure> {
        let connection = target.connect()?;
        let mut buffer = Vec::new();
        let writer = Some(DumpWriter::begin(begin, &mut buffer));
        Ok(Self {
            target,
            connection,
            writer,
            buffer,
        })
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.connection.send(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Backend for Ingest {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        let Some(writer) = &mut self.writer else {
            return Ok(Ok(()));
        };
        for result in results {
            let host = &result.host_name;
            let written = match &result.service_description {
                None => to_shadow(result).map(|state| writer.host(host, &state, &mut self.buffer)),
                Some(name) => to_shadow(result)
                    .map(|state| writer.service(host, name, &state, &mut self.buffer)),
            };
            match written {
                Some(Ok(())) => {}
                Some(Err(error)) => return Ok(Err(error.to_string())),
                None => return Ok(Err("there is no such state".to_owned())),
            }
        }
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(Ok(()))
    }

    /// Without its end mark livestatusd knows that the dump is not complete.
    fn finish(&mut self, is_complete: bool) -> Result<(), Failure> {
        if let Some(writer) = self.writer.take()
            && is_complete
        {
            writer.end(&mut self.buffer);
        }
        self.send()?;
        self.connection.finish()?;
        let answer = self.connection.receive_rest(MAX_ANSWER)?;
        let said = program::log::quote(answer.trim_ascii_end(), 400);
        let what = |what: &str| format!("{}: {what}{said}", self.target);
        match is_complete {
            true if said.starts_with("taken ") => {
                if !said.ends_with("unknown 0, refused 0") {
                    eprintln!("liveload: {}", what(""));
                }
                Ok(())
            }
            true => Err(Failure::new(Status::Incomplete, what("it says: "))),
            false => Ok(()),
        }
    }
}
