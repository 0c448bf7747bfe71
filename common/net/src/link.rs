//! Drives a session over a stream.

use std::iter;
use std::time::{Duration, Instant};

use objects::NotificationId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::UnboundedReceiver;
use wire::{Cause, Event, Health, RefusalCode, Session, Window};

use crate::error::Error;

/// Bytes read at once, of a link where much comes.
const READ_MOST: usize = 64 << 10;
/// Bytes read at once, of one where little comes: of most there is only a
/// heartbeat now and then, and there may be a thousand.
const READ_LEAST: usize = 1 << 10;
/// Commands taken at once.
const COMMANDS: usize = 1024;
/// The last words of a connection, and the peer's close, are waited for this long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the owner of the journal tells a session; each is the method of
/// [`Session`] with the same name.
#[derive(Debug)]
pub enum Command {
    /// The answer to [`Event::PeerHello`].
    Resume(Vec<NotificationId>),
    /// Messages for the peer.
    Send(Messages),
    /// All messages up to this number are durable, but for those refused.
    Stored(u64),
    /// This message will never be taken.
    Refuse {
        /// Its number.
        seq: u64,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        text: String,
    },
    /// What the peer said about these is recorded.
    Settled(Vec<NotificationId>),
    /// The answer to [`Event::Ping`].
    Pong(Health),
    /// What the peer may have in doubt from now on.
    Grant(Window),
    /// End the connection in good order.
    GoAway {
        /// Why.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
}

impl Command {
    /// Tells `session`.
    pub fn obey(self, session: &mut Session, now: Instant) -> Result<(), wire::Error> {
        match self {
            Self::Resume(have) => session.resume(&have)?,
            Self::Send(messages) => {
                for (id, body) in messages.iter() {
                    session.send(id, body)?;
                }
            }
            Self::Stored(seq) => session.stored(seq)?,
            Self::Refuse { seq, code, text } => session.refuse(seq, code, &text)?,
            Self::Settled(ids) => ids.into_iter().for_each(|id| session.settled(id)),
            Self::Pong(health) => session.pong(health),
            Self::Grant(window) => session.grant(window),
            Self::GoAway {
                reason,
                retry_after,
            } => session.go_away(&reason, retry_after, now),
        }
        Ok(())
    }
}

/// Messages in their order, the bodies one behind the other in one piece of memory.
#[derive(Debug, Default)]
pub struct Messages {
    bodies: Vec<u8>,
    /// Of each its id, and where its body ends.
    ends: Vec<(NotificationId, usize)>,
}

impl Messages {
    /// Adds one at the end.
    pub fn push(&mut self, id: NotificationId, body: &[u8]) {
        self.bodies.extend_from_slice(body);
        self.ends.push((id, self.bodies.len()));
    }

    /// Makes room for bodies of so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bodies.reserve(bytes);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> usize {
        self.bodies.len()
    }

    /// Each with its body.
    pub fn iter(&self) -> impl Iterator<Item = (NotificationId, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(id, end)| {
            let body = &self.bodies[start..*end];
            start = *end;
            (*id, body)
        })
    }
}

/// Drives `session` over `stream` until either end closes it: `Ok` after a
/// GOAWAY, or the error that ended it.
///
/// `on_events` hears what happened since it was called last, in order, and must
/// not block: it hands on to the owner of the journal. Neither its channel nor `commands` needs a bound of its own,
/// because the windows of both ends bound what can be in them. When the senders
/// of `commands` are gone, the peer is told to go away.
pub async fn drive<S>(
    stream: S,
    session: Session,
    commands: UnboundedReceiver<Command>,
    on_events: impl FnMut(Vec<Event>),
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut link = Link {
        reader,
        writer,
        session,
        flushed: true,
    };
    let result = link.run(commands, on_events).await;
    if let Err(Error::Session(error)) = &result
        && error.cause() == Cause::Stranger
    {
        // Nothing is said to a stranger, nor waited for.
        return result;
    }
    // The cause is told, not what becomes of the goodbye.
    let _ = tokio::time::timeout(LAST_WORDS, link.last_words()).await;
    result
}

