//! A TCP line that a test can make slow, deaf, or break at any byte.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How a line behaves. Changes count for connections that are up, too.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Bytes a second in each direction; `None` is as fast as it goes.
    pub rate: Option<u64>,
    /// How long a byte is under way.
    pub delay: Duration,
    /// Of 1,000 packets so many are lost, and come a round trip later.
    pub lost: u64,
    /// Nothing passes, and nobody is told.
    pub deaf: bool,
    /// Connections are closed as soon as they come.
    pub refuses: bool,
    /// Each connection is reset after so many bytes in both directions together.
    pub cut_after: Option<u64>,
}

/// A line from a port of its own to another.
pub struct Line {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    ended: AtomicBool,
    /// Connections that are up, to be reset.
    up: Mutex<Vec<TcpStream>>,
}

/// What one packet holds.
const PACKET: usize = 1448;
/// How long a reader waits before it looks at the behaviour again.
const LOOK: Duration = Duration::from_millis(20);
/// Buffers are small, as on a thin line; else a backlog would be on its way
/// before the line is felt.
const BUFFER: usize = 16 * 1024;

impl Line {
    /// A line from a free port to `to`, both on 127.0.0.1.
    pub fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Shared {
            behaviour: Mutex::default(),
            ended: AtomicBool::new(false),
            up: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.ended.load(Ordering::Relaxed) {
                    return;
                }
                own.serve(stream, to);
            }
        });
        Self { port, shared }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour.lock().expect("nobody panics with it"));
    }

    /// Resets all connections.
    pub fn reset(&self) {
        let up = std::mem::take(&mut *self.shared.up.lock().expect("nobody panics with it"));
        for stream in up {
            reset(&stream);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.reset();
        // The listener finds out by a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Closes at once, with everything that is under way thrown away.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        self.behaviour
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    fn serve(self: &Arc<Self>, from: TcpStream, to: u16) {
        if self.behaviour().refuses {
            return reset(&from);
        }
        let Ok(to) = TcpStream::connect(("127.0.0.1", to)) else {
            return reset(&from);
        };
        let rate = self.behaviour().rate;
        for stream in [&from, &to] {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_read_timeout(Some(LOOK));
            if rate.is_some() {
                let _ = rustix::net::sockopt::set_socket_recv_buffer_size(stream, BUFFER);
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, BUFFER);
            }
        }
        let copies = |stream: &TcpStream| stream.try_clone().expect("a second descriptor");
        let mut up = self.up.lock().expect("nobody panics with it");
        up.retain(|stream| stream.peer_addr().is_ok());
        up.push(copies(&from));
        up.push(copies(&to));
        drop(up);
        let passed = Arc::new(Mutex::new(0_u64));
        for (reader, writer) in [(copies(&from), copies(&to)), (to, from)] {
            let pump = Arc::new(Pump {
                shared: Arc::clone(self),
                under_way: Mutex::default(),
                changed: Condvar::new(),
                passed: Arc::clone(&passed),
            });
            let (own, out) = (Arc::clone(&pump), copies(&writer));
            let source = copies(&reader);
            std::thread::spawn(move || pump.read(source, &writer));
            std::thread::spawn(move || own.write(out, &reader));
        }
    }
}

/// One direction of one connection.
struct Pump {
    shared: Arc<Shared>,
    under_way: Mutex<UnderWay>,
    changed: Condvar,
    passed: Arc<Mutex<u64>>,
}

#[derive(Default)]
struct UnderWay {
    packets: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ended: bool,
    /// When the line is free for the next byte.
    free: Option<Instant>,
    count: u64,
}

impl Pump {
    fn read(&self, mut from: TcpStream, to: &TcpStream) {
        let mut bytes = vec![0; PACKET];
        loop {
            let behaviour = self.shared.behaviour();
            let full = {
                let under_way = self.under_way.lock().expect("nobody panics with it");
                under_way.ended || under_way.bytes > most_under_way(&behaviour)
            };
            if behaviour.deaf || full {
                if self.under_way.lock().expect("nobody panics with it").ended {
                    return;
                }
                std::thread::sleep(LOOK / 4);
                continue;
            }
            match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => {
                    if self.cuts(len as u64, &behaviour) {
                        reset(&from);
                        reset(to);
                        break;
                    }
                    self.put(&bytes[..len], &behaviour);
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => break,
            }
        }
        self.under_way.lock().expect("nobody panics with it").ended = true;
        self.changed.notify_all();
    }

    /// Whether the connection ends with these bytes.
    fn cuts(&self, len: u64, behaviour: &Behaviour) -> bool {
        let mut passed = self.passed.lock().expect("nobody panics with it");
        *passed += len;
        behaviour.cut_after.is_some_and(|most| *passed > most)
    }

    fn put(&self, bytes: &[u8], behaviour: &Behaviour) {
        let mut under_way = self.under_way.lock().expect("nobody panics with it");
        let mut free = under_way
            .free
            .unwrap_or_else(Instant::now)
            .max(Instant::now());
        if let Some(rate) = behaviour.rate {
            free += Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
        }
        under_way.count += 1;
        // Not by chance, so that a run can be repeated. What comes behind a
        // lost packet waits for it.
        if behaviour.lost > 0 && under_way.count * behaviour.lost % 1000 < behaviour.lost {
            free += 2 * behaviour.delay;
        }
        under_way.free = Some(free);
        under_way.bytes += bytes.len();
        under_way
            .packets
            .push_back((free + behaviour.delay, bytes.to_vec()));
        drop(under_way);
        self.changed.notify_all();
    }

    fn write(&self, mut to: TcpStream, from: &TcpStream) {
        while let Some(packet) = self.next() {
            if to.write_all(&packet).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
        self.under_way.lock().expect("nobody panics with it").ended = true;
        let _ = to.shutdown(Shutdown::Write);
    }

    /// The next packet when its time has come; none at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let mut under_way = self.under_way.lock().expect("nobody panics with it");
        loop {
            let deaf = self.shared.behaviour().deaf;
            let due = under_way.packets.front().map(|(due, _)| *due);
            let wait = match due {
                Some(due) if !deaf => {
                    let now = Instant::now();
                    if due <= now {
                        let (_, packet) = under_way.packets.pop_front()?;
                        under_way.bytes -= packet.len();
                        return Some(packet);
                    }
                    due - now
                }
                None if under_way.ended => return None,
                _ => LOOK,
            };
            (under_way, _) = self
                .changed
                .wait_timeout(under_way, wait)
                .expect("nobody panics with it");
        }
    }
}

/// As much as fits on a line of this rate and length, and a bit.
fn most_under_way(behaviour: &Behaviour) -> usize {
    match behaviour.rate {
        Some(rate) => (rate as f64 * behaviour.delay.as_secs_f64()) as usize + BUFFER,
        None => 1 << 20,
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
