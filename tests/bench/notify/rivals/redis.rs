//! Redis as a store at the receiver alone: streams, append-only file, synced always.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use harness::{ports, wait_for};

use super::{Outcome, ordinary};
use crate::notify::store;
use crate::notify::submit::SIZE;

const COUNT: usize = store::COUNT as usize;
const CONNECTIONS: usize = store::CONNECTIONS as usize;
const IN_FLIGHT: usize = store::IN_FLIGHT as usize;

pub(super) fn measure(directory: &Path) -> Outcome {
    let port = ports::free();
    let _server = ordinary("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(directory)
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ])
        .start();
    wait_for("redis answers", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || add(port, COUNT / CONNECTIONS));
        }
    });
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    Ok((
        rate,
        format!(
            "receiver alone: XADD of 2 KiB, {CONNECTIONS} × {IN_FLIGHT} in flight; appendfsync always: each group synced before its answers"
        ),
    ))
}

fn add(port: u16, count: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it answered before");
    let body = "x".repeat(SIZE);
    let one = format!("*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nb\r\n${SIZE}\r\n{body}\r\n");
    let group = one.repeat(IN_FLIGHT);
    let mut answers = vec![0; 64 * 1024];
    for _ in 0..count / IN_FLIGHT {
        stream.write_all(group.as_bytes()).expect("it takes it");
        // Each answer is `$LENGTH`, and the id on a line of its own.
        let mut lines = 0;
        while lines < 2 * IN_FLIGHT {
            let len = stream.read(&mut answers).expect("it answers");
            assert!(len > 0 && answers[0] != b'-', "redis refuses");
            lines += answers[..len].iter().filter(|byte| **byte == b'\n').count();
        }
    }
}
