//! cmcdump at a site, cmcload at the central one: everything arrives, in full and
//! as deltas, and what is wrong is refused with a reason.

use std::path::{Path, PathBuf};

use harness::livestatus::{command, rows, talk};
use harness::{Authority, Icinga2, Livestatusd, Outcome, Program, wait_until};
use serde_json::Value;

use crate::remote_site;

/// What a place has of its own, and why.
const OWN: &[(&str, &str)] = &[
    (
        "active_checks_enabled",
        "a shadow is not checked at the centre",
    ),
    ("checks_enabled", "as above, by its other name"),
    ("check_type", "of a shadow it is 2"),
    (
        "staleness",
        "counted by the clock, and so between the two questions",
    ),
    ("id", "each place numbers what it has"),
    ("last_update", "when that place heard of it"),
];

/// What deltas leave out of objects that are otherwise as they were.
const PASSING: &[&str] = &["latency", "execution_time"];

struct Sites {
    remote: Livestatusd,
    central: Livestatusd,
    since: PathBuf,
}

impl Sites {
    fn start() -> Self {
        let remote = remote_site::start();
        let central = Livestatusd::start(&["remote1"]);
        let since = remote.site.path("var/since");
        let sites = Self {
            remote,
            central,
            since,
        };
        sites.configure();
        sites
    }

    fn cmcdump(&self, options: &[&str]) -> Program {
        Program::new("cmcdump")
            .args(["--site", "remote1", "--socket"])
            .arg(self.remote.live("remote1"))
            .args(options)
    }

    fn dump(&self, options: &[&str]) -> String {
        self.cmcdump(options).run().success().text()
    }

    fn delta(&self) -> String {
        let since = self.since.display().to_string();
        self.dump(&["--since-file", &since])
    }

    fn load(&self, dump: &str) -> Outcome {
        self.cmcload(&[]).input(dump).run()
    }

    fn cmcload(&self, options: &[&str]) -> Program {
        Program::new("cmcload")
            .args(["--site", "remote1", "--socket"])
            .arg(self.central.ingest("remote1"))
            .args(options)
    }

    fn confirm(&self, answer: &str) -> Outcome {
        Program::new("cmcdump")
            .args(["--confirm", "--since-file"])
            .arg(&self.since)
            .input(answer)
            .run()
    }

    fn configure(&self) {
        let directory = self.central.site.path("etc/shadow/remote1");
        let dump = self.dump(&["-C"]);
        let outcome = self
            .cmcload(&["--directory", &directory.display().to_string()])
            .input(dump)
            .run()
            .success();
        assert_eq!(outcome.text(), "taken: 1 hosts, 4 services\n");
        self.central.process.hang_up();
        let live = self.central.live("remote1");
        wait_until("the configuration is there", || {
            rows(&live, "services", &["description"], &[]).len() == 4
        });
    }

    /// Both show the same, but for what each has of its own.
    #[track_caller]
    fn assert_equal(&self) {
        self.assert_equal_but_for(&[]);
    }

    #[track_caller]
    fn assert_equal_but_for(&self, others: &[&str]) {
        let (remote, central) = (self.remote.live("remote1"), self.central.live("remote1"));
        for table in ["hosts", "services", "comments", "downtimes"] {
            let columns: Vec<String> = rows(
                &remote,
                "columns",
                &["name"],
                &[&format!("Filter: table = {table}")],
            )
            .iter()
            .filter_map(|row| row[0].as_str().map(str::to_owned))
            .filter(|name| {
                let bare = name.strip_prefix("host_").or(name.strip_prefix("service_"));
                let names = [name.as_str(), bare.unwrap_or(name)];
                let is_own = OWN.iter().any(|(own, _)| names.contains(own));
                !is_own && !others.iter().any(|other| names.contains(other))
            })
            .collect();
            assert!(columns.len() > 10, "{table}: {columns:?}");
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            let ask = |socket: &Path| {
                let mut rows = rows(socket, table, &names, &[]);
                for row in &mut rows {
                    for (name, cell) in names.iter().zip(row) {
                        without_numbers(name, cell);
                    }
                }
                rows.sort_by_key(|row| format!("{row:?}"));
                rows
            };
            let (there, here) = (ask(&remote), ask(&central));
            assert_eq!(there.len(), here.len(), "{table}");
            for (there, here) in there.iter().zip(&here) {
                let cells = names.iter().zip(there.iter().zip(here));
                let different: Vec<_> = cells.filter(|(_, (there, here))| there != here).collect();
                assert!(different.is_empty(), "{table}: {different:?}");
            }
        }
    }

