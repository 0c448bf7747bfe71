//! Programs of all sorts: plugins as Checkmk has them, mailers of other cores,
//! sendmail, Checkmk itself, and those that do not behave.

mod support;

use std::fs;
use std::process::Command;

use support::{Site, read, wait_until};

const CONTEXT: &[(&str, &str)] = &[
    ("NOTIFICATIONTYPE", "PROBLEM"),
    ("WHAT", "SERVICE"),
    ("HOSTNAME", "db1"),
    ("HOSTALIAS", "Joe's \"db\""),
    ("HOSTADDRESS", "192.0.2.7"),
    ("SERVICEDESC", "Disk /"),
    ("SERVICESTATE", "CRITICAL"),
    ("SERVICESHORTSTATE", "CRIT"),
    ("LASTSERVICESTATE", "OK"),
    ("SERVICEOUTPUT", "99 % used $(id) `id` ü"),
    ("CONTACTNAME", "joe"),
    ("CONTACTEMAIL", "joe@example.com"),
    ("CONTACTPAGER", "+491234"),
];

fn script(more: &str) -> String {
    format!("[[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '100ms'\n{more}\n")
}

fn with(extra: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [CONTEXT, extra].concat()
}

/// A mail in plain text, as `asciimail` makes it.
const ASCII_MAIL: &str = r#"
subject="Check_MK: $NOTIFY_HOSTNAME/$NOTIFY_SERVICEDESC $NOTIFY_LASTSERVICESTATE -> $NOTIFY_SERVICESHORTSTATE"
{
    echo "To: $NOTIFY_CONTACTEMAIL"
    echo "Subject: $subject"
    echo
    printf '%-20s%s\n' Host: "$NOTIFY_HOSTNAME" Alias: "$NOTIFY_HOSTALIAS" Output: "$NOTIFY_SERVICEOUTPUT"
} >@mail || exit 2
echo "sent to $NOTIFY_CONTACTEMAIL"
"#;

/// A text of at most 160 characters for a modem, as `sms` makes it.
const SMS: &str = r#"
[ -n "$NOTIFY_CONTACTPAGER" ] || { echo "no pager number"; exit 2; }
text="$NOTIFY_HOSTNAME $NOTIFY_SERVICESHORTSTATE $NOTIFY_SERVICEDESC $NOTIFY_SERVICEOUTPUT"
[ -e @modem ] || { touch @modem; echo "modem is busy"; echo "retry-after: 0"; exit 1; }
printf '%.160s\n' "$text" >"@sms.$NOTIFY_CONTACTPAGER"
"#;

#[test]
fn plugins_written_for_checkmk_run_as_they_are() {
    let site = Site::new("central", &script(""));
    site.script("plugin", ASCII_MAIL);
    let daemon = site.start();
    assert_eq!(
        site.outcome(CONTEXT),
        [
            "success: exit code 0: sent to joe@example.com",
            "ended delivered"
        ]
    );
    assert_eq!(
        read(&site.path("mail")),
        "To: joe@example.com\nSubject: Check_MK: db1/Disk / OK -> CRIT\n\n\
         Host:               db1\nAlias:              Joe's \"db\"\n\
         Output:             99 % used $(id) `id` ü\n"
    );
    site.script("plugin", SMS);
    assert_eq!(
        site.outcome(CONTEXT),
        [
            "temporary failure: exit code 1: modem is busy\nretry-after: 0",
            "success: exit code 0",
            "ended delivered"
        ]
    );
    assert!(read(&site.path("sms.+491234")).starts_with("db1 CRIT Disk / 99 % used $(id)"));
    assert_eq!(
        site.outcome(&with(&[("CONTACTPAGER", "")])),
        [
            "permanent failure: exit code 2: no pager number",
            "ended refused"
        ]
    );
    daemon.terminate();
}

/// What a plugin does that posts to a chat, in the language that they are
/// written in: it reads the environment and prints JSON.
const SLACK: &str = r##"#!/usr/bin/env python3
import json, os, sys
env = {k[7:]: v for k, v in os.environ.items() if k.startswith("NOTIFY_")}
if env["SERVICESTATE"] not in ("OK", "WARNING", "CRITICAL", "UNKNOWN"):
    sys.exit(2)
color = {"CRITICAL": "#EE0000"}.get(env["SERVICESTATE"], "#888888")
with open(os.path.dirname(sys.argv[0]) + "/slack", "w") as out:
    json.dump({"attachments": [{"color": color, "title": "Service %(NOTIFICATIONTYPE)s notification" % env,
        "text": "Host: %(HOSTNAME)s (%(HOSTALIAS)s)\n%(SERVICEOUTPUT)s" % env}]}, out)
"##;

#[test]
fn plugins_in_python_run_as_they_are() {
    let has_python = Command::new("python3").arg("--version").output();
    if !has_python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let site = Site::new("central", &script(""));
    site.script("plugin", "");
    fs::write(site.path("plugin"), SLACK).unwrap();
    let daemon = site.start();
    let outcome = site.outcome(CONTEXT);
    assert_eq!(outcome, ["success: exit code 0", "ended delivered"]);
    let sent: serde_json::Value = serde_json::from_str(&read(&site.path("slack"))).unwrap();
    assert_eq!(sent["attachments"][0]["color"], "#EE0000");
    let text = sent["attachments"][0]["text"].as_str().unwrap();
    assert_eq!(text, "Host: db1 (Joe's \"db\")\n99 % used $(id) `id` ü");
    daemon.terminate();
}

