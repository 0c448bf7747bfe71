//! Every route, with every kind of authentication, over everything that is
//! spoken: statuses, types and texts are those of openITCOCKPIT's agent 3.6.1.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use support::authority::{Authority, Pair, ask_tls};
use support::{Agent, Answer, Home, Request, read_answer};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http,
    Https,
    /// After Auto-TLS.
    Mutual,
}

struct Served {
    agent: Agent,
    authority: Authority,
    spoken: Spoken,
}

impl Served {
    fn new(spoken: Spoken, config: &str) -> Self {
        let authority = Authority::new();
        let first = match spoken {
            Spoken::Http => "",
            Spoken::Https => "certfile = @/own.crt\nkeyfile = @/own.key\n",
            Spoken::Mutual => "try-autossl = True\n",
        };
        let home = Home::new(&format!("{first}{config}"));
        let own = authority.client("own", &["-days", "9"]);
        fs::copy(own.certificate, home.path("own.crt")).unwrap();
        fs::copy(own.key, home.path("own.key")).unwrap();
        home.put(
            "exporters.ini",
            "[node]\nenabled = True\nport = 1\npath = /metrics\ninterval = 60\n\
             [Off]\nport = 1\npath = /\n",
        );
        if spoken == Spoken::Mutual {
            // What an exchange leaves behind.
            home.put("agent.key", &home.read("own.key"));
            home.put("agent.crt", &home.read("own.crt"));
            home.put("server_ca.crt", &authority.ca());
        }
        Self {
            agent: home.start(),
            authority,
            spoken,
        }
    }

    fn ask(&self, request: &Request<'_>) -> Answer {
        let itself = self.authority.itself();
        let pair: Option<&Pair> = match self.spoken {
            Spoken::Http => return self.agent.ask(request),
            Spoken::Https => None,
            Spoken::Mutual => Some(&itself),
        };
        ask_tls(&self.agent, pair, &[&TLS13, &TLS12], request).unwrap()
    }
}

/// A request, and what it is answered with.
struct Case<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a str,
    status: u16,
    content_type: Option<&'a str>,
    /// None for anything.
    text: Option<&'a str>,
    /// Whether it is answered before anybody is asked who he is.
    for_all: bool,
}

const fn case<'a>(
    method: &'a str,
    path: &'a str,
    status: u16,
    content_type: Option<&'a str>,
    text: Option<&'a str>,
) -> Case<'a> {
    Case {
        method,
        path,
        body: "",
        status,
        content_type,
        text,
        for_all: matches!(status, 301 | 404 | 405),
    }
}

fn cases() -> Vec<Case<'static>> {
    const NOT_FOUND: Option<&str> = Some("404 page not found\n");
    let mut cases = vec![
        case("GET", "/", 200, Some(JSON), None),
        case("GET", "/?x=y", 200, Some(JSON), None),
        case("GET", "/prometheus", 200, Some(JSON), Some("[\"node\"]")),
        case(
            "GET",
            "/prometheus?exporter=",
            200,
            Some(JSON),
            Some("[\"node\"]"),
        ),
        case(
            "GET",
            "/prometheus?exporter=off",
            200,
            Some("text/plain"),
            Some("Unknown exporter"),
        ),
        case(
            "GET",
            "/prometheus?exporter=n%6Fde",
            200,
            Some("text/plain"),
            None,
        ),
        case("GET", "/packages", 200, Some(JSON), None),
        case("GET", "/config", 200, Some(JSON), None),
        case("GET", "/autotls", 200, Some(JSON), None),
        case("GET", "/autotls?domain=web1.example", 200, Some(JSON), None),
        case(
            "GET",
            "/autotls?domain=%C3%B6",
            500,
            Some(TEXT),
            Some("internal server error\n"),
        ),
        case(
            "POST",
            "/autotls",
            500,
            Some(TEXT),
            Some("internal server error\n"),
        ),
        case("GET", "/nothing", 404, Some(TEXT), NOT_FOUND),
        case("GET", "/config/", 404, Some(TEXT), NOT_FOUND),
        case("GET", "/getCsr", 404, Some(TEXT), NOT_FOUND),
        case("GET", "/debug/pprof/", 404, Some(TEXT), NOT_FOUND),
        case("GET", "//config", 301, None, Some("")),
        case("HEAD", "/", 405, None, Some("")),
        case("HEAD", "/config", 405, None, Some("")),
        case("POST", "/", 405, None, Some("")),
        case("PUT", "/config", 405, None, Some("")),
        case("DELETE", "/autotls", 405, None, Some("")),
        case("POST", "/packages", 405, None, Some("")),
        case("OPTIONS", "/prometheus", 405, None, Some("")),
    ];
    for body in [
        "",
        "[",
        "{}",
        "null",
        "{\"configuration\": \"!\"}",
        "{\"configuration\": \"\"}",
    ] {
        cases.push(Case {
            body,
            ..case(
                "POST",
                "/config",
                500,
                Some(TEXT),
                Some("invalid json or base64 string\n"),
            )
        });
    }
    cases
}

