//! unixcat against sockets that behave well and badly.

#[cfg(feature = "tls")]
#[path = "cli/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

struct Listener {
    _directory: TempDir,
    path: PathBuf,
    socket: UnixListener,
}

fn listen() -> Listener {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let socket = UnixListener::bind(&path).unwrap();
    Listener {
        _directory: directory,
        path,
        socket,
    }
}

fn unixcat(socket: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unixcat"));
    command
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn accept(listener: Listener, serve: impl FnOnce(UnixStream) + Send + 'static) -> PathBuf {
    let path = listener.path.clone();
    thread::spawn(move || {
        // All of it moves in here: the directory lives as long as the socket.
        let listener = listener;
        let (stream, _) = listener.socket.accept().unwrap();
        serve(stream);
    });
    path
}

/// Feeds `input` from a thread of its own, so that nothing can wait in a ring.
fn finish(mut child: Child, input: Vec<u8>) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join().unwrap();
    output
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed)
        .collect()
}

#[test]
fn question_is_sent_and_answer_is_printed_after_the_half_close() {
    let path = accept(listen(), |mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(b"you said: ").unwrap();
        stream.write_all(&question).unwrap();
    });
    let output = finish(unixcat(path).spawn().unwrap(), b"hello\n".to_vec());
    assert_eq!(output.stdout, b"you said: hello\n");
    assert_eq!(
        (output.status.code(), &output.stderr[..]),
        (Some(0), &b""[..])
    );
}

#[test]
fn ten_megabytes_pass_both_ways_at_the_same_time() {
    const LEN: usize = 10 << 20;
    let path = accept(listen(), |stream| {
        let mut writer = stream.try_clone().unwrap();
        // Writes everything before it reads anything.
        writer.write_all(&pattern(LEN, 1)).unwrap();
        let mut received = Vec::new();
        let mut reader = stream;
        while received.len() < LEN {
            let mut piece = vec![0; 1000];
            let count = reader.read(&mut piece).unwrap();
            assert!(count > 0, "input ended after {} bytes", received.len());
            received.extend_from_slice(&piece[..count]);
        }
        assert!(received == pattern(LEN, 2));
        writer.write_all(b"all there").unwrap();
    });
    let output = finish(unixcat(path).spawn().unwrap(), pattern(LEN, 2));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.len(), LEN + 9);
    assert!(output.stdout.ends_with(b"all there"));
    assert!(output.stdout[..LEN] == pattern(LEN, 1));
}

#[test]
fn output_may_be_a_file() {
    let path = accept(listen(), |mut stream| {
        stream.write_all(&pattern(1 << 20, 9)).unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("output");
    let mut command = unixcat(path);
    command.stdin(Stdio::null());
    command.stdout(std::fs::File::create(&file).unwrap());
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert!(std::fs::read(file).unwrap() == pattern(1 << 20, 9));
}

#[test]
fn one_byte_at_a_time_arrives_whole() {
    let path = accept(listen(), |mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte).unwrap() == 1 {
            stream.write_all(&[byte[0] ^ 0x20]).unwrap();
        }
    });
    let mut child = unixcat(path).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for byte in b"Livestatus" {
        stdin.write_all(&[*byte]).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"lIVESTATUS");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn slow_reader_of_the_output_does_not_hold_up_the_input() {
    const LEN: usize = 4 << 20;
    let (told, heard) = std::sync::mpsc::channel();
    let path = accept(listen(), move |mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let answer = thread::spawn(move || writer.write_all(&pattern(LEN, 3)));
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        told.send(received.len()).unwrap();
        answer.join().unwrap().unwrap();
    });
    let mut child = unixcat(path).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&pattern(LEN, 4)).unwrap();
    drop(stdin);
    // Nobody has read a byte of the output, and yet all input has arrived.
    let arrived = heard.recv_timeout(Duration::from_secs(30));
    assert_eq!(arrived, Ok(LEN));
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout == pattern(LEN, 3));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn peer_that_does_not_read_does_not_hold_up_the_output() {
    let (go, start_reading) = std::sync::mpsc::channel();
    let path = accept(listen(), move |mut stream| {
        stream.write_all(&pattern(1 << 20, 5)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        start_reading.recv().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 4 << 20);
    });
    let mut child = unixcat(path).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || stdin.write_all(&pattern(4 << 20, 6)));
    let mut stdout = vec![0; 1 << 20];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut stdout)
        .unwrap();
    assert!(stdout == pattern(1 << 20, 5));
    go.send(()).unwrap();
    feeder.join().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn early_close_with_input_left_is_a_failure_that_still_prints_the_answer() {
    let path = accept(listen(), |mut stream| {
        let mut piece = [0; 10];
        stream.read_exact(&mut piece).unwrap();
        stream.write_all(b"refused: enough\n").unwrap();
    });
    let output = finish(unixcat(&path).spawn().unwrap(), pattern(4 << 20, 7));
    assert_eq!(output.stdout, b"refused: enough\n");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        message,
        format!(
            "unixcat: {} closed the connection before it had all input\n",
            path.display()
        )
    );
}

