//! Two spoolers and the link between them, over a Unix socket.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use support::{Site, wait_until};

const CENTRAL: &str = "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\n\
                       [[lane]]\nname = 'ops'\nscript = '@plugin'\n";
const PLUGIN: &str = "echo $NOTIFY_ID $NOTIFY_PATH >>@log";

fn central() -> Site {
    let site = Site::new("central", CENTRAL);
    site.script("plugin", PLUGIN);
    site
}

fn remote(name: &'static str, central: &Site) -> Site {
    let link = central.path("link");
    let rest = format!(
        "[[peer]]\nsite = 'central'\nsend = true\nconnect = 'unix:{}'\n",
        link.display()
    );
    Site::new(name, &rest)
}

fn established(site: &Site) -> bool {
    site.state()["peers"][0]["state"] == "established"
}

#[test]
fn a_notification_goes_to_the_central_site_and_is_delivered_there() {
    let central = central();
    let remote = remote("remote1", &central);
    let (there, here) = (central.start(), remote.start());
    let id = remote.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is delivered", || central.lines("log").len() == 1);
    assert_eq!(central.lines("log"), [format!("{id} remote1,central")]);
    wait_until("the remote site knows", || {
        remote.history(id)
            == [
                "accepted",
                "assigned peer central",
                "peer central stored by peer",
                "ended stored by peer",
            ]
    });
    wait_until("central has recorded it", || {
        central.history(id)
            == [
                "accepted from remote1",
                "assigned lane ops",
                "attempt 1",
                "result 1 success",
                "lane ops delivered",
                "ended delivered",
            ]
    });
    wait_until("both sides count", || {
        remote.state()["peers"][0]["sent"] == 1 && central.state()["peers"][0]["received"] == 1
    });
    here.terminate();
    there.terminate();
}

#[test]
fn what_was_submitted_while_the_link_is_down_goes_when_it_is_up() {
    let central = central();
    let remote = remote("remote1", &central);
    let here = remote.start();
    let ids: Vec<_> = (0..20)
        .map(|_| remote.submit(&[("HOSTNAME", "db1")]))
        .collect();
    wait_until("they are in the journal", || {
        remote.state()["accepted"] == 20
    });
    let there = central.start();
    wait_until("all are delivered", || central.lines("log").len() == 20);
    let want: Vec<String> = ids
        .iter()
        .map(|id| format!("{id} remote1,central"))
        .collect();
    assert_eq!(central.lines("log"), want, "in order");
    here.terminate();
    there.terminate();
}

#[test]
fn a_receiver_that_is_killed_gets_everything_once() {
    let central = central();
    let remote = remote("remote1", &central);
    let here = remote.start();
    let mut there = central.start();
    for _ in 0..5 {
        for n in 0..40 {
            remote.submit(&[("HOSTNAME", &format!("h{n}"))]);
        }
        wait_until("some have arrived", || !central.lines("log").is_empty());
        there.kill();
        there = central.start();
    }
    wait_until("nothing waits any more", || {
        remote.state()["forwards"][0]["waiting"] == 0
            && remote.state()["forwards"][0]["processing"] == 0
            && remote.state()["accepted"] == 200
    });
    wait_until("all are delivered", || {
        let mut delivered = central.lines("log");
        delivered.sort();
        delivered.dedup();
        delivered.len() == 200
    });
    // A repeated delivery can only come from an attempt that a kill cut off.
    assert!(central.lines("log").len() <= 200 + 5);
    here.terminate();
    there.terminate();
}

#[test]
fn a_site_that_is_no_peer_is_refused_and_named() {
    let central = central();
    let stranger = remote("stranger", &central);
    let mut there = central.start();
    let here = stranger.start();
    let id = stranger.submit(&[("HOSTNAME", "db1")]);
    let line = there.wait_for_line("not a configured peer");
    assert!(line.contains("stranger"), "{line}");
    assert_eq!(central.lines("log"), [""; 0]);
    wait_until("it stays where it is", || {
        let history = stranger.history(id);
        history
            .last()
            .is_some_and(|last| last == "assigned peer central")
    });
    wait_until("the stranger is told", || {
        let message = stranger.state()["peers"][0]["message"].to_string();
        message.contains("stranger is not a configured peer")
    });
    here.terminate();
    there.terminate();
}

#[test]
fn garbage_is_closed_and_named_and_the_next_one_is_served() {
    let central = central();
    let remote = remote("remote1", &central);
    let mut there = central.start();
    there.wait_for_line("listening on unix:");
    let mut client = UnixStream::connect(central.path("link")).unwrap();
    client.write_all(b"GET /\x00\xff HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Whatever it answers, it closes.
    let _ = client.read_to_end(&mut answer);
    let line = there.wait_for_line("GET /");
    assert!(line.contains("\\x00\\xff"), "{line}");
    let here = remote.start();
    wait_until("a peer is served", || established(&central));
    assert!(established(&central));
    here.terminate();
    there.terminate();
}

#[test]
fn two_sites_that_connect_to_each_other_keep_one_link() {
    let a = Site::new("a", "");
    let b = Site::new("b", "");
    for (site, other) in [(&a, &b), (&b, &a)] {
        site.configure(&format!(
            "[[listen]]\naddress = 'unix:@link'\n\
             [[peer]]\nsite = '{}'\nsend = true\nconnect = 'unix:{}'\n",
            other.name,
            other.path("link").display()
        ));
    }
    let (first, second) = (a.start(), b.start());
    for _ in 0..5 {
        for site in [&a, &b] {
            let id = site.submit(&[("HOSTNAME", "x")]);
            wait_until("it is stored by the other one", || {
                let history = site.history(id);
                history
                    .last()
                    .is_some_and(|last| last == "ended stored by peer")
            });
        }
        wait_until("both are up", || established(&a) && established(&b));
    }
    first.terminate();
    second.terminate();
}

#[test]
fn a_loop_is_refused_and_ends() {
    // a and b send each other everything; each has it once.
    let a = Site::new(
        "a",
        "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'b'\nsend = true\n",
    );
    let rest = format!(
        "[[peer]]\nsite = 'a'\nsend = true\nconnect = 'unix:{}'\n",
        a.path("link").display()
    );
    let b = Site::new("b", &rest);
    let (first, second) = (a.start(), b.start());
    let id = a.submit(&[("HOSTNAME", "x")]);
    let back = b.submit(&[("HOSTNAME", "x")]);
    for (site, id, want) in [
        (&a, id, "ended stored by peer"),
        (&b, back, "ended stored by peer"),
        (&b, id, "ended nobody to notify"),
        (&a, back, "ended nobody to notify"),
    ] {
        wait_until(want, || {
            site.history(id).last().is_some_and(|last| last == want)
        });
    }
    first.terminate();
    second.terminate();
}
