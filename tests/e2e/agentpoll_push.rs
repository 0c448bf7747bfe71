//! Agents that push: they register, wait until somebody accepts them, and then
//! are believed.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::agents::document;
use harness::{Authority, Program, Running, Site, ports, wait_until};
use serde_json::{Value, json};

const KEY: &str = "X-OITC-API 0123456789";

/// agentpoll, receiving.
struct Centre {
    site: Site,
    port: u16,
    process: Option<Running>,
}

impl Centre {
    fn start(tls: Option<&Authority>) -> Self {
        let site = Site::new("push");
        let key = site.write_secret("etc/apikey", "0123456789\n");
        let port = ports::free();
        let tls = match tls {
            None => String::new(),
            Some(authority) => {
                let own = authority.of("central");
                format!(
                    "certificate = \"{}\"\nkey = \"{}\"",
                    own.certificate.display(),
                    own.key.display()
                )
            }
        };
        let at = site.directory().display();
        site.write(
            "etc/agentpoll.toml",
            format!(
                "[state]\ndirectory = \"{at}/var/state\"\nfile = \"{at}/var/state.json\"\n\
                 [poll]\ninterval = \"1s\"\n\
                 [receive]\naddress = \"127.0.0.1:{port}\"\napi_key_file = \"{}\"\nwaiting = 2\n{tls}\n\
                 [[output]]\nkind = \"json\"\nfile = \"{at}/var/results.json\"\n\
                 [[host]]\nname = \"web1\"\nmode = \"push\"\ntls = \"off\"\nstale_after = \"3s\"\n",
                key.display()
            ),
        );
        let mut centre = Self {
            site,
            port,
            process: None,
        };
        centre.run();
        centre
    }

    fn run(&mut self) {
        let mut process = Program::new("agentpoll")
            .args(["run", "-c"])
            .arg(self.config())
            .start();
        process.wait_for_line("ready");
        self.process = Some(process);
    }

    fn config(&self) -> std::path::PathBuf {
        self.site.path("etc/agentpoll.toml")
    }

    fn command(&self, args: &[&str]) -> harness::Outcome {
        Program::new("agentpoll")
            .args(args)
            .arg("-c")
            .arg(self.config())
            .run()
    }

    /// Posts, and returns status and answer.
    fn post(&self, page: &str, key: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "POST /agentconnector/{page}.json HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        // Who is refused at once may not read it all.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let value = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.unwrap_or(0), value)
    }

    fn register(&self, uuid: &str, password: &str) -> (u16, Value) {
        let body = json!({"agentuuid": uuid, "password": password, "hostname": "web1.example", "ipaddress": "192.0.2.7"});
        self.post("register_agent", KEY, &body.to_string())
    }

    fn submit(&self, uuid: &str, password: &str) -> (u16, Value) {
        let body = format!(
            r#"{{"checkdata": {}, "agentuuid": "{uuid}", "password": "{password}"}}"#,
            document(7, 1)
        );
        self.post("submit_checkdata", KEY, &body)
    }

    /// The newest return code of the host or a service.
    fn code(&self, service: Option<&str>) -> Option<u64> {
        let text = std::fs::read_to_string(self.site.path("var/results.json")).ok()?;
        let results = text
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut own = results.filter(|result| result["service_description"].as_str() == service);
        own.next()?["return_code"].as_u64()
    }
}

fn password(answer: &(u16, Value)) -> String {
    assert_eq!(answer.0, 201, "{answer:?}");
    answer.1["password"].as_str().unwrap().to_owned()
}

const ONE: &str = "0b5c8a52-5bb6-4a83-9d3a-000000000001";
const TWO: &str = "0b5c8a52-5bb6-4a83-9d3a-000000000002";

