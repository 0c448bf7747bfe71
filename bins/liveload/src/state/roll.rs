//! The objects that a site had in its last complete dump, as the core knows
//! them: the ledger's file `SITE.objects`. Whoever says something about all
//! objects of a site, such as that it is silent, reads them here.
//!
//! Behind a line that names the format there is one object a line: when it was
//! checked, in microseconds; its host; the service, unless it is the host
//! itself. A tab stands between them: no name has one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use nagios::check_result::CheckResult;
use objects::UnixTime;
use program::Failure;
use program::file::{self, Replacement};

const MAGIC: &[u8] = b"sitewire-objects 1\n";
/// Longest line: two names and a number.
const MAX_LINE: u64 = 2 * transfer::owners::MAX_HOST as u64 + 64;

/// An object as the core was told of it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) last_check: UnixTime,
    pub(crate) host_name: BString,
    pub(crate) service_description: Option<BString>,
}

/// The list while a dump goes through. Without [`commit`](Self::commit) the old
/// one stays.
pub(crate) struct Roll {
    path: PathBuf,
    out: BufWriter<Replacement>,
}

impl Roll {
    pub(crate) fn create(path: PathBuf) -> Result<Self, Failure> {
        let file = Replacement::create(&path, 0o600);
        let file = file.map_err(|error| file::failure(&path, error))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.write_all(MAGIC)
            .map_err(|error| file::failure(&path, error))?;
        Ok(Self { path, out })
    }

    pub(crate) fn add(&mut self, record: &CheckResult) -> Result<(), Failure> {
        let mut add = || {
            write!(self.out, "{}\t", record.start_time.micros())?;
            self.out.write_all(&record.host_name)?;
            if let Some(description) = &record.service_description {
                self.out.write_all(b"\t")?;
                self.out.write_all(description)?;
            }
            self.out.write_all(b"\n")
        };
        add().map_err(|error| file::failure(&self.path, error))
    }

    pub(crate) fn commit(self) -> Result<(), Failure> {
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error);
        let committed = file.and_then(Replacement::commit);
        committed.map_err(|error| file::failure(&self.path, error))
    }
}

/// Goes through the list; through nothing where there is none.
pub(crate) fn each(
    path: &Path,
    mut visit: impl FnMut(Object) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error| file::failure(path, error);
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::with_capacity(1 << 16, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let mut limited = (&mut reader).take(MAX_LINE);
        limited.read_until(b'\n', line).map_err(failed)
    };
    next(&mut line)?;
    if line != MAGIC {
        return Err(failed(io::ErrorKind::InvalidData.into()));
    }
    while next(&mut line)? > 0 {
        let object = parse(&line).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        visit(object)?;
    }
    Ok(())
}

fn parse(line: &[u8]) -> Option<Object> {
    let mut fields = line.strip_suffix(b"\n")?.splitn_str(3, "\t");
    let micros = fields.next()?.to_str().ok()?.parse().ok()?;
    Some(Object {
        last_check: UnixTime::from_micros(micros),
        host_name: fields.next()?.into(),
        service_description: fields.next().map(BString::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Vec<Object>, Failure> {
        let mut objects = Vec::new();
        each(path, |object| {
            objects.push(object);
            Ok(())
        })?;
        Ok(objects)
    }

    #[test]
    fn the_objects_of_the_last_complete_dump_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.objects");
        assert_eq!(read(&path).unwrap(), []);
        let host = CheckResult {
            host_name: b"h\xff;".into(),
            start_time: UnixTime::from_micros(1_250_000),
            ..CheckResult::default()
        };
        let service = CheckResult {
            service_description: Some("Disk C:\\".into()),
            ..host.clone()
        };
        let mut roll = Roll::create(path.clone()).unwrap();
        roll.add(&host).unwrap();
        roll.add(&service).unwrap();
        roll.commit().unwrap();
        // One that did not come to its end.
        let mut broken = Roll::create(path.clone()).unwrap();
        broken.add(&host).unwrap();
        drop(broken);
        let object = |service: Option<&str>| Object {
            last_check: host.start_time,
            host_name: host.host_name.clone(),
            service_description: service.map(BString::from),
        };
        assert_eq!(
            read(&path).unwrap(),
            [object(None), object(Some("Disk C:\\"))]
        );
        for bad in [
            "",
            "x\n",
            "sitewire-objects 1\nno\n",
            "sitewire-objects 1\n1\th",
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err(), "{bad:?}");
        }
    }
}
