//! Exporters of Prometheus on this machine, whose metrics are handed on.

mod tls;

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::http::{self, Timed};
use super::schedule::Job;
use crate::board::{Board, Scrape};
use crate::config;
use tls::{Encrypted, NoTls};

/// Longest text of metrics that is handed on.
const MAX_METRICS: usize = 64 << 20;

/// The names of those that have answered at least once.
#[derive(Clone, Default)]
pub(crate) struct Answered(Arc<Mutex<BTreeSet<String>>>);

impl Answered {
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().cloned().collect()
    }

    fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }
}

/// A job for each exporter; the board learns all their names.
pub(crate) fn jobs(
    prometheus: &config::Prometheus,
    answered: &Answered,
    board: &Board,
) -> Vec<Job> {
    let exporters = || prometheus.exporters.iter();
    board.name_exporters(exporters().map(|exporter| exporter.name.clone()));
    let job = |exporter: &config::Exporter| {
        if let Some(problem) = &exporter.problem {
            board.put_scrape(&exporter.name, failed(&exporter.name, problem));
            return None;
        }
        let (exporter, answered, board) = (exporter.clone(), answered.clone(), board.clone());
        Some(Job {
            interval: exporter.interval,
            delay: Duration::ZERO,
            work: Box::new(move || {
                let scrape = match scrape(&exporter) {
                    Ok(text) => {
                        answered.add(&exporter.name);
                        Scrape {
                            text: text.into(),
                            at: SystemTime::now(),
                        }
                    }
                    Err(why) => failed(&exporter.name, &why),
                };
                board.put_scrape(&exporter.name, scrape);
            }),
        })
    };
    exporters().filter_map(job).collect()
}

/// A comment, so that who reads it sees no metrics at all, and why.
fn failed(name: &str, why: &str) -> Scrape {
    let text = format!("# exporter {name}: {why}").replace(['\n', '\r'], " ") + "\n";
    Scrape {
        text: text.into(),
        at: SystemTime::now(),
    }
}

/// With `method = https` over TLS, and if the exporter does not know that, over
/// plain HTTP all the same: the original asks all of them so.
fn scrape(exporter: &config::Exporter) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + exporter.timeout;
    let address = format!("localhost:{}", exporter.port);
    let stream = connect(&address, deadline)?;
    if !exporter.https {
        return ask(stream, exporter, &address, deadline);
    }
    match Encrypted::agree(stream, deadline) {
        Ok(stream) => ask(stream, exporter, &address, deadline),
        Err(NoTls::Failed(why)) => Err(why),
        Err(NoTls::Foreign) => {
            let stream = connect(&address, deadline)?;
            ask(stream, exporter, &address, deadline)
        }
    }
}

/// To the first of its addresses that lets us.
fn connect(address: &str, deadline: Instant) -> Result<TcpStream, String> {
    let addresses = address
        .to_socket_addrs()
        .map_err(|error| format!("cannot find {address}: {error}"))?;
    let mut stream = Err(format!("{address} has no address"));
    for socket in addresses {
        let patience = deadline.saturating_duration_since(Instant::now());
        stream = TcpStream::connect_timeout(&socket, patience.max(Duration::from_millis(1)))
            .map_err(|error| format!("cannot connect to {socket}: {error}"));
        if stream.is_ok() {
            break;
        }
    }
    stream
}

fn ask(
    mut stream: impl Timed,
    exporter: &config::Exporter,
    address: &str,
    deadline: Instant,
) -> Result<Vec<u8>, String> {
    let path = match exporter.path.starts_with('/') {
        true => exporter.path.clone(),
        false => format!("/{}", exporter.path),
    };
    let response = http::get(&mut stream, address, &path, deadline, MAX_METRICS)?;
    match response.status {
        200 => Ok(response.body),
        status => Err(format!("{address}{path} answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn exporter(name: &str, port: u16) -> config::Exporter {
        config::Exporter {
            name: name.to_owned(),
            https: false,
            port,
            path: "/metrics".to_owned(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            problem: None,
        }
    }

    #[test]
    fn a_dead_exporter_says_so_and_harms_no_other() {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dead = {
            let listener = TcpListener::bind("localhost:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut wrong = exporter("wrong", 1);
        wrong.problem = Some("has no\npath".to_owned());
        let prometheus = config::Prometheus {
            enabled: true,
            file: Default::default(),
            exporters: vec![exporter("alive", port), exporter("dead", dead), wrong],
        };
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1000];
            let n = stream.read(&mut request).unwrap();
            assert!(request[..n].starts_with(b"GET /metrics HTTP/1.1\r\nHost: localhost"));
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nup 1\n").unwrap();
        });
        let (answered, board) = (Answered::default(), Board::new());
        for mut job in jobs(&prometheus, &answered, &board) {
            (job.work)();
        }
        server.join().unwrap();
        assert_eq!(board.exporters(), ["alive", "dead", "wrong"]);
        assert_eq!(answered.names(), ["alive"]);
        let text = |name| String::from_utf8(board.exporter(name).unwrap().text.into()).unwrap();
        assert_eq!(text("alive"), "up 1\n");
        assert!(text("dead").starts_with("# exporter dead: cannot connect to "));
        assert_eq!(text("wrong"), "# exporter wrong: has no path\n");
    }

    /// Answers once over TLS with a certificate of its own.
    fn answer_over_tls(stream: &mut TcpStream) {
        use rustls::crypto::aws_lc_rs::default_provider;
        let own = rcgen::generate_simple_self_signed(["another.example".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.unwrap())
            .unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, stream);
        let mut request = [0; 1000];
        let n = stream.read(&mut request).unwrap();
        assert!(request[..n].starts_with(b"GET /metrics HTTP/1.1\r\nHost: localhost"));
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nup 1\n").unwrap();
        stream.flush().unwrap();
    }

    fn answer_plainly(stream: &mut TcpStream) {
        let mut request = [0; 1000];
        let n = stream.read(&mut request).unwrap();
        let answer: &[u8] = match request[..n].starts_with(b"GET /metrics") {
            true => b"HTTP/1.0 200 OK\r\n\r\nplain 1\n",
            false => b"HTTP/1.0 400 Bad Request\r\n\r\nwhat is this?\n",
        };
        stream.write_all(answer).unwrap();
    }

    #[test]
    fn an_exporter_with_https_is_asked_in_tls_and_if_it_knows_none_without() {
        type Answer = fn(&mut TcpStream);
        for (answers, want) in [
            (vec![answer_over_tls as Answer], "up 1\n"),
            (vec![answer_plainly as Answer, answer_plainly], "plain 1\n"),
            (vec![|_: &mut TcpStream| {}, answer_plainly], "plain 1\n"),
        ] {
            let listener = TcpListener::bind("localhost:0").unwrap();
            let mut exporter = exporter("x", listener.local_addr().unwrap().port());
            exporter.https = true;
            let server = std::thread::spawn(move || {
                for answer in answers {
                    let (mut stream, _) = listener.accept().unwrap();
                    answer(&mut stream);
                }
            });
            let text = scrape(&exporter).unwrap();
            server.join().unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), want);
        }
    }

    #[test]
    fn who_refuses_tls_in_its_own_words_is_not_asked_without() {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let mut exporter = exporter("x", listener.local_addr().unwrap().port());
        exporter.https = true;
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // An alert: no version in common.
            stream.write_all(&[21, 3, 3, 0, 2, 2, 70]).unwrap();
            let _ = stream.read(&mut [0; 1000]);
        });
        let why = scrape(&exporter).unwrap_err();
        server.join().unwrap();
        assert!(why.starts_with("no TLS with it: "), "{why}");
    }
}
