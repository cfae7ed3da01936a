//! The signed envelope of a token: the compact form of a JSON Web Signature (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::TokenError;
use super::keys::Key;

/// The most bytes of a token.
pub(super) const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// The types that a token may say it has (RFC 8725, section 3.11): a token for another purpose, such as a
/// notice of a logout, has another one.
const TYPES: [&str; 4] = ["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/// A token that has been split and not been believed yet.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The algorithm that it says it is signed with.
    pub(super) algorithm: Algorithm,
    /// The key that it says it is signed with.
    pub(super) key_id: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

/// The header. A member that occurs twice is an error. Whatever brings a key or an address of one along is
/// named here to be refused: a token does not say what it is to be checked with.
#[derive(Debug, Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl Head {
    fn is_plain(&self) -> bool {
        let Self {
            crit,
            b64,
            zip,
            jwk,
            jku,
            x5u,
            x5c,
            ..
        } = self;
        let odd = [crit, b64, zip, jwk, jku, x5u, x5c];
        let typed = self.typ.as_deref().is_none_or(is_known_type);
        typed && odd.iter().all(|member| member.is_none())
    }
}

fn is_known_type(typ: &str) -> bool {
    TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ))
}

impl<'a> Envelope<'a> {
    /// Splits a token and reads its header.
    pub(super) fn open(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let head: Head = decoded(head)?;
        if !head.is_plain() {
            return Err(TokenError::Malformed);
        }
        // `none` and whatever else we do not know is no algorithm here.
        let algorithm = head.alg.parse().or(Err(TokenError::Signature))?;
        Ok(Self {
            algorithm,
            key_id: head.kid,
            signed,
            payload,
            signature,
        })
    }

    /// The claims, if the key signed them.
    pub(super) fn claims(&self, key: &Key) -> Result<Value, TokenError> {
        if !key.fits(self.algorithm) {
            return Err(TokenError::Signature);
        }
        let (signature, signed) = (self.signature, self.signed.as_bytes());
        let verified =
            jsonwebtoken::crypto::verify(signature, signed, key.decoding(), self.algorithm);
        if !verified.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        let claims: Value = decoded(self.payload)?;
        if claims.is_object() {
            Ok(claims)
        } else {
            Err(TokenError::Malformed)
        }
    }
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .or(Err(TokenError::Malformed))?;
    serde_json::from_slice(&json).or(Err(TokenError::Malformed))
}
