//! Times and texts as people read them.

use objects::UnixTime;

/// `2026-11-20 23:20:00.123 +01:00`
pub(crate) fn local(time: UnixTime) -> String {
    let zoned = timestamp(time).to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S.%3f %:z").to_string()
}

/// RFC 3339 in UTC.
pub(crate) fn utc(time: UnixTime) -> String {
    timestamp(time).to_string()
}

fn timestamp(time: UnixTime) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default()
}

/// Seconds since `time`, never negative.
pub(crate) fn age_secs(time: UnixTime, now: UnixTime) -> i64 {
    (now.secs() - time.secs()).max(0)
}

/// `17 s`, `4 min`, `3 h 5 min`, `2 d 4 h`
pub(crate) fn duration(secs: i64) -> String {
    match secs {
        ..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// The first line of what a plugin said, fit for a terminal.
pub(crate) fn one_line(text: &[u8], limit: usize) -> String {
    program::log::quote(text.trim_ascii_end(), limit)
}

/// What a text of somebody else looks like, for messages.
pub(crate) fn shown(text: &[u8]) -> String {
    one_line(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (secs, want) in [
            (0, "0 s"),
            (119, "119 s"),
            (240, "4 min"),
            (11_100, "3 h 5 min"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(duration(secs), want);
        }
    }
}
