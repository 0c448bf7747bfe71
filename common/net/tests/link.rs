//! Sessions driven over streams: small pipes, real TLS, peers that misbehave.

use std::collections::VecDeque;
use std::time::Instant;

use net::{Command, Error, Messages, drive};
use objects::{NotificationId, SiteId, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use wire::{Cause, Config, Event, Health, Session, Window, frame};

fn id(n: u64) -> NotificationId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn config(name: &str) -> Config {
    let site = SiteId::new(name).unwrap();
    Config::new(site, "instance", UnixTime::from_secs(1_795_217_983))
}

/// What one end did until its connection ended.
#[derive(Debug)]
struct Report {
    result: Result<(), Error>,
    received: Vec<Vec<u8>>,
    acknowledged: usize,
}

/// An owner that sends `bodies`, stores at once what it gets, and goes away
/// when it has `expected` messages and all of its own are acknowledged.
async fn run<S>(stream: S, config: Config, bodies: Vec<Vec<u8>>, expected: usize) -> Report
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (to_link, commands) = mpsc::unbounded_channel();
    let (to_owner, mut events) = mpsc::unbounded_channel();
    let session = Session::new(config, now());
    let link = tokio::spawn(drive(stream, session, commands, move |events| {
        events.into_iter().for_each(|event| {
            let _ = to_owner.send(event);
        });
    }));
    let mut owner = Owner {
        to_link: Some(to_link),
        waiting: (1..).map(id).zip(bodies.iter().cloned()).collect(),
        room: 0,
        received: Vec::new(),
        acknowledged: 0,
    };
    while let Some(event) = events.recv().await {
        owner.handle(event);
        if owner.received.len() >= expected && owner.acknowledged >= bodies.len() {
            // Dropping the commands is going away.
            owner.to_link = None;
        }
    }
    Report {
        result: link.await.unwrap(),
        received: owner.received,
        acknowledged: owner.acknowledged,
    }
}

struct Owner {
    to_link: Option<mpsc::UnboundedSender<Command>>,
    waiting: VecDeque<(NotificationId, Vec<u8>)>,
    room: usize,
    received: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Owner {
    fn tell(&self, command: Command) {
        if let Some(to_link) = &self.to_link {
            let _ = to_link.send(command);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::PeerHello(_) => self.tell(Command::Resume(Vec::new())),
            Event::Resumed { window, .. } => self.room = window.msgs as usize,
            Event::Message { seq, body, .. } => {
                self.received.push(body);
                self.tell(Command::Stored(seq));
            }
            Event::Acknowledged { ids } => {
                self.acknowledged += ids.len();
                self.room += ids.len();
                self.tell(Command::Settled(ids));
            }
            Event::Ping { .. } => self.tell(Command::Pong(Health::default())),
            _ => {}
        }
        let mut messages = Messages::default();
        while self.room > 0
            && let Some((id, body)) = self.waiting.pop_front()
        {
            self.room -= 1;
            messages.push(id, &body);
        }
        if !messages.is_empty() {
            self.tell(Command::Send(messages));
        }
    }
}

fn bodies(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![n as u8; len + n % 7]).collect()
}

#[tokio::test]
async fn both_ends_sending_much_through_a_tiny_pipe_do_not_lock_up() {
    let (one, other) = tokio::io::duplex(64);
    let (left, right) = (bodies(300, 900), bodies(200, 1500));
    let (a, b) = tokio::join!(
        run(one, config("a"), left.clone(), right.len()),
        run(other, config("b"), right.clone(), left.len()),
    );
    assert!(
        a.result.is_ok() && b.result.is_ok(),
        "{:?} {:?}",
        a.result,
        b.result
    );
    assert_eq!((a.received, b.received), (right, left));
    assert_eq!((a.acknowledged, b.acknowledged), (300, 200));
}

#[tokio::test]
async fn a_small_window_is_no_obstacle() {
    let (one, other) = tokio::io::duplex(4096);
    let mut receiver = config("b");
    receiver.window = Window {
        msgs: 3,
        bytes: 1000,
    };
    let sent = bodies(100, 400);
    let (a, b) = tokio::join!(
        run(one, config("a"), sent.clone(), 0),
        run(other, receiver, Vec::new(), sent.len()),
    );
    assert!(
        a.result.is_ok() && b.result.is_ok(),
        "{:?} {:?}",
        a.result,
        b.result
    );
    assert_eq!(b.received, sent);
}

