//! What systemd knows of its units beyond their states: asked when somebody
//! wants to see it, as it takes a question for each.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::document::SystemdUnit;

use super::dbus::{Body, Bus, Method, property};
use super::systemd::{MANAGER, NAME, PATH, wrong};

const LIST_UNIT_FILES: Method<'static> = Method {
    destination: NAME,
    path: PATH,
    interface: MANAGER,
    member: "ListUnitFiles",
    arguments: &[],
};

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// What a service that runs takes.
const USAGE: [[&str; 2]; 3] = [
    [SERVICE, "MemoryCurrent"],
    [SERVICE, "TasksCurrent"],
    [SERVICE, "CPUUsageNSec"],
];

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file that describes a unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnitFile {
    pub(crate) path: String,
    /// `enabled`, `disabled`, `static` and so on.
    pub(crate) state: String,
}

/// What is known of one unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Details {
    /// When it came into its state, in microseconds since 1970.
    pub(crate) since: Option<u64>,
    /// In bytes.
    pub(crate) memory: Option<u64>,
    pub(crate) tasks: Option<u64>,
    /// In nanoseconds.
    pub(crate) cpu: Option<u64>,
}

/// All files of units, and the details of these units, in their order.
pub(crate) fn ask(
    socket: &Path,
    units: &[&SystemdUnit],
) -> io::Result<(Vec<UnitFile>, Vec<Details>)> {
    let mut bus = Bus::connect(socket, Instant::now() + PATIENCE)?;
    let files = unit_files(&bus.call(LIST_UNIT_FILES)?)?;
    let paths: Vec<String> = units.iter().map(|unit| object_path(&unit.name)).collect();
    let mut questions = Vec::new();
    for (unit, path) in units.iter().zip(&paths) {
        questions.push(property(NAME, path, since(&unit.active_state)));
        if uses(unit) {
            questions.extend(USAGE.each_ref().map(|names| property(NAME, path, names)));
        }
    }
    let mut answers = bus.call_all(&questions)?.into_iter();
    // 2^64 - 1 is what systemd does not know, and 0 a time that never was.
    let mut number = || {
        let body = answers.next()?.ok()?;
        unsigned(&body).filter(|number| *number != u64::MAX)
    };
    let details = units.iter().map(|unit| {
        let since = number().filter(|micros| *micros > 0);
        match uses(unit) {
            true => Details {
                since,
                memory: number(),
                tasks: number(),
                cpu: number(),
            },
            false => Details {
                since,
                ..Details::default()
            },
        }
    });
    Ok((files, details.collect()))
}

/// Whether it can take anything of the machine.
fn uses(unit: &SystemdUnit) -> bool {
    unit.name.ends_with(".service") && unit.active_state == "active"
}

/// The moment that `systemctl` shows of a unit in this state.
fn since(active_state: &str) -> &'static [&'static str; 2] {
    match active_state {
        "active" | "reloading" => &[UNIT, "ActiveEnterTimestamp"],
        "inactive" | "failed" => &[UNIT, "InactiveEnterTimestamp"],
        "activating" => &[UNIT, "InactiveExitTimestamp"],
        _ => &[UNIT, "ActiveExitTimestamp"],
    }
}

/// Letters and digits stay; what else there is, and a digit at the beginning,
/// is written in hexadecimal digits.
fn object_path(unit: &str) -> String {
    let mut path = format!("{PATH}/unit/");
    for (number, byte) in unit.bytes().enumerate() {
        let stays = byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && number > 0);
        match stays {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

fn unsigned(body: &Body) -> Option<u64> {
    let mut reader = body.reader();
    reader.variant("t")?;
    reader.u64()
}

/// `a(ss)`: the path of each, and its state.
pub(crate) fn unit_files(body: &Body) -> io::Result<Vec<UnitFile>> {
    let wrong = || wrong("the answer is no list of files");
    let mut reader = body.reader();
    let end = reader.list_of_structures().ok_or_else(wrong)?;
    let mut files = Vec::new();
    while reader.is_before(end) {
        reader.align(8);
        let path = reader.string().ok_or_else(wrong)?.to_owned();
        let state = reader.string().ok_or_else(wrong)?.to_owned();
        files.push(UnitFile { path, state });
    }
    Ok(files)
}

impl UnitFile {
    /// The name of the unit, or of the template of many.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_paths_on_the_bus() {
        for (unit, want) in [
            ("cron.service", "cron_2eservice"),
            ("getty@tty1.service", "getty_40tty1_2eservice"),
            ("9p-x.socket", "_39p_2dx_2esocket"),
        ] {
            let want = format!("/org/freedesktop/systemd1/unit/{want}");
            assert_eq!(object_path(unit), want);
        }
    }

    #[test]
    fn files_are_read_and_no_beginning_of_the_list_is_a_list() {
        let mut bytes = vec![0; 8];
        for text in ["/lib/systemd/system/cron.service", "enabled"] {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        let length = bytes.len() as u32 - 8;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let files = unit_files(&Body::of(&bytes)).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(
            (files[0].name(), files[0].state.as_str()),
            ("cron.service", "enabled")
        );
        for cut in 0..bytes.len() {
            assert!(unit_files(&Body::of(&bytes[..cut])).is_err(), "{cut}");
        }
    }
}
