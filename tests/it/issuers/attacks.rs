//! Forged tokens, and keys that are not for signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{is_accepted, is_refused, server, usual};
use crate::support::issuer::{Issuer, Signer, claims, claims_with, identity};
use crate::support::{Server, run};

fn encoded(head: &str, claims: &Value, signature: &str) -> String {
    let parts = [head, &claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{}.{signature}", parts.join("."))
}

/// Tokens that a forger makes who knows the public keys of `mallory`'s victim.
fn forged(victim: &Signer, jwk: &Value) -> Vec<(&'static str, String)> {
    let good = claims("mallory");
    let mut tokens = Vec::new();
    let text = victim.sign(&claims("alice"));
    let signature = text.rsplit_once('.').unwrap().1;
    for head in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"NONE","typ":"JWT"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":["RS256"]}"#,
    ] {
        tokens.push(("no algorithm", encoded(head, &good, "")));
        tokens.push(("no algorithm", encoded(head, &good, signature)));
    }
    let n = jwk["n"].as_str().unwrap();
    let secrets = [
        victim.pem().into_bytes(),
        victim.pem().trim_end().as_bytes().to_vec(),
        victim.public.clone(),
        n.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(n).unwrap(),
        jwk.to_string().into_bytes(),
        Vec::new(),
    ];
    for secret in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forger = Signer::secret(&secret).by(algorithm);
            tokens.push(("public key as a secret", forger.sign(&good)));
            let forger = forger.named(victim.id.as_deref().unwrap_or("r"));
            tokens.push(("public key as a secret", forger.sign(&good)));
        }
    }
    let mallory = Signer::rsa(1);
    let hers = mallory.jwk();
    for (name, value) in [
        ("jwk", hers.clone()),
        ("jku", json!("http://127.0.0.1/keys")),
        ("x5u", json!("http://127.0.0.1/chain")),
        ("x5c", json!(["MAA="])),
    ] {
        let head = json!({ name: value });
        let named = mallory.clone().named(victim.id.as_deref().unwrap_or("r"));
        tokens.push(("brings its key along", named.sign_with(head.clone(), &good)));
        tokens.push(("brings its key along", victim.sign_with(head, &good)));
    }
    tokens
}

/// Tokens with something odd about them, though the right key signed them.
fn odd(victim: &Signer) -> Vec<(&'static str, String)> {
    let good = claims("mallory");
    let with = |head: Value| victim.sign_with(head, &good);
    let kid = victim.id.as_deref().unwrap_or("r");
    let twice = format!(r#"{{"alg":"none","kid":"{kid}","alg":"RS256"}}"#);
    let valid = victim.sign(&good);
    let (rest, signature) = valid.rsplit_once('.').unwrap();
    let changed = claims("alice").to_string();
    let head = valid.split('.').next().unwrap();
    vec![
        ("critical header", with(json!({ "crit": ["exp"] }))),
        ("critical header", with(json!({ "crit": ["x"], "x": 1 }))),
        ("critical header", with(json!({ "crit": [] }))),
        ("unencoded", with(json!({ "b64": false, "crit": ["b64"] }))),
        ("unencoded", with(json!({ "b64": false }))),
        ("compressed", with(json!({ "zip": "DEF" }))),
        ("another purpose", with(json!({ "typ": "logout+jwt" }))),
        ("another purpose", with(json!({ "typ": "dpop+jwt" }))),
        (
            "a header twice",
            victim.sign_text(&twice, &good.to_string()),
        ),
        (
            "no claims",
            victim.sign_text(r#"{"alg":"RS256","kid":"r"}"#, "[]"),
        ),
        (
            "no claims",
            victim.sign_text(r#"{"alg":"RS256","kid":"r"}"#, "null"),
        ),
        ("a number as a key id", with(json!({ "kid": 1 }))),
        ("no signature", format!("{rest}.")),
        (
            "cut signature",
            format!("{rest}.{}", &signature[..signature.len() - 4]),
        ),
        ("padded signature", format!("{rest}.{signature}==")),
        (
            "changed claims",
            format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed)),
        ),
        ("four parts", format!("{valid}.{signature}")),
        ("two parts", rest.to_owned()),
        (
            "too long",
            victim.sign(&claims_with("mallory", json!({ "x": "x".repeat(8192) }))),
        ),
    ]
}

async fn all_are_refused(server: &Server, tokens: Vec<(&'static str, String)>) {
    for (what, token) in tokens {
        is_refused(server, &token, what).await;
    }
}

#[test]
fn no_forged_token_is_accepted_with_a_set_of_keys() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys).await;
        let server = server(issuer.identity(&[])).await;
        is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        is_accepted(&server, &ec.sign(&claims("bob")), "bob").await;
        all_are_refused(&server, forged(&rsa, &keys[0])).await;
        all_are_refused(&server, odd(&rsa)).await;
        let good = claims("mallory");
        let crossed = [
            ("another key's id", rsa.clone().named("e").sign(&good)),
            ("another key's id", ec.clone().named("r").sign(&good)),
            ("an unknown id", rsa.clone().named("../r").sign(&good)),
            ("an empty id", rsa.clone().named("").sign(&good)),
            ("another signer", Signer::rsa(1).named("r").sign(&good)),
            ("another signer", Signer::rsa(1).sign(&good)),
            ("another signer", Signer::es256().named("e").sign(&good)),
        ];
        all_are_refused(&server, crossed.into()).await;
    });
}

