//! Which tokens are accepted, and what becomes of the others.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::server::{SECRET, Setup};
use crate::support::socket::Socket;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run};

const VIEWER: &str = r#"{"query":"{ viewer { id } }"}"#;

async fn asks(user: &User, authorization: &str) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization),
    ];
    user.http("POST", "/graphql", &headers, VIEWER.as_bytes())
        .await
}

/// Asserts that a request with this header is refused for who it is from.
async fn is_refused(user: &User, authorization: &str) {
    let answer = asks(user, authorization).await;
    assert_eq!(answer.status, 401, "{authorization}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let json = answer.json();
    let code = &json["errors"][0]["extensions"]["code"];
    assert_eq!(code, "UNAUTHENTICATED", "{authorization}");
    assert_eq!(json.get("data"), None);
}

fn sign(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// The header of a token that anyone could have made, with these claims.
fn bearer(claims: &Value) -> String {
    format!("Bearer {}", sign(Algorithm::HS256, SECRET, claims))
}

/// The claims of a user's usual token, with a change.
fn with(user: &User, name: &str, value: Value) -> Value {
    let mut claims = serde_json::to_value(user.claims()).unwrap();
    claims[name] = value;
    claims
}

fn without(user: &User, name: &str) -> Value {
    let mut claims = serde_json::to_value(user.claims()).unwrap();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_good_token_is_accepted_in_any_case_of_the_scheme() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let answer = asks(&alice, &format!("{scheme} {token}")).await;
            assert_eq!(answer.json()["data"]["viewer"]["id"], "alice");
        }
    });
}

#[test]
fn what_is_no_bearer_token_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        for line in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer garbage",
            "Bearer a.b.c",
            "Basic YWxpY2U6c2VjcmV0",
            &token,
            &format!("Basic {token}"),
            &format!("Bearer {token}x"),
            &format!("Bearer {token} {token}"),
        ] {
            is_refused(&alice, line).await;
        }
    });
}

#[test]
fn a_token_of_another_signer_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let claims = serde_json::to_value(alice.claims()).unwrap();
        let wrong = sign(
            Algorithm::HS256,
            "another secret of thirty-two bytes",
            &claims,
        );
        is_refused(&alice, &format!("Bearer {wrong}")).await;
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let other = sign(algorithm, SECRET, &claims);
            is_refused(&alice, &format!("Bearer {other}")).await;
        }
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"None"}"#,
            r#"{"typ":"JWT"}"#,
        ] {
            let head = URL_SAFE_NO_PAD.encode(header);
            let body = URL_SAFE_NO_PAD.encode(claims.to_string());
            let signed = alice.token.as_ref().unwrap();
            let signature = signed.rsplit_once('.').unwrap().1;
            for signature in ["", signature] {
                is_refused(&alice, &format!("Bearer {head}.{body}.{signature}")).await;
            }
        }
    });
}

#[test]
fn a_token_with_other_claims_than_were_signed_is_refused() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (hers, his) = (alice.token.clone().unwrap(), bob.token.unwrap());
        let (head, signature) = (
            hers.split('.').next().unwrap(),
            hers.rsplit('.').next().unwrap(),
        );
        let claims = his.split('.').nth(1).unwrap();
        is_refused(&alice, &format!("Bearer {head}.{claims}.{signature}")).await;
    });
}

#[test]
fn a_token_without_expiry_or_subject_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for name in ["exp", "sub"] {
            is_refused(&alice, &bearer(&without(&alice, name))).await;
            is_refused(&alice, &bearer(&with(&alice, name, json!(null)))).await;
        }
        let accepted = asks(&alice, &bearer(&without(&alice, "iat"))).await;
        assert_eq!(accepted.status, 200);
    });
}

#[test]
fn what_else_a_token_says_may_have_any_form() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for (name, value) in [
            ("permissions", json!("read write")),
            ("permissions", json!(["read"])),
            ("jti", json!(7)),
            ("roles", json!({ "a": [null] })),
        ] {
            let accepted = asks(&alice, &bearer(&with(&alice, name, value))).await;
            assert_eq!(accepted.status, 200, "{name}");
        }
    });
}

