//! What a plugin is told: `NOTIFY_*` of Checkmk's plugins in its environment,
//! built from a clean list, or several notifications on its standard input.
//! Nothing else of the daemon's own environment is handed on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use objects::UnixTime;
use rustix::process::Resource;

use crate::delivery::delay_secs;
use crate::facts::Opened;

/// The kernel takes no `NAME=value` longer than this, final NUL included.
const MAX_ENTRY: usize = 131_072;
/// What all of them may take together, whatever the limit of the stack says: at
/// least, and at most.
const MIN_TOTAL: usize = 131_072;
const MAX_TOTAL: usize = 6 << 20;
/// For the arguments, the path of the program, and what the kernel adds.
const RESERVE: usize = 32 * 1024;
/// For the pointer to an entry, final NUL and `=`.
const OVERHEAD: usize = 10;
/// What stands at the end of a value that was cut.
const CUT: &[u8] = b" [cut by notifyd]";
/// No value is cut to less, however many there are.
const LEAST: usize = 256;
/// What plugins need of the daemon's environment, by name.
const KEPT: [&str; 10] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "OMD_SITE", "OMD_ROOT",
];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// In front of what rules say to a plugin.
const PARAMETER: &str = "PARAMETER_";
/// There only where a notification is.
const LATE: &str = "LATE";

/// A variable and its value.
pub(super) type Variable = (String, Vec<u8>);

/// All variables for one attempt at one notification.
pub(super) fn of_one(one: &Opened<'_>, lane: &str, now: UnixTime) -> Vec<Variable> {
    let all = parameters(one)
        .into_iter()
        .chain(variables(one, lane, now))
        .map(|(name, value)| (format!("NOTIFY_{name}"), value));
    clean().into_iter().chain(all).collect()
}

/// What every program gets.
pub(super) fn clean() -> Vec<Variable> {
    let kept = KEPT.iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Some(((*name).to_owned(), value.into_vec()))
    });
    let mut all: Vec<Variable> = kept.collect();
    if std::env::var_os("PATH").is_none() {
        all.push(("PATH".to_owned(), DEFAULT_PATH.into()));
    }
    all
}

