//! Where keys come from, and how they change while a server runs.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{gets, is_accepted, is_refused, is_turned_away, server, usual};
use crate::support::issuer::{Issuer, Mood, Signer, claims, identity, set};
use crate::support::socket::Socket;
use crate::support::{User, at_once, run, until};

#[test]
fn every_algorithm_of_public_keys_is_accepted() {
    run(async {
        let rsa = Signer::rsa(0).named("rsa");
        let own = [Signer::es256(), Signer::es384(), Signer::eddsa()];
        let mut signers: Vec<_> = own
            .into_iter()
            .map(|signer| {
                let name = format!("{:?}", signer.algorithm);
                signer.named(&name)
            })
            .collect();
        let mut keys: Vec<Value> = signers.iter().map(Signer::jwk).collect();
        keys.push(rsa.jwk());
        use Algorithm as A;
        for algorithm in [A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512] {
            signers.push(rsa.clone().by(algorithm));
        }
        let issuer = Issuer::showing(&keys).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, set(&keys).to_string()).unwrap();
        let by_file = server(identity(&["--jwks-file", path.to_str().unwrap()])).await;
        let by_url = server(issuer.identity(&[])).await;
        for signer in &signers {
            let token = signer.sign(&claims("alice"));
            is_accepted(&by_file, &token, "alice").await;
            is_accepted(&by_url, &token, "alice").await;
        }
        assert_eq!(issuer.asked(), 1);
    });
}

#[test]
fn a_pem_file_has_a_key_of_any_kind() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.pem");
        for signer in [
            Signer::rsa(0),
            Signer::es256(),
            Signer::es384(),
            Signer::eddsa(),
        ] {
            std::fs::write(&path, signer.pem()).unwrap();
            let server = server(identity(&["--jwt-public-key", path.to_str().unwrap()])).await;
            is_accepted(&server, &signer.sign(&claims("alice")), "alice").await;
        }
    });
}

#[test]
fn a_token_that_names_no_key_is_accepted_where_one_fits() {
    run(async {
        let (rsa, ec) = (Signer::rsa(0).named("r"), Signer::es256().named("e"));
        let second = Signer::rsa(1).named("s");
        let issuer = Issuer::showing(&[rsa.jwk(), ec.jwk(), second.jwk()]).await;
        let server = server(issuer.identity(&[])).await;
        let nameless = |signer: &Signer| signer.clone().nameless().sign(&claims("alice"));
        is_accepted(&server, &nameless(&ec), "alice").await;
        is_refused(&server, &nameless(&rsa), "two keys fit").await;
        assert_eq!(issuer.asked(), 1);
    });
}

#[test]
fn without_a_first_set_tokens_are_turned_away_and_later_accepted() {
    run(async {
        let (rsa, _, keys) = usual();
        let issuer = Issuer::start(Mood::Down).await;
        let server = server(issuer.identity(&[])).await;
        let token = rsa.sign(&claims("alice"));
        is_turned_away(&server, &token).await;
        is_turned_away(&server, &token.replace('.', ".x")).await;
        is_refused(&server, "garbage", "what is no token at all").await;
        let alice = User::anonymous(&server).with_token(&token);
        let mut socket = Socket::connect(&alice, Some("graphql-transport-ws")).await;
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        socket
            .say(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.closed().await, 1013);
        issuer.shows(&keys);
        let late = Instant::now() + Duration::from_secs(20);
        while gets(&server, &token).await.0 == 503 {
            assert!(Instant::now() < late, "the keys are not got");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        is_accepted(&server, &token, "alice").await;
    });
}

#[test]
fn an_unknown_key_is_looked_for_once_for_all() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys[..1]).await;
        let server = server(issuer.identity(&["--jwks-refetch", "2s"])).await;
        is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        assert_eq!(issuer.asked(), 1);
        // The issuer has a new key, and all who have a token of it come at once.
        let body = set(&keys).to_string();
        issuer.turns(Mood::Slow(Duration::from_millis(300), body));
        let token = ec.sign(&claims("bob"));
        let address = server.address;
        let asks = (0..40).map(|_| {
            let user = User::anonymous(&server).with_token(&token);
            async move {
                assert_eq!(user.address, address);
                user.post("{ viewer { id } }", json!({})).await.status
            }
        });
        assert_eq!(at_once(asks).await, vec![200; 40]);
        assert_eq!(issuer.asked(), 2);
        // Nobody can make the server ask again and again.
        let began = Instant::now();
        for n in 0..20 {
            let unknown = ec.clone().named(&format!("unknown {n}"));
            is_refused(&server, &unknown.sign(&claims("bob")), "an unknown key").await;
        }
        if began.elapsed() < Duration::from_millis(1500) {
            assert_eq!(issuer.asked(), 2);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let unknown = ec.clone().named("one more");
        is_refused(&server, &unknown.sign(&claims("bob")), "an unknown key").await;
        assert_eq!(issuer.asked(), 3);
    });
}

