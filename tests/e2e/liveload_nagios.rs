//! What livedump writes of a real Icinga 2 goes through liveload into a real
//! Nagios, which then knows what Icinga 2 knows.

use std::path::PathBuf;

use harness::{Nagios, Outcome, Program, wait_for};

use crate::livedump_nagios::{assert_same, livedump, source_states, start_source};

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
    let to_spool = ["--target", spool, "--objects", cache];

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
