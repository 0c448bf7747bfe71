//! Lines for a log: by socket, by UDP and by TCP.

mod support;

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use support::Site;

const CONTEXT: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("SERVICEDESC", "Disk /"),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICEOUTPUT", "99 %\nused <13>ü"),
];
const DEADLINE: Option<Duration> = Some(Duration::from_secs(20));

fn lane(server: &str, more: &str) -> String {
    format!("[[lane]]\nname = 'log'\nsyslog = '{server}'\nretry = '100ms'\n{more}\n")
}

/// Delivers one notification; what the journal says of the attempts.
fn deliver(server: &str, more: &str) -> Vec<String> {
    let site = Site::new("central", &lane(server, more));
    let daemon = site.start();
    let outcome = site.outcome(CONTEXT);
    daemon.terminate();
    outcome
}

#[test]
fn a_server_gets_rfc_5424_by_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(DEADLINE).unwrap();
    let server = format!("udp:{}", socket.local_addr().unwrap());
    let outcome = deliver(&server, "facility = 'local3'");
    assert!(
        outcome[0].starts_with("success: sent to 127.0.0.1:"),
        "{outcome:?}"
    );
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let line = std::str::from_utf8(&buffer[..length]).unwrap();
    // local3 is 19, critical is 2.
    let rest = line.strip_prefix("<154>1 ").expect(line);
    let mut words = rest.splitn(7, ' ');
    let time = words.next().unwrap();
    assert!(time.len() == 32 && time.contains('T'), "{time}");
    assert!(!words.next().unwrap().is_empty());
    assert_eq!(words.next(), Some("notifyd"));
    assert!(words.next().unwrap().parse::<u32>().is_ok());
    assert_eq!(words.next(), Some("PROBLEM"));
    assert_eq!(words.next(), Some("-"));
    let text = words.next().unwrap();
    assert!(
        text.starts_with("\u{feff}PROBLEM db1/Disk / is CRITICAL: 99 % used <13>ü [central "),
        "{text}"
    );
}

#[test]
fn a_server_gets_counted_lines_by_tcp_and_one_that_is_away_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("tcp:{}", listener.local_addr().unwrap());
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let outcome = deliver(&server, "message = '{{ host }} {{ nothing }}x'");
    assert!(
        outcome[0].starts_with("success: taken by 127.0.0.1:"),
        "{outcome:?}"
    );
    let text = reader.join().unwrap();
    let (count, line) = text.split_once(' ').unwrap();
    assert_eq!(count.parse::<usize>().unwrap(), line.len(), "{text}");
    assert!(
        line.starts_with("<26>1 ") && line.ends_with("\u{feff}db1 x"),
        "{line}"
    );
    // Nobody listens there any more.
    let outcome = deliver(&server, "expire = '300ms'");
    assert!(
        outcome[0].starts_with("temporary failure: 127.0.0.1:"),
        "{outcome:?}"
    );
    assert_eq!(outcome.last().unwrap(), "ended expired");
}

#[test]
fn this_machines_socket_gets_lines_as_the_c_library_writes_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let outcome = deliver(&format!("unix:{}", path.display()), "expire = '300ms'");
    assert!(outcome[0].starts_with("temporary failure: "), "{outcome:?}");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(DEADLINE).unwrap();
    let outcome = deliver(&format!("unix:{}", path.display()), "");
    assert!(
        outcome[0].starts_with("success: written to "),
        "{outcome:?}"
    );
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let line = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(line.starts_with("<26>"), "{line}");
    assert!(line.contains(" notifyd["), "{line}");
    assert!(
        line.contains("]: PROBLEM db1/Disk / is CRITICAL: 99 % used"),
        "{line}"
    );
}
