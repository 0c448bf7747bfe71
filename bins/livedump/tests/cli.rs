//! The program against servers that answer as Naemon and Icinga 2 do. Expected
//! output lies in `fixtures/`, with the parts that come from the clock replaced
//! by words.

#[path = "../../../common/source/tests/server/mod.rs"]
mod server;
mod site;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use nagios::check_result::{CheckResult, Event, Limits, Reader};
use nagios::frame;
use server::{Server, Style};
use site::{command, dumped, hosts, livedump, naemon, services, tables, with};

/// The dump without what the clock says.
fn timeless(dump: &str) -> String {
    let lines = dump.lines().map(|line| {
        if let Some(rest) = line.strip_prefix("# sitewire 1 ") {
            let words = rest.split(' ').map(|word| match word.split_once('=') {
                Some((key @ ("seq" | "time"), _)) => format!("{key}=CLOCK"),
                _ => word.to_owned(),
            });
            return format!("# sitewire 1 {}", words.collect::<Vec<_>>().join(" "));
        }
        line.to_owned()
    });
    lines.map(|line| line + "\n").collect()
}

#[track_caller]
fn assert_golden(dump: &str, name: &str) {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    let dump = timeless(dump);
    if std::env::var_os("SITEWIRE_WRITE_GOLDEN").is_some() {
        fs::write(&path, &dump).unwrap();
        return;
    }
    assert_eq!(dump, wanted, "{name}");
}

fn results(dump: &[u8]) -> Vec<CheckResult> {
    let mut reader = Reader::new(None, Limits::default());
    reader.push(dump);
    reader.finish();
    let mut results = Vec::new();
    loop {
        match reader.poll_event().unwrap() {
            Event::Record(result) => results.push(result.clone()),
            Event::End(end) => {
                assert_eq!(end.unwrap().records, results.len() as u64);
                return results;
            }
            Event::Refused(refused) => panic!("{refused:?}"),
            Event::NeedInput | Event::Begin(_) => {}
        }
    }
}

#[test]
fn dumps_look_like_this() {
    let server = naemon(tables());
    for (name, args) in [
        ("state.txt", &[][..]),
        ("state-full.txt", &["--full", "-p", "r1-"]),
        ("state-naemon.txt", &["--core", "naemon"]),
        ("config.cfg", &["-C"]),
        (
            "config-templates.cfg",
            &[
                "-C",
                "-T",
                "-G",
                "-i",
                "5",
                "--use",
                "generic",
                "--notifications",
                "on",
            ],
        ),
        (
            "config-all.cfg",
            &[
                "-C",
                "-T",
                "-p",
                "r1-",
                "--define-missing",
                "--group-prefix",
                "r1-",
                "--include-host-icon",
                "--keep-check-commands",
                "--max-check-attempts",
                "1",
            ],
        ),
        (
            "config-bare.cfg",
            &[
                "-C",
                "--no-groups",
                "--contact-group",
                "noc",
                "--original-names",
                "-T",
            ],
        ),
    ] {
        assert_golden(&dumped(&server, args), name);
    }
}

#[test]
fn all_servers_give_the_same_dump() {
    let of_naemon = dumped(&naemon(tables()), &["--full"]);
    let of_icinga = dumped(&site::icinga2(tables()), &["--full"]);
    // Which takes staleness to be something else.
    let mut expected = results(of_naemon.as_bytes());
    for result in &mut expected {
        result.full.as_mut().unwrap().staleness = None;
    }
    assert_eq!(results(of_icinga.as_bytes()), expected);
    let configuration = |server: &Server| timeless(&dumped(server, &["-C", "-T"]));
    assert_eq!(
        configuration(&naemon(tables())),
        configuration(&site::icinga2(tables()))
    );
}

#[test]
fn a_configuration_is_whole_and_the_same_each_time() {
    let mut turned = tables();
    for (_, table) in &mut turned {
        table.rows.reverse();
    }
    let dump = dumped(&naemon(tables()), &["-C", "-T"]);
    assert!(frame::check(dump.as_bytes()).unwrap().is_some());
    assert_eq!(
        timeless(&dump),
        timeless(&dumped(&naemon(turned), &["-C", "-T"]))
    );
}

