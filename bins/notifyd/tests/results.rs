//! Results travel back: the site that a notification came from learns what became
//! of it, once, whatever breaks on the way.

mod support;

use std::collections::BTreeMap;

use objects::notification::{Context, Kind};
use objects::{Envelope, NotificationId};
use spool::record::{Event, Record};
use support::{Site, wait_until};

fn central(results: bool) -> Site {
    let site = Site::new(
        "central",
        &format!(
            "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\nresults = {results}\n\
             [[lane]]\nname = 'ops'\nscript = '@plugin'\nretry = '50ms'\n"
        ),
    );
    site.script("plugin", "echo $NOTIFY_ID >>@log; echo sent to modem 3");
    site
}

fn remote(central: &Site, results: bool) -> Site {
    let link = central.path("link");
    Site::new(
        "remote1",
        &format!(
            "[[peer]]\nsite = 'central'\nsend = true\nresults = {results}\nconnect = 'unix:{}'\n",
            link.display()
        ),
    )
}

/// The results that are in a site's journal, by their own ids, and how often each
/// was accepted.
fn results(site: &Site) -> Vec<(NotificationId, Context)> {
    let found = spool::history::fold(&site.path("spool"), Vec::new, |found, record| {
        if let Record::Message {
            id,
            event: Event::Accepted { body, .. },
            ..
        } = record
        {
            let text = std::str::from_utf8(body).unwrap();
            let envelope = Envelope::parse(text).unwrap();
            if envelope.kind == Kind::Result {
                found.push((*id, envelope.context().unwrap()));
            }
        }
    });
    found.unwrap()
}

fn get(context: &Context, name: &str) -> String {
    context[name].to_string()
}

fn is_quiet(site: &Site) -> bool {
    site.state()["open"] == 0
}

#[test]
fn the_origin_learns_lane_attempt_and_answer() {
    let central = central(true);
    let remote = remote(&central, true);
    let (there, here) = (central.start(), remote.start());
    let id = remote.submit(&[("HOSTNAME", "db1"), ("SERVICEDESC", "Disk /")]);
    wait_until("the result is here", || results(&remote).len() == 1);
    let (_, result) = &results(&remote)[0];
    for (name, want) in [
        ("RESULT_OF", id.to_string().as_str()),
        ("RESULT_WAY", "remote1,central"),
        ("RESULT_LANE", "ops"),
        ("RESULT_ATTEMPT", "1"),
        ("RESULT_END", "delivered"),
        ("RESULT_ANSWER", "exit code 0: sent to modem 3"),
        ("HOSTNAME", "db1"),
    ] {
        assert_eq!(get(result, name), want, "{name}");
    }
    wait_until("all has ended", || is_quiet(&central) && is_quiet(&remote));
    let (result, _) = results(&central)[0];
    assert_eq!(
        central.history(result).last().unwrap(),
        "ended stored by peer"
    );
    assert_eq!(remote.history(result).last().unwrap(), "ended delivered");
    there.terminate();
    here.terminate();
}

#[test]
fn what_was_refused_comes_back_too_and_through_every_site_on_the_way() {
    let hub = Site::new(
        "hub",
        "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'central'\nresults = true\nsites = ['remote1']\n\
         [[lane]]\nname = 'ops'\nscript = '@plugin'\n",
    );
    hub.script("plugin", "echo no such number; exit 2");
    let central = Site::new(
        "central",
        &format!(
            "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\nresults = true\n\
             [[peer]]\nsite = 'hub'\nsend = true\nresults = true\nconnect = 'unix:{}'\n",
            hub.path("link").display()
        ),
    );
    let remote = remote(&central, true);
    let daemons = [hub.start(), central.start(), remote.start()];
    remote.submit(&[("HOSTNAME", "db1")]);
    wait_until("the result is here", || results(&remote).len() == 1);
    let (id, result) = &results(&remote)[0];
    assert_eq!(get(result, "RESULT_END"), "refused");
    assert_eq!(get(result, "RESULT_WAY"), "remote1,central,hub");
    assert!(get(result, "RESULT_ANSWER").contains("no such number"));
    wait_until("it is passed on", || is_quiet(&central) && is_quiet(&hub));
    assert_eq!(central.history(*id).last().unwrap(), "ended stored by peer");
    for daemon in daemons {
        daemon.terminate();
    }
}

#[test]
fn a_peer_that_does_not_know_results_never_sees_one() {
    let central = central(true);
    let remote = remote(&central, false);
    let (there, here) = (central.start(), remote.start());
    remote.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is delivered", || central.state()["delivered"] == 1);
    wait_until("all has ended", || is_quiet(&central) && is_quiet(&remote));
    assert_eq!(results(&central).len(), 0, "none is made");
    here.terminate();
    // One that was made while it was away, and nobody knew.
    central.script(
        "plugin",
        "while [ -e $0 ] && [ ! -e @go ]; do sleep 0.05; done",
    );
    let here = remote.start();
    remote.submit(&[("HOSTNAME", "db1")]);
    wait_until("it is under way", || {
        central.state()["lanes"][0]["processing"] == 1
    });
    here.terminate();
    there.kill();
    std::fs::write(central.path("go"), "").unwrap();
    let there = central.start();
    wait_until("a result waits", || results(&central).len() == 1);
    let here = remote.start();
    wait_until("it is dropped", || is_quiet(&central));
    let (result, _) = results(&central)[0];
    assert_eq!(central.history(result).last().unwrap(), "ended dropped");
    assert_eq!(results(&remote).len(), 0);
    here.terminate();
    there.terminate();
}

#[test]
fn kills_on_both_sides_lose_no_result_and_double_none() {
    let central = central(true);
    let remote = remote(&central, true);
    let mut ids = Vec::new();
    for round in 0..6_u64 {
        let (there, here) = (central.start(), remote.start());
        for number in 0..5 {
            let host = format!("h{number}");
            ids.push(remote.submit(&[("HOSTNAME", host.as_str())]));
        }
        let delivered = central.lines("log").len();
        wait_until("something is delivered", || {
            central.lines("log").len() > delivered
        });
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        match round % 2 {
            0 => (there.kill(), here.kill()),
            _ => (here.kill(), there.kill()),
        };
    }
    let (there, here) = (central.start(), remote.start());
    let told = || {
        let mut told = BTreeMap::<String, usize>::new();
        for (_, result) in results(&remote) {
            *told.entry(get(&result, "RESULT_OF")).or_default() += 1;
        }
        told
    };
    wait_until("every result is here", || told().len() == ids.len());
    wait_until("all has ended", || is_quiet(&central) && is_quiet(&remote));
    let told = told();
    for id in &ids {
        assert_eq!(told[&id.to_string()], 1, "{id}");
    }
    there.terminate();
    here.terminate();
}
