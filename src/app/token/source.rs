//! Where the keys come from: one source for each server.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jsonwebtoken::Algorithm;
use secrecy::SecretString;

use super::fetch::{Client, KeyAddress};
use super::jwk::{SET_MAX_BYTES, SetError};
use super::keys::{self, KeySet, PUBLIC_ALGORITHMS, PemError, SECRET_ALGORITHMS};
use super::{Keys, Refresher, Rules, Times, Tokens, remote};
use crate::outgoing::RootsError;

/// Where the keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A secret that the issuer has too.
    Secret(SecretString),
    /// A file with one public key in PEM.
    PublicKey(PathBuf),
    /// A file with a JSON Web Key Set.
    SetFile(PathBuf),
    /// The address of a JSON Web Key Set.
    Address {
        /// The address.
        address: KeyAddress,
        /// A PEM file of the certificates to check it with; without one, the system's.
        roots: Option<PathBuf>,
        /// When they are got anew.
        times: Times,
    },
}

/// What is wrong with a source of keys.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An algorithm is of another kind than the source.
    #[error(
        "{0:?} cannot be accepted from this source of keys: HS256, HS384 and HS512 take the shared secret and nothing else does"
    )]
    Algorithm(Algorithm),
    /// A file cannot be read.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds no public key.
    #[error("{0}: {1}")]
    PublicKey(PathBuf, #[source] PemError),
    /// A file holds no set of keys.
    #[error("{0}: {1}")]
    Set(PathBuf, #[source] SetError),
    /// The address cannot be checked.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl KeySource {
    /// The algorithms that are accepted where none are named: HS256 of a secret, and all that public keys
    /// have, since each of those is good for its own alone.
    fn usual(&self) -> &'static [Algorithm] {
        match self {
            Self::Secret(_) => &[Algorithm::HS256],
            Self::PublicKey(_) | Self::SetFile(_) | Self::Address { .. } => &PUBLIC_ALGORITHMS,
        }
    }

    /// The algorithms that can be accepted.
    fn possible(&self) -> &'static [Algorithm] {
        match self {
            Self::Secret(_) => &SECRET_ALGORITHMS,
            Self::PublicKey(_) | Self::SetFile(_) | Self::Address { .. } => &PUBLIC_ALGORITHMS,
        }
    }
}

impl Tokens {
    /// Tokens that are checked with the keys of a source, signed by one of `algorithms`, or by the usual ones
    /// where none are named. Where there is a task, it has to be run: without it there are no keys.
    ///
    /// # Errors
    ///
    /// [`SourceError`] where the source cannot be used. An address is not asked yet.
    pub fn from_source(
        source: KeySource,
        algorithms: &[Algorithm],
        rules: Rules,
    ) -> Result<(Self, Option<Refresher>), SourceError> {
        let possible = source.possible();
        if let Some(odd) = algorithms.iter().find(|one| !possible.contains(one)) {
            return Err(SourceError::Algorithm(*odd));
        }
        let algorithms = if algorithms.is_empty() {
            source.usual()
        } else {
            algorithms
        };
        let keys = match source {
            KeySource::Secret(secret) => {
                let keys = KeySet::secret(&secret, algorithms);
                return Ok((Self::signed(&secret, keys, rules), None));
            }
            KeySource::PublicKey(path) => keys::from_pem(&read(&path)?, algorithms)
                .map_err(|error| SourceError::PublicKey(path, error))?,
            KeySource::SetFile(path) => KeySet::from_jwks(&read(&path)?, algorithms)
                .map_err(|error| SourceError::Set(path, error))?,
            KeySource::Address {
                address,
                roots,
                times,
            } => {
                let client = Client::new(address, roots.as_deref())?;
                let (keys, refresher) = remote::start(client, algorithms.to_vec(), times);
                let keys = Keys::Remote(keys);
                return Ok((Self::checked(keys, rules), Some(refresher)));
            }
        };
        Ok((Self::checked(Keys::Fixed(keys), rules), None))
    }

    fn checked(keys: Keys, rules: Rules) -> Self {
        Self {
            keys,
            encoding: None,
            rules,
        }
    }
}

/// Reads a file, and no more of it than a set may have.
fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(SET_MAX_BYTES).unwrap_or(u64::MAX);
    let file = File::open(path);
    // One byte more shows that it is too large.
    let read = file.and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| SourceError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    Ok(bytes)
}
