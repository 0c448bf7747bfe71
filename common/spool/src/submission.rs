//! The daemon's socket in the spool: the third way in, beside a file renamed
//! into `new/` and [`crate::drop_box::submit`]. Who submits here shares the sync
//! of everything that comes at the same time; the promise is the same.
//!
//! Both sides speak lines, so that the conversation can be typed:
//!
//! ```text
//! submit NUMBER LENGTH CRC       to the daemon, followed by LENGTH bytes: the body
//! stored NUMBER ID               from the daemon: it is in the journal, synced
//! known NUMBER ID                the notification of this id was there already, synced
//! refused NUMBER REASON          it never will be taken: do not try again
//! later NUMBER REASON            not now; it was not taken
//! ```
//!
//! NUMBER is the submitter's and comes back in the answer, because answers come in
//! the order of syncs and not of submissions. CRC is the CRC-32C of the body in
//! eight hexadecimal digits. Many submissions may be on their way in one
//! connection. No answer says nothing: the id tells a second submission, on
//! whatever way, from a new notification.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use objects::NotificationId;
use objects::notification::MAX_BODY;

use crate::drop_box::Submitted;

/// The socket's name in the spool.
pub const SOCKET: &str = "socket";

/// Longest line of either side, without its end.
const MAX_LINE: usize = 512;

/// One submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission<'a> {
    /// Comes back in the answer.
    pub number: u64,
    /// The body of a notification, as far as the submitter knows.
    pub body: &'a [u8],
}

impl Submission<'_> {
    /// Appends `submit NUMBER LENGTH CRC` and the body.
    pub fn print(number: u64, body: &[u8], out: &mut Vec<u8>) {
        let crc = crc32c::crc32c(body);
        out.extend_from_slice(format!("submit {number} {} {crc:08x}\n", body.len()).as_bytes());
        out.extend_from_slice(body);
    }
}

/// What the daemon says to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is in the journal, synced.
    Stored(NotificationId),
    /// The notification of this id was there already.
    Known(NotificationId),
    /// It never will be taken, for this reason.
    Refused(String),
    /// It was not taken, for this reason, which passes.
    Later(String),
}

impl Answer {
    /// Appends the answer's line. A reason keeps to one line.
    pub fn print(&self, number: u64, out: &mut Vec<u8>) {
        let mut line = match self {
            Self::Stored(id) => format!("stored {number} {id}"),
            Self::Known(id) => format!("known {number} {id}"),
            Self::Refused(why) => format!("refused {number} {why}"),
            Self::Later(why) => format!("later {number} {why}"),
        };
        line = line.replace(|c: char| c.is_control(), " ");
        line.truncate(line.floor_char_boundary(MAX_LINE));
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }

    /// Reads an answer's line, with or without its end; none if it is not one.
    pub fn parse(line: &str) -> Option<(u64, Self)> {
        let mut words = line.trim_end().splitn(3, ' ');
        let (verb, number, rest) = (words.next()?, words.next()?, words.next().unwrap_or(""));
        let answer = match verb {
            "stored" => Self::Stored(NotificationId::parse(rest)?),
            "known" => Self::Known(NotificationId::parse(rest)?),
            "refused" => Self::Refused(rest.to_owned()),
            "later" => Self::Later(rest.to_owned()),
            _ => return None,
        };
        Some((number.parse().ok()?, answer))
    }
}

/// Why a submitter's bytes are no submission. Nothing after them can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmissionError {
    /// Something else than `submit NUMBER LENGTH CRC`; how it begins.
    NotASubmission(String),
    /// A body longer than a notification may be.
    TooLarge {
        /// The submission.
        number: u64,
        /// How long it says it is.
        len: usize,
    },
    /// The body is not what the checksum says.
    Damaged {
        /// The submission.
        number: u64,
    },
}

impl SubmissionError {
    /// The submission it is about, if that much was readable.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::NotASubmission(_) => None,
            Self::TooLarge { number, .. } | Self::Damaged { number } => Some(*number),
        }
    }
}

