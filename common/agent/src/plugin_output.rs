//! What a plugin printed, taken apart: first line, further lines, performance
//! data.
//!
//! ```text
//! TEXT | PERFDATA
//! LONG TEXT
//! LONG TEXT | PERFDATA
//! PERFDATA
//! ```

use bstr::{BString, ByteSlice};

/// More than this of an output is cut off, in bytes.
pub const MAX_LEN: usize = 64 << 10;

/// The parts of a plugin's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginOutput {
    /// The first line.
    pub plugin_output: BString,
    /// The further lines, with line feeds between them.
    pub long_plugin_output: BString,
    /// Performance data of all lines, as it was printed.
    pub perf_data: BString,
}

impl PluginOutput {
    /// Takes `stdout` apart. Carriage returns before line feeds and NUL bytes
    /// are dropped; everything else stays as it is.
    pub fn parse(stdout: &[u8]) -> Self {
        let cut = &stdout[..stdout.len().min(MAX_LEN)];
        let text: Vec<u8> = cut.iter().copied().filter(|b| *b != 0).collect();
        let mut lines = text.trim_end().lines();
        let (first, perf_data) = split_at_bar(lines.next().unwrap_or_default());
        let mut perf_data: Vec<&[u8]> = perf_data.into_iter().collect();
        let mut long = Vec::new();
        for line in lines.by_ref() {
            let (line, bar) = split_at_bar(line);
            long.push(line);
            if let Some(more) = bar {
                perf_data.push(more);
                break;
            }
        }
        perf_data.extend(lines.map(<[u8]>::trim));
        perf_data.retain(|part| !part.is_empty());
        Self {
            plugin_output: first.into(),
            long_plugin_output: bstr::join("\n", long).into(),
            perf_data: bstr::join(" ", perf_data).into(),
        }
    }
}

fn split_at_bar(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.split_once_str("|") {
        Some((text, perf_data)) => (text.trim_end(), Some(perf_data.trim())),
        None => (line, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_taken_apart() {
        for (stdout, first, long, perf_data) in [
            ("", "", "", ""),
            ("OK\n", "OK", "", ""),
            ("OK - 0 pending\r\n", "OK - 0 pending", "", ""),
            ("OK | a=1;;;0 b=2\n", "OK", "", "a=1;;;0 b=2"),
            ("a|x=1\nb\nc | y=2\nz=3\n", "a", "b\nc", "x=1 y=2 z=3"),
            ("a\n  b\n\nc", "a", "  b\n\nc", ""),
            ("a|", "a", "", ""),
            ("a\0b", "ab", "", ""),
        ] {
            let want = PluginOutput {
                plugin_output: first.into(),
                long_plugin_output: long.into(),
                perf_data: perf_data.into(),
            };
            assert_eq!(PluginOutput::parse(stdout.as_bytes()), want, "{stdout:?}");
        }
    }

    #[test]
    fn a_flood_is_cut() {
        let output = PluginOutput::parse(&vec![b'x'; MAX_LEN * 2]);
        assert_eq!(output.plugin_output.len(), MAX_LEN);
    }
}
