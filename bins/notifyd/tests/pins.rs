//! Peers that know each other by their keys, without an authority.

mod support;

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustix::process::Signal;
use support::authority::{Authority, TLS, free_port, replace};
use support::{Daemon, Site, wait_until};

/// Gives a site a key, with a certificate that names nobody; what others pin.
fn equip(site: &Site) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    replace(site, "site.key", &key.serialize_pem());
    replace(site, "site.crt", &certificate.pem());
    authority::Fingerprint::of(&key.subject_public_key_info()).pin()
}

const OWN: &str = "[tls]\ncertificate = '@site.crt'\nkey = '@site.key'\n";

/// A centre that delivers by a script, with these peers.
fn central(site: &Site, tls: &str, port: u16, peers: &str) {
    site.script("plugin", "echo $NOTIFY_ID >>@log");
    site.configure(&format!(
        "{tls}[[listen]]\naddress = '127.0.0.1:{port}'\n[[lane]]\nname = 'ops'\nscript = '@plugin'\n{peers}"
    ));
}

/// A site that sends to the centre at `port`, whose key is `pin`.
fn remote(site: &Site, port: u16, pin: &str) {
    site.configure(&format!(
        "{OWN}[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\npin = {pin}\n"
    ));
}

fn check_served(central: &Site, remote: &Site) {
    let id = remote.submit(&[("HOSTNAME", "db1")]).to_string();
    wait_until("it is delivered", || central.lines("log").contains(&id));
}

fn says(daemon: &Daemon, part: &str) -> bool {
    daemon.log().iter().any(|line| line.contains(part))
}

#[test]
fn two_sites_that_have_pinned_each_other_exchange_notifications() {
    let port = free_port();
    let (there, here) = (Site::new("central", ""), Site::new("remote1", ""));
    let (central_pin, remote_pin) = (equip(&there), equip(&here));
    let none = format!("sha256:{}", "0".repeat(64));
    // One of several is enough: the next key is told before it is used.
    let peers = format!("[[peer]]\nsite = 'remote1'\npin = ['{none}', '{remote_pin}']\n");
    central(&there, OWN, port, &peers);
    remote(&here, port, &format!("'{central_pin}'"));
    let (centre, site) = (there.start(), here.start());
    check_served(&there, &here);
    assert_eq!(
        there.state()["certificate_expires"],
        serde_json::Value::Null
    );
    site.terminate();
    centre.terminate();
}

#[test]
fn a_wrong_key_is_refused_by_either_end_until_a_reload_has_the_right_one() {
    let port = free_port();
    let (there, here) = (Site::new("central", ""), Site::new("remote1", ""));
    let (central_pin, remote_pin) = (equip(&there), equip(&here));
    let other = authority::Fingerprint::of(b"another key").pin();
    let with = |pin: &str| format!("[[peer]]\nsite = 'remote1'\npin = '{pin}'\n");
    central(&there, OWN, port, &with(&remote_pin));
    remote(&here, port, &format!("'{other}'"));
    let (mut centre, mut site) = (there.start(), here.start());
    // The connecting end says whose key it is that it does not know.
    site.wait_for_line(&format!(
        "peer's key {central_pin} is not pinned for site central"
    ));
    central(&there, OWN, port, &with(&other));
    centre.signal(Signal::HUP);
    centre.wait_for_line("the configuration has been read again");
    remote(&here, port, &format!("'{central_pin}'"));
    site.signal(Signal::HUP);
    centre.wait_for_line(&format!("peer's key {remote_pin} is pinned for no site"));
    assert_eq!(there.state()["peers"][0]["state"], "initial");
    central(&there, OWN, port, &with(&remote_pin));
    centre.signal(Signal::HUP);
    check_served(&there, &here);
    // A link that is up ends when its key is no longer the right one.
    central(&there, OWN, port, &with(&other));
    centre.signal(Signal::HUP);
    centre.wait_for_line("no longer believed: peer's key");
    wait_until("the link is down", || {
        there.state()["peers"][0]["state"] != "established"
    });
    site.terminate();
    centre.terminate();
}

#[test]
fn sites_with_a_pin_and_sites_with_an_authority_come_to_one_daemon() {
    let authority = Authority::new();
    let port = free_port();
    let there = Site::new("central", "");
    authority.equip(&there, 1);
    let central_pin = support::authority::pin(&there);
    let (by_key, by_authority) = (Site::new("bykey", ""), Site::new("byca", ""));
    let impostor = Site::new("bykey", "");
    let pin = equip(&by_key);
    let peers = format!("[[peer]]\nsite = 'byca'\n[[peer]]\nsite = 'bykey'\npin = '{pin}'\n");
    central(&there, TLS, port, &peers);
    remote(&by_key, port, &format!("'{central_pin}'"));
    let mut sites = Vec::new();
    for (site, serial) in [(&by_authority, 2), (&impostor, 3)] {
        authority.equip(site, serial);
        site.configure(&format!(
            "{TLS}[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\n"
        ));
    }
    let mut centre = there.start();
    sites.push(by_key.start());
    sites.push(by_authority.start());
    check_served(&there, &by_key);
    check_served(&there, &by_authority);
    // The authority vouches for it in vain: the site is known by its key.
    sites.push(impostor.start());
    centre.wait_for_line("is not pinned for site bykey");
    check_served(&there, &by_key);
    for site in sites {
        site.terminate();
    }
    centre.terminate();
}

#[test]
fn whoever_has_the_key_of_one_site_cannot_say_that_he_is_another() {
    let port = free_port();
    let (there, here) = (Site::new("central", ""), Site::new("remote2", ""));
    let (central_pin, pin) = (equip(&there), equip(&here));
    let none = authority::Fingerprint::of(b"another key").pin();
    let peers = format!(
        "[[peer]]\nsite = 'remote1'\npin = '{pin}'\n[[peer]]\nsite = 'remote2'\npin = '{none}'\n"
    );
    central(&there, OWN, port, &peers);
    remote(&here, port, &format!("'{central_pin}'"));
    let (mut centre, site) = (there.start(), here.start());
    // It says in its HELLO that it is remote2.
    centre.wait_for_line("remote2");
    assert!(!says(&centre, "established"), "{:?}", centre.log());
    site.terminate();
    centre.terminate();
}