#[test]
fn headers_choose_objects_and_go_where_they_belong() {
    let server = naemon(tables());
    let flags = [
        "-O",
        "Filter: name = web-01",
        "-H",
        "Filter: alias = x",
        "-S",
        "Filter: description = HTTP",
        "-S",
        "AuthUser: bob",
    ];
    livedump(&server, &flags);
    let requests = server.requests();
    let of = |table: &str| {
        let found = requests
            .iter()
            .find(|request| request.starts_with(&format!("GET {table}\n")));
        let kept = found
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("Filter") || line.starts_with("Auth"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("hosts"), ["Filter: name = web-01", "Filter: alias = x"]);
    assert_eq!(
        of("services"),
        [
            "AuthUser: bob",
            "Filter: alias = x",
            "Filter: description = HTTP"
        ]
    );
    for bad in ["Columns: name", "Nonsense", "Filter: a = b\nColumns: x"] {
        let output = livedump(&server, &["-S", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}

#[test]
fn services_without_their_host_are_left_out_and_counted() {
    let output = livedump(&naemon(tables()), &["-C", "-O", "Filter: name = web-01"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        errors,
        "livedump: 2 services of hosts that are not in the dump are left out\n"
    );
    let dump = String::from_utf8(output.stdout).unwrap();
    assert_eq!(dump.matches("define host {").count(), 1);
    assert_eq!(dump.matches("define service {").count(), 2);
}

#[test]
fn names_are_changed_alike_in_states_and_configuration() {
    let odd = services(&[
        &[
            ("host_name", "\"web-01\""),
            ("description", "\"Load (1m), all\""),
        ],
        &[("host_name", "\"web-01\""), ("description", "\" a=b \"")],
    ]);
    let server = naemon(with("services", odd));
    let dump = dumped(&server, &["-C"]);
    let states = dumped(&server, &[]);
    for name in ["Load _1m__ all", "a_b"] {
        assert!(
            dump.contains(&format!("  service_description {name}\n")),
            "{dump}"
        );
        assert!(
            states.contains(&format!("\nservice_description={name}\n")),
            "{states}"
        );
    }
    let kept = dumped(&server, &["--illegal-characters", ""]);
    assert!(
        kept.contains("\nservice_description=Load (1m)_ all\n"),
        "{kept}"
    );
    assert!(kept.contains("\nservice_description=a=b\n"), "{kept}");
}

#[test]
fn objects_that_would_get_the_same_name_are_refused_and_listed() {
    let twins = services(&[
        &[("host_name", "\"web-01\""), ("description", "\"a=b\"")],
        &[("host_name", "\"web-01\""), ("description", "\"a,b\"")],
    ]);
    let server = naemon(with("services", twins));
    for args in [&[][..], &["-C"]] {
        let output = livedump(&server, args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            errors.ends_with("the same name at the centre: web-01;a_b\n"),
            "{errors}"
        );
        let dump = String::from_utf8(output.stdout).unwrap();
        assert!(!dump.contains("sitewire-end"), "{dump}");
    }
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump");
    let file = path.to_str().unwrap();
    assert_eq!(dumped(&naemon(tables()), &["-o", file]), "");
    let dump = fs::read(&path).unwrap();
    assert_eq!(results(&dump).len(), 7);

    let cut = |name: &str, mut answer: Vec<u8>| {
        if name == "services" {
            answer.truncate(100);
        }
        answer
    };
    let broken = Server::start_damaged(Style::Naemon, tables(), Box::new(cut));
    let output = livedump(&broken, &["-o", file]);
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(fs::read(&path).unwrap(), dump, "the old one stays");
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn nothing_is_written_if_nothing_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("remote1.cfg");
    let file = path.to_str().unwrap();
    let server = naemon(tables());
    let flags = ["-C", "-T", "-M", "--if-changed", file, "-o", file];
    dumped(&server, &flags);
    let first = fs::read_to_string(&path).unwrap();
    dumped(&server, &flags);
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    assert_eq!(dumped(&server, &flags[..5]), "");

    // Another interval is another configuration; a shorter file is none.
    assert_ne!(dumped(&server, &[&flags[..5], &["-i", "7"]].concat()), "");
    fs::write(&path, first.split_once("# sitewire-end").unwrap().0).unwrap();
    assert_ne!(dumped(&server, &flags[..5]), "");
    fs::write(&path, "").unwrap();
    assert_ne!(dumped(&server, &flags[..5]), "");
}

#[test]
fn states_name_their_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, "abc").unwrap();
    let dump = dumped(
        &naemon(tables()),
        &["--config-hash", path.to_str().unwrap()],
    );
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(
        dump.lines()
            .next()
            .unwrap()
            .ends_with(&format!(" config={hash}")),
        "{dump}"
    );
}

#[test]
fn the_server_and_the_site_must_be_known() {
    let server = naemon(tables());
    let output = command(server.socket()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let mut nowhere = command("/nonexistent/live".as_ref());
    assert_eq!(
        nowhere
            .args(["--site", "a"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(75)
    );
    for flags in [
        &["-C", "--full"][..],
        &["-i", "0"],
        &["--if-changed", "x"],
        &["-C", "--state"],
    ] {
        assert_eq!(livedump(&server, flags).status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_a_silent_failure() {
    let rows: Vec<String> = (0..5000).map(|number| format!("\"s{number}\"")).collect();
    let rows: Vec<[(&str, &str); 2]> = rows
        .iter()
        .map(|name| [("host_name", "\"web-01\""), ("description", &name[..])])
        .collect();
    let rows: Vec<&[(&str, &str)]> = rows.iter().map(|row| &row[..]).collect();
    let server = naemon(with("services", services(&rows)));
    let mut child = command(server.socket())
        .args(["--site", "remote1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), &*errors), (Some(1), ""));
}

#[test]
fn the_queries_are_shown_when_asked_for() {
    let output = livedump(&naemon(with("hosts", hosts(&[]))), &["--debug", "-v"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("GET services\n") && errors.contains("OutputFormat: json\n"),
        "{errors}"
    );
    assert!(
        errors.ends_with("livedump: 4 states, without 0 objects never checked\n"),
        "{errors}"
    );
}
