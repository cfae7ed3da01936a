//! Certificates for `localhost`, and clients that trust them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::server::Server;

/// A certificate and its key in a folder of their own.
#[derive(Debug)]
pub(crate) struct Certificate(TempDir);

impl Certificate {
    /// A certificate that nobody else has signed.
    pub(crate) fn make() -> Self {
        let folder = TempDir::new().unwrap();
        let arguments = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
             -keyout key.pem -out cert.pem -days 2 -subj /CN=colloquy \
             -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost";
        let status = Command::new("openssl")
            .current_dir(folder.path())
            .args(arguments.split_whitespace())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        Self(folder)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// The certificate as it is sent.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.file()).unwrap()
    }

    /// Puts these files in the place of another's.
    pub(crate) fn replaces(&self, certificate: &Path, key: &Path) {
        std::fs::copy(self.file(), certificate).unwrap();
        std::fs::copy(self.key(), key).unwrap();
    }

    /// Connects as a client that trusts this certificate, offers these protocols, and has a small buffer.
    pub(crate) async fn connect(&self, server: &Server, alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let stream = socket.connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    /// Accepts TLS with this certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from_pem_file(self.key()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Serves one request at a port, with this certificate, and returns it once it has come.
    pub(crate) async fn receives(&self) -> (JoinHandle<String>, u16) {
        let acceptor = self.acceptor();
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let receive = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut bytes = vec![0; 64 * 1024];
                let read = stream.read(&mut bytes).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .await
                    .unwrap();
                stream.shutdown().await.ok();
                return String::from_utf8_lossy(&bytes[..read]).into_owned();
            }
        };
        (tokio::task::spawn(receive), port)
    }
}
