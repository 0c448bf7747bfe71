//! The Livestatus socket of a core: Unix, TCP or TLS.

use std::time::Duration;

use objects::CheckResult;
use program::connection::Limits;

use super::{Error, Way};
use crate::config::{self, Reader};
use crate::core::TIMEOUT;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

pub(super) struct Livestatus {
    core: config::Livestatus,
    reader: Reader,
}

impl Livestatus {
    pub(super) fn new(core: config::Livestatus, reader: Reader) -> Self {
        Self { core, reader }
    }
}

impl Way for Livestatus {
    fn submit(&mut self, results: &[CheckResult]) -> Result<(), Error> {
        let mut text = Vec::new();
        for result in results {
            let start = text.len();
            text.extend_from_slice(b"COMMAND ");
            // What no command can name, no core of ours was told of.
            match nagios::passive::print(
                self.reader.core,
                &super::passive(&self.reader, result),
                &mut text,
            ) {
                Ok(()) => text.extend_from_slice(b"\n\n"),
                Err(_) => text.truncate(start),
            }
        }
        let target = self.core.target(Limits {
            connect: Some(CONNECT),
            silence: Some(TIMEOUT),
        })?;
        let mut connection = target.connect()?;
        connection.send(&text)?;
        connection.finish()?;
        // A core does not answer commands that it likes, but closes when it has
        // read them all.
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let len = connection.receive(&mut piece)?;
            if len == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..len.min(1024)]);
            answer.truncate(1024);
        }
        if connection.was_cut_off() {
            return Err(format!("{target}: the connection was cut off").into());
        }
        match answer.trim_ascii() {
            [] => Ok(()),
            words => Err(format!("{target}: {}", program::log::quote(words, 200)).into()),
        }
    }
}
