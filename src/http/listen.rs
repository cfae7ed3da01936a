//! Listening, and accepting connections.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::address::Peer;
use super::{HttpState, connection};

/// How much a connection's kernel buffer holds of what its peer has not taken. Linux doubles it, for its own
/// books. Without a bound it grows to some 4 MiB for each peer that does not read.
const SEND_BUFFER: u32 = 128 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long to rest where connections cannot be accepted, as when there are too many open files.
const REST: Duration = Duration::from_secs(1);

/// What a connection hears for which there is no place.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 37\r\nconnection: close\r\n\r\n\
    The server has too many connections.\n";

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
///
/// Where there are as many as there may be, more are told so and closed: left to wait, they would time out
/// somewhere else, and nobody would know why.
pub async fn serve(listener: TcpListener, router: Router, state: HttpState) {
    let places = Arc::new(Semaphore::new(state.http.open_max));
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        turn_away(&stream, &state);
                        continue;
                    };
                    let peer = Peer(peer.ip());
                    let connection =
                        connection::serve(stream, peer, place, router.clone(), state.clone());
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
    let renewing = async {
        match &state.http.certificates {
            Some(certificates) => certificates.keep_current(state.http.renew_every).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = state.shutdown.cancelled() => {}
        () = accepting => {}
        () = renewing => {}
    }
}

/// Says that there is no place, where that can be said in the clear: a handshake would be work.
fn turn_away(stream: &TcpStream, state: &HttpState) {
    state.metrics.refused_connection();
    tracing::debug!("a connection is turned away: there are as many as there may be");
    if state.http.certificates.is_none() {
        // It fits into the kernel's buffer, or the peer goes without.
        stream.try_write(NO_PLACE).ok();
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
