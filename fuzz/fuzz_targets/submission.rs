//! Any bytes at the spool's socket, in any pieces: what is read is what was
//! sent, and answers keep to their line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spool::submission::{Answer, Submission, SubmissionReader};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut reader = SubmissionReader::default();
    let mut printed = Vec::new();
    'stream: for piece in bytes.chunks(usize::from(piece) + 1) {
        reader.push(piece);
        while let Some(next) = reader.next() {
            match next {
                Ok(Submission { number, body }) => Submission::print(number, body, &mut printed),
                Err(error) => {
                    let mut line = Vec::new();
                    Answer::Refused(error.to_string()).print(0, &mut line);
                    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                    break 'stream;
                }
            }
        }
    }
    let mut again = SubmissionReader::default();
    again.push(&printed);
    let mut reprinted = Vec::new();
    while let Some(next) = again.next() {
        let Submission { number, body } = next.expect("own printing");
        Submission::print(number, body, &mut reprinted);
    }
    assert_eq!(printed, reprinted);
    assert!(again.is_between());
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some((number, answer)) = Answer::parse(text)
    {
        let mut line = Vec::new();
        answer.print(number, &mut line);
        assert!(line.ends_with(b"\n"));
    }
});
