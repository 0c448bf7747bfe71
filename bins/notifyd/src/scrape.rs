//! The metrics over HTTP, for Prometheus to fetch: one question, one answer, and
//! the connection ends. Anybody may come to the port; he gets a moment, and reads
//! a page that says nothing of any notification.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use net::{Address, Listener, Stream};
use program::exit::chain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::flood::Flood;
use crate::report::Report;

/// Longest question, in bytes, and most lines of it.
const MAX_HEAD: usize = 8 << 10;
const MAX_LINES: usize = 64;
/// Most connections at a time. With one more the oldest is closed: whoever is in
/// earnest needs only a moment.
const CONNECTIONS: usize = 32;
/// A connection ends after this long, whatever it does.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the figures are waited for: longer than their owner may take.
const FIGURES: Duration = Duration::from_secs(10);
/// How much is read that nobody asked for, so that the answer is not lost by a
/// reset.
const MAX_REST: usize = 64 << 10;

/// Where they are to be had; none for nowhere. Changes with the configuration.
pub(crate) type Door = Option<Arc<Listener>>;

/// Opens the door of a configuration.
pub(crate) async fn open(address: Option<&Address>) -> Result<Door, String> {
    let Some(address) = address else {
        return Ok(None);
    };
    match address.listen().await {
        Ok(listener) => Ok(Some(Arc::new(listener))),
        Err(error) => Err(format!("[metrics] {}", chain(&error))),
    }
}

/// Answers at whatever door is open until the daemon stops.
pub(crate) async fn serve(
    mut doors: watch::Receiver<Door>,
    reporter: Sender<Report>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut visitors: VecDeque<AbortHandle> = VecDeque::new();
    let mut complaints = Flood::default();
    loop {
        let door = doors.borrow_and_update().clone();
        let accepted = async {
            match &door {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            Ok(()) = doors.changed() => continue,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                visitors.retain(|visitor| !visitor.is_finished());
                if visitors.len() >= CONNECTIONS
                    && let Some(oldest) = visitors.pop_front()
                {
                    oldest.abort();
                }
                let answering = timeout(PATIENCE, answer(stream, reporter.clone()));
                let visitor = tokio::spawn(async { drop(answering.await) });
                visitors.push_back(visitor.abort_handle());
            }
            Err(error) => {
                // Out of descriptors, most likely: it will pass.
                if let Some(more) = complaints.allows(Instant::now()) {
                    tracing::warn!("cannot serve metrics: {error}{more}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // They hold what keeps the reporter from ending.
    for visitor in visitors {
        visitor.abort();
    }
}

/// Serves one visitor. What goes wrong is his matter.
async fn answer(mut stream: Stream, reporter: Sender<Report>) -> std::io::Result<()> {
    let page = match read_question(&mut stream).await? {
        Question::Metrics { with_body } => match figures(&reporter).await {
            Some(text) => Page::metrics(text, with_body),
            None => Page::error("503 Service Unavailable", "there are no figures now"),
        },
        Question::Elsewhere => Page::error("404 Not Found", "the metrics are at /metrics"),
        Question::OtherMethod => Page::error("405 Method Not Allowed", "only GET and HEAD"),
        Question::TooLong => Page::error("431 Request Header Fields Too Large", "too long"),
        Question::NoHttp => Page::error("400 Bad Request", "this is not HTTP"),
    };
    stream.write_all(&page.print()).await?;
    stream.shutdown().await?;
    // Closing with input unread would reset the connection.
    let mut rest = [0; 4096];
    let mut seen = 0;
    while seen < MAX_REST {
        match stream.read(&mut rest).await? {
            0 => break,
            len => seen += len,
        }
    }
    Ok(())
}

async fn figures(reporter: &Sender<Report>) -> Option<String> {
    let (to, text) = oneshot::channel();
    reporter.send(Report::Measure(to)).ok()?;
    timeout(FIGURES, text).await.ok()?.ok()
}

/// What a visitor wants.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Metrics { with_body: bool },
    Elsewhere,
    OtherMethod,
    TooLong,
    NoHttp,
}

/// Reads until the question is clear.
async fn read_question(stream: &mut Stream) -> std::io::Result<Question> {
    let mut head = Vec::new();
    loop {
        if let Some(question) = read_head(&head) {
            return Ok(question);
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => head.extend_from_slice(&piece[..len]),
        }
    }
}

/// What the head of a request asks; none while it is not there whole.
fn read_head(head: &[u8]) -> Option<Question> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let complete = match request.parse(head) {
        Ok(status) => status.is_complete(),
        Err(httparse::Error::TooManyHeaders) => return Some(Question::TooLong),
        Err(_) => return Some(Question::NoHttp),
    };
    if head.len() > MAX_HEAD {
        return Some(Question::TooLong);
    }
    if !complete {
        return None;
    }
    let path = request.path.unwrap_or("").split('?').next();
    Some(match request.method {
        _ if path != Some("/metrics") => Question::Elsewhere,
        Some("GET") => Question::Metrics { with_body: true },
        Some("HEAD") => Question::Metrics { with_body: false },
        _ => Question::OtherMethod,
    })
}

/// One answer.
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
    with_body: bool,
}

impl Page {
    fn metrics(body: String, with_body: bool) -> Self {
        Self {
            status: "200 OK",
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body,
            with_body,
        }
    }

    fn error(status: &'static str, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}\n"),
            with_body: true,
        }
    }

    fn print(&self) -> Vec<u8> {
        let allow = match self.status.starts_with("405") {
            true => "Allow: GET, HEAD\r\n",
            false => "",
        };
        let mut text = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        if self.with_body {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_clear_however_it_comes() {
        let get = Question::Metrics { with_body: true };
        let long = format!(
            "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(MAX_HEAD)
        );
        let many = format!(
            "GET /metrics HTTP/1.1\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_LINES + 1)
        );
        for (head, want) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", get),
            (
                "GET /metrics?x=1 HTTP/1.0\r\n\r\n",
                Question::Metrics { with_body: true },
            ),
            (
                "HEAD /metrics HTTP/1.1\r\n\r\n",
                Question::Metrics { with_body: false },
            ),
            ("GET / HTTP/1.1\r\n\r\n", Question::Elsewhere),
            ("GET /metrics/../x HTTP/1.1\r\n\r\n", Question::Elsewhere),
            (
                "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                Question::OtherMethod,
            ),
            (&long, Question::TooLong),
            (&many, Question::TooLong),
            ("\x16\x03\x01\x02\x00\x01", Question::NoHttp),
            ("SITEWIRE-NOTIFY\n\0\0\0\x02", Question::NoHttp),
        ] {
            let bytes = head.as_bytes();
            let whole = read_head(bytes);
            assert_eq!(whole.as_ref(), Some(&want), "{head:?}");
            let found = (0..=bytes.len()).find_map(|end| read_head(&bytes[..end]));
            assert_eq!(found.as_ref(), Some(&want), "{head:?} in pieces");
        }
        assert_eq!(read_head(b"GET /metrics HT"), None);
    }
}
