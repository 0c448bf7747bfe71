//! Kill either notifyd again and again while notifications are submitted: every
//! id that `notify` accepted is stored once at the central site and delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Running, journal, wait_until};

use crate::notify_sites::Sites;

const NOTIFICATIONS: usize = 500;
const SUBMITTERS: usize = 4;
const KILLS: usize = 25;

#[test]
fn every_accepted_notification_is_stored_once_and_delivered_whatever_is_killed() {
    let sites = Sites::new();
    let accepted = Mutex::new(Vec::new());
    let begun = AtomicUsize::new(0);
    let mut central = Some(sites.start_central());
    let mut remote = Some(sites.start_remote());
    // Submitters run ahead of the killer by a few, never by many.
    let allowed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SUBMITTERS {
            scope.spawn(|| submit(&sites, &begun, &allowed, &accepted));
        }
        // The seed moves the kill to another moment after each start.
        let mut seed = 7_usize;
        for kill in 1..=KILLS {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % (1 << 32);
            let upto = kill * NOTIFICATIONS / KILLS;
            allowed.store(upto, Ordering::SeqCst);
            let moment = upto - (seed >> 16) % (NOTIFICATIONS / KILLS);
            wait_until("some more are submitted", || {
                begun.load(Ordering::SeqCst) >= moment
            });
            if seed >> 31 == 0 {
                replace(&mut central, || sites.start_central());
                // It would make longer and longer pauses before it connects again, and
                // the next kills would fall into those.
                if let Some(remote) = &remote {
                    remote.hang_up();
                }
            } else {
                replace(&mut remote, || sites.start_remote());
            }
        }
    });
    assert!(
        sites.mails() > 0,
        "no kill fell into the middle of the work"
    );
    // The last kills: the pauses of the remote site's attempts begin anew.
    replace(&mut central, || sites.start_central());
    replace(&mut remote, || sites.start_remote());
    let accepted = accepted.into_inner().expect("no submitter panicked");
    assert_eq!(accepted.len(), NOTIFICATIONS);
    sites.wait_until_empty(&sites.remote);
    sites.wait_until_empty(&sites.central);
    check(&sites, &accepted);
}

fn replace(daemon: &mut Option<Running>, start: impl FnOnce() -> Running) {
    if let Some(running) = daemon.take() {
        running.kill();
    }
    *daemon = Some(start());
}

fn submit(
    sites: &Sites,
    begun: &AtomicUsize,
    allowed: &AtomicUsize,
    accepted: &Mutex<Vec<String>>,
) {
    loop {
        let n = begun.fetch_add(1, Ordering::SeqCst);
        if n >= NOTIFICATIONS {
            return;
        }
        wait_until("the next may be submitted", || {
            n < allowed.load(Ordering::SeqCst)
        });
        let entries = [
            format!("HOSTNAME=host{}", n % 7),
            format!("SERVICEDESC=service {}", n % 11),
            format!("SERVICEOUTPUT=number {n}"),
            "NOTIFICATIONTYPE=PROBLEM".to_owned(),
        ];
        if let Some(id) = sites.notify(&entries) {
            accepted.lock().expect("nobody panics with it").push(id);
        }
    }
}

fn check(sites: &Sites, accepted: &[String]) {
    let ids: BTreeSet<&String> = accepted.iter().collect();
    assert_eq!(ids.len(), accepted.len(), "every id is another");
    assert_eq!(sites.mails(), accepted.len(), "one mail for each");
    let mut attempts = BTreeMap::<String, Vec<u32>>::new();
    for (id, attempt) in sites.delivered() {
        attempts.entry(id).or_default().push(attempt);
    }
    let journal = journal::read(&sites.central.path("spool"));
    for id in accepted {
        let attempts = attempts.get(id).unwrap_or_else(|| panic!("{id} was lost"));
        // Only a kill between the script and the record of it repeats, and says so.
        assert!(attempts.is_sorted_by(|a, b| a < b), "{id}: {attempts:?}");
        let told = journal.get(&id.replace('-', "")).expect("it is stored");
        assert_eq!(told.accepted.len(), 1, "{id}");
        assert_eq!(told.ends, [journal::DELIVERED], "{id}");
    }
    // What people are told is the same.
    for id in accepted.iter().step_by(accepted.len() / 10) {
        let trace = sites.trace(&sites.central, id);
        let count = |what: &str| trace.iter().filter(|line| line.starts_with(what)).count();
        assert_eq!(count("accepted from remote1"), 1, "{id}: {trace:#?}");
        assert_eq!(count("lane log: delivered"), 1, "{id}: {trace:#?}");
        assert_eq!(count("lane mail: delivered"), 1, "{id}: {trace:#?}");
        assert_eq!(count("ended: delivered"), 1, "{id}: {trace:#?}");
    }
    assert_eq!(
        attempts.len(),
        accepted.len(),
        "nothing that nobody submitted"
    );
    for id in accepted.iter().take(10) {
        let trace = sites.trace(&sites.remote, id);
        assert_eq!(
            trace
                .iter()
                .filter(|line| *line == "stored by central")
                .count(),
            1,
            "{id}: {trace:#?}"
        );
    }
}
