//! Exporters of Prometheus on this machine, whose metrics are handed on.

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::http;
use super::schedule::Job;
use crate::board::{Board, Scrape};
use crate::config;

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

/// Over plain HTTP on this machine, whatever `method` says: so does the original.
fn scrape(exporter: &config::Exporter) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + exporter.timeout;
    let address = format!("localhost:{}", exporter.port);
    let addresses = (address.as_str())
        .to_socket_addrs()
        .map_err(|error| format!("cannot find {address}: {error}"))?;
    let mut stream = Err("localhost has no address".to_owned());
    for socket in addresses {
        let patience = deadline.saturating_duration_since(Instant::now());
        stream = TcpStream::connect_timeout(&socket, patience.max(Duration::from_millis(1)))
            .map_err(|error| format!("cannot connect to {socket}: {error}"));
        if stream.is_ok() {
            break;
        }
    }
    let path = match exporter.path.starts_with('/') {
        true => exporter.path.clone(),
        false => format!("/{}", exporter.path),
    };
    let response = http::get(&mut stream?, &address, &path, deadline, MAX_METRICS)?;
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
}
