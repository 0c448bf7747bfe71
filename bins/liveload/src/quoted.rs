//! Quoted-printable, as mail carries text, undone as it streams.

use std::io::{self, Read};

/// Reads the text behind an encoded stream. A `=` that begins nothing stays.
pub(crate) struct Quoted<R> {
    from: R,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
    handed_out: usize,
}

impl<R: Read> Quoted<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            encoded: Vec::new(),
            decoded: Vec::new(),
            handed_out: 0,
        }
    }

    /// Decodes what is there; the last two bytes may belong to what follows.
    fn decode(&mut self, is_end: bool) {
        let mut rest = &self.encoded[..];
        while let Some(first) = rest.first() {
            let (byte, length) = match rest {
                _ if *first != b'=' => (Some(*first), 1),
                [_, b'\n', ..] => (None, 2),
                [_, b'\r', b'\n', ..] => (None, 3),
                [_, high, low, ..] => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => (Some(high << 4 | low), 3),
                    _ => (Some(b'='), 1),
                },
                _ if is_end => (Some(b'='), 1),
                _ => break,
            };
            self.decoded.extend(byte);
            rest = &rest[length..];
        }
        let left = rest.len();
        self.encoded.drain(..self.encoded.len() - left);
    }
}

impl<R: Read> Read for Quoted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.handed_out == self.decoded.len() {
            self.decoded.clear();
            self.handed_out = 0;
            let mut piece = [0; 1 << 13];
            let length = self.from.read(&mut piece)?;
            self.encoded.extend_from_slice(&piece[..length]);
            self.decode(length == 0);
            if length == 0 && self.decoded.is_empty() {
                return Ok(0);
            }
        }
        let rest = &self.decoded[self.handed_out..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.handed_out += length;
        Ok(length)
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn text_comes_out_whatever_the_split() {
        for (text, want) in [
            ("a=3Db=\nc\n", "a=bc\n"),
            ("soft=\r\nbreak", "softbreak"),
            ("h=C3=b6h", "höh"),
            ("=zz =", "=zz ="),
            ("=3", "=3"),
            ("", ""),
        ] {
            let mut got = String::new();
            Quoted::new(text.as_bytes())
                .read_to_string(&mut got)
                .unwrap();
            assert_eq!(got, want, "{text}");
            got.clear();
            Quoted::new(Slow(text.as_bytes()))
                .read_to_string(&mut got)
                .unwrap();
            assert_eq!(got, want, "{text}, slowly");
        }
    }
}
