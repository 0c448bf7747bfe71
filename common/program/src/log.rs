//! Log lines on standard error.
//!
//! `2026-11-20T23:40:33.153+01:00 WARN notifyd::peer{peer=berlin} heartbeat missed`

use std::fmt;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The target of lines about one notification each: there may be thousands of them
/// in a second.
pub const EACH: &str = "notification";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// As Checkmk's programs write their logs, under the name of this logger.
    Checkmk(&'static str),
}

/// Starts logging: warnings and above always, with `verbose` 0 also what a
/// daemon tells about its connections (info), 1 debug, 2 trace.
pub fn start(format: Format, verbose: u8) {
    start_with(format, verbose, true);
}

/// As [`start`]; lines about [`EACH`] notification only if `each` says so.
pub fn start_with(format: Format, verbose: u8, each: bool) {
    let level = match verbose {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_timer(LocalTime)
        .with_max_level(level)
        .with_ansi(false);
    let wanted = filter_fn(move |about: &Metadata<'_>| each || about.target() != EACH);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        Format::Text => builder.finish().with(wanted).try_init(),
        Format::Json => builder.json().finish().with(wanted).try_init(),
        Format::Checkmk(logger) => {
            let builder = builder.event_format(Checkmk { logger });
            builder.finish().with(wanted).try_init()
        }
    };
}

/// `2026-11-20 23:40:33,153 [20] [cmk.mknotifyd] text`
struct Checkmk {
    logger: &'static str,
}

impl<S, N> FormatEvent<S, N> for Checkmk
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG => 15,
            Level::TRACE => 10,
        };
        let now = jiff::Zoned::now();
        let now = now.strftime("%Y-%m-%d %H:%M:%S,%3f");
        write!(writer, "{now} [{level}] [{}] ", self.logger)?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
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
