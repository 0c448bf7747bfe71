//! sitecert as its users call it; openssl judges the certificates.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn sitecert(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sitecert"))
        .args(args)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// Runs it, and demands that it works without a word.
fn quiet(directory: &Path, args: &[&str]) {
    let output = sitecert(directory, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

/// Runs it, and demands that it fails with this in its message.
fn fails(directory: &Path, args: &[&str], code: i32, message: &str) {
    let output = sitecert(directory, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(message), "{args:?}: {text}");
    assert!(text.starts_with("sitecert: ") || code == 2, "{text}");
}

fn openssl(directory: &Path, args: &[&str]) -> Output {
    Command::new("openssl")
        .args(args)
        .current_dir(directory)
        .output()
        .expect("openssl is installed")
}

/// A directory with an authority and two sites in `certs`.
fn two_sites() -> TempDir {
    let directory = TempDir::new().unwrap();
    quiet(directory.path(), &["init-ca", "--directory", "certs"]);
    for site in ["central", "remote_1"] {
        quiet(directory.path(), &["issue", site, "--directory", "certs"]);
    }
    directory
}

#[test]
fn openssl_accepts_the_chain_for_both_ends() {
    let directory = two_sites();
    for site in ["central", "remote_1"] {
        for purpose in ["sslserver", "sslclient"] {
            let certificate = format!("certs/{site}.crt");
            let args = [
                "verify",
                "-x509_strict",
                "-CAfile",
                "certs/ca.crt",
                "-purpose",
                purpose,
                &certificate,
            ];
            let output = openssl(directory.path(), &args);
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[test]
fn a_site_stands_in_its_certificate_and_cannot_sign() {
    let directory = two_sites();
    let args = ["x509", "-noout", "-text", "-in", "certs/remote_1.crt"];
    let output = openssl(directory.path(), &args);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "URI:sitewire:site:remote_1\n",
        "CA:FALSE",
        "prime256v1",
        "TLS Web Server Authentication, TLS Web Client Authentication",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn keys_are_for_their_owner_only() {
    let directory = two_sites();
    for (name, mode) in [
        ("certs", 0o700),
        ("certs/ca.key", 0o600),
        ("certs/central.key", 0o600),
        ("certs/remote_1.key", 0o600),
    ] {
        let metadata = std::fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let directory = two_sites();
    let read = |name: &str| std::fs::read(directory.path().join("certs").join(name)).unwrap();
    let before = [read("ca.key"), read("ca.crt"), read("central.key")];
    let again = ["init-ca", "--directory", "certs"];
    fails(directory.path(), &again, 1, "certs/ca.key exists");
    let again = ["issue", "central", "--directory", "certs"];
    fails(directory.path(), &again, 1, "certs/central.key exists");
    // A certificate alone stands in the way, too, even as a dangling link.
    std::os::unix::fs::symlink("/nowhere", directory.path().join("certs/x.crt")).unwrap();
    let again = ["issue", "x", "--directory", "certs"];
    fails(directory.path(), &again, 1, "certs/x.crt exists");
    assert_eq!(
        before,
        [read("ca.key"), read("ca.crt"), read("central.key")]
    );
    assert!(!directory.path().join("certs/x.key").exists());
}

#[test]
fn mistakes_are_named() {
    let directory = two_sites();
    let path = directory.path();
    let certs = path.join("certs");
    fails(
        path,
        &["issue", "ca", "--directory", "certs"],
        1,
        "cannot be called",
    );
    fails(
        path,
        &["issue", "a/b", "--directory", "certs"],
        2,
        "not a site id",
    );
    fails(path, &["issue", "a", "--days", "0"], 2, "1..=36500");
    fails(
        path,
        &["issue", "a", "--directory", "none"],
        1,
        "cannot open none",
    );
    fails(path, &["show", "none.crt"], 1, "cannot read none.crt");
    fails(path, &["show", "certs/ca.key"], 1, "has no certificate");

    let set_mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(certs.join("ca.key"), permissions).unwrap();
    };
    set_mode(0o640);
    fails(
        path,
        &["issue", "a", "--directory", "certs"],
        1,
        "certs/ca.key: others",
    );
    set_mode(0o600);
    std::fs::copy(certs.join("central.key"), certs.join("ca.key")).unwrap();
    fails(
        path,
        &["issue", "a", "--directory", "certs"],
        1,
        "is not the key of",
    );
    std::fs::copy(certs.join("central.crt"), certs.join("ca.crt")).unwrap();
    fails(
        path,
        &["issue", "a", "--directory", "certs"],
        1,
        "of an authority",
    );
    assert!(!certs.join("a.key").exists());
}

#[test]
fn a_site_does_not_outlive_its_authority() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    quiet(
        path,
        &[
            "init-ca",
            "--directory",
            ".",
            "--days",
            "10",
            "--name",
            "Test CA",
        ],
    );
    quiet(path, &["issue", "long", "--directory", ".", "--days", "20"]);
    quiet(path, &["issue", "short", "--directory", ".", "--days", "3"]);
    let output = sitecert(path, &["show", "--json", "ca.crt", "long.crt", "short.crt"]);
    let shown: Vec<serde_json::Value> = output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0]["ca"], true);
    assert_eq!(shown[0]["site"], serde_json::Value::Null);
    assert_eq!(shown[0]["subject"], "CN=Test CA");
    assert_eq!(shown[1]["site"], "long");
    assert_eq!(shown[1]["issuer"], "CN=Test CA");
    assert_eq!(shown[1]["not_after"], shown[0]["not_after"]);
    let left = shown[2]["left_s"].as_i64().unwrap();
    assert!((2 * 86_400..=3 * 86_400).contains(&left), "{left}");
}

#[test]
fn show_is_for_people_and_tells_the_fingerprint_that_openssl_tells() {
    let directory = two_sites();
    let output = sitecert(
        directory.path(),
        &["show", "certs/central.crt", "none", "certs/ca.crt"],
    );
    // The one that is missing does not hide the others, but it is a failure.
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let args = [
        "x509",
        "-noout",
        "-sha256",
        "-fingerprint",
        "-in",
        "certs/central.crt",
    ];
    let fingerprint = String::from_utf8(openssl(directory.path(), &args).stdout).unwrap();
    let fingerprint = fingerprint.trim().split_once('=').unwrap().1;
    for part in [
        "certs/central.crt\n  site         central\n",
        " days left\n",
        fingerprint,
        "certs/ca.crt\n  site         none, an authority\n",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn the_version_is_one_line() {
    let output = sitecert(Path::new("."), &["--version"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("sitecert ") && text.contains("(sitewire, "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}
