//! The command pipe of a core. What goes into it in one write of at most
//! `PIPE_BUF` bytes stays together, whoever else writes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nagios::check_result;
use nagios::passive::{self, Core};
use objects::CheckResult;
use rustix::fs::OFlags;

use super::{Error, Way};
use crate::config::Reader;

/// What several writers can write into a pipe without mixing.
const PIPE_BUF: usize = 4096;
/// How long a core may leave its pipe full.
const STALLED: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// What stands where an output was cut.
const CUT: &[u8] = b" ...";

pub(super) struct Pipe {
    path: PathBuf,
    reader: Reader,
}

impl Pipe {
    pub(super) fn new(path: PathBuf, reader: Reader) -> Self {
        Self { path, reader }
    }

    /// For each batch anew: a core that was restarted has another pipe.
    fn open(&self) -> Result<File, Error> {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", self.path.display());
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&self.path);
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                failed(&"nobody reads it: the core does not run")
            }
            _ => failed(&error),
        })?;
        match file.metadata()?.file_type().is_fifo() {
            true => Ok(file),
            false => Err(failed(&"is not a named pipe").into()),
        }
    }

    fn write(&self, mut file: &File, lines: &[u8]) -> Result<(), Error> {
        let deadline = Instant::now() + STALLED;
        loop {
            // What fits into PIPE_BUF goes whole or not at all.
            match file.write(lines) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    let path = self.path.display();
                    return Err(format!("{path}: the core does not read: {error}").into());
                }
            }
        }
    }
}

impl Way for Pipe {
    fn submit(&mut self, results: &[CheckResult]) -> Result<(), Error> {
        let file = self.open()?;
        let mut lines = Vec::with_capacity(PIPE_BUF);
        let mut line = Vec::new();
        for result in results {
            line.clear();
            if !print(
                self.reader.core,
                &super::passive(&self.reader, result),
                &mut line,
            ) {
                continue;
            }
            if lines.len() + line.len() > PIPE_BUF {
                self.write(&file, &lines)?;
                lines.clear();
            }
            lines.extend_from_slice(&line);
        }
        match lines.is_empty() {
            true => Ok(()),
            false => self.write(&file, &lines),
        }
    }
}

/// Appends a line that fits: without what is least important, if it must be.
/// False if no command can say it.
fn print(core: Core, result: &check_result::CheckResult, line: &mut Vec<u8>) -> bool {
    let mut short = result.clone();
    for attempt in 0.. {
        match attempt {
            0 => {}
            1 => short.long_plugin_output.clear(),
            2 => short.perf_data.clear(),
            3 => {
                // Escapes double it at most, names stay.
                let names = short.host_name.len()
                    + short
                        .service_description
                        .as_ref()
                        .map_or(0, |name| name.len());
                let room = PIPE_BUF.saturating_sub(names + 100) / 2;
                short.plugin_output.truncate(room.saturating_sub(CUT.len()));
                short.plugin_output.extend_from_slice(CUT);
            }
            _ => return false,
        }
        line.clear();
        if passive::print(core, &short, line).is_err() {
            return false;
        }
        line.push(b'\n');
        if line.len() <= PIPE_BUF {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_into_a_pipe() {
        let of = |output: usize, perf_data: usize, long: usize| check_result::CheckResult {
            host_name: "h".into(),
            service_description: Some("s".into()),
            plugin_output: vec![b'\\'; output].into(),
            perf_data: vec![b'p'; perf_data].into(),
            long_plugin_output: vec![b'l'; long].into(),
            ..check_result::CheckResult::default()
        };
        for (what, result, wanted, not_wanted) in [
            ("short", of(10, 10, 10), "l", "..."),
            ("long output goes first", of(10, 10, 5000), "p", "l"),
            ("then performance data", of(10, 5000, 10), "\\", "p"),
            (
                "then the end of the output",
                of(5000, 10, 10),
                "\\ ...",
                "p",
            ),
        ] {
            let mut line = Vec::new();
            assert!(print(Core::Nagios, &result, &mut line), "{what}");
            assert!(line.len() <= PIPE_BUF && line.ends_with(b"\n"), "{what}");
            let text = String::from_utf8(line).unwrap();
            let text = text.split_once(";s;0;").unwrap().1;
            assert!(
                text.contains(wanted) && !text.contains(not_wanted),
                "{what}: {text}"
            );
        }
        let mut impossible = of(1, 1, 1);
        impossible.host_name = vec![b'h'; PIPE_BUF].into();
        assert!(!print(Core::Nagios, &impossible, &mut Vec::new()));
    }
}
