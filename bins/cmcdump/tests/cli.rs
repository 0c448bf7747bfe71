//! The program against servers that answer as Naemon and Icinga 2 do, well and
//! badly. Expected output lies in `fixtures/`, with the parts that come from
//! the clock replaced by words.

#[path = "../../../common/source/tests/server/mod.rs"]
mod server;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use livestatus::dump::{DumpReader, Item};
use nagios::shadow::{Limits, parse};
use server::{Server, Style, Table, table};

fn naemon() -> Vec<(&'static str, Table)> {
    let status = "program_version = \"1.5.2\"\nlivestatus_version = \"1.5.1-naemon\"";
    vec![
        ("status", table(status)),
        ("hosts", table(include_str!("fixtures/naemon-hosts.txt"))),
        (
            "services",
            table(include_str!("fixtures/naemon-services.txt")),
        ),
        ("comments", table(include_str!("fixtures/comments.txt"))),
        ("downtimes", table(include_str!("fixtures/downtimes.txt"))),
        (
            "contacts",
            table(include_str!("fixtures/naemon-contacts.txt")),
        ),
        (
            "contactgroups",
            table(
                "name = \"ops\"\nalias = \"Operators\"\nmembers = [\"op\",\"eve\"]\n\n\
                   name = \"idle\"\nalias = \"Nobody\"\nmembers = []",
            ),
        ),
        (
            "hostgroups",
            table(
                "name = \"linux\"\nalias = \"Linux servers\"\n\nname = \"none\"\nalias = \"No hosts, \\u00fcbrigens\"",
            ),
        ),
        (
            "servicegroups",
            table("name = \"disks\"\nalias = \"Disks\""),
        ),
    ]
}

fn icinga2() -> Vec<(&'static str, Table)> {
    let status = "program_version = \"r2.13.6-1-icinga2\"\nlivestatus_version = \"r2.13.6-1\"";
    vec![
        ("status", table(status)),
        ("hosts", table(include_str!("fixtures/icinga2-hosts.txt"))),
        (
            "services",
            table(include_str!("fixtures/icinga2-services.txt")),
        ),
        ("comments", table(include_str!("fixtures/comments.txt"))),
        ("downtimes", table(include_str!("fixtures/downtimes.txt"))),
        (
            "contacts",
            table(include_str!("fixtures/icinga2-contacts.txt")),
        ),
        (
            "contactgroups",
            table("name = \"ops\"\nalias = \"ops\"\nmembers = [\"joe\"]"),
        ),
        (
            "hostgroups",
            table("name = \"web\"\nalias = \"Web servers\""),
        ),
    ]
}

fn livestatusd(sites: &'static str) -> Vec<(&'static str, Table)> {
    let status =
        "program_version = \"sitewire-livestatusd 0.1.0\"\nlivestatus_version = \"1.5.0-sitewire\"";
    let mut tables = naemon();
    tables[0].1 = table(status);
    tables.push(("sites", table(sites)));
    tables
}

fn cmcdump(server: &Server, args: &[&str]) -> Output {
    run(server.socket(), args)
}

fn run(socket: &Path, args: &[&str]) -> Output {
    command(socket, args).output().unwrap()
}

fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmcdump"));
    command.arg("--socket").arg(socket).args(args);
    command.env_remove("OMD_ROOT").env_remove("OMD_SITE");
    command
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Fails unless the program ended well and said nothing.
fn assert_done(output: &Output) {
    assert_eq!((output.status.code(), stderr(output)), (Some(0), ""));
}

