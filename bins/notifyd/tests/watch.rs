//! Sites of which nothing is heard, and canaries: what people are told, how often,
//! and when it is over.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::{Site, wait_for, wait_until};

/// Nothing heard of remote1 for this long is worth a word.
const SILENCE: &str = "[silence]\nafter = '400ms'\n";

fn central(rest: &str) -> Site {
    let site = Site::new(
        "central",
        &format!(
            "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'remote1'\nresults = true\n\
             [[lane]]\nname = 'ops'\nscript = '@plugin'\n{rest}"
        ),
    );
    let plugin = "echo $NOTIFY_NOTIFICATIONTYPE $NOTIFY_HOSTNAME/$NOTIFY_SERVICEDESC \
                  $NOTIFY_SERVICESTATE $NOTIFY_ID >>@log";
    site.script("plugin", plugin);
    site.script("canaries", "echo $NOTIFY_HOSTNAME >>@arrived");
    site
}

fn remote(central: &Site, rest: &str) -> Site {
    let link = central.path("link");
    let site = Site::new(
        "remote1",
        &format!(
            "[[peer]]\nsite = 'central'\nsend = true\nresults = true\nconnect = 'unix:{}'\n{rest}",
            link.display()
        ),
    );
    site.script(
        "plugin",
        "echo $NOTIFY_NOTIFICATIONTYPE $NOTIFY_SERVICEDESC >>@log",
    );
    site
}

fn lines(site: &Site, kind: &str) -> Vec<String> {
    let lines = site.lines("log").into_iter();
    lines.filter(|line| line.starts_with(kind)).collect()
}

fn peer(site: &Site) -> Value {
    site.state()["peers"][0].clone()
}

fn text_state(site: &Site) -> String {
    std::fs::read_to_string(site.path("notifyd.state")).unwrap_or_default()
}

#[test]
fn a_silent_site_is_a_problem_once_and_recovers_when_it_is_back() {
    let central = central(SILENCE);
    let remote = remote(&central, "");
    let (there, here) = (central.start(), remote.start());
    wait_until("the link is up", || {
        peer(&central)["state"] == "established"
    });
    // On a busy machine that took long.
    let count = |kind: &str| lines(&central, kind).len();
    wait_until("nothing is wrong", || count("PROBLEM") == count("RECOVERY"));
    let before = count("PROBLEM");
    here.kill();
    wait_until("it is told", || count("PROBLEM") > before);
    let told = &lines(&central, "PROBLEM")[0];
    assert!(
        told.starts_with("PROBLEM remote1/Site connection CRITICAL "),
        "{told}"
    );
    wait_until("it is seen", || peer(&central)["silent_since"].is_string());
    wait_until("and in the other file", || {
        text_state(&central).contains("Warning:                  site remote1 is silent since")
    });
    // Neither a kill nor a proper end tells it again.
    there.kill();
    let there = central.start();
    wait_until("it is still known", || {
        peer(&central)["silent_since"].is_string()
    });
    there.terminate();
    let there = central.start();
    std::thread::sleep(std::time::Duration::from_millis(900));
    let here = remote.start();
    wait_until("it is over", || count("RECOVERY") > before);
    wait_until("that is seen", || peer(&central)["silent_since"].is_null());
    assert_eq!(count("PROBLEM"), before + 1);
    assert_eq!(count("RECOVERY"), before + 1);
    // The next silence is another one.
    here.kill();
    wait_until("it is told again", || count("PROBLEM") == before + 2);
    there.terminate();
    let there = central.start();
    let here = remote.start();
    wait_until("it is over", || count("RECOVERY") == before + 2);
    here.terminate();
    there.terminate();
}

#[test]
fn time_in_which_nobody_listened_is_nobodys_silence() {
    let central = central("[silence]\nafter = '3s'\n");
    let remote = remote(&central, "");
    let (there, here) = (central.start(), remote.start());
    wait_until("the link is up", || {
        peer(&central)["state"] == "established"
    });
    // The centre hangs while the site goes away and comes back.
    there.signal(Signal::STOP);
    here.kill();
    std::thread::sleep(std::time::Duration::from_millis(3500));
    there.signal(Signal::CONT);
    let here = remote.start();
    wait_until("the link is up again", || {
        remote.state()["peers"][0]["state"] == "established"
    });
    wait_until("and seen", || peer(&central)["state"] == "established");
    assert_eq!(lines(&central, ""), Vec::<String>::new());
    here.terminate();
    there.terminate();
}