fn check(served: &Served, case: &Case<'_>, headers: &[(&str, &str)], let_in: bool) {
    let what = format!(
        "{:?} {} {} {headers:?}",
        served.spoken, case.method, case.path
    );
    let answer = served.ask(&Request {
        method: case.method,
        path: case.path,
        headers,
        body: case.body,
    });
    if !let_in && !case.for_all {
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (403, "Forbidden\n"),
            "{what}"
        );
        assert_eq!(answer.header("content-type"), Some(TEXT), "{what}");
        assert_eq!(answer.header("www-authenticate"), None, "{what}");
        return;
    }
    assert_eq!(answer.status, case.status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), case.content_type, "{what}");
    match case.text {
        Some(text) => assert_eq!(answer.text(), text, "{what}"),
        None if case.content_type == Some(JSON) => assert!(answer.json().is_object(), "{what}"),
        None => {}
    }
}

#[test]
fn every_route_with_every_authentication_over_everything_that_is_spoken() {
    const RIGHT: (&str, &str) = ("Authorization", "Basic bWU6cGFzczp3b3Jk");
    let open =
        "config-update-mode = True\n[prometheus]\nenabled = True\nexporters = @/exporters.ini\n";
    let guarded = format!("auth = me:pass:word\n{open}");
    for spoken in [Spoken::Http, Spoken::Https, Spoken::Mutual] {
        let (open, guarded) = (Served::new(spoken, open), Served::new(spoken, &guarded));
        for case in cases() {
            check(&open, &case, &[], true);
            check(&guarded, &case, &[RIGHT], true);
            let wrong: &[&[_]] = &[
                &[],
                &[("Authorization", "Basic bWU6cGFzcw==")],
                &[("Authorization", "Bearer bWU6cGFzczp3b3Jk")],
                &[("Authorization", "Basic")],
            ];
            // Each costs a handshake where there is one.
            let tried = if spoken == Spoken::Http {
                wrong.len()
            } else {
                1
            };
            for wrong in &wrong[..tried] {
                check(&guarded, &case, wrong, false);
            }
        }
    }
}

#[test]
fn the_configuration_is_not_touched_where_that_is_not_allowed() {
    for spoken in [Spoken::Http, Spoken::Mutual] {
        let served = Served::new(spoken, "");
        let before = served.agent.home.read("config.ini");
        for request in [Request::get("/config"), Request::post("/config", "{}")] {
            let answer = served.ask(&request);
            assert_eq!(answer.status, 403);
            assert_eq!(answer.text(), "config update is disabled\n");
            assert_eq!(answer.header("content-type"), Some(TEXT));
        }
        assert_eq!(served.agent.home.read("config.ini"), before);
    }
}

fn encoded(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

#[test]
fn a_configuration_that_is_posted_is_in_effect_or_not_at_all() {
    let home = Home::new(
        "config-update-mode = True\ncustomchecks = @/checks.ini\n[prometheus]\nexporters = @/exporters.ini\n",
    );
    home.put("exporters.ini", "# kept\n");
    let agent = home.start();
    let read = agent.get("/config").json();
    assert_eq!(
        read["configuration"],
        json!(encoded(&agent.home.read("config.ini")))
    );
    assert_eq!(read["customcheck_configuration"], json!(""));
    assert_eq!(read["prometheus_exporter"], json!(encoded("# kept\n")));
    // One that cannot be used.
    let old = agent.home.read("config.ini");
    let body = json!({"configuration": encoded("[default]\ninterval = often\n")}).to_string();
    let answer = agent.ask(&Request::post("/config", &body));
    assert_eq!(answer.status, 500);
    assert!(
        answer
            .text()
            .contains("line 2: `interval = often` is no number"),
        "{answer:?}"
    );
    assert_eq!(agent.home.read("config.ini"), old);
    // One that can: with a password from now on. What is not named stays.
    let new = format!("{old}\n[default]\nauth = me:word\n");
    let checks = "[one]\ncommand = true\nenabled = True\n";
    let body = json!({
        "configuration": encoded(&new),
        "customcheck_configuration": encoded(checks),
    });
    let answer = agent.ask(&Request::post("/config", &body.to_string()));
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    agent.wait_for("the configuration has been read");
    assert_eq!(agent.get("/").status, 403);
    assert_eq!(agent.home.read("config.ini"), new);
    assert_eq!(agent.home.read("checks.ini"), checks);
    assert_eq!(agent.home.read("exporters.ini"), "# kept\n");
}

#[test]
fn the_document_says_how_old_it_is_and_is_not_sent_twice() {
    let agent = Home::new("interval = 600\n").start();
    agent.document();
    let answer = agent.get("/");
    let age: u64 = answer.header("age").unwrap().parse().unwrap();
    assert!(age < 60);
    let tag = answer.header("etag").unwrap().to_owned();
    let collected = answer.json()["agent"]["last_updated_timestamp"]
        .as_u64()
        .unwrap();
    let modified = httpdate::parse_http_date(answer.header("last-modified").unwrap()).unwrap();
    let modified = modified
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(modified.abs_diff(collected) <= 1);
    assert_eq!(answer.header("content-encoding"), None);
    let with = |headers: &[(&str, &str)]| agent.ask(&Request::get("/").with(headers));
    let again = with(&[("If-None-Match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(with(&[("If-None-Match", "\"other\"")]).status, 200);
    let small = with(&[("Accept-Encoding", "deflate, gzip")]);
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(small.body.len() < answer.body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&small.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, answer.text());
    assert_ne!(small.header("etag").unwrap(), tag);
}

