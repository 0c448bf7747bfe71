//! A site at work: results come and go at a real Icinga 2, people acknowledge
//! and plan, and after every dump a real Nagios shows the same.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::livestatus::rows;
use harness::nagios::{Block, Name};
use harness::{Icinga2, Nagios, Program, wait_until};
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

    /// Carries a dump over, and waits until the centre shows its last check.
    #[track_caller]
    fn carry(&self) {
        let dump = livedump(&self.icinga, &["--full"]);
        let nagios = &self.nagios;
        let said = Program::new("liveload")
            .args(["--site", "remote1", "--file-mode", "666", "--full"])
            .args(["--wait", "30s", "--ledger"])
            .arg(nagios.site().path("ledger"))
            .arg("--target")
            .arg(nagios.spool())
            .arg("--objects")
            .arg(nagios.object_cache())
            .arg("--command-file")
            .arg(nagios.pipe())
            .input(dump)
            .run()
            .success();
        assert_eq!(said.errors(), "");
    }

    /// What differs at the centre, once it shows nothing of what was before.
    #[track_caller]
    fn assert_equal(&self, round: usize) {
        let source = source_states(&self.icinga);
        let complete = complete_states(&self.icinga);
        let mut last = Vec::new();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // Nagios tells its states once a second.
        while std::time::Instant::now() < end {
            let states = self.nagios.states();
            last = differences(&complete, &states);
            let is_there = source
                .iter()
                .all(|(name, state)| states[name]["last_check"] == state[4]);
            if is_there && last.is_empty() {
                assert_same(&source, &states);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("round {round}:\n{}", last.join("\n"));
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
