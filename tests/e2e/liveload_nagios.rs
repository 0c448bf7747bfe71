//! What livedump writes of a real Icinga 2 goes through liveload into a real
//! Nagios, which then knows what Icinga 2 knows.

use std::path::{Path, PathBuf};

use harness::livestatus::rows;
use harness::{Icinga2, Livestatusd, Nagios, Outcome, Program, wait_for};

use crate::livedump_nagios::{assert_same, livedump, name_at_centre, source_states, start_source};

/// Nagios runs as another user than the tests, so the files are for everybody.
fn liveload(nagios: &Nagios, more: &[&str], dump: &[u8]) -> Outcome {
    let ledger: PathBuf = nagios.site().path("ledger");
    Program::new("liveload")
        .args(["--site", "remote1", "--file-mode", "666", "--ledger"])
        .arg(ledger)
        .args(more)
        .input(dump)
        .run()
}

#[test]
fn nagios_knows_through_the_spool_what_icinga_knows() {
    let Some(icinga) = start_source() else { return };
    let Some(mut nagios) = Nagios::new("central") else {
        return;
    };
    let configuration = livedump(&icinga, &["-C", "-T", "--no-groups", "--no-contacts"]);
    nagios.configure("remote1.cfg", &configuration);
    nagios.run();
    let spool = nagios.spool();
    let spool = spool.to_str().expect("ASCII");
    let cache = nagios.object_cache();
    let cache = cache.to_str().expect("ASCII");
    let to_spool = ["--full", "--target", spool, "--objects", cache];

    // Checks that were under way may still come to an end.
    let (dump, source) = wait_for("the source is quiet", || {
        let before = source_states(&icinga);
        let dump = livedump(&icinga, &["--full"]);
        (source_states(&icinga) == before).then_some((dump, before))
    });
    let said = liveload(&nagios, &to_spool, &dump).success().errors();
    assert_eq!(said, "");
    nagios.wait_for_states("all states are there", |states| {
        let checked = |state: &&_| (*state as &harness::nagios::Block)["has_been_checked"] == "1";
        states.values().filter(checked).count() == source.len()
    });
    assert_same(&source, &nagios.states());
    assert_same_age(&icinga, &nagios);

    // The same once more changes nothing, another site's claim even less.
    let attempts = |state: &str| {
        nagios
            .states()
            .values()
            .filter(|at| at["current_state"] == state)
            .count()
    };
    let critical = attempts("2");
    liveload(&nagios, &to_spool, &dump).success();
    let clash = Program::new("liveload")
        .args(["--site", "remote2", "--ledger"])
        .arg(nagios.site().path("ledger"))
        .args(to_spool)
        .input(dump.as_slice())
        .run()
        .expect(3);
    assert!(
        clash
            .errors()
            .contains("sites remote1 and remote2 both have it"),
        "{}",
        clash.errors()
    );
    assert_same(&source, &nagios.states());
    assert_eq!(attempts("2"), critical);
    assert!(!nagios.log().contains("Error"), "{}", nagios.log());
}

/// Hard or soft, and since when. Of a hard state Icinga 2 counts no attempts.
#[track_caller]
fn assert_same_age(icinga: &Icinga2, nagios: &Nagios) {
    let states = nagios.states();
    let checked = ["Filter: has_been_checked = 1"];
    let columns = [
        "host_name",
        "description",
        "state_type",
        "last_state_change",
    ];
    for row in rows(&icinga.live(), "services", &columns, &checked) {
        let text = |at: usize| row[at].as_str().expect("text").to_owned();
        let name = (text(0), Some(name_at_centre(&text(1))));
        let here = &states[&name];
        for (at, key) in [(2, "state_type"), (3, "last_state_change")] {
            let there = row[at].as_f64().expect("a number") as i64;
            // It was born in that state: nothing has changed there.
            if key == "last_state_change" && there == 0 {
                continue;
            }
            assert_eq!(here[key], there.to_string(), "{name:?} {key}");
        }
    }
}

