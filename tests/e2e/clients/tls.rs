//! Clients over TCP and TLS: `lq` and `unixcat`, and `openssl s_client` as
//! somebody else's. With a certificate, with a wrong one, and without.

use harness::{Authority, Credentials, Livestatusd, Program, peer, wait_until};

use super::{client, site, tools};

/// The site behind a port on which everybody may ask, and one on which `noc`
/// sees all and each site itself.
fn start() -> (Livestatusd, Authority, [u16; 2]) {
    let authority = Authority::new(&["central", "noc", "remote1", "remote2"]);
    let ca = authority.ca();
    let asking = format!("client_ca = \"{}\"\nclients = [\"noc\"]\n", ca.display());
    let listeners = [
        authority.listen_table("central", ""),
        authority.listen_table("central", &asking),
    ];
    let central = site::start_with(&listeners.concat());
    let ports = central.ports();
    (central, authority, ports)
}

/// `lq` or `unixcat`, which believes the server that `authority` vouches for.
fn ours(program: &str, authority: &Authority, shown: Option<&Credentials>) -> Program {
    let program = Program::new(program)
        .arg("--ca")
        .arg(authority.ca())
        .args(["--tls-name", "central"]);
    match shown {
        None => program,
        Some(shown) => program
            .arg("--cert")
            .arg(&shown.certificate)
            .arg("--key")
            .arg(&shown.key),
    }
}

fn s_client(authority: &Authority, port: u16, shown: Option<&Credentials>) -> Program {
    let program = client("openssl", "openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile"])
        .arg(authority.ca())
        .args(["-connect", &format!("127.0.0.1:{port}")]);
    match shown {
        None => program,
        Some(shown) => program
            .arg("-cert")
            .arg(&shown.certificate)
            .arg("-key")
            .arg(&shown.key),
    }
}

#[test]
fn what_people_type_works_over_tcp() {
    let central = site::start_with(site::TCP);
    let [port] = central.ports();
    let address = format!("tcp:127.0.0.1:{port}");
    let unixcat = || Program::new("unixcat").arg(&address);
    tools::asks(unixcat);
    if peer::available("nc.openbsd", "netcat-openbsd") {
        let port = port.to_string();
        tools::asks(|| client("nc.openbsd", "nc").args(["-N", "127.0.0.1", &port]));
    }
    if peer::available("socat", "socat") {
        let address = format!("TCP-CONNECT:127.0.0.1:{port}");
        tools::asks(|| client("socat", "socat").args(["-t60", "-", &address]));
    }
    tools::commands(&central, unixcat, "CRIT - von \"unixcat\"; 💥");
    let hosts = Program::new("lq").args(["-s", &address, "GET hosts", "Columns: name"]);
    assert_eq!(
        hosts.run().success().text().lines().count(),
        site::HOSTS.len()
    );
}

#[test]
fn unixcat_and_lq_work_over_tls() {
    let (central, authority, [open, asking]) = start();
    let noc = authority.of("noc");
    let ways = [(open, None), (asking, Some(&noc))]
        .map(|(port, shown)| (format!("tls:127.0.0.1:{port}"), shown));
    for (address, shown) in &ways {
        tools::asks(|| ours("unixcat", &authority, *shown).arg(address));
        let hosts = ours("lq", &authority, *shown).args(["-s", address, "hosts"]);
        let text = hosts.run().success().text();
        assert!(text.contains("kühlhaus-süd"), "{text}");
    }
    for (address, shown) in &ways {
        let unixcat = || ours("unixcat", &authority, *shown).arg(address);
        tools::commands(&central, unixcat, &format!("CRIT - von {address}; 💥"));
    }
}

#[test]
fn who_is_let_in_and_who_believes_the_server() {
    let (central, authority, [open, asking]) = start();
    let other = Authority::new(&["noc", "central"]);
    let (noc, own, unknown) = (
        authority.of("noc"),
        authority.of("remote1"),
        authority.of("remote2"),
    );
    let foreign = other.of("noc");
    let (expired, self_made) = (authority.expired("noc"), authority.self_made("noc"));
    let address = format!("tls:127.0.0.1:{asking}");
    let query = "GET sites\nColumns: site num_hosts\n\n";
    let sees = format!("remote1;{}\n", site::HOSTS.len());
    let has_openssl = peer::available("openssl", "openssl");
    for (name, shown, want) in [
        ("noc", Some(&noc), Some(sees.as_str())),
        ("the site", Some(&own), Some(&sees)),
        // Let in as who it is, it gets nothing.
        ("a site that is not here", Some(&unknown), None),
        ("nobody", None, None),
        ("noc of another authority", Some(&foreign), None),
        ("noc of yesterday", Some(&expired), None),
        ("noc by its own word", Some(&self_made), None),
    ] {
        let unixcat = ours("unixcat", &authority, shown).arg(&address);
        let outcome = unixcat.input(query).run();
        assert_eq!(outcome.text(), want.unwrap_or(""), "unixcat as {name}");
        let lq = ours("lq", &authority, shown).args(["-s", &address]);
        let outcome = lq.args(["GET sites", "Columns: site num_hosts"]).run();
        match want {
            Some(want) => assert_eq!(outcome.success().text(), want, "lq as {name}"),
            None => {
                assert_ne!(outcome.code(), Some(0), "lq as {name}");
                assert_eq!(outcome.text(), "", "lq as {name}");
                assert!(outcome.errors().starts_with("lq: "), "{}", outcome.errors());
            }
        }
        if has_openssl {
            let outcome = s_client(&authority, asking, shown).input(query).run();
            assert_eq!(outcome.text(), want.unwrap_or(""), "openssl as {name}");
        }
    }
    // Of the rest only some are told, or strangers could fill the log.
    for reason in ["site remote2 is not configured here", "no certificates"] {
        wait_until(reason, || {
            central.process.has_said(&["no connection", reason])
        });
    }

    // A server that the right authority does not vouch for is not asked.
    let address = format!("tls:127.0.0.1:{open}");
    for (program, at) in [("lq", &["-s", &address][..]), ("unixcat", &[&address])] {
        let believes_other = ours(program, &other, None);
        let expects_other = Program::new(program)
            .arg("--ca")
            .arg(authority.ca())
            .args(["--tls-name", "noc"]);
        for program in [believes_other, expects_other] {
            let outcome = program.args(at).input(query).run();
            assert_ne!(outcome.code(), Some(0));
            assert_eq!(outcome.text(), "");
            assert!(
                outcome.errors().contains("certificate"),
                "{}",
                outcome.errors()
            );
        }
    }
}

#[test]
fn openssl_speaks_both_versions() {
    if !peer::available("openssl", "openssl") {
        return;
    }
    let (_central, authority, [open, asking]) = start();
    let noc = authority.of("noc");
    let query = "GET hosts\nColumns: name\nFilter: state = 1\n\n";
    for (port, shown) in [(open, None), (asking, Some(&noc))] {
        for version in ["-tls1_2", "-tls1_3"] {
            let program = s_client(&authority, port, shown).arg(version);
            let outcome = program.input(query).run().success();
            assert_eq!(outcome.text(), "router\n", "{version}");
        }
        for version in ["-tls1", "-tls1_1"] {
            let program = s_client(&authority, port, shown).arg(version);
            let outcome = program
                .args(["-cipher", "ALL@SECLEVEL=0"])
                .input(query)
                .run();
            assert_ne!(outcome.code(), Some(0), "{version}");
            assert_eq!(outcome.text(), "", "{version}");
        }
    }
}
