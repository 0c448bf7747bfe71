//! How full the file systems are. The system call that tells can hang for ever
//! on a network file system whose server is gone, so it is made in a thread
//! that may be left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use agent::document::{Disk, Mount, Usage};
use rustix::fs::statvfs;

use super::mount_table::{self, MountLine};

/// Devices that stand for no storage. The original compares the device and
/// not the type, so that a `devtmpfs` or a network file system is kept.
const NO_STORAGE: [&str; 24] = [
    "sysfs",
    "proc",
    "udev",
    "devpts",
    "devfs",
    "tmpfs",
    "securityfs",
    "cgroup",
    "cgroup2",
    "pstore",
    "debugfs",
    "hugetlbfs",
    "systemd-1",
    "mqueue",
    "none",
    "sunrpc",
    "nfsd",
    "nsfs",
    "fusectl",
    "configfs",
    "overlay",
    "shm",
    "tracefs",
    "binfmt_misc",
];

/// How long a file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// When this much time is gone for all together, the rest must hurry.
const BUDGET: Duration = Duration::from_secs(10);

/// How long each may take then.
const HURRY: Duration = Duration::from_millis(100);

/// All file systems that hold something, with zeros for those that did not
/// tell, and why they did not.
pub(crate) fn disks() -> (Vec<Disk>, Vec<String>) {
    let mounts = match mount_table::read() {
        Ok(mounts) => mounts,
        Err(error) => {
            return (
                Vec::new(),
                vec![format!("cannot read the mount table: {error}")],
            );
        }
    };
    let mounts: Vec<MountLine> = mounts.into_iter().filter(is_storage).collect();
    let paths = mounts
        .iter()
        .map(|mount| mount.mountpoint.clone())
        .collect();
    let mut errors = Vec::new();
    let disks = mounts
        .iter()
        .zip(ask_all(paths, ask, PATIENCE))
        .map(|(mount, usage)| {
            let usage = usage.unwrap_or_else(|error| {
                errors.push(format!("{}: {error}", mount.mountpoint.display()));
                Usage {
                    percent: Some(0.0),
                    ..Usage::default()
                }
            });
            Disk {
                disk: describe(mount),
                usage,
            }
        })
        .collect();
    (disks, errors)
}

fn is_storage(mount: &MountLine) -> bool {
    let device = String::from_utf8_lossy(&mount.device);
    let mountpoint = mount.mountpoint.to_string_lossy().to_lowercase();
    !NO_STORAGE.contains(&device.as_ref()) && !mountpoint.contains("thinlinc/sessions")
}

fn describe(mount: &MountLine) -> Mount {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Mount {
        device: text(&mount.device),
        mountpoint: mount.mountpoint.to_string_lossy().into_owned(),
        fstype: text(&mount.fstype),
        opts: Some(mount.opts.iter().map(|opt| text(opt)).collect()),
    }
}

fn ask(path: &Path) -> io::Result<Usage> {
    let stat = statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    let free = bytes(stat.f_bavail);
    Ok(Usage {
        total: bytes(stat.f_blocks),
        used,
        free,
        percent: Some(percentage(used, free)),
    })
}

/// Of what users can have: the reserve of root counts neither way, as in df.
fn percentage(used: u64, free: u64) -> f64 {
    let usable = used as f64 + free as f64;
    match usable > 0.0 {
        true => used as f64 / usable * 100.0,
        false => 0.0,
    }
}

/// Asks for every path in turn. A thread whose path does not answer in time is
/// left behind, and a new one goes on with the next path.
fn ask_all<F>(paths: Vec<PathBuf>, ask: F, patience: Duration) -> Vec<io::Result<Usage>>
where
    F: Fn(&Path) -> io::Result<Usage> + Send + Sync + 'static,
{
    let (paths, ask) = (Arc::new(paths), Arc::new(ask));
    let start = Instant::now();
    let mut usages = Vec::with_capacity(paths.len());
    while usages.len() < paths.len() {
        let first = usages.len();
        let (answer, answers) = mpsc::channel();
        let worker = {
            let (paths, ask) = (Arc::clone(&paths), Arc::clone(&ask));
            move || {
                // Nobody listens any more after an answer that came too late.
                let _ = paths[first..]
                    .iter()
                    .try_for_each(|path| answer.send(ask(path)));
            }
        };
        if let Err(error) = thread::Builder::new().stack_size(64 << 10).spawn(worker) {
            usages.push(Err(error));
            continue;
        }
        while usages.len() < paths.len() {
            let patience = if start.elapsed() < BUDGET {
                patience
            } else {
                HURRY
            };
            match answers.recv_timeout(patience) {
                Ok(usage) => usages.push(usage),
                Err(RecvTimeoutError::Timeout) => {
                    usages.push(Err(no_answer(patience)));
                    break;
                }
                // The worker ended early, by a panic.
                Err(RecvTimeoutError::Disconnected) => {
                    usages.push(Err(io::Error::other("cannot be asked")));
                    break;
                }
            }
        }
    }
    usages
}

fn no_answer(patience: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {} s", patience.as_secs_f64()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_hangs_does_not_hold_up_the_others() {
        let paths = ["/a", "/dead", "/b", "/dead", "/gone"]
            .map(PathBuf::from)
            .to_vec();
        let ask = |path: &Path| match path.to_str() {
            Some("/dead") => loop {
                thread::park();
            },
            Some("/gone") => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(Usage {
                total: 7,
                ..Usage::default()
            }),
        };
        let usages = ask_all(paths, ask, Duration::from_secs(1));
        let kinds: Vec<_> = usages
            .iter()
            .map(|usage| {
                usage
                    .as_ref()
                    .map(|usage| usage.total)
                    .map_err(io::Error::kind)
            })
            .collect();
        use io::ErrorKind::{NotFound, TimedOut};
        assert_eq!(
            kinds,
            [Ok(7), Err(TimedOut), Ok(7), Err(TimedOut), Err(NotFound)]
        );
    }

    #[test]
    fn the_device_decides_what_is_storage() {
        for (device, mountpoint, want) in [
            ("/dev/sda1", "/", true),
            ("tmpfs", "/run", false),
            ("devtmpfs", "/dev", true),
            ("nas:/export", "/home", true),
            ("/dev/loop3", "/snap/core/1", true),
            ("overlay", "/var/lib/docker/x", false),
            ("u1", "/var/opt/ThinLinc/Sessions/u1", false),
        ] {
            let mount = MountLine {
                device: device.into(),
                mountpoint: mountpoint.into(),
                fstype: b"x".to_vec(),
                opts: Vec::new(),
            };
            assert_eq!(is_storage(&mount), want, "{device} on {mountpoint}");
        }
    }

    #[test]
    fn the_root_reserve_counts_neither_way() {
        assert_eq!(percentage(30, 70), 30.0);
        assert_eq!(percentage(0, 0), 0.0);
        assert_eq!(percentage(u64::MAX, u64::MAX), 50.0);
    }
}
