//! Moments as the field writes them: Unix seconds, with up to six decimals.

use std::fmt;

/// A moment in microseconds since 1970, where 0 means "never", as in every
/// monitoring core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(i64);

impl UnixTime {
    /// The value that stands for "never".
    pub const NEVER: Self = Self(0);

    /// From whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Whole seconds, rounded down, as time columns of Livestatus show it.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Seconds as a number with a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whether this is "never".
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }

    /// Parses `SECONDS` or `SECONDS.FRACTION`; digits after the sixth decimal
    /// are dropped. `None` for anything else, or out of range.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let point = digits.iter().position(|b| *b == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &b""[..]),
        };
        if whole.is_empty() || (point.is_some() && fraction.is_empty()) {
            return None;
        }
        let mut micros: i64 = 0;
        for b in whole {
            micros = micros.checked_mul(10)?.checked_add(digit(*b)?)?;
        }
        micros = micros.checked_mul(1_000_000)?;
        let mut scale = 100_000;
        for b in fraction {
            micros = micros.checked_add(digit(*b)? * scale)?;
            scale /= 10;
        }
        Some(Self(if negative { -micros } else { micros }))
    }
}

fn digit(b: u8) -> Option<i64> {
    b.is_ascii_digit().then(|| i64::from(b - b'0'))
}

impl From<std::time::SystemTime> for UnixTime {
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Self(-i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

/// Prints `SECONDS` or `SECONDS.FRACTION` without trailing zeros.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, micros) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (secs, mut fraction) = (micros / 1_000_000, micros % 1_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{secs}");
        }
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{secs}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_printing_and_parsing() {
        for (text, micros) in [
            ("0", 0),
            ("1795217983", 1_795_217_983_000_000),
            ("1795217983.5", 1_795_217_983_500_000),
            ("1795217983.000001", 1_795_217_983_000_001),
            ("-1", -1_000_000),
        ] {
            let time = UnixTime::parse(text.as_bytes()).unwrap();
            assert_eq!(time.micros(), micros, "{text}");
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e9",
            " 1",
            "99999999999999999999",
            "1.x",
        ] {
            assert_eq!(UnixTime::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(UnixTime::parse(b"1.1234567").unwrap().micros(), 1_123_456);
    }
}
