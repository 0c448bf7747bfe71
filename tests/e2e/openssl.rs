//! lq and unixcat against servers that speak TLS by OpenSSL: good ones, ones
//! that are not whom they should be, and ones that misbehave. What is wrong is
//! told in one line that says whose fault it is.

use std::net::TcpStream;
use std::path::PathBuf;

use harness::{Livestatusd, Program, Running, Site, peer, ports, wait_until};

/// What makes certificates, in a directory of its own: an authority and another
/// one, servers, and a client that each of them vouches for.
const CERTIFICATES: &str = r#"
set -e
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.crt \
        -days 2 -subj /CN=$1 -addext keyUsage=critical,keyCertSign
}
certificate() { # NAME AUTHORITY DAYS SUBJECT-ALTERNATIVE-NAME
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj /CN=$1
    echo "subjectAltName = $4" >$1.ext
    openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -days $3 -extfile $1.ext -out $1.crt
    cat $1.crt $1.key >$1.pem
}
authority ca
authority other
certificate server ca 2 DNS:central.example,IP:127.0.0.1
certificate elsewhere ca 2 DNS:elsewhere.example,URI:sitewire:site:berlin
certificate expired ca -1 DNS:central.example,IP:127.0.0.1
certificate client ca 2 URI:sitewire:site:remote1
certificate stranger other 2 URI:sitewire:site:remote1
chmod 600 *.key *.pem
"#;

/// A server in Python, whose TLS is OpenSSL's, that misbehaves in one of some ways.
const BAD_SERVER: &str = r#"
import os, socket, ssl, sys
port, certificate, key, way = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", port))
print("listening", flush=True)
while True:
    plain, _ = listener.accept()
    if way == "closes":
        plain.recv(1)
        plain.close()
        continue
    if way == "silent":
        kept = plain
        continue
    if way == "no TLS":
        plain.recv(65536)
        plain.sendall(b"400          12\nNo such verb\n")
        plain.close()
        continue
    try:
        stream = context.wrap_socket(plain, server_side=True)
        stream.recv(65536)
        answer = b'200          12\n[["db1",0]]\n'
        stream.sendall({"half": answer[:-6], "head": answer[:9]}.get(way, answer))
        if way == "garbage":
            os.write(stream.fileno(), b"\x17\x03\x03\x00\x20" + b"?" * 32)
        if way == "good":
            stream = stream.unwrap()
        # Without that word: as if somebody had cut the line.
        plain = socket.socket(fileno=stream.detach())
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65536):
            pass
        plain.close()
    except (OSError, ValueError):
        pass
"#;

struct Place {
    site: Site,
}

impl Place {
    fn new() -> Option<Self> {
        let peers = [
            ("openssl", "openssl"),
            ("socat", "socat"),
            ("python3", "python3"),
        ];
        if !peers
            .into_iter()
            .all(|(program, package)| peer::available(program, package))
        {
            return None;
        }
        let site = Site::new("tls");
        Program::bash(CERTIFICATES)
            .current_dir(site.path("etc"))
            .run()
            .success();
        Some(Self { site })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.path("etc").join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// `openssl s_server` with the certificate `name`.
    fn s_server(&self, name: &str, arguments: &[&str]) -> Server {
        let port = ports::free();
        // It ends with its standard input.
        let process = Program::bash("sleep 1000 | openssl s_server \"$@\"")
            .label("s_server")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &self.path(&format!("{name}.crt"))])
            .args(["-key", &self.path(&format!("{name}.key"))])
            .args(arguments)
            .with_family()
            .start();
        Server::wait(process, port, "ACCEPT")
    }

    fn bad_server(&self, way: &str) -> Server {
        let port = ports::free();
        let process = Program::foreign("python3", "bad server")
            .args(["-c", BAD_SERVER, &port.to_string()])
            .args([
                self.path("server.crt"),
                self.path("server.key"),
                way.to_owned(),
            ])
            .start();
        Server::wait(process, port, "listening")
    }

    /// How both clients end when they talk to `server`.
    fn clients(&self, server: &Server, arguments: &[&str]) -> [Ended; 2] {
        // Files are named as in our directory.
        let arguments: Vec<String> = arguments
            .iter()
            .map(
                |argument| match argument.ends_with(".crt") || argument.ends_with(".key") {
                    true => self.path(argument),
                    false => (*argument).to_owned(),
                },
            )
            .collect();
        let address = format!("tls:127.0.0.1:{}", server.port);
        [
            (
                "lq",
                &[
                    "--format",
                    "csv",
                    "--timeout",
                    "20s",
                    "GET hosts",
                    "Columns: name state",
                ][..],
                vec!["-s".to_owned(), address.clone()],
            ),
            (
                "unixcat",
                &["--connect-timeout", "20s", "--idle-timeout", "20s"],
                vec![address.clone()],
            ),
        ]
        .map(|(program, own, socket)| {
            let outcome = Program::new(program)
                .args(&arguments)
                .args(socket)
                .args(own)
                .input("GET hosts\nColumns: name state\n\n")
                .run();
            Ended {
                program,
                code: outcome.code(),
                output: outcome.text(),
                errors: outcome.errors().replace(&address, "SERVER"),
            }
        })
    }
}

