//! Listeners on the network: TCP and TLS, who is let in, and what happens when
//! the certificates change.

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use support::{DEADLINE, Daemon, begin, dump, framed, host};
use tls::{Authority, Shown};

const HOSTS: &[u8] = b"GET hosts\nColumns: site name\n\n";
const KEPT: &[u8] = b"GET hosts\nColumns: site\nKeepAlive: on\nResponseHeader: fixed16\n\n";

/// Two sites with one host each, of the same name.
fn daemon(settings: &str) -> Daemon {
    let mut daemon = Daemon::new(&[]);
    daemon.settings(settings);
    daemon.configure("a", &[("h", host(&["cpu"]))]);
    daemon.configure("b", &[("h", host(&["cpu"]))]);
    daemon.start();
    daemon
}

/// The ports of the listeners, in the order of the configuration.
fn ports<const N: usize>(daemon: &Daemon) -> [u16; N] {
    let found = || -> Vec<u16> {
        let log = daemon.log();
        let lines = log
            .lines()
            .filter_map(|line| line.split_once("listening on t"));
        lines
            .map(|(_, address)| address.rsplit(':').next().unwrap().parse().unwrap())
            .collect()
    };
    daemon.wait_for("the ports", || found().len() == N);
    found().try_into().unwrap()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What comes back over plain TCP; nothing if the connection is refused.
fn ask(port: u16, request: &[u8]) -> String {
    let mut stream = connect(port);
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn ask_tls(port: u16, shown: Option<&Shown>, request: &[u8]) -> Result<String, String> {
    tls::ask(port, shown, request)
        .map(|answer| String::from_utf8(answer).unwrap())
        .map_err(|error| error.to_string())
}

/// Asks on a connection that is kept.
fn go_on(stream: &mut impl ReadWrite, want: &str) {
    let want = framed(200, want);
    stream.write_all(KEPT).unwrap();
    stream.flush().unwrap();
    let mut answer = vec![0; want.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), want);
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn tcp_serves_all_sites_or_one_or_takes_dumps() {
    let daemon = daemon(
        "[[listen]]\naddress = 'tcp:127.0.0.1:0'\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:0'\nserve = 'site'\nsite = 'b'\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:0'\nserve = 'ingest'\nsite = 'a'\n\
         [[listen]]\naddress = 'tcp:[::1]:0'\n",
    );
    let ports: [u16; 4] = ports(&daemon);
    assert_eq!(ask(ports[0], HOSTS), "a;h\nb;h\n");
    assert_eq!(ask(ports[1], HOSTS), "b;h\n");
    // Without the empty line: the half-close ends the request.
    assert_eq!(ask(ports[1], HOSTS.trim_ascii_end()), "b;h\n");
    // The site is that of the listener, whatever the dump says.
    let states = dump(
        &begin("b", 1),
        &[("h", None, 1, "down"), ("h", Some("cpu"), 2, "bad")],
    );
    assert_eq!(ask(ports[2], &states), "taken 2, unknown 0, refused 0\n");
    assert!(ask(ports[2], HOSTS).starts_with("refused: "));
    assert_eq!(
        daemon.cell("live", "GET services\nColumns: site state\n"),
        "a;2\nb;0"
    );
    let mut six = TcpStream::connect(("::1", ports[3])).unwrap();
    go_on(&mut six, "a\nb\n");
}

#[test]
fn a_unix_socket_more_can_be_had() {
    let mut daemon = Daemon::new(&[]);
    let path = daemon.path("more");
    daemon.settings(&format!(
        "[[listen]]\naddress = 'unix:{}'\nserve = 'site'\nsite = 'a'\n",
        path.display()
    ));
    daemon.configure("a", &[("h", host(&[]))]);
    daemon.configure("b", &[("h", host(&[]))]);
    daemon.start();
    assert_eq!(daemon.text("more", HOSTS), "a;h\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);
    assert!(daemon.stop(rustix::process::Signal::TERM).success());
    assert!(!support::exists(&path));
}

#[test]
fn a_long_answer_comes_whole_though_more_was_sent_than_is_read() {
    let names: Vec<String> = (0..3000).map(|n| format!("service {n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let authority = Authority::new("ca");
    let mut daemon = Daemon::new(&[]);
    daemon.settings(&format!(
        "[[listen]]\naddress = 'tcp:127.0.0.1:0'\n{}",
        authority.listen("")
    ));
    daemon.configure("a", &[("h", host(&names))]);
    daemon.start();
    let ports: [u16; 2] = ports(&daemon);
    let columns = "description ".repeat(100);
    // What comes behind a query without keep-alive is never looked at.
    let request = format!(
        "GET services\nColumns: {columns}\nResponseHeader: fixed16\n\nGET hosts\n\n{}",
        "x".repeat(50_000)
    );
    let plain = ask(ports[0], request.as_bytes());
    let secret = ask_tls(ports[1], None, request.as_bytes()).unwrap();
    assert!(plain == secret);
    let length: usize = plain[4..15].trim().parse().unwrap();
    assert_eq!(plain.len(), 16 + length);
    assert!(length > 3_000_000, "{length}");
}

#[test]
fn tls_speaks_both_versions_and_needs_no_certificate_of_clients_unless_told() {
    let authority = Authority::new("ca");
    let daemon = daemon(&authority.listen(""));
    let [port] = ports(&daemon);
    assert_eq!(ask_tls(port, None, HOSTS).unwrap(), "a;h\nb;h\n");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = tls::connect_with(port, None, &[version]).unwrap();
        for _ in 0..3 {
            go_on(&mut stream, "a\nb\n");
        }
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
    // Byte by byte, each in a record of its own.
    let mut stream = tls::connect(port, None).unwrap();
    for byte in HOSTS {
        stream.write_all(&[*byte]).unwrap();
        stream.flush().unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "a;h\nb;h\n");
}

#[test]
fn a_request_that_was_cut_off_is_not_carried_out() {
    let authority = Authority::new("ca");
    let daemon = daemon(&authority.listen(""));
    let [port] = ports(&daemon);
    let command = b"COMMAND [1] PROCESS_SERVICE_CHECK_RESULT;h;cpu;2;cut\n";
    let mut stream = tls::connect(port, None).unwrap();
    stream.write_all(command).unwrap();
    stream.flush().unwrap();
    // An end that the client did not announce may be somebody else's work.
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    let refused = "GET status\nColumns: external_commands\n";
    assert_eq!(daemon.cell("live", refused), "0");
}

#[test]
fn what_is_not_tls_is_told_in_the_log_and_harms_nobody() {
    let authority = Authority::new("ca");
    let daemon = daemon(&authority.listen(""));
    let [port] = ports(&daemon);
    assert_eq!(ask(port, b"GET hosts\n\n"), "");
    daemon.wait_for_log("it does not speak TLS; it began with 'GET hosts\\n\\n'");
    assert_eq!(ask(port, b"\x00\xff\x1b[2Jx"), "");
    daemon.wait_for_log("it began with '\\u{0}\\xff\\u{1b}[2Jx'");
    assert_eq!(ask(port, b""), "");
    daemon.wait_for_log("it said nothing");
    for (name, bytes) in [
        ("a record of nothing", &b"\x16\x03\x01\x00\x00"[..]),
        ("a long record", b"\x16\x03\x01\xff\xff"),
        ("rubbish in a record", b"\x16\x03\x01\x00\x05hello"),
        (
            "half a hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ),
        (
            "an old version",
            b"\x16\x03\x00\x00\x2f\x01\x00\x00\x2b\x03\x00",
        ),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28"),
    ] {
        ask(port, bytes);
        assert_eq!(ask_tls(port, None, HOSTS).unwrap(), "a;h\nb;h\n", "{name}");
    }
    assert!(daemon.log().is_ascii());
}

#[test]
fn a_certificate_opens_its_own_site_and_no_other() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let ca = authority.client_ca();
    let mut settings = authority.listen(&format!("{ca}clients = ['noc']\n"));
    settings += &authority.listen(&format!("{ca}serve = 'site'\n"));
    settings += &authority.listen(&format!("{ca}serve = 'ingest'\n"));
    settings += &authority.listen(&format!(
        "{ca}serve = 'site'\nsite = 'b'\nclients = ['noc']\n"
    ));
    let daemon = daemon(&settings);
    let [merged, site, ingest, only_b] = ports(&daemon);
    let [a, b, noc, unknown] = ["a", "b", "noc", "c"].map(|name| authority.of(name));
    for (name, port, shown, want) in [
        ("noc at merged", merged, &noc, "a;h\nb;h\n"),
        ("a at merged", merged, &a, "a;h\n"),
        ("b at merged", merged, &b, "b;h\n"),
        ("a at site", site, &a, "a;h\n"),
        ("b at site", site, &b, "b;h\n"),
        ("b at only b", only_b, &b, "b;h\n"),
        ("noc at only b", only_b, &noc, "b;h\n"),
        // They are let in as who they are, and get nothing.
        ("noc at site", site, &noc, ""),
        ("a at only b", only_b, &a, ""),
        ("c at merged", merged, &unknown, ""),
    ] {
        assert_eq!(
            ask_tls(port, Some(shown), HOSTS).as_deref(),
            Ok(want),
            "{name}"
        );
    }
    daemon.wait_for_log("site noc is not configured here");
    daemon.wait_for_log("`clients` does not name a");

    let expired = authority.sign("a", 7, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    let nameless = authority.sign("nameless", 8, |params| params.subject_alt_names.clear());
    let double = authority.sign("double", 9, |params| {
        let uri = "sitewire:site:b".try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
    });
    let for_servers = authority.sign("b", 10, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (name, shown) in [
        ("none", None),
        ("of another authority", Some(other.of("noc"))),
        ("self-made", Some(authority.self_made("b"))),
        ("expired", Some(expired)),
        ("without a site", Some(nameless)),
        ("with two sites", Some(double)),
        ("not for clients", Some(for_servers)),
    ] {
        for port in [merged, site, ingest, only_b] {
            let answer = ask_tls(port, shown.as_ref(), HOSTS);
            assert!(
                answer.as_deref().is_err() || answer.as_deref() == Ok(""),
                "{name}: {answer:?}"
            );
        }
    }

    // What comes in through a's certificate is a's, and no question is answered.
    let states = dump(
        &begin("b", 1),
        &[("h", None, 1, "x"), ("h", Some("cpu"), 2, "x")],
    );
    let taken = "taken 2, unknown 0, refused 0\n";
    let a = authority.of("a");
    assert_eq!(ask_tls(ingest, Some(&a), &states).as_deref(), Ok(taken));
    let refused = ask_tls(ingest, Some(&a), HOSTS).unwrap();
    assert!(refused.starts_with("refused: "), "{refused}");
    let states = "GET services\nColumns: site state\n";
    assert_eq!(daemon.cell("live", states), "a;2\nb;0");
}

#[test]
fn only_those_who_are_named_may_connect() {
    let authority = Authority::new("ca");
    let daemon = daemon(&format!(
        "[[listen]]\naddress = 'tcp:127.0.0.1:0'\nonly_from = ['192.0.2.0/24', '::1']\n\
         [[listen]]\naddress = 'tcp:127.0.0.1:0'\nonly_from = ['127.0.0.0/8']\n{}\
         [[listen]]\naddress = 'tcp:[::]:0'\nplain_text = true\nonly_from = ['127.0.0.1']\n",
        authority.listen("only_from = ['192.0.2.1']"),
    ));
    let ports: [u16; 4] = ports(&daemon);
    assert_eq!(ask(ports[0], HOSTS), "");
    daemon.wait_for_log("refused a connection from 127.0.0.1:");
    daemon.wait_for_log("`only_from` does not name it");
    assert_eq!(ask(ports[1], HOSTS), "a;h\nb;h\n");
    assert!(ask_tls(ports[2], None, HOSTS).is_err());
    // An IPv6 socket knows IPv4 clients by another name.
    assert_eq!(ask(ports[3], HOSTS), "a;h\nb;h\n");
    daemon.wait_for_log("is plain text: whoever is on the way can read and change everything");
}

#[test]
fn hup_brings_a_new_certificate_and_connections_stay() {
    let authority = Authority::new("ca");
    let daemon = daemon(&authority.listen(""));
    let [port] = ports(&daemon);
    let mut old = tls::connect(port, None).unwrap();
    go_on(&mut old, "a\nb\n");
    let renewed = authority.of("central");
    daemon.reload();
    let mut new = tls::connect(port, None).unwrap();
    go_on(&mut new, "a\nb\n");
    go_on(&mut old, "a\nb\n");
    assert_ne!(tls::certificate_of(&old), tls::certificate_of(&new));
    let expected = &tls::chain(&renewed.certificate)[0];
    assert_eq!(tls::certificate_of(&new), expected.to_vec());

    // What cannot be used changes nothing.
    for broken in ["", "no certificate"] {
        std::fs::write(&renewed.certificate, broken).unwrap();
        daemon.reload();
        daemon.wait_for_log("the old certificates stay in force: ");
        let stream = tls::connect(port, None).unwrap();
        assert_eq!(tls::certificate_of(&stream), expected.to_vec());
    }
    go_on(&mut old, "a\nb\n");
}

#[test]
fn hup_ends_the_connections_of_those_who_are_not_believed_any_more() {
    let authority = Authority::new("ca");
    let crl = authority.revoke(&[99]);
    let listen = format!(
        "{}serve = 'site'\ncrl = '{}'\n",
        authority.client_ca(),
        crl.display()
    );
    let daemon = daemon(&authority.listen(&listen));
    let [port] = ports(&daemon);
    let (a, b) = (
        authority.sign("a", 1, |_| {}),
        authority.sign("b", 2, |_| {}),
    );
    let mut kept = tls::connect(port, Some(&a)).unwrap();
    let mut revoked = tls::connect(port, Some(&b)).unwrap();
    go_on(&mut kept, "a\n");
    go_on(&mut revoked, "b\n");
    authority.revoke(&[99, 2]);
    daemon.reload();
    daemon.wait_for_log("Revoked");
    assert!(!matches!(revoked.read(&mut [0]), Ok(1..)));
    go_on(&mut kept, "a\n");
    assert!(ask_tls(port, Some(&b), HOSTS).is_err());
    // Its site is gone, too.
    std::fs::remove_dir_all(daemon.path("shadow/a")).unwrap();
    daemon.reload();
    daemon.wait_for_log("site a is not configured here");
    assert!(!matches!(kept.read(&mut [0]), Ok(1..)));
    assert_eq!(ask_tls(port, Some(&a), HOSTS).as_deref(), Ok(""));
}

#[test]
fn half_open_connections_make_room_for_those_who_mean_it() {
    let authority = Authority::new("ca");
    let daemon = daemon(&format!("half_open = 8\n{}", authority.listen("")));
    let [port] = ports(&daemon);
    let mut agreed = tls::connect(port, None).unwrap();
    go_on(&mut agreed, "a\nb\n");
    let mut stalled: Vec<TcpStream> = (0..20)
        .map(|number| {
            let mut stream = connect(port);
            if number % 2 == 0 {
                stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
            }
            stream
        })
        .collect();
    daemon.wait_for_log("when another needed its place, `half_open`");
    assert_eq!(ask_tls(port, None, HOSTS).unwrap(), "a;h\nb;h\n");
    go_on(&mut agreed, "a\nb\n");
    // The oldest had to go.
    assert!(!matches!(stalled[0].read(&mut [0]), Ok(1..)));
}

#[test]
fn tls_that_is_not_agreed_on_in_time_is_given_up() {
    let authority = Authority::new("ca");
    let daemon = daemon(&format!(
        "handshake_timeout = '1s'\n{}",
        authority.listen("")
    ));
    let [port] = ports(&daemon);
    let mut silent = connect(port);
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let mut begun = connect(port);
    begun.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    assert!(!matches!(begun.read(&mut [0]), Ok(1..)));
    daemon.wait_for_log("it did not agree on TLS in time");
    // Who has agreed may be silent for longer. On a busy machine the first try
    // may come too late itself.
    daemon.wait_for("somebody silent to be served", || {
        let agreed = tls::connect(port, None);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let answer = agreed.and_then(|mut stream| {
            stream.write_all(HOSTS)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        matches!(answer.as_deref(), Ok("a;h\nb;h\n"))
    });
}

#[test]
fn a_listener_may_have_a_limit_of_its_own() {
    let daemon = daemon("[[listen]]\naddress = 'tcp:127.0.0.1:0'\nconnections = 2\n");
    let [port] = ports(&daemon);
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connect(port)).collect();
    kept.iter_mut().for_each(|stream| go_on(stream, "a\nb\n"));
    assert_eq!(ask(port, HOSTS), "");
    daemon.wait_for_log("refused a connection: 2 are open, as many as its `connections` allows");
    assert_eq!(daemon.text("live", HOSTS), "a;h\nb;h\n");
    kept.pop();
    daemon.wait_for("room for another", || ask(port, HOSTS) == "a;h\nb;h\n");
}

#[test]
fn a_listener_that_cannot_be_had_is_told_before_anything_is_bound() {
    let authority = Authority::new("ca");
    let settings = authority.listen("");
    std::fs::write(authority.path("central.key"), "").unwrap();
    let daemon = Daemon::new(&["a"]);
    daemon.settings(&format!(
        "{settings}[[listen]]\naddress = 'tcp:0.0.0.0:1'\n"
    ));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_livestatusd"))
        .arg("--check-config")
        .arg("--config")
        .arg(daemon.config())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("has no private key"), "{said}");
    assert!(said.contains("plain text on a network"), "{said}");
}
