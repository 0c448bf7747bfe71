//! The certificate of a site, at every listener that there can be.

use harness::livestatus::{rows, talk};
use harness::tls::Client;
use harness::{Authority, Credentials, peer};
use serde_json::json;

use super::attempts::{Attempt, Attempts, assert_harmless};
use super::sites::{all_of_b, assert_untouched, dump, files, line, secret, text, two_sites_with};

/// How a listener is called that a client asks for.
const NAMES: [&str; 6] = ["central", "b", "noc", "b.invalid", "127.0.0.1", "::1"];

/// Listeners for all sites, for that of the certificate, for its dumps, for b,
/// and for the dumps of b.
fn listeners(authority: &Authority) -> String {
    let ca = format!("client_ca = \"{}\"\n", authority.ca().display());
    [
        "clients = [\"noc\"]",
        "serve = \"site\"",
        "serve = \"ingest\"",
        "serve = \"site\"\nsite = \"b\"\nclients = [\"noc\"]",
        "serve = \"ingest\"\nsite = \"b\"\nclients = [\"noc\"]",
    ]
    .map(|more| authority.listen_table("central", &format!("{ca}{more}")))
    .concat()
}

/// A few of everything: what would show or change b if it were carried out.
fn probes() -> Vec<Attempt> {
    let attempt = |name: &str, bytes: Vec<u8>| Attempt {
        name: name.to_owned(),
        bytes,
    };
    let result = "PROCESS_SERVICE_CHECK_RESULT;passive;Ping;0;taken over";
    vec![
        attempt("hosts", b"GET hosts\n\n".to_vec()),
        attempt(
            "services of b",
            b"GET services\nFilter: site = b\nResponseHeader: fixed16\n\n".to_vec(),
        ),
        attempt("a result", line(result)),
        attempt("a comment", line("ADD_HOST_COMMENT;passive;1;me;x")),
        attempt("another comment gone", line("DEL_HOST_COMMENT;1")),
        attempt("forgotten order", line("SITEWIRE_FORGET_ORDER;b")),
        attempt("a dump of b", dump("b", 9, 9, 3, "by certificate")),
    ]
}

fn is_query(attempt: &Attempt) -> bool {
    attempt.bytes.starts_with(b"GET ") && attempt.bytes.ends_with(b"\n\n")
}

