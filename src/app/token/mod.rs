//! Tokens: JSON Web Tokens (RFC 7519), checked by keys from one source and made with a shared secret.

mod envelope;
mod fetch;
#[cfg(test)]
mod fuzz;
mod jwk;
mod keys;
mod made;
mod mapping;
mod pointer;
mod remote;
mod rules;
mod source;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};

pub use crate::outgoing::RootsError;
pub use fetch::{AddressError, KeyAddress, is_private};
pub use made::Claims;
pub use mapping::{Mapping, Name};
pub use pointer::{Pointer, PointerError};
pub use remote::{Refresher, Times};
pub use rules::Rules;
pub use source::{KeySource, SourceError};

use envelope::Envelope;
use keys::KeySet;
use remote::RemoteKeys;

use super::{Error, Session};
use crate::model::Profile;

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JSON Web Token, or lacks a claim.
    #[error("it is malformed or lacks a claim it must have")]
    Malformed,
    /// It is not signed by a key of ours, or by an algorithm that is not accepted.
    #[error("its signature does not fit")]
    Signature,
    /// It names a key that is not known, or not any more, or not yet.
    #[error("its key is not known")]
    Key,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    Immature,
    /// The password that it was got with has expired.
    #[error("the password of its bearer has expired")]
    Password,
    /// Somebody else issued it.
    #[error("its issuer is not accepted")]
    Issuer,
    /// It is for somebody else.
    #[error("it is not for this service")]
    Audience,
    /// Its subject or tenant cannot be one.
    #[error("its subject or tenant cannot be used as one")]
    Subject,
}

impl TokenError {
    /// Whether the token may be somebody's guess. What an issuer did sign is none, though it is not for us or
    /// not for now: each client shows such a one now and then.
    #[must_use]
    pub fn is_forged(self) -> bool {
        matches!(self, Self::Malformed | Self::Signature)
    }
}

/// Reads and makes tokens.
pub struct Tokens {
    keys: Keys,
    /// Where there is a secret to sign with.
    encoding: Option<EncodingKey>,
    rules: Rules,
}

/// What tokens are checked with.
#[derive(Debug)]
enum Keys {
    Fixed(KeySet),
    Remote(RemoteKeys),
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("keys", &self.keys)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with `secret` by HS256, with the usual claims; their times are judged with the leeway,
    /// for clocks that differ.
    #[must_use]
    pub fn new(secret: &SecretString, leeway: Duration) -> Self {
        let rules = Rules {
            leeway,
            ..Rules::default()
        };
        let keys = KeySet::secret(secret, &[Algorithm::HS256]);
        Self::signed(secret, keys, rules)
    }

    fn signed(secret: &SecretString, keys: KeySet, rules: Rules) -> Self {
        Self {
            keys: Keys::Fixed(keys),
            encoding: Some(EncodingKey::from_secret(secret.expose_secret().as_bytes())),
            rules,
        }
    }

    /// Reads a token at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] for a token that is not accepted, and [`Error::Unavailable`] where the keys are not
    /// known yet.
    pub async fn read(&self, token: &str, now: DateTime<Utc>) -> Result<(Session, Profile), Error> {
        let envelope = Envelope::open(token)?;
        let (algorithm, id) = (envelope.algorithm, envelope.key_id.as_deref());
        let claims = match &self.keys {
            Keys::Fixed(keys) => envelope.claims(keys.find(algorithm, id).key()?)?,
            Keys::Remote(remote) => {
                let keys = remote.keys_for(algorithm, id).await?;
                envelope.claims(keys.find(algorithm, id).key()?)?
            }
        };
        Ok(self.rules.judge(&claims, now)?)
    }

    /// Makes a token, by HS256.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`] where there is no secret to sign with, and [`TokenError::Malformed`] where
    /// the claims cannot be written, which no claims of ours are.
    pub fn make(&self, claims: &Claims) -> Result<String, TokenError> {
        let encoding = self.encoding.as_ref().ok_or(TokenError::Signature)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, encoding)
            .or(Err(TokenError::Malformed))
    }
}
