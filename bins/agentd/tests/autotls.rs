//! Auto-TLS with OpenSSL as the server: each step, each way it can go wrong, and
//! who is let in afterwards.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use support::authority::{Authority, Pair, ask_tls, connect_tls};
use support::{Agent, Home, Request, exchange};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

fn agent() -> Agent {
    Home::new("try-autossl = True\n").start()
}

fn csr(agent: &Agent) -> String {
    agent.get("/autotls").json()["csr"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn status_of(agent: &Agent, pair: &Pair) -> Result<u16, String> {
    ask_tls(agent, Some(pair), BOTH, &Request::get("/packages")).map(|answer| answer.status)
}

#[test]
fn step_by_step_as_the_server_does_it() {
    let agent = agent();
    let authority = Authority::new();
    // Plain HTTP with everything in it.
    assert!(agent.document()["agent"].is_object());
    let answer = agent.get("/autotls?domain=web1.example");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let csr = answer.json()["csr"].as_str().unwrap().to_owned();
    assert_eq!(agent.home.read("agent.csr"), csr);
    for (name, mode) in [("agent.key", 0o600), ("agent.csr", 0o600)] {
        let about = fs::metadata(agent.home.path(name)).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(
        agent
            .home
            .read("agent.key")
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    let read = Command::new("openssl")
        .args(["req", "-noout", "-verify", "-text", "-in"])
        .arg(agent.home.path("agent.csr"))
        .output()
        .unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert!(read.contains("Subject: CN = subject\n") || read.contains("Subject: CN=subject\n"));
    assert!(read.contains("DNS:web1.example\n"), "{read}");
    // The key stays, the request is made anew.
    let key = agent.home.read("agent.key");
    let answer = agent.ask(&Request::post("/autotls", &authority.answer(&csr)));
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(agent.home.read("agent.key"), key);
    // From now on HTTPS, with the authority itself as the client.
    let document = ask_tls(&agent, Some(&authority.itself()), BOTH, &Request::get("/"));
    assert!(document.unwrap().json()["agent"].is_object());
    // The chain is the certificate and the authority.
    let mut stream = connect_tls(&agent, Some(&authority.itself()), BOTH);
    exchange(&mut stream, &Request::get("/")).unwrap();
    assert_eq!(stream.conn.peer_certificates().unwrap().len(), 2);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let refused = exchange(agent.connect(), &Request::get("/")).unwrap();
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.text(),
        "Client sent an HTTP request to an HTTPS server.\n"
    );
    // And so after a restart.
    let agent = agent.end().start();
    assert_eq!(status_of(&agent, &authority.itself()), Ok(200));
    assert!(!agent.said().contains("error"), "{}", agent.said());
}

#[test]
fn curl_is_served_as_the_server_uses_it() {
    let agent = agent();
    let authority = Authority::new();
    authority.enrol(&agent);
    let output = Command::new("curl")
        .args([
            "-s",
            "-k",
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
            "--cert",
        ])
        .arg(authority.path("ca.pem"))
        .arg("--key")
        .arg(authority.path("ca.key"))
        .arg(format!("https://127.0.0.1:{}/", agent.port()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "200");
}

#[test]
fn exactly_those_are_let_in_that_the_authority_vouches_for() {
    let agent = agent();
    let authority = Authority::new();
    let other = Authority::new();
    authority.enrol(&agent);
    let v3 = ["-days", "9", "-extfile", "v3", "-extensions", "v3_req"];
    let expired = ["-days", "-1", "-extfile", "v3", "-extensions", "v3_req"];
    let stolen = Pair {
        certificate: authority.path("ca.pem"),
        key: other.path("ca.key"),
    };
    // Without extensions OpenSSL makes certificates of version 1.
    let version_1 = authority.client("one", &["-days", "9"]);
    let old_version_1 = authority.client("old", &["-days", "-1"]);
    for (what, pair, want) in [
        ("the authority", &authority.itself(), Ok(())),
        (
            "one that it signed",
            &authority.client("three", &v3),
            Ok(()),
        ),
        ("one of version 1", &version_1, Ok(())),
        (
            "an expired one",
            &authority.client("gone", &expired),
            Err("Expired"),
        ),
        (
            "an expired one of version 1",
            &old_version_1,
            Err("Expired"),
        ),
        ("another authority", &other.itself(), Err("UnknownCA")),
        ("one of another", &other.client("b", &v3), Err("UnknownCA")),
        (
            "one of another, version 1",
            &other.client("c", &["-days", "9"]),
            Err("UnknownCA"),
        ),
        ("without its key", &stolen, Err("DecryptError")),
    ] {
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let answer = ask_tls(&agent, Some(pair), versions, &Request::get("/packages"));
            match (answer, want) {
                (Ok(answer), Ok(())) => assert_eq!(answer.status, 200, "{what}"),
                (Err(error), Err(want)) => assert!(error.contains(want), "{what}: {error}"),
                (answer, _) => panic!("{what}: {answer:?}"),
            }
        }
    }
    let refused = ask_tls(&agent, None, &[&TLS13], &Request::get("/")).unwrap_err();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    assert!(ask_tls(&agent, None, &[&TLS12], &Request::get("/")).is_err());
    // It lives.
    assert_eq!(status_of(&agent, &authority.itself()), Ok(200));
}

#[test]
fn junk_is_refused_and_changes_nothing() {
    let mut agent = agent();
    let authority = Authority::new();
    let own = csr(&agent);
    let (signed, ca) = (authority.sign(&own), authority.ca());
    let junk = "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n";
    let for_another = {
        let other = Home::new("try-autossl = True\n").start();
        authority.sign(&csr(&other))
    };
    let bodies = |authority_of: &str| {
        vec![
            json!({"signed": junk, "ca": authority_of}).to_string(),
            json!({"signed": "", "ca": authority_of}).to_string(),
            json!({"signed": "x", "ca": authority_of}).to_string(),
            json!({"signed": &signed[..200], "ca": authority_of}).to_string(),
            json!({"signed": for_another, "ca": authority_of}).to_string(),
            json!({"signed": signed, "ca": ""}).to_string(),
            json!({"signed": signed, "ca": junk}).to_string(),
            json!({"signed": signed}).to_string(),
            json!({"ca": authority_of}).to_string(),
            json!({"signed": 1, "ca": 2}).to_string(),
            "{}".to_owned(),
            "[".to_owned(),
            "null".to_owned(),
        ]
    };
    for body in bodies(&ca) {
        let answer = agent.ask(&Request::post("/autotls", &body));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (500, "internal server error\n")
        );
        assert!(!agent.home.exists("agent.crt") && !agent.home.exists("server_ca.crt"));
    }
    assert_eq!(agent.get("/").status, 200);
    authority.enrol(&agent);
    let before = (
        agent.home.read("agent.crt"),
        agent.home.read("server_ca.crt"),
    );
    for body in bodies(&ca) {
        let request = Request::post("/autotls", &body);
        let answer = ask_tls(&agent, Some(&authority.itself()), BOTH, &request).unwrap();
        assert_eq!(answer.status, 500, "{body}");
        let after = (
            agent.home.read("agent.crt"),
            agent.home.read("server_ca.crt"),
        );
        assert!(after == before, "{body}");
        assert_eq!(status_of(&agent, &authority.itself()), Ok(200));
    }
    assert!(agent.is_running());
}

#[test]
fn a_renewal_takes_a_new_authority_and_keeps_the_old_files() {
    let agent = agent();
    let (first, second) = (Authority::new(), Authority::new());
    first.enrol(&agent);
    let old = (
        agent.home.read("agent.crt"),
        agent.home.read("server_ca.crt"),
    );
    let ask = |authority: &Authority, request: &Request<'_>| {
        ask_tls(&agent, Some(&authority.itself()), BOTH, request)
    };
    let csr = ask(&first, &Request::get("/autotls")).unwrap().json();
    let answer = second.answer(csr["csr"].as_str().unwrap());
    assert_eq!(
        ask(&first, &Request::post("/autotls", &answer))
            .unwrap()
            .status,
        200
    );
    assert!(status_of(&agent, &first.itself()).is_err());
    assert_eq!(status_of(&agent, &second.itself()), Ok(200));
    let kept = (
        agent.home.read("agent.crt.old"),
        agent.home.read("server_ca.crt.old"),
    );
    assert!(kept == old);
    // A replay of the first exchange by somebody without a certificate.
    let replay = json!({"signed": old.0, "ca": old.1}).to_string();
    assert!(ask_tls(&agent, None, BOTH, &Request::post("/autotls", &replay)).is_err());
    assert_eq!(status_of(&agent, &second.itself()), Ok(200));
}

#[test]
fn what_a_killed_process_has_left_is_cleared_at_the_start() {
    let agent = agent();
    let (first, second) = (Authority::new(), Authority::new());
    first.enrol(&agent);
    let mut home = agent.end();
    let other = Home::new("try-autossl = True\n");
    let (crt, ca) = (home.read("agent.crt"), home.read("server_ca.crt"));
    let csr = home.read("agent.csr");
    let (new_crt, new_ca) = (second.sign(&csr), second.ca());
    // What is there of old and new, and whose it is then.
    for (what, files, owner) in [
        ("nothing", vec![], &first),
        ("one written", vec![("agent.crt.new", &new_crt)], &first),
        (
            "both written",
            vec![("agent.crt.new", &new_crt), ("server_ca.crt.new", &new_ca)],
            &first,
        ),
        (
            "one renamed",
            vec![("agent.crt", &new_crt), ("server_ca.crt.new", &new_ca)],
            &second,
        ),
    ] {
        home.put("agent.crt", &crt);
        home.put("server_ca.crt", &ca);
        for (name, text) in files {
            home.put(name, text);
        }
        let agent = home.start();
        assert_eq!(status_of(&agent, &owner.itself()), Ok(200), "{what}");
        for name in ["agent.crt.new", "server_ca.crt.new"] {
            assert!(!agent.home.exists(name), "{what}: {name}");
        }
        home = agent.end();
    }
    drop(other);
}

#[test]
fn files_that_cannot_be_used_never_keep_it_from_starting() {
    let agent = agent();
    let authority = Authority::new();
    authority.enrol(&agent);
    let mut home = agent.end();
    let good: Vec<_> = ["agent.crt", "server_ca.crt", "agent.key"]
        .into_iter()
        .map(|name| (name, home.read(name)))
        .collect();
    for (name, junk) in [
        ("agent.crt", "junk"),
        ("agent.crt", ""),
        ("server_ca.crt", ""),
        (
            "server_ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        ("agent.key", "junk"),
    ] {
        for with_old in [false, true] {
            for (name, text) in &good {
                home.put(name, text);
                let old = home.path(&format!("{name}.old"));
                let _ = fs::remove_file(&old);
                if with_old {
                    fs::write(old, text).unwrap();
                }
            }
            home.put(name, junk);
            let agent = home.start();
            agent.wait_for("listening on");
            if with_old && name != "agent.key" {
                // What was there before is there again.
                assert_eq!(status_of(&agent, &authority.itself()), Ok(200), "{name}");
            } else {
                // Nothing is told to strangers, and a new exchange mends it.
                assert_eq!(agent.get("/").text(), "{}", "{name}");
                assert_eq!(agent.get("/packages").status, 403, "{name}");
                authority.enrol(&agent);
                assert_eq!(status_of(&agent, &authority.itself()), Ok(200), "{name}");
            }
            home = agent.end();
        }
    }
    assert!(home.exists("agent.key.bad"));
}

#[test]
fn an_existing_rsa_key_stays_in_use_and_one_can_be_wished_for() {
    let authority = Authority::new();
    let home = Home::new("try-autossl = True\n");
    let key = fs::read_to_string(authority.client("own", &["-days", "9"]).key).unwrap();
    home.put("agent.key", &key);
    let agent = home.start();
    authority.enrol(&agent);
    assert_eq!(agent.home.read("agent.key"), key);
    assert_eq!(status_of(&agent, &authority.itself()), Ok(200));

    let agent = Home::new("try-autossl = True\n[sitewire]\nautossl-key-type = rsa\n").start();
    authority.enrol(&agent);
    let output = Command::new("openssl")
        .args(["rsa", "-noout", "-text", "-in"])
        .arg(agent.home.path("agent.key"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("4096 bit"), "{text}");
}

#[test]
fn the_first_exchange_is_for_whom_the_configuration_names() {
    let authority = Authority::new();
    let pinned = format!("autossl-ca-fingerprint = {}\n", authority.fingerprint());
    let token = "autossl-token = 0123456789abcdef\n";
    let bearer: &[_] = &[("Authorization", "Bearer 0123456789abcdef")];
    // eDowMTIzNDU2Nzg5YWJjZGVm is x:0123456789abcdef
    let basic: &[_] = &[("Authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVm")];
    let wrong: &[_] = &[("Authorization", "Bearer 0123456789abcdee")];
    let safe = "defaults = safe\n";
    for (what, own, headers, get, post) in [
        ("nothing named", safe.to_owned(), &[][..], 403, 403),
        ("no token", format!("{safe}{token}"), &[], 403, 403),
        ("a wrong token", format!("{safe}{token}"), wrong, 403, 403),
        ("a token", format!("{safe}{token}"), bearer, 200, 200),
        (
            "a token as password",
            format!("{safe}{token}"),
            basic,
            200,
            200,
        ),
        (
            "a token without safe defaults",
            token.to_owned(),
            &[],
            403,
            403,
        ),
        (
            "a peer",
            format!("{safe}autossl-peers = 127.0.0.0/8\n"),
            &[],
            200,
            200,
        ),
        (
            "another peer",
            format!("{safe}autossl-peers = 192.0.2.1\n"),
            &[],
            403,
            403,
        ),
        ("the authority", format!("{safe}{pinned}"), &[], 200, 200),
        (
            "another authority",
            format!("{safe}autossl-ca-fingerprint = {}\n", "ab".repeat(32)),
            &[],
            200,
            500,
        ),
        ("the original's ways", String::new(), &[], 200, 200),
    ] {
        let agent = Home::new(&format!("try-autossl = True\n[sitewire]\n{own}")).start();
        let answer = agent.ask(&Request::get("/autotls").with(headers));
        assert_eq!(answer.status, get, "{what}");
        let body = match answer.status {
            200 => authority.answer(answer.json()["csr"].as_str().unwrap()),
            _ => "{}".to_owned(),
        };
        // Nothing else is told before, if the defaults are safe.
        let hidden = own.contains(safe);
        assert_eq!(agent.get("/packages").status == 403, hidden, "{what}");
        let answer = agent.ask(&Request::post("/autotls", &body).with(headers));
        assert_eq!(answer.status, post, "{what}");
        assert_eq!(agent.home.exists("server_ca.crt"), post == 200, "{what}");
        if post == 200 {
            assert_eq!(status_of(&agent, &authority.itself()), Ok(200), "{what}");
        }
    }
}

#[test]
fn deleting_the_files_leads_back_to_the_first_step() {
    let agent = agent();
    let authority = Authority::new();
    authority.enrol(&agent);
    authority.enrol_again(&agent);
    let home = agent.end();
    for name in ["agent.crt", "server_ca.crt", "agent.csr"] {
        fs::remove_file(home.path(name)).unwrap();
    }
    let agent = home.start();
    assert_eq!(agent.get("/packages").status, 200);
    // Also while it runs, and back.
    authority.enrol(&agent);
    fs::remove_file(agent.home.path("agent.crt")).unwrap();
    agent.signal(Signal::HUP);
    agent.wait_for("the configuration has been read");
    assert_eq!(agent.get("/packages").status, 200);
}

trait EnrolAgain {
    fn enrol_again(&self, agent: &Agent);
}

impl EnrolAgain for Authority {
    /// Over the connection that the first exchange has made possible.
    fn enrol_again(&self, agent: &Agent) {
        let pair = self.itself();
        let ask = |request: &Request<'_>| ask_tls(agent, Some(&pair), BOTH, request).unwrap();
        let csr: Value = ask(&Request::get("/autotls")).json();
        let answer = self.answer(csr["csr"].as_str().unwrap());
        assert_eq!(ask(&Request::post("/autotls", &answer)).status, 200);
    }
}
