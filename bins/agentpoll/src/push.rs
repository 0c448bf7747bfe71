//! What agents send that push.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest of the short texts.
const MAX_TEXT: usize = 512;

/// An agent wants to be known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Registration {
    #[serde(rename = "agentuuid")]
    pub(crate) uuid: String,
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) ipaddress: String,
}

/// A document or an inventory, and whose it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Submission<'a> {
    #[serde(borrow)]
    pub(crate) checkdata: &'a RawValue,
    #[serde(rename = "agentuuid", borrow)]
    pub(crate) uuid: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) password: Cow<'a, str>,
}

impl Registration {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let registration: Self = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        check_uuid(&registration.uuid)?;
        let texts = [
            &registration.password,
            &registration.hostname,
            &registration.ipaddress,
        ];
        match texts.iter().any(|text| text.len() > MAX_TEXT) {
            true => Err("a text is too long".to_owned()),
            false => Ok(registration),
        }
    }
}

impl<'a> Submission<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, String> {
        let submission: Self = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        check_uuid(&submission.uuid)?;
        match submission.password.len() > MAX_TEXT {
            true => Err("a text is too long".to_owned()),
            false => Ok(submission),
        }
    }
}

/// It becomes the name of a file, and is shown to people.
pub(crate) fn check_uuid(uuid: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match !uuid.is_empty() && uuid.len() <= 64 && uuid.chars().all(is_allowed) {
        true => Ok(()),
        false => Err("agentuuid is no UUID".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b5c8a52-5bb6-4a83-9d3a-9f1f7f0a1f00";

    #[test]
    fn registrations_say_who_and_from_where() {
        let body = format!(
            r#"{{"agentuuid": "{UUID}", "password": "", "hostname": "web1", "ipaddress": "192.0.2.7"}}"#
        );
        let registration = Registration::parse(body.as_bytes()).unwrap();
        assert_eq!(registration.uuid, UUID);
        assert_eq!(registration.hostname, "web1");
    }

    #[test]
    fn what_is_no_registration_is_refused() {
        let long = "x".repeat(MAX_TEXT + 1);
        for body in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            r#"{"agentuuid": "a"}"#.to_owned(),
            r#"{"agentuuid": "", "password": ""}"#.to_owned(),
            r#"{"agentuuid": "../../etc/x", "password": ""}"#.to_owned(),
            r#"{"agentuuid": "a", "password": 7}"#.to_owned(),
            format!(r#"{{"agentuuid": "a", "password": "{long}"}}"#),
        ] {
            assert!(Registration::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_document_is_handed_on_as_it_came() {
        let body = format!(
            r#"{{"password": "p\u0041", "checkdata": {{"agent": {{}}, "x": 18446744073709551615}}, "agentuuid": "{UUID}"}}"#
        );
        let submission = Submission::parse(body.as_bytes()).unwrap();
        assert_eq!(submission.password, "pA");
        assert_eq!(
            submission.checkdata.get(),
            r#"{"agent": {}, "x": 18446744073709551615}"#
        );
        assert!(Submission::parse(br#"{"agentuuid": "a", "password": ""}"#).is_err());
    }
}
