//! Whose a host is, where the hosts of all sites stand side by side in one core.
//!
//! The file `owners` has one line `SITE HOST` per host. Lines are appended under
//! a lock, one at a time: an import that is slow, or hangs, keeps nobody else
//! from claiming hosts. It is replaced by rename when a site gives hosts up.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bstr::ByteSlice;
use objects::SiteId;
use program::lock::Lock;

use crate::Error;

/// Longest name of a host, in bytes.
pub const MAX_HOST: usize = 4096;
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// The lock is held for one append, or one rewrite, by a process that lives.
const WAIT: Duration = Duration::from_secs(30);

/// What came of claiming a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It was the site's.
    Ours,
    /// It was nobody's and is the site's now.
    New,
    /// It is another site's, this one.
    Of(SiteId),
}

/// Who owns which host, from the point of view of one site.
#[derive(Debug)]
pub struct Owners {
    path: PathBuf,
    lock: PathBuf,
    site: SiteId,
    /// All sites, each once; a host has the index of its own.
    sites: Vec<SiteId>,
    own: u16,
    hosts: HashMap<Box<[u8]>, Host>,
    /// Which file was read, and how much of it.
    inode: u64,
    length: u64,
}

#[derive(Debug, Clone, Copy)]
struct Host {
    site: u16,
    /// Claimed by us since the file was opened.
    seen: bool,
}

impl Owners {
    /// Reads the file in `directory`, for imports of `site`.
    pub fn open(directory: &Path, site: &SiteId) -> Result<Self, Error> {
        let mut owners = Self {
            path: directory.join("owners"),
            lock: directory.join("owners.lock"),
            site: site.clone(),
            sites: vec![site.clone()],
            own: 0,
            hosts: HashMap::new(),
            inode: 0,
            length: 0,
        };
        owners.refresh()?;
        Ok(owners)
    }

    /// Claims `host` for the site. What was claimed is on record before this
    /// returns, so that of two imports at once only one gets it.
    pub fn claim(&mut self, host: &[u8]) -> Result<Claim, Error> {
        if let Some(known) = self.hosts.get_mut(host)
            && known.site == self.own
        {
            known.seen = true;
            return Ok(Claim::Ours);
        }
        // Nobody's as far as we know, or another's: both may be out of date.
        self.claim_on_record(host)
    }

    /// Whose `host` is, as far as we know.
    pub fn owner(&self, host: &[u8]) -> Option<&SiteId> {
        let host = self.hosts.get(host)?;
        self.sites.get(usize::from(host.site))
    }

    /// Hosts of the site, in no order.
    pub fn own(&self) -> impl Iterator<Item = &[u8]> {
        let hosts = self.hosts.iter();
        hosts
            .filter(|(_, host)| host.site == self.own)
            .map(|(name, _)| &name[..])
    }

    /// Gives up the hosts of the site that were not claimed since
    /// [`open`](Self::open), and tells how many. For the end of a complete dump.
    pub fn release_unclaimed(&mut self) -> Result<usize, Error> {
        let own = self.own;
        let gone = |host: &Host| host.site == own && !host.seen;
        if !self.hosts.values().any(gone) {
            return Ok(0);
        }
        let _lock = Lock::take_within(&self.lock, WAIT).map_err(Error::Locked)?;
        self.refresh()?;
        let before = self.hosts.len();
        self.hosts.retain(|_, host| !gone(host));
        let released = before - self.hosts.len();
        let (hosts, sites) = (&self.hosts, &self.sites);
        let written = program::file::replace(&self.path, 0o600, |out| {
            for (name, host) in hosts {
                write_line(out, &sites[usize::from(host.site)], name)?;
            }
            Ok(())
        });
        written.map_err(|source| self.failed(source))?;
        let metadata = fs::metadata(&self.path).map_err(|source| self.failed(source))?;
        (self.inode, self.length) = (metadata.ino(), metadata.len());
        Ok(released)
    }

    fn claim_on_record(&mut self, host: &[u8]) -> Result<Claim, Error> {
        let _lock = Lock::take_within(&self.lock, WAIT).map_err(Error::Locked)?;
        self.refresh()?;
        if let Some(known) = self.hosts.get_mut(host) {
            if known.site != self.own {
                return Ok(Claim::Of(self.sites[usize::from(known.site)].clone()));
            }
            known.seen = true;
            return Ok(Claim::Ours);
        }
        let mut line = Vec::with_capacity(host.len() + self.site.as_str().len() + 2);
        write_line(&mut line, &self.site, host).map_err(|source| self.failed(source))?;
        self.append(&line).map_err(|source| self.failed(source))?;
        let (site, seen) = (self.own, true);
        self.hosts.insert(host.into(), Host { site, seen });
        Ok(Claim::New)
    }

