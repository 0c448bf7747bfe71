//! What Icinga 2 says to a request.

use serde_json::Value;

use crate::state::http::Answer;

/// What became of a request, and whose fault it is if nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// It has something newer, or that already.
    Older,
    /// It has no such object.
    Unknown,
    /// It does not take this.
    Refused(String),
    /// It takes nothing of us.
    NotUs(String),
    /// It takes nothing at the moment.
    NotNow(String),
}

pub(super) fn verdict(answer: &Answer) -> Verdict {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    // What it says about the one object that was named, or in general.
    let of_object = &body["results"][0];
    let (code, text) = match of_object["code"].as_f64() {
        Some(code) => (code as u16, &of_object["status"]),
        None => (answer.status, &body["status"]),
    };
    let is_of_object = of_object["code"].is_number();
    let text = text.as_str().unwrap_or_default();
    let said = || {
        let text = program::log::quote(text.as_bytes(), 300);
        match text.as_str() {
            "" => format!("it answers {code}"),
            text => format!("it answers {code}: {text}"),
        }
    };
    match code {
        // It would be reached through a host that is down.
        200..=299 if text.starts_with("Ignoring ") => Verdict::Refused(said()),
        200..=299 => Verdict::Done,
        409 => Verdict::Older,
        404 => Verdict::Unknown,
        401 => Verdict::NotUs("it does not know the user, or not with that password".to_owned()),
        403 if !is_of_object => Verdict::NotUs(said()),
        408 | 429 | 500..=599 if !is_of_object => Verdict::NotNow(said()),
        _ => Verdict::Refused(said()),
    }
}

/// The objects of an answer to a query.
pub(super) fn results(body: &[u8]) -> Vec<Value> {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get_mut("results").map(Value::take) {
        Some(Value::Array(results)) => results,
        _ => Vec::new(),
    }
}

/// What the user may do, as `/v1` lists it.
pub(super) fn permissions(body: &[u8]) -> Vec<String> {
    let results = results(body);
    let listed = results
        .first()
        .and_then(|user| user["permissions"].as_array());
    let names = listed.into_iter().flatten().map(|permission| {
        // With a filter it is an object, or the name and a remark about that.
        let name = permission.as_str().or(permission["permission"].as_str());
        let name = name.unwrap_or_default();
        name.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    names.collect()
}

/// Whether a permission such as `actions/*` has another in it, whatever the case
/// of its letters.
pub(super) fn covers(has: &str, needed: &str) -> bool {
    let (has, needed) = (has.to_ascii_lowercase(), needed.to_ascii_lowercase());
    match has.split_once('*') {
        Some((start, end)) => {
            needed.len() >= start.len() + end.len()
                && needed.starts_with(start)
                && needed.ends_with(end)
        }
        None => has == needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_tell_whose_fault_it_is() {
        let refused = |text: &str| Verdict::Refused(text.to_owned());
        for (status, body, want) in [
            (
                200,
                r#"{"results":[{"code":200.0,"status":"Successfully processed check result for object 'h'."}]}"#,
                Verdict::Done,
            ),
            (
                200,
                r#"{"results":[{"code":200,"status":"Ignoring passive check result for unreachable object 'h'."}]}"#,
                refused(
                    "it answers 200: Ignoring passive check result for unreachable object 'h'.",
                ),
            ),
            (
                409,
                r#"{"results":[{"code":409,"status":"Newer check result already present."}]}"#,
                Verdict::Older,
            ),
            (
                404,
                r#"{"error":404,"status":"No objects found."}"#,
                Verdict::Unknown,
            ),
            (
                500,
                r#"{"results":[{"code":403,"status":"Passive checks are disabled for object 'h'."}]}"#,
                refused("it answers 403: Passive checks are disabled for object 'h'."),
            ),
            (
                403,
                r#"{"error":403,"status":"Missing permission: actions/x"}"#,
                Verdict::NotUs("it answers 403: Missing permission: actions/x".to_owned()),
            ),
            (
                401,
                "<html>",
                Verdict::NotUs("it does not know the user, or not with that password".to_owned()),
            ),
            (503, "busy", Verdict::NotNow("it answers 503".to_owned())),
            (400, r#"{"status":7}"#, refused("it answers 400")),
            (200, "", Verdict::Done),
        ] {
            let answer = Answer {
                status,
                body: body.into(),
            };
            assert_eq!(verdict(&answer), want, "{body}");
        }
    }

    #[test]
    fn permissions_are_found_and_matched() {
        let body = br#"{"results":[{"user":"u","permissions":["actions/process-*","objects/query/Comment (filtered)",{"permission":"status/query"},7]}]}"#;
        let found = permissions(body);
        assert_eq!(
            found,
            [
                "actions/process-*",
                "objects/query/Comment",
                "status/query",
                ""
            ]
        );
        for (has, needed, want) in [
            ("*", "actions/x", true),
            ("actions/*", "actions/process-check-result", true),
            ("actions/process-*", "actions/process-check-result", true),
            (
                "actions/reschedule-check",
                "actions/process-check-result",
                false,
            ),
            ("objects/query/comment", "objects/query/Comment", true),
            ("", "actions/x", false),
        ] {
            assert_eq!(covers(has, needed), want, "{has} {needed}");
        }
        for other in [&b"{"[..], b"", b"999.9", b"[]", b"{\"results\":7}"] {
            assert!(permissions(other).is_empty(), "{}", other.escape_ascii());
        }
    }
}
