//! Answers, with the headers that the original sends.

use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, AGE, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, VARY,
};
use hyper::{Response, StatusCode};

use crate::board::{Published, Scrape};

pub(super) type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";

/// 200 with JSON.
pub(super) fn json(body: impl Into<Bytes>) -> Answer {
    with_type(JSON, body)
}

/// 200 with whatever is said to be in it.
pub(super) fn with_type(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    put(
        &mut answer,
        CONTENT_TYPE,
        HeaderValue::from_static(content_type),
    );
    answer
}

/// A status with nothing to say.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// An error with a line for people.
pub(super) fn error(status: StatusCode, text: &str) -> Answer {
    let mut answer = with_type("text/plain; charset=utf-8", format!("{text}\n"));
    put(
        &mut answer,
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    *answer.status_mut() = status;
    answer
}

pub(super) fn forbidden() -> Answer {
    error(StatusCode::FORBIDDEN, "Forbidden")
}

/// Somewhere else on this server.
pub(super) fn moved(path: &str) -> Answer {
    let mut answer = empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(path) = HeaderValue::from_str(path) {
        put(&mut answer, LOCATION, path);
    }
    answer
}

/// The document, with its age; compressed, or not at all, for clients that say
/// they can do with that.
pub(super) fn document(published: &Published, headers: &HeaderMap) -> Answer {
    let Some(collected) = published.collected else {
        return json(published.json.clone());
    };
    let compressed = accepts_gzip(headers);
    let tag = match compressed {
        false => published.etag.clone(),
        true => format!("{}-gzip\"", published.etag.trim_end_matches('"')),
    };
    let mut answer = match is_known(headers, &tag) {
        true => empty(StatusCode::NOT_MODIFIED),
        false if compressed => json(published.gzip()),
        false => json(published.json.clone()),
    };
    if compressed {
        put(
            &mut answer,
            CONTENT_ENCODING,
            HeaderValue::from_static("gzip"),
        );
    }
    put(
        &mut answer,
        VARY,
        HeaderValue::from_static("accept-encoding"),
    );
    if let Ok(tag) = HeaderValue::try_from(tag) {
        put(&mut answer, ETAG, tag);
    }
    aged(answer, collected)
}

/// What an exporter has said, with its age.
pub(super) fn scrape(scrape: Scrape) -> Answer {
    aged(with_type("text/plain", scrape.text), scrape.at)
}

fn aged(mut answer: Answer, collected: SystemTime) -> Answer {
    // A clock that was set back makes nothing older.
    let age = collected.elapsed().unwrap_or_default();
    put(&mut answer, AGE, HeaderValue::from(age.as_secs()));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(collected)) {
        put(&mut answer, LAST_MODIFIED, date);
    }
    answer
}

fn put(answer: &mut Answer, name: impl hyper::header::IntoHeaderName, value: HeaderValue) {
    answer.headers_mut().insert(name, value);
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            is_gzip && quality > 0.0
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        for (value, accepts) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=x", false),
            ("identity", false),
            ("*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), accepts, "{value}");
        }
    }
}