#[test]
fn the_certificate_of_one_site_reads_and_changes_nothing_of_another() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let secret = secret();
    let authority = Authority::new(&["central", "noc", "a", "b", "c"]);
    let central = two_sites_with(&secret, &listeners(&authority));
    let [merged, site, ingest, site_b, ingest_b] = central.ports();
    let before = all_of_b(&central);
    assert!(format!("{before:?}").contains(&secret));
    let all_files = files(central.site.directory());
    let mut count = 0;
    let mut attack = |client: &Client, port: u16, name: &str, attempt: &Attempt| -> Vec<u8> {
        // A query must not wait for the end to be refused where none is answered.
        let finish = port != ingest || !is_query(attempt);
        let (answer, _) = client.talk(port, name, &attempt.bytes, finish);
        let said = text(&answer);
        assert!(!said.contains(&secret), "{}: {said}", attempt.name);
        // A cheap look each time, so that a failure names its cause.
        let outputs = rows(&central.live("b"), "services", &["plugin_output"], &[]);
        assert!(
            outputs.iter().all(|row| row[0] == json!(secret)),
            "{}",
            attempt.name
        );
        count += 1;
        answer
    };

    // Those who are somebody else, or say so, or nobody: not a byte.
    let other = Authority::new(&["a", "b", "noc", "central"]);
    let mut strangers: Vec<(String, Option<Credentials>)> = vec![
        ("nobody".to_owned(), None),
        ("b until yesterday".to_owned(), Some(authority.expired("b"))),
        (
            "b by its own word".to_owned(),
            Some(authority.self_made("b")),
        ),
        (
            "a site that is not here".to_owned(),
            Some(authority.of("c")),
        ),
    ];
    for name in ["a", "b", "noc", "central"] {
        let shown = other.of(name);
        strangers.push((format!("{name} of another authority"), Some(shown)));
    }
    for (who, shown) in &strangers {
        let client = Client::new(shown.as_ref());
        for port in [merged, site, ingest, site_b, ingest_b] {
            for attempt in probes() {
                let answer = attack(&client, port, "central", &attempt);
                assert_eq!(text(&answer), "", "{who}: {}", attempt.name);
            }
        }
    }

    // A's certificate, whatever server it asks for and whoever stands behind it
    // in the chain.
    let own = authority.of("a");
    let chained = Credentials {
        certificate: central.site.path("chained.crt"),
        key: own.key.clone(),
    };
    let chain = [&own, &authority.of("b")].map(|one| std::fs::read(&one.certificate).unwrap());
    std::fs::write(&chained.certificate, chain.concat()).unwrap();
    for client in [Client::new(Some(&own)), Client::new(Some(&chained))] {
        for name in NAMES {
            for attempt in probes() {
                for port in [site_b, ingest_b] {
                    let answer = attack(&client, port, name, &attempt);
                    assert_eq!(text(&answer), "", "{name}: {}", attempt.name);
                }
                attack(&client, ingest, name, &attempt);
            }
            for port in [merged, site] {
                let sees = Attempt {
                    name: "which sites there are".to_owned(),
                    bytes: b"GET hosts\nColumns: site name\n\n".to_vec(),
                };
                let answer = attack(&client, port, name, &sees);
                assert_eq!(text(&answer), "a;localhost\na;passive\n", "{name}");
            }
        }
    }
    std::fs::remove_file(&chained.certificate).unwrap();

    // Everything else that can be said.
    let client = Client::new(Some(&own));
    let mut attempts = Attempts::default();
    attempts.queries();
    attempts.commands();
    for attempt in &attempts.all {
        attack(&client, site, "central", attempt);
        for port in [site_b, ingest_b] {
            let answer = attack(&client, port, "central", attempt);
            assert_eq!(text(&answer), "", "{}", attempt.name);
        }
    }
    attempts.claims();
    attempts.names();
    attempts.streams();
    attempts.garbage();
    let newest = attempts.next();
    for attempt in &attempts.all {
        attack(&client, merged, "central", attempt);
        let answer = attack(&client, ingest, "central", attempt);
        assert_harmless(&attempt.name, &answer, &secret);
    }
    let (answer, _) = client.talk(ingest, "central", &dump("b", 9, newest, 0, "own"), true);
    assert_eq!(text(&answer), "taken 4, unknown 0, refused 0\n");
    let mut attempts = Attempts::default();
    attempts.ages();
    for attempt in &attempts.all {
        attack(&client, merged, "central", attempt);
        let answer = attack(&client, ingest, "central", attempt);
        assert_harmless(&attempt.name, &answer, &secret);
    }

    println!("{count} attempts");
    assert!(count >= 200, "only {count} attempts");
    assert_untouched(&before, &central, "after the attempts");
    assert_eq!(files(central.site.directory()), all_files);
    // Nor was forgotten what b has sent.
    let older = text(&talk(&central.ingest("b"), &dump("b", 0, 1, 0, "old")).unwrap());
    assert!(older.starts_with("refused: older than"), "{older}");
    // And b itself, and who may see all, see it.
    let query = b"GET hosts\nColumns: site\n\n";
    for (who, port, sees) in [
        ("b", merged, "b\nb\n"),
        ("b", site, "b\nb\n"),
        ("b", site_b, "b\nb\n"),
        ("noc", site_b, "b\nb\n"),
        ("noc", merged, "a\na\nb\nb\n"),
    ] {
        let client = Client::new(Some(&authority.of(who)));
        let (answer, _) = client.talk(port, "central", query, true);
        assert_eq!(text(&answer), sees, "{who}");
    }
}
