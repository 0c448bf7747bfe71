//! HUP, certificates that are replaced, and what peers are allowed.

mod support;

use rustix::process::Signal;
use support::authority::{Authority, TLS, free_port};
use support::{Site, wait_until};

const CENTRAL: &str = "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n\
                       [[lane]]\nname = 'ops'\nscript = '@plugin'\n";

fn central() -> Site {
    let site = Site::new("central", CENTRAL);
    site.script("plugin", "echo $NOTIFY_ID >>@log");
    site.script("other", "echo $NOTIFY_ID >>@other.log");
    site
}

fn remote(name: &'static str, central: &Site, socket: &str) -> Site {
    let link = central.path(socket);
    let rest = format!(
        "[[peer]]\nsite = 'central'\nsend = true\nconnect = 'unix:{}'\n",
        link.display()
    );
    Site::new(name, &rest)
}

fn link_state(site: &Site) -> String {
    site.state()["peers"][0]["state"].to_string()
}

fn has_warning(site: &Site, part: &str) -> bool {
    site.state()["warnings"].to_string().contains(part)
}

fn count(log: &[String], part: &str) -> usize {
    log.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn what_changes_is_changed_and_the_rest_goes_on() {
    let central = central();
    let (first, second) = (
        remote("remote1", &central, "link"),
        remote("remote2", &central, "link2"),
    );
    let mut there = central.start();
    let (one, two) = (first.start(), second.start());
    first.submit(&[("HOSTNAME", "a")]);
    wait_until("it is delivered", || central.lines("log").len() == 1);

    central.configure(&format!(
        "{CENTRAL}[[listen]]\naddress = 'unix:@link2'\n[[peer]]\nsite = 'remote2'\n\
         [[lane]]\nname = 'second'\nscript = '@other'\n"
    ));
    there.signal(Signal::HUP);
    there.wait_for_line("has been read again");
    second.submit(&[("HOSTNAME", "b")]);
    first.submit(&[("HOSTNAME", "c")]);
    wait_until("all are delivered, by both lanes", || {
        central.lines("log").len() == 3 && central.lines("other.log").len() == 2
    });

    central.configure(CENTRAL);
    there.signal(Signal::HUP);
    wait_until("the second site is told", || {
        second.state()["peers"][0]["state"] != "established"
    });
    wait_until("and not shown any more", || {
        central.state()["peers"]
            .as_array()
            .is_some_and(|peers| peers.len() == 1)
    });
    first.submit(&[("HOSTNAME", "d")]);
    wait_until("it is delivered by the lane that is left", || {
        central.lines("log").len() == 4
    });
    assert_eq!(central.lines("other.log").len(), 2);
    assert_eq!(count(&one.log(), "-> established"), 1, "{:?}", one.log());
    for daemon in [one, two, there] {
        daemon.terminate();
    }
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_is_shown() {
    let central = central();
    let remote = remote("remote1", &central, "link");
    let (mut there, here) = (central.start(), remote.start());
    central.configure(&CENTRAL.replace("script", "skript"));
    there.signal(Signal::HUP);
    there.wait_for_line("nothing was changed");
    wait_until("the state file says so", || {
        has_warning(&central, "did you mean `script`")
    });
    remote.submit(&[("HOSTNAME", "a")]);
    wait_until("it is delivered", || central.lines("log").len() == 1);
    central.configure(CENTRAL);
    there.signal(Signal::HUP);
    wait_until("the warning is gone", || {
        central.state()["warnings"]
            .as_array()
            .is_some_and(Vec::is_empty)
    });
    here.terminate();
    there.terminate();
}

#[test]
fn a_revoked_site_is_cut_off_and_one_with_a_new_certificate_let_in() {
    let authority = Authority::new();
    let port = free_port();
    let central = Site::new(
        "central",
        &format!("{TLS}[[listen]]\naddress = '127.0.0.1:{port}'\n[[peer]]\nsite = 'remote1'\n"),
    );
    let remote = Site::new(
        "remote1",
        &format!("{TLS}[[peer]]\nsite = 'central'\nsend = true\nconnect = '127.0.0.1:{port}'\n"),
    );
    authority.equip(&central, 1);
    authority.equip(&remote, 2);
    let (mut there, mut here) = (central.start(), remote.start());
    wait_until("it is up", || link_state(&central).contains("established"));

    authority.revoke(&central, &[2]);
    there.signal(Signal::HUP);
    there.wait_for_line("evoked");
    wait_until("its link is closed", || {
        link_state(&central).contains("cooldown")
    });
    let id = remote.submit(&[("HOSTNAME", "a")]);
    wait_until("it is refused again", || count(&there.log(), "evoked") > 1);
    assert_eq!(remote.history(id).last().unwrap(), "assigned peer central");

    // Without a signal: the files are looked at from time to time.
    authority.equip(&remote, 3);
    here.wait_for_line("certificates have been read again");
    wait_until("what waited has arrived", || {
        remote
            .history(id)
            .last()
            .is_some_and(|last| last == "ended stored by peer")
    });
    here.terminate();
    there.terminate();
}

#[test]
fn a_certificate_that_expires_soon_is_shown() {
    let authority = Authority::new();
    let site = Site::new("central", TLS);
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let soon = now.checked_add(jiff::Span::new().days(20)).unwrap();
    let soon = (
        i32::from(soon.year()),
        soon.month().unsigned_abs(),
        soon.day().unsigned_abs(),
    );
    authority.equip_until(&site, 1, soon);
    let mut daemon = site.start();
    daemon.wait_for_line("our certificate expires in 19 days");
    wait_until("the state file says so", || {
        has_warning(&site, "expires in 19 days")
    });
    assert!(site.state()["certificate_expires"].is_string());
    let text = std::fs::read_to_string(site.path("notifyd.state")).unwrap();
    assert!(text.contains("Warning:"), "{text}");
    daemon.terminate();
}

#[test]
fn a_peer_speaks_only_for_the_sites_it_may() {
    let central = central();
    let remote = remote("remote1", &central, "link");
    let (there, here) = (central.start(), remote.start());
    let other = support::notification("branch", &[("HOSTNAME", "a")]);
    let monitored = support::notification("remote1", &[("OMD_SITE", "branch")]);
    let own = support::notification("remote1", &[("OMD_SITE", "remote1")]);
    let submit = |notification: &objects::Notification| {
        let body = notification.print().unwrap();
        remote.drop_file(&notification.id.to_string(), body.as_bytes());
    };
    [&other, &monitored, &own].iter().for_each(|n| submit(n));
    let ended = |id, want: &str| {
        wait_until(want, || {
            remote.history(id).last().is_some_and(|last| last == want)
        });
    };
    ended(other.id, "ended refused");
    ended(monitored.id, "ended refused");
    ended(own.id, "ended stored by peer");
    let why = remote.path(&format!("spool/refused/{}.why", other.id));
    let why = std::fs::read_to_string(why).unwrap();
    assert!(why.contains("forbidden_site"), "{why}");
    assert!(
        why.contains("remote1 may not speak for site branch"),
        "{why}"
    );

    central.configure(&CENTRAL.replace("'remote1'\n", "'remote1'\nsites = ['branch']\n"));
    there.signal(Signal::HUP);
    let again = support::notification("branch", &[("HOSTNAME", "b")]);
    wait_until("the configuration is read again", || {
        count(&there.log(), "has been read again") == 1
    });
    submit(&again);
    ended(again.id, "ended stored by peer");
    here.terminate();
    there.terminate();
}
