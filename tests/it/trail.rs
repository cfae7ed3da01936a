//! The audit trail, as administrators read it.

use serde_json::{Value, json};

use crate::paging::{List, is_paged_like};
use crate::support::rows::lines;
use crate::support::{Server, User, run};

const ADMIN: &str = "colloquy:admin";

impl User {
    /// The trail, newest first: who did what to whom or what.
    async fn trail(&self, filter: Value) -> Vec<String> {
        let query = "query ($filter: AuditFilterInput) { auditRecords(first: 100, filter: $filter) { nodes { \
            action asAdministrator actor { id } user { id } text } } }";
        let data = self.ask(query, json!({ "filter": filter })).await;
        let nodes = data["auditRecords"]["nodes"].as_array().unwrap().clone();
        let line = |node: Value| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let parts = [
                text(&node["actor"]["id"]),
                text(&node["action"]),
                text(&node["user"]["id"]),
                text(&node["text"]),
                (node["asAdministrator"] == true).then(|| "!".to_owned()),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        nodes.into_iter().map(line).collect()
    }
}

#[test]
fn everything_that_was_done_is_there_and_what_it_said() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let root = server.user("root").permitted(&[ADMIN]);
        let chat = alice.group("Team", &[&bob]).await;
        let message = alice.sends(&chat, "one").await;
        alice.edits(&message, "two").await;
        bob.sends(&chat, "bad").await;
        alice.deletes(&message).await;
        let input = json!({ "chatId": chat, "userId": "bob", "role": "ADMIN" });
        alice.does("changeParticipantRole", "", input).await;
        root.chat(&chat, "title").await;
        root.does("restoreMessage", "", json!({ "messageId": message }))
            .await;
        let expected = [
            "root MESSAGE_RESTORED",
            "root MESSAGE_RESTORED !",
            "root CHAT_READ !",
            "alice PARTICIPANT_ROLE_CHANGED bob",
            "alice MESSAGE_DELETED two",
            "alice MESSAGE_EDITED one",
            "alice PARTICIPANT_ADDED bob",
            "alice PARTICIPANT_ADDED alice",
        ];
        let mut seen = root.trail(json!({})).await;
        assert_eq!(seen.remove(0), "root AUDIT_TRAIL_READ !");
        // Two were done in the same moment, perhaps.
        let sorted = |mut all: Vec<String>| {
            all.sort();
            all
        };
        assert_eq!(sorted(seen), sorted(expected.map(str::to_owned).to_vec()));
        for (filter, count) in [
            (json!({ "actorId": "alice" }), 5),
            (json!({ "userId": "bob" }), 2),
            (json!({ "chatId": chat, "asAdministrator": false }), 6),
            (
                json!({ "chatId": chat, "asAdministrator": true, "actorId": "root" }),
                2,
            ),
            (json!({ "actorId": "nobody" }), 0),
            (json!({ "chatId": "nonsense" }), 0),
            (json!({ "actorId": "" }), 0),
            (json!({ "since": "9000-01-01T00:00:00Z" }), 0),
            (json!({ "before": "2020-01-01T00:00:00Z" }), 0),
            (
                json!({ "actorId": "alice", "since": "2020-01-01T00:00:00Z", "before": "9999-01-01T00:00:00Z" }),
                5,
            ),
        ] {
            let found = root.trail(filter.clone()).await;
            assert_eq!(found.len(), count, "{filter}: {found:#?}");
        }
    });
}

#[test]
fn each_entry_names_the_token_and_the_request() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut claims = alice.claims();
        claims.jti = Some("token 1".to_owned());
        let alice = alice.with_token(alice.sign(&claims));
        let body = json!({ "query": "mutation { createGroupChat(input: { title: \"Team\" }) { chat { id } } }" });
        let token = format!("Bearer {}", alice.token.clone().unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", token.as_str()),
            ("x-request-id", "request 1"),
        ];
        let answer = alice
            .http("POST", "/graphql", &headers, body.to_string().as_bytes())
            .await;
        assert_eq!(answer.status, 200);
        let root = server.user("root").permitted(&[ADMIN]);
        let query = "{ auditRecords(filter: { actorId: \"alice\" }) { nodes { action tokenId requestId } } }";
        let seen = root.ask(query, json!({})).await;
        let expected = json!([{ "action": "PARTICIPANT_ADDED", "tokenId": "token 1", "requestId": "request 1" }]);
        assert_eq!(seen["auditRecords"]["nodes"], expected);
    });
}

