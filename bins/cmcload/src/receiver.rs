//! Who takes the states: a Livestatus socket, to which commands are written and
//! which may say something at the end.

use std::time::Duration;

use program::connection::{Connection, Error, Limits, Target};
use program::{Address, Failure, Status};

use crate::cli::Tls;

/// How long connecting may take, on each address that a host has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 16;

/// A connection to it.
pub(crate) struct Receiver {
    connection: Connection,
    /// It has stopped reading; what it has to say comes at the end.
    is_deaf: bool,
}

impl Receiver {
    /// Connects; `timeout` is its longest silence from then on.
    pub(crate) fn connect(
        address: &Address,
        tls: &Tls,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let limits = Limits {
            connect: Some(CONNECT_TIMEOUT),
            silence: Some(timeout),
        };
        let target = Target::with_tls(address.clone(), limits, tls.options())?;
        Ok(Self {
            connection: target.connect()?,
            is_deaf: false,
        })
    }

    /// Sends commands. That nobody reads them is no error yet: who refuses a
    /// dump says why, which is read at the end.
    pub(crate) fn send(&mut self, commands: &[u8]) -> Result<(), Failure> {
        if self.is_deaf {
            return Ok(());
        }
        match self.connection.send(commands) {
            Err(error) if error.is_closed() => self.is_deaf = true,
            sent => sent.map_err(broken)?,
        }
        Ok(())
    }

    /// Whether it has stopped reading.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Says that this was all, and reads what it has to say to that.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        self.connection.finish().map_err(broken)?;
        let answer = self.connection.receive_rest(MAX_ANSWER).map_err(broken)?;
        if answer.is_empty() && self.connection.was_cut_off() {
            let what = "the receiver's answer was cut off";
            return Err(Failure::new(Status::Incomplete, what));
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// What was sent may have arrived or not.
fn broken(error: Error) -> Failure {
    error.into_failure(Status::Incomplete)
}
