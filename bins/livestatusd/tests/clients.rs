//! Clients that misbehave, and those beside them.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use support::{Daemon, framed, host};

fn daemon(settings: &str) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    daemon.settings(settings);
    daemon.configure("a", &[("h", host(&["cpu"]))]);
    daemon.start();
    daemon
}

fn is_served(daemon: &Daemon) {
    for socket in ["live", "live.d/a"] {
        assert_eq!(
            daemon.text(socket, "GET hosts\nColumns: name\n\n"),
            "h\n",
            "{socket}"
        );
    }
}

#[test]
fn garbage_is_refused_and_logged_and_the_next_client_is_served() {
    let daemon = daemon("");
    let mut noise = vec![0_u8; 100_000];
    for (index, byte) in noise.iter_mut().enumerate() {
        *byte = (index * 7919 % 251) as u8;
    }
    for (name, bytes) in [
        ("another protocol", &b"\x16\x03\x01\x02\x00\x01"[..]),
        ("a browser", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("binary", &noise),
        ("a long line", &vec![b'x'; 3 << 20]),
        ("zeros", &[0; 1000]),
        ("half a request", b"GET ho"),
        ("nothing", b""),
    ] {
        for socket in ["live", "live.d/a"] {
            assert_eq!(daemon.ask(socket, bytes), "", "{name}");
        }
        is_served(&daemon);
    }
    daemon.wait_for_log(
        "request refused: Invalid request method 'POST'; it came with 'POST / HTTP/1.1\\r\\n",
    );
    daemon.wait_for_log("'\\u{16}\\u{3}\\u{1}\\u{2}\\u{0}\\u{1}'");
    let log = daemon.log();
    assert!(
        log.is_ascii(),
        "no byte of a stranger reaches the log as it is"
    );
    let told = daemon.text("live", "NONSENSE\nResponseHeader: fixed16\n\n");
    assert_eq!(told, framed(452, "Invalid request method 'NONSENSE'\n"));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let daemon = daemon("");
    let mut stream = daemon.connect("live");
    for byte in b"GET services\nColumns: description\n\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(support::read_to_end(&mut stream), "cpu\n");
}

#[test]
fn a_thousand_idle_clients_do_no_harm() {
    let daemon = daemon("");
    let idle: Vec<UnixStream> = (0..1000).map(|_| daemon.connect("live")).collect();
    is_served(&daemon);
    let open: usize = daemon
        .cell(
            "live",
            "GET status\nColumns: livestatus_active_connections\n",
        )
        .parse()
        .unwrap();
    assert!(open > 1000, "{open}");
    drop(idle);
    daemon.wait_for("the connections to be forgotten", || {
        daemon
            .cell(
                "live",
                "GET status\nColumns: livestatus_active_connections\n",
            )
            .parse::<usize>()
            .unwrap()
            < 10
    });
}

#[test]
fn more_connections_than_allowed_are_refused_and_old_ones_go_on() {
    let daemon = daemon("connections = 3");
    let query = b"GET hosts\nColumns: name\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    let ask = |stream: &mut UnixStream| {
        let want = framed(200, "h\n");
        let mut answer = vec![0; want.len()];
        stream
            .write_all(query)
            .and_then(|()| stream.read_exact(&mut answer))
            .map(|()| {
                assert_eq!(String::from_utf8(answer).unwrap(), want);
            })
    };
    let mut kept: Vec<UnixStream> = (0..3).map(|_| daemon.connect("live")).collect();
    kept.iter_mut().for_each(|stream| ask(stream).unwrap());
    assert!(ask(&mut daemon.connect("live")).is_err());
    daemon.wait_for_log("refused a connection: 3 are open");
    kept.iter_mut().for_each(|stream| ask(stream).unwrap());
    kept.pop();
    daemon.wait_for("room for another", || {
        ask(&mut daemon.connect("live")).is_ok()
    });
}