#[test]
fn levels_of_tls_let_in_exactly_what_they_name() {
    let old_suite = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"];
    for (level, tls12, suite) in [
        ("lax", true, false),
        ("intermediate", true, false),
        ("modern", false, false),
        ("typo", true, false),
    ] {
        let served = Served::new(Spoken::Https, &format!("tls-security-level = {level}\n"));
        let connects = |args: &[&str]| {
            let address = format!("127.0.0.1:{}", served.agent.port());
            let output = Command::new("openssl")
                .args(["s_client", "-connect", &address])
                .args(args)
                .stdin(std::process::Stdio::null())
                .output()
                .unwrap();
            output.status.success()
        };
        for (args, want) in [
            (&["-tls1_3"][..], true),
            (&["-tls1_2"], tls12),
            (
                &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
                tls12,
            ),
            (
                &["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"],
                tls12,
            ),
            (&old_suite, suite),
            (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], false),
            (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], false),
            (&["-tls1_3", "-groups", "X25519"], true),
            (&["-tls1_3", "-groups", "P-256"], true),
            (&["-tls1_3", "-groups", "P-384"], true),
            (&["-tls1_3", "-groups", "P-521"], false),
        ] {
            assert_eq!(connects(args), want, "{level}: {args:?}");
        }
    }
}

#[test]
fn what_is_too_long_or_no_http_is_refused_and_the_next_one_is_served() {
    let agent = Home::new("config-update-mode = True\n").start();
    let long = "x".repeat(250_000);
    assert_eq!(
        agent
            .ask(&Request::get("/packages").with(&[("X", &long)]))
            .status,
        200
    );
    let too_long = "x".repeat(600_000);
    let mut stream = agent.connect();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {too_long}\r\n\r\n");
    // It may be gone before all has been said.
    let _ = stream.write_all(head.as_bytes());
    if let Ok(answer) = read_answer(stream) {
        assert_eq!(answer.status, 431);
    }
    let mut stream = agent.connect();
    stream
        .write_all(b"POST /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000000\r\n\r\n{}")
        .unwrap();
    assert_eq!(read_answer(stream).unwrap().status, 413);
    let mut stream = agent.connect();
    stream
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .unwrap();
    assert_eq!(read_answer(stream).unwrap().status, 400);
    assert_eq!(agent.get("/packages").status, 200);
}

#[test]
fn connections_stay_open_and_the_oldest_of_too_many_gives_way() {
    let agent = Home::new("[sitewire]\nmax-connections = 4\n").start();
    let mut first = agent.connect();
    for _ in 0..3 {
        first
            .write_all(b"GET /packages HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut buffer = vec![0; 4096];
        let length = first.read(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    let others: Vec<_> = (0..4).map(|_| agent.connect()).collect();
    // The end of the first is seen when there is one more than may be.
    assert_eq!(first.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(agent.get("/packages").status, 200);
    drop(others);
}

#[test]
fn many_clients_are_served_at_once_while_a_check_hangs() {
    let home = Home::new("interval = 5\n[default]\ncustomchecks = @/checks.ini\n");
    home.put(
        "checks.ini",
        "[hangs]\ncommand = sleep 600\nenabled = True\ninterval = 600\ntimeout = 600\n",
    );
    let agent = Arc::new(home.start());
    agent.document();
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let agent = Arc::clone(&agent);
            thread::spawn(move || {
                for _ in 0..20 {
                    let document: Value = agent.get("/").json();
                    assert!(document["agent"].is_object());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    // And it ends at once, with what hangs.
    agent.signal(Signal::TERM);
    let mut agent = Arc::into_inner(agent).unwrap();
    assert_eq!(agent.wait().code(), Some(0));
}
