//! A connection that gives up on a peer who takes nothing, or who does not come to the end of what it says.
//!
//! It stands directly on the socket, below TLS, so that what it sees is what the peer has taken.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::exchange::Exchange;
use super::stream::Ends;

/// As good as never.
const FAR: Duration = Duration::from_hours(24 * 365);

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a part of what is written to it.
    pub(super) write: Duration,
    /// For the whole head of a request, from its first byte on.
    pub(super) head: Duration,
}

/// A connection that gives up on a peer that takes nothing for too long, or beyond the end of what it is told,
/// and on one that does not end the head of its request.
pub(super) struct Patient {
    stream: TcpStream,
    patience: Patience,
    exchange: Arc<Exchange>,
    blocked: Option<BoxFuture<'static, ()>>,
    head: Option<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

impl Patient {
    pub(super) fn new(stream: TcpStream, patience: Patience, exchange: Arc<Exchange>) -> Self {
        Self {
            stream,
            patience,
            exchange,
            blocked: None,
            head: None,
        }
    }

    /// The connection itself.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// The connection itself.
    pub(super) fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    /// Judges no more: whoever uses the connection from now on has their own times.
    pub(super) fn rest(&mut self) {
        self.patience.write = FAR;
        self.exchange = Arc::default();
        self.exchange.leave();
        self.blocked = None;
        self.head = None;
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let (within, exchange) = (self.patience.write, &self.exchange);
        let blocked = self
            .blocked
            .get_or_insert_with(|| give_up(within, exchange.ends()).boxed());
        ready!(blocked.as_mut().poll(cx));
        // What the kernel still holds for the peer goes with the connection.
        self.stream.set_zero_linger().ok();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the head that is being read is overdue.
    fn head_is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(since) = self.exchange.head_since() else {
            self.head = None;
            return false;
        };
        let ends = since
            .checked_add(self.patience.head)
            .unwrap_or_else(|| since + FAR);
        let head = self.head.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        if head.deadline() != ends {
            head.as_mut().reset(ends);
        }
        head.as_mut().poll(cx).is_ready()
    }
}

/// Waits until a blocked write is to be given up.
pub(super) async fn give_up(within: Duration, ends: Option<Ends>) {
    let ended = async {
        match ends {
            Some(ends) => ends.overdue().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = sleep(within) => {}
        () = ended => {}
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buffer)?.is_ready() {
            if buffer.filled().len() > before {
                self.exchange.arrived(Instant::now());
            }
            return Poll::Ready(Ok(()));
        }
        if self.head_is_overdue(cx) {
            tracing::debug!("a request's head did not come to its end in time");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
