//! Where the kernel has no descriptors for processes: one thread feeds it, one
//! reads what it prints, and it is looked at for its end now and then.

use std::io::{self, PipeReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::{Call, End, Leftovers, Ran, ended};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// For the rest of what it printed, after its end, from one piece to the next.
const REST: Duration = Duration::from_millis(200);

/// Runs it to its end, or kills it as soon as `is_over`.
pub(super) fn run(call: &Call<'_>, is_over: impl Fn(Instant) -> bool) -> Ran {
    let (mut child, printed) = match start(call) {
        Ok(started) => started,
        Err(error) => return Ran::not_started(error),
    };
    let mut kept = Vec::new();
    let end = wait(call, &mut child, &printed, &mut kept, is_over);
    Ran {
        end: end.unwrap_or_else(End::Lost),
        printed: kept,
        strays: 0,
    }
}

fn start(call: &Call<'_>) -> io::Result<(Child, Receiver<Vec<u8>>)> {
    let (mut command, pipe) = call.command()?;
    command.stdin(match call.input.is_empty() {
        true => Stdio::null(),
        false => Stdio::piped(),
    });
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = call.input.to_vec();
        // It need not read it.
        thread::spawn(move || stdin.write_all(&input));
    }
    let (pieces, printed) = mpsc::sync_channel(4);
    let limit = call.kept_output;
    thread::spawn(move || read(pipe, limit, &pieces));
    Ok((child, printed))
}

/// All that it prints; as much as is kept is handed on.
fn read(mut pipe: PipeReader, limit: usize, pieces: &SyncSender<Vec<u8>>) {
    let mut room = limit;
    let mut buffer = [0; 8192];
    loop {
        let length = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let kept = length.min(room);
        room -= kept;
        // An empty piece says that it still prints.
        if pieces.send(buffer[..kept].to_vec()).is_err() {
            return;
        }
    }
}

/// Waits for the program itself, not for what it left running.
fn wait(
    call: &Call<'_>,
    child: &mut Child,
    printed: &Receiver<Vec<u8>>,
    kept: &mut Vec<u8>,
    is_over: impl Fn(Instant) -> bool,
) -> io::Result<End> {
    let deadline = Instant::now() + call.timeout;
    let end = loop {
        let now = Instant::now();
        if now >= deadline {
            break End::TimedOut;
        }
        if is_over(now) {
            break End::Stopped;
        }
        match printed.recv_timeout(LOOK) {
            Ok(piece) => kept.extend_from_slice(&piece),
            Err(RecvTimeoutError::Timeout) => {}
            // Without anybody who could print nothing is to be waited for but its end.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
        }
        if let Some(status) = child.try_wait()? {
            let is_open = take_rest(printed, kept, call.kept_output);
            if is_open && call.leftovers == Leftovers::Killed {
                kill_leftovers(child.id());
            }
            return Ok(ended(status));
        }
    };
    kill_leftovers(child.id());
    // It may have ended, or have been killed with the others.
    let _ = child.kill();
    child.wait()?;
    Ok(end)
}

/// What it had printed when it ended. Whether others still can print.
fn take_rest(printed: &Receiver<Vec<u8>>, kept: &mut Vec<u8>, limit: usize) -> bool {
    while kept.len() < limit {
        match printed.recv_timeout(REST) {
            Ok(piece) => kept.extend_from_slice(&piece),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// All that are in its group.
#[cfg(unix)]
fn kill_leftovers(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may be empty.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// All whose parents it is, as long as it is there itself.
#[cfg(windows)]
fn kill_leftovers(pid: u32) {
    let pid = pid.to_string();
    let _ = std::process::Command::new("taskkill")
        .args(["/T", "/F", "/PID", pid.as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
