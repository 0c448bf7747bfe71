//! The check result spool of Nagios and Naemon: a directory of files that the
//! core reads and removes, every few seconds, in no order.
//!
//! | step | on disk | after a crash |
//! |---|---|---|
//! | written | `.sitewire.SITE.N` | removed by the site's next import |
//! | linked | `cXXXXXX` too | the same; the core leaves the pair alone |
//! | released | `cXXXXXX.ok` | read by the core |
//! | done | only `cXXXXXX`, `.ok` | read by the core |
//!
//! As the core reads files in no order, a site's files of one dump must be gone
//! before those of the next are released. Which those were is remembered in
//! the ledger.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nagios::check_result::{self, CheckResult, Core};
use objects::SiteId;
use program::{Failure, Status};

use super::backend::{Backend, Refusal};

/// Records in a file at most, so that the core looks after its other duties in
/// between.
const MAX_RECORDS: usize = 5000;
/// Bytes in a file at most.
const MAX_BYTES: usize = 8 << 20;
/// Written in pieces of that size.
const BUFFER: usize = 1 << 16;
/// Letters in the names of files.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Between two looks whether the core has read.
const PAUSE: Duration = Duration::from_millis(100);
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// Space that is left alone on the file system, in bytes and files.
const RESERVE: (u64, u64) = (1 << 20, 16);

/// The spool, while one dump goes into it.
pub(crate) struct Spool {
    directory: PathBuf,
    site: SiteId,
    mode: u32,
    core: Core,
    text: Vec<u8>,
    /// Where the names of our files are remembered.
    memory: PathBuf,
    is_synced: bool,
    first_line: String,
    open: Option<Open>,
    released: Vec<String>,
    numbers: u32,
}

/// The file that is being written.
struct Open {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    records: usize,
    bytes: usize,
}

impl Spool {
    /// Makes ready: what a crash left is removed, and the core must have read
    /// the last dump of the site within `wait`.
    pub(crate) fn open(
        directory: &Path,
        site: &SiteId,
        mode: u32,
        core: Core,
        memory: PathBuf,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let spool = Self {
            directory: directory.to_owned(),
            site: site.clone(),
            mode,
            core,
            text: Vec::new(),
            memory,
            is_synced: !is_tmpfs(directory),
            first_line: format!(
                "# from site {site}, taken in by liveload {}\n",
                program::RELEASE
            ),
            open: None,
            released: Vec::new(),
            numbers: 0,
        };
        spool
            .remove_leftovers()
            .map_err(|error| spool.failure(error))?;
        spool.await_core(wait)?;
        Ok(spool)
    }

    /// Adds the text of one or more records about one object, which stay
    /// together.
    fn add(&mut self, text: &[u8], records: usize) -> Result<(), Failure> {
        if self.open.is_none() {
            self.open = Some(self.create().map_err(|error| self.failure(error))?);
        }
        let open = self.open.as_mut().expect("made above");
        open.buffer.extend_from_slice(text);
        open.records += records;
        open.bytes += text.len();
        let full = open.records >= MAX_RECORDS || open.bytes >= MAX_BYTES;
        if open.buffer.len() >= BUFFER {
            let written = open.file.write_all(&open.buffer);
            open.buffer.clear();
            written.map_err(|error| self.failure(error))?;
        }
        if full { self.release() } else { Ok(()) }
    }

