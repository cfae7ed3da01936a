//! TLS to clients: the certificate and its key, read from files, and read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The name of HTTP/2 in the handshake (RFC 9113, section 3.1).
pub(super) const HTTP_2: &[u8] = b"h2";

/// The name of HTTP/1.1 in the handshake (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("the file {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The file of the certificate has none in PEM.
    #[error("the file {0} has no certificate in PEM")]
    NoCertificate(PathBuf),
    /// The file of the key has none in PEM.
    #[error("the file {0} has no private key in PEM")]
    NoKey(PathBuf),
    /// The key is not that of the certificate, or of a kind that is not known.
    #[error("the key in {key} does not fit the certificate in {certificate}")]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the library says.
        #[source]
        error: rustls::Error,
    },
    /// The library refuses its configuration.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

/// The certificate that is served.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate with its key, and the files that they come from.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    /// What was read last, so that each change is told once.
    read: Mutex<Files>,
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads a certificate with its chain, and its key, both in PEM.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, has not what it should have, or does not fit the other.
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, CertificateError> {
        let files = Files::read(&certificate, &key)?;
        let pair = files.pair(&certificate, &key)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Library)?;
        let resolver: Arc<dyn ResolvesServerCert> = current.clone();
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self {
            certificate,
            key,
            current,
            read: Mutex::new(files),
            config: Arc::new(config),
        })
    }

    /// Whatever makes the handshakes. There is no bound on those under way beside that of all connections: it
    /// would let a few that stall keep everybody else out.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads the files again on SIGHUP, and every so often. Never returns. Connections that are open go on with
    /// the certificate that they have; where the new files are not good, everything goes on with the old ones.
    pub(super) async fn keep_current(&self, every: Duration) {
        let hangup = signal(SignalKind::hangup());
        let Ok(mut hangup) = hangup.inspect_err(|error| tracing::warn!(%error, "no SIGHUP")) else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = sleep(every) => {}
            }
            match self.renew() {
                Ok(true) => tracing::info!("the certificate has been renewed"),
                Ok(false) => {}
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(
                        error,
                        "the certificate cannot be renewed: the old one stays"
                    );
                }
            }
        }
    }

    /// Reads the files, and serves what they have. Says whether that is something new.
    fn renew(&self) -> Result<bool, CertificateError> {
        let files = Files::read(&self.certificate, &self.key)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == files {
            return Ok(false);
        }
        let pair = files.pair(&self.certificate, &self.key);
        *read = files;
        let mut current = self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(pair?);
        Ok(true)
    }
}

/// An error with its causes.
fn chain(error: &CertificateError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| CertificateError::File {
                path: path.to_owned(),
                error,
            })
        };
        Ok(Self {
            certificate: read(certificate)?,
            key: read(key)?,
        })
    }

    /// The pair that the files have. The paths are for what is said where they have none.
    fn pair(&self, certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| CertificateError::NoCertificate(certificate.to_owned()))?;
        let der = PrivateKeyDer::from_pem_slice(&self.key);
        let der = der
            .ok()
            .ok_or_else(|| CertificateError::NoKey(key.to_owned()))?;
        let provider = aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, der, &provider).map_err(|error| CertificateError::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            error,
        })
    }
}
