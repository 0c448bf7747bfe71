//! Who keeps the clock: found by asking, each where it usually is.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::root::Root;
pub(crate) use super::chrony::Tracking;
use super::control::{Answer, Pieces, Question, Variables};
use super::dbus::Bus;
use super::http::words;
pub(crate) use super::timesync::{Message, Status};
use super::{chrony, timesync};

/// How long one of them may take. They are on this machine.
const PATIENCE: Duration = Duration::from_millis(300);

/// Longest datagram that is read.
const MAX_DATAGRAM: usize = 4096;

/// Where those are who may keep the clock.
#[derive(Debug, Clone)]
pub(crate) struct Keepers {
    chrony: SocketAddr,
    chrony_socket: PathBuf,
    ntp: SocketAddr,
    /// systemd-timesyncd makes it while it runs.
    timesync: PathBuf,
    bus: PathBuf,
}

/// Somebody who keeps the clock, and what he says of it.
#[derive(Debug)]
pub(crate) enum Keeper {
    Chrony(Tracking),
    Ntp(Server),
    Timesync(Status),
}

/// An ntpd that answers.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    is_synchronised: bool,
    /// Milliseconds that are to be added to the clock.
    offset: f64,
}

/// A server or clock that an ntpd compares itself with.
pub(crate) struct Peer {
    /// How much it counts, from 0 for not at all to 7.
    pub(crate) selection: u16,
    pub(crate) variables: Variables,
}

/// What came of looking for one of them.
enum Search {
    Found(Keeper),
    /// Nobody is there.
    Nobody,
    /// Somebody is there, but cannot be asked.
    Failed(String),
}

impl Keepers {
    /// Where they usually are, but for the addresses and the bus, if named.
    pub(crate) fn new(root: &Root, chrony: SocketAddr, ntp: SocketAddr, bus: PathBuf) -> Self {
        Self {
            chrony,
            chrony_socket: root.path("run/chrony/chronyd.sock"),
            ntp,
            timesync: root.path("run/systemd/timesync"),
            bus,
        }
    }

    /// The first that answers, and why others did not who are there.
    pub(crate) fn ask(&self) -> (Option<Keeper>, Vec<String>) {
        let mut problems = Vec::new();
        for look in [Self::chrony, Self::ntp, Self::timesync] {
            match look(self) {
                Search::Found(keeper) => return (Some(keeper), Vec::new()),
                Search::Nobody => {}
                Search::Failed(why) => problems.push(why),
            }
        }
        (None, problems)
    }

    fn chrony(&self) -> Search {
        let asked = udp(self.chrony).and_then(|socket| track(&socket));
        let at = self.chrony.to_string();
        let found = search("chronyd", &at, asked.map(|found| found.map(Keeper::Chrony)));
        // With `cmdport 0` it listens on its socket only.
        if !matches!(found, Search::Nobody) || !self.chrony_socket.exists() {
            return found;
        }
        let at = self.chrony_socket.display().to_string();
        let asked = Own::beside(&self.chrony_socket).and_then(|own| track(&own.socket));
        search("chronyd", &at, asked.map(|found| found.map(Keeper::Chrony)))
    }

    fn ntp(&self) -> Search {
        let asked = udp(self.ntp).and_then(|socket| {
            let answer = question(&socket, 1, Question::Variables(0))?;
            Ok(answer.map(|answer| {
                Keeper::Ntp(Server {
                    address: self.ntp,
                    is_synchronised: answer.is_synchronised(),
                    offset: answer.variables().number("offset").unwrap_or(0.0),
                })
            }))
        });
        search("ntpd", &self.ntp.to_string(), asked)
    }

    fn timesync(&self) -> Search {
        if !self.timesync.is_dir() {
            return Search::Nobody;
        }
        let asked = Bus::connect(&self.bus, Instant::now() + PATIENCE).and_then(|mut bus| {
            let answers = bus.call_all(&timesync::questions())?;
            let answers: Vec<_> = answers.into_iter().map(Result::ok).collect();
            let status =
                timesync::parse(&answers).ok_or_else(|| "its answers are broken".to_owned());
            Ok(status.map(Keeper::Timesync))
        });
        search("systemd-timesyncd", &self.bus.display().to_string(), asked)
    }
}

