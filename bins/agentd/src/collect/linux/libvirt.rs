//! Virtual machines, asked of libvirt over the socket for those who only look.

pub(crate) mod rpc;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent::document::{Guest, GuestCpu, GuestDisk, GuestInterface, GuestMemory};

use super::growth::Growth;
use super::http::words;
use super::part::{Collector, Finding, Part};
use super::root::{Root, per_second};
use super::stream::Stream;
use rpc::{HEAD, Question, Reader};

/// How long libvirt may take for all of it.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the original asks for.
const ADDRESS: &str = "qemu:///system";

/// Of libvirt in one process, and of its part for this driver.
const SOCKETS: [&str; 2] = [
    "run/libvirt/virtqemud-sock-ro",
    "run/libvirt/libvirt-sock-ro",
];

/// A virtual machine that runs; `state.state` of it.
const RUNNING: u64 = 1;

/// All virtual machines by their UUID.
pub(crate) struct Guests {
    libvirt: Result<Libvirt, String>,
    growth: Growth<Counters>,
}

/// Where libvirt listens, and what it is asked for.
#[derive(Debug, PartialEq)]
struct Libvirt {
    sockets: Vec<PathBuf>,
    address: String,
}

/// What a virtual machine is, and has done since it was started.
struct Counters {
    guest: Guest,
    /// Nanoseconds.
    time: u64,
    processors: u64,
    host_processors: u32,
    interfaces: BTreeMap<String, Traffic>,
    disks: BTreeMap<String, Disk>,
}

/// Bytes, packets, errors and drops, received and sent.
#[derive(Clone, Copy)]
struct Traffic {
    received: [u64; 4],
    sent: [u64; 4],
}

/// Requests and bytes, read and written.
#[derive(Clone)]
struct Disk {
    path: String,
    read: [u64; 2],
    written: [u64; 2],
}

impl Guests {
    /// `address` is that of the usual environment, if it has one.
    pub(crate) fn new(root: &Root, address: Option<&str>) -> Self {
        Self {
            libvirt: Libvirt::named(root, address.unwrap_or(ADDRESS)),
            growth: Growth::new(),
        }
    }
}

impl Collector for Guests {
    fn collect(&mut self) -> Result<Finding, String> {
        let libvirt = self.libvirt.as_ref().map_err(Clone::clone)?;
        let found = libvirt.ask()?;
        let guests = self
            .growth
            .measure(found, |_, now, then, secs| now.since(then, secs));
        Ok(Part::Libvirt(guests).into())
    }
}

impl Libvirt {
    /// `DRIVER[+unix]:///PATH[?socket=SOCKET]`
    fn named(root: &Root, address: &str) -> Result<Self, String> {
        let not_here = || format!("LIBVIRT_DEFAULT_URI={address} is not on this machine");
        let (address_only, wishes) = address.split_once('?').unwrap_or((address, ""));
        let (scheme, path) = address_only.split_once(":///").ok_or_else(not_here)?;
        let driver = match scheme.split_once('+') {
            None | Some((_, "unix")) => scheme.trim_end_matches("+unix"),
            Some(_) => return Err(not_here()),
        };
        let socket = wishes
            .split('&')
            .find_map(|wish| wish.strip_prefix("socket="));
        Ok(Self {
            sockets: match socket {
                Some(socket) => vec![PathBuf::from(socket)],
                None => SOCKETS.map(|socket| root.path(socket)).to_vec(),
            },
            address: format!("{driver}:///{path}"),
        })
    }

    /// No virtual machines where libvirt is not.
    fn ask(&self) -> Result<BTreeMap<String, Counters>, String> {
        let deadline = Instant::now() + PATIENCE;
        for socket in &self.sockets {
            let stream = match Stream::connect(socket, deadline) {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    let at = socket.display();
                    return Err(format!("cannot connect to {at}: {}", words(&error)));
                }
            };
            let mut connection = Connection { stream, serial: 0 };
            return connection
                .figures(&self.address)
                .map_err(|why| format!("cannot ask libvirt at {}: {why}", socket.display()));
        }
        Ok(BTreeMap::new())
    }
}

/// A few questions to libvirt.
struct Connection {
    stream: Stream,
    serial: u32,
}

