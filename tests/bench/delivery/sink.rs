//! A mail server that takes everything, and notes when it said so.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The header that says which notification a mail is about.
const ID: &str = "X-Sitewire-Id:";

/// When each notification was taken first, by its id.
type Taken = Arc<Mutex<HashMap<String, Instant>>>;

pub(super) struct Sink {
    pub(super) port: u16,
    taken: Taken,
}

impl Sink {
    /// One that thinks so long before it takes a mail.
    pub(super) fn start(pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let taken = Taken::default();
        let all = Arc::clone(&taken);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(stream, pause, &all));
            }
        });
        Self { port, taken }
    }

    pub(super) fn taken(&self, id: &str) -> Option<Instant> {
        let taken = self.taken.lock().expect("nobody panics with it");
        taken.get(id).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.taken.lock().expect("nobody panics with it").len()
    }
}

fn serve(stream: TcpStream, pause: Duration, taken: &Taken) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut out = stream.try_clone().ok()?;
    let mut say = move |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).ok();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    say("220 sink ESMTP")?;
    while let Some(line) = lines.next() {
        match line.get(..4).unwrap_or("") {
            "EHLO" => say("250-sink\r\n250 8BITMIME")?,
            "DATA" => {
                say("354 go on")?;
                let mut id = String::new();
                for line in lines.by_ref().take_while(|line| line != ".") {
                    if let Some(value) = line.strip_prefix(ID) {
                        value.trim().clone_into(&mut id);
                    }
                }
                std::thread::sleep(pause);
                let at = Instant::now();
                let mut taken = taken.lock().expect("nobody panics with it");
                taken.entry(id).or_insert(at);
                drop(taken);
                say("250 taken")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 ok")?,
        }
    }
    None
}

/// A client that keeps its connection, as a lane does.
pub(super) struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn new(sink: &Sink) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", sink.port)).expect("the sink is there");
        stream.set_nodelay(true).expect("own socket");
        let answers = BufReader::new(stream.try_clone().expect("a second descriptor"));
        let mut client = Self { stream, answers };
        client.take();
        client.say("EHLO bench");
        client
    }

    pub(super) fn send(&mut self, id: &str, text: &str) {
        self.say("MAIL FROM:<a@example.org>");
        self.say("RCPT TO:<b@example.org>");
        self.say("DATA");
        self.say(&format!("{ID} {id}\r\n\r\n{text}\r\n."));
    }

    fn say(&mut self, line: &str) {
        let line = format!("{line}\r\n");
        self.stream.write_all(line.as_bytes()).expect("it listens");
        self.take();
    }

    fn take(&mut self) {
        let mut line = String::new();
        loop {
            line.clear();
            self.answers.read_line(&mut line).expect("an answer");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}
