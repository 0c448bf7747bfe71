//! The links to peers: who listens, who connects, who is let in. What flows
//! over them is decided by the owner of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use net::{Address, Backoff, Identity, Listener, Stream};
use objects::{SiteId, UnixTime};
use program::exit::chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use wire::{Event, Session, Window};

use crate::config::{Configuration, Peer};
use crate::figures::{LinkState, Links};
use crate::flood::Flood;
use crate::owner::{FromLink, Request};

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
/// Most connections that have not introduced themselves.
const HALF_OPEN: usize = 256;
/// A stranger must have said something after this long.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause that a site which is no peer of ours is asked to make.
const STRANGER_PAUSE: Duration = Duration::from_secs(60);
/// The first byte of every TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// A peer that connects to us although we connect to it is asked about this often.
const ALREADY_UP: Duration = Duration::from_secs(5);

/// What all links share.
pub(crate) struct Network {
    pub(crate) site: SiteId,
    pub(crate) identity: Option<Identity>,
    pub(crate) peers: BTreeMap<SiteId, Peer>,
    /// The peers that something may be sent to.
    sending: BTreeSet<SiteId>,
    pub(crate) links: Links,
    pub(crate) owner: Sender<Request>,
    pub(crate) stopping: watch::Receiver<bool>,
    /// Somebody does not want to wait for the next attempt to connect.
    pub(crate) hurry: Arc<Notify>,
    instance: String,
    half_open: Arc<Semaphore>,
    next_number: AtomicU64,
    strangers: Mutex<Flood>,
}

impl Network {
    pub(crate) fn new(
        configuration: &Configuration,
        identity: Option<Identity>,
        links: Links,
        owner: Sender<Request>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let peers = configuration.peers.iter();
        let named = peers.clone().map(|peer| (peer.site.clone(), peer.clone()));
        let sending = peers.filter(|peer| configuration.sends_to(peer));
        Self {
            site: configuration.site.clone(),
            identity,
            peers: named.collect(),
            sending: sending.map(|peer| peer.site.clone()).collect(),
            links,
            owner,
            stopping,
            hurry: Arc::default(),
            instance: objects::NotificationId::new(SystemTime::now().into()).to_string(),
            half_open: Arc::new(Semaphore::new(HALF_OPEN)),
            next_number: AtomicU64::new(1),
            strangers: Mutex::new(Flood::default()),
        }
    }

    /// Somebody who is no peer of ours, or does not behave like one.
    fn complain(&self, origin: &str, why: &str) {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = strangers.allows(Instant::now()) {
            tracing::warn!("connection from {origin} closed: {why}{more}");
        }
    }

    /// Drives one link to its end.
    async fn drive<S: AsyncRead + AsyncWrite>(
        self: &Arc<Self>,
        stream: S,
        peer: Option<SiteId>,
        hearing: Hearing,
    ) -> Ended {
        let mut config = wire::Config::new(
            self.site.clone(),
            self.instance.clone(),
            SystemTime::now().into(),
        );
        config.window = window(self.peers.len());
        config.sends = peer.as_ref().is_none_or(|peer| self.sending.contains(peer));
        config.peer_site = peer;
        let heartbeat = config.heartbeat;
        let session = Session::new(config, Instant::now());
        let (commands, inbox) = unbounded_channel();
        let mut hearing = Hearing {
            commands: Some(commands),
            heartbeat,
            ..hearing
        };
        let result = net::drive(stream, session, inbox, |event| hearing.hear(event)).await;
        let reason = match &result {
            Ok(()) => hearing
                .goodbye
                .take()
                .unwrap_or_else(|| "closed".to_owned()),
            Err(error) => chain(error),
        };
        hearing.end(&reason);
        Ended {
            was_up: hearing.peer.is_some(),
            reason,
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
            goodbye: None,
            half_open: None,
        }
    }
}

/// How a link ended.
struct Ended {
    /// Whether the peer introduced itself.
    was_up: bool,
    reason: String,
}

/// Hears the events of one link and hands them on.
struct Hearing {
    network: Arc<Network>,
    number: u64,
    outgoing: bool,
    address: String,
    began: Instant,
    heartbeat: Duration,
    /// For the owner, once it is known whose link this is.
    commands: Option<UnboundedSender<net::Command>>,
    /// Set once the peer has introduced itself and is one of ours.
    peer: Option<SiteId>,
    /// Why the peer says it goes.
    goodbye: Option<String>,
    half_open: Option<OwnedSemaphorePermit>,
}

impl Hearing {
    fn hear(&mut self, event: Event) {
        if let Event::PeerHello(hello) = &event {
            self.introduced(hello);
            return;
        }
        let Some(peer) = self.peer.clone() else {
            return;
        };
        self.count(&peer, &event);
        if let Event::GoAway { reason, .. } = &event {
            self.goodbye = Some(format!("peer said: {reason}"));
        }
        self.tell(peer, FromLink::Event(event));
    }

    fn tell(&self, peer: SiteId, what: FromLink) {
        // The owner outlives all links but for the last moments of a stop.
        let _ = self.network.owner.send(Request::Link {
            peer,
            number: self.number,
            what,
        });
    }