impl Connection {
    fn figures(&mut self, address: &str) -> Result<BTreeMap<String, Counters>, String> {
        if !self.ask(&Question::Authentication, |answer| answer.is_open_to_all())? {
            return Err("it wants to know who we are".to_owned());
        }
        self.ask(&Question::Open(address), |_| Some(()))?;
        let host_processors = self.ask(&Question::Node, |answer| answer.node_processors())?;
        let guests = self.ask(&Question::Figures, |answer| answer.guests())?;
        let mut found = BTreeMap::new();
        for mut guest in guests {
            let is_running = guest.numbers.get("state.state") == Some(&RUNNING);
            // Not every driver has figures.
            if is_running && !guest.numbers.contains_key("cpu.time") {
                let info = self.ask(&Question::Info(&guest.name), |answer| answer.info())?;
                guest.numbers.extend([
                    ("balloon.current".to_owned(), info.memory),
                    ("vcpu.current".to_owned(), u64::from(info.processors)),
                    ("cpu.time".to_owned(), info.time),
                ]);
            }
            let counters = Counters::of(&guest, is_running, host_processors);
            found.insert(counters.guest.uuid.clone(), counters);
        }
        Ok(found)
    }

    fn ask<T>(
        &mut self,
        question: &Question<'_>,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<T, String> {
        self.serial += 1;
        (self.stream.write(&question.encode(self.serial))).map_err(|error| words(&error))?;
        loop {
            // It may tell of what happens meanwhile.
            let message = self.read_message()?;
            if let Some(answer) = rpc::answer(&message, self.serial) {
                return read(&mut answer?).ok_or_else(|| "its answer is broken".to_owned());
            }
        }
    }

    fn read_message(&mut self) -> Result<Vec<u8>, String> {
        let mut head = [0; HEAD];
        self.stream.read(&mut head).map_err(|error| words(&error))?;
        let mut message = head.to_vec();
        message.resize(rpc::length(&head)?, 0);
        let rest = &mut message[HEAD..];
        self.stream.read(rest).map_err(|error| words(&error))?;
        Ok(message)
    }
}

impl Counters {
    fn of(found: &rpc::Guest, is_running: bool, host_processors: u32) -> Self {
        let number = |name: &str| found.numbers.get(name).copied().unwrap_or(0);
        let memory = GuestMemory {
            total: number("balloon.current"),
            unused: number("balloon.unused"),
            available: number("balloon.available"),
            rss: number("balloon.rss"),
            swap_in: number("balloon.swap_in"),
            swap_out: number("balloon.swap_out"),
            minor_fault: number("balloon.minor_fault"),
            major_fault: number("balloon.major_fault"),
        };
        // Each has a name under its number; a number without one is not in use.
        let named = |kind: &'static str| {
            let numbers = 0..number(&format!("{kind}.count")).min(1024);
            numbers.filter_map(move |n| {
                let name = found.texts.get(&format!("{kind}.{n}.name"))?;
                Some((n, name.clone()))
            })
        };
        let interfaces = named("net").map(|(n, name)| {
            let way = |way: &str| {
                ["bytes", "pkts", "errs", "drop"]
                    .map(|what| number(&format!("net.{n}.{way}.{what}")))
            };
            let traffic = Traffic {
                received: way("rx"),
                sent: way("tx"),
            };
            (name, traffic)
        });
        let disks = named("block").map(|(n, name)| {
            let way = |way: &str| {
                ["reqs", "bytes"].map(|what| number(&format!("block.{n}.{way}.{what}")))
            };
            let path = found.texts.get(&format!("block.{n}.path")).cloned();
            let disk = Disk {
                path: path.unwrap_or_default(),
                read: way("rd"),
                written: way("wr"),
            };
            (name, disk)
        });
        Self {
            guest: Guest {
                name: found.name.name.clone(),
                uuid: uuid::Uuid::from_bytes(found.name.uuid).to_string(),
                is_running,
                // Nor does the original find out.
                guest_agent_running: false,
                memory: is_running.then_some(memory),
                ..Guest::default()
            },
            time: number("cpu.time"),
            processors: number("vcpu.current"),
            host_processors,
            interfaces: interfaces.collect(),
            disks: disks.collect(),
        }
    }

    /// The guest as it is in the document. One that is stopped has no figures.
    fn since(&self, then: &Self, secs: f64) -> Guest {
        let guest = self.guest.clone();
        if !guest.is_running {
            return guest;
        }
        let interfaces = self.interfaces.iter().map(|(name, now)| {
            let then = then.interfaces.get(name).unwrap_or(now);
            (name.clone(), now.since(name, then, secs))
        });
        let disks = self.disks.iter().map(|(name, now)| {
            let then = then.disks.get(name).unwrap_or(now);
            (name.clone(), now.since(name, then, secs))
        });
        let busy = per_second(then.time, self.time, secs) as f64 / 1e9 * 100.0;
        let share = |processors: f64| (busy / processors.max(1.0)).clamp(0.0, 100.0);
        Guest {
            interfaces: Some(interfaces.collect()),
            diskio: Some(disks.collect()),
            cpu_usage: Some(GuestCpu {
                host_percent: share(f64::from(self.host_processors)),
                guest_percent: share(self.processors as f64),
            }),
            ..guest
        }
    }
}

