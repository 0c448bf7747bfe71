//! The way of results to a core: a thread for each output, which keeps the
//! newest results of each host until the core has taken them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bstr::BString;
use nagios::object::legal_name;
use objects::CheckResult;
use program::exit::chain;

use crate::config::{Output, Reader};

mod check_results;
mod commands;
mod json;
mod livestatus;

/// Results of other hosts are waited for that long, so that they go together.
const GATHER: Duration = Duration::from_millis(250);
/// After a failure, the core is left alone that long.
const PAUSE: Duration = Duration::from_secs(5);

/// Why results did not get there, with what is to be told.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A way to a core.
pub(crate) trait Way: Send {
    /// Hands over the results. After an error all of them come again.
    fn submit(&mut self, results: &[CheckResult]) -> Result<(), Error>;
}

/// All outputs.
pub(crate) struct Outputs {
    lanes: Vec<Lane>,
}

/// Hands results to all outputs.
#[derive(Clone)]
pub(crate) struct Submitter(Vec<Sender<Batch>>);

/// The results of one host.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) host: BString,
    pub(crate) results: Arc<[CheckResult]>,
}

/// What became of results so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) submitted: u64,
    pub(crate) failures: u64,
    /// Hosts whose results wait.
    pub(crate) waiting: usize,
    pub(crate) error: Option<String>,
}

struct Lane {
    output: Output,
    sender: Sender<Batch>,
    figures: Arc<Mutex<Figures>>,
    thread: JoinHandle<()>,
}

impl Outputs {
    /// Starts the threads.
    pub(crate) fn start(outputs: &[Output]) -> std::io::Result<Self> {
        let lanes: std::io::Result<_> = outputs.iter().map(Lane::start).collect();
        Ok(Self { lanes: lanes? })
    }

    /// Whether it is exactly these.
    pub(crate) fn are(&self, outputs: &[Output]) -> bool {
        self.lanes.iter().map(|lane| &lane.output).eq(outputs)
    }

    pub(crate) fn submitter(&self) -> Submitter {
        Submitter(self.lanes.iter().map(|lane| lane.sender.clone()).collect())
    }

    pub(crate) fn figures(&self) -> Vec<(String, Figures)> {
        let figures = self.lanes.iter().map(|lane| {
            let figures = lane.figures.lock().unwrap_or_else(PoisonError::into_inner);
            (name(&lane.output), figures.clone())
        });
        figures.collect()
    }

    /// Lets them hand over what they have, and waits for that. Nobody has a
    /// [`Submitter`] any more.
    pub(crate) fn stop(self) {
        for lane in self.lanes {
            drop(lane.sender);
            let _ = lane.thread.join();
        }
    }
}

impl Submitter {
    /// Hands results over, without waiting.
    pub(crate) fn submit(&self, batch: &Batch) {
        for lane in &self.0 {
            let _ = lane.send(batch.clone());
        }
    }
}

/// The way that an output names.
pub(crate) fn open(output: &Output) -> Box<dyn Way> {
    match output.clone() {
        Output::CheckResults {
            directory,
            reader,
            mode,
        } => Box::new(check_results::Spool::new(directory, reader, mode)),
        Output::Commands { pipe, reader } => Box::new(commands::Pipe::new(pipe, reader)),
        Output::Livestatus { core, reader } => Box::new(livestatus::Livestatus::new(core, reader)),
        Output::Json { file } => Box::new(json::Json::new(file)),
    }
}

/// An output in the words of the configuration.
pub(crate) fn name(output: &Output) -> String {
    match output {
        Output::CheckResults { directory, .. } => format!("check-results {}", directory.display()),
        Output::Commands { pipe, .. } => format!("commands {}", pipe.display()),
        Output::Livestatus { core, .. } => format!("livestatus {}", core.address),
        Output::Json { file: Some(file) } => format!("json {}", file.display()),
        Output::Json { file: None } => "json -".to_owned(),
    }
}

impl Lane {
    fn start(output: &Output) -> std::io::Result<Self> {
        let (sender, batches) = channel();
        let figures = Arc::new(Mutex::new(Figures::default()));
        let worker = Worker {
            name: name(output),
            way: open(output),
            waiting: BTreeMap::new(),
            figures: Arc::clone(&figures),
        };
        let thread = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || worker.run(&batches))?;
        Ok(Self {
            output: output.clone(),
            sender,
            figures,
            thread,
        })
    }
}

/// What an output's thread has.
struct Worker {
    name: String,
    way: Box<dyn Way>,
    /// The newest results of each host.
    waiting: BTreeMap<BString, Arc<[CheckResult]>>,
    figures: Arc<Mutex<Figures>>,
}

impl Worker {
    fn run(mut self, batches: &Receiver<Batch>) {
        let mut is_open = true;
        let mut pause = Duration::MAX;
        while is_open {
            match batches.recv_timeout(pause) {
                Ok(batch) => {
                    self.keep(batch);
                    // Who waits after a failure goes on waiting.
                    let end = match pause {
                        Duration::MAX => Instant::now() + GATHER,
                        pause => Instant::now() + pause,
                    };
                    is_open = self.gather(batches, end);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_open = false,
            }
            pause = match self.hand_over() {
                true => Duration::MAX,
                false => PAUSE,
            };
        }
    }

    /// Takes what comes until `end`; whether more can come.
    fn gather(&mut self, batches: &Receiver<Batch>, end: Instant) -> bool {
        loop {
            match batches.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(batch) => self.keep(batch),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn keep(&mut self, batch: Batch) {
        self.waiting.insert(batch.host, batch.results);
    }

    /// Whether nothing waits any more.
    fn hand_over(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let all: Vec<CheckResult> = self
            .waiting
            .values()
            .flat_map(|r| r.iter().cloned())
            .collect();
        let outcome = self.way.submit(&all);
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                self.waiting.clear();
                figures.submitted += all.len() as u64;
                if figures.error.take().is_some() {
                    tracing::info!("{}: results are taken again", self.name);
                }
            }
            Err(error) => {
                let text = chain(&*error);
                figures.failures += 1;
                // The same complaint once, not at every attempt.
                if figures.error.as_ref() != Some(&text) {
                    tracing::warn!("{}: {text}", self.name);
                }
                figures.error = Some(text);
            }
        }
        figures.waiting = self.waiting.len();
        self.waiting.is_empty()
    }
}

/// A result in the form of check result files and commands, with names that
/// the core takes.
fn passive(reader: &Reader, result: &CheckResult) -> nagios::check_result::CheckResult {
    let legal = |name: &BString| legal_name(name, &reader.illegal);
    nagios::check_result::CheckResult {
        host_name: legal(&result.host_name),
        service_description: result.service_description.as_ref().map(legal),
        return_code: result.return_code,
        start_time: result.time,
        finish_time: result.time,
        latency: 0.0,
        plugin_output: result.plugin_output.clone(),
        long_plugin_output: result.long_plugin_output.clone(),
        perf_data: result.perf_data.clone(),
        full: None,
    }
}
