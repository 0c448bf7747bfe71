//! As much of HTTP/1.1 as a client needs that asks one server again and again:
//! requests printed, answers read however their bytes were split. No sockets.

use std::io::Write as _;

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Most lines of a head.
const MAX_LINES: usize = 64;
/// Longest line that begins a chunk.
const MAX_CHUNK_LINE: usize = 256;

/// What is the same in all requests to a server.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// As the header `Host` has it.
    pub(crate) host: String,
    /// The header `Authorization`, if there is one.
    pub(crate) authorization: Option<String>,
}

impl Peer {
    /// Appends a request with a body of JSON. `method` is what the server is to
    /// take it for.
    pub(crate) fn post(&self, method: Method, path: &str, body: &[u8], out: &mut Vec<u8>) {
        // Writing to a Vec does not fail.
        let _ = write!(out, "POST {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if let Some(authorization) = &self.authorization {
            let _ = write!(out, "Authorization: {authorization}\r\n");
        }
        if method == Method::Get {
            out.extend_from_slice(b"X-HTTP-Method-Override: GET\r\n");
        }
        let agent = program::RELEASE;
        let _ = write!(
            out,
            "User-Agent: liveload/{agent}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.extend_from_slice(body);
    }
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Something is to be done.
    Post,
    /// Something is asked, and more than fits into a path.
    Get,
}

/// What a server answered to one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Answers as they come in, one after the other.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    buffer: Vec<u8>,
    max_body: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    /// So many bytes are missing.
    Body(Answer, usize),
    /// The line before a chunk, or the one after the last.
    ChunkLine(Answer),
    /// So many bytes of a chunk are missing, with its line end.
    Chunk(Answer, usize),
    /// Lines after the last chunk.
    Trailer(Answer),
    /// Up to the end of the stream.
    Rest(Answer),
}

impl AnswerReader {
    /// A body of more than `max_body` bytes is an error.
    pub(crate) fn new(max_body: usize) -> Self {
        Self {
            buffer: Vec::new(),
            max_body,
            state: State::Head,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The stream is over: what only that ends is handed out.
    pub(crate) fn finish(&mut self) -> Option<Answer> {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Rest(answer) => Some(answer),
            _ => None,
        }
    }

    /// The next whole answer; `None` as long as bytes are missing.
    pub(crate) fn poll_answer(&mut self) -> Result<Option<Answer>, String> {
        loop {
            match std::mem::replace(&mut self.state, State::Head) {
                State::Head => {
                    let Some((length, head)) = parse_head(&self.buffer)? else {
                        return Ok(None);
                    };
                    self.buffer.drain(..length);
                    match self.begin(head)? {
                        // An answer before the answer, such as 100.
                        None => {}
                        Some(state) => self.state = state,
                    }
                }
                State::Body(mut answer, missing) => {
                    let missing = self.take(&mut answer.body, missing);
                    if missing == 0 {
                        return Ok(Some(answer));
                    }
                    self.state = State::Body(answer, missing);
                    return Ok(None);
                }
                State::ChunkLine(answer) => {
                    let Some(line) = self.line()? else {
                        self.state = State::ChunkLine(answer);
                        return Ok(None);
                    };
                    self.state = match chunk_length(&line)? {
                        0 => State::Trailer(answer),
                        length if length > self.max_body - answer.body.len() => {
                            return Err(self.too_long());
                        }
                        length => State::Chunk(answer, length),
                    };
                }
                State::Chunk(mut answer, missing) => {
                    let missing = self.take(&mut answer.body, missing);
                    if missing > 0 || self.buffer.len() < 2 {
                        self.state = State::Chunk(answer, missing);
                        return Ok(None);
                    }
                    if !self.buffer.starts_with(b"\r\n") {
                        return Err("a chunk does not end where it should".to_owned());
                    }
                    self.buffer.drain(..2);
                    self.state = State::ChunkLine(answer);
                }
                State::Trailer(answer) => match self.line()? {
                    Some(line) if line.is_empty() => return Ok(Some(answer)),
                    Some(_) => self.state = State::Trailer(answer),
                    None => {
                        self.state = State::Trailer(answer);
                        return Ok(None);
                    }
                },
                State::Rest(mut answer) => {
                    if self.buffer.len() > self.max_body - answer.body.len() {
                        return Err(self.too_long());
                    }
                    answer.body.append(&mut self.buffer);
                    self.state = State::Rest(answer);
                    return Ok(None);
                }
            }
        }
    }

    fn begin(&self, head: Head) -> Result<Option<State>, String> {
        let answer = Answer {
            status: head.status,
            body: Vec::new(),
        };
        Ok(Some(match head.length {
            _ if head.status < 200 => return Ok(None),
            _ if matches!(head.status, 204 | 304) => State::Body(answer, 0),
            Length::Bytes(length) if length > self.max_body as u64 => return Err(self.too_long()),
            Length::Bytes(length) => State::Body(answer, length as usize),
            Length::Chunks => State::ChunkLine(answer),
            Length::Rest => State::Rest(answer),
        }))
    }

    /// Moves up to `missing` bytes into a body; how many are missing then?
    fn take(&mut self, body: &mut Vec<u8>, missing: usize) -> usize {
        let count = missing.min(self.buffer.len());
        body.extend(self.buffer.drain(..count));
        missing - count
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        match self.buffer.iter().position(|b| *b == b'\n') {
            Some(end) => {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
            }
            None if self.buffer.len() > MAX_CHUNK_LINE => Err("a line is too long".to_owned()),
            None => Ok(None),
        }
    }

    fn too_long(&self) -> String {
        format!("an answer is longer than {} bytes", self.max_body)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunks,
    Rest,
}

/// The head of an answer and how long it is, if it is there.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, String> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the head of an answer is too long".to_owned()),
        Err(error) => return Err(format!("it does not speak HTTP: {error}")),
    };
    let mut head = Head {
        status: response.code.unwrap_or(0),
        length: Length::Rest,
    };
    for line in response.headers.iter() {
        let value = line.value.trim_ascii();
        if line.name.eq_ignore_ascii_case("content-length") && head.length != Length::Chunks {
            let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            head.length = Length::Bytes(number.ok_or("the length of an answer is no number")?);
        } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("an answer has an encoding that we do not know".to_owned());
            }
            head.length = Length::Chunks;
        }
    }
    Ok(Some((length, head)))
}

