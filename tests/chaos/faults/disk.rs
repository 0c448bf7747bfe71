//! Faults of disks and file systems.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::disk::{EXT4, SmallDisk};
use crate::field::{Field, Plan};
use crate::inject::inject;
use crate::problem::{Problem, require, sh};
use crate::submitters::{Promises, Submitters};

use super::{sleep, submit_to, wait};

fn on(disk: &SmallDisk, number: usize) -> Field {
    let mut field = Field::new(&Plan {
        spools: vec![(number, disk.spool())],
        ..Plan::default()
    });
    field.start();
    field
}

/// Disks that remember each write, or fail some, have a program of their own.
fn replay(options: &[&str]) -> Result<String, Problem> {
    let output = Command::new("timeout")
        .arg("1200")
        .arg(harness::program::repository().join("scripts/replay"))
        .args(["--images", "40"])
        .args(options)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {
            let tells = |line: &&str| line.contains(" wrong") || line.contains("failed");
            let words: Vec<&str> = said.lines().filter(tells).collect();
            Ok(words.join("; "))
        }
        Some(77) => Err(Problem::Skipped(said.trim().to_owned())),
        _ => {
            let complaints = String::from_utf8_lossy(&output.stderr);
            Err(Problem::Wrong(format!("{said}{complaints}")))
        }
    }
}

pub(super) fn power_loss() -> Result<String, Problem> {
    replay(&[])
}

pub(super) fn failing_writes() -> Result<String, Problem> {
    replay(&["--failing-writes"])
}

fn promised(submitters: &Submitters) -> usize {
    submitters.promises.count()
}

/// The device goes away under load; what was promised is there afterwards.
pub(super) fn shut_down() -> Result<String, Problem> {
    sh("command -v xfs_io mkfs.xfs")?;
    let mut words = Vec::new();
    for number in [0, 1] {
        let disk = SmallDisk::new(320, "mkfs.xfs -q -f")?;
        let mut field = on(&disk, number);
        let submitters = submit_to(&field);
        sleep(2.0);
        sh(&format!("xfs_io -x -c shutdown {}", disk.path().display()))?;
        sleep(0.5);
        field.daemons[number].kill();
        let (path, device) = (disk.path(), disk.device());
        // Submitters may be looking at it in this moment.
        wait("it can be unmounted", 10, || {
            sh(&format!("umount {}", path.display())).is_ok()
        })?;
        sh(&format!("mount {device} {}", path.display()))?;
        field.daemons[number].start();
        sleep(1.0);
        let promises = submitters.finish();
        words.push(field.finish(&promises)?);
    }
    Ok(words.join("; "))
}

/// Full at the one side and at the other; recovers by itself within 30 s.
pub(super) fn full() -> Result<String, Problem> {
    let mut words = Vec::new();
    for number in [0, 1] {
        let disk = SmallDisk::new(96, EXT4)?;
        words.push(fill(&disk, number)?);
    }
    Ok(words.join("; "))
}

fn fill(disk: &SmallDisk, number: usize) -> Result<String, Problem> {
    let mut field = Field::new(&Plan {
        spools: vec![(number, disk.spool())],
        delivers: true,
        ..Plan::default()
    });
    field.start();
    let submitters = submit_to(&field);
    sleep(1.0);
    disk.fill();
    sleep(2.0);
    let while_full = promised(&submitters);
    if number == 0 {
        sleep(1.0);
        require(
            promised(&submitters) <= while_full + 3,
            "submissions are still accepted though the disk is full",
        )?;
    }
    disk.empty();
    let before = promised(&submitters);
    let took = wait("submissions are accepted again", 30, || {
        promised(&submitters) > before + 5
    })?;
    let promises = submitters.finish();
    // It heals without a restart.
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    let words = field.finish(&promises)?;
    Ok(format!("{words}, again after {:.1} s", took.as_secs_f64()))
}

/// New files cannot be made, but the journal goes on.
pub(super) fn no_inodes() -> Result<String, Problem> {
    let disk = SmallDisk::new(96, &format!("{EXT4} -N 64"))?;
    let mut field = on(&disk, 1);
    let submitters = submit_to(&field);
    sleep(1.0);
    let directory = disk.path().join("many");
    std::fs::create_dir(&directory)?;
    let mut count = 0;
    while std::fs::write(directory.join(count.to_string()), "").is_ok() {
        count += 1;
    }
    sleep(2.0);
    std::fs::remove_dir_all(&directory)?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    field.finish(&promises)
}

