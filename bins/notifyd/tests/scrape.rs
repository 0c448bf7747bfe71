//! The metrics over HTTP, and who else comes to that port.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use support::authority::free_port;
use support::{Site, wait_for, wait_until};

fn site(port: u16) -> Site {
    let site = Site::new("remote1", "");
    configure(&site, &format!("[metrics]\nlisten = '127.0.0.1:{port}'\n"));
    site
}

fn configure(site: &Site, rest: &str) {
    site.script("plugin", "true");
    site.configure(&format!(
        "[[lane]]\nname = 'ops'\nscript = '@plugin'\n{rest}"
    ));
}

/// What comes back for these bytes; none if nobody listens.
fn ask(port: u16, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8(answer).unwrap())
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n";

fn metrics(port: u16) -> String {
    let answer = ask(port, GET).expect("somebody listens");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{head}"
    );
    body.to_owned()
}

#[test]
fn the_figures_are_those_of_the_moment() {
    let port = free_port();
    let site = site(port);
    let daemon = site.start();
    let body = metrics(port);
    assert!(
        body.contains("sitewire_notifyd_accepted_total{from=\"here\"} 0\n"),
        "{body}"
    );
    site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is counted", || {
        metrics(port).contains("sitewire_notifyd_ended_total{end=\"delivered\"} 1\n")
    });
    let head = ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("SITEWIRE-NOTIFY\n\r\n\r\n", "400"),
    ] {
        let answer = ask(port, request.as_bytes()).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    daemon.terminate();
}

#[test]
fn strangers_on_the_port_keep_neither_prometheus_nor_the_daemon_from_their_work() {
    let port = free_port();
    let site = site(port);
    let daemon = site.start();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Those that say nothing, half a word, or never come to an end.
    let mut strangers: Vec<TcpStream> = (0..300).map(|_| connect()).collect();
    for stranger in strangers.iter_mut().step_by(3) {
        let _ = stranger.write_all(b"GET /metr");
    }
    for _ in 0..20 {
        let mut endless = connect();
        let line = [b'x'; 1000];
        // It is told that this is too long, and then not heard any more.
        while endless.write_all(&line).is_ok() {}
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &[0; 100],
    ] {
        ask(port, bytes);
    }
    // Whoever reads nothing of an answer.
    for _ in 0..50 {
        let mut deaf = connect();
        let _ = deaf.write_all(GET);
        strangers.push(deaf);
    }
    assert!(metrics(port).contains("sitewire_notifyd_info"));
    site.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is delivered", || site.state()["delivered"] == 1);
    // The first of them are gone.
    let gone = |stranger: &mut TcpStream| {
        stranger.set_nonblocking(true).unwrap();
        let read = stranger.read(&mut [0; 100]);
        !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    wait_until("the oldest are closed", || {
        strangers[..200].iter_mut().all(gone)
    });
    let log = daemon.log();
    assert!(
        log.iter()
            .all(|line| !line.contains("WARN") || line.contains("spool")),
        "{log:#?}"
    );
    daemon.terminate();
}

#[test]
fn the_door_moves_with_a_reload() {
    let (first, second) = (free_port(), free_port());
    let site = site(first);
    let mut daemon = site.start();
    metrics(first);
    configure(
        &site,
        &format!("[metrics]\nlisten = '127.0.0.1:{second}'\n"),
    );
    daemon.signal(Signal::HUP);
    wait_until("it is elsewhere", || ask(second, GET).is_some());
    metrics(second);
    wait_until("the old door is closed", || ask(first, GET).is_none());
    // One that cannot be opened leaves everything as it was.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    configure(&site, &format!("[metrics]\nlisten = '127.0.0.1:{port}'\n"));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("[metrics] cannot listen on");
    metrics(second);
    configure(&site, "");
    daemon.signal(Signal::HUP);
    wait_for("the door is closed", || {
        ask(second, GET).is_none().then_some(())
    });
    daemon.terminate();
}
