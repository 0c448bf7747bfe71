//! What is mounted: the mount table of process 1, read as bytes, because a
//! mount point need not be UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::root::Root;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountLine {
    pub(crate) device: Vec<u8>,
    pub(crate) mountpoint: PathBuf,
    pub(crate) fstype: Vec<u8>,
    pub(crate) opts: Vec<Vec<u8>>,
}

impl MountLine {
    /// Whether what it holds comes from somebody who may stop answering: another
    /// machine, or a program.
    pub(crate) fn is_served(&self) -> bool {
        SERVED.iter().any(|name| self.fstype.starts_with(name))
    }
}

/// Beginnings of types of file systems.
const SERVED: [&[u8]; 17] = [
    b"nfs",
    b"cifs",
    b"smb",
    b"fuse",
    b"ceph",
    b"gluster",
    b"9p",
    b"afs",
    b"lustre",
    b"beegfs",
    b"gpfs",
    b"autofs",
    b"ncp",
    b"ocfs2",
    b"gfs",
    b"davfs",
    b"virtiofs",
];

/// All mounts of process 1, or our own where that one is hidden from us.
pub(crate) fn read(root: &Root) -> Result<Vec<MountLine>, String> {
    let mut buffer = Vec::new();
    if root.read("proc/1/mountinfo", &mut buffer).is_err() {
        root.read("proc/self/mountinfo", &mut buffer)?;
    }
    Ok(parse(&buffer))
}

/// Lines that cannot be read are left out: one odd mount must not hide the others.
///
/// `36 35 98:0 /root /mountpoint rw,noatime [optional…] - ext4 /dev/sda1 rw`
pub(crate) fn parse(text: &[u8]) -> Vec<MountLine> {
    text.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<MountLine> {
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let dash = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    let mut opts: Vec<Vec<u8>> = fields[5]
        .split(|b| *b == b',')
        .map(<[u8]>::to_vec)
        .collect();
    // As the original marks a mount of a part of a file system.
    if fields[3] != b"/" {
        opts.push(b"bind".to_vec());
    }
    Some(MountLine {
        device: unescape(fields.get(dash + 2)?),
        mountpoint: PathBuf::from(OsString::from_vec(unescape(fields[4]))),
        fstype: fields.get(dash + 1)?.to_vec(),
        opts,
    })
}

/// The kernel writes blanks, tabs, line feeds and backslashes as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = |b: u8| (b'0'..=b'7').contains(&b).then(|| u32::from(b - b'0'));
        let code = match (first, tail) {
            (b'\\', [a, b, c, ..]) => octal(*a)
                .zip(octal(*b))
                .zip(octal(*c))
                .and_then(|((a, b), c)| u8::try_from(a * 64 + b * 8 + c).ok()),
            _ => None,
        };
        match code {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_whatever_their_names() {
        let text = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            23 22 0:5 / /mnt/a\\040b\\134c rw - nfs4 nas:/x\\011y rw,vers=4\n\
            garbage\n\
            24 22 0:6 /sub /mnt/\xff ro master:1 propagate_from:2 - xfs /dev/vdb ro\n\
            25 22 0:7 / /x rw - tmpfs\n";
        let line = |device: &str, mountpoint: &[u8], fstype: &str, opts: &[&str]| MountLine {
            device: device.into(),
            mountpoint: PathBuf::from(OsString::from_vec(mountpoint.to_vec())),
            fstype: fstype.into(),
            opts: opts.iter().map(|opt| opt.as_bytes().to_vec()).collect(),
        };
        assert_eq!(
            parse(text),
            [
                line("/dev/vda", b"/", "ext4", &["rw", "relatime"]),
                line("nas:/x\ty", b"/mnt/a b\\c", "nfs4", &["rw"]),
                line("/dev/vdb", b"/mnt/\xff", "xfs", &["ro", "bind"]),
            ]
        );
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (field, want) in [
            (&b"\\"[..], &b"\\"[..]),
            (b"\\04", b"\\04"),
            (b"\\777", b"\\777"),
            (b"\\089", b"\\089"),
            (b"\\1012", b"A2"),
        ] {
            assert_eq!(unescape(field), want);
        }
    }
}
