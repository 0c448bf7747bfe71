//! What a link hears, and who is let in.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use objects::{SiteId, UnixTime};
use tokio::sync::mpsc::UnboundedSender;
use wire::Event;

use super::{Network, lock};
use crate::figures::LinkState;
use crate::owner::{FromLink, Request, Said};

/// Most connections that have.
const CONNECTIONS: usize = 4096;
/// Clocks this far apart are worth a line.
const SKEW: Duration = Duration::from_secs(5);
/// The pause that a site which is no peer of ours is asked to make.
const STRANGER_PAUSE: Duration = Duration::from_secs(60);

/// Hears the events of one link and hands them on.
pub(super) struct Hearing {
    pub(super) network: Arc<Network>,
    pub(super) number: u64,
    pub(super) outgoing: bool,
    pub(super) address: String,
    pub(super) began: Instant,
    pub(super) heartbeat: Duration,
    /// For the owner, once it is known whose link this is.
    pub(super) commands: Option<UnboundedSender<net::Command>>,
    /// Set once the peer has introduced itself and is one of ours.
    pub(super) peer: Option<SiteId>,
    /// The same, for who does not hear.
    pub(super) known: Arc<OnceLock<SiteId>>,
    /// Why the peer says it goes.
    pub(super) goodbye: Option<String>,
    /// TCP without TLS.
    pub(super) plain: bool,
    /// Whether it is among the connections that have introduced themselves.
    pub(super) counted: bool,
    /// Its descriptor.
    pub(super) socket: Option<i32>,
}

impl Hearing {
    pub(super) fn hear(&mut self, events: Vec<Event>) {
        let mut said = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::PeerHello(hello) => self.introduced(&hello),
                // Nothing is heard from those that are not let in.
                _ if self.peer.is_none() => {}
                event => said.push(Said::of(event, &self.network.site)),
            }
        }
        let Some(peer) = self.peer.clone().filter(|_| !said.is_empty()) else {
            return;
        };
        self.count(&peer, &said);
        for said in &said {
            match said {
                Said::Other(Event::Resumed { window, .. } | Event::Window(window)) => {
                    let paused = window.msgs == 0 || window.bytes == 0;
                    self.network.links.pause(&peer, paused);
                }
                Said::Other(Event::GoAway { reason, .. }) => {
                    self.goodbye = Some(format!("peer said: {reason}"));
                }
                _ => {}
            }
        }
        self.tell(peer, FromLink::Said(said));
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
        lock(&self.network.half_open).remove(&self.number);
        let peer = hello.hello.site.clone();
        let Some(commands) = self.commands.take() else {
            return;
        };
        if let Err(why) = self.let_in(&peer) {
            self.network.complain(&self.address, &why);
            let _ = commands.send(net::Command::GoAway {
                reason: why,
                retry_after: STRANGER_PAUSE,
            });
            return;
        }
        let skew = Duration::from_micros(hello.skew_us.unsigned_abs());
        if skew >= SKEW {
            let direction = if hello.skew_us > 0 {
                "ahead of"
            } else {
                "behind"
            };
            tracing::warn!(%peer, "its clock is {} s {direction} ours", skew.as_secs());
        }
        let now: UnixTime = SystemTime::now().into();
        self.network.links.update(&peer, |link| {
            link.up.push(self.number);
            link.address.clone_from(&self.address);
            link.outgoing = self.outgoing;
            link.socket = self.socket;
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
        let _ = self.known.set(peer.clone());
        let up = FromLink::Up {
            commands,
            outgoing: self.outgoing,
            accepts: hello.hello.accepts,
            results: hello.features.iter().any(|f| f == wire::FEATURE_RESULTS),
        };
        self.tell(peer, up);
    }

    /// Whether this site may have a link of this kind.
    fn let_in(&mut self, peer: &SiteId) -> Result<(), String> {
        let settings = self.network.settings();
        let Some(known) = settings.peers.get(peer) else {
            return Err(format!("site {peer} is not a configured peer"));
        };
        if self.plain && !known.plain {
            return Err(format!("site {peer} may not come without TLS"));
        }
        let mut connections = lock(&self.network.connections);
        if *connections >= CONNECTIONS {
            return Err("there are too many connections".to_owned());
        }
        *connections += 1;
        self.counted = true;
        Ok(())
    }

    fn count(&self, peer: &SiteId, said: &[Said]) {
        let now: UnixTime = SystemTime::now().into();
        self.network.links.update(peer, |link| {
            link.last_incoming = now;
            for said in said {
                match said {
                    Said::Message { .. } => link.received += 1,
                    Said::Other(Event::Acknowledged { ids }) => link.sent += ids.len() as u64,
                    Said::Other(Event::Ping { .. } | Event::Pong { .. }) => {
                        link.last_heartbeat = now;
                    }
                    Said::Other(_) => {}
                }
            }
        });
    }

    /// The link is gone. Says so, unless a newer one to the same peer is up.
    pub(super) fn end(&mut self, reason: &str) {
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

impl Drop for Hearing {
    fn drop(&mut self) {
        lock(&self.network.half_open).remove(&self.number);
        if self.counted {
            *lock(&self.network.connections) -= 1;
        }
    }
}
