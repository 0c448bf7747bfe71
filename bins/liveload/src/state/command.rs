//! External commands: check results as lines, through the command pipe of a
//! core or its Livestatus socket.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use nagios::check_result::CheckResult;
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
    let is_service = result.service_description.is_some();
    let names = [Some(&result.host_name), result.service_description.as_ref()];
    let seconds = result.start_time.secs();
    let command = if is_service { "SERVICE" } else { "HOST" };
    out.extend_from_slice(format!("[{seconds}] PROCESS_{command}_CHECK_RESULT").as_bytes());
    for name in names.into_iter().flatten() {
        if name.find_byteset(b";\n\r\0").is_some() {
            let service = result.service_description.as_deref().map(|name| &name[..]);
            let object = object(&result.host_name, service);
            return Err(format!("{object}: a command cannot name it"));
        }
        out.push(b';');
        out.extend_from_slice(name);
    }
    // Icinga 2 has no unreachable hosts that it is told of.
    let code = match (core, is_service) {
        (Core::Icinga2, false) => result.return_code.min(1),
        _ => result.return_code,
    };
    out.extend_from_slice(format!(";{code};").as_bytes());
    // Where the core undoes no escapes there is no way to write a second line.
    let is_escaped = match core {
        Core::Nagios => true,
        Core::Naemon => false,
        Core::Icinga2 => is_service,
    };
    push(out, &result.plugin_output, is_escaped, true);
    if !result.perf_data.is_empty() {
        out.push(b'|');
        push(out, &result.perf_data, is_escaped, false);
    }
    if is_escaped && !result.long_plugin_output.is_empty() {
        out.extend_from_slice(b"\\n");
        push(out, &result.long_plugin_output, true, true);
    }
    Ok(())
}

/// A `|` in the output would begin performance data.
fn push(out: &mut Vec<u8>, text: &[u8], is_escaped: bool, is_output: bool) {
    for b in text {
        match b {
            b'\\' if is_escaped => out.extend_from_slice(b"\\\\"),
            b'\n' if is_escaped => out.extend_from_slice(b"\\n"),
            b'\n' => out.push(b' '),
            b'|' if is_output => out.extend_from_slice("\u{2502}".as_bytes()),
            b => out.push(*b),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_what_the_core_reads() {
        let result = |service: Option<&str>| CheckResult {
            host_name: "h".into(),
            service_description: service.map(Into::into),
            return_code: 2,
            start_time: UnixTime::from_micros(5_900_000),
            plugin_output: "C:\\new|x".into(),
            long_plugin_output: "a\nb".into(),
            perf_data: "d=1".into(),
            ..CheckResult::default()
        };
        for (core, service, want) in [
            (
                Core::Nagios,
                Some("s"),
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;2;C:\\\\new│x|d=1\\na\\nb",
            ),
            (
                Core::Nagios,
                None,
                "[5] PROCESS_HOST_CHECK_RESULT;h;2;C:\\\\new│x|d=1\\na\\nb",
            ),
            (
                Core::Naemon,
                Some("s"),
                "[5] PROCESS_SERVICE_CHECK_RESULT;h;s;2;C:\\new│x|d=1",
            ),
            (
                Core::Icinga2,
                None,
                "[5] PROCESS_HOST_CHECK_RESULT;h;1;C:\\new│x|d=1",
            ),
        ] {
            let mut line = Vec::new();
            print(core, &result(service), &mut line).unwrap();
            assert_eq!(line.to_str_lossy(), want);
        }
        let refused = print(Core::Nagios, &result(Some("a;b")), &mut Vec::new());
        assert_eq!(refused.unwrap_err(), "h;a;b: a command cannot name it");
    }
}
