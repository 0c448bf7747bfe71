//! The links to peers: who listens, who connects, who is let in. What flows
//! over them is decided by the owner of the journal.

mod claim;
mod hearing;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use net::{Address, Backoff, Listener, Presented, ReadAhead, Stream, Visitor};
use objects::{SiteId, UnixTime};
use program::exit::chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use wire::{Event, Session, Window};

use crate::access::Access;
use crate::config::{Change, Configuration, Listen, Peer};
use crate::figures::{LinkState, Links, Notices};
use crate::flood::Flood;
use crate::join::Desk;
use crate::owner::{LaneChange, Request, Watched};

use claim::{Claim, Standing};
use hearing::Hearing;

/// What a peer may have in doubt here, one of so many. The more may be, the more
/// share a sync; but four times as many ids of each peer are remembered, and
/// stand at the beginning of every segment of the journal.
pub(crate) fn window(peers: usize) -> Window {
    Window {
        msgs: (ALL_WINDOWS / peers.max(1)).clamp(256, 4096) as u32,
        bytes: 16 << 20,
    }
}

/// What all peers together may have in doubt, about.
const ALL_WINDOWS: usize = 1 << 16;
/// Most connections that have not introduced themselves. With one more the
/// oldest of them is closed: whoever is in earnest needs only a moment.
const HALF_OPEN: usize = 256;
/// No peer makes us wait longer than this before we come again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A stranger must have said something after this long.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// A peer that connects to us although we connect to it is asked about this often.
const ALREADY_UP: Duration = Duration::from_secs(5);

/// What may change while links are up.
pub(crate) struct Settings {
    pub(crate) configuration: Arc<Configuration>,
    /// Who we are, and whom we let in.
    pub(crate) access: Arc<Access>,
    pub(crate) peers: BTreeMap<SiteId, Peer>,
    /// The peers that something may be sent to.
    sending: BTreeSet<SiteId>,
}

impl Settings {
    fn new(configuration: Arc<Configuration>, access: Arc<Access>) -> Self {
        let peers = configuration.peers.iter();
        let named = peers.clone().map(|peer| (peer.site.clone(), peer.clone()));
        let sending = peers.filter(|peer| configuration.sends_to(peer));
        Self {
            access,
            peers: named.collect(),
            sending: sending.map(|peer| peer.site.clone()).collect(),
            configuration,
        }
    }
}

/// What all links share.
pub(crate) struct Network {
    pub(crate) site: SiteId,
    settings: watch::Sender<Arc<Settings>>,
    pub(crate) notices: Notices,
    /// Where sites that want a certificate are answered.
    desk: Option<Desk>,
    /// That the files may have changed.
    look: Notify,
    pub(crate) links: Links,
    pub(crate) owner: Sender<Request>,
    pub(crate) stopping: watch::Receiver<bool>,
    /// What a peer may have in doubt here, as long as the daemon runs.
    window: Window,
    /// Somebody does not want to wait for the next attempt to connect.
    pub(crate) hurry: Arc<Notify>,
    instance: String,
    half_open: Mutex<BTreeMap<u64, AbortHandle>>,
    /// How many have introduced themselves.
    connections: Mutex<usize>,
    next_number: AtomicU64,
    strangers: Mutex<Flood>,
}

