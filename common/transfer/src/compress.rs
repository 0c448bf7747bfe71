//! Input that was compressed on the way: zstd and gzip are recognised by their
//! first bytes, anything else is itself.
//!
//! Memory is bounded by [`WINDOW`], and what comes out by a limit of the caller:
//! a few bytes can be made to expand to any size.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How far back compressed data may refer. `zstd` stays below it on all levels
/// but those of `--ultra` and `--long`.
pub const WINDOW: u64 = 8 << 20;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Of a frame that carries nothing for us: `5x 2a 4d 18`.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// Reads what `reader` has, expanded if it is compressed. Reading fails with
/// [`io::ErrorKind::InvalidData`] where more than `limit` bytes come out, and
/// where compressed data is damaged or cut off.
pub fn open<R: Read>(mut reader: R, limit: u64) -> io::Result<Expanded<R>> {
    let mut head = Vec::with_capacity(ZSTD.len());
    (&mut reader)
        .take(ZSTD.len() as u64)
        .read_to_end(&mut head)?;
    let is_zstd = head == ZSTD || head.get(1..) == Some(SKIPPABLE) && head[0] & 0xf0 == 0x50;
    let is_gzip = head.starts_with(GZIP);
    let source = Cursor::new(head).chain(reader);
    let form = if is_zstd {
        Form::Zstd(Box::new(Zstd::new(buffered(source))))
    } else if is_gzip {
        Form::Gzip(MultiGzDecoder::new(buffered(source)))
    } else {
        Form::Plain(source)
    };
    Ok(Expanded {
        form,
        limit,
        left: limit,
    })
}

/// A stream as it was before it was compressed.
pub struct Expanded<R> {
    form: Form<R>,
    limit: u64,
    left: u64,
}

impl<R> fmt::Debug for Expanded<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expanded")
            .field("limit", &self.limit)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

type Source<R> = Chain<Cursor<Vec<u8>>, R>;

enum Form<R> {
    Plain(Source<R>),
    Gzip(MultiGzDecoder<BufReader<Source<R>>>),
    Zstd(Box<Zstd<R>>),
}

fn buffered<R: Read>(source: Source<R>) -> BufReader<Source<R>> {
    BufReader::with_capacity(1 << 16, source)
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.form {
            Form::Plain(source) => source.read(out)?,
            Form::Gzip(decoder) => decoder.read(out).map_err(|error| damaged("gzip", error))?,
            Form::Zstd(decoder) => decoder.read(out)?,
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let what = format!("more than {} bytes, which is the limit", self.limit);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(count)
    }
}

/// The frames of a stream, one after the other.
struct Zstd<R> {
    source: BufReader<Source<R>>,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: Read> Zstd<R> {
    fn new(source: BufReader<Source<R>>) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self {
            source,
            decoder,
            inside: false,
        }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.decoder.read(out)?;
            if count > 0 {
                return Ok(count);
            }
            if self.inside && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| damaged("zstd", error))?;
            } else if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.next_frame()?;
            }
        }
    }

    fn next_frame(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.source) {
            Ok(()) => {
                self.inside = true;
                Ok(())
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                self.inside = false;
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(damaged("zstd", "it ends in the middle of a frame"));
                }
                Ok(())
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                let what = format!(
                    "it needs {requested} bytes of memory to be read, and {WINDOW} are allowed: \
                     compress without --long and --ultra"
                );
                Err(damaged("zstd", what))
            }
            Err(error) => Err(damaged("zstd", error)),
        }
    }
}

fn damaged(form: &str, error: impl fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged {form}: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Gives one byte at a time, as a slow line does.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(out.len()).min(1);
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn through(program: &str, options: &[&str], text: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(options)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = text.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&text));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    fn read(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        open(bytes, limit)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn text() -> Vec<u8> {
        (0..50_000)
            .flat_map(|n| format!("COMMAND [{n}] X;{}\n\n", n * 7919 % 1000).into_bytes())
            .collect()
    }

    #[test]
    fn what_was_compressed_reads_as_it_was() {
        let text = text();
        for (program, options) in [
            ("gzip", &[][..]),
            ("zstd", &[]),
            ("zstd", &["-19"]),
            ("zstd", &["--fast=5", "--no-check"]),
        ] {
            let packed = through(program, options, &text);
            assert!(packed.len() < text.len() / 2);
            assert!(read(&packed, 1 << 30).unwrap() == text, "{program}");
            // Two files one after the other are one.
            let twice = [&packed[..], &packed[..]].concat();
            assert_eq!(read(&twice, 1 << 30).unwrap().len(), 2 * text.len());
            let mut slow = Vec::new();
            open(Slow(&packed), 1 << 30)
                .unwrap()
                .read_to_end(&mut slow)
                .unwrap();
            assert!(slow == text, "{program}");
        }
        assert!(read(&text, 1 << 30).unwrap() == text);
        for short in [&b""[..], b"C", b"\x1f", b"\x28\xb5\x2f"] {
            assert_eq!(read(short, 10).unwrap(), short);
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_or_the_same_text() {
        let text = &text()[..5_000];
        for program in ["gzip", "zstd"] {
            let packed = through(program, &[], text);
            for cut in 4..packed.len() {
                let result = read(&packed[..cut], 1 << 20);
                // Cut in the checksum behind the last block, nothing is missing.
                assert!(
                    result.is_err() || cut + 4 >= packed.len() && program == "zstd",
                    "{program} {cut}"
                );
            }
            for at in 0..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x55;
                let _ = read(&changed, 1 << 20);
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_anything() {
        let zeros = vec![0; 64 << 20];
        for program in ["gzip", "zstd"] {
            let bomb = through(program, &[], &zeros);
            assert!(bomb.len() < 100_000);
            let error = read(&bomb, 1 << 20).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("limit"), "{error}");
        }
        let wide = through("zstd", &["--long=27"], &zeros);
        let error = read(&wide, 1 << 30).unwrap_err();
        assert!(error.to_string().contains("--long"), "{error}");
        let error = read(&zeros, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
    }

    #[test]
    fn frames_to_be_skipped_are_skipped() {
        let skipped = [&b"\x53\x2a\x4d\x18\x03\0\0\0abc"[..]].concat();
        let packed = [&skipped[..], &through("zstd", &[], b"text")].concat();
        assert_eq!(read(&packed, 100).unwrap(), b"text");
        assert!(read(&skipped[..9], 100).is_err());
    }
}