#[test]
fn nagios_takes_commands_through_its_pipe_and_a_stopped_one_is_told_apart() {
    let Some(mut nagios) = Nagios::start("central", &[]) else {
        return;
    };
    let dump = b"host_name=central\nservice_description=is there\nstart_time=1700000000.000000\n\
        finish_time=1700000000.000000\nreturn_code=2\noutput=C:\\new|a=1\n\n";
    let pipe = nagios.pipe();
    let args = [
        "--mode",
        "state",
        "--allow-unmarked",
        "--backend",
        "pipe",
        "--target",
    ];
    let mut args = args.to_vec();
    args.push(pipe.to_str().expect("ASCII"));
    liveload(&nagios, &args, dump).success();
    wait_for("the result is there", || {
        let alert = r"SERVICE ALERT: central;is there;CRITICAL;HARD;1;C:\new";
        nagios.log().contains(alert).then_some(())
    });
    nagios.stop();
    liveload(&nagios, &args, dump).expect(75);
}

#[test]
fn acknowledgements_and_downtimes_come_to_nagios_and_go_with_the_source() {
    let Some(nagios) = Nagios::start("central", &[]) else {
        return;
    };
    let (spool, pipe) = (nagios.spool(), nagios.pipe());
    let way = |path: &Path| path.to_str().expect("ASCII").to_owned();
    let (spool, pipe) = (way(&spool), way(&pipe));
    let status = way(&nagios.site().path("var/status.dat"));
    let seconds = || {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").as_secs()
    };
    let start = seconds();
    let end = start + 3600;
    let load = |sequence: u8, remarks: &str, kind: u8| {
        let body = format!(
            "host_name=central\nservice_description=is there\nstart_time={start}.000000\n\
             finish_time={start}.000000\nreturn_code=2\noutput=x\n# full has_been_checked=1 \
             state_type=1 current_attempt=1 max_check_attempts=1 last_state_change={start} \
             last_hard_state_change={start} acknowledgement_type={kind}\n{remarks}\n"
        );
        let dump = format!(
            "# sitewire 1 state site=remote1 seq={sequence} epoch=0 mode=full time={start}\n\
             {body}# sitewire-end records=1 crc32c={:08x}\n",
            crc32c::crc32c(body.as_bytes())
        );
        let args = ["--full", "--wait"];
        let to = ["30s", "--target", &spool, "--command-file", &pipe];
        let standing = ["--status-file", &status];
        let args = [&args[..], &to, &standing].concat();
        liveload(&nagios, &args, dump.as_bytes()).success()
    };
    let shows = |acknowledged: &str, depth: &str| {
        wait_for("the remarks are there", || {
            let states = nagios.annotations("servicestatus");
            let state = states
                .iter()
                .find(|state| state["host_name"] == "central")?;
            let is = state["problem_has_been_acknowledged"] == acknowledged
                && state["scheduled_downtime_depth"] == depth
                && state["current_state"] == "2";
            is.then_some(())
        });
    };
    let remarks = format!(
        "# acknowledgement 4;{start};0;0;bob;on\\sit\\nSHUTDOWN_PROGRAM;\n\
         # downtime 9;{start};{start};{end};1;3600;ann;works;\n"
    );
    load(1, &remarks, 2);
    shows("1", "1");
    let log = nagios.log();
    assert!(
        log.contains("sitewire:remote1;bob: on,it SHUTDOWN_PROGRAM"),
        "{log}"
    );
    assert!(log.contains("sitewire:remote1 9, ann: works"), "{log}");
    // Once more: nothing is sent. Without them: they go.
    load(2, &remarks, 2);
    load(3, "", 0);
    shows("0", "0");
    let log = nagios.log();
    assert_eq!(
        log.matches("COMMAND: ACKNOWLEDGE_SVC_PROBLEM").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("COMMAND: SCHEDULE_SVC_DOWNTIME").count(),
        1,
        "{log}"
    );

    // Somebody at the centre knows of the problem as well, and goes on knowing.
    load(4, &remarks, 2);
    shows("1", "1");
    nagios.command(["ACKNOWLEDGE_SVC_PROBLEM;central;is there;2;0;0;eve;mine"]);
    wait_for("eve has spoken", || {
        let comments = nagios.annotations("servicecomment");
        let hers = |comment: &harness::nagios::Block| comment["author"] == "eve";
        comments.iter().any(hers).then_some(())
    });
    load(5, "", 0);
    shows("1", "0");
    let log = nagios.log();
    assert_eq!(
        log.matches("COMMAND: REMOVE_SVC_ACKNOWLEDGEMENT").count(),
        1,
        "{log}"
    );
}

