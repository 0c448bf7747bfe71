//! Documents by HTTP, to a server that gives every answer: what is sent, what is
//! recorded, and what is tried again.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use support::Site;

/// A request as it came.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

struct Sink {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Sink {
    /// Gives the answers one after the other, and the last one for ever. An empty
    /// answer closes the connection.
    fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let answer = answers[n.min(answers.len() - 1)];
                let Ok(stream) = stream else { return };
                serve(stream, answer, &all);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.asked()[0].body).unwrap()
    }
}

/// One request for each connection.
fn serve(mut stream: TcpStream, answer: &str, all: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let asked = read(&mut reader)?;
    let tunnels = asked.line.starts_with("CONNECT ");
    all.lock().unwrap().push(asked);
    if tunnels {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        all.lock().unwrap().push(read(&mut reader)?);
    }
    stream.write_all(answer.as_bytes()).ok()
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        line: lines.remove(0),
        headers: lines,
        body: String::from_utf8(body).unwrap(),
    })
}

const CONTEXT: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("SERVICEDESC", "Disk \"/\""),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICEOUTPUT", "99 % <b> & \\ 'used'\u{7}"),
    ("CONTACTNAME", "joe"),
    ("CONTACTEMAIL", "joe@example.com"),
];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn lane(address: &str, more: &str) -> String {
    format!("[[lane]]\nname = 'hook'\nwebhook = 'http://{address}/in/x'\nretry = '200ms'\n{more}\n")
}

#[test]
fn every_answer_of_a_server_has_its_verdict() {
    for (name, answers, want) in [
        (
            "200",
            &[OK][..],
            &["success: 127.0.0.1: HTTP 200: ok", "ended delivered"][..],
        ),
        (
            "204",
            &["HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"],
            &["success: 127.0.0.1: HTTP 204", "ended delivered"],
        ),
        (
            "302 is not followed",
            &[
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ],
            &[
                "permanent failure: 127.0.0.1: HTTP 302, points to 127.0.0.1",
                "ended refused",
            ],
        ),
        (
            "404",
            &["HTTP/1.1 404 Gone\r\nContent-Length: 10\r\nConnection: close\r\n\r\nno such\x07\nx"],
            &[
                "permanent failure: 127.0.0.1: HTTP 404: no such\\u{7}\\nx",
                "ended refused",
            ],
        ),
        (
            "408, 425, 429, 500, 503, then 201",
            &[
                "HTTP/1.1 408 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 425 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 429 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 500 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 201 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ],
            &[
                "temporary failure: 127.0.0.1: HTTP 408",
                "temporary failure: 127.0.0.1: HTTP 425",
                "temporary failure: 127.0.0.1: HTTP 429",
                "temporary failure: 127.0.0.1: HTTP 500",
                "temporary failure: 127.0.0.1: HTTP 503",
                "success: 127.0.0.1: HTTP 201",
                "ended delivered",
            ],
        ),
        (
            "closed, nonsense, then 200",
            &["", "220 this is SMTP\r\n", OK],
            &[
                "temporary failure: 127.0.0.1: ",
                "temporary failure: 127.0.0.1: ",
                "success: 127.0.0.1: HTTP 200: ok",
                "ended delivered",
            ],
        ),
        (
            "a body that breaks off says less, but the status counts",
            &["HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\nbeginning"],
            &["success: 127.0.0.1: HTTP 200: beginning", "ended delivered"],
        ),
    ] {
        let sink = Sink::start(answers);
        let site = Site::new("central", &lane(&sink.address, "retry_max = '200ms'"));
        let daemon = site.start();
        let found = site.outcome(CONTEXT);
        assert_eq!(found.len(), want.len(), "{name}: {found:#?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.starts_with(want), "{name}: {found:?}, not {want:?}");
        }
        daemon.terminate();
    }
}

#[test]
fn what_cannot_be_reached_is_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (name, address, more) in [
        ("refused", closed.to_string(), ""),
        ("no such name", "no-such-host.invalid".to_owned(), ""),
        // Nobody accepts, and nobody answers.
        ("silence", silent().1, "timeout = '300ms'"),
    ] {
        let site = Site::new(
            "central",
            &lane(&address, &format!("expire = '1s'\n{more}")),
        );
        let daemon = site.start();
        let found = site.outcome(CONTEXT);
        assert!(
            found[0].starts_with("temporary failure: "),
            "{name}: {found:?}"
        );
        assert_eq!(found.last().unwrap(), "ended expired", "{name}");
        daemon.terminate();
    }
}

