//! One host: it is asked at its turns or pushes, and what comes, or does not
//! come, becomes results.

use std::sync::Arc;
use std::time::SystemTime;

use agent::{Document, Evaluator};
use bstr::{BString, ByteSlice};
use hyper::body::Bytes;
use objects::{CheckResult, UnixTime};
use program::exit::chain;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Duration, Instant, sleep_until};

use crate::caller::Caller;
use crate::config::Host;
use crate::figures::Figures;
use crate::grid::Grid;
use crate::memory::{HostRecord, Memory};
use crate::submit::{Batch, Submitter};

/// Between two attempts to renew a certificate.
const RENEWAL: Duration = Duration::from_secs(3600);

/// What all hosts have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) memory: Memory,
    pub(crate) figures: Figures,
    pub(crate) submitter: Submitter,
    /// When the turns began to be counted.
    pub(crate) beginning: Instant,
    pub(crate) doors: Arc<Doors>,
}

/// How many agents are asked at the same time. Those that failed the last time
/// have a door of their own: that they hang is a matter among themselves.
#[derive(Debug)]
pub(crate) struct Doors {
    good: Semaphore,
    failing: Semaphore,
}

impl Doors {
    pub(crate) fn new(connections: usize) -> Self {
        let failing = (connections / 4).max(1);
        Self {
            good: Semaphore::new(connections.saturating_sub(failing).max(1)),
            failing: Semaphore::new(failing),
        }
    }
}

/// Watches one host.
pub(crate) struct Watcher {
    host: Arc<Host>,
    common: Common,
    record: HostRecord,
    /// When the last document came, or when waiting for one began.
    since: Instant,
    is_failing: bool,
    why: String,
    last_renewal: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(host: Arc<Host>, common: Common) -> std::io::Result<Self> {
        Ok(Self {
            record: common.memory.host(&host.name)?,
            since: common.figures.since(&host.name).into(),
            host,
            common,
            is_failing: false,
            why: "there was none yet".to_owned(),
            last_renewal: None,
        })
    }

    /// Asks, turn by turn, for ever.
    pub(crate) async fn pull(mut self, caller: Caller) {
        let mut grid = Grid::new(&self.host.name, self.host.interval);
        loop {
            let (at, missed) = grid.next(self.common.beginning.elapsed());
            if missed > 0 && self.since > self.common.beginning {
                self.figures(|figures| figures.missed += missed);
            }
            sleep_until(self.common.beginning + at).await;
            self.ask(&caller).await;
            self.look_for_silence();
        }
    }

    async fn ask(&mut self, caller: &Caller) {
        let doors = Arc::clone(&self.common.doors);
        let door = match self.is_failing {
            true => &doors.failing,
            false => &doors.good,
        };
        let Ok(_open) = door.acquire().await else {
            return;
        };
        let began = Instant::now();
        let answer = caller.document(&mut self.record).await;
        let seconds = began.elapsed().as_secs_f64();
        self.figures(|figures| figures.seconds = seconds);
        match answer {
            Err(error) => self.failed(chain(&error)),
            Ok(answer) => {
                self.take(&answer.body);
                if let Some(shown) = &answer.certificate {
                    let expires = shown.not_after;
                    self.figures(|figures| figures.certificate_expires = Some(expires));
                    self.renew(caller, shown).await;
                }
            }
        }
    }

    async fn renew(&mut self, caller: &Caller, shown: &authority::Certificate) {
        let is_early = |last: Instant| last.elapsed() < RENEWAL;
        if self.last_renewal.is_some_and(is_early) {
            return;
        }
        match caller.renew(shown).await {
            Ok(false) => {}
            Ok(true) => self.last_renewal = Some(Instant::now()),
            Err(error) => {
                self.last_renewal = Some(Instant::now());
                let host = &self.host.name;
                tracing::warn!("{host}: cannot renew its certificate: {}", chain(&error));
            }
        }
    }

    /// Takes what is pushed, for ever.
    pub(crate) async fn listen(mut self, mut documents: mpsc::Receiver<Bytes>) {
        let mut look = tokio::time::interval(self.host.interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                document = documents.recv() => match document {
                    Some(document) => self.take(&document),
                    None => return,
                },
                _ = look.tick() => self.look_for_silence(),
            }
        }
    }

    /// A document has come.
    fn take(&mut self, text: &[u8]) {
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => return self.failed(chain(&error)),
        };
        let services = self.services(&document);
        let now = now();
        let results = evaluate(&document, &self.host, now, &services);
        self.common.submitter.submit(&Batch {
            host: self.host.name.as_str().into(),
            results: results.into(),
        });
        if self.is_failing {
            tracing::info!("{}: its agent answers again", self.host.name);
        }
        self.is_failing = false;
        self.since = Instant::now();
        let since = self.since.into_std();
        let count = services.len();
        self.figures(|figures| {
            figures.documents += 1;
            figures.since = since;
            figures.last_document = Some(now);
            figures.services = count;
            figures.is_stale = false;
            figures.error = None;
        });
    }

    fn failed(&mut self, why: String) {
        if !self.is_failing || self.why != why {
            tracing::warn!("{}: {why}", self.host.name);
        }
        self.is_failing = true;
        self.figures(|figures| {
            figures.failures += 1;
            figures.error = Some(why.clone());
        });
        self.why = why;
    }

    /// Who says nothing for too long is told to be silent, again and again.
    fn look_for_silence(&self) {
        let silent = self.since.elapsed();
        if silent <= self.host.stale_after {
            return;
        }
        let services = match &self.host.services {
            Some(services) => services.clone(),
            None => self
                .record
                .services
                .iter()
                .map(|s| s.as_str().into())
                .collect(),
        };
        let why = format!(
            "no document of the agent for {}: {}",
            agent::words::seconds(silent.as_secs()),
            self.why
        );
        let results = agent::evaluate::silence(self.host.name.as_str(), &services, now(), &why);
        self.common.submitter.submit(&Batch {
            host: self.host.name.as_str().into(),
            results: results.into(),
        });
        self.figures(|figures| figures.is_stale = true);
    }

    /// Which services there are: those of the configuration, or what was ever
    /// found, so that what is gone is missed.
    fn services(&mut self, document: &Document) -> Vec<BString> {
        if let Some(services) = &self.host.services {
            return services.clone();
        }
        let found = agent::discover_for(document, &self.host.rules)
            .services
            .into_keys();
        let found = found.filter_map(|description| String::from_utf8(description.into()).ok());
        let known = self.record.services.len();
        for description in found {
            if !self.record.services.contains(&description) {
                self.record.services.push(description);
            }
        }
        if self.record.services.len() > known {
            self.record.services.sort();
            let stored = self.common.memory.store_host(&self.host.name, &self.record);
            if let Err(error) = stored {
                tracing::error!(
                    "cannot remember the services of {}: {error}",
                    self.host.name
                );
            }
        }
        self.record
            .services
            .iter()
            .map(|s| s.as_str().into())
            .collect()
    }

    fn figures(&self, change: impl FnOnce(&mut crate::figures::HostFigures)) {
        self.common.figures.of(&self.host.name, change);
    }
}

/// The result for the host first: a core that sees a problem of a service
/// looks at its host.
pub(crate) fn evaluate(
    document: &Document,
    host: &Host,
    now: UnixTime,
    services: &[BString],
) -> Vec<CheckResult> {
    let evaluator = Evaluator::new(document, host.name.as_str(), now, &host.rules);
    let services = services
        .iter()
        .filter_map(|description| evaluator.service(description.as_bstr()));
    std::iter::once(evaluator.host()).chain(services).collect()
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
