//! What is submitted, and how.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a body.
pub(super) const SIZE: usize = 2048;

/// Bodies of notifications, made by writing another id into the same text.
pub(super) struct Bodies {
    text: String,
    id_at: usize,
}

impl Bodies {
    pub(super) fn new(size: usize) -> Self {
        Self::about("db1", size)
    }

    /// About a service of `host`.
    pub(super) fn about(host: &str, size: usize) -> Self {
        let id = id(0);
        let us = since_1970().as_micros();
        let head = format!("{{\"v\":1,\"id\":\"{id}");
        let rest = format!(
            "\",\"kind\":\"raw\",\"created_us\":{us},\"site\":\"remote1\",\"path\":[],\
             \"context\":{{\"WHAT\":\"SERVICE\",\"HOSTNAME\":\"{host}\",\"SERVICEDESC\":\"Disk /\",\"SERVICEOUTPUT\":\""
        );
        let fill = "x".repeat(size.saturating_sub(head.len() + rest.len() + 3));
        Self {
            id_at: head.len() - id.len(),
            text: format!("{head}{rest}{fill}\"}}}}"),
        }
    }

    /// The body number `number`; ids are of this moment.
    pub(super) fn make(&mut self, number: u64) -> (String, &str) {
        let id = id(number);
        self.text
            .replace_range(self.id_at..self.id_at + id.len(), &id);
        (id, &self.text)
    }
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
}

fn id(number: u64) -> String {
    let ms = since_1970().as_millis();
    format!(
        "{:08x}-{:04x}-7000-8000-{number:012x}",
        ms >> 16,
        ms & 0xffff
    )
}

/// A connection to the socket of a spool.
pub(super) struct Submitter {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
    line: String,
    request: Vec<u8>,
}

impl Submitter {
    pub(super) fn new(spool: &Path) -> Self {
        let stream = UnixStream::connect(spool.join("socket")).expect("no socket");
        let answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
        Self {
            stream,
            answers,
            line: String::new(),
            request: Vec::new(),
        }
    }

    /// Prepares a submission; [`Submitter::send`] sends what is prepared.
    pub(super) fn prepare(&mut self, number: u64, body: &str) {
        let crc = crc32c::crc32c(body.as_bytes());
        let line = format!("submit {number} {} {crc:08x}\n", body.len());
        self.request.extend_from_slice(line.as_bytes());
        self.request.extend_from_slice(body.as_bytes());
    }

    pub(super) fn send(&mut self) {
        self.stream.write_all(&self.request).expect("cannot submit");
        self.request.clear();
    }

    /// Waits for one answer.
    pub(super) fn take(&mut self) {
        self.line.clear();
        self.answers.read_line(&mut self.line).expect("an answer");
        assert!(self.line.starts_with("stored "), "{}", self.line);
    }

    /// Whether another answer is here already.
    fn has_more(&self) -> bool {
        self.answers.buffer().contains(&b'\n')
    }
}

/// Submits `count` notifications over one connection, with `in_flight` on their
/// way at a time, and waits for every answer.
pub(super) fn submit(spool: &Path, connection: u64, count: u64, in_flight: u64) {
    let mut submitter = Submitter::new(spool);
    let mut bodies = Bodies::new(SIZE);
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        while sent < count && sent - answered < in_flight {
            let (_, body) = bodies.make(connection << 32 | sent);
            submitter.prepare(sent, body);
            sent += 1;
        }
        submitter.send();
        submitter.take();
        answered += 1;
        while submitter.has_more() {
            submitter.take();
            answered += 1;
        }
    }
}

/// The same over many connections at once; together they submit `count`.
pub(super) fn submit_by_many(spool: &Path, connections: u64, count: u64, in_flight: u64) {
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let from = count * connection / connections;
            let to = count * (connection + 1) / connections;
            scope.spawn(move || submit(spool, connection, to - from, in_flight));
        }
    });
}

/// What any script could do: whole files in `tmp/`, renamed into `new/`; one
/// sync for all of them, because filling is not what is measured.
pub(super) fn drop_files(spool: &Path, count: u64) {
    let (tmp, new) = (spool.join("tmp"), spool.join("new"));
    for directory in [&tmp, &new] {
        std::fs::create_dir(directory).expect("cannot make a directory");
    }
    let mut bodies = Bodies::new(SIZE);
    for number in 0..count {
        let (id, body) = bodies.make(number);
        std::fs::write(tmp.join(&id), body).expect("cannot write");
        std::fs::rename(tmp.join(&id), new.join(&id)).expect("cannot rename");
    }
    rustix::fs::sync();
}
