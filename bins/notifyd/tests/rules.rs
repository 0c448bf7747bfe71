//! What rules decide, and what happens when they change or cannot be followed.

mod support;

use std::fs;

use rustix::process::Signal;
use spool::End;
use spool::record::Event;
use support::{Site, read, wait_until};

const LANES: &str = "[rules]\nfile = 'rules.toml'\n\
    [[lane]]\nname = 'sms'\nscript = '@plugin'\nretry = '50ms'\n\
    [[lane]]\nname = 'mail'\nmaildir = '@mail'\n";

const RULES: &str = r#"
match = "all"
[contacts]
checkmk = "contacts.mk"
[[rule]]
name = "disks"
service = "Disk*"
contacts = ["anna", "joe"]
lanes = "mail"
[[rule]]
name = "page"
service = "Disk*"
contacts = "anna"
lanes = "sms"
parameters = { sender = "mon" }
"#;

const CONTACTS: &str = "contacts.update({'anna': {'alias': 'Anna', 'email': 'anna@example.org', 'pager': '1', '_jabber': 'a@chat'}, \
    'joe': {'email': 'joe@example.org'}})\n";

fn site(rules: &str) -> Site {
    let site = Site::new("central", LANES);
    fs::write(site.path("rules.toml"), rules).unwrap();
    fs::write(site.path("contacts.mk"), CONTACTS).unwrap();
    site.script("plugin", "env | sort >>@env");
    site
}

fn warnings(site: &Site) -> String {
    site.state()["warnings"].to_string()
}

#[test]
fn rules_say_who_is_told_by_which_lane_and_with_which_parameters() {
    let site = site(RULES);
    let daemon = site.start();
    let id = site.submit(&[
        ("HOSTNAME", "db1"),
        ("SERVICEDESC", "Disk /"),
        ("CONTACTNAME", "root"),
        ("CONTACTEMAIL", "root@example.org"),
        ("CONTACT_PHONE", "0"),
        ("PARAMETER_SENDER", "evil"),
        ("PARAMETER_MORE", "evil"),
    ]);
    wait_until("both are told", || site.state()["delivered"] == 2);
    let env = read(&site.path("env"));
    for line in [
        "NOTIFY_CONTACTNAME=anna",
        "NOTIFY_CONTACTALIAS=Anna",
        "NOTIFY_CONTACTEMAIL=anna@example.org",
        "NOTIFY_CONTACTPAGER=1",
        "NOTIFY_CONTACT_JABBER=a@chat",
        "NOTIFY_PARAMETER_SENDER=mon",
    ] {
        assert!(env.lines().any(|found| found == line), "{line}\n{env}");
    }
    assert!(!env.contains("evil") && !env.contains("PHONE"), "{env}");
    let mails = site.files("mail/new");
    assert_eq!(mails.len(), 1, "one mail to both");
    let path = site.path("mail/new").join(&mails[0]);
    let mail = read(&path);
    assert!(
        mail.contains("To: anna@example.org, joe@example.org"),
        "{mail}"
    );
    let contacts = [&b"anna"[..], b"joe"];
    let job = id.job_id_with("mail", &[], contacts.into_iter());
    assert!(mails[0].contains(&job.to_string()), "{mails:?}");
    assert!(
        mail.contains(&format!("Message-ID: <{job}@central>")),
        "{mail}"
    );
    daemon.terminate();
}

#[test]
fn nobody_to_notify_is_an_end_with_its_reason() {
    let site = site(RULES);
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "CPU")]);
    wait_until("it has ended", || {
        site.state()["open"] == 0 && site.state()["accepted"] == 1
    });
    let history = spool::history::of(&site.path("spool"), id).unwrap();
    let end = history.iter().find_map(|(_, event)| match event {
        Event::Ended { end, detail, .. } => Some((*end, detail.to_vec())),
        _ => None,
    });
    assert_eq!(end, Some((End::NobodyToNotify, b"no rule fits".to_vec())));
    daemon.terminate();
}

#[test]
fn broken_rules_leave_the_old_ones_in_force_and_are_shown() {
    let site = site(RULES);
    let daemon = site.start();
    fs::write(site.path("rules.toml"), RULES.replace("\"joe\"", "\"jim\"")).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the mistake is shown", || warnings(&site).contains("jim"));
    site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
    wait_until("the old rules are followed", || {
        site.state()["delivered"] == 2
    });
    // A contact who has just been added, in a file that the rules name.
    let more = CONTACTS.replace(
        "'joe': {'email': 'joe@example.org'}",
        "'jim': {'email': 'jim@example.org'}",
    );
    fs::write(site.path("contacts.mk"), more).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("nothing is wrong any more", || warnings(&site) == "[]");
    site.submit(&[("HOSTNAME", "db2"), ("SERVICEDESC", "Disk /")]);
    wait_until("the new rules are followed", || {
        site.state()["delivered"] == 4
    });
    let mails = site.files("mail/new");
    let to_jim =
        |mail: &&String| read(&site.path("mail/new").join(mail)).contains("jim@example.org");
    assert_eq!(mails.iter().filter(to_jim).count(), 1, "{mails:?}");
    daemon.terminate();
}