struct Server {
    _process: Running,
    port: u16,
}

impl Server {
    fn wait(mut process: Running, port: u16, line: &str) -> Self {
        process.wait_for_line(line);
        Self {
            _process: process,
            port,
        }
    }
}

#[derive(Debug)]
struct Ended {
    program: &'static str,
    code: Option<i32>,
    output: String,
    errors: String,
}

#[test]
fn a_server_that_is_not_whom_it_should_be_is_told_by_its_fault() {
    let Some(place) = Place::new() else { return };
    let plain = &["--ca", "ca.crt"][..];
    let ca = place.path("ca.crt");
    let demands = &["-Verify", "1", "-verify_return_error", "-CAfile", &ca][..];
    let owed = "the server demands a certificate, and none was given";
    for (name, certificate, server, client, fault) in [
        (
            "another host",
            "elsewhere",
            &[][..],
            plain,
            "the server's certificate is for elsewhere.example, site berlin, not for 127.0.0.1",
        ),
        (
            "another name",
            "server",
            &[],
            &["--ca", "ca.crt", "--tls-name", "other.example"],
            "the server's certificate is for central.example, 127.0.0.1, not for other.example",
        ),
        (
            "another site",
            "elsewhere",
            &[],
            &["--ca", "ca.crt", "--tls-name", "remote_1"],
            "the server's certificate is for elsewhere.example, site berlin, not for remote_1",
        ),
        (
            "expired",
            "expired",
            &[],
            plain,
            "the server's certificate has expired",
        ),
        (
            "another CA",
            "server",
            &[],
            &["--ca", "other.crt"],
            "the server's certificate is not signed by the CA that was given",
        ),
        ("no certificate", "server", demands, plain, owed),
        (
            "a stranger's certificate",
            "server",
            demands,
            &[
                "--ca",
                "ca.crt",
                "--cert",
                "stranger.crt",
                "--key",
                "stranger.key",
            ],
            "the server does not accept our certificate: UnknownCA",
        ),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = [server, &[version]].concat();
            let server = place.s_server(certificate, &arguments);
            for ended in place.clients(&server, client) {
                let told = format!(
                    "{}: cannot agree on TLS with SERVER: {fault}\n",
                    ended.program
                );
                // With TLS 1.3 a client knows only later what the server thinks of it.
                let later = format!("{}: cannot read from SERVER: {fault}\n", ended.program);
                let sent = format!("{}: cannot send to SERVER: {fault}\n", ended.program);
                let told = ended.errors == told
                    || version == "-tls1_3"
                        && server_judges(name)
                        && [later, sent].contains(&ended.errors);
                assert!(
                    told && ended.code == Some(1),
                    "{name}, {version}: {ended:?}"
                );
                assert_eq!(ended.output, "", "{name}, {version}");
            }
        }
    }
}

/// Whether it is the server that refuses the client.
fn server_judges(name: &str) -> bool {
    name.ends_with(" certificate")
}

