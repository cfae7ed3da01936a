//! Listening, accepting, and serving connections.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::sleep;

use super::HttpState;
use super::address::Peer;
use super::stream::Ends;

/// How much a connection's kernel buffer holds of what its peer has not taken. Linux doubles it, for its own
/// books. Without a bound it grows to some 4 MiB for each peer that does not read.
const SEND_BUFFER: u32 = 128 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long a request's head may take, and how long a connection may rest between two requests.
/// A proxy keeps one for a minute, as a rule: it must be the first to close, or its next request is lost.
const HEAD_WITHIN: Duration = Duration::from_secs(75);

/// How much longer than a write the kernel waits for a peer to confirm anything at all. A peer that has vanished
/// does not block a write as long as the kernel takes it.
const VANISHED_AFTER: Duration = Duration::from_secs(20);

/// How much of an answer is buffered in front of the kernel, and how long a request's head may be, in bytes.
const BUFFER: usize = 64 * 1024;

/// How long to rest where connections cannot be accepted, as when there are too many open files.
const REST: Duration = Duration::from_secs(1);

/// Listens on an address, such as `127.0.0.1:8080`, with small buffers for writing.
///
/// # Errors
///
/// Whatever keeps the system from it: the address is in use, or is none of this machine.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in lookup_host(address).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // What is accepted inherits it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the server stops. The connections are among the state's tasks.
pub async fn serve(listener: TcpListener, router: Router, state: HttpState) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = connection(stream, peer, router.clone(), state.clone());
                    state.tasks.spawn(connection);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted");
                    sleep(REST).await;
                }
            }
        }
    };
    tokio::select! {
        () = state.shutdown.cancelled() => {}
        () = accepting => {}
    }
}

/// Whether the peer has gone again before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionRefused | K::ConnectionReset
    )
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, state: HttpState) {
    prepare(&stream, state.options.write_within);
    let ends = Arc::default();
    let stream = Patient::new(stream, state.options.write_within, Arc::clone(&ends));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service(router, peer, ends))
        .with_upgrades();
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = state.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Sets what the kernel does for a connection. Where it cannot, the connection works without.
fn prepare(stream: &TcpStream, write_within: Duration) {
    // An event is small and urgent.
    stream.set_nodelay(true).ok();
    #[cfg(target_os = "linux")]
    {
        let within = write_within.saturating_add(VANISHED_AFTER);
        let socket = socket2::SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(within)).ok();
    }
}

/// When the answer that is being written has to end, if it has to.
type Ending = Arc<Mutex<Option<Ends>>>;

/// The routes, with a note of each answer's end.
fn service(
    router: Router,
    peer: SocketAddr,
    ending: Ending,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send,
> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        let answer = hyper::service::Service::call(&router, request);
        let ending = Arc::clone(&ending);
        async move {
            let mut response = answer.await?;
            let ends = response.extensions_mut().remove::<Ends>();
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = ends;
            Ok(response)
        }
    })
}

/// A connection that gives up on a peer that takes nothing for too long, or beyond the end of what it is told.
pub(super) struct Patient {
    stream: TcpStream,
    within: Duration,
    ending: Ending,
    blocked: Option<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

impl Patient {
    fn new(stream: TcpStream, within: Duration, ending: Ending) -> Self {
        Self {
            stream,
            within,
            ending,
            blocked: None,
        }
    }

    /// The connection itself.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
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
        let (within, ending) = (self.within, &self.ending);
        let blocked = self.blocked.get_or_insert_with(|| {
            let ends = ending.lock().unwrap_or_else(PoisonError::into_inner);
            give_up(within, ends.clone()).boxed()
        });
        ready!(blocked.as_mut().poll(cx));
        // What the kernel still holds for the peer goes with the connection.
        self.stream.set_zero_linger().ok();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Waits until a blocked write is to be given up.
async fn give_up(within: Duration, ends: Option<Ends>) {
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_gives_up_on_a_peer_that_has_vanished() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        prepare(&stream, Duration::from_secs(10));
        let within = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(within, Some(Duration::from_secs(30)));
        assert!(stream.nodelay().unwrap());
    }
}
