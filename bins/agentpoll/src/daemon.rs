//! `agentpoll run`: read, check, bind, ask and listen, until told to stop.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use net::Listener;
use net::server::Server;
use objects::UnixTime;
use program::exit::chain;
use program::{Failure, Status};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::caller::Caller;
use crate::cli::Run;
use crate::config::{Config, DEFAULT, Host, Mode, Receive};
use crate::figures::Figures;
use crate::memory::Memory;
use crate::poll::{Common, Doors, Watcher};
use crate::receive::{self, Receiver};
use crate::signer::Signer;
use crate::submit::Outputs;
use crate::trust::{Authorities, Trust};

/// Files are written that often.
const REPORT: Duration = Duration::from_secs(10);
/// It is looked that often whether our own certificate runs out.
const RENEWAL: Duration = Duration::from_secs(6 * 3600);
/// Pushed documents of a host that wait to be looked at.
const WAITING: usize = 2;

pub(crate) fn run(args: &Run) -> Result<Status, Failure> {
    let path = args.config.clone().unwrap_or_else(|| DEFAULT.into());
    let config = match read(&path) {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                eprintln!("agentpoll: {problem}");
            }
            return Err(Failure::silent(Status::BadConfiguration));
        }
    };
    if args.check_config {
        return Ok(Status::Done);
    }
    program::log::start(program::log::Format::Text, args.verbose);
    raise_limit();
    let memory = Memory::open(&config.state.directory)?;
    let lock = memory.lock()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Status::TryAgain, "cannot start", error))?;
    let result = runtime.block_on(serve(path, config, memory));
    runtime.shutdown_timeout(Duration::ZERO);
    drop(lock);
    result
}

/// The configuration, or all that is wrong with it and with what it names.
pub(crate) fn read(path: &Path) -> Result<Config, Vec<String>> {
    let config = Config::read(path)?;
    let mut problems = Vec::new();
    if let Some(signing) = &config.authority
        && let Err(what) = Signer::new(signing.clone()).authorities()
    {
        problems.push(format!("[authority]: {what}"));
    }
    if let Some(receive) = &config.receive
        && let Err(error) = receive::load(receive)
    {
        problems.push(format!("[receive]: {}", chain(&error)));
    }
    for host in &config.hosts {
        if let Some(ca) = &host.ca
            && let Err(what) = Authorities::read(ca, None)
        {
            problems.push(format!("{}: {what}", host.name));
        }
    }
    match problems.is_empty() {
        true => Ok(config),
        false => Err(problems
            .into_iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect()),
    }
}

/// As many connections as the system lets us have.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What there is will do, too.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How the agent of a host is asked, as far as this process knows.
pub(crate) fn caller(config: &Config, host: &Host, memory: &Memory) -> Result<Caller, String> {
    let signer = config.authority.clone().map(Signer::new);
    let own = match &signer {
        Some(signer) => Some(signer.own(memory)?),
        None => None,
    };
    let believed = match &signer {
        Some(signer) => Arc::new(signer.authorities()?),
        None => Arc::default(),
    };
    caller_with(host, memory, signer, Trusted { own, believed })
}

/// What connections of all hosts share.
#[derive(Clone)]
struct Trusted {
    own: Option<crate::trust::Own>,
    believed: Arc<Authorities>,
}

fn caller_with(
    host: &Host,
    memory: &Memory,
    signer: Option<Signer>,
    trusted: Trusted,
) -> Result<Caller, String> {
    let authorities = match &host.ca {
        Some(ca) => Arc::new(Authorities::read(ca, None)?),
        None => trusted.believed,
    };
    Ok(Caller {
        host: Arc::new(host.clone()),
        trust: Trust {
            belief: host.belief,
            authorities,
            own: trusted.own,
        },
        signer,
        memory: memory.clone(),
    })
}