impl Traffic {
    fn since(&self, name: &str, then: &Self, secs: f64) -> GuestInterface {
        let received = rates(then.received, self.received, secs);
        let sent = rates(then.sent, self.sent, secs);
        GuestInterface {
            name: name.to_owned(),
            avg_bytes_sent_ps: sent[0],
            avg_bytes_recv_ps: received[0],
            avg_packets_sent_ps: sent[1],
            avg_packets_recv_ps: received[1],
            avg_errin: received[2],
            avg_errout: sent[2],
            avg_dropin: received[3],
            avg_dropout: sent[3],
        }
    }
}

impl Disk {
    fn since(&self, name: &str, then: &Self, secs: f64) -> GuestDisk {
        let read = rates(then.read, self.read, secs);
        let written = rates(then.written, self.written, secs);
        GuestDisk {
            name: name.to_owned(),
            path: self.path.clone(),
            read_iops_per_second: read[0],
            write_iops_per_second: written[0],
            total_iops_per_second: read[0].saturating_add(written[0]),
            read_bytes_per_second: read[1],
            write_bytes_per_second: written[1],
            read_avg_size: size(then.read, self.read),
            write_avg_size: size(then.written, self.written),
        }
    }
}

fn rates<const N: usize>(then: [u64; N], now: [u64; N], secs: f64) -> [u64; N] {
    std::array::from_fn(|n| per_second(then[n], now[n], secs))
}

