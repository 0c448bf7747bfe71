//! What HUP does, and what happens by itself when certificates are replaced:
//! everything that stays the same in the configuration goes on as it was. A
//! configuration with a mistake in it changes nothing, and is shown until there
//! is a better one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, SystemTime};

use net::{Address, Identity, TlsFiles};
use objects::{SiteId, UnixTime};
use program::exit::chain;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Configuration, Lane, Listen};
use crate::delivery::Job;
use crate::figures::Notices;
use crate::link::{self, Network, Settings};
use crate::owner::{LaneChange, Request};
use crate::stop::Stop;
use crate::{lane, run};

/// How often the files of certificates are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// From when on it is said that a certificate is going to expire.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);

/// What runs according to the configuration, and can be changed with it.
pub(crate) struct Live {
    path: PathBuf,
    configuration: Configuration,
    network: Arc<Network>,
    notices: Notices,
    requests: Sender<Request>,
    stop: Stop,
    /// Dropped, the listener ends.
    listeners: Vec<(Listen, watch::Sender<()>)>,
    connectors: BTreeMap<SiteId, (Address, JoinHandle<()>)>,
    /// Every lane there has been since the start, by its number.
    lanes: Vec<Lane>,
    /// The files as they were when they were read.
    files: Vec<Option<Stamp>>,
}

/// What tells that a file is another one now.
type Stamp = (u64, i64, i64, u64);

impl Live {
    /// Serves `listeners`, which [`bind`] made, and starts what connects.
    pub(crate) fn start(
        path: PathBuf,
        configuration: Configuration,
        listeners: Vec<Bound>,
        network: Arc<Network>,
        notices: Notices,
        requests: Sender<Request>,
        stop: Stop,
    ) -> Self {
        let files = configuration.tls.as_ref().map(stamps).unwrap_or_default();
        let mut live = Self {
            path,
            network,
            notices,
            requests,
            stop,
            listeners: Vec::new(),
            connectors: BTreeMap::new(),
            lanes: configuration.lanes.clone(),
            files,
            configuration,
        };
        live.serve(listeners);
        live.connect();
        live.show();
        live
    }

    /// Reads the configuration again.
    pub(crate) async fn reload(&mut self) {
        let problems = match run::read(&self.path) {
            Err(problems) => problems,
            Ok((configuration, identity)) => match self.check(&configuration) {
                Err(problem) => vec![problem],
                Ok(()) => match bind(&configuration, &self.bound()).await {
                    Err(problem) => vec![problem],
                    Ok(listeners) => {
                        self.apply(configuration, identity, listeners);
                        tracing::info!("the configuration has been read again");
                        Vec::new()
                    }
                },
            },
        };
        for problem in &problems {
            tracing::error!("{problem}");
        }
        if !problems.is_empty() {
            tracing::error!("nothing was changed");
        }
        let shown = problems
            .iter()
            .map(|problem| format!("the configuration has not been read again: {problem}"));
        self.notices.set("configuration", shown.collect());
    }

    fn bound(&self) -> Vec<Listen> {
        self.listeners.iter().map(|(at, _)| at.clone()).collect()
    }

    /// What can only be changed by a restart.
    fn check(&self, new: &Configuration) -> Result<(), String> {
        let old = &self.configuration;
        let changed = [
            ("[site] name", old.site != new.site),
            ("[spool] directory", old.spool != new.spool),
            ("[state]", old.state != new.state),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(format!(
                "{}: {what} cannot be changed while notifyd runs",
                self.path.display()
            )),
            None => Ok(()),
        }
    }

    fn apply(
        &mut self,
        configuration: Configuration,
        identity: Option<Identity>,
        listeners: Vec<Bound>,
    ) {
        self.files = configuration.tls.as_ref().map(stamps).unwrap_or_default();
        let lanes = self.change_lanes(&configuration);
        self.network.links.set_peers(&configuration.peers);
        // Whoever is no peer any more must be unknown before it can come again.
        let settings = Arc::new(Settings::new(&configuration, identity));
        self.network.settings.send_replace(settings);
        let _ = self.requests.send(Request::Reconfigure {
            peers: configuration.peers.clone(),
            forwards: configuration.forwards(),
            lanes,
        });
        self.configuration = configuration;
        let wanted = &self.configuration.listen;
        self.listeners.retain(|(listen, _)| wanted.contains(listen));
        self.serve(listeners);
        self.connect();
        self.notices.set_configured(SystemTime::now().into());
        self.show();
    }