/// Extensions of a chunk are passed over.
fn chunk_length(line: &[u8]) -> Result<usize, String> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let length = usize::from_str_radix(digits, 16).ok();
    let bad = || "the length of a chunk is no number".to_owned();
    length.filter(|_| is_number).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.into(),
        }
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Answer>, String> {
        let mut reader = AnswerReader::new(20);
        let mut answers = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(answer) = reader.poll_answer()? {
                answers.push(answer);
            }
        }
        answers.extend(reader.finish());
        Ok(answers)
    }

    #[test]
    fn answers_are_read_however_they_are_split() {
        for (name, text, want) in [
            (
                "two, one after the other",
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                vec![answer(200, "ab"), answer(404, "")],
            ),
            (
                "in chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
                vec![answer(200, "abc0123456789")],
            ),
            (
                "to the end of the stream",
                "HTTP/1.0 503 Busy\r\n\r\nlater",
                vec![answer(503, "later")],
            ),
            (
                "one that says something first",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
                vec![answer(401, "x")],
            ),
            (
                "broken off",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
                vec![],
            ),
        ] {
            for piece in [1, 3, text.len()] {
                assert_eq!(read(text.as_bytes(), piece), Ok(want.clone()), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let long = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(20_000));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000));
        for (text, want) in [
            ("SSH-2.0-OpenSSH\r\n", "it does not speak HTTP"),
            (&long, "it does not speak HTTP: too many headers"),
            (&endless, "the head of an answer is too long"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n",
                "an answer is longer than 20 bytes",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                "the length of an answer is no number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                "an encoding that we do not know",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                "an answer is longer than 20 bytes",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n",
                "the length of a chunk is no number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
                "a chunk does not end",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\n123456789012345678901",
                "an answer is longer than 20 bytes",
            ),
        ] {
            let error = read(text.as_bytes(), text.len()).unwrap_err();
            assert!(error.contains(want), "{text:.40}: {error}");
        }
    }
}
