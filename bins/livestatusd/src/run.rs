//! The life of the daemon: check, lock, load, bind, serve, save, end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use objects::{SiteId, UnixTime};
use program::lock::{self, Lock};
use program::{Failure, Status};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use crate::cli::Args;
use crate::client::Service;
use crate::config::{Address, Config, check_socket};
use crate::counters::{Counters, TICK};
use crate::descriptors;
use crate::listen::{self, Listeners};
use crate::load::{self, Found};
use crate::query::{self, Room};
use crate::snapshot;
use crate::store::{Site, Store};

/// How often states are saved, if there is something new.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How long connections may finish what they began when the program is to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs until it is told to end.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let (config, found) = read_configuration(&args.config)?;
    if args.check_config {
        return Ok(check_sites(&config, &found));
    }
    program::log::start(program::log::Format::Text, args.verbose);
    descriptors::make_room(config.limits.connections);
    let _locks = take_locks(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Status::Failed, "cannot start threads", error))?;
    let result = runtime.block_on(serve(&args.config, config, &found));
    // A query that is still being computed is not waited for: its client is gone.
    runtime.shutdown_background();
    result
}

/// Everything that can be wrong is found here, before anything is touched.
fn read_configuration(path: &Path) -> Result<(Config, Found), Failure> {
    let mut problems = Vec::new();
    let config = Config::read(path).map_err(say)?;
    let found = load::find_sites(&config.configuration).map_err(|error| {
        say(vec![format!(
            "cannot read {}: {error}",
            config.configuration.display()
        )])
    })?;
    for (site, _) in &found.sites {
        for socket in listen::site_sockets(&config, site) {
            check_socket(&socket, &mut problems);
        }
    }
    if problems.is_empty() {
        Ok((config, found))
    } else {
        Err(say(problems))
    }
}

fn say(problems: Vec<String>) -> Failure {
    for problem in problems {
        eprintln!("livestatusd: {problem}");
    }
    Failure::silent(Status::BadConfiguration)
}

/// `--check-config`: a site that cannot be read keeps no other from being
/// served, so it is told but is no failure.
fn check_sites(config: &Config, found: &Found) -> Status {
    for problem in &found.problems {
        eprintln!("livestatusd: {problem}");
    }
    for (site, directory) in &found.sites {
        if let Err(problem) = load::read_site(directory, config.allow_unmarked) {
            eprintln!("livestatusd: site {site}: {problem}");
        }
    }
    Status::Done
}

/// No two instances share a socket or a snapshot.
fn take_locks(config: &Config) -> Result<Vec<Lock>, Failure> {
    let failed = |error: lock::Error| {
        let status = match error {
            lock::Error::InUse { .. } => Status::TryAgain,
            lock::Error::Io { .. } => Status::Failed,
        };
        let (what, cause) = (
            error.to_string(),
            std::error::Error::source(&error).map(ToString::to_string),
        );
        match cause {
            Some(cause) => Failure::caused(status, what, cause),
            None => Failure::new(status, what),
        }
    };
    let beside = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    };
    let mut locks = vec![
        Lock::take(&beside(&config.socket)).map_err(failed)?,
        Lock::take(&beside(&config.snapshot)).map_err(failed)?,
    ];
    for endpoint in &config.listen {
        if let Address::Unix(path) = &endpoint.address {
            locks.push(Lock::take(&beside(path)).map_err(failed)?);
        }
    }
    for directory in [&config.site_sockets, &config.ingest_sockets] {
        match std::fs::create_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                let what = format!("cannot create {}", directory.display());
                return Err(Failure::caused(Status::Failed, what, error));
            }
            _ => {}
        }
        locks.push(Lock::take(&directory.join(".lock")).map_err(failed)?);
    }
    Ok(locks)
}

