//! External commands: check results as lines, through the command pipe of a
//! core or its Livestatus socket.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nagios::check_result::CheckResult;
use nagios::passive;
use objects::UnixTime;
use program::connection::{Connection, Target};
use program::{Failure, Status};
use rustix::fs::OFlags;

use super::backend::{Backend, Refusal};
use super::dump::object;
use crate::cli::Core;

/// What several writers can write into a pipe without mixing.
const PIPE_BUF: usize = 4096;
/// How long a core may leave its pipe full.
const STALLED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// Sent to a socket in pieces of that size.
const PIECE: usize = 1 << 16;

/// Appends the command that hands `result` in, without its end of line.
pub(super) fn print(core: Core, result: &CheckResult, out: &mut Vec<u8>) -> Result<(), Refusal> {
    passive::print(core.of_commands(), result, out).map_err(|why| {
        let service = result.service_description.as_deref().map(|name| &name[..]);
        format!("{}: {why}", object(&result.host_name, service))
    })
}

/// The command pipe of a core.
pub(crate) struct Pipe {
    path: PathBuf,
    file: File,
    core: Core,
    line: Vec<u8>,
}

impl Pipe {
    pub(crate) fn open(path: &Path, core: Core) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            // Nobody reads it: the core does not run.
            let is_away = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
            let status = match is_away || error.kind() == io::ErrorKind::NotFound {
                true => Status::TryAgain,
                false => Status::Failed,
            };
            Failure::caused(status, path.display().to_string(), error)
        };
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.file_type().is_fifo() {
            let what = format!("{} is not a named pipe", path.display());
            return Err(Failure::new(Status::Failed, what));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            core,
            line: Vec::new(),
        })
    }

    /// Hands over any command, which must be short and one line.
    pub(super) fn command(&self, command: &str, now: UnixTime) -> Result<(), Failure> {
        self.write(format!("[{}] {command}\n", now.secs()).as_bytes())
    }

    /// Writes one line, which must be shorter than [`PIPE_BUF`].
    pub(super) fn write(&self, line: &[u8]) -> Result<(), Failure> {
        let deadline = Instant::now() + STALLED;
        loop {
            // One write: what fits into PIPE_BUF goes whole or not at all.
            match (&self.file).write(line) {
                Ok(_) => return Ok(()),
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    std::thread::sleep(PAUSE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let what = format!("{}: the core does not read", self.path.display());
                    return Err(Failure::caused(Status::TryAgain, what, error));
                }
            }
        }
    }
}

impl Backend for Pipe {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        for result in results.iter().filter(|result| result.has_been_checked()) {
            self.line.clear();
            if let Err(why) = print(self.core, result, &mut self.line) {
                return Ok(Err(why));
            }
            if self.line.len() >= PIPE_BUF {
                let mut short = result.clone();
                short.long_plugin_output.clear();
                self.line.clear();
                let printed = print(self.core, &short, &mut self.line);
                if printed.is_err() || self.line.len() >= PIPE_BUF {
                    let service = result.service_description.as_deref().map(|name| &name[..]);
                    let object = object(&result.host_name, service);
                    return Ok(Err(format!(
                        "{object}: it does not fit into {PIPE_BUF} bytes"
                    )));
                }
            }
            self.line.push(b'\n');
            self.write(&self.line)?;
        }
        Ok(Ok(()))
    }

    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        Ok(())
    }
}

/// The Livestatus socket of a core.
pub(crate) struct Livestatus {
    connection: Connection,
    core: Core,
    buffer: Vec<u8>,
}

impl Livestatus {
    pub(crate) fn open(target: &Target, core: Core) -> Result<Self, Failure> {
        Ok(Self {
            connection: target.connect()?,
            core,
            buffer: Vec::new(),
        })
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.connection.send(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Backend for Livestatus {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        for result in results.iter().filter(|result| result.has_been_checked()) {
            let start = self.buffer.len();
            self.buffer.extend_from_slice(b"COMMAND ");
            if let Err(why) = print(self.core, result, &mut self.buffer) {
                self.buffer.truncate(start);
                return Ok(Err(why));
            }
            self.buffer.extend_from_slice(b"\n\n");
        }
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(Ok(()))
    }

    /// A core does not answer commands, but closes when it has read them all.
    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        self.send()?;
        self.connection.finish()?;
        let mut answer = [0; 4096];
        while self.connection.receive(&mut answer)? > 0 {}
        Ok(())
    }
}
