//! Lanes that hang, and more than anybody would read.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::field::{Field, Plan};
use crate::problem::{Problem, require};
use crate::submitters::{Manner, ORDINARY, Promises, Submitters};

use super::{sleep, wait};

/// How many are to wait.
const MANY: usize = 5000;

/// One lane hangs and has 5,000 waiting: another one delivers as before.
pub(super) fn hanging() -> Result<String, Problem> {
    let mut field = Field::new(&Plan {
        delivers: true,
        lanes: "places = 4\n[[lane]]\nname = 'hangs'\nscript = '@hang'\ntimeout = '600s'\n",
        ..Plan::default()
    });
    let central = &field.daemons[1].site;
    let (go, hangs) = (central.path("go"), central.path("hangs"));
    let script = format!(
        "#!/bin/sh\n[ -e '{go}' ] && exit\ntouch '{hangs}'\nwhile [ ! -e '{go}' ]; do sleep 0.05; done\n",
        go = go.display(),
        hangs = hangs.display()
    );
    central.write("hang", script);
    central.make_executable("hang");
    // While nothing hangs, both lanes do the same.
    std::fs::write(&go, "")?;
    field.start();
    let delivered = field.delivered.clone().unwrap_or_default();
    let before = probe(&field, &delivered, "before")?;
    std::fs::remove_file(&go)?;
    let burst = Manner {
        threads: 4,
        pause: Duration::ZERO,
        longest: 100,
        ..ORDINARY
    };
    let burst = Submitters::start(&field.entrance(), burst, &mut Dice::new(3));
    wait("5,000 are submitted", 120, || {
        burst.promises.count() >= MANY
    })?;
    let promises = burst.finish();
    wait("the lane hangs", 30, || hangs.exists())?;
    wait("5,000 wait for it", 300, || {
        waiting(&field, "hangs") >= MANY as u64 && waiting(&field, "log") == 0
    })?;
    let after = probe(&field, &delivered, "after")?;
    let queued = waiting(&field, "hangs");
    std::fs::write(&go, "")?;
    promises.join(&before.promises);
    promises.join(&after.promises);
    let longer = after.median.saturating_sub(before.median);
    require(
        longer < Duration::from_secs(1),
        &format!("the other lane is {longer:?} later than before"),
    )?;
    let words = field.finish(&promises)?;
    Ok(format!(
        "with {queued} waiting for the lane that hangs, the other delivers after {:.0} ms (longest {:.0}), before after {:.0} ms (longest {:.0}): {:.0} ms later; {words}",
        milliseconds(after.median),
        milliseconds(after.longest),
        milliseconds(before.median),
        milliseconds(before.longest),
        milliseconds(longer),
    ))
}

/// What some single notifications met.
struct Probe {
    promises: Promises,
    median: Duration,
    longest: Duration,
}

/// Submits one after the other for some seconds, and looks how long after its
/// acceptance each is delivered at the other site.
fn probe(field: &Field, delivered: &Path, hosts: &'static str) -> Result<Probe, Problem> {
    let manner = Manner {
        threads: 1,
        pause: Duration::from_millis(100),
        hosts,
        ..ORDINARY
    };
    let submitters = Submitters::start(&field.entrance(), manner, &mut Dice::new(4));
    let promises = submitters.promises.clone();
    let began = Instant::now();
    // When each was accepted, and how long after that it was seen to be delivered.
    let mut seen: HashMap<String, (Instant, Option<Duration>)> = HashMap::new();
    let mut look = || {
        let now = Instant::now();
        for one in promises.accepted() {
            seen.entry(one.id).or_insert((now, None));
        }
        let text = std::fs::read_to_string(delivered).unwrap_or_default();
        for id in text.lines().filter_map(|line| line.split(' ').next()) {
            if let Some((accepted, delay)) = seen.get_mut(id) {
                delay.get_or_insert(now.saturating_duration_since(*accepted));
            }
        }
        let delays = seen.values().filter_map(|(_, delay)| *delay);
        delays.collect::<Vec<Duration>>()
    };
    while began.elapsed() < Duration::from_secs(5) {
        look();
        sleep(0.005);
    }
    let promises = submitters.finish();
    let mut delays = Vec::new();
    wait("all of a few are delivered", 60, || {
        delays = look();
        delays.len() == promises.count()
    })?;
    delays.sort_unstable();
    require(delays.len() > 5, "hardly anything was submitted")?;
    Ok(Probe {
        promises,
        median: delays[delays.len() / 2],
        longest: delays[delays.len() - 1],
    })
}