impl Keeper {
    pub(crate) fn is_synchronised(&self) -> bool {
        match self {
            Self::Chrony(tracking) => tracking.is_synchronised(),
            Self::Ntp(server) => server.is_synchronised,
            Self::Timesync(status) => status.message.count > 0 && status.message.leap != 3,
        }
    }

    /// Seconds that are to be added to the clock.
    pub(crate) fn offset(&self) -> f64 {
        match self {
            Self::Chrony(tracking) => tracking.correction,
            Self::Ntp(server) => server.offset / 1e3,
            Self::Timesync(status) => status.message.offset() as f64 / 1e6,
        }
    }
}

impl Server {
    /// Whom it compares itself with. Who does not answer in time is left out.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let Ok(socket) = udp(self.address) else {
            return Vec::new();
        };
        let deadline = Instant::now() + PATIENCE;
        let Ok(Ok(listed)) = question(&socket, 1, Question::Peers) else {
            return Vec::new();
        };
        let mut peers = Vec::new();
        for (sequence, (association, status)) in (2..).zip(listed.peers()) {
            if Instant::now() > deadline {
                break;
            }
            let asked = question(&socket, sequence, Question::Variables(association));
            if let Ok(Ok(answer)) = asked {
                peers.push(Peer {
                    selection: status >> 8 & 7,
                    variables: answer.variables(),
                });
            }
        }
        peers
    }
}

/// An error of the system's: nobody is there, or nobody answers. Of what was
/// answered: it is told.
fn search(who: &str, at: &str, asked: io::Result<Result<Keeper, String>>) -> Search {
    let why = match asked {
        Ok(Ok(keeper)) => return Search::Found(keeper),
        Ok(Err(why)) => why,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => return Search::Nobody,
            _ => words(&error),
        },
    };
    Search::Failed(format!("cannot ask {who} at {at}: {why}"))
}

/// Sends to one other and receives from him.
trait Datagrams {
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize>;
}

impl Datagrams for UdpSocket {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::send(self, bytes)
    }

    fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(patience))?;
        self.recv(buffer)
    }
}

impl Datagrams for UnixDatagram {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::send(self, bytes)
    }

    fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(patience))?;
        self.recv(buffer)
    }
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// A socket of our own that chronyd can answer to, removed at the end.
struct Own {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Own {
    fn beside(theirs: &Path) -> io::Result<Self> {
        let path = theirs.with_file_name(format!("agentd.{}.sock", std::process::id()));
        // Of one of us that was killed.
        let _ = fs::remove_file(&path);
        let own = Self {
            socket: UnixDatagram::bind(&path)?,
            path,
        };
        // chronyd has a user of its own, and nobody else comes into its directory.
        fs::set_permissions(&own.path, fs::Permissions::from_mode(0o666))?;
        own.socket.connect(theirs)?;
        own.socket.set_write_timeout(Some(PATIENCE))?;
        Ok(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

fn track(socket: &impl Datagrams) -> io::Result<Result<Tracking, String>> {
    let sequence = std::process::id();
    socket.send(&chrony::request(sequence))?;
    exchange(socket, |bytes| chrony::parse(bytes, sequence))
}

fn question(
    socket: &impl Datagrams,
    sequence: u16,
    question: Question,
) -> io::Result<Result<Answer, String>> {
    socket.send(&question.encode(sequence))?;
    let mut pieces = Pieces::of(sequence);
    exchange(socket, |bytes| pieces.push(bytes))
}

/// Reads datagrams until the answer is whole.
fn exchange<T>(
    socket: &impl Datagrams,
    mut take: impl FnMut(&[u8]) -> Result<Option<T>, String>,
) -> io::Result<Result<T, String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = socket.receive(&mut buffer, patience)?;
        match take(&buffer[..length]) {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Ok(answer)),
            Err(why) => return Ok(Err(why)),
        }
    }
}
