//! Webhooks, signed as the specification Standard Webhooks 1.0 says.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use super::{Parcel, Sink};
use crate::model::{Failure, FailureKind};
use crate::outgoing::{Client, ExchangeError, Reach};

/// How a secret begins.
const PREFIX: &str = "whsec_";

/// How many bytes a secret may have, as the specification says.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What the file says of a webhook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    url: String,
    secrets: Vec<Secret>,
    #[serde(default)]
    allow_private_addresses: bool,
}

/// A secret of the file.
#[derive(Debug)]
pub(super) struct Secret(pub(super) SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(from)?.into()))
    }
}

/// A webhook.
pub(super) struct Webhook {
    url: Uri,
    /// The newest key first. A receiver may know any one of them.
    keys: Vec<hmac::Key>,
    reach: Reach,
    client: Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the address, the path may be a secret.
        f.debug_struct("Webhook")
            .field("host", &self.url.host())
            .finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn new(settings: &Settings, client: Client) -> Result<Self, String> {
        let keys: Result<Vec<hmac::Key>, String> = settings.secrets.iter().map(key).collect();
        let keys = keys?;
        if keys.is_empty() {
            return Err("it needs a secret to sign with".to_owned());
        }
        let reach = if settings.allow_private_addresses {
            Reach::Everywhere
        } else {
            Reach::Public
        };
        Ok(Self {
            url: web_address(&settings.url)?,
            keys,
            reach,
            client,
        })
    }

    /// Signatures by all keys, newest first.
    fn signatures(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let signature = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)));
        let signatures: Vec<String> = self.keys.iter().map(signature).collect();
        signatures.join(" ")
    }

    fn request(&self, parcel: &Parcel, now: DateTime<Utc>) -> Option<Request<Full<Bytes>>> {
        let body = parcel.json();
        let timestamp = now.timestamp().to_string();
        let signatures = self.signatures(&parcel.id, &timestamp, &body);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", parcel.id.parse().ok()?);
        headers.insert("webhook-timestamp", timestamp.parse().ok()?);
        headers.insert("webhook-signature", signatures.parse().ok()?);
        Some(request)
    }
}

impl Sink for Webhook {
    fn send<'a>(
        &'a self,
        parcel: &'a Parcel,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let request = self.request(parcel, now).ok_or(FailureKind::NotSent)?;
            // What the receiver has to say besides its status is of no use.
            let answer = self.client.exchange(&self.url, self.reach, request, 0);
            let head = answer.await.map_err(|error| failure(&error))?.head;
            judge(head.status, &head.headers)
        }
        .boxed()
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, String> {
    let text = secret.0.expose_secret();
    let text = text.strip_prefix(PREFIX);
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    let bytes = bytes.ok_or("a secret is whsec_ and 24 to 64 bytes in base 64")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// An address of HTTP, without a user and a password: they would not be sent.
pub(super) fn web_address(text: &str) -> Result<Uri, String> {
    let uri = Uri::from_str(text).ok();
    let fits = |uri: &Uri| {
        let named = uri
            .authority()
            .is_some_and(|all| all.as_str().contains('@'));
        let host = uri.host().unwrap_or_default();
        matches!(uri.scheme_str(), Some("https" | "http")) && !host.is_empty() && !named
    };
    let uri = uri.filter(fits);
    uri.ok_or_else(|| "the url is https:// or http://, without a user".to_owned())
}

/// What an exchange that failed means.
pub(super) fn failure(error: &ExchangeError) -> Failure {
    Failure::from(match error {
        ExchangeError::Connect(_) => FailureKind::Unreachable,
        ExchangeError::Address => FailureKind::AddressNotAllowed,
        ExchangeError::Tls(_) => FailureKind::Tls,
        ExchangeError::Exchange(_) => FailureKind::BrokenOff,
    })
}

/// What a status means. A redirect is not followed: it is as good as any other refusal, until somebody mends it.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let for_good = [
        StatusCode::BAD_REQUEST,
        StatusCode::GONE,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    let kind = if for_good.contains(&status) {
        FailureKind::RefusedForGood
    } else {
        FailureKind::RefusedForNow
    };
    let after = headers.get(RETRY_AFTER).and_then(|text| text.to_str().ok());
    Err(Failure {
        kind,
        status: i16::try_from(status.as_u16()).ok(),
        retry_after: after
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secrets: &[&str]) -> Webhook {
        let secrets = secrets.iter();
        let settings = Settings {
            url: "https://example.com/hook".to_owned(),
            secrets: secrets.map(|text| Secret((*text).into())).collect(),
            allow_private_addresses: false,
        };
        Webhook::new(&settings, Client::plain()).unwrap()
    }

    /// The example of the specification and of its libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let webhook = webhook(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        let signatures = webhook.signatures(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signatures,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn while_a_key_is_replaced_both_sign() {
        let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let sign = |keys: &[&str]| webhook(keys).signatures("id", "1", b"{}");
        assert_eq!(
            sign(&[new, old]),
            format!("{} {}", sign(&[new]), sign(&[old]))
        );
        assert_ne!(sign(&[new]), sign(&[old]));
    }

    #[test]
    fn a_status_is_taken_refused_or_waited_for() {
        let kind = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(status, &HeaderMap::new())
                .err()
                .map(|failure| failure.kind)
        };
        for status in [200, 201, 202, 204] {
            assert_eq!(kind(status), None);
        }
        for status in [301, 302, 307, 401, 403, 404, 408, 409, 429, 500, 502, 503] {
            assert_eq!(kind(status), Some(FailureKind::RefusedForNow), "{status}");
        }
        for status in [400, 410, 413, 415, 422] {
            assert_eq!(kind(status), Some(FailureKind::RefusedForGood), "{status}");
        }
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let asked = judge(StatusCode::TOO_MANY_REQUESTS, &headers).unwrap_err();
        assert_eq!(asked.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(asked.status, Some(429));
    }
}
