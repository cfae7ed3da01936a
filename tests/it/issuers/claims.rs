//! What the claims of a token must be, and what becomes of them.

use colloquy::app::{Error, Session, TokenError};
use serde_json::{Value, json};

use super::{gets, is_accepted, is_refused, server};
use crate::support::issuer::{Signer, claims, claims_with, identity};
use crate::support::server::SECRET;
use crate::support::{Server, User, run};

fn secret() -> Signer {
    Signer::secret(SECRET.as_bytes())
}

/// A server that takes tokens of the test servers' secret, by these settings.
async fn by_secret(more: &[&str]) -> Server {
    server(identity(&[&["--jwt-secret", SECRET], more].concat())).await
}

async fn session(server: &Server, claims: &Value) -> Session {
    let token = secret().sign(claims);
    server.app.authenticate(&token).await.unwrap()
}

/// Why a token with these claims is refused.
async fn refusal(server: &Server, claims: &Value) -> TokenError {
    match server.app.authenticate(&secret().sign(claims)).await {
        Err(Error::Token(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn issuer_and_audience_are_one_of_those_that_are_set() {
    run(async {
        let more = [
            "--jwt-issuer",
            "https://a/,https://b/",
            "--jwt-audience",
            "chat,talk",
        ];
        let server = by_secret(&more).await;
        let with = |issuer: Value, audience: Value| {
            let token = claims_with("alice", json!({ "iss": issuer, "aud": audience }));
            secret().sign(&token)
        };
        for (issuer, audience) in [
            (json!("https://a/"), json!("chat")),
            (json!("https://b/"), json!(["x", "talk"])),
        ] {
            is_accepted(&server, &with(issuer, audience), "alice").await;
        }
        let good = json!("https://a/");
        for (issuer, audience) in [
            (json!("https://a"), json!("chat")),
            (json!("https://c/"), json!("chat")),
            (json!(null), json!("chat")),
            (json!(["https://a/"]), json!("chat")),
            (json!("https://a/,https://b/"), json!("chat")),
            (good.clone(), json!(null)),
            (good.clone(), json!("chats")),
            (good.clone(), json!("chat talk")),
            (good.clone(), json!([])),
            (good.clone(), json!(["x"])),
            (good.clone(), json!([["chat"]])),
            (good.clone(), json!({ "chat": true })),
        ] {
            let what = format!("{issuer} {audience}");
            is_refused(&server, &with(issuer, audience), &what).await;
        }
        let bare = claims_with("alice", json!({ "iss": "https://c/" }));
        assert_eq!(refusal(&server, &bare).await, TokenError::Issuer);
        let bare = claims_with("alice", json!({ "iss": "https://a/" }));
        assert_eq!(refusal(&server, &bare).await, TokenError::Audience);
    });
}

#[test]
fn times_are_judged_with_the_leeway() {
    run(async {
        let server = by_secret(&["--jwt-leeway", "60s"]).await;
        let now = claims("alice")["iat"].as_i64().unwrap();
        for (name, accepted, refused) in [("exp", -30, -90), ("nbf", 30, 90), ("iat", 30, 90)] {
            let at = |offset: i64| claims_with("alice", json!({ name: now + offset }));
            session(&server, &at(accepted)).await;
            let why = refusal(&server, &at(refused)).await;
            assert!(
                matches!(why, TokenError::Expired | TokenError::Immature),
                "{name}"
            );
            for odd in [json!("1"), json!([]), json!(true), json!(1e300)] {
                let token = claims_with("alice", json!({ name: odd }));
                assert_eq!(
                    refusal(&server, &token).await,
                    TokenError::Malformed,
                    "{name}"
                );
            }
        }
        let half = claims_with("alice", json!({ "exp": now as f64 + 100.5, "iat": 0.5 }));
        let session = session(&server, &half).await;
        assert_eq!(session.ends_at.timestamp(), now + 160);
        assert_eq!(session.issued_at.unwrap().timestamp(), 0);
    });
}

#[test]
fn what_a_token_permits_and_is_called_has_bounds() {
    run(async {
        let server = by_secret(&[]).await;
        let plain = session(&server, &claims("alice")).await;
        assert_eq!(
            (plain.token_id.as_deref(), plain.permissions.len()),
            (None, 0)
        );
        let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let (long, text) = ("é".repeat(255), "é".repeat(100));
        let full = claims_with("alice", json!({ "jti": long, "permissions": many }));
        let full = session(&server, &full).await;
        assert_eq!(full.token_id.as_deref(), Some(long.as_str()));
        assert_eq!(*full.permissions, *many);
        for (permissions, expected) in [
            (json!("read  write\n"), vec!["read", "write"]),
            (json!(""), vec![]),
            (json!([]), vec![]),
            (json!(["a b"]), vec!["a b"]),
            (json!([text]), vec![text.as_str()]),
        ] {
            let token = claims_with("alice", json!({ "permissions": permissions }));
            assert_eq!(*session(&server, &token).await.permissions, *expected);
        }
        let many: Vec<String> = (0..201).map(|n| n.to_string()).collect();
        for members in [
            json!({ "permissions": many.clone() }),
            json!({ "permissions": many.join(" ") }),
            json!({ "permissions": ["é".repeat(101)] }),
            json!({ "permissions": [1] }),
            json!({ "permissions": ["read", null] }),
            json!({ "permissions": 1 }),
            json!({ "permissions": { "read": true } }),
            json!({ "jti": "é".repeat(256) }),
            json!({ "jti": "" }),
            json!({ "jti": "nul\u{0}" }),
            json!({ "jti": ["a"] }),
        ] {
            let token = claims_with("alice", members.clone());
            assert_eq!(
                refusal(&server, &token).await,
                TokenError::Malformed,
                "{members}"
            );
        }
    });
}

#[test]
fn a_token_has_8_kib_at_most() {
    run(async {
        let server = by_secret(&[]).await;
        let padded = |length: usize| {
            let token = claims_with("alice", json!({ "pad": "x".repeat(length) }));
            secret().sign(&token)
        };
        // Four characters of the token are three of a claim.
        let length = (8192 - padded(0).len()) * 3 / 4 - 2;
        let (fits, over) = (padded(length), padded(length + 6));
        assert!(fits.len() <= 8192 && over.len() > 8192);
        is_accepted(&server, &fits, "alice").await;
        is_refused(&server, &over, "too long").await;
    });
}

#[test]
fn a_numeric_id_is_its_digits() {
    run(async {
        let server = by_secret(&[]).await;
        for (id, text) in [(json!(42), "42"), (json!(u64::MAX), "18446744073709551615")] {
            let token = claims_with("x", json!({ "sub": id.clone(), "tenant": id }));
            let session = session(&server, &token).await;
            assert_eq!(session.actor.user.as_str(), text);
            assert_eq!(session.actor.tenant.as_str(), text);
        }
        for id in [
            json!(4.5),
            json!(1e30),
            json!(true),
            json!(["alice"]),
            json!({}),
        ] {
            for name in ["sub", "tenant"] {
                let token = claims_with("alice", json!({ name: id.clone() }));
                assert_eq!(
                    refusal(&server, &token).await,
                    TokenError::Subject,
                    "{name} {id}"
                );
            }
        }
    });
}

#[test]
fn claims_stand_where_the_settings_say() {
    run(async {
        let server = by_secret(&[
            "--jwt-claim-subject",
            "/user/id",
            "--jwt-claim-tenant",
            "https://example.com/tenant",
            "--jwt-claim-name",
            "/user/names/0",
            "--jwt-claim-picture",
            "/user/a~1b",
            "--jwt-claim-permissions",
            "scope",
        ])
        .await;
        let token = claims_with(
            "not this one",
            json!({
                "tenant": "nor this", "name": "nor this",
                "user": { "id": "alice", "names": ["Alice"], "a/b": "https://example.com/a.png" },
                "https://example.com/tenant": "acme", "scope": "openid chat", "jti": "t1",
            }),
        );
        let found = session(&server, &token).await;
        assert_eq!(found.actor.user.as_str(), "alice");
        assert_eq!(found.actor.tenant.as_str(), "acme");
        assert_eq!(*found.permissions, ["openid", "chat"]);
        assert_eq!(found.token_id.as_deref(), Some("t1"));
        let alice = User::anonymous(&server).with_token(secret().sign(&token));
        let query = "{ viewer { id displayName avatarUrl } }";
        let expected = json!({
            "id": "alice", "displayName": "Alice", "avatarUrl": "https://example.com/a.png",
        });
        assert_eq!(alice.ask(query, json!({})).await["viewer"], expected);
        assert_eq!(
            refusal(&server, &claims("alice")).await,
            TokenError::Subject
        );
    });
}

/// The claims that `SourceLoop`'s authentication service signs.
fn sourceloop(members: Value) -> Value {
    let now = claims("x")["iat"].as_u64().unwrap();
    let mut claims = json!({
        "id": "0b6f6e3c-7d5f-4f2a-9f3b-6a0c1b2d3e4f",
        "firstName": "Ada", "lastName": "Lovelace", "middleName": null,
        "username": "ada@example.com", "email": "ada@example.com", "phone": "+4512345678",
        "authClientId": 1, "gender": "F", "dob": null, "lastLogin": "1782475200000",
        "photoUrl": "https://example.com/ada.png",
        "defaultTenantId": "9a1d4a52-7b39-4e0a-8a55-3c1f0a6f2b11",
        "tenantId": "9a1d4a52-7b39-4e0a-8a55-3c1f0a6f2b11",
        "userTenantId": "5f0c2d8e-1f7c-4a39-a0a4-55f3f1f7d0c9",
        "tenantType": "client", "role": "Member", "status": 1,
        "permissions": ["CreateMessage", "ViewMessage", "1"],
        "userPreferences": { "locale": "en" }, "deviceInfo": {}, "age": 36,
        "passwordExpiryTime": "2999-01-01T00:00:00.000Z",
        "iat": now, "exp": now + 900, "iss": "https://auth.example.com",
    });
    for (name, value) in members.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn a_token_of_sourceloop_is_read_as_it_is() {
    run(async {
        let more = [
            "--jwt-claims",
            "sourceloop",
            "--jwt-issuer",
            "https://auth.example.com",
        ];
        let server = by_secret(&more).await;
        let token = sourceloop(json!({}));
        let found = session(&server, &token).await;
        assert_eq!(found.actor.user.as_str(), token["userTenantId"]);
        assert_eq!(found.actor.tenant.as_str(), token["tenantId"]);
        assert_eq!(*found.permissions, ["CreateMessage", "ViewMessage", "1"]);
        let ada = User::anonymous(&server).with_token(secret().sign(&token));
        let viewer = ada
            .ask("{ viewer { displayName avatarUrl } }", json!({}))
            .await;
        let expected = json!({
            "displayName": "Ada Lovelace", "avatarUrl": "https://example.com/ada.png",
        });
        assert_eq!(viewer["viewer"], expected);
        for (n, (members, name)) in [
            (json!({ "lastName": null }), "Ada"),
            (
                json!({ "firstName": " ", "lastName": "" }),
                "ada@example.com",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let mut token = sourceloop(members);
            token["userTenantId"] = json!(format!("person {n}"));
            let person = User::anonymous(&server).with_token(secret().sign(&token));
            let viewer = person.ask("{ viewer { displayName } }", json!({})).await;
            assert_eq!(viewer["viewer"]["displayName"], name);
        }
        for name in ["id", "sub"] {
            let mut token = sourceloop(json!({ "userTenantId": null }));
            token[name] = json!("alice");
            assert_eq!(refusal(&server, &token).await, TokenError::Subject);
        }
    });
}

#[test]
fn a_token_of_sourceloop_ends_with_the_password() {
    run(async {
        let server = by_secret(&["--jwt-claims", "sourceloop"]).await;
        let now = claims("x")["iat"].as_i64().unwrap();
        let rfc3339 = |seconds: i64| {
            let time = chrono::DateTime::from_timestamp_secs(seconds).unwrap();
            json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        };
        let with = |expiry: Value| sourceloop(json!({ "passwordExpiryTime": expiry }));
        for past in [
            rfc3339(now - 1),
            rfc3339(now),
            json!("2020-01-01T02:00:00+02:00"),
            json!((now - 1) * 1000),
            json!(-1),
        ] {
            assert_eq!(
                refusal(&server, &with(past.clone())).await,
                TokenError::Password,
                "{past}"
            );
        }
        for none in [json!(null), json!(0), json!("")] {
            assert_eq!(gets(&server, &secret().sign(&with(none))).await.0, 200);
        }
        for odd in [
            json!("soon"),
            json!("2999-01-01"),
            json!(true),
            json!([]),
            json!(1e300),
        ] {
            assert_eq!(
                refusal(&server, &with(odd.clone())).await,
                TokenError::Malformed,
                "{odd}"
            );
        }
        // An open socket does not outlive it either.
        for soon in [rfc3339(now + 60), json!((now + 60) * 1000)] {
            let session = session(&server, &with(soon)).await;
            assert_eq!(session.ends_at.timestamp(), now + 60);
        }
        let late = session(&server, &with(rfc3339(now + 5000))).await;
        assert!(late.ends_at.timestamp() < now + 1000);
    });
}

#[test]
fn the_claims_of_sourceloop_mean_nothing_elsewhere() {
    run(async {
        let server = by_secret(&[]).await;
        let mut token = sourceloop(json!({ "passwordExpiryTime": 1 }));
        assert_eq!(refusal(&server, &token).await, TokenError::Subject);
        token["sub"] = json!("ada");
        assert_eq!(
            session(&server, &token).await.actor.tenant.as_str(),
            "default"
        );
    });
}
