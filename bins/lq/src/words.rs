//! Numbers of Livestatus in words: states, times, what else there is to say.

use crate::table::{Cell, Paint};

/// The state of a host or service as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    word: &'static str,
    paint: Paint,
    /// How bad it is: larger is worse.
    pub(crate) severity: u8,
}

/// Whatever number it has: some servers begin with a bad one.
pub(crate) const PENDING: State = state("PENDING", Paint::Pending, 0);

const fn state(word: &'static str, paint: Paint, severity: u8) -> State {
    State {
        word,
        paint,
        severity,
    }
}

impl State {
    pub(crate) fn host(number: Option<i64>) -> Option<Self> {
        Some(match number? {
            0 => state("UP", Paint::Good, 1),
            1 => state("DOWN", Paint::Bad, 4),
            2 => state("UNREACHABLE", Paint::Odd, 3),
            _ => return None,
        })
    }

    pub(crate) fn service(number: Option<i64>) -> Option<Self> {
        Some(match number? {
            0 => state("OK", Paint::Good, 1),
            1 => state("WARNING", Paint::Warning, 2),
            2 => state("CRITICAL", Paint::Bad, 4),
            3 => state("UNKNOWN", Paint::Odd, 3),
            _ => return None,
        })
    }

    pub(crate) fn cell(self) -> Cell {
        Cell::painted(self.word, self.paint)
    }
}

/// An age in the two largest units that say something.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A moment in local time; 0 is never, and in Icinga 2 -1.
pub(crate) fn moment(seconds: i64) -> String {
    let never = || "never".to_owned();
    if seconds <= 0 {
        return never();
    }
    let Ok(moment) = jiff::Timestamp::from_second(seconds) else {
        return never();
    };
    let local = moment.to_zoned(jiff::tz::TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, want) in [
            (-1.0, "0 s"),
            (12.9, "12 s"),
            (61.0, "1 min 1 s"),
            (3660.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(age(seconds), want);
        }
    }

    #[test]
    fn critical_is_worse_than_unknown_and_unknown_than_warning() {
        let severity = |number| State::service(Some(number)).unwrap().severity;
        assert!(severity(2) > severity(3) && severity(3) > severity(1));
        assert!(severity(1) > severity(0) && severity(0) > PENDING.severity);
        assert_eq!(State::host(Some(7)), None);
    }
}
