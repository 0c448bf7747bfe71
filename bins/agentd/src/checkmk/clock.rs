//! Sections of those who keep the clock, in the words of the programs that
//! Checkmk's agent asks: `chronyc`, `ntpq`, `timedatectl`.

use std::net::IpAddr;

use agent::Document;

use super::Output;
use crate::collect::linux::ntp::keeper::{Keeper, Message, Peer, Status, Tracking};
use crate::collect::root::unix_time;

/// What a peer is shown as by how much it counts.
const TALLY: [char; 8] = ['%', 'x', '.', '-', '+', '#', '*', 'o'];

impl Output<'_> {
    /// Of who keeps the clock, if that is somebody whom Checkmk knows.
    pub(super) fn clock(&mut self, document: &Document) {
        if document.ntp.done().is_none() {
            return;
        }
        let Some(keeper) = self.machine.others.keepers.ask().0 else {
            return;
        };
        let (name, lines) = section(&keeper, self.machine.others.clock_set());
        self.section(name);
        lines.iter().for_each(|line| self.line(line));
    }
}

/// The section's name, and its lines. `synced`: when timesyncd last set the
/// clock, since 1970.
fn section(keeper: &Keeper, synced: Option<u64>) -> (&'static str, Vec<String>) {
    match keeper {
        Keeper::Chrony(found) => ("chrony", tracking(found)),
        Keeper::Ntp(server) => ("ntp", server.peers().iter().map(peer).collect()),
        Keeper::Timesync(status) => {
            let mut lines = timesync(status);
            lines.extend(synced.map(|secs| format!("[[[{secs}]]]")));
            ("timesyncd", lines)
        }
    }
}

/// As `chronyc -n tracking`.
fn tracking(found: &Tracking) -> Vec<String> {
    let bytes = found.reference.to_be_bytes();
    let letters = || bytes.iter().filter(|byte| byte.is_ascii_graphic());
    let reference = match found.address.as_str() {
        "" => letters().map(|byte| char::from(*byte)).collect(),
        address => address.to_owned(),
    };
    let at = i64::try_from(found.at).unwrap_or(0);
    let at = jiff::Timestamp::from_second(at).unwrap_or_default();
    let slow_if = |is_slow: bool| if is_slow { "slow" } else { "fast" };
    let leap = match found.leap {
        0 => "Normal",
        1 => "Insert second",
        2 => "Delete second",
        _ => "Not synchronised",
    };
    vec![
        format!("Reference ID    : {:08X} ({reference})", found.reference),
        format!("Stratum         : {}", found.stratum),
        format!("Ref time (UTC)  : {}", at.strftime("%a %b %d %T %Y")),
        format!(
            "System time     : {:.9} seconds {} of NTP time",
            found.correction.abs(),
            slow_if(found.correction > 0.0)
        ),
        format!("Last offset     : {:+.9} seconds", found.last_offset),
        format!("RMS offset      : {:.9} seconds", found.rms_offset),
        format!(
            "Frequency       : {:.3} ppm {}",
            found.frequency.abs(),
            slow_if(found.frequency <= 0.0)
        ),
        format!("Residual freq   : {:+.3} ppm", found.residual_frequency),
        format!("Skew            : {:.3} ppm", found.skew),
        format!("Root delay      : {:.9} seconds", found.root_delay),
        format!("Root dispersion : {:.9} seconds", found.root_dispersion),
        format!("Update interval : {:.1} seconds", found.update_interval),
        format!("Leap status     : {leap}"),
    ]
}

/// As a line of `ntpq -np`, with a blank after the first column, and `%` there
/// for nothing.
fn peer(peer: &Peer) -> String {
    let variables = &peer.variables;
    let address = variables.text("srcadr");
    let is_clock = address.starts_with("127.127.");
    let remote = match variables.text("srchost") {
        name if is_clock && !name.is_empty() => name,
        _ => address,
    };
    let refid = variables.text("refid");
    let refid = match refid.parse::<IpAddr>() {
        Ok(_) => refid.to_owned(),
        Err(_) => format!(".{}.", refid.trim_matches('.')),
    };
    let kind = match variables.bits("hmode") {
        _ if is_clock => 'l',
        Some(1) => 's',
        Some(5) => 'b',
        _ => 'u',
    };
    let number = |name: &str| variables.number(name).unwrap_or(0.0);
    let heard = variables.moment("rec");
    let exponent = ["hpoll", "ppoll"].map(|name| variables.bits(name).unwrap_or(6));
    let poll = 1_u64 << exponent[0].min(exponent[1]).clamp(3, 17);
    format!(
        "{} {} {} {} {kind} {} {poll} {:o} {:.3} {:.3} {:.3}",
        TALLY[usize::from(peer.selection & 7)],
        word(remote),
        word(&refid),
        variables.bits("stratum").unwrap_or(16),
        heard.map_or("-".to_owned(), |at| ago(unix_time().saturating_sub(at))),
        variables.bits("reach").unwrap_or(0) & 0o377,
        number("delay"),
        number("offset"),
        number("jitter"),
    )
}

/// The server cuts a line at blanks, and counts the columns.
fn word(text: &str) -> String {
    match text.replace(char::is_whitespace, "_") {
        empty if empty.is_empty() => "-".to_owned(),
        text => text,
    }
}

