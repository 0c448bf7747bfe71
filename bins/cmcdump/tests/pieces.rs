//! Servers that refuse what they are asked: a column, a table, or so many rows
//! at once.

#[path = "../../../common/source/tests/server/mod.rs"]
mod server;

use std::collections::BTreeSet;
use std::process::{Command, Output};

use livestatus::dump::{DumpReader, Item, Record};
use nagios::shadow::{Limits, parse};
use server::{Server, Style, Table};

/// As many hosts as there are numbers, each with as many services as its number.
fn tables(services_of: &[usize]) -> Vec<(&'static str, Table)> {
    let status = ["\"1.5.2\"", "\"1.5.1-naemon\""]
        .map(str::to_owned)
        .to_vec();
    let mut hosts = Vec::new();
    let mut services = Vec::new();
    // Not in the order of their names.
    for (number, count) in services_of.iter().enumerate().rev() {
        let host = format!("\"host {number:03}\"");
        for service in 0..*count {
            services.push(vec![host.clone(), format!("\"service {service}\"")]);
        }
        hosts.push(vec![host]);
    }
    [
        (
            "status",
            vec!["program_version", "livestatus_version"],
            vec![status],
        ),
        ("hosts", vec!["name"], hosts),
        ("services", vec!["host_name", "description"], services),
    ]
    .map(|(name, columns, rows)| (name, Table { columns, rows }))
    .to_vec()
}

fn cmcdump(server: &Server, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmcdump"))
        .args(["--site", "a", "--socket"])
        .arg(server.socket())
        .args(args)
        .output()
        .unwrap()
}

/// Fails unless the program ended well and said nothing.
#[track_caller]
fn assert_done(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
}

/// The objects of a state dump, each of which it must have once.
fn objects_of_state(bytes: &[u8]) -> BTreeSet<String> {
    let mut reader = DumpReader::new();
    reader.push(bytes);
    reader.finish();
    let mut objects = BTreeSet::new();
    let mut ended = false;
    while let Some(item) = reader.poll_item() {
        let object = match item {
            Item::Begin(_) => continue,
            Item::Record(record) => match *record {
                Record::Host { host_name, .. } => host_name.to_string(),
                Record::Service {
                    host_name,
                    service_description,
                    ..
                } => {
                    format!("{host_name};{service_description}")
                }
                other => panic!("{other:?}"),
            },
            Item::Refused(error) => panic!("{error}"),
            Item::End(end) => {
                ended = end.is_ok();
                continue;
            }
        };
        assert!(objects.insert(object.clone()), "{object} is there twice");
    }
    assert!(ended);
    objects
}

fn objects_of_configuration(bytes: &[u8]) -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    for (name, host) in parse(bytes, Limits::default()).unwrap().hosts {
        objects.extend(
            host.services
                .keys()
                .map(|service| format!("{name};{service}")),
        );
        objects.insert(name.to_string());
    }
    objects
}

#[test]
fn what_is_too_large_for_an_answer_is_asked_for_in_ranges_of_hosts() {
    for (name, services_of, most) in [
        ("fits", &[3; 10][..], 30),
        ("halves", &[3; 10], 15),
        ("quarters", &[3; 10], 14),
        ("host by host", &[3; 10], 3),
        ("one large host", &[1, 1, 1, 20, 1, 1, 1, 1, 1], 20),
        ("the first is large", &[20, 1, 1, 1, 1, 1, 1], 20),
        ("the last is large", &[1, 1, 1, 1, 1, 1, 20], 20),
        ("hosts without services", &[0, 0, 9, 0, 0, 9, 0], 9),
        ("two hosts", &[5, 5], 5),
    ] {
        let limit = move |table: &str, rows: usize| table == "services" && rows > most;
        let server = Server::start_limited(tables(services_of), Box::new(limit));
        let unlimited = Server::start(Style::Naemon, tables(services_of));
        let want = objects_of_state(&cmcdump(&unlimited, &[]).stdout);
        assert_eq!(
            want.len(),
            services_of.len() + services_of.iter().sum::<usize>()
        );

        let state = cmcdump(&server, &[]);
        assert_done(&state);
        assert_eq!(objects_of_state(&state.stdout), want, "{name}");
        let configuration = cmcdump(&server, &["-C"]);
        assert_done(&configuration);
        assert_eq!(
            objects_of_configuration(&configuration.stdout),
            want,
            "{name}"
        );
    }
}

#[test]
fn a_part_that_was_refused_is_not_asked_for_again() {
    let limit = |table: &str, rows: usize| table == "services" && rows > 3;
    let server = Server::start_limited(tables(&[1; 8]), Box::new(limit));
    assert_done(&cmcdump(&server, &[]));
    let requests = server.requests();
    let services: Vec<Vec<&str>> = requests
        .iter()
        .filter(|request| request.starts_with("GET services\n"))
        .map(|request| {
            request
                .lines()
                .filter_map(|line| line.strip_prefix("Filter: "))
                .collect()
        })
        .collect();
    assert_eq!(
        services,
        [
            &[][..],
            &["host_name < host 004"],
            &["host_name < host 002"],
            &["host_name >= host 002", "host_name < host 004"],
            &["host_name >= host 004", "host_name < host 006"],
            &["host_name >= host 006"],
        ]
    );
    // The hosts, and their names once more to split them.
    let hosts = requests.iter().filter(|r| r.starts_with("GET hosts\n"));
    assert_eq!(hosts.count(), 2);
}

