//! A small file system of its own for one spool.

use std::path::PathBuf;

use crate::problem::{Problem, sh};

/// The usual one.
pub(crate) const EXT4: &str = "mkfs.ext4 -q -F -m 0";

/// On a loop device; unmounted on drop.
pub(crate) struct SmallDisk {
    directory: tempfile::TempDir,
    device: Option<String>,
}

impl SmallDisk {
    /// `make` makes the file system: the device is appended.
    pub(crate) fn new(mib: u64, make: &str) -> Result<Self, Problem> {
        if !harness::peer::is_root() {
            return Err(Problem::Skipped("not root, cannot mount".to_owned()));
        }
        let directory = tempfile::Builder::new()
            .prefix("sw-disk-")
            .tempdir_in("/tmp")?;
        let path = directory.path().display();
        let device = sh(&format!(
            "truncate -s {mib}M {path}/image && mkdir {path}/fs && losetup -f --show {path}/image"
        ))?;
        let disk = Self {
            device: Some(device.clone()),
            directory,
        };
        let path = disk.path();
        sh(&format!(
            "{make} {device} && mount {device} {} && chmod 755 {}",
            path.display(),
            path.display()
        ))?;
        Ok(disk)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("fs")
    }

    pub(crate) fn device(&self) -> &str {
        self.device.as_deref().unwrap_or("")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.path().join("spool")
    }

    /// Fills what is free.
    pub(crate) fn fill(&self) {
        let path = self.path().join("ballast");
        let _ = sh(&format!(
            "dd if=/dev/zero of={} bs=64k conv=fsync 2>/dev/null",
            path.display()
        ));
    }

    /// Gives the room back.
    pub(crate) fn empty(&self) {
        let _ = std::fs::remove_file(self.path().join("ballast"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.path();
        let _ = sh(&format!("umount -l {}", path.display()));
        if let Some(device) = &self.device {
            let _ = sh(&format!("losetup -d {device}"));
        }
    }
}
