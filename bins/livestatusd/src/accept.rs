//! Takes connections in at one socket: from whom, how many, and with TLS where
//! it is spoken. One that stalls delays no other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use net::server::{Client, Server};
use program::log::quote;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use crate::admit::{Entrance, Purpose};
use crate::client::{self, Service};
use crate::complaint::Complaint;
use crate::half_open::{HalfOpen, Place};
use crate::ingest::{self, Source};
use crate::merged;
use crate::stream::Stream;

/// A pause before the next try, where the system has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(200);

/// When a client that says nothing is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A socket that clients connect to.
pub(crate) enum Socket {
    /// Of this machine.
    Unix(UnixListener),
    /// Of the network.
    Tcp(TcpListener),
}

/// What a client gets that connects to a socket.
pub(crate) enum Offer {
    /// Everybody the same.
    Given(Purpose),
    /// It depends on who it is.
    Asked(Arc<Entrance>),
}

/// One socket, and what belongs to it.
pub(crate) struct Door {
    name: String,
    offer: Offer,
    service: Arc<Service>,
    half_open: Arc<HalfOpen>,
    refusals: Complaint,
    strangers: Complaint,
    failures: Complaint,
}

/// A connection before anything was said on it.
enum Fresh {
    Unix(UnixStream),
    Tcp(TcpStream, SocketAddr),
}

impl Door {
    /// A door of that name, for the log.
    pub(crate) fn new(
        name: String,
        offer: Offer,
        service: Arc<Service>,
        half_open: Arc<HalfOpen>,
    ) -> Self {
        Self {
            name,
            offer,
            service,
            half_open,
            refusals: Complaint::default(),
            strangers: Complaint::default(),
            failures: Complaint::default(),
        }
    }

