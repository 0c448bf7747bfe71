//! A site with the objects of which the original's files in `fixtures/` were
//! made, and livedump run against it.

#![allow(dead_code)] // Each test uses another part of it.

use std::path::Path;
use std::process::{Command, Output};

use crate::server::{Server, Style, Table, table};

const STATUS: &str = "program_version = \"1.5.2\"\nlivestatus_version = \"1.5.1-naemon\"";
const ICINGA2: &str = "program_version = \"r2.13.6-1-icinga2\"\nlivestatus_version = \"r2.13.6-1\"";

/// The columns of hosts, and their values where a row says nothing else.
const HOST: &[(&str, &str)] = &[
    ("name", "\"\""),
    ("alias", "\"\""),
    ("address", "\"\""),
    ("groups", "[]"),
    ("contacts", "[\"alice\"]"),
    ("contact_groups", "[\"ops\"]"),
    ("icon_image", "\"\""),
    ("check_command", "\"check_dummy!\""),
    ("max_check_attempts", "3"),
    ("has_been_checked", "1"),
    ("state", "0"),
    ("state_type", "1"),
    ("current_attempt", "1"),
    ("last_check", "1795217980"),
    ("last_state_change", "1795210000"),
    ("last_hard_state_change", "1795210000"),
    ("execution_time", "0.25"),
    ("latency", "0.125"),
    ("is_flapping", "0"),
    ("percent_state_change", "0"),
    ("acknowledged", "0"),
    ("acknowledgement_type", "0"),
    ("scheduled_downtime_depth", "0"),
    ("staleness", "0.5"),
    ("plugin_output", "\"OK\""),
    ("long_plugin_output", "\"\""),
    ("perf_data", "\"\""),
];

