//! What a client of a `[[listen]]` gets, by what its certificate says; and that
//! it loses it when the configuration is read again and says otherwise.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use net::server::{Client, Server};
use objects::{SiteId, UnixTime};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::client::Scope;
use crate::config::{Address, Endpoint, Serve};
use crate::store::{Site, Store};

/// What a connection is for.
#[derive(Clone)]
pub(crate) enum Purpose {
    /// Queries.
    Queries(Scope),
    /// Queries over all sites, and dumps of any if the configuration allows it.
    Everything,
    /// Dumps of one site.
    Ingest(Arc<Site>),
}

/// One `[[listen]]`, with its certificates.
pub(crate) struct Entrance {
    pub(crate) endpoint: Endpoint,
    tls: Option<RwLock<Arc<Server>>>,
    reloads: watch::Sender<()>,
}

impl Entrance {
    /// Reads the certificates.
    pub(crate) fn new(endpoint: Endpoint) -> io::Result<Self> {
        let tls = match load(&endpoint) {
            None => None,
            Some(Ok(server)) => Some(RwLock::new(Arc::new(server))),
            Some(Err(problem)) => return Err(io::Error::other(problem)),
        };
        Ok(Self {
            endpoint,
            tls,
            reloads: watch::Sender::new(()),
        })
    }

    /// Reads the certificates again, and looks whether everybody who is
    /// connected still may be. Certificates that cannot be read change nothing.
    pub(crate) fn reload(&self) {
        match (&self.tls, load(&self.endpoint)) {
            (Some(tls), Some(Ok(server))) => {
                *tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(server);
                info!("{}: certificates read again", self.endpoint.address);
            }
            (_, Some(Err(problem))) => {
                error!(
                    "{}: the old certificates stay in force: {problem}",
                    self.endpoint.address
                );
            }
            (None, _) | (_, None) => {}
        }
        self.reloads.send_replace(());
    }

    /// The TLS that is in force, if it is spoken here.
    pub(crate) fn tls(&self) -> Option<Arc<Server>> {
        let tls = self.tls.as_ref()?;
        let server = tls.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&server))
    }

    /// What this client gets. The error says why nothing.
    pub(crate) fn admit(&self, client: Option<&Client>, store: &Store) -> Result<Purpose, String> {
        let Some(id) = self.endpoint.site_for(client.map(|client| &client.id))? else {
            return Ok(Purpose::Queries(Scope::Merged));
        };
        let site = store.site(id);
        let site = site.ok_or_else(|| format!("site {id} is not configured here"))?;
        Ok(match self.endpoint.serve {
            Serve::Merged | Serve::Site => Purpose::Queries(Scope::Site(site)),
            Serve::Ingest => Purpose::Ingest(site),
        })
    }

    /// What [`Self::dismissed`] waits for. To be had before a client is let in,
    /// so that nothing is missed.
    pub(crate) fn reloads(&self) -> watch::Receiver<()> {
        self.reloads.subscribe()
    }

    /// Waits until a client that was let in would not be any more, and says why.
    pub(crate) async fn dismissed(
        &self,
        mut reloads: watch::Receiver<()>,
        client: Option<&Client>,
        purpose: &Purpose,
        store: &Store,
    ) -> String {
        loop {
            if reloads.changed().await.is_err() {
                return "nobody listens here any more".to_owned();
            }
            if let Err(why) = self.still_admits(client, purpose, store) {
                return why;
            }
        }
    }

    fn still_admits(
        &self,
        client: Option<&Client>,
        purpose: &Purpose,
        store: &Store,
    ) -> Result<(), String> {
        if let (Some(server), Some(client)) = (self.tls(), client) {
            let belief = server.believes(client);
            belief.map_err(|error| program::exit::chain(&error))?;
        }
        if self.admit(client, store)?.site().map(Arc::as_ptr) == purpose.site().map(Arc::as_ptr) {
            Ok(())
        } else {
            // One of the same name may have come in its place.
            Err("its site is gone".to_owned())
        }
    }
}

