//! The section `systemd_units`, in the words of `systemctl`: the files of units,
//! the status of each unit, and all units. Services and sockets only, as the
//! server wants them.

use std::collections::BTreeMap;

use agent::Document;
use agent::document::SystemdUnit;

use super::Output;
use super::clock::span;
use crate::collect::linux::unit_details::{self, Details, UnitFile};
use crate::collect::root::unix_time;

impl Output<'_> {
    /// What systemd does not tell in time is left out.
    pub(super) fn units(&mut self, document: &Document) {
        let found = document.systemd_services.done().into_iter().flatten();
        let shown: Vec<&SystemdUnit> = found.filter(|unit| is_shown(&unit.name)).collect();
        let Some(socket) = (self.machine.others.systemd()).filter(|_| !shown.is_empty()) else {
            return;
        };
        let (files, details) = unit_details::ask(&socket, &shown).unwrap_or_default();
        let now = unix_time().saturating_mul(1_000_000);
        self.section("systemd_units");
        for line in section(&shown, &files, &details, now) {
            self.line(&line);
        }
    }
}

fn is_shown(name: &str) -> bool {
    name.ends_with(".service") || name.ends_with(".socket")
}

/// `now` in microseconds since 1970. `details` belong to `units`, or are none.
fn section(
    units: &[&SystemdUnit],
    files: &[UnitFile],
    details: &[Details],
    now: u64,
) -> Vec<String> {
    let files = files.iter().filter(|file| is_shown(file.name()));
    let files: BTreeMap<&str, &UnitFile> = files.map(|file| (file.name(), file)).collect();
    let mut lines = vec!["[list-unit-files]".to_owned()];
    lines.extend(
        files
            .values()
            .map(|file| format!("{} {}", file.name(), file.state)),
    );
    lines.push("[status]".to_owned());
    for (unit, details) in units.iter().zip(details) {
        // Of what is not loaded there is nothing more to tell.
        if unit.load_state == "loaded" {
            let file = files.get(unit.name.as_str());
            let file = file.or_else(|| files.get(template(&unit.name)?.as_str()));
            lines.extend(status(unit, file.copied(), details, now));
        }
    }
    lines.push("[all]".to_owned());
    lines.extend(units.iter().map(|unit| {
        format!(
            "{} {} {} {} {}",
            unit.name,
            unit.load_state,
            unit.active_state,
            unit.sub_state,
            one_line(&unit.description)
        )
    }));
    lines
}

/// `getty@.service` of `getty@tty1.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{name}@.{kind}"))
}

fn status(unit: &SystemdUnit, file: Option<&UnitFile>, details: &Details, now: u64) -> Vec<String> {
    let sign = match unit.active_state.as_str() {
        "inactive" => '○',
        "failed" => '×',
        "reloading" => '↻',
        _ => '●',
    };
    let loaded = file.map(|file| format!(" ({}; {})", file.path.replace(' ', "_"), file.state));
    let since = details.since.and_then(|micros| {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok()?;
        let at = at.strftime("%a %Y-%m-%d %T UTC");
        Some(format!(
            " since {at}; {} ago",
            ago(now.saturating_sub(micros))
        ))
    });
    let mut lines = vec![
        format!("{sign} {} - {}", unit.name, one_line(&unit.description)),
        format!(
            "     Loaded: {}{}",
            unit.load_state,
            loaded.unwrap_or_default()
        ),
        format!(
            "     Active: {} ({}){}",
            unit.active_state,
            unit.sub_state,
            since.unwrap_or_default()
        ),
    ];
    lines.extend(details.tasks.map(|tasks| format!("      Tasks: {tasks}")));
    lines.extend(
        details
            .memory
            .map(|bytes| format!("     Memory: {}", size(bytes))),
    );
    lines.extend(
        details
            .cpu
            .map(|nanos| format!("        CPU: {}", processor(nanos))),
    );
    lines
}

/// Whole milliseconds, but for less than one.
fn processor(nanos: u64) -> String {
    match nanos / 1000 {
        micros @ ..1000 => span(micros),
        micros => span(micros / 1000 * 1000),
    }
}