#[tokio::test]
async fn notifications_cross_real_tls() {
    let certificates = Certificates::new();
    let (central, remote) = (
        certificates.identity("central"),
        certificates.identity("remote"),
    );
    let address: net::Address = "127.0.0.1:0".parse().unwrap();
    let listener = address.listen().await.unwrap();
    let address = listener.address().unwrap();
    let sent = bodies(3000, 2000);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (stream, peer) = central.accept(stream).await.unwrap();
        let mut config = config("central");
        config.peer_site = Some(peer);
        run(stream, config, Vec::new(), sent.len()).await
    };
    let send = async {
        let stream = address.connect().await.unwrap();
        let central = SiteId::new("central").unwrap();
        let stream = remote.connect(&central, stream).await.unwrap();
        run(stream, config("remote"), sent.clone(), 0).await
    };
    let (b, a) = tokio::join!(serve, send);
    assert!(
        a.result.is_ok() && b.result.is_ok(),
        "{:?} {:?}",
        a.result,
        b.result
    );
    assert_eq!(a.acknowledged, sent.len());
    assert_eq!(b.received, sent);
}

/// A driven session and the other end of its pipe.
fn against_a_test() -> (DuplexStream, tokio::task::JoinHandle<Report>) {
    let (one, other) = tokio::io::duplex(1 << 20);
    (
        one,
        tokio::spawn(run(other, config("b"), Vec::new(), usize::MAX)),
    )
}

async fn session_error(task: tokio::task::JoinHandle<Report>) -> wire::Error {
    match task.await.unwrap().result {
        Err(Error::Session(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stranger_is_closed_at_once() {
    let (mut stream, task) = against_a_test();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let error = session_error(task).await;
    assert_eq!(error.cause(), Cause::Stranger);
    assert!(
        error.to_string().contains("GET / HTTP/1.0\\r\\n"),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_hears_why() {
    let (mut stream, task) = against_a_test();
    stream.write_all(frame::PREFACE).await.unwrap();
    stream.write_all(&[0, 0, 0, 1, 9]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(
        heard.ends_with(r#"{"code":"unsupported","text":"frame of unknown type 9"}"#),
        "{heard}"
    );
    assert_eq!(session_error(task).await.cause(), Cause::PeerBrokeRules);
}

#[tokio::test]
async fn a_peer_that_closes_in_the_middle_is_an_error() {
    let (mut stream, task) = against_a_test();
    stream.write_all(&frame::PREFACE[..7]).await.unwrap();
    drop(stream);
    let error = session_error(task).await;
    let waiting_for = "its preface";
    assert_eq!(error, wire::Error::Closed { waiting_for });
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let (stream, task) = against_a_test();
    assert_eq!(session_error(task).await, wire::Error::HelloTimeout);
    drop(stream);
}

#[tokio::test]
async fn reading_goes_on_while_the_peer_reads_nothing() {
    // The pipe takes less than a HELLO: nothing of ours gets through.
    let (mut stream, other) = tokio::io::duplex(16);
    let (_to_link, commands) = mpsc::unbounded_channel();
    let (to_owner, mut events) = mpsc::unbounded_channel();
    let session = Session::new(config("b"), now());
    tokio::spawn(drive(other, session, commands, move |events| {
        let _ = to_owner.send(events);
    }));
    let mut peer = Session::new(config("a"), now());
    let mut hello = Vec::new();
    while !peer.poll_output().is_empty() {
        let len = peer.poll_output().len();
        hello.extend_from_slice(peer.poll_output());
        peer.output_written(len);
    }
    stream.write_all(&hello).await.unwrap();
    let events = events.recv().await.unwrap();
    assert!(matches!(events[..], [Event::PeerHello(_)]));
}

/// An authority in memory, and files of what it signs.
struct Certificates {
    directory: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self { directory, issuer }
    }

    fn identity(&self, site: &str) -> net::Identity {
        use std::os::unix::fs::PermissionsExt;
        let path = |extension: &str| self.directory.path().join(format!("{site}.{extension}"));
        let mut params = rcgen::CertificateParams::default();
        let uri = format!("sitewire:site:{site}").try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(path("crt"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        net::Identity::load(&net::TlsFiles {
            certificate: path("crt"),
            key: path("key"),
            ca: Some(self.directory.path().join("ca.crt")),
            crl: None,
        })
        .unwrap()
    }
}
