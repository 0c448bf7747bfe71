//! NATS: a leaf with a stream, and a hub with a stream that is fed from it. Both
//! sync always where the release knows how to; on a file system that syncs each
//! write, every release does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{ports, wait_for};
use serde_json::Value;

use super::{Outcome, ordinary};
use crate::notify::submit::SIZE;

const COUNT: u64 = 2000;
const IN_FLIGHT: u64 = 256;

/// On a file system that syncs each write, if `synced`.
pub(super) fn measure(directory: &Path, synced: bool) -> Outcome {
    let (hub, leaf, link) = (ports::free(), ports::free(), ports::free());
    let at = directory.display();
    let (sync, words) = match (syncs_always(), synced) {
        (_, true) => (
            "",
            "the file system mounted with the option sync: each write synced before it returns",
        ),
        (true, false) => (
            ", sync_interval: always",
            "sync_interval always on both: each message synced",
        ),
        (false, false) => (
            "",
            "this release cannot sync each message, only every two minutes: nothing of this is durable",
        ),
    };
    let hub_text = format!(
        "listen: 127.0.0.1:{hub}\nserver_name: hub\njetstream {{ store_dir: \"{at}/hub\", domain: hub{sync} }}\nleafnodes {{ listen: \"127.0.0.1:{link}\" }}\n"
    );
    let leaf_text = format!(
        "listen: 127.0.0.1:{leaf}\nserver_name: leaf\njetstream {{ store_dir: \"{at}/leaf\", domain: leaf{sync} }}\nleafnodes {{ remotes: [ {{ url: \"nats://127.0.0.1:{link}\" }} ] }}\n"
    );
    let mut running = Vec::new();
    for (name, text) in [("hub", hub_text), ("leaf", leaf_text)] {
        let file = directory.join(format!("{name}.conf"));
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        super::as_nobody(directory)?;
        running.push(ordinary("nats-server").arg("-c").arg(&file).start());
    }
    let mut sender = Client::connect(leaf);
    let mut receiver = Client::connect(hub);
    sender.until_ok(
        "$JS.API.STREAM.CREATE.N",
        r#"{"name":"N","subjects":["n.x"],"storage":"file"}"#,
    )?;
    receiver.until_ok(
        "$JS.API.STREAM.CREATE.M",
        r#"{"name":"M","storage":"file","sources":[{"name":"N","external":{"api":"$JS.leaf.API"}}]}"#,
    )?;
    let body = "x".repeat(SIZE);
    // The hub takes its time to find its source.
    sender.publish("n.x", &body);
    sender.next().ok_or("no answer")?;
    receiver.until_has(1)?;
    let began = Instant::now();
    let mut answered = 0;
    for sent in 0..COUNT {
        sender.publish("n.x", &body);
        if sent >= IN_FLIGHT {
            sender.next().ok_or("no answer")?;
            answered += 1;
        }
    }
    while answered < COUNT {
        sender.next().ok_or("no answer")?;
        answered += 1;
    }
    let stored = began.elapsed().as_secs_f64();
    receiver.until_has(COUNT + 1)?;
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    Ok((
        rate,
        format!(
            "{COUNT} of 2 KiB, JetStream leaf to hub, {words}; the leaf alone {:.0}/s",
            COUNT as f64 / stored
        ),
    ))
}

/// Whether this release knows `sync_interval: always`: 2.10 was the first.
fn syncs_always() -> bool {
    let output = std::process::Command::new("nats-server")
        .arg("--version")
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let version = text.trim().rsplit('v').next().unwrap_or("");
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(10))
}

/// As much of its protocol as this needs.
struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let mut stream = wait_for("nats-server answers", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
        let greeting = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB inbox 1\r\n";
        stream.write_all(greeting.as_bytes()).expect("it listens");
        Self { stream, answers }
    }

    fn publish(&mut self, subject: &str, body: &str) {
        let text = format!("PUB {subject} inbox {}\r\n{body}\r\n", body.len());
        self.stream.write_all(text.as_bytes()).expect("it listens");
    }

    /// The next message in our inbox.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first() {
                Some(&"PING") => self.stream.write_all(b"PONG\r\n").ok()?,
                Some(&("MSG" | "HMSG")) => {
                    let len: usize = words.last()?.parse().ok()?;
                    let head: usize = match words[0] {
                        "HMSG" => words[words.len() - 2].parse().ok()?,
                        _ => 0,
                    };
                    let mut body = vec![0; len + 2];
                    self.answers.read_exact(&mut body).ok()?;
                    return Some(serde_json::from_slice(&body[head..len]).unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, subject: &str, body: &str) -> Value {
        self.publish(subject, body);
        self.next().unwrap_or_default()
    }

    /// Waits until so many have come to the hub.
    fn until_has(&mut self, wanted: u64) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let info = self.ask("$JS.API.STREAM.INFO.M", "");
            let count = info["state"]["messages"].as_u64().unwrap_or(0);
            if count >= wanted {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(120) {
                return Err(format!("{count} of {wanted} at the hub after 120 s"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// JetStream may not be ready at once.
    fn until_ok(&mut self, subject: &str, body: &str) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let answer = self.ask(subject, body);
            if answer["config"].is_object() {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(20) {
                return Err(format!("{subject}: {answer}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
