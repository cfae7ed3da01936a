//! Administrators of a tenant: what they see and do without being in a chat, and that it is written down.

use serde_json::{Value, json};

use crate::authorization::Private;
use crate::support::rows::lines;
use crate::support::{Server, User, postgres, run};

const ADMIN: &str = "colloquy:admin";

fn admin(server: &Server) -> User {
    server.user("root").permitted(&[ADMIN])
}

/// The trail: who did what to what, in order.
async fn trail(server: &Server) -> Vec<String> {
    let mut conn = server.sql().await;
    lines(
        &mut conn,
        "SELECT concat_ws(' ', tenant_id, actor_id, act, user_id, \
            (SELECT body FROM messages AS m WHERE m.id = message_id), nullif(data::text, '{}'), \
            CASE WHEN chat_id IS NULL THEN 'no chat' END) AS line
         FROM audit_entries AS a ORDER BY id",
    )
    .await
}

async fn acts(server: &Server) -> Vec<String> {
    let all = trail(server).await.into_iter();
    all.map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn an_administrator_reads_a_chat_that_they_are_not_in() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        let root = admin(&server);
        let query = private.fill(
            "{ chat(id: \"CHAT\") { title unreadCount viewerParticipant { id } lastMessage { id }
               messages { nodes { body replyTo { id } } } participants { nodes { user { id } lastReadMessage { body } } } }
             message: node(id: \"MESSAGE\") { ... on Message { body } }
             participant: node(id: \"PARTICIPANT\") { ... on Participant { role lastReadMessage { id } } }
             gone: nodes(ids: [\"DELETED\"]) { ... on Chat { deletedAt } } }",
        );
        let seen = root.ask(&query, json!({})).await;
        let chat = &seen["chat"];
        assert_eq!(chat["title"], "Private");
        assert_eq!(chat["viewerParticipant"], json!(null));
        assert_eq!(chat["unreadCount"], 0);
        assert_ne!(chat["lastMessage"], json!(null));
        assert_eq!(chat["messages"]["nodes"][0]["body"], "secret");
        let people = chat["participants"]["nodes"].as_array().unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(seen["message"]["body"], "secret");
        assert_eq!(seen["participant"]["role"], "OWNER");
        assert_ne!(seen["participant"]["lastReadMessage"], json!(null));
        assert!(seen["gone"][0]["deletedAt"].is_string());
        // Once for each chat of the operation, and nobody else's reading.
        private
            .alice
            .chat(&private.fill("\"CHAT\"").replace('"', ""), "title")
            .await;
        assert_eq!(trail(&server).await, ["default root 0"; 2]);
        root.ask(&query, json!({})).await;
        assert_eq!(trail(&server).await.len(), 4);
        // What is theirs stays theirs.
        assert_eq!(root.lists(json!({ "includeDeleted": true })).await, [""; 0]);
    });
}

#[test]
fn an_administrator_of_another_tenant_sees_nothing() {
    run(async {
        let server = Server::start().await;
        let private = Private::new(&server).await;
        let before = private.state(&server).await;
        let mut claims = server.user("root").claims();
        claims.tenant = Some("elsewhere".to_owned());
        claims.permissions = vec![ADMIN.to_owned()];
        let root = server.user("root");
        let root = root.with_token(root.sign(&claims));
        for id in ["CHAT", "MESSAGE", "GONE", "PARTICIPANT", "DELETED"] {
            let query = private.fill(&format!("{{ node(id: \"{id}\") {{ id }} }}"));
            assert_eq!(
                root.ask(&query, json!({})).await["node"],
                json!(null),
                "{id}"
            );
        }
        let id = |name: &str| private.fill(&format!("\"{name}\"")).replace('"', "");
        for (mutation, input) in [
            ("deleteMessage", json!({ "messageId": id("MESSAGE") })),
            ("restoreMessage", json!({ "messageId": id("GONE") })),
            ("deleteChat", json!({ "chatId": id("CHAT") })),
            ("restoreChat", json!({ "chatId": id("DELETED") })),
            (
                "removeParticipant",
                json!({ "chatId": id("CHAT"), "userId": "bob" }),
            ),
            (
                "changeParticipantRole",
                json!({ "chatId": id("CHAT"), "userId": "bob", "role": "ADMIN" }),
            ),
            ("sendMessage", json!({ "chatId": id("CHAT"), "body": "hi" })),
        ] {
            assert_eq!(
                root.refused(mutation, input).await.0,
                "NOT_FOUND",
                "{mutation}"
            );
        }
        let mut socket = root.socket().await;
        let query = private.fill("subscription { chatEvents(chatId: \"CHAT\") { cursor } }");
        socket.subscribe("s", &query, json!({})).await;
        assert_eq!(
            crate::authorization::stream_error(&mut socket).await,
            "NOT_FOUND"
        );
        assert_eq!(private.state(&server).await, before);
        assert_eq!(trail(&server).await, [""; 0]);
    });
}

#[test]
fn an_administrator_moderates_and_it_is_written_down() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, root) = (server.user("alice"), server.user("bob"), admin(&server));
        let chat = alice.group("Tea", &[&bob]).await;
        let mut events = bob.follows(&chat, None).await;
        let message = alice.sends(&chat, "rude").await;
        root.deletes(&message).await;
        assert_eq!(bob.message(&message, "body").await["body"], json!(null));
        root.restores(&message).await;
        root.makes(&chat, &bob, "ADMIN").await;
        root.removes(&chat, &bob).await;
        root.deletes_chat(&chat).await;
        assert_eq!(
            acts(&server).await,
            [
                "1 rude",
                "2 rude",
                "6 bob {\"role\": \"admin\"}",
                "5 bob",
                "3",
            ]
        );
        root.restores_chat(&chat).await;
        assert_eq!(alice.people(&chat).await, ["alice OWNER"]);
        // They are told like anybody's, and name who did it.
        let log = events.take(5).await;
        let log: Vec<String> = log
            .iter()
            .map(|event| event["__typename"].to_string())
            .collect();
        assert!(
            log.contains(&"\"ParticipantRemoved\"".to_owned()),
            "{log:?}"
        );
        // What was done already is asked for again: it was looked at nevertheless.
        root.restores_chat(&chat).await;
        assert_eq!(acts(&server).await.len(), 7);
    });
}