    /// Certificates that were replaced are taken into use. Those of a site that
    /// has been revoked end its links.
    pub(crate) fn look_at_files(&mut self) {
        let Some(tls) = self.configuration.tls.clone() else {
            return;
        };
        self.show();
        let files = stamps(&tls);
        if files == self.files {
            return;
        }
        self.files = files;
        let problem = match Identity::load(&tls) {
            Ok(identity) if *identity.site() == self.configuration.site => {
                tracing::info!("the certificates have been read again");
                let settings = Settings::new(&self.configuration, Some(identity));
                self.network.settings.send_replace(Arc::new(settings));
                None
            }
            Ok(identity) => Some(format!("the certificate is for site {}", identity.site())),
            Err(error) => Some(chain(&error)),
        };
        // A file that is being replaced may be half there.
        let shown = problem.map(|problem| {
            tracing::error!("certificates cannot be used, the old ones are: {problem}");
            format!("the certificates have not been read again: {problem}")
        });
        self.notices
            .set("certificates", shown.into_iter().collect());
        self.show();
    }

    /// What is worth a warning as long as it is so.
    fn show(&self) {
        self.notices.set("plain", self.configuration.warnings());
        let settings = self.network.settings();
        let expires = settings.identity.as_ref().map(Identity::expires);
        let warning = expires.and_then(|at| expiry(at, SystemTime::now().into()));
        if let Some(warning) = &warning
            && self.notices.is_news("expiry", warning)
        {
            tracing::warn!("{warning}");
        }
        self.notices.set_expires(expires);
        self.notices.set("expiry", warning.into_iter().collect());
    }

    fn serve(&mut self, listeners: Vec<Bound>) {
        for (listen, listener) in listeners {
            if let Ok(address) = listener.address() {
                tracing::info!("listening on {address}");
            }
            let (end, ended) = watch::channel(());
            let network = Arc::clone(&self.network);
            tokio::spawn(link::listen(network, listen.clone(), listener, ended));
            self.listeners.push((listen, end));
        }
    }

    /// Starts what is to connect and does not. What connects to somewhere else
    /// than it should ends by itself.
    fn connect(&mut self) {
        for peer in &self.configuration.peers {
            let Some(address) = &peer.connect else {
                continue;
            };
            let running = self.connectors.get(&peer.site);
            if running.is_some_and(|(to, task)| to == address && !task.is_finished()) {
                continue;
            }
            let network = Arc::clone(&self.network);
            let task = tokio::spawn(link::connect(network, peer.site.clone(), address.clone()));
            let entry = (address.clone(), task);
            self.connectors.insert(peer.site.clone(), entry);
        }
    }

    /// Starts the threads of lanes that are new or different; those that are
    /// replaced end with the attempt that runs.
    fn change_lanes(&mut self, configuration: &Configuration) -> Vec<LaneChange> {
        let mut changes = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            if !configuration.lanes.iter().any(|new| new.name == lane.name) {
                changes.push(LaneChange { number, now: None });
            }
        }
        for new in &configuration.lanes {
            if self.configuration.lanes.contains(new) {
                continue;
            }
            let number = self.lanes.iter().position(|lane| lane.name == new.name);
            let number = number.unwrap_or_else(|| {
                self.lanes.push(new.clone());
                self.lanes.len() - 1
            });
            let (jobs, inbox) = channel::<Job>();
            let (site, owner) = (configuration.site.clone(), self.requests.clone());
            match lane::start(number, new.clone(), site, inbox, owner, self.stop.clone()) {
                Ok(()) => {
                    self.lanes[number] = new.clone();
                    changes.push(LaneChange {
                        number,
                        now: Some((new.clone(), jobs)),
                    });
                }
                Err(error) => tracing::error!("lane {} cannot start: {error}", new.name),
            }
        }
        changes
    }
}

/// A listener, and what the configuration says of it.
pub(crate) type Bound = (Listen, net::Listener);

/// Binds what is not bound yet, all or nothing.
pub(crate) async fn bind(
    configuration: &Configuration,
    bound: &[Listen],
) -> Result<Vec<Bound>, String> {
    let mut listeners = Vec::new();
    for listen in configuration.listen.iter().filter(|at| !bound.contains(at)) {
        let listener = listen.address.listen().await;
        let listener = listener.map_err(|error| chain(&error))?;
        listeners.push((listen.clone(), listener));
    }
    Ok(listeners)
}

/// What there is to say about a certificate that is valid until `at`.
fn expiry(at: UnixTime, now: UnixTime) -> Option<String> {
    let left = at.secs() - now.secs();
    let days = left.div_euclid(86_400);
    match left {
        ..=0 => Some("our certificate has expired".to_owned()),
        _ if left > EXPIRES_SOON.as_secs() as i64 => None,
        _ => Some(format!("our certificate expires in {days} days")),
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let paths = [&files.certificate, &files.key, &files.ca];
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
    };
    let paths = paths.into_iter().chain(&files.crl);
    paths.map(|path| stamp(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_expires_is_said_long_before() {
        let now = UnixTime::from_secs(1_795_216_800);
        let after = |secs: i64| expiry(UnixTime::from_secs(now.secs() + secs), now);
        assert_eq!(after(31 * 86_400), None);
        let soon = after(29 * 86_400 + 5).unwrap();
        assert_eq!(soon, "our certificate expires in 29 days");
        assert_eq!(after(0).unwrap(), "our certificate has expired");
    }
}
