//! HTTP requests that the server makes: one exchange on a connection of its own.
//!
//! Redirects are not followed, and of an answer only so much is read as is asked for. Where addresses are guarded, each
//! is looked at after the name is resolved, and the connection is made to that one: what a name leads to a moment later
//! does not matter.

mod address;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use address::is_public;

/// What the server calls itself.
const AGENT: &str = concat!("colloquy/", env!("CARGO_PKG_VERSION"));

/// The certificates that an `https` address is checked with cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RootsError(String);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The name leads nowhere, or nobody listens there.
    #[error("it cannot be connected to: {0}")]
    Connect(#[source] io::Error),
    /// The name leads to addresses that are not public, and only such are allowed.
    #[error("its name leads to an address that is not public")]
    Address,
    /// The peer does not prove who it is.
    #[error("it cannot be connected to: {0}")]
    Tls(#[source] io::Error),
    /// The exchange broke off.
    #[error("the exchange failed: {0}")]
    Exchange(#[source] hyper::Error),
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    Everywhere,
    /// Those of the public network: not this machine, nor what is private or belongs to one link.
    Public,
}

/// The beginning of an answer, and its body where that was asked for.
#[derive(Debug)]
pub struct Answer {
    /// The status and the headers.
    pub head: Parts,
    /// The body; `None` where it broke off or is longer than it may be.
    pub body: Option<Bytes>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Opened {
    /// The status and the headers.
    pub head: Parts,
    /// The body.
    pub body: Body,
}

/// What moves the bytes of a connection while its answer is read. It never ends by itself.
type Pump = BoxFuture<'static, Infallible>;

/// A body that comes piece by piece.
pub struct Body {
    incoming: Incoming,
    pump: Pump,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// The next piece; `None` at its end.
    ///
    /// # Errors
    ///
    /// Where it breaks off.
    pub async fn next(&mut self) -> Option<Result<Bytes, ExchangeError>> {
        loop {
            let piece = tokio::select! {
                piece = self.incoming.frame() => piece?,
                never = &mut self.pump => match never {},
            };
            match piece.map(Frame::into_data) {
                Ok(Ok(piece)) => return Some(Ok(piece)),
                // Trailers say nothing here.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(ExchangeError::Exchange(error))),
            }
        }
    }

    /// All of it; `None` where it breaks off or has more than `most` bytes.
    pub async fn collect(mut self, most: usize) -> Option<Bytes> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece.ok()?;
            if all.len().saturating_add(piece.len()) > most {
                return None;
            }
            all.extend_from_slice(&piece);
        }
        Some(all.freeze())
    }
}

/// Makes exchanges.
#[derive(Clone)]
pub struct Client {
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A host without the brackets of an IPv6 address.
#[must_use]
pub fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

impl Client {
    /// A client that trusts the roots of a PEM file, or those of the system.
    ///
    /// # Errors
    ///
    /// [`RootsError`].
    pub fn new(roots: Option<&Path>) -> Result<Self, RootsError> {
        let tls = Some(connector(roots)?);
        Ok(Self { tls })
    }

    /// A client for `http` addresses alone, which needs no roots.
    #[must_use]
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// Sends a request to an `http` or `https` address and waits for the answer. Of its body at most `body_max` bytes are
    /// read; with 0, it is not waited for.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`]. An answer with any status is none.
    pub async fn exchange(
        &self,
        uri: &Uri,
        reach: Reach,
        request: Request<Full<Bytes>>,
        body_max: usize,
    ) -> Result<Answer, ExchangeError> {
        let opened = self.open(uri, reach, request).await?;
        let body = match body_max {
            0 => None,
            most => opened.body.collect(most).await,
        };
        let head = opened.head;
        Ok(Answer { head, body })
    }

    /// Sends a request to an `http` or `https` address and waits for the beginning of the answer.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`]. An answer with any status is none.
    pub async fn open(
        &self,
        uri: &Uri,
        reach: Reach,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Opened, ExchangeError> {
        let secure = uri.scheme_str() == Some("https");
        let host = bare(uri.host().unwrap_or_default());
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        address_to(uri, &mut request);
        let stream = connect(host, port, reach).await?;
        if !secure {
            return ask(stream, request).await;
        }
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported);
        let tls = tls.map_err(|kind| ExchangeError::Tls(kind.into()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other);
        let name = name.map_err(ExchangeError::Tls)?;
        let stream = tls.connect(name, stream).await;
        ask(stream.map_err(ExchangeError::Tls)?, request).await
    }
}

/// Gives a request the path and the headers that every one has.
fn address_to(uri: &Uri, request: &mut Request<Full<Bytes>>) {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    if let Ok(host) = host.parse() {
        headers.insert(HOST, host);
    }
    let agent = HeaderValue::from_static(AGENT);
    headers.entry(USER_AGENT).or_insert(agent);
}

/// How long one of several addresses is tried before the next.
const ADDRESS_WITHIN: Duration = Duration::from_secs(2);

/// Connects to the first of a name's addresses that may be and can be. Only the last is waited for as long as the caller waits.
async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, ExchangeError> {
    let addresses = lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = addresses.map_err(ExchangeError::Connect)?.collect();
    let is_known = !addresses.is_empty();
    let may_be = addresses.into_iter();
    let may_be = may_be.filter(|address| reach == Reach::Everywhere || is_public(address.ip()));
    let mut may_be: Vec<SocketAddr> = may_be.collect();
    let Some(last) = may_be.pop() else {
        return Err(if is_known {
            ExchangeError::Address
        } else {
            ExchangeError::Connect(io::ErrorKind::NotFound.into())
        });
    };
    for address in may_be {
        if let Ok(Ok(stream)) = timeout(ADDRESS_WITHIN, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last)
        .await
        .map_err(ExchangeError::Connect)
}

async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Opened, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(ExchangeError::Exchange)?;
    // What ends the connection early, the answer tells of.
    let mut pump: Pump = async {
        connection.await.ok();
        pending().await
    }
    .boxed();
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.map_err(ExchangeError::Exchange)?,
        never = &mut pump => match never {},
    };
    let (head, incoming) = answer.into_parts();
    let body = Body { incoming, pump };
    Ok(Opened { head, body })
}

/// What speaks TLS to servers, and trusts the roots of a PEM file, or those of the system.
fn connector(roots: Option<&Path>) -> Result<TlsConnector, RootsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RootsError(error.to_string()))?
        .with_root_certificates(trusted(roots)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn trusted(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        let failed = |why: String| RootsError(format!("{}: {why}", file.display()));
        let certificates = CertificateDer::pem_file_iter(file);
        for certificate in certificates.map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| failed(error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        let why = "there are no root certificates to check https addresses with";
        return Err(RootsError(why.to_owned()));
    }
    Ok(roots)
}
