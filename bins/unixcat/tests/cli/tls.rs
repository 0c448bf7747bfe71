//! unixcat over TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;

use crate::{finish, pattern, unixcat};

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A server for one connection, with the name `central`.
struct Server {
    directory: TempDir,
    port: u16,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(serve: impl FnOnce(Stream) + Send + 'static) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let directory = tempfile::tempdir().unwrap();
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        std::fs::write(directory.path().join("ca"), ca_pem).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName("central".try_into().unwrap())];
        let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let session = ServerConnection::new(Arc::new(config)).unwrap();
            serve(StreamOwned::new(session, socket));
        });
        Self {
            directory,
            port,
            thread,
        }
    }

    fn unixcat(&self, name: &str) -> Command {
        let mut command = unixcat(format!("tls:127.0.0.1:{}", self.port));
        command.arg("--ca").arg(self.directory.path().join("ca"));
        command.args(["--tls-name", name]);
        command
    }
}

fn close(mut stream: Stream) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

#[test]
fn question_and_answer_pass_with_a_half_close_between() {
    const LEN: usize = 4 << 20;
    let server = Server::start(|mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        assert!(question == pattern(LEN, 1));
        stream.write_all(&pattern(LEN, 2)).unwrap();
        close(stream);
    });
    let output = finish(server.unixcat("central").spawn().unwrap(), pattern(LEN, 1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*message), (Some(0), ""));
    assert!(output.stdout == pattern(LEN, 2));
    server.thread.join().unwrap();
}

#[test]
fn answers_come_while_the_question_goes_on() {
    let server = Server::start(|mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte).unwrap() == 1 {
            stream.write_all(&[byte[0] ^ 0x20]).unwrap();
        }
        close(stream);
    });
    let mut child = server.unixcat("central").spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    for byte in b"Livestatus" {
        stdin.write_all(&[*byte]).unwrap();
        let mut answer = [0];
        stdout.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], byte ^ 0x20);
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    server.thread.join().unwrap();
}

#[test]
fn an_end_that_tls_does_not_vouch_for_is_a_failure() {
    let server = Server::start(|mut stream| {
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(b"half an ans").unwrap();
        stream.flush().unwrap();
    });
    let output = finish(server.unixcat("central").spawn().unwrap(), b"?".to_vec());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"half an ans");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("closed the connection without a word"),
        "{message}"
    );
    server.thread.join().unwrap();
}

#[test]
fn the_wrong_server_gets_nothing() {
    let server = Server::start(|mut stream| {
        let mut text = Vec::new();
        assert!(stream.read_to_end(&mut text).is_err());
        assert_eq!(text, b"");
    });
    let output = finish(server.unixcat("remote1").spawn().unwrap(), b"?".to_vec());
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("cannot agree on TLS with tls:127.0.0.1:"),
        "{message}"
    );
    server.thread.join().unwrap();
}

#[test]
fn nobody_is_believed_without_a_ca() {
    let output = unixcat("tls:127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("needs --ca"), "{message}");
}
