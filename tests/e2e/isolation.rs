//! What one site holds opens nothing of another: its ingest socket, its ssh key
//! and its certificate deliver states for it, or show it, and do nothing else.

mod attempts;
mod certificate;
mod sites;

use harness::livestatus::{command, rows, talk};
use harness::{Livestatusd, Sshd, wait_until};
use serde_json::{Value, json};

use self::attempts::{Attempt, Attempts, assert_harmless, deliver};
use self::sites::{
    SERVICES, all_of_b, assert_untouched, configuration, dump, files, lasting, line, secret, text,
    two_sites,
};

#[test]
fn whoever_delivers_for_one_site_reads_and_changes_nothing_of_another() {
    let secret = secret();
    let central = two_sites(&secret);
    let before = all_of_b(&central);
    let all_files = files(central.site.directory());
    assert!(format!("{before:?}").contains(&secret));
    let ingest = central.ingest("a");

    let mut attempts = Attempts::default();
    attempts.queries();
    attempts.commands();
    attempts.claims();
    attempts.names();
    attempts.streams();
    attempts.garbage();
    let mut count = 0;
    let mut attack = |attempts: Vec<Attempt>| {
        for attempt in attempts {
            let answer = deliver(&ingest, &attempt, true);
            assert_harmless(&attempt.name, &answer, &secret);
            count += 1;
            if attempt.bytes.starts_with(b"GET ") && attempt.bytes.ends_with(b"\n\n") {
                let answer = deliver(&ingest, &attempt, false);
                assert_harmless(&attempt.name, &answer, &secret);
                assert!(answer.starts_with(b"refused: "), "{}", attempt.name);
                count += 1;
            }
            // A cheap look each time, so that a failure names its cause.
            let outputs = rows(&central.live("b"), "services", &["plugin_output"], &[]);
            assert!(
                outputs.iter().all(|row| row[0] == json!(secret)),
                "{}",
                attempt.name
            );
        }
    };
    let newest = attempts.next();
    attack(attempts.all);
    assert_untouched(&before, &central, "after the attempts");
    let answer = talk(&central.ingest("a"), &dump("a", 1, newest + 5000, 0, "own")).unwrap();
    assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n");

    let mut attempts = Attempts::default();
    attempts.ages();
    attack(attempts.all);
    assert!(count >= 200, "only {count} attempts");
    println!("{count} attempts");
    assert_untouched(&before, &central, "after dumps of every age");
    assert_eq!(files(central.site.directory()), all_files);

    // Not only what is shown: what was written down is b's own, too.
    let written = lasting(&central);
    let central = central.restart();
    assert_eq!(lasting(&central), written, "after a restart");
    for (site, epoch, sequence) in [("a", u64::MAX, u64::MAX), ("b", 1, 2)] {
        let bytes = dump(site, epoch, sequence, 0, "well again");
        let answer = talk(&central.ingest(site), &bytes).unwrap();
        assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n", "{site}");
        let filter = ["Filter: host_name = localhost"];
        assert_eq!(
            rows(
                &central.live(site),
                "services",
                &["state", "plugin_output"],
                &filter
            ),
            [
                [json!(0), json!("well again")],
                [json!(0), json!("well again")],
                [json!(0), json!("well again")]
            ]
        );
    }
}

