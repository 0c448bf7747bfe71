//! notify as a core or a person calls it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use objects::Envelope;
use objects::notification::Context;

const PROBLEM: [&str; 2] = ["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME=db1"];

/// notify with nothing in its environment but what the test puts there.
fn notify(spool: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notify"));
    command
        .env_clear()
        .args(["--site", "remote1", "--spool"])
        .arg(spool);
    command
}

fn spool(directory: &Path) -> PathBuf {
    let spool = directory.join("spool");
    for part in ["tmp", "new"] {
        fs::create_dir_all(spool.join(part)).unwrap();
    }
    spool
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one file in `new/`: its name, and what is in it.
fn only_file(spool: &Path) -> (String, String) {
    let mut files: Vec<_> = fs::read_dir(spool.join("new")).unwrap().collect();
    assert_eq!(files.len(), 1);
    let file = files.remove(0).unwrap();
    let body = fs::read_to_string(file.path()).unwrap();
    (file.file_name().into_string().unwrap(), body)
}

fn context(body: &str) -> Context {
    Envelope::parse(body).unwrap().context().unwrap()
}

#[test]
fn what_a_core_says_is_in_the_spool_and_its_id_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let output = notify(&spool)
        .env("NOTIFY_NOTIFICATIONTYPE", "PROBLEM")
        .env("NOTIFY_HOSTNAME", "db1")
        .env("NOTIFY_SERVICEDESC", "Disk /")
        .env("NOTIFY_SERVICEOUTPUT", OsStr::from_bytes(b"CRIT \xe4\n|"))
        .env("NOTIFY_CONTACTPAGER", "$CONTACTPAGER$")
        .env("HOSTNAME", "not this one")
        .arg("SERVICESTATE=CRITICAL")
        .output()
        .unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let (name, body) = only_file(&spool);
    assert_eq!(output.stdout, format!("{name}\n").as_bytes());
    let envelope = Envelope::parse(&body).unwrap();
    assert_eq!(envelope.id.to_string(), name);
    assert_eq!(envelope.site.as_str(), "remote1");
    assert!(envelope.path.is_empty());
    let context = envelope.context().unwrap();
    assert_eq!(context["HOSTNAME"], "db1");
    assert_eq!(context["SERVICEOUTPUT"], &b"CRIT \xe4\n|"[..]);
    assert_eq!(context["SERVICESTATE"], "CRITICAL");
    assert_eq!(context["WHAT"], "SERVICE");
    assert_eq!(context["OMD_SITE"], "remote1");
    assert!(!context.contains_key("CONTACTPAGER"));
    let mode = fs::metadata(spool.join("new").join(name))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(spool.join("tmp")).unwrap().count(), 0);
}

#[test]
fn arguments_win_over_standard_input_over_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let mut child = notify(&spool)
        .env("NAGIOS_NOTIFICATIONTYPE", "PROBLEM")
        .env("NAGIOS_HOSTNAME", "nagios")
        .env("NOTIFY_HOSTNAME", "notify")
        .env("NOTIFY_A", "environment")
        .args(["--stdin-json", "--quiet", "B=argument"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = br#"{"A": "input", "B": "input", "C": "\udce4"}"#;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), output.stdout.as_slice()), (0, &b""[..]));
    let context = context(&only_file(&spool).1);
    for (name, value) in [
        ("HOSTNAME", &b"notify"[..]),
        ("A", b"input"),
        ("B", b"argument"),
        ("C", b"\xe4"),
    ] {
        assert_eq!(context[name], value, "{name}");
    }
}

#[test]
fn the_same_id_is_accepted_once() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let id = "0199f0a0-0000-7000-8000-000000000001";
    for _ in 0..2 {
        let output = notify(&spool)
            .args(["--id", id])
            .args(PROBLEM)
            .output()
            .unwrap();
        assert_eq!(output.stdout, format!("{id}\n").as_bytes());
        assert_eq!(code(&output), 0);
    }
    assert_eq!(only_file(&spool).0, id);
    assert_eq!(fs::read_dir(spool.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_prints_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let output = notify(&spool).arg("-n").args(PROBLEM).output().unwrap();
    assert_eq!(code(&output), 0);
    let body = String::from_utf8(output.stdout).unwrap();
    assert_eq!(context(&body)["HOSTNAME"], "db1");
    for part in ["tmp", "new"] {
        assert_eq!(fs::read_dir(spool.join(part)).unwrap().count(), 0);
    }
}

#[test]
fn too_long_is_cut_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let long = format!("{{\"LONGSERVICEOUTPUT\": \"{}\"}}", "x".repeat(3 << 20));
    let mut child = notify(&spool)
        .arg("--stdin-json")
        .args(PROBLEM)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(long.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let context = context(&only_file(&spool).1);
    assert!(context["LONGSERVICEOUTPUT"].ends_with(b"[cut: too long]"));
    assert_eq!(context["HOSTNAME"], "db1");
}

#[test]
fn refusals_have_their_codes_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let there = spool(directory.path());
    let missing = directory.path().join("nowhere");
    for (name, spool, arguments, want, message) in [
        (
            "no type",
            &there,
            &["HOSTNAME=h"][..],
            2,
            "NOTIFICATIONTYPE is not given",
        ),
        (
            "no host",
            &there,
            &["NOTIFICATIONTYPE=PROBLEM", "HOSTNAME="],
            2,
            "HOSTNAME is not given",
        ),
        (
            "no value",
            &there,
            &["HOSTNAME"],
            2,
            "not of the form NAME=VALUE",
        ),
        ("bad id", &there, &["--id", "7"], 2, "not a UUID"),
        (
            "bad site",
            &there,
            &["--site", "a/b"],
            2,
            "is not a site id",
        ),
        ("unknown flag", &there, &["--sptool", "x"], 2, "--sptool"),
        (
            "no spool",
            &missing,
            &PROBLEM,
            75,
            "No such file or directory",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notify"));
        command
            .env_clear()
            .env("OMD_SITE", "remote1")
            .arg("--spool")
            .arg(spool);
        let output = command.args(arguments).output().unwrap();
        assert_eq!(code(&output), want, "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(message),
            "{name}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{name}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_notify"))
        .env_clear()
        .args(PROBLEM)
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("the site is not known"));
    for part in ["tmp", "new"] {
        assert_eq!(fs::read_dir(there.join(part)).unwrap().count(), 0);
    }
}

#[test]
fn accepted_stays_accepted_when_nobody_reads_the_id() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(directory.path());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = notify(&spool).args(PROBLEM).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
    only_file(&spool);
}
