//! TLS to Postgres, by libpq's `sslmode` and `sslrootcert` (PostgreSQL manual, section 34.19).

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;

/// What is wrong with the TLS parameters of a database URL.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `sslmode` has a value libpq does not know.
    #[error(
        "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full, not {0:?}"
    )]
    Mode(String),
    /// The root certificate file cannot be used.
    #[error("sslrootcert {path}: {why}")]
    RootCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system has no root certificates to verify with.
    #[error("the system has no root certificates to verify the database's with: give sslrootcert")]
    NoRoots,
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up")]
    Library(#[source] Error),
}

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Not at all: encryption against listeners, not against impostors.
    Nothing,
    /// It is signed by a trusted root.
    Chain,
    /// And it is for this host.
    ChainAndHost,
}

/// The TLS part of a database URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TlsParameters {
    mode: SslMode,
    check: Check,
    root_certificate: Option<PathBuf>,
}

/// Splits a database URL into what tokio-postgres reads and the TLS parameters, which it knows in part.
pub(super) fn split(url: &str) -> Result<(String, TlsParameters), TlsError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut mode = None;
    let mut root_certificate = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = || percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "sslmode" => mode = Some(value()),
            "sslrootcert" => root_certificate = Some(PathBuf::from(value())),
            _ => rest.push(pair),
        }
    }
    let (mode, mut check) = match mode.as_deref() {
        Some("disable") => (SslMode::Disable, Check::Nothing),
        None | Some("allow" | "prefer") => (SslMode::Prefer, Check::Nothing),
        Some("require") => (SslMode::Require, Check::Nothing),
        Some("verify-ca") => (SslMode::Require, Check::Chain),
        Some("verify-full") => (SslMode::Require, Check::ChainAndHost),
        Some(other) => return Err(TlsError::Mode(other.to_owned())),
    };
    // As in libpq: `require` with a root certificate checks against it.
    if mode == SslMode::Require && check == Check::Nothing && root_certificate.is_some() {
        check = Check::Chain;
    }
    let url = if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", rest.join("&"))
    };
    let parameters = TlsParameters {
        mode,
        check,
        root_certificate,
    };
    Ok((url, parameters))
}

impl TlsParameters {
    /// Whether TLS is used.
    pub(super) fn mode(&self) -> SslMode {
        self.mode
    }

    /// The client's side of the handshake.
    pub(super) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        if self.check == Check::ChainAndHost {
            return Ok(builder
                .with_root_certificates(self.roots()?)
                .with_no_client_auth());
        }
        let chain = match self.check {
            Check::Chain => Some(
                WebPkiServerVerifier::builder_with_provider(
                    Arc::new(self.roots()?),
                    Arc::clone(&provider),
                )
                .build()
                .map_err(|error| TlsError::Library(Error::General(error.to_string())))?,
            ),
            Check::Nothing | Check::ChainAndHost => None,
        };
        Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyHost { chain, provider }))
            .with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.root_certificate {
            Some(path) if path.as_os_str() != "system" => {
                let failed = |why: String| TlsError::RootCertificate {
                    path: path.clone(),
                    why,
                };
                let certificates = CertificateDer::pem_file_iter(path)
                    .map_err(|error| failed(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| failed(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(failed("it holds no certificate".to_owned()));
                }
            }
            _ => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TlsError::NoRoots);
                }
            }
        }
        Ok(roots)
    }
}

/// Checks a certificate's chain where there is one to check against, and never the host's name.
#[derive(Debug)]
struct AnyHost {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The name is checked after the chain, so this error says that the chain is good.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> (SslMode, Check) {
        let (_, tls) = split(&format!("postgres://db.example.org/x?{query}")).unwrap();
        (tls.mode, tls.check)
    }

    #[test]
    fn the_modes_of_libpq() {
        assert_eq!(parameters(""), (SslMode::Prefer, Check::Nothing));
        assert_eq!(
            parameters("sslmode=disable"),
            (SslMode::Disable, Check::Nothing)
        );
        assert_eq!(
            parameters("sslmode=require"),
            (SslMode::Require, Check::Nothing)
        );
        assert_eq!(
            parameters("sslmode=verify-ca"),
            (SslMode::Require, Check::Chain)
        );
        assert_eq!(
            parameters("sslmode=verify-full"),
            (SslMode::Require, Check::ChainAndHost)
        );
        assert_eq!(
            parameters("sslmode=require&sslrootcert=/ca.pem"),
            (SslMode::Require, Check::Chain)
        );
        assert!(split("postgres://h/x?sslmode=yes").is_err());
    }

    #[test]
    fn other_parameters_stay() {
        let (url, tls) =
            split("postgres://h/x?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b.pem")
                .unwrap();
        assert_eq!(url, "postgres://h/x?connect_timeout=3");
        assert_eq!(tls.root_certificate, Some(PathBuf::from("/a b.pem")));
    }

    #[test]
    fn a_missing_root_certificate_is_named() {
        let (_, tls) = split("postgres://h/x?sslmode=verify-ca&sslrootcert=/missing.pem").unwrap();
        let error = tls.client_config().unwrap_err().to_string();
        assert!(error.starts_with("sslrootcert /missing.pem: "), "{error}");
    }
}
