//! From the command line to the end: read, check, take the spool, bind, serve, stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use authority::settings;
use program::exit::chain;
use program::{Failure, Status, orphans};
use spool::ground::Ground;
use spool::{DirectoryStorage, Options, Queue, SpoolDirectory};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::access::Access;
use crate::cli::Args;
use crate::config::Configuration;
use crate::control::{self, Control};
use crate::figures::{Links, Notices};
use crate::lane::Crew;
use crate::link::{self, Network};
use crate::owner::{Owner, Request};
use crate::processes::Processes;
use crate::reload::{self, Live};
use crate::report::{Report, Reporter};
use crate::stop::Stop;
use crate::{drop_watch, heartbeat, lane, scrape, submit, upkeep};

/// Files that a killed submitter left in `tmp/` are removed at this age.
const LEFTOVERS: Duration = Duration::from_secs(3600);
/// How long a lock is waited for, and how often it is tried.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// At the second signal lanes get this long to kill their scripts.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// Not looked for more often than this.
const ORPHANS: Duration = Duration::from_secs(1);
/// How much longer than the lanes the owner may take to end.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// Runs the daemon.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let path = args
        .config
        .clone()
        .unwrap_or_else(settings::configuration_file);
    let (configuration, access) = read(&path).map_err(|problems| {
        for problem in problems {
            eprintln!("notifyd: {problem}");
        }
        Failure::silent(Status::BadConfiguration)
    })?;
    if args.check_config {
        return Ok(Status::Done);
    }
    let log = configuration.log;
    let each = log.notifications || args.verbose > 0;
    program::log::start_with(log.format, args.verbose, each);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Status::TryAgain, "cannot start", error))?;
    outlive_size_limits(&runtime)?;
    let (directory, queue) = take_spool(&configuration)?;
    let result = runtime.block_on(serve(path, configuration, access, directory, queue));
    // What hangs in a link's goodbye has had its time.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// A file that reaches the limit of the process (`ulimit -f`) is a disk that is
/// full, not the end.
fn outlive_size_limits(runtime: &tokio::runtime::Runtime) -> Result<(), Failure> {
    let _inside = runtime.enter();
    let beyond = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Whoever was caught once does not kill any more.
    signal(beyond).map_err(cannot_catch).map(drop)
}

fn cannot_catch(error: std::io::Error) -> Failure {
    Failure::caused(Status::TryAgain, "cannot catch signals", error)
}

/// The configuration and what it names, or all that is wrong with them.
pub(crate) fn read(path: &Path) -> Result<(Configuration, Access), Vec<String>> {
    let configuration = Configuration::read(path)?;
    let mut problems = Vec::new();
    configuration.check_files(&mut problems);
    let access = match Access::load(&configuration) {
        Ok(access) if problems.is_empty() => return Ok((configuration, access)),
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    };
    let named = |problem| format!("{}: {problem}", path.display());
    Err(problems.into_iter().chain(access).map(named).collect())
}

/// Makes the spool ours and recovers its journal.
fn take_spool(
    configuration: &Configuration,
) -> Result<(SpoolDirectory, Queue<DirectoryStorage>), Failure> {
    let path = &configuration.spool;
    let failed = |error: spool::Error| {
        let status = match error.is_temporary() {
            true => Status::TryAgain,
            false => Status::Failed,
        };
        Failure::caused(status, "cannot use the spool", error)
    };
    check_ground(configuration)?;
    let directory = lock(path).map_err(failed)?;
    let storage = directory.journal().map_err(failed)?;
    let options = Options {
        // A correct peer can send again only what is in its window; the rest
        // forgives one that is not.
        peer_ids: 4 * link::window(configuration.peers.len()).msgs as usize,
        ..Options::default()
    };
    let (queue, recovery) = Queue::recover(storage, options).map_err(failed)?;
    tracing::info!("{}: {recovery}", path.display());
    for damage in &recovery.damages {
        if let Err(error) = directory.set_aside(damage) {
            tracing::error!("{}", chain(&error));
        }
    }
    let leftovers = directory
        .drop_box()
        .and_then(|drop_box| drop_box.remove_leftovers(SystemTime::now(), LEFTOVERS));
    match leftovers {
        Ok(0) => {}
        Ok(count) => tracing::info!("{count} files of killed submitters removed from tmp/"),
        Err(error) => tracing::warn!("{}", chain(&error)),
    }
    Ok((directory, queue))
}

