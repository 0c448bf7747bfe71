//! What Icinga 2 is asked to do, as JSON. Bytes that are not UTF-8 become
//! replacement characters: JSON has no way to carry them.

use bstr::{BStr, ByteSlice};
use nagios::check_result::CheckResult;
use serde_json::{Value, json};

use crate::state::remark::{Kind, Remark};

/// A comment that came with an acknowledgement.
const ACKNOWLEDGEMENT: u8 = 4;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The body that hands over a check result.
pub(super) fn check_result(result: &CheckResult, source: &str) -> Vec<u8> {
    let mut body = match &result.service_description {
        Some(service) => json!({
            "type": "Service",
            "service": format!("{}!{}", text(&result.host_name), text(service)),
            "exit_status": result.return_code,
        }),
        // It has no unreachable hosts that it is told of.
        None => json!({
            "type": "Host",
            "host": text(&result.host_name),
            "exit_status": result.return_code.min(1),
        }),
    };
    let mut output = text(&result.plugin_output);
    if !result.long_plugin_output.is_empty() {
        output.push('\n');
        output.push_str(&text(&result.long_plugin_output));
    }
    body["plugin_output"] = output.into();
    let metrics = metrics(result.perf_data.as_bstr());
    body["performance_data"] = metrics.into_iter().map(text).collect();
    body["check_source"] = source.into();
    body["execution_start"] = result.start_time.as_secs_f64().into();
    body["execution_end"] = result
        .finish_time
        .max(result.start_time)
        .as_secs_f64()
        .into();
    body.to_string().into_bytes()
}

/// The body that says a remark.
pub(super) fn remark(remark: &Remark, author: &str) -> Value {
    let mut body = object(remark, author);
    body["comment"] = remark.text.as_str().into();
    match remark.kind {
        Kind::Acknowledgement { is_sticky } => {
            body["sticky"] = is_sticky.into();
            body["notify"] = false.into();
            body["persistent"] = false.into();
        }
        Kind::Downtime {
            start,
            end,
            is_fixed,
            duration,
        } => {
            body["start_time"] = start.into();
            body["end_time"] = end.into();
            body["fixed"] = is_fixed.into();
            body["duration"] = duration.into();
        }
    }
    body
}

/// The body that names the object of a remark.
pub(super) fn object(remark: &Remark, author: &str) -> Value {
    match &remark.service {
        Some(service) => json!({
            "type": "Service",
            "service": format!("{}!{service}", remark.host),
            "author": author,
        }),
        None => json!({ "type": "Host", "host": remark.host, "author": author }),
    }
}

/// The body that names a downtime.
pub(super) fn downtime(name: &str, author: &str) -> Value {
    json!({ "type": "Downtime", "downtime": name, "author": author })
}

/// Asks for the comments of all acknowledgements of an object. `host` and
/// `service` in a filter are the objects that a comment is about.
pub(super) fn acknowledgements(remark: &Remark) -> Value {
    json!({
        "filter": "comment.entry_type == of_kind && comment.host_name == of_host && \
                   comment.service_name == of_service",
        "filter_vars": {
            "of_kind": ACKNOWLEDGEMENT,
            "of_host": remark.host,
            "of_service": remark.service.as_deref().unwrap_or_default(),
        },
        "attrs": ["author"],
    })
}

/// Asks for the downtimes that are this one.
pub(super) fn own_downtimes(remark: &Remark, author: &str) -> Value {
    json!({
        "filter": "downtime.author == of_author && downtime.comment == of_text && \
                   downtime.host_name == of_host && downtime.service_name == of_service",
        "filter_vars": {
            "of_author": author,
            "of_text": remark.text,
            "of_host": remark.host,
            "of_service": remark.service.as_deref().unwrap_or_default(),
        },
        "attrs": ["author"],
    })
}

/// The header that shows who we are.
pub(super) fn basic(user: &str, password: &[u8]) -> String {
    let plain = [user.as_bytes(), b":", password].concat();
    let mut header = "Basic ".to_owned();
    for group in plain.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 63;
            header.push(match at > group.len() {
                true => '=',
                false => char::from(LETTERS[index]),
            });
        }
    }
    header
}

fn text(bytes: &[u8]) -> String {
    bytes.to_str_lossy().into_owned()
}

/// Performance data, metric by metric as they stand there. A label in quotes may
/// have blanks.
fn metrics(perf_data: &BStr) -> Vec<&[u8]> {
    let mut is_quoted = false;
    let metrics = perf_data.split(|b| {
        is_quoted ^= *b == b'\'';
        !is_quoted && b.is_ascii_whitespace()
    });
    metrics.filter(|metric| !metric.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use objects::UnixTime;

    #[test]
    fn a_check_result_is_said_in_json() {
        let result = |service: Option<&str>, code: u8| CheckResult {
            host_name: "h".into(),
            service_description: service.map(Into::into),
            return_code: code,
            start_time: UnixTime::from_micros(1_700_000_000_250_000),
            finish_time: UnixTime::from_micros(1_700_000_001_500_000),
            plugin_output: b"a|b \"\\\xff".into(),
            long_plugin_output: b"c\nd\xff|".into(),
            perf_data: "'a b'=1;2 c=3  'it''s'=4".into(),
            ..CheckResult::default()
        };
        let read = |result| -> Value {
            serde_json::from_slice(&check_result(&result, "sitewire:r")).unwrap()
        };
        let service = read(result(Some("Disk C:\\"), 3));
        assert_eq!(
            service,
            json!({
                "type": "Service",
                "service": "h!Disk C:\\",
                "exit_status": 3,
                "plugin_output": "a|b \"\\\u{fffd}\nc\nd\u{fffd}|",
                "performance_data": ["'a b'=1;2", "c=3", "'it''s'=4"],
                "check_source": "sitewire:r",
                "execution_start": 1_700_000_000.25,
                "execution_end": 1_700_000_001.5,
            })
        );
        let host = read(result(None, 2));
        assert_eq!(
            (&host["host"], &host["exit_status"]),
            (&json!("h"), &json!(1))
        );
    }

    #[test]
    fn a_user_and_a_password_are_one_header() {
        for (user, password, want) in [
            ("a", "", "Basic YTo="),
            ("ab", "", "Basic YWI6"),
            ("abc", "", "Basic YWJjOg=="),
            ("root", "i<3>?", "Basic cm9vdDppPDM+Pw=="),
        ] {
            assert_eq!(basic(user, password.as_bytes()), want);
        }
    }
}