#[test]
fn a_subject_or_tenant_that_cannot_be_one_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let message = alice.sends(&chat, "hi").await;
        let participant = alice.chat(&chat, "viewerParticipant { id }").await;
        let participant = participant["viewerParticipant"]["id"].as_str().unwrap();
        let endless = "é".repeat(256);
        for subject in ["", "nul\0", &endless, &chat, &message, participant] {
            is_refused(&alice, &bearer(&with(&alice, "sub", json!(subject)))).await;
        }
        for tenant in ["", "nul\0", &endless] {
            is_refused(&alice, &bearer(&with(&alice, "tenant", json!(tenant)))).await;
        }
        for subject in ["é".repeat(255).as_str(), "chat_nonsense", "a b|c\n"] {
            let answer = asks(&alice, &bearer(&with(&alice, "sub", json!(subject)))).await;
            assert_eq!(answer.json()["data"]["viewer"]["id"], subject);
        }
    });
}

#[test]
fn a_refused_token_makes_nobody_exist() {
    run(async {
        let server = Server::start().await;
        let (alice, ghost) = (server.user("alice"), server.user("ghost"));
        let claims = with(&ghost, "exp", json!(ghost.claims().exp - 700));
        is_refused(&ghost, &bearer(&claims)).await;
        let query = "{ user(id: \"ghost\") { id } }";
        assert_eq!(alice.ask(query, json!({})).await["user"], json!(null));
    });
}

/// Claims whose `exp` or `nbf` is so many seconds from now.
fn timed(user: &User, name: &str, seconds: i64) -> Value {
    let now = user.claims().iat.unwrap();
    with(user, name, json!(now + seconds))
}

#[test]
fn a_token_is_accepted_in_its_time_with_the_leeway() {
    run(async {
        let setup = Setup {
            leeway: Duration::from_secs(60),
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        for (name, accepted, refused) in [("exp", -30, -90), ("nbf", 30, 90)] {
            let answer = asks(&alice, &bearer(&timed(&alice, name, accepted))).await;
            assert_eq!(answer.status, 200, "{name}");
            is_refused(&alice, &bearer(&timed(&alice, name, refused))).await;
        }
    });
}

#[test]
fn the_leeway_is_five_seconds_unless_set() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for (name, accepted, refused) in [("exp", -1, -10), ("nbf", 3, 60)] {
            let answer = asks(&alice, &bearer(&timed(&alice, name, accepted))).await;
            assert_eq!(answer.status, 200, "{name}");
            is_refused(&alice, &bearer(&timed(&alice, name, refused))).await;
        }
    });
}

#[test]
fn an_expiry_beyond_all_calendars_is_no_fault_of_ours() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        // The last second that a date can be, and what is no date any more.
        for exp in [8_210_266_876_799_i64, i64::MAX] {
            let answer = asks(&alice, &bearer(&with(&alice, "exp", json!(exp)))).await;
            assert!([200, 401].contains(&answer.status), "{}", answer.status);
        }
    });
}

#[test]
fn a_socket_with_a_refused_token_is_closed() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let expired = bearer(&timed(&alice, "exp", -60));
        for line in ["Bearer garbage", "Basic YWxpY2U6c2VjcmV0", &expired] {
            let mut socket = Socket::connect(&alice, Some("graphql-transport-ws")).await;
            let payload = json!({ "Authorization": line });
            let init = json!({ "type": "connection_init", "payload": payload });
            socket.say(init).await;
            assert_eq!(socket.closed().await, 4403, "{line}");
        }
    });
}

#[test]
fn a_token_in_the_address_is_not_looked_at() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        let query = "query=%7B%20viewer%20%7B%20id%20%7D%20%7D";
        for name in [
            "token",
            "access_token",
            "authorization",
            "Authorization",
            "bearer",
        ] {
            for value in [token.clone(), format!("Bearer%20{token}")] {
                let headers = [("content-type", "application/json")];
                let post = format!("/graphql?{name}={value}");
                let posted = alice.http("POST", &post, &headers, VIEWER.as_bytes()).await;
                let get = format!("/graphql?{query}&{name}={value}");
                let got = alice.http("GET", &get, &[], b"").await;
                for answer in [posted, got] {
                    assert_eq!(answer.status, 200, "{name}");
                    assert_eq!(answer.json()["data"]["viewer"], json!(null), "{name}");
                }
            }
        }
    });
}