async fn serve(path: PathBuf, config: Config, memory: Memory) -> Result<Status, Failure> {
    let mut signals = Signals::new()?;
    let mut running = Running::start(config, memory, None).await?;
    tracing::info!("ready, {} hosts", running.config.hosts.len());
    program::ready::ready();
    let mut report = interval(REPORT);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewal = interval(RENEWAL);
    renewal.tick().await;
    loop {
        tokio::select! {
            _ = report.tick() => running.report(),
            // What it had in memory is read anew.
            _ = renewal.tick() => running = running.reload(&path).await,
            _ = signals.hang_up.recv() => running = running.reload(&path).await,
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    program::ready::stopping();
    running.stop().await;
    tracing::info!("ended");
    Ok(Status::Done)
}

struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| Failure::caused(Status::TryAgain, "cannot catch signals", error))
        };
        Ok(Self {
            hang_up: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }
}

/// Everything that runs under one configuration.
struct Running {
    config: Config,
    memory: Memory,
    figures: Figures,
    started: UnixTime,
    beginning: Instant,
    outputs: Outputs,
    /// All hosts, and who receives; they end when this is dropped.
    tasks: JoinSet<()>,
    listener: Option<(Receive, Arc<Listener>)>,
    complaint: String,
}

/// What a new configuration takes over from the old one.
struct Heritage {
    figures: Figures,
    started: UnixTime,
    beginning: Instant,
    listener: Option<(Receive, Arc<Listener>)>,
    outputs: Option<Outputs>,
}

/// All that can be wrong is found out before anything old is stopped.
struct Prepared {
    callers: Vec<Caller>,
    tls: Option<Arc<Server>>,
    listener: Option<(Receive, Arc<Listener>)>,
}

impl Prepared {
    async fn new(
        config: &Config,
        memory: &Memory,
        old: Option<&(Receive, Arc<Listener>)>,
    ) -> Result<Self, String> {
        let signer = config.authority.clone().map(Signer::new);
        let mut trusted = Trusted {
            own: None,
            believed: Arc::default(),
        };
        if let Some(signer) = &signer {
            trusted.own = Some(signer.own(memory)?);
            trusted.believed = Arc::new(signer.authorities()?);
        }
        let callers = config
            .hosts
            .iter()
            .map(|host| caller_with(host, memory, signer.clone(), trusted.clone()));
        let callers = callers.collect::<Result<Vec<_>, _>>()?;
        let Some(receive) = &config.receive else {
            return Ok(Self {
                callers,
                tls: None,
                listener: None,
            });
        };
        let tls = receive::load(receive).map_err(|error| chain(&error))?;
        let listener = match old.filter(|(old, _)| old.address == receive.address) {
            Some((_, listener)) => Arc::clone(listener),
            None => {
                let listener = receive.address.listen().await;
                Arc::new(listener.map_err(|error| chain(&error))?)
            }
        };
        Ok(Self {
            callers,
            tls: tls.map(Arc::new),
            listener: Some((receive.clone(), listener)),
        })
    }
}

impl Running {
    async fn start(
        config: Config,
        memory: Memory,
        heritage: Option<Heritage>,
    ) -> Result<Self, Failure> {
        let old = heritage.as_ref().and_then(|old| old.listener.as_ref());
        let prepared = Prepared::new(&config, &memory, old).await;
        let prepared = prepared.map_err(|what| Failure::new(Status::Failed, what))?;
        let heritage = heritage.unwrap_or_else(|| Heritage {
            figures: Figures::default(),
            started: SystemTime::now().into(),
            beginning: Instant::now(),
            listener: None,
            outputs: None,
        });
        Self::run(config, memory, heritage, prepared)
            .map_err(|error| Failure::caused(Status::Failed, "cannot start", error))
    }