impl Network {
    pub(crate) fn new(
        configuration: &Configuration,
        access: Access,
        links: Links,
        notices: Notices,
        owner: Sender<Request>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let settings = Settings::new(Arc::new(configuration.clone()), Arc::new(access));
        Self {
            site: configuration.site.clone(),
            settings: watch::Sender::new(Arc::new(settings)),
            notices,
            desk: configuration.authority.clone().map(Desk::new),
            look: Notify::new(),
            links,
            owner,
            stopping,
            window: window(configuration.peers.len()),
            hurry: Arc::default(),
            instance: objects::NotificationId::new(SystemTime::now().into()).to_string(),
            half_open: Mutex::default(),
            connections: Mutex::default(),
            next_number: AtomicU64::new(1),
            strangers: Mutex::new(Flood::default()),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// The files as they were read last.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.settings().access)
    }

    /// From now on these count, also for the links that are up.
    pub(crate) fn replace_access(&self, access: Access) {
        let configuration = Arc::clone(&self.settings().configuration);
        let settings = Settings::new(configuration, Arc::new(access));
        self.settings.send_replace(Arc::new(settings));
    }

    /// From now on this configuration counts.
    pub(crate) fn replace(
        &self,
        configuration: Arc<Configuration>,
        access: Arc<Access>,
        lanes: Vec<LaneChange>,
    ) {
        self.links.set_peers(&configuration.peers);
        let request = Request::Reconfigure {
            peers: configuration.peers.clone(),
            forwards: configuration.forwards(),
            lanes,
            rules: configuration.followed(),
            fallback_after: configuration.fallback_after(),
            watched: Watched::of(&configuration),
        };
        // A new peer must be known to the owner before its link is.
        let _ = self.owner.send(request);
        let settings = Settings::new(configuration, access);
        self.settings.send_replace(Arc::new(settings));
    }

    /// The files may have changed.
    pub(crate) fn look_again(&self) {
        self.look.notify_one();
    }

    pub(crate) async fn wait_for_look(&self) {
        self.look.notified().await;
    }

    /// These have joined, and nobody else.
    pub(crate) fn admit(&self, joined: Vec<SiteId>) {
        let settings = self.settings();
        let mut configuration = (*settings.configuration).clone();
        let change = configuration.set_joined(joined);
        if change == Change::default() {
            return;
        }
        for site in change.added {
            tracing::info!("site {site} has joined, it is a peer now");
        }
        for site in change.gone {
            tracing::info!("site {site} is no peer any more");
        }
        let access = Arc::clone(&settings.access);
        self.replace(Arc::new(configuration), access, Vec::new());
    }

    /// Shows when our certificate ends, and whether that is soon.
    pub(crate) fn note_certificate(&self) {
        let access = self.access();
        let warning = access.warning(SystemTime::now().into());
        self.notices.set("expiry", warning.into_iter().collect());
        let expires = access.identity.as_ref().and_then(net::Identity::expires);
        self.notices.set_expires(expires);
    }

    /// Shows which links anybody can listen in on.
    pub(crate) fn warn_of_plain(&self) {
        self.notices
            .set("plain", self.settings().configuration.warnings());
    }

    /// Whether a site that has shown its certificate is one of ours.
    fn welcomes(&self, site: &SiteId) -> Result<(), String> {
        match self.settings().peers.get(site) {
            None => Err(format!("site {site} is not a configured peer")),
            Some(peer) if peer.plain => Err(format!("site {site} is to come without TLS")),
            Some(_) => Ok(()),
        }
    }

    /// Somebody connected who has not introduced himself.
    fn watch(&self, number: u64, task: AbortHandle) {
        let mut half_open = lock(&self.half_open);
        half_open.insert(number, task);
        if half_open.len() > HALF_OPEN
            && let Some((_, oldest)) = half_open.pop_first()
        {
            oldest.abort();
            drop(half_open);
            self.complain("a stranger", "too many that do not introduce themselves");
        }
    }

    /// Somebody who is no peer of ours, or does not behave like one.
    fn complain(&self, origin: &str, why: &str) {
        if let Some(more) = lock(&self.strangers).allows(Instant::now()) {
            tracing::warn!("connection from {origin} closed: {why}{more}");
        }
    }

    /// Drives one link to its end.
    async fn drive<S: AsyncRead + AsyncWrite>(
        self: &Arc<Self>,
        stream: S,
        claim: Claim,
        mut hearing: Hearing,
    ) -> Ended {
        let mut settings = self.settings.subscribe();
        let now = settings.borrow_and_update().clone();
        let mut config = wire::Config::new(
            self.site.clone(),
            self.instance.clone(),
            SystemTime::now().into(),
        );
        config.window = self.window;
        if now.peers.values().any(|peer| peer.results) {
            config.features = vec![wire::FEATURE_RESULTS.to_owned()];
        }
        if let Some(peer) = &claim.site {
            config.sends = now.sending.contains(peer);
            let results = now.peers.get(peer).is_some_and(|peer| peer.results);
            config.features.retain(|_| results);
            config.accepts = now.peers.get(peer).is_some_and(|peer| peer.receive);
        }
        config.peer_site.clone_from(&claim.site);
        let heartbeat = config.heartbeat;
        let session = Session::new(config, Instant::now());
        let (commands, inbox) = unbounded_channel();
        let to_session = commands.downgrade();
        hearing.commands = Some(commands);
        hearing.heartbeat = heartbeat;
        hearing.plain = claim.chain.is_none() && claim.over_tcp;
        let known = Arc::clone(&hearing.known);
        let mut retry_after = Duration::ZERO;
        let driving = net::drive(stream, session, inbox, |events| {
            for event in &events {
                if let Event::GoAway {
                    retry_after: wish, ..
                } = event
                {
                    retry_after = (*wish).min(LONGEST_PAUSE);
                }
            }
            hearing.hear(events);
        });
        let ended = {
            let mut driving = pin!(driving);
            loop {
                tokio::select! {
                    ended = &mut driving => break ended.map_err(|error| chain(&error)),
                    Ok(()) = settings.changed() => {
                        let new = settings.borrow_and_update().clone();
                        match claim.stands(known.get(), &now, &new) {
                            Standing::Same => {}
                            Standing::Changed(why) => {
                                if let Some(commands) = to_session.upgrade() {
                                    let _ = commands.send(net::Command::GoAway {
                                        reason: why.to_owned(),
                                        retry_after: Duration::ZERO,
                                    });
                                }
                            }
                            // Nothing more is heard from it, nor said to it.
                            Standing::NotBelieved(why) => break Err(why),
                        }
                    }
                }
            }
        };
        let reason = match ended {
            Ok(()) => hearing
                .goodbye
                .take()
                .unwrap_or_else(|| "closed".to_owned()),
            Err(why) => why,
        };
        hearing.end(&reason);
        Ended {
            was_up: hearing.peer.is_some(),
            reason,
            retry_after,
        }
    }

    /// Answers somebody who wants a certificate.
    async fn enrol<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        shown: Option<Presented>,
        origin: &str,
    ) -> Ended {
        let result = match &self.desk {
            Some(desk) => desk.serve(self, stream, shown, origin).await,
            None => Err("there is no authority here".to_owned()),
        };
        let (was_up, reason) = match result {
            Ok(()) => (true, "closed".to_owned()),
            Err(why) => (false, why),
        };
        Ended {
            was_up,
            reason,
            retry_after: Duration::ZERO,
        }
    }

