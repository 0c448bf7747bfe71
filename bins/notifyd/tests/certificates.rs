//! Certificates that change while notifyd runs: renewed over the network, by
//! the authority next door, and revoked.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use authority::{Authority, Certificate, Lifetime, Serial, Shape};
use objects::{SiteId, UnixTime};
use rustix::process::Signal;
use support::{Daemon, Site, wait_until};

fn now() -> UnixTime {
    SystemTime::now().into()
}

/// From so many days ago until so many days from now.
fn days(ago: i64, left: i64) -> Lifetime {
    let at = |days: i64| UnixTime::from_secs(now().secs() + days * 86_400);
    Lifetime {
        begin: at(-ago),
        end: at(left),
    }
}

/// An authority at a central site, and a remote site that connects to it.
struct Two {
    central: Site,
    remote: Site,
    directory: PathBuf,
}

impl Two {
    fn new() -> Self {
        let central = Site::new("central", "");
        let directory = central.path("authority");
        let lifetime = days(400, 3000);
        Authority::create(&directory, "CA", Shape::Ecdsa, lifetime, now()).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let two = Self {
            central,
            remote: Site::new("remote1", ""),
            directory,
        };
        two.central.script("plugin", "echo $NOTIFY_ID >>@log");
        two.central.configure(&format!(
            "{}[authority]\ndirectory = '{}'\n[[listen]]\naddress = '127.0.0.1:{port}'\n\
             [[peer]]\nsite = 'remote1'\n[[lane]]\nname = 'ops'\nscript = '@plugin'\n",
            two.tls("central"),
            two.directory.display(),
        ));
        two.remote.configure(&format!(
            "{}crl = '@ca.crl'\n[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\n",
            two.tls("remote1"),
        ));
        fs::copy(two.directory.join("ca.crl"), two.remote.path("ca.crl")).unwrap();
        two
    }

    fn tls(&self, site: &str) -> String {
        let at = self.directory.display();
        format!(
            "[tls]\ncertificate = '{at}/{site}.crt'\nkey = '{at}/{site}.key'\nca = '{at}/ca.crt'\n\
             renew = true\n"
        )
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.directory, now()).unwrap()
    }

    fn issue(&self, site: &str, lifetime: Lifetime) -> Serial {
        let site = SiteId::new(site).unwrap();
        let issued = self.authority().issue(&site, Shape::Ecdsa, lifetime);
        issued.unwrap().serial
    }

    fn certificate(&self, site: &str) -> Certificate {
        certificate(&self.directory.join(format!("{site}.crt")))
    }

    fn notify_and_wait(&self) {
        let before = self.central.lines("log").len();
        self.remote.submit(&[("HOSTNAME", "db1")]);
        wait_until("it is delivered", || {
            self.central.lines("log").len() == before + 1
        });
    }
}

fn certificate(path: &Path) -> Certificate {
    Certificate::first_in(&fs::read_to_string(path).unwrap()).unwrap()
}

fn established(site: &Site) -> bool {
    site.state()["peers"][0]["state"] == "established"
}

fn has_line(daemon: &Daemon, part: &str) -> bool {
    daemon.log().iter().any(|line| line.contains(part))
}

#[test]
fn a_certificate_that_ends_soon_is_replaced_over_the_network() {
    let two = Two::new();
    two.issue("central", days(1, 365));
    let old = two.issue("remote1", days(300, 65));
    let key = fs::read(two.directory.join("remote1.key")).unwrap();
    let mut here = two.remote.start();
    // There is nobody to ask yet.
    two.remote.submit(&[("HOSTNAME", "db1")]);
    let there = two.central.start();
    here.wait_for_line("our certificate was renewed");
    let new = two.certificate("remote1");
    assert_ne!(new.serial, old);
    assert!(new.left(now()) > 0.9 && new.site().unwrap().as_str() == "remote1");
    assert_eq!(fs::read(two.directory.join("remote1.key")).unwrap(), key);
    assert_eq!(two.authority().issued().unwrap().len(), 3);
    wait_until("what waited arrives", || {
        two.central.lines("log").len() == 1
    });
    here.wait_for_line("certificates have been read again");
    // The old one is not what it connects with from now on.
    two.authority().revoke(&old, now()).unwrap();
    there.terminate();
    let there = two.central.start();
    two.notify_and_wait();
    here.terminate();
    there.terminate();
}

