//! A site at work: results come and go at a real Icinga 2, people acknowledge
//! and plan, and after every dump a real Nagios shows the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::livestatus::rows;
use harness::nagios::{Block, Name};
use harness::{Icinga2, Nagios, Program, wait, wait_until};
use serde_json::Value;

use crate::livedump_nagios::{assert_same, livedump, source_states};

const HOSTS: &[&str] = &["web", "db-1", "Küche 2"];
const SERVICES: &[&str] = &[
    "Disk /",
    "Umlaute äöüß",
    "C:\\ drive",
    "Load",
    "Blanks  kept",
    "#hash {}",
];
/// Attempts until a problem is hard, at the source and so at the centre.
const ATTEMPTS: u32 = 3;
const ROUNDS: usize = 7;
/// How many results the rounds must have carried that differ from the ones
/// before.
const CHANGES: usize = 60;

/// What a check says, as a command hands it in.
const SAYS: &[&str] = &[
    "DISK - free space: / 9 GiB|/=40%;80;90;0;100 'in odes'=3",
    "Kühlraum 9 °C; Öffnung zu; \"alles\" 'gut'",
    "C:\\Users\\temp\\",
    "left\\|right | t=1s",
    "first\\nsecond line\\nC:\\\\|a=1",
    "$USER1$ 100% } define host {",
    "fine|'D:\\'=1 E:\\",
    "\\",
    "semi;colon;s|x=1;2;3;;",
    "",
];

fn objects() -> String {
    let mut text = String::new();
    for host in HOSTS {
        text.push_str(&format!(
            "object Host \"{host}\" {{ import \"quiet\", max_check_attempts = {ATTEMPTS} }}\n"
        ));
    }
    for service in SERVICES {
        let service = service.replace('\\', "\\\\");
        text.push_str(&format!(
            "apply Service \"{service}\" {{ import \"quiet\", max_check_attempts = {ATTEMPTS}\n\
             assign where true }}\n"
        ));
    }
    text
}

/// The site and the centre, and the way between them.
struct Sites {
    icinga: Icinga2,
    nagios: Nagios,
    /// When the rounds of results began.
    begun: u64,
}

impl Sites {
    fn start() -> Option<Self> {
        let icinga = Icinga2::start("remote1", &objects(), &[])?;
        let mut nagios = Nagios::new("central")?;
        nagios.add_to_main("passive_host_checks_are_soft=1\n");
        let flags = ["-C", "-T", "--no-groups", "--no-contacts"];
        nagios.configure("remote1.cfg", livedump(&icinga, &flags));
        nagios.run();
        let begun = now() - 1000;
        Some(Self {
            icinga,
            nagios,
            begun,
        })
    }

    /// A result for every object, and for some of them the same as before.
    /// Returns how many are another state or text than the last one.
    fn report(&self, round: usize) -> usize {
        let time = self.begun + 20 * round as u64;
        let mut commands = Vec::new();
        let mut changes = 0;
        for (place, host) in HOSTS.iter().enumerate() {
            let state = |round| usize::from(place == 1 && (round / 2) % 2 == 1);
            commands.push(format!(
                "PROCESS_HOST_CHECK_RESULT;{host};{};{}",
                state(round),
                SAYS[(round + place) % SAYS.len()]
            ));
            for (number, service) in SERVICES.iter().enumerate() {
                let at = place * SERVICES.len() + number;
                let (code, says) = said(at, round);
                let is_news = round == 0 || said(at, round - 1) != (code, says);
                changes += usize::from(is_news);
                commands.push(format!(
                    "PROCESS_SERVICE_CHECK_RESULT;{host};{service};{code};{says}"
                ));
            }
        }
        self.icinga.command_at(time, commands);
        let of_round = format!("Filter: last_check = {time}");
        self.icinga
            .wait_for_rows("hosts", &[&of_round], HOSTS.len());
        let count = HOSTS.len() * SERVICES.len();
        self.icinga.wait_for_rows("services", &[&of_round], count);
        changes
    }

    /// Carries a dump over through the core's spool.
    #[track_caller]
    fn carry(&self) {
        self.carry_through("spool", &self.nagios.spool());
    }

