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

/// Runs it, and demands that it works; what it says.
fn says(directory: &Path, args: &[&str]) -> String {
    let output = sitecert(directory, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
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
    fails(directory.path(), &again, 1, "certs/ca.crt exists");
    let again = ["issue", "central", "--directory", "certs"];
    fails(directory.path(), &again, 1, "certs/central.crt exists");
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
    fails(path, &["issue", "a", "--days", "0"], 2, "1..=365250");
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
    // Behind a site's certificate stands that of its authority.
    assert_eq!(shown.len(), 5);
    let shown = [&shown[0], &shown[1], &shown[3]];
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

/// What openssl says of a certificate against the authority and its list.
fn verify(directory: &Path, name: &str) -> Result<(), String> {
    let (crl, certificate) = ("certs/ca.crl", format!("certs/{name}.crt"));
    let args = [
        "verify",
        "-x509_strict",
        "-crl_check",
        "-CRLfile",
        crl,
        "-CAfile",
        "certs/ca.crt",
        &certificate,
    ];
    let output = openssl(directory, &args);
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn openssl_honours_the_list_of_what_was_revoked() {
    let directory = two_sites();
    let path = directory.path();
    verify(path, "remote_1").unwrap();
    let said = says(path, &["revoke", "remote_1", "--directory", "certs"]);
    assert!(said.contains("is revoked"), "{said}");
    let error = verify(path, "remote_1").unwrap_err();
    assert!(error.contains("certificate revoked"), "{error}");
    verify(path, "central").unwrap();
    // By its number, as list tells it.
    let listed = says(path, &["list", "--json", "--directory", "certs"]);
    let records: Vec<serde_json::Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |site: &str| {
        records
            .iter()
            .find(|record| record["site"] == site)
            .unwrap()
    };
    assert!(of("remote_1")["revoked"].is_string() && of("central")["revoked"].is_null());
    let serial = of("central")["serial"].as_str().unwrap();
    says(path, &["revoke", serial, "--directory", "certs"]);
    verify(path, "central").unwrap_err();
    quiet(path, &["crl", "--days", "3", "--directory", "certs"]);
    let shown = says(path, &["show", "certs/ca.crl"]);
    assert!(
        shown.contains("days left") && shown.contains(serial),
        "{shown}"
    );
    let again = ["revoke", "nobody", "--directory", "certs"];
    fails(path, &again, 1, "has no certificate that could be revoked");
    let renew = ["renew", "central", "--directory", "certs"];
    fails(path, &renew, 1, "the key was revoked");
}

#[test]
fn a_renewed_certificate_has_the_same_key_and_another_number() {
    let directory = two_sites();
    let path = directory.path();
    let before = says(path, &["show", "--json", "certs/central.crt"]);
    let pin = says(path, &["pin", "certs/central.key"]);
    quiet(
        path,
        &["renew", "central", "--directory", "certs", "--days", "500"],
    );
    let after = says(path, &["show", "--json", "certs/central.crt"]);
    let parse = |text: &str| {
        let line = text.lines().next().unwrap();
        serde_json::from_str::<serde_json::Value>(line).unwrap()
    };
    let (before, after) = (parse(&before), parse(&after));
    assert_eq!(before["pin"], after["pin"]);
    assert_eq!(pin.trim(), after["pin"]);
    assert_ne!(before["serial"], after["serial"]);
    assert!(after["left_s"].as_i64() > before["left_s"].as_i64());
    verify(path, "central").unwrap();
}

#[test]
fn the_pin_is_what_openssl_computes() {
    let directory = two_sites();
    let path = directory.path();
    quiet(path, &["request", "c", "--directory", "other"]);
    let script = "openssl pkey -in other/c.key -pubout -outform DER | openssl dgst -sha256 -r";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(path)
        .output()
        .unwrap();
    let digest = String::from_utf8(output.stdout).unwrap();
    let digest = digest.split(' ').next().unwrap().to_owned();
    let said = says(path, &["pin", "other/c.key", "other/c.csr"]);
    assert_eq!(said, format!("sha256:{digest}\n").repeat(2));
    fails(path, &["pin", "certs/ca.crl"], 1, "has no certificate");
}

#[test]
fn a_request_of_openssl_is_signed_for_the_site_that_is_said() {
    let directory = two_sites();
    let path = directory.path();
    let request = |name: &str, more: &[&str]| {
        let (key, out) = (format!("{name}.key"), format!("{name}.csr"));
        let mut args = vec![
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=whoever",
        ];
        args.extend(["-keyout", &key, "-out", &out]);
        args.extend(more);
        assert!(openssl(path, &args).status.success());
    };
    request("plain", &[]);
    let said = says(path, &["sign", "x", "plain.csr", "--directory", "certs"]);
    for part in ["site         x\n", "key          RSA 2048\n"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    verify(path, "x").unwrap();
    for (name, san, message) in [
        ("other", "URI:sitewire:site:y", "names site \"y\", not z"),
        ("host", "DNS:z.example", "names \"z.example\""),
        (
            "two",
            "URI:sitewire:site:z,URI:sitewire:site:central",
            "names site",
        ),
    ] {
        request(name, &["-addext", &format!("subjectAltName={san}")]);
        let csr = format!("{name}.csr");
        fails(
            path,
            &["sign", "z", &csr, "--directory", "certs"],
            1,
            message,
        );
    }
    request("ca", &["-addext", "basicConstraints=CA:TRUE"]);
    let args = ["sign", "z", "ca.csr", "--directory", "certs"];
    fails(path, &args, 1, "wants to be an authority");
    let mut csr = std::fs::read_to_string(path.join("plain.csr")).unwrap();
    let at = csr.len() / 2;
    let other = if &csr[at..=at] == "A" { "B" } else { "A" };
    csr.replace_range(at..=at, other);
    std::fs::write(path.join("broken.csr"), csr).unwrap();
    let args = ["sign", "z", "broken.csr", "--directory", "certs"];
    fails(path, &args, 1, "broken.csr: ");
    assert!(!path.join("certs/z.crt").exists());
}

#[test]
fn the_shape_of_checkmk_is_had_by_an_option() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    quiet(path, &["init-ca", "--rsa", "--directory", "certs"]);
    quiet(path, &["issue", "a", "--rsa", "--directory", "certs"]);
    verify(path, "a").unwrap();
    let args = ["x509", "-noout", "-text", "-in", "certs/a.crt"];
    let text = String::from_utf8(openssl(path, &args).stdout).unwrap();
    for part in ["sha512WithRSAEncryption", "Public-Key: (2048 bit)"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let shown = says(path, &["show", "--json", "certs/a.crt"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "the chain is complete");
    let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert!(first["left_s"].as_i64().unwrap() > 998 * 365 * 86_400);
}

#[test]
fn check_is_a_plugin() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    quiet(path, &["init-ca", "--directory", "certs"]);
    for (site, days) in [("long", "300"), ("short", "20"), ("tiny", "3")] {
        quiet(
            path,
            &["issue", site, "--directory", "certs", "--days", days],
        );
    }
    let all = ["certs/long.crt", "certs/short.crt", "certs/tiny.crt"];
    for (files, code, begin) in [
        (&all[..1], 0, "OK: certificate of long ends in "),
        (&all[..2], 1, "WARNING: certificate of short ends in "),
        (&all[..], 2, "CRITICAL: certificate of tiny ends in "),
        (&["none"], 3, "UNKNOWN: cannot read none"),
        (
            &["certs/ca.key"],
            3,
            "UNKNOWN: certs/ca.key: has no certificate",
        ),
    ] {
        let output = sitecert(path, &[&["check", "-w", "30d", "-c", "7d"], files].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.starts_with(begin), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let list = says(path, &["check", "-w", "29d", "certs/ca.crl"]);
    assert!(list.starts_with("OK: list ca.crl ends in "), "{list}");
    let output = sitecert(path, &["check", "certs/long.crt", "certs/short.crt"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let perfdata = text.split(" | ").nth(1).unwrap();
    assert!(perfdata.starts_with("long=25"), "{perfdata}");
    assert!(perfdata.contains("s;2592000:;604800: short="), "{perfdata}");
    let output = sitecert(path, &["check", "--frobnicate"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn an_invitation_is_listed_and_withdrawn_and_needs_to_know_the_centre() {
    let directory = two_sites();
    let path = directory.path();
    let none = ["invite", "new", "--directory", "certs", "-c", "none.toml"];
    fails(path, &none, 1, "cannot read none.toml");
    let toml = "[site]\nname = 'central'\n[spool]\ndirectory = '/x'\n\
                [authority]\ndirectory = 'certs'\naddress = 'central.example:6555'\n";
    std::fs::write(path.join("notifyd.toml"), toml).unwrap();
    let invite = ["invite", "new", "-c", "notifyd.toml"];
    let token = says(path, &invite);
    assert!(
        token.starts_with("swjoin1.") && token.lines().count() == 1,
        "{token}"
    );
    let listed = says(path, &["invitations", "--directory", "certs", "--json"]);
    let invitation: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&invitation["site"], &invitation["state"]),
        (&"new".into(), &"open".into())
    );
    quiet(path, &["withdraw", "new", "--directory", "certs"]);
    let again = ["withdraw", "new", "--directory", "certs"];
    fails(path, &again, 1, "no open invitation");
    assert!(says(path, &["invitations", "--directory", "certs", "--json"]).is_empty());
    std::fs::write(path.join("half.toml"), "[site]\nname = 'central'\n").unwrap();
    let half = ["invite", "new", "-c", "half.toml", "--directory", "certs"];
    fails(path, &half, 2, "--address is missing");
    let own = ["invite", "central", "-c", "notifyd.toml"];
    fails(path, &own, 1, "is the centre itself");
}

#[test]
fn an_authority_is_believed_when_its_fingerprint_was_said() {
    let directory = two_sites();
    let path = directory.path();
    let shown = says(path, &["show", "--json", "certs/ca.crt"]);
    let ca: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let fingerprint = ca["sha256"].as_str().unwrap();
    let trust = |file: &str, fingerprint: &str| {
        let args = [
            "trust",
            file,
            "--ca",
            "there/ca.crt",
            "--fingerprint",
            fingerprint,
        ];
        sitecert(path, &args)
    };
    let wrong = "00".repeat(32);
    let output = trust("certs/ca.crt", &wrong);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!path.join("there/ca.crt").exists());
    let unsaid = ["trust", "certs/ca.crt", "--ca", "there/ca.crt"];
    fails(path, &unsaid, 1, "say --fingerprint");
    // A site's file has the authority in it, too.
    let output = trust("certs/central.crt", fingerprint);
    assert!(output.status.success(), "{output:?}");
    quiet(
        path,
        &["init-ca", "--directory", "second", "--name", "Second"],
    );
    let pin = says(path, &["pin", "second/ca.crt"]);
    assert!(trust("second/ca.crt", pin.trim()).status.success());
    let again = says(path, &["trust", "second/ca.crt", "--ca", "there/ca.crt"]);
    assert!(again.contains("has it already"), "{again}");
    let both = std::fs::read_to_string(path.join("there/ca.crt")).unwrap();
    assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn a_server_of_openssl_shows_its_authority() {
    let directory = two_sites();
    let path = directory.path();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let chain = [
        "-cert_chain",
        "certs/central.crt",
        "-cert",
        "certs/central.crt",
    ];
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            &address,
            "-key",
            "certs/central.key",
            "-quiet",
        ])
        .args(chain)
        .current_dir(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(std::time::Instant::now() < end, "openssl does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pin = says(path, &["pin", "certs/ca.crt"]);
    let args = [
        "trust",
        &address,
        "--ca",
        "there/ca.crt",
        "--fingerprint",
        pin.trim(),
    ];
    let output = sitecert(path, &args);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let normal = |text: String| text.replace(['\r', '\n'], "");
    assert_eq!(normal(read("there/ca.crt")), normal(read("certs/ca.crt")));
}

#[test]
fn a_token_that_is_none_is_told_before_anything_is_made() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for token in ["x", "swjoin1.", "swjoin1.AAAA"] {
        let args = ["join", token, "--directory", "certs", "-c", "notifyd.toml"];
        fails(path, &args, 2, "not a token of an invitation");
    }
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
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
