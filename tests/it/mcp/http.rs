//! Agents that the server itself serves, over HTTP.

use std::time::{Duration, Instant};

use colloquy::app::{Rate, RateLimits};
use colloquy::http::{Documents, HttpOptions, TrustedDocuments};
use colloquy::store::Database;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agent::{REVISION, hello, message, post, post_as};
use crate::support::binary::Binary;
use crate::support::server::Setup;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run, until};

fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn call(tool: &str, arguments: &Value) -> Value {
    request(
        "tools/call",
        &json!({ "name": tool, "arguments": arguments }),
    )
}

async fn database() -> Database {
    postgres::database().await
}

#[test]
fn nobody_is_served_without_a_token_that_is_accepted() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let refused = |user: User| async move {
            let answer = post(&user, &call("list_chats", &json!({})), &[]).await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            let code = answer.json()["errors"][0]["extensions"]["code"].clone();
            assert_eq!(code, "UNAUTHENTICATED");
        };
        refused(server.anonymous()).await;
        refused(alice.with_token("forged")).await;
        let mut claims = alice.claims();
        claims.exp -= 3600;
        claims.iat = claims.iat.map(|at| at - 3600);
        refused(alice.with_token(alice.sign(&claims))).await;
        // Not even the list of tools is told.
        let answer = post(&server.anonymous(), &request("initialize", &hello()), &[]).await;
        assert_eq!(answer.status, 401);
    });
}

#[test]
fn there_are_no_sessions_so_any_server_answers() {
    run(async {
        let one = Server::start().await;
        let other = Server::on(one.database.clone()).await;
        let alice = one.user("alice");
        let chat = alice.direct(&one.user("bob")).await;
        let answer = post(&alice, &request("initialize", &hello()), &[]).await;
        assert_eq!(message(&answer)["result"]["protocolVersion"], REVISION);
        assert_eq!(answer.header("mcp-session-id"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(post(&alice.at(&other), &initialized, &[]).await.status, 202);
        let sent = call("send_message", &json!({ "chatId": chat, "body": "hello" }));
        let sent = message(&post(&alice.at(&other), &sent, &[]).await);
        assert_eq!(
            sent["result"]["structuredContent"]["message"]["body"],
            "hello"
        );
        // What is written here ends a wait there.
        let cursor = alice.event_cursor(&chat).await;
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 20 });
        let wait = call("wait_for_messages", &arguments);
        let there = alice.at(&other);
        let sending = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            alice.sends(&chat, "more").await;
        };
        let (waited, _) = tokio::join!(post(&there, &wait, &[]), sending);
        let events = &message(&waited)["result"]["structuredContent"]["events"];
        assert_eq!(events[0]["message"]["body"], "more");
    });
}

#[test]
fn requests_are_judged_as_others_are() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("authorization", token.as_str()),
        ];
        let send = |method: &'static str, body: Vec<u8>| {
            let alice = alice.clone();
            async move { alice.http(method, "/mcp", &headers, &body).await.status }
        };
        assert_eq!(send("POST", b"{".to_vec()).await, 400);
        assert_eq!(send("POST", b"\xff".to_vec()).await, 400);
        assert_eq!(send("POST", vec![b'['; 100_000]).await, 400);
        assert_eq!(send("POST", vec![b' '; 1024 * 1024 + 1]).await, 413);
        let many = format!("[{}1]", "1,".repeat(20_000));
        assert_eq!(send("POST", many.into_bytes()).await, 422);
        for (method, status) in [("GET", 405), ("DELETE", 405)] {
            assert_eq!(send(method, Vec::new()).await, status, "{method}");
        }
        // It goes on.
        let answer = post(&alice, &call("who_am_i", &json!({})), &[]).await;
        assert_eq!(
            message(&answer)["result"]["structuredContent"]["id"],
            "alice"
        );
    });
}

