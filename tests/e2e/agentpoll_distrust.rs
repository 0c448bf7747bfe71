//! An agent whose certificate is no longer believed, or never was: `agentpoll run`
//! says so, its host is seen to be silent, and nothing is tried in plain text.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use harness::{Program, Running, peer, wait_until};

use crate::agentpoll_tls::{Field, authority, certificate};

/// Passes connections on to an agent, and remembers with which byte each began.
struct Door {
    port: u16,
    first: Arc<Mutex<Vec<u8>>>,
}

/// What TLS begins with.
const HANDSHAKE: u8 = 0x16;

impl Door {
    fn to(agent: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let first = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&first);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || pass_on(client, agent, &seen));
            }
        });
        Self { port, first }
    }

    fn seen(&self) -> Vec<u8> {
        self.first.lock().unwrap().clone()
    }
}

fn pass_on(mut client: TcpStream, agent: u16, seen: &Mutex<Vec<u8>>) {
    let mut byte = [0];
    if client.read_exact(&mut byte).is_err() {
        return;
    }
    seen.lock().unwrap().push(byte[0]);
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", agent)) else {
        return;
    };
    let (Ok(mut from), Ok(mut to)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    if server.write_all(&byte).is_ok() {
        let _ = std::io::copy(&mut client, &mut server);
        let _ = server.shutdown(Shutdown::Write);
    }
    let _ = back.join();
}

/// agentpoll watches web1 through the door.
fn run(field: &Field, door: &Door, host: &str) -> Running {
    let config = field.configure("", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if *line == format!("port = {}", field.port) {
            *line = format!(
                "port = {}\ninterval = \"1s\"\nstale_after = \"2s\"\n{host}",
                door.port
            );
        }
    }
    field.site.write("etc/agentpoll.toml", lines.join("\n"));
    Program::new("agentpoll")
        .args(["run", "-c"])
        .arg(config)
        .start()
}

/// The newest result for the host itself.
fn host_state(field: &Field) -> (u64, String) {
    let text = std::fs::read_to_string(field.site.path("var/results.json")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let results = whole
        .lines()
        .rev()
        .map(|line| -> serde_json::Value { serde_json::from_str(line).expect("JSON") });
    let mut own = results.filter(|result| result["service_description"].is_null());
    own.next().map_or((99, String::new()), |result| {
        let output = result["plugin_output"].as_str().unwrap_or_default();
        let code = result["return_code"].as_u64().unwrap_or(99);
        (code, output.to_owned())
    })
}

/// The host is told to be silent for this reason, and whoever listens has seen
/// TLS alone.
#[track_caller]
fn is_told(field: &Field, door: &Door, poll: &mut Running, reason: &str) {
    poll.wait_for_line(reason);
    let mut last = (99, String::new());
    wait_until("the host is told to be silent", || {
        last = host_state(field);
        last.0 == 1 && last.1.contains("no document of the agent")
    });
    assert!(last.1.contains(reason), "{last:?}");
    let seen = door.seen().len();
    wait_until("it is asked again and again", || {
        door.seen().len() > seen + 1
    });
    let seen = door.seen();
    assert!(seen.iter().all(|byte| *byte == HANDSHAKE), "{seen:?}");
}

#[test]
fn a_certificate_that_has_expired_or_is_somebody_elses_is_told_and_plain_text_is_not_tried() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    for (name, until, reason) in [
        ("expired", "-1 day", "Expired"),
        ("of another authority", "+1 day", "UnknownIssuer"),
    ] {
        for host in ["", "tls = \"certificate\""] {
            let field = Field::new();
            let agent = field.site.path("var/agent");
            let ours = field.site.path("etc/agents");
            let signs = match reason {
                "UnknownIssuer" => {
                    let theirs = field.site.path("etc/theirs");
                    std::fs::create_dir(&theirs).unwrap();
                    authority(&theirs, "ca");
                    theirs
                }
                _ => ours.clone(),
            };
            certificate(&agent, &signs, until);
            std::fs::copy(ours.join("ca.crt"), agent.join("server_ca.crt")).unwrap();
            let Some(_original) = field.original(&[]) else {
                return;
            };
            let door = Door::to(field.port);
            let mut poll = run(&field, &door, host);
            is_told(&field, &door, &mut poll, reason);
            // What was never believed is not remembered, and got no other one.
            assert!(
                !field.site.path("var/state/hosts/web1.json").exists(),
                "{name}"
            );
            assert!(poll.terminate().success());
        }
    }
}

#[test]
fn a_certificate_that_was_revoked_is_told_until_the_agent_is_forgotten() {
    let field = Field::new();
    let Some(mut original) = field.original(&[]) else {
        return;
    };
    let door = Door::to(field.port);
    let mut poll = run(&field, &door, "");
    original.wait_for_line("serving HTTPS");
    wait_until("the agent is heard", || host_state(&field).0 == 0);
    // Its first words were in plain text, as it must be; from here on none are.
    door.first.lock().unwrap().clear();
    let serial = field.serial();
    let serial = serial.trim().rsplit('=').next().unwrap().to_owned();
    Program::new("sitecert")
        .args(["revoke", &serial, "--directory"])
        .arg(field.site.path("etc/agents"))
        .run()
        .success();
    poll.hang_up();
    is_told(&field, &door, &mut poll, "Revoked");
    assert_eq!(field.serial().trim().rsplit('=').next().unwrap(), serial);
    assert!(poll.terminate().success());
}
