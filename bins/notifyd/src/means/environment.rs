//! The environment a plugin sees: `NOTIFY_*` of Checkmk's plugins, built from a
//! clean list. Nothing else of the daemon's own environment is handed on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use objects::notification::Context;
use objects::{Envelope, UnixTime};

use crate::delivery::{Job, delay_secs};

/// The kernel takes no `NAME=value` longer than this, final NUL included.
const MAX_ENTRY: usize = 131_072;
/// What stands at the end of a value that was cut.
const CUT: &[u8] = b" [cut by notifyd]";
/// What plugins need of the daemon's environment, by name.
const KEPT: [&str; 10] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "OMD_SITE", "OMD_ROOT",
];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All variables for one attempt.
pub(crate) fn build(
    job: &Job,
    envelope: &Envelope<'_>,
    context: Context,
    now: UnixTime,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = KEPT
        .iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    if std::env::var_os("PATH").is_none() {
        all.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    let path: Vec<&str> = envelope.path.iter().map(objects::SiteId::as_str).collect();
    // Ours come last, so that no entry of the context can stand in for them.
    let mut own = vec![
        ("ID", job.id.to_string()),
        ("ATTEMPT", job.attempt.to_string()),
        ("DELAY", delay_secs(envelope.created, now).to_string()),
        ("PATH", path.join(",")),
    ];
    if job.is_late {
        own.push(("LATE", "1".to_owned()));
    }
    let entries = context
        .into_iter()
        .map(|(name, value)| (name, Vec::from(value)))
        .filter(|(name, _)| name != "LATE" && own.iter().all(|(ours, _)| ours != name))
        .chain(
            own.iter()
                .map(|(n, v)| ((*n).to_owned(), v.clone().into_bytes())),
        );
    for (name, value) in entries {
        let name = format!("NOTIFY_{name}");
        let value = fit(name.len(), value);
        all.push((name.into(), OsString::from_vec(value)));
    }
    all
}

/// Drops NUL, which no environment can hold, and cuts at the kernel's limit,
/// counted in bytes, never inside a character.
fn fit(name_len: usize, mut value: Vec<u8>) -> Vec<u8> {
    value.retain(|b| *b != 0);
    let room = MAX_ENTRY - name_len - "=\0".len();
    if value.len() > room {
        let mut at = room - CUT.len();
        while at > 0 && value[at] & 0xc0 == 0x80 {
            at -= 1;
        }
        value.truncate(at);
        value.extend_from_slice(CUT);
    }
    value
}

#[cfg(test)]
mod tests {
    use objects::NotificationId;

    use super::*;

    fn build_for(context: &str) -> Vec<(OsString, OsString)> {
        let body = format!(
            "{{\"v\":1,\"id\":\"0199d3a8-0000-7000-8000-000000000001\",\"kind\":\"raw\",\"created_us\":100000000,\
             \"site\":\"a\",\"path\":[\"a\",\"b\"],\"context\":{context}}}"
        );
        let id = NotificationId::parse("0199d3a8-0000-7000-8000-000000000001").unwrap();
        let job = Job {
            id,
            attempt: 2,
            body: body.clone(),
            told: Default::default(),
            is_late: true,
        };
        let envelope = Envelope::parse(&body).unwrap();
        let context = envelope.context().unwrap();
        build(&job, &envelope, context, UnixTime::from_secs(107))
    }

    fn value(all: &[(OsString, OsString)], name: &str) -> Vec<String> {
        let found = all.iter().filter(|(n, _)| n == name);
        found.map(|(_, v)| v.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_entry_becomes_a_variable_and_ours_win() {
        let all = build_for(r#"{"HOSTNAME":"db1","ATTEMPT":"99","PATH":"/evil","X":""}"#);
        assert_eq!(value(&all, "NOTIFY_HOSTNAME"), ["db1"]);
        assert_eq!(value(&all, "NOTIFY_X"), [""]);
        assert_eq!(value(&all, "NOTIFY_ATTEMPT"), ["2"]);
        assert_eq!(value(&all, "NOTIFY_DELAY"), ["7"]);
        assert_eq!(value(&all, "NOTIFY_LATE"), ["1"]);
        assert_eq!(value(&all, "NOTIFY_PATH"), ["a,b"]);
        assert_eq!(
            value(&all, "NOTIFY_ID"),
            ["0199d3a8-0000-7000-8000-000000000001"]
        );
        assert_eq!(value(&all, "PATH").len(), 1);
        assert!(value(&all, "CARGO_MANIFEST_DIR").is_empty());
    }

    #[test]
    fn values_are_cut_by_bytes_at_a_character() {
        for extra in 0..4 {
            let long = "x".repeat(extra) + &"ü".repeat(80_000);
            let value = fit("NOTIFY_LONG".len(), long.into_bytes());
            let total = "NOTIFY_LONG".len() + 1 + value.len() + 1;
            assert!(total <= MAX_ENTRY && total > MAX_ENTRY - 4, "{total}");
            assert!(
                std::str::from_utf8(&value)
                    .unwrap()
                    .ends_with("[cut by notifyd]")
            );
        }
        let fits = vec![b'x'; MAX_ENTRY - 3];
        assert_eq!(fit(1, fits.clone()), fits);
        assert_eq!(fit(1, b"a\0b".to_vec()), b"ab");
    }
}
