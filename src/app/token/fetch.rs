//! Gets the set of keys from its address: one GET, on a connection of its own.
//!
//! Redirects are not followed, an answer has a bound in size and time, and nothing is kept between two of
//! them: it happens every few minutes.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::jwk::SET_MAX_BYTES;

/// How long getting the set may take, from the look-up of the name to the last byte.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// The address of a set of keys: `https`, or `http` to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAddress(Uri);

/// A text that cannot be the address of a set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of the keys is an https:// URL without a user (http:// only to this machine)")]
pub struct AddressError;

impl FromStr for KeyAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().or(Err(AddressError))?;
        is_private(&uri).then_some(Self(uri)).ok_or(AddressError)
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

fn is_loopback(host: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|one| one.is_loopback())
}

impl fmt::Display for KeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the set could not be got.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// It took too long.
    #[error("no answer within 5 seconds")]
    Late,
    /// There is no connection.
    #[error("it cannot be connected to: {0}")]
    Connect(#[source] std::io::Error),
    /// The exchange broke off.
    #[error("the exchange failed: {0}")]
    Exchange(#[source] hyper::Error),
    /// It answers something else than the set.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// The answer broke off or is longer than it may be.
    #[error("its answer breaks off or has more than 256 KiB")]
    Body,
    /// The set is none.
    #[error(transparent)]
    Set(#[from] super::jwk::SetError),
}

/// The certificates that an `https` address is checked with cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RootsError(String);

/// Whether a secret may travel to an address: `https`, or `http` to this machine, without a user in it.
pub fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let allowed = match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback(bare(host)),
        _ => false,
    };
    let named = uri
        .authority()
        .is_some_and(|all| all.as_str().contains('@'));
    allowed && !named
}

/// Gets a set of keys from one address.
pub(super) struct Client {
    address: KeyAddress,
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.address).finish()
    }
}

impl Client {
    /// A client that trusts the roots of a PEM file, or those of the system.
    pub(super) fn new(address: KeyAddress, roots: Option<&Path>) -> Result<Self, RootsError> {
        let secure = address.0.scheme_str() == Some("https");
        let tls = if secure {
            Some(connector(roots)?)
        } else {
            None
        };
        Ok(Self { address, tls })
    }

    pub(super) fn address(&self) -> &KeyAddress {
        &self.address
    }

    /// The bytes of the set.
    pub(super) async fn get(&self) -> Result<Bytes, FetchError> {
        timeout(FETCH_WITHIN, self.exchange())
            .await
            .or(Err(FetchError::Late))?
    }

    async fn exchange(&self) -> Result<Bytes, FetchError> {
        let uri = &self.address.0;
        let host = bare(uri.host().unwrap_or_default());
        let port = uri.port_u16();
        let port = port.unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(FetchError::Connect)?;
        let Some(tls) = &self.tls else {
            return self.ask(stream).await;
        };
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other);
        let name = name.map_err(FetchError::Connect)?;
        let stream = tls.connect(name, stream).await;
        self.ask(stream.map_err(FetchError::Connect)?).await
    }

    async fn ask<S>(&self, stream: S) -> Result<Bytes, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(FetchError::Exchange)?;
        let answer = async {
            let answer = sender.send_request(self.request()).await;
            let answer = answer.map_err(FetchError::Exchange)?;
            if answer.status() != StatusCode::OK {
                return Err(FetchError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), SET_MAX_BYTES).collect();
            Ok(body.await.or(Err(FetchError::Body))?.to_bytes())
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

    fn request(&self) -> Request<Empty<Bytes>> {
        let uri = &self.address.0;
        let mut request = Request::new(Empty::new());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().unwrap_or_default();
        let agent = concat!("colloquy/", env!("CARGO_PKG_VERSION"));
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let members = [
            (HOST, host),
            (ACCEPT, "application/json"),
            (USER_AGENT, agent),
        ];
        for (name, value) in members {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

/// What speaks TLS to servers, and trusts the roots of a PEM file, or those of the system.
///
/// # Errors
///
/// Where there are no roots, or they cannot be read.
pub fn connector(roots: Option<&Path>) -> Result<TlsConnector, RootsError> {
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
        let why = "there are no root certificates to check an https address with";
        return Err(RootsError(why.to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_of_this_machine() {
        for text in [
            "https://id.example.com/keys?v=1",
            "https://10.0.0.1:8443/",
            "http://localhost:80/keys",
            "http://127.0.0.1/keys",
            "http://127.9.9.9/keys",
            "http://[::1]:9/keys",
        ] {
            assert!(text.parse::<KeyAddress>().is_ok(), "{text}");
        }
        for text in [
            "",
            "/keys",
            "keys",
            "http://id.example.com/keys",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "ftp://localhost/",
            "file:///etc/keys",
            "https://user:password@id.example.com/",
            "http://localhost@example.com/",
        ] {
            assert_eq!(text.parse::<KeyAddress>(), Err(AddressError), "{text}");
        }
    }
}
