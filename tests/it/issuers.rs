//! Tokens of issuers with public keys: what is accepted, what is refused, and how keys change.

mod attacks;
mod claims;
mod keys;
mod recipes;
mod settings;

use colloquy::config::IdentityArgs;
use serde_json::{Value, json};

use crate::support::issuer::Signer;
use crate::support::server::Setup;
use crate::support::{Server, User, postgres};

/// A server that takes keys as these settings say.
async fn server(identity: IdentityArgs) -> Server {
    let setup = Setup {
        identity: Some(identity),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// What a request with a token gets: the status, and the user's id or the code of the error.
async fn gets(server: &Server, token: &str) -> (u16, String) {
    let user = User::anonymous(server).with_token(token);
    let answer = user.post("{ viewer { id } }", json!({})).await;
    let json = answer.json();
    let text = json["data"]["viewer"]["id"].as_str();
    let text = text.or_else(|| json["errors"][0]["extensions"]["code"].as_str());
    (answer.status, text.unwrap().to_owned())
}

async fn is_accepted(server: &Server, token: &str, id: &str) {
    assert_eq!(gets(server, token).await, (200, id.to_owned()));
}

async fn is_refused(server: &Server, token: &str, what: &str) {
    let refused = (401, "UNAUTHENTICATED".to_owned());
    assert_eq!(gets(server, token).await, refused, "{what}");
}

async fn is_turned_away(server: &Server, token: &str) {
    let turned_away = (503, "SERVICE_UNAVAILABLE".to_owned());
    assert_eq!(gets(server, token).await, turned_away);
}

/// The usual keys of an issuer: an RSA key `r` and a P-256 key `e`.
fn usual() -> (Signer, Signer, [Value; 2]) {
    let (rsa, ec) = (Signer::rsa(0).named("r"), Signer::es256().named("e"));
    let keys = [rsa.jwk(), ec.jwk()];
    (rsa, ec, keys)
}
