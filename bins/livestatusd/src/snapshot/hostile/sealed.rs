//! Checksums for snapshots that are made by hand, or by a fuzzer.

use bstr::ByteSlice;

/// Puts checksums that fit where the text has any.
pub(crate) fn sealed(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut body = None;
    for line in text.split_inclusive(|b| *b == b'\n') {
        if let (Some(at), true) = (body, line.contains_str("SITEWIRE_END;")) {
            let crc = crc32c::crc32c(out.get(at..).unwrap_or_default());
            out.extend(line.replace("CRC", format!("{crc:08x}")));
        } else if line.starts_with(b"# end ") {
            let crc = crc32c::crc32c(&out);
            out.extend(line.replace("CRC", format!("{crc:08x}")));
        } else {
            out.extend_from_slice(line);
        }
        // After the blank line behind the first of a dump.
        if line.contains_str("SITEWIRE_BEGIN;") {
            body = Some(out.len() + 1);
        }
    }
    out
}