    fn run(
        config: Config,
        memory: Memory,
        heritage: Heritage,
        prepared: Prepared,
    ) -> std::io::Result<Self> {
        let outputs = match heritage.outputs {
            Some(old) if old.are(&config.outputs) => old,
            old => {
                let new = Outputs::start(&config.outputs)?;
                // What they still have may take a while to be handed over.
                std::thread::spawn(move || old.map(Outputs::stop));
                new
            }
        };
        let figures = heritage.figures;
        figures.keep(
            config
                .hosts
                .iter()
                .map(|host| (host.name.as_str(), host.mode)),
        );
        let common = Common {
            memory: memory.clone(),
            figures: figures.clone(),
            submitter: outputs.submitter(),
            beginning: heritage.beginning,
            doors: Arc::new(Doors::new(config.poll.connections)),
        };
        let mut tasks = JoinSet::new();
        let mut pushing = HashMap::new();
        for caller in prepared.callers {
            let host = Arc::clone(&caller.host);
            let watcher = match Watcher::new(Arc::clone(&host), common.clone()) {
                Ok(watcher) => watcher,
                Err(error) => {
                    // Not knowing whether it has spoken TLS, it is not asked.
                    tracing::error!("{}: {error}", host.name);
                    figures.of(&host.name, |figures| {
                        figures.error = Some(error.to_string());
                    });
                    continue;
                }
            };
            match host.mode {
                Mode::Pull => {
                    tasks.spawn(watcher.pull(caller));
                }
                Mode::Push => {
                    let (sender, documents) = mpsc::channel(WAITING);
                    pushing.insert(host.name.clone(), sender);
                    tasks.spawn(watcher.listen(documents));
                }
            }
        }
        if let Some((receive, listener)) = &prepared.listener {
            let receiver = Receiver {
                api_key: receive.api_key.clone(),
                waiting: receive.waiting,
                memory: memory.clone(),
                figures: figures.clone(),
                hosts: pushing,
                changing: Mutex::new(()),
            };
            tracing::info!("listening on {}", listener.address()?);
            let serving = receive::serve(Arc::new(receiver), Arc::clone(listener), prepared.tls);
            tasks.spawn(serving);
        }
        Ok(Self {
            config,
            memory,
            figures,
            started: heritage.started,
            beginning: heritage.beginning,
            outputs,
            tasks,
            listener: prepared.listener,
            complaint: String::new(),
        })
    }

    /// Goes on with what the file says now; with the old if that is wrong.
    async fn reload(self, path: &Path) -> Self {
        let config = match read(path) {
            Ok(config) => config,
            Err(problems) => {
                for problem in problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the configuration stays as it was");
                return self;
            }
        };
        if config.state.directory != self.config.state.directory {
            tracing::error!("the state directory cannot change: the configuration stays as it was");
            return self;
        }
        let old = self.listener.as_ref();
        let prepared = match Prepared::new(&config, &self.memory, old).await {
            Ok(prepared) => prepared,
            Err(what) => {
                tracing::error!("{what}: the configuration stays as it was");
                return self;
            }
        };
        let (memory, heritage) = self.end().await;
        let hosts = config.hosts.len();
        match Self::run(config, memory, heritage, prepared) {
            Ok(running) => {
                tracing::info!("configuration read, {hosts} hosts");
                running
            }
            Err(error) => {
                // No thread, no address: there is no going on.
                tracing::error!("cannot go on: {error}");
                std::process::exit(i32::from(Status::TryAgain.code()));
            }
        }
    }

    /// Ends all tasks.
    async fn end(mut self) -> (Memory, Heritage) {
        // They are gone when this returns, and with them who submits.
        self.tasks.shutdown().await;
        let heritage = Heritage {
            figures: self.figures,
            started: self.started,
            beginning: self.beginning,
            listener: self.listener,
            outputs: Some(self.outputs),
        };
        (self.memory, heritage)
    }

    fn report(&mut self) {
        let now = SystemTime::now().into();
        program::ready::status(&self.figures.summary());
        let outputs = self.outputs.figures();
        let written = self
            .figures
            .write(&self.config.state, self.started, now, &outputs);
        let complaint = written.err().unwrap_or_default();
        // The same complaint once, not at every interval.
        if !complaint.is_empty() && complaint != self.complaint {
            tracing::error!("{complaint}");
        }
        self.complaint = complaint;
    }

    async fn stop(mut self) {
        self.report();
        let (_, heritage) = self.end().await;
        // What they have is handed over.
        if let Some(outputs) = heritage.outputs {
            outputs.stop();
        }
    }
}