    /// Takes connections until the program is to end, and waits for theirs.
    pub(crate) async fn keep(self, socket: Socket) {
        let door = Arc::new(self);
        let mut connections = JoinSet::new();
        let mut stopping = door.service.stopping.clone();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                // Connections that ended are forgotten one by one.
                Some(_) = connections.join_next() => continue,
                _ = stopping.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok(fresh) => {
                    if let Some(open) = door.let_in(&fresh, connections.len()) {
                        // Here and not in the task, so that the oldest is the oldest.
                        let place = door.speaks_tls().then(|| door.half_open.enter());
                        connections.spawn(Arc::clone(&door).serve(fresh, place, open));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors: some of those that are open must end first.
                    let name = &door.name;
                    door.failures
                        .say(format_args!("{name}: cannot accept a connection: {error}"));
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }

    /// Whether there may be one more connection, and this one.
    fn let_in(&self, fresh: &Fresh, here: usize) -> Option<Open> {
        let name = &self.name;
        if let (Offer::Asked(entrance), Fresh::Tcp(_, from)) = (&self.offer, fresh)
            && !entrance.endpoint.lets_in(from.ip())
        {
            self.strangers.say(format_args!(
                "{name}: refused a connection from {from}: `only_from` does not name it"
            ));
            return None;
        }
        let open = Open::new(&self.service);
        let (limit, all) = (self.service.limits.connections, open.others);
        if all >= limit {
            self.refusals.say(format_args!(
                "refused a connection: {all} are open, as many as `connections` allows"
            ));
            return None;
        }
        if let Offer::Asked(entrance) = &self.offer
            && here >= entrance.endpoint.connections(limit)
        {
            self.refusals.say(format_args!(
                "{name}: refused a connection: {here} are open, as many as its `connections` allows"
            ));
            return None;
        }
        self.service.counters.connections.add();
        Some(open)
    }

    fn speaks_tls(&self) -> bool {
        matches!(&self.offer, Offer::Asked(entrance) if entrance.tls().is_some())
    }

    async fn serve(self: Arc<Self>, fresh: Fresh, place: Option<Place>, _open: Open) {
        let entrance = match &self.offer {
            Offer::Asked(entrance) => entrance,
            Offer::Given(purpose) => {
                return serve(fresh.plain(), purpose.clone(), &self.service).await;
            }
        };
        let from = fresh.origin();
        let reloads = entrance.reloads();
        let mut stopping = self.service.stopping.clone();
        let agreed = tokio::select! {
            agreed = self.agree(fresh, place, entrance) => agreed,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let complain = |why: &str| {
            let name = &self.name;
            self.failures
                .say(format_args!("{name}: no connection with {from}: {why}"));
        };
        let (stream, client) = match agreed {
            Ok(agreed) => agreed,
            Err(why) => return complain(&why),
        };
        let store = &self.service.store;
        let purpose = match entrance.admit(client.as_ref(), store) {
            Ok(purpose) => purpose,
            Err(why) => {
                complain(&why);
                return stream.end().await;
            }
        };
        if let Some(client) = &client {
            debug!("{}: {from} is {}", self.name, client.id);
        }
        tokio::select! {
            () = serve(stream, purpose.clone(), &self.service) => {}
            why = entrance.dismissed(reloads, client.as_ref(), &purpose, store) => complain(&why),
        }
    }

    /// Agrees on how to speak. The error says why there is no connection.
    async fn agree(
        &self,
        fresh: Fresh,
        place: Option<Place>,
        entrance: &Entrance,
    ) -> Result<(Stream, Option<Client>), String> {
        let Some(server) = entrance.tls() else {
            return Ok((fresh.plain(), None));
        };
        let (Fresh::Tcp(stream, _), Some(place)) = (fresh, place) else {
            return Err("TLS is spoken over TCP only".to_owned());
        };
        tokio::select! {
            agreed = handshake(stream, &server, self.service.limits.handshake_timeout) => agreed,
            () = place.lost() => Err(
                "it had not agreed on TLS when another needed its place, `half_open`".to_owned()
            ),
        }
    }
}

async fn handshake(
    stream: TcpStream,
    server: &Server,
    limit: Duration,
) -> Result<(Stream, Option<Client>), String> {
    const TOO_LONG: &str = "it did not agree on TLS in time";
    // Looked at first, for who comes with something else is to be told what it was.
    let mut first = [0; 80];
    let length = match timeout(limit, stream.peek(&mut first)).await {
        Ok(Ok(length)) => length,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(TOO_LONG.to_owned()),
    };
    let first = &first[..length];
    if first.is_empty() {
        return Err("it said nothing".to_owned());
    }
    if !first.starts_with(&[HANDSHAKE]) {
        return Err(format!(
            "it does not speak TLS; it began with '{}'",
            quote(first, 80)
        ));
    }
    match server.accept(stream, limit).await {
        Ok((stream, client)) => Ok((Stream::Tls(Box::new(stream)), client)),
        Err(net::Error::Timeout(_)) => Err(TOO_LONG.to_owned()),
        Err(error) => Err(program::exit::chain(&error)),
    }
}

/// The first byte of every TLS connection.
const HANDSHAKE: u8 = 22;

async fn serve(stream: Stream, purpose: Purpose, service: &Arc<Service>) {
    let service = Arc::clone(service);
    match purpose {
        Purpose::Queries(scope) => client::serve(stream, &[], scope, service).await,
        Purpose::Everything => merged::serve(stream, service).await,
        Purpose::Ingest(site) => ingest::serve(stream, &[], Source::Site(site), service).await,
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Fresh> {
        match self {
            Self::Unix(listener) => Ok(Fresh::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                // Without these it still works, only slower.
                let socket = SockRef::from(&stream);
                let _ = socket.set_tcp_nodelay(true);
                let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
                Ok(Fresh::Tcp(stream, from))
            }
        }
    }
}

impl Fresh {
    fn plain(self) -> Stream {
        match self {
            Self::Unix(stream) => Stream::Unix(stream),
            Self::Tcp(stream, _) => Stream::Tcp(stream),
        }
    }

    /// For the log.
    fn origin(&self) -> String {
        match self {
            Self::Unix(_) => "this machine".to_owned(),
            Self::Tcp(_, from) => from.to_string(),
        }
    }
}

/// Counts a connection as long as it is open.
struct Open {
    service: Arc<Service>,
    /// How many were open before.
    others: usize,
}

impl Open {
    fn new(service: &Arc<Service>) -> Self {
        let open = &service.counters.active_connections;
        Self {
            service: Arc::clone(service),
            others: open.fetch_add(1, Ordering::AcqRel),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.service
            .counters
            .active_connections
            .fetch_sub(1, Ordering::AcqRel);
    }
}
