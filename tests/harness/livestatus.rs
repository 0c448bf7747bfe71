//! Asking a Livestatus socket, without any code of ours in between.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Sends `request` as it is and returns everything that comes back.
pub fn talk(socket: &Path, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Asks for `columns` of `table`, with more header lines in `headers`. Fails
/// the test when the answer is not 200 and JSON.
#[track_caller]
pub fn rows(socket: &Path, table: &str, columns: &[&str], headers: &[&str]) -> Vec<Vec<Value>> {
    let mut query = format!("GET {table}\nColumns: {}\n", columns.join(" "));
    for header in headers {
        query.push_str(header);
        query.push('\n');
    }
    query.push_str("OutputFormat: json\nResponseHeader: fixed16\n\n");
    let answer = talk(socket, query.as_bytes())
        .unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    let text = String::from_utf8(answer).expect("JSON answers are UTF-8");
    let (status, body) = text.split_at_checked(16).unwrap_or((&text, ""));
    assert!(
        status.starts_with("200 "),
        "{} answered {text:?} to {query:?}",
        socket.display()
    );
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body:?}"))
}

/// Sends commands, each a line without `COMMAND` and time.
pub fn command<S: AsRef<str>>(socket: &Path, commands: impl IntoIterator<Item = S>) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    command_at(now, socket, commands);
}

/// Sends commands as of another time.
pub fn command_at<S: AsRef<str>>(time: u64, socket: &Path, commands: impl IntoIterator<Item = S>) {
    let mut request = String::new();
    for command in commands {
        request.push_str(&format!("COMMAND [{time}] {}\n\n", command.as_ref()));
    }
    talk(socket, request.as_bytes())
        .unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
}
