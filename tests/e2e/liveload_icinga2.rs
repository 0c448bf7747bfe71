//! What livedump writes of a real Icinga 2 goes through liveload and the REST
//! API into another real Icinga 2, which then knows what the first one knows.

use std::path::PathBuf;

use harness::icinga2::{NODE, PASSWORD};
use harness::livestatus::rows;
use harness::{Icinga2, Outcome, Program, Site, wait_for};
use serde_json::Value;

use crate::livedump_nagios::{livedump, objects_at_centre, source_states, start_source};

/// A central Icinga 2, and where liveload remembers what came.
struct Centre {
    icinga: Icinga2,
    site: Site,
}

impl Centre {
    fn start(objects: &str) -> Option<Self> {
        let icinga = Icinga2::start_with_api("central", objects)?;
        let site = Site::new("loader");
        let password = site.write("etc/password", format!("{PASSWORD}\n"));
        Program::foreign("chmod", "chmod")
            .arg("600")
            .arg(password)
            .run()
            .success();
        Some(Self { icinga, site })
    }

    /// A program that speaks to it as nobody yet.
    fn stranger(&self, words: &[&str]) -> Program {
        Program::new("liveload")
            .args(words)
            .arg("--ledger")
            .arg(self.site.path("ledger"))
            .args(["--backend", "icinga2-api", "--tls-name", NODE])
            .args(["--target", &self.icinga.url(), "--ca"])
            .arg(self.icinga.ca())
    }

    fn program(&self, user: &str) -> Program {
        self.as_user(user, self.stranger(&[]))
    }

    fn as_user(&self, user: &str, program: Program) -> Program {
        let program = program.args(["--api-user", user, "--api-password-file"]);
        program.arg(self.password())
    }

    fn password(&self) -> PathBuf {
        self.site.path("etc/password")
    }

    fn load(&self, more: &[&str], dump: &[u8]) -> Outcome {
        let program = self.program("sitewire").args(["--site", "remote1"]);
        program.args(more).input(dump).run()
    }

    /// Authors of a kind of comment or of downtimes, and what they say.
    fn said(&self, table: &str, filters: &[&str]) -> Vec<(String, String)> {
        let columns = ["author", "comment"];
        let rows = rows(&self.icinga.live(), table, &columns, filters);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let mut said: Vec<_> = rows
            .iter()
            .map(|row| (text(&row[0]), text(&row[1])))
            .collect();
        said.sort();
        said
    }
}

fn dump(sequence: u64, body: &str) -> Vec<u8> {
    format!(
        "# sitewire 1 state site=remote1 seq={sequence} epoch=0 mode=full time=1700000000\n{body}\
         # sitewire-end records={} crc32c={:08x}\n",
        body.matches("\n\n").count(),
        crc32c::crc32c(body.as_bytes())
    )
    .into_bytes()
}

#[test]
fn icinga_knows_through_its_api_what_icinga_knows() {
    let Some(source) = start_source() else { return };
    let Some(centre) = Centre::start(&objects_at_centre()) else {
        return;
    };
    let (dump, there) = wait_for("the source is quiet", || {
        let before = source_states(&source);
        let dump = livedump(&source, &["--full"]);
        (source_states(&source) == before).then_some((dump, before))
    });
    let said = centre.load(&["-v", "--full"], &dump).success().errors();
    // With the host and the service that were never checked.
    let taken = format!("taken {}, unknown 0, refused 0", there.len() + 2);
    assert!(said.contains(&taken), "{said}");
    let here = source_states(&centre.icinga);
    for (name, there) in &there {
        // The time is that at which it was told.
        assert_eq!(there[..4], here[name][..4], "{name:?}");
    }
    assert_eq!(there.len(), here.len());

    // When it was checked, and by whom.
    let objects = centre.icinga.ask_api("objects/services");
    for object in objects["results"].as_array().expect("a list") {
        let attributes = &object["attrs"];
        let text = |key: &str| attributes[key].as_str().expect("text").to_owned();
        let there = &there[&(text("host_name"), Some(text("name")))];
        let result = &attributes["last_check_result"];
        assert_eq!(result["check_source"], "sitewire:remote1");
        let started = result["execution_start"].as_f64().expect("a time");
        assert_eq!((started as i64).to_string(), there[4]);
        let metrics = result["performance_data"].as_array().expect("a list");
        if text("name") == "Disk /" {
            assert_eq!(metrics[..], ["/=40%;80;90;0;100", "'in odes'=3"]);
        }
    }

    // The same once more changes nothing; hard states stay hard.
    centre.load(&["--full"], &dump).success();
    let hard = ["Filter: state_type = 1", "Filter: has_been_checked = 1"];
    centre
        .icinga
        .wait_for_rows("services", &hard, there.len() - 4);
    remarks_come_and_go(&source, &centre);
}

