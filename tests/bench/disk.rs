//! A file system to measure durability on, and what its disk can do.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

/// A directory on a journaled ext4 close to the device where we may mount one,
/// else wherever temporary files go; unmounted and removed on drop.
pub(crate) struct Disk {
    mounted: Option<String>,
    directory: TempDir,
    /// What it is, for the notes.
    pub(crate) kind: String,
}

impl Disk {
    pub(crate) fn new(mib: u32) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("sw-bench-")
            .tempdir_in("/var/tmp")
            .expect("cannot make a directory in /var/tmp");
        let image = directory.path().join("image");
        let mount = directory.path().join("fs");
        std::fs::create_dir(&mount).expect("cannot make a directory");
        match mount_ext4(&image, &mount, mib) {
            Ok(device) => Self {
                mounted: Some(device),
                directory,
                kind: "journaled ext4 on a loop device".into(),
            },
            Err(reason) => Self {
                mounted: None,
                directory,
                kind: format!("/var/tmp as it is ({reason})"),
            },
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("fs")
    }

    /// What `act` brings while every write is synced before it returns; none where
    /// the file system is not ours.
    pub(crate) fn synced<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        self.mounted.as_ref()?;
        let remount = |option: &str| {
            let path = self.path();
            sh(&format!("mount -o remount,{option} {}", path.display())).ok()
        };
        remount("sync")?;
        let result = act();
        remount("async");
        Some(result)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = &self.mounted {
            let _ = Command::new("umount").arg(self.path()).status();
            let _ = Command::new("losetup").args(["-d", device]).status();
        }
    }
}

/// The image is written out first and used without the page cache in between,
/// so that a sync below costs what it costs on the device.
fn mount_ext4(image: &Path, mount: &Path, mib: u32) -> Result<String, String> {
    if !harness::peer::is_root() {
        return Err("not root".into());
    }
    let image = image.to_str().expect("ASCII");
    let mount = mount.to_str().expect("ASCII");
    sh(&format!(
        "dd if=/dev/zero of={image} bs=1M count={mib} oflag=direct status=none"
    ))?;
    let device = sh(&format!("losetup -f --show --direct-io=on {image}"))?;
    let mounted = sh(&format!(
        "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 {device} && mount -o noatime {device} {mount}"
    ));
    match mounted {
        Ok(_) => Ok(device),
        Err(reason) => {
            let _ = sh(&format!("losetup -d {device}"));
            Err(reason)
        }
    }
}

fn sh(script: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", script]).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(errors.lines().next().unwrap_or("failed").to_owned())
    }
}

/// How many appends of 2 KiB a second are durable, with `group` of them in each
/// sync, into a file whose space is there already.
pub(crate) fn appends_per_second(directory: &Path, group: usize, syncs: u32) -> f64 {
    const SIZE: usize = 2048;
    let path = directory.join("append");
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&path)
        .expect("cannot make a file to measure the disk with");
    let records = vec![b'x'; SIZE * group];
    for number in 0..u64::from(syncs) {
        let at = number * records.len() as u64;
        let zeros = vec![0; records.len()];
        file.write_all_at(&zeros, at).expect("cannot write");
    }
    file.sync_all().expect("cannot sync");
    let began = Instant::now();
    for number in 0..u64::from(syncs) {
        let at = number * records.len() as u64;
        file.write_all_at(&records, at).expect("cannot write");
        file.sync_data().expect("cannot sync");
    }
    let rate = f64::from(syncs) * group as f64 / began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path).expect("own file");
    rate
}