/// The host `central` and its service, both as they should be.
fn healthy(sequence: u8) -> String {
    let record = |service: &str| {
        format!(
            "host_name=central\n{service}start_time=1700000000.000000\n\
             finish_time=1700000000.000000\nreturn_code=0\noutput=fine\n\n"
        )
    };
    let body = record("") + &record("service_description=is there\n");
    format!(
        "# sitewire 1 state site=remote1 seq={sequence} epoch=0 mode=full time=1700000000\n{body}\
         # sitewire-end records=2 crc32c={:08x}\n",
        crc32c::crc32c(body.as_bytes())
    )
}

/// Whatever the age of the last dump is, it is too old.
fn stale(ledger: &Path, to: &[&str]) -> Outcome {
    Program::new("liveload")
        .args(["stale", "--stale-after", "1ms", "--wait", "30s", "--ledger"])
        .arg(ledger)
        .args(to)
        .run()
        .success()
}

#[test]
fn nagios_and_livestatusd_show_that_a_site_is_silent_until_it_speaks() {
    let Some(nagios) = Nagios::start("central", &[]) else {
        return;
    };
    let spool = nagios.spool();
    let to = [
        "--file-mode",
        "666",
        "--target",
        spool.to_str().expect("ASCII"),
    ];
    let states = |host: &str, service: &str, output: &str| {
        wait_for(&format!("{service} {output}"), || {
            let is = |kind: &str, state: &str| {
                nagios.annotations(kind).iter().any(|at| {
                    at["host_name"] == "central"
                        && at["current_state"] == state
                        && at["plugin_output"].contains(output)
                })
            };
            (is("hoststatus", host) && is("servicestatus", service)).then_some(())
        });
    };
    let load = |sequence: u8| {
        let wait = ["--wait", "30s"];
        let args = [&wait[..], &to].concat();
        liveload(&nagios, &args, healthy(sequence).as_bytes()).success();
    };
    load(1);
    states("0", "0", "fine");
    stale(&nagios.site().path("ledger"), &to);
    states(
        "2",
        "3",
        "site remote1 is silent: no complete dump has come for ",
    );
    load(2);
    states("0", "0", "fine");

    let server = Livestatusd::start_with(&["remote1"], "allow_unmarked = true");
    let objects = b"shadow_hosts.update({\n'central': {'services': {'is there': {}}},\n})\n";
    server.configure("remote1", objects);
    let live = server.live("remote1");
    let ask = |output: &str| {
        let filters = [
            "Filter: state = 3",
            &format!("Filter: plugin_output ~ {output}"),
        ];
        rows(&live, "services", &["state"], &filters).len()
    };
    wait_for("the configuration is in force", || {
        (rows(&live, "services", &["state"], &[]).len() == 1).then_some(())
    });
    let (ledger, ingest) = (server.live("ledger"), server.ingest("remote1"));
    let load = |sequence: u8| {
        Program::new("liveload")
            .args(["--site", "remote1", "--backend", "livestatusd", "--ledger"])
            .arg(&ledger)
            .arg("--target")
            .arg(&ingest)
            .input(healthy(sequence))
            .run()
            .success();
    };
    load(1);
    let at = live.to_str().expect("ASCII");
    stale(&ledger, &["--backend", "livestatus", "--target", at]);
    wait_for("livestatusd says that it is silent", || {
        (ask("is silent") == 1).then_some(())
    });
    load(2);
    assert_eq!(ask("."), 0);
}

