//! What a connection's bytes go through: plain TCP, or TLS over it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;

use super::patient::Patient;

/// A connection's place among all of the server, which it holds to its end, whatever it is used for.
pub(super) type Place = OwnedSemaphorePermit;

/// A connection. Without TLS, `P` is what is on the socket: [`Patient`] as long as HTTP is spoken, and the socket
/// alone once it has become a WebSocket, for most connections are idle WebSockets, and each byte counts there.
#[derive(Debug)]
pub(super) struct Channel<P = TcpStream> {
    line: Line<P>,
    place: Place,
}

#[derive(Debug)]
enum Line<P> {
    Plain(P),
    Tls(Box<TlsStream<Patient>>),
}

impl Channel<Patient> {
    pub(super) fn plain(stream: Patient, place: Place) -> Self {
        Self {
            line: Line::Plain(stream),
            place,
        }
    }

    pub(super) fn tls(stream: TlsStream<Patient>, place: Place) -> Self {
        Self {
            line: Line::Tls(Box::new(stream)),
            place,
        }
    }

    /// The connection for something else than HTTP, which has its own times.
    pub(super) fn upgraded(self) -> Channel {
        let line = match self.line {
            Line::Plain(stream) => Line::Plain(stream.into_inner()),
            Line::Tls(mut stream) => {
                stream.get_mut().0.rest();
                Line::Tls(stream)
            }
        };
        Channel {
            line,
            place: self.place,
        }
    }
}

impl Channel {
    /// Lets what the kernel still holds for the peer go with the connection.
    pub(super) fn forget(&self) {
        let socket = match &self.line {
            Line::Plain(stream) => stream,
            Line::Tls(stream) => stream.get_ref().0.get_ref(),
        };
        socket.set_zero_linger().ok();
    }
}

impl<P: AsyncRead + Unpin> AsyncRead for Channel<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Line::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<P: AsyncWrite + Unpin> AsyncWrite for Channel<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Line::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Line::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(stream) => stream.is_write_vectored(),
            Line::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Line::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Line::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
