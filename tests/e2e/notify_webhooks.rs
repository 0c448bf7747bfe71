//! Documents to a real HTTPS server: whom it must be vouched for by, what its
//! answers mean, and when it is asked again.

use harness::{Authority, Credentials, Program, Running, Site, peer, wait_until};
use serde_json::Value;

use crate::notify_centre::Centre;
use crate::notify_line::example;

/// A server of Python's library. What it answers stands in the file `answers`, one a
/// line, status and further headers; the last one for ever. What it was asked it
/// writes down.
const SERVER: &str = r#"
import email.utils, http.server, json, ssl, sys, time
certificate, key, directory = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers = open(directory + "/answers").read().splitlines()
        answer = answers[min(Handler.asked, len(answers) - 1)].split("|")
        Handler.asked += 1
        with open(directory + "/asked", "a") as asked:
            asked.write(json.dumps({"time": time.time(), "path": self.path, "headers": dict(self.headers),
                                    "body": json.loads(body)}) + "\n")
        self.send_response(int(answer[0]))
        for header in answer[1:]:
            name, value = header.split(": ")
            if name == "Retry-Date":
                name, value = "Retry-After", email.utils.formatdate(time.time() + int(value), usegmt=True)
            self.send_header(name, value)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"said")
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("port %d" % server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Server {
    site: Site,
    port: String,
    _process: Running,
}

impl Server {
    /// One that shows this certificate.
    #[track_caller]
    fn start(shown: &Credentials, answers: &str) -> Option<Self> {
        if !peer::available("python3", "python3") {
            return None;
        }
        let site = Site::new("web");
        site.write("answers", answers);
        let mut process = Program::foreign("python3", "server")
            .args(["-c", SERVER])
            .arg(&shown.certificate)
            .arg(&shown.key)
            .arg(site.directory())
            .start();
        let line = process.wait_for_line("port ");
        let port = line.trim_start_matches("port ").to_owned();
        Some(Self {
            site,
            port,
            _process: process,
        })
    }

    fn asked(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.site.path("asked")).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

const CONTEXT: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("HOSTNAME", "db1"),
    ("SERVICEDESC", "Disk größer"),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICEOUTPUT", "99 % \"used\" <b>"),
];

fn lane(server: &Server, ca: &Authority, more: &str) -> String {
    format!(
        "[[lane]]\nname = 'hook'\nwebhook = 'https://127.0.0.1:{}/in'\nca = '{}'\n\
         retry = '100ms'\nretry_max = '100ms'\n{more}\n",
        server.port,
        ca.ca().display()
    )
}

#[test]
fn only_a_server_that_can_prove_who_it_is_gets_anything() {
    let (authority, other) = (Authority::new(&[]), Authority::new(&[]));
    let here = authority.server("127.0.0.1");
    let elsewhere = authority.server("192.0.2.7");
    let own = authority.self_made("central");
    let (bad, expired) = ("invalid peer certificate: ", authority.expired("central"));
    for (name, shown, ca, want) in [
        ("good", &here, &authority, "HTTP 200: said"),
        // Both authorities have the same name.
        ("vouched for by a stranger", &here, &other, "BadSignature"),
        (
            "of another address",
            &elsewhere,
            &authority,
            "not valid for name \"127.0.0.1\"",
        ),
        ("vouched for by itself", &own, &authority, "certificate: "),
        ("too old", &expired, &authority, "certificate: Expired"),
    ] {
        let Some(server) = Server::start(shown, "200") else {
            return;
        };
        let centre = Centre::start(|_| lane(&server, ca, "expire = '500ms'"));
        let outcome = centre.deliver(CONTEXT);
        let good = name == "good";
        let (verdict, end) = match good {
            true => ("success: 127.0.0.1: ", "ended: delivered"),
            // Certificates are renewed: that heals.
            false => ("temporary failure: 127.0.0.1: ", "ended: expired"),
        };
        assert!(
            outcome[0].starts_with(verdict)
                && outcome[0].contains(want)
                && (good || outcome[0].contains(bad)),
            "{name}: {outcome:?}"
        );
        let last = outcome.last().expect("an end");
        assert!(last.starts_with(end), "{name}: {outcome:?}");
        assert_eq!(server.asked().len(), usize::from(good), "{name}");
    }
}