#[test]
fn pages_of_other_origins_serve_no_agents() {
    run(async {
        let setup = Setup {
            origins: vec!["https://app.example.org"],
            ..Setup::default()
        };
        let server = Server::with(database().await, setup).await;
        let alice = server.user("alice");
        let from = |origin: &'static str| {
            let alice = alice.clone();
            async move {
                let call = call("who_am_i", &json!({}));
                post(&alice, &call, &[("origin", origin)]).await
            }
        };
        // The tests call the server by this name.
        for origin in ["https://app.example.org", "http://test"] {
            assert_eq!(from(origin).await.status, 200, "{origin}");
        }
        for origin in ["https://evil.example.org", "http://127.0.0.1", "null"] {
            let answer = from(origin).await;
            assert_eq!(answer.status, 403, "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    });
}

#[test]
fn it_can_be_switched_off() {
    run(async {
        let setup = Setup {
            http: HttpOptions {
                mcp: false,
                ..HttpOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(database().await, setup).await;
        let answer = post(&server.user("alice"), &call("who_am_i", &json!({})), &[]).await;
        assert_eq!(answer.status, 404);
    });
}

#[test]
fn the_documents_of_tools_run_where_only_listed_ones_do() {
    run(async {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("documents.json");
        std::fs::write(&path, r#"{"a1":"{ __typename }"}"#).unwrap();
        let listed = TrustedDocuments::read(&path).unwrap();
        let setup = Setup {
            http: HttpOptions {
                documents: Documents::default().trusting(listed, true),
                ..HttpOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(database().await, setup).await;
        let alice = server.user("alice");
        let refused = alice.post("{ viewer { id } }", json!({})).await;
        assert_eq!(refused.status, 403);
        let answer = post(&alice, &call("who_am_i", &json!({})), &[]).await;
        assert_eq!(
            message(&answer)["result"]["structuredContent"]["id"],
            "alice"
        );
    });
}

fn failure(answer: &Answer) -> Value {
    let result = message(answer)["result"].clone();
    assert_eq!(result["isError"], true, "{result}");
    let said: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    said["errors"][0].clone()
}

#[test]
fn what_a_tool_runs_takes_from_the_rate_of_its_user() {
    run(async {
        let mut setup = Setup::default();
        setup.limits.rates = Some(RateLimits {
            user: Rate::new(1, 3),
            ..RateLimits::default()
        });
        let server = Server::with(database().await, setup).await;
        let alice = server.user("alice");
        for _ in 0..3 {
            let answer = post(&alice, &call("who_am_i", &json!({})), &[]).await;
            assert_eq!(message(&answer)["result"]["isError"], false);
        }
        let limited = failure(&post(&alice, &call("who_am_i", &json!({})), &[]).await);
        assert_eq!(limited["code"], "RATE_LIMITED");
        assert!(limited["retryAfter"].as_u64().unwrap() >= 1, "{limited}");
    });
}

#[test]
fn a_token_is_in_no_log_however_much_is_logged() {
    run(async {
        let beside = Server::start().await;
        let log = ["--log", "trace,rmcp=trace"];
        let server = Binary::serve(&beside.database, &log).await;
        let alice = beside.user("alice").on(server.address);
        let mine = call("who_am_i", &json!({}));
        let answer = post(&alice, &mine, &[]).await;
        assert_eq!(message(&answer)["result"]["isError"], false);
        // A client of the revision without a handshake, whose requests take another way.
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let discover = request("server/discover", &json!({ "_meta": meta }));
        let method = [("mcp-method", "server/discover")];
        let answer = post_as("2026-07-28", &alice, &discover, &method).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let heard = || {
            server
                .said()
                .iter()
                .any(|line| line.contains("DiscoverRequest"))
        };
        until("the SDK logs what it hears", heard).await;
        let token = alice.token.as_ref().unwrap();
        assert!(!server.said().iter().any(|line| line.contains(token)));
    });
}

#[test]
fn a_wait_ends_with_its_agent() {
    run(async {
        let mut setup = Setup::default();
        setup.sockets.connections_max = 1;
        let server = Server::with(database().await, setup).await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let cursor = alice.event_cursor(&chat).await;
        let wait = |seconds| {
            let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": seconds });
            call("wait_for_messages", &arguments)
        };
        // It hangs up.
        let (long, brief) = (wait(60), wait(0));
        let waiting = post(&alice, &long, &[]);
        let left = tokio::time::timeout(Duration::from_millis(500), waiting).await;
        assert!(left.is_err());
        // Its place is free again.
        let since = Instant::now();
        loop {
            let answer = post(&alice, &brief, &[]).await;
            if message(&answer)["result"]["isError"] == false {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_wait_counts_as_a_connection_and_ends_with_the_server() {
    run(async {
        let mut setup = Setup::default();
        setup.sockets.connections_max = 1;
        let server = Server::with(database().await, setup).await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let cursor = alice.event_cursor(&chat).await;
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 30 });
        let wait = call("wait_for_messages", &arguments);
        let waiting = post(&alice, &wait, &[]);
        let ending = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let other = failure(&post(&alice, &wait, &[]).await);
            assert_eq!(other["code"], "TOO_MANY_OPERATIONS");
            let since = Instant::now();
            drop(server);
            since
        };
        let (waited, since) = tokio::join!(waiting, ending);
        assert_eq!(failure(&waited)["code"], "SERVICE_UNAVAILABLE");
        assert!(since.elapsed() < Duration::from_secs(5));
    });
}