#[test]
fn the_trail_is_paged_and_of_one_tenant() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let root = server.user("root").permitted(&[ADMIN]);
        for n in 0..6 {
            let chat = alice.group(&format!("{n}"), &[&bob]).await;
            root.chat(&chat, "title").await;
        }
        let stranger = server.user_of("elsewhere", "alice");
        stranger.group("theirs", &[]).await;
        let mut claims = server.user("root").claims();
        claims.tenant = Some("elsewhere".to_owned());
        claims.permissions = vec![ADMIN.to_owned()];
        let other = root.with_token(root.sign(&claims));
        let seen = other.trail(json!({})).await;
        assert_eq!(
            seen,
            ["root AUDIT_TRAIL_READ !", "alice PARTICIPANT_ADDED alice"]
        );
        // Reading adds to the trail, so only what was done before is paged through.
        let all = root
            .trail(json!({ "before": "2999-01-01T00:00:00Z" }))
            .await;
        assert_eq!(all.len(), 6 * 3 + 1);
        let mut conn = server.sql().await;
        let before = "SELECT to_char((max(occurred_at) + interval '1 ms') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS line FROM audit_entries WHERE act = 0";
        let before = lines(&mut conn, before).await.remove(0);
        let list = List::trail(&root, json!({ "before": before }));
        let whole = list.page(json!({ "first": 100 })).await;
        assert_eq!(whole.ids.len(), 18);
        is_paged_like(&list, &whole.ids, 60).await;
        let cursor = &whole.cursors[0];
        let query = "query ($after: String) { auditRecords(after: $after) { nodes { action } } }";
        let codes = other.codes(query, json!({ "after": cursor })).await;
        assert_eq!(codes, ["BAD_USER_INPUT"]);
    });
}

/// What a message said when it was deleted is told, also after it was restored, changed and deleted again.
#[test]
fn a_deletion_tells_what_was_said_at_that_time() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let root = server.user("root").permitted(&[ADMIN]);
        let chat = alice.group("Team", &[]).await;
        let message = alice.sends(&chat, "one").await;
        let restore = json!({ "messageId": message });
        root.chat(&chat, "title").await;
        for _ in 0..2 {
            root.deletes(&message).await;
            root.does("restoreMessage", "", restore.clone()).await;
        }
        alice.edits(&message, "two").await;
        alice.deletes(&message).await;
        alice.does("restoreMessage", "", restore).await;
        alice.edits(&message, "three").await;
        alice.deletes(&message).await;
        let filter = json!({ "action": "MESSAGE_DELETED", "asAdministrator": false });
        let expected = [
            "alice MESSAGE_DELETED three",
            "alice MESSAGE_DELETED two",
            "root MESSAGE_DELETED one",
            "root MESSAGE_DELETED one",
        ];
        assert_eq!(root.trail(filter).await, expected);
        let filter = json!({ "action": "MESSAGE_DELETED", "asAdministrator": true });
        let acts = ["root MESSAGE_DELETED one !"; 2];
        assert_eq!(root.trail(filter).await, acts);
    });
}

