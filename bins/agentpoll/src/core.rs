//! The core that takes the results, behind its Livestatus socket.
//!
//! A command has no answer in Livestatus: one that is refused leaves an error
//! text on the connection, one that is taken nothing at all. So the commands
//! are followed by a framed query, and whatever comes before the frame is the
//! core's complaint.

use std::time::Duration;

use bstr::{BString, ByteSlice};
use livestatus::filter::Comparison;
use livestatus::{Error, Event, Filter, Query, ResponseReader};
use program::connection::{self, Connection, Limits, Target};
use program::{Address, Failure, Status, tls};

use crate::cli::Once;

/// How long the core may be silent, or not take what it is sent.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest row of an answer: one name.
const ROW_LIMIT: usize = 1 << 20;

/// A Livestatus socket.
pub(crate) struct Core {
    target: Target,
}

impl Core {
    /// The one that the command line names, if it does.
    pub(crate) fn of(args: &Once) -> Result<Option<Self>, Failure> {
        let Some(address) = args.socket.clone() else {
            return Ok(None);
        };
        if matches!(address, Address::Tls { .. }) && args.core_ca.is_none() {
            let what = format!("{address} needs --core-ca: the CA that vouches for the core");
            return Err(Failure::new(Status::Usage, what));
        }
        let limits = Limits {
            connect: Some(TIMEOUT),
            silence: Some(TIMEOUT),
        };
        let options = tls::Options {
            ca: args.core_ca.as_deref(),
            certificate: args.core_certificate.as_deref(),
            key: args.core_key.as_deref(),
            name: args.core_name.as_deref(),
            peer: "core",
        };
        let target = Target::with_tls(address, limits, options)?;
        Ok(Some(Self { target }))
    }

    /// Descriptions of the services that the core has for this host. A core
    /// that does not know the host may just not have read its configuration
    /// again.
    pub(crate) fn services(&self, host_name: &BString) -> Result<Vec<BString>, Failure> {
        let names = |table: &str, column: &str, filter: &str| {
            let mut query = Query::rows(table, [column]);
            query.filters.push(Filter::compare(
                filter,
                Comparison::Equal,
                host_name.clone(),
            ));
            self.ask(&[], &query)
        };
        if names("hosts", "name", "name")?.is_empty() {
            let what = format!("{} has no host {host_name:?}", self.target);
            return Err(Failure::new(Status::TryAgain, what));
        }
        names("services", "description", "host_name")
    }

    /// Hands in the commands, and returns when the core has read them all.
    pub(crate) fn submit(&self, commands: &[u8]) -> Result<Status, Failure> {
        let query = Query::rows("status", ["program_version"]);
        self.ask(commands, &query).map(|_| Status::Done)
    }

    /// Sends `first` and the query; returns the first cell of every row.
    fn ask(&self, first: &[u8], query: &Query) -> Result<Vec<BString>, Failure> {
        let mut request = first.to_vec();
        let query = query
            .print()
            .map_err(|error| self.failed(Status::Failed, error))?;
        request.extend_from_slice(&query);
        let mut stream = self.target.connect()?;
        // A core that does not like what it gets says so and closes: its words
        // are worth more than our "broken pipe".
        let written = stream.send(&request);
        let answer = read_rows(&mut stream);
        match (written, answer) {
            (Ok(()), Ok(rows)) => Ok(rows),
            (_, Err(Answer::Bad(error))) => Err(self.failed(Status::Failed, error)),
            (Err(error), _) | (Ok(()), Err(Answer::Broken(error))) => Err(error.into()),
            (Ok(()), Err(Answer::CutOff(error))) => Err(self.failed(Status::TryAgain, error)),
        }
    }

    fn failed(
        &self,
        status: Status,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Failure {
        Failure::caused(status, self.target.to_string(), error)
    }
}

/// Why there is no answer.
enum Answer {
    /// The core said something else.
    Bad(Error),
    /// The connection broke, or nothing came for too long.
    Broken(connection::Error),
    /// The answer has no end.
    CutOff(Error),
}

fn read_rows(stream: &mut Connection) -> Result<Vec<BString>, Answer> {
    let mut reader = ResponseReader::new(ROW_LIMIT);
    let mut buffer = vec![0; 64 << 10];
    let mut rows = Vec::new();
    loop {
        match reader.poll_event() {
            Ok(Event::Row(row)) => rows.push(row.cell(0).text().as_bytes().into()),
            Ok(Event::End) => return Ok(rows),
            Ok(Event::NeedInput) => match stream.receive(&mut buffer) {
                Ok(0) => reader.finish(),
                Ok(length) => reader.push(&buffer[..length]),
                Err(error) => return Err(Answer::Broken(error)),
            },
            Err(error @ Error::Truncated { .. }) => return Err(Answer::CutOff(error)),
            Err(error) => return Err(Answer::Bad(error)),
        }
    }
}
