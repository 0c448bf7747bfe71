//! Texts in a check result file.
//!
//! Two things happen to a line in the cores, one after the other. First, a
//! backslash at its end joins it with the next one; of two, one is taken away
//! and the line ends there. Then, of `output` alone, `\n` becomes a line feed,
//! and in Nagios `\\` a backslash. What is then the first line is output up to
//! `|` and performance data behind it; the further lines are long output until
//! one of them has a `|`, from which on everything is performance data.

use bstr::{BStr, BString, ByteSlice, ByteVec};

use super::{CheckResult, Core};

/// What stands for a `|` where that would begin performance data.
const PIPE: &[u8] = "\u{2502}".as_bytes();

/// Appends a name: only its end can do harm.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    if name.find_byteset(b"\n\r\0").is_some() {
        for byte in &mut out[start..] {
            if matches!(byte, b'\n' | b'\r' | b'\0') {
                *byte = b' ';
            }
        }
    }
    if name.ends_with(b"\\") {
        out.push(b'\\');
    }
}

/// Undoes [`push_name`]. A line that goes on in the next is none of ours.
pub(super) fn read_name(raw: &[u8]) -> Result<&BStr, &'static str> {
    join(raw).map(BStr::new)
}

fn join(raw: &[u8]) -> Result<&[u8], &'static str> {
    match raw {
        [rest @ .., b'\\', b'\\'] => Ok(&raw[..=rest.len()]),
        [.., b'\\'] => Err("the line ends in a backslash, and so would swallow the next one"),
        _ => Ok(raw),
    }
}

/// Appends the value of `output`.
pub(super) fn push_output(core: Core, out: &mut Vec<u8>, result: &CheckResult) {
    let line = Text {
        core,
        line_feed: b" ",
        pipe: PIPE,
    };
    line.push(out, &result.plugin_output);
    if !result.perf_data.is_empty() {
        out.push(b'|');
        Text { pipe: b"|", ..line }.push(out, &result.perf_data);
    }
    if !result.long_plugin_output.is_empty() {
        out.extend_from_slice(b"\\n");
        let lines = Text {
            line_feed: b"\\n",
            ..line
        };
        lines.push(out, &result.long_plugin_output);
    }
    // For Nagios every backslash is doubled, so that of those at the end one too
    // many stands before the line's end. Naemon takes a blank off the end, but
    // for one behind long output.
    if core == Core::Naemon && out.ends_with(b"\\") {
        out.push(b' ');
    }
}

/// How a text is written.
#[derive(Clone, Copy)]
struct Text {
    core: Core,
    line_feed: &'static [u8],
    pipe: &'static [u8],
}

impl Text {
    fn push(self, out: &mut Vec<u8>, mut text: &[u8]) {
        let special = |byte: &u8| matches!(byte, b'\\' | b'|' | 0x7f) || *byte < b' ';
        while let Some(at) = text.iter().position(special) {
            out.extend_from_slice(&text[..at]);
            let (written, length) = self.one(&text[at..]);
            out.extend_from_slice(written);
            text = &text[at + length..];
        }
        out.extend_from_slice(text);
    }

    /// What the first byte becomes, and how many bytes that covers.
    fn one(self, text: &[u8]) -> (&'static [u8], usize) {
        match (text, self.core) {
            ([b'\\', ..], Core::Nagios) => (b"\\\\", 1),
            ([b'\\', b'n', ..], Core::Naemon) => (b"/n", 2),
            ([b'\\', ..], Core::Naemon) => (b"\\", 1),
            ([b'|', ..], _) => (self.pipe, 1),
            ([b'\r', b'\n', ..], _) => (self.line_feed, 2),
            ([b'\n' | b'\r', ..], _) => (self.line_feed, 1),
            ([b'\t', ..], _) => (b"\t", 1),
            ([0, ..], _) => (b"", 1),
            _ => (b" ", 1),
        }
    }
}

/// Reads the value of `output` as the core would; without one, as it stands.
pub(super) fn read_output(
    core: Option<Core>,
    raw: &[u8],
    into: &mut CheckResult,
) -> Result<(), &'static str> {
    let Some(core) = core else {
        split(raw, into);
        return Ok(());
    };
    let raw = match (raw, core) {
        ([rest @ .., b'\\', b' '], Core::Naemon) => &raw[..=rest.len()],
        _ => join(raw)?,
    };
    if !raw.contains(&b'\\') {
        split(raw, into);
        return Ok(());
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find_byte(b'\\') {
        text.extend_from_slice(&rest[..at]);
        let (byte, length) = match (&rest[at..], core) {
            ([_, b'n', ..], _) => (b'\n', 2),
            ([_, b'\\', ..], Core::Nagios) => (b'\\', 2),
            _ => (b'\\', 1),
        };
        text.push(byte);
        rest = &rest[at + length..];
    }
    text.extend_from_slice(rest);
    split(&text, into);
    Ok(())
}