#[test]
fn an_entry_tells_what_stood_before_and_what_stands_after() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let root = server.user("root").permitted(&[ADMIN]);
        let chat = alice.group("Team", &[&bob]).await;
        let input =
            json!({ "chatId": chat, "body": "one", "subject": "S", "metadata": { "a": 1 } });
        let sent = alice.does("sendMessage", "message { id }", input).await;
        let message = sent["message"]["id"].as_str().unwrap();
        let edit =
            json!({ "messageId": message, "body": "two", "subject": null, "metadata": null });
        alice.does("editMessage", "", edit).await;
        alice.renames(&chat, "Crew").await;
        alice.makes(&chat, &bob, "ADMIN").await;
        let history = json!({ "chatId": chat, "history": "SINCE_JOINING" });
        alice.does("changeChatHistory", "", history).await;
        let metadata = json!({ "chatId": chat, "metadata": { "b": 2 } });
        alice.does("changeChatMetadata", "", metadata).await;
        let reference = json!({ "channelType": "task", "channelId": "7" });
        let input = json!({ "chatId": chat, "externalReference": reference });
        alice.does("changeChatExternalReference", "", input).await;
        let query = "query ($filter: AuditFilterInput) { auditRecords(filter: $filter) { nodes { text \
            before { subject metadata title role history externalReference { channelType channelId } } \
            after { subject metadata title role history externalReference { channelType channelId } } } } }";
        let values = |given: Value| {
            let mut all = json!({ "subject": null, "metadata": null, "title": null, "role": null,
                "history": null, "externalReference": null });
            for (name, value) in given.as_object().unwrap() {
                all[name] = value.clone();
            }
            all
        };
        for (action, before, after) in [
            (
                "MESSAGE_EDITED",
                values(json!({ "subject": "S", "metadata": { "a": 1 } })),
                Value::Null,
            ),
            (
                "CHAT_RENAMED",
                values(json!({ "title": "Team" })),
                values(json!({ "title": "Crew" })),
            ),
            (
                "PARTICIPANT_ROLE_CHANGED",
                values(json!({ "role": "MEMBER" })),
                values(json!({ "role": "ADMIN" })),
            ),
            (
                "CHAT_HISTORY_CHANGED",
                values(json!({ "history": "WHOLE" })),
                values(json!({ "history": "SINCE_JOINING" })),
            ),
            (
                "CHAT_METADATA_CHANGED",
                Value::Null,
                values(json!({ "metadata": { "b": 2 } })),
            ),
            (
                "CHAT_EXTERNAL_REFERENCE_CHANGED",
                Value::Null,
                values(json!({ "externalReference": reference })),
            ),
        ] {
            let filter = json!({ "filter": { "action": action } });
            let seen = root.ask(query, filter).await;
            let nodes = seen["auditRecords"]["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), 1, "{action}");
            assert_eq!(
                (&nodes[0]["before"], &nodes[0]["after"]),
                (&before, &after),
                "{action}"
            );
        }
    });
}

/// What administrators do and read by that right beside chats is told of, too.
#[test]
fn reading_dead_letters_and_downloads_is_told_of_with_the_token() {
    run(async {
        let server = Server::start().await;
        let root = server.user("root").permitted(&[ADMIN]);
        let mut claims = root.claims();
        claims.jti = Some("night shift".to_owned());
        claims.permissions = vec![ADMIN.to_owned()];
        let other = root.with_token(root.sign(&claims));
        other
            .ask("{ deadLetters { nodes { id } } }", json!({}))
            .await;
        other
            .ask(
                "{ attachmentDownloads { nodes { attachmentId } } }",
                json!({}),
            )
            .await;
        // Nothing was there to be replayed.
        other
            .does("replayDeadLetters", "", json!({ "ids": ["1"] }))
            .await;
        let mut conn = server.sql().await;
        let dead = "INSERT INTO sinks (tenant_id, name, kind, events, notifications) VALUES ('default', 'crm', 0, true, false);
            INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, attempts, failure, created_at)
            VALUES ('default', 'crm', gen_random_uuid(), '', 1, 1, 0, now())";
        crate::support::postgres::sql(&mut conn, dead).await;
        let letter = "{ deadLetters { nodes { id } } }";
        let letter = root.ask(letter, json!({})).await["deadLetters"]["nodes"][0]["id"].clone();
        other
            .does("replayDeadLetters", "", json!({ "ids": [letter] }))
            .await;
        let filter = json!({ "tokenId": "night shift" });
        let expected = [
            "root DEAD_LETTERS_REPLAYED !",
            "root ATTACHMENT_DOWNLOADS_READ !",
            "root DEAD_LETTERS_READ !",
        ];
        assert_eq!(root.trail(filter).await, expected);
        for filter in [
            json!({ "tokenId": "day shift" }),
            json!({ "tokenId": "\0" }),
            json!({ "tokenId": "night shift", "action": "TOKENS_REVOKED" }),
        ] {
            assert_eq!(root.trail(filter).await, [""; 0]);
        }
    });
}