#[test]
fn scripts_that_do_not_behave_do_not_hold_a_lane() {
    let site = Site::new("central", &script("timeout = '3s'\nexpire = '1s'"));
    site.script("plugin", "");
    let mut daemon = site.start();
    for (name, text, want) in [
        (
            "a hundred MiB",
            "head -c 100M /dev/zero | tr '\\0' x",
            "success: exit code 0: xxx",
        ),
        (
            "a reader of its input",
            "cat; echo got nothing",
            "success: exit code 0: got nothing",
        ),
        (
            "no output at all",
            "exec >&- 2>&-; sleep 0.1",
            "success: exit code 0",
        ),
        (
            "somebody left behind who holds the output",
            "sleep 600 & echo $! >@left; exit 0",
            "success: exit code 0",
        ),
        (
            "many left behind",
            "for n in 1 2 3 4 5 6 7 8 9; do (sleep 2; echo x) & done; exit 0",
            "success: exit code 0",
        ),
        (
            "one that sleeps",
            "sleep 600",
            "temporary failure: killed after 3s",
        ),
        (
            "one that ignores what it can",
            "trap '' TERM INT HUP; while :; do sleep 1; done",
            "temporary failure: killed after 3s",
        ),
        (
            "one that prints for ever",
            "yes",
            "temporary failure: killed after 3s: y\ny",
        ),
        (
            "somebody in a session of its own who holds the output",
            "setsid sleep 600 & echo $! >@stray; sleep 600",
            "temporary failure: killed after 3s, with 1 outside of its group",
        ),
        (
            "the same without parents",
            "setsid sh -c 'sleep 600 & echo $! >@orphan'; sleep 600",
            "temporary failure: killed after 3s, with 1 outside of its group",
        ),
        (
            "one that starts others as fast as they are killed",
            "setsid sh -c 'while :; do setsid sleep 600 & sleep 0.01; done' & sleep 600",
            "temporary failure: killed after 3s, with ",
        ),
        (
            "one of whom nothing is known any more",
            "setsid env -i sh -c 'sleep 600 & echo $! >@nobody' ; exit 0",
            "success: exit code 0",
        ),
    ] {
        site.script("plugin", text);
        let outcome = site.outcome(CONTEXT);
        assert!(outcome[0].starts_with(want), "{name}: {:.200}", outcome[0]);
        assert!(outcome[0].len() < 70_000, "{name}");
    }
    let pid = |file: &str| read(&site.path(file)).trim().to_owned();
    let lives = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    for file in ["stray", "orphan"] {
        wait_until("it is gone", || !lives(&pid(file)));
    }
    // Nobody is kept from leaving something in the background, but it is told.
    for file in ["left", "nobody"] {
        let pid = pid(file);
        assert!(lives(&pid), "{file}");
        daemon.wait_for_line(&format!("has left process {pid} (sleep) behind"));
        let _ = Command::new("kill").arg(&pid).status();
        // Its parent is notifyd, which lets it go.
        let path = format!("/proc/{pid}");
        wait_until("it is gone", || !std::path::Path::new(&path).exists());
    }
    daemon.terminate();
}

#[test]
fn long_values_do_not_keep_a_plugin_from_running() {
    let site = Site::new("central", &script(""));
    site.script("plugin", "printf %s \"$NOTIFY_LONGSERVICEOUTPUT\" | wc -c");
    let daemon = site.start();
    let long: &str = Box::leak("ü".repeat(200_000).into_boxed_str());
    let outcome = site.outcome(&with(&[("LONGSERVICEOUTPUT", long)]));
    let printed = outcome[0]
        .strip_prefix("success: exit code 0: ")
        .expect(&outcome[0]);
    let length: usize = printed.parse().unwrap();
    assert!((131_000..131_072).contains(&length), "{length}");
    daemon.terminate();
}

#[test]
fn a_command_gets_arguments_and_variables_from_templates() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'cmd'\nretry = '100ms'\n\
         command = ['@mailer', '--host', '{{ host }}', ['--by', '{{ author }}'], '{{ output }}', \
         ['--state', '{{ state }}'], '', '{{ email }}', '{{ link }}']\n\
         link = 'https://mon/{{ host|percent }}'\n\
         environment = { SUBJECT = '{{ type }} {{ service }}', NOTIFY_HOSTNAME = 'mine' }\n",
    );
    site.script(
        "mailer",
        "for a; do echo \"<$a>\"; done >@args; \
         echo $SUBJECT $NOTIFY_HOSTNAME $NOTIFY_HOSTALIAS >>@args; \
         [ $NOTIFY_ATTEMPT -gt 1 ] || exit 75; exit $(cat @code)",
    );
    fs::write(site.path("code"), "0").unwrap();
    let daemon = site.start();
    assert_eq!(
        site.outcome(CONTEXT),
        [
            "temporary failure: exit code 75",
            "success: exit code 0",
            "ended delivered"
        ]
    );
    let args = read(&site.path("args"));
    let lines: Vec<&str> = args.lines().collect();
    assert_eq!(
        lines,
        [
            "<--host>",
            "<db1>",
            "<99 % used $(id) `id` ü>",
            "<--state>",
            "<CRITICAL>",
            "<>",
            "<joe@example.com>",
            "<https://mon/db1>",
            "PROBLEM Disk / mine Joe's \"db\"",
        ]
    );
    fs::write(site.path("code"), "3").unwrap();
    let outcome = site.outcome(CONTEXT);
    assert_eq!(outcome.last().unwrap(), "ended refused", "{outcome:?}");
    daemon.terminate();
}