async fn serve(file: &Path, config: Config, found: &Found) -> Result<Status, Failure> {
    let mut signals = Signals::new()?;
    let (stop, stopping) = watch::channel(false);
    let store = Arc::new(Store::new(config.history.clone()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let service = Arc::new(Service {
        store: Arc::clone(&store),
        counters: Arc::new(Counters {
            as_naemon: config.as_naemon,
            ..Counters::new(now())
        }),
        limits: config.limits,
        users: config.users.clone(),
        allow_unmarked: config.allow_unmarked,
        dumps_on_merged: config.dumps_on_merged,
        stopping,
        room: Room {
            max: query::MAX_ANSWER,
            in_memory: query::IN_MEMORY,
            // It is there and can be written to, or there would be no snapshot.
            directory: config.snapshot.parent().unwrap_or(Path::new("/")).into(),
        },
        long_queries: Arc::new(Semaphore::new(threads)),
    });
    let mut daemon = Daemon {
        file: file.to_owned(),
        config,
        store,
        service,
        saved: 0,
        saved_annotated: 0,
    };
    for problem in &found.problems {
        warn!("{problem}");
    }
    for (id, directory) in &found.sites {
        load_site(
            &daemon.store.site_or_new(id),
            directory,
            daemon.config.allow_unmarked,
        );
    }
    snapshot::load(&daemon.config.snapshot, &daemon.store);
    daemon.saved = daemon.store.changes();
    let mut listeners = daemon.bind()?;
    program::ready::ready();
    daemon.until_stopped(&mut signals, &mut listeners).await;
    info!("stopping");
    program::ready::stopping();
    let _ = stop.send(true);
    let closing = listeners.close(STOP_TIMEOUT);
    tokio::select! {
        () = closing => {}
        () = signals.end() => warn!("asked to end a second time: not waiting for connections"),
    }
    daemon.write_history();
    daemon.save(true);
    Ok(Status::Done)
}

/// The parts that signals and the clock act upon.
struct Daemon {
    file: PathBuf,
    config: Config,
    store: Arc<Store>,
    service: Arc<Service>,
    /// The number of changes when states were saved last.
    saved: u64,
    /// The number of changes of comments and downtimes at that time.
    saved_annotated: u64,
}

impl Daemon {
    fn bind(&self) -> Result<Listeners, Failure> {
        let failed = |path: &Path, error| {
            Failure::caused(
                Status::Failed,
                format!("cannot listen on {}", path.display()),
                error,
            )
        };
        let ids: Vec<SiteId> = self
            .store
            .sites()
            .iter()
            .map(|site| site.id.clone())
            .collect();
        listen::remove_stale(&self.config, &ids)
            .map_err(|error| Failure::caused(Status::Failed, "cannot remove old sockets", error))?;
        let mut listeners = Listeners::new(Arc::clone(&self.service));
        listeners
            .bind_merged(&self.config.socket)
            .map_err(|error| failed(&self.config.socket, error))?;
        for site in self.store.sites() {
            listeners
                .bind_site(&self.config, &site)
                .map_err(|(path, error)| failed(&path, error))?;
        }
        for endpoint in &self.config.listen {
            listeners.bind_endpoint(endpoint).map_err(|error| {
                let what = format!("cannot listen on {}", endpoint.address);
                Failure::caused(Status::Failed, what, error)
            })?;
            for warning in endpoint.warnings() {
                warn!("{warning}");
            }
            for id in endpoint.clients.iter().filter(|id| ids.contains(id)) {
                warn!(
                    "{}: `clients` lets {id} see more than itself, which is a site",
                    endpoint.address
                );
            }
        }
        Ok(listeners)
    }

    /// Does what signals and the clock ask for, until one asks to end.
    async fn until_stopped(&mut self, signals: &mut Signals, listeners: &mut Listeners) {
        let mut save =
            tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => self.reload(listeners),
                _ = signals.terminate.recv() => return,
                _ = signals.interrupt.recv() => return,
                _ = signals.user1.recv() => {}
                _ = signals.user2.recv() => {
                    self.save(true);
                    self.tell_figures();
                }
                _ = save.tick() => {
                    self.store.sites().iter().for_each(|site| site.tidy());
                    self.save(false);
                }
                _ = tick.tick() => {
                    self.service.counters.tick();
                    self.store.sites().iter().for_each(|site| site.pass_time(now()));
                    self.write_history();
                    // People wrote those, and nobody sends them again.
                    if self.store.annotated() != self.saved_annotated {
                        self.save(false);
                    }
                }
            }
        }
    }

    /// Reads the sites' configuration again. Whatever cannot be read leaves
    /// in force what was.
    fn reload(&mut self, listeners: &mut Listeners) {
        info!("reading the configuration again");
        match Config::read(&self.file) {
            Err(problems) => problems.iter().for_each(|problem| error!("{problem}")),
            Ok(config) if config != self.config => {
                warn!(
                    "{}: changes take effect with the next start",
                    self.file.display()
                );
            }
            Ok(_) => {}
        }
        let found = match load::find_sites(&self.config.configuration) {
            Ok(found) => found,
            Err(error) => {
                error!(
                    "cannot read {}: {error}; nothing was changed",
                    self.config.configuration.display()
                );
                return;
            }
        };
        for problem in &found.problems {
            warn!("{problem}");
        }
        let ids: Vec<SiteId> = found.sites.iter().map(|(id, _)| id.clone()).collect();
        for gone in self.store.retain(&ids) {
            info!(site = %gone, "the site is gone");
            listeners.unbind_site(&self.config, &gone);
        }
        for (id, directory) in &found.sites {
            let site = self.store.site_or_new(id);
            // Other threads go on serving meanwhile.
            tokio::task::block_in_place(|| load_site(&site, directory, self.config.allow_unmarked));
            if let Err((path, error)) = listeners.bind_site(&self.config, &site) {
                error!(site = %id, "cannot listen on {}: {error}", path.display());
            }
        }
        listeners.reload();
        let program_start = now().secs().max(0) as u64;
        self.service
            .counters
            .program_start
            .store(program_start, Ordering::Relaxed);
        self.store
            .events()
            .happened(livestatus::query::Trigger::Program);
        info!("configuration read again");
    }

    fn save(&mut self, always: bool) {
        let (changes, annotated) = (self.store.changes(), self.store.annotated());
        if changes == self.saved && !always {
            return;
        }
        let result = tokio::task::block_in_place(|| {
            snapshot::save(&self.config.snapshot, &self.store, now())
        });
        match result {
            Ok(()) => (self.saved, self.saved_annotated) = (changes, annotated),
            Err(error) => error!("cannot write {}: {error}", self.config.snapshot.display()),
        }
    }

    fn write_history(&self) {
        tokio::task::block_in_place(|| {
            for site in self.store.sites() {
                if let Some(history) = site.history() {
                    history.flush(now());
                }
            }
        });
    }

    fn tell_figures(&self) {
        let sites = self.store.sites();
        let objects: Vec<_> = sites.iter().map(|site| site.objects()).collect();
        let counters = &self.service.counters;
        info!(
            "{} sites, {} hosts, {} services; {} connections open; since start {} connections, {} requests, \
             {} commands taken, {} refused",
            sites.len(),
            objects
                .iter()
                .map(|objects| objects.hosts.len())
                .sum::<usize>(),
            objects
                .iter()
                .map(|objects| objects.num_services)
                .sum::<usize>(),
            counters.active_connections.load(Ordering::Relaxed),
            counters.connections.total(),
            counters.requests.total(),
            counters.external_commands.total(),
            counters.refused_commands.total(),
        );
    }
}