impl fmt::Display for SubmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASubmission(start) => {
                write!(
                    f,
                    "expected 'submit NUMBER LENGTH CRC', but got \"{start}\""
                )
            }
            Self::TooLarge { len, .. } => {
                write!(f, "notification has {len} bytes, the limit is {MAX_BODY}")
            }
            Self::Damaged { .. } => f.write_str("the body is not what its checksum says"),
        }
    }
}

impl std::error::Error for SubmissionError {}

/// Reads submissions: bytes in, in whatever pieces, submissions out.
#[derive(Debug, Default)]
pub struct SubmissionReader {
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    taken: usize,
    /// The line of the submission whose body is awaited.
    awaited: Option<Line>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    number: u64,
    len: usize,
    crc: u32,
}

impl SubmissionReader {
    /// Takes bytes in. Not more than one body and a bit should be pushed before
    /// [`SubmissionReader::next`] has nothing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).extend_from_slice(bytes);
    }

    /// Where about so many bytes can be put behind those that are there, as by
    /// [`SubmissionReader::push`].
    pub fn room(&mut self, len: usize) -> &mut Vec<u8> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.capacity() - self.buffer.len() < len / 2 {
            self.buffer.reserve_exact(len);
        }
        &mut self.buffer
    }

    /// Whether the stream may end here without cutting a submission.
    pub fn is_between(&self) -> bool {
        self.awaited.is_none() && self.taken == self.buffer.len()
    }

    /// The next submission that is there whole. After an error nothing more can
    /// be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's end is its end"
    )]
    pub fn next(&mut self) -> Option<Result<Submission<'_>, SubmissionError>> {
        let line = match self.awaited {
            Some(line) => line,
            None => match self.next_line()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            },
        };
        let Line { number, len, crc } = line;
        if len > MAX_BODY {
            return Some(Err(SubmissionError::TooLarge { number, len }));
        }
        self.awaited = Some(line);
        let body = self.buffer.get(self.taken..self.taken + len)?;
        if crc32c::crc32c(body) != crc {
            return Some(Err(SubmissionError::Damaged { number }));
        }
        self.taken += len;
        self.awaited = None;
        Some(Ok(Submission { number, body }))
    }

    fn next_line(&mut self) -> Option<Result<Line, SubmissionError>> {
        let rest = &self.buffer[self.taken..];
        let Some(end) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            let start = &rest[..rest.len().min(MAX_LINE)];
            return (rest.len() >= MAX_LINE).then(|| Err(not_a_submission(start)));
        };
        let line = &rest[..end];
        let parsed = parse_line(line).ok_or_else(|| not_a_submission(line));
        self.taken += end + 1;
        Some(parsed)
    }
}

fn not_a_submission(line: &[u8]) -> SubmissionError {
    let start = &line[..line.len().min(40)];
    SubmissionError::NotASubmission(start.escape_ascii().to_string())
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.trim_end_matches('\r').split(' ');
    let (verb, number, len, crc) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if verb != "submit" || words.next().is_some() || crc.len() != 8 {
        return None;
    }
    Some(Line {
        number: number.parse().ok()?,
        len: len.parse().ok()?,
        crc: u32::from_str_radix(crc, 16).ok()?,
    })
}

/// What came of asking the daemon.
#[derive(Debug)]
pub enum Asked {
    /// It is durable.
    Submitted(Submitted),
    /// It never will be taken, for this reason.
    Refused(String),
    /// No daemon, or it did not answer in time: nothing is known, and the drop
    /// box with the same id is the way.
    Unanswered,
}

/// Submits `body` to the daemon of `spool`, if one is there and answers within
/// `patience`.
pub fn submit(spool: &Path, body: &[u8], patience: Duration) -> Asked {
    let mut asked = submit_all(spool, &[body], patience);
    asked.pop().unwrap_or(Asked::Unanswered)
}

