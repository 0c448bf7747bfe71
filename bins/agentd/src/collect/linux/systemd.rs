//! The units of systemd, asked over the system's bus.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent::document::SystemdUnit;

use super::dbus::{self, Body, Method};
use super::http::words;
use super::part::{Collector, Finding, Part};

pub(super) const NAME: &str = "org.freedesktop.systemd1";
pub(super) const PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";

const LIST_UNITS: Method<'static> = Method {
    destination: NAME,
    path: PATH,
    interface: MANAGER,
    member: "ListUnits",
    arguments: &[],
};

/// How long the bus may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// All loaded units of all types.
pub(crate) struct Units {
    /// Where systemd is to be asked, if it runs.
    socket: Option<PathBuf>,
}

impl Units {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket }
    }
}

impl Collector for Units {
    fn collect(&mut self) -> Result<Finding, String> {
        let Some(socket) = &self.socket else {
            return Ok(Part::SystemdServices(Vec::new()).into());
        };
        let deadline = Instant::now() + PATIENCE;
        let units = dbus::call(socket, LIST_UNITS, deadline)
            .and_then(|body| units(&body))
            .map_err(|error| {
                let (at, why) = (socket.display(), words(&error));
                format!("cannot ask systemd over {at}: {why}")
            })?;
        Ok(Part::SystemdServices(units).into())
    }
}

/// `a(ssssssouso)`: name, description, load, active and sub state, followed
/// unit, object, job's number, job's type, job's object.
pub(crate) fn units(body: &Body) -> io::Result<Vec<SystemdUnit>> {
    let wrong = || wrong("the answer is no list of units");
    let mut reader = body.reader();
    let end = reader.list_of_structures().ok_or_else(wrong)?;
    let mut units = Vec::new();
    while reader.is_before(end) {
        reader.align(8);
        let mut unit = || {
            let mut string = || reader.string().map(str::to_owned);
            let unit = SystemdUnit {
                name: string()?,
                description: string()?,
                load_state: string()?,
                active_state: string()?,
                sub_state: string()?,
            };
            reader.string()?;
            reader.string()?;
            reader.u32()?;
            reader.string()?;
            reader.string()?;
            Some(unit)
        };
        units.push(unit().ok_or_else(wrong)?);
    }
    Ok(units)
}

pub(super) fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::*;

    /// A value as D-Bus writes it, at its place in a body.
    fn put(body: &mut Vec<u8>, text: &str) {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }

    fn list(units: &[[&str; 5]]) -> Vec<u8> {
        let mut body = vec![0; 8];
        for unit in units {
            body.resize(body.len().next_multiple_of(8), 0);
            unit.iter().for_each(|text| put(&mut body, text));
            put(&mut body, "");
            put(&mut body, "/org/freedesktop/systemd1/unit/x");
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend_from_slice(&0_u32.to_le_bytes());
            put(&mut body, "");
            put(&mut body, "/");
        }
        let length = body.len() as u32 - 8;
        body[..4].copy_from_slice(&length.to_le_bytes());
        body
    }

    const CRON: [&str; 5] = [
        "cron.service",
        "Regular background program processing daemon",
        "loaded",
        "active",
        "running",
    ];

    #[test]
    fn units_are_read_and_no_beginning_of_the_list_is_a_list() {
        let bytes = list(&[CRON, ["a.socket", "é", "not-found", "inactive", "dead"]]);
        let found = units(&Body::of(&bytes)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "cron.service");
        assert_eq!(found[0].sub_state, "running");
        assert_eq!(found[1].description, "é");
        for cut in 0..bytes.len() {
            assert!(units(&Body::of(&bytes[..cut])).is_err(), "{cut}");
        }
        let mut endless = bytes;
        endless[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(units(&Body::of(&endless)).is_err());
        assert_eq!(units(&Body::of(&list(&[]))).unwrap(), []);
    }

    /// A message as a bus sends it: kind, fields as `(code, signature, bytes)`.
    fn message(kind: u8, reply_to: u32, body: &[u8]) -> Vec<u8> {
        let mut fields = vec![5, 1, b'u', 0];
        fields.extend_from_slice(&reply_to.to_le_bytes());
        // The sender, and the signature of the body.
        fields.extend_from_slice(&[7, 1, b's', 0]);
        fields.extend_from_slice(&4_u32.to_le_bytes());
        fields.extend_from_slice(b":1.0\0");
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend_from_slice(&[8, 1, b'g', 0, 1, b's', 0]);
        let mut message = vec![b'l', kind, 1, 1];
        message.extend_from_slice(&(body.len() as u32).to_le_bytes());
        message.extend_from_slice(&77_u32.to_le_bytes());
        message.extend_from_slice(&(fields.len() as u32).to_le_bytes());
        message.extend_from_slice(&fields);
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend_from_slice(body);
        message
    }

    /// The dialogue with a bus, whose words are given. Each message of ours is
    /// 16 bytes long and what its fields need.
    fn bus(socket: &Path, answers: Vec<Vec<u8>>) -> std::thread::JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let line = line(&mut stream);
            assert!(line.starts_with("\0AUTH EXTERNAL "), "{line}");
            stream.write_all(b"OK 1234deadbeef\r\n").unwrap();
            assert_eq!(self::line(&mut stream), "BEGIN\r\n");
            for answer in answers {
                let mut head = [0; 16];
                stream.read_exact(&mut head).unwrap();
                let fields = u32::from_le_bytes(head[12..].try_into().unwrap()) as usize;
                let mut rest = vec![0; fields.next_multiple_of(8)];
                stream.read_exact(&mut rest).unwrap();
                // In small pieces, as a socket may give them.
                for piece in answer.chunks(7) {
                    stream.write_all(piece).unwrap();
                }
            }
        })
    }

    fn line(stream: &mut UnixStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    fn machine(directory: &Path) -> Units {
        std::fs::create_dir_all(directory.join("run/dbus")).unwrap();
        Units::new(Some(directory.join(dbus::SOCKET)))
    }

    #[test]
    fn the_bus_is_greeted_and_signals_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut machine = machine(directory.path());
        let mut name = Vec::new();
        put(&mut name, ":1.5");
        // The name comes with a signal right behind it.
        let hello = [message(2, 1, &name), message(4, 0, &name)].concat();
        let list = message(2, 2, &list(&[CRON]));
        let bus = bus(machine.socket.as_ref().unwrap(), vec![hello, list]);
        let Part::SystemdServices(units) = machine.collect().unwrap().part else {
            panic!("these are no units");
        };
        bus.join().unwrap();
        assert_eq!(units[0].name, "cron.service");
    }

    #[test]
    fn what_the_bus_refuses_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut machine = machine(directory.path());
        let mut why = Vec::new();
        put(&mut why, "Access denied");
        let bus = bus(
            machine.socket.as_ref().unwrap(),
            vec![message(2, 1, &why), message(3, 2, &why)],
        );
        let error = machine.collect().err().unwrap();
        bus.join().unwrap();
        assert!(
            error.ends_with("system_bus_socket: Access denied"),
            "{error}"
        );
    }

    #[test]
    fn a_machine_without_systemd_has_no_units() {
        let mut units = Units::new(None);
        let Part::SystemdServices(units) = units.collect().unwrap().part else {
            panic!("these are no units");
        };
        assert_eq!(units, []);
    }
}