#[test]
fn a_request_that_does_not_end_is_not_waited_for() {
    let daemon = daemon("request_timeout = '100ms'");
    let mut stream = daemon.connect("live");
    stream.write_all(b"GET hosts\n").unwrap();
    assert_eq!(support::read_to_end(&mut stream), "");
    daemon.wait_for_log("its request did not end within 0.1 s; it came to 'GET hosts\\n'");
    is_served(&daemon);
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let daemon = daemon("idle_timeout = '100ms'");
    let mut stream = daemon.connect("live");
    assert_eq!(support::read_to_end(&mut stream), "");
    is_served(&daemon);
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let daemon = daemon("write_timeout = '100ms'");
    let mut stream = daemon.connect("live");
    // Answers that nobody reads fill the socket's buffer.
    let query = b"GET columns\nKeepAlive: on\n\n";
    let sent = (0..100_000)
        .take_while(|_| stream.write_all(query).is_ok())
        .count();
    assert!(sent < 100_000);
    daemon.wait_for_log("dropped a client that did not read its answer for 0.1 s");
    is_served(&daemon);
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let daemon = daemon("");
    for _ in 0..50 {
        let mut stream = daemon.connect("live");
        stream.write_all(b"GET columns\n\n").unwrap();
        drop(stream);
    }
    is_served(&daemon);
}

#[test]
fn answers_that_nobody_reads_take_no_memory() {
    const CLIENTS: usize = 20;
    let names: Vec<String> = (0..3000).map(|n| format!("service {n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let daemon = Daemon::running(&[("a", &[("h", host(&names))])]);
    let columns = "description ".repeat(300);
    let request = format!(
        "GET services\nColumns: {columns}\nOutputFormat: json\nResponseHeader: fixed16\n\n"
    );
    // The frame's header comes when the answer is complete.
    let mut stuck: Vec<(UnixStream, usize)> = (0..CLIENTS)
        .map(|_| {
            let mut stream = daemon.connect("live");
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = [0; 16];
            stream.read_exact(&mut head).unwrap();
            let length = std::str::from_utf8(&head[4..15]).unwrap().trim().parse();
            (stream, length.unwrap())
        })
        .collect();
    let length = stuck[0].1;
    assert!(length > 10 << 20, "{length} bytes are not much");
    let resident = daemon.memory("VmHWM");
    assert!(
        resident * 1024 < CLIENTS * length / 2,
        "{CLIENTS} answers of {length} bytes, and {resident} kB resident"
    );
    is_served_one(&daemon);
    // Who goes on reading gets all of it.
    let (stream, length) = &mut stuck[CLIENTS / 2];
    let body = support::read_to_end(stream);
    assert_eq!(body.len(), *length);
    let row = |name: &str| format!("[{}]", vec![format!("\"{name}\""); 300].join(","));
    let rows: Vec<String> = names.iter().map(|name| row(name)).collect();
    assert!(body == format!("[{}]\n", rows.join(",\n")));
}

#[test]
fn answers_that_are_sent_while_they_are_computed_wait_for_nobody_and_take_no_memory() {
    const CLIENTS: usize = 50;
    let names: Vec<String> = (0..3000).map(|n| format!("service {n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let daemon = Daemon::running(&[("a", &[("h", host(&names))])]);
    let row = |name: &str| format!("{}\n", vec![name; 300].join(";"));
    let want: String = names.iter().map(|name| row(name)).collect();
    let request = format!("GET services\nColumns: {}\n\n", "description ".repeat(300));
    let mut stuck: Vec<(UnixStream, [u8; 100])> = (0..CLIENTS)
        .map(|_| {
            let mut stream = daemon.connect("live");
            stream.write_all(request.as_bytes()).unwrap();
            let mut begin = [0; 100];
            stream.read_exact(&mut begin).unwrap();
            (stream, begin)
        })
        .collect();
    // One who came after all of them and reads gets the whole of it.
    let mut stream = daemon.connect("live");
    stream.write_all(request.as_bytes()).unwrap();
    assert!(support::read_to_end(&mut stream) == want);
    is_served_one(&daemon);
    let (stream, begin) = &mut stuck[CLIENTS / 2];
    let rest = support::read_to_end(stream);
    assert!([&begin[..], &rest[..]].concat() == want.as_bytes());
    let resident = daemon.memory("VmHWM");
    assert!(
        resident * 1024 < CLIENTS * want.len() / 2,
        "{CLIENTS} answers of {} bytes, and {resident} kB resident",
        want.len()
    );
}

fn is_served_one(daemon: &Daemon) {
    let query = "GET services\nColumns: description\nFilter: host_name = h\nLimit: 1\n\n";
    assert_eq!(daemon.text("live", query), "service 0000\n");
}