fn split(text: &[u8], into: &mut CheckResult) {
    let (first, mut rest) = text.split_once_str(b"\n").unwrap_or((text, b""));
    let (output, perf_data) = first.split_once_str(b"|").unwrap_or((first, b""));
    put(&mut into.plugin_output, output);
    put(&mut into.perf_data, perf_data);
    let long = &mut into.long_plugin_output;
    long.clear();
    if let Some(pipe) = rest.find_byte(b'|') {
        let line = rest[..pipe].rfind_byte(b'\n').map_or(0, |at| at + 1);
        let more = rest[pipe + 1..].replace(b"\n", b" ");
        // What stands before the `|` in that line is still long output.
        long.push_str(&rest[..pipe.max(line)]);
        if !into.perf_data.is_empty() && !more.is_empty() {
            into.perf_data.push(b' ');
        }
        into.perf_data.push_str(&more);
        rest = b"";
    }
    long.push_str(rest);
}

fn put(text: &mut BString, value: &[u8]) {
    text.clear();
    text.push_str(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(output: &[u8], perf_data: &[u8], long: &[u8]) -> CheckResult {
        CheckResult {
            plugin_output: output.into(),
            perf_data: perf_data.into(),
            long_plugin_output: long.into(),
            ..CheckResult::default()
        }
    }

    fn written(core: Core, result: &CheckResult) -> String {
        let mut out = Vec::new();
        push_output(core, &mut out, result);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_core_gets_what_it_reads() {
        use Core::{Naemon, Nagios};
        for (core, output, perf_data, long, want) in [
            (Nagios, "fine", "", "", "fine"),
            (Nagios, "fine", "a=1", "", "fine|a=1"),
            (Nagios, r"C:\new", "", "", r"C:\\new"),
            (Naemon, r"C:\new", "", "", r"C:/new"),
            (Naemon, r"C:\temp", "", "", r"C:\temp"),
            (Nagios, r"C:\", "", "", r"C:\\"),
            (Nagios, "a", "", r"C:\\", r"a\nC:\\\\"),
            (Naemon, r"C:\", "", "", r"C:\ "),
            (Nagios, "a", "b=1", "c\nd", r"a|b=1\nc\nd"),
            (Naemon, r"a\", "", "c", r"a\\nc"),
            (Nagios, r"a\", "", "c", r"a\\\nc"),
            (Nagios, "a|b", "x|y", "c|d", "a│b|x|y\\nc│d"),
            (
                Nagios,
                "a\nb",
                "x=1\ny=2",
                "c\r\nd\re",
                r"a b|x=1 y=2\nc\nd\ne",
            ),
            (Nagios, "a\0b\x07c\td\x7f", "", "", "ab c\td "),
            (Nagios, "", "", "", ""),
        ] {
            let result = result(output.as_bytes(), perf_data.as_bytes(), long.as_bytes());
            assert_eq!(written(core, &result), want, "{output}");
        }
    }

    #[test]
    fn output_is_split_as_the_cores_split_it() {
        for (text, want) in [
            ("a|b", result(b"a", b"b", b"")),
            ("a|b\nc\nd", result(b"a", b"b", b"c\nd")),
            ("a\nc\nd|e\nf", result(b"a", b"e f", b"c\nd")),
            ("a|b\nc|d", result(b"a", b"b d", b"c")),
            ("a\n|d", result(b"a", b"d", b"")),
        ] {
            let mut read = CheckResult::default();
            split(text.as_bytes(), &mut read);
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn only_the_end_of_a_name_is_escaped() {
        for (name, want) in [
            (r"C:\a", r"C:\a"),
            (r"C:\", r"C:\\"),
            (r"C:\\", r"C:\\\"),
            ("a;b|c", "a;b|c"),
        ] {
            let mut out = Vec::new();
            push_name(&mut out, name.as_bytes());
            assert_eq!(out.as_bstr(), want);
            assert_eq!(read_name(&out).unwrap(), name);
        }
        assert!(read_name(b"a\\").is_err());
    }

    /// Bytes that have a meaning to somebody, more often than others.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            prop::sample::select(&b"\\\\n|;\n\r\0 \t'\"$#=\xc3\xa4"[..]),
            any::<u8>()
        ];
        prop::collection::vec(byte, 0..20)
    }

    proptest! {
        #[test]
        fn what_a_core_reads_is_what_was_meant(
            output in text(), perf_data in text(), long in text(), naemon: bool,
        ) {
            let core = if naemon { Core::Naemon } else { Core::Nagios };
            let meant = result(&output, &perf_data, &long);
            let mut line = Vec::new();
            push_output(core, &mut line, &meant);
            prop_assert!(line.find_byteset(b"\n\r\0").is_none());
            let at_end = line.iter().rev().take_while(|b| **b == b'\\').count();
            prop_assert!(at_end % 2 == 0 && (at_end == 0 || core == Core::Nagios));
            let mut read = CheckResult::default();
            read_output(Some(core), &line, &mut read).unwrap();
            let mut again = Vec::new();
            push_output(core, &mut again, &read);
            let mut reread = CheckResult::default();
            read_output(Some(core), &again, &mut reread).unwrap();
            prop_assert_eq!(&reread, &read);
            let is_plain = |text: &[u8]| text.iter().all(|b| *b >= b' ' && *b != b'|' && *b != 0x7f);
            if core == Core::Nagios && is_plain(&output) && is_plain(&perf_data) && is_plain(&long)
            {
                prop_assert_eq!(read, meant);
            }
        }
    }
}
