//! The way to a running notifyd: one question, one answer.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use program::{Failure, Status};
use spool::control::{Answer, LineReader, MAX_ANSWER, Question, SOCKET};

/// The daemon answers after a sync, and within ten seconds in any case.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the notifyd of a spool.
pub(crate) struct Control {
    stream: UnixStream,
    reader: LineReader,
}

impl Control {
    /// None if no notifyd serves the spool.
    pub(crate) fn open(spool: &Path) -> Result<Option<Self>, Failure> {
        let path = spool.join(SOCKET);
        let connected = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Some(Self {
                stream,
                reader: LineReader::new(MAX_ANSWER),
            })),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => {
                let what = format!("cannot connect to {}", path.display());
                Err(Failure::caused(Status::Failed, what, error))
            }
        }
    }

    /// The same, for what cannot be done without.
    pub(crate) fn require(spool: &Path) -> Result<Self, Failure> {
        Self::open(spool)?.ok_or_else(|| {
            let what = format!("no notifyd serves {}: start it", spool.display());
            Failure::new(Status::TryAgain, what)
        })
    }

    /// What notifyd says. Its refusal is a failure.
    pub(crate) fn ask(&mut self, question: &Question) -> Result<Answer, Failure> {
        let failed =
            |error: io::Error| Failure::caused(Status::TryAgain, "no answer from notifyd", error);
        let line = question.print() + "\n";
        self.stream.write_all(line.as_bytes()).map_err(failed)?;
        match self.read().map_err(failed)? {
            Answer::Error { why, again } => {
                let status = match again {
                    true => Status::TryAgain,
                    false => Status::Failed,
                };
                Err(Failure::new(status, format!("notifyd says: {why}")))
            }
            answer => Ok(answer),
        }
    }

    fn read(&mut self) -> io::Result<Answer> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match self.reader.next() {
                Some(Ok(line)) => {
                    return Answer::parse(&line)
                        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is no answer"));
                }
                Some(Err(error)) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
                None => match self.stream.read(&mut bytes) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(len) => self.reader.push(&bytes[..len]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}