#[test]
fn a_key_that_delivers_for_one_site_opens_nothing_else() {
    let Some(sshd) = Sshd::start() else { return };
    let secret = secret();
    let central = two_sites(&secret);
    let before = all_of_b(&central);
    let (own, other) = (central.ingest("a"), central.live("b"));
    sshd.force_command(&format!("unixcat {}", own.display()));
    let query = "GET services\nResponseHeader: fixed16\n\n";
    let other_text = other.display();
    for what in [
        format!("unixcat {other_text}"),
        format!("unixcat {}", central.ingest("b").display()),
        format!("unixcat {}", central.merged().display()),
        format!("; unixcat {other_text}"),
        format!("$(unixcat {other_text})"),
        format!(
            "cat {}",
            central.site.path("etc/shadow/b/shadow.mk").display()
        ),
        format!(
            "cat {}",
            central.site.path("var/livestatusd.snapshot").display()
        ),
        String::new(),
        "sh".to_owned(),
    ] {
        for (option, bytes) in [
            ("", query.as_bytes().to_vec()),
            ("-tt", query.as_bytes().to_vec()),
            ("", dump("b", 1, 9, 3, "by ssh")),
            ("-o SendEnv=LANG -A -X", query.as_bytes().to_vec()),
        ] {
            let script = format!("ssh {option} localhost '{what}'");
            let outcome = sshd.bash(&script).input(bytes).run();
            let said = outcome.text() + &outcome.errors();
            assert!(!said.contains(&secret), "{script}: {said}");
            // Whoever insists on a terminal is given nothing at all.
            if option != "-tt" || !outcome.stdout.is_empty() {
                assert_harmless(&script, &outcome.stdout, &secret);
            }
        }
    }
    // A forwarded socket is one of the local side only.
    let local = central.site.path("forwarded");
    let script = format!("exec ssh -N -L {}:{other_text} localhost", local.display());
    let forwarding = sshd.bash(&script).with_family().start();
    wait_until("ssh listens", || local.exists());
    let attempt = Attempt {
        name: "a forwarded socket".to_owned(),
        bytes: query.into(),
    };
    assert_eq!(text(&deliver(&local, &attempt, true)), "");
    forwarding.kill();

    assert_untouched(&before, &central, "after what ssh can do");
    let outcome = sshd
        .bash("ssh localhost")
        .input(dump("a", 1, 10, 0, "own"))
        .run();
    assert_eq!(outcome.success().text(), "taken 4, unknown 0, refused 0\n");
}

#[test]
fn a_hundred_sites_with_the_same_host_names_stand_side_by_side() {
    let names: Vec<String> = (0..100).map(|number| format!("site{number:02}")).collect();
    let sites: Vec<&str> = names.iter().map(String::as_str).collect();
    let central = Livestatusd::start(&sites);
    for site in &sites {
        let file = format!("etc/shadow/{site}/shadow.mk");
        central
            .site
            .write(file, configuration(site, &["localhost"]));
    }
    central.process.hang_up();
    wait_until("the configuration is in force", || {
        rows(&central.merged(), "services", &["host_name"], &[]).len() == 100 * SERVICES.len()
    });
    let state = |number: usize| (number % 4) as u8;
    let output = |site: &str| format!("this is {site}");
    for (number, site) in sites.iter().enumerate() {
        let bytes = dump(site, 1, 1, state(number), &output(site));
        let answer = talk(&central.ingest(site), &bytes).unwrap();
        assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n", "{site}");
    }

    let columns = ["site", "host_name", "description", "state", "plugin_output"];
    let mut expected = Vec::new();
    for (number, site) in sites.iter().enumerate() {
        let own = SERVICES.map(|name| {
            [
                json!(site),
                json!("localhost"),
                json!(name),
                json!(state(number)),
                json!(output(site)),
            ]
            .to_vec()
        });
        assert_eq!(
            sorted(rows(&central.live(site), "services", &columns, &[])),
            own
        );
        assert_eq!(
            rows(
                &central.live(site),
                "hosts",
                &["site", "name", "plugin_output"],
                &[]
            ),
            [[json!(site), json!("localhost"), json!(output(site))]]
        );
        expected.extend(own);
    }
    assert_eq!(
        sorted(rows(&central.merged(), "services", &columns, &[])),
        expected
    );
    let hosts = sorted(rows(&central.merged(), "hosts", &["site", "name"], &[]));
    let all: Vec<_> = sites
        .iter()
        .map(|site| vec![json!(site), json!("localhost")])
        .collect();
    assert_eq!(hosts, all);

    for result in [
        "PROCESS_HOST_CHECK_RESULT;localhost;1;whose?",
        "PROCESS_SERVICE_CHECK_RESULT;localhost;Ping;2;whose?",
    ] {
        let answer = text(&talk(&central.merged(), &line(result)).unwrap());
        let ambiguous =
            answer.starts_with("400: ") && answer.contains("host 'localhost' is at site");
        assert!(ambiguous, "{answer}");
    }
    assert_eq!(
        sorted(rows(&central.merged(), "services", &columns, &[])),
        expected
    );

    // Meant for one, it reaches that one.
    command(
        &central.live("site42"),
        ["PROCESS_SERVICE_CHECK_RESULT;localhost;Ping;1;mine"],
    );
    let changed = rows(
        &central.merged(),
        "services",
        &["site"],
        &["Filter: plugin_output = mine"],
    );
    assert_eq!(changed, [[json!("site42")]]);
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_key(|row| row.iter().map(Value::to_string).collect::<Vec<_>>());
    rows
}
