//! notifyctl rules, over the example that is packaged.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../packaging/examples/rules.toml"
);
const BODY: &str = concat!(
    r#"{"v":1,"id":"0199d3a8-0000-7000-8000-000000000001","kind":"raw","created_us":1783332000000000,"#,
    r#""site":"customer7","path":[],"context":{"HOSTNAME":"db1","SERVICEDESC":"Disk","SERVICESTATE":"CRITICAL","#,
    r#""NOTIFICATIONTYPE":"PROBLEM","HOSTLABEL_tier":"production","CONTACTS":"joe,\u001bx"}}"#
);

fn notifyctl(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_notifyctl"))
        .arg("rules")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that wants no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_body_is_explained_rule_by_rule() {
    let args = [
        "test",
        "--rules",
        EXAMPLE,
        "--context",
        "-",
        "--at",
        "2026-07-06T10:00:00Z",
    ];
    let output = notifyctl(&args, BODY);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for want in [
        "yes    everything to the people of the object\n         mail: joe\n         not \\u{1b}x, who is not known here\n",
        "no     nobody is woken for the test machines\n         host is \"db1\", the rule wants test*\n",
        "\nmail tells anna, joe\nsms tells anna, joe RETRIES=\"3\" SENDER=\"monitoring\"\n",
    ] {
        assert!(text.contains(want), "{want} is missing in\n{text}");
    }
}

#[test]
fn arguments_count_more_than_the_file_and_nobody_is_exit_1() {
    let at = "2026-07-06T10:00:00Z";
    let args = [
        "test",
        "--rules",
        EXAMPLE,
        "--context",
        "-",
        "--at",
        at,
        "--site",
        "other",
        "--json",
        "--",
        "NOTIFY_HOSTNAME=x",
        "CONTACTS=",
    ];
    let output = notifyctl(&args, BODY);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["deliveries"], serde_json::json!([]));
    assert_eq!(
        answer["rules"][2]["why"][0],
        "site is \"other\", the rule wants customer*"
    );
}

#[test]
fn each_line_is_a_notification() {
    let input = format!("{BODY}\n{{\"HOSTNAME\":\"test1\",\"HOSTSTATE\":\"DOWN\"}}\n");
    let args = [
        "test",
        "--rules",
        EXAMPLE,
        "--each",
        "--context",
        "-",
        "--at",
        "2026-07-06T10:00:00Z",
    ];
    let output = notifyctl(&args, &input);
    assert_eq!(
        stdout(&output),
        "db1/Disk: mail tells anna, joe; sms tells anna, joe\ntest1: nobody is told\n"
    );
    let output = notifyctl(&args, &format!("{BODY}\n{{\n"));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("-: line 2: not a notification"), "{error}");
}

#[test]
fn a_file_with_mistakes_is_named_and_nothing_else_happens() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.toml");
    std::fs::write(&file, "match = 'all'\n[[rule]]\nhost = '~('\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["check", file][..],
        &["test", "--rules", file, "HOSTNAME=x"],
    ] {
        let output = notifyctl(args, "");
        assert_eq!(output.status.code(), Some(78));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("rules.toml:3:8: `host`") && error.contains("`lanes` is missing"),
            "{error}"
        );
    }
    let output = notifyctl(&["check", EXAMPLE], "");
    assert!(stdout(&output).ends_with(": 4 rules, 2 contacts, lanes: mail, sms\n"));
}