#[test]
fn the_centre_renews_its_own_certificate_without_a_pause() {
    let two = Two::new();
    let old = two.issue("central", days(300, 20));
    two.issue("remote1", days(1, 365));
    let mut there = two.central.start();
    there.wait_for_line("our certificate was renewed");
    assert_ne!(two.certificate("central").serial, old);
    there.wait_for_line("certificates have been read again");
    let here = two.remote.start();
    two.notify_and_wait();
    assert!(!has_line(&there, "cannot be renewed"));
    here.terminate();
    there.terminate();
}

#[test]
fn a_revoked_site_is_shut_out_at_the_reload_and_what_it_sends_stays_with_it() {
    let two = Two::new();
    two.issue("central", days(1, 365));
    two.issue("remote1", days(1, 365));
    let (mut there, here) = (two.central.start(), two.remote.start());
    two.notify_and_wait();
    two.authority()
        .revoke_site(&SiteId::new("remote1").unwrap(), now())
        .unwrap();
    there.signal(Signal::HUP);
    there.wait_for_line("no longer believed");
    wait_until("the link is down", || !established(&two.central));
    let id = two.remote.submit(&[("HOSTNAME", "db1")]);
    there.wait_for_line("Revoked");
    wait_until("it stays where it is", || {
        two.remote.history(id).last().map(String::as_str) == Some("assigned peer central")
    });
    assert_eq!(two.central.lines("log").len(), 1);
    here.terminate();
    there.terminate();
}

#[test]
fn a_revoked_certificate_is_not_renewed_even_before_the_reload() {
    let two = Two::new();
    two.issue("central", days(1, 365));
    let serial = two.issue("remote1", days(300, 65));
    // The list that the centre reads is the one from before the revocation.
    let list = two.directory.join("ca.crl");
    let before = fs::read(&list).unwrap();
    two.authority().revoke(&serial, now()).unwrap();
    fs::write(&list, before).unwrap();
    let mut there = two.central.start();
    let here = two.remote.start();
    there.wait_for_line("the certificate has been revoked");
    assert_eq!(two.certificate("remote1").serial, serial);
    here.terminate();
    there.terminate();
}

#[test]
fn the_list_of_the_centre_comes_to_the_sites() {
    let two = Two::new();
    two.issue("central", days(1, 365));
    two.issue("remote1", days(1, 365));
    let other = two.issue("other", days(1, 365));
    two.authority().revoke(&other, now()).unwrap();
    let (there, here) = (two.central.start(), two.remote.start());
    wait_until("the list has come", || {
        let text = fs::read_to_string(two.remote.path("ca.crl")).unwrap();
        let list = authority::RevocationList::from_pem(&text).unwrap();
        list.revoked.contains_key(&other)
    });
    here.terminate();
    there.terminate();
}

#[test]
fn keys_as_checkmk_makes_them_carry_a_link() {
    let two = Two::new();
    for site in ["central", "remote1"] {
        let site = SiteId::new(site).unwrap();
        let issued = two.authority().issue(&site, Shape::Rsa, days(0, 364_876));
        assert_eq!(issued.unwrap().key, "RSA 2048");
    }
    let (there, here) = (two.central.start(), two.remote.start());
    two.notify_and_wait();
    here.terminate();
    there.terminate();
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let two = Two::new();
    two.issue("central", days(1, 365));
    two.issue("remote1", days(1, 365));
    let (mut there, here) = (two.central.start(), two.remote.start());
    two.notify_and_wait();
    let path = two.directory.join("central.crt");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "nothing").unwrap();
    there.signal(Signal::HUP);
    there.wait_for_line("certificates stay as they were: [tls] ");
    two.notify_and_wait();
    fs::write(&path, good).unwrap();
    there.signal(Signal::HUP);
    there.wait_for_line("certificates have been read again");
    two.notify_and_wait();
    here.terminate();
    there.terminate();
}

#[test]
fn an_end_that_is_near_is_told() {
    let two = Two::new();
    two.issue("central", days(360, 5));
    let text = fs::read_to_string(two.central.path("notifyd.toml")).unwrap();
    fs::write(
        two.central.path("notifyd.toml"),
        text.replace("renew = true", ""),
    )
    .unwrap();
    let mut there = two.central.start();
    there.wait_for_line("our certificate ends in ");
    there.terminate();
}
