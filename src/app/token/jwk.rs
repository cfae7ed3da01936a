//! JSON Web Keys (RFC 7517) with the parameters of RFC 7518, section 6, and RFC 8037, section 2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::keys::Key;

/// The most bytes of a set.
pub(super) const SET_MAX_BYTES: usize = 256 * 1024;

/// The most keys of a set, those included that are not used.
const SET_MAX_KEYS: usize = 100;

/// The bytes that the modulus of an RSA key may have: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// What is wrong with a set of keys.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It is larger than it may be.
    #[error("it has more than 256 KiB")]
    TooLarge,
    /// It is no set of keys.
    #[error("it is no JSON Web Key Set")]
    Malformed,
    /// It has more keys than it may have.
    #[error("it has more than 100 keys")]
    TooMany,
    /// It has no key that a token could be checked with.
    #[error("it has no key that tokens of the accepted algorithms could be checked with")]
    Empty,
}

#[derive(Debug, Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The secret part. A key whose secret is published is nobody's.
    d: Option<IgnoredAny>,
}

/// The keys of a set for checking signatures by one of `algorithms`. What else is in the set is passed over:
/// sets of real issuers have keys for encryption, and of kinds that are not known here.
pub(super) fn read(json: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Key>, SetError> {
    if json.len() > SET_MAX_BYTES {
        return Err(SetError::TooLarge);
    }
    let set: Set = serde_json::from_slice(json).or(Err(SetError::Malformed))?;
    if set.keys.len() > SET_MAX_KEYS {
        return Err(SetError::TooMany);
    }
    let keys = set.keys.into_iter().filter_map(|key| {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        let key = jwk.key(algorithms);
        if key.is_none() {
            tracing::debug!(kid = jwk.kid, kty = jwk.kty, "a key of the set is not used");
        }
        key
    });
    Ok(keys.collect())
}

impl Jwk {
    /// The key, if it is public and for checking signatures by one of `algorithms`.
    fn key(&self, algorithms: &[Algorithm]) -> Option<Key> {
        let for_signatures = self
            .purpose
            .as_deref()
            .is_none_or(|purpose| purpose == "sig");
        let verifies = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
        if !for_signatures || !self.key_ops.as_ref().is_none_or(verifies) || self.d.is_some() {
            return None;
        }
        let (decoding, curve) = match self.kty.as_str() {
            "RSA" => (self.rsa()?, None),
            "EC" => self.ec()?,
            "OKP" => (self.ed()?, None),
            // A shared secret has no place in a set of public keys.
            _ => return None,
        };
        let mut own = algorithms.to_vec();
        if let Some(alg) = &self.alg {
            let alg: Algorithm = alg.parse().ok()?;
            own.retain(|one| *one == alg);
        }
        own.retain(|one| curve.is_none_or(|curve| *one == curve));
        Key::new(self.kid.clone(), &own, decoding)
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let (n, e) = (number(self.n.as_ref()?)?, number(self.e.as_ref()?)?);
        let sound = MODULUS_BYTES.contains(&n.len()) && e != [1] && !e.is_empty();
        sound.then(|| DecodingKey::from_rsa_raw_components(&n, &e))
    }

    fn ec(&self) -> Option<(DecodingKey, Option<Algorithm>)> {
        let (length, algorithm) = match self.crv.as_deref()? {
            "P-256" => (32, Algorithm::ES256),
            "P-384" => (48, Algorithm::ES384),
            _ => return None,
        };
        let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
        let sound = [x, y].iter().all(|part| is_long(part, length));
        let key = DecodingKey::from_ec_components(x, y).ok()?;
        sound.then_some((key, Some(algorithm)))
    }

    fn ed(&self) -> Option<DecodingKey> {
        let x = self.x.as_ref()?;
        let sound = self.crv.as_deref() == Some("Ed25519") && is_long(x, 32);
        let key = DecodingKey::from_ed_components(x).ok()?;
        sound.then_some(key)
    }
}

fn is_long(text: &str, bytes: usize) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|decoded| decoded.len() == bytes)
}

/// A number of any length, without the leading zeros that some issuers write.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}
