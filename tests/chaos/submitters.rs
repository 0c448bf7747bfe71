//! Those who submit while everything around them breaks, and who remember what
//! they were promised.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::judge::Accepted;

use crate::dice::Dice;

/// What was promised so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promises(Arc<Mutex<Vec<Accepted>>>);

impl Promises {
    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().expect("nobody panics with it").len()
    }

    /// Drops a notification as a script would that does not care whether it
    /// survives a power loss.
    pub(crate) fn drop_unsynced(&self, tmp: &Path, new: &Path, number: u64) -> std::io::Result<()> {
        let object = format!("host{}/service", number % 100);
        let (id, body) = body(&object, number, "", "");
        std::fs::write(tmp.join(&id), &body)?;
        std::fs::rename(tmp.join(&id), new.join(&id))?;
        let crc = crc32c::crc32c(body.as_bytes());
        self.add(Accepted {
            id,
            object,
            number,
            crc,
        });
        Ok(())
    }

    /// Takes the promises of others, too.
    pub(crate) fn join(&self, others: &Self) {
        others.accepted().into_iter().for_each(|one| self.add(one));
    }

    fn add(&self, accepted: Accepted) {
        self.0.lock().expect("nobody panics with it").push(accepted);
    }
}

/// Threads that submit until they are told to stop.
pub(crate) struct Submitters {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    pub(crate) promises: Promises,
}

/// How they go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) threads: u64,
    /// Between two submissions of a thread.
    pub(crate) pause: Duration,
    /// Length of the longest text.
    pub(crate) longest: u64,
    /// Whether the drop box is used where no daemon answers.
    pub(crate) drops: bool,
    /// What their hosts are called, with a number behind.
    pub(crate) hosts: &'static str,
    /// More of the context, as JSON, each member with a comma behind.
    pub(crate) context: &'static str,
}

/// Submitters at an ordinary pace.
pub(crate) const ORDINARY: Manner = Manner {
    threads: 3,
    pause: Duration::from_millis(10),
    longest: 500,
    drops: true,
    hosts: "host",
    context: "",
};

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Submitters {
    pub(crate) fn start(spool: &Path, manner: Manner, dice: &mut Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let promises = Promises::default();
        let threads = (0..manner.threads).map(|thread| {
            let submitter = Submitter {
                spool: spool.to_owned(),
                connection: None,
                dice: Dice::new(dice.below(u64::MAX)),
                stop: Arc::clone(&stop),
                drops: manner.drops,
            };
            let promises = promises.clone();
            std::thread::spawn(move || submitter.run(thread, manner, &promises))
        });
        Self {
            threads: threads.collect(),
            stop,
            promises,
        }
    }

    /// Waits for the last answers.
    pub(crate) fn finish(self) -> Promises {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a submitter does not panic");
        }
        self.promises
    }
}

struct Submitter {
    spool: PathBuf,
    connection: Option<(UnixStream, BufReader<UnixStream>)>,
    dice: Dice,
    stop: Arc<AtomicBool>,
    drops: bool,
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Submitter {
    fn run(mut self, thread: u64, manner: Manner, promises: &Promises) {
        let mut numbers = [0_u64; 5];
        while !self.stop.load(Ordering::Relaxed) {
            let service = self.dice.below(numbers.len() as u64);
            let number = &mut numbers[service as usize];
            *number += 1;
            let host = format!("{}{thread}", manner.hosts);
            let (object, number) = (format!("{host}/service {service}"), *number);
            let text = "x".repeat(self.dice.below(manner.longest) as usize);
            let (id, body) = body(&object, number, &text, manner.context);
            // The next one of an object comes when this one was accepted: that
            // is the order that must be kept.
            if !self.submit_until_accepted(&id, &body) {
                return;
            }
            promises.add(Accepted {
                id,
                object,
                number,
                crc: crc32c::crc32c(body.as_bytes()),
            });
            std::thread::sleep(manner.pause);
        }
    }

    /// `false` if it was told to stop before anybody accepted it.
    fn submit_until_accepted(&mut self, id: &str, body: &str) -> bool {
        loop {
            if self.ask(body) || (self.drops && drop_file(&self.spool, id, body).is_ok()) {
                return true;
            }
            // Nobody takes it: what is not accepted may be given up.
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the daemon says that it has it.
    fn ask(&mut self, body: &str) -> bool {
        let answered = self.try_ask(body);
        if answered.is_none() {
            self.connection = None;
        }
        answered.unwrap_or(false)
    }

    fn try_ask(&mut self, body: &str) -> Option<bool> {
        if self.connection.is_none() {
            let stream = UnixStream::connect(self.spool.join("socket")).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            stream.set_write_timeout(Some(PATIENCE)).ok()?;
            let answers = BufReader::new(stream.try_clone().ok()?);
            self.connection = Some((stream, answers));
        }
        let (stream, answers) = self.connection.as_mut()?;
        let crc = crc32c::crc32c(body.as_bytes());
        let request = format!("submit 1 {} {crc:08x}\n{body}", body.len());
        stream.write_all(request.as_bytes()).ok()?;
        let mut line = String::new();
        answers.read_line(&mut line).ok()?;
        if !line.ends_with('\n') {
            return None;
        }
        Some(line.starts_with("stored ") || line.starts_with("known "))
    }
}

/// What a script does that has no daemon: write, sync, rename, sync.
fn drop_file(spool: &Path, id: &str, body: &str) -> std::io::Result<()> {
    let temporary = spool.join("tmp").join(id);
    let result = write_and_rename(&temporary, &spool.join("new"), id, body);
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

fn write_and_rename(temporary: &Path, new: &Path, id: &str, body: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create(temporary)?;
    file.write_all(body.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, new.join(id))?;
    std::fs::File::open(new)?.sync_all()
}

/// Id and body of a notification.
fn body(object: &str, number: u64, text: &str, context: &str) -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970");
    let (ms, count) = (now.as_millis(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let id = format!(
        "{:08x}-{:04x}-7000-8000-{count:012x}",
        (ms >> 16) & 0xffff_ffff,
        ms & 0xffff
    );
    let (host, service) = object.split_once('/').expect("made so");
    let body = format!(
        "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":{},\"site\":\"remote1\",\"path\":[],\
         \"context\":{{{context}\"HOSTNAME\":\"{host}\",\"SERVICEDESC\":\"{service}\",\"NUMBER\":\"{number}\",\"SERVICEOUTPUT\":\"{text}\"}}}}",
        now.as_micros()
    );
    (id, body)
}
