//! `syslog`: a line for each notification, to this machine's socket or to a
//! server by UDP or TCP.
//!
//! Datagrams are delivered when the system has taken them: nobody answers. A
//! server reached by TCP has everything when it closes the connection after us.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use objects::UnixTime;

use crate::config::{SyslogFormat, SyslogLane, SyslogServer};
use crate::delivery::{Outcome, Verdict, Work};
use crate::facts::{self, Opened};
use crate::template::{Facts, Templates, one_line};

/// The text that is sent when none is configured.
const TEXT: &str = "{{ type }} {{ host }}{% if service %}/{{ service }}{% endif %}{% if state %} is {{ state }}{% endif %}: {{ output }}{% if comment %} ({{ author }}: {{ comment }}){% endif %} [{{ site }} {{ id }}]";
/// What every server takes (RFC 5424, section 6.1).
const MAX_DATAGRAM: usize = 2048;
/// What they take where no datagram ends it.
const MAX_LINE: usize = 8000;
/// How long a server may take to close the connection; some never do.
const CLOSING: Duration = Duration::from_secs(2);
const NAME: &str = "notifyd";

/// A lane that writes lines.
pub(crate) struct Syslog {
    lane: String,
    settings: SyslogLane,
    templates: Templates,
}

impl Syslog {
    /// Checks the template.
    pub(crate) fn new(lane: String, settings: SyslogLane) -> Result<Self, String> {
        let mut templates = Templates::new();
        let text = settings.message.as_deref().unwrap_or(TEXT);
        templates.add("message", text.to_owned())?;
        Ok(Self {
            lane,
            settings,
            templates,
        })
    }

    /// Sends a line for each notification.
    pub(crate) fn deliver(&self, work: &Work) -> Outcome {
        let jobs = match work {
            Work::One(job) => std::slice::from_ref(job),
            Work::Together { jobs, .. } => jobs.as_slice(),
        };
        let now = SystemTime::now().into();
        let line = |job| {
            let one = Opened::of(job)?;
            let facts = facts::of(&one, &self.lane, now);
            let text = self.templates.render("message", &facts);
            let text = text.map_err(|problem| Outcome::new(Verdict::Permanent, problem))?;
            Ok(self.line(&one, &facts, &text, now))
        };
        let lines: Vec<Vec<u8>> = match jobs.iter().map(line).collect() {
            Ok(lines) => lines,
            Err(outcome) => return outcome,
        };
        match self.send(&lines) {
            Ok(text) => Outcome::new(Verdict::Delivered, text),
            Err(error) => {
                let text = format!("{}: {error}", self.settings.server);
                Outcome::new(Verdict::Temporary, text)
            }
        }
    }

    fn line(&self, one: &Opened<'_>, facts: &Facts, text: &str, now: UnixTime) -> Vec<u8> {
        let priority = self.settings.facility * 8 + severity(&one.state());
        let pid = std::process::id();
        let zoned = facts::zoned(now);
        let head = match self.settings.format {
            SyslogFormat::Rfc5424 => {
                let kind = facts.get("type").map(ToString::to_string);
                let kind: String = kind
                    .unwrap_or_default()
                    .chars()
                    .filter(char::is_ascii_graphic)
                    .take(32)
                    .collect();
                let kind = if kind.is_empty() { "-" } else { &kind };
                let time = zoned.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z");
                let host = &self.settings.hostname;
                // The mark says that what follows is UTF-8.
                format!("<{priority}>1 {time} {host} {NAME} {pid} {kind} - \u{feff}")
            }
            SyslogFormat::Local => {
                let time = zoned.strftime("%b %e %H:%M:%S");
                format!("<{priority}>{time} {NAME}[{pid}]: ")
            }
        };
        let longest = match self.settings.server {
            SyslogServer::Udp(..) => MAX_DATAGRAM,
            _ => MAX_LINE,
        };
        (head.clone() + &one_line(text, longest - head.len())).into_bytes()
    }

    fn send(&self, lines: &[Vec<u8>]) -> io::Result<String> {
        match &self.settings.server {
            SyslogServer::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                // A reader that hangs must not hold up the lane for ever.
                socket.set_write_timeout(Some(self.settings.timeout))?;
                for line in lines {
                    socket.send_to(line, path)?;
                }
                Ok(format!("written to {}", path.display()))
            }
            SyslogServer::Udp(host, port) => {
                let address = resolve(host, *port)?;
                let any = if address.is_ipv6() {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                for line in lines {
                    socket.send(line)?;
                }
                Ok(format!("sent to {address}"))
            }
            SyslogServer::Tcp(host, port) => self.send_by_tcp(host, *port, lines),
        }
    }

    fn send_by_tcp(&self, host: &str, port: u16, lines: &[Vec<u8>]) -> io::Result<String> {
        let address = resolve(host, port)?;
        let timeout = self.settings.timeout;
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_read_timeout(Some(timeout.min(CLOSING)))?;
        let mut all = Vec::new();
        for line in lines {
            // Counted, so that line ends in it would be no end (RFC 6587).
            all.extend_from_slice(format!("{} ", line.len()).as_bytes());
            all.extend_from_slice(line);
        }
        stream.write_all(&all)?;
        stream.shutdown(Shutdown::Write)?;
        match stream.read(&mut [0; 64]) {
            Ok(_) => Ok(format!("taken by {address}")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(format!("sent to {address}"))
            }
            Err(error) => Err(error),
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<std::net::SocketAddr> {
    let mut all = (host, port).to_socket_addrs()?;
    all.next().ok_or_else(|| io::Error::other("has no address"))
}

/// Of RFC 5424: critical, error, warning, notice, informational.
fn severity(state: &str) -> u8 {
    match state {
        "CRITICAL" | "DOWN" => 2,
        "UNKNOWN" | "UNREACHABLE" => 3,
        "WARNING" => 4,
        "OK" | "UP" => 5,
        _ => 6,
    }
}
