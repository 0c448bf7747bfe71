//! What a spool stands on: which file system, and whether it keeps what it has
//! synced.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;

/// A kind of file system, by what it promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// It keeps what was synced.
    Safe,
    /// It does, but something is to be said about it.
    Doubtful(Doubt),
    /// It does not, or nobody can say: no spool belongs there.
    Unfit(Unfit),
}

/// What is to be said about a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Ext4 that was made without a journal.
    NoJournal,
    /// Its number in `statfs` is not one that this release knows.
    Unknown(u64),
}

/// Why a file system is not fit for a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is in memory.
    Memory(&'static str),
    /// Another machine keeps it, with caches in between.
    Network(&'static str),
    /// A program keeps it.
    Fuse,
    /// It lies over another one that is not known to be fit.
    Overlay,
}

/// Looks at the file system that `path` is on, or will be on when it is made.
pub fn of(path: &Path) -> Result<Ground, Error> {
    let there = existing(path);
    let ground = kind(there)?;
    if ground == Ground::Unfit(Unfit::Overlay)
        && let Some(upper) = upper_directory(there)
        && let Ok(Ground::Safe) = kind(&upper)
    {
        return Ok(Ground::Safe);
    }
    if ground == Ground::Safe && has_no_journal(there) {
        return Ok(Ground::Doubtful(Doubt::NoJournal));
    }
    Ok(ground)
}

/// The path itself, or the nearest directory above it that exists.
fn existing(path: &Path) -> &Path {
    let mut ancestors = path.ancestors().filter(|a| !a.as_os_str().is_empty());
    ancestors.find(|a| a.exists()).unwrap_or(Path::new("."))
}

fn kind(path: &Path) -> Result<Ground, Error> {
    let stat = rustix::fs::statfs(path).map_err(Error::system("look at", path))?;
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types differ between platforms"
    )]
    Ok(of_magic(stat.f_type as u64))
}

const EXT: u64 = 0xef53;

fn of_magic(magic: u64) -> Ground {
    // Where the kernel's type is signed, high bits may be set.
    match magic & 0xffff_ffff {
        // ext2 to ext4, XFS, Btrfs, ZFS, F2FS, bcachefs, JFS, ReiserFS.
        EXT | 0x5846_5342 | 0x9123_683e | 0x2fc1_2fc1 | 0xf2f5_2010 | 0xca45_1a4e | 0x3153_464a
        | 0x5265_4973 => Ground::Safe,
        0x0102_1994 => Ground::Unfit(Unfit::Memory("tmpfs")),
        0x8584_58f6 => Ground::Unfit(Unfit::Memory("ramfs")),
        0x6969 => Ground::Unfit(Unfit::Network("NFS")),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Ground::Unfit(Unfit::Network("SMB")),
        0x0102_1997 => Ground::Unfit(Unfit::Network("9P")),
        0x00c3_6400 => Ground::Unfit(Unfit::Network("Ceph")),
        0x5346_414f => Ground::Unfit(Unfit::Network("AFS")),
        0x6573_5546 => Ground::Unfit(Unfit::Fuse),
        0x794c_7630 => Ground::Unfit(Unfit::Overlay),
        other => Ground::Doubtful(Doubt::Unknown(other)),
    }
}

/// Where the upper layer of the overlay that `path` is on lies, as far as it can be
/// seen from here: in a container it cannot.
fn upper_directory(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    upper_of(&text, &path).filter(|upper| upper.is_dir())
}

fn upper_of(mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        path.starts_with(point).then_some((point.len(), line))
    });
    // The last of several at one place is the one that is seen.
    let (_, line) = mounts.max_by_key(|(len, _)| *len)?;
    let options = line.rsplit(' ').next()?.split(',');
    let mut upper = options.filter_map(|option| option.strip_prefix("upperdir="));
    upper.next().map(PathBuf::from)
}

/// Whether this is ext4 without a journal: the kernel lists each journal that is
/// in use under the name of its device.
fn has_no_journal(path: &Path) -> bool {
    let Ok(stat) = rustix::fs::stat(path) else {
        return false;
    };
    let is_ext = rustix::fs::statfs(path).is_ok_and(|stat| of_type(&stat) == EXT);
    let (major, minor) = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    let device = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}"));
    let Some(device) = device.ok().and_then(|link| {
        let name = link.file_name()?.to_str()?;
        Some(name.to_owned())
    }) else {
        return false;
    };
    let Ok(journals) = std::fs::read_dir("/proc/fs/jbd2") else {
        // Without any journal there is no such directory. Without /proc nobody
        // can say.
        return is_ext && Path::new("/proc/fs/ext4").join(&device).exists();
    };
    let prefix = format!("{device}-");
    let mut names = journals.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    is_ext && !names.any(|name| name == device || name.starts_with(&prefix))
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between platforms"
)]
fn of_type(stat: &rustix::fs::StatFs) -> u64 {
    stat.f_type as u64 & 0xffff_ffff
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJournal => f.write_str(
                "its ext4 has no journal: it keeps what was synced, but is slow, and has to be \
                 repaired after a loss of power",
            ),
            Self::Unknown(magic) => write!(
                f,
                "its file system (number {magic:#x}) is not one that is known to keep what was synced"
            ),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(name) => write!(f, "it is on {name}, which a loss of power empties"),
            Self::Network(name) => {
                write!(f, "it is on {name}, which need not keep what was synced")
            }
            Self::Fuse => f.write_str("it is on FUSE, which need not keep what was synced"),
            Self::Overlay => {
                f.write_str("it is on overlayfs over a file system that cannot be seen")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_apart() {
        for (magic, want) in [
            (EXT, Ground::Safe),
            (0x5846_5342, Ground::Safe),
            (0xffff_ffff_9123_683e, Ground::Safe),
            (0x0102_1994, Ground::Unfit(Unfit::Memory("tmpfs"))),
            (0x6969, Ground::Unfit(Unfit::Network("NFS"))),
            (0xffff_ffff_ff53_4d42, Ground::Unfit(Unfit::Network("SMB"))),
            (0x6573_5546, Ground::Unfit(Unfit::Fuse)),
            (0x794c_7630, Ground::Unfit(Unfit::Overlay)),
            (0x1234, Ground::Doubtful(Doubt::Unknown(0x1234))),
        ] {
            assert_eq!(of_magic(magic), want, "{magic:#x}");
        }
    }

    #[test]
    fn the_upper_layer_is_that_of_the_nearest_mount() {
        let mounts = "22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/a/upper,workdir=/w\n\
                      23 22 0:21 / /proc rw - proc proc rw\n\
                      24 22 254:1 / /var/spool rw - ext4 /dev/vda1 rw\n\
                      25 22 0:33 / /srv rw - overlay overlay rw,lowerdir=/l,upperdir=/b/upper\n";
        for (path, want) in [
            ("/etc", Some("/a/upper")),
            ("/var/spool/sitewire", None),
            ("/srv/x", Some("/b/upper")),
            ("/srvx", Some("/a/upper")),
        ] {
            let found = upper_of(mounts, Path::new(path));
            assert_eq!(found.as_deref(), want.map(Path::new), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_judged_by_what_is_above_it() {
        let ground = of(Path::new("/dev/shm/not/there/yet"));
        let shm = of(Path::new("/dev/shm"));
        assert_eq!(ground.ok(), shm.ok());
    }
}