    /// Hands the file that is being written to the core.
    fn release(&mut self) -> Result<(), Failure> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let result = self.publish(&mut open);
        // Whatever came of it, the temporary name goes.
        let _ = fs::remove_file(&open.path);
        result.map_err(|error| self.failure(error))
    }

    fn publish(&mut self, open: &mut Open) -> io::Result<()> {
        open.file.write_all(&open.buffer)?;
        if self.is_synced {
            open.file.sync_all()?;
        }
        let name = self.link(&open.path)?;
        self.released.push(name.clone());
        // Before the core may read it, so that it is known after a crash.
        let names = self.released.join("\n");
        program::file::replace(&self.memory, 0o600, |out| writeln!(out, "{names}"))
            .and_then(|()| self.mark_ready(&name))
            .inspect_err(|_| {
                let _ = fs::remove_file(self.directory.join(&name));
            })
    }

    fn mark_ready(&self, name: &str) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(self.directory.join(format!("{name}.ok")))?;
        Ok(())
    }

    /// Gives the file a name that the core looks for and nobody has.
    fn link(&self, path: &Path) -> io::Result<String> {
        loop {
            let name = random_name()?;
            // A leftover mark would release the file at once.
            if self
                .directory
                .join(format!("{name}.ok"))
                .symlink_metadata()
                .is_ok()
            {
                continue;
            }
            match fs::hard_link(path, self.directory.join(&name)) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn create(&mut self) -> io::Result<Open> {
        self.check_room()?;
        self.numbers += 1;
        let path = self
            .directory
            .join(format!(".sitewire.{}.{}", self.site, self.numbers));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(&path)?;
        // Whatever the umask says: the core is another user.
        let mode = fs::Permissions::from_mode(self.mode);
        if let Err(error) = file.set_permissions(mode) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Open {
            path,
            file,
            buffer: self.first_line.clone().into_bytes(),
            records: 0,
            bytes: 0,
        })
    }

    fn check_room(&self) -> io::Result<()> {
        let room = rustix::fs::statvfs(&self.directory)?;
        let (bytes, files) = RESERVE;
        // File systems without a limit on files say 0 of 0.
        let files_short = room.f_files != 0 && room.f_favail < files;
        if room.f_bavail.saturating_mul(room.f_frsize) < bytes || files_short {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// What an import that was killed has left: the lock of the site is ours.
    fn remove_leftovers(&self) -> io::Result<()> {
        let ours = format!(".sitewire.{}.", self.site);
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            if file
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(&ours))
            {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    fn await_core(&self, wait: Duration) -> Result<(), Failure> {
        let mut names = String::new();
        match File::open(&self.memory) {
            Ok(file) => {
                let read = file.take(1 << 20).read_to_string(&mut names);
                read.map_err(|error| self.failure(error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failure(error)),
        }
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        let deadline = Instant::now() + wait;
        while let Some(age) = self.waiting(&names) {
            if Instant::now() >= deadline {
                let what = format!(
                    "{}: the core has not read the last dump of site {}, which lies there for {} s",
                    self.directory.display(),
                    self.site,
                    age.as_secs()
                );
                return Err(Failure::new(Status::TryAgain, what));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// How long one of those files lies there, if any does.
    fn waiting(&self, names: &[String]) -> Option<Duration> {
        names.iter().find_map(|name| {
            let is_name = name.len() == 7 && name.bytes().all(|b| b.is_ascii_alphanumeric());
            // Without its mark the core will never read it.
            let mark = self.directory.join(format!("{name}.ok"));
            if !is_name || !mark.exists() {
                return None;
            }
            let metadata = fs::metadata(self.directory.join(name)).ok()?;
            Some(metadata.modified().ok()?.elapsed().unwrap_or_default())
        })
    }

    fn failure(&self, error: io::Error) -> Failure {
        let status = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::TryAgain,
            _ => Status::Failed,
        };
        let what = format!("cannot write to the spool {}", self.directory.display());
        Failure::caused(status, what, error)
    }
}

impl Backend for Spool {
    fn take(&mut self, results: &[CheckResult]) -> Result<Result<(), Refusal>, Failure> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        for result in results.iter().filter(|result| result.has_been_checked()) {
            let result = CheckResult {
                full: None,
                ..result.clone()
            };
            check_result::print(self.core, &result, &mut text);
        }
        let added = match text.is_empty() {
            true => Ok(()),
            false => self.add(&text, results.len()),
        };
        self.text = text;
        added.map(Ok)
    }

    fn finish(&mut self, _: bool) -> Result<(), Failure> {
        self.release()
    }

    fn await_core(&self, wait: Duration) -> Result<bool, Failure> {
        let deadline = Instant::now() + wait;
        while self.waiting(&self.released).is_some() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            let _ = fs::remove_file(&open.path);
        }
    }
}

fn is_tmpfs(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|found| found.f_type == TMPFS_MAGIC)
}

/// `c` and six letters: what the cores look for.
fn random_name() -> io::Result<String> {
    let mut random = [0; 6];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let letters = random.map(|b| char::from(LETTERS[usize::from(b) % LETTERS.len()]));
    Ok(letters.iter().fold("c".to_owned(), |mut name, letter| {
        name.push(*letter);
        name
    }))
}
