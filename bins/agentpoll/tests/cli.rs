//! agentpoll as a program: documents in, configuration and commands out, and
//! a core that takes them or does not.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use assert_cmd::assert::OutputAssertExt;
use tempfile::TempDir;

fn agentpoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentpoll"));
    command.env_remove("OMD_SITE");
    command
}

/// A document that was made `age` seconds ago.
fn document(age: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let made = now.as_secs() - age;
    format!(
        r#"{{"agent": {{"last_updated_timestamp": {made}, "check_interval": 30, "system_uptime": 7200,
             "agent_version": "3.5.0", "system": "suse", "mac_version": "15"}},
            "memory": {{"total": 4096, "available": 1024, "percent": 75, "used": 3072}},
            "swap": {{"error": "no such file"}},
            "disks": [{{"disk": {{"device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4"}},
                        "usage": {{"total": 1000, "used": 400, "free": 600, "percent": 40}}}}],
            "net_stats": {{"eth0": {{"isup": true, "speed": 100}}, "eth1": {{"isup": false}}}},
            "customchecks": {{"mail": {{"stdout": "MAIL OK; fine | n=1\nlong\n", "rc": 0}}}}}}"#
    )
}

/// Runs with `input` on standard input.
fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    match stdin.write_all(input.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
        _ => drop(stdin),
    }
    child.wait_with_output().unwrap()
}

/// A core that answers each connection by a function of what it was asked, and
/// tells what that was.
struct Core {
    directory: TempDir,
    requests: Receiver<String>,
}

impl Core {
    fn start(answer: fn(&str) -> Vec<u8>) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("live")).unwrap();
        let (asked, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                let answer = answer(&request);
                // Before the answer, so that it is there when the client ends.
                let _ = asked.send(request);
                let _ = stream.write_all(&answer);
            }
        });
        Self {
            directory,
            requests,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("live")
    }

    fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

/// Reads up to the blank line that ends a query, whatever commands precede it.
fn read_request(stream: &mut UnixStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 7];
    loop {
        let text = String::from_utf8_lossy(&request);
        if text.ends_with("\n\n") && text.contains("GET ") {
            return text.into_owned();
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return text.into_owned(),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
}

fn framed(body: &str) -> Vec<u8> {
    format!("200 {:>11}\n{body}", body.len()).into_bytes()
}

/// A core with the host web1.
fn healthy(request: &str) -> Vec<u8> {
    framed(if request.contains("GET hosts") {
        "[[\"web1\"]]\n"
    } else if request.contains("GET services") {
        r#"[["Memory"],["Swap"],["Disk usage of: / (/dev/sda1)"],["Disk usage of: /srv (/dev/sdb1)"],
            ["Network state of: eth1"],["Custom check: mail"],["HTTP"]]"#
    } else {
        "[[\"1\"]]\n"
    })
}

fn once(socket: &Path, age: u64, more: &[&str]) -> Output {
    let mut command = agentpoll();
    command.args(["once", "--host", "web1", "--socket"]);
    command.arg(socket).args(more);
    run(&mut command, &document(age))
}

/// The commands in a request without their times.
fn commands(request: &str) -> Vec<&str> {
    request
        .lines()
        .filter(|line| line.starts_with("COMMAND "))
        .map(|line| line.split_once("] ").unwrap().1)
        .collect()
}

#[test]
fn results_are_submitted_for_what_the_core_has() {
    let core = Core::start(healthy);
    let output = once(
        &core.socket(),
        1,
        &["--threshold", "Disk usage of: /=10,20"],
    );
    output.assert().success().stdout("").stderr("");
    let requests = core.requests();
    assert!(
        requests[0].contains("Filter: name = web1\n"),
        "{requests:?}"
    );
    assert!(
        requests[1].contains("Filter: host_name = web1\n"),
        "{requests:?}"
    );
    let [_, _, submitted] = &requests[..] else {
        panic!("{requests:?}");
    };
    let got = commands(submitted);
    let want = [
        "PROCESS_HOST_CHECK_RESULT;web1;0;UP - agent 3.5.0 on suse 15, document is",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Memory;0;OK - 75.0 % used, 3.0 KiB of 4.0 KiB",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Swap;3;UNKNOWN - the agent's check failed: no such file",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Disk usage of: / (/dev/sda1);2;CRITICAL - 40.0 % used",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Disk usage of: /srv (/dev/sdb1);3;UNKNOWN - /srv",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Network state of: eth1;2;CRITICAL - link is down",
        "PROCESS_SERVICE_CHECK_RESULT;web1;Custom check: mail;0;MAIL OK; fine",
    ];
    assert_eq!(got.len(), want.len(), "{got:?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got}");
    }
    // The confirmation comes last and in the same write.
    assert!(
        submitted
            .trim_end()
            .lines()
            .any(|line| line == "GET status")
    );
    assert!(submitted.rfind("COMMAND") < submitted.find("GET status"));
}

#[test]
fn a_stale_document_takes_the_host_down() {
    let core = Core::start(healthy);
    once(&core.socket(), 1000, &[]).assert().success();
    let requests = core.requests();
    let commands = commands(&requests[2]);
    assert!(commands[0].starts_with("PROCESS_HOST_CHECK_RESULT;web1;1;DOWN - "));
    assert_eq!(commands.len(), 7);
    for command in &commands[1..] {
        let fields: Vec<&str> = command.splitn(5, ';').collect();
        assert_eq!(fields[3], "3", "{command}");
        assert!(fields[4].contains("is stale"), "{command}");
    }
}

