//! Asks those who keep files elsewhere: one request on a connection of its own, in bounded memory and time.
//!
//! It happens once or twice for a file. Redirects are not followed.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the connection and the answer's head may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How slowly a body may come on average, in bytes a second, beside that time.
const SLOWEST: u64 = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// There is no connection.
    #[error("it cannot be connected to: {0}")]
    Connect(#[source] io::Error),
    /// The exchange broke off.
    #[error("the exchange failed: {0}")]
    Exchange(#[source] hyper::Error),
}

/// How much of an answer's body is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// Its first bytes, and no more.
    First(usize),
    /// All of it, so many bytes at most: its first bytes are kept, and all are counted and hashed.
    Whole(usize, u64),
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first bytes of its body.
    pub(super) first: Bytes,
    /// How many bytes were read, and their SHA-256.
    pub(super) read: (u64, [u8; 32]),
}

/// Asks.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the system's roots.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Sends a request whose address is whole, and reads its answer.
    pub(super) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        reading: Reading,
    ) -> Result<Answer, ClientError> {
        let more = match reading {
            Reading::First(_) => 0,
            Reading::Whole(_, most) => most / SLOWEST,
        };
        let within = ANSWER_WITHIN.saturating_add(Duration::from_secs(more));
        let asked = timeout(within, Box::pin(self.exchange(request, reading))).await;
        asked.unwrap_or(Err(ClientError::Late))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        reading: Reading,
    ) -> Result<Answer, ClientError> {
        let uri = request.uri().clone();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_secure = uri.scheme_str() != Some("http");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let stream = timeout(ANSWER_WITHIN, TcpStream::connect((host, port))).await;
        let stream = stream.or(Err(ClientError::Late))?;
        let stream = stream.map_err(ClientError::Connect)?;
        if !is_secure {
            return over(stream, request, reading).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other);
        let name = name.map_err(ClientError::Connect)?;
        let stream = self.tls.connect(name, stream).await;
        over(stream.map_err(ClientError::Connect)?, request, reading).await
    }
}

async fn over<S>(
    stream: S,
    mut request: Request<Full<Bytes>>,
    reading: Reading,
) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let uri = std::mem::take(request.uri_mut());
    if let Some(authority) = uri.authority()
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().insert(HOST, host);
    }
    // The one that is asked wants the path alone.
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    let handshake = http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(ClientError::Exchange)?;
    let answer = async {
        let answer = sender.send_request(request).await;
        read(answer.map_err(ClientError::Exchange)?, reading).await
    };
    // The connection moves the bytes. What ends it early, the answer tells of.
    let never = async {
        connection.await.ok();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = never => match never {},
    }
}

async fn read(answer: Response<Incoming>, reading: Reading) -> Result<Answer, ClientError> {
    let (parts, mut body) = answer.into_parts();
    let (keep, most) = match reading {
        Reading::First(keep) => (keep, u64::try_from(keep).unwrap_or(u64::MAX)),
        Reading::Whole(keep, most) => (keep, most),
    };
    let (mut first, mut sum, mut length) = (BytesMut::new(), Sha256::new(), 0_u64);
    while length < most
        && let Some(frame) = body.frame().await
    {
        let Ok(piece) = frame.map_err(ClientError::Exchange)?.into_data() else {
            continue;
        };
        let room = keep.saturating_sub(first.len());
        first.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        length = length.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        sum.update(&piece);
    }
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        first: first.freeze(),
        read: (length, sum.finalize().into()),
    })
}
