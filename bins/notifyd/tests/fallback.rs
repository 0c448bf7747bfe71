//! Forward, and deliver here if nobody acknowledges: two sites, one of them away.

mod support;

use objects::NotificationId;
use support::{Daemon, Site, wait_until};

fn central() -> Site {
    let site = Site::new(
        "central",
        "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n\
         [[lane]]\nname = 'ops'\nscript = '@plugin'\n",
    );
    site.script("plugin", "echo $NOTIFY_ID >>@log");
    site
}

fn remote(central: &Site, after: &str) -> Site {
    let link = central.path("link");
    let rest = format!(
        "[[peer]]\nsite = 'central'\nconnect = 'unix:{}'\n\
         [forward]\nto = ['central']\nfallback_after = '{after}'\n\
         [[lane]]\nname = 'sms'\nscript = '@plugin'\nretry = '50ms'\n",
        link.display()
    );
    let site = Site::new("remote1", &rest);
    site.script("plugin", "echo $NOTIFY_ID $NOTIFY_ATTEMPT >>@log");
    site
}

fn submit(site: &Site) -> NotificationId {
    site.submit(&[("HOSTNAME", "db1"), ("HOSTSTATE", "DOWN")])
}

fn ended(site: &Site, accepted: u64) -> bool {
    let state = site.state();
    state["totals"]["submitted"].as_u64().unwrap_or(0)
        + state["totals"]["received"].as_u64().unwrap_or(0)
        == accepted
        && state["open"] == 0
}

fn end_of(site: &Site, id: NotificationId) -> String {
    site.history(id).last().cloned().unwrap_or_default()
}

#[test]
fn what_is_not_acknowledged_is_delivered_here_and_the_late_copy_is_not_delivered_again() {
    let central = central();
    let remote = remote(&central, "300ms");
    let here = remote.start();
    let id = submit(&remote);
    wait_until("it is delivered here", || remote.lines("log").len() == 1);
    let history = remote.history(id);
    assert_eq!(history[..2], ["accepted", "assigned peer central"]);
    assert!(history[2].starts_with("assigned lane sms"), "{history:?}");
    wait_until("it waits for its peer only", || {
        remote.state()["open"] == 1 && remote.state()["delivered"] == 1
    });
    let there: Daemon = central.start();
    wait_until("the late copy has come", || {
        ended(&central, 1) && ended(&remote, 1)
    });
    assert_eq!(end_of(&central, id), "ended superseded");
    let events = spool::history::of(&central.path("spool"), id).unwrap();
    let events = format!("{events:?}");
    let why = b"remote1 has delivered it already";
    assert!(events.contains(&format!("{why:?}")), "{events}");
    assert_eq!(end_of(&remote, id), "ended delivered");
    assert!(!central.path("log").exists(), "nobody is told twice");
    here.terminate();
    there.terminate();
}

#[test]
fn a_site_delivers_forwards_or_does_both_as_its_configuration_says() {
    let lane = "[[lane]]\nname = 'sms'\nscript = '@plugin'\n";
    for (mode, forwards, lanes, here, there) in [
        ("local delivery", false, lane, 1, 0),
        ("forward", true, "", 0, 1),
        ("both", true, lane, 1, 1),
    ] {
        let central = central();
        let link = central.path("link");
        let rest = format!(
            "[[peer]]\nsite = 'central'\nconnect = 'unix:{}'\nsend = {forwards}\n{lanes}",
            link.display()
        );
        let remote = Site::new("remote1", &rest);
        remote.script("plugin", "echo $NOTIFY_ID >>@log");
        let (hub, daemon) = (central.start(), remote.start());
        let id = submit(&remote);
        wait_until("it has ended everywhere", || {
            ended(&remote, 1) && ended(&central, there)
        });
        assert_eq!(remote.lines("log").len(), here, "{mode}");
        assert_eq!(central.lines("log").len() as u64, there, "{mode}");
        let known = remote.lines("log").into_iter().chain(central.lines("log"));
        assert!(
            known.into_iter().all(|line| line == id.to_string()),
            "{mode}"
        );
        daemon.terminate();
        hub.terminate();
    }
}

#[test]
fn what_is_acknowledged_in_time_is_delivered_there_only() {
    let central = central();
    let remote = remote(&central, "1s");
    let (there, here) = (central.start(), remote.start());
    let first = submit(&remote);
    wait_until("it is delivered there", || central.lines("log").len() == 1);
    there.terminate();
    // When this one's time is over, that of the first is, too.
    let second = submit(&remote);
    wait_until("the second is delivered here", || {
        remote.lines("log").len() == 1
    });
    assert_eq!(remote.lines("log"), [format!("{second} 1")]);
    assert_eq!(end_of(&remote, first), "ended stored by peer");
    here.terminate();
}

#[test]
fn the_moment_counts_from_acceptance_across_restarts_and_comes_once() {
    let central = central();
    let remote = remote(&central, "1s");
    let here = remote.start();
    let id = submit(&remote);
    wait_until("it is accepted", || remote.state()["open"] == 1);
    here.kill();
    // Again and again before and after the moment.
    for _ in 0..6 {
        let here = remote.start();
        std::thread::sleep(std::time::Duration::from_millis(150));
        here.kill();
    }
    let here = remote.start();
    wait_until("it is delivered here", || !remote.lines("log").is_empty());
    wait_until("it waits for its peer only", || {
        let history = remote.history(id);
        history.iter().any(|event| event.ends_with("delivered"))
    });
    let assigned = remote.history(id);
    let assigned = assigned.iter().filter(|e| e.starts_with("assigned lane"));
    assert_eq!(assigned.count(), 1);
    let attempts = remote.lines("log");
    let first = attempts.iter().filter(|line| line.ends_with(" 1"));
    assert!(first.count() <= 1, "{attempts:?}");
    let there = central.start();
    wait_until("the late copy has come", || {
        ended(&central, 1) && ended(&remote, 1)
    });
    assert!(!central.path("log").exists(), "nobody is told twice");
    here.terminate();
    there.terminate();
}

#[test]
fn what_nobody_has_begun_to_deliver_is_left_to_the_peer_that_is_back() {
    let central = central();
    let remote = remote(&central, "200ms");
    // A lane that is not free: the first one is being delivered.
    remote.script(
        "plugin",
        "echo $NOTIFY_ID >>@log; while [ -e $0 ] && [ ! -e @go ]; do sleep 0.05; done",
    );
    let here = remote.start();
    let first = submit(&remote);
    wait_until("the lane is busy", || remote.lines("log").len() == 1);
    let second = submit(&remote);
    wait_until("the second is for the lane, too", || {
        remote.history(second).len() == 3
    });
    let there = central.start();
    wait_until("the second is delivered there", || {
        central.lines("log").contains(&second.to_string())
    });
    std::fs::write(remote.path("go"), "").unwrap();
    wait_until("all has ended", || ended(&remote, 2));
    assert_eq!(remote.lines("log"), [first.to_string()]);
    assert_eq!(end_of(&remote, second), "ended superseded");
    here.terminate();
    there.terminate();
}
