//! Senders that hang.

use super::*;

#[test]
fn whoever_hangs_is_given_up_and_keeps_nobody_out() {
    let centre = Centre::new();
    let dump = dump("remote1", 1, &usual());
    let spool = centre.path("spool");
    for (name, sent, want) in [
        (
            "before a dump began",
            0,
            "standard input: nothing has come for 50ms",
        ),
        (
            "in its middle",
            dump.len() - 100,
            "incomplete: nothing has come for 50ms",
        ),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_liveload"))
            .args(["--site", "remote1", "--idle-timeout", "50ms", "--ledger"])
            .arg(centre.path("ledger"))
            .arg("--target")
            .arg(&spool)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&dump.as_bytes()[..sent]).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(want), "{name}: {said}");
        assert_ne!(output.status.code(), Some(0), "{name}");
    }
    centre.read_spool();
    let (code, said) = centre.import("remote1", &[], dump.as_bytes());
    assert_eq!((code, said.as_str()), (0, ""));
}
