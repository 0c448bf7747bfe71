//! Whatever happens between two dumps: the first one and a delta say the same as
//! a full second one.

#[path = "../../../common/source/tests/server/mod.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use bstr::BString;
use livestatus::dump::{DumpReader, Item, Record, names_sum};
use objects::{Comment, Downtime, ObjectName, ShadowState, StateCode, UnixTime};
use proptest::prelude::*;
use server::{Server, Style, Table};

/// What a service says: state, check time, output.
type Said = (u8, u16, u8);

#[derive(Debug, Clone)]
struct Site {
    hosts: Vec<(Said, Vec<Said>)>,
    comments: BTreeMap<u8, u8>,
}

fn site() -> impl Strategy<Value = Site> {
    let said = || (0..3_u8, 0..3_u16, 0..3_u8);
    let services = proptest::collection::vec(said(), 3);
    let hosts = proptest::collection::vec((said(), services), 3);
    let comments = proptest::collection::btree_map(0..6_u8, 0..3_u8, 0..4);
    (hosts, comments).prop_map(|(hosts, comments)| Site { hosts, comments })
}

fn serve(site: &Site) -> Server {
    let status =
        server::table("program_version = \"1.5.2\"\nlivestatus_version = \"1.5.1-naemon\"");
    let columns = |names: &'static str| names.split(' ').collect::<Vec<_>>();
    let cells = |(state, check, output): Said| {
        let time = 1_795_000_000 + u32::from(check);
        vec![
            "1".to_owned(),
            state.to_string(),
            time.to_string(),
            format!("\"says {output}\""),
        ]
    };
    let mut hosts = Table {
        columns: columns("name has_been_checked state last_check plugin_output"),
        rows: Vec::new(),
    };
    let mut services = Table {
        columns: columns("host_name description has_been_checked state last_check plugin_output"),
        rows: Vec::new(),
    };
    for (number, (said, of_host)) in site.hosts.iter().enumerate() {
        let name = format!("\"host {number}\"");
        hosts.rows.push([vec![name.clone()], cells(*said)].concat());
        // Not in the order of their descriptions.
        for (service, said) in of_host.iter().enumerate().rev() {
            let names = vec![name.clone(), format!("\"service {service}\"")];
            services.rows.push([names, cells(*said)].concat());
        }
    }
    let comments = Table {
        columns: columns("host_name service_description is_service id author comment entry_type"),
        rows: site
            .comments
            .iter()
            .map(|(id, text)| {
                let cells = ["\"host 0\"", "\"\"", "0", &id.to_string(), "\"me\""];
                let mut cells = cells.map(str::to_owned).to_vec();
                cells.extend([format!("\"{text}\""), "1".to_owned()]);
                cells
            })
            .collect(),
    };
    let tables = vec![
        ("status", status),
        ("hosts", hosts),
        ("services", services),
        ("comments", comments),
    ];
    Server::start(Style::Naemon, tables)
}

fn cmcdump(server: &Server, since: Option<&Path>) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmcdump"));
    command.args(["--site", "a", "-s"]).arg(server.socket());
    command.args(
        since
            .iter()
            .flat_map(|path| ["--since-file".as_ref(), path.as_os_str()]),
    );
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn confirm(since: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmcdump"));
    command.args(["--confirm", "--since-file"]).arg(since);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"taken 1\n").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// What a central site knows.
#[derive(Debug, Default, PartialEq)]
struct Known {
    objects: BTreeMap<(BString, Option<BString>), (u8, UnixTime, BString)>,
    comments: BTreeMap<u64, (ObjectName, Comment)>,
    downtimes: BTreeMap<u64, (ObjectName, Downtime)>,
}

impl Known {
    fn take<S: StateCode>(
        &mut self,
        host: BString,
        service: Option<BString>,
        state: ShadowState<S>,
    ) {
        let said = (state.state.code(), state.last_check, state.plugin_output);
        self.objects.insert((host, service), said);
    }

    fn apply(&mut self, dump: &[u8]) {
        let mut reader = DumpReader::new();
        reader.push(dump);
        reader.finish();
        let mut ended = false;
        while let Some(item) = reader.poll_item() {
            match item {
                Item::Begin(_) => {}
                Item::Record(record) => self.record(*record),
                Item::End(end) => ended = end.is_ok(),
                Item::Refused(error) => panic!("{error}"),
            }
        }
        assert!(ended);
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Host { host_name, state } => self.take(host_name, None, state),
            Record::Service {
                host_name,
                service_description,
                state,
            } => self.take(host_name, Some(service_description), state),
            Record::Comment(object, comment) => {
                self.comments.insert(comment.id, (object, comment));
            }
            Record::Downtime(object, downtime) => {
                self.downtimes.insert(downtime.id, (object, downtime));
            }
            Record::CommentGone(id) => assert!(self.comments.remove(&id).is_some()),
            Record::DowntimeGone(id) => assert!(self.downtimes.remove(&id).is_some()),
            Record::Checked(hosts) => {
                for host in hosts {
                    let of_host = self
                        .objects
                        .iter_mut()
                        .filter(|(key, _)| key.0 == host.host_name);
                    let (names, said): (Vec<_>, Vec<_>) = of_host.unzip();
                    let names = names
                        .iter()
                        .filter_map(|(_, name)| Some(&name.as_ref()?[..]));
                    assert_eq!(names_sum(names), host.names);
                    assert_eq!(said.len(), host.last_checks.len());
                    for (said, last_check) in said.into_iter().zip(host.last_checks) {
                        said.1 = last_check.unwrap_or(said.1);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_dump_and_a_delta_say_what_a_full_dump_says(first in site(), second in site()) {
        let directory = tempfile::tempdir().unwrap();
        let since = directory.path().join("since");
        let mut known = Known::default();
        known.apply(&cmcdump(&serve(&first), Some(&since)));
        confirm(&since);
        let server = serve(&second);
        known.apply(&cmcdump(&server, Some(&since)));
        let mut want = Known::default();
        want.apply(&cmcdump(&server, None));
        prop_assert_eq!(known, want);
    }
}
