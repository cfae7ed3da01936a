//! TLS to a real Postgres that takes connections over TCP, by each `sslmode` that asks for it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use colloquy::store::Database;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::issuer::{Signer, claims, identity, set};
use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

/// A Postgres with a certificate for `localhost`, in a folder that goes with it.
struct Secured {
    folder: PathBuf,
    postgres: Child,
    port: u16,
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.postgres.kill().ok();
        self.postgres.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Whom root hands Postgres to.
fn owner() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut numbers = line
            .split(':')
            .skip(2)
            .map(|number| number.parse().unwrap());
        Some((numbers.next()?, numbers.next()?))
    };
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    root.then(|| find("postgres").or_else(|| find("nobody")).unwrap())
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some((uid, gid)) = owner() {
        command.uid(uid).gid(gid);
    }
    command
}

fn runs(program: &str, folder: &Path, arguments: &str) {
    let status = command(program, folder).args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "{program} {arguments}");
}

/// Makes a root, a certificate of it for `localhost`, and another root.
fn make_certificates(folder: &Path) {
    let key = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    for root in ["root", "other"] {
        let extension = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign";
        let files = format!("-keyout {root}.key -out {root}.pem -days 2 -subj /CN={root}");
        runs(
            "openssl",
            folder,
            &format!("req -x509 {key} {files} {extension}"),
        );
    }
    runs(
        "openssl",
        folder,
        &format!("req {key} -keyout server.key -out server.csr -subj /CN=postgres"),
    );
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let signed =
        "-CA root.pem -CAkey root.key -CAcreateserial -out server.crt -days 2 -extfile names";
    runs(
        "openssl",
        folder,
        &format!("x509 -req -in server.csr {signed}"),
    );
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

async fn start() -> Secured {
    let folder = std::env::temp_dir().join(format!("colloquy-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    if let Some((uid, gid)) = owner() {
        chown(&folder, Some(uid), Some(gid)).unwrap();
    }
    make_certificates(&folder);
    runs("initdb", &folder, "-D data -U colloquy -A trust --no-sync");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", folder.display()),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", folder.join("server.crt").display()),
        format!("ssl_key_file={}", folder.join("server.key").display()),
        "fsync=off".to_owned(),
    ];
    let mut postgres = command("postgres", &folder);
    postgres.args(["-D", "data"]);
    for setting in settings {
        postgres.args(["-c", &setting]);
    }
    let postgres = postgres.spawn().unwrap();
    let server = Secured {
        folder,
        postgres,
        port,
    };
    for _ in 0..600 {
        if server.connect("localhost", "sslmode=disable").await.is_ok() {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Postgres does not come up");
}

impl Secured {
    /// Connects and says whether the connection is encrypted.
    async fn connect(&self, host: &str, parameters: &str) -> Result<bool, String> {
        let port = self.port;
        let url =
            format!("postgres://colloquy@{host}:{port}/postgres?hostaddr=127.0.0.1&{parameters}");
        let database = Database::new(&url).map_err(|error| error.to_string())?;
        let mut conn = database
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        let query = "SELECT ssl::text AS line FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        Ok(crate::support::rows::lines(&mut conn, query).await == ["true"])
    }

    async fn is_refused(&self, host: &str, parameters: &str) {
        let error = self.connect(host, parameters).await.unwrap_err();
        assert!(error.contains("certificate"), "{parameters}: {error}");
    }
}

#[test]
fn certificates_are_checked_as_far_as_is_asked() {
    run(async {
        let server = start().await;
        let root = |name: &str| format!("sslrootcert={}", server.folder.join(name).display());
        let (right, wrong) = (root("root.pem"), root("other.pem"));
        assert_eq!(
            server.connect("localhost", "sslmode=disable").await,
            Ok(false)
        );
        for parameters in ["", "sslmode=prefer", "sslmode=require"] {
            assert_eq!(
                server.connect("elsewhere", parameters).await,
                Ok(true),
                "{parameters}"
            );
        }
        for mode in ["require", "verify-ca"] {
            let good = format!("sslmode={mode}&{right}");
            assert_eq!(server.connect("elsewhere", &good).await, Ok(true), "{mode}");
            server
                .is_refused("localhost", &format!("sslmode={mode}&{wrong}"))
                .await;
        }
        let full = format!("sslmode=verify-full&{right}");
        assert_eq!(server.connect("localhost", &full).await, Ok(true));
        server.is_refused("elsewhere", &full).await;
        server
            .is_refused("localhost", &format!("sslmode=verify-full&{wrong}"))
            .await;
    });
}

/// Serves keys over TLS, with the certificate in a folder, for as long as the test runs.
async fn secure_issuer(folder: &Path, keys: String) -> u16 {
    let certificates = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap();
    let certificates = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 1024];
            assert_ne!(stream.read(&mut head).await.unwrap(), 0);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len());
            stream.write_all((head + &keys).as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    port
}

#[test]
fn the_keys_of_tokens_are_got_from_whom_we_trust_only() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        if let Some((uid, gid)) = owner() {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        make_certificates(folder.path());
        let signer = Signer::rsa(0).named("r");
        let keys = set(&[signer.jwk()]).to_string();
        let port = secure_issuer(folder.path(), keys).await;
        let token = signer.sign(&claims("alice"));
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (host, roots, status) in [
            ("localhost", "root.pem", 200),
            ("127.0.0.1", "root.pem", 503),
            ("localhost", "other.pem", 503),
        ] {
            let url = format!("https://{host}:{port}/keys");
            let arguments = ["--jwks-url", &url, "--jwks-ca", &file(roots)];
            let setup = Setup {
                identity: Some(identity(&arguments)),
                ..Setup::default()
            };
            let server = Server::with(postgres::database().await, setup).await;
            let alice = User::anonymous(&server).with_token(&token);
            let answer = alice.post("{ viewer { id } }", json!({})).await;
            assert_eq!(answer.status, status, "{host} {roots}");
        }
    });
}