struct Link<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    session: Session,
    /// A TLS stream may take bytes without passing them on.
    flushed: bool,
}

impl<S: AsyncRead + AsyncWrite> Link<S> {
    async fn run(
        &mut self,
        mut commands: UnboundedReceiver<Command>,
        mut on_events: impl FnMut(Vec<Event>),
    ) -> Result<(), Error> {
        let mut input = Input::default();
        let mut waiting = Vec::new();
        let mut has_owner = true;
        let mut armed = now();
        let timer = tokio::time::sleep_until(armed.into());
        tokio::pin!(timer);
        loop {
            let events: Vec<Event> = iter::from_fn(|| self.session.poll_event()).collect();
            if !events.is_empty() {
                on_events(events);
            }
            if self.session.is_finished() {
                return Ok(());
            }
            // Most deadlines only move away: the timer is let fire too early
            // instead of being set again for every frame.
            if let Some(deadline) = self.session.poll_timeout()
                && deadline < armed
            {
                armed = deadline;
                timer.as_mut().reset(deadline.into());
            }
            let output = self.session.poll_output();
            let (idle, flushed) = (output.is_empty(), self.flushed);
            // All branches at once: reading never waits for writing.
            tokio::select! {
                len = self.reader.read(&mut input.bytes) => match len {
                    Ok(0) => self.session.handle_end()?,
                    Ok(len) => {
                        self.session.handle_input(&input.bytes[..len], now())?;
                        input.read(len);
                    }
                    // TLS calls it so when the peer was killed or cut off.
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        self.session.handle_end()?;
                    }
                    Err(error) => return Err(Error::Stream(error)),
                },
                written = write_some(&mut self.writer, output), if !idle || !flushed => match written {
                    Ok(len) => {
                        self.session.output_written(len);
                        self.flushed = len == 0;
                    }
                    // The peer has closed, which the next read would say, too.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                        self.session.handle_end()?;
                    }
                    Err(error) => return Err(Error::Stream(error)),
                },
                count = commands.recv_many(&mut waiting, COMMANDS), if has_owner => {
                    has_owner = count > 0;
                    for command in waiting.drain(..) {
                        command.obey(&mut self.session, now())?;
                    }
                    if !has_owner {
                        self.session.go_away("stopping", Duration::ZERO, now());
                    }
                }
                () = timer.as_mut() => {
                    let now = now();
                    self.session.handle_timeout(now)?;
                    input.rest();
                    // Without a deadline the session is finished.
                    armed = self.session.poll_timeout().unwrap_or(now);
                    timer.as_mut().reset(armed.into());
                }
            }
        }
    }

    /// Writes what is left (an ERROR, the last ACK), closes, and reads until
    /// the peer closes too: closing with input unread would make the kernel
    /// reset the connection, and the peer lose those last words.
    async fn last_words(&mut self) -> std::io::Result<()> {
        loop {
            let output = self.session.poll_output();
            if output.is_empty() {
                break;
            }
            let len = self.writer.write(output).await?;
            self.session.output_written(len);
        }
        self.writer.shutdown().await?;
        let mut rest = [0; 4096];
        while self.reader.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

/// Where bytes are read to. It grows while much comes.
struct Input {
    bytes: Vec<u8>,
    /// The longest read since the last rest.
    longest: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            bytes: vec![0; READ_LEAST],
            longest: 0,
        }
    }
}

impl Input {
    /// So many bytes were read.
    fn read(&mut self, len: usize) {
        self.longest = self.longest.max(len);
        if len == self.bytes.len() && len < READ_MOST {
            self.bytes = vec![0; 4 * len];
        }
    }

    /// Some time has passed.
    fn rest(&mut self) {
        if self.longest <= READ_LEAST && self.bytes.len() > READ_LEAST {
            *self = Self::default();
        }
        self.longest = 0;
    }
}

/// Writes as much as there is room for; flushes if there is nothing to write.
/// Nothing is lost if it is dropped before it is done.
async fn write_some(
    writer: &mut (impl AsyncWrite + Unpin),
    output: &[u8],
) -> std::io::Result<usize> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write(output).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        len => Ok(len),
    }
}

/// The runtime's clock, which tests can move.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
