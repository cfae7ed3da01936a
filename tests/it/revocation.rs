//! Revoked tokens: refused everywhere within a second, and nothing stays open with them.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use colloquy::app::Claims;
use colloquy::realtime::{Carrier, RealtimeOptions};
use serde_json::{Value, json};

use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::streaming::Streaming;
use crate::support::{Server, User, postgres, run};

const NEVER: Duration = Duration::from_secs(3600);

/// By when a revocation holds everywhere, with some mercy for a busy machine.
const SOON: Duration = Duration::from_millis(2500);

/// Two servers on one database.
async fn two(realtime: RealtimeOptions) -> (Server, Server) {
    let setup = Setup {
        realtime,
        ..Setup::default()
    };
    let database = postgres::database().await;
    let one = Server::with(database.clone(), setup.clone()).await;
    (one, Server::with(database, setup).await)
}

/// Servers that hear of revocations by the doorbell alone.
async fn by_the_doorbell() -> (Server, Server) {
    two(RealtimeOptions {
        revocations: NEVER,
        ..RealtimeOptions::default()
    })
    .await
}

fn admin(server: &Server) -> User {
    server.user("root").permitted(&["colloquy:admin"])
}

/// The same user with a token that says so much.
fn with(user: &User, change: impl FnOnce(&mut Claims)) -> User {
    let mut claims = user.claims();
    change(&mut claims);
    user.with_token(user.sign(&claims))
}

fn named(user: &User, name: &str) -> User {
    with(user, |claims| claims.jti = Some(name.to_owned()))
}

/// The same user with a token that was issued so many seconds from now.
fn issued(user: &User, seconds: i64) -> User {
    with(user, |claims| {
        claims.iat = claims.iat.map(|iat| iat + seconds);
    })
}

async fn revokes(admin: &User, input: Value) -> Value {
    let fields = "revocation { user { id } tokenId issuedBefore expiresAt }";
    admin.does("revokeTokens", fields, input).await["revocation"].clone()
}

