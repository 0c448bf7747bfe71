//! What HUP does: everything that stays the same in the configuration goes on as
//! it was. A configuration with a mistake in it changes nothing, and is shown
//! until there is a better one. Certificates: `upkeep.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::SystemTime;

use net::Address;
use objects::SiteId;
use program::exit::chain;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::config::{Configuration, Lane, Listen, Seen};
use crate::delivery::Task;
use crate::figures::Notices;
use crate::lane::{self, Crew};
use crate::link::{self, Network};
use crate::owner::LaneChange;
use crate::run;
use crate::scrape::{self, Door};

/// What the configuration says of a listener, what ends it, and its descriptor.
type Listening = (Listen, watch::Sender<()>, i32);

/// What runs according to the configuration, and can be changed with it.
pub(crate) struct Live {
    path: PathBuf,
    network: Arc<Network>,
    notices: Notices,
    crew: Crew,
    /// Dropped, the listener ends.
    listeners: Vec<Listening>,
    /// Where the metrics are.
    door: watch::Sender<Door>,
    connectors: BTreeMap<SiteId, (Address, JoinHandle<()>)>,
    /// The files of rules when they were read last, though perhaps in vain.
    tried: Vec<Seen>,
    /// Every lane there has been since the start, by its number.
    lanes: Vec<Lane>,
}

impl Live {
    /// Serves `listeners`, which [`bind`] made, and starts what connects.
    pub(crate) fn start(
        path: PathBuf,
        listeners: Vec<Bound>,
        door: watch::Sender<Door>,
        network: Arc<Network>,
        notices: Notices,
        crew: Crew,
    ) -> Self {
        let configuration = network.settings().configuration.clone();
        let mut live = Self {
            path,
            network,
            notices,
            crew,
            listeners: Vec::new(),
            door,
            connectors: BTreeMap::new(),
            tried: Vec::new(),
            lanes: configuration.lanes.clone(),
        };
        live.serve(listeners);
        live.connect();
        live.network.warn_of_plain();
        live
    }

    /// Reads the configuration again.
    pub(crate) async fn reload(&mut self) {
        let followed = self.network.settings().configuration.rules.clone();
        self.tried = followed.and_then(|f| f.changes()).unwrap_or_default();
        let problems = match run::read(&self.path) {
            Err(problems) => problems,
            Ok((configuration, access)) => match self.check(&configuration) {
                Err(problem) => vec![problem],
                Ok(()) => match self.open(&configuration).await {
                    Err(problem) => vec![problem],
                    Ok((listeners, door)) => {
                        self.apply(configuration, access, listeners);
                        if let Some(door) = door {
                            self.door.send_replace(door);
                        }
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
        self.network.look_again();
    }

    /// Waits until a file that rules are read from is not what was read last; for
    /// ever if that is not looked at.
    pub(crate) async fn wait_for_new_rules(&self) {
        let settings = self.network.settings();
        let followed = settings.configuration.rules.as_ref();
        let Some((followed, look)) = followed.and_then(|f| Some((f, f.look?))) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(look).await;
            // What could not be used is not read again and again.
            if followed.changes().is_some_and(|now| now != self.tried) {
                return;
            }
        }
    }

    /// Binds what is new: for peers, and where metrics are fetched if that has
    /// changed.
    async fn open(&self, new: &Configuration) -> Result<(Vec<Bound>, Option<Door>), String> {
        let listeners = bind(new, &self.bound()).await?;
        let old = &self.network.settings().configuration.metrics;
        let door = match *old == new.metrics {
            true => None,
            false => Some(scrape::open(new.metrics.as_ref()).await?),
        };
        Ok((listeners, door))
    }

    fn bound(&self) -> Vec<Listen> {
        self.listeners.iter().map(|(at, ..)| at.clone()).collect()
    }

    /// What can only be changed by a restart.
    fn check(&self, new: &Configuration) -> Result<(), String> {
        let old = &self.network.settings().configuration;
        let changed = [
            ("[site] name", old.site != new.site),
            ("[spool] directory", old.spool != new.spool),
            ("[state]", old.state != new.state),
            ("[authority]", old.authority != new.authority),
            ("[log]", old.log != new.log),
        ];
        match changed.iter().find(|(_, changed)| *changed) {
            Some((what, _)) => Err(format!(
                "{}: {what} cannot be changed while notifyd runs",
                self.path.display()
            )),
            None => Ok(()),
        }
    }

    fn apply(&mut self, configuration: Configuration, access: Access, listeners: Vec<Bound>) {
        let lanes = self.change_lanes(&configuration);
        let wanted = configuration.listen.clone();
        let access = Arc::new(access);
        self.network.replace(Arc::new(configuration), access, lanes);
        self.listeners
            .retain(|(listen, ..)| wanted.contains(listen));
        self.serve(listeners);
        self.connect();
        self.notices.set_configured(SystemTime::now().into());
        self.network.warn_of_plain();
    }

    fn serve(&mut self, listeners: Vec<Bound>) {
        for (listen, listener) in listeners {
            if let Ok(address) = listener.address() {
                tracing::info!("listening on {address}");
            }
            let (end, ended) = watch::channel(());
            let network = Arc::clone(&self.network);
            let descriptor = listener.descriptor();
            tokio::spawn(link::listen(network, listen.clone(), listener, ended));
            self.listeners.push((listen, end, descriptor));
        }
        let first = self.listeners.first();
        self.notices
            .set_listening(first.map(|(.., descriptor)| *descriptor));
    }

    /// Starts what is to connect and does not. What connects to somewhere else
    /// than it should ends by itself.
    fn connect(&mut self) {
        let settings = self.network.settings();
        for peer in &settings.configuration.peers {
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
        let old = self.network.settings().configuration.clone();
        let mut changes = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            if !configuration.lanes.iter().any(|new| new.name == lane.name) {
                changes.push(LaneChange { number, now: None });
            }
        }
        for new in &configuration.lanes {
            if old.lanes.contains(new) {
                continue;
            }
            let number = self.lanes.iter().position(|lane| lane.name == new.name);
            let number = number.unwrap_or_else(|| {
                self.lanes.push(new.clone());
                self.lanes.len() - 1
            });
            let (tasks, inbox) = channel::<Task>();
            let site = &configuration.site;
            match lane::start(number, new, site, inbox, &self.crew) {
                Ok(()) => {
                    self.lanes[number] = new.clone();
                    changes.push(LaneChange {
                        number,
                        now: Some((new.clone(), tasks)),
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
