//! The socket in the spool through which submitters share the journal's syncs.
//! What is said there: `spool::submission`. What is answered: `owner::submitters`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use net::{Address, Listener, Stream};
use objects::SiteId;
use program::exit::chain;
use spool::submission::{Answer, SOCKET, Submission, SubmissionError, SubmissionReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::flood::Flood;
use crate::owner::Request;
use crate::route::{Incoming, Refusal};

/// Most connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 256;
/// Most submissions of one connection, and their bytes, that are not answered.
const UNANSWERED: usize = 1024;
const UNANSWERED_BYTES: usize = 8 << 20;
/// With so many bytes of all connections together, a connection that has something
/// unanswered is not read: more would only wait in memory, and no sync is better
/// for being shared by more.
const ALL_UNANSWERED_BYTES: usize = 1 << 20;
/// While so many bytes of answers are not read, no submission is.
const UNREAD: usize = 64 * 1024;
/// What is read at once.
const READ: usize = 64 * 1024;
/// Who does not read its answers, or stops in the middle of a submission, for
/// this long is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// One submission, as it is to be stored; it has been looked at already.
pub(crate) struct Submitted {
    /// The submitter's number for it.
    pub(crate) number: u64,
    /// How long its body was.
    pub(crate) len: usize,
    pub(crate) read: Result<Incoming, Refusal>,
}

impl Submitted {
    /// What site `own` makes of it.
    pub(crate) fn new(Submission { number, body }: Submission<'_>, own: &SiteId) -> Self {
        Self {
            number,
            len: body.len(),
            read: Incoming::read(body, own),
        }
    }
}

/// The answer to one submission.
pub(crate) struct Reply {
    /// The submitter's number for it.
    pub(crate) number: u64,
    /// How long its body was.
    pub(crate) len: usize,
    pub(crate) answer: Answer,
}

/// Makes the socket. Without it submitters use the drop box, so that it cannot
/// be made is no reason to end.
pub(crate) async fn bind(spool: &Path) -> Option<Listener> {
    let address = Address::Unix(spool.join(SOCKET));
    match address.listen().await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!("submitters have to use the drop box: {}", chain(&error));
            None
        }
    }
}

