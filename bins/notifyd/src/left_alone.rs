//! How long somebody wants to be left alone before he is asked again: in what a
//! plugin prints, and in the answer of a server.

use std::time::{Duration, SystemTime};

use bstr::ByteSlice;

/// No longer than this, whatever they say.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What a plugin's line begins with, in letters of either case.
const NAME: &[u8] = b"retry-after:";

/// `retry-after: SECONDS`; the last line that says so counts.
pub(crate) fn said_by_plugin(printed: &[u8]) -> Option<Duration> {
    let mut lines = ByteSlice::lines(printed).rev().filter_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let value = value.trim().to_str().ok()?;
        match name.eq_ignore_ascii_case(NAME) {
            true => value.parse().ok().map(Duration::from_secs),
            false => None,
        }
    });
    lines.next().map(|pause| pause.min(LONGEST))
}

/// The value of the header `Retry-After`: seconds, or a date.
pub(crate) fn said_by_server(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let pause = match value.parse() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new()
                .parse_timestamp(value)
                .ok()?;
            SystemTime::from(at).duration_since(now).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_plugin_that_says_so_counts() {
        for (printed, want) in [
            (&b"retry-after: 90"[..], Some(90)),
            (b"sent\nRetry-After:0\r\nbye\n", Some(0)),
            (b"retry-after: 1\nretry-after: 2\nretry-after: x\n", Some(2)),
            (b"retry-after: 99999999999", Some(86_400)),
            (b"retry-after: 99999999999999999999999", None),
            (b"retry-after: -1", None),
            (b"retry-after: \xff", None),
            (b" retry-after: 5", None),
            (b"retry-after:", None),
            (b"retry", None),
            (b"", None),
        ] {
            let secs = said_by_plugin(printed).map(|pause| pause.as_secs());
            assert_eq!(secs, want, "{:?}", printed.as_bstr());
        }
    }

    #[test]
    fn the_pause_of_a_server_is_a_number_or_a_date() {
        let now = SystemTime::now();
        let secs = |value: &str| said_by_server(value, now).map(|pause| pause.as_secs());
        assert_eq!(secs("120"), Some(120));
        assert_eq!(secs(" 0 "), Some(0));
        assert_eq!(secs("99999999999"), Some(86_400));
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(secs("Fri, 06 Nov 2099 08:49:37 GMT"), Some(86_400));
        assert_eq!(secs("soon"), None);
        assert_eq!(secs("-1"), None);
    }
}
