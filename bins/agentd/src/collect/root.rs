//! Where the kernel and the system show their figures, and how they are read.

#[cfg(target_os = "linux")]
use std::fmt::Display;
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No file that tells a figure is longer.
#[cfg(target_os = "linux")]
const MAX_LEN: u64 = 64 << 20;

/// The root below which `proc`, `sys`, `etc`, `run` and `var` are; another one
/// in tests.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn real() -> Self {
        Self(PathBuf::from("/"))
    }

    #[cfg(test)]
    pub(crate) fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// A path that is written without its leading slash.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Reads a whole file into `buffer`, which is emptied first.
    #[cfg(target_os = "linux")]
    pub(crate) fn read<'a>(&self, path: &str, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
        let path = self.path(path);
        read_into(&path, buffer).map_err(|error| cannot_read(&path, &error))?;
        Ok(buffer)
    }
}

/// Reads a whole file into `buffer`, which is emptied first.
#[cfg(target_os = "linux")]
pub(crate) fn read_into(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    File::open(path)?.take(MAX_LEN).read_to_end(buffer)?;
    Ok(())
}

/// What is in a small file of `/sys`, without the blanks around it. What cannot
/// be read is not known: the kernel refuses many of these.
pub(crate) fn word(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    Some(text.trim().to_owned())
}

/// The number in a small file of `/sys`.
pub(crate) fn number(path: &Path) -> Option<i64> {
    word(path)?.parse().ok()
}

/// A number in the kernel's text.
pub(crate) fn parse<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Bytes as text that a document can hold.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(target_os = "linux")]
pub(crate) fn cannot_read(path: &Path, error: &dyn Display) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// A share in percent. Of nothing it is nothing: what is not a number would
/// make the whole document unreadable.
pub(crate) fn percentage(part: f64, whole: f64) -> f64 {
    match whole > 0.0 && part.is_finite() {
        true => part / whole * 100.0,
        false => 0.0,
    }
}

/// Growth of a counter per second. One that went back was reset: that is no
/// growth.
pub(crate) fn per_second(then: u64, now: u64, secs: f64) -> u64 {
    match secs > 0.0 {
        true => (now.saturating_sub(then) as f64 / secs).round() as u64,
        false => 0,
    }
}

/// Seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_never_absurd() {
        for (then, now, secs, want) in [
            (1000, 3000, 1.0, 2000),
            (1000, 3000, 2.0, 1000),
            (1000, 1002, 3.0, 1),
            (u64::MAX, 5, 1.0, 0),
            (5, 5, 1.0, 0),
            (1, 9, 0.0, 0),
        ] {
            assert_eq!(per_second(then, now, secs), want, "{then} {now} {secs}");
        }
    }

    #[test]
    fn a_share_is_always_a_number() {
        for (part, whole, want) in [
            (1.0, 4.0, 25.0),
            (0.0, 0.0, 0.0),
            (1.0, 0.0, 0.0),
            (f64::NAN, 1.0, 0.0),
            (1.0, f64::NAN, 0.0),
            (f64::INFINITY, 1.0, 0.0),
        ] {
            assert_eq!(percentage(part, whole), want, "{part} {whole}");
        }
    }
}
