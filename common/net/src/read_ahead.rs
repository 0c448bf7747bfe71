//! A stream that is read in larger pieces than its reader asks for: TLS asks for
//! a few KiB at a time, and each time would be a system call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once of a stream where little comes. It has no memory of its
/// own while nothing does.
const LEAST: usize = 4 << 10;
/// What is read at once of one where much comes.
const MOST: usize = 64 << 10;

/// Reads ahead of whoever reads it; what is written to it passes at once.
#[derive(Debug)]
pub struct ReadAhead<S> {
    stream: S,
    bytes: Vec<u8>,
    /// The part of `bytes` that is read and not taken yet.
    from: usize,
    to: usize,
    /// How much to read at once.
    size: usize,
}

impl<S> ReadAhead<S> {
    /// Nothing is read before somebody asks.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            from: 0,
            to: 0,
            size: LEAST,
        }
    }

    /// So many bytes came at once.
    fn came(&mut self, len: usize) {
        (self.from, self.to) = (0, len);
        if len == self.size {
            self.size = (4 * self.size).min(MOST);
        } else if len < self.size / 8 {
            self.size = (self.size / 2).max(LEAST);
        }
    }

    /// Nothing is there now.
    fn rest(&mut self) {
        if self.size == LEAST {
            self.bytes = Vec::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.from == this.to {
            if this.bytes.len() != this.size {
                this.bytes = vec![0; this.size];
            }
            let mut read = ReadBuf::new(&mut this.bytes);
            let result = Pin::new(&mut this.stream).poll_read(context, &mut read);
            let len = read.filled().len();
            if result.is_pending() {
                this.rest();
            }
            ready!(result)?;
            this.came(len);
        }
        let len = into.remaining().min(this.to - this.from);
        into.put_slice(&this.bytes[this.from..this.from + len]);
        this.from += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn all_bytes_come_in_their_order_whatever_is_asked_for() {
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut one, other) = tokio::io::duplex(100_000);
        let bytes = sent.clone();
        let writing = tokio::spawn(async move { one.write_all(&bytes).await });
        let mut other = ReadAhead::new(other);
        let mut got = Vec::new();
        let mut piece = vec![0; 40_000];
        for ask in (1..).map(|n: usize| n * 7919 % 40_000) {
            match other.read(&mut piece[..ask.max(1)]).await.unwrap() {
                0 => break,
                len => got.extend_from_slice(&piece[..len]),
            }
        }
        writing.await.unwrap().unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn a_stream_with_nothing_to_read_has_no_memory() {
        let (mut one, other) = tokio::io::duplex(1 << 20);
        let mut other = ReadAhead::new(other);
        one.write_all(&vec![1; 500_000]).await.unwrap();
        let mut bytes = vec![0; 1 << 16];
        let mut left = 500_000;
        while left > 0 {
            left -= other.read(&mut bytes).await.unwrap();
        }
        assert_eq!(other.bytes.len(), MOST);
        for _ in 0..10 {
            one.write_all(b"ping").await.unwrap();
            assert_eq!(other.read(&mut bytes).await.unwrap(), 4);
        }
        let nothing = other.read(&mut bytes);
        tokio::select! {
            biased;
            _ = nothing => panic!("there is nothing"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(other.bytes.capacity(), 0);
    }
}
