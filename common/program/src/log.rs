//! Log lines on standard error.
//!
//! `2026-11-20T23:40:33.153+01:00 WARN notifyd::peer{peer=berlin} heartbeat missed`

use std::fmt;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging: warnings and above always, with `verbose` 0 also what a
/// daemon tells about its connections (info), 1 debug, 2 trace.
pub fn start(format: Format, verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::INFO,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_timer(LocalTime)
        .with_max_level(level)
        .with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(
            w,
            "{}",
            jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S.%3f%:z")
        )
    }
}

/// Text from outside, made fit for one log line: control characters and bytes
/// that are not UTF-8 are escaped, and it is cut at `limit` bytes.
pub fn quote(text: &[u8], limit: usize) -> String {
    let cut = &text[..text.len().min(limit)];
    let mut out = String::with_capacity(cut.len() + 8);
    for chunk in cut.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    if cut.len() < text.len() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn strangers_bytes_stay_on_one_line() {
        assert_eq!(
            super::quote(b"GET /\r\n\x00\xff\x1b[2J", 64),
            "GET /\\r\\n\\u{0}\\xff\\u{1b}[2J"
        );
        assert_eq!(super::quote(b"abcdef", 3), "abc...");
    }
}
