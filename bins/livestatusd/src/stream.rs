//! A connection, whatever it comes over.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use net::server::TlsStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How much is read at once.
const READ: usize = 64 * 1024;

/// How long a peer is listened to once it was told that nothing more comes. Who
/// closes while bytes of the peer lie unread takes back over TCP what is still
/// on its way.
const LINGER: Duration = Duration::from_secs(5);

/// A connection, whatever it comes over.
pub(crate) enum Stream {
    /// A Unix socket.
    Unix(UnixStream),
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Waits for bytes and hands them to `take`; 0 at the end of the stream. The
    /// buffer is there only while there are bytes, so that a connection that
    /// waits has none.
    pub(crate) async fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|context| {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *self).poll_read(context, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Whether the peer has closed the connection for good. That it has sent all
    /// it wants to send does not count.
    pub(crate) async fn is_gone(&self) -> bool {
        let writable = async {
            match self {
                Self::Unix(stream) => stream.ready(Interest::WRITABLE).await,
                Self::Tcp(stream) => stream.ready(Interest::WRITABLE).await,
                Self::Tls(stream) => stream.get_ref().0.ready(Interest::WRITABLE).await,
            }
        };
        let ready = timeout(Duration::ZERO, writable);
        matches!(ready.await, Ok(Ok(ready)) if ready.is_write_closed())
    }

    /// Tells the peer that nothing more comes and lets it read what has been sent.
    pub(crate) async fn end(mut self) {
        let ending = async {
            let _ = self.shutdown().await;
            // Below TLS, which may have broken.
            let socket = match &mut self {
                Self::Unix(_) => return,
                Self::Tcp(socket) => socket,
                Self::Tls(stream) => stream.get_mut().0,
            };
            let mut scrap = [0; 1024];
            while matches!(socket.read(&mut scrap).await, Ok(1..)) {}
        };
        let _ = timeout(LINGER, ending).await;
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
