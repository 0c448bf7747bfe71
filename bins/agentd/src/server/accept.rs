//! Connections: how many there may be, how long they may take, and which of
//! them speak TLS.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::patient::Patient;
use super::{Serving, Shared, routes};

/// For a request, for an answer, and between two of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// For agreeing on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For what is going on when something else is to be served.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 256 << 10;
/// What the original, whose language does it for all, says to HTTP in the
/// place of TLS.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Accepts until it is aborted. Where there are too many connections the oldest
/// gives way: whoever is in earnest needs only a moment.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: it will pass.
                tracing::warn!("cannot accept connections: {error}");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        let serving = shared.serving();
        open.retain(|connection| !connection.is_finished());
        if open.len() >= serving.config.web.connections
            && let Some(oldest) = open.pop_front()
        {
            tracing::info!("too many connections: the oldest is closed");
            oldest.abort();
        }
        let connection = tokio::spawn(serve(stream, peer, Arc::clone(&shared), serving));
        open.push_back(connection.abort_handle());
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, serving: Arc<Serving>) {
    // From here on a change is noticed, also one that came in between.
    let mut generation = shared.generation.subscribe();
    if !Arc::ptr_eq(&serving, &shared.serving()) {
        generation.mark_changed();
    }
    let _ = stream.set_nodelay(true);
    shared.figures.connections.fetch_add(1, Relaxed);
    let Some(config) = serving.mode.tls() else {
        return speak(stream, peer, shared, serving, generation).await;
    };
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let agreed = timeout(HANDSHAKE, async {
        if is_http(&stream).await? {
            refuse_http(stream).await?;
            return Ok(None);
        }
        acceptor.accept(stream).await.map(Some)
    });
    match agreed.await {
        Ok(Ok(Some(stream))) => speak(stream, peer, shared, serving, generation).await,
        Ok(Ok(None)) => tracing::info!("{peer} spoke HTTP where HTTPS is spoken"),
        Ok(Err(error)) => {
            shared.figures.handshakes_failed.fetch_add(1, Relaxed);
            tracing::info!("TLS handshake error from {peer}: {error}");
        }
        Err(_) => {
            shared.figures.handshakes_failed.fetch_add(1, Relaxed);
            tracing::info!("TLS handshake error from {peer}: it took too long");
        }
    }
}

async fn speak<S>(
    stream: S,
    peer: SocketAddr,
    shared: Arc<Shared>,
    serving: Arc<Serving>,
    mut generation: watch::Receiver<u64>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (shared, serving) = (Arc::clone(&shared), Arc::clone(&serving));
        async move { Ok::<_, Infallible>(routes::answer(shared, serving, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = generation.changed() => {
            connection.as_mut().graceful_shutdown();
            match timeout(FAREWELL, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("connection from {peer}: {error}");
    }
}

/// Whether what comes begins as HTTP does. TLS begins with a byte that is no
/// letter.
async fn is_http(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    Ok(length == 1 && first[0].is_ascii_uppercase())
}

async fn refuse_http(mut stream: TcpStream) -> std::io::Result<()> {
    // Closing with input unread would reset the connection, and the answer with it.
    let mut rest = vec![0; 4096];
    let _ = stream.read(&mut rest).await?;
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    let _ = timeout(Duration::from_secs(1), stream.read(&mut rest)).await;
    Ok(())
}
