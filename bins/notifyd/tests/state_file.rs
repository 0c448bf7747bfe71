//! The state file of a running notifyd, in each condition it can be in, as the
//! agent ships it and Checkmk's check reads it.

mod support;
#[path = "support/checkmk.rs"]
mod verdict;

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use support::authority::{Authority, TLS, free_port};
use support::{Site, wait_for, wait_until};
use verdict::{Connection, Shown, Verdict};

const LANE: &str = "[[lane]]\nname = 'ops'\nscript = '@plugin'\n";

/// Through the agent's own `grep`, and judged `later` seconds from now.
#[track_caller]
fn shown(site: &Site, later: i64) -> Shown {
    let file = wait_for("a state file", || {
        std::fs::read(site.path("notifyd.state")).ok()
    });
    let mut grep = Command::new("grep")
        .args(["-v", "^#"])
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    grep.stdin.take().unwrap().write_all(&file).unwrap();
    let shipped = grep.wait_with_output().unwrap().stdout;
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    );
    let section = verdict::section(&shipped, site.name, now.unwrap() + later);
    let shown = section.and_then(|section| verdict::check(&section));
    shown.unwrap_or_else(|why| panic!("{why}\n{}", String::from_utf8_lossy(&file)))
}

/// Waits until the link to `peer` is shown like that.
#[track_caller]
fn wait_for_link(site: &Site, peer: &str, is_so: impl Fn(&Connection) -> bool) -> Connection {
    wait_for("the link is shown", || {
        let connection = shown(site, 0).connections[peer].clone();
        is_so(&connection).then_some(connection)
    })
}

fn central() -> Site {
    let rest = format!("[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n{LANE}");
    let site = Site::new("central", &rest);
    site.script(
        "plugin",
        "test -e @works || { printf 'no modem\\303'; exit 1; }",
    );
    site
}

fn remote(central: &Site) -> Site {
    let link = central.path("link");
    let rest = format!(
        "[[peer]]\nsite = 'central'\nsend = true\nconnect = 'unix:{}'\n",
        link.display()
    );
    Site::new("remote1", &rest)
}

#[test]
fn links_are_shown_from_the_first_attempt_to_the_end_of_a_site() {
    let central = central();
    let remote = remote(&central);
    let here = remote.start();
    let down = wait_for_link(&remote, "central", |link| link.state == "cooldown");
    assert_eq!((down.verdict, down.is_incoming), (Verdict::Crit, false));
    assert!(down.message.contains("cannot connect"), "{}", down.message);
    let there = central.start();
    let listening = shown(&central, 0);
    assert!(!listening.version.is_empty());
    wait_for_link(&remote, "central", |link| link.state == "established");
    let up = wait_for_link(&central, "remote1", |link| link.state == "established");
    assert_eq!((up.verdict, up.is_incoming), (Verdict::Ok, true));
    remote.submit(&[("HOSTNAME", "db1")]);
    wait_for_link(&remote, "central", |link| link.sent == 1);
    wait_for_link(&central, "remote1", |link| link.received == 1);
    let file = shown(&central, 0);
    assert_eq!(file.queues[0].0, "ops");
    assert_eq!(file.spooler, Verdict::Ok);
    assert_eq!(
        shown(&central, 200).spooler,
        Verdict::Crit,
        "nobody writes it"
    );
    here.terminate();
    wait_for_link(&central, "remote1", |link| link.state == "cooldown");
    there.terminate();
    shown(&central, 0);
}

#[test]
fn a_peer_that_was_never_there_is_a_warning() {
    let central = central();
    let _there = central.start();
    let never = wait_for_link(&central, "remote1", |_| true);
    assert_eq!(
        (never.state.as_str(), never.verdict),
        ("initial", Verdict::Warn)
    );
}

#[test]
fn what_waits_for_another_attempt_or_could_not_be_read_is_counted() {
    let central = central();
    let _there = central.start();
    central.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is deferred", || shown(&central, 0).counts[1] == 1);
    assert_eq!(shown(&central, 10).spooler, Verdict::Warn);
    assert_eq!(shown(&central, 80).spooler, Verdict::Warn);
    central.drop_file(
        "bad\u{1b}\u{fc}",
        b"{\"v\":99,\"id\":\"\",\"kind\":\"\",\"created_us\":1,\"site\":\"a\",\"context\":{}}",
    );
    wait_until("it is set aside", || shown(&central, 0).counts[2] == 1);
    assert_eq!(shown(&central, 0).spooler, Verdict::Warn);
}