#[test]
fn keys_come_and_go_without_a_restart() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys).await;
        let server = server(issuer.identity(&["--jwks-refresh", "1s"])).await;
        let (by_rsa, by_ec) = (rsa.sign(&claims("alice")), ec.sign(&claims("alice")));
        is_accepted(&server, &by_rsa, "alice").await;
        is_accepted(&server, &by_ec, "alice").await;
        issuer.shows(&keys[1..]);
        let asked = issuer.asked();
        until("the keys are got twice", || issuer.asked() > asked + 1).await;
        is_refused(&server, &by_rsa, "a key that was taken back").await;
        is_accepted(&server, &by_ec, "alice").await;
    });
}

/// What is no set of keys.
fn rubbish(keys: &[Value]) -> Vec<Mood> {
    let good = set(keys).to_string();
    let large = format!("{}{}", " ".repeat(256 * 1024), good);
    let many: Vec<Value> = (0..101)
        .map(|n| {
            let mut key = keys[0].clone();
            key["kid"] = json!(n.to_string());
            key
        })
        .collect();
    let mut moods = vec![
        Mood::Down,
        Mood::Says(500, good.clone()),
        Mood::Says(404, good.clone()),
        Mood::Says(204, String::new()),
        Mood::Says(200, large),
        Mood::Says(200, set(&many).to_string()),
    ];
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"keys":[]}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":[1,{"kty":"RSA"},{"kty":"oct","k":"c2VjcmV0"}]}"#,
        "<!doctype html><title>Maintenance</title>",
        &good[..good.len() - 1],
    ] {
        moods.push(Mood::Says(200, body.to_owned()));
    }
    moods
}

#[test]
fn a_good_set_is_kept_while_there_is_no_better_one() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys[..1]).await;
        let mut identity = issuer.identity(&[]);
        identity.jwks_refresh = Duration::from_millis(200);
        identity.jwks_refetch = Duration::from_millis(200);
        let server = server(identity).await;
        let (known, unknown) = (rsa.sign(&claims("alice")), ec.sign(&claims("alice")));
        is_accepted(&server, &known, "alice").await;
        for mood in rubbish(&keys) {
            let what = format!("{mood:.200?}");
            issuer.turns(mood);
            let asked = issuer.asked();
            until(&what, || issuer.asked() > asked + 1).await;
            is_accepted(&server, &known, "alice").await;
            is_turned_away(&server, &unknown).await;
        }
        issuer.shows(&keys);
        let asked = issuer.asked();
        until("a good set", || issuer.asked() > asked + 1).await;
        is_accepted(&server, &unknown, "alice").await;
    });
}

#[test]
fn an_issuer_that_sends_elsewhere_is_not_followed() {
    run(async {
        let (rsa, _, keys) = usual();
        let elsewhere = Issuer::showing(&keys).await;
        let issuer = Issuer::start(Mood::Sends(elsewhere.url())).await;
        let server = server(issuer.identity(&[])).await;
        is_turned_away(&server, &rsa.sign(&claims("alice"))).await;
        assert_eq!(elsewhere.asked(), 0);
    });
}

#[test]
fn a_slow_issuer_holds_nobody_for_long() {
    run(async {
        let (rsa, ec, keys) = usual();
        let issuer = Issuer::showing(&keys[..1]).await;
        let server = server(issuer.identity(&[])).await;
        is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
        issuer.turns(Mood::Slow(Duration::from_secs(60), set(&keys).to_string()));
        let began = Instant::now();
        let token = ec.sign(&claims("bob"));
        let held = is_turned_away(&server, &token);
        let quick = async {
            is_accepted(&server, &rsa.sign(&claims("alice")), "alice").await;
            assert!(began.elapsed() < Duration::from_secs(3));
        };
        tokio::join!(held, quick);
        assert!(
            began.elapsed() < Duration::from_secs(9),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_server_that_stops_waits_for_no_keys() {
    run(async {
        let (_, _, keys) = usual();
        let body = set(&keys).to_string();
        let issuer = Issuer::start(Mood::Slow(Duration::from_secs(60), body)).await;
        let server = server(issuer.identity(&[])).await;
        until("the keys are asked for", || issuer.asked() == 1).await;
        let began = Instant::now();
        server.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn the_expiry_of_a_token_by_a_public_key_ends_its_socket() {
    run(async {
        let (rsa, _, keys) = usual();
        let issuer = Issuer::showing(&keys).await;
        let server = server(issuer.identity(&["--jwt-leeway", "1s"])).await;
        let mut short = claims("alice");
        let exp = short["iat"].as_u64().unwrap() + 2;
        short["exp"] = json!(exp);
        let alice = User::anonymous(&server).with_token(rsa.sign(&short));
        let mut socket = alice.socket().await;
        assert_eq!(socket.closed().await, 4403);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let late = now - Duration::from_secs(exp + 1);
        assert!(late < Duration::from_secs(1), "{late:?}");
    });
}
