//! What happens on the disk: notifications are submitted, forwarded, received,
//! delivered, while daemons are killed and started again. Each acknowledgement is
//! noted on the disk that remembers.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::disk::Failing;
use objects::NotificationId;
use spool::SpoolDirectory;
use spool::record::{End, Event};

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Sender,
    Receiver,
}

/// How many notifications there are, and how long their longest line is.
const NOTIFICATIONS: usize = 480;
const TEXT: usize = 24_000;
/// How many are submitted at a time.
const SUBMITTERS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(120);

/// Two sites, one of them with its spool on the disk that remembers.
pub struct Story<'a> {
    pub programs: &'a Path,
    /// An ordinary directory.
    pub ordinary: &'a Path,
    /// Where the file system of the disk that remembers is mounted.
    pub remembered: &'a Path,
    /// Where texts are noted.
    pub mark: &'a Path,
    /// The disk fails writes in the middle of the story.
    pub failing: Option<Failing>,
    pub side: Side,
}

impl Story<'_> {
    /// Plays it.
    pub fn play(&self) -> Result<(), String> {
        let (remote, central) = (self.spool(Side::Sender), self.spool(Side::Receiver));
        self.configure(&remote, &central)?;
        let mark = OpenOptions::new().write(true).open(self.mark);
        let mark = mark.map_err(|error| format!("{}: {error}", self.mark.display()))?;
        match self.side {
            Side::Sender => self.play_sender(&remote, &mark),
            Side::Receiver => self.play_receiver(&remote, &mark),
        }
    }

    /// Without a daemon, with one, with one that was killed, and with a peer.
    fn play_sender(&self, remote: &Path, mark: &File) -> Result<(), String> {
        let step = NOTIFICATIONS / 4;
        self.fail_writes(true);
        self.submit(remote, 0..step, mark)?;
        let mut sender = self.start("remote")?;
        self.submit(remote, step..2 * step, mark)?;
        let _receiver = self.start("central")?;
        sender.kill();
        self.fail_writes(false);
        self.submit(remote, 2 * step..3 * step, mark)?;
        let _sender = self.start("remote")?;
        self.submit(remote, 3 * step..NOTIFICATIONS, mark)?;
        self.wait_for_acknowledgements(remote, mark, NOTIFICATIONS)
    }

    /// One after the other as they come, a backlog at once, and killed in between.
    fn play_receiver(&self, remote: &Path, mark: &File) -> Result<(), String> {
        let step = NOTIFICATIONS / 4;
        let _sender = self.start("remote")?;
        let mut receiver = self.start("central")?;
        for part in 0..3 {
            self.fail_writes(part != 1);
            self.submit(remote, part * step..(part + 1) * step, mark)?;
            self.wait_for_acknowledgements(remote, mark, (part + 1) * step)?;
            receiver.kill();
            receiver = self.start("central")?;
        }
        receiver.kill();
        self.fail_writes(false);
        self.submit(remote, 3 * step..NOTIFICATIONS, mark)?;
        let _receiver = self.start("central")?;
        self.wait_for_acknowledgements(remote, mark, NOTIFICATIONS)
    }

    fn fail_writes(&self, fail: bool) {
        if let Some(failing) = &self.failing {
            failing.arm(fail);
        }
    }

    /// The spool of one side.
    pub fn spool(&self, side: Side) -> PathBuf {
        let name = match side {
            Side::Sender => "remote.spool",
            Side::Receiver => "central.spool",
        };
        match side == self.side {
            true => self.remembered.join(name),
            false => self.ordinary.join(name),
        }
    }

    fn configure(&self, remote: &Path, central: &Path) -> Result<(), String> {
        for spool in [remote, central] {
            SpoolDirectory::open(spool).map_err(|error| error.to_string())?;
        }
        let ordinary = self.ordinary.display();
        let text = |site: &str, spool: &Path, rest: &str| {
            let spool = spool.display();
            format!(
                "[site]\nname = \"{site}\"\n[spool]\ndirectory = \"{spool}\"\n\
                 [state]\nfile = \"{ordinary}/{site}.state\"\n{rest}"
            )
        };
        let link = format!("unix:{ordinary}/link");
        let remote = text(
            "remote",
            remote,
            &format!("[[peer]]\nsite = \"central\"\nconnect = \"{link}\"\nsend = true\n"),
        );
        let central = text(
            "central",
            central,
            &format!(
                "[[listen]]\naddress = \"{link}\"\n[[peer]]\nsite = \"remote\"\n\
                 [[lane]]\nname = \"mail\"\nmaildir = \"{ordinary}/mail\"\n"
            ),
        );
        for (site, text) in [("remote", remote), ("central", central)] {
            let path = self.ordinary.join(format!("{site}.toml"));
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn start(&self, site: &str) -> Result<Daemon, String> {
        let log = self.ordinary.join(format!("{site}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log);
        let log = log.map_err(|error| error.to_string())?;
        let child = Command::new(self.programs.join("notifyd"))
            .arg("--config")
            .arg(self.ordinary.join(format!("{site}.toml")))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("notifyd: {error}"))?;
        Ok(Daemon(child))
    }

    /// Submits some, several at a time. With the sender's disk under test, what
    /// `notify` says with 0 is an acknowledgement.
    fn submit(
        &self,
        spool: &Path,
        numbers: std::ops::Range<usize>,
        mark: &File,
    ) -> Result<(), String> {
        let next = AtomicUsize::new(numbers.start);
        let one = || -> Result<(), String> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(());
                }
                self.notify(spool, number)?;
                if self.side == Side::Sender {
                    note(mark, id(number))?;
                }
            }
        };
        std::thread::scope(|scope| {
            let submitters: Vec<_> = (0..SUBMITTERS).map(|_| scope.spawn(one)).collect();
            let ends = submitters
                .into_iter()
                .map(|submitter| submitter.join().map_err(|_| "panic".to_owned())?);
            ends.collect()
        })
    }

    /// On a disk that fails, as often as it takes: with its own id it is one.
    fn notify(&self, spool: &Path, number: usize) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.try_to_notify(spool, number) {
                Err(_) if self.failing.is_some() && Instant::now() < end => {}
                other => return other,
            }
        }
    }

    fn try_to_notify(&self, spool: &Path, number: usize) -> Result<(), String> {
        let id = id(number).to_string();
        let status = Command::new(self.programs.join("notify"))
            .env_clear()
            .arg("--spool")
            .arg(spool)
            .args(["--site", "remote", "--id", &id, "NOTIFICATIONTYPE=PROBLEM"])
            .arg(format!("HOSTNAME=host{}", number % 50))
            .arg(format!("LONGHOSTOUTPUT={}", "x".repeat(TEXT)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(match self.failing {
                // It complains often.
                Some(_) => Stdio::null(),
                None => Stdio::inherit(),
            })
            .status()
            .map_err(|error| format!("notify: {error}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("notify: {status}")),
        }
    }

    /// Waits until the peer has acknowledged the first `count`. With the receiver's disk
    /// under test each acknowledgement is noted when the sender has recorded it,
    /// which is a little later than it came.
    fn wait_for_acknowledgements(
        &self,
        remote: &Path,
        mark: &File,
        count: usize,
    ) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let mut missing: BTreeSet<NotificationId> = (0..count).map(id).collect();
        while !missing.is_empty() {
            if Instant::now() > end {
                return Err(format!("{} are not acknowledged", missing.len()));
            }
            let ids: Vec<NotificationId> = missing.iter().copied().collect();
            let histories =
                spool::history::of_each(remote, &ids).map_err(|error| error.to_string())?;
            for (id, events) in histories {
                let stored = |event: &Event<'_>| {
                    matches!(
                        event,
                        Event::Settled {
                            end: End::StoredByPeer,
                            ..
                        }
                    )
                };
                if events.iter().any(|(_, event)| stored(event)) {
                    missing.remove(&id);
                    if self.side == Side::Receiver {
                        note(mark, id)?;
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }
}

/// The id of a notification.
pub fn id(number: usize) -> NotificationId {
    let mut bytes = [0x5a; 16];
    // A UUID of version 7, as far as anybody looks.
    bytes[6] = 0x7a;
    bytes[8] = 0x8a;
    bytes[..4].copy_from_slice(&(number as u32).to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn note(mut mark: &File, id: NotificationId) -> Result<(), String> {
    let noted = mark.write_all(id.to_string().as_bytes());
    noted.map_err(|error| format!("cannot note: {error}"))
}

/// A daemon, killed at the end.
struct Daemon(Child);

impl Daemon {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