/// Four characters, as `ntpq` has room for.
fn ago(secs: u64) -> String {
    match secs {
        0..=2048 => secs.to_string(),
        2049..=17_999 => format!("{}m", secs / 60),
        18_000..=345_599 => format!("{}h", secs / 3600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// As `timedatectl timesync-status`.
fn timesync(status: &Status) -> Vec<String> {
    let mut lines = vec![
        format!(
            "       Server: {} ({})",
            or_null(&status.address),
            or_null(&status.server)
        ),
        format!(
            "Poll interval: {} (min: {}; max {})",
            span(status.poll),
            span(status.poll_min),
            span(status.poll_max)
        ),
    ];
    if status.message.count > 0 {
        lines.extend(answer(&status.message, status.root_distance_max));
    }
    lines.push(format!(" Packet count: {}", status.message.count));
    if status.message.count > 0 {
        let frequency = status.frequency as f64 / 65536.0;
        lines.push(format!("    Frequency: {frequency:+.3}ppm"));
    }
    lines
}

/// What the server has answered last.
fn answer(message: &Message, root_distance_max: u64) -> [String; 9] {
    let leap = match message.leap {
        0 => "normal",
        1 => "last minute of the day has 61 seconds",
        2 => "last minute of the day has 59 seconds",
        _ => "not synchronized",
    };
    let reference: String = match message.stratum {
        0 | 1 => {
            let letters = message
                .reference
                .iter()
                .filter(|byte| byte.is_ascii_graphic());
            letters.map(|byte| char::from(*byte)).collect()
        }
        _ => message
            .reference
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect(),
    };
    let precision = (f64::from(message.precision).exp2() * 1e6).ceil() as u64;
    let distance = message
        .root_dispersion
        .saturating_add(message.root_delay / 2);
    let offset = message.offset();
    [
        format!("         Leap: {leap}"),
        format!("      Version: {}", message.version),
        format!("      Stratum: {}", message.stratum),
        format!("    Reference: {reference}"),
        format!("    Precision: {} ({})", span(precision), message.precision),
        format!(
            "Root distance: {} (max: {})",
            span(distance),
            span(root_distance_max)
        ),
        format!(
            "       Offset: {}{}",
            if offset < 0 { '-' } else { '+' },
            span(offset.unsigned_abs())
        ),
        format!("        Delay: {}", span(message.delay().unsigned_abs())),
        format!("       Jitter: {}", span(message.jitter)),
    ]
}

/// What Checkmk's server takes for nothing.
fn or_null(text: &str) -> &str {
    match text {
        "" => "null",
        text => text,
    }
}

/// Microseconds as systemd writes them: `1min 2.5s`, `24.834ms`, `53us`, `0`.
pub(super) fn span(micros: u64) -> String {
    const WHOLE: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
    let mut words = Vec::new();
    let mut rest = micros;
    for (secs, unit) in WHOLE {
        let each = secs * 1_000_000;
        if rest >= each {
            words.push(format!("{}{unit}", rest / each));
            rest %= each;
        }
    }
    let (each, unit) = match rest {
        1_000_000.. => (1_000_000, "s"),
        1_000.. => (1_000, "ms"),
        _ => (1, "us"),
    };
    if rest > 0 {
        // A fraction without zeros at its end, as floating point numbers print.
        words.push(format!("{}{unit}", rest as f64 / f64::from(each)));
    }
    match words.is_empty() {
        true => "0".to_owned(),
        false => words.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_systemd_does() {
        for (micros, want) in [
            (0, "0"),
            (53, "53us"),
            (1_000, "1ms"),
            (24_834, "24.834ms"),
            (1_500_000, "1.5s"),
            (32_000_000, "32s"),
            (2_048_000_000, "34min 8s"),
            (90_061_000_000, "1d 1h 1min 1s"),
        ] {
            assert_eq!(span(micros), want);
        }
    }

    #[test]
    fn how_long_ago_fits_four_characters() {
        for (secs, want) in [(0, "0"), (2048, "2048"), (3600, "60m"), (90_000, "25h")] {
            assert_eq!(ago(secs), want);
        }
    }

    #[test]
    fn timesyncd_is_shown_as_timedatectl_shows_it() {
        let mut status = Status {
            server: "time.example.net".to_owned(),
            address: "192.0.2.9".to_owned(),
            poll: 64_000_000,
            poll_min: 32_000_000,
            poll_max: 2_048_000_000,
            root_distance_max: 5_000_000,
            frequency: -2_873_754,
            message: Message {
                leap: 0,
                version: 4,
                stratum: 2,
                precision: -24,
                root_delay: 30_000,
                root_dispersion: 2_000,
                reference: vec![192, 36, 143, 151],
                times: [1_000_000, 1_015_100, 1_015_200, 1_030_406],
                count: 7,
                jitter: 500,
            },
        };
        let want = [
            "       Server: 192.0.2.9 (time.example.net)",
            "Poll interval: 1min 4s (min: 32s; max 34min 8s)",
            "         Leap: normal",
            "      Version: 4",
            "      Stratum: 2",
            "    Reference: C0248F97",
            "    Precision: 1us (-24)",
            "Root distance: 17ms (max: 5s)",
            "       Offset: -53us",
            "        Delay: 30.306ms",
            "       Jitter: 500us",
            " Packet count: 7",
            "    Frequency: -43.850ppm",
        ];
        assert_eq!(timesync(&status), want);
        status.message.count = 0;
        assert_eq!(timesync(&status), [want[0], want[1], " Packet count: 0"]);
    }
}
