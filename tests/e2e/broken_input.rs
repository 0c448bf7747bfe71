//! Input that is cut, wrong or hostile: what was whole stays, the log says what
//! came, and the next client is served.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use harness::livestatus::{command, rows, talk};
use harness::{Authority, Livestatusd, Program, Running, Site, ports, wait_until};
use serde_json::{Value, json};

use crate::remote_site;

fn dump(remote: &Livestatusd, more: &[&str]) -> Vec<u8> {
    Program::new("cmcdump")
        .args(["--site", "remote1", "-s"])
        .arg(remote.live("remote1"))
        .args(more)
        .run()
        .success()
        .stdout
}

fn site_row(central: &Livestatusd, columns: &[&str]) -> Vec<Value> {
    let mut rows = rows(
        &central.merged(),
        "sites",
        columns,
        &["Filter: site = remote1"],
    );
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn lines_with(process: &Running, part: &str) -> usize {
    process
        .log()
        .iter()
        .filter(|line| line.contains(part))
        .count()
}

/// A centre that shows `remote1` whole.
fn central_of(remote: &Livestatusd) -> Livestatusd {
    let central = Livestatusd::start(&["remote1"]);
    configure(&central, remote);
    central
}

fn configure(central: &Livestatusd, remote: &Livestatusd) {
    central.configure("remote1", &dump(remote, &["-C"]));
    let live = central.live("remote1");
    wait_until("the configuration is in force", || {
        site_row(central, &["config_error"]) == [json!("")]
            && rows(&live, "services", &["state"], &[]).len() == remote_site::SERVICES.len()
    });
}

#[test]
fn cut_configuration_changes_nothing() {
    let remote = remote_site::start();
    let central = central_of(&remote);
    let live = central.live("remote1");
    talk(&central.ingest("remote1"), &dump(&remote, &[])).unwrap();
    let columns = [
        "host_name",
        "description",
        "state",
        "plugin_output",
        "last_check",
    ];
    let before = rows(&live, "services", &columns, &[]);
    let whole = dump(&remote, &["-C"]);

    // Every thirteenth byte is enough here: the reader's own tests cut at each.
    // Without the last byte, a line feed, the file would still be whole.
    let complaint = "configuration not taken";
    for (number, cut) in (0..whole.len() - 1).step_by(13).enumerate() {
        central.configure("remote1", &whole[..cut]);
        wait_until("the cut file is refused", || {
            lines_with(&central.process, complaint) == number + 1
                && site_row(&central, &["config_error"]).iter().all(|error| {
                    error
                        .as_str()
                        .is_some_and(|text| text.contains("shadow.mk"))
                })
        });
        assert_eq!(
            rows(&live, "services", &columns, &[]),
            before,
            "cut at {cut}"
        );
    }
    assert!(central.process.has_said(&[complaint, "shadow.mk"]));

    configure(&central, &remote);
    assert_eq!(rows(&live, "services", &columns, &[]), before);
}

/// States by service, where `None` is a service that is still pending.
fn states(socket: &Path) -> BTreeMap<String, Option<(Value, Value)>> {
    let columns = ["description", "has_been_checked", "state", "plugin_output"];
    rows(socket, "services", &columns, &[])
        .into_iter()
        .map(|row| {
            let [description, checked, state, output] = row.try_into().expect("four columns");
            let known = (checked == json!(1)).then_some((state, output));
            (description.to_string(), known)
        })
        .collect()
}

#[test]
fn state_dump_cut_at_every_byte_applies_whole_records_only() {
    let remote = remote_site::start();
    let source = states(&remote.live("remote1"));
    let whole = dump(&remote, &[]);
    let begin = 1 + whole
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a first line");
    let end = whole
        .windows(b"SITEWIRE_END".len())
        .position(|window| window == b"SITEWIRE_END")
        .expect("an end mark");

    let central = central_of(&remote);
    let (live, ingest) = (central.live("remote1"), central.ingest("remote1"));
    for cut in 1..whole.len() - 1 {
        let answer = talk(&ingest, &whole[..cut]).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let complete = whole[..cut]
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
            .filter(|line| line.windows(7).any(|window| window == b"UPDATE_"))
            .count();
        if cut < begin {
            let nothing = answer.starts_with("refused: ") || answer.contains("; taken 0, ");
            assert!(nothing, "cut at {cut}: {answer}");
            continue;
        }
        // The end mark counts without its line feed, too, if all of it is there.
        if answer.starts_with("taken ") {
            assert!(cut > end + 10, "cut at {cut}: {answer}");
            continue;
        }
        assert!(answer.starts_with("incomplete: "), "cut at {cut}: {answer}");
        let counts = format!("; taken {complete}, unknown 0, refused 0\n");
        assert!(answer.ends_with(&counts), "cut at {cut}: {answer}");
        for (service, state) in states(&live) {
            assert!(
                state.is_none() || state == source[&service],
                "cut at {cut}: {service} is {state:?}"
            );
        }
        let shown = site_row(
            &central,
            &["state_complete", "state_reason", "state_records"],
        );
        assert_eq!(shown[0], json!(0), "cut at {cut}");
        assert_ne!(shown[1], json!(""), "cut at {cut}");
        assert_eq!(shown[2], json!(complete), "cut at {cut}");
    }
}

#[test]
fn lq_shows_a_site_as_incomplete_with_the_reason() {
    let remote = remote_site::start();
    let central = central_of(&remote);
    let whole = dump(&remote, &[]);
    let sites = || {
        let args = ["sites", "--format", "table", "--socket"];
        Program::new("lq").args(args).arg(central.merged()).run()
    };
    let half = &whole[..whole.len() * 2 / 3];
    let answer = String::from_utf8(talk(&central.ingest("remote1"), half).unwrap()).unwrap();
    let reason = answer
        .strip_prefix("incomplete: ")
        .and_then(|rest| rest.split_once("; taken"))
        .unwrap_or_else(|| panic!("{answer:?}"))
        .0;
    let shown = sites().text();
    assert!(shown.contains("incomplete"), "{shown}");
    assert!(shown.contains(reason), "{shown} does not tell {reason:?}");

    let again = dump(&remote, &[]);
    talk(&central.ingest("remote1"), &again).unwrap();
    let shown = sites().success().text();
    assert!(shown.contains("remote1"), "{shown}");
    assert!(!shown.contains("incomplete"), "{shown}");
}

#[test]
fn an_older_dump_never_overwrites_a_newer_one() {
    let remote = remote_site::start();
    let central = central_of(&remote);
    let ingest = central.ingest("remote1");
    let older = dump(&remote, &[]);
    command(
        &remote.live("remote1"),
        ["PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;2;full"],
    );
    wait_until("the result is in", || {
        states(&remote.live("remote1"))
            .values()
            .flatten()
            .any(|(_, output)| output == "full")
    });
    let newer = dump(&remote, &[]);
    assert!(talk(&ingest, &newer).unwrap().starts_with(b"taken "));
    let answer = String::from_utf8(talk(&ingest, &older).unwrap()).unwrap();
    assert!(answer.starts_with("refused: older than "), "{answer}");
    assert_eq!(
        states(&central.live("remote1")),
        states(&remote.live("remote1"))
    );
}

/// What comes to a port that is open: not for us, half, or not meant well.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let noise = |len: u32| -> Vec<u8> {
        (0..len)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect()
    };
    let long_line = [
        b"GET hosts\nFilter: name = ".as_slice(),
        &vec![b'x'; 4 << 20],
    ]
    .concat();
    vec![
        ("noise", noise(4096)),
        (
            "noise in one line",
            noise(70_000).into_iter().map(|byte| byte | 0x80).collect(),
        ),
        ("NUL bytes", vec![0; 4096]),
        ("only line feeds", b"\n".repeat(1000)),
        ("a word", b"hello\n\n".to_vec()),
        (
            "an unknown table",
            b"GET nothing\nResponseHeader: fixed16\n\n".to_vec(),
        ),
        (
            "an unknown header",
            b"GET hosts\nFrobnicate: 1\nResponseHeader: fixed16\n\n".to_vec(),
        ),
        (
            "an unknown command",
            b"COMMAND [1] SHUTDOWN_PROGRAM\n\n".to_vec(),
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: central\r\n\r\n".to_vec()),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        ("a line without end", long_line),
        ("half a request", b"GET hos".to_vec()),
        ("huge lengths", vec![0xff; 4096]),
    ]
}

