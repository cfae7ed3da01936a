//! Who may connect, and for how long.

use std::time::{Duration, Instant};

use colloquy::app::{Limits, Rate, RateLimits};
use colloquy::http::{HttpOptions, SocketOptions};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::binary::Binary;
use crate::support::server::Setup;
use crate::support::socketio::{Packet, SocketIo};
use crate::support::{Server, User, postgres, run, until};

/// By when a revocation holds everywhere, with some mercy for a busy machine.
const SOON: Duration = Duration::from_millis(2500);

async fn with(setup: Setup) -> Server {
    Server::with(postgres::database().await, setup).await
}

/// The code with which somebody is turned away, who then is disconnected.
async fn turned_away(user: &User, auth: Value) -> (String, u16) {
    let mut client = SocketIo::connect(user).await;
    let Packet::Refused(refusal) = client.introduce(auth).await else {
        panic!("not refused");
    };
    assert!(!refusal["message"].as_str().unwrap().is_empty());
    let code = refusal["data"]["code"].as_str().unwrap().to_owned();
    (code, client.closed().await)
}

#[test]
fn the_server_says_its_rules_and_knows_who_connects() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut client = SocketIo::connect(&alice).await;
        let open = client.open.clone();
        assert_eq!(open["upgrades"], json!([]));
        assert_eq!(open["pingInterval"], 15_000);
        assert_eq!(open["pingTimeout"], 10_000);
        assert_eq!(open["maxPayload"], 1024 * 1024);
        assert_eq!(server.connections.open(), 0);
        let answer = client.introduce(json!({ "token": alice.token })).await;
        let Packet::Connected(answer) = answer else {
            panic!("{answer:?}");
        };
        assert_ne!(answer["sid"], open["sid"]);
        assert_eq!(server.connections.open(), 1);
        client.say("41").await;
        assert_eq!(client.closed().await, 1000);
        let mut other = SocketIo::open(&alice).await;
        other.say("1").await;
        assert_eq!(other.closed().await, 1000);
    });
}

#[test]
fn nobody_is_served_without_a_token_that_is_accepted() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut claims = alice.claims();
        claims.exp -= 10_000;
        let expired = alice.sign(&claims);
        for auth in [
            json!({}),
            json!({ "token": null }),
            json!({ "token": 1 }),
            json!({ "token": "" }),
            json!({ "token": "nonsense" }),
            json!({ "token": expired }),
            // As a header would have it.
            json!({ "token": format!("Bearer {}", alice.token.as_ref().unwrap()) }),
        ] {
            let refused = turned_away(&alice, auth.clone()).await;
            assert_eq!(refused, ("UNAUTHENTICATED".to_owned(), 4403), "{auth}");
        }
        let mut early = SocketIo::connect(&alice).await;
        early.say(r#"420["chats:follow"]"#).await;
        assert_eq!(early.packet().await, Packet::Closed(4401));
        let mut twice = SocketIo::open(&alice).await;
        let auth = json!({ "token": alice.token });
        assert_eq!(twice.introduce(auth).await, Packet::Closed(4429));
    });
}

/// It ends in logs.
#[test]
fn a_token_in_the_address_is_none() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket&token={}",
            server.address,
            alice.token.as_ref().unwrap()
        );
        let (mut socket, _) = connect_async(url).await.unwrap();
        use futures_util::{SinkExt as _, StreamExt as _};
        socket.send("40".into()).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(text.starts_with("44{") && text.contains("UNAUTHENTICATED"));
    });
}

#[test]
fn a_token_is_in_no_log_however_much_is_logged() {
    run(async {
        let beside = Server::start().await;
        let server = Binary::serve(&beside.database, &["--log", "trace"]).await;
        let alice = beside.user("alice").on(server.address);
        let mut client = SocketIo::open(&alice).await;
        client.does("chats:follow", json!({})).await;
        let token = alice.token.as_ref().unwrap();
        // It has logged what following takes, so it has logged what came before, too.
        let is_said = || {
            server
                .said()
                .iter()
                .any(|line| line.contains("participants"))
        };
        until("it has logged what it did", is_said).await;
        assert!(!server.said().iter().any(|line| line.contains(token)));
    });
}

