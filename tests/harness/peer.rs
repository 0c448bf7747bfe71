//! Foreign programs that a test needs. They come as Debian packages or from
//! PyPI; `scripts/test` installs them when it may, and unpacks under
//! `target/peers` those that would bring a desktop or a web server along.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::repository;

/// Whether `program` (of the Debian package `package`) is installed. Where it
/// is not, the test that asked reports itself as skipped and should return;
/// with `SITEWIRE_REQUIRE_PEERS=1` it fails instead.
#[track_caller]
pub fn available(program: &str, package: &str) -> bool {
    let found = find(program).is_some();
    found
        || missing(
            program,
            &format!("not installed (Debian package {package})"),
        )
}

/// Whether `command` ends with 0, as it does where a library of the Debian
/// package `package` is installed; reports like [`available`].
#[track_caller]
pub fn works(command: &[&str], package: &str) -> bool {
    let mut words = command.iter();
    let works = words.next().is_some_and(|program| {
        Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    works
        || missing(
            package,
            &format!("not installed (Debian package {package})"),
        )
}

/// The path of `file` of `package`, unpacked under `target/peers` or, for a
/// package of Debian, installed; reports like [`available`].
#[track_caller]
pub fn unpacked(package: &str, file: &str) -> Option<PathBuf> {
    let peers = repository().join("target/peers").join(package);
    let found = [peers, PathBuf::from("/")]
        .map(|root| root.join(file))
        .into_iter()
        .find(|path| path.exists());
    if found.is_none() {
        missing(package, "not installed (scripts/test unpacks it)");
    }
    found
}

/// Says that the test is skipped, where it may be. Always false.
#[track_caller]
fn missing(what: &str, why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let required = std::env::var_os("SITEWIRE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{what} is required, but {why}");
    // Not `eprintln!`: the test runner swallows what passing tests print by it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {what} {why}");
    false
}

/// Whether the tests may run `program`, which must be started by root; reports
/// like [`available`].
#[track_caller]
pub fn needs_root(program: &str) -> bool {
    is_root() || missing(program, "can be started by root only")
}

/// The path of a foreign program; `sbin` is looked through as well.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a directory and everything in it to `user`.
pub fn give(directory: &Path, user: &str) {
    let status = std::process::Command::new("chown")
        .args(["-R", user])
        .arg(directory)
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "chown -R {user} {}: {status:?}",
        directory.display()
    );
}
