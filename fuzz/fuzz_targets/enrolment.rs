//! What comes from strangers who want a certificate, or say that they give one:
//! messages, requests, certificates, lists, tokens.

#![no_main]

use authority::message::{Answer, Granted, MAX_ANSWER, MAX_QUESTION, Question, length};
use authority::{Certificate, Request, RevocationList, Token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((head, body)) = bytes.split_first_chunk::<4>() {
        if let Ok(len) = length(*head, MAX_QUESTION) {
            assert!((1..=MAX_QUESTION).contains(&len) && length(*head, MAX_ANSWER).is_ok());
        }
        let _ = Certificate::parse(body).map(|c| (c.site(), c.is_signed_by(&c)));
        let _ = Request::parse(body);
        let _ = RevocationList::parse(body);
    }
    if let Ok(question) = Question::decode(bytes) {
        // Printed it may be longer than a message may be.
        if let Ok(printed) = question.encode() {
            let again = Question::decode(&printed[4..]).expect("what was printed can be read");
            assert_eq!(again, question);
        }
        if let Question::Join { request, .. } | Question::Renew { request } = &question {
            let _ = Request::from_pem(request);
        }
    }
    if let Ok(Answer::Granted(Granted {
        certificate,
        revoked,
        ..
    })) = Answer::decode(bytes)
    {
        let _ = Certificate::all_in(&certificate);
        let _ = RevocationList::from_pem(&revoked);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = Request::from_pem(text);
    let _ = Certificate::all_in(text);
    let _ = RevocationList::from_pem(text);
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text.trim());
    }
});