/// Syncs and writes fail once or always, at both sides. Writes that are short come
/// with full disks (T4) and limits (T8); strace can only pretend them.
pub(super) fn failing_calls() -> Result<String, Problem> {
    sh("command -v strace")?;
    let mut field = Field::new(&Plan::default());
    field.start();
    let submitters = submit_to(&field);
    for number in [0, 1] {
        for (call, how) in [
            ("fdatasync", "error=EIO:when=3"),
            ("fdatasync", "error=EIO:when=3+"),
            ("pwrite64", "error=ENOSPC:when=5"),
            ("pwrite64", "error=EIO:when=2+"),
        ] {
            inject(field.daemons[number].pid(), 1.5, call, how);
            require(
                field.daemons[number].is_running(),
                &format!("it ended when {call} had {how}"),
            )?;
        }
    }
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    field.finish(&promises)
}

pub(super) fn read_only() -> Result<String, Problem> {
    let mut words = Vec::new();
    for number in [0, 1] {
        let disk = SmallDisk::new(96, EXT4)?;
        let mut field = on(&disk, number);
        let submitters = submit_to(&field);
        sleep(1.0);
        let path = disk.path();
        let ro = sh(&format!("mount -o remount,ro {}", path.display()));
        if ro.is_err() {
            // Files are open for writing: as the kernel does it after an error.
            sh(&format!("mount -o remount,abort {}", path.display()))?;
        }
        sleep(2.0);
        require(
            field.daemons[number].is_running(),
            "it ended when the file system became read-only",
        )?;
        let back = sh(&format!("mount -o remount,rw {}", path.display()));
        if back.is_err() {
            // After an abort only a new mount helps.
            field.daemons[number].kill();
            wait("it can be unmounted", 10, || {
                sh(&format!("umount {}", path.display())).is_ok()
            })?;
            sh(&format!("mount {} {}", disk.device(), path.display()))?;
            field.daemons[number].start();
        }
        let promises = submitters.finish();
        words.push(field.finish(&promises)?);
    }
    Ok(words.join("; "))
}

/// The journal may not be written to by the daemon's user any more, and then may
/// again.
pub(super) fn permissions() -> Result<String, Problem> {
    sh("command -v setpriv")?;
    if !harness::peer::is_root() {
        return Err(Problem::Skipped(
            "not root, cannot become somebody else".to_owned(),
        ));
    }
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let prefix: Vec<String> = user.split(' ').map(str::to_owned).collect();
    let mut field = Field::new(&Plan {
        prefix: vec![(0, prefix.clone()), (1, prefix)],
        ..Plan::default()
    });
    field.give_to("65534:65534");
    field.start();
    let spool = field.daemons[1].spool.clone();
    let submitters = super::submit_to_socket(&field);
    sleep(1.0);
    let journal = spool.join("journal");
    sh(&format!("chmod 500 {}", journal.display()))?;
    // What is open may still be written; a new process finds out.
    field.daemons[1].kill();
    field.daemons[1].begin();
    sleep(2.0);
    let path = journal.display().to_string();
    let said = field.daemons[1].has_said(&[&path]);
    sh(&format!("chmod 700 {}", journal.display()))?;
    if !field.daemons[1].is_running() {
        field.daemons[1].kill();
        field.daemons[1].start();
    }
    require(said, "nothing was said about the journal's directory")?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(90))
        .map_err(Problem::Wrong)?;
    field.finish(&promises)
}

/// Good files and rubbish, all at once.
pub(super) fn flood() -> Result<String, Problem> {
    const GOOD: usize = 100_000;
    let mut field = Field::new(&Plan::default());
    field.start();
    let (tmp, new) = (field.entrance().join("tmp"), field.entrance().join("new"));
    let promises = Promises::default();
    for n in 0..20 {
        std::fs::write(new.join(format!("garbage {n}")), "GET / HTTP/1.0\r\n")?;
        std::fs::write(new.join(format!("empty\n{n}")), "")?;
        std::fs::create_dir(new.join(format!("directory{n}")))?;
        symlink("/nowhere", new.join(format!("link{n}")))?;
    }
    sh(&format!("mkfifo '{}/a pipe'", new.display()))?;
    for number in 0..GOOD {
        promises.drop_unsynced(&tmp, &new, number as u64)?;
    }
    let rubbish = 20 * 4 + 1;
    let corrupt = field.entrance().join("corrupt");
    let aside = || {
        let names = std::fs::read_dir(&corrupt).into_iter().flatten().flatten();
        let of = |name: &std::ffi::OsStr| !name.to_string_lossy().ends_with(".why");
        names.filter(|entry| of(&entry.file_name())).count()
    };
    wait("the rubbish is set aside", 120, || aside() == rubbish)?;
    field
        .wait_until_empty(Duration::from_secs(120))
        .map_err(Problem::Wrong)?;
    let words = field.finish(&promises)?;
    require(aside() == rubbish, "something was set aside twice")?;
    Ok(format!("{words}, {rubbish} set aside"))
}
