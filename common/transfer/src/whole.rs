//! Configurations, which are held in memory whole before anything of them counts.

use std::io::{self, ErrorKind, Read};

/// Longest configuration, in bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Longest line of one: a host of a `.mk` file with all its services.
const MAX_LINE: usize = 64 << 20;

/// Reads all of it. Gives up as soon as it has more than `limit` bytes, or than
/// 512 MiB, or a line is too long; not only when that is over.
pub fn read_whole(reader: &mut (impl Read + ?Sized), limit: u64) -> io::Result<Vec<u8>> {
    let limit = limit.min(MAX_BYTES);
    let refused = |what: String| Err(io::Error::new(ErrorKind::InvalidData, what));
    let mut text = Vec::new();
    let mut line_start = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let newline = buffer[..count].iter().rposition(|byte| *byte == b'\n');
        line_start = newline.map_or(line_start, |at| text.len() + at + 1);
        text.extend_from_slice(&buffer[..count]);
        if text.len() as u64 > limit {
            return refused(format!("a configuration of more than {limit} bytes"));
        }
        if text.len() - line_start > MAX_LINE {
            return refused(format!("a line of more than {MAX_LINE} bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_given_up_at_once() {
        let lines = "x\n".repeat(100_000);
        assert_eq!(
            read_whole(&mut lines.as_bytes(), 200_000).unwrap().len(),
            200_000
        );
        let error = read_whole(&mut lines.as_bytes(), 199_999).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a configuration of more than 199999 bytes"
        );
        let mut endless = b"x\n".chain(io::repeat(b'x'));
        let error = read_whole(&mut endless, u64::MAX).unwrap_err();
        assert_eq!(error.to_string(), "a line of more than 67108864 bytes");
    }
}