#[test]
fn an_administrator_does_not_take_part() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, root) = (server.user("alice"), server.user("bob"), admin(&server));
        let group = alice.group("Tea", &[&bob]).await;
        let direct = alice.direct(&bob).await;
        for chat in [&group, &direct] {
            let message = alice.sends(chat, "hello").await;
            for (mutation, input) in [
                ("sendMessage", json!({ "chatId": chat, "body": "hi" })),
                ("editMessage", json!({ "messageId": message, "body": "hi" })),
                (
                    "markChatRead",
                    json!({ "chatId": chat, "messageId": message }),
                ),
                ("setTyping", json!({ "chatId": chat, "typing": true })),
                ("renameChat", json!({ "chatId": chat, "title": "T" })),
                (
                    "changeChatHistory",
                    json!({ "chatId": chat, "history": "SINCE_JOINING" }),
                ),
                (
                    "addParticipants",
                    json!({ "chatId": chat, "userIds": ["eve"] }),
                ),
                ("leaveChat", json!({ "chatId": chat })),
            ] {
                assert_eq!(
                    root.refused(mutation, input).await.0,
                    "FORBIDDEN",
                    "{mutation}"
                );
            }
        }
        let removes = json!({ "chatId": direct, "userId": "bob" });
        assert_eq!(
            root.refused("removeParticipant", removes).await.0,
            "CONFLICT"
        );
        let steps_down = json!({ "chatId": group, "userId": "alice", "role": "MEMBER" });
        assert_eq!(
            root.refused("changeParticipantRole", steps_down).await.0,
            "CONFLICT"
        );
        let removes = json!({ "chatId": group, "userId": "alice" });
        assert_eq!(
            root.refused("removeParticipant", removes).await.0,
            "CONFLICT"
        );
        // What was refused was rolled back, with what was written down of it.
        assert_eq!(acts(&server).await, [""; 0]);
        let mut socket = root.socket().await;
        let query = format!("subscription {{ chatSignals(chatId: \"{group}\") {{ __typename }} }}");
        socket.subscribe("s", &query, json!({})).await;
        assert_eq!(
            crate::authorization::stream_error(&mut socket).await,
            "NOT_FOUND"
        );
    });
}