    /// Appends a line; one that was torn by a crash is cut off first.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        file.seek(SeekFrom::Start(self.length))?;
        let result = file.write_all(line);
        let end = self.length + if result.is_ok() { line.len() as u64 } else { 0 };
        file.set_len(end)?;
        self.inode = file.metadata()?.ino();
        self.length = end;
        result
    }

    /// Reads what others have written since.
    fn refresh(&mut self) -> Result<(), Error> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed(error)),
        };
        let metadata = file.metadata().map_err(|source| self.failed(source))?;
        if metadata.ino() == self.inode && metadata.len() == self.length {
            return Ok(());
        }
        if metadata.len() > MAX_FILE {
            let what = format!("is longer than {MAX_FILE} bytes");
            let path = self.path.clone();
            return Err(Error::BadFile { path, what });
        }
        // Another file, or one that was cut: all of it, keeping what we saw.
        let mut seen = HashMap::new();
        if metadata.ino() != self.inode || metadata.len() < self.length {
            (self.inode, self.length) = (metadata.ino(), 0);
            seen = std::mem::take(&mut self.hosts);
        }
        file.seek(SeekFrom::Start(self.length))
            .map_err(|source| self.failed(source))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(|source| self.failed(source))?;
        let whole = text.rfind_byte(b'\n').map_or(0, |at| at + 1);
        for line in text[..whole].lines() {
            self.take_line(line, &seen)?;
        }
        self.length += whole as u64;
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], seen: &HashMap<Box<[u8]>, Host>) -> Result<(), Error> {
        let parts = line.split_once_str(" ");
        let site = parts.and_then(|(site, _)| SiteId::new(site.to_str().ok()?).ok());
        let (Some((_, host)), Some(site)) = (parts, site) else {
            let what = format!("a line is not SITE HOST: {:?}", line.as_bstr());
            let path = self.path.clone();
            return Err(Error::BadFile { path, what });
        };
        let site = self.index(site)?;
        let seen = site == self.own && seen.get(host).is_some_and(|host| host.seen);
        self.hosts.insert(host.into(), Host { site, seen });
        Ok(())
    }

    fn index(&mut self, site: SiteId) -> Result<u16, Error> {
        let known = self.sites.iter().position(|known| *known == site);
        let index = known.unwrap_or(self.sites.len());
        if known.is_none() {
            self.sites.push(site);
        }
        u16::try_from(index).map_err(|_| Error::BadFile {
            path: self.path.clone(),
            what: "names too many sites".to_owned(),
        })
    }

    fn failed(&self, source: io::Error) -> Error {
        let path = self.path.clone();
        Error::Io { path, source }
    }
}

fn write_line(out: &mut dyn Write, site: &SiteId, host: &[u8]) -> io::Result<()> {
    if host.is_empty() || host.len() > MAX_HOST || host.contains(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{:?} is not the name of a host", host.as_bstr()),
        ));
    }
    write!(out, "{site} ")?;
    out.write_all(host)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path, site: &str) -> Owners {
        Owners::open(directory, &SiteId::new(site).unwrap()).unwrap()
    }

    fn of(site: &str) -> Claim {
        Claim::Of(SiteId::new(site).unwrap())
    }

    #[test]
    fn a_host_belongs_to_the_site_that_claimed_it_first() {
        let directory = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (open(directory.path(), "a"), open(directory.path(), "b"));
        assert_eq!(a.claim(b"web 01 \xff").unwrap(), Claim::New);
        assert_eq!(a.claim(b"web 01 \xff").unwrap(), Claim::Ours);
        // Both had the file open before.
        assert_eq!(b.claim(b"web 01 \xff").unwrap(), of("a"));
        assert_eq!(b.claim(b"db").unwrap(), Claim::New);
        assert_eq!(a.claim(b"db").unwrap(), of("b"));
        let again = open(directory.path(), "a");
        assert_eq!(again.own().collect::<Vec<_>>(), [b"web 01 \xff"]);
        assert_eq!(again.owner(b"db").unwrap().as_str(), "b");
        assert_eq!(again.owner(b"nobody"), None);
    }

    #[test]
    fn hosts_that_were_not_claimed_again_are_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let mut a = open(directory.path(), "a");
        for host in ["x", "y", "z"] {
            a.claim(host.as_bytes()).unwrap();
        }
        assert_eq!(a.release_unclaimed().unwrap(), 0);
        let (mut a, mut b) = (open(directory.path(), "a"), open(directory.path(), "b"));
        a.claim(b"y").unwrap();
        b.claim(b"w").unwrap();
        assert_eq!(a.release_unclaimed().unwrap(), 2);
        assert_eq!(b.claim(b"x").unwrap(), Claim::New);
        assert_eq!(b.claim(b"y").unwrap(), of("a"));
        assert_eq!(a.claim(b"x").unwrap(), of("b"));
        assert_eq!(a.claim(b"w").unwrap(), of("b"));
        assert_eq!(b.release_unclaimed().unwrap(), 0);
    }

    #[test]
    fn a_line_torn_by_a_crash_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("owners");
        fs::write(&file, "b x\nb torn").unwrap();
        let mut a = open(directory.path(), "a");
        assert_eq!(a.claim(b"torn").unwrap(), Claim::New);
        assert_eq!(fs::read(&file).unwrap(), b"b x\na torn\n");
    }

    #[test]
    fn what_is_no_name_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut a = open(directory.path(), "a");
        for name in [&b""[..], b"a\nb c", &[b'x'; MAX_HOST + 1]] {
            assert!(a.claim(name).is_err());
        }
        assert!(!directory.path().join("owners").exists());
        fs::write(directory.path().join("owners"), "nonsense\n").unwrap();
        let site = SiteId::new("a").unwrap();
        let error = Owners::open(directory.path(), &site).unwrap_err();
        assert!(error.to_string().contains("SITE HOST"), "{error}");
    }
}
