//! States that livedump signs with the key of its site, and a centre that takes
//! nothing else: each once, none that is older, changed, or another site's.

use std::fs;

use harness::{Authority, Outcome, Program, Site};

use crate::remote_site;

#[test]
fn states_of_livedump_are_taken_once_if_their_site_has_signed_them() {
    let remote = remote_site::start();
    let authority = Authority::new(&["remote1", "remote2"]);
    let key = |name: &str| authority.directory().join(name).display().to_string();
    let centre = Site::new("centre");
    let spool = centre.path("tmp/spool");
    fs::create_dir(&spool).expect("cannot make a directory");
    let dump = |site: &str, more: &[&str]| {
        let (certificate, sign_key) = (key(&format!("{site}.crt")), key(&format!("{site}.key")));
        let signing = ["--sign-certificate", &certificate, "--sign-key", &sign_key];
        Program::new("livedump")
            .args(["--full", "--site", site, "-s"])
            .arg(remote.live("remote1"))
            .args(signing)
            .args(more)
            .run()
            .success()
            .stdout
    };
    let load = |dump: &[u8], more: &[&str]| -> Outcome {
        // The core reads at once.
        for file in fs::read_dir(&spool).expect("it is there") {
            fs::remove_file(file.expect("readable").path()).expect("cannot remove");
        }
        Program::new("liveload")
            .args(["--site", "remote1", "--full", "--wait", "0s"])
            .arg("--require-signature")
            .arg(key("ca.crt"))
            .arg("--target")
            .arg(&spool)
            .arg("--ledger")
            .arg(centre.path("var/ledger"))
            .args(more)
            .input(dump)
            .run()
    };
    let is_empty = || fs::read_dir(&spool).expect("it is there").next().is_none();
    let refused = |dump: &[u8], why: &str| {
        let outcome = load(dump, &[]);
        let code = outcome.code();
        assert!(code == Some(1) || code == Some(3), "{why}: {outcome:?}");
        assert!(outcome.errors().contains(why), "{why}: {outcome:?}");
        assert!(is_empty(), "{why}");
    };
    let first = dump("remote1", &[]);
    let second = dump("remote1", &[]);
    let text = String::from_utf8(second.clone()).expect("text");
    // One letter of an output, and the sum of the frame with it.
    let changed = text.replacen("40% used", "41% used", 1);
    assert_ne!(changed, text);
    refused(changed.as_bytes(), "it was changed");
    let unsigned = &text[..text.trim_end().rfind('\n').expect("lines") + 1];
    refused(unsigned.as_bytes(), "not signed");
    refused(&second[..second.len() / 2], "not signed");
    refused(
        &dump("remote2", &[]),
        "signed by site remote2, not by site remote1",
    );
    let packed = Program::bash("zstd -q -c").input(second.clone()).run();
    load(&packed.success().stdout, &[]).success();
    assert!(!is_empty());
    refused(&second, "taken in already");
    refused(&first, "is older than");
    let third = dump("remote1", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let late = load(&third, &["--max-age", "1s"]);
    assert_eq!(late.code(), Some(1), "{late:?}");
    assert!(is_empty(), "{late:?}");
    load(&third, &[]).success();
}
