//! The clock, as the kernel knows of it: whoever keeps it, chrony, ntpd or
//! another, tells the kernel how far it is off and whether it can be believed.

use std::time::{SystemTime, UNIX_EPOCH};

use agent::document::Ntp;
use rtime_clock::adjtime::{Timex, adjtimex};

use super::part::{Collector, Finding, Part};

/// What the kernel returns for a clock that nobody keeps.
const TIME_ERROR: i32 = 5;
/// A bit of the status: the offset is in nanoseconds, else in microseconds.
const STA_NANO: i32 = 0x2000;

/// The system's clock. It is only read.
pub(crate) struct Clock;

impl Collector for Clock {
    fn collect(&mut self) -> Result<Finding, String> {
        // All zero: nothing is to be changed.
        let mut timex = Timex::new();
        let state = adjtimex(&mut timex).map_err(|error| format!("adjtimex: {error}"))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ntp = Ntp {
            timestamp: now.as_secs(),
            timestamp_micro: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            sync_status: Some(state != TIME_ERROR),
            offset: Some(seconds(timex.0.offset, timex.0.status)),
        };
        Ok(Part::Ntp(ntp).into())
    }
}

fn seconds(offset: impl Into<i64>, status: i32) -> f64 {
    let unit = match status & STA_NANO {
        0 => 1e6,
        _ => 1e9,
    };
    offset.into() as f64 / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_the_offset_counts() {
        assert_eq!(seconds(-213_000_i64, STA_NANO | 1), -0.000_213);
        assert_eq!(seconds(1500_i64, 1), 0.0015);
    }

    #[test]
    fn the_kernel_tells_of_its_clock() {
        let Part::Ntp(ntp) = Clock.collect().unwrap().part else {
            panic!("this is no clock");
        };
        assert!(ntp.sync_status.is_some());
        assert!(ntp.offset.unwrap().abs() < 1.0);
        assert_eq!(ntp.timestamp, ntp.timestamp_micro / 1_000_000);
    }
}