    fn hearing(self: &Arc<Self>, outgoing: bool, address: String) -> Hearing {
        Hearing {
            network: Arc::clone(self),
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            outgoing,
            address,
            began: Instant::now(),
            heartbeat: Duration::ZERO,
            commands: None,
            peer: None,
            known: Arc::default(),
            goodbye: None,
            plain: false,
            counted: false,
            socket: None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Whoever panicked while holding one left nothing half done behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a link ended.
struct Ended {
    /// Whether the peer introduced itself.
    was_up: bool,
    reason: String,
    /// The pause that the peer wishes.
    retry_after: Duration,
}

/// Takes connections until the daemon stops, or `end` is dropped.
pub(crate) async fn listen(
    network: Arc<Network>,
    listen: Listen,
    listener: Listener,
    mut end: watch::Receiver<()>,
) {
    let mut stopping = network.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = end.changed() => return,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, origin)) => {
                let mut hearing = network.hearing(false, origin);
                hearing.socket = Some(stream.descriptor());
                let number = hearing.number;
                let (shared, plain) = (Arc::clone(&network), listen.plain);
                let task =
                    tokio::spawn(async move { welcome(&shared, stream, plain, hearing).await });
                network.watch(number, task.abort_handle());
                // Whoever connects all the time must not keep us from the others.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                // Out of descriptors, most likely: it will pass.
                network.complain("a listener", &error.to_string());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Finds out who connected, and serves it if it is a peer.
async fn welcome(network: &Arc<Network>, stream: Stream, plain: bool, hearing: Hearing) {
    let origin = hearing.address.clone();
    let unknown = |over_tcp| Claim {
        site: None,
        chain: None,
        over_tcp,
        address: None,
    };
    let ended = match stream {
        Stream::Unix(_) => network.drive(stream, unknown(false), hearing).await,
        Stream::Tcp(_) if plain => network.drive(stream, unknown(true), hearing).await,
        Stream::Tcp(tcp) => match introduce(network, tcp).await {
            Ok(Visitor::Link(stream, site)) => match network.welcomes(&site) {
                Ok(()) => {
                    let claim = Claim {
                        chain: Presented::of(stream.get_ref().1.peer_certificates()),
                        site: Some(site),
                        over_tcp: true,
                        address: None,
                    };
                    network.drive(stream, claim, hearing).await
                }
                Err(why) => return network.complain(&origin, &why),
            },
            Ok(Visitor::Enrolment(stream, shown)) => network.enrol(stream, shown, &origin).await,
            Err(why) => return network.complain(&origin, &why),
        },
    };
    if !ended.was_up && ended.reason != "closed" {
        network.complain(&origin, &ended.reason);
    }
}

/// TLS with whoever connected; what it wants, or what is wrong.
async fn introduce(
    network: &Network,
    tcp: tokio::net::TcpStream,
) -> Result<Visitor<ReadAhead<Stream>>, String> {
    let access = network.access();
    let mut first = [0; 32];
    let peeked = tokio::time::timeout(FIRST_BYTES_TIMEOUT, tcp.peek(&mut first)).await;
    let first = match peeked {
        Ok(Ok(len)) => &first[..len],
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("it said nothing".to_owned()),
    };
    if first.first().is_some_and(|byte| *byte != TLS_HANDSHAKE) {
        return Err(format!(
            "it does not speak TLS, it began with \"{}\"",
            first.escape_ascii()
        ));
    }
    access.accept(ReadAhead::new(Stream::Tcp(tcp))).await
}

/// Keeps a link to `peer` at `address` until the daemon stops, or the peer is
/// to be elsewhere.
pub(crate) async fn connect(network: Arc<Network>, peer: SiteId, address: Address) {
    let mut stopping = network.stopping.clone();
    let mut settings = network.settings.subscribe();
    let mut backoff = Backoff::default();
    let is_there = |settings: &Settings| {
        let peer = settings.peers.get(&peer);
        peer.is_some_and(|peer| peer.connect.as_ref() == Some(&address))
    };
    while !*stopping.borrow() && is_there(&settings.borrow_and_update().clone()) {
        let pause = if network.links.is_established(&peer) {
            ALREADY_UP
        } else {
            network.links.enter(&peer, LinkState::Connecting, "");
            let began = Instant::now();
            let ended = connect_once(&network, &peer, &address).await;
            if ended.was_up {
                backoff.established(began);
            } else if !network.links.is_established(&peer) {
                network
                    .links
                    .enter(&peer, LinkState::Cooldown, &ended.reason);
            }
            backoff
                .failed(Instant::now(), random())
                .max(ended.retry_after)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = settings.changed() => {}
            () = network.hurry.notified() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

async fn connect_once(network: &Arc<Network>, peer: &SiteId, address: &Address) -> Ended {
    let failed = |error: net::Error| Ended {
        was_up: false,
        reason: chain(&error),
        retry_after: Duration::ZERO,
    };
    let mut hearing = network.hearing(true, address.to_string());
    let stream = match address.connect().await {
        Ok(stream) => stream,
        Err(error) => return failed(error),
    };
    hearing.socket = Some(stream.descriptor());
    let settings = network.settings();
    let plain = settings.peers.get(peer).is_some_and(|peer| peer.plain);
    let claim = |chain| Claim {
        site: Some(peer.clone()),
        chain,
        over_tcp: matches!(address, Address::Tcp { .. }),
        address: Some(address.clone()),
    };
    if plain || matches!(address, Address::Unix(_)) {
        return network.drive(stream, claim(None), hearing).await;
    }
    let Some(identity) = &settings.access.identity else {
        return failed(net::Error::NotTls);
    };
    match identity.connect(peer, ReadAhead::new(stream)).await {
        Ok(stream) => {
            let claim = claim(Presented::of(stream.get_ref().1.peer_certificates()));
            network.drive(stream, claim, hearing).await
        }
        Err(error) => failed(error),
    }
}

/// Between 0 and 1, from the random part of a new id.
fn random() -> f64 {
    let id = objects::NotificationId::new(UnixTime::from_secs(0));
    f64::from(id.as_bytes()[15]) / 255.0
}