/// Refuses a file system that does not keep what was synced, unless the
/// configuration allows it.
fn check_ground(configuration: &Configuration) -> Result<(), Failure> {
    let path = configuration.spool.display();
    match spool::ground::of(&configuration.spool) {
        Ok(Ground::Safe) => {}
        Ok(Ground::Doubtful(doubt)) => tracing::warn!("{path}: {doubt}"),
        Ok(Ground::Unfit(unfit)) if configuration.allow_volatile => {
            tracing::warn!("{path}: {unfit}: what is accepted here can be lost");
        }
        Ok(Ground::Unfit(unfit)) => {
            let what = format!(
                "cannot use the spool {path}: {unfit}; move it, or set `allow_volatile` in [spool]"
            );
            return Err(Failure::new(Status::BadConfiguration, what));
        }
        Err(error) => tracing::warn!("{}", chain(&error)),
    }
    Ok(())
}

/// A notifyd that was killed this moment may have left a child behind that has
/// not become a script yet and still holds the lock: that passes.
fn lock(path: &Path) -> Result<SpoolDirectory, spool::Error> {
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match SpoolDirectory::open(path) {
            Err(spool::Error::Locked { .. }) if Instant::now() < end => {
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
}

async fn serve(
    path: PathBuf,
    configuration: Configuration,
    access: Access,
    directory: SpoolDirectory,
    queue: Queue<DirectoryStorage>,
) -> Result<Status, Failure> {
    let mut signals = Signals::new()?;
    let parts = Parts::start(path, &configuration, access, directory, queue);
    let (mut parts, mut live) = parts.await?;
    tracing::info!("site {} is ready", configuration.site);
    program::ready::ready();
    let early = signals
        .wait_for_end(&parts.wake, &mut live, &mut parts.ended)
        .await;
    program::ready::stopping();
    if early {
        let what = "the journal's thread has ended";
        return Err(Failure::new(Status::Failed, what));
    }
    parts.stop(&mut signals, configuration.stop_timeout).await;
    Ok(Status::Done)
}

/// Everything that runs.
struct Parts {
    requests: Sender<Request>,
    /// Says that the owner's thread has ended.
    ended: oneshot::Receiver<()>,
    stop: Stop,
    /// Tells the links to end.
    end: watch::Sender<bool>,
    /// Makes the reporter write the state file; dropped, it ends.
    wake: Sender<Report>,
    reporter: JoinHandle<()>,
}

impl Parts {
    async fn start(
        path: PathBuf,
        configuration: &Configuration,
        access: Access,
        directory: SpoolDirectory,
        queue: Queue<DirectoryStorage>,
    ) -> Result<(Self, Live), Failure> {
        let started = SystemTime::now().into();
        let listeners = reload::bind(configuration, &[])
            .await
            .map_err(|why| Failure::new(Status::TryAgain, why))?;
        let door = scrape::open(configuration.metrics.as_ref())
            .await
            .map_err(|why| Failure::new(Status::TryAgain, why))?;
        let submitters = submit::bind(directory.path()).await;
        let controllers = control::bind(directory.path()).await;
        let (requests, inbox) = channel();
        let stop = Stop::default();
        let links = Links::new(&configuration.peers, started);
        let crew = Crew {
            owner: requests.clone(),
            processes: Processes::default(),
            stop: stop.clone(),
        };
        let tasks = start_lanes(configuration, &crew)?;
        watch_drop_box(directory.path(), &requests);
        let owner = Owner::new(configuration, directory, queue, tasks, stop.clone())
            .map_err(|error| Failure::caused(Status::TryAgain, "cannot read the spool", error))?
            .noting(links.changes())
            .with_syncs_beside(requests.clone())
            .map_err(cannot_start)?;
        let ended = start_owner(owner, inbox)?;
        let notices = Notices::default();
        let reporter = Reporter {
            site: configuration.site.clone(),
            started,
            state: configuration.state.clone(),
            links: links.clone(),
            notices: notices.clone(),
            owner: requests.clone(),
        };
        let (wake, reporter) = reporter.start().map_err(cannot_start)?;
        let (end, stopping) = watch::channel(false);
        if let Some(listener) = submitters {
            let (owner, stopping) = (requests.clone(), stopping.clone());
            let site = configuration.site.clone();
            tokio::spawn(submit::listen(listener, site, owner, stopping));
        }
        let network = Arc::new(Network::new(
            configuration,
            access,
            links,
            notices.clone(),
            requests.clone(),
            stopping,
        ));
        if let Some(listener) = controllers {
            let control = Control {
                owner: requests.clone(),
                reporter: wake.clone(),
                hurry: Arc::clone(&network.hurry),
            };
            tokio::spawn(control.listen(listener, network.stopping.clone()));
        }
        let door = watch::Sender::new(door);
        let stopping = network.stopping.clone();
        tokio::spawn(scrape::serve(door.subscribe(), wake.clone(), stopping));
        tokio::spawn(upkeep::run(Arc::clone(&network)));
        tokio::spawn(heartbeat::run(Arc::clone(&network), stop.clone()));
        tokio::spawn(look_after_orphans(network.stopping.clone())?);
        let live = Live::start(path, listeners, door, Arc::clone(&network), notices, crew);
        let parts = Self {
            requests,
            ended,
            stop,
            end,
            wake,
            reporter,
        };
        Ok((parts, live))
    }

    /// Ends all of it in good order, or at once when asked a second time.
    async fn stop(mut self, signals: &mut Signals, timeout: Duration) {
        tracing::info!("stopping");
        // Whoever does not hear this has ended already.
        let _ = self.end.send(true);
        self.stop.begin(Instant::now() + timeout);
        let _ = self.requests.send(Request::Stop);
        tokio::select! {
            _ = &mut self.ended => {}
            () = tokio::time::sleep(timeout + LAST_COMMIT) => {
                tracing::error!("the journal's thread does not end");
            }
            () = signals.wait_for_second() => {
                tracing::warn!("stopping at once");
                self.stop.begin(Instant::now());
                tokio::time::sleep(LAST_LOOK).await;
            }
        }
        drop(self.wake);
        let reporter = self.reporter;
        let _ = tokio::task::spawn_blocking(move || reporter.join()).await;
        tracing::info!("stopped");
    }
}

/// Looks at what programs of lanes leave behind, soon after one of them has ended.
fn look_after_orphans(
    mut stopping: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send, Failure> {
    orphans::adopt();
    let mut ended = signal(SignalKind::child()).map_err(cannot_catch)?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = ended.recv() => {}
                _ = stopping.wait_for(|stops| *stops) => return,
            }
            tokio::time::sleep(ORPHANS).await;
            let _ = tokio::task::spawn_blocking(orphans::look).await;
        }
    })
}

