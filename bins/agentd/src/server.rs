//! The web server: what hangs on the board, over HTTP or HTTPS, in the words of
//! the openITCOCKPIT agent.
//!
//! A new configuration is prepared first, whole: if anything of it cannot be
//! used, everything stays as it is.

mod accept;
mod admission;
mod answer;
mod autotls;
mod bind;
mod configuration;
mod exchange;
mod figures;
mod mode;
mod patient;
mod routes;
mod verifier;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use autotls::hostname;
use bind::bind;
pub(crate) use bind::bind_text;
pub(crate) use figures::Figures;
pub(crate) use mode::Mode;

use crate::board::Board;
use crate::config::Config;

/// What answers need.
pub(crate) struct Shared {
    board: Board,
    serving: RwLock<Arc<Serving>>,
    /// Counts up when connections are to end: something else is served now.
    generation: watch::Sender<u64>,
    /// Somebody wants the configuration to be read anew.
    reload: mpsc::UnboundedSender<()>,
    /// One exchange of certificates at a time.
    exchanging: Mutex<()>,
    figures: Arc<Figures>,
}

/// What is in effect for connections that begin now.
pub(crate) struct Serving {
    config: Arc<Config>,
    mode: Mode,
}

/// The server, which serves nobody before the first configuration.
pub(crate) struct Server {
    shared: Arc<Shared>,
    accepting: Option<Accepting>,
}

struct Accepting {
    wanted: (String, u16),
    local: SocketAddr,
    task: JoinHandle<()>,
}

/// A configuration that can be put into effect.
pub(crate) struct Prepared {
    serving: Serving,
    /// None where the old one does.
    listener: Option<TcpListener>,
}

impl Server {
    pub(crate) fn new(
        board: Board,
        reload: mpsc::UnboundedSender<()>,
        figures: Arc<Figures>,
        config: Arc<Config>,
    ) -> Self {
        let serving = Serving {
            config,
            mode: Mode::Closed,
        };
        let shared = Shared {
            board,
            serving: RwLock::new(Arc::new(serving)),
            generation: watch::Sender::new(0),
            reload,
            exchanging: Mutex::default(),
            figures,
        };
        Self {
            shared: Arc::new(shared),
            accepting: None,
        }
    }

    /// Reads certificates and opens the port; nothing changes yet.
    pub(crate) fn prepare(&self, config: &Arc<Config>) -> Result<Prepared, String> {
        let mode = Mode::of(&config.tls)?;
        let wanted = (config.web.address.as_str(), config.web.port);
        let listener = match &self.accepting {
            Some(old) if (old.wanted.0.as_str(), old.wanted.1) == wanted => None,
            _ => Some(bind(wanted.0, wanted.1)?),
        };
        Ok(Prepared {
            serving: Serving {
                config: Arc::clone(config),
                mode,
            },
            listener,
        })
    }

    /// Serves by it from now on. Connections end with the answer they are at.
    pub(crate) fn apply(&mut self, prepared: Prepared) -> Result<(), String> {
        let Prepared { serving, listener } = prepared;
        let wanted = (serving.config.web.address.clone(), serving.config.web.port);
        let name = serving.mode.name();
        self.shared.serve(serving);
        if let Some(listener) = listener {
            let local = listener.local_addr().map_err(|error| error.to_string())?;
            let task = tokio::spawn(accept::run(listener, Arc::clone(&self.shared)));
            let accepting = Accepting {
                wanted,
                local,
                task,
            };
            if let Some(old) = self.accepting.replace(accepting) {
                old.task.abort();
            }
        }
        if let Some(accepting) = &self.accepting {
            tracing::info!("listening on {}, {name}", accepting.local);
        }
        Ok(())
    }

    /// Waits for a moment until connections have ended.
    pub(crate) async fn end(self) {
        let deadline = Instant::now() + accept::FAREWELL;
        // All others who share it are connections.
        while Arc::strong_count(&self.shared) > 1 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Closes the port. Connections end with the answer they are at.
    pub(crate) fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.task.abort();
        }
        self.shared.generation.send_modify(|number| *number += 1);
    }
}

impl Shared {
    fn serving(&self) -> Arc<Serving> {
        let serving = self.serving.read();
        Arc::clone(&serving.unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(&self, serving: Serving) {
        let mut place = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(serving);
        self.generation.send_modify(|number| *number += 1);
    }
}