/// A table of objects: `column = JSON` for each column that differs.
pub(crate) fn objects(names: &[&'static str], rows: &[&[(&str, &str)]]) -> Table {
    let columns = names.iter().map(|name| (*name, "\"\""));
    let common = HOST[1..]
        .iter()
        .copied()
        .filter(|(column, _)| !names.contains(column));
    let all: Vec<_> = columns.chain(common).collect();
    let row = |cells: &&[(&str, &str)]| {
        let known = |name: &str| all.iter().any(|(column, _)| *column == name);
        assert!(cells.iter().all(|(name, _)| known(name)), "{cells:?}");
        all.iter()
            .map(|(column, usual)| {
                let given = cells.iter().find(|(name, _)| name == column);
                given.map_or(*usual, |(_, value)| value).to_owned()
            })
            .collect()
    };
    Table {
        columns: all.iter().map(|(column, _)| *column).collect(),
        rows: rows.iter().map(row).collect(),
    }
}

pub(crate) fn hosts(rows: &[&[(&str, &str)]]) -> Table {
    objects(&["name"], rows)
}

pub(crate) fn services(rows: &[&[(&str, &str)]]) -> Table {
    objects(&["host_name", "description"], rows)
}

/// The tables of the site. One host was never checked; `Never checked` on it was.
pub(crate) fn tables() -> Vec<(&'static str, Table)> {
    vec![
        ("status", table(STATUS)),
        (
            "hosts",
            hosts(&[
                &[
                    ("name", "\"db-münchen\""),
                    ("alias", "\"Datenbank München\""),
                    ("address", "\"192.0.2.12\""),
                    ("groups", "[\"linux-servers\"]"),
                    ("plugin_output", "\"OK - 192.0.2.12: rta 1.2ms\""),
                    ("perf_data", "\"rta=1.2ms;200;500;0;\""),
                ],
                &[
                    ("name", "\"web-01\""),
                    ("alias", "\"Web server 1\""),
                    ("address", "\"192.0.2.11\""),
                    ("groups", "[\"linux-servers\",\"berlin\"]"),
                    ("icon_image", "\"linux.png\""),
                    ("plugin_output", "\"OK - 192.0.2.11: rta 0.066ms, lost 0%\""),
                    ("perf_data", "\"rta=0.066ms;200;500;0; pl=0%;80;100;;\""),
                ],
                &[
                    ("name", "\"pend-01\""),
                    ("alias", "\"pend-01\""),
                    ("address", "\"192.0.2.14\""),
                    ("has_been_checked", "0"),
                    ("state", "1"),
                    ("last_check", "-1"),
                    ("latency", "null"),
                    ("execution_time", "null"),
                    ("plugin_output", "\"\""),
                ],
                &[
                    ("name", "\"sw core\""),
                    ("alias", "\"Core switch\""),
                    ("address", "\"192.0.2.13\""),
                    ("state", "1"),
                    ("plugin_output", "\"CRITICAL - 192.0.2.13: no answer\""),
                    ("acknowledged", "1"),
                    ("acknowledgement_type", "2"),
                ],
            ]),
        ),
        (
            "services",
            services(&[
                &[
                    ("host_name", "\"web-01\""),
                    ("description", "\"HTTP\""),
                    ("contacts", "[\"bob\",\"alice\"]"),
                    ("contact_groups", "[]"),
                    ("max_check_attempts", "4"),
                    ("plugin_output", "\"HTTP OK: 200\""),
                    ("perf_data", "\"time=0.1s;1;5;0\""),
                ],
                &[
                    ("host_name", "\"web-01\""),
                    ("description", "\"CPU load\""),
                    ("contacts", "[\"alice\",\"bob\"]"),
                    ("contact_groups", "[]"),
                    ("max_check_attempts", "4"),
                    ("state", "1"),
                    ("state_type", "0"),
                    ("current_attempt", "2"),
                    ("plugin_output", "\"WARN - 15 min load 5.1\""),
                    ("long_plugin_output", "\"top: C:\\\\x\\\\nsecond\""),
                    ("perf_data", "\"load1=4.2;5;10;0 load5=4.9 load15=5.1\""),
                ],
                &[
                    ("host_name", "\"db-münchen\""),
                    ("description", "\"Tablespace Größe\""),
                    ("groups", "[\"disks\"]"),
                    ("contacts", "[\"alice\",\"bob\"]"),
                    ("contact_groups", "[]"),
                    ("max_check_attempts", "4"),
                    ("state", "2"),
                    ("plugin_output", "\"CRIT – 98 % of 42 GB used\""),
                    ("perf_data", "\"ts=41.2GB;33;38;0;42\""),
                    ("scheduled_downtime_depth", "1"),
                ],
                &[
                    ("host_name", "\"pend-01\""),
                    ("description", "\"Never checked\""),
                    ("contacts", "[\"alice\",\"bob\"]"),
                    ("contact_groups", "[]"),
                    ("max_check_attempts", "4"),
                    ("state", "3"),
                    ("plugin_output", "\"UNKNOWN - first result\""),
                ],
            ]),
        ),
        (
            "comments",
            table(
                "host_name = \"sw core\"\nservice_description = \"\"\nis_service = 0\nid = 7\nauthor = \"alice\"\n\
                 comment = \"known; ticket\\\\1\"\nentry_time = 1795217000\nentry_type = 4\npersistent = 1\n\
                 expires = 0\nexpire_time = 0\n\n\
                 host_name = \"web-01\"\nservice_description = \"HTTP\"\nis_service = 1\nid = 8\nauthor = \"bob\"\n\
                 comment = \"only a remark\"\nentry_time = 1795217000\nentry_type = 1\npersistent = 1\n\
                 expires = 0\nexpire_time = 0",
            ),
        ),
        (
            "downtimes",
            table(
                "host_name = \"db-münchen\"\nservice_description = \"Tablespace Größe\"\nis_service = 1\nid = 9\n\
                 author = \"bob\"\ncomment = \"bigger disk\"\nentry_time = 1795217000\nstart_time = 1795217100\n\
                 end_time = 1795999999\nfixed = 1\nduration = 782899\nis_pending = 0",
            ),
        ),
        ("contacts", table("name = \"alice\"\nalias = \"Alice A.\"")),
        (
            "hostgroups",
            table("name = \"berlin\"\nalias = \"In Berlin\""),
        ),
    ]
}

/// The same site with that table in the place of its own.
pub(crate) fn with(name: &str, other: Table) -> Vec<(&'static str, Table)> {
    let mut tables = tables();
    let place = tables.iter_mut().find(|(table, _)| *table == name);
    place.unwrap().1 = other;
    tables
}

/// As Icinga 2 tells it.
pub(crate) fn icinga2(mut tables: Vec<(&'static str, Table)>) -> Server {
    tables[0].1 = table(ICINGA2);
    Server::start(Style::Icinga2, tables)
}

pub(crate) fn naemon(tables: Vec<(&'static str, Table)>) -> Server {
    Server::start(Style::Naemon, tables)
}

pub(crate) fn command(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livedump"));
    command.env_remove("OMD_ROOT").env_remove("OMD_SITE");
    command.arg("-s").arg(socket);
    command
}

pub(crate) fn livedump(server: &Server, args: &[&str]) -> Output {
    command(server.socket())
        .args(["--site", "remote1"])
        .args(args)
        .output()
        .unwrap()
}

/// What it writes, when all is well.
#[track_caller]
pub(crate) fn dumped(server: &Server, args: &[&str]) -> String {
    let output = livedump(server, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}