#[test]
fn no_forged_token_is_accepted_with_one_public_key() {
    run(async {
        let rsa = Signer::rsa(0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.pem");
        std::fs::write(&path, rsa.pem()).unwrap();
        let path = path.to_str().unwrap();
        let server = server(identity(&["--jwt-public-key", path])).await;
        is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        // There is one key, whatever the issuer calls it.
        let named = rsa.clone().named("any");
        is_accepted(&server, &named.sign(&claims("alice")), "alice").await;
        all_are_refused(&server, forged(&rsa, &rsa.jwk())).await;
        all_are_refused(&server, odd(&rsa)).await;
    });
}

#[test]
fn keys_that_are_not_for_signatures_check_none() {
    run(async {
        let (rsa, other) = (Signer::rsa(0).named("k"), Signer::es256().named("other"));
        let ok = [
            json!({}),
            json!({ "use": "sig" }),
            json!({ "alg": "RS256" }),
        ];
        let more = [
            json!({ "key_ops": ["verify"] }),
            json!({ "key_ops": ["sign", "verify"] }),
        ];
        for members in ok.into_iter().chain(more) {
            let keys = [other.jwk(), rsa.jwk_with(members.clone())];
            let issuer = Issuer::showing(&keys).await;
            let server = server(issuer.identity(&[])).await;
            is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        }
        for members in [
            json!({ "use": "enc" }),
            json!({ "use": "tls" }),
            json!({ "use": 1 }),
            json!({ "key_ops": ["encrypt"] }),
            json!({ "key_ops": [] }),
            json!({ "alg": "PS256" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "ES256" }),
            json!({ "alg": "RSA-OAEP" }),
            json!({ "alg": "none" }),
            json!({ "kty": "EC" }),
            json!({ "kty": "oct" }),
            json!({ "kty": "rsa" }),
            json!({ "e": "AQ" }),
            json!({ "e": "" }),
            json!({ "n": "AQAB" }),
            json!({ "n": "not base64!" }),
            json!({ "d": "AQAB" }),
        ] {
            let keys = [other.jwk(), rsa.jwk_with(members.clone())];
            let issuer = Issuer::showing(&keys).await;
            let server = server(issuer.identity(&[])).await;
            is_refused(&server, &rsa.sign(&claims("alice")), &members.to_string()).await;
        }
    });
}

#[test]
fn a_secret_in_a_set_of_keys_checks_nothing() {
    run(async {
        let secret = b"a secret of thirty-two bytes, or more";
        let forger = Signer::secret(secret).named("s");
        let k = URL_SAFE_NO_PAD.encode(secret);
        let (rsa, _, keys) = usual();
        let shared = json!({ "kty": "oct", "kid": "s", "k": k, "alg": "HS256" });
        let issuer = Issuer::showing(&[keys[0].clone(), shared]).await;
        let server = server(issuer.identity(&[])).await;
        is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        is_refused(&server, &forger.sign(&claims("mallory")), "a shared secret").await;
    });
}

#[test]
fn of_two_keys_with_one_id_neither_is_used() {
    run(async {
        let (first, second) = (Signer::rsa(0).named("k"), Signer::rsa(1).named("k"));
        let other = Signer::es256().named("k");
        let issuer = Issuer::showing(&[first.jwk(), second.jwk(), other.jwk()]).await;
        let server = server(issuer.identity(&[])).await;
        for signer in [&first, &second] {
            is_refused(
                &server,
                &signer.sign(&claims("alice")),
                "two keys of one id",
            )
            .await;
        }
        // That of another kind is meant by nobody else.
        is_accepted(&server, &other.sign(&claims("alice")), "alice").await;
    });
}

#[test]
fn algorithms_that_are_not_named_are_not_accepted() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys).await;
        let server = server(issuer.identity(&["--jwt-algorithms", "RS384,ES256"])).await;
        let good = claims("alice");
        is_accepted(&server, &ec.sign(&good), "alice").await;
        let rs384 = rsa.clone().by(Algorithm::RS384);
        is_accepted(&server, &rs384.sign(&good), "alice").await;
        for algorithm in [Algorithm::RS256, Algorithm::RS512, Algorithm::PS384] {
            let token = rsa.clone().by(algorithm).sign(&good);
            is_refused(&server, &token, &format!("{algorithm:?}")).await;
        }
    });
}
