//! One question over HTTP on a stream that is closed after the answer: for
//! exporters on this machine and for the engine of containers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest head of an answer.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 64;

/// A stream whose reads and writes can be limited in time.
pub(crate) trait Timed: Read + Write {
    fn limit(&self, patience: Duration) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn limit(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
}

#[cfg(unix)]
impl Timed for UnixStream {
    fn limit(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
}

/// What was answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks for `path` and reads the answer, whose body is not longer than `limit`.
pub(crate) fn get(
    stream: &mut impl Timed,
    host: &str,
    path: &str,
    deadline: Instant,
    limit: usize,
) -> Result<Response, String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: agentd/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        program::RELEASE
    );
    remaining(stream, deadline)?;
    stream
        .write_all(request.as_bytes())
        .map_err(|error| format!("cannot ask: {}", words(&error)))?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        remaining(stream, deadline)?;
        let is_end = match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(n) => {
                bytes.extend_from_slice(&buffer[..n]);
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("cannot read the answer: {}", words(&error))),
        };
        if let Some(response) = parse(&bytes, is_end)? {
            return Ok(response);
        }
        // Chunks need some bytes more than what is in them.
        if bytes.len() > MAX_HEAD + limit + limit / 8 {
            return Err(format!("the answer is longer than {limit} bytes"));
        }
    }
}

pub(crate) fn remaining(stream: &impl Timed, deadline: Instant) -> Result<(), String> {
    let patience = deadline.saturating_duration_since(Instant::now());
    if patience.is_zero() {
        return Err("no answer in time".to_owned());
    }
    stream.limit(patience).map_err(|error| error.to_string())
}

/// What to say of an error: what the system calls a resource that is not
/// available is that nobody has answered.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// How long the body is.
enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

/// The answer, if it is complete. `is_end`: nothing more will come.
pub(crate) fn parse(bytes: &[u8], is_end: bool) -> Result<Option<Response>, String> {
    let cut = || match is_end {
        true => Err("the answer is cut off".to_owned()),
        false => Ok(None),
    };
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let start = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => {
            return Err("the answer's head has no end".to_owned());
        }
        Ok(httparse::Status::Partial) => return cut(),
        Err(error) => return Err(format!("the answer is not HTTP: {error}")),
    };
    let status = head.code.unwrap_or(0);
    let body = &bytes[start..];
    let body = match length(head.headers)? {
        Length::Known(length) => match body.get(..length) {
            Some(body) => body.to_vec(),
            None => return cut(),
        },
        // Looked at again with every read, so only when it seems to be whole.
        Length::Chunked if !is_end && !body.ends_with(b"\r\n\r\n") => return Ok(None),
        Length::Chunked => match join_chunks(body)? {
            Some(body) => body,
            None => return cut(),
        },
        Length::ToTheEnd if is_end => body.to_vec(),
        Length::ToTheEnd => return Ok(None),
    };
    Ok(Some(Response { status, body }))
}

fn length(headers: &[httparse::Header<'_>]) -> Result<Length, String> {
    let find = |name: &str| {
        let header = headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Ok(Length::Chunked);
    }
    match find("content-length") {
        Some(value) => value
            .trim()
            .parse()
            .map(Length::Known)
            .map_err(|_| "the answer's length is no number".to_owned()),
        None => Ok(Length::ToTheEnd),
    }
}

/// What is in the chunks; `None` if the last one is not there.
fn join_chunks(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("the answer's chunks are broken".to_owned()),
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_add(start));
        let Some((end, chunk)) = end.and_then(|end| Some((end, bytes.get(start..end)?))) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        bytes = match bytes.get(end..end + 2) {
            Some(b"\r\n") => &bytes[end + 2..],
            Some(_) => return Err("the answer's chunks are broken".to_owned()),
            None => return Ok(None),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_however_they_end_and_wherever_they_are_cut() {
        for (text, ends, status, body) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                false,
                200,
                "abc",
            ),
            ("HTTP/1.0 404 No\r\n\r\nabc", true, 404, "abc"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
                false,
                200,
                "abcde",
            ),
            (
                "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
                false,
                204,
                "",
            ),
        ] {
            let bytes = text.as_bytes();
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut], false), Ok(None), "{text} {cut}");
            }
            let response = Response {
                status,
                body: body.into(),
            };
            assert_eq!(parse(bytes, ends), Ok(Some(response)), "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for (text, why) in [
            ("", "cut off"),
            ("SSH-2.0-x\r\n", "not HTTP"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "cut off"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
                "no number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
                "cut off",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
                "broken",
            ),
        ] {
            let error = parse(text.as_bytes(), true).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn who_does_not_answer_is_left_in_time() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = get(&mut ours, "x", "/", deadline, 1000).unwrap_err();
        assert!(error.contains("no answer in time"), "{error}");
    }
}
