//! The known defects of Checkmk's livedump, one test each. Each asks the same of
//! our output and of the original's, of which files lie in `fixtures/`: ours is
//! right, and the original's is not.

#[path = "../../../common/source/tests/server/mod.rs"]
mod server;
mod site;

use std::collections::BTreeSet;
use std::process::Command;

use bstr::{BString, ByteSlice, ByteVec};
use nagios::check_result::{Event, Limits, Reader};
use nagios::object::{Definition, definitions};
use server::{Server, Style};
use site::{command, dumped, hosts, icinga2, livedump, naemon, services, tables, with};

const STATE: &str = include_str!("fixtures/original-state.txt");
const STATE_MARKED: &str = include_str!("fixtures/original-state-marked.txt");
const TEMPLATES: &str = include_str!("fixtures/original-config-templates.cfg");
const ALL_OPTIONS: &str = include_str!("fixtures/original-config-all-options.cfg");

/// A record as a core reads it: its keys and values.
type Record = Vec<(BString, BString)>;

/// Check results as Nagios reads them, harm included: a line that ends in one
/// backslash goes on in the next, an empty line ends a record.
fn as_nagios_reads(text: &[u8]) -> Vec<Record> {
    let mut lines = Vec::new();
    let mut joined = Vec::new();
    for line in text.lines() {
        joined.extend_from_slice(if joined.is_empty() {
            line
        } else {
            line.trim_start()
        });
        if let Some(rest) = joined.strip_suffix(b"\\") {
            let is_escaped = rest.ends_with(b"\\");
            joined.pop();
            if !is_escaped {
                continue;
            }
        }
        lines.push(std::mem::take(&mut joined));
    }
    let mut records: Vec<Record> = vec![Vec::new()];
    for line in lines.iter().filter(|line| !line.starts_with(b"#")) {
        if line.is_empty() {
            records.push(Vec::new());
        } else if let Some((key, value)) = line.split_once_str("=") {
            let value = if key == b"output" {
                unescaped(value)
            } else {
                value.into()
            };
            records.last_mut().unwrap().push((key.into(), value));
        }
    }
    records
        .retain(|record| value(record, "host_name").is_some() && value(record, "output").is_some());
    records
}

fn unescaped(value: &[u8]) -> BString {
    let value = value
        .replace(b"\\\\", b"\0")
        .replace(b"\\n", b"\n")
        .replace(b"\0", b"\\");
    value.trim_end().into()
}

fn value<'r>(record: &'r Record, key: &str) -> Option<&'r BString> {
    // The last one counts.
    record
        .iter()
        .rev()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value)
}

fn object(record: &Record) -> String {
    let mut name = value(record, "host_name").unwrap().to_string();
    if let Some(service) = value(record, "service_description") {
        name.push(';');
        name.push_str(&service.to_string());
    }
    name
}

fn objects(text: &str) -> Vec<String> {
    as_nagios_reads(text.as_bytes())
        .iter()
        .map(object)
        .collect()
}

