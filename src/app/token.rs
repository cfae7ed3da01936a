//! Tokens: JSON Web Tokens (RFC 7519) signed with HS256 (RFC 7518) by a shared secret.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::{Actor, Session};
use crate::model::{Profile, TenantId, UserId};

/// The most characters of a name or picture claim that are kept; a longer one is ignored.
const PROFILE_MAX_CHARS: usize = 2_000;

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JSON Web Token, or lacks a claim.
    #[error("it is malformed or lacks a claim it must have")]
    Malformed,
    /// It is not signed by our secret, or not by HS256.
    #[error("its signature does not fit")]
    Signature,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    Immature,
    /// Its subject or tenant cannot be one.
    #[error("its subject or tenant cannot be used as one")]
    Subject,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The subject: the user's id.
    pub sub: String,
    /// The tenant; the default one where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user's picture, a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// When it was issued, in seconds since 1970.
    #[serde(default, deserialize_with = "some_seconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Before when it is not valid, in seconds since 1970.
    #[serde(default, deserialize_with = "some_seconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// When it expires, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// What the token is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// What the token permits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

/// Reads a `NumericDate` (RFC 7519, section 2), which may have a fraction: the second it is in.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = number.as_i64();
    let floor = || number.as_f64()?.floor().to_string().parse().ok();
    whole
        .or_else(floor)
        .ok_or_else(|| D::Error::custom("a time out of range"))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}

/// Reads and makes tokens.
pub struct Tokens {
    decoding: DecodingKey,
    encoding: EncodingKey,
    validation: Validation,
    leeway: Duration,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with `secret`; `exp` and `nbf` are judged with the leeway, for clocks that differ.
    #[must_use]
    pub fn new(secret: &SecretString, leeway: Duration) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.leeway = leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        Self {
            decoding: DecodingKey::from_secret(secret),
            encoding: EncodingKey::from_secret(secret),
            validation,
            leeway,
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for a token that is not accepted.
    pub fn read(&self, token: &str) -> Result<(Session, Profile), TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| TokenError::from(error.kind()))?
            .claims;
        let tenant = claims.tenant.map_or(Ok(TenantId::default()), TenantId::new);
        let actor = Actor {
            tenant: tenant.or(Err(TokenError::Subject))?,
            user: UserId::new(claims.sub).or(Err(TokenError::Subject))?,
        };
        let expires_at = DateTime::from_timestamp_secs(claims.exp).ok_or(TokenError::Malformed)?;
        let ends_at = chrono::Duration::from_std(self.leeway)
            .ok()
            .and_then(|leeway| expires_at.checked_add_signed(leeway))
            .ok_or(TokenError::Malformed)?;
        let issued_at = claims.iat.filter(|iat| *iat >= 0);
        let issued_at = issued_at.and_then(DateTime::from_timestamp_secs);
        let profile = Profile {
            display_name: claims.name.filter(|text| is_storable(text)),
            avatar_url: claims.picture.filter(|text| is_storable(text)),
            issued_at,
        };
        let session = Session {
            actor,
            ends_at,
            issued_at,
            token_id: claims.jti.map(Into::into),
            permissions: claims.permissions.into(),
        };
        Ok((session, profile))
    }

    /// Makes a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`] where the claims cannot be written, which no claims of ours are.
    pub fn make(&self, claims: &Claims) -> Result<String, TokenError> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .or(Err(TokenError::Malformed))
    }
}

impl Claims {
    /// Claims for a user, valid from `now` for a time.
    #[must_use]
    pub fn new(user: &UserId, now: DateTime<Utc>, valid_for: Duration) -> Self {
        let seconds = i64::try_from(valid_for.as_secs()).unwrap_or(i64::MAX);
        Self {
            sub: user.as_str().to_owned(),
            tenant: None,
            name: None,
            picture: None,
            iat: Some(now.timestamp()),
            nbf: None,
            exp: now.timestamp().saturating_add(seconds),
            jti: None,
            permissions: Vec::new(),
        }
    }
}

/// A claim that only decorates never makes a token unusable: what Postgres cannot hold is left out.
fn is_storable(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= PROFILE_MAX_CHARS
}

impl From<&ErrorKind> for TokenError {
    fn from(kind: &ErrorKind) -> Self {
        use ErrorKind as K;
        if matches!(kind, K::ExpiredSignature) {
            Self::Expired
        } else if matches!(kind, K::ImmatureSignature) {
            Self::Immature
        } else if matches!(
            kind,
            K::InvalidSignature
                | K::InvalidAlgorithm
                | K::InvalidAlgorithmName
                | K::MissingAlgorithm
        ) {
            Self::Signature
        } else {
            Self::Malformed
        }
    }
}
