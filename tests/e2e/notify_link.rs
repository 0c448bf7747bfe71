//! The TLS link between two notifyds: broken, restarted, and attacked.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Program, Site, wait_until};

use crate::notify_sites::{Sites, notify, notifyd, sitecert};

fn entries(n: usize) -> Vec<String> {
    vec![
        format!("HOSTNAME=host{n}"),
        "HOSTSTATE=DOWN".to_owned(),
        "NOTIFICATIONTYPE=PROBLEM".to_owned(),
        format!("HOSTOUTPUT={}", "x".repeat(2000)),
    ]
}

/// Stands between the two sites, and breaks each of the first connections after
/// so many bytes from the one that connected.
struct Breaker {
    port: u16,
    broken: Arc<AtomicUsize>,
}

impl Breaker {
    fn start(to: u16, limits: Vec<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let broken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&broken);
        std::thread::spawn(move || {
            let mut limits = limits.into_iter();
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                let limit = limits.next().unwrap_or(u64::MAX);
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || pass(&client, &server, limit, &counter));
            }
        });
        Self { port, broken }
    }
}

fn pass(client: &TcpStream, server: &TcpStream, limit: u64, broken: &AtomicUsize) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (server, client);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = client.shutdown(Shutdown::Both);
        });
        let (from, mut to) = (client, server);
        let copied = std::io::copy(&mut from.take(limit), &mut to);
        if copied.is_ok_and(|copied| copied == limit) {
            broken.fetch_add(1, Ordering::SeqCst);
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

#[test]
fn forwarding_survives_broken_connections_and_a_restarted_receiver() {
    let sites = Sites::new();
    let breaker = Breaker::start(sites.port, vec![20_000, 90_000]);
    sites.connect_remote_to(breaker.port);
    let central = sites.start_central();
    let _remote = sites.start_remote();
    let submit = |range: std::ops::Range<usize>| -> Vec<String> {
        range
            .map(|n| sites.notify(&entries(n)).expect("accepted"))
            .collect()
    };
    let mut ids = submit(0..60);
    wait_until("two connections broke", || {
        breaker.broken.load(Ordering::SeqCst) == 2
    });
    assert!(central.terminate().success());
    ids.extend(submit(60..80));
    let _central = sites.start_central();
    sites.wait_until_empty(&sites.remote);
    sites.wait_until_empty(&sites.central);
    let delivered = sites.delivered();
    assert_eq!(delivered.len(), ids.len(), "nothing was repeated");
    let delivered: BTreeSet<String> = delivered.into_iter().map(|(id, _)| id).collect();
    assert_eq!(delivered, ids.iter().cloned().collect());
    assert_eq!(sites.mails(), ids.len());
    for id in [&ids[0], &ids[79]] {
        let remote = sites.trace(&sites.remote, id);
        assert!(
            remote.contains(&"stored by central".to_owned()),
            "{remote:#?}"
        );
        let central = sites.trace(&sites.central, id);
        assert_eq!(
            central[0],
            "accepted from remote1 (path remote1 -> central)"
        );
        assert!(
            central.contains(&"lane log: delivered".to_owned()),
            "{central:#?}"
        );
    }
}

#[test]
fn strangers_are_closed_and_named_and_the_next_peer_is_served() {
    let sites = Sites::new();
    let mut central = sites.start_central();
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"\x00\xff\x1b[2J",
        b"SITEWIRE-NOTIFY\n",
    ] {
        let mut client = TcpStream::connect(("127.0.0.1", sites.port)).expect("it listens");
        client.write_all(garbage).expect("it reads");
        let mut answer = Vec::new();
        // The end may come as a reset.
        let _ = client.read_to_end(&mut answer);
        central.wait_for_line(&garbage.escape_ascii().to_string());
    }
    let mut remote = sites.start_remote();
    remote.wait_for_line("established");
    let log = central.log();
    assert!(log.iter().all(|line| !line.contains('\x1b')), "{log:#?}");
}

#[test]
fn only_the_configured_sites_of_the_own_authority_come_in() {
    let sites = Sites::new();
    let mut central = sites.start_central();
    // A site with a certificate that is good, but none of central's peers.
    sitecert(&["issue", "unknown"], &sites.central.path("certs"));
    // A site that calls itself remote1, by an authority of its own.
    let foreign = Site::new("remote1");
    sitecert(&["init-ca"], &foreign.path("certs"));
    sitecert(&["issue", "remote1"], &foreign.path("certs"));
    let unknown = Site::new("unknown");
    for (name, site, certs, line) in [
        (
            "unknown",
            &unknown,
            sites.central.path("certs"),
            "site unknown is not a configured peer",
        ),
        ("remote1", &foreign, foreign.path("certs"), "TLS failed"),
    ] {
        let ca = sites.central.path("certs/ca.crt");
        let certs = certs.display();
        site.write(
            "etc/notifyd.toml",
            format!(
                "[site]\nname = '{name}'\n[spool]\ndirectory = '{}'\n\
                 [tls]\ncertificate = '{certs}/{name}.crt'\nkey = '{certs}/{name}.key'\nca = '{certs}/bundle'\n\
                 [[peer]]\nsite = 'central'\nconnect = '127.0.0.1:{}'\nsend = true\n",
                site.path("spool").display(),
                sites.port
            ),
        );
        // It believes central as well as itself.
        let mut bundle = std::fs::read(&ca).expect("a certificate");
        let own = std::fs::read(format!("{certs}/ca.crt")).expect("a certificate");
        bundle.extend_from_slice(&own);
        std::fs::write(format!("{certs}/bundle"), bundle).expect("own directory");
        let mut stranger = notifyd(site, name);
        stranger.wait_for_line("is ready");
        let id = notify(&site.path("spool"), &entries(0)).expect("accepted");
        central.wait_for_line(line);
        stranger.wait_for_line("cooldown");
        assert!(stranger.terminate().success());
        let queue = Program::new("notifyctl")
            .arg("-c")
            .arg(site.path("etc/notifyd.toml"))
            .arg("queue")
            .run()
            .success();
        assert!(queue.text().contains(&id), "{}", queue.text());
    }
    assert!(sites.delivered().is_empty());
    let mut remote = sites.start_remote();
    remote.wait_for_line("established");
}
