//! What a file says of itself at its begin and at its end, without taking it.

use std::io::{self, BufRead, Read};

use bstr::ByteSlice;

use crate::mark::{MAX_LINE, Mark};

/// So near to the end of a file stands its end mark: behind it there may be a
/// signature.
const TAIL: usize = 1 << 14;

/// Where a dump stands among others, and whether its end is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peek {
    /// It has a begin mark.
    Marked {
        epoch: u64,
        sequence: u64,
        state: bool,
        whole: bool,
    },
    /// It has none.
    Unmarked,
}

impl Peek {
    /// Whether nothing more will be written to it.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Marked { whole: true, .. })
    }

    /// Sorts the older dump first, and of two of the same moment the
    /// configuration. Those that do not say come last.
    pub(super) fn order(self) -> (bool, u64, u64, bool) {
        match self {
            Self::Marked {
                epoch,
                sequence,
                state,
                ..
            } => (false, epoch, sequence, state),
            Self::Unmarked => (true, 0, 0, false),
        }
    }
}

/// Reads a dump through to its end.
pub(super) fn peek(mut dump: impl BufRead) -> io::Result<Peek> {
    let mut mark = Mark::parse(&line(&mut dump)?);
    if mark.is_none() {
        // Before the mark may stand the bare line of `livedump -M`.
        mark = Mark::parse(&line(&mut dump)?);
    }
    let Some(mark) = mark else {
        return Ok(Peek::Unmarked);
    };
    Ok(Peek::Marked {
        epoch: mark.epoch,
        sequence: mark.sequence,
        state: mark.is_state,
        whole: has_end(&tail(dump)?),
    })
}

fn line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// The last bytes of a stream.
fn tail(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut buffer = [0; TAIL];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(tail),
            Ok(count) => {
                tail.extend_from_slice(&buffer[..count]);
                let more = tail.len().saturating_sub(TAIL);
                tail.drain(..more);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn has_end(tail: &[u8]) -> bool {
    let is_end = |line: &[u8]| {
        line.starts_with(b"# sitewire-end ")
            || (line.starts_with(b"COMMAND [") && line.contains_str("] SITEWIRE_END;"))
    };
    tail.ends_with(b"\n") && ByteSlice::lines(tail).any(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_says_where_it_stands_and_whether_it_is_whole() {
        let objects =
            "# sitewire 1 config site=a seq=7 epoch=2 mode=full time=5\ndefine host {\n}\n";
        let states = "COMMAND [5] SITEWIRE_BEGIN;1;a;state;9;;2;full;;5\n\n";
        let marked = |sequence, state, whole| Peek::Marked {
            epoch: 2,
            sequence,
            state,
            whole,
        };
        let end = "# sitewire-end records=1 crc32c=00000000\n";
        for (name, text, want) in [
            ("cut", objects.to_owned(), marked(7, false, false)),
            ("whole", format!("{objects}{end}"), marked(7, false, true)),
            (
                "whole but for the last byte",
                format!("{objects}{}", end.trim_end()),
                marked(7, false, false),
            ),
            (
                "with livedump's own mark",
                format!("config a\n{objects}{end}"),
                marked(7, false, true),
            ),
            (
                "a signature behind the end",
                format!("{objects}{end}# sitewire-signature x\n"),
                marked(7, false, true),
            ),
            ("states, cut", states.to_owned(), marked(9, true, false)),
            (
                "states",
                format!("{states}COMMAND [5] SITEWIRE_END;9;0;00000000\n\n"),
                marked(9, true, true),
            ),
            ("a foreign file", "host_name=a\n".to_owned(), Peek::Unmarked),
            ("nothing", String::new(), Peek::Unmarked),
        ] {
            assert_eq!(peek(text.as_bytes()).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn older_dumps_come_first_and_configuration_before_states() {
        let marked = |epoch, sequence, state| Peek::Marked {
            epoch,
            sequence,
            state,
            whole: true,
        };
        let sorted = [
            marked(0, 9, true),
            marked(1, 1, false),
            marked(1, 1, true),
            marked(1, 2, false),
            Peek::Unmarked,
        ];
        assert!(sorted.is_sorted_by_key(|peek| peek.order()));
    }
}
