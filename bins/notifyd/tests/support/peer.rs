//! Peers that are there, have nothing to send, and answer.

use std::time::Instant;

use net::Command;
use objects::{SiteId, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use wire::{Config, Event, Health, Session};

/// One on this connection, until that ends.
pub(crate) async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, name: &str) {
    let now = UnixTime::from(std::time::SystemTime::now());
    let session = Session::new(
        Config::new(SiteId::new(name).unwrap(), "test", now),
        Instant::now(),
    );
    let (to_session, commands) = tokio::sync::mpsc::unbounded_channel();
    let ended = net::drive(stream, session, commands, |events| {
        for event in events {
            let answer = match event {
                Event::PeerHello(_) => Command::Resume(Vec::new()),
                Event::Ping { .. } => Command::Pong(Health::default()),
                _ => continue,
            };
            let _ = to_session.send(answer);
        }
    });
    let _ = ended.await;
}
