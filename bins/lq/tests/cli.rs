//! Runs lq against a server that gives recorded answers.

#[path = "cli/people.rs"]
mod people;
#[path = "cli/plugin.rs"]
mod plugin;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/terminal.rs"]
mod terminal;
#[cfg(feature = "tls")]
#[path = "cli/tls.rs"]
mod tls;
#[path = "cli/watch.rs"]
mod watch;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use server::{Server, failed, ok, said, serve};

#[test]
fn rows_pass_through_as_csv() {
    let server = Server::start(&[b"200          17\nalpha;0\nK\xfchl;1;x\n"]);
    let output = server.lq(&["GET hosts", "Columns: name state"]);
    assert_eq!(output.stdout, b"alpha;0\nK\xfchl;1;x\n");
    assert!(output.status.success());
    assert_eq!(
        server.requests(),
        ["GET hosts\nResponseHeader: fixed16\nColumns: name state\nOutputFormat: csv\n\n"]
    );
}

#[test]
fn the_query_may_come_on_standard_input_or_in_one_argument() {
    let want = "GET hosts\nResponseHeader: fixed16\nColumns: name\nLimit: 1\nOutputFormat: csv\n\n";
    let server = Server::start(&[b"200           2\na\n", b"200           2\na\n"]);
    assert_eq!(
        said(&server.lq(&["GET hosts\\nColumns: name\\nLimit: 1"])),
        ok("a\n")
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_lq"))
        .arg("--socket")
        .arg(format!("unix:{}", server.socket().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"GET hosts\r\nColumns: name\r\nLimit: 1\r\n")
        .unwrap();
    drop(input);
    assert_eq!(said(&child.wait_with_output().unwrap()), ok("a\n"));
    assert_eq!(server.requests(), [want, want]);
}

#[test]
fn a_format_in_the_query_counts_unless_one_is_asked_for() {
    let server = Server::start(&[&b"200           3\n[]\n"[..]; 3]);
    let query = ["GET hosts", "OutputFormat: python3", "KeepAlive: on"];
    assert_eq!(said(&server.lq(&query)), ok("[]\n"));
    for format in ["json", "python"] {
        let query = [&["--format", format], &query[..]].concat();
        assert_eq!(said(&server.lq(&query)), ok("[]\n"));
    }
    assert_eq!(
        server.requests(),
        [
            "GET hosts\nResponseHeader: fixed16\nOutputFormat: python3\n\n",
            "GET hosts\nResponseHeader: fixed16\nOutputFormat: json\n\n",
            "GET hosts\nResponseHeader: fixed16\nOutputFormat: json\n\n",
        ]
    );
}

#[test]
fn a_table_has_names_and_aligned_columns() {
    for (name, body, want) in [
        (
            "Naemon",
            "[[\"description\",\"state\"],\n[\"CPU load\",0],\n[\"Memory\",-nan]]\n",
            "description  state\nCPU load     0\nMemory\n",
        ),
        (
            "Icinga 2",
            "[[\"description\",\"acknowledged\"], [\"Memory\",false], [\"CPU\",true]]",
            "description  acknowledged\nMemory       0\nCPU          1\n",
        ),
        (
            "livestatusd without rows",
            "[[\"description\"]]\n",
            "description\n",
        ),
        ("Icinga 2 without rows", "[]", ""),
        (
            "what a plugin may print",
            "[[\"o\"], [\"\\u001b[2J \\ud83d\\ude00\"]]",
            "o\n\u{fffd}[2J \u{1f600}\n",
        ),
    ] {
        let answer = format!("200 {:11}\n{body}", body.len());
        let server = Server::start(&[answer.as_bytes()]);
        let output = server.lq(&["--format", "table", "GET services", "ColumnHeaders: off"]);
        assert_eq!(said(&output), ok(want), "{name}");
        let requests = server.requests();
        let want =
            "GET services\nResponseHeader: fixed16\nOutputFormat: json\nColumnHeaders: on\n\n";
        assert_eq!(requests, [want]);
    }
}

#[test]
fn what_the_server_refuses_is_an_error() {
    for (answer, code, want) in [
        (
            &b"404          44\nInvalid GET request, no such table 'nosuch'\n"[..],
            1,
            "lq: the server says 404: Invalid GET request, no such table 'nosuch'\n",
        ),
        (
            b"404          30\nTable 'nosuch' does not exist.",
            1,
            "lq: the server says 404: Table 'nosuch' does not exist.\n",
        ),
        (
            b"452          38\nError: no such column\n  (0) 0xdeadbeef\n",
            1,
            "lq: the server says 452: Error: no such column\n",
        ),
        (
            b"Undefined request header 'X: y'\n",
            1,
            "lq: the answer has no header, it begins with 'Undefined request header 'X: y''\n",
        ),
        (b"", 75, "lq: the connection was closed without an answer\n"),
    ] {
        for format in ["csv", "table"] {
            let server = Server::start(&[answer]);
            let output = server.lq(&["--format", format, "GET nosuch"]);
            let (status, stdout, stderr) = said(&output);
            assert_eq!((status, stdout.as_str()), (code, ""), "{format}");
            if answer.starts_with(b"Undefined") {
                assert!(
                    stderr.starts_with("lq: the answer has no header"),
                    "{stderr}"
                );
            } else {
                assert_eq!(stderr, want, "{format}");
            }
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_is_incomplete() {
    let server = Server::start(&[b"200          18\nalpha;0\n"]);
    let output = server.lq(&["GET hosts"]);
    let stderr = "lq: the answer was cut off, 10 bytes are missing\n".to_owned();
    assert_eq!(said(&output), (3, "alpha;0\n".to_owned(), stderr));
}

#[test]
fn commands_are_sent_as_they_are() {
    let server = Server::start(&[b""]);
    let commands = ["COMMAND [1] A;x;C:\\new", "COMMAND [1] B"];
    assert_eq!(said(&server.lq(&commands)), ok(""));
    assert_eq!(
        server.requests(),
        ["COMMAND [1] A;x;C:\\new\n\nCOMMAND [1] B\n\n"]
    );
}

#[test]
fn a_command_that_fails_is_an_error() {
    for (answer, want) in [
        (
            &b"400: Unknown command 'NO'\n"[..],
            "lq: the server says 400: Unknown command 'NO'\n",
        ),
        (
            b"200           0\n452           7\nno such",
            "lq: the server says 452: no such\n",
        ),
    ] {
        let server = Server::start(&[answer]);
        let output = server.lq(&["COMMAND [1] NO"]);
        assert_eq!(said(&output), failed(1, want));
    }
    let server = Server::start(&[b"200           0\n"]);
    assert_eq!(
        said(&server.lq(&["COMMAND [1] YES", "ResponseHeader: fixed16"])),
        ok("")
    );
}

#[test]
fn sites_are_shown_with_age_and_completeness() {
    let body = "[[\"central\",0,0,null,0,\"no dump\",0,0,0,0,0,\"\"],\n\
                [\"remote1\",1795217983,1795217984,61.5,1,\"\",12,0,2,10,1795217983,\"\"],\n\
                [\"remote2\",1795217983,1795308044,90061,0,\"end mark missing\",3,1,2,10,1795217983,\"a.mk:3: no\"]]\n";
    let answer = format!("200 {:11}\n{body}", body.len());
    let server = Server::start(&[answer.as_bytes()]);
    let (status, stdout, stderr) = said(&server.lq(&["sites"]));
    assert_eq!((status, stderr.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = stdout
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let time = "2026-11-20 23:39:43 +00:00";
    assert_eq!(
        lines,
        [
            &[
                "SITE",
                "STATE",
                "AGE",
                "LAST DUMP",
                "RECORDS",
                "UNKNOWN",
                "HOSTS",
                "SERVICES",
                "CONFIGURATION",
                "REASON"
            ][..],
            &[
                "central", "never", "-", "never", "0", "0", "0", "0", "never", "no dump"
            ],
            &[
                "remote1",
                "complete",
                "1 min 1 s",
                time,
                "12",
                "0",
                "2",
                "10",
                time
            ],
            &[
                "remote2",
                "incomplete",
                "1 d 1 h",
                time,
                "3",
                "1",
                "2",
                "10",
                time,
                "end mark missing; a.mk:3: no"
            ],
        ]
    );
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET sites\nResponseHeader: fixed16\nColumns: site state_time")
    );
    assert!(requests[0].ends_with("\nOutputFormat: json\n\n"));
}

#[test]
fn sites_can_be_had_by_scripts() {
    let server = Server::start(&[b"200           3\n[]\n"]);
    assert_eq!(said(&server.lq(&["--format", "json", "sites"])), ok("[]\n"));
    let request = server.requests().remove(0);
    assert!(
        request.contains("\nColumns: site state_time state_received_at state_age"),
        "{request}"
    );
    assert!(
        request.ends_with("OutputFormat: json\nColumnHeaders: on\n\n"),
        "{request}"
    );
}

#[test]
fn a_server_can_be_asked_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread =
        std::thread::spawn(move || serve(listener.accept().unwrap().0, b"200           2\na\n"));
    let output = Command::new(env!("CARGO_BIN_EXE_lq"))
        .args(["-s", &format!("tcp:127.0.0.1:{port}"), "GET hosts"])
        .output()
        .unwrap();
    assert_eq!(said(&output), ok("a\n"));
    thread.join().unwrap();
}

#[test]
fn nobody_there_is_worth_another_try() {
    let directory = TempDir::new().unwrap();
    let run = |root: &str, variable: &str| {
        Command::new(env!("CARGO_BIN_EXE_lq"))
            .arg("GET hosts")
            .env_remove("SITEWIRE_SOCKET")
            .env(variable, root)
            .output()
            .unwrap()
    };
    let root = directory.path().to_str().unwrap();
    for (value, variable, path) in [
        (root, "OMD_ROOT", format!("{root}/tmp/run/live")),
        (
            "tcp:127.0.0.1:1",
            "SITEWIRE_SOCKET",
            "tcp:127.0.0.1:1".to_owned(),
        ),
    ] {
        let (status, _, stderr) = said(&run(value, variable));
        assert_eq!(status, 75);
        let want = format!("lq: cannot connect to {path}: ");
        assert!(stderr.starts_with(&want), "{stderr}");
    }
    let (status, _, stderr) = said(&run("tcp:x", "SITEWIRE_SOCKET"));
    assert_eq!(status, 2);
    assert!(
        stderr.starts_with("lq: SITEWIRE_SOCKET is 'tcp:x': not of"),
        "{stderr}"
    );
}

#[test]
fn the_query_may_be_in_a_file() {
    let server = Server::start(&[b"200           2\na\n"]);
    let file = server.directory().join("query");
    std::fs::write(&file, "GET hosts\nColumns: name\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(said(&server.lq(&["-f", file])), ok("a\n"));
    let want = "GET hosts\nResponseHeader: fixed16\nColumns: name\nOutputFormat: csv\n\n";
    assert_eq!(server.requests(), [want]);

    let server = Server::start(&[]);
    assert_eq!(server.lq(&["-f", file, "GET hosts"]).status.code(), Some(2));
    let (status, _, stderr) = said(&server.lq(&["-f", "/nowhere/query"]));
    assert_eq!(status, 1);
    assert!(
        stderr.starts_with("lq: cannot read /nowhere/query: "),
        "{stderr}"
    );
    let (status, _, stderr) = said(&server.lq(&["-f", "-"]));
    let want = "lq: there is no query\n".to_owned();
    assert_eq!((status, stderr), (2, want));
}

#[test]
fn python_is_made_of_json() {
    let body = "[[\"it's\",null,true],\n[\"\\u00fc\",1.5,[1]]]\n";
    let answer = format!("200 {:11}\n{body}", body.len());
    let server = Server::start(&[answer.as_bytes(), b"200           2\n[]"]);
    assert_eq!(
        said(&server.lq(&["--format", "python", "GET hosts"])),
        ok("[[\"it's\", None, 1],\n['\\xfc', 1.5, [1]]]\n")
    );
    assert_eq!(
        said(&server.lq(&["--format", "python", "GET hosts"])),
        ok("[]\n")
    );
    let want = "GET hosts\nResponseHeader: fixed16\nOutputFormat: json\n\n";
    assert_eq!(server.requests(), [want, want]);
}

#[test]
fn a_silent_server_is_given_up() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("live");
    let _listener = UnixListener::bind(&path).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lq"))
        .arg("-s")
        .arg(&path)
        .args(["--timeout", "100ms", "GET hosts"])
        .output()
        .unwrap();
    let want = format!("lq: {} does not answer\n", path.display());
    assert_eq!(said(&output), failed(75, &want));
}

#[test]
fn what_is_no_query_is_a_wrong_use() {
    let server = Server::start(&[]);
    for (arguments, want) in [
        (
            &["host"][..],
            "lq: a query begins with GET or COMMAND, not with 'host'\n",
        ),
        (&[], "lq: there is no query\n"),
        (&[""], "lq: there is no query\n"),
    ] {
        assert_eq!(
            said(&server.lq(arguments)),
            failed(2, want),
            "{arguments:?}"
        );
    }
    assert_eq!(
        server.lq(&["--format", "xml", "GET hosts"]).status.code(),
        Some(2)
    );
}

#[test]
fn a_reader_that_went_away_is_a_silent_failure() {
    // More than a pipe holds.
    let body = "x".repeat(1 << 20);
    let answer = format!("200 {:11}\n{body}", body.len());
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("live");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).unwrap();
        // It fails when lq has gone.
        let _ = stream.write_all(answer.as_bytes());
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_lq"))
        .arg("-s")
        .arg(&path)
        .arg("GET hosts")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(said(&child.wait_with_output().unwrap()), failed(1, ""));
    thread.join().unwrap();
}

#[test]
fn help_and_version_are_asked_for() {
    let server = Server::start(&[]);
    let (status, help, _) = said(&server.lq(&["--help"]));
    assert_eq!(status, 0);
    assert!(
        help.starts_with("Ask a Livestatus server and print the answer\n"),
        "{help}"
    );
    assert!(help.contains("Manual: lq(1), sitewire(7)"), "{help}");
    let (status, version, _) = said(&server.lq(&["--version"]));
    assert_eq!(status, 0);
    assert!(
        version.starts_with("lq ") && version.contains(" (sitewire, "),
        "{version}"
    );
}