/// Several notifications as `--bulk` has them: the parameters, then each after
/// an empty line; line ends inside values are the byte 1.
pub(super) fn block(all: &[Opened<'_>], lane: &str, now: UnixTime) -> Vec<u8> {
    let mut block = Vec::new();
    if let Some(first) = all.first() {
        print_lines(&mut block, parameters(first));
    }
    for one in all {
        block.push(b'\n');
        print_lines(&mut block, variables(one, lane, now));
    }
    block
}

fn print_lines(block: &mut Vec<u8>, all: Vec<Variable>) {
    for (name, value) in all {
        block.extend_from_slice(name.replace(['\r', '\n'], "").as_bytes());
        block.push(b'=');
        let value = value.into_iter().filter(|byte| ![0, b'\r'].contains(byte));
        block.extend(value.map(|byte| if byte == b'\n' { 1 } else { byte }));
        block.push(b'\n');
    }
}

/// What the rules say to the plugin; without rules what stands in the
/// notification, but nothing that came from another site.
fn parameters(one: &Opened<'_>) -> Vec<Variable> {
    let is_foreign = one.job.told.rules.is_empty() && one.envelope.path.len() > 1;
    let all = one.context.iter();
    all.filter(|(name, _)| name.starts_with(PARAMETER) && !is_foreign)
        .map(|(name, value)| (name.clone(), value.to_vec()))
        .collect()
}

/// Variables of the notification and of the attempt; without `NOTIFY_`.
fn variables(one: &Opened<'_>, lane: &str, now: UnixTime) -> Vec<Variable> {
    let (job, envelope) = (one.job, &one.envelope);
    let path: Vec<&str> = envelope.path.iter().map(objects::SiteId::as_str).collect();
    // Ours come last, so that no entry of the context can stand in for them.
    let mut own = vec![
        ("ID", job.id.to_string()),
        ("JOB_ID", job.id_in(lane).to_string()),
        ("ATTEMPT", job.attempt.to_string()),
        ("DELAY", delay_secs(envelope.created, now).to_string()),
        ("PATH", path.join(",")),
    ];
    if job.is_late {
        own.push((LATE, "1".to_owned()));
    }
    let is_replaced = |name: &str| {
        name.starts_with(PARAMETER) || name == LATE || own.iter().any(|(ours, _)| *ours == name)
    };
    let context = one.context.iter();
    let mut all: Vec<Variable> = context
        .filter(|(name, _)| !is_replaced(name))
        .map(|(name, value)| (name.clone(), value.to_vec()))
        .collect();
    let own = own.into_iter();
    all.extend(own.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    all
}

/// What the environment of a program with these arguments may take.
fn room(arguments: &[OsString]) -> usize {
    let stack = rustix::process::getrlimit(Resource::Stack).current;
    let quarter = stack.map_or(MAX_TOTAL, |bytes| {
        usize::try_from(bytes / 4).unwrap_or(MAX_TOTAL)
    });
    let taken: usize = arguments.iter().map(|one| one.len() + OVERHEAD).sum();
    quarter
        .clamp(MIN_TOTAL, MAX_TOTAL)
        .saturating_sub(RESERVE + taken)
}

/// Makes an environment that the kernel takes beside `arguments`.
pub(super) fn fit(all: Vec<Variable>, arguments: &[OsString]) -> Vec<(OsString, OsString)> {
    fit_into(all, room(arguments))
}

/// Values without NUL, none of them too long, and all together not longer than
/// `room`. The longest are cut first.
fn fit_into(mut all: Vec<Variable>, room: usize) -> Vec<(OsString, OsString)> {
    for (_, value) in &mut all {
        value.retain(|byte| *byte != 0);
    }
    let fixed: usize = all.iter().map(|(name, _)| name.len() + OVERHEAD).sum();
    let longest = longest(&all, room.saturating_sub(fixed));
    let cut = all.into_iter().map(|(name, mut value)| {
        let longest = longest.min(MAX_ENTRY - "=\0".len() - name.len());
        cut(&mut value, longest);
        (OsString::from(name), OsString::from_vec(value))
    });
    cut.collect()
}

/// The length to which values have to be cut so that all fit.
fn longest(all: &[Variable], room: usize) -> usize {
    let mut lengths: Vec<usize> = all.iter().map(|(_, value)| value.len()).collect();
    lengths.sort_unstable();
    let mut left = room;
    for (at, length) in lengths.iter().enumerate() {
        let share = left / (lengths.len() - at);
        if *length > share {
            return share.max(LEAST);
        }
        left -= length;
    }
    MAX_ENTRY
}

/// Counted in bytes, never inside a character.
pub(super) fn cut(value: &mut Vec<u8>, longest: usize) {
    if value.len() <= longest {
        return;
    }
    let mut at = longest - CUT.len();
    while at > 0 && value[at] & 0xc0 == 0x80 {
        at -= 1;
    }
    value.truncate(at);
    value.extend_from_slice(CUT);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use objects::NotificationId;
    use rules::{Contact, Told};

    use super::*;
    use crate::delivery::Job;

    const ID: &str = "0199d3a8-0000-7000-8000-000000000001";

    fn job(path: &str, context: &str, told: Told) -> Job {
        Job {
            id: NotificationId::parse(ID).unwrap(),
            attempt: 2,
            body: format!(
                "{{\"v\":1,\"id\":\"{ID}\",\"kind\":\"raw\",\"created_us\":100000000,\
                 \"site\":\"a\",\"path\":{path},\"context\":{context}}}"
            ),
            told: Arc::new(told),
            is_late: true,
            left: Vec::new(),
        }
    }

    fn build(path: &str, context: &str, told: Told) -> Vec<(OsString, OsString)> {
        let job = job(path, context, told);
        let opened = Opened::of(&job).unwrap();
        fit(of_one(&opened, "lane", UnixTime::from_secs(107)), &[])
    }

    fn value(all: &[(OsString, OsString)], name: &str) -> Vec<String> {
        let found = all.iter().filter(|(n, _)| n == name);
        found.map(|(_, v)| v.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_entry_becomes_a_variable_and_ours_win() {
        let context = r#"{"HOSTNAME":"db1","ATTEMPT":"99","PATH":"/evil","X":""}"#;
        let all = build(r#"["a","b"]"#, context, Told::default());
        assert_eq!(value(&all, "NOTIFY_HOSTNAME"), ["db1"]);
        assert_eq!(value(&all, "NOTIFY_X"), [""]);
        assert_eq!(value(&all, "NOTIFY_ATTEMPT"), ["2"]);
        assert_eq!(value(&all, "NOTIFY_DELAY"), ["7"]);
        assert_eq!(value(&all, "NOTIFY_PATH"), ["a,b"]);
        assert_eq!(value(&all, "NOTIFY_ID"), [ID]);
        assert_eq!(value(&all, "NOTIFY_JOB_ID").len(), 1);
        assert_eq!(value(&all, "PATH").len(), 1);
        assert!(value(&all, "CARGO_MANIFEST_DIR").is_empty());
    }

    #[test]
    fn contacts_and_parameters_are_those_of_the_rules() {
        let contact = |name: &str, alias: &str, attributes: &[(&str, &str)]| {
            let attributes = attributes.iter();
            Arc::new(Contact {
                name: name.into(),
                alias: alias.into(),
                email: format!("{name}@example.org").into(),
                attributes: attributes
                    .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                    .collect(),
                ..Contact::default()
            })
        };
        let told = Told {
            rules: vec!["all".to_owned()],
            parameters: vec![("FROM".to_owned(), "mon@example.org".to_owned())],
            contacts: vec![
                contact("anna", "Berg, Anna", &[("JABBER", "a@chat")]),
                contact("bob", "Bob", &[]),
            ],
            ..Told::default()
        };
        let context = r#"{"HOSTNAME":"db1","CONTACTS":"x,y","CONTACTNAME":"core","CONTACT_ROOM":"7",
            "PARAMETER_FROM":"evil","PARAMETER_X":"evil"}"#;
        let all = build(r#"["a"]"#, context, told.clone());
        for (name, want) in [
            ("CONTACTNAME", &["anna,bob"][..]),
            ("CONTACTALIAS", &["Berg  Anna,Bob"]),
            ("CONTACTEMAIL", &["anna@example.org,bob@example.org"]),
            ("CONTACTPAGER", &[","]),
            ("CONTACT_JABBER", &["a@chat,"]),
            ("CONTACT_ROOM", &[]),
            ("CONTACTS", &["x,y"]),
            ("PARAMETER_FROM", &["mon@example.org"]),
            ("PARAMETER_X", &[]),
        ] {
            assert_eq!(value(&all, &format!("NOTIFY_{name}")), want, "{name}");
        }
        let one = Told {
            contacts: vec![contact("anna", "Berg, Anna", &[])],
            ..told
        };
        let all = build(r#"["a"]"#, context, one);
        assert_eq!(value(&all, "NOTIFY_CONTACTALIAS"), ["Berg, Anna"]);
    }

    #[test]
    fn another_site_gives_no_parameters() {
        let context = r#"{"PARAMETER_FROM":"core"}"#;
        for (path, want) in [(r#"["a"]"#, &["core"][..]), (r#"["a","b"]"#, &[])] {
            let all = build(path, context, Told::default());
            assert_eq!(value(&all, "NOTIFY_PARAMETER_FROM"), want, "{path}");
        }
    }

    #[test]
    fn a_block_has_a_line_for_each_variable_and_an_empty_one_between() {
        let told = Told {
            rules: vec!["all".to_owned()],
            parameters: vec![("FROM".to_owned(), "mon\nx".to_owned())],
            ..Told::default()
        };
        let jobs = [
            job("[]", r#"{"A":"one\r\ntwo","B":"="}"#, told.clone()),
            job("[]", r#"{"A":""}"#, told),
        ];
        let opened = Opened::of_all(&jobs).unwrap();
        let block = block(&opened, "lane", UnixTime::from_secs(107));
        let text = String::from_utf8(block).unwrap();
        let parts: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(parts[0], "PARAMETER_FROM=mon\x01x");
        assert!(parts[1].starts_with("A=one\x01two\nB==\nID="), "{text}");
        assert!(parts[2].starts_with("A=\nID="), "{text}");
        assert!(text.ends_with("\nPATH=\nLATE=1\n"), "{text}");
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn values_are_cut_by_bytes_at_a_character() {
        let fit_one = |name: &str, value: &[u8]| {
            let all = fit_into(vec![(name.to_owned(), value.to_vec())], MAX_TOTAL);
            let mut values = all.into_iter().map(|(_, value)| value.into_vec());
            values.next().unwrap()
        };
        for extra in 0..4 {
            let long = "x".repeat(extra) + &"ü".repeat(80_000);
            let value = fit_one("NOTIFY_LONG", long.as_bytes());
            let total = "NOTIFY_LONG".len() + 1 + value.len() + 1;
            assert!(total <= MAX_ENTRY && total > MAX_ENTRY - 4, "{total}");
            let text = String::from_utf8(value).unwrap();
            assert!(text.ends_with("[cut by notifyd]"));
        }
        let fits = vec![b'x'; MAX_ENTRY - 3];
        assert_eq!(fit_one("A", &fits), fits);
        assert_eq!(fit_one("A", b"a\0b"), b"ab");
    }

    #[test]
    fn all_together_fit_and_the_longest_are_cut() {
        let mut all: Vec<Variable> = (0..40)
            .map(|n| (format!("LONG{n}"), vec![b'x'; 100_000]))
            .collect();
        all.push(("SHORT".to_owned(), b"as it was".to_vec()));
        for room in [MIN_TOTAL - RESERVE, 1 << 20, MAX_TOTAL] {
            let fitted = fit_into(all.clone(), room);
            let total: usize = fitted
                .iter()
                .map(|(name, value)| name.len() + value.len() + OVERHEAD)
                .sum();
            assert!(total <= room, "{total} of {room}");
            assert!(total + 100 * fitted.len() > room.min(4_000_000), "{total}");
            assert_eq!(value(&fitted, "SHORT"), ["as it was"]);
        }
    }
}
