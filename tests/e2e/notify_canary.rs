//! A canary by hand and by configuration, there and back over TLS, and what every
//! way of asking says of it and of a site that is away.

use harness::{Outcome, Program, Site, wait_until};

use crate::notify_sites::Sites;

fn ctl(site: &Site, args: &[&str]) -> Outcome {
    Program::new("notifyctl")
        .arg("-c")
        .arg(site.path("etc/notifyd.toml"))
        .args(args)
        .run()
}

/// Waits until what notifyctl prints has `part` in it.
#[track_caller]
fn wait_for_text(site: &Site, args: &[&str], part: &str) {
    wait_until(&format!("{args:?} says {part:?}"), || {
        ctl(site, args).text().contains(part)
    });
}

#[test]
fn a_canary_proves_that_the_way_is_open_and_that_it_is_not() {
    let sites = Sites::new();
    let (remote, central) = (&sites.remote, &sites.central);
    let text = sites.site_text("remote1", remote);
    let link = format!(
        "[[peer]]\nsite = 'central'\nconnect = '127.0.0.1:{}'\nsend = true\nresults = true\n",
        sites.port
    );
    let canary = "[canary]\nevery = '1s'\nwithin = '5s'\n";
    remote.write("etc/notifyd.toml", format!("{text}{link}{canary}"));
    let text = std::fs::read_to_string(central.path("etc/notifyd.toml")).expect("was written");
    let text = text.replace(
        "site = 'remote1'\n",
        "site = 'remote1'\nresults = true\nsilent_after = '1s'\n",
    );
    central.write("etc/notifyd.toml", text);
    let there = sites.start_central();
    let here = sites.start_remote();

    let told = ctl(remote, &["test", "--canary", "--wait", "30s"]).success();
    let told = told.text();
    let last = told.lines().last();
    assert_eq!(last, Some("at central: delivered: a canary: counted"));
    wait_for_text(remote, &["status"], "canary: the last came through ");
    let check = ["status", "--nagios", "-C", "canary=1h"];
    wait_for_text(remote, &check, "s;;3600;0 canary=");
    assert!(sites.delivered().is_empty(), "nobody is told");

    drop(there);
    let told = ctl(remote, &["test", "--canary", "--wait", "1s"]).expect(1);
    let why = "the canary has not come back after 1 s";
    assert!(told.errors().contains(why), "{}", told.errors());
    wait_for_text(remote, &["status"], "OVERDUE for ");
    let why = "NOTIFYD CRITICAL - no canary has come through for ";
    wait_for_text(remote, &["status", "--nagios"], why);
    let there = sites.start_central();
    wait_until("the way is open again", || {
        !ctl(remote, &["status"]).text().contains("OVERDUE")
    });
    drop(here);
    wait_for_text(central, &["status"], "; SILENT for ");
    wait_until("it is told", || !sites.delivered().is_empty());
    drop(there);
}
