//! Where the storms rage: sites with a notifyd each, one after the other, with
//! a line before each that can be disturbed. The last one delivers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::judge::{Case, Place, Verdict};
use harness::{Authority, Line, Program, Running, Site, ports};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::problem::Problem;
use crate::submitters::Promises;

/// How a field is laid out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Whether a third site stands between the two.
    pub(crate) relay: bool,
    /// Whether the last site delivers by a script.
    pub(crate) delivers: bool,
    /// More of the last site's configuration, behind that lane; `@` is its directory.
    pub(crate) lanes: &'static str,
    /// The spool of the site with this number is here.
    pub(crate) spools: Vec<(usize, PathBuf)>,
    /// Environment of the daemon with this number.
    pub(crate) environment: Vec<(usize, String, String)>,
    /// What the daemon with this number is started by.
    pub(crate) prefix: Vec<(usize, Vec<String>)>,
    /// Where daemon `number` listens, and where it is reached, instead of 127.0.0.1.
    pub(crate) host: Option<String>,
}

/// All sites.
pub(crate) struct Field {
    pub(crate) daemons: Vec<Daemon>,
    /// Line `n` leads from site `n` to site `n + 1`.
    pub(crate) lines: Vec<Line>,
    pub(crate) delivered: Option<PathBuf>,
    /// Where each site listens.
    pub(crate) listening: Vec<u16>,
    authority: Authority,
}

/// One site and its notifyd.
pub(crate) struct Daemon {
    pub(crate) site: Site,
    pub(crate) spool: PathBuf,
    running: Option<Running>,
    logs: Vec<String>,
    environment: Vec<(String, String)>,
    prefix: Vec<String>,
}

const NAMES: [&str; 3] = ["remote1", "relay", "central"];

impl Field {
    pub(crate) fn new(plan: &Plan) -> Self {
        let names: Vec<&str> = match plan.relay {
            true => NAMES.to_vec(),
            false => vec![NAMES[0], NAMES[2]],
        };
        let authority = Authority::new(&names);
        let sites: Vec<Site> = names.iter().map(|name| Site::new(name)).collect();
        let listening: Vec<u16> = sites.iter().map(|_| ports::free()).collect();
        let lines: Vec<Line> = listening[1..].iter().map(|port| Line::new(*port)).collect();
        let last = sites.len() - 1;
        let delivered = plan.delivers.then(|| sites[last].path("delivered"));
        let mut daemons = Vec::new();
        for (number, site) in sites.into_iter().enumerate() {
            let own = plan.spools.iter().find(|(n, _)| *n == number);
            let spool = own.map_or_else(|| site.path("spool"), |(_, path)| path.clone());
            let mut text = format!(
                "[site]\nname = '{}'\n[spool]\ndirectory = '{}'\n[state]\nfile = '{}'\ninterval = '100ms'\n{}",
                site.name(),
                spool.display(),
                site.path("var/state").display(),
                authority.tls_table(site.name()),
            );
            if number > 0 {
                let host = plan.host.as_deref().unwrap_or("127.0.0.1");
                text += &format!(
                    "[[listen]]\naddress = '{host}:{}'\n[[peer]]\nsite = '{}'\nsites = ['{}']\n",
                    listening[number],
                    names[number - 1],
                    names[0]
                );
            }
            if number < last {
                let to = match &plan.host {
                    Some(host) => format!("{host}:{}", listening[number + 1]),
                    None => format!("127.0.0.1:{}", lines[number].port()),
                };
                text += &format!(
                    "[[peer]]\nsite = '{}'\nconnect = '{to}'\nsend = true\n",
                    names[number + 1]
                );
            } else if let Some(delivered) = &delivered {
                let script = format!(
                    "#!/bin/sh\necho \"$NOTIFY_ID $NOTIFY_ATTEMPT\" >>'{}'\n",
                    delivered.display()
                );
                let script = site.write("deliver", script);
                site.make_executable("deliver");
                text += &format!(
                    "[[lane]]\nname = 'log'\nscript = '{}'\nretry = '100ms'\n",
                    script.display()
                );
            }
            if number == last {
                let here = format!("{}/", site.directory().display());
                text += &plan.lanes.replace('@', &here);
            }
            site.write("etc/notifyd.toml", text);
            let own = |(n, name, value): &(usize, String, String)| {
                (*n == number).then(|| (name.clone(), value.clone()))
            };
            let prefix = plan.prefix.iter().find(|(n, _)| *n == number);
            daemons.push(Daemon {
                site,
                spool,
                running: None,
                logs: Vec::new(),
                environment: plan.environment.iter().filter_map(own).collect(),
                prefix: prefix.map(|(_, words)| words.clone()).unwrap_or_default(),
            });
        }
        Self {
            daemons,
            lines,
            delivered,
            listening,
            authority,
        }
    }

    /// All that the daemons read and write belongs to somebody else.
    pub(crate) fn give_to(&self, user: &str) {
        harness::peer::give(&self.authority.directory(), user);
        for daemon in &self.daemons {
            harness::peer::give(daemon.site.directory(), user);
        }
    }