#[test]
fn files_of_rules_are_read_when_they_change_if_that_is_wanted() {
    let site = site(RULES);
    site.configure(&LANES.replace("'rules.toml'\n", "'rules.toml'\nlook = '50ms'\n"));
    let daemon = site.start();
    fs::write(site.path("rules.toml"), "broken").unwrap();
    wait_until("the mistake is shown", || {
        warnings(&site).contains("rules.toml")
    });
    fs::write(site.path("rules.toml"), RULES).unwrap();
    wait_until("it is well again", || warnings(&site) == "[]");
    let more = CONTACTS.replace("joe@example.org", "joe@elsewhere.example");
    fs::write(site.path("contacts.mk"), more).unwrap();
    wait_until("joe's new address counts", || {
        site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
        let mails = site.files("mail/new");
        let mut mails = mails
            .iter()
            .map(|mail| read(&site.path("mail/new").join(mail)));
        mails.any(|mail| mail.contains("joe@elsewhere.example"))
    });
    daemon.terminate();
}

#[test]
fn a_lane_that_does_not_exist_is_a_mistake_of_the_configuration() {
    let site = site(&RULES.replace("\"sms\"", "\"pager\""));
    let output = site.command().arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("rules.toml: sends to lane \"pager\", which is no [[lane]]"),
        "{text}"
    );
}

#[test]
fn what_rules_cannot_decide_stays_open_and_is_decided_by_better_ones() {
    // More than the journal takes for one notification.
    let long = "x".repeat(1_100_000);
    let site = site(&RULES.replace("\"mon\"", &format!("\"{long}\"")));
    let daemon = site.start();
    let id = site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
    let is_shown = || {
        let state = site.state();
        state["deferred"]["count"] == 1
            && state["open"] == 1
            && warnings(&site).contains("1 notifications wait for rules that can be followed")
    };
    wait_until("it is deferred", is_shown);
    daemon.terminate();
    let daemon = site.start();
    wait_until("it is still deferred", is_shown);
    assert_eq!(site.history(id), ["accepted"]);
    fs::write(site.path("rules.toml"), RULES).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("it is delivered", || site.state()["delivered"] == 2);
    wait_until("nothing is wrong any more", || {
        warnings(&site) == "[]" && site.state()["deferred"]["count"] == 0
    });
    daemon.terminate();
}

#[test]
fn what_was_decided_is_carried_out_whatever_the_rules_say_by_then() {
    let site = site(RULES);
    site.script("plugin", "env | sort >>@env; [ -e @ok ]");
    let daemon = site.start();
    site.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
    wait_until("an attempt has failed", || {
        site.state()["deferred"]["count"] == 1
    });
    drop(daemon);
    let other = RULES
        .replace("\"mon\"", "\"new\"")
        .replace("contacts = \"anna\"", "contacts = \"joe\"");
    fs::write(site.path("rules.toml"), other).unwrap();
    fs::remove_file(site.path("env")).unwrap();
    fs::write(site.path("ok"), "").unwrap();
    let daemon = site.start();
    wait_until("it is delivered", || site.state()["open"] == 0);
    let env = read(&site.path("env"));
    assert!(env.contains("NOTIFY_PARAMETER_SENDER=mon"), "{env}");
    assert!(env.contains("NOTIFY_CONTACTNAME=anna"), "{env}");
    daemon.terminate();
}

#[test]
fn the_example_of_a_central_site_with_rules_is_a_good_configuration() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/examples");
    let site = Site::new("central", "");
    let text = fs::read_to_string(format!("{examples}/notifyd-rules.toml")).unwrap();
    // Without what is on no machine that tests are run on.
    let tls = text.find("[tls]").unwrap()..text.find("[[listen]]").unwrap();
    let text = text.replace(&text[tls], "");
    let at = |name: &str| site.path(name).display().to_string();
    let text = text
        .replace("0.0.0.0:6555", &format!("unix:{}", at("socket")))
        .replace("/usr/local/lib/sitewire/sms", &at("sms"))
        .replace("/var/spool/sitewire", &at("spool"));
    fs::write(site.path("notifyd.toml"), text).unwrap();
    fs::copy(format!("{examples}/rules.toml"), site.path("rules.toml")).unwrap();
    site.script("sms", "exit 0");
    let output = site.command().arg("--check-config").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
}
