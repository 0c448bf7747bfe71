//! The objects that the core has: from its object cache, or asked over
//! Livestatus. Names are kept as numbers: a core has hundreds of thousands.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use bstr::ByteSlice;
use livestatus::{Event, Query, ResponseReader};
use program::connection::Target;
use program::{Failure, Status};

/// Longest row or line that is read, in bytes.
const MAX_LINE: usize = 16 << 20;

/// The objects of a core.
#[derive(Debug, Default)]
pub(crate) struct Known {
    hasher: RandomState,
    /// How many attempts make a hard state.
    attempts: HashMap<u64, u32>,
}

impl Known {
    /// Reads the file that Nagios and Naemon write at their start.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
        let file = File::open(path).map_err(failed)?;
        let known = Self::parse(BufReader::with_capacity(1 << 16, file)).map_err(failed)?;
        if known.attempts.is_empty() {
            let what = format!("{}: no object is defined in it", path.display());
            return Err(Failure::new(Status::Failed, what));
        }
        Ok(known)
    }

    /// What is in such a file. Only its own core writes it, and none so long a line.
    pub(crate) fn parse(mut reader: impl BufRead) -> io::Result<Self> {
        let mut known = Self::default();
        let mut line = Vec::new();
        let mut definition = None;
        loop {
            line.clear();
            let length = (&mut reader)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut line)?;
            match length {
                0 => return Ok(known),
                MAX_LINE => {
                    let what = format!("a line of more than {MAX_LINE} bytes");
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
                _ => known.take_line(line.trim_ascii(), &mut definition),
            }
        }
    }

    /// Asks a core for its hosts and services.
    pub(crate) fn ask(target: &Target) -> Result<Self, Failure> {
        let mut known = Self::default();
        let hosts = Query::rows("hosts", ["name", "max_check_attempts"]);
        each_row(target, &hosts, |row| {
            let attempts = row.cell(1).int().unwrap_or(1);
            known.insert(&row.cell(0).text(), None, attempts);
        })?;
        let columns = ["host_name", "description", "max_check_attempts"];
        each_row(target, &Query::rows("services", columns), |row| {
            let attempts = row.cell(2).int().unwrap_or(1);
            known.insert(&row.cell(0).text(), Some(&row.cell(1).text()), attempts);
        })?;
        Ok(known)
    }

    pub(crate) fn has(&self, host: &[u8], service: Option<&[u8]>) -> bool {
        self.max_check_attempts(host, service).is_some()
    }

    /// How many attempts make the object's state hard, if there is one.
    pub(crate) fn max_check_attempts(&self, host: &[u8], service: Option<&[u8]>) -> Option<u32> {
        self.attempts.get(&self.key(host, service)).copied()
    }

    fn insert(&mut self, host: &[u8], service: Option<&[u8]>, attempts: i64) {
        let key = self.key(host, service);
        let attempts = u32::try_from(attempts).unwrap_or(1).max(1);
        self.attempts.insert(key, attempts);
    }

    fn key(&self, host: &[u8], service: Option<&[u8]>) -> u64 {
        self.hasher.hash_one((host, service))
    }

    fn take_line(&mut self, line: &[u8], definition: &mut Option<Definition>) {
        if let Some(kind) = line.strip_prefix(b"define ") {
            let is_service = match kind.trim_end_with(|c| c == '{').trim_ascii() {
                b"host" => false,
                b"service" => true,
                _ => return,
            };
            *definition = Some(Definition {
                is_service,
                ..Definition::default()
            });
        } else if line == b"}" {
            if let Some(of) = definition.take()
                && of.is_service != of.service.is_none()
            {
                self.insert(&of.host, of.service.as_deref(), of.attempts);
            }
        } else if let Some(of) = definition {
            let (key, value) = line.split_once_str("\t").unwrap_or((line, b""));
            let value = value.trim_ascii();
            match key {
                b"host_name" => of.host = value.to_owned(),
                b"service_description" => of.service = Some(value.to_owned()),
                b"max_check_attempts" => {
                    let number = value.to_str().ok().and_then(|text| text.parse().ok());
                    of.attempts = number.unwrap_or(1);
                }
                _ => {}
            }
        }
    }
}

/// A definition that is being read.
#[derive(Default)]
struct Definition {
    is_service: bool,
    host: Vec<u8>,
    service: Option<Vec<u8>>,
    attempts: i64,
}

/// Asks `query` over a connection of its own.
pub(crate) fn each_row(
    target: &Target,
    query: &Query,
    mut visit: impl FnMut(&livestatus::json::Row),
) -> Result<(), Failure> {
    let failed = |error: livestatus::Error| {
        let status = match error {
            livestatus::Error::Truncated { .. } => Status::TryAgain,
            _ => Status::Failed,
        };
        Failure::caused(
            status,
            format!("{target}: query for {}", query.table),
            error,
        )
    };
    let mut connection = target.connect()?;
    connection.send(&query.print().map_err(failed)?)?;
    let mut reader = ResponseReader::new(MAX_LINE);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.poll_event().map_err(failed)? {
            Event::Row(row) => visit(row),
            Event::End => return Ok(()),
            Event::NeedInput => match connection.receive(&mut buffer)? {
                0 => reader.finish(),
                length => reader.push(&buffer[..length]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_cache_tells_what_the_core_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("objects.cache");
        let text = "define command {\n\tcommand_name\tx\n\thost_name\tno\n\t}\n\n\
            define host {\n\thost_name\tweb 01\n\taddress\t1\n\tmax_check_attempts\t4\n\t}\n\n\
            define service {\n\thost_name\tweb 01\n\tservice_description\tDisk C:\\\n\t}\n\n\
            define servicedependency {\n\thost_name\tdep\n\t}\n";
        std::fs::write(&path, text).unwrap();
        let known = Known::read(&path).unwrap();
        assert_eq!(known.max_check_attempts(b"web 01", None), Some(4));
        assert!(known.has(b"web 01", Some(b"Disk C:\\")));
        for (host, service) in [("no", None), ("dep", None), ("web 01", Some("Disk"))] {
            assert!(
                !known.has(host.as_bytes(), service.map(str::as_bytes)),
                "{host}"
            );
        }
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(Known::read(&path).is_err());
    }
}