    /// Starts all, the last first, so that nobody connects in vain.
    pub(crate) fn start(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            daemon.start();
        }
    }

    /// The spool that is submitted to.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.daemons[0].spool.clone()
    }

    /// Everything works again: lines, daemons; all start anew, because pauses
    /// before the next attempt may have grown long.
    pub(crate) fn heal(&mut self) {
        for line in &self.lines {
            line.behave(|behaviour| *behaviour = Default::default());
        }
        for daemon in &mut self.daemons {
            daemon.kill();
        }
        self.start();
    }

    /// Waits until nothing waits anywhere; otherwise says what does.
    pub(crate) fn wait_until_empty(&self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let mut calm = 0;
        loop {
            let busy: Vec<String> = self.daemons.iter().filter_map(Daemon::work).collect();
            // State files are of different ages: what has just left one site may
            // not be told by the next one yet.
            calm = if busy.is_empty() { calm + 1 } else { 0 };
            if calm == 10 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!(
                    "after {patience:?} there is still: {}",
                    busy.join("; ")
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends all daemons and judges what they left.
    pub(crate) fn judge(&mut self, promises: &Promises) -> Verdict {
        for daemon in &mut self.daemons {
            daemon.stop();
        }
        let place = |daemon: &Daemon| Place {
            name: daemon.site.name().to_owned(),
            spool: daemon.spool.clone(),
            state: daemon.site.path("var/state"),
        };
        let places: Vec<Place> = self.daemons.iter().map(place).collect();
        let logs: Vec<String> = self.daemons.iter().flat_map(|d| d.logs.clone()).collect();
        let mut verdict = Case {
            accepted: &promises.accepted(),
            places: &places,
            delivered: self.delivered.as_deref(),
            logs: &logs,
            may_forget: true,
        }
        .judge();
        // No fault here is a reason to refuse anything, or to give it up.
        if verdict.other_ends > 0 {
            let what = format!("{} have ended without an arrival", verdict.other_ends);
            verdict.violations.push(what);
        }
        verdict
    }

    /// The usual end of a fault: healed, emptied, judged.
    pub(crate) fn finish(&mut self, promises: &Promises) -> Result<String, Problem> {
        self.heal();
        self.wait_until_empty(Duration::from_secs(600))
            .map_err(Problem::Wrong)?;
        let verdict = self.judge(promises);
        if verdict.violations.is_empty() {
            return Ok(format!("{} accepted, all there", promises.accepted().len()));
        }
        let (first, rest) = verdict
            .violations
            .split_at(verdict.violations.len().min(10));
        let more = match rest.len() {
            0 => String::new(),
            count => format!("\nand {count} more"),
        };
        Err(Problem::Wrong(first.join("\n") + &more))
    }

    /// What all daemons said, for a report.
    pub(crate) fn logs(&self) -> Vec<String> {
        let lines = |daemon: &Daemon| -> Vec<String> {
            let running = daemon.running.as_ref().map(Running::log);
            let all = daemon
                .logs
                .iter()
                .cloned()
                .chain(running.into_iter().flatten());
            all.map(|line| format!("{}| {line}", daemon.site.name()))
                .collect()
        };
        self.daemons.iter().flat_map(lines).collect()
    }
}

impl Daemon {
    /// Starts it; it is ready when this returns. Not, if it does not come up.
    pub(crate) fn start(&mut self) {
        self.begin();
        if let Some(running) = &mut self.running {
            running.wait_for_line("is ready");
        }
    }

    /// Starts it, and does not wait.
    pub(crate) fn begin(&mut self) {
        if self.running.is_some() {
            return;
        }
        let mut program = match self.prefix.split_first() {
            Some((first, rest)) => Program::foreign(first, first)
                .args(rest)
                .arg(harness::program::built("notifyd")),
            None => Program::new("notifyd"),
        };
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        let config = self.site.path("etc/notifyd.toml");
        let program = program.label(self.site.name()).arg("-c").arg(config);
        self.running = Some(program.start());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Running::pid)
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            // A stopped process dies, too.
            self.logs.extend(running.log());
            running.kill();
        }
    }

    /// In good order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            if running.is_running() {
                running.signal(Signal::TERM);
                running.wait();
            }
            self.logs.extend(running.log());
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid() as i32) {
            // It may have ended in this moment.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it has said something with all of `parts` in it, ever.
    pub(crate) fn has_said(&self, parts: &[&str]) -> bool {
        let of = |line: &String| parts.iter().all(|part| line.contains(part));
        self.logs.iter().any(of)
            || self
                .running
                .as_ref()
                .is_some_and(|running| running.has_said(parts))
    }

    /// What the state file of the process that runs now says.
    pub(crate) fn state(&self) -> Option<Value> {
        let text = std::fs::read(self.site.path("var/state.json")).ok()?;
        let state: Value = serde_json::from_slice(&text).ok()?;
        (state["pid"] == self.pid()).then_some(state)
    }

    /// What still waits here; none if nothing does.
    fn work(&self) -> Option<String> {
        let name = self.site.name();
        let Some(state) = self.state() else {
            return Some(format!("no state of {name}"));
        };
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let lines = |key: &str| -> u64 {
            let lines = state[key].as_array().into_iter().flatten();
            lines
                .map(|line| count(&line["waiting"]) + count(&line["processing"]))
                .sum()
        };
        let new = count(&state["new"]["count"]) + count(&state["deferred"]["count"]);
        let waiting = lines("forwards") + lines("lanes");
        (new + waiting > 0).then(|| format!("{new} notifications at {name}, {waiting} in lines"))
    }
}