/// Submits many bodies over one connection, so that they share syncs. What came of
/// each, in their order; at most 1024 bodies of 8 MiB together should come at
/// once, because the daemon reads no more before the first have left.
pub fn submit_all(spool: &Path, bodies: &[&[u8]], patience: Duration) -> Vec<Asked> {
    let mut asked: Vec<Asked> = bodies.iter().map(|_| Asked::Unanswered).collect();
    // Without an answer nothing is known, whatever stood in its way.
    let _ = ask(&spool.join(SOCKET), bodies, patience, &mut asked);
    asked
}

fn ask(socket: &Path, bodies: &[&[u8]], patience: Duration, asked: &mut [Asked]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = Vec::with_capacity(bodies.first().map_or(0, |body| body.len() + 64));
    for (number, body) in bodies.iter().enumerate() {
        request.clear();
        Submission::print(number as u64, body, &mut request);
        stream.write_all(&request)?;
    }
    let mut answers = BufReader::new(stream);
    let mut line = String::new();
    for _ in bodies {
        line.clear();
        (&mut answers)
            .take(MAX_LINE as u64 + 1)
            .read_line(&mut line)?;
        // A line without its end was cut.
        let answer = line.strip_suffix('\n').and_then(Answer::parse);
        let Some((number, answer)) = answer else {
            return Ok(());
        };
        let Some(asked) = usize::try_from(number)
            .ok()
            .and_then(|number| asked.get_mut(number))
        else {
            return Ok(());
        };
        *asked = match answer {
            Answer::Stored(_) => Asked::Submitted(Submitted::New),
            Answer::Known(_) => Asked::Submitted(Submitted::AlreadyThere),
            Answer::Refused(why) => Asked::Refused(why),
            Answer::Later(_) => Asked::Unanswered,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199d3a8-0000-7000-8000-000000000001";

    fn read_all(bytes: &[u8], piece: usize) -> (Vec<(u64, Vec<u8>)>, Option<SubmissionError>) {
        let mut reader = SubmissionReader::default();
        let mut submissions = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(next) = reader.next() {
                match next {
                    Ok(Submission { number, body }) => submissions.push((number, body.to_vec())),
                    Err(error) => return (submissions, Some(error)),
                }
            }
        }
        (submissions, None)
    }

    #[test]
    fn submissions_are_read_however_they_were_split() {
        let bodies: [&[u8]; 4] = [b"{}", b"", b"two\nlines\n", &[0xff, 0, b'\n']];
        let mut bytes = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            Submission::print(number as u64, body, &mut bytes);
        }
        for piece in 1..bytes.len() {
            let (submissions, error) = read_all(&bytes, piece);
            assert_eq!(error, None);
            let read: Vec<&[u8]> = submissions.iter().map(|(_, body)| &body[..]).collect();
            assert_eq!(read, bodies, "in pieces of {piece}");
            assert!(submissions.iter().map(|(number, _)| *number).eq(0..4));
        }
    }

    #[test]
    fn only_whole_submissions_are_handed_out() {
        let mut bytes = Vec::new();
        Submission::print(7, b"body", &mut bytes);
        for end in 0..bytes.len() {
            let mut reader = SubmissionReader::default();
            reader.push(&bytes[..end]);
            assert!(reader.next().is_none(), "cut at {end}");
            assert_eq!(reader.is_between(), end == 0, "cut at {end}");
        }
        let mut reader = SubmissionReader::default();
        reader.push(&bytes);
        assert!(matches!(
            reader.next(),
            Some(Ok(Submission { number: 7, .. }))
        ));
        assert!(reader.is_between());
    }

    #[test]
    fn what_is_no_submission_is_told_and_ends_the_reading() {
        let not = |text: &str| SubmissionError::NotASubmission(text.to_owned());
        let long = "x".repeat(MAX_LINE);
        let cases = [
            ("GET / HTTP/1.0\r\n", not("GET / HTTP/1.0\\r")),
            ("submit 1 2\n{}", not("submit 1 2")),
            ("submit 1 -2 00000000\n", not("submit 1 -2 00000000")),
            ("submit 1 2 0\n{}", not("submit 1 2 0")),
            ("submit 1 2 00000000 x\n{}", not("submit 1 2 00000000 x")),
            (&long[..], not(&long[..40])),
            (
                "submit 1 1048577 00000000\n",
                SubmissionError::TooLarge {
                    number: 1,
                    len: MAX_BODY + 1,
                },
            ),
            (
                "submit 9 2 00000000\n{}",
                SubmissionError::Damaged { number: 9 },
            ),
        ];
        for (text, want) in cases {
            for piece in [1, text.len()] {
                assert_eq!(
                    read_all(text.as_bytes(), piece),
                    (vec![], Some(want.clone()))
                );
            }
        }
    }

    #[test]
    fn an_answer_reads_as_it_was_printed_and_keeps_to_its_line() {
        let id = NotificationId::parse(ID).unwrap();
        let answers = [
            Answer::Stored(id),
            Answer::Known(id),
            Answer::Refused("no kind".to_owned()),
            Answer::Later(String::new()),
        ];
        for answer in answers {
            let mut line = Vec::new();
            answer.print(u64::MAX, &mut line);
            let line = String::from_utf8(line).unwrap();
            assert_eq!(Answer::parse(&line), Some((u64::MAX, answer)));
        }
        let mut line = Vec::new();
        Answer::Refused("a\nb\u{1}ü".repeat(1000)).print(1, &mut line);
        assert!(line.len() <= MAX_LINE + 1);
        assert_eq!(line.iter().filter(|byte| **byte < 0x20).count(), 1);
        for text in [
            "",
            "stored",
            "stored 1",
            "stored x y",
            "stored 1 y",
            "yes 1 2",
        ] {
            assert_eq!(Answer::parse(text), None, "{text}");
        }
    }

    #[test]
    fn without_a_daemon_nothing_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let asked = submit(directory.path(), b"{}", Duration::from_secs(1));
        assert!(matches!(asked, Asked::Unanswered));
        // One that was killed leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
        let asked = submit(directory.path(), b"{}", Duration::from_secs(1));
        assert!(matches!(asked, Asked::Unanswered));
    }

    /// A daemon for one connection: waits until `awaited` submissions have come,
    /// then says what it is told.
    fn daemon(spool: &Path, awaited: usize, says: &'static str) -> std::thread::JoinHandle<()> {
        let listener = std::os::unix::net::UnixListener::bind(spool.join(SOCKET)).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = SubmissionReader::default();
            let (mut seen, mut buffer) = (0, [0; 100]);
            while seen < awaited {
                let read = stream.read(&mut buffer).unwrap();
                reader.push(&buffer[..read]);
                while let Some(next) = reader.next() {
                    next.unwrap();
                    seen += 1;
                }
            }
            stream.write_all(says.as_bytes()).unwrap();
        })
    }

    #[test]
    fn each_of_many_gets_its_own_answer_and_what_has_none_is_not_known() {
        let id = "0199d3a8-0000-7000-8000-000000000001";
        for (says, want) in [
            (
                format!("known 2 {id}\nstored 0 {id}\nlater 3 busy\nrefused 1 bad\n"),
                "New Refused AlreadyThere Unanswered",
            ),
            (
                format!("stored 1 {id}\nstored 0 {}", &id[..9]),
                "Unanswered New Unanswered Unanswered",
            ),
            (
                format!("stored 3 {id}\nstored 4 {id}\nstored 0 {id}\n"),
                "Unanswered Unanswered Unanswered New",
            ),
            (String::new(), "Unanswered Unanswered Unanswered Unanswered"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let daemon = daemon(directory.path(), 4, says.leak());
            let bodies = [&b"a"[..], b"", b"ccc", b"d"];
            let asked = submit_all(directory.path(), &bodies, Duration::from_secs(10));
            daemon.join().unwrap();
            let words: Vec<String> = asked
                .iter()
                .map(|asked| match asked {
                    Asked::Submitted(submitted) => format!("{submitted:?}"),
                    Asked::Refused(_) => "Refused".to_owned(),
                    Asked::Unanswered => "Unanswered".to_owned(),
                })
                .collect();
            assert_eq!(words.join(" "), want);
        }
    }
}
