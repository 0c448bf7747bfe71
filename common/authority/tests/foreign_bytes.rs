//! Tokens, requests and messages come from anybody.

use authority::message::{self, Answer, Granted, Question};
use authority::{Certificate, Fingerprint, Key, Refusal, Request, RevocationList, Shape, Token};
use objects::{SiteId, UnixTime};
use proptest::prelude::*;

fn token() -> Token {
    let directory = tempfile::TempDir::new().unwrap();
    let now = UnixTime::from_secs(1_795_217_983);
    let day = std::time::Duration::from_secs(86_400);
    let lifetime = authority::Lifetime::from_now(now, day);
    let authority =
        authority::Authority::create(directory.path(), "CA", Shape::Ecdsa, lifetime, now).unwrap();
    let centre = authority::invitation::Centre {
        site: SiteId::new("central").unwrap(),
        address: "[2001:db8::1]:6555".to_owned(),
    };
    let site = SiteId::new("remote81").unwrap();
    authority.invite(&site, &centre, day, now).unwrap()
}

#[test]
fn a_token_says_what_was_put_into_it() {
    let token = token();
    let text = token.to_string();
    assert_eq!(text.parse::<Token>().unwrap(), token);
    assert_eq!(format!(" {text}\n").parse::<Token>().unwrap(), token);
    assert!(text.len() < 250, "{}", text.len());
    assert_eq!(token.authority.to_string().len(), 95);
}

#[test]
fn a_token_with_any_slip_in_it_is_refused() {
    let text = token().to_string();
    for at in 0..text.len() {
        assert!(text[..at].parse::<Token>().is_err(), "cut at {at}");
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(changed.parse::<Token>().is_err(), "changed at {at}");
    }
}

#[test]
fn messages_come_out_as_they_went_in() {
    let question = Question::Renew {
        request: "x".to_owned(),
    };
    let bytes = question.encode().unwrap();
    let (head, body) = bytes.split_first_chunk().unwrap();
    assert_eq!(
        message::length(*head, message::MAX_QUESTION).unwrap(),
        body.len()
    );
    assert_eq!(Question::decode(body).unwrap(), question);
    for answer in [
        Answer::Granted(Granted {
            certificate: "a".to_owned(),
            authority: "b".to_owned(),
            revoked: "c".to_owned(),
        }),
        Answer::Refused {
            reason: Refusal::Early,
            text: "no".to_owned(),
        },
    ] {
        let bytes = answer.encode().unwrap();
        assert_eq!(Answer::decode(&bytes[4..]).unwrap(), answer);
    }
    let later = br#"{"refused":{"reason":"of-tomorrow","text":"x","more":1}}"#;
    assert!(matches!(
        Answer::decode(later),
        Ok(Answer::Refused {
            reason: Refusal::Other,
            ..
        })
    ));
}

#[test]
fn no_length_is_believed_beyond_the_limit() {
    for (head, limit, good) in [
        ([0, 0, 0, 0], 10, false),
        ([0, 0, 0, 10], 10, true),
        ([0, 0, 0, 11], 10, false),
        ([255; 4], message::MAX_ANSWER, false),
    ] {
        assert_eq!(message::length(head, limit).is_ok(), good, "{head:?}");
    }
}

#[test]
fn a_request_that_was_changed_is_refused() {
    let key = Key::generate(Shape::Ecdsa).unwrap();
    let pem = key.request(&SiteId::new("a").unwrap()).unwrap();
    let der = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .unwrap()
        .1
        .contents;
    let good = Request::parse(&der).unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        // What the signature does not cover must not matter.
        if let Ok(request) = Request::parse(&changed) {
            assert_eq!(request, good, "changed at {at}");
        }
        assert!(Request::parse(&der[..at]).is_err());
    }
}

#[test]
fn fingerprints_of_configurations_are_read() {
    let fingerprint = Fingerprint::of(b"x");
    assert_eq!(fingerprint.pin().parse(), Ok(fingerprint));
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Question::decode(&bytes);
        let _ = Answer::decode(&bytes);
        let _ = Request::parse(&bytes);
        let _ = Certificate::parse(&bytes);
        let _ = RevocationList::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = text.parse::<Token>();
        let _ = format!("swjoin1.{text}").parse::<Token>();
        let _ = Request::from_pem(&text);
    }
}
