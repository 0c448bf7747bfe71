//! Any bytes at the control socket, in any pieces: what is understood is
//! printed as it is understood, and a line keeps to its limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spool::control::{Answer, LineReader, MAX_IDS, Question};

const LIMIT: usize = 4096;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut reader = LineReader::new(LIMIT);
    let mut lines = Vec::new();
    'stream: for piece in bytes.chunks(usize::from(piece) + 1) {
        reader.push(piece);
        while let Some(line) = reader.next() {
            let Ok(line) = line else { break 'stream };
            assert!(line.len() <= LIMIT && !line.contains(&b'\n'));
            lines.push(line);
        }
    }
    for (line, expected) in lines.iter().zip(bytes.split(|byte| *byte == b'\n')) {
        assert_eq!(line, expected);
        if let Ok(question) = Question::parse(line) {
            let printed = question.print();
            assert!(!printed.contains('\n'));
            assert_eq!(Question::parse(printed.as_bytes()).as_ref(), Ok(&question));
            if let Question::Act { ids, .. } | Question::Known(ids) = question {
                assert!(ids.len() <= MAX_IDS);
            }
        }
        if let Some(answer) = Answer::parse(line) {
            assert!(!answer.print().contains('\n'));
        }
    }
});