/// Sends bytes and waits for the other side to close, or to answer and close;
/// returns the answer. A reset is a close; what must not happen is silence.
fn throw<S: Read + Write>(
    name: &str,
    mut stream: S,
    half_close: impl FnOnce(&S),
    bytes: &[u8],
) -> Vec<u8> {
    let _ = stream.write_all(bytes);
    half_close(&stream);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => {
                let silent = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!silent, "{name}: neither an error nor a close");
                return answer;
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn throw_at_socket(name: &str, socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let half_close = |stream: &UnixStream| drop(stream.shutdown(Shutdown::Write));
    throw(name, stream, half_close, bytes)
}

fn throw_at_port(name: &str, port: u16, bytes: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let half_close = |stream: &TcpStream| drop(stream.shutdown(Shutdown::Write));
    throw(name, stream, half_close, bytes)
}

/// Waits for a line in the log that was not there before.
fn wait_for_complaint(name: &str, process: &Running, before: usize) {
    wait_until(&format!("the log tells of {name}"), || {
        process.log()[before..]
            .iter()
            .any(|line| line.contains("WARN") || line.contains("ERROR"))
    });
}

#[test]
fn garbage_to_livestatusd_is_answered_logged_and_forgotten() {
    let remote = remote_site::start();
    let central = central_of(&remote);
    let whole = dump(&remote, &[]);
    let sockets = [
        central.merged(),
        central.live("remote1"),
        central.ingest("remote1"),
    ];
    // Nothing to complain about: waiting between requests, and leaving.
    let harmless = ["only line feeds", "half a request"];
    for (name, bytes) in garbage() {
        for socket in &sockets {
            let name = format!("{name} to {}", socket.display());
            let before = central.process.log().len();
            let answer = throw_at_socket(&name, socket, &bytes);
            // A query with a mistake in it gets its error from Livestatus itself.
            let told = answer.starts_with(b"4") && answer.get(15) == Some(&b'\n');
            if !told && !harmless.iter().any(|harmless| name.starts_with(harmless)) {
                wait_for_complaint(&name, &central.process, before);
            }
            // The next client is served.
            let hosts = rows(&central.live("remote1"), "hosts", &["name"], &[]);
            assert_eq!(hosts, [[json!("localhost")]], "after {name}");
        }
    }
    let answer = talk(&central.ingest("remote1"), &whole).unwrap();
    assert!(answer.starts_with(b"taken "), "{answer:?}");
    assert_eq!(
        remote_site::services(&central.live("remote1")),
        remote_site::services(&remote.live("remote1"))
    );
}

#[test]
fn garbage_to_notifyd_is_closed_logged_and_forgotten() {
    let authority = Authority::new(&["remote1", "central"]);
    let (remote, central) = (Site::new("remote1"), Site::new("central"));
    let (port, unix) = (ports::free(), central.socket("link"));
    let keys = |site: &Site| {
        format!(
            "[site]\nname = \"{}\"\n[spool]\ndirectory = \"{}\"\n{}",
            site.name(),
            site.path("var/spool").display(),
            authority.tls_table(site.name())
        )
    };
    for site in [&remote, &central] {
        std::fs::create_dir(site.path("var/spool")).unwrap();
    }
    std::fs::create_dir_all(central.path("var/mail")).unwrap();
    central.write(
        "etc/notifyd.toml",
        format!(
            "{}[[listen]]\naddress = \"127.0.0.1:{port}\"\n[[listen]]\naddress = \"unix:{}\"\n\
             [[peer]]\nsite = \"remote1\"\n[[lane]]\nname = \"mail\"\nmaildir = \"{}\"\n",
            keys(&central),
            unix.display(),
            central.path("var/mail").display()
        ),
    );
    remote.write(
        "etc/notifyd.toml",
        format!(
            "{}[[peer]]\nsite = \"central\"\nconnect = \"127.0.0.1:{port}\"\nsend = true\n",
            keys(&remote)
        ),
    );
    let start = |site: &Site| {
        Program::new("notifyd")
            .label(&format!("notifyd {}", site.name()))
            .arg("--config")
            .arg(site.path("etc/notifyd.toml"))
            .start()
    };
    let mut receiver = start(&central);
    receiver.wait_for_line(&format!("listening on 127.0.0.1:{port}"));
    // Two ports, and it tells no more than twenty complaints a minute.
    assert!(2 * garbage().len() > 20);
    for (number, (name, bytes)) in garbage().into_iter().enumerate() {
        let complaints = || lines_with(&receiver, "connection from");
        throw_at_port(name, port, &bytes);
        throw_at_socket(name, &unix, &bytes);
        let told = 20.min(2 * number + 2);
        wait_until(&format!("the log tells of {name}"), || complaints() == told);
    }
    let mut sender = start(&remote);
    sender.wait_for_line("site remote1 is ready");
    let id = Program::new("notify")
        .arg("--spool")
        .arg(remote.path("var/spool"))
        .args(["--site", "remote1"])
        .env("NOTIFY_WHAT", "HOST")
        .env("NOTIFY_NOTIFICATIONTYPE", "PROBLEM")
        .env("NOTIFY_HOSTNAME", "db1")
        .env("NOTIFY_HOSTSTATE", "DOWN")
        .run()
        .success()
        .text();
    let mails = central.path("var/mail/new");
    wait_until("the notification after the garbage is delivered", || {
        std::fs::read_dir(&mails).is_ok_and(|entries| entries.count() == 1)
    });
    assert!(receiver.is_running(), "{id}");
}