    fn central(&self, table: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        rows(&self.central.live("remote1"), table, columns, &[])
    }

    fn tell_remote(&self, commands: &[&str]) {
        command(&self.remote.live("remote1"), commands);
    }

    /// What `GET sites` says about whether the last dump was whole.
    fn is_complete(&self) -> bool {
        rows(&self.central.merged(), "sites", &["state_complete"], &[])[0][0] == 1
    }
}

/// Takes the numbers off what was said: of lists of them their length is left.
fn without_numbers(column: &str, cell: &mut Value) {
    let is_said = ["comments", "downtimes"]
        .iter()
        .any(|said| column.contains(said));
    let Value::Array(list) = cell else { return };
    if !is_said {
        return;
    }
    for entry in list {
        match entry {
            Value::Array(parts) if !parts.is_empty() => drop(parts.remove(0)),
            number => *number = Value::Null,
        }
    }
}

const PEOPLE: &[&str] = &[
    "ACKNOWLEDGE_SVC_PROBLEM;localhost;CPU load;2;0;1;ada;ticket 4711; see \\wiki",
    "ADD_HOST_COMMENT;localhost;1;bob;moved to rack 7",
    "SCHEDULE_SVC_DOWNTIME;localhost;Disk /;1000000000;4000000000;1;0;600;ada;cleaning up",
];

#[test]
fn whose_ticket_it_is_is_answered_at_the_centre() {
    let sites = Sites::start();
    sites.tell_remote(PEOPLE);
    let remote = sites.remote.live("remote1");
    wait_until("the downtime is there", || {
        !rows(&remote, "downtimes", &["id"], &[]).is_empty()
    });
    let outcome = sites.load(&sites.dump(&[])).success();
    assert_eq!(outcome.text(), "taken 9, unknown 0, refused 0\n");
    sites.assert_equal();
    let comments = sites.central("comments", &["author", "comment", "entry_type"]);
    // A downtime has a comment, too.
    assert_eq!(comments.len(), 3, "{comments:?}");
    let info = rows(
        &sites.central.live("remote1"),
        "services",
        &["comments_with_info"],
        &["Filter: description = CPU load"],
    );
    assert_eq!(info[0][0][0][1], "ada");
    // The same once more: nothing gets another number.
    let before = sites.central("comments", &["id"]);
    sites.load(&sites.dump(&[])).success();
    assert_eq!(sites.central("comments", &["id"]), before);
    // What is the site's is taken back there.
    let id = before[0][0].as_u64().unwrap_or_default();
    command(
        &sites.central.live("remote1"),
        [
            format!("DEL_HOST_COMMENT;{id}"),
            format!("DEL_SVC_COMMENT;{id}"),
        ],
    );
    assert_eq!(sites.central("comments", &["id"]), before);
    let central = sites.central.restart();
    let sites = Sites { central, ..sites };
    assert_eq!(sites.central("comments", &["id"]), before);
    sites.assert_equal();
    sites.tell_remote(&[
        "REMOVE_SVC_ACKNOWLEDGEMENT;localhost;CPU load",
        "DEL_ALL_SVC_COMMENTS;localhost;CPU load",
    ]);
    wait_until("the remark is gone at the site", || {
        rows(&remote, "comments", &["id"], &[]).len() == 2
    });
    sites.load(&sites.dump(&[])).success();
    let left = sites.central("comments", &["comment"]);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!format!("{left:?}").contains("ticket"), "{left:?}");
    sites.assert_equal();
}

