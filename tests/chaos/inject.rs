//! System calls of a running process that fail, as strace makes them.

use std::process::{Command, Stdio};

/// For so many seconds, or until the process ends, calls of `call` do what `how`
/// says (see `inject` in strace(1)). Killed, strace lets go of the process.
pub(crate) fn inject(pid: u32, seconds: f64, call: &str, how: &str) {
    let status = Command::new("timeout")
        .args([
            "-s",
            "KILL",
            &seconds.to_string(),
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
        ])
        .args(["-p", &pid.to_string(), "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{how}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without strace the storm goes on without this fault; a case of the list
    // of faults asks for it first.
    drop(status);
}