#[test]
fn a_peer_may_have_its_own_limit_or_none() {
    let site = Site::new(
        "central",
        "[[listen]]\naddress = 'unix:@link'\n[silence]\nafter = '1h'\n\
         [[peer]]\nsite = 'near'\nsilent_after = '200ms'\n\
         [[peer]]\nsite = 'laptop'\nsilent_after = '0s'\n[[peer]]\nsite = 'far'\n\
         [[lane]]\nname = 'ops'\nscript = '@plugin'\n",
    );
    site.script("plugin", "echo $NOTIFY_HOSTNAME >>@log");
    let daemon = site.start();
    wait_until("one is told of", || !site.lines("log").is_empty());
    assert_eq!(site.lines("log"), ["near"]);
    // No peer any more: nothing is left of it.
    let text = std::fs::read_to_string(site.path("notifyd.toml")).unwrap();
    let text = text.replace("[[peer]]\nsite = 'near'\nsilent_after = '200ms'\n", "");
    std::fs::write(site.path("notifyd.toml"), text).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("it is over", || site.lines("log").len() == 2);
    assert_eq!(site.lines("log"), ["near", "near"]);
    daemon.terminate();
}

#[test]
fn a_canary_comes_back_and_its_absence_is_told_here() {
    let central =
        central("[canary]\nlane = 'canaries'\n[[lane]]\nname = 'canaries'\nscript = '@canaries'\n");
    let remote = remote(
        &central,
        "[canary]\nevery = '200ms'\nwithin = '600ms'\ntell = 'pager'\n\
         [[lane]]\nname = 'pager'\nscript = '@plugin'\n",
    );
    let (there, here) = (central.start(), remote.start());
    let came = |count: u64| remote.state()["canary"]["came_through"].as_u64() >= Some(count);
    wait_until("two have come back", || came(2));
    assert!(
        central
            .lines("arrived")
            .iter()
            .all(|line| line == "remote1")
    );
    let canary = &remote.state()["canary"];
    assert!(canary["round_trip_s"].as_f64().is_some(), "{canary}");
    assert!(canary["last_came_through"].is_string(), "{canary}");
    assert_eq!(
        central.lines("log"),
        Vec::<String>::new(),
        "no lane but its own"
    );
    assert_eq!(remote.lines("log"), Vec::<String>::new());
    there.kill();
    wait_until("it is told", || !remote.lines("log").is_empty());
    wait_until("it is seen", || {
        remote.state()["canary"]["overdue_since"].is_string()
    });
    let warnings = remote.state()["warnings"].to_string();
    assert!(
        warnings.contains("no canary has come through"),
        "{warnings}"
    );
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(remote.lines("log"), ["PROBLEM Notification canary"]);
    assert_eq!(remote.state()["open"], 1, "they do not pile up");
    let there = central.start();
    wait_until("it is over", || remote.lines("log").len() == 2);
    assert_eq!(remote.lines("log")[1], "RECOVERY Notification canary");
    here.terminate();
    there.terminate();
}

#[test]
fn without_a_lane_canaries_are_counted_and_the_last_site_counts() {
    let hub = Site::new(
        "hub",
        "[[listen]]\naddress = 'unix:@link'\n[[peer]]\nsite = 'central'\nresults = true\nsites = ['remote1']\n",
    );
    let central = central(&format!(
        "[[peer]]\nsite = 'hub'\nsend = true\nresults = true\nconnect = 'unix:{}'\n",
        hub.path("link").display()
    ));
    let remote = remote(&central, "[canary]\nevery = '1h'\n");
    let daemons = [hub.start(), central.start(), remote.start()];
    let canary = wait_for("it has come back", || {
        let canary = remote.state()["canary"].clone();
        (canary["came_through"] == 1).then_some(canary)
    });
    assert_eq!(canary["sent"], 1, "{canary}");
    wait_until("it was counted", || hub.state()["canary"]["arrived"] == 1);
    assert_eq!(central.state()["canary"]["arrived"], 0);
    assert_eq!(central.lines("log"), Vec::<String>::new());
    for daemon in daemons {
        daemon.terminate();
    }
}

