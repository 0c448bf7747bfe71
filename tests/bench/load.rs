//! A load of small queries: how many a server answers in a second, and how long
//! each of them takes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How each client keeps its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One for all its queries.
    Kept,
    /// A new one for each query.
    New,
}

/// Queries a second that `clients` get answered together, each asking the next
/// one when it has its answer. The clients run on the same machine.
pub(crate) fn queries_per_second(
    socket: &Path,
    clients: usize,
    connections: Connections,
    duration: Duration,
) -> io::Result<f64> {
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || client(socket, number, connections, stop))
            })
            .collect();
        std::thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        let joined = threads.into_iter();
        joined
            .map(|thread| thread.join().expect("clients do not panic"))
            .collect::<io::Result<Vec<u64>>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
}

/// How long each small query of one client takes in seconds, which asks until
/// told to stop, a hundred times a second.
pub(crate) fn latencies(socket: &Path, stop: &AtomicBool) -> io::Result<Vec<f64>> {
    let query = query(0, Connections::Kept);
    let mut connection = connect(socket)?;
    let mut body = Vec::new();
    let mut seconds = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        connection.write_all(query.as_bytes())?;
        answer(&mut connection, &mut body)?;
        seconds.push(began.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(seconds)
}

/// Asks for one host.
fn query(number: usize, connections: Connections) -> String {
    let keep_alive = match connections {
        Connections::Kept => "KeepAlive: on\n",
        Connections::New => "",
    };
    format!(
        "GET hosts\nResponseHeader: fixed16\n{keep_alive}OutputFormat: json\nColumns: name state plugin_output\n\
         Filter: name = host-{:04}\n\n",
        number % 10
    )
}

/// The answers that one client got.
fn client(
    socket: &Path,
    number: usize,
    connections: Connections,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let query = query(number, connections);
    let mut stream = None;
    let mut body = Vec::new();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match stream.take() {
            Some(connection) => connection,
            None => connect(socket)?,
        };
        connection.write_all(query.as_bytes())?;
        answer(&mut connection, &mut body)?;
        count += 1;
        if connections == Connections::Kept {
            stream = Some(connection);
        }
    }
    Ok(count)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Reads a framed answer, often in one piece.
fn answer(stream: &mut UnixStream, body: &mut Vec<u8>) -> io::Result<()> {
    const HEAD: usize = 16;
    body.resize(8192, 0);
    let mut filled = 0;
    let mut wanted = HEAD;
    while filled < wanted {
        match stream.read(&mut body[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if wanted == HEAD && filled >= HEAD {
            let head = std::str::from_utf8(&body[..HEAD]).unwrap_or("");
            let length = head
                .strip_prefix("200 ")
                .and_then(|rest| rest.trim().parse().ok());
            let length: usize = length.ok_or_else(|| io::Error::other(head.to_owned()))?;
            wanted = HEAD + length;
            body.resize(wanted.max(8192), 0);
        }
    }
    Ok(())
}
