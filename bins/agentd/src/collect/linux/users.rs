//! Who is logged in, from `/var/run/utmp`.

use agent::document::User;

use super::part::{Collector, Finding, Part};
use super::root::{Root, text};

/// The records of `utmp`.
pub(crate) struct Logins {
    root: Root,
    buffer: Vec<u8>,
}

impl Logins {
    pub(crate) fn new(root: Root) -> Self {
        let buffer = Vec::new();
        Self { root, buffer }
    }
}

impl Collector for Logins {
    fn collect(&mut self) -> Result<Finding, String> {
        let records = self.root.read("var/run/utmp", &mut self.buffer)?;
        Ok(Part::Users(users(records)).into())
    }
}

/// A record is a C structure of this length: 32 bits for a time where a program
/// of 32 bits can run as well, 64 elsewhere.
const RECORD: usize = if IS_WIDE { 400 } else { 384 };
const IS_WIDE: bool = cfg!(any(
    target_arch = "aarch64",
    target_arch = "loongarch64",
    target_arch = "riscv64"
));
const USER_PROCESS: i16 = 7;

/// The users in the records; what is left of a record at the end is none.
pub(crate) fn users(records: &[u8]) -> Vec<User> {
    let (records, _) = records.as_chunks::<RECORD>();
    records.iter().filter_map(user).collect()
}

fn user(record: &[u8; RECORD]) -> Option<User> {
    let kind = i16::from_ne_bytes(*record.first_chunk()?);
    if kind != USER_PROCESS {
        return None;
    }
    let started = match IS_WIDE {
        true => i64::from_ne_bytes(*record.get(344..)?.first_chunk()?),
        false => i32::from_ne_bytes(*record.get(340..)?.first_chunk()?).into(),
    };
    Some(User {
        terminal: field(record.get(8..40)?),
        name: field(record.get(44..76)?),
        host: field(record.get(76..332)?),
        started,
    })
}

/// Up to the first NUL, if there is one.
fn field(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    text(&bytes[..end.unwrap_or(bytes.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, line: &str, name: &str, host: &str, started: i32) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        for (at, text) in [(8, line), (44, name), (76, host)] {
            record[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        let at = if IS_WIDE { 344 } else { 340 };
        record[at..at + 4].copy_from_slice(&started.to_le_bytes());
        record
    }

    #[test]
    fn only_users_are_told() {
        let long = "x".repeat(32);
        let records = [
            record(2, "~", "reboot", "6.1.0", 5),
            record(
                USER_PROCESS,
                "pts/0",
                "anna",
                "198.51.100.23",
                1_772_347_542,
            ),
            record(8, "pts/1", "", "", 9),
            record(USER_PROCESS, "tty1", &long, "", 7),
            vec![7, 0, 0],
        ]
        .concat();
        let user = |name: &str, terminal: &str, host: &str, started| User {
            name: name.to_owned(),
            terminal: terminal.to_owned(),
            host: host.to_owned(),
            started,
        };
        assert_eq!(
            users(&records),
            [
                user("anna", "pts/0", "198.51.100.23", 1_772_347_542),
                user(&long, "tty1", "", 7),
            ]
        );
    }
}
