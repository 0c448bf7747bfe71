//! The files of a Checkmk spool, and what is known of each before it is read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use nagios::{SpoolFile, SpoolFileError};
use objects::notification::MAX_CONTEXT;
use objects::{NotificationId, SiteId, UnixTime};
use rustix::fs::OFlags;

/// Most files that are looked at.
const MAX_FILES: usize = 1_000_000;

/// A file of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its path below the spool, which names it.
    pub(crate) name: PathBuf,
    /// The plugin it waits for, in a directory of bulks.
    bulk: Option<Vec<u8>>,
}

/// The files below `directory`: that of Checkmk's notifications with `spool` and
/// others in it, or one with spool files, in directories of contacts or not.
pub(crate) fn find(directory: &Path) -> io::Result<Vec<Source>> {
    let parts = ["spool", "deferred", "corrupted"].map(|part| directory.join(part));
    let bulk = directory.join("bulk");
    let mut found = Vec::new();
    if parts.iter().chain([&bulk]).any(|part| part.is_dir()) {
        for part in parts.iter().filter(|part| part.is_dir()) {
            walk(part, 1, &mut |path| found.push((path, None)))?;
        }
        if bulk.is_dir() {
            // CONTACT/PLUGIN/GROUPING/FILE
            walk(&bulk, 3, &mut |path| {
                let below = path.strip_prefix(&bulk).unwrap_or(&path);
                let plugin = below.components().nth(1);
                let plugin = plugin.map(|plugin| plugin.as_os_str().as_bytes().to_vec());
                found.push((path, plugin));
            })?;
        }
    } else {
        walk(directory, 1, &mut |path| found.push((path, None)))?;
    }
    let source = |(path, bulk): (PathBuf, _)| Source {
        name: path.strip_prefix(directory).unwrap_or(&path).to_owned(),
        path,
        bulk,
    };
    Ok(found.into_iter().map(source).collect())
}

/// All that is no directory, at most `depth` directories down.
fn walk(directory: &Path, depth: usize, found: &mut dyn FnMut(PathBuf)) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    if entries.len() > MAX_FILES {
        return Err(io::Error::other(format!("more than {MAX_FILES} files")));
    }
    for entry in entries {
        if !entry.file_type()?.is_dir() {
            found(entry.path());
        } else if depth > 0 {
            walk(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

/// What a file holds.
pub(crate) enum Content {
    /// A spool file, and when it was written.
    Whole(SpoolFile, UnixTime),
    /// It can be read, and is none.
    Broken(String),
    /// Nothing to take in, and nothing to set aside.
    None(&'static str),
}

impl Source {
    pub(crate) fn read(&self) -> io::Result<Content> {
        if self.is_unfinished() {
            return Ok(Content::None("being written"));
        }
        let file = match self.open() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Content::None("gone again"));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Ok(Content::None("a symbolic link"));
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Content::None("not a file"));
        }
        if metadata.len() > MAX_CONTEXT as u64 {
            let what = format!("{} bytes, the limit is {MAX_CONTEXT}", metadata.len());
            return Ok(Content::Broken(what));
        }
        let mut bytes = Vec::new();
        file.take(MAX_CONTEXT as u64 + 1).read_to_end(&mut bytes)?;
        let written = metadata.modified().map_or(UnixTime::NEVER, UnixTime::from);
        Ok(match self.parse(&bytes) {
            Ok(file) => Content::Whole(file, written),
            Err(error) => Content::Broken(error.to_string()),
        })
    }

    /// Neither follows a link nor waits for whoever writes to a pipe.
    pub(crate) fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(&self.path)
    }

    fn parse(&self, bytes: &[u8]) -> Result<SpoolFile, SpoolFileError> {
        match &self.bulk {
            Some(plugin) => SpoolFile::parse_bulk(bytes, plugin),
            None => SpoolFile::parse(bytes),
        }
    }

    fn is_unfinished(&self) -> bool {
        let name = self.file_name();
        name.starts_with(b".") || name.ends_with(b".new")
    }

    fn file_name(&self) -> &[u8] {
        self.name.file_name().unwrap_or_default().as_bytes()
    }

    /// The id that this file always has: its own, if it is named by one.
    pub(crate) fn id(&self, site: &SiteId) -> NotificationId {
        let name = self.file_name();
        let own = name
            .to_str()
            .ok()
            .filter(|name| name.len() == 36)
            .and_then(NotificationId::parse);
        own.unwrap_or_else(|| NotificationId::named(site, self.name.as_os_str().as_bytes()))
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        program::log::quote(self.name.as_os_str().as_bytes(), 200)
    }
}

/// When it happened, by what the core said.
pub(crate) fn event_time(file: &SpoolFile) -> Option<UnixTime> {
    let micros = file.context.get("MICROTIME")?.to_str().ok()?;
    let micros: i64 = micros.trim().parse().ok()?;
    (micros > 0).then(|| UnixTime::from_micros(micros))
}

/// The site that it is of.
pub(crate) fn site(file: &SpoolFile) -> Option<SiteId> {
    SiteId::new(file.context.get("OMD_SITE")?.to_str().ok()?).ok()
}