    #[track_caller]
    fn carry_through(&self, backend: &str, target: &Path) {
        let dump = livedump(&self.icinga, &["--full"]);
        let nagios = &self.nagios;
        let said = Program::new("liveload")
            .args(["--site", "remote1", "--file-mode", "666", "--full"])
            .args(["--wait", "30s", "--ledger"])
            .arg(nagios.site().path("ledger"))
            .args(["--backend", backend, "--target"])
            .arg(target)
            .arg("--objects")
            .arg(nagios.object_cache())
            .arg("--command-file")
            .arg(nagios.pipe())
            .input(dump)
            .run()
            .success();
        assert_eq!(said.errors(), "");
    }

    /// Waits until the centre shows what the site does.
    #[track_caller]
    fn assert_equal(&self, round: usize) {
        let source = source_states(&self.icinga);
        let complete = complete_states(&self.icinga);
        wait_for_no(&format!("round {round}"), || {
            let states = self.nagios.states();
            let late = source
                .iter()
                .filter(|(name, state)| states[name]["last_check"] != state[4])
                .map(|(name, _)| format!("{name:?} has an older check"));
            late.chain(differences(&complete, &states)).collect()
        });
        assert_same(&source, &self.nagios.states());
    }
}

/// Waits until there are no differences; if some stay, tells them. Nagios tells
/// its states once a second.
#[track_caller]
fn wait_for_no(what: &str, mut differences: impl FnMut() -> Vec<String>) {
    let end = Instant::now() + wait::DEADLINE / 3;
    loop {
        let different = differences();
        if different.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{what}:\n{}", different.join("\n"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// State and text of a service in a round. States stay for some rounds, so that
/// problems are soft at first and hard later, and some go through several.
fn said(at: usize, round: usize) -> (usize, &'static str) {
    let code = match at % 6 {
        0 => 0,
        1 => 2,
        2 => [0, 1, 1, 1, 1, 0, 0][round % 7],
        3 => [1, 2, 0, 3, 3, 3, 2][round % 7],
        4 => [0, 0, 2, 2, 0, 2, 2][round % 7],
        _ => [3, 3, 3, 3, 0, 1, 1][round % 7],
    };
    // Every other round says what the one before said.
    (code, SAYS[(at + round / 2 * 3) % SAYS.len()])
}

/// Beyond state and texts: the kind of state, the attempt, the last change, the
/// acknowledgement and the depth of downtimes, as Nagios words them.
fn complete_states(icinga: &Icinga2) -> BTreeMap<Name, Vec<(&'static str, String)>> {
    let columns = [
        "state",
        "state_type",
        "current_attempt",
        "last_state_change",
        "acknowledged",
        "scheduled_downtime_depth",
        "host_state",
    ];
    let mut states = BTreeMap::new();
    for (table, names) in [
        ("hosts", &["name"][..]),
        ("services", &["host_name", "description"]),
    ] {
        let all: Vec<&str> = names.iter().chain(&columns).copied().collect();
        for row in rows(
            &icinga.live(),
            table,
            &all,
            &["Filter: has_been_checked = 1"],
        ) {
            let text = |at: usize| row[at].as_str().expect("text").to_owned();
            let name = (text(0), (names.len() > 1).then(|| text(1)));
            let number = |at: usize| match &row[names.len() + at] {
                Value::Bool(is_so) => i64::from(*is_so),
                other => other.as_f64().expect("a number") as i64,
            };
            let (state, is_hard) = (number(0), number(1) == 1);
            let attempt = match (state, is_hard) {
                (0, _) => 1,
                // Icinga 2 counts no attempts of a hard problem.
                (_, true) => i64::from(ATTEMPTS),
                (_, false) => number(2),
            };
            let mut state = vec![
                ("problem_has_been_acknowledged", number(4).to_string()),
                ("scheduled_downtime_depth", number(5).to_string()),
            ];
            // To Nagios problems of a host that is not up are hard at once.
            let host_is_up = names.len() == 1 || number(6) == 0;
            if host_is_up {
                state.push(("state_type", number(1).to_string()));
                state.push(("current_attempt", attempt.to_string()));
            }
            // It was born in that state: nothing has changed there.
            if host_is_up && number(3) != 0 {
                state.push(("last_state_change", number(3).to_string()));
            }
            states.insert(name, state);
        }
    }
    states
}

fn differences(
    source: &BTreeMap<Name, Vec<(&str, String)>>,
    states: &BTreeMap<Name, Block>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, state) in source {
        for (key, there) in state {
            let here = &states[name][*key];
            if there != here {
                differences.push(format!("{name:?} {key}: {there} there, {here} here"));
            }
        }
    }
    differences
}

#[test]
fn every_object_is_at_the_centre_what_it_is_at_the_site_round_after_round() {
    let Some(sites) = Sites::start() else { return };
    let mut changes = 0;
    for round in 0..ROUNDS {
        changes += sites.report(round);
        sites.carry();
        sites.assert_equal(round);
    }
    assert!(changes >= CHANGES, "{changes}");
    // The source showed what the texts are there for.
    let texts = format!("{:?}", source_states(&sites.icinga));
    for part in ["\\\\\"", "Ö", ";", "\\\"alles", "\\\\n", "|"] {
        assert!(texts.contains(part), "{part} in {texts}");
    }
    let log = sites.nagios.log();
    assert!(!log.contains("Error"), "{log}");
}

#[test]
fn a_file_of_commands_carries_as_much_as_the_spool() {
    let Some(sites) = Sites::start() else { return };
    // Soft at first, then hard, then another problem; a host goes down and up.
    for round in [0, 1, 2, 4, 5] {
        sites.report(round);
        sites.carry_through("process-file", &sites.nagios.pipe());
        sites.assert_equal(round);
    }
}

/// Downtimes at the centre that came from the site: who has them, and what they
/// say.
fn downtimes(nagios: &Nagios) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for kind in ["hostdowntime", "servicedowntime"] {
        for mut block in nagios.annotations(kind) {
            let mut take = |key: &str| block.remove(key).unwrap_or_default();
            if take("author") != "sitewire:remote1" {
                continue;
            }
            let comment = take("comment");
            let (_, said) = comment.split_once(", ").expect("who said what");
            let object = format!("{};{}", take("host_name"), take("service_description"));
            let times = ["start_time", "end_time", "fixed", "duration"]
                .map(take)
                .join(" ");
            all.insert(said.to_owned(), format!("{object} {times}"));
        }
    }
    all
}

