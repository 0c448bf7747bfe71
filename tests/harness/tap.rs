//! A socket in front of a server's, which sees what goes through.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A socket that connects its clients with a server one to one, and remembers
/// what they asked and how many of them there were.
pub struct Tap {
    socket: PathBuf,
    seen: Arc<Mutex<Seen>>,
    _directory: tempfile::TempDir,
}

#[derive(Default)]
struct Seen {
    /// What each client has sent.
    requests: Vec<Vec<u8>>,
    /// The client's end of each connection.
    clients: Vec<UnixStream>,
    most: usize,
}

impl Tap {
    /// Listens, and passes on to `server`.
    pub fn new(server: &Path) -> Self {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let socket = directory.path().join("tap");
        let listener = UnixListener::bind(&socket).expect("cannot listen");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (to, shared) = (server.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("cannot accept");
                let place = {
                    let mut seen = shared.lock().expect("nobody panics with it");
                    seen.clients.push(client.try_clone().expect("a descriptor"));
                    seen.requests.push(Vec::new());
                    // Who closed before this one connected is known to have.
                    let open = seen.open();
                    seen.most = seen.most.max(open);
                    seen.requests.len() - 1
                };
                let server = UnixStream::connect(&to).expect("the server listens");
                pass_on(&client, &server, place, &shared);
            }
        });
        Self {
            socket,
            seen,
            _directory: directory,
        }
    }

    /// Where clients connect.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What each client has sent, from the first on.
    pub fn requests(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("nobody panics with it");
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        seen.requests.iter().map(text).collect()
    }

    /// How many clients are connected now.
    pub fn open(&self) -> usize {
        self.seen.lock().expect("nobody panics with it").open()
    }

    /// The most clients that were ever connected at the same time.
    pub fn most(&self) -> usize {
        self.seen.lock().expect("nobody panics with it").most
    }
}

impl Seen {
    /// The kernel knows who has closed, before any thread of ours looks.
    fn open(&self) -> usize {
        let mut fds: Vec<_> = self
            .clients
            .iter()
            .map(|client| PollFd::new(client, PollFlags::empty()))
            .collect();
        poll(&mut fds, Some(&Timespec::default())).expect("cannot poll");
        fds.iter()
            .filter(|fd| !fd.revents().contains(PollFlags::HUP))
            .count()
    }
}

fn pass_on(client: &UnixStream, server: &UnixStream, place: usize, seen: &Arc<Mutex<Seen>>) {
    let clone = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
    let (from, to, seen) = (clone(client), clone(server), Arc::clone(seen));
    std::thread::spawn(move || {
        copy(from, to, |bytes| {
            seen.lock().expect("nobody panics with it").requests[place].extend_from_slice(bytes);
        });
    });
    let (from, to) = (clone(server), clone(client));
    std::thread::spawn(move || copy(from, to, |_| ()));
}

/// Copies until the end, and passes that on.
fn copy(mut from: UnixStream, mut to: UnixStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        look(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