impl Purpose {
    fn site(&self) -> Option<&Arc<Site>> {
        match self {
            Self::Queries(Scope::Site(site)) | Self::Ingest(site) => Some(site),
            Self::Queries(Scope::Merged) | Self::Everything => None,
        }
    }
}

impl Endpoint {
    /// The site that a client with this name in its certificate gets; `Ok(None)`
    /// are all sites.
    fn site_for<'e>(&'e self, client: Option<&'e SiteId>) -> Result<Option<&'e SiteId>, String> {
        let Some(client) = client else {
            return if self.asks_for_certificates() {
                Err("it has no certificate".to_owned())
            } else {
                Ok(self.site.as_ref())
            };
        };
        let is_named = self.clients.contains(client);
        match (&self.site, self.serve) {
            (Some(site), _) if is_named || site == client => Ok(Some(site)),
            (Some(_), _) => Err(format!("`clients` does not name {client}")),
            (None, Serve::Merged) if is_named => Ok(None),
            (None, _) => Ok(Some(client)),
        }
    }
}

fn load(endpoint: &Endpoint) -> Option<Result<Server, String>> {
    let Address::Tls(_, files) = &endpoint.address else {
        return None;
    };
    let server = Server::load(files);
    if let Ok(server) = &server
        && server.expires() < UnixTime::from(std::time::SystemTime::now())
    {
        warn!("{} has expired", files.certificate.display());
    }
    Some(server.map_err(|error| program::exit::chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use net::server::ServerFiles;

    fn id(text: &str) -> SiteId {
        SiteId::new(text).unwrap()
    }

    #[test]
    fn a_certificate_opens_its_own_site_and_no_other() {
        use Serve::{Ingest, Merged, Site};
        let endpoint = |serve, site: Option<&str>, clients: &[&str], asks: bool| Endpoint {
            address: Address::Tls(
                ([127, 0, 0, 1], 0).into(),
                ServerFiles {
                    certificate: "/c".into(),
                    key: "/k".into(),
                    client_ca: asks.then(|| PathBuf::from("/ca")),
                    crl: None,
                },
            ),
            serve,
            site: site.map(id),
            clients: clients.iter().map(|name| id(name)).collect(),
            only_from: Vec::new(),
            connections: None,
        };
        for (endpoint, client, want) in [
            (
                endpoint(Merged, None, &["noc"], true),
                Some("noc"),
                Ok(None),
            ),
            (
                endpoint(Merged, None, &["noc"], true),
                Some("a"),
                Ok(Some("a")),
            ),
            (endpoint(Merged, None, &["noc"], true), None, Err(())),
            (endpoint(Merged, None, &[], false), None, Ok(None)),
            (endpoint(Site, None, &[], true), Some("a"), Ok(Some("a"))),
            (endpoint(Site, None, &[], true), None, Err(())),
            (endpoint(Site, Some("b"), &[], true), Some("a"), Err(())),
            (
                endpoint(Site, Some("b"), &[], true),
                Some("b"),
                Ok(Some("b")),
            ),
            (
                endpoint(Site, Some("b"), &["noc"], true),
                Some("noc"),
                Ok(Some("b")),
            ),
            (
                endpoint(Site, Some("b"), &["noc"], true),
                Some("a"),
                Err(()),
            ),
            (endpoint(Site, Some("b"), &[], false), None, Ok(Some("b"))),
            (endpoint(Ingest, None, &[], true), Some("a"), Ok(Some("a"))),
            (endpoint(Ingest, None, &[], true), None, Err(())),
            (endpoint(Ingest, Some("b"), &[], true), Some("a"), Err(())),
            (
                endpoint(Ingest, Some("b"), &["relay"], true),
                Some("relay"),
                Ok(Some("b")),
            ),
        ] {
            let client = client.map(id);
            let got = endpoint.site_for(client.as_ref());
            let got = got.map(|site| site.map(SiteId::as_str)).map_err(|_| ());
            assert_eq!(got, want, "{client:?} of {endpoint:?}");
        }
    }
}