/// Numbers of the downtimes at the site, by their comments.
fn numbers(icinga: &Icinga2) -> BTreeMap<String, i64> {
    let rows = rows(&icinga.live(), "downtimes", &["comment", "id"], &[]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    rows.iter()
        .map(|row| (text(&row[0]), row[1].as_i64().expect("a number")))
        .collect()
}

#[test]
fn what_people_said_and_planned_comes_to_the_centre_and_goes_with_the_site() {
    let Some(sites) = Sites::start() else { return };
    let (icinga, nagios) = (&sites.icinga, &sites.nagios);
    // db-1 is down, `Umlaute` of web has a problem, `Load` there has none.
    sites.report(0);
    sites.report(1);
    sites.report(2);
    // A flexible downtime begins with the problem, at the source long ago: one of
    // 800 seconds is over, though it still stands there.
    let (start, end) = (now() - 100, now() + 3600);
    let later = end + 7200;
    icinga.command([
        "ACKNOWLEDGE_HOST_PROBLEM;db-1;2;0;1;ada;ticket 4711".to_owned(),
        "ACKNOWLEDGE_SVC_PROBLEM;web;Umlaute äöüß;1;0;1;bob;\"mine\" C:\\new".to_owned(),
        format!("SCHEDULE_HOST_DOWNTIME;web;{start};{end};1;0;600;ada;new racks"),
        format!("SCHEDULE_SVC_DOWNTIME;web;Disk /;{start};{end};1;0;600;cleo;cleaning"),
        format!("SCHEDULE_SVC_DOWNTIME;web;Load;{start};{end};0;0;4000;cleo;maybe Löad"),
        format!("SCHEDULE_HOST_DOWNTIME;Küche 2;{start};{end};0;0;900;dan;maybe"),
        format!("SCHEDULE_HOST_DOWNTIME;db-1;{start};{end};0;0;5000;dan;already"),
        format!("SCHEDULE_SVC_DOWNTIME;web;Umlaute äöüß;{start};{end};0;0;800;dan;over"),
        format!("SCHEDULE_HOST_DOWNTIME;db-1;{end};{later};1;0;1;dan;next time"),
    ]);
    wait_until("all is said at the site", || numbers(icinga).len() == 7);
    let own = format!("SCHEDULE_HOST_DOWNTIME;Küche 2;{start};{end};1;0;600;noc;ours");
    nagios.command([own]);
    sites.carry();
    let own_stays = || {
        let own = nagios.annotations("hostdowntime");
        own.iter().any(|downtime| downtime["author"] == "noc")
    };
    wait_until("the downtimes are at the centre", || {
        downtimes(nagios).len() == 6 && own_stays()
    });
    let fixed = |object: &str| format!("{object} {start} {end} 1 {}", end - start);
    let flexible = |object: &str, duration: u32| format!("{object} {start} {end} 0 {duration}");
    let want = [
        ("ada: new racks", fixed("web;")),
        ("cleo: cleaning", fixed("web;Disk /")),
        ("cleo: maybe Löad", flexible("web;Load", 4000)),
        ("dan: already (flexible, 5000 s)", fixed("db-1;")),
        ("dan: maybe", flexible("Küche 2;", 900)),
        ("dan: next time", format!("db-1; {end} {later} 1 7200")),
    ];
    let want = want.map(|(said, times)| (said.to_owned(), times));
    assert_eq!(downtimes(nagios), BTreeMap::from(want));
    let own_depth = || {
        let kitchen = &nagios.states()[&("Küche 2".to_owned(), None)];
        kitchen["scheduled_downtime_depth"].clone()
    };
    // The noc's own is one more at the centre than at the site.
    let but_for_own = |states: BTreeMap<Name, Vec<(&'static str, String)>>| {
        let mut states = states;
        let kitchen = states
            .get_mut(&("Küche 2".to_owned(), None))
            .expect("there");
        for (key, value) in kitchen {
            if *key == "scheduled_downtime_depth" {
                assert_eq!(value, "0");
                "1".clone_into(value);
            }
        }
        states
    };
    let equal = |what: &str| {
        let source = but_for_own(complete_states(icinga));
        wait_for_no(what, || differences(&source, &nagios.states()));
    };
    equal("said");
    assert_eq!(own_depth(), "1");
    let comments: Vec<Block> = ["hostcomment", "servicecomment"]
        .iter()
        .flat_map(|kind| nagios.annotations(kind))
        // Of kind 4 are acknowledgements.
        .filter(|comment| comment["entry_type"] == "4")
        .collect();
    let mut said: Vec<_> = comments
        .iter()
        .map(|comment| format!("{}, {}", comment["author"], comment["comment_data"]))
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "sitewire:remote1, ada: ticket 4711",
            "sitewire:remote1, bob: \"mine\" C:\\new"
        ]
    );

    // `Load` has its problem: the downtime that was ready for it begins.
    sites.report(3);
    sites.carry();
    let load = [
        "Filter: description = Load",
        "Filter: scheduled_downtime_depth = 1",
    ];
    icinga.wait_for_rows("services", &load, 1);
    equal("begun");

    // Some of it is taken back.
    let numbers = numbers(icinga);
    icinga.command([
        "REMOVE_HOST_ACKNOWLEDGEMENT;db-1".to_owned(),
        format!("DEL_HOST_DOWNTIME;{}", numbers["new racks"]),
        format!("DEL_SVC_DOWNTIME;{}", numbers["maybe Löad"]),
        format!("DEL_HOST_DOWNTIME;{}", numbers["next time"]),
    ]);
    wait_until("it is taken back at the site", || {
        self::numbers(icinga).len() == 4
    });
    sites.carry();
    wait_until("it is gone at the centre", || downtimes(nagios).len() == 3);
    let left: Vec<String> = downtimes(nagios).into_keys().collect();
    assert_eq!(
        left,
        [
            "cleo: cleaning",
            "dan: already (flexible, 5000 s)",
            "dan: maybe"
        ]
    );
    equal("taken back");
    assert!(own_stays());
}
