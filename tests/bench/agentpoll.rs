//! agentpoll with a thousand agents that are asked every minute, of which a
//! third hangs.

use std::time::Duration;

use harness::agents::{Manner, document};
use harness::{Agents, Program, Site, wait_until};

use crate::measure::Family;
use crate::report::{Better, OURS, Report, Row};

const AGENTS: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(60);
/// Whole minutes that are looked at, after the first.
const MINUTES: u32 = 2;
/// Processes in each document, which make most of it.
const PROCESSES: usize = 120;

/// Measures it.
pub(crate) fn measure(report: &mut Report) {
    let agents = Agents::start(|number, _| match hangs(number) {
        true => Manner::Hang,
        false => Manner::Document(with_processes(&document(number, 1))),
    });
    let size = with_processes(&document(0, 1)).len();
    let site = Site::new("bench");
    let config = site.write("etc/agentpoll.toml", configuration(&site, &agents));
    let mut poll = Program::new("agentpoll")
        .args(["run", "-c"])
        .arg(config)
        .start();
    poll.wait_for_line("ready");
    // The first minute is special: hosts are new, and those that hang are not
    // known yet.
    wait_for_turns(&agents, 1);
    let family = Family::of_process(poll.pid());
    let (cpu, began) = (family.cpu(), std::time::Instant::now());
    std::thread::sleep(INTERVAL * MINUTES);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let cpu = (family.cpu() - cpu) / minutes;
    let memory = family.memory();
    wait_for_turns(&agents, MINUTES as usize + 1);
    let (drift, spread) = drift(&agents);
    let note = format!(
        "{AGENTS} agents, {} of them hang, documents of {} KiB, every {} s",
        AGENTS.div_ceil(3),
        size / 1024,
        INTERVAL.as_secs()
    );
    let mut add = |work: &str, figure: f64, unit: &'static str| {
        report.add(Row {
            work: work.to_owned(),
            program: OURS.to_owned(),
            version: String::new(),
            figure: Some(figure),
            unit,
            better: Better::Lower,
            note: note.clone(),
        });
    };
    add("agents: CPU per minute", cpu, "s");
    add("agents: resident memory", memory, "MiB");
    add("agents: later than its turn, worst", drift, "s");
    add("agents: most in one second", spread, "agents");
    poll.terminate();
}

fn hangs(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn good() -> impl Iterator<Item = usize> {
    (0..AGENTS).filter(|number| !hangs(*number))
}

/// Until each good agent was asked that often.
fn wait_for_turns(agents: &Agents, turns: usize) {
    // In pieces: no single wait is longer than an interval.
    for part in 1..=turns {
        for share in 1..=4 {
            wait_until("agents are asked", || {
                let done = good()
                    .filter(|number| agents.asked(*number).len() >= part)
                    .count();
                done >= AGENTS * 2 / 3 * share / 4
            });
        }
    }
}

/// How far from its own moment any good agent was asked, beyond what chance may
/// move it, and the most that were asked within one second.
fn drift(agents: &Agents) -> (f64, f64) {
    let jitter = INTERVAL.as_secs_f64() * 0.05;
    let mut worst: f64 = 0.0;
    let mut seconds = std::collections::BTreeMap::<u64, usize>::new();
    for number in good() {
        let asked = agents.asked(number);
        for (turn, at) in asked.iter().enumerate() {
            let since = at
                .duration_since(asked[0])
                .unwrap_or_default()
                .as_secs_f64();
            let turns = turn as f64 * INTERVAL.as_secs_f64();
            worst = worst.max((since - turns).abs() - jitter);
            let second = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            *seconds.entry(second.as_secs()).or_default() += 1;
        }
    }
    (
        worst.max(0.0),
        seconds.values().copied().max().unwrap_or(0) as f64,
    )
}

fn with_processes(document: &str) -> String {
    let one = |number: usize| {
        format!(
            r#"{{"pid": {number}, "ppid": 1, "username": "www-data", "name": "worker{number}", "cpu_percent": 0.1,
               "memory_percent": 0.2, "cmdline": "/usr/lib/something/bin/worker{number} --config /etc/something/{number}.conf --verbose",
               "status": ["Sleep"], "exec": "/usr/lib/something/bin/worker{number}", "nice_level": 0, "num_fds": 0,
               "Memory": {{"rss": 12947456, "vms": 172257280, "hwm": 0, "data": 0, "stack": 0, "locked": 0, "swap": 0}}, "CreateTime": 0}}"#
        )
    };
    let all: Vec<String> = (2..PROCESSES).map(one).collect();
    document.replace(
        "\"processes\": [",
        &format!("\"processes\": [{},", all.join(",")),
    )
}

fn configuration(site: &Site, agents: &Agents) -> String {
    let at = site.directory().display();
    let mut text = format!(
        "[state]\ndirectory = \"{at}/var/state\"\nfile = \"{at}/var/state.json\"\n\
         [[output]]\nkind = \"json\"\nfile = \"/dev/null\"\n\
         [defaults]\ntls = \"off\"\nport = {}\n[defaults.process.init]\nmatch = \"/sbin/init\"\n",
        agents.port()
    );
    for number in 0..AGENTS {
        let address = Agents::address(number);
        text.push_str(&format!(
            "[[host]]\nname = \"host{number}\"\naddress = \"{address}\"\n"
        ));
    }
    text
}
