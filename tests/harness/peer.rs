//! Foreign programs that a test needs. They come as Debian packages, which
//! `scripts/test` installs when it may.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether `program` (of the Debian package `package`) is installed. Where it
/// is not, the test that asked reports itself as skipped and should return;
/// with `SITEWIRE_REQUIRE_PEERS=1` it fails instead.
#[track_caller]
pub fn available(program: &str, package: &str) -> bool {
    if find(program).is_some() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let required = std::env::var_os("SITEWIRE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(
        !required,
        "{program} is required but not installed: apt-get install {package}"
    );
    // Not `eprintln!`: the test runner swallows what passing tests print by it.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {test}: {program} not installed (Debian package {package})"
    );
    false
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
