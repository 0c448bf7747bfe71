//! Any bytes as what Icinga 2's API answers: read however they are split with
//! the same result, and never a panic.
//!
//! Not a part of the program but the root of a fuzz target, which `fuzz/Cargo.toml`
//! names. It stands here because the program has no library to link.
#![no_main]
#![allow(dead_code, reason = "only answers are read")]

mod state {
    pub(crate) mod http;

    pub(crate) mod icinga2 {
        pub(crate) mod answer;

        pub(crate) fn look(answer: &super::http::Answer) {
            let _ = answer::verdict(answer);
            let _ = answer::results(&answer.body);
            for permission in answer::permissions(&answer.body) {
                let _ = answer::covers(&permission, "actions/process-check-result");
            }
        }
    }
}

use libfuzzer_sys::fuzz_target;
use state::http::{Answer, AnswerReader};

const MAX_BODY: usize = 1 << 12;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, usize::from(*first).max(1));
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_err(), pieces.1.is_err());
    for answer in &whole.0 {
        assert!(answer.body.len() <= MAX_BODY);
        state::icinga2::look(answer);
    }
});

/// The answers up to the first fault.
fn read(bytes: &[u8], piece: usize) -> (Vec<Answer>, Result<(), String>) {
    let mut reader = AnswerReader::new(MAX_BODY);
    let mut answers = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.poll_answer() {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => break,
                Err(why) => return (answers, Err(why)),
            }
        }
    }
    answers.extend(reader.finish());
    (answers, Ok(()))
}
