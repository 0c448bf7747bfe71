//! The sockets: one for all sites, two for each site, which come and go with
//! the sites, and those of the `[[listen]]`s.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use objects::SiteId;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::accept::{Door, Offer, Socket};
use crate::admit::{Entrance, Purpose};
use crate::client::{Scope, Service};
use crate::config::{Address, Config, Endpoint, check_socket};
use crate::half_open::HalfOpen;
use crate::store::Site;

/// Owner and group may connect.
const MODE: Mode = Mode::from_raw_mode(0o660);

/// Connections that wait to be accepted.
const BACKLOG: u16 = 1024;

/// All sockets that are bound.
pub(crate) struct Listeners {
    service: Arc<Service>,
    half_open: Arc<HalfOpen>,
    bound: BTreeMap<PathBuf, JoinHandle<()>>,
    ports: Vec<JoinHandle<()>>,
    entrances: Vec<Arc<Entrance>>,
}

impl Listeners {
    /// Nothing is bound yet.
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self {
            half_open: HalfOpen::new(service.limits.half_open),
            service,
            bound: BTreeMap::new(),
            ports: Vec::new(),
            entrances: Vec::new(),
        }
    }

    /// Binds the merged socket.
    pub(crate) fn bind_merged(&mut self, path: &Path) -> io::Result<()> {
        self.bind(path.to_owned(), Offer::Given(Purpose::Everything))
    }

    /// Binds the socket of a `[[listen]]`.
    pub(crate) fn bind_endpoint(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        let entrance = Arc::new(Entrance::new(endpoint.clone())?);
        self.entrances.push(Arc::clone(&entrance));
        let offer = Offer::Asked(entrance);
        match &endpoint.address {
            Address::Unix(path) => self.bind(path.clone(), offer),
            Address::Tcp(address) => self.bind_port("tcp", *address, offer),
            Address::Tls(address, _) => self.bind_port("tls", *address, offer),
        }
    }

    /// Reads the certificates again, and ends the connections of those who would
    /// not be let in any more.
    pub(crate) fn reload(&self) {
        for entrance in &self.entrances {
            entrance.reload();
        }
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
            Offer::Given(Purpose::Queries(Scope::Site(Arc::clone(site)))),
        )
        .map_err(|error| (queries, error))?;
        self.bind(
            dumps.clone(),
            Offer::Given(Purpose::Ingest(Arc::clone(site))),
        )
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
            for task in self.bound.into_values().chain(self.ports) {
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

    fn bind(&mut self, path: PathBuf, offer: Offer) -> io::Result<()> {
        if self.bound.contains_key(&path) {
            return Ok(());
        }
        let listener = UnixListener::from_std(bind_unix(&path)?)?;
        let task = self.open(path.display().to_string(), offer, Socket::Unix(listener));
        self.bound.insert(path, task);
        Ok(())
    }

    fn bind_port(&mut self, scheme: &str, address: SocketAddr, offer: Offer) -> io::Result<()> {
        let listener = bind_tcp(address)?;
        // The system may have chosen the port.
        let name = format!("{scheme}:{}", listener.local_addr()?);
        let task = self.open(name, offer, Socket::Tcp(listener));
        self.ports.push(task);
        Ok(())
    }

    fn open(&self, name: String, offer: Offer, socket: Socket) -> JoinHandle<()> {
        info!("listening on {name}");
        let (service, half_open) = (Arc::clone(&self.service), Arc::clone(&self.half_open));
        tokio::spawn(Door::new(name, offer, service, half_open).keep(socket))
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
    rustix::net::listen(&socket, BACKLOG.into())?;
    Ok(socket.into())
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A predecessor's connections may still be fading away.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG.into())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!("cannot remove {}: {error}", path.display());
    }
}
