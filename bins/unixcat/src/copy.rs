//! Both directions at once, in one thread that waits in poll(2).
//!
//! Neither direction waits for the other: a peer that answers a request only
//! after reading all of it, one that sends without reading, and a reader of
//! our output that is slow all get what is theirs, and the buffers do not grow.

use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use program::{Failure, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::cli::Args;
use crate::flow::Flow;
use crate::socket::Socket;

/// A pipe that poll(2) calls writable takes this much without blocking. It is
/// not made non-blocking, because others may hold the same open file.
const PIPE_ROOM: usize = 4096;

/// How much is spliced by one call.
const SPLICE_MOST: usize = 1 << 20;

/// How long the end of input may take to arrive after the peer has closed. A
/// server that answers and closes is often faster than the program that asks
/// is at exiting.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let socket = Socket::connect(args)?;
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    // Measured: from a pipe to a socket, splice(2) is no faster than copying,
    // and over TCP slower.
    let from_socket = match socket.can_splice() && is_pipe(stdout.as_fd()) {
        true => Flow::spliced(),
        false => Flow::new(),
    };
    let copy = Copy {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        input: Input::Flowing,
        to_socket: Flow::new(),
        from_socket,
        socket,
    };
    let address = &args.socket;
    let failed = |what: String| Err(Failure::new(Status::Failed, what));
    match copy.run(args.idle_timeout) {
        Ok(()) => Ok(Status::Done),
        Err(Error::ReaderGone) => Err(Failure::silent(Status::Failed)),
        Err(Error::Unsent) => failed(format!(
            "{address} closed the connection before it had all input"
        )),
        Err(Error::CutOff) => failed(format!(
            "{address} closed the connection without a word: the output may have been cut off"
        )),
        Err(Error::Idle(timeout)) => Err(Failure::new(
            Status::TryAgain,
            format!("{address}: nothing moved for {timeout:?}"),
        )),
        Err(Error::Socket(what, error)) => Err(Failure::caused(
            Status::Failed,
            format!("{what} {address}"),
            error,
        )),
        Err(Error::System(what, error)) => Err(Failure::caused(Status::Failed, what, error)),
    }
}

/// Has the kernel move what there is from a socket to a pipe.
fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    Ok(rustix::pipe::splice(
        from,
        None,
        to,
        None,
        SPLICE_MOST,
        flags,
    )?)
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

enum Error {
    /// Whoever read our standard output went away.
    ReaderGone,
    /// The peer closed and there was, or may have been, more for it.
    Unsent,
    /// The connection ended, and TLS does not vouch that this was the peer's end.
    CutOff,
    /// No progress for this long.
    Idle(Duration),
    /// The system, or TLS, refuses to go on with the socket.
    Socket(&'static str, io::Error),
    System(&'static str, io::Error),
}

impl Error {
    fn system(what: &'static str, error: impl Into<io::Error>) -> Self {
        Self::System(what, error.into())
    }
}

/// How far standard input has come.
///
/// ```text
/// Flowing ── end of input, all sent ──> Delivered
///    ├── peer closed, nothing waits ──> PeerClosed ── end of input ──> Delivered
///    │                                      └── more input, or GRACE over ──> Unsent
///    └── send refused ──> Unsent
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Flowing,
    PeerClosed { until: Instant },
    Delivered,
    Unsent,
}

struct Copy<'a> {
    stdin: BorrowedFd<'a>,
    stdout: BorrowedFd<'a>,
    socket: Socket,
    input: Input,
    to_socket: Flow,
    from_socket: Flow,
}

/// What poll(2) found.
struct Ready {
    stdin: bool,
    stdout: bool,
    socket: PollFlags,
}