/// Bytes of a request in the mean.
fn size(then: [u64; 2], now: [u64; 2]) -> f64 {
    let [requests, bytes] = [0, 1].map(|n| now[n].saturating_sub(then[n]));
    match requests {
        0 => 0.0,
        _ => bytes as f64 / requests as f64,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::rpc::tests::{Figure, guests, reply};
    use super::*;

    /// What libvirt answers to these questions in turn, once for each connection.
    fn libvirt(socket: &std::path::Path, connections: Vec<Vec<Vec<u8>>>) {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for answers in connections {
                let (mut stream, _) = listener.accept().unwrap();
                for (serial, body) in (1..).zip(answers) {
                    let mut head = [0; HEAD];
                    stream.read_exact(&mut head).unwrap();
                    let mut rest = vec![0; rpc::length(&head).unwrap() - HEAD];
                    stream.read_exact(&mut rest).unwrap();
                    // An event comes in between.
                    stream.write_all(&reply(0, 0, b"event")).unwrap();
                    stream.write_all(&reply(serial, 0, &body)).unwrap();
                }
            }
        });
    }

    fn node(processors: u32) -> Vec<u8> {
        let mut body = vec![0; 32 * 4 + 8];
        body.extend_from_slice(&processors.to_be_bytes());
        body.resize(body.len() + 20, 0);
        body
    }

    /// One that runs, and one that does not.
    fn figures(time: u64, bytes: u64, requests: u64) -> Vec<u8> {
        let web = [
            ("state.state", Figure::Int(1)),
            ("cpu.time", Figure::Long(time)),
            ("balloon.current", Figure::Long(2_097_152)),
            ("balloon.unused", Figure::Long(77)),
            ("vcpu.current", Figure::Int(2)),
            ("net.count", Figure::Int(1)),
            ("net.0.name", Figure::Text("vnet0")),
            ("net.0.rx.bytes", Figure::Long(bytes)),
            ("net.0.tx.drop", Figure::Long(0)),
            ("block.count", Figure::Int(2)),
            ("block.1.name", Figure::Text("vda")),
            ("block.1.path", Figure::Text("/var/lib/web.qcow2")),
            ("block.1.wr.reqs", Figure::Long(requests)),
            ("block.1.wr.bytes", Figure::Long(bytes)),
        ];
        guests(&[("web", &web)])
    }

    #[test]
    fn guests_have_their_figures_and_rates() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let nobody = vec![0, 0, 0, 0];
        let answers = |figures: Vec<u8>| vec![nobody.clone(), Vec::new(), node(4), figures];
        libvirt(
            &root.path(SOCKETS[1]),
            vec![
                answers(figures(1_000, 1_000, 10)),
                answers(figures(1_000, 9_000_001_000, 1_000_010)),
            ],
        );
        let mut guests = Guests::new(&root, None);
        let mut collect = || match guests.collect().unwrap().part {
            Part::Libvirt(found) => found["66666666-6666-6666-6666-666666666666"].clone(),
            _ => panic!("these are no guests"),
        };
        let first = collect();
        assert!(first.is_running);
        assert_eq!(first.name, "web");
        assert_eq!(first.memory.unwrap().unused, 77);
        let second = collect();
        let cpu = second.cpu_usage.unwrap();
        assert_eq!((cpu.host_percent, cpu.guest_percent), (0.0, 0.0));
        let disk = &second.diskio.as_ref().unwrap()["vda"];
        assert_eq!(disk.path, "/var/lib/web.qcow2");
        assert_eq!(disk.write_avg_size, 9_000.0);
        assert!(disk.write_iops_per_second > 0);
        assert_eq!(disk.read_iops_per_second, 0);
        let interface = &second.interfaces.as_ref().unwrap()["vnet0"];
        assert!(interface.avg_bytes_recv_ps > 0);
        assert_eq!(interface.avg_dropout, 0);
    }

    #[test]
    fn shares_are_of_the_processors_of_each() {
        let counters = |time| Counters {
            guest: Guest {
                is_running: true,
                ..Guest::default()
            },
            time,
            processors: 2,
            host_processors: 8,
            interfaces: BTreeMap::new(),
            disks: BTreeMap::new(),
        };
        let cpu = |now, secs| counters(now).since(&counters(0), secs).cpu_usage.unwrap();
        let half = cpu(10_000_000_000, 10.0);
        assert_eq!((half.host_percent, half.guest_percent), (12.5, 50.0));
        assert_eq!(cpu(u64::MAX, 1.0).guest_percent, 100.0);
    }

    #[test]
    fn libvirt_is_where_the_environment_says() {
        let root = Root::at("/r".as_ref());
        let usual = SOCKETS.map(|socket| root.path(socket)).to_vec();
        for (address, want) in [
            ("qemu:///system", Some((usual.clone(), "qemu:///system"))),
            ("lxc+unix:///", Some((usual, "lxc:///"))),
            (
                "test+unix:///default?socket=/x/sock",
                Some((vec!["/x/sock".into()], "test:///default")),
            ),
            ("qemu+ssh:///system", None),
            ("qemu://far/system", None),
        ] {
            let want = want.map(|(sockets, address)| Libvirt {
                sockets,
                address: address.to_owned(),
            });
            assert_eq!(Libvirt::named(&root, address).ok(), want, "{address}");
        }
    }

    #[test]
    fn where_libvirt_is_not_there_are_no_guests() {
        let directory = tempfile::tempdir().unwrap();
        let found = Guests::new(&Root::at(directory.path()), None).collect();
        assert!(matches!(found.unwrap().part, Part::Libvirt(found) if found.is_empty()));
    }

    #[test]
    fn libvirt_that_wants_a_password_is_not_asked_further() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        libvirt(
            &root.path(SOCKETS[0]),
            vec![vec![vec![0, 0, 0, 1, 0, 0, 0, 1]]],
        );
        let why = Guests::new(&root, None).collect().err().unwrap();
        assert!(
            why.ends_with("virtqemud-sock-ro: it wants to know who we are"),
            "{why}"
        );
    }
}
