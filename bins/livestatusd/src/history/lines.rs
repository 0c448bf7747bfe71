//! The lines of a file from its end to its beginning, in bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read at once.
const BLOCK: usize = 64 * 1024;

/// Reads the lines of a file backwards. What does not end with a line feed was
/// cut by a crash, and is left out.
pub(super) struct Backwards {
    file: File,
    /// Where `unread` begins in the file.
    at: u64,
    /// What was read of the file and not given out; ends with a line feed.
    unread: Vec<u8>,
    /// Number of the next line.
    number: usize,
    /// Where the line given out last is kept.
    line: Vec<u8>,
}

impl Backwards {
    /// Begins at the end that the file has now, at most at `limit`.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (mut number, mut end, mut at) = (0, 0, 0);
        let mut block = vec![0; BLOCK];
        file.seek(SeekFrom::Start(0))?;
        let mut limited = (&file).take(limit);
        loop {
            let length = limited.read(&mut block)?;
            if length == 0 {
                break;
            }
            for place in memchr::memchr_iter(b'\n', &block[..length]) {
                number += 1;
                end = at + place as u64 + 1;
            }
            at += length as u64;
        }
        Ok(Self {
            file,
            at: end,
            unread: Vec::new(),
            number,
            line: Vec::new(),
        })
    }

    /// The line before the last one given out, without its line feed, and its
    /// number in the file.
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u8], usize)>> {
        let from = loop {
            let before = self.unread.len().saturating_sub(1);
            match memchr::memrchr(b'\n', &self.unread[..before]) {
                Some(feed) => break feed + 1,
                None if self.at == 0 => break 0,
                None => self.read_block()?,
            }
        };
        if self.unread.is_empty() {
            return Ok(None);
        }
        self.line.clear();
        self.line
            .extend_from_slice(&self.unread[from..self.unread.len() - 1]);
        self.unread.truncate(from);
        self.number -= 1;
        Ok(Some((&self.line, self.number + 1)))
    }

    fn read_block(&mut self) -> io::Result<()> {
        let length = BLOCK.min(usize::try_from(self.at).unwrap_or(BLOCK));
        let mut block = vec![0; length];
        self.at -= length as u64;
        self.file.read_exact_at(&mut block, self.at)?;
        block.append(&mut self.unread);
        self.unread = block;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_comes_first_wherever_blocks_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for lengths in [
            vec![],
            vec![0],
            vec![BLOCK - 1],
            vec![BLOCK],
            vec![3, 0, 0, BLOCK * 3, 5, BLOCK - 7, 1],
            (0..2000).map(|n| n % 97).collect(),
        ] {
            let mut text = Vec::new();
            for (n, length) in lengths.iter().enumerate() {
                text.resize(text.len() + length, b'a' + (n % 26) as u8);
                text.push(b'\n');
            }
            text.extend_from_slice(b"cut off");
            std::fs::write(&path, &text).unwrap();
            let mut lines = Backwards::open(&path, u64::MAX).unwrap();
            for (n, length) in lengths.iter().enumerate().rev() {
                let (line, number) = lines.next().unwrap().unwrap();
                assert_eq!(line, vec![b'a' + (n % 26) as u8; *length]);
                assert_eq!(number, n + 1);
            }
            assert!(lines.next().unwrap().is_none());
            assert!(lines.next().unwrap().is_none());
        }
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let mut lines = Backwards::open(&path, 9).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), (&b"two"[..], 2));
    }
}
