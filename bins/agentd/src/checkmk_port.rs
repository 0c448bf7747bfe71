//! The port that Checkmk asks: whoever connects gets the sections, and that is
//! the end of it. Plain text, for a network that is trusted, or a tunnel.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use listenfd::ListenFd;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::board::Board;
use crate::checkmk;
use crate::collect::Machine;
use crate::config::Config;
use crate::server::bind_text;

/// Most clients at a time; others wait.
const CLIENTS: usize = 16;
/// For one client, the first document included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports that are open, and who may ask there.
pub(crate) struct Port {
    board: Board,
    /// Handed over by the service manager, which keeps them open.
    inherited: Vec<Arc<TcpListener>>,
    own: Option<(String, Arc<TcpListener>)>,
    accepting: Vec<JoinHandle<()>>,
}

/// What a configuration needs that may not be had.
pub(crate) struct Prepared {
    own: Option<(String, Arc<TcpListener>)>,
    from: Arc<[IpNet]>,
    machine: Arc<Machine>,
}

impl Port {
    pub(crate) fn new(board: Board) -> Result<Self, String> {
        let mut sockets = ListenFd::from_env();
        let mut inherited = Vec::new();
        for index in 0..sockets.len() {
            let listener = sockets.take_tcp_listener(index);
            let listener = listener
                .and_then(|listener| listener.ok_or(std::io::ErrorKind::NotFound.into()))
                .and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                })
                .map_err(|error| format!("a socket of the service manager: {error}"))?;
            inherited.push(Arc::new(listener));
        }
        Ok(Self {
            board,
            inherited,
            own: None,
            accepting: Vec::new(),
        })
    }

    /// Opens the port; nothing changes yet.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let own = match (&config.checkmk.listen, &self.own) {
            (None, _) => None,
            (Some(wanted), Some((address, listener))) if wanted == address => {
                Some((address.clone(), Arc::clone(listener)))
            }
            (Some(wanted), _) => Some((wanted.clone(), Arc::new(bind_text(wanted)?))),
        };
        Ok(Prepared {
            own,
            from: config.checkmk.from.clone().into(),
            machine: Arc::new(Machine::real(&config.checks)),
        })
    }

    /// Serves by it from now on.
    pub(crate) fn apply(&mut self, prepared: Prepared) {
        self.stop();
        if let Some((_, listener)) = &prepared.own
            && let Ok(local) = listener.local_addr()
        {
            tracing::info!("Checkmk may ask at {local}");
        }
        self.own = prepared.own;
        let own = self.own.iter().map(|(_, listener)| listener);
        self.accepting = own
            .chain(&self.inherited)
            .map(|listener| {
                let (listener, board) = (Arc::clone(listener), self.board.clone());
                let machine = Arc::clone(&prepared.machine);
                tokio::spawn(accept(listener, board, Arc::clone(&prepared.from), machine))
            })
            .collect();
    }

    pub(crate) fn stop(&mut self) {
        for accepting in self.accepting.drain(..) {
            accepting.abort();
        }
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    board: Board,
    from: Arc<[IpNet]>,
    machine: Arc<Machine>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept connections of Checkmk: {error}");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        let peer: IpAddr = peer.ip().to_canonical();
        if !from.is_empty() && !from.iter().any(|network| network.contains(&peer)) {
            tracing::info!("{peer} is not among those of `checkmk-from`");
            continue;
        }
        let answer = answer(stream, board.clone(), Arc::clone(&machine));
        tokio::spawn(async move {
            if !matches!(timeout(PATIENCE, answer).await, Ok(Ok(()))) {
                tracing::info!("{peer} did not wait for the sections of Checkmk");
            }
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, board: Board, machine: Arc<Machine>) -> std::io::Result<()> {
    let mut documents = board.changed();
    while board.document().collected.is_none() {
        documents.changed().await.map_err(std::io::Error::other)?;
    }
    // It reads files of the kernel, and asks others on this machine.
    let text =
        tokio::task::spawn_blocking(move || checkmk::write(&board.document().document, &machine));
    stream.write_all(&text.await?).await?;
    stream.shutdown().await
}
