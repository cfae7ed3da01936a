//! Gets the set of keys from its address: one GET, on a connection of its own.
//!
//! Redirects are not followed, an answer has a bound in size and time, and nothing is kept between two of
//! them: it happens every few minutes.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use tokio::time::timeout;

use super::jwk::SET_MAX_BYTES;
use crate::outgoing::{self, ExchangeError, Reach, RootsError, bare};

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
    /// There is no connection, or it broke off.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
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
#[derive(Debug)]
pub(super) struct Client {
    address: KeyAddress,
    outgoing: outgoing::Client,
}

impl Client {
    /// A client that trusts the roots of a PEM file, or those of the system.
    pub(super) fn new(address: KeyAddress, roots: Option<&Path>) -> Result<Self, RootsError> {
        let outgoing = if address.0.scheme_str() == Some("https") {
            outgoing::Client::new(roots)?
        } else {
            outgoing::Client::plain()
        };
        Ok(Self { address, outgoing })
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
        let mut request = Request::new(Full::default());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        let uri = &self.address.0;
        let answer = self
            .outgoing
            .exchange(uri, Reach::Everywhere, request, SET_MAX_BYTES);
        let answer = answer.await?;
        if answer.head.status != StatusCode::OK {
            return Err(FetchError::Status(answer.head.status));
        }
        answer.body.ok_or(FetchError::Body)
    }
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
