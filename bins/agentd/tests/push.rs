//! Push mode against a stand-in for openITCOCKPIT's server, which answers what
//! a test has it answer.

mod support;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use support::authority::Authority;
use support::{Agent, Home, PATIENCE};

/// What the agent has said.
#[derive(Debug)]
struct Asked {
    line: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn what(&self) -> &str {
        let path = self.line.split(' ').nth(1).unwrap();
        path.rsplit('/').next().unwrap()
    }
}

/// What is answered to the next requests: a status and a body in which `UUID`
/// is that of the request. The last one is answered for ever.
type Script = Arc<Mutex<VecDeque<(u16, String)>>>;

struct Server {
    port: u16,
    script: Script,
    asked: Receiver<Asked>,
}

impl Server {
    fn new(tls: Option<Arc<ServerConfig>>, script: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = script
            .iter()
            .map(|(status, body)| (*status, (*body).to_owned()));
        let script: Script = Arc::new(Mutex::new(script.collect()));
        let (tell, asked) = channel();
        let answers = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answered = match &tls {
                    None => answer(stream, &answers),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        answer(StreamOwned::new(session, stream), &answers)
                    }
                };
                if let Some(asked) = answered
                    && tell.send(asked).is_err()
                {
                    return;
                }
            }
        });
        Self {
            port,
            script,
            asked,
        }
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).unwrap()
    }

    fn say(&self, status: u16, body: &str) {
        self.script
            .lock()
            .unwrap()
            .push_back((status, body.to_owned()));
    }
}

fn answer<S: Read + Write>(stream: S, script: &Script) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut asked = Asked {
        line: lines[0].clone(),
        headers,
        body: Value::Null,
    };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, text) = {
        let mut script = script.lock().unwrap();
        match script.len() {
            1 => script[0].clone(),
            _ => script.pop_front().unwrap(),
        }
    };
    let text = text.replace("UUID", asked.body["agentuuid"].as_str().unwrap_or_default());
    let stream = reader.get_mut();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nLocation: /login\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .ok()?;
    stream.flush().ok()?;
    Some(asked)
}

const REGISTERED: (u16, &str) = (201, "{\"agentuuid\": \"UUID\", \"password\": \"secret\"}");
const TAKEN: (u16, &str) = (200, "{\"success\": true, \"received_checks\": 7}");

fn home(server: &Server, more: &str) -> Home {
    Home::new(&format!(
        "interval = 1\n[oitc]\nenabled = True\nurl = http://127.0.0.1:{}//oitc/\n\
         apikey = key\ntimeout = 10\n{more}",
        server.port
    ))
}

fn agent(server: &Server, more: &str) -> Agent {
    home(server, more).start()
}

#[test]
fn it_registers_submits_and_keeps_its_password() {
    let server = Server::new(None, &[REGISTERED, TAKEN]);
    let agent = agent(&server, "");
    let registration = server.next();
    assert_eq!(
        registration.line,
        "POST /oitc/agentconnector/register_agent.json HTTP/1.1"
    );
    assert_eq!(registration.header("authorization"), "X-OITC-API key");
    assert_eq!(registration.header("content-type"), "application/json");
    assert!(
        registration
            .header("user-agent")
            .starts_with("openITCOCKPIT Agent/3.6.1")
    );
    let uuid = registration.body["agentuuid"].as_str().unwrap().to_owned();
    let address = registration.body["ipaddress"].as_str().unwrap();
    assert!(
        address.is_empty() || address.parse::<std::net::IpAddr>().is_ok(),
        "{address}"
    );
    let hostname = registration.body["hostname"].as_str().unwrap();
    let members = json!({
        "agentuuid": uuid, "password": "", "hostname": hostname, "ipaddress": address,
    });
    assert_eq!(registration.body, members);
    for _ in 0..2 {
        let submitted = server.next();
        assert_eq!(
            submitted.line,
            "POST /oitc/agentconnector/submit_checkdata.json HTTP/1.1"
        );
        assert_eq!(submitted.body["agentuuid"], json!(uuid));
        assert_eq!(submitted.body["password"], json!("secret"));
        assert!(submitted.body["checkdata"]["agent"].is_object());
    }
    // There is no web server unless one is wanted.
    assert!(!agent.said().contains("listening on"), "{}", agent.said());
    let home = agent.end();
    let kept: Value = serde_json::from_str(&home.read("auth.json")).unwrap();
    assert_eq!(kept, json!({"uuid": uuid, "password": "secret"}));
    // It is nobody new after a restart.
    while server.asked.try_recv().is_ok() {}
    let _agent = home.start();
    let submitted = server.next();
    assert_eq!(submitted.what(), "submit_checkdata.json");
    assert_eq!(submitted.body["agentuuid"], json!(uuid));
}

#[test]
fn answers_to_a_registration_are_understood() {
    for (answer, said) in [
        (
            (201, "{\"agentuuid\": \"UUID\", \"password\": \"\"}"),
            "waiting for registration on the server",
        ),
        (
            (201, "{\"agentuuid\": \"other\", \"password\": \"p\"}"),
            "registered another UUID than ours",
        ),
        (
            (200, "{\"success\": true}"),
            "believes that we are registered",
        ),
        (
            (403, "{\"error\": \"known\"}"),
            "by a password that was lost",
        ),
        ((405, "{}"), "refuses the API key"),
        ((404, "{\"error\": \"no such thing\"}"), "no such thing"),
        ((400, ""), "answered with status 400"),
        ((500, "{\"error\": \"broken\"}"), "broken"),
        ((200, "<html>"), "is not what it should be"),
        ((302, ""), "somewhere else: `url` should lead to /login"),
    ] {
        let server = Server::new(None, &[answer]);
        let agent = agent(&server, "");
        agent.wait_for(said);
        let asked = server.next();
        assert_eq!(asked.what(), "register_agent.json");
        let kept: Value = serde_json::from_str(&agent.home.read("auth.json")).unwrap();
        assert_eq!(
            kept,
            json!({"uuid": asked.body["agentuuid"], "password": ""})
        );
    }
}