fn waiting(field: &Field, lane: &str) -> u64 {
    let state = field.daemons[1].state().unwrap_or_default();
    let lanes = state["lanes"].as_array().into_iter().flatten();
    let own = lanes.filter(|one| one["name"] == lane);
    own.filter_map(|one| one["waiting"].as_u64()).sum()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// All for the same contact, faster than anybody can read: few mails and calls of a
/// script, and each notification is in one of them.
pub(super) fn many_problems() -> Result<String, Problem> {
    let mut field = Field::new(&Plan {
        lanes: "[[lane]]\nname = 'mail'\nmaildir = '@mail'\n\
                [lane.storm]\nat_most = [{count = 5, within = '20s'}]\n\
                [[lane]]\nname = 'page'\nscript = '@page'\n\
                [lane.storm]\nat_most = [{count = 5, within = '20s'}]\n",
        ..Plan::default()
    });
    let central = &field.daemons[1].site;
    let calls = central.path("calls");
    let script = format!(
        "#!/bin/sh\n# Bulk: yes\nif [ \"$1\" = --bulk ]; then ids=$(sed -n 's/^ID=//p'); else ids=$NOTIFY_ID; fi\n\
         echo $ids >>'{}'\n",
        calls.display()
    );
    central.write("page", script);
    central.make_executable("page");
    let mails = central.path("mail/new");
    field.start();
    let began = Instant::now();
    let manner = Manner {
        threads: 4,
        pause: Duration::ZERO,
        longest: 100,
        context: "\"CONTACTNAME\":\"ann\",\"NOTIFICATIONTYPE\":\"PROBLEM\",",
        ..ORDINARY
    };
    let submitters = Submitters::start(&field.entrance(), manner, &mut Dice::new(5));
    wait("5,000 are submitted", 120, || {
        submitters.promises.count() >= MANY
    })?;
    let promises = submitters.finish();
    field
        .wait_until_empty(Duration::from_secs(300))
        .map_err(Problem::Wrong)?;
    let took = began.elapsed();
    let mut ids: Vec<String> = promises.accepted().into_iter().map(|one| one.id).collect();
    ids.sort();
    let calls = std::fs::read_to_string(&calls)?;
    let mut paged: Vec<&str> = calls.split_whitespace().collect();
    paged.sort_unstable();
    require(paged == ids, "the script did not get each id once")?;
    let mut mailed = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&mails)?.flatten() {
        count += 1;
        let mail = std::fs::read_to_string(entry.path())?;
        let text = mail.split("text/html").next().unwrap_or_default();
        let ids = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Id:"));
        mailed.extend(ids.map(|id| id.trim().to_owned()));
    }
    mailed.sort();
    require(mailed == ids, "the mails do not list each id once")?;
    // Five at once, and one in every four seconds.
    let most = 5 + took.as_secs() as usize / 4 + 1;
    let called = calls.lines().count();
    for (count, what) in [(count, "mails"), (called, "calls")] {
        require(
            count <= most,
            &format!("{count} {what} in {} s", took.as_secs()),
        )?;
    }
    let words = field.finish(&promises)?;
    Ok(format!(
        "{} problems in {count} mails and {called} calls, each listed once; {words}",
        ids.len()
    ))
}
