//! How often anybody may ask: per user, per address, per message sent, per forged token.

use std::time::{Duration, Instant};

use colloquy::app::{Limit, Limits, Rate, RateLimits};
use colloquy::http::{HttpOptions, SocketOptions};
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run, until};

const BURST: u32 = 4;

/// One a second is the slowest rate there is.
fn tight() -> Rate {
    Rate::new(1, BURST)
}

async fn with(rates: RateLimits) -> Server {
    let http = HttpOptions {
        batch_max: Some(20),
        ..HttpOptions::default()
    };
    let setup = Setup {
        http,
        limits: Limits {
            rates: Some(rates),
            ..Limits::default()
        },
        // The tests' own addresses are of this net, and some of them ask for others.
        trusted_proxies: vec!["127.0.0.0/8", "10.0.0.0/8"],
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// Asks on and on until refused, which must come with the first request behind the burst and what the time brought.
async fn until_refused(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    let began = Instant::now();
    let mut passed = 0;
    loop {
        let answer = ask().await;
        if answer.status == 429 {
            assert!(passed >= BURST, "refused after {passed}");
            return answer;
        }
        passed += 1;
        let most = u64::from(BURST) + began.elapsed().as_secs() + 1;
        assert!(u64::from(passed) <= most, "{passed} passed");
    }
}

fn assert_refusal(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.head);
    let json = answer.json();
    let extensions = &json["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED", "{json}");
    assert_eq!(json.get("data"), None);
    let seconds = extensions["retryAfter"].as_u64().unwrap();
    assert!(seconds >= 1, "{json}");
    assert_eq!(
        answer.header("retry-after"),
        Some(seconds.to_string().as_str())
    );
}

/// A request as a proxy passes it on.
async fn passed_on(user: &User, forwarded_for: &str) -> Answer {
    let body = json!({ "query": "{ viewer { id } }" }).to_string();
    let token = user.token.as_ref().map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.push(("x-forwarded-for", forwarded_for));
    headers.extend(token.iter().map(|token| ("authorization", token.as_str())));
    user.http("POST", "/graphql", &headers, body.as_bytes())
        .await
}

#[test]
fn a_user_has_a_rate_on_all_transports_together() {
    run(async {
        let rates = RateLimits {
            user: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mut socket = alice.socket().await;
        let query = async || alice.post("{ viewer { id } }", json!({})).await;
        assert_refusal(&until_refused(query).await);
        // On the socket only the operation is refused.
        let code = async |socket: &mut Socket, query: &str| {
            socket.subscribe("1", query, json!({})).await;
            let message = socket.hear().await;
            if message["type"] == "next" {
                assert_eq!(socket.hear().await["type"], "complete");
            }
            message["payload"][0]["extensions"].clone()
        };
        let mut refused = code(&mut socket, "{ viewer { id } }").await;
        // A second may have passed since.
        for _ in 0..100 {
            if !refused.is_null() {
                break;
            }
            refused = code(&mut socket, "{ viewer { id } }").await;
        }
        assert_eq!(refused["code"], "RATE_LIMITED");
        assert!(refused["retryAfter"].as_u64().unwrap() >= 1);
        let subscription = "subscription { chatUpdates { kind } }";
        let refused = code(&mut socket, subscription).await;
        assert_eq!(refused["code"], "RATE_LIMITED");
        // So is a stream over HTTP, as a whole.
        let accept = [
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
        ];
        let bearer = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [&accept[..], &[("authorization", &bearer)]].concat();
        let body = json!({ "query": subscription }).to_string();
        let stream = alice
            .http("POST", "/graphql", &headers, body.as_bytes())
            .await;
        assert_refusal(&stream);
        bob.ask("{ viewer { id } }", json!({})).await;
        let refusals = server.app.rates.refusals(Limit::User);
        assert!(refusals >= 4, "{refusals}");
        // After the time that was said, it works again on the same socket.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(code(&mut socket, "{ viewer { id } }").await.is_null());
    });
}

#[test]
fn sends_have_a_rate_of_their_own_also_within_one_request() {
    run(async {
        let rates = RateLimits {
            send: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let send = |n: usize| {
            format!(
                "m{n}: sendMessage(input: {{ chatId: \"{chat}\", body: \"{n}\" }}) {{ message {{ id }} }}"
            )
        };
        let sends: String = (0..50).map(send).collect();
        let began = Instant::now();
        let answer = alice
            .post(&format!("mutation {{ {sends} }}"), json!({}))
            .await;
        let most = BURST as usize + 1 + began.elapsed().as_secs() as usize;
        // Some were executed, so the status is not that of a refused request.
        assert_eq!(answer.status, 294);
        let json = answer.json();
        // Each refused field has its own error, and blanks none beside it.
        let errors = json["errors"].as_array().unwrap();
        let refused = |n: &usize| json["data"][format!("m{n}")].is_null();
        let paths: Vec<Value> = (0..50)
            .filter(refused)
            .map(|n| json!([format!("m{n}")]))
            .collect();
        let told: Vec<Value> = errors.iter().map(|error| error["path"].clone()).collect();
        assert_eq!(told, paths);
        for error in errors {
            assert_eq!(error["extensions"]["code"], "RATE_LIMITED");
            assert!(error["extensions"]["retryAfter"].as_u64().unwrap() >= 1);
        }
        let sent = 50 - errors.len();
        assert!((BURST as usize..=most).contains(&sent), "{sent}");
        // What was refused changed nothing, and reading and others go on.
        let unread = bob.chat(&chat, "unreadCount").await;
        assert_eq!(unread["unreadCount"], json!(sent));
        alice.ask("{ viewer { id } }", json!({})).await;
        bob.sends(&chat, "still here").await;
    });
}

#[test]
fn a_forward_takes_of_the_rate_what_it_sends_or_nothing() {
    run(async {
        let rates = RateLimits {
            send: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let source = alice.direct(&bob).await;
        let original = bob.sends(&source, "news").await;
        let mut chats = Vec::new();
        for title in ["1", "2", "3", "4", "5"] {
            chats.push(alice.group(title, &[]).await);
        }
        // So many are never let through together, which is no matter of waiting.
        let input = json!({ "messageIds": [original], "chatIds": chats });
        let refused = alice.refused("forwardMessages", input).await;
        let expected = ("TOO_MANY".to_owned(), json!(["input", "chatIds"]));
        assert_eq!(refused, expected);
        let input = json!({ "messageIds": [original], "chatIds": chats[..BURST as usize] });
        alice.does("forwardMessages", "", input.clone()).await;
        let query = "mutation ($input: ForwardMessagesInput!) { forwardMessages(input: $input) { messages { id } } }";
        let answer = alice.post(query, json!({ "input": input })).await;
        let error = &answer.json()["errors"][0]["extensions"];
        assert_eq!(error["code"], "RATE_LIMITED");
        assert!(error["retryAfter"].as_u64().unwrap() >= 1);
        for (chat, count) in chats.iter().zip([1, 1, 1, 1, 0]) {
            let messages = alice.chat(chat, "messages { nodes { id } }").await;
            let nodes = messages["messages"]["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), count);
        }
    });
}

#[test]
fn an_address_has_a_rate_whoever_asks_from_it() {
    run(async {
        let rates = RateLimits {
            address: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let nobody = server.anonymous();
        let mut n = 0;
        let ask = async || {
            n += 1;
            // Whoever they say they are.
            let user = server.user(&format!("user-{n}"));
            passed_on(&user, "198.51.100.9, 203.0.113.1").await
        };
        assert_refusal(&until_refused(ask).await);
        assert_eq!(passed_on(&nobody, "203.0.113.2").await.status, 200);
        assert_eq!(
            passed_on(&nobody, "203.0.113.3, 10.9.9.9").await.status,
            200
        );
        // An upgrade counts as well.
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("x-forwarded-for", "203.0.113.1"),
        ];
        let ask = async || nobody.http("GET", "/graphql", &upgrade, b"").await;
        let mut answer = ask().await;
        // A second may have passed since.
        for _ in 0..100 {
            if answer.status == 429 {
                break;
            }
            answer = ask().await;
        }
        assert_refusal(&answer);
        // Nothing but the API is limited.
        for _ in 0..2 * BURST {
            let alive = nobody.http(
                "GET",
                "/healthz",
                &[("x-forwarded-for", "203.0.113.1")],
                b"",
            );
            assert_eq!(alive.await.status, 200);
        }
    });
}

#[test]
fn a_peer_that_is_no_trusted_proxy_speaks_for_itself() {
    run(async {
        let limits = Limits {
            rates: Some(RateLimits {
                address: tight(),
                ..RateLimits::default()
            }),
            ..Limits::default()
        };
        let setup = Setup {
            limits,
            trusted_proxies: vec!["10.0.0.0/8"],
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let nobody = server.anonymous();
        let mut n = 0;
        let ask = async || {
            n += 1;
            passed_on(&nobody, &format!("203.0.113.{n}")).await
        };
        assert_refusal(&until_refused(ask).await);
    });
}

#[test]
fn forged_tokens_cost_their_address_and_nobody_else() {
    run(async {
        let rates = RateLimits {
            failure: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        let forger = alice.with_token(format!("{}x", &token[..token.len() - 1]));
        let (bad, good) = ("203.0.113.1", "203.0.113.2");
        // Expired tokens are nobody's guess: an office whose tokens run out at the same time is not locked out.
        let mut claims = alice.claims();
        claims.exp -= 3600;
        let late = alice.with_token(alice.sign(&claims));
        for _ in 0..3 * BURST {
            assert_eq!(passed_on(&late, bad).await.status, 401);
        }
        let refused = until_refused(async || passed_on(&forger, bad).await).await;
        assert_refusal(&refused);
        // Not even a good guess is looked at.
        let mut answer = passed_on(&alice, bad).await;
        for _ in 0..100 {
            if answer.status == 429 {
                break;
            }
            // A second has passed, and its token goes to the forger.
            passed_on(&forger, bad).await;
            answer = passed_on(&alice, bad).await;
        }
        assert_refusal(&answer);
        assert_eq!(passed_on(&server.anonymous(), bad).await.status, 200);
        assert_eq!(passed_on(&alice, good).await.status, 200);
        assert!(server.app.rates.refusals(Limit::Failure) >= 2);
    });
}

#[test]
fn forged_tokens_on_sockets_count_too() {
    run(async {
        let rates = RateLimits {
            failure: tight(),
            ..RateLimits::default()
        };
        let server = with(rates).await;
        let alice = server.user("alice");
        let forger = alice.with_token("not.a.token");
        let close = async |user: &User| {
            let mut socket = Socket::connect(user, Some("graphql-transport-ws")).await;
            let bearer = format!("Bearer {}", user.token.as_ref().unwrap());
            let payload = json!({ "authorization": bearer });
            socket
                .say(json!({ "type": "connection_init", "payload": payload }))
                .await;
            socket.next().await
        };
        for n in 0.. {
            let (code, _) = close(&forger).await.unwrap_err();
            if code == 4429 {
                assert!(n >= BURST, "{n}");
                break;
            }
            assert_eq!(code, 4403);
            assert!(n < 100);
        }
        let mut said = close(&alice).await;
        for _ in 0..100 {
            if said.is_err() {
                break;
            }
            close(&forger).await.unwrap_err();
            said = close(&alice).await;
        }
        let (code, why) = said.unwrap_err();
        assert_eq!(
            (code, why.as_str()),
            (4429, "Too many requests: try again later")
        );
    });
}

#[test]
fn without_limits_nobody_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for _ in 0..1200 {
            let answer = alice.post("{ __typename }", json!({})).await;
            assert_eq!(answer.status, 200);
        }
        assert_eq!(server.app.rates.kept(), 0);
    });
}

/// The usual limits are far from what a page does when it opens.
#[test]
fn a_usual_client_does_not_meet_the_usual_limits() {
    run(async {
        let server = with(RateLimits::default()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        for n in 0..50 {
            alice.chat(&chat, "id unreadCount").await;
            alice.sends(&chat, &n.to_string()).await;
        }
        for limit in Limit::ALL {
            assert_eq!(server.app.rates.refusals(limit), 0);
        }
        // What is full again is forgotten by itself.
        until("the buckets are forgotten", || server.app.rates.kept() == 0).await;
    });
}

#[test]
fn a_user_has_so_many_subscriptions_on_all_sockets_together() {
    run(async {
        let sockets = SocketOptions {
            subscriptions_max: 3,
            ..SocketOptions::default()
        };
        let setup = Setup {
            sockets,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (mut one, mut two) = (alice.socket().await, alice.socket().await);
        let updates = "subscription { chatUpdates { kind } }";
        one.subscribe("a", updates, json!({})).await;
        one.subscribe("b", updates, json!({})).await;
        two.subscribe("c", updates, json!({})).await;
        until("three subscriptions run", || {
            server.connections.subscriptions() == 3
        })
        .await;
        two.subscribe("d", updates, json!({})).await;
        let refused: Value = two.hear().await;
        assert_eq!(
            (&refused["type"], &refused["id"]),
            (&json!("error"), &json!("d"))
        );
        assert_eq!(
            refused["payload"][0]["extensions"]["code"],
            "TOO_MANY_OPERATIONS"
        );
        // Queries are not subscriptions, and others have their own count.
        two.subscribe("q", "{ viewer { id } }", json!({})).await;
        assert_eq!(two.hear().await["type"], "next");
        let mut other = bob.socket().await;
        other.subscribe("a", updates, json!({})).await;
        until("bob's runs too", || server.connections.subscriptions() == 4).await;
        // One that ends makes room, and so does a socket that goes.
        one.say(json!({ "type": "complete", "id": "a" })).await;
        until("it has ended", || server.connections.subscriptions() == 3).await;
        drop(one);
        until("its socket has gone", || {
            server.connections.subscriptions() == 2
        })
        .await;
        drop((two, other));
        until("all have gone", || server.connections.subscriptions() == 0).await;
    });
}

#[test]
fn each_operation_of_a_list_counts() {
    run(async {
        let address = with(RateLimits {
            address: tight(),
            ..RateLimits::default()
        })
        .await;
        let user = with(RateLimits {
            user: tight(),
            ..RateLimits::default()
        })
        .await;
        for asking in [address.anonymous(), user.user("alice")] {
            let token = asking.token.as_ref().map(|token| format!("Bearer {token}"));
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(token.iter().map(|token| ("authorization", token.as_str())));
            let list = json!(vec![json!({ "query": "{ __typename }" }); 20]).to_string();
            let began = Instant::now();
            let answer = asking
                .http("POST", "/graphql", &headers, list.as_bytes())
                .await;
            let most = BURST as usize + 1 + began.elapsed().as_secs() as usize;
            let json = answer.json();
            let answers = json.as_array().unwrap();
            let refused =
                |answer: &&Value| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED";
            let refused = answers.iter().filter(refused).count();
            assert!((BURST as usize..=most).contains(&(20 - refused)), "{json}");
        }
    });
}