impl Copy<'_> {
    fn run(mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let write_most = match is_pipe(self.stdout) {
            true => PIPE_ROOM,
            false => usize::MAX,
        };
        let mut last_move = Instant::now();
        loop {
            if self.from_socket.is_finished() {
                match self.input {
                    Input::Delivered => return Ok(()),
                    Input::Unsent => return Err(Error::Unsent),
                    Input::Flowing | Input::PeerClosed { .. } => {}
                }
            }
            let idle_at = timeout.map(|timeout| last_move + timeout);
            let ready = self.wait(idle_at)?;
            let sent = self.send(&ready)?;
            let received = self.receive(&ready, write_most)?;
            self.notice_close(&ready);
            let now = Instant::now();
            if sent || received {
                last_move = now;
            } else if let Some(timeout) = timeout
                && now >= last_move + timeout
            {
                return Err(Error::Idle(timeout));
            }
        }
    }

    fn wait(&mut self, idle_at: Option<Instant>) -> Result<Ready, Error> {
        let reads_stdin = match self.input {
            Input::Flowing => self.to_socket.wants_source(),
            Input::PeerClosed { .. } => true,
            Input::Delivered | Input::Unsent => false,
        };
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.from_socket.wants_source());
        let wants_room = self.to_socket.wants_sink() || self.socket.wants_write();
        events.set(PollFlags::OUT, wants_room);
        // A hang-up is reported whether asked for or not, and for ever: once it
        // is known, the socket is polled only for what is still to be read.
        let watches_socket = !events.is_empty() || self.input == Input::Flowing;

        // What TLS has read ahead does not wake poll(2).
        let has_pending = self.from_socket.wants_source() && self.socket.has_pending();

        let mut fds = Vec::with_capacity(3);
        if reads_stdin {
            fds.push(PollFd::from_borrowed_fd(self.stdin, PollFlags::IN));
        }
        if watches_socket {
            fds.push(PollFd::from_borrowed_fd(self.socket.as_fd(), events));
        }
        if self.from_socket.wants_sink() {
            fds.push(PollFd::from_borrowed_fd(self.stdout, PollFlags::OUT));
        }
        let grace = match self.input {
            Input::PeerClosed { until } => Some(until),
            _ => None,
        };
        let now = has_pending.then(Instant::now);
        let wake = [idle_at, grace, now].into_iter().flatten().min();
        let pause = wake.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            })
        });
        match poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("cannot poll", error)),
        }
        let mut found = fds.iter().map(PollFd::revents);
        let mut next = |asked: bool| {
            asked
                .then(|| found.next())
                .flatten()
                .unwrap_or(PollFlags::empty())
        };
        let mut ready = Ready {
            stdin: !next(reads_stdin).is_empty(),
            socket: next(watches_socket),
            stdout: !next(self.from_socket.wants_sink()).is_empty(),
        };
        ready.socket.set(
            PollFlags::IN,
            has_pending || ready.socket.contains(PollFlags::IN),
        );
        Ok(ready)
    }

    /// Standard input to the socket, and the half-close at its end.
    fn send(&mut self, ready: &Ready) -> Result<bool, Error> {
        let mut moved = false;
        if ready.stdin {
            let stdin = self.stdin;
            moved |= self
                .to_socket
                .fill(|room| Ok(rustix::io::read(stdin, room)?))
                .map_err(|error| Error::system("cannot read standard input", error))?;
        }
        if let Input::PeerClosed { until } = self.input {
            if self.to_socket.wants_sink() || Instant::now() >= until {
                self.give_up_input();
            } else if self.to_socket.is_finished() {
                self.input = Input::Delivered;
            }
            return Ok(moved);
        }
        if self.socket.wants_write() && ready.socket.contains(PollFlags::OUT) {
            let flushed = self.socket.flush();
            moved |= self.check_sent(flushed.map(|()| true))?;
        }
        if self.to_socket.wants_sink() {
            let socket = &mut self.socket;
            let sent = self.to_socket.drain(|bytes| socket.send(bytes));
            moved |= self.check_sent(sent)?;
        }
        if self.input == Input::Flowing && self.to_socket.is_finished() {
            match self.socket.finish() {
                Ok(()) => self.input = Input::Delivered,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.check_sent(Err(error))?;
                }
            }
        }
        Ok(moved)
    }

    /// That the peer does not want any more is no error yet: what it said
    /// before can still be read.
    fn check_sent(&mut self, sent: io::Result<bool>) -> Result<bool, Error> {
        match sent {
            Ok(moved) => Ok(moved),
            Err(error) => match error.kind() {
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                    self.give_up_input();
                    Ok(true)
                }
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(false),
                _ => Err(Error::Socket("cannot write to", error)),
            },
        }
    }

    /// The socket to standard output.
    fn receive(&mut self, ready: &Ready, write_most: usize) -> Result<bool, Error> {
        let mut moved = false;
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        if self.from_socket.wants_source() && ready.socket.intersects(readable) {
            let socket = &mut self.socket;
            match self.from_socket.fill(|room| socket.receive(room)) {
                Ok(some) => moved |= some,
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset => {
                        // Sent is not read: the peer closed over bytes of ours.
                        self.from_socket.end();
                        self.give_up_input();
                        moved = true;
                    }
                    ErrorKind::UnexpectedEof => return Err(Error::CutOff),
                    _ => return Err(Error::Socket("cannot read from", error)),
                },
            }
        }
        let written = if self.from_socket.is_spliced() && self.from_socket.wants_sink() {
            let (socket, stdout) = (self.socket.as_fd(), self.stdout);
            self.from_socket
                .splice(ready.stdout, || splice(socket, stdout))
        } else if ready.stdout {
            let stdout = self.stdout;
            self.from_socket.drain(|bytes| {
                let most = bytes.len().min(write_most);
                Ok(rustix::io::write(stdout, &bytes[..most])?)
            })
        } else {
            return Ok(moved);
        };
        match written {
            Ok(some) => Ok(moved | some),
            Err(error) => match error.kind() {
                ErrorKind::BrokenPipe => Err(Error::ReaderGone),
                // Only a spliced source tells here that it was cut off.
                ErrorKind::ConnectionReset => {
                    self.from_socket.abandon();
                    self.give_up_input();
                    Ok(true)
                }
                _ => Err(Error::system("cannot write standard output", error)),
            },
        }
    }

    /// A Unix socket tells when the peer has closed for good; over TCP that
    /// shows at the next send only.
    fn notice_close(&mut self, ready: &Ready) {
        let gone = ready.socket.intersects(PollFlags::HUP | PollFlags::ERR);
        if gone && self.input == Input::Flowing && !self.to_socket.wants_sink() {
            // At a terminal nobody sends an end of input after the answer.
            self.input = if std::io::stdin().is_terminal() {
                self.to_socket.abandon();
                Input::Delivered
            } else {
                let until = Instant::now() + GRACE;
                Input::PeerClosed { until }
            };
        }
    }

    fn give_up_input(&mut self) {
        self.to_socket.abandon();
        self.input = Input::Unsent;
    }
}
