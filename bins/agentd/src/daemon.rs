//! The life of the daemon: start, new configurations, end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use program::{Failure, Status, ready};
use tokio::runtime;
use tokio::sync::mpsc;

use crate::board::Board;
use crate::checkmk_port::{self, Port};
use crate::cli::Args;
use crate::collect::{self, Collecting};
use crate::config::{Config, Finding, Severity, worst};
use crate::log::{self, LogFile};
use crate::push::{self, Pushing};
use crate::server::{self, Figures, Server};
use crate::signals::{Signals, Told};

/// For those who collect, when the daemon ends.
const STOP: Duration = Duration::from_secs(20);

/// Runs until it is told to stop.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let (config, findings) = Config::load(&args.config);
    if worst(&findings) == Some(Severity::Fatal) {
        for finding in &findings {
            eprintln!("agentd: {finding}");
        }
        return Err(Failure::silent(Status::Failed));
    }
    let log = start_log(args)?;
    tell(&findings);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failure("cannot start", error))?;
    runtime.block_on(async {
        let mut daemon = Daemon::start(args.config.clone(), Arc::new(config), log)?;
        daemon.serve().await;
        daemon.stop().await;
        Ok::<_, Failure>(())
    })?;
    // What hangs in the kernel is left behind.
    runtime.shutdown_background();
    Ok(Status::Done)
}

fn start_log(args: &Args) -> Result<LogFile, Failure> {
    let settings = log::Settings {
        level: args.level(),
        file: (!args.disable_logfile).then(|| args.log.clone()),
        keep: args.kept_logs(),
        try_rotation: !args.disable_logrotate,
    };
    log::start(settings).map_err(|error| failure(args.log.display().to_string(), error))
}

fn failure(
    what: impl Into<String>,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Failure {
    Failure::caused(Status::Failed, what, cause)
}

fn tell(findings: &[Finding]) {
    for finding in findings {
        match finding.severity {
            Severity::Warning => tracing::warn!("{finding}"),
            Severity::Error | Severity::Fatal => tracing::error!("{finding}"),
        }
    }
}

struct Daemon {
    path: PathBuf,
    log: LogFile,
    signals: Signals,
    /// From those who have changed the configuration over HTTP.
    wanted: mpsc::UnboundedReceiver<()>,
    board: Board,
    figures: Arc<Figures>,
    server: Server,
    checkmk: Port,
    collecting: Option<Collecting>,
    pushing: Option<Pushing>,
}

impl Daemon {
    /// Everything that can go wrong does so before anything is served.
    fn start(path: PathBuf, config: Arc<Config>, log: LogFile) -> Result<Self, Failure> {
        let signals = Signals::new().map_err(|error| failure("cannot await signals", error))?;
        let board = Board::new();
        let figures = Arc::new(Figures::default());
        let (reload, wanted) = mpsc::unbounded_channel();
        let server = Server::new(
            board.clone(),
            reload,
            Arc::clone(&figures),
            Arc::clone(&config),
        );
        let checkmk = Port::new(board.clone());
        let checkmk = checkmk.map_err(|what| Failure::new(Status::Failed, what))?;
        let mut daemon = Self {
            path,
            log,
            signals,
            wanted,
            board,
            figures,
            server,
            checkmk,
            collecting: None,
            pushing: None,
        };
        let prepared = daemon.prepare(&config);
        let prepared = prepared.map_err(|what| Failure::new(Status::Failed, what))?;
        let applied = daemon.apply(&config, prepared);
        applied.map_err(|what| Failure::new(Status::Failed, what))?;
        ready::ready();
        Ok(daemon)
    }

    /// Until it is told to stop.
    async fn serve(&mut self) {
        loop {
            tokio::select! {
                told = self.signals.next() => match told {
                    Told::End => return,
                    Told::Reopen => self.log.reopen(),
                    Told::Reload => {
                        self.log.reopen();
                        self.reload().await;
                    }
                },
                Some(()) = self.wanted.recv() => self.reload().await,
            }
        }
    }

    /// Takes a new configuration, or keeps the old one whole.
    async fn reload(&mut self) {
        let (config, findings) = Config::load(&self.path);
        tell(&findings);
        let config = Arc::new(config);
        let prepared = match worst(&findings) {
            Some(Severity::Fatal) => Err("see above".to_owned()),
            _ => self.prepare(&config),
        };
        let applied = match prepared {
            Ok(prepared) => {
                end_collecting(self.collecting.take()).await;
                self.apply(&config, prepared)
            }
            Err(what) => Err(what),
        };
        match applied {
            Ok(()) => tracing::info!("the configuration has been read"),
            Err(what) => {
                self.figures.reloads_failed.fetch_add(1, Relaxed);
                tracing::error!("the old configuration stays in effect: {what}");
            }
        }
    }

    async fn stop(mut self) {
        ready::stopping();
        self.server.stop();
        self.checkmk.stop();
        tokio::select! {
            () = end_collecting(self.collecting.take()) => {}
            // In a hurry.
            () = self.signals.end() => return,
        }
        self.server.end().await;
    }
}

async fn end_collecting(collecting: Option<Collecting>) {
    if let Some(collecting) = collecting {
        let ended = tokio::task::spawn_blocking(|| collecting.stop());
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::error!("something that is being collected does not end");
        }
    }
}

/// All that a new configuration needs and that may not be had.
struct Prepared {
    server: Option<server::Prepared>,
    checkmk: checkmk_port::Prepared,
    push: Option<push::Prepared>,
}

impl Daemon {
    fn prepare(&self, config: &Arc<Config>) -> Result<Prepared, String> {
        let server = config.serves().then(|| self.server.prepare(config));
        let push = config.push.enabled;
        let push = push.then(|| push::prepare(config, server::hostname()));
        Ok(Prepared {
            server: server.transpose()?,
            checkmk: self.checkmk.prepare(config)?,
            push: push.transpose()?,
        })
    }

    fn apply(&mut self, config: &Arc<Config>, prepared: Prepared) -> Result<(), String> {
        let collecting = collect::start(config, self.board.clone());
        self.collecting = Some(collecting.map_err(|error| format!("cannot collect: {error}"))?);
        match prepared.server {
            Some(server) => self.server.apply(server)?,
            None => self.server.stop(),
        }
        self.checkmk.apply(prepared.checkmk);
        if let Some(old) = self.pushing.take() {
            old.stop();
        }
        self.pushing = prepared
            .push
            .map(|push| push::start(push, self.board.clone(), Arc::clone(&self.figures)));
        Ok(())
    }
}