#[test]
fn a_server_of_old_versions_only_is_told() {
    let Some(place) = Place::new() else { return };
    let server = place.s_server("server", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    for ended in place.clients(&server, &["--ca", "ca.crt"]) {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let fault = "cannot agree on TLS with SERVER: the server speaks no TLS that we do";
        assert!(ended.errors.contains(fault), "{ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_server_that_misbehaves_is_told() {
    let Some(place) = Place::new() else { return };
    let framed = "200          12\n[[\"db1\",0]]\n";
    for (way, lq, unixcat) in [
        ("good", (0, "[[\"db1\",0]]\n", ""), (0, framed, "")),
        // The frame says that lq has everything; unixcat cannot know.
        (
            "no last word",
            (0, "[[\"db1\",0]]\n", ""),
            (
                1,
                framed,
                "unixcat: SERVER closed the connection without a word: the output may have been cut off\n",
            ),
        ),
        (
            "half",
            (
                3,
                "[[\"db1",
                "lq: the answer was cut off, 6 bytes are missing\n",
            ),
            (
                1,
                &framed[..22],
                "unixcat: SERVER closed the connection without a word: the output may have been cut off\n",
            ),
        ),
        (
            "closes",
            (
                75,
                "",
                "lq: cannot connect to SERVER: the server closed the connection before TLS was agreed on: does it speak TLS?\n",
            ),
            (
                75,
                "",
                "unixcat: cannot connect to SERVER: the server closed the connection before TLS was agreed on: does it speak TLS?\n",
            ),
        ),
        (
            "no TLS",
            (
                1,
                "",
                "lq: cannot agree on TLS with SERVER: what the server sends is not TLS\n",
            ),
            (
                1,
                "",
                "unixcat: cannot agree on TLS with SERVER: what the server sends is not TLS\n",
            ),
        ),
    ] {
        let server = place.bad_server(way);
        let ended = place.clients(&server, &["--ca", "ca.crt"]);
        for (ended, (code, output, errors)) in ended.iter().zip([lq, unixcat]) {
            assert_eq!(
                (ended.code, ended.output.as_str(), ended.errors.as_str()),
                (Some(code), output, errors),
                "{way}, {}",
                ended.program
            );
        }
    }
}

#[test]
fn what_came_before_garbage_is_good() {
    let Some(place) = Place::new() else { return };
    let server = place.bad_server("garbage");
    // Its input stays open: rustls, as built for debugging, does not bear what
    // is no TLS once it has said that nothing more will come.
    let script = "{ printf 'GET hosts\\n\\n'; sleep 3; } | \"$@\"; exit ${PIPESTATUS[1]}";
    let address = format!("tls:127.0.0.1:{}", server.port);
    let unixcat = Program::bash(script)
        .arg("unixcat")
        .args(["unixcat", "--ca", &place.path("ca.crt"), &address])
        .run()
        .expect(1);
    assert_eq!(unixcat.text(), "200          12\n[[\"db1\",0]]\n");
    let fault = "what the server sent was changed on the way";
    assert_eq!(
        unixcat.errors(),
        format!("unixcat: cannot read from {address}: {fault}\n")
    );

    // The frame says that lq has everything.
    let lq = Program::new("lq")
        .args(["--ca", &place.path("ca.crt"), "-s", &address, "GET hosts"])
        .run()
        .success();
    assert_eq!(
        (lq.text().as_str(), lq.errors().as_str()),
        ("[[\"db1\",0]]\n", "")
    );
}

#[test]
fn a_silent_server_is_given_up() {
    let Some(place) = Place::new() else { return };
    let server = place.bad_server("silent");
    let address = format!("tls:127.0.0.1:{}", server.port);
    for (program, limit, socket) in [
        ("lq", "--timeout", &["-s"][..]),
        ("unixcat", "--connect-timeout", &[]),
    ] {
        let outcome = Program::new(program)
            .args([limit, "300ms", "--ca", &place.path("ca.crt")])
            .args(socket)
            .arg(&address)
            .input("GET hosts\n")
            .run()
            .expect(75);
        let want = format!("{program}: cannot connect to {address}: the server does not answer\n");
        assert_eq!(outcome.errors(), want);
    }
}

#[test]
fn livestatus_passes_through_openssl_in_either_version() {
    let Some(place) = Place::new() else { return };
    let central = Livestatusd::start(&["remote1"]);
    let dump = b"shadow_hosts.update({'db1': {}})\n";
    central.site.write("etc/shadow/remote1/shadow.mk", dump);
    let framed = Program::new("lq")
        .arg("-s")
        .arg(central.merged())
        .args(["GET sites", "Columns: site"])
        .run()
        .success();
    assert_eq!(framed.text(), "remote1\n");
    for version in ["TLS1.2", "TLS1.3"] {
        let port = ports::free();
        let options = [
            format!("OPENSSL-LISTEN:{port}"),
            "bind=127.0.0.1".to_owned(),
            "fork".to_owned(),
            "reuseaddr".to_owned(),
            format!("cert={}", place.path("server.pem")),
            format!("cafile={}", place.path("ca.crt")),
            "verify=1".to_owned(),
            format!("openssl-min-proto-version={version}"),
            format!("openssl-max-proto-version={version}"),
        ];
        let _socat = Program::foreign("socat", "socat")
            .arg(options.join(","))
            .arg(format!("UNIX-CONNECT:{}", central.merged().display()))
            .with_family()
            .start();
        wait_until("socat listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let address = format!("tls:127.0.0.1:{port}");
        let identity = [
            "--cert",
            &place.path("client.crt"),
            "--key",
            &place.path("client.key"),
        ];
        let tls = |program: &str| {
            Program::new(program)
                .args([
                    "--ca",
                    &place.path("ca.crt"),
                    "--tls-name",
                    "central.example",
                ])
                .args(identity)
        };
        let asked = tls("lq")
            .args(["-s", &address, "GET sites", "Columns: site"])
            .run()
            .success();
        assert_eq!(asked.text(), "remote1\n", "{version}");
        let copied = tls("unixcat")
            .arg(&address)
            .input("GET sites\nColumns: site\n")
            .run()
            .success();
        assert_eq!(copied.text(), "remote1\n", "{version}");
        // More than fits in any buffer on the way.
        let much =
            "GET sites\nColumns: site\nKeepAlive: on\nResponseHeader: fixed16\n\n".repeat(20_000);
        let copied = tls("unixcat").arg(&address).input(much).run().success();
        assert_eq!(
            copied.stdout.len(),
            20_000 * (16 + "remote1\n".len()),
            "{version}"
        );
    }
}