#[test]
fn a_chain_of_deltas_shows_what_a_full_dump_would() {
    let sites = Sites::start();
    let first = sites.delta();
    assert!(first.contains(";full;;"), "{first}");
    let answer = sites.load(&first).success().text();
    assert_eq!(sites.confirm(&answer).success().text(), answer);
    for round in 0..4 {
        match round {
            0 => sites
                .tell_remote(&["PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;2;CRIT|used=99%"]),
            1 => sites.tell_remote(PEOPLE),
            // The same results again: only the times of the checks move.
            2 => {
                std::thread::sleep(std::time::Duration::from_millis(1100));
                sites.tell_remote(&[
                    "PROCESS_SERVICE_CHECK_RESULT;localhost;CPU load;2;CRIT - load 17|load=17;8;16",
                    "PROCESS_HOST_CHECK_RESULT;localhost;0;up",
                ]);
            }
            _ => sites.tell_remote(&["DEL_ALL_HOST_COMMENTS;localhost"]),
        }
        // The commands were taken before the connection was closed.
        let delta = sites.delta();
        assert!(delta.contains(";delta;"), "{round}: {delta}");
        if round == 2 {
            assert!(delta.contains("SITEWIRE_CHECKED;localhost;"), "{delta}");
            assert!(!delta.contains("UPDATE_SHADOW_SERVICE_STATE"), "{delta}");
        }
        let outcome = sites.load(&delta).success();
        sites.assert_equal_but_for(PASSING);
        assert!(sites.is_complete());
        sites.confirm(&outcome.text()).success();
    }
}

#[test]
fn a_delta_upon_another_base_changes_nothing_and_shows() {
    let sites = Sites::start();
    let full = sites.delta();
    let answer = sites.load(&full).success().text();
    sites.confirm(&answer).success();
    sites.tell_remote(&["PROCESS_SERVICE_CHECK_RESULT;localhost;Disk /;2;CRIT"]);
    let lost = sites.delta();
    assert!(lost.contains(";delta;"), "{lost}");
    // It never arrives, but somebody says it did.
    sites.confirm("taken 1, unknown 0, refused 0\n").success();
    sites.tell_remote(&["PROCESS_SERVICE_CHECK_RESULT;localhost;CPU load;0;fine"]);
    let delta = sites.delta();
    let before = sites.central("services", &["description", "state", "last_check"]);
    let outcome = sites.load(&delta).expect(3);
    assert!(
        outcome
            .text()
            .starts_with("refused: it builds upon sequence"),
        "{}",
        outcome.text()
    );
    assert_eq!(
        sites.central("services", &["description", "state", "last_check"]),
        before
    );
    assert!(!sites.is_complete());
    // That was not confirmed, so the next one is full and heals all.
    sites.confirm(&outcome.text()).expect(1);
    let full = sites.delta();
    assert!(full.contains(";full;;"), "{full}");
    sites.load(&full).success();
    sites.assert_equal();
    assert!(sites.is_complete());
}

#[test]
fn a_dump_that_is_cut_anywhere_is_reported_and_healed_by_the_next_one() {
    let sites = Sites::start();
    sites.load(&sites.dump(&[])).success();
    let mut cuts = 0;
    let length = sites.dump(&[]).len();
    for cut in (0..length - 2).step_by(97) {
        let dump = sites.dump(&[]);
        let cut = cut.min(dump.len() - 3);
        let outcome = sites.load(&dump[..cut]);
        assert_eq!(
            outcome.code(),
            Some(3),
            "cut at {cut}: {}",
            outcome.errors()
        );
        cuts += 1;
    }
    assert!(cuts > 10);
    sites.load(&sites.dump(&[])).success();
    sites.assert_equal();
}