#[test]
fn a_disk_that_refuses_and_a_peer_that_waits_for_it_are_shown() {
    let central = central();
    let remote = remote(&central);
    let (_there, _here) = (central.start(), remote.start());
    wait_for_link(&remote, "central", |link| link.state == "established");
    // Whatever the journal tries to write, its files are not there.
    std::fs::rename(central.path("spool/journal"), central.path("aside")).unwrap();
    central.submit(&[("HOSTNAME", "db1")]);
    wait_until("the disk error is shown", || {
        shown(&central, 0);
        !central.state()["disk_error"].is_null()
    });
    let waits = wait_for_link(&remote, "central", |link| {
        link.message.contains("takes nothing now")
    });
    assert_eq!(waits.verdict, Verdict::Ok, "the link is up");
    std::fs::rename(central.path("aside"), central.path("spool/journal")).unwrap();
    wait_until("it is over", || central.state()["disk_error"].is_null());
    wait_for_link(&remote, "central", |link| {
        !link.message.contains("takes nothing now")
    });
    shown(&central, 0);
}

#[test]
fn a_bad_configuration_after_a_reload_is_shown_and_the_old_one_stays() {
    let central = central();
    let mut there = central.start();
    central.configure("[[lane]]\nname = 'ops'\nskript = '/x\u{fc}'\n");
    there.signal(Signal::HUP);
    there.wait_for_line("skript");
    wait_until("it is shown", || {
        central.state()["warnings"].to_string().contains("skript")
    });
    let file = shown(&central, 0);
    assert_eq!(file.queues[0].0, "ops");
    assert!(file.connections.contains_key("remote1"));
}

/// Two sites with TLS, of which the remote one has a certificate until then.
fn with_tls(until: (i32, u8, u8), same_authority: bool) -> Connection {
    let port = free_port();
    let central = Site::new(
        "central",
        &format!("{TLS}[[listen]]\naddress = '127.0.0.1:{port}'\n[[peer]]\nsite = 'remote1'\n"),
    );
    let remote = Site::new(
        "remote1",
        &format!("{TLS}[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\n"),
    );
    let authority = Authority::new();
    authority.equip(&central, 1);
    match same_authority {
        true => authority.equip_until(&remote, 2, until),
        false => Authority::new().equip_until(&remote, 2, until),
    }
    let (_there, _here) = (central.start(), remote.start());
    let connection = wait_for_link(&remote, "central", |link| {
        matches!(link.state.as_str(), "established" | "cooldown")
    });
    if until < (2026, 1, 1) {
        wait_until("the expired certificate is shown", || {
            remote.state()["warnings"].to_string().contains("expired")
        });
    }
    shown(&central, 0);
    shown(&remote, 0);
    connection
}

#[test]
fn tls_is_shown_when_it_works_and_when_it_does_not() {
    let works = with_tls((2100, 1, 1), true);
    assert_eq!(
        (works.state.as_str(), works.verdict),
        ("established", Verdict::Ok)
    );
    for (name, connection) in [
        ("another authority", with_tls((2100, 1, 1), false)),
        ("expired", with_tls((2025, 1, 1), true)),
    ] {
        assert_eq!(connection.verdict, Verdict::Crit, "{name}");
        assert!(!connection.message.is_empty(), "{name}");
    }
}

#[test]
fn the_descriptors_are_those_of_the_sockets() {
    let central = central();
    let remote = remote(&central);
    let (there, here) = (central.start(), remote.start());
    let is_socket = |site: &Site, number: i32| {
        let pid = site.state()["pid"].as_i64().unwrap();
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
        link.is_ok_and(|link| link.to_string_lossy().starts_with("socket:["))
    };
    for (site, peer) in [(&central, "remote1"), (&remote, "central")] {
        let link = wait_for_link(site, peer, |link| link.state == "established");
        assert!(is_socket(site, link.socket), "{link:?}");
    }
    assert!(is_socket(&central, shown(&central, 0).listening));
    assert_eq!(shown(&remote, 0).listening, -1);
    here.terminate();
    let link = wait_for_link(&central, "remote1", |link| link.state == "cooldown");
    assert_eq!(link.socket, -1);
    there.terminate();
}
