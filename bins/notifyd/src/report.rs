//! The thread that writes the state file: at its interval, when something has
//! changed, and when asked to.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use objects::{SiteId, UnixTime};
use spool::control::Answer;
use tokio::sync::oneshot;

use crate::config::State as StateConfig;
use crate::figures::{LaneFigures, LinkState, Links, Notices, QueueFigures};
use crate::metrics;
use crate::owner::Request;
use crate::state_file::State;

/// The owner answers between two commits; a disk that hangs holds it up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the reporter is asked.
pub(crate) enum Report {
    /// To write the state file now, and a line in the log.
    Show,
    /// To tell what would stand in it.
    Tell(oneshot::Sender<Answer>),
    /// To tell the metrics.
    Measure(oneshot::Sender<String>),
}

/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Who writes the state file.
pub(crate) struct Reporter {
    pub(crate) site: SiteId,
    pub(crate) started: UnixTime,
    pub(crate) state: StateConfig,
    pub(crate) links: Links,
    pub(crate) notices: Notices,
    pub(crate) owner: Sender<Request>,
}

impl Reporter {
    /// Starts the thread. What is sent on the channel that comes back makes it
    /// write at once; it ends, after a last time, when the sender is dropped.
    pub(crate) fn start(self) -> std::io::Result<(Sender<Report>, std::thread::JoinHandle<()>)> {
        let (wake, woken) = channel();
        let thread = std::thread::Builder::new().name("state-file".to_owned());
        let handle = thread.spawn(move || self.run(&woken))?;
        Ok((wake, handle))
    }

    fn run(&self, woken: &Receiver<Report>) {
        let mut last = QueueFigures::default();
        let mut complaint = String::new();
        let changes = self.links.changes();
        loop {
            let seen = (changes.count(), self.notices.warnings());
            self.write(&mut last, &mut complaint);
            let due = Instant::now() + self.state.interval;
            // Many links may change at the same time.
            let mut look = Instant::now() + LOOK.min(self.state.interval);
            loop {
                let pause = look.saturating_duration_since(Instant::now());
                match woken.recv_timeout(pause) {
                    Ok(Report::Show) => {
                        self.ask(&mut last);
                        tracing::info!("{}", summary(&last, &self.links));
                        break;
                    }
                    // Who asks does not make it write; he may have given up waiting.
                    Ok(Report::Tell(to)) => {
                        self.ask(&mut last);
                        let _ = to.send(Answer::Told(self.state(&last).print_json()));
                    }
                    Ok(Report::Measure(to)) => {
                        self.ask(&mut last);
                        let _ = to.send(metrics::print(&self.state(&last)));
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        let now = Instant::now();
                        if now >= due || (changes.count(), self.notices.warnings()) != seen {
                            break;
                        }
                        look = due.min(now + LOOK);
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        self.write(&mut last, &mut complaint);
                        return;
                    }
                }
            }
        }
    }

    fn write(&self, last: &mut QueueFigures, complaint: &mut String) {
        self.ask(last);
        let state = self.state(last);
        program::ready::status(&summary(last, &self.links));
        let mut now = String::new();
        let mut complain = |file: &PathBuf, written: std::io::Result<()>| {
            if let Err(error) = written {
                now = format!("cannot write {}: {error}", file.display());
            }
        };
        complain(&self.state.file, state.write(&self.state.file));
        if let Some(file) = &self.state.metrics {
            let text = metrics::print(&state);
            let written = program::file::replace(file, 0o644, |out| out.write_all(text.as_bytes()));
            complain(file, written);
        }
        // The same complaint once, not at every interval.
        if !now.is_empty() && now != *complaint {
            tracing::error!("{now}");
        }
        *complaint = now;
    }

    fn state(&self, queue: &QueueFigures) -> State {
        State {
            site: self.site.clone(),
            updated: SystemTime::now().into(),
            started: self.started,
            configuration: self.notices.configured().unwrap_or(self.started),
            certificate_expires: self.notices.expires(),
            listening: self.notices.listening(),
            warnings: {
                let lanes = queue.lanes.iter().filter_map(LaneFigures::warning);
                let all = self.notices.warnings().into_iter().chain(lanes);
                let watched = queue.watch_warnings();
                all.chain(queue.undecided.clone()).chain(watched).collect()
            },
            queue: queue.clone(),
            links: self.links.all().into_iter().collect(),
        }
    }

    /// The owner's figures, or the last ones with the remark that there are no newer.
    fn ask(&self, last: &mut QueueFigures) {
        let (reply, answer) = channel();
        if self.owner.send(Request::Figures(reply)).is_err() {
            return;
        }
        match answer.recv_timeout(PATIENCE) {
            Ok(figures) => *last = figures,
            Err(RecvTimeoutError::Timeout) => {
                last.disk_error = Some("the journal does not answer".to_owned());
            }
            // It has ended in good order.
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// `1 of 2 peers up, 3 waiting, 1 deferred`
fn summary(figures: &QueueFigures, links: &Links) -> String {
    let links = links.all();
    let up = links
        .values()
        .filter(|link| link.state == LinkState::Established);
    format!(
        "{} of {} peers up, {} waiting, {} deferred",
        up.count(),
        links.len(),
        figures.new.count,
        figures.deferred.count
    )
}
