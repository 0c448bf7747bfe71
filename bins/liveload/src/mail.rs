//! A dump that came as a mail: finds it among the parts and undoes the
//! encoding. Who sent it is not asked here: a mail's headers prove nothing, the
//! dump's signature does.

use std::io::Read;

use bstr::ByteSlice;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use program::{Failure, Status};

/// Longest mail that is read, in bytes.
const MAX_MAIL: u64 = 256 << 20;

/// What the first bytes of a dump can be: frames, and compressed ones.
const BEGINNINGS: [&[u8]; 4] = [
    b"# sitewire ",
    b"COMMAND [",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
];

/// The dump in the mail that `reader` has.
pub(crate) fn dump(name: &str, reader: impl Read) -> Result<Vec<u8>, Failure> {
    let mut mail = Vec::new();
    let failed = |what| Failure::new(Status::Failed, format!("{name}: {what}"));
    match reader.take(MAX_MAIL + 1).read_to_end(&mut mail) {
        Ok(length) if length as u64 > MAX_MAIL => {
            return Err(failed(format!("a mail of more than {MAX_MAIL} bytes")));
        }
        Ok(_) => {}
        Err(error) => return Err(Failure::caused(Status::Failed, name, error)),
    }
    dump_of(&mail).map_err(failed)
}

/// The dump in a mail, byte for byte as its sender had it.
///
/// An attachment, or the text itself, whatever its transfer encoding. If no
/// part looks like a dump but there is only one part, it is that one: what the
/// original tools send has no mark.
fn dump_of(mail: &[u8]) -> Result<Vec<u8>, String> {
    let message = MessageParser::default()
        .parse(mail)
        .filter(|message| message.parts.first().is_some_and(has_headers))
        .ok_or("this is not a mail: it does not begin with headers")?;
    let mut parts = Vec::new();
    for part in &message.parts {
        if !matches!(part.body, PartType::Multipart(_) | PartType::Message(_)) {
            parts.push(content(&message, part)?);
        }
    }
    let is_dump = |part: &Vec<u8>| {
        let text = part.strip_prefix(b"\xef\xbb\xbf").unwrap_or(part);
        BEGINNINGS.iter().any(|begin| text.starts_with(begin))
    };
    let dumps = parts.iter().filter(|part| is_dump(part)).count();
    match (dumps, parts.len()) {
        (1, _) => {}
        (0, 1) => return Ok(parts.swap_remove(0)),
        (0, count) => return Err(format!("none of the mail's {count} parts is a dump")),
        (count, _) => return Err(format!("the mail carries {count} dumps, not one")),
    }
    parts.retain(is_dump);
    Ok(parts.swap_remove(0))
}

fn has_headers(root: &MessagePart<'_>) -> bool {
    !root.headers.is_empty()
}

/// The bytes of one part. Not those that the parser offers: it makes text of
/// them, which bytes that are not UTF-8 do not survive.
fn content(message: &Message<'_>, part: &MessagePart<'_>) -> Result<Vec<u8>, String> {
    let (from, to) = (part.offset_body as usize, part.offset_end as usize);
    let raw = message
        .raw_message()
        .get(from..to)
        .ok_or("the mail's parts overlap")?;
    let decoded = match part.encoding {
        Encoding::None => Some(raw.to_vec()),
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
    };
    let mut bytes = decoded.ok_or("the mail's transfer encoding is damaged")?;
    let is_text = part
        .content_type()
        .is_none_or(|kind| kind.ctype().eq_ignore_ascii_case("text"));
    // Mail may change the line ends of texts, and takes the last one away
    // before a boundary. An attachment in base64 is what it was.
    if is_text && part.encoding != Encoding::Base64 {
        bytes = bytes.replace(b"\r\n", b"\n");
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &[u8] = b"# sitewire 1 state site=a seq=1\nhost_name=h\xc3\xb6\n\n# sitewire-end records=1 crc32c=00000000\n";

    /// `DUMP` in base64.
    const BASE64: &str = "IyBzaXRld2lyZSAxIHN0YXRlIHNpdGU9YSBzZXE9MQpob3N0X25hbWU9aMO2CgojIHNpdGV3aXJl\r\nLWVuZCByZWNvcmRzPTEgY3JjMzJjPTAwMDAwMDAwCg==\r\n";
    const QUOTED: &str = "# sitewire 1 state site=3Da s=\r\neq=3D1\r\nhost_name=3Dh=C3=B6\r\n\r\n# sitewire-end records=3D1 crc32c=3D00000000";

    fn mail(kind: &str, encoding: &str, body: &str) -> String {
        format!(
            "From: a@example.org\r\nTo: b@example.org\r\nSubject: state\r\nMIME-Version: 1.0\r\n\
             Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
        )
    }

    fn part(kind: &str, encoding: &str, body: &str) -> String {
        format!(
            "--xx\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
        )
    }

    #[test]
    fn a_dump_is_found_however_it_was_encoded() {
        let with_words = part("text/plain", "7bit", "Hello,\r\nsee below.")
            + &part("application/octet-stream", "base64", BASE64);
        for (name, mail) in [
            (
                "an attachment alone",
                mail("application/octet-stream", "base64", BASE64),
            ),
            (
                "quoted printable text",
                mail("text/plain; charset=utf-8", "quoted-printable", QUOTED),
            ),
            (
                "plain text",
                mail("text/plain; charset=latin1", "8bit", &DUMP.to_str_lossy()),
            ),
            (
                "one part of several",
                mail(
                    "multipart/mixed; boundary=xx",
                    "7bit",
                    &(with_words + "--xx--\r\n"),
                ),
            ),
        ] {
            // As it travels, and as it lies in a maildir.
            for mail in [mail.clone(), mail.replace("\r\n", "\n")] {
                let dump = dump_of(mail.as_bytes());
                assert_eq!(
                    dump.as_deref().map(ByteSlice::as_bstr),
                    Ok(DUMP.as_bstr()),
                    "{name}: {mail:?}"
                );
            }
        }
    }

    #[test]
    fn a_mail_without_one_dump_is_refused() {
        let twice = [part("application/octet-stream", "base64", BASE64); 1].concat();
        let twice = mail(
            "multipart/mixed; boundary=xx",
            "7bit",
            &format!("{twice}{twice}--xx--\r\n"),
        );
        let none = part("text/plain", "7bit", "Hello") + &part("text/plain", "7bit", "again");
        let none = mail(
            "multipart/mixed; boundary=xx",
            "7bit",
            &(none + "--xx--\r\n"),
        );
        for (mail, why) in [
            (twice.as_bytes(), "2 dumps"),
            (none.as_bytes(), "none of"),
            (b"", "not a mail"),
            (b"\n", "not a mail"),
        ] {
            let error = dump_of(mail).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_mail_without_marks_is_its_only_text() {
        let mail = mail("text/plain", "7bit", "status\r\nhost_name=a\r\n");
        assert_eq!(dump_of(mail.as_bytes()).unwrap(), b"status\nhost_name=a\n");
    }

    #[test]
    fn every_prefix_of_a_mail_is_survived() {
        let whole = part("text/plain", "quoted-printable", QUOTED)
            + &part("application/octet-stream", "base64", BASE64);
        let mail = mail("multipart/mixed; boundary=xx", "7bit", &whole);
        for cut in 0..mail.len() {
            let _ = dump_of(&mail.as_bytes()[..cut]);
        }
    }
}