#[test]
fn a_rejected_document_is_followed_by_a_newer_one() {
    let refused = (
        400,
        "{\"error\": \"Invalid credentials or host not found\"}",
    );
    let server = Server::new(None, &[REGISTERED, refused]);
    let agent = agent(&server, "");
    agent.wait_for("Invalid credentials or host not found");
    let mut times = Vec::new();
    while times.len() < 2 {
        let asked = server.next();
        if asked.what() == "submit_checkdata.json" {
            times.push(asked.body["checkdata"]["agent"]["last_updated"].clone());
        }
    }
    assert_ne!(times[0], times[1]);
    server.say(TAKEN.0, TAKEN.1);
    agent.wait_for("the server takes what is pushed again");
    // Told once, and not with every document.
    assert_eq!(agent.said().matches("Invalid credentials").count(), 1);
}

#[test]
fn it_waits_when_it_is_refused() {
    let server = Server::new(None, &[REGISTERED, (405, "{}")]);
    let agent = agent(&server, "");
    agent.wait_for("refuses the API key");
    assert_eq!(server.next().what(), "register_agent.json");
    assert_eq!(server.next().what(), "submit_checkdata.json");
    let next = server.asked.recv_timeout(Duration::from_secs(5));
    assert!(matches!(next, Err(RecvTimeoutError::Timeout)), "{next:?}");
    // A new configuration is tried at once.
    agent.signal(rustix::process::Signal::HUP);
    assert_eq!(server.next().what(), "submit_checkdata.json");
}

#[test]
fn a_server_that_is_not_there_is_asked_again() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let agent = Home::new(&format!(
        "interval = 1\n[oitc]\nenabled = True\nenable-webserver = True\napikey = k\n\
         url = http://127.0.0.1:{port}\n"
    ))
    .start();
    agent.wait_for("cannot push: ");
    // The web server is there if it is wanted.
    assert!(agent.document()["agent"].is_object());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let script = Arc::new(Mutex::new(VecDeque::from([(201, REGISTERED.1.to_owned())])));
    assert_eq!(
        answer(stream, &script).unwrap().what(),
        "register_agent.json"
    );
}

#[test]
fn a_proxy_is_asked_to_lead_the_way() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = proxy.local_addr().unwrap().port();
    let _agent = Home::new(&format!(
        "interval = 1\n[oitc]\nenabled = True\napikey = k\nurl = https://central.example\n\
         proxy = http://127.0.0.1:{port}\n"
    ))
    .start();
    let (stream, _) = proxy.accept().unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "CONNECT central.example:443 HTTP/1.1\r\n");
}

fn https(authority: &Authority, name: &str) -> Arc<ServerConfig> {
    let extension = format!("[v3_req]\nsubjectAltName = IP:127.0.0.1, DNS:{name}\n");
    std::fs::write(authority.path("names"), extension).unwrap();
    let more = ["-days", "9", "-extfile", "names", "-extensions", "v3_req"];
    let pair = authority.client("server", &more);
    let pem = std::fs::read(pair.certificate).unwrap();
    let key = std::fs::read(pair.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&pem).unwrap()],
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        );
    Arc::new(config.unwrap())
}

#[test]
fn the_certificate_of_the_server_counts_if_that_is_wanted() {
    let authority = Authority::new();
    let config = https(&authority, "central.example");
    for (verify, believed, taken) in [
        ("True", authority.path("ca.pem"), true),
        ("True", Authority::new().path("ca.pem"), false),
        ("False", "/nonexistent".into(), true),
    ] {
        let server = Server::new(Some(Arc::clone(&config)), &[REGISTERED, TAKEN]);
        let home = Home::new(&format!(
            "interval = 1\n[oitc]\nenabled = True\napikey = k\ntimeout = 10\n\
             url = https://127.0.0.1:{}\nverify-server-certificate = {verify}\n",
            server.port
        ));
        let mut command = home.command();
        command.env("SSL_CERT_FILE", believed);
        let agent = Agent::start(home, command);
        match taken {
            true => {
                assert_eq!(server.next().what(), "register_agent.json");
                assert_eq!(server.next().what(), "submit_checkdata.json");
            }
            false => agent.wait_for("cannot push: "),
        }
    }
}

#[test]
fn an_identity_that_cannot_be_kept_is_found_at_the_start() {
    let server = Server::new(None, &[REGISTERED, TAKEN]);
    let home = home(&server, "authfile = /nonexistent/auth.json\n");
    let command = home.command();
    let mut agent = Agent::start(home, command);
    assert_eq!(agent.wait().code(), Some(1));
    agent.wait_for("/nonexistent/auth.json");
}

#[test]
fn a_stream_that_ends_in_the_middle_is_trouble_and_not_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let agent = Home::new(&format!(
        "interval = 1\n[oitc]\nenabled = True\napikey = k\nurl = http://127.0.0.1:{port}\n"
    ))
    .start();
    let cut = |text: &str| {
        let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    };
    cut("HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"agentuuid\"");
    agent.wait_for("cannot push: ");
    cut("");
}