#[test]
fn nagios_reads_a_file_of_commands_and_removes_it() {
    let Some(mut nagios) = Nagios::start("central", &[]) else {
        return;
    };
    let long = "x".repeat(6000);
    let dump = |code: u8| {
        format!(
            "host_name=central\nservice_description=is there\nstart_time=1700000000.000000\n\
             finish_time=1700000000.000000\nreturn_code={code}\noutput=C:\\new|a=1\\n{long}\n\n"
        )
    };
    let pipe = nagios.pipe();
    let file = pipe.with_file_name("sitewire.remote1.commands");
    let load = |nagios: &Nagios, wait: &str, code: u8| {
        let args = [
            "--mode",
            "state",
            "--allow-unmarked",
            "--unmarked-escapes",
            "--wait",
            wait,
            "--backend",
            "process-file",
            "--target",
            pipe.to_str().expect("ASCII"),
        ];
        liveload(nagios, &args, dump(code).as_bytes())
    };
    load(&nagios, "10s", 2).success();
    wait_for("the result is there and the file is gone", || {
        let alert = "SERVICE ALERT: central;is there;CRITICAL;HARD;1;C:";
        (nagios.log().contains(alert) && !file.exists()).then_some(())
    });
    // A file that an import left before it told the core of it: the next one
    // tells, and the one after that finds the place free.
    let left = "[1700000001] PROCESS_SERVICE_CHECK_RESULT;central;is there;1;left\n";
    std::fs::write(&file, left).expect("cannot write");
    load(&nagios, "0s", 0).expect(75);
    load(&nagios, "10s", 0).success();
    wait_for("both are there, in their order", || {
        let log = nagios.log();
        let warning = log.find("SERVICE ALERT: central;is there;WARNING;HARD;1;left")?;
        let ok = log.find("SERVICE ALERT: central;is there;OK;HARD;1;C:")?;
        (warning < ok).then_some(())
    });
    nagios.stop();
    load(&nagios, "0s", 0).expect(75);
    assert!(!file.exists());
}

#[test]
fn livestatusd_takes_complete_states_and_commands_of_liveload() {
    let server = Livestatusd::start_with(&["remote1"], "allow_unmarked = true");
    server.configure(
        "remote1",
        b"shadow_hosts.update({\n'web': {'services': {'Disk': {}}},\n})\n",
    );
    let live = server.live("remote1");
    let ask = |filter: &str| rows(&live, "services", &["state", "plugin_output"], &[filter]);
    wait_for("the configuration is in force", || {
        (rows(&live, "services", &["state"], &[]).len() == 1).then_some(())
    });
    let ingest = server.ingest("remote1");
    let ledger = server.live("ledger");
    let load = |backend: &str, target: &Path, dump: &str| {
        Program::new("liveload")
            .args([
                "--site",
                "remote1",
                "--mode",
                "state",
                "--allow-unmarked",
                "--ledger",
            ])
            .arg(&ledger)
            .args(["--backend", backend, "--target"])
            .arg(target)
            .input(dump)
            .run()
            .success()
    };
    let dump = |code: u8, output: &str| {
        format!(
            "host_name=web\nservice_description=Disk\nstart_time=1700000000.000000\n\
             finish_time=1700000000.500000\nreturn_code={code}\noutput={output}\n\n"
        )
    };
    // The directory of the sockets will do: the site has one of its own.
    let said = load(
        "livestatusd",
        ingest.parent().expect("a directory"),
        &dump(2, "C:\\new"),
    );
    assert_eq!(said.errors(), "");
    assert_eq!(ask("Filter: state = 2")[0][1], "C:\\new");
    load("livestatus", &live, &dump(1, "by command"));
    wait_for("the command is done", || {
        (!ask("Filter: plugin_output = by command").is_empty()).then_some(())
    });
}