#[test]
fn compressed_and_signed_dumps_are_taken_once() {
    let sites = Sites::start();
    let authority = Authority::new(&["remote1", "other"]);
    let path = |name: &str| authority.directory().join(name).display().to_string();
    let signed = sites.dump(&[
        "--sign-key",
        &path("remote1.key"),
        "--sign-certificate",
        &path("remote1.crt"),
    ]);
    let packed = Program::bash("zstd -q -c")
        .input(signed.clone())
        .run()
        .success();
    let ledger = sites.central.site.path("var/ledger").display().to_string();
    let ca = path("ca.crt");
    let options = ["--require-signature", &ca, "--ledger", &ledger];
    let load = |dump: &[u8]| sites.cmcload(&options).input(dump).run();
    let changed = signed.replacen("40% used", "41% used", 1);
    let errors = load(changed.as_bytes()).expect(1).errors();
    assert!(errors.contains("it was changed"), "{errors}");
    let unsigned = sites.dump(&[]);
    let errors = load(unsigned.as_bytes()).expect(1).errors();
    assert!(errors.contains("is not signed"), "{errors}");
    assert_eq!(
        load(&packed.stdout).success().text(),
        "taken 5, unknown 0, refused 0\n"
    );
    let errors = load(signed.as_bytes()).expect(3).errors();
    assert!(errors.contains("was taken in already"), "{errors}");
    let strange = sites
        .cmcdump(&[
            "--sign-key",
            &path("other.key"),
            "--sign-certificate",
            &path("other.crt"),
        ])
        .run()
        .expect(2);
    assert!(
        strange.errors().contains("that of site other"),
        "{}",
        strange.errors()
    );
    // Who needs no signature passes over it.
    let plain = sites.dump(&[
        "--sign-key",
        &path("remote1.key"),
        "--sign-certificate",
        &path("remote1.crt"),
    ]);
    let answer = talk(&sites.central.ingest("remote1"), plain.as_bytes());
    assert_eq!(
        answer.ok().as_deref(),
        Some(&b"taken 5, unknown 0, refused 0\n"[..])
    );
}

/// What people said in a real core, as far as the columns of both can be compared.
#[test]
fn what_people_said_in_icinga_2_is_at_the_centre() {
    let objects = "object Host \"web\" { import \"quiet\" }\n\
                   apply Service \"disk\" { import \"quiet\"\nassign where true }\n";
    let Some(icinga) = Icinga2::start("lab", objects, &[]) else {
        return;
    };
    let live = icinga.live();
    command(
        &live,
        ["PROCESS_SERVICE_CHECK_RESULT;web;disk;2;CRIT - full"],
    );
    icinga.wait_for_rows("services", &["Filter: has_been_checked = 1"], 1);
    command(
        &live,
        [
            "ACKNOWLEDGE_SVC_PROBLEM;web;disk;2;0;1;ada;ticket 4711",
            "ADD_HOST_COMMENT;web;1;bob;in rack 7",
            "SCHEDULE_SVC_DOWNTIME;web;disk;1000000000;2000000000;1;0;600;ada;cleaning",
        ],
    );
    wait_until("all is said", || {
        let count = |table: &str| rows(&live, table, &["id"], &[]).len();
        count("comments") >= 2 && count("downtimes") == 1
    });
    let central = Livestatusd::start(&["lab"]);
    let socket = live.display().to_string();
    let dump = |options: &[&str]| {
        let program = Program::new("cmcdump").args(["--site", "lab", "-s", &socket]);
        program.args(options).run().success().text()
    };
    central.configure("lab", dump(&["-C"]).as_bytes());
    wait_until("the configuration is there", || {
        !rows(&central.live("lab"), "services", &["description"], &[]).is_empty()
    });
    let load = |dump: &str| {
        Program::new("cmcload")
            .args(["--site", "lab", "--socket"])
            .arg(central.ingest("lab"))
            .input(dump)
            .run()
            .success()
    };
    load(&dump(&[]));
    for (table, columns) in [
        (
            "comments",
            &[
                "host_name",
                "service_description",
                "author",
                "comment",
                "entry_time",
                "entry_type",
            ][..],
        ),
        (
            "downtimes",
            &[
                "host_name",
                "service_description",
                "author",
                "comment",
                "entry_time",
                "start_time",
                "end_time",
                "fixed",
                "duration",
            ],
        ),
        (
            "services",
            &["description", "acknowledged", "scheduled_downtime_depth"],
        ),
    ] {
        let sorted = |socket: &Path| {
            let mut rows = rows(socket, table, columns, &[]);
            // Icinga 2 has null and true where others have nothing and 1.
            for cell in rows.iter_mut().flatten() {
                match cell {
                    Value::Null => *cell = "".into(),
                    Value::Bool(is_so) => *cell = u8::from(*is_so).into(),
                    _ => {}
                }
            }
            rows.sort_by_key(|row| format!("{row:?}"));
            rows
        };
        let there = sorted(&live);
        assert!(!there.is_empty(), "{table}");
        assert_eq!(sorted(&central.live("lab")), there, "{table}");
    }
}
