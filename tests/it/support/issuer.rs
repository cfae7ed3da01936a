//! Issuers of tokens: keys made for the test, and a server that shows the public ones and counts who looks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Parser as _;
use colloquy::config::{Cli, IdentityArgs};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Making one takes long, so the tests share two.
static RSA: LazyLock<[Signer; 2]> = LazyLock::new(|| [Signer::new_rsa(), Signer::new_rsa()]);

/// A key that signs tokens.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) id: Option<String>,
    pub(crate) algorithm: Algorithm,
    encoding: EncodingKey,
    /// The public key in DER.
    pub(crate) public: Vec<u8>,
}

impl Signer {
    fn new_rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private = pem("PRIVATE KEY", private.as_ref());
        Self {
            id: None,
            algorithm: Algorithm::RS256,
            encoding: EncodingKey::from_rsa_pem(private.as_bytes()).unwrap(),
            public: public.as_ref().to_vec(),
        }
    }

    fn ec(algorithm: Algorithm, curve: &'static EcdsaSigningAlgorithm) -> Self {
        let private = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, private.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            id: None,
            algorithm,
            encoding: EncodingKey::from_ec_der(private.as_ref()),
            public: public.as_ref().to_vec(),
        }
    }

    /// One of the two RSA keys.
    pub(crate) fn rsa(place: usize) -> Self {
        RSA[place].clone()
    }

    pub(crate) fn es256() -> Self {
        Self::ec(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(crate) fn es384() -> Self {
        Self::ec(Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub(crate) fn eddsa() -> Self {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            id: None,
            algorithm: Algorithm::EdDSA,
            encoding: EncodingKey::from_ed_der(private.as_ref()),
            public: public.as_ref().to_vec(),
        }
    }

    /// A shared secret.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            id: None,
            algorithm: Algorithm::HS256,
            encoding: EncodingKey::from_secret(secret),
            public: Vec::new(),
        }
    }

    pub(crate) fn named(self, id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..self
        }
    }

    pub(crate) fn nameless(self) -> Self {
        Self { id: None, ..self }
    }

    pub(crate) fn by(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The public key as a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public[self.public.len() - 32..]);
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
        } else {
            let jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm);
            serde_json::to_value(jwk.unwrap()).unwrap()
        };
        jwk.as_object_mut().unwrap().remove("alg");
        if let Some(id) = &self.id {
            jwk["kid"] = json!(id);
        }
        jwk
    }

    /// The same with other members.
    pub(crate) fn jwk_with(&self, members: Value) -> Value {
        let mut jwk = self.jwk();
        for (name, value) in members.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.public)
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(json!({}), claims)
    }

    /// A token with these claims and more in its header.
    pub(crate) fn sign_with(&self, members: Value, claims: &Value) -> String {
        let mut head = json!({ "typ": "JWT", "alg": self.algorithm });
        if let Some(id) = &self.id {
            head["kid"] = json!(id);
        }
        for (name, value) in members.as_object().unwrap() {
            head[name] = value.clone();
        }
        self.sign_text(&head.to_string(), &claims.to_string())
    }

    /// A token of any header and payload.
    pub(crate) fn sign_text(&self, head: &str, payload: &str) -> String {
        let parts = [head, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.encoding, self.algorithm);
        format!("{signed}.{}", signature.unwrap())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|start| &text[start..text.len().min(start + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// A set of these keys.
pub(crate) fn set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// The claims of a token that is good for ten minutes.
pub(crate) fn claims(subject: &str) -> Value {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = now.as_secs();
    json!({ "sub": subject, "iat": now, "exp": now + 600 })
}

/// The same with another one.
pub(crate) fn claims_with(subject: &str, members: Value) -> Value {
    let mut claims = claims(subject);
    for (name, value) in members.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// How the server answers.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// With this status and body.
    Says(u16, String),
    /// With a redirection.
    Sends(String),
    /// The same after a while.
    Slow(Duration, String),
    /// Not at all: it hangs up.
    Down,
}

/// A server that shows keys.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Issuer {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            asked: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&shared);
        tokio::task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn(answer(stream, Arc::clone(&theirs)));
            }
        });
        Self { address, shared }
    }

    pub(crate) async fn showing(keys: &[Value]) -> Self {
        Self::start(Mood::Says(200, set(keys).to_string())).await
    }

    pub(crate) fn turns(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub(crate) fn shows(&self, keys: &[Value]) {
        self.turns(Mood::Says(200, set(keys).to_string()));
    }

    /// How often it was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys?all=1", self.address)
    }

    /// The settings of a server that takes its keys from here.
    pub(crate) fn identity(&self, more: &[&str]) -> IdentityArgs {
        identity(&[&["--jwks-url", &self.url()], more].concat())
    }
}

/// The settings of tokens that these arguments make.
pub(crate) fn identity(arguments: &[&str]) -> IdentityArgs {
    let cli = Cli::try_parse_from([&["colloquy"], arguments].concat());
    cli.unwrap().serve.identity
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    assert!(head.starts_with(b"GET /keys?all=1 HTTP/1.1\r\n"));
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let mood = shared.mood.lock().unwrap().clone();
    let (status, more, body) = match mood {
        Mood::Says(status, body) => (status, String::new(), body),
        Mood::Sends(place) => (302, format!("location: {place}\r\n"), String::new()),
        Mood::Slow(time, body) => {
            tokio::time::sleep(time).await;
            (200, String::new(), body)
        }
        Mood::Down => return,
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\n{more}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok();
    stream.write_all(body.as_bytes()).await.ok();
}
