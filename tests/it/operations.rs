//! What an operation may ask for and how long it may take, lists of operations, and documents that are named.

use std::time::{Duration, Instant};

use colloquy::graphql::{self, DocumentLimits, SchemaOptions};
use colloquy::http::{Documents, HttpOptions, TrustedDocuments};
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, postgres, run};

const VIEWER: &str = "{ viewer { id } }";

async fn with(http: HttpOptions) -> Server {
    let setup = Setup {
        http,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

fn code(json: &Value) -> &Value {
    &json["errors"][0]["extensions"]["code"]
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// Whether a statement on this database waits for a lock.
const NOBODY_WAITS: &str = "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_activity WHERE \
     datname = current_database() AND wait_event_type = 'Lock') THEN RAISE 'somebody waits'; END IF; END $$";

#[test]
fn a_query_that_takes_too_long_is_ended_and_its_statement_too() {
    run(async {
        let server = with(HttpOptions {
            operation_within: Duration::from_millis(400),
            ..HttpOptions::default()
        })
        .await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let (mut sql, mut looking) = (server.sql().await, server.sql().await);
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let query = "query ($id: ID!) { chat(id: $id) { messages { nodes { body } } } }";
        let (answer, waited) = tokio::join!(alice.post(query, json!({ "id": chat })), async {
            sleep(Duration::from_millis(200)).await;
            looking.batch_execute(NOBODY_WAITS).await.is_err()
        });
        assert!(waited, "the statement has begun");
        assert_eq!(answer.status, 504);
        assert_eq!(code(&answer.json()), "OPERATION_TIMED_OUT");
        assert_eq!(answer.json().get("data"), None);
        // The database's own time for it would be 20 s.
        let since = Instant::now();
        while looking.batch_execute(NOBODY_WAITS).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(8), "it still runs");
            sleep(Duration::from_millis(50)).await;
        }
        let mut socket = Socket::open(&alice).await;
        socket.subscribe("q", query, json!({ "id": chat })).await;
        let heard = socket.hear().await;
        assert_eq!(heard["type"], "error", "{heard}");
        assert_eq!(
            heard["payload"][0]["extensions"]["code"],
            "OPERATION_TIMED_OUT"
        );
        postgres::sql(&mut sql, "COMMIT").await;
        alice.sends(&chat, "afterwards").await;
    });
}

#[test]
fn of_a_mutation_what_has_not_begun_in_time_does_not_happen() {
    run(async {
        let server = with(HttpOptions {
            operation_within: Duration::from_millis(300),
            ..HttpOptions::default()
        })
        .await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let mutation = "mutation ($id: ID!) {
            first: sendMessage(input: { chatId: $id, body: \"first\" }) { message { body } }
            second: sendMessage(input: { chatId: $id, body: \"second\" }) { message { body } } }";
        let (answer, ()) = tokio::join!(alice.post(mutation, json!({ "id": chat })), async {
            sleep(Duration::from_millis(800)).await;
            postgres::sql(&mut sql, "COMMIT").await;
        });
        let json = answer.json();
        assert_eq!(answer.status, 294, "{json}");
        assert_eq!(json["data"]["first"]["message"]["body"], "first", "{json}");
        assert_eq!(json["data"]["second"], Value::Null);
        assert_eq!(code(&json), "OPERATION_TIMED_OUT");
        let found = alice.chat(&chat, "messages { nodes { body } }").await;
        assert_eq!(found["messages"]["nodes"], json!([{ "body": "first" }]));
    });
}

#[test]
fn what_asks_for_too_much_is_refused_everywhere() {
    run(async {
        let limits = DocumentLimits {
            cost: 5,
            ..DocumentLimits::default()
        };
        let setup = Setup {
            schema: graphql::schema(SchemaOptions {
                limits,
                ..SchemaOptions::default()
            }),
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let query = "{ chats(first: 3) { nodes { id } } }";
        let answer = alice.post(query, json!({})).await;
        assert_eq!(
            (answer.status, code(&answer.json())),
            (422, &json!("QUERY_TOO_COMPLEX"))
        );
        let mut socket = Socket::open(&alice).await;
        socket.subscribe("q", query, json!({})).await;
        let heard = socket.hear().await;
        assert_eq!(
            heard["payload"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX",
            "{heard}"
        );
        let told = json!({ "query": VIEWER, "extensions": { "cost": true } });
        assert_eq!(
            alice.send(&told).await.json()["extensions"],
            json!({ "cost": 2 })
        );
        let untold = json!({ "query": VIEWER, "extensions": { "cost": false } });
        assert_eq!(alice.send(&untold).await.json().get("extensions"), None);
    });
}

#[test]
fn a_list_of_operations_is_executed_in_order_where_it_is_taken() {
    run(async {
        let server = with(HttpOptions {
            batch_max: Some(3),
            ..HttpOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let send = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"x\" }) { message { body } } }";
        let read = "query ($id: ID!) { chat(id: $id) { messages { nodes { body } } } }";
        let variables = json!({ "id": chat });
        let batch = json!([
            { "query": send, "variables": variables },
            { "query": read, "variables": variables },
            { "query": "{ nothing }" },
        ]);
        let answer = alice.send(&batch).await;
        let json = answer.json();
        assert_eq!(answer.status, 294, "{json}");
        assert_eq!(
            json[1]["data"]["chat"]["messages"]["nodes"],
            json!([{ "body": "x" }])
        );
        assert_eq!(code(&json[2]), "BAD_USER_INPUT");
        assert_eq!(json[2].get("data"), None);
        let fine = json!([{ "query": VIEWER }, { "query": VIEWER }]);
        let answer = alice.send(&fine).await;
        let viewer = json!({ "data": { "viewer": { "id": "alice" } } });
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!([viewer, viewer]))
        );
        let one = json!({ "query": VIEWER });
        for (batch, status) in [
            (json!([]), 422),
            (json!([one, one, one, one]), 422),
            (json!([3]), 422),
            (
                json!([{ "query": "subscription { chatUpdates { kind } }" }]),
                422,
            ),
            (json!([{ "query": "{" }, { "query": "{" }]), 400),
        ] {
            assert_eq!(alice.send(&batch).await.status, status, "{batch}");
        }
        // It is off where nobody has allowed it.
        let usual = Server::start().await;
        assert_eq!(usual.user("alice").send(&fine).await.status, 422);
    });
}

async fn by_hash(user: &User, text: &str) -> (u16, Value) {
    let answer = user
        .send(&json!({ "extensions": named(&hash(text)) }))
        .await;
    (answer.status, answer.json())
}

#[test]
fn a_document_is_persisted_by_who_is_known_and_found_by_everybody() {
    run(async {
        let server = Server::start().await;
        let (alice, nobody) = (server.user("alice"), server.anonymous());
        let (status, json) = by_hash(&alice, VIEWER).await;
        assert_eq!(
            (status, code(&json)),
            (404, &json!("PERSISTED_QUERY_NOT_FOUND"))
        );
        assert_eq!(json["errors"][0]["message"], "PersistedQueryNotFound");
        let whole = json!({ "query": VIEWER, "extensions": named(&hash(VIEWER)) });
        // Nobody's document runs, and is not kept.
        assert_eq!(nobody.send(&whole).await.status, 200);
        assert_eq!(by_hash(&nobody, VIEWER).await.0, 404);
        let other = json!({ "query": VIEWER, "extensions": named(&hash("other")) });
        assert_eq!(alice.send(&other).await.status, 422);
        assert_eq!(alice.send(&whole).await.status, 200);
        let (status, json) = by_hash(&alice, VIEWER).await;
        assert_eq!(
            (status, &json["data"]["viewer"]["id"]),
            (200, &json!("alice"))
        );
        assert_eq!(by_hash(&nobody, VIEWER).await.0, 200);
        let path = format!(
            "/graphql?extensions={}",
            named(&hash(VIEWER)).to_string().replace('"', "%22")
        );
        let path = path.replace('{', "%7B").replace('}', "%7D");
        assert_eq!(nobody.http("GET", &path, &[], b"").await.status, 200);
        // What does not parse is not kept.
        let wrong = json!({ "query": "{ viewer", "extensions": named(&hash("{ viewer")) });
        assert_eq!(alice.send(&wrong).await.status, 400);
        assert_eq!(by_hash(&alice, "{ viewer").await.0, 404);
        let mut socket = Socket::open(&alice).await;
        let payload = json!({ "extensions": named(&hash(VIEWER)) });
        socket
            .say(json!({ "type": "subscribe", "id": "p", "payload": payload }))
            .await;
        let heard = socket.hear().await;
        assert_eq!(heard["payload"]["data"]["viewer"]["id"], "alice", "{heard}");
    });
}

#[test]
fn only_trusted_documents_run_where_that_is_required() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("documents.json");
        let manifest = json!({ hash(VIEWER): VIEWER });
        std::fs::write(&file, manifest.to_string()).unwrap();
        let trusted = TrustedDocuments::read(&file).unwrap();
        let server = with(HttpOptions {
            documents: Documents::new(10).trusting(trusted, true),
            ..HttpOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let by_id = json!({ "documentId": hash(VIEWER) });
        assert_eq!(alice.send(&by_id).await.status, 200);
        assert_eq!(by_hash(&alice, VIEWER).await.0, 200);
        assert_eq!(alice.post(VIEWER, json!({})).await.status, 200);
        for (request, status, refusal) in [
            (
                json!({ "query": "{ __typename }" }),
                403,
                "QUERY_NOT_IN_SAFELIST",
            ),
            (
                json!({ "query": format!("{VIEWER} ") }),
                403,
                "QUERY_NOT_IN_SAFELIST",
            ),
            (
                json!({ "query": "{ __typename }", "extensions": named(&hash("{ __typename }")) }),
                403,
                "QUERY_NOT_IN_SAFELIST",
            ),
            (
                json!({ "documentId": "x" }),
                404,
                "PERSISTED_QUERY_NOT_IN_LIST",
            ),
        ] {
            let answer = alice.send(&request).await;
            let json = answer.json();
            assert_eq!(
                (answer.status, code(&json)),
                (status, &json!(refusal)),
                "{request}"
            );
        }
        let mut socket = Socket::open(&alice).await;
        socket.subscribe("q", "{ __typename }", json!({})).await;
        let heard = socket.hear().await;
        assert_eq!(
            heard["payload"][0]["extensions"]["code"], "QUERY_NOT_IN_SAFELIST",
            "{heard}"
        );
    });
}

/// GraphQL, section 6.4.4: a failed field that is nullable is null, and what stands beside it is not.
#[test]
fn what_fails_at_the_root_blanks_nothing_beside_it() {
    run(async {
        let server = Server::start().await;
        let nobody = server.anonymous();
        let answer = nobody
            .post("{ __typename user(id: \"x\") { id } }", json!({}))
            .await;
        let json = answer.json();
        assert_eq!(answer.status, 294);
        assert_eq!(json["data"], json!({ "__typename": "Query", "user": null }));
        assert_eq!(json["errors"][0]["path"], json!(["user"]));
        assert_eq!(code(&json), "UNAUTHENTICATED");
    });
}

/// The engine's validation passes over `__typename`: see decision 0021.
#[test]
fn a_typename_may_have_conditions_and_they_are_judged() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let conditional = "query ($if: Boolean!) { __typename @include(if: $if) viewer { t: __typename @skip(if: $if) id } }";
        for (given, data) in [
            (
                true,
                json!({ "__typename": "Query", "viewer": { "id": alice.id } }),
            ),
            (false, json!({ "viewer": { "t": "User", "id": alice.id } })),
        ] {
            let answer = alice.post(conditional, json!({ "if": given })).await;
            assert_eq!(answer.json(), json!({ "data": data }), "{given}");
        }
        for wrong in [
            "{ __typename @nothing }",
            "{ __typename @skip }",
            "{ __typename @include(if: 3) }",
            "{ __typename @deprecated }",
            "{ viewer { __typename @include(if: \"yes\") } }",
            "{ viewer { ...Of } } fragment Of on User { __typename @skip(unless: true) }",
            "query ($if: Int!) { __typename @include(if: $if) }",
            "{ __typename @include(if: $if) }",
        ] {
            let answer = alice.post(wrong, json!({ "if": 1 })).await;
            assert_eq!(answer.status, 422, "{wrong}: {}", answer.json());
            assert_eq!(code(&answer.json()), "BAD_USER_INPUT", "{wrong}");
        }
    });
}

/// A connection that is given back amid a statement would have the next request wait for that.
#[test]
fn what_is_given_up_keeps_no_connection_and_lets_nobody_wait() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut sql = server.sql().await;
        let most = server.app.pool.most();
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let query = "query ($id: ID!) { chat(id: $id) { messages { nodes { body } } } }";
        for _ in 0..most * 2 {
            let asking = alice.post(query, json!({ "id": chat }));
            let gave_up = tokio::time::timeout(Duration::from_millis(150), asking).await;
            assert!(gave_up.is_err(), "the table is locked");
        }
        let began = Instant::now();
        // It reads other tables, on any of the connections.
        for _ in 0..most * 2 {
            assert_eq!(alice.chat(&chat, "title").await["title"], "Team");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        // Postgres looks every half second whether somebody still waits.
        let begun = Instant::now();
        let mut looking = server.sql().await;
        while looking.batch_execute(NOBODY_WAITS).await.is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "statements wait on"
            );
            sleep(Duration::from_millis(100)).await;
        }
    });
}

/// A message may have 40 000 bytes, and cost is counted in fields.
#[test]
fn the_texts_of_an_answer_have_a_bound() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let body = "\u{1F9F6}".repeat(10_000);
        let sent = alice
            .ask(
                "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }",
                json!({ "input": { "chatId": chat, "body": body } }),
            )
            .await;
        let id = &sent["sendMessage"]["message"]["id"];
        let asks = async |times: usize| {
            let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Message { body b: body c: body d: body e: body } } }";
            let ids: Vec<&Value> = std::iter::repeat_n(id, times).collect();
            alice.post(query, json!({ "ids": ids })).await
        };
        assert_eq!(asks(80).await.status, 200, "16 000 000 bytes");
        let answer = asks(100).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, code(&json)),
            (294, &json!("QUERY_TOO_COMPLEX"))
        );
        assert!(
            answer.body.len() < 18 * 1024 * 1024,
            "{}",
            answer.body.len()
        );
    });
}
