//! A file of external commands that the core reads in one go and removes, told
//! of it by one command through its pipe.
//!
//! | step | on disk | after a crash |
//! |---|---|---|
//! | written | `.sitewire.SITE.commands` | replaced by the site's next import |
//! | renamed | `sitewire.SITE.commands` | the next import tells the core |
//! | told | the same | read and removed by the core |
//!
//! As long as the core has not removed the file of the last dump, no other one
//! takes its place. A core that is told of a file twice finds none the second
//! time, or the next one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bstr::ByteSlice;
use nagios::check_result::CheckResult;
use objects::SiteId;
use program::{Failure, Status};

use super::backend::{Backend, Refusal};
use super::command::{Pipe, print};
use crate::cli::Core;

/// Between two looks whether the core has read.
const PAUSE: Duration = Duration::from_millis(100);

/// The file of one dump, and the pipe through which the core is told of it.
pub(crate) struct ProcessFile {
    pipe: Pipe,
    path: PathBuf,
    temporary: PathBuf,
    mode: u32,
    core: Core,
    /// Made with the first command: a dump without any needs no file.
    out: Option<BufWriter<File>>,
    line: Vec<u8>,
}

impl ProcessFile {
    /// Makes ready: the core must run, and have read the last dump of the site
    /// within `wait`. The file lies in `directory`, or beside the pipe.
    pub(crate) fn open(
        pipe: &Path,
        directory: Option<&Path>,
        site: &SiteId,
        mode: u32,
        core: Core,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let directory = directory
            .or(pipe.parent())
            .filter(|directory| !directory.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // The core has a working directory of its own.
        let directory = directory.canonicalize().map_err(|error| {
            Failure::caused(Status::Failed, directory.display().to_string(), error)
        })?;
        if directory
            .as_os_str()
            .as_bytes()
            .find_byteset(b";\n")
            .is_some()
        {
            let what = format!("{}: a command cannot name it", directory.display());
            return Err(Failure::new(Status::Usage, what));
        }
        let file = Self {
            pipe: Pipe::open(pipe, core)?,
            path: directory.join(format!("sitewire.{site}.commands")),
            temporary: directory.join(format!(".sitewire.{site}.commands")),
            mode,
            core,
            out: None,
            line: Vec::new(),
        };
        file.await_core(wait)?;
        Ok(file)
    }

    fn await_core(&self, wait: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + wait;
        loop {
            let age = match fs::symlink_metadata(&self.path) {
                Ok(found) => found.modified().ok().and_then(|at| at.elapsed().ok()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(self.failure(error)),
            };
            if Instant::now() >= deadline {
                // It may have lost the command with its pipe, or never got it.
                self.tell()?;
                let what = format!(
                    "{}: the core has not read the last dump, which lies there for {} s",
                    self.path.display(),
                    age.unwrap_or_default().as_secs()
                );
                return Err(Failure::new(Status::TryAgain, what));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Tells the core to read the file and to remove it.
    fn tell(&self) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let mut command = format!("[{now}] PROCESS_FILE;").into_bytes();
        command.extend_from_slice(self.path.as_os_str().as_bytes());
        command.extend_from_slice(b";1\n");
        self.pipe.write(&command)
    }

    /// The file is made anew, whatever lies there.
    fn create(&self) -> io::Result<File> {
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(&self.temporary)?;
        // Whatever the umask says: the core is another user.
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        Ok(file)
    }

    fn add(&mut self) -> io::Result<()> {
        if self.out.is_none() {
            self.out = Some(BufWriter::with_capacity(1 << 16, self.create()?));
        }
        let out = self.out.as_mut().expect("made above");
        out.write_all(&self.line)
    }

    /// Puts the file into its place, durable.
    fn publish(&self, out: BufWriter<File>) -> io::Result<()> {
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        program::file::sync_directory(&self.path)
    }

    fn failure(&self, error: io::Error) -> Failure {
        let status = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
            _ => Status::Failed,
        };
        let what = format!("cannot write {}", self.path.display());
        Failure::caused(status, what, error)
    }
}

impl Backend for ProcessFile {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        self.line.clear();
        for result in results.iter().filter(|result| result.has_been_checked()) {
            if let Err(why) = print(self.core, result, &mut self.line) {
                return Ok(Err(why));
            }
            self.line.push(b'\n');
        }
        if self.line.is_empty() {
            return Ok(Ok(()));
        }
        self.add().map_err(|error| self.failure(error)).map(Ok)
    }

    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        let Some(out) = self.out.take() else {
            return Ok(());
        };
        if let Err(error) = self.publish(out) {
            let _ = fs::remove_file(&self.temporary);
            return Err(self.failure(error));
        }
        // What the core was not told of comes again with the next dump.
        self.tell().inspect_err(|_| {
            let _ = fs::remove_file(&self.path);
        })
    }
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        if self.out.is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