#[test]
fn an_agent_is_believed_once_somebody_has_accepted_it() {
    let mut centre = Centre::start(None);
    assert_eq!(
        centre.post("register_agent", "X-OITC-API wrong", "{}").0,
        405
    );
    assert_eq!(centre.post("nowhere", KEY, "{}").0, 404);
    assert_eq!(centre.post("register_agent", KEY, "junk").0, 400);
    assert_eq!(centre.register(ONE, "guess").0, 404);
    // It may not have kept the first.
    let lost = password(&centre.register(ONE, ""));
    let given = password(&centre.register(ONE, ""));
    assert_ne!(lost, given);
    assert_eq!(given.len(), 128);
    assert_eq!(centre.submit(ONE, &lost).0, 400);
    let waiting = centre.submit(ONE, &given);
    assert_eq!(waiting.0, 400);
    assert_eq!(waiting.1["error"], "Invalid credentials or host not found");
    // It has its password now: nobody else gets another one.
    assert_eq!(centre.register(ONE, "").0, 403);
    assert_eq!(centre.register(ONE, &given).0, 200);
    assert!(centre.code(Some("Memory")).is_none());

    let list = centre.command(&["agents"]).success().text();
    assert!(
        list.contains(ONE) && list.contains("waits for acceptance"),
        "{list}"
    );
    centre.command(&["accept", TWO, "--host", "web1"]).expect(1);
    centre.command(&["accept", ONE, "--host", "web1"]).success();
    let taken = centre.submit(ONE, &given);
    assert_eq!((taken.0, &taken.1["success"]), (200, &Value::Bool(true)));
    wait_until("the results are there", || {
        centre.code(Some("Memory")) == Some(0)
    });
    let packages = format!(
        r#"{{"checkdata": {{"Enabled": true}}, "agentuuid": "{ONE}", "password": "{given}"}}"#
    );
    assert_eq!(centre.post("submit_package_info", KEY, &packages).0, 200);
    assert!(centre.site.path("var/state/packages/web1.json").exists());

    // Nothing of this is lost when it is killed.
    centre.process.take().unwrap().kill();
    centre.run();
    assert_eq!(centre.submit(ONE, &given).0, 200);
    wait_until("silence is told", || {
        centre.code(None) == Some(1) && centre.code(Some("Memory")) == Some(3)
    });
    let again = centre.submit(ONE, &given);
    assert!(again.1["received_checks"].as_u64() > Some(5), "{again:?}");
    wait_until("it is back", || centre.code(Some("Memory")) == Some(0));

    // Two may wait, and this is the second one who does.
    password(&centre.register(TWO, ""));
    password(&centre.register("0b5c8a52-5bb6-4a83-9d3a-000000000003", ""));
    assert_eq!(
        centre
            .register("0b5c8a52-5bb6-4a83-9d3a-000000000004", "")
            .0,
        403
    );
    centre.command(&["accept", TWO, "--host", "web1"]).expect(1);
    centre.command(&["forget", ONE]).success();
    assert_eq!(centre.submit(ONE, &given).0, 400);
    centre.command(&["accept", TWO, "--host", "web1"]).success();
    // Passwords are nowhere to be read.
    for record in std::fs::read_dir(centre.site.path("var/state/agents")).unwrap() {
        let text = std::fs::read_to_string(record.unwrap().path()).unwrap();
        assert!(!text.contains(&given), "{text}");
    }
}

#[test]
fn agentd_pushes_over_https() {
    let authority = Authority::new(&["central"]);
    let centre = Centre::start(Some(&authority));
    let at = centre.site.directory().display();
    let config = centre.site.write(
        "var/agent/config.ini",
        format!(
            "[default]\ninterval = 1\ncustomchecks = {at}/var/agent/none.ini\n\
             [packagemanager]\nenabled = False\n\
             [oitc]\nenabled = True\nurl = https://127.0.0.1:{}\napikey = 0123456789\ntimeout = 10\n\
             authfile = {at}/var/agent/auth.json\n",
            centre.port
        ),
    );
    let _agent = Program::new("agentd")
        .args(["-v", "--disable-logfile", "-c"])
        .arg(config)
        .start();
    let mut uuid = String::new();
    wait_until("agentd has registered", || {
        let list = centre.command(&["agents", "--json"]).success().text();
        let agent = list
            .lines()
            .next()
            .and_then(|line| serde_json::from_str::<Value>(line).ok());
        uuid = agent.map_or(String::new(), |a| {
            a["uuid"].as_str().unwrap_or("").to_owned()
        });
        !uuid.is_empty()
    });
    centre
        .command(&["accept", &uuid, "--host", "web1"])
        .success();
    wait_until("its results are there", || {
        centre.code(None) == Some(0) && centre.code(Some("Memory")).is_some()
    });
}
