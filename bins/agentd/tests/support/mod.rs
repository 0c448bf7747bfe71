//! A running agentd, and a client that says exactly what it is told to.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod authority;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory with the files of an agent, whose `config.ini` names it as `@`.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new(config: &str) -> Self {
        let home = Self(TempDir::new().unwrap());
        home.configure(config);
        home
    }

    /// With the files of Auto-TLS in this directory, a port that is free, and
    /// no inventory.
    pub(crate) fn configure(&self, config: &str) {
        let before = "[default]\naddress = 127.0.0.1\nport = 0\ncustomchecks =\n\
             autossl-csr-file = @/agent.csr\nautossl-crt-file = @/agent.crt\n\
             autossl-key-file = @/agent.key\nautossl-ca-file = @/server_ca.crt\n\
             [packagemanager]\nenabled = False\n[oitc]\nauthfile = @/auth.json\n[default]\n";
        self.put("config.ini", &format!("{before}{config}"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let text = text.replace('@', self.0.path().to_str().unwrap());
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentd"));
        command
            .args(["--disable-logfile", "-v", "-c"])
            .arg(self.path("config.ini"));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn start(self) -> Agent {
        let command = self.command();
        Agent::start(self, command)
    }
}

/// A process that is killed when it is dropped.
pub(crate) struct Agent {
    pub(crate) home: Home,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Agent {
    pub(crate) fn start(home: Home, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let all = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut all = all.lock().unwrap();
                all.push_str(&line);
                all.push('\n');
            }
        });
        Self { home, child, said }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(text, |said| said.contains(text));
    }

    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.said()) {
            assert!(
                Instant::now() < deadline,
                "{what} does not come: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens: the last it has said of it.
    pub(crate) fn port(&self) -> u16 {
        self.wait_for("listening on");
        let said = self.said();
        let rest = said.rsplit("listening on 127.0.0.1:").next().unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Over HTTP.
    pub(crate) fn ask(&self, request: &Request<'_>) -> Answer {
        exchange(self.connect(), request).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&Request::get(path))
    }

    /// Until the first document is there.
    pub(crate) fn document(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/").json();
            if answer != serde_json::json!({}) {
                return answer;
            }
            assert!(Instant::now() < deadline, "there is no document");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it and gives back its files.
    pub(crate) fn end(mut self) -> Home {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0), "{}", self.said());
        let empty = Home(TempDir::new().unwrap());
        std::mem::replace(&mut self.home, empty)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            ..Self::default()
        }
    }

    pub(crate) fn post(path: &'a str, body: &'a str) -> Self {
        Self {
            method: "POST",
            path,
            body,
            ..Self::default()
        }
    }

    pub(crate) fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// One request on a connection of its own.
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    request: &Request<'_>,
) -> std::io::Result<Answer> {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
        request.method, request.path
    );
    for (name, value) in request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !request.body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    text.push_str("\r\n");
    text.push_str(request.body);
    stream.write_all(text.as_bytes())?;
    stream.flush()?;
    read_answer(stream)
}

pub(crate) fn read_answer(mut stream: impl Read) -> std::io::Result<Answer> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all)
        && all.is_empty()
    {
        return Err(error);
    }
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer {
        status,
        head,
        body: all.split_off(end + 4),
    })
}