#[test]
fn sendmail_gets_a_mail_and_its_exit_code_is_the_verdict() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'mail'\nsendmail = '@sendmail'\nretry = '100ms'\ntimeout = '5s'\n\
         to = ['a@example.com', '-oQ/tmp@example.com']\nfrom = 'Monitoring <mon@example.com>'\n",
    );
    site.script(
        "sendmail",
        "echo \"$*\" >@args; cat >@mail; [ $(cat @code) = 0 ] || echo told; c=$(cat @code); echo 0 >@code; exit $c",
    );
    let daemon = site.start();
    for (code, want) in [
        ("0", &["success: exit code 0", "ended delivered"][..]),
        (
            "64",
            &["permanent failure: exit code 64: told", "ended refused"],
        ),
        (
            "65",
            &["permanent failure: exit code 65: told", "ended refused"],
        ),
        (
            "67",
            &["permanent failure: exit code 67: told", "ended refused"],
        ),
        (
            "68",
            &[
                "temporary failure: exit code 68: told",
                "success: exit code 0",
                "ended delivered",
            ],
        ),
        (
            "69",
            &[
                "temporary failure: exit code 69: told",
                "success: exit code 0",
                "ended delivered",
            ],
        ),
        (
            "75",
            &[
                "temporary failure: exit code 75: told",
                "success: exit code 0",
                "ended delivered",
            ],
        ),
        (
            "78",
            &[
                "temporary failure: exit code 78: told",
                "success: exit code 0",
                "ended delivered",
            ],
        ),
    ] {
        fs::write(site.path("code"), code).unwrap();
        assert_eq!(site.outcome(CONTEXT), want, "{code}");
    }
    assert_eq!(
        read(&site.path("args")),
        "-i -f mon@example.com -- a@example.com -oQ/tmp@example.com\n"
    );
    let mail = read(&site.path("mail"));
    assert!(!mail.contains('\r'));
    assert!(
        mail.contains("\nSubject: *** PROBLEM - db1/Disk / is CRIT ***\n"),
        "{mail}"
    );
    daemon.terminate();
}

#[test]
fn a_checkmk_gets_what_its_spooler_reads() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'cmk'\ncheckmk = { spool = '@cmk' }\n",
    );
    fs::create_dir(site.path("cmk")).unwrap();
    let daemon = site.start();
    let id = site.submit(&with(&[
        ("PARAMETER_TO", "evil"),
        ("LONGSERVICEOUTPUT", "a\nb '\""),
    ]));
    wait_until("it is delivered", || site.state()["delivered"] == 1);
    assert_eq!(site.files("cmk"), [id.to_string()]);
    let file = fs::read(site.path("cmk").join(id.to_string())).unwrap();
    // The stand-in: a dict with nothing but the context is a raw notification.
    let parsed = nagios::SpoolFile::parse(&file).unwrap();
    let text = String::from_utf8(file).unwrap();
    assert!(text.starts_with("{'context': {'"), "{text}");
    assert_eq!(parsed.kind(), nagios::SpoolKind::Raw);
    let mut context = parsed.context;
    assert_eq!(context.remove("LONGSERVICEOUTPUT").unwrap(), "a\nb '\"");
    let context: Vec<(String, String)> = context
        .into_iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect();
    let mut want: Vec<(String, String)> = CONTEXT
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    want.sort();
    assert_eq!(context, want);
    daemon.terminate();
}

#[test]
fn a_checkmks_command_gets_the_variables_and_is_asked_again() {
    let site = Site::new(
        "central",
        "[[lane]]\nname = 'cmk'\nretry = '100ms'\ncheckmk = { command = ['@cmk', '--notify'] }\n",
    );
    site.script(
        "cmk",
        "[ \"$*\" = --notify ] || exit 9; env | grep ^NOTIFY_ | sort >@env; \
         [ $NOTIFY_ATTEMPT -gt 1 ] || exit 2",
    );
    let daemon = site.start();
    assert_eq!(
        site.outcome(CONTEXT),
        [
            "temporary failure: exit code 2",
            "success: exit code 0",
            "ended delivered"
        ]
    );
    let env = read(&site.path("env"));
    assert!(
        env.contains("NOTIFY_SERVICEOUTPUT=99 % used $(id) `id` ü\n"),
        "{env}"
    );
    daemon.terminate();
}
