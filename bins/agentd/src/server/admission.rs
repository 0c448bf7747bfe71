//! Who may ask for what.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::mode::Mode;
use crate::config::{Config, Credentials};

/// Whether the request names user and password, if there are any.
pub(super) fn is_known(auth: Option<&Credentials>, headers: &HeaderMap) -> bool {
    let Some(auth) = auth else {
        return true;
    };
    let expected = format!("{}:{}", auth.user, auth.password);
    basic(headers).is_some_and(|given| is_same(&given, expected.as_bytes()))
}

/// Whether the request may exchange certificates now.
pub(super) fn may_exchange(
    config: &Config,
    mode: &Mode,
    peer: IpAddr,
    headers: &HeaderMap,
) -> bool {
    let first = &config.tls.auto.first;
    if matches!(mode, Mode::Mutual(_)) {
        // It came with a certificate.
        return true;
    }
    if first.restricted && !first.is_guarded() && config.web.auth.is_none() {
        return false;
    }
    if !first.peers.is_empty() && !first.peers.iter().any(|net| net.contains(&peer)) {
        return false;
    }
    first
        .token
        .as_ref()
        .is_none_or(|token| has_token(headers, token.as_bytes()))
}

/// Whether the token of the first exchange counts, and nothing else.
pub(super) fn wants_token(config: &Config, mode: &Mode) -> bool {
    !matches!(mode, Mode::Mutual(_)) && config.tls.auto.first.token.is_some()
}

/// Whether nothing but an exchange of certificates is served now.
pub(super) fn hides(config: &Config, mode: &Mode) -> bool {
    match mode {
        Mode::Closed => true,
        Mode::Plain => config.tls.auto.enabled && config.tls.auto.first.hides,
        Mode::Tls(_) | Mode::Mutual(_) => false,
    }
}

/// As a bearer's token, or as the password of whatever user: openITCOCKPIT's
/// server can send one, and nothing else.
fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| after_scheme(value.as_bytes(), b"bearer "))
        .is_some_and(|given| is_same(given, token));
    bearer
        || basic(headers).is_some_and(|given| {
            let mut parts = given.splitn(2, |byte| *byte == b':');
            parts
                .nth(1)
                .is_some_and(|password| is_same(password, token))
        })
}

/// `USER:PASSWORD` of the request.
fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?;
    let encoded = after_scheme(value.as_bytes(), b"basic ")?;
    BASE64.decode(encoded).ok()
}

fn after_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = value.split_at_checked(scheme.len())?;
    first.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The time this takes tells neither where they differ nor how long they are.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let (given, expected) = (digest(&SHA256, given), digest(&SHA256, expected));
    verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let value = authorization.parse().unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    #[test]
    fn only_the_right_pair_is_known() {
        let auth = Credentials {
            user: "me".to_owned(),
            password: "a:b#c".to_owned(),
        };
        let encode = |text: &str| BASE64.encode(text.as_bytes());
        for (value, known) in [
            (format!("Basic {}", encode("me:a:b#c")), true),
            (format!("bAsIc {}", encode("me:a:b#c")), true),
            (format!("Basic {}", encode("me:a:b#")), false),
            (format!("Basic {}", encode("me:")), false),
            (format!("Basic {}", encode("me")), false),
            (format!("Basic {}", encode("you:a:b#c")), false),
            ("Basic !!!".to_owned(), false),
            ("Basic".to_owned(), false),
            ("Bearer a:b#c".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_known(Some(&auth), &headers(&value)), known, "{value}");
            assert!(is_known(None, &headers(&value)));
        }
        assert!(!is_known(Some(&auth), &HeaderMap::new()));
    }

    #[test]
    fn a_token_is_shown_in_two_ways() {
        let token = b"0123456789abcdef";
        for (value, has) in [
            ("Bearer 0123456789abcdef".to_owned(), true),
            ("Bearer 0123456789abcde".to_owned(), false),
            (
                format!("Basic {}", BASE64.encode(b"x:0123456789abcdef")),
                true,
            ),
            (
                format!("Basic {}", BASE64.encode(b"0123456789abcdef:x")),
                false,
            ),
        ] {
            assert_eq!(has_token(&headers(&value), token), has, "{value}");
        }
    }
}