#[test]
fn what_a_role_allows_is_not_written_down() {
    run(async {
        let server = Server::start().await;
        let (alice, root) = (server.user("alice"), admin(&server));
        let own = root.group("Mine", &[&alice]).await;
        let theirs = alice.group("Hers", &[&root]).await;
        let message = root.sends(&own, "a").await;
        root.deletes(&message).await;
        root.renames(&own, "Ours").await;
        root.chat(&theirs, "title messages { nodes { body } }")
            .await;
        assert_eq!(trail(&server).await, [""; 0]);
        // A member's role does not let them do this.
        let rude = alice.sends(&theirs, "rude").await;
        root.deletes(&rude).await;
        assert_eq!(acts(&server).await, ["1 rude"]);
        root.sends(&theirs, "so there").await;
        // Deleted, it is gone for a member, and not for an administrator.
        alice.deletes_chat(&theirs).await;
        assert_eq!(
            root.lists(json!({ "includeDeleted": true })).await,
            [own.clone()]
        );
        let seen = root
            .chat(&theirs, "deletedAt viewerParticipant { role }")
            .await;
        assert_eq!(seen["viewerParticipant"]["role"], "MEMBER");
        assert_eq!(acts(&server).await, ["1 rude", "0"]);
    });
}

#[test]
fn an_administrator_follows_a_chat_and_it_is_written_down_once() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, root) = (server.user("alice"), server.user("bob"), admin(&server));
        let chat = alice.group("Tea", &[&bob]).await;
        let input = json!({ "chatId": chat, "history": "SINCE_JOINING" });
        alice.does("changeChatHistory", "", input).await;
        alice.sends(&chat, "before").await;
        let start = root.start_cursor(&chat).await;
        assert_eq!(acts(&server).await, ["0"]);
        let mut socket = root.socket().await;
        let query = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
            { __typename chat { title messages { nodes { body } } } } }";
        socket
            .subscribe("s", query, json!({ "chat": chat, "after": start }))
            .await;
        let mut heard: Vec<Value> = Vec::new();
        for _ in 0..4 {
            heard.push(socket.hear().await);
        }
        alice.removes(&chat, &bob).await;
        alice.deletes_chat(&chat).await;
        for _ in 0..2 {
            heard.push(socket.hear().await);
        }
        for said in &heard {
            let body =
                &said["payload"]["data"]["chatEvents"]["chat"]["messages"]["nodes"][0]["body"];
            assert_eq!(body, "before", "{said}");
        }
        assert_eq!(acts(&server).await, ["0", "0"]);
    });
}

#[test]
fn the_trail_names_the_request_and_the_token_and_is_kept() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let root = server.user("root");
        let mut claims = root.claims();
        claims.permissions = vec![ADMIN.to_owned()];
        claims.jti = Some("j".repeat(255));
        let token = root.sign(&claims);
        let authorization = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &authorization),
            ("x-request-id", "request-7"),
        ];
        let body = json!({ "query": format!("{{ chat(id: \"{chat}\") {{ id }} }}") }).to_string();
        let answer = root
            .http("POST", "/graphql", &headers, body.as_bytes())
            .await;
        assert_eq!(answer.json()["data"]["chat"]["id"], json!(chat));
        let mut socket = root.with_token(token).socket().await;
        let query = format!("{{ chat(id: \"{chat}\") {{ id }} }}");
        socket.subscribe("s", &query, json!({})).await;
        socket.hear().await;
        let mut conn = server.sql().await;
        let names = "SELECT concat_ws(' ', request_id, left(token_id, 1), length(token_id)) AS line
            FROM audit_entries ORDER BY id LIMIT 1";
        assert_eq!(lines(&mut conn, names).await, ["request-7 j 255"]);
        let named = "SELECT count(request_id)::text AS line FROM audit_entries";
        assert_eq!(lines(&mut conn, named).await, ["2"]);
        for sql in [
            "WITH x AS (DELETE FROM audit_entries RETURNING 1) SELECT 'x' AS line FROM x",
            "WITH x AS (UPDATE audit_entries SET actor_id = 'bob' RETURNING 1) SELECT 'x' AS line FROM x",
        ] {
            let refused = crate::support::rows::try_lines(&mut conn, sql).await;
            assert!(refused.unwrap_err().contains("neither changed nor deleted"));
        }
    });
}

#[test]
fn the_permission_has_the_name_that_is_set() {
    run(async {
        let database = postgres::database().await;
        let setup = crate::support::server::Setup {
            permissions: colloquy::app::Permissions {
                administrator: "tenant.admin".to_owned(),
                ..Default::default()
            },
            ..Default::default()
        };
        let server = Server::with(database, setup).await;
        let chat = server.user("alice").group("Tea", &[]).await;
        let usual = admin(&server);
        assert_eq!(usual.chat(&chat, "id").await, json!(null));
        let named = server.user("root").permitted(&["tenant.admin"]);
        assert_eq!(named.chat(&chat, "id").await["id"], json!(chat));
    });
}