fn configuration(text: &str) -> Vec<Definition> {
    definitions(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Whether what came can be taken for a whole dump.
fn seems_whole(text: &[u8]) -> bool {
    let mut reader = Reader::new(None, Limits::default());
    reader.push(text);
    reader.finish();
    loop {
        match reader.poll_event() {
            Ok(Event::End(_)) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn defect_01_asks_in_a_format_that_every_server_knows() {
    // The test server answers nothing but JSON, as each of them does.
    let is_known = |request: &str| {
        let format = request
            .lines()
            .find_map(|line| line.strip_prefix("OutputFormat: "));
        format.is_some_and(|format| ["json", "csv"].contains(&format))
    };
    let original = "GET hosts\nColumns: name\nLocaltime: 1795217983\nOutputFormat: python3\n\n";
    assert!(!is_known(original));
    for server in [naemon(tables()), icinga2(tables())] {
        dumped(&server, &[]);
        dumped(&server, &["-C", "-T"]);
        let requests = server.requests();
        assert!(requests.len() > 4 && requests.iter().all(|request| is_known(request)));
        assert!(
            requests
                .iter()
                .all(|request| !request.contains("Localtime"))
        );
    }
}

#[test]
fn defect_02_difficult_values_of_icinga_2_do_not_end_the_dump() {
    let odd = services(&[
        &[
            ("host_name", "\"web-01\""),
            ("description", "\"a\""),
            ("plugin_output", "\"C:\\\\\""),
        ],
        &[
            ("host_name", "\"web-01\""),
            ("description", "\"b\""),
            ("latency", "\"\""),
            ("execution_time", "null"),
        ],
        &[("host_name", "\"web-01\""), ("description", "\"c\"")],
    ]);
    let dump = dumped(&icinga2(with("services", odd)), &[]);
    let wanted = ["web-01;a", "web-01;b", "web-01;c"];
    assert!(
        objects(&dump).ends_with(&wanted.map(str::to_owned)),
        "{dump}"
    );
    assert!(seems_whole(dump.as_bytes()));
    // The original stops where a number should be.
    let (original, _) = STATE.split_at(STATE.rfind("latency=").unwrap() + "latency=".len());
    assert!(!seems_whole(original.as_bytes()));
    assert!(!objects(original).contains(&"pend-01;Never checked".to_owned()));
}

#[test]
fn defect_03_a_dump_that_is_short_says_so() {
    let cut = |name: &str, mut answer: Vec<u8>| {
        if name == "services" {
            answer.truncate(60);
        }
        answer
    };
    let server = Server::start_damaged(Style::Naemon, tables(), Box::new(cut));
    let output = livedump(&server, &[]);
    // So short that no record has left yet; the hosts are written all the same.
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code == 3 || code == 75)
    );
    assert!(!seems_whole(&output.stdout));
    let hosts_only = STATE
        .split_once("\n\nhost_name=web-01\nservice")
        .unwrap()
        .0
        .to_owned()
        + "\n\n";
    assert!(
        seems_whole(hosts_only.as_bytes()),
        "the original's cannot be told from a whole one"
    );

    let configuration = livedump(&server, &["-C", "-T"]);
    assert_eq!(
        configuration.stdout, b"",
        "a configuration that is short is none"
    );
}

#[test]
fn defect_04_values_do_no_harm_to_their_own_and_other_objects() {
    let outputs = [r"C:\new", r"tail\", "fine", r"\\server\n", r"a\\"];
    let cells: Vec<[(String, String); 3]> = outputs
        .iter()
        .enumerate()
        .map(|(number, output)| {
            let json = format!("\"{}\"", output.replace('\\', "\\\\"));
            let pair = |key: &str, value: String| (key.to_owned(), value);
            [
                pair("host_name", "\"web-01\"".to_owned()),
                pair("description", format!("\"s{number} \\\\\"")),
                pair("plugin_output", json),
            ]
        })
        .collect();
    let rows: Vec<Vec<(&str, &str)>> = cells
        .iter()
        .map(|row| {
            row.iter()
                .map(|(key, value)| (&key[..], &value[..]))
                .collect()
        })
        .collect();
    let rows: Vec<&[(&str, &str)]> = rows.iter().map(Vec::as_slice).collect();
    let dump = dumped(&naemon(with("services", services(&rows))), &[]);
    let wanted: Vec<(String, BString)> = outputs
        .iter()
        .enumerate()
        .map(|(number, output)| (format!("web-01;s{number} \\"), BString::from(*output)))
        .collect();
    let known = |text: &[u8]| -> Vec<(String, BString)> {
        let records = as_nagios_reads(text);
        let services = records
            .iter()
            .filter(|record| value(record, "service_description").is_some());
        services
            .map(|record| (object(record), value(record, "output").unwrap().clone()))
            .collect()
    };
    assert_eq!(known(dump.as_bytes()), wanted);
    // As the original writes the same.
    let mut original = Vec::new();
    for (number, output) in outputs.iter().enumerate() {
        original.push_str(format!(
            "host_name=web-01\nservice_description=s{number} \\\nreturn_code=0\noutput={output}|\n\n"
        ));
    }
    assert_ne!(known(&original), wanted);
}

#[test]
fn defect_05_groups_are_written_when_asked_for() {
    let has = |text: &str, key: &str| text.lines().any(|line| line.trim().starts_with(key));
    let server = naemon(tables());
    let with_groups = dumped(&server, &["-C", "-G"]);
    assert!(has(&with_groups, "contact_groups ") && !has(&with_groups, "contacts "));
    let without = dumped(&server, &["-C"]);
    assert!(has(&without, "contacts ") && !has(&without, "contact_groups "));
    // With -G, and without.
    assert!(has(ALL_OPTIONS, "contacts ") && !has(ALL_OPTIONS, "contact_groups "));
    assert!(has(TEMPLATES, "contact_groups "));
}

#[test]
fn defect_06_nothing_is_written_without_a_value() {
    let empty = |text: &str| -> usize {
        let all = configuration(text)
            .into_iter()
            .flat_map(|definition| definition.directives);
        all.filter(|directive| directive.value.is_empty()).count()
    };
    let server = naemon(tables());
    for args in [
        &["-C", "-T"][..],
        &["-C", "-G"],
        &["-C", "--no-contacts", "--no-groups"],
    ] {
        assert_eq!(empty(&dumped(&server, args)), 0);
    }
    assert_ne!(empty(TEMPLATES), 0);
}

/// What a core refuses the second time.
fn names(text: &str) -> Vec<(BString, BString)> {
    let key = |definition: &Definition| {
        let value = |key: &str| {
            let found = definition
                .directives
                .iter()
                .find(|directive| directive.key == key);
            found.map(|directive| directive.value.clone())
        };
        let service = value("service_description").or_else(|| value("description"));
        let own = ["name", "command_name", "timeperiod_name", "host_name"]
            .iter()
            .find_map(|key| value(key));
        service
            .is_none()
            .then(|| (definition.kind.clone(), own.unwrap()))
    };
    configuration(text).iter().filter_map(key).collect()
}

#[test]
fn defect_07_dumps_of_several_sites_fit_together() {
    let server = naemon(tables());
    let dump = |site: &str| {
        let output = command(server.socket())
            .args(["--site", site, "-C", "-T", "-p"])
            .arg(format!("{site}-"))
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let are_unique = |text: &str| {
        let names = names(text);
        names.iter().collect::<BTreeSet<_>>().len() == names.len()
    };
    assert!(are_unique(&(dump("r1") + &dump("r2"))));
    // The templates of two sites in one core, whatever their hosts are called.
    let original =
        TEMPLATES.to_owned() + &TEMPLATES.replace("host_name          ", "host_name          r2-");
    assert!(!are_unique(&original));
}

#[test]
fn defect_08_what_was_never_checked_stays_pending() {
    let server = naemon(tables());
    let dump = dumped(&server, &[]);
    assert!(!objects(&dump).contains(&"pend-01".to_owned()));
    assert!(objects(&dump).contains(&"pend-01;Never checked".to_owned()));
    // Neither does the complete state make a core believe in a check.
    assert!(!objects(&dumped(&server, &["--full"])).contains(&"pend-01".to_owned()));
    assert!(objects(STATE).contains(&"pend-01".to_owned()));
    assert!(objects(&dumped(&server, &["--include-pending"])).contains(&"pend-01".to_owned()));
}

#[test]
fn defect_09_a_check_was_when_it_was() {
    let times = |text: &str| -> BTreeSet<BString> {
        let records = as_nagios_reads(text.as_bytes());
        records
            .iter()
            .map(|record| value(record, "start_time").unwrap().clone())
            .collect()
    };
    let old = hosts(&[
        &[("name", "\"web-01\"")],
        &[("name", "\"db\""), ("last_check", "1795211111")],
    ]);
    let server = naemon(with("hosts", old));
    let wanted = ["1795211111.000000", "1795217980.000000"];
    assert_eq!(
        times(&dumped(&server, &[])),
        wanted.map(BString::from).into()
    );
    // The original has one time for all, and so have we if told.
    assert_eq!(times(STATE).len(), 1);
    assert_eq!(times(&dumped(&server, &["--time", "now"])).len(), 1);
}

#[test]
fn defect_10_names_are_names() {
    let is_name = |text: &str| objects(text).iter().all(|name| !name.contains("b'"));
    assert!(is_name(&dumped(&naemon(tables()), &[])));
    assert!(!is_name(
        &STATE.replace("host_name=web-01", "host_name=b'web-01'")
    ));
}

#[test]
fn defect_11_the_socket_can_be_given_by_its_letter() {
    let server = naemon(tables());
    for flag in ["-s", "--socket"] {
        for prefix in ["", "unix:"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_livedump"));
            command
                .env("OMD_ROOT", "/nonexistent")
                .args(["--site", "remote1", flag]);
            command.arg(format!("{prefix}{}", server.socket().display()));
            assert!(
                command.output().unwrap().status.success(),
                "{flag} {prefix}"
            );
        }
    }
}

#[test]
fn defect_12_a_marked_configuration_names_a_site() {
    let server = naemon(tables());
    let nameless = command(server.socket())
        .args(["-C", "-M"])
        .output()
        .unwrap();
    assert_eq!(
        (nameless.status.code(), &nameless.stdout[..]),
        (Some(2), &b""[..])
    );
    let marked = dumped(&server, &["-C", "-M"]);
    assert!(marked.starts_with("config remote1\n# sitewire 1 config site=remote1 "));
    assert_eq!(ALL_OPTIONS.lines().next(), Some("config remote1"));
    let marked = dumped(&server, &["-M"]);
    assert_eq!(marked.lines().next(), STATE_MARKED.lines().next());
    let from_environment = command(server.socket())
        .args(["-C", "-M"])
        .env("OMD_SITE", "r7")
        .output();
    assert!(from_environment.unwrap().stdout.starts_with(b"config r7\n"));
}

#[test]
fn defect_13_a_site_without_objects_has_an_empty_dump() {
    let empty = icinga2(with("hosts", hosts(&[])));
    let none = ["-S", "Filter: description = nothing"];
    for args in [&none[..], &["-C", none[0], none[1]]] {
        let dump = dumped(&empty, args);
        assert_eq!(dump.lines().count(), 2, "{dump}");
        assert!(dump.contains("# sitewire-end records=0 "), "{dump}");
    }
}

#[test]
fn defect_14_memory_does_not_grow_with_the_site() {
    // 40,000 services with 1,500 bytes of output each: 60 MB, of which the
    // program may hold a fraction. The original needs 340 MiB for as many.
    let output = format!("\"{}\"", "x".repeat(1500));
    let names: Vec<String> = (0..40_000).map(|number| format!("\"s{number}\"")).collect();
    let rows: Vec<[(&str, &str); 3]> = names
        .iter()
        .map(|name| {
            [
                ("host_name", "\"web-01\""),
                ("description", &name[..]),
                ("plugin_output", &output[..]),
            ]
        })
        .collect();
    let rows: Vec<&[(&str, &str)]> = rows.iter().map(|row| &row[..]).collect();
    let server = naemon(with("services", services(&rows)));
    let limited = format!(
        "ulimit -d 24576 && exec {} --site remote1 -s {} | grep -c ^service_description=",
        env!("CARGO_BIN_EXE_livedump"),
        server.socket().display()
    );
    let output = Command::new("bash")
        .args(["-c", &limited])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"40000\n", "{}", output.stderr.as_bstr());
}