#[test]
fn hosts_are_asked_for_in_ranges_too() {
    // Names alone are let through: the query with the states is the longer one.
    let most = std::sync::atomic::AtomicUsize::new(0);
    let limit = move |table: &str, rows: usize| {
        let first = most.fetch_add(
            usize::from(table == "hosts"),
            std::sync::atomic::Ordering::Relaxed,
        ) == 0;
        table == "hosts" && rows > 2 && first
    };
    let server = Server::start_limited(tables(&[1; 4]), Box::new(limit));
    let output = cmcdump(&server, &[]);
    assert_done(&output);
    assert_eq!(objects_of_state(&output.stdout).len(), 8);
}

#[test]
fn a_host_that_alone_is_too_large_is_named() {
    for services_of in [&[1, 1, 9, 1, 1][..], &[9], &[9, 1], &[1, 9]] {
        let limit = |table: &str, rows: usize| table == "services" && rows > 5;
        let server = Server::start_limited(tables(services_of), Box::new(limit));
        let number = services_of.iter().position(|count| *count == 9).unwrap();
        for args in [&[][..], &["-C"]] {
            let output = cmcdump(&server, args);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{errors}");
            let name =
                format!("cmcdump: host 'host {number:03}' alone is more than the server answers: ");
            assert!(errors.starts_with(&name), "{errors}");
            assert!(
                errors.contains("413") && errors.contains("Maximum response size"),
                "{errors}"
            );
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
    }
}

#[test]
fn a_server_that_refuses_everything_is_asked_a_few_times_only() {
    let limit = |table: &str, _: usize| table == "services";
    let server = Server::start_limited(tables(&[1; 1000]), Box::new(limit));
    assert_eq!(cmcdump(&server, &["-C"]).status.code(), Some(1));
    let count = server.requests().len();
    assert!(count < 20, "{count} requests");
}

#[test]
fn groups_that_are_too_large_for_an_answer_are_not_asked_for_by_host() {
    let mut tables = tables(&[1, 1]);
    let rows = vec![vec!["\"web\"".to_owned()]];
    let columns = vec!["name"];
    tables.push(("hostgroups", Table { columns, rows }));
    let limit = |table: &str, _: usize| table == "hostgroups";
    let server = Server::start_limited(tables, Box::new(limit));
    let output = cmcdump(&server, &["-C"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("query for hostgroups: the server says 413"),
        "{errors}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn columns_that_a_server_objects_to_are_given_up() {
    // As Icinga 2 says it, which has no table of columns.
    let mut some = tables(&[2, 2]);
    some[0].1.rows[0] = ["\"r2.13.6-1\"", "\"r2.13.6-1\""]
        .map(str::to_owned)
        .to_vec();
    some[2].1.columns.push("plugin_output");
    for row in &mut some[2].1.rows {
        row.push("\"all is well\"".to_owned());
    }
    let server = Server::start(Style::Icinga2, some.clone());
    let output = cmcdump(&server, &[]);
    assert_done(&output);
    assert_eq!(objects_of_state(&output.stdout).len(), 6);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches(";all is well;").count(), 4, "{text}");

    // Without the name of an object there is nothing to dump.
    some[2].1.columns[1] = "renamed";
    let server = Server::start(Style::Icinga2, some);
    let output = cmcdump(&server, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("'description'"), "{errors}");
}

#[test]
fn contacts_and_groups_that_a_server_does_not_have_are_none() {
    for style in [Style::Naemon, Style::Icinga2] {
        let mut tables = tables(&[2]);
        if style == Style::Icinga2 {
            tables[0].1.rows[0] = ["\"r2.13.6-1\"", "\"r2.13.6-1\""]
                .map(str::to_owned)
                .to_vec();
        }
        let rows = vec![["\"web\"", "\"Web\""].map(str::to_owned).to_vec()];
        let columns = vec!["name", "alias"];
        tables.push(("hostgroups", Table { columns, rows }));
        let server = Server::start(style, tables);
        let output = cmcdump(&server, &["-C"]);
        assert_done(&output);
        let read = parse(&output.stdout, Limits::default()).unwrap();
        assert_eq!(read.hosts.len(), 1);
        assert_eq!(
            read.definitions.hostgroups,
            [("web".into(), "Web".into())].into()
        );
        assert!(read.definitions.contacts.is_empty());
    }
}

#[test]
fn names_that_would_spoil_the_dump_are_left_out() {
    let mut tables = tables(&[1, 1]);
    tables[1].1.rows.push(vec!["\"odd\\nhost\"".to_owned()]);
    tables[2]
        .1
        .rows
        .push(["\"host 000\"", "\"\""].map(str::to_owned).to_vec());
    for table in ["contacts", "hostgroups"] {
        let rows = ["\"a\\nb\"", "\"\"", "\"fine\""]
            .map(|name| vec![name.to_owned()])
            .to_vec();
        tables.push((
            table,
            Table {
                columns: vec!["name"],
                rows,
            },
        ));
    }
    let server = Server::start(Style::Naemon, tables);
    let output = cmcdump(&server, &["-C"]);
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("1 services of hosts"), "{errors}");
    let read = parse(&output.stdout, Limits::default()).unwrap();
    assert_eq!(read.hosts.len(), 2);
    assert_eq!(read.definitions.contacts.len(), 1);
    assert_eq!(read.definitions.hostgroups.len(), 1);
}
