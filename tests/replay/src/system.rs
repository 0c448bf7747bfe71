//! Mounts and loop devices.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command; its output, or what it complained about.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!(
            "{program}: {} {said} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// A file system that images are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    /// Makes one on a device.
    pub fn make(self, device: &str) -> Result<(), String> {
        let (program, arguments) = match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F", "-E", "nodiscard"][..]),
            // XFS does not like disks this small, but can do with them.
            Self::Xfs => ("mkfs.xfs", &["-q", "-f", "-K", "--unsupported"][..]),
        };
        run(program, &[arguments, &[device]].concat()).map(drop)
    }

    /// How it is mounted if nothing else is said.
    pub fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "data=ordered",
            // All images have the same name.
            Self::Xfs => "nouuid",
        }
    }
}

/// A loop device over a file, detached at the end.
pub struct Loop(String);

impl Loop {
    pub fn over(file: &Path) -> Result<Self, String> {
        let arguments = ["-f".as_ref(), "--show".as_ref(), file.as_os_str()];
        run("losetup", &arguments).map(Self)
    }

    pub fn device(&self) -> &str {
        &self.0
    }

    /// Makes each of its requests one write of the file, and of one file in it.
    pub fn split_requests(&self) -> Result<(), String> {
        let name = self.0.trim_start_matches("/dev/");
        for (setting, value) in [("max_sectors_kb", "64"), ("nomerges", "2")] {
            let path = format!("/sys/block/{name}/queue/{setting}");
            std::fs::write(&path, value).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(error) = run("losetup", &["-d", &self.0]) {
            eprintln!("replay: {error}");
        }
    }
}

/// A mounted file system, unmounted at the end.
pub struct Mount(PathBuf);

impl Mount {
    pub fn new(options: &str, what: &Path, at: &Path) -> Result<Self, String> {
        let arguments = [
            "-o".as_ref(),
            options.as_ref(),
            what.as_os_str(),
            at.as_os_str(),
        ];
        run("mount", &arguments)?;
        Ok(Self(at.to_owned()))
    }

    /// Mounts an image of a crashed disk, repaired if it has to be.
    pub fn image(options: &str, image: &Path, at: &Path) -> Result<Self, String> {
        let options = format!("loop,{options}");
        Self::new(&options, image, at).or_else(|_| {
            // Ends with 1 when it has repaired something.
            let _ = run("e2fsck", &["-fy".as_ref(), image.as_os_str()]);
            Self::new(&options, image, at)
        })
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for _ in 0..50 {
            match run("umount", &[&self.0]) {
                Ok(_) => return,
                // A process that was killed may not be gone yet.
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(100)),
            }
        }
        eprintln!("replay: {} stays mounted", self.0.display());
    }
}
