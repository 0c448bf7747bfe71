//! A server that gives recorded answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

/// Answers each connection with the next of its answers and closes.
pub(crate) struct Server {
    directory: TempDir,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    pub(crate) fn start(answers: &[&[u8]]) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("live")).unwrap();
        let answers: Vec<Vec<u8>> = answers.iter().map(|a| a.to_vec()).collect();
        let thread = std::thread::spawn(move || {
            answers
                .iter()
                .map(|answer| serve(listener.accept().unwrap().0, answer))
                .collect()
        });
        Self { directory, thread }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("live")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn lq(&self, arguments: &[&str]) -> Output {
        let mut command = lq(&self.socket());
        command.args(arguments).output().unwrap()
    }

    /// What was asked, one request per connection.
    pub(crate) fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

/// A run of lq that asks at `socket`.
pub(crate) fn lq(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lq"));
    command
        .arg("-s")
        .arg(socket)
        .env("TZ", "UTC")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

/// A framed answer.
pub(crate) fn answer(body: &str) -> Vec<u8> {
    format!("200 {:11}\n{body}", body.len()).into_bytes()
}

/// Reads a query up to its blank line, or commands up to their end.
pub(crate) fn serve(mut stream: impl Read + Write, answer: &[u8]) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while request.starts_with(b"COMMAND") || !request.ends_with(b"\n\n") {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    stream.write_all(answer).unwrap();
    String::from_utf8(request).unwrap()
}

/// Exit status, standard output, standard error.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

pub(crate) fn ok(stdout: &str) -> (i32, String, String) {
    (0, stdout.to_owned(), String::new())
}

pub(crate) fn failed(code: i32, stderr: &str) -> (i32, String, String) {
    (code, String::new(), stderr.to_owned())
}
