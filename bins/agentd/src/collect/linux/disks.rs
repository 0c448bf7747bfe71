//! How full the file systems are. The system call that tells can hang for ever
//! on a file system that somebody else serves, so those are asked in threads
//! that may be left behind.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use agent::document::{Disk, Mount, Usage};
use rustix::fs::statvfs;

use super::mount_table::{self, MountLine};
use super::part::{Collector, Finding, Part};
use super::root::{self, Root};

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

/// How long all file systems together may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many threads may hang; no file system is asked then that could hang
/// another one.
const MAX_HUNG: usize = 16;

/// How long a figure is shown of one that does not answer.
const MAX_AGE: Duration = Duration::from_secs(600);

type Ask = Arc<dyn Fn(&Path) -> io::Result<Usage> + Send + Sync>;

/// All file systems that hold something.
pub(crate) struct FileSystems {
    root: Root,
    ask: Ask,
    patience: Duration,
    /// Those that have not answered, and what will tell when they have.
    hung: BTreeMap<PathBuf, Hung>,
    last: BTreeMap<PathBuf, (Usage, Instant)>,
}

struct Hung {
    since: Instant,
    answer: Receiver<io::Result<Usage>>,
}

impl FileSystems {
    pub(crate) fn new(root: Root) -> Self {
        Self::asking(root, Arc::new(ask), PATIENCE)
    }

    fn asking(root: Root, ask: Ask, patience: Duration) -> Self {
        Self {
            root,
            ask,
            patience,
            hung: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }
}

impl Collector for FileSystems {
    fn collect(&mut self) -> Result<Finding, String> {
        let mounts = mount_table::read(&self.root)?;
        let (disks, problems) = self.look_at(mounts.into_iter().filter(is_storage).collect());
        Ok(Finding {
            part: Part::Disks(disks),
            note: (!problems.is_empty()).then(|| problems.join("; ")),
        })
    }
}

impl FileSystems {
    /// Zeros or the last figures for those that did not tell, and why they did
    /// not.
    fn look_at(&mut self, mounts: Vec<MountLine>) -> (Vec<Disk>, Vec<String>) {
        let mut usages = self.ask_all(&mounts);
        let now = Instant::now();
        let mut problems = Vec::new();
        let mut last = BTreeMap::new();
        let disks = mounts.iter().map(|mount| {
            let path = &mount.mountpoint;
            let usage = match usages.remove(path) {
                Some(Ok(usage)) => {
                    last.insert(path.clone(), (usage, now));
                    usage
                }
                Some(Err(why)) => self.without_answer(path, &why, &mut last, &mut problems),
                // Several are mounted one over the other, and seen as one.
                None => last.get(path).map_or_else(zeros, |(usage, _)| *usage),
            };
            Disk {
                disk: describe(mount),
                usage,
            }
        });
        let disks = disks.collect();
        self.last = last;
        (disks, problems)
    }

    fn without_answer(
        &self,
        path: &Path,
        why: &str,
        last: &mut BTreeMap<PathBuf, (Usage, Instant)>,
        problems: &mut Vec<String>,
    ) -> Usage {
        let name = path.display();
        let known = self.last.get(path);
        match known.filter(|(_, at)| at.elapsed() < MAX_AGE && self.hung.contains_key(path)) {
            Some((usage, at)) => {
                let age = at.elapsed().as_secs();
                problems.push(format!("{name}: {why}, what is shown is {age} s old"));
                last.insert(path.to_owned(), (*usage, *at));
                *usage
            }
            None => {
                problems.push(format!("{name}: {why}"));
                zeros()
            }
        }
    }

    /// By mount point: what it answered, or why it did not.
    fn ask_all(&mut self, mounts: &[MountLine]) -> BTreeMap<PathBuf, Result<Usage, String>> {
        // Whoever has answered by now, or is gone, hangs no longer.
        self.hung
            .retain(|_, hung| matches!(hung.answer.try_recv(), Err(TryRecvError::Empty)));
        let mut usages = BTreeMap::new();
        let mut asked = Vec::new();
        for mount in mounts {
            let path = &mount.mountpoint;
            if usages.contains_key(path) || asked.iter().any(|(other, _)| other == path) {
                continue;
            }
            if !mount.is_served() {
                usages.insert(path.clone(), (self.ask)(path).map_err(|e| e.to_string()));
            } else if let Some(hung) = self.hung.get(path) {
                usages.insert(path.clone(), Err(no_answer(hung.since)));
            } else if self.hung.len() + asked.len() >= MAX_HUNG {
                usages.insert(
                    path.clone(),
                    Err("not asked, too many others hang".to_owned()),
                );
            } else {
                match self.start(path) {
                    Ok(answer) => asked.push((path.clone(), answer)),
                    Err(error) => {
                        usages.insert(path.clone(), Err(error.to_string()));
                    }
                }
            }
        }
        self.wait_for(asked, &mut usages);
        usages
    }

