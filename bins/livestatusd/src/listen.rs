//! The sockets: one for all sites, two for each site. They come and go with
//! the sites.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use objects::SiteId;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::client::{self, Scope, Service};
use crate::config::{Config, check_socket};
use crate::ingest;
use crate::store::Site;
use crate::stream::Stream;

/// Owner and group may connect.
const MODE: Mode = Mode::from_raw_mode(0o660);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// All sockets that are bound.
pub(crate) struct Listeners {
    service: Arc<Service>,
    bound: BTreeMap<PathBuf, JoinHandle<()>>,
}

/// What a socket is for.
#[derive(Clone)]
enum Purpose {
    Queries(Scope),
    Ingest(Arc<Site>),
}

impl Listeners {
    /// Nothing is bound yet.
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            bound: BTreeMap::new(),
        }
    }

    /// Binds the merged socket.
    pub(crate) fn bind_merged(&mut self, path: &Path) -> io::Result<()> {
        self.bind(path.to_owned(), Purpose::Queries(Scope::Merged))
    }

    /// Binds both sockets of a site, as far as they are not bound.
    pub(crate) fn bind_site(
        &mut self,
        config: &Config,
        site: &Arc<Site>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let [queries, dumps] = site_sockets(config, &site.id);
        self.bind(
            queries.clone(),
            Purpose::Queries(Scope::Site(Arc::clone(site))),
        )
        .map_err(|error| (queries, error))?;
        self.bind(dumps.clone(), Purpose::Ingest(Arc::clone(site)))
            .map_err(|error| (dumps, error))
    }

    /// Removes both sockets of a site and ends their connections.
    pub(crate) fn unbind_site(&mut self, config: &Config, site: &SiteId) {
        for path in site_sockets(config, site) {
            if let Some(task) = self.bound.remove(&path) {
                task.abort();
                remove(&path);
                info!("no longer listening on {}", path.display());
            }
        }
    }

    /// Stops accepting, and waits until what was begun is done, for at most
    /// `patience`.
    pub(crate) async fn close(self, patience: Duration) {
        for path in self.bound.keys() {
            remove(path);
        }
        let finished = async {
            for task in self.bound.into_values() {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(patience, finished).await.is_err() {
            warn!(
                "some connections did not end within {} s",
                patience.as_secs()
            );
        }
    }

    fn bind(&mut self, path: PathBuf, purpose: Purpose) -> io::Result<()> {
        if self.bound.contains_key(&path) {
            return Ok(());
        }
        let listener = UnixListener::from_std(bind_unix(&path)?)?;
        info!("listening on {}", path.display());
        let task = tokio::spawn(accept(listener, purpose, Arc::clone(&self.service)));
        self.bound.insert(path, task);
        Ok(())
    }
}

/// The sockets of a site: for queries, and for dumps.
pub(crate) fn site_sockets(config: &Config, site: &SiteId) -> [PathBuf; 2] {
    [&config.site_sockets, &config.ingest_sockets].map(|directory| directory.join(site.as_str()))
}

/// Removes sockets of sites that there are no more, left by a program that
/// was killed.
pub(crate) fn remove_stale(config: &Config, sites: &[SiteId]) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    for directory in [&config.site_sockets, &config.ingest_sockets] {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let current = name
                .to_str()
                .is_some_and(|name| sites.iter().any(|site| site.as_str() == name));
            if entry.file_type()?.is_socket() && !current {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Binds a socket that never was open to more than [`MODE`] says. The lock
/// beside it makes sure that what is there belongs to nobody.
fn bind_unix(path: &Path) -> io::Result<StdListener> {
    let mut problems = Vec::new();
    check_socket(path, &mut problems);
    if let Some(problem) = problems.pop() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // On Linux the file gets the mode of the socket, less the umask; the
    // second change adds what the umask took.
    rustix::fs::fchmod(&socket, MODE)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, MODE)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!("cannot remove {}: {error}", path.display());
    }
}

async fn accept(listener: UnixListener, purpose: Purpose, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    let mut stopping = service.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Connections that ended are forgotten one by one.
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let open = service
                    .counters
                    .active_connections
                    .fetch_add(1, Ordering::AcqRel);
                let connection = Open(Arc::clone(&service));
                if open >= service.limits.connections {
                    warn!("refused a connection: {open} are open, as many as `connections` allows");
                    continue;
                }
                service.counters.connections.add();
                connections.spawn(serve(stream, purpose.clone(), connection));
            }
            Err(error) => {
                // Out of descriptors: those that are open must end first.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: UnixStream, purpose: Purpose, connection: Open) {
    let service = Arc::clone(&connection.0);
    let stream = Stream::Unix(stream);
    match purpose {
        Purpose::Queries(scope) => client::serve(stream, scope, service).await,
        Purpose::Ingest(site) => ingest::serve(stream, site, service).await,
    }
}

/// Counts a connection as long as it is open.
struct Open(Arc<Service>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0
            .counters
            .active_connections
            .fetch_sub(1, Ordering::AcqRel);
    }
}