/// Replaces what depends on the moment of the dump.
fn without_time(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if line.starts_with("COMMAND [") {
            let end = line.find(']').unwrap();
            line.replace_range(9..end, "NOW");
        }
        if line.contains("SITEWIRE_BEGIN;") {
            let mut parts: Vec<&str> = line.split(';').collect();
            parts[4] = "SEQUENCE";
            *parts.last_mut().unwrap() = "TIME";
            line = parts.join(";");
        } else if line.contains("SITEWIRE_END;") {
            let mut parts: Vec<&str> = line.split(';').collect();
            parts[1] = "SEQUENCE";
            parts[3] = "CRC32C";
            line = parts.join(";");
        } else if line.starts_with("# sitewire 1 ") {
            let words = line.split(' ').map(|word| match word.split_once('=') {
                Some(("seq", _)) => "seq=SEQUENCE",
                Some(("time", _)) => "time=TIME",
                _ => word,
            });
            line = words.collect::<Vec<_>>().join(" ");
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[track_caller]
fn assert_golden(output: &Output, name: &str) {
    assert_done(output);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let found = without_time(stdout(output));
    if std::env::var_os("SITEWIRE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, want, "differs from {name}");
}

/// Reads a state dump: how many records, and whether its end is right.
fn read_state(bytes: &[u8]) -> (u64, Option<bool>) {
    let mut reader = DumpReader::new();
    reader.push(bytes);
    reader.finish();
    let (mut records, mut end) = (0, None);
    while let Some(item) = reader.poll_item() {
        match item {
            Item::Begin(_) => {}
            Item::Record(_) => records += 1,
            Item::Refused(error) => panic!("{error}"),
            Item::End(result) => end = Some(result.is_ok()),
        }
    }
    (records, end)
}

#[test]
fn the_state_of_a_naemon_is_dumped_completely() {
    let server = Server::start(Style::Naemon, naemon());
    let output = cmcdump(&server, &["--site", "remote1", "--epoch", "7"]);
    assert_golden(&output, "naemon-state.txt");
    assert_eq!(read_state(&output.stdout), (9, Some(true)));
}

#[test]
fn the_state_of_an_icinga_2_is_dumped_completely() {
    let server = Server::start(Style::Icinga2, icinga2());
    let output = cmcdump(&server, &["--site", "remote1"]);
    assert_golden(&output, "icinga2-state.txt");
    assert_eq!(read_state(&output.stdout), (8, Some(true)));
}

#[test]
fn the_configuration_of_a_naemon_is_dumped_in_order() {
    let server = Server::start(Style::Naemon, naemon());
    let output = cmcdump(&server, &["-C", "--site", "remote1", "--epoch", "7"]);
    assert_golden(&output, "naemon.mk");
    let configuration = parse(&output.stdout, Limits::default()).unwrap();
    assert_eq!(configuration.hosts.len(), 2);
    assert_eq!(configuration.begin.unwrap().epoch, 7);
}

#[test]
fn the_configuration_of_an_icinga_2_is_dumped_in_order() {
    let server = Server::start(Style::Icinga2, icinga2());
    for args in [
        ["--config", "--site", "remote1"],
        ["config", "--site", "remote1"],
    ] {
        assert_golden(&cmcdump(&server, &args), "icinga2.mk");
    }
}

#[test]
fn requests_spare_icinga_2() {
    let server = Server::start(Style::Icinga2, icinga2());
    assert_done(&cmcdump(&server, &["--site", "a"]));
    assert_done(&cmcdump(&server, &["-C", "--site", "a"]));
    let requests = server.requests();
    let tables: Vec<&str> = requests.iter().map(|r| r.lines().next().unwrap()).collect();
    assert_eq!(
        tables,
        [
            "GET status",
            "GET hosts",
            "GET services",
            "GET comments",
            "GET downtimes",
            "GET status",
            "GET hosts",
            "GET services",
            "GET hostgroups",
            "GET servicegroups",
            "GET contacts",
            "GET contactgroups",
        ]
    );
    for request in &requests {
        assert!(!request.contains("KeepAlive"), "{request}");
        let (_, asked) = request.split_once("Columns: ").unwrap();
        for column in ["staleness", "labels", "comments", "downtimes "] {
            assert!(!asked.contains(column), "{request}");
        }
    }
}

#[test]
fn only_columns_that_are_there_are_asked_for() {
    let mut tables = naemon();
    let column = tables[2]
        .1
        .columns
        .iter()
        .position(|name| *name == "latency")
        .unwrap();
    tables[2].1.columns[column] = "renamed";
    let server = Server::start(Style::Naemon, tables);
    let output = cmcdump(&server, &["--site", "a"]);
    assert_done(&output);
    let asked = server.requests();
    let asked = asked
        .iter()
        .find(|r| r.starts_with("GET services"))
        .unwrap();
    assert!(
        asked.contains("execution_time") && !asked.contains("latency"),
        "{asked}"
    );
    assert!(
        stdout(&output).contains(";0.9;;1;21.05;"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_site_is_named_or_the_only_one() {
    let unnamed = Server::start(Style::Naemon, naemon());
    let one = Server::start(Style::Naemon, livestatusd("site = \"remote7\""));
    let two = Server::start(Style::Naemon, livestatusd("site = \"a\"\n\nsite = \"b\""));
    for (server, arg, environment, want) in [
        (&unnamed, None, None, Err("which site is this?")),
        (&unnamed, Some("x"), None, Ok("x")),
        (&unnamed, None, Some("env"), Ok("env")),
        (
            &unnamed,
            None,
            Some("../env"),
            Err("OMD_SITE: \"../env\" is not a site id"),
        ),
        (&unnamed, Some("x"), Some("env"), Ok("x")),
        (&one, None, None, Ok("remote7")),
        (&one, Some("renamed"), None, Ok("renamed")),
        (&two, None, None, Err("choose one with --site: a, b")),
        (
            &two,
            Some("c"),
            None,
            Err("the server has no site c, only a, b"),
        ),
        (&two, Some("b"), None, Ok("b")),
    ] {
        let mut command = command(server.socket(), &[]);
        command.args(arg.iter().flat_map(|site| ["--site", site]));
        command.envs(environment.map(|site| ("OMD_SITE", site)));
        let output = command.output().unwrap();
        match want {
            Ok(site) => {
                assert_done(&output);
                let begin = format!("SITEWIRE_BEGIN;1;{site};state;");
                assert!(stdout(&output).contains(&begin), "{}", stdout(&output));
            }
            Err(message) => {
                assert_eq!(output.status.code(), Some(2), "{output:?}");
                assert!(stderr(&output).contains(message), "{}", stderr(&output));
                assert_eq!(stdout(&output), "");
            }
        }
    }
    let filtered = two
        .requests()
        .iter()
        .filter(|r| r.contains("\nFilter: site = b\n"))
        .count();
    assert_eq!(filtered, 4, "what belongs to one site only");
}

#[test]
fn the_configuration_is_named_by_its_hash() {
    let server = Server::start(Style::Naemon, naemon());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("remote1.mk");
    std::fs::write(&file, "abc").unwrap();
    let file = file.to_str().unwrap();
    let output = cmcdump(&server, &["--site", "a", "--config-hash", file]);
    assert_done(&output);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(
        stdout(&output)
            .lines()
            .next()
            .unwrap()
            .contains(&format!(";{abc};"))
    );
    let output = cmcdump(&server, &["--site", "a", "--config-hash", "/nonexistent/x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nonexistent/x: No such file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_refused_query_is_told_in_the_servers_words() {
    for (table, args, records) in [
        ("services", &["--site", "a"][..], 2),
        ("hosts", &["--site", "a"], 0),
        ("services", &["-C", "--site", "a"], 0),
    ] {
        let server = Server::start_damaged(
            Style::Naemon,
            naemon(),
            Box::new(move |name, answer| {
                if name != table {
                    return answer;
                }
                let text = "Maximum response size of 524288000 bytes exceeded!\n";
                format!("413 {:>11}\n{text}", text.len()).into_bytes()
            }),
        );
        let output = cmcdump(&server, args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let message = stderr(&output);
        assert!(
            message.contains("413") && message.contains("Maximum response size"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
        let (came, end) = read_state(&output.stdout);
        assert_eq!((came, end), (records, (records > 0).then_some(false)));
    }
}

#[test]
fn an_answer_that_breaks_off_leaves_a_dump_without_its_end() {
    type Cut = fn(usize) -> usize;
    let cuts: [(&str, Cut); 6] = [
        ("no answer", |_| 0),
        ("only the frame's header", |_| 16),
        ("one byte", |_| 17),
        ("half", |whole| whole / 2),
        ("without the list's end", |whole| whole - 2),
        ("without the last line feed", |whole| whole - 1),
    ];
    for (name, cut) in cuts {
        for (table, begun) in [("services", true), ("hosts", false), ("status", false)] {
            let server = Server::start_damaged(
                Style::Naemon,
                naemon(),
                Box::new(move |of, mut answer| {
                    if of == table {
                        answer.truncate(cut(answer.len()));
                    }
                    answer
                }),
            );
            let output = cmcdump(&server, &["--site", "a"]);
            let message = stderr(&output);
            let (records, end) = read_state(&output.stdout);
            // A host that came whole is handed on, the dump is incomplete.
            let begun = begun || records > 0;
            assert_eq!(
                output.status.code(),
                Some(if begun { 3 } else { 75 }),
                "{table}, {name}: {message}"
            );
            assert_eq!(end, begun.then_some(false), "{table}, {name}");
            assert!(!stdout(&output).contains("SITEWIRE_END"), "{table}, {name}");
            assert!(
                message.starts_with("cmcdump: ") && message.contains("live: "),
                "{message}"
            );
            let configuration = cmcdump(&server, &["-C", "--site", "a"]);
            assert_eq!(configuration.status.code(), Some(75), "{table}, {name}");
            assert_eq!(stdout(&configuration), "");
        }
    }
}

#[test]
fn what_is_no_answer_is_shown() {
    for (name, answer, want) in [
        (
            "unframed",
            &b"Undefined request header 'ResponseHeader: fixed16'\n"[..],
            "Undefined request header",
        ),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400"),
        ("empty body", b"200           0\n", "query for status"),
        ("not json", b"200           6\n<html>", "query for status"),
        (
            "no row",
            b"200           2\n[]",
            "says nothing about itself",
        ),
    ] {
        let server = Server::start_damaged(
            Style::Naemon,
            naemon(),
            Box::new(move |_, _| answer.to_vec()),
        );
        let output = cmcdump(&server, &["--site", "a"]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        assert!(
            stderr(&output).contains(want),
            "{name}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "", "{name}");
    }
}

#[test]
fn a_server_that_is_not_there_is_asked_again_later() {
    let directory = tempfile::tempdir().unwrap();
    let silent = directory.path().join("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let tcp = format!("tcp:{closed}");
    for (socket, want) in [
        (
            Path::new("/nonexistent/live"),
            "/nonexistent/live: No such file",
        ),
        (Path::new(&tcp), "Connection refused"),
        (&silent, "the server does not answer within 300ms"),
    ] {
        let output = run(socket, &["--site", "a", "--timeout", "300ms"]);
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        assert!(stderr(&output).contains(want), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn an_answer_that_stops_is_waited_for_no_longer_than_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("live");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"200          99\n[[\"1.5.2\",");
            kept.push(stream);
        }
    });
    let patience = ["--timeout", "10m", "--idle-timeout", "300ms"];
    let output = run(&socket, &[&["--site", "a"], &patience[..]].concat());
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let message = stderr(&output);
    assert!(
        message.contains("the answer stopped for 300ms"),
        "{message}"
    );
}

#[test]
fn a_connection_that_is_not_taken_is_waited_for_no_longer_than_allowed() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // The only place in the queue.
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let output = run(&path, &["--site", "a", "--connect-timeout", "300ms"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let message = stderr(&output);
    assert!(message.contains("no connection within 300ms"), "{message}");
}

#[test]
fn a_reader_that_went_away_ends_it_without_a_word() {
    let mut tables = naemon();
    let row = tables[2].1.rows[0].clone();
    tables[2].1.rows = vec![row; 20_000];
    let server = Server::start(Style::Naemon, tables);
    let mut child = command(server.socket(), &["--site", "a"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"COMMAND ["));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
}

#[test]
fn an_endless_output_is_cut_and_the_dump_is_whole() {
    let mut tables = naemon();
    let column = tables[2]
        .1
        .columns
        .iter()
        .position(|name| *name == "long_plugin_output")
        .unwrap();
    tables[2].1.rows[0][column] = format!("\"{}\"", "x".repeat(2 << 20));
    let server = Server::start(Style::Naemon, tables);
    let output = cmcdump(&server, &["--site", "a"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("web-01;Memory"),
        "{}",
        stderr(&output)
    );
    assert_eq!(read_state(&output.stdout), (9, Some(true)));
}

#[test]
fn a_full_disk_is_an_error() {
    let server = Server::start(Style::Naemon, naemon());
    for args in [&["--site", "a"][..], &["-C", "--site", "a"]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = command(server.socket(), args)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("standard output: No space left"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_command_line_is_strict() {
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["nonsense"], 2),
        (&["--site", "../x"], 2),
        (&["--timeout", "0s"], 2),
        (&["--timeout", "60"], 2),
        (&["-C", "--config-hash", "x"], 2),
        (&["config", "--config-hash", "x"], 2),
        (&["--site", "x"], 2),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_cmcdump"))
            .args(args)
            .env_remove("OMD_ROOT")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}