    fn introduced(&mut self, hello: &wire::PeerHello) {
        self.half_open = None;
        let peer = hello.hello.site.clone();
        let Some(commands) = self.commands.take() else {
            return;
        };
        if !self.network.peers.contains_key(&peer) {
            let why = format!("site {peer} is not a configured peer");
            self.network.complain(&self.address, &why);
            let _ = commands.send(net::Command::GoAway {
                reason: why,
                retry_after: STRANGER_PAUSE,
            });
            return;
        }
        let now: UnixTime = SystemTime::now().into();
        self.network.links.update(&peer, |link| {
            link.up.push(self.number);
            link.address.clone_from(&self.address);
            link.outgoing = self.outgoing;
            link.connect_time = Some(self.began.elapsed());
            link.heartbeat = self.heartbeat;
            link.last_incoming = now;
            link.clock_skew_us = Some(hello.skew_us);
        });
        let message = format!(
            "sitewire {} at {}",
            program::log::quote(hello.hello.version.as_bytes(), 40),
            self.address
        );
        self.network
            .links
            .enter(&peer, LinkState::Established, &message);
        self.peer = Some(peer.clone());
        let up = FromLink::Up {
            commands,
            outgoing: self.outgoing,
            accepts: hello.hello.accepts,
        };
        self.tell(peer, up);
    }

    fn count(&self, peer: &SiteId, event: &Event) {
        let now: UnixTime = SystemTime::now().into();
        self.network.links.update(peer, |link| {
            link.last_incoming = now;
            match event {
                Event::Message { .. } => link.received += 1,
                Event::Acknowledged { ids } => link.sent += ids.len() as u64,
                Event::Ping { .. } | Event::Pong { .. } => link.last_heartbeat = now,
                _ => {}
            }
        });
    }

    /// The link is gone. Says so, unless a newer one to the same peer is up.
    fn end(&mut self, reason: &str) {
        let Some(peer) = self.peer.clone() else {
            return;
        };
        self.tell(peer.clone(), FromLink::Down);
        let links = &self.network.links;
        if links.remove(&peer, self.number) {
            links.enter(&peer, LinkState::Cooldown, reason);
        }
    }
}

/// Takes connections until the daemon stops.
pub(crate) async fn listen(network: Arc<Network>, listener: Listener) {
    let mut stopping = network.stopping.clone();
    loop {
        let half_open = Arc::clone(&network.half_open);
        let accepted = async {
            let permit = half_open.acquire_owned().await;
            (permit.ok(), listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, origin)) => {
                let network = Arc::clone(&network);
                tokio::spawn(async move { welcome(&network, stream, origin, permit).await });
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
async fn welcome(
    network: &Arc<Network>,
    stream: Stream,
    origin: String,
    permit: Option<OwnedSemaphorePermit>,
) {
    let mut hearing = network.hearing(false, origin.clone());
    hearing.half_open = permit;
    let ended = match stream {
        Stream::Unix(_) => network.drive(stream, None, hearing).await,
        Stream::Tcp(tcp) => match introduce(network, tcp).await {
            Ok((stream, site)) => network.drive(stream, Some(site), hearing).await,
            Err(why) => {
                network.complain(&origin, &why);
                return;
            }
        },
    };
    if !ended.was_up && ended.reason != "closed" {
        network.complain(&origin, &ended.reason);
    }
}

/// TLS with whoever connected; the peer it is, or why it is none.
async fn introduce(
    network: &Network,
    tcp: tokio::net::TcpStream,
) -> Result<(impl AsyncRead + AsyncWrite + use<>, SiteId), String> {
    let Some(identity) = &network.identity else {
        return Err("no certificate is configured".to_owned());
    };
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
    let (stream, site) = identity
        .accept(Stream::Tcp(tcp))
        .await
        .map_err(|error| chain(&error))?;
    if !network.peers.contains_key(&site) {
        return Err(format!("site {site} is not a configured peer"));
    }
    Ok((stream, site))
}

/// Keeps a link to `peer` until the daemon stops.
pub(crate) async fn connect(network: Arc<Network>, peer: SiteId, address: Address) {
    let mut stopping = network.stopping.clone();
    let mut backoff = Backoff::default();
    while !*stopping.borrow() {
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
            backoff.failed(Instant::now(), random())
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = network.hurry.notified() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}

async fn connect_once(network: &Arc<Network>, peer: &SiteId, address: &Address) -> Ended {
    let failed = |error: net::Error| Ended {
        was_up: false,
        reason: chain(&error),
    };
    let hearing = network.hearing(true, address.to_string());
    let stream = match address.connect().await {
        Ok(stream) => stream,
        Err(error) => return failed(error),
    };
    if matches!(address, Address::Unix(_)) {
        return network.drive(stream, Some(peer.clone()), hearing).await;
    }
    let Some(identity) = &network.identity else {
        return failed(net::Error::NotTls);
    };
    match identity.connect(peer, stream).await {
        Ok(stream) => network.drive(stream, Some(peer.clone()), hearing).await,
        Err(error) => failed(error),
    }
}

/// Between 0 and 1, from the random part of a new id.
fn random() -> f64 {
    let id = objects::NotificationId::new(UnixTime::from_secs(0));
    f64::from(id.as_bytes()[15]) / 255.0
}