async fn is_accepted(user: &User) -> bool {
    let answer = user.post("{ viewer { id } }", json!({})).await;
    if answer.status == 401 {
        let json = answer.json();
        assert_eq!(json["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert!(
            json["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("revoked")
        );
        return false;
    }
    assert_eq!(answer.json()["data"]["viewer"]["id"], json!(user.id));
    true
}

/// Waits until a token is refused, which it has to be soon.
async fn is_refused_soon(user: &User) {
    let start = Instant::now();
    while is_accepted(user).await {
        assert!(start.elapsed() < SOON, "still accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut socket = Socket::connect(user, Some("graphql-transport-ws")).await;
    let line = format!("Bearer {}", user.token.as_ref().unwrap());
    socket
        .say(json!({ "type": "connection_init", "payload": { "authorization": line } }))
        .await;
    assert_eq!(socket.closed().await, 4403);
}

#[test]
fn one_token_is_revoked_on_every_server_and_the_others_are_not() {
    run(async {
        let (here, there) = by_the_doorbell().await;
        let (stolen, kept) = (
            named(&here.user("alice"), "a"),
            named(&here.user("alice"), "b"),
        );
        let namesake = named(&here.user("bob"), "a");
        assert!(is_accepted(&stolen).await && is_accepted(&stolen.at(&there)).await);
        let input = json!({ "userId": "alice", "tokenId": "a" });
        let revocation = revokes(&admin(&here), input).await;
        assert_eq!(revocation["user"]["id"], "alice");
        assert_eq!(revocation["tokenId"], "a");
        // Where it was done it holds when it is answered.
        assert!(!is_accepted(&stolen).await);
        is_refused_soon(&stolen.at(&there)).await;
        for user in [&kept, &here.user("alice"), &namesake] {
            assert!(is_accepted(user).await && is_accepted(&user.at(&there)).await);
        }
    });
}

#[test]
fn all_tokens_up_to_a_moment_are_revoked_and_later_ones_are_not() {
    run(async {
        let (here, there) = by_the_doorbell().await;
        let alice = here.user("alice");
        let (old, now, later) = (issued(&alice, -60), issued(&alice, 0), issued(&alice, 5));
        let silent = with(&alice, |claims| claims.iat = None);
        let moment = alice.claims().iat.unwrap() - 60;
        let text = |seconds: i64, millis: u32| {
            let moment = DateTime::<Utc>::from_timestamp(seconds, millis * 1_000_000).unwrap();
            moment.to_rfc3339_opts(SecondsFormat::Millis, true)
        };
        // A moment within the second in which the token was issued.
        let input = json!({ "userId": "alice", "issuedBefore": text(moment + 1, 0) });
        let revocation = revokes(&admin(&here), input).await;
        assert_eq!(revocation["tokenId"], json!(null));
        is_refused_soon(&old.at(&there)).await;
        is_refused_soon(&silent.at(&there)).await;
        assert!(is_accepted(&now.at(&there)).await);
        // An earlier moment takes nothing back.
        let input = json!({ "userId": "alice", "issuedBefore": text(moment - 600, 999) });
        let revocation = revokes(&admin(&here), input).await;
        assert_eq!(revocation["issuedBefore"], text(moment + 1, 0));
        assert!(!is_accepted(&old).await);
        revokes(&admin(&here), json!({ "userId": "alice" })).await;
        is_refused_soon(&issued(&alice, -1).at(&there)).await;
        assert!(is_accepted(&later.at(&there)).await);
        assert!(is_accepted(&here.user("bob").at(&there)).await);
    });
}

#[test]
fn a_moment_covers_the_second_it_is_in() {
    run(async {
        let server = Server::start().await;
        let second = server.user("alice").claims().iat.unwrap() - 30;
        let alice = with(&server.user("alice"), |claims| claims.iat = Some(second));
        // The last moment before that second, and one within it.
        for (seconds, millis, accepted) in [(second - 1, 999, true), (second, 400, false)] {
            let moment = DateTime::<Utc>::from_timestamp(seconds, millis * 1_000_000).unwrap();
            let text = moment.to_rfc3339_opts(SecondsFormat::Millis, true);
            let input = json!({ "userId": "alice", "issuedBefore": text });
            revokes(&admin(&server), input).await;
            assert_eq!(is_accepted(&alice).await, accepted, "{text}");
        }
    });
}

#[test]
fn what_is_open_with_a_revoked_token_is_closed() {
    run(async {
        let (here, there) = by_the_doorbell().await;
        let (alice, bob) = (here.user("alice"), here.user("bob"));
        let chat = alice.direct(&bob).await;
        let query = "subscription ($chat: ID!) { chatEvents(chatId: $chat) { cursor } }";
        let request = json!({ "query": query, "variables": { "chat": chat } });
        let stolen = named(&alice, "a").at(&there);
        let mut socket = Socket::open(&stolen).await;
        socket.subscribe("s", query, json!({ "chat": chat })).await;
        let mut others = bob.at(&there).follows(&chat, None).await;
        let mut sse = Streaming::post(&stolen, "text/event-stream", &request).await;
        let accept = "multipart/mixed;subscriptionSpec=1.0";
        let mut multipart = Streaming::post(&stolen, accept, &request).await;
        assert_eq!((sse.status, multipart.status), (200, 200));
        let start = Instant::now();
        revokes(&admin(&here), json!({ "userId": "alice", "tokenId": "a" })).await;
        assert_eq!(socket.closed().await, 4403);
        sse.rest().await;
        multipart.rest().await;
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        // Nobody else's, and on the server of the revocation too.
        bob.sends(&chat, "still here").await;
        others.take(1).await;
        let mut socket = Socket::open(&issued(&alice, -5)).await;
        revokes(&admin(&here), json!({ "userId": "alice" })).await;
        assert_eq!(socket.closed().await, 4403);
    });
}

#[test]
fn without_notifications_it_holds_soon_too() {
    run(async {
        let (here, there) = two(RealtimeOptions {
            carrier: Carrier::Sweep,
            sweep: NEVER,
            ..RealtimeOptions::default()
        })
        .await;
        let alice = issued(&here.user("alice"), -5);
        let mut socket = Socket::open(&alice.at(&there)).await;
        revokes(&admin(&here), json!({ "userId": "alice" })).await;
        is_refused_soon(&alice.at(&there)).await;
        assert_eq!(socket.closed().await, 4403);
    });
}

#[test]
fn a_restart_keeps_revocations() {
    run(async {
        let server = Server::start().await;
        let alice = named(&server.user("alice"), "a");
        let old = issued(&server.user("bob"), -5);
        let database = server.database.clone();
        revokes(
            &admin(&server),
            json!({ "userId": "alice", "tokenId": "a" }),
        )
        .await;
        revokes(&admin(&server), json!({ "userId": "bob" })).await;
        server.stop().await;
        let server = Server::on(database).await;
        // Already the first request.
        assert!(!is_accepted(&alice.at(&server)).await);
        assert!(!is_accepted(&old.at(&server)).await);
    });
}

#[test]
fn an_administrator_revokes_in_their_tenant_only_and_themselves_too() {
    run(async {
        let server = Server::start().await;
        let alice = issued(&server.user("alice"), -5);
        let elsewhere = server.user_of("elsewhere", "root");
        let foreign = with(&elsewhere, |claims| {
            claims.tenant = Some("elsewhere".to_owned());
            claims.permissions = vec!["colloquy:admin".to_owned()];
        });
        revokes(&foreign, json!({ "userId": "alice" })).await;
        assert!(is_accepted(&alice).await);
        let root = with(&server.user("root"), |claims| {
            claims.permissions = vec!["colloquy:admin".to_owned()];
            claims.iat = claims.iat.map(|iat| iat - 5);
        });
        revokes(&root, json!({ "userId": "root" })).await;
        assert!(!is_accepted(&root).await);
    });
}

#[test]
fn what_cannot_be_revoked_is_refused() {
    run(async {
        let server = Server::start().await;
        let (alice, root) = (server.user("alice"), admin(&server));
        let query =
            "mutation { revokeTokens(input: { userId: \"root\" }) { userErrors { code } } }";
        assert_eq!(alice.codes(query, json!({})).await, ["FORBIDDEN"]);
        let long = "t".repeat(256);
        for (input, code, field) in [
            (json!({ "userId": "" }), "INVALID", "userId"),
            (
                json!({ "userId": "a", "tokenId": "" }),
                "INVALID",
                "tokenId",
            ),
            (
                json!({ "userId": "a", "tokenId": "nul\0" }),
                "INVALID",
                "tokenId",
            ),
            (
                json!({ "userId": "a", "tokenId": long }),
                "TOO_LONG",
                "tokenId",
            ),
            (
                json!({ "userId": "a", "tokenId": "t", "issuedBefore": "2026-01-01T00:00:00Z" }),
                "INVALID",
                "issuedBefore",
            ),
            (
                json!({ "userId": "a", "issuedBefore": "9000-01-01T00:00:00Z" }),
                "INVALID",
                "issuedBefore",
            ),
            (
                json!({ "userId": "a", "issuedBefore": "1969-12-31T23:59:59Z" }),
                "INVALID",
                "issuedBefore",
            ),
        ] {
            let refused = root.refused("revokeTokens", input.clone()).await;
            assert_eq!(
                refused,
                (code.to_owned(), json!(["input", field])),
                "{input}"
            );
        }
        assert!(is_accepted(&root).await);
        let mut conn = server.sql().await;
        let rows = "SELECT 'x' AS line FROM revocations UNION ALL SELECT 'y' FROM audit_entries";
        assert_eq!(lines(&mut conn, rows).await, [""; 0]);
    });
}

#[test]
fn a_revocation_is_written_down_and_goes_when_it_has_expired() {
    run(async {
        let server = Server::start().await;
        let root = admin(&server);
        let input = json!({ "userId": "a", "tokenId": "t", "expiresAt": "2026-01-01T00:00:00Z" });
        revokes(&root, input).await;
        let mut conn = server.sql().await;
        let rows =
            "SELECT concat_ws(' ', user_id, token_id) AS line FROM revocations ORDER BY revision";
        assert_eq!(lines(&mut conn, rows).await, ["a t"]);
        revokes(&root, json!({ "userId": "b", "tokenId": "t" })).await;
        revokes(&root, json!({ "userId": "b", "tokenId": "t" })).await;
        assert_eq!(lines(&mut conn, rows).await, ["b t"]);
        let trail = "SELECT concat_ws(' ', actor_id, act, user_id, data ->> 'token_id') AS line
            FROM audit_entries ORDER BY id";
        assert_eq!(
            lines(&mut conn, trail).await,
            ["root 7 a t", "root 7 b t", "root 7 b t"]
        );
    });
}

#[test]
fn revocations_at_once_are_all_heard_of() {
    run(async {
        let (here, there) = two(RealtimeOptions::default()).await;
        let admins = [admin(&here), admin(&there)];
        let all = (0..40).map(|n| {
            let admin = &admins[n % 2];
            async move {
                let input = json!({ "userId": format!("user-{n}"), "tokenId": "t" });
                revokes(admin, input).await;
            }
        });
        futures_util::future::join_all(all).await;
        for n in 0..40 {
            let user = named(&here.user(&format!("user-{n}")), "t");
            is_refused_soon(&user).await;
            is_refused_soon(&user.at(&there)).await;
        }
    });
}
