//! The clock: whoever keeps it is asked how far it is off and whether it can be
//! believed. chronyd, ntpd and systemd-timesyncd are known; where there is none
//! of these the kernel is asked, whom all who keep a clock tell.

pub(super) mod chrony;
pub(super) mod control;
pub(crate) mod keeper;
pub(super) mod timesync;

use std::time::{SystemTime, UNIX_EPOCH};

use agent::document::Ntp;
use rtime_clock::adjtime::{Timex, adjtimex};

use super::part::{Collector, Finding, Part};
use super::{dbus, http};
use keeper::Keepers;

/// What the kernel returns for a clock that nobody keeps.
const TIME_ERROR: i32 = 5;
/// A bit of the status: the offset is in nanoseconds, else in microseconds.
const STA_NANO: i32 = 0x2000;

/// The system's clock. It is only read.
pub(crate) struct Clock {
    pub(crate) keepers: Keepers,
}

impl Collector for Clock {
    fn collect(&mut self) -> Result<Finding, String> {
        let (keeper, problems) = self.keepers.ask();
        let (is_synchronised, offset) = match keeper {
            Some(keeper) => (keeper.is_synchronised(), keeper.offset()),
            None => kernel()?,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ntp = Ntp {
            timestamp: now.as_secs(),
            timestamp_micro: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            sync_status: Some(is_synchronised),
            offset: Some(offset),
        };
        Ok(Finding {
            part: Part::Ntp(ntp),
            note: (!problems.is_empty()).then(|| problems.join("; ")),
        })
    }
}

/// Whether the kernel believes the clock, and by how many seconds it will move it.
fn kernel() -> Result<(bool, f64), String> {
    // All zero: nothing is to be changed.
    let mut timex = Timex::new();
    let state = adjtimex(&mut timex).map_err(|error| format!("adjtimex: {error}"))?;
    Ok((state != TIME_ERROR, seconds(timex.0.offset, timex.0.status)))
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
    use std::net::UdpSocket;
    use std::path::Path;

    use super::super::root::Root;
    use super::*;

    #[test]
    fn the_status_says_what_the_offset_counts() {
        assert_eq!(seconds(-213_000_i64, STA_NANO | 1), -0.000_213);
        assert_eq!(seconds(1500_i64, 1), 0.0015);
    }

    /// Nobody but who is bound by the test, on a machine whose files are in
    /// the directory.
    fn keepers(directory: &Path, chrony: Option<&UdpSocket>, ntp: Option<&UdpSocket>) -> Keepers {
        // A port that is free for as long as nobody takes it.
        let free = || {
            UdpSocket::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
        };
        let address = |socket: Option<&UdpSocket>| {
            socket.map_or_else(free, |socket| socket.local_addr().unwrap())
        };
        let bus = directory.join("bus");
        Keepers::new(&Root::at(directory), address(chrony), address(ntp), bus)
    }

    fn collect(keepers: Keepers) -> (Ntp, Option<String>) {
        let finding = Clock { keepers }.collect().unwrap();
        let Part::Ntp(ntp) = finding.part else {
            panic!("this is no clock");
        };
        assert_eq!(ntp.timestamp, ntp.timestamp_micro / 1_000_000);
        (ntp, finding.note)
    }

    #[test]
    fn the_kernel_tells_of_its_clock_where_nobody_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let (ntp, note) = collect(keepers(directory.path(), None, None));
        assert!(ntp.sync_status.is_some());
        assert!(ntp.offset.unwrap().abs() < 1.0);
        assert_eq!(note, None);
    }

    #[test]
    fn an_ntpd_tells_in_milliseconds_and_after_stray_datagrams() {
        let directory = tempfile::tempdir().unwrap();
        let ntpd = UdpSocket::bind("127.0.0.1:0").unwrap();
        let keepers = keepers(directory.path(), None, Some(&ntpd));
        let server = std::thread::spawn(move || {
            let mut question = [0; 100];
            let (length, from) = ntpd.recv_from(&mut question).unwrap();
            assert_eq!(question[..length], [0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            let data = b"stratum=2, offset=-12.5";
            let mut answer = vec![0x16, 0x82, 0, 1, 6, 0x15, 0, 0, 0, 0, 0, data.len() as u8];
            answer.extend_from_slice(data);
            let mut stray = answer.clone();
            stray[3] = 9;
            ntpd.send_to(&stray, from).unwrap();
            ntpd.send_to(&answer, from).unwrap();
        });
        let (ntp, note) = collect(keepers);
        server.join().unwrap();
        assert_eq!(ntp.sync_status, Some(true));
        assert_eq!(ntp.offset, Some(-0.0125));
        assert_eq!(note, None);
    }

    #[test]
    fn who_does_not_answer_is_named_and_the_kernel_asked() {
        let directory = tempfile::tempdir().unwrap();
        let (chronyd, ntpd) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let answers = ntpd.try_clone().unwrap();
        let server = std::thread::spawn(move || {
            let mut question = [0; 100];
            let (_, from) = answers.recv_from(&mut question).unwrap();
            answers.send_to(b"too short", from).unwrap();
        });
        let (ntp, note) = collect(keepers(directory.path(), Some(&chronyd), Some(&ntpd)));
        server.join().unwrap();
        assert!(ntp.sync_status.is_some());
        let note = note.unwrap();
        assert!(note.contains("cannot ask chronyd at 127.0.0.1:"), "{note}");
        assert!(
            note.contains(": no answer in time; cannot ask ntpd at "),
            "{note}"
        );
        assert!(note.ends_with("its answer is cut off"), "{note}");
    }
}