#[test]
fn what_a_server_answers_decides_and_it_is_left_alone_as_long_as_it_wants() {
    let authority = Authority::new(&[]);
    let shown = authority.server("127.0.0.1");
    for (answers, verdicts, end) in [
        ("204", &["success"][..], "delivered"),
        ("400", &["permanent failure"], "refused"),
        ("404", &["permanent failure"], "refused"),
        (
            "302|Location: https://127.0.0.1/x",
            &["permanent failure"],
            "refused",
        ),
        (
            "500\n502\n408\n200",
            &[
                "temporary failure",
                "temporary failure",
                "temporary failure",
                "success",
            ],
            "delivered",
        ),
        // Another secret heals them.
        (
            "401\n407\n200",
            &["temporary failure", "temporary failure", "success"],
            "delivered",
        ),
        (
            "429|Retry-Date: 3\n200",
            &["temporary failure", "success"],
            "delivered",
        ),
        (
            "429|Retry-After: 2\n503|Retry-After: 1\n200",
            &["temporary failure", "temporary failure", "success"],
            "delivered",
        ),
    ] {
        let Some(server) = Server::start(&shown, answers) else {
            return;
        };
        let centre = Centre::start(|_| lane(&server, &authority, ""));
        let outcome = centre.deliver(CONTEXT);
        let (last, attempts) = outcome.split_last().expect("an end");
        assert!(
            last.starts_with(&format!("ended: {end}")),
            "{answers}: {outcome:?}"
        );
        assert_eq!(attempts.len(), verdicts.len(), "{answers}: {outcome:?}");
        let asked = server.asked();
        assert_eq!(asked.len(), verdicts.len(), "{answers}");
        let answers = answers.lines();
        for (n, ((attempt, verdict), answer)) in
            attempts.iter().zip(verdicts).zip(answers).enumerate()
        {
            let status = answer.split('|').next().unwrap_or_default();
            let want = format!("{verdict}: 127.0.0.1: HTTP {status}");
            assert!(attempt.starts_with(&want), "{answer}: {attempt}");
            let Some((_, header)) = answer.split_once("|Retry-") else {
                continue;
            };
            let time = |n: usize| asked[n]["time"].as_f64().expect("a time");
            let (form, pause) = header.split_once(": ").expect("a value");
            let pause: f64 = pause.parse().expect("a number");
            // A date has whole seconds.
            let pause = if form == "Date" { pause - 1.0 } else { pause };
            assert!(time(n + 1) - time(n) >= pause, "{answer}: {asked:#?}");
        }
    }
}

/// The lanes of the example: their name, the address in it, what stands for the host,
/// the path that the server is asked for, and a value in the document.
const SERVICES: [(&str, &str, &str, &str, &str); 5] = [
    (
        "slack",
        "https://hooks.slack.com/",
        "/services/{{ secret }}",
        "/attachments/0/color",
        "#b42318",
    ),
    ("teams", "https://{{ secret }}", "", "/type", "message"),
    (
        "mattermost",
        "https://chat.example.org/",
        "/hooks/{{ secret }}",
        "/attachments/0/color",
        "#b42318",
    ),
    ("ntfy", "https://ntfy.example.org/", "/", "/topic", "alerts"),
    (
        "pagerduty",
        "https://events.pagerduty.com/",
        "/v2/enqueue",
        "/routing_key",
        "s3cr3t",
    ),
];

#[test]
fn the_ready_lanes_send_what_each_service_takes() {
    let authority = Authority::new(&[]);
    let Some(server) = Server::start(&authority.server("127.0.0.1"), "202") else {
        return;
    };
    let base = format!("https://127.0.0.1:{}/", server.port);
    let centre = Centre::start(|site| {
        let secrets = site.path("secrets");
        for (name, ..) in SERVICES {
            let secret = match name {
                "teams" => format!("127.0.0.1:{}/workflows/s3cr3t", server.port),
                _ => "s3cr3t".to_owned(),
            };
            let path = site.write(format!("secrets/{name}"), secret + "\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(path, mode).expect("own file");
        }
        let ca = format!("ca = \"{}\"", authority.ca().display());
        let mut lanes = example(
            "lanes-webhook.toml",
            &[
                ("/etc/sitewire/secrets", secrets.to_str().expect("text")),
                ("ca = \"/etc/sitewire/certs/company-ca.crt\"\n", ""),
                ("secret_file = ", &format!("{ca}\nsecret_file = ")),
            ],
        );
        for (name, address, ..) in SERVICES.iter().filter(|(name, ..)| *name != "teams") {
            assert!(lanes.contains(address), "{name}");
            lanes = lanes.replace(address, &base);
        }
        lanes
    });
    let outcome = centre.deliver(CONTEXT);
    assert_eq!(
        outcome.last().map(String::as_str),
        Some("ended: delivered"),
        "{outcome:?}"
    );
    assert!(!outcome.concat().contains("s3cr3t"), "{outcome:?}");
    wait_until("all were asked", || server.asked().len() == SERVICES.len());
    let asked = server.asked();
    for (name, _, path, at, want) in SERVICES {
        let path = match name {
            "teams" => "/workflows/s3cr3t".to_owned(),
            _ => path.replace("{{ secret }}", "s3cr3t"),
        };
        let one = asked.iter().find(|one| one["path"] == *path);
        let one = one.unwrap_or_else(|| panic!("{name}: {asked:#?}"));
        assert_eq!(
            one["body"].pointer(at),
            Some(&Value::from(want)),
            "{name}: {one:#}"
        );
        let key = one["headers"]["authorization"].as_str();
        assert_eq!(key, (name == "ntfy").then_some("Bearer s3cr3t"), "{name}");
    }
}