#[test]
fn forged_tokens_are_counted_by_address() {
    run(async {
        let rates = RateLimits {
            failure: Rate::new(1, 3),
            ..RateLimits::default()
        };
        let server = with(Setup {
            limits: Limits {
                rates: Some(rates),
                ..Limits::default()
            },
            ..Setup::default()
        })
        .await;
        let alice = server.user("alice");
        let forged = format!("{}x", alice.token.as_ref().unwrap());
        let mut refused = Vec::new();
        for _ in 0..6 {
            refused.push(turned_away(&alice, json!({ "token": forged })).await);
        }
        assert_eq!(refused[0], ("UNAUTHENTICATED".to_owned(), 4403));
        assert_eq!(refused[5], ("RATE_LIMITED".to_owned(), 4429));
    });
}

#[test]
fn a_connection_ends_with_its_token() {
    run(async {
        let server = with(Setup {
            leeway: Duration::from_secs(1),
            ..Setup::default()
        })
        .await;
        let alice = server.user("alice");
        let mut claims = alice.claims();
        claims.exp = claims.iat.unwrap() + 2;
        let mut client = SocketIo::open(&alice.with_token(alice.sign(&claims))).await;
        let start = Instant::now();
        assert_eq!(client.closed().await, 4403);
        let took = start.elapsed();
        assert!(took < Duration::from_millis(4500), "{took:?}");
    });
}

#[test]
fn a_connection_ends_when_its_token_is_revoked_on_another_server() {
    run(async {
        let database = postgres::database().await;
        let here = Server::on(database.clone()).await;
        let there = Server::on(database).await;
        let alice = here.user("alice");
        let mut claims = alice.claims();
        claims.jti = Some("stolen".to_owned());
        let stolen = alice.with_token(alice.sign(&claims)).at(&there);
        let mut client = SocketIo::open(&stolen).await;
        let mut kept = SocketIo::open(&alice.at(&there)).await;
        let start = Instant::now();
        let admin = here.user("root").permitted(&["colloquy:admin"]);
        let input = json!({ "userId": "alice", "tokenId": "stolen" });
        admin.does("revokeTokens", "", input).await;
        assert_eq!(client.closed().await, 4403);
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        let refused = turned_away(&stolen, json!({ "token": stolen.token })).await;
        assert_eq!(refused.0, "UNAUTHENTICATED");
        kept.does("chats:follow", json!({})).await;
    });
}

#[test]
fn a_client_that_says_nothing_is_not_kept() {
    run(async {
        let server = with(Setup {
            sockets: SocketOptions {
                init_within: Duration::from_millis(200),
                ..SocketOptions::default()
            },
            ..Setup::default()
        })
        .await;
        let mut client = SocketIo::connect(&server.user("alice")).await;
        assert_eq!(client.packet().await, Packet::Closed(4408));
    });
}

#[test]
fn only_a_websocket_of_the_fourth_version_is_served() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        for (query, code) in [
            ("", 5),
            ("?EIO=3&transport=websocket", 5),
            ("?EIO=4", 0),
            ("?EIO=4&transport=polling", 0),
            ("?EIO=4&transport=websocket&sid=x", 1),
            ("?EIO=4&transport=websocket", 3),
        ] {
            let path = format!("/socket.io/{query}");
            let answer = user.http("GET", &path, &[], b"").await;
            assert_eq!(answer.status, 400, "{query}");
            assert_eq!(answer.json()["code"], code, "{query}");
        }
        let path = "/socket.io/?EIO=4&transport=polling";
        assert_eq!(user.http("POST", path, &[], b"40").await.status, 405);
        let off = with(Setup {
            http: HttpOptions {
                socketio: false,
                ..HttpOptions::default()
            },
            ..Setup::default()
        })
        .await;
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", off.address);
        assert!(connect_async(url).await.is_err());
    });
}

#[test]
fn pages_of_other_origins_are_not_served() {
    run(async {
        let server = with(Setup {
            origins: vec!["https://app.example.org"],
            ..Setup::default()
        })
        .await;
        for (origin, served) in [
            ("https://app.example.org", true),
            ("https://evil.example.org", false),
            ("null", false),
        ] {
            let url = format!(
                "ws://{}/socket.io/?EIO=4&transport=websocket",
                server.address
            );
            let mut request = url.into_client_request().unwrap();
            let headers = request.headers_mut();
            headers.insert("origin", origin.parse().unwrap());
            assert_eq!(connect_async(request).await.is_ok(), served, "{origin}");
        }
    });
}

#[test]
fn there_is_one_namespace() {
    run(async {
        let server = Server::start().await;
        let mut client = SocketIo::open(&server.user("alice")).await;
        client.say(r#"40/admin,{"token":"x"}"#).await;
        let refusal = r#"44/admin,{"message":"Invalid namespace"}"#.to_owned();
        assert_eq!(client.packet().await, Packet::Other(refusal));
        client.does("chats:follow", json!({})).await;
    });
}