/// Reads the configuration of one site; if that fails, the old one stays.
fn load_site(site: &Site, directory: &Path, allow_unmarked: bool) {
    match load::read_site(directory, allow_unmarked) {
        Ok(loaded) => {
            site.configure(loaded.configuration);
            let mut status = site.status();
            status.config_time = loaded.time;
            status.config_loaded_at = now();
            status.config_error.clear();
            drop(status);
            let objects = site.objects();
            info!(site = %site.id, "configured: {} hosts, {} services", objects.hosts.len(), objects.num_services);
        }
        Err(problem) => {
            error!(site = %site.id, "configuration not taken, the old one stays in force: {problem}");
            site.status().config_error = problem;
        }
    }
}

/// The signals that the daemon acts upon, from the moment this is made.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen_to = |kind| {
            signal(kind)
                .map_err(|error| Failure::caused(Status::Failed, "cannot take signals", error))
        };
        Ok(Self {
            hangup: listen_to(SignalKind::hangup())?,
            terminate: listen_to(SignalKind::terminate())?,
            interrupt: listen_to(SignalKind::interrupt())?,
            // There is no log file to reopen; without this the signal would kill.
            user1: listen_to(SignalKind::user_defined1())?,
            user2: listen_to(SignalKind::user_defined2())?,
        })
    }

    /// Waits to be asked to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