/// With the units that the server knows.
fn size(bytes: u64) -> String {
    let number = bytes as f64;
    match bytes {
        0x4000_0000.. => format!("{:.1}G", number / f64::from(1 << 30)),
        0x10_0000.. => format!("{:.1}M", number / f64::from(1 << 20)),
        1024.. => format!("{:.1}K", number / 1024.0),
        _ => format!("{bytes}B"),
    }
}

/// The two largest units that count, as `systemctl` shows how long ago something
/// was.
fn ago(micros: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const WEEK: u64 = 7 * DAY;
    const MONTH: u64 = 2_629_800;
    const YEAR: u64 = 12 * MONTH;
    let secs = micros / 1_000_000;
    let many = |number: u64, unit: &str| match number {
        0 => String::new(),
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    };
    let pair = |each: u64, unit: &str, part: u64, smaller: &str| {
        let (whole, rest) = (many(secs / each, unit), many(secs % each / part, smaller));
        format!("{whole} {rest}").trim_end().to_owned()
    };
    match secs {
        YEAR.. => pair(YEAR, "year", MONTH, "month"),
        MONTH.. => pair(MONTH, "month", DAY, "day"),
        WEEK.. => pair(WEEK, "week", DAY, "day"),
        DAY.. => match (secs / DAY, secs % DAY / HOUR) {
            (1, hours) if hours > 0 => format!("1 day {hours}h"),
            (days, _) => many(days, "day"),
        },
        HOUR.. => format!("{}h {}min", secs / HOUR, secs % HOUR / MINUTE),
        MINUTE.. => format!("{}min {}s", secs / MINUTE, secs % MINUTE),
        _ => format!("{secs}s"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, states: [&str; 3]) -> SystemdUnit {
        SystemdUnit {
            name: name.to_owned(),
            description: "Some  thing".to_owned(),
            load_state: states[0].to_owned(),
            active_state: states[1].to_owned(),
            sub_state: states[2].to_owned(),
        }
    }

    #[test]
    fn units_are_told_of_as_systemctl_does() {
        let file = |path: &str, state: &str| UnitFile {
            path: path.to_owned(),
            state: state.to_owned(),
        };
        let units = [
            unit("getty@tty1.service", ["loaded", "active", "running"]),
            unit("gone.service", ["not-found", "inactive", "dead"]),
            unit("x.socket", ["loaded", "failed", "failed"]),
        ];
        let details = [
            Details {
                since: Some(1_795_000_000_000_000),
                memory: Some(5 << 20),
                tasks: Some(3),
                cpu: Some(743_378_901_234),
            },
            Details::default(),
            Details::default(),
        ];
        let files = [
            file("/lib/systemd/system/getty@.service", "enabled"),
            file("/lib/systemd/system/boot.mount", "generated"),
        ];
        let units: Vec<&SystemdUnit> = units.iter().collect();
        let lines = section(&units, &files, &details, 1_795_000_063_000_000);
        let want = [
            "[list-unit-files]",
            "getty@.service enabled",
            "[status]",
            "● getty@tty1.service - Some thing",
            "     Loaded: loaded (/lib/systemd/system/getty@.service; enabled)",
            "     Active: active (running) since Wed 2026-11-18 11:06:40 UTC; 1min 3s ago",
            "      Tasks: 3",
            "     Memory: 5.0M",
            "        CPU: 12min 23.378s",
            "× x.socket - Some thing",
            "     Loaded: loaded",
            "     Active: failed (failed)",
            "[all]",
            "getty@tty1.service loaded active running Some thing",
            "gone.service not-found inactive dead Some thing",
            "x.socket loaded failed failed Some thing",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn sizes_and_times_have_the_units_that_the_server_knows() {
        for (bytes, want) in [(8, "8B"), (219_136, "214.0K"), (3 << 40, "3072.0G")] {
            assert_eq!(size(bytes), want);
        }
        for (nanos, want) in [(815_000, "815us"), (34_567_890, "34ms"), (0, "0")] {
            assert_eq!(processor(nanos), want);
        }
        for (secs, want) in [
            (5, "5s"),
            (3_600, "1h 0min"),
            (90_000, "1 day 1h"),
            (200_000, "2 days"),
            (777_600, "1 week 2 days"),
            (5_400_000, "2 months 1 day"),
            (63_115_200, "2 years"),
        ] {
            assert_eq!(ago(secs * 1_000_000), want);
        }
    }
}