/// Serves submitters until the daemon stops.
pub(crate) async fn listen(
    listener: Listener,
    site: SiteId,
    owner: Sender<Request>,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let complaints = Arc::new(Mutex::new(Flood::default()));
    let unanswered = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (site, owner) = (site.clone(), owner.clone());
                let mut submitter = Submitter::new(stream, site, owner, Arc::clone(&unanswered));
                let complaints = Arc::clone(&complaints);
                let mut stopping = stopping.clone();
                tokio::spawn(async move {
                    let _place = place;
                    tokio::select! {
                        biased;
                        why = submitter.serve() => if let Err(why) = why {
                            complain(&complaints, &why);
                        },
                        // Who waits for an answer finds the socket gone, and
                        // has its drop box.
                        _ = stopping.wait_for(|stopping| *stopping) => {}
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: it will pass.
                complain(&complaints, &format!("cannot be taken: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn complain(complaints: &Mutex<Flood>, why: &str) {
    let mut flood = complaints.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(more) = flood.allows(Instant::now()) {
        tracing::warn!("connection of a submitter: {why}{more}");
    }
}

/// One connection.
struct Submitter {
    reading: ReadHalf<Stream>,
    writing: WriteHalf<Stream>,
    reader: SubmissionReader,
    /// Our own.
    site: SiteId,
    owner: Sender<Request>,
    reply: UnboundedSender<Vec<Reply>>,
    replies: UnboundedReceiver<Vec<Reply>>,
    /// What the owner has not answered: how many, and their bytes.
    unanswered: usize,
    unanswered_bytes: usize,
    /// The bytes of all connections together.
    all_unanswered: Arc<AtomicUsize>,
    /// Answers that are not written yet.
    out: Vec<u8>,
}

impl Submitter {
    fn new(
        stream: Stream,
        site: SiteId,
        owner: Sender<Request>,
        all_unanswered: Arc<AtomicUsize>,
    ) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        let (reply, replies) = unbounded_channel();
        Self {
            reading,
            writing,
            reader: SubmissionReader::default(),
            site,
            owner,
            reply,
            replies,
            unanswered: 0,
            unanswered_bytes: 0,
            all_unanswered,
            out: Vec::new(),
        }
    }

    /// Serves it to its end; an error is a fault of the submitter, in words.
    async fn serve(&mut self) -> Result<(), String> {
        let mut ended = false;
        while !ended || self.unanswered > 0 || !self.out.is_empty() {
            let has_room = !ended
                && self.unanswered < UNANSWERED
                && self.unanswered_bytes < UNANSWERED_BYTES
                && (self.unanswered == 0
                    || self.all_unanswered.load(Ordering::Relaxed) < ALL_UNANSWERED_BYTES)
                && self.out.len() < UNREAD;
            let in_between = self.reader.is_between();
            // Reading never waits for writing: who writes much before it reads
            // the first answer would wait for us, and we for it.
            tokio::select! {
                replies = self.replies.recv() => {
                    self.answer(replies.expect("this side keeps a sender"));
                }
                written = self.writing.write(&self.out), if !self.out.is_empty() => match written {
                    Ok(len) => {
                        self.out.drain(..len);
                    }
                    // It does not want to know.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.out.clear(),
                    Err(error) => return Err(error.to_string()),
                },
                read = self.reading.read_buf(self.reader.room(READ)), if has_room => match read {
                    Ok(0) => ended = true,
                    Ok(_) => self.take_submissions().await?,
                    Err(error) => return Err(error.to_string()),
                },
                () = tokio::time::sleep(PATIENCE), if has_room && !in_between => {
                    return Err("it stopped in the middle of a submission".to_owned());
                }
                () = tokio::time::sleep(PATIENCE), if !self.out.is_empty() => {
                    return Err("it does not read its answers".to_owned());
                }
            }
        }
        match self.reader.is_between() {
            true => Ok(()),
            false => Err("it closed in the middle of a submission".to_owned()),
        }
    }

    async fn take_submissions(&mut self) -> Result<(), String> {
        let mut submissions = Vec::new();
        let mut wrong = None;
        while let Some(submission) = self.reader.next() {
            match submission {
                Ok(submission) => submissions.push(Submitted::new(submission, &self.site)),
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        if !submissions.is_empty() {
            self.hand_over(submissions);
        }
        match wrong {
            None => Ok(()),
            Some(error) => {
                self.tell_off(&error).await;
                Err(error.to_string())
            }
        }
    }

    fn hand_over(&mut self, submissions: Vec<Submitted>) {
        self.unanswered += submissions.len();
        let bytes = submissions.iter().map(|s| s.len).sum::<usize>();
        self.unanswered_bytes += bytes;
        self.all_unanswered.fetch_add(bytes, Ordering::Relaxed);
        // The owner outlives this but for the last moments of a stop.
        let _ = self.owner.send(Request::Submitted {
            submissions,
            reply: self.reply.clone(),
        });
    }

    fn answer(&mut self, replies: Vec<Reply>) {
        for reply in replies {
            reply.answer.print(reply.number, &mut self.out);
            self.unanswered -= 1;
            self.unanswered_bytes -= reply.len;
            self.all_unanswered.fetch_sub(reply.len, Ordering::Relaxed);
        }
    }

    /// The last word to somebody whose bytes are no submission, if it reads it.
    async fn tell_off(&mut self, error: &SubmissionError) {
        let number = error.number().unwrap_or(0);
        Answer::Refused(error.to_string()).print(number, &mut self.out);
        let _ = timeout(PATIENCE, self.writing.write_all(&self.out)).await;
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        // Nobody waits for those any more.
        self.all_unanswered
            .fetch_sub(self.unanswered_bytes, Ordering::Relaxed);
    }
}