/// Acknowledgements and downtimes: those of the source, and no others.
fn remarks_come_and_go(source: &Icinga2, centre: &Centre) {
    source.command([
        "ACKNOWLEDGE_SVC_PROBLEM;db-1;Not UTF-8;2;0;0;bob;ring \"me\"",
        "ACKNOWLEDGE_SVC_PROBLEM;localhost;Umlaute äöüß;1;0;0;bob;too",
        "SCHEDULE_HOST_DOWNTIME;Küche 2;1700000000;2000000000;1;0;0;ann;works",
    ]);
    source.wait_for_rows("services", &["Filter: acknowledged = 1"], 2);
    source.wait_for_rows("hosts", &["Filter: scheduled_downtime_depth = 1"], 1);
    let full = || livedump(source, &["--full"]);
    let said = centre.load(&["--full"], &full()).success().errors();
    assert_eq!(said, "");
    let us = |text: &str| ("sitewire:remote1".to_owned(), text.to_owned());
    let acknowledgements = ["Filter: entry_type = 4"];
    assert_eq!(
        centre.said("comments", &acknowledgements),
        [us("bob: ring \"me\""), us("bob: too")]
    );
    let downtimes = centre.said("downtimes", &[]);
    assert_eq!(downtimes.len(), 1);
    assert!(downtimes[0].1.ends_with(", ann: works"), "{downtimes:?}");

    // The ledger is lost: nothing is told twice.
    let ledger = centre.site.path("ledger");
    std::fs::remove_dir_all(&ledger).expect("it is there");
    let said = centre.load(&["--full"], &full()).success().errors();
    assert_eq!(said, "");
    assert_eq!(centre.said("downtimes", &[]), downtimes);

    // Somebody at the centre has a word of his own, and keeps it.
    centre.icinga.command([
        "REMOVE_SVC_ACKNOWLEDGEMENT;localhost;Umlaute äöüß",
        "ACKNOWLEDGE_SVC_PROBLEM;localhost;Umlaute äöüß;2;0;0;eve;mine",
        "SCHEDULE_HOST_DOWNTIME;Küche 2;1700000000;2000000000;1;0;0;eve;mine",
    ]);
    wait_for("eve has spoken", || {
        let both = centre.said("downtimes", &[]).len() == 2;
        let last = centre.said("comments", &acknowledgements);
        (both && last[0].0 == "eve").then_some(())
    });
    source.command([
        "REMOVE_SVC_ACKNOWLEDGEMENT;db-1;Not UTF-8",
        "REMOVE_SVC_ACKNOWLEDGEMENT;localhost;Umlaute äöüß",
        "DEL_DOWNTIME_BY_HOST_NAME;Küche 2",
    ]);
    source.wait_for_rows("services", &["Filter: acknowledged = 1"], 0);
    source.wait_for_rows("hosts", &["Filter: scheduled_downtime_depth = 1"], 0);
    centre.load(&["--full"], &full()).success();
    let hers = vec![("eve".to_owned(), "mine".to_owned())];
    assert_eq!(centre.said("comments", &acknowledgements), hers);
    assert_eq!(centre.said("downtimes", &[]), hers);
    centre
        .icinga
        .wait_for_rows("services", &["Filter: acknowledged = 1"], 1);
}

#[test]
fn who_is_to_blame_is_told_apart() {
    let objects = "object Host \"h\" { import \"quiet\" }\n\
        object Service \"deaf\" { import \"quiet\", host_name = \"h\", enable_passive_checks = false }\n";
    let Some(centre) = Centre::start(objects) else {
        return;
    };
    let record = |service: &str| {
        format!(
            "host_name=h\n{service}start_time=1700000000.250000\nfinish_time=1700000001.500000\n\
             return_code=2\noutput=x\n\n"
        )
    };
    let body =
        record("") + &record("service_description=no\n") + &record("service_description=deaf\n");
    let said = centre.load(&[], &dump(1, &body)).expect(3).errors();
    assert!(said.contains("taken 1, unknown 1, refused 1"), "{said}");
    assert!(
        said.contains("h;deaf: it answers 403: Passive checks"),
        "{said}"
    );
    let status = Program::new("liveload")
        .args(["status", "--ledger"])
        .arg(centre.site.path("ledger"))
        .run()
        .success();
    let status = status.text();
    assert!(
        status.contains("1 hosts, 0 services, 1 unknown, 1 refused"),
        "{status}"
    );

    // A silent site: its objects say so, until a dump says what it said before.
    let state = || {
        rows(
            &centre.icinga.live(),
            "hosts",
            &["state", "plugin_output"],
            &[],
        )
    };
    let stale = centre.stranger(&["stale", "--stale-after", "1ms"]);
    let stale = centre.as_user("sitewire", stale).run().success().errors();
    assert!(
        stale.contains("told the core of 1 objects, could not of 2"),
        "{stale}"
    );
    let output = state()[0][1].as_str().expect("text").to_owned();
    assert!(output.starts_with("site remote1 is silent"), "{output}");
    centre.load(&[], &dump(2, &record(""))).success();
    assert_eq!(state()[0][1], "x");

    // The user, the password, the certificate, the server.
    let load = |program: Program, sequence: u64| {
        let program = program.args(["--site", "remote1"]);
        program.input(dump(sequence, &record(""))).run()
    };
    let own = centre.icinga.client();
    let by_certificate = centre.stranger(&[]).arg("--cert").arg(own.certificate);
    load(by_certificate.arg("--key").arg(own.key), 3).success();
    let said = load(centre.stranger(&[]), 4).expect(2).errors();
    assert!(said.contains("who are we?"), "{said}");
    let said = load(centre.program("reader"), 5).expect(1).errors();
    let want = "the user has no permission actions/process-check-result";
    assert!(said.contains(want), "{said}");
    let said = load(centre.program("nobody"), 6).expect(1).errors();
    assert!(said.contains("it does not know the user"), "{said}");
    let other = centre.program("sitewire").args(["--tls-name", "other"]);
    let said = load(other, 7).expect(1).errors();
    assert!(said.contains("cannot agree on TLS"), "{said}");
    let away = centre
        .program("sitewire")
        .args(["--target", "https://127.0.0.1:1"]);
    let said = load(away, 8).expect(75).errors();
    assert!(said.contains("cannot connect to tls:127.0.0.1:1"), "{said}");
}