#[test]
fn a_dry_run_submits_nothing() {
    let core = Core::start(healthy);
    let output = once(&core.socket(), 1, &["-n"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(commands(&text).len(), 7);
    assert_eq!(core.requests().len(), 2, "only questions");

    let output = run(
        agentpoll().args(["once", "--dry-run", "--host", "web1"]),
        &document(1),
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let services: Vec<&str> = commands(&text)
        .iter()
        .filter_map(|command| command.split(';').nth(2))
        .collect();
    assert_eq!(
        services[1..],
        [
            "Custom check: mail",
            "Disk usage of: / (/dev/sda1)",
            "Memory",
            "Network state of: eth0",
            "Uptime"
        ]
    );
}

#[test]
fn what_the_core_says_decides_the_exit_status() {
    for (name, answer, status, message) in [
        (
            "a refused command",
            (|request| {
                let mut answer = healthy(request);
                if request.contains("COMMAND") {
                    answer.splice(..0, *b"400: unknown command\n");
                }
                answer
            }) as fn(&str) -> Vec<u8>,
            1,
            "400: unknown command",
        ),
        (
            "a refused query",
            |_| b"404          14\nno such table\n".to_vec(),
            1,
            "no such table",
        ),
        (
            "no Livestatus",
            |_| b"SSH-2.0-OpenSSH_9\n".to_vec(),
            1,
            "SSH-2.0",
        ),
        (
            "a host it does not have",
            |_| framed("[]\n"),
            75,
            "has no host \"web1\"",
        ),
        ("an end without an answer", |_| Vec::new(), 75, "closed"),
        (
            "an answer that is cut off",
            |_| b"200          99\n[[".to_vec(),
            75,
            "cut off",
        ),
        (
            "an end instead of the confirmation",
            |request| match request.contains("COMMAND") {
                true => Vec::new(),
                false => healthy(request),
            },
            75,
            "closed",
        ),
    ] {
        let core = Core::start(answer);
        let output = once(&core.socket(), 1, &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{name}: {error}");
        assert!(error.starts_with("agentpoll: "), "{name}: {error}");
        assert!(error.contains(message), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
    }
}

#[test]
fn an_unreachable_core_is_worth_another_try() {
    let directory = TempDir::new().unwrap();
    let output = once(&directory.path().join("live"), 1, &[]);
    assert_eq!(output.status.code(), Some(75));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.starts_with("agentpoll: cannot connect to "),
        "{error}"
    );
}

#[test]
fn a_bad_document_is_a_failure_with_its_name() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("x.json");
    std::fs::write(&file, "{\"agent\": ").unwrap();
    for command in ["discover", "once"] {
        for (name, input, message) in [
            (file.as_path(), "", "x.json: document is not a JSON object"),
            (
                Path::new("-"),
                "{}",
                "standard input: document has no `agent`",
            ),
            (
                Path::new("-"),
                "",
                "standard input: document is not a JSON object",
            ),
            (
                Path::new("-"),
                "{\"error\": \"NaN\"}",
                "agent could not make its document: NaN",
            ),
            (Path::new("/nonexistent"), "", "cannot read /nonexistent"),
        ] {
            let mut poll = agentpoll();
            poll.args([command, "--host", "h"]).arg(name);
            if command == "once" {
                poll.arg("-n");
            }
            let output = run(&mut poll, input);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{command} {message}: {error}"
            );
            assert!(error.contains(message), "{command}: {error}");
            assert!(output.stdout.is_empty(), "{command} {message}");
        }
    }
}

#[test]
fn a_threshold_for_nothing_is_told() {
    let core = Core::start(healthy);
    let output = once(&core.socket(), 1, &["--threshold", "Memroy=1,2"]);
    output
        .assert()
        .success()
        .stderr("agentpoll: --threshold Memroy: there is no such service\n");
}

#[test]
fn discovery_prints_a_configuration_that_is_read_back_whole() {
    let output = run(
        agentpoll().args([
            "discover",
            "--host",
            "web 1",
            "--address",
            "192.0.2.7",
            "--site",
            "dmz",
        ]),
        &document(1),
    );
    assert_eq!(output.status.code(), Some(0));
    let read = nagios::shadow::parse(&output.stdout, Default::default()).unwrap();
    assert_eq!(read.begin.unwrap().site.as_str(), "dmz");
    let [(name, host)] = Vec::from_iter(read.hosts).try_into().unwrap();
    assert_eq!(name, "web 1");
    assert_eq!(host.address, "192.0.2.7");
    let services: Vec<String> = host.services.keys().map(ToString::to_string).collect();
    assert_eq!(
        services,
        [
            "Custom check: mail",
            "Disk usage of: / (/dev/sda1)",
            "Memory",
            "Network state of: eth0",
            "Uptime"
        ]
    );
    let memory = &host.services["Memory".as_bytes()];
    assert_eq!((memory.check_interval, memory.max_check_attempts), (1.0, 1));
}

#[test]
fn wrong_use_is_told_from_failure() {
    for args in [
        &["once"][..],
        &["once", "-n", "--threshold", "Memory=1"],
        &["once", "-n", "--threshold", "Memory=2:1,"],
        &["once", "-n", "--host", "a;b"],
        &["once", "-n", "--host", ""],
        &["discover", "--site", "a/b"],
        &["poll"],
        &[],
    ] {
        agentpoll().args(args).assert().code(2);
    }
}