/// A listener that is kept, and never asked; its address.
fn silent() -> (&'static TcpListener, String) {
    let listener = Box::leak(Box::new(TcpListener::bind("127.0.0.1:0").unwrap()));
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn without_a_template_everything_is_sent() {
    let sink = Sink::start(&[OK]);
    let site = Site::new(
        "central",
        &lane(&sink.address, "link = 'https://mon/{{ host }}'"),
    );
    let daemon = site.start();
    let outcome = site.outcome(CONTEXT);
    assert_eq!(outcome.last().unwrap(), "ended delivered", "{outcome:?}");
    let asked = &sink.asked()[0];
    assert_eq!(asked.line, "POST /in/x HTTP/1.1");
    for header in [
        "content-type: application/json",
        "user-agent: sitewire/0.1.0",
    ] {
        let found = asked
            .headers
            .iter()
            .any(|line| line.to_lowercase() == header);
        assert!(found, "{header} in {asked:?}");
    }
    let json = sink.json();
    for (name, want) in [
        ("type", "PROBLEM"),
        ("host", "db1"),
        ("service", "Disk \"/\""),
        ("state", "CRITICAL"),
        ("output", "99 % <b> & \\ 'used'\u{fffd}"),
        ("site", "central"),
        ("link", "https://mon/db1"),
    ] {
        assert_eq!(json[name], want, "{json:#}");
    }
    assert_eq!(json["attempt"], 1);
    assert_eq!(json["contacts"][0]["email"], "joe@example.com");
    assert_eq!(json["variables"]["HOSTNAME"], "db1");
    daemon.terminate();
}

#[test]
fn templates_headers_and_secrets_are_as_configured() {
    let sink = Sink::start(&[OK]);
    let more = "template = '@own.json'\nmethod = 'PUT'\nsecret_file = '@secret'\n\
                variables = { room = 'ops' }\n\
                headers = { Authorization = 'Bearer {{ secret }}', Content-Type = 'text/x-json' }";
    let site = Site::new("central", &lane(&sink.address, more));
    let template = "{\"to\": \"{{ variables.room }}\", \"key\": \"{{ secret }}\", \"n\": \"{{ 1 if host == 'db1' else 2 }}\"}";
    std::fs::write(site.path("own.json"), template).unwrap();
    std::fs::write(site.path("secret"), "s3cr3t\n").unwrap();
    let check = || {
        let output = site.command().arg("--check-config").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        check().contains("secret can be read by others"),
        "{}",
        check()
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(site.path("secret"), mode).unwrap();
    assert_eq!(check(), "");
    let daemon = site.start();
    let outcome = site.outcome(CONTEXT);
    assert_eq!(outcome.last().unwrap(), "ended delivered", "{outcome:?}");
    assert!(!outcome.concat().contains("s3cr3t"));
    let asked = &sink.asked()[0];
    assert_eq!(asked.line, "PUT /in/x HTTP/1.1");
    let headers = asked.headers.join("\n").to_lowercase();
    assert!(
        headers.contains("authorization: bearer s3cr3t"),
        "{headers}"
    );
    assert!(headers.contains("content-type: text/x-json"), "{headers}");
    assert_eq!(
        sink.json(),
        serde_json::json!({"to": "ops", "key": "s3cr3t", "n": 1})
    );
    daemon.terminate();
}

#[test]
fn the_ready_documents_are_what_their_services_take() {
    for (name, wants) in [
        (
            "slack",
            &[
                ("/text", "\"PROBLEM: db1 / Disk \\\"/\\\" is CRIT\""),
                ("/attachments/0/color", "\"#b42318\""),
                (
                    "/attachments/0/text",
                    "\"99 % &lt;b&gt; &amp; \\\\ 'used'\u{fffd}\"",
                ),
            ][..],
        ),
        (
            "mattermost",
            &[("/attachments/0/text", "\"99 % <b> & \\\\ 'used'\u{fffd}\"")],
        ),
        (
            "teams",
            &[
                (
                    "/attachments/0/contentType",
                    "\"application/vnd.microsoft.card.adaptive\"",
                ),
                ("/attachments/0/content/body/0/color", "\"Attention\""),
            ],
        ),
        (
            "ntfy",
            &[
                ("/priority", "5"),
                ("/topic", "\"sitewire\""),
                ("/tags", "[\"rotating_light\"]"),
            ],
        ),
        (
            "pagerduty",
            &[
                ("/event_action", "\"trigger\""),
                ("/payload/severity", "\"critical\""),
                ("/dedup_key", "\"central/db1/Disk \\\"/\\\"\""),
            ],
        ),
    ] {
        let sink = Sink::start(&[OK]);
        let site = Site::new(
            "central",
            &lane(&sink.address, &format!("template = '{name}'")),
        );
        let daemon = site.start();
        let outcome = site.outcome(CONTEXT);
        assert_eq!(
            outcome.last().unwrap(),
            "ended delivered",
            "{name}: {outcome:?}"
        );
        let json = sink.json();
        for (at, want) in wants {
            let found = json.pointer(at).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(*want), "{name} {at}: {json:#}");
        }
        daemon.terminate();
    }
}

#[test]
fn a_proxy_is_asked_instead_of_the_server() {
    let sink = Sink::start(&[OK]);
    let site = Site::new(
        "central",
        &format!(
            "[[lane]]\nname = 'hook'\nwebhook = 'http://hooks.invalid/x'\nproxy = 'http://{}'\n",
            sink.address
        ),
    );
    let daemon = site.start();
    let outcome = site.outcome(CONTEXT);
    assert_eq!(outcome.last().unwrap(), "ended delivered", "{outcome:?}");
    let lines: Vec<String> = sink.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        ["CONNECT hooks.invalid:80 HTTP/1.1", "POST /x HTTP/1.1"]
    );
    daemon.terminate();
}
