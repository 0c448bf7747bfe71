//! The socket in the spool through which people hold, release, drop and retry
//! notifications. What is said there: `spool::control`. What is done:
//! `owner::control`.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use net::{Address, Listener, Stream};
use program::exit::chain;
use spool::control::{Action, Answer, LineReader, MAX_QUESTION, Question, SOCKET};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::flood::Flood;
use crate::owner::Request;
use crate::report::Report;

/// Most connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 16;
/// What is read at once.
const READ: usize = 64 * 1024;
/// Who says nothing for this long, or does not read its answers, is not waited
/// for any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// A question that the owner does not answer for this long waits for the disk.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);

/// Makes the socket. Without it the daemon does its work as before.
pub(crate) async fn bind(spool: &Path) -> Option<Listener> {
    let address = Address::Unix(spool.join(SOCKET));
    match address.listen().await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!("nobody can ask for anything: {}", chain(&error));
            None
        }
    }
}

/// Those who do what is asked for.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) owner: Sender<Request>,
    pub(crate) reporter: Sender<Report>,
    /// Wakes links that wait before they connect again.
    pub(crate) hurry: Arc<Notify>,
}

impl Control {
    /// Serves questions until the daemon stops.
    pub(crate) async fn listen(self, listener: Listener, mut stopping: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut complaints = Flood::default();
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accepted => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            let admitted = accepted
                .map_err(|error| error.to_string())
                .and_then(|(stream, _)| admit(stream));
            match admitted {
                Ok(stream) => {
                    let control = self.clone();
                    let mut stopping = stopping.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        tokio::select! {
                            biased;
                            () = control.serve(stream) => {}
                            _ = stopping.wait_for(|stopping| *stopping) => {}
                        }
                    });
                }
                Err(why) => {
                    if let Some(more) = complaints.allows(Instant::now()) {
                        tracing::warn!("control socket: {why}{more}");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve(&self, mut stream: UnixStream) {
        let mut reader = LineReader::new(MAX_QUESTION);
        let mut bytes = vec![0; READ];
        loop {
            let answer = match reader.next() {
                Some(Ok(line)) => match Question::parse(&line) {
                    Ok(question) => self.answer(question).await,
                    Err(why) => refuse(why),
                },
                Some(Err(error)) => {
                    let _ = say(&mut stream, &refuse(error.to_string())).await;
                    return;
                }
                None => match timeout(PATIENCE, stream.read(&mut bytes)).await {
                    Ok(Ok(len)) if len > 0 => {
                        reader.push(&bytes[..len]);
                        continue;
                    }
                    _ => return,
                },
            };
            if !say(&mut stream, &answer).await {
                return;
            }
        }
    }

    async fn answer(&self, question: Question) -> Answer {
        let (to, answer) = oneshot::channel();
        match &question {
            Question::State => {
                let _ = self.reporter.send(Report::Tell(to));
            }
            Question::Reload(hand) => return reload(hand),
            _ => {
                if let Question::Flush(_)
                | Question::Act {
                    action: Action::Retry,
                    ..
                } = question
                {
                    self.hurry.notify_waiters();
                }
                let _ = self.owner.send(Request::Question { question, to });
            }
        }
        match timeout(OWNER_PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => later("stopping"),
            Err(_) => later("the journal does not answer; what was asked for may still be done"),
        }
    }
}

/// Only the user of this daemon, and root.
fn admit(stream: Stream) -> Result<UnixStream, String> {
    let Stream::Unix(stream) = stream else {
        return Err("not a Unix socket".to_owned());
    };
    let who = stream.peer_cred().map_err(|error| error.to_string())?.uid();
    match who == 0 || who == rustix::process::geteuid().as_raw() {
        true => Ok(stream),
        false => Err(format!("user {who} is not listened to")),
    }
}

fn refuse(why: String) -> Answer {
    Answer::Error { why, again: false }
}

fn later(why: &str) -> Answer {
    Answer::Error {
        why: why.to_owned(),
        again: true,
    }
}

/// As the signal does it, which has one owner.
fn reload(hand: &spool::control::Hand) -> Answer {
    tracing::info!("reload {hand}");
    let own = rustix::process::getpid();
    match rustix::process::kill_process(own, rustix::process::Signal::HUP) {
        Ok(()) => Answer::Done {
            done: 1,
            not: Vec::new(),
        },
        Err(error) => refuse(error.to_string()),
    }
}

/// `false` if it is not heard.
async fn say(stream: &mut UnixStream, answer: &Answer) -> bool {
    let line = answer.print() + "\n";
    matches!(
        timeout(PATIENCE, stream.write_all(line.as_bytes())).await,
        Ok(Ok(()))
    )
}