    fn start(&self, path: &Path) -> io::Result<Receiver<io::Result<Usage>>> {
        let (sender, answer) = mpsc::channel();
        let (ask, path) = (Arc::clone(&self.ask), path.to_owned());
        thread::Builder::new()
            .name("statfs".to_owned())
            .stack_size(64 << 10)
            // Perhaps nobody wants to know any more.
            .spawn(move || drop(sender.send(ask(&path))))?;
        Ok(answer)
    }

    fn wait_for(
        &mut self,
        asked: Vec<(PathBuf, Receiver<io::Result<Usage>>)>,
        usages: &mut BTreeMap<PathBuf, Result<Usage, String>>,
    ) {
        let since = Instant::now();
        for (path, answer) in asked {
            let patience = self.patience.saturating_sub(since.elapsed());
            let usage = match answer.recv_timeout(patience) {
                Ok(usage) => usage.map_err(|error| error.to_string()),
                Err(RecvTimeoutError::Disconnected) => Err("cannot be asked".to_owned()),
                Err(RecvTimeoutError::Timeout) => {
                    self.hung.insert(path.clone(), Hung { since, answer });
                    Err(no_answer(since))
                }
            };
            usages.insert(path, usage);
        }
    }
}

fn no_answer(since: Instant) -> String {
    format!("no answer for {} s", since.elapsed().as_secs())
}

fn zeros() -> Usage {
    Usage {
        percent: Some(0.0),
        ..Usage::default()
    }
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
        files: stat.f_files,
        files_free: stat.f_ffree,
    })
}

/// Of what users can have: the reserve of root counts neither way, as in df.
fn percentage(used: u64, free: u64) -> f64 {
    root::percentage(used as f64, used as f64 + free as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(fstype: &str, mountpoint: &str) -> MountLine {
        MountLine {
            device: b"x".to_vec(),
            mountpoint: mountpoint.into(),
            fstype: fstype.into(),
            opts: Vec::new(),
        }
    }

    #[test]
    fn one_that_hangs_is_shown_as_it_was_and_asked_again_when_it_has_answered() {
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let ask = {
            let asked = Arc::clone(&asked);
            move |path: &Path| {
                if path == Path::new("/gone") {
                    return Err(io::Error::other("stale file handle"));
                }
                let mut times = 0;
                if path == Path::new("/nas") {
                    times = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                    if times == 2 {
                        let _ = gate.lock().unwrap().recv();
                    }
                }
                Ok(Usage {
                    total: times,
                    ..Usage::default()
                })
            }
        };
        let root = Root::real();
        let mut file_systems = FileSystems::asking(root, Arc::new(ask), Duration::from_millis(50));
        let mounts = || {
            vec![
                mount("nfs4", "/nas"),
                mount("ext4", "/"),
                mount("nfs4", "/gone"),
                mount("ext4", "/"),
            ]
        };
        let (disks, problems) = file_systems.look_at(mounts());
        assert_eq!(disks.len(), 4);
        assert_eq!(disks[0].usage.total, 1);
        assert_eq!(problems, ["/gone: stale file handle"]);
        for _ in 0..3 {
            let (disks, problems) = file_systems.look_at(mounts());
            assert_eq!(disks[0].usage.total, 1);
            assert_eq!(problems.len(), 2);
            assert!(
                problems[0].starts_with("/nas: no answer for"),
                "{problems:?}"
            );
            assert!(problems[0].contains("what is shown is"), "{problems:?}");
        }
        // Asked once while it hung.
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
        release.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (disks, problems) = file_systems.look_at(mounts());
            if problems.len() == 1 {
                assert!(disks[0].usage.total > 2);
                return;
            }
            assert!(Instant::now() < deadline, "{problems:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn never_more_threads_hang_than_may() {
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let ask = move |_: &Path| {
            let _ = gate.lock().unwrap().recv();
            Ok(Usage::default())
        };
        let mut file_systems =
            FileSystems::asking(Root::real(), Arc::new(ask), Duration::from_millis(20));
        let mounts = || -> Vec<MountLine> {
            let paths = (0..MAX_HUNG + 3).map(|number| format!("/nas{number}"));
            paths.map(|path| mount("fuse.sshfs", &path)).collect()
        };
        for _ in 0..2 {
            let (disks, problems) = file_systems.look_at(mounts());
            assert_eq!(disks.len(), MAX_HUNG + 3);
            let spared = problems
                .iter()
                .filter(|problem| problem.contains("not asked"))
                .count();
            assert_eq!(spared, 3, "{problems:?}");
        }
        drop(release);
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
