//! One connection: TLS, the version of HTTP, and its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::address::Peer;
use super::channel::{Channel, Place};
use super::exchange::{Exchange, Noted};
use super::patient::{Patience, Patient};
use super::{HttpState, http2, tls};

/// How much longer than a write the kernel waits for a peer to confirm anything at all. A peer that has vanished
/// does not block a write as long as the kernel takes it.
const VANISHED_AFTER: Duration = Duration::from_secs(20);

/// How much of an answer is buffered in front of the kernel, and how long a request's head may be, in bytes.
/// hyper answers a longer one with 431, or with 414 where it is the address that is so long; `bounds` is stricter.
const BUFFER: usize = 64 * 1024;

/// How many headers a request may have. hyper answers more with 431.
const HEADERS: usize = 100;

/// With what a connection of HTTP/2 begins, as far as no request of HTTP/1.1 does (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI ";

/// After what time a connection is looked at again that has begun with a part of [`PREFACE`].
const PREFACE_AGAIN: Duration = Duration::from_millis(20);

/// The version of HTTP that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// Serves a connection to its end, or to the upgrade to a WebSocket.
pub(super) async fn serve(
    stream: TcpStream,
    peer: Peer,
    place: Place,
    router: Router,
    state: HttpState,
) {
    prepare(&stream, state.options.write_within);
    let exchange = Arc::<Exchange>::default();
    let opened = tokio::select! {
        // Nothing has been asked for yet.
        () = state.shutdown.cancelled() => return,
        opened = timeout(
            state.http.head_within,
            open(stream, place, &state, Arc::clone(&exchange)),
        ) => opened,
    };
    match opened {
        Ok(Some((channel, Version::Http1))) => {
            let service = service(router, peer, exchange);
            Box::pin(serve_http1(channel, service, state)).await;
        }
        Ok(Some((channel, Version::Http2))) => {
            // Its frames have no heads to wait for.
            exchange.leave();
            Box::pin(http2::serve(channel, peer, router, state)).await;
        }
        Ok(None) => {}
        Err(_) => tracing::debug!("a connection did not begin in time"),
    }
}

/// Opens a connection: makes the handshake, where there is TLS, and finds out what it speaks. `None` where it
/// does not come to that.
async fn open(
    stream: TcpStream,
    place: Place,
    state: &HttpState,
    exchange: Arc<Exchange>,
) -> Option<(Channel<Patient>, Version)> {
    let patience = Patience {
        write: state.options.write_within,
        head: state.http.head_within,
    };
    let Some(certificates) = &state.http.certificates else {
        let version = version_of(&stream).await?;
        let stream = Patient::new(stream, patience, exchange);
        return Some((Channel::plain(stream, place), version));
    };
    let stream = Patient::new(stream, patience, exchange);
    let opened = certificates.acceptor().accept(stream).await;
    let stream = opened
        .inspect_err(|error| tracing::debug!(%error, "a handshake failed"))
        .ok()?;
    let version = match stream.get_ref().1.alpn_protocol() {
        Some(tls::HTTP_2) => Version::Http2,
        Some(_) | None => Version::Http1,
    };
    Some((Channel::tls(stream, place), version))
}

/// Waits for the first bytes of a connection, leaves them where they are, and says what they begin.
async fn version_of(stream: &TcpStream) -> Option<Version> {
    let mut begin = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut begin).await.ok()?;
        let begin = begin.get(..count)?;
        if begin.is_empty() {
            return None;
        }
        if begin == PREFACE {
            return Some(Version::Http2);
        }
        if !PREFACE.starts_with(begin) {
            return Some(Version::Http1);
        }
        sleep(PREFACE_AGAIN).await;
    }
}

async fn serve_http1<S>(channel: Channel<Patient>, service: S, state: HttpState)
where
    S: Service<Request<Incoming>, Response = Response<Noted>, Error = Infallible, Future: Send>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // It is the time between two requests as well. What a head takes from its first byte on, `Patient` knows.
        .header_read_timeout(state.http.idle_within)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(channel), service)
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

/// The routes, with a note of who asks, of each request's begin and of its answer's end.
fn service(
    router: Router,
    peer: Peer,
    exchange: Arc<Exchange>,
) -> impl Service<Request<Incoming>, Response = Response<Noted>, Error = Infallible, Future: Send> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        exchange.leave();
        request.extensions_mut().insert(peer);
        let answer = router.call(request);
        let exchange = Arc::clone(&exchange);
        async move { Ok(exchange.answer(answer.await?)) }
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::http::listen;
    use tokio::io::AsyncWriteExt as _;

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

    #[tokio::test]
    async fn the_first_bytes_say_the_version() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (begin, version) in [
            (["P", "RI * HTTP/2.0\r\n"], Some(Version::Http2)),
            (["PRI ", "* "], Some(Version::Http2)),
            (["P", "OST / HTTP/1.1\r\n"], Some(Version::Http1)),
            (["G", "ET"], Some(Version::Http1)),
            (["", ""], None),
        ] {
            let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (mut peer, (stream, _)) = (peer.unwrap(), accepted.unwrap());
            let client = async {
                for bytes in begin {
                    peer.write_all(bytes.as_bytes()).await.unwrap();
                    sleep(Duration::from_millis(50)).await;
                }
                peer.shutdown().await.unwrap();
            };
            let (found, ()) = tokio::join!(version_of(&stream), client);
            assert_eq!(found, version, "{begin:?}");
        }
    }
}