#[test]
fn a_site_that_delivers_itself_has_canaries_of_its_own() {
    let site = Site::new(
        "alone",
        "[canary]\nevery = '1h'\nlane = 'canaries'\n\
         [[lane]]\nname = 'canaries'\nscript = '@canaries'\n[[lane]]\nname = 'ops'\nscript = '@plugin'\n",
    );
    site.script("plugin", "echo told >>@log");
    site.script("canaries", "echo $NOTIFY_SERVICEDESC >>@arrived");
    let daemon = site.start();
    wait_until("it came through", || {
        site.state()["canary"]["came_through"] == 1
    });
    assert_eq!(site.lines("arrived"), ["Notification canary"]);
    assert_eq!(site.lines("log"), Vec::<String>::new());
    daemon.terminate();
}

/// Idle sites on the link of `central`, which are gone with what comes back.
fn sites(central: &Site, names: Vec<String>) -> tokio::sync::oneshot::Sender<()> {
    let link = format!("unix:{}", central.path("link").display());
    let link: net::Address = link.parse().unwrap();
    let (here, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for name in names {
                let link = link.clone();
                tokio::spawn(async move {
                    let stream = link.connect().await.unwrap();
                    support::peer::answer(stream, &name).await;
                });
            }
            let _ = gone.await;
        });
    });
    here
}

#[test]
fn of_eighty_sites_that_are_silent_at_once_it_is_told_once() {
    let name = |number: usize| format!("remote{number}");
    // Some may be silent for longer: what has happened is the same for them.
    let peers = (0..80).map(|number| {
        let more = if number < 30 {
            ""
        } else {
            "silent_after = '10m'\n"
        };
        format!("[[peer]]\nsite = '{}'\n{more}", name(number))
    });
    let central = Site::new(
        "central",
        &format!(
            "[[listen]]\naddress = 'unix:@link'\n[silence]\nafter = '3s'\n{}\
             [[lane]]\nname = 'ops'\nscript = '@plugin'\n",
            peers.collect::<String>()
        ),
    );
    central.script(
        "plugin",
        "echo \"$NOTIFY_NOTIFICATIONTYPE $NOTIFY_HOSTNAME/$NOTIFY_SERVICEDESC: \
         $NOTIFY_SERVICEOUTPUT\" >>@log",
    );
    let count = |of: &dyn Fn(&Value) -> bool| {
        let state = central.state();
        let peers = state["peers"].as_array().cloned().unwrap_or_default();
        peers.iter().filter(|peer| of(peer)).count()
    };
    let is_up = |peer: &Value| peer["state"] == "established";
    let is_silent = |peer: &Value| peer["silent_since"].is_string();
    let daemon = central.start();
    let all = sites(&central, (0..80).map(name).collect());
    wait_until("all are up", || count(&is_up) == 80);
    // The line of the centre is cut.
    drop(all);
    wait_until("it is told", || !central.lines("log").is_empty());
    let told = "PROBLEM central/Site connections: nothing heard of 80 of 80 sites for 3 s: perhaps \
                it is central that cannot be reached (remote0, ";
    let log = central.lines("log");
    assert!(log[0].starts_with(told), "{log:?}");
    assert!(log[0].ends_with(" and 70 more)"), "{log:?}");
    wait_until("each looks silent", || count(&is_silent) == 80);
    let warnings = central.state()["warnings"].to_string();
    assert!(
        warnings.contains("most sites are silent since"),
        "{warnings}"
    );
    assert!(!warnings.contains("remote"), "{warnings}");
    // A restart tells it neither again nor of each.
    daemon.kill();
    let daemon = central.start();
    wait_until("it is still known", || count(&is_silent) == 80);
    // Most come back, and each of the others has its time again.
    let most = sites(&central, (5..80).map(name).collect());
    wait_until("it is over", || central.lines("log").len() > 1);
    let log = central.lines("log");
    assert_eq!(
        log[1], "RECOVERY central/Site connections: 40 of 80 sites are heard again",
        "{log:?}"
    );
    wait_until("the others are told of", || central.lines("log").len() >= 7);
    let mut log = central.lines("log").split_off(2);
    log.sort();
    let want: Vec<String> = (0..5)
        .map(|number| {
            format!(
                "PROBLEM {}/Site connection: nothing heard of site ",
                name(number)
            )
        })
        .collect();
    assert_eq!(log.len(), want.len(), "{log:?}");
    for (line, want) in log.iter().zip(&want) {
        assert!(line.starts_with(want), "{line}");
    }
    wait_until("they look silent", || count(&is_silent) == 5);
    drop(most);
    daemon.terminate();
}
