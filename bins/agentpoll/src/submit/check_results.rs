//! The check result spool of Nagios and Naemon: a directory of files that the
//! core reads and removes, in no order.
//!
//! A file is written under a name that the core does not look at, gets its own
//! name by renaming, and is released by the empty file `NAME.ok` beside it. What
//! a crash leaves is either not looked at, and removed at the next start, or
//! whole. Nothing is synced: a minute later there are newer results.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use nagios::check_result;
use objects::CheckResult;

use super::{Error, Way, passive};
use crate::config::Reader;

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".sitewire.agentpoll.";
/// Records in a file at most, so that the core looks after its other duties in
/// between.
const MAX_RECORDS: usize = 2000;
/// Files that a core has not read: it does not run.
const MAX_UNREAD: usize = 500;
/// What names of files are made of.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub(super) struct Spool {
    directory: PathBuf,
    reader: Reader,
    mode: u32,
    is_clean: bool,
}

impl Spool {
    pub(super) fn new(directory: PathBuf, reader: Reader, mode: u32) -> Self {
        Self {
            directory,
            reader,
            mode,
            is_clean: false,
        }
    }

    fn store(&self, records: &[CheckResult]) -> io::Result<()> {
        let mut text = b"# from agentpoll\n".to_vec();
        for record in records {
            check_result::print(
                self.reader.core.of_files(),
                &passive(&self.reader, record),
                &mut text,
            );
        }
        let name = self.new_name()?;
        let unfinished = self.directory.join(format!("{UNFINISHED}{name}"));
        let written = self.write(&unfinished, &text).and_then(|()| {
            let path = self.directory.join(&name);
            fs::rename(&unfinished, &path)?;
            let mark = self.directory.join(format!("{name}.ok"));
            self.write(&mark, b"").inspect_err(|_| {
                let _ = fs::remove_file(&path);
            })
        });
        written.inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        })
    }

    fn write(&self, path: &PathBuf, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(path)?;
        // Whatever the umask says: the core is another user.
        file.set_permissions(Permissions::from_mode(self.mode))?;
        file.write_all(text)
    }

    /// `c` and six letters: what the cores look for, and nobody has.
    fn new_name(&self) -> io::Result<String> {
        loop {
            let mut random = [0; 6];
            aws_lc_rs::rand::fill(&mut random)
                .map_err(|_| io::Error::other("the system has no random numbers"))?;
            let letters = random.map(|b| char::from(LETTERS[usize::from(b) % LETTERS.len()]));
            let name: String = std::iter::once('c').chain(letters).collect();
            let taken = |name: &str| self.directory.join(name).symlink_metadata().is_ok();
            if !taken(&name) && !taken(&format!("{name}.ok")) {
                return Ok(name);
            }
        }
    }

    /// Removes what a crash has left, and counts what was not read.
    fn look(&self) -> io::Result<usize> {
        let mut unread = 0;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(UNFINISHED) && !self.is_clean {
                fs::remove_file(entry.path())?;
            }
            unread += usize::from(name.ends_with(".ok"));
        }
        Ok(unread)
    }
}

impl Way for Spool {
    fn submit(&mut self, results: &[CheckResult]) -> Result<(), Error> {
        let failed =
            |error: io::Error| -> Error { format!("{}: {error}", self.directory.display()).into() };
        let unread = self.look().map_err(failed)?;
        if unread > MAX_UNREAD {
            let directory = self.directory.display();
            return Err(format!("{directory}: the core has not read {unread} files").into());
        }
        for records in results.chunks(MAX_RECORDS) {
            self.store(records).map_err(failed)?;
        }
        self.is_clean = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use objects::UnixTime;

    use super::*;

    fn reader() -> Reader {
        Reader {
            core: nagios::passive::Core::Nagios,
            illegal: "()".to_owned(),
        }
    }

    fn result(host: &str) -> CheckResult {
        CheckResult {
            host_name: host.into(),
            service_description: Some("Disk (/)".into()),
            time: UnixTime::from_secs(5),
            return_code: 1,
            plugin_output: "WARN - a|b".into(),
            long_plugin_output: "c\nd".into(),
            perf_data: "e=1".into(),
        }
    }

    #[test]
    fn files_are_whole_and_released() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".sitewire.agentpoll.cAAAAAA"), "h").unwrap();
        let mut spool = Spool::new(directory.path().into(), reader(), 0o640);
        spool.submit(&[result("a"), result("b")]).unwrap();
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(format!("{}.ok", names[0]), names[1]);
        assert!(names[0].starts_with('c') && names[0].len() == 7);
        let path = directory.path().join(&names[0]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("host_name=").count(), 2);
        assert!(text.contains("\nservice_description=Disk _/_\n"), "{text}");
        assert!(text.contains("output=WARN - a│b|e=1\\nc\\nd\n"), "{text}");
    }

    #[test]
    fn a_core_that_does_not_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..=MAX_UNREAD {
            fs::write(directory.path().join(format!("c{number:06}.ok")), "").unwrap();
        }
        let mut spool = Spool::new(directory.path().into(), reader(), 0o640);
        let error = spool.submit(&[result("a")]).unwrap_err().to_string();
        assert!(error.contains("has not read 501 files"), "{error}");
    }
}
