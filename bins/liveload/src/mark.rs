//! What the first line of a dump says: enough to put dumps into their order,
//! and to know whose signature to ask for. Reading the dump checks the rest.

use bstr::ByteSlice;
use objects::SiteId;

/// Longest first line that is looked at.
pub(crate) const MAX_LINE: u64 = 1 << 16;

/// A begin mark, in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) site: SiteId,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) is_state: bool,
}

impl Mark {
    /// Reads the line of a comment or of a command.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        match line.strip_prefix(b"# sitewire ") {
            Some(words) => Self::parse_comment(words),
            None => Self::parse_command(line),
        }
    }

    fn parse_comment(words: &[u8]) -> Option<Self> {
        let words: Vec<_> = words.fields().take(64).collect();
        let value = |key: &[u8]| words.iter().find_map(|word| word.strip_prefix(key));
        Some(Self {
            site: site(value(b"site=")?)?,
            epoch: value(b"epoch=").and_then(number).unwrap_or(0),
            sequence: number(value(b"seq=")?)?,
            is_state: *words.get(1)? == b"state",
        })
    }

    fn parse_command(line: &[u8]) -> Option<Self> {
        let parts: Vec<_> = line.splitn(9, |b| *b == b';').collect();
        if !line.starts_with(b"COMMAND [") || !parts[0].ends_with(b"] SITEWIRE_BEGIN") {
            return None;
        }
        Some(Self {
            site: site(parts.get(2)?)?,
            epoch: parts.get(6).and_then(|text| number(text)).unwrap_or(0),
            sequence: number(parts.get(4)?)?,
            is_state: true,
        })
    }
}

fn site(text: &[u8]) -> Option<SiteId> {
    SiteId::new(text.to_str().ok()?).ok()
}

fn number(text: &[u8]) -> Option<u64> {
    text.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_marks_are_read() {
        let mark = |is_state| {
            Some(Mark {
                site: SiteId::new("a").unwrap(),
                epoch: 2,
                sequence: 7,
                is_state,
            })
        };
        for (line, want) in [
            (
                "# sitewire 1 config site=a seq=7 epoch=2 mode=full time=5\n",
                mark(false),
            ),
            (
                "\u{feff}# sitewire 1 state site=a seq=7 epoch=2 x=y\n",
                mark(true),
            ),
            (
                "COMMAND [5] SITEWIRE_BEGIN;1;a;state;7;;2;full;;5\n",
                mark(true),
            ),
            (
                "COMMAND [5] SITEWIRE_BEGIN;1;../a;state;7;;2;full;;5\n",
                None,
            ),
            ("COMMAND [5] SITEWIRE_BEGIN;1;a;state;x;;2;full;;5\n", None),
            (
                "COMMAND [5] X;SITEWIRE_BEGIN;1;a;state;7;;2;full;;5\n",
                None,
            ),
            ("# sitewire 1 state seq=7\n", None),
            ("host_name=a\n", None),
            ("", None),
        ] {
            assert_eq!(Mark::parse(line.as_bytes()), want, "{line}");
        }
    }
}