fn cannot_start(error: std::io::Error) -> Failure {
    Failure::caused(Status::TryAgain, "cannot start a thread", error)
}

/// The threads of each lane; what leads to them, in the order of the configuration.
fn start_lanes(
    configuration: &Configuration,
    crew: &Crew,
) -> Result<Vec<Sender<crate::delivery::Task>>, Failure> {
    let mut all = Vec::new();
    for (number, lane) in configuration.lanes.iter().enumerate() {
        let (tasks, inbox) = channel();
        let site = &configuration.site;
        lane::start(number, lane, site, inbox, crew).map_err(cannot_start)?;
        all.push(tasks);
    }
    Ok(all)
}

/// Without inotify the drop box is scanned every minute.
fn watch_drop_box(spool: &Path, requests: &Sender<Request>) {
    let requests = requests.clone();
    let wake = move || requests.send(Request::LookIntoDropBox).is_ok();
    if let Err(error) = drop_watch::start(&spool.join("new"), wake) {
        tracing::warn!("cannot watch the drop box, it is looked at every minute: {error}");
    }
}

/// The owner's thread; the channel says when it has ended.
fn start_owner(owner: Owner, inbox: Receiver<Request>) -> Result<oneshot::Receiver<()>, Failure> {
    let (end, ended) = oneshot::channel();
    let work = move || {
        // Dropped at the end of this thread, however it comes.
        let _end: oneshot::Sender<()> = end;
        owner.run(&inbox);
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(work)
        .map_err(cannot_start)?;
    Ok(ended)
}

/// The signals this daemon knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    show: Signal,
    reopen: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(cannot_catch);
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            show: catch(SignalKind::user_defined2())?,
            reopen: catch(SignalKind::user_defined1())?,
        })
    }

    /// Serves signals until one that means the end; `true` if the owner ended
    /// before.
    async fn wait_for_end(
        &mut self,
        wake: &Sender<Report>,
        live: &mut Live,
        ended: &mut oneshot::Receiver<()>,
    ) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return false,
                _ = self.interrupt.recv() => return false,
                _ = &mut *ended => return true,
                _ = self.show.recv() => {
                    let _ = wake.send(Report::Show);
                }
                _ = self.hangup.recv() => live.reload().await,
                () = live.wait_for_new_rules() => live.reload().await,
                // The log goes to standard error, which whoever opened it reopens.
                _ = self.reopen.recv() => {}
            }
        }
    }

    async fn wait_for_second(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
