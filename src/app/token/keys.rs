//! The keys that tokens are checked with, each bound to the algorithms it is for.

use std::fmt;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::TokenError;
use super::jwk::{self, SetError};

/// The algorithms of a shared secret.
pub(super) const SECRET_ALGORITHMS: [Algorithm; 3] =
    [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// The algorithms of public keys.
pub(super) const PUBLIC_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, algorithms, .. } = self;
        f.debug_struct("Key")
            .field("id", id)
            .field("algorithms", algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key for some of `algorithms`: those of its own family, and no others.
    pub(super) fn new(
        id: Option<String>,
        algorithms: &[Algorithm],
        decoding: DecodingKey,
    ) -> Option<Self> {
        let family = decoding.family();
        let own = algorithms.iter().copied();
        let own: Vec<_> = own.filter(|one| family_of(*one) == Some(family)).collect();
        (!own.is_empty()).then_some(Self {
            id,
            algorithms: own,
            decoding,
        })
    }

    /// Whether a token with this algorithm can be signed with it.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Whether a token could mean either.
    fn is_confused_with(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id && self.algorithms.iter().any(|a| other.fits(*a))
    }
}

fn family_of(algorithm: Algorithm) -> Option<AlgorithmFamily> {
    use AlgorithmFamily as F;
    let families = [F::Hmac, F::Rsa, F::Ec, F::Ed];
    families
        .into_iter()
        .find(|family| family.algorithms().contains(&algorithm))
}

/// What is known of the key that a token names.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This one.
    Key(&'a Key),
    /// No key has this name; a newer set may have one.
    Unknown,
    /// No key, or more than one, can be meant.
    None,
}

/// Keys from one source, at one time.
#[derive(Debug, Clone)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Whether the keys have names: those of a set do, a lone one does not.
    named: bool,
}

impl KeySet {
    /// The shared secret.
    pub(super) fn secret(secret: &SecretString, algorithms: &[Algorithm]) -> Self {
        let decoding = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Self {
            keys: Key::new(None, algorithms, decoding).into_iter().collect(),
            named: false,
        }
    }

    /// One key without a name.
    fn lone(algorithms: &[Algorithm], decoding: DecodingKey) -> Option<Self> {
        let key = Key::new(None, algorithms, decoding)?;
        Some(Self {
            keys: vec![key],
            named: false,
        })
    }

    /// A JSON Web Key Set (RFC 7517, section 5): its keys for checking signatures by one of `algorithms`.
    /// Others are left out, and so are those that a token cannot tell from one another.
    pub(super) fn from_jwks(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, SetError> {
        let keys = jwk::read(json, algorithms)?;
        let mut apart = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            let mut others = keys.iter().enumerate();
            if others.any(|(other, twin)| other != place && key.is_confused_with(twin)) {
                tracing::warn!(kid = key.id, "two keys have one id: neither is used");
            } else {
                apart.push(key.clone());
            }
        }
        if apart.is_empty() {
            return Err(SetError::Empty);
        }
        Ok(Self {
            keys: apart,
            named: true,
        })
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key that a token is to be checked with.
    pub(super) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Found<'_> {
        let named = id.filter(|_| self.named);
        let called = |key: &Key| named.is_none() || key.id.as_deref() == named;
        if named.is_some() && !self.keys.iter().any(called) {
            return Found::Unknown;
        }
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| called(key) && key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(key),
            (None, _) | (Some(_), Some(_)) => Found::None,
        }
    }
}

impl Found<'_> {
    /// The key, where it is known.
    pub(super) fn key(&self) -> Result<&Key, TokenError> {
        match self {
            Self::Key(key) => Ok(key),
            Self::Unknown => Err(TokenError::Key),
            Self::None => Err(TokenError::Signature),
        }
    }
}

/// What is wrong with a file that is to hold one public key.
#[derive(Debug, thiserror::Error)]
#[error("it holds no single public key in PEM of a kind that tokens are signed with")]
pub struct PemError;

/// What the first line of a public key's PEM says (RFC 7468, section 13, and PKCS #1). A certificate or a
/// private key is neither.
const PEM_LABELS: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN RSA PUBLIC KEY-----",
];

/// The bytes of an uncompressed point, with the algorithm of its curve (RFC 7518, section 3.4).
const POINTS: [(usize, Algorithm); 2] = [(65, Algorithm::ES256), (97, Algorithm::ES384)];

/// Reads one public key.
pub(super) fn from_pem(pem: &[u8], algorithms: &[Algorithm]) -> Result<KeySet, PemError> {
    let text = std::str::from_utf8(pem).or(Err(PemError))?;
    let labelled = PEM_LABELS.iter().any(|label| text.contains(label));
    if !labelled || text.matches("-----BEGIN ").count() != 1 {
        return Err(PemError);
    }
    let decoding = DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .or(Err(PemError))?;
    let point = decoding.try_get_as_bytes().map_or(0, <[u8]>::len);
    let curve = POINTS.iter().find(|(length, _)| *length == point);
    let of_curve = |one: &Algorithm| curve.is_some_and(|(_, algorithm)| algorithm == one);
    let mut own = algorithms.to_vec();
    if decoding.family() == AlgorithmFamily::Ec {
        own.retain(of_curve);
    }
    KeySet::lone(&own, decoding).ok_or(PemError)
}
