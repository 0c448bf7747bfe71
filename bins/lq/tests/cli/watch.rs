//! `--watch`, until it is interrupted.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, answer, lq, serve};
use crate::terminal::Terminal;

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

/// Answers `bodies` in turn, each on a connection of its own, and is gone.
fn start(path: &Path, bodies: &'static [&'static str]) -> JoinHandle<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for body in bodies {
            serve(listener.accept().unwrap().0, &answer(body));
        }
    })
}

#[test]
fn a_server_that_was_started_again_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    let before = start(&path, &["first;1\n", "second;2\n"]);
    let mut child = lq(&path)
        .args(["--watch", "10ms", "GET hosts"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!((next(), next()), ("first;1".into(), "second;2".into()));
    before.join().unwrap();
    let error = errors.next().unwrap().unwrap();
    assert!(error.starts_with("lq: cannot connect to "), "{error}");
    let after = start(&path, &["third;3\n"]);
    assert_eq!(next(), "third;3");
    after.join().unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_is_drawn_over_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    let server = start(
        &path,
        &["[[\"name\"],[\"db1\"],[\"db2\"]]", "[[\"name\"],[\"db3\"]]"],
    );
    let mut command = lq(&path);
    command.args(["--watch", "10ms", "--color", "never", "GET hosts"]);
    let mut terminal = Terminal::start(&mut command, 200, 10);
    let begin = terminal.until("\x1b[?25l");
    assert_eq!(begin, "\x1b[?1049h\x1b[?25l");
    let first = terminal.until("\x1b[J");
    assert!(first.starts_with("\x1b[H2"), "{first:?}");
    assert!(first.contains("every 10ms"), "{first:?}");
    assert!(first.contains("name\x1b[K\r"), "{first:?}");
    assert!(first.ends_with("db2\x1b[K\x1b[J"), "{first:?}");
    assert!(terminal.until("\x1b[J").contains("db3\x1b[K"));
    server.join().unwrap();
    // What was known stays, with the reason why there is nothing newer.
    let mut last = String::new();
    while !last.contains("cannot connect to ") {
        last = terminal.until("\x1b[J");
    }
    assert!(last.contains("db3\x1b[K"), "{last:?}");
    interrupt(&terminal.child);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0);
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
}

#[test]
fn what_is_refused_from_the_beginning_is_not_asked_again() {
    let server = Server::start(&[b"400           5\nno.\n\n"]);
    let output = server.lq(&["--watch", "10ms", "GET nosuch"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"lq: the server says 400: no.\n");
}