#[test]
fn close_while_the_input_is_silent_but_open_is_a_failure() {
    let path = accept(listen(), |mut stream| {
        let mut piece = [0; 4];
        stream.read_exact(&mut piece).unwrap();
        stream.write_all(b"bye\n").unwrap();
    });
    let mut child = unixcat(path).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"half").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"bye\n");
    assert_eq!(output.status.code(), Some(1));
    drop(stdin);
}

#[test]
fn close_after_the_answer_is_a_success_though_the_end_of_input_comes_later() {
    let path = accept(listen(), |mut stream| {
        let mut piece = [0; 12];
        stream.read_exact(&mut piece).unwrap();
        stream.write_all(b"up;0\n").unwrap();
    });
    let mut child = unixcat(path).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"GET hosts\n\n\n").unwrap();
    let mut answer = [0; 5];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut answer)
        .unwrap();
    drop(stdin);
    assert_eq!(&answer, b"up;0\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn reader_that_went_away_is_a_silent_failure() {
    let path = accept(listen(), |mut stream| {
        let _ = stream.write_all(&pattern(4 << 20, 8));
    });
    let mut child = unixcat(path).spawn().unwrap();
    drop(child.stdin.take());
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), &output.stderr[..]),
        (Some(1), &b""[..])
    );
}

#[test]
fn tcp_works_like_a_unix_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        question.reverse();
        stream.write_all(&question).unwrap();
    });
    let child = unixcat(format!("tcp:127.0.0.1:{port}")).spawn().unwrap();
    let output = finish(child, b"abc".to_vec());
    assert_eq!(output.stdout, b"cba");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn silence_ends_at_the_timeout() {
    let (keep, until) = std::sync::mpsc::channel::<()>();
    let path = accept(listen(), move |stream| {
        let _ = until.recv();
        drop(stream);
    });
    let mut command = unixcat(path);
    let child = command.args(["--idle-timeout", "100ms"]).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(keep);
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing moved for 100ms"));
}

#[test]
fn a_limit_on_silence_is_none_on_what_moves() {
    let path = accept(listen(), |mut stream| {
        // Longer than the limit in all, never as long at once.
        for _ in 0..30 {
            stream.write_all(b"x").unwrap();
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut command = unixcat(path);
    command.args(["--idle-timeout", "1s", "--connect-timeout", "100ms"]);
    let output = finish(command.spawn().unwrap(), Vec::new());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout.len(), 30);
}

#[test]
fn a_connection_that_is_not_taken_ends_at_its_own_timeout() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // The only place in the queue.
    let _waiting = UnixStream::connect(&path).unwrap();
    let mut command = unixcat(&path);
    command.args(["--connect-timeout", "100ms", "--idle-timeout", "10m"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("cannot connect to") && message.contains("timed out"),
        "{message}"
    );
}

#[test]
fn nobody_listening_is_worth_another_try() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nobody");
    let output = unixcat(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "unixcat: cannot connect to {}: No such file or directory (os error 2)\n",
            path.display()
        )
    );
}

#[test]
fn wrong_use_is_told_apart() {
    for args in [
        &[][..],
        &["a", "b"],
        &["tcp:x"],
        &["--idle-timeout", "0s", "x"],
        &["--connect-timeout", "5", "x"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_unixcat"))
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let too_long = Path::new("/").join("x".repeat(200));
    let output = unixcat(too_long).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
