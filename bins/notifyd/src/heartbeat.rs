//! Tells an outside watcher that we are alive, as long as that is true: as long as
//! the journal takes records, the spool's disk takes a small file, and what drives
//! the links has its turn. Who hears nothing raises the alarm.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::clock;
use crate::config::Watcher;
use crate::delivery::Verdict;
use crate::http::{self, Client, Question};
use crate::link::Network;
use crate::means;
use crate::owner::Request;
use crate::stop::Stop;

/// Without a watcher it is looked so often whether there is one now.
const LOOK: Duration = Duration::from_secs(5);
/// The journal's owner answers between two commits.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is written in the spool directory before each beat: a disk to which nobody
/// writes anything else shows in no other way that it takes nothing any more.
const PROOF: &str = "heartbeat";
/// How much of what a program says is told.
const TOLD: usize = 300;

/// Works until the daemon stops. It runs where the links run: when they have no
/// turn, neither has it.
pub(crate) async fn run(network: Arc<Network>, stop: Stop) {
    let mut stopping = network.stopping.clone();
    let mut complaint = String::new();
    loop {
        let (heartbeat, spool) = {
            let configuration = &network.settings().configuration;
            (configuration.heartbeat.clone(), configuration.spool.clone())
        };
        let pause = heartbeat.as_ref().map_or(LOOK, |heartbeat| heartbeat.every);
        if let Some(heartbeat) = heartbeat {
            let (owner, stop) = (network.owner.clone(), stop.clone());
            let watcher = heartbeat.watcher;
            let beat = move || beat(watcher, &spool, &owner, &stop);
            let beaten = tokio::task::spawn_blocking(beat).await;
            let now = beaten.unwrap_or(Ok(())).err().unwrap_or_default();
            // The same complaint once, not at every beat.
            match (now.is_empty(), now == complaint) {
                (false, false) => tracing::warn!("no heartbeat: {now}"),
                (true, false) => tracing::info!("the heartbeat is back"),
                _ => {}
            }
            complaint = now;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stops| *stops) => return,
        }
    }
}

/// One beat, or why there is none.
fn beat(
    watcher: Watcher,
    spool: &Path,
    owner: &Sender<Request>,
    stop: &Stop,
) -> Result<(), String> {
    let (reply, answer) = channel();
    let asked = owner.send(Request::Figures(reply));
    asked.map_err(|_| "the journal has ended".to_owned())?;
    let figures = answer.recv_timeout(PATIENCE);
    let figures = figures.map_err(|_| "the journal does not answer".to_owned())?;
    if let Some(error) = figures.disk_error {
        return Err(error);
    }
    prove(spool)?;
    match watcher {
        Watcher::Url(url, settings) => ask(&url, settings),
        Watcher::Command(words, timeout) => run_command(&words, timeout, stop),
    }
}

/// The disk of the spool takes a file and gives it a name.
fn prove(spool: &Path) -> Result<(), String> {
    let path = spool.join(PROOF);
    let text = format!("{}\n", clock::time());
    let proven = program::file::replace(&path, 0o600, |out| out.write_all(text.as_bytes()));
    proven.map_err(|error| format!("{}: {error}", path.display()))
}

fn ask(url: &str, settings: http::Settings) -> Result<(), String> {
    let host = http::host(url);
    let asked = Client::new(settings).ask(Question {
        method: "GET",
        url,
        headers: &[],
        body: Vec::new(),
    });
    match asked {
        Ok(answer) if http::judge(answer.status) == Verdict::Delivered => Ok(()),
        Ok(answer) => Err(format!("{host}: HTTP {}", answer.status)),
        Err(trouble) => Err(format!("{host}: {}", trouble.text)),
    }
}

fn run_command(words: &[String], timeout: Duration, stop: &Stop) -> Result<(), String> {
    let outcome = means::run_alone(words, timeout, stop);
    match outcome.verdict {
        Verdict::Delivered => Ok(()),
        _ => {
            let program = words.first().map(String::as_str).unwrap_or_default();
            let said = program::log::quote(&outcome.text, TOLD);
            Err(format!("{program}: {said}"))
        }
    }
}
