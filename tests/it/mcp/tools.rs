//! What the tools do.

use serde_json::{Value, json};

use super::agent::{Agent, each_way};
use crate::support::Server;
use crate::support::files::get;

#[test]
fn tools_are_listed_with_what_they_take_and_answer() {
    each_way(async |way| {
        let server = Server::start().await;
        let mut agent = Agent::of(&server.user("alice"), way).await;
        let listed = agent.request("tools/list", json!({})).await;
        let tools = listed["tools"].as_array().unwrap();
        assert!(tools.len() > 15, "{}", tools.len());
        for tool in tools {
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
            assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
        }
    });
}

#[test]
fn an_agent_writes_and_reads_as_its_user() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        bob.ask("{ viewer { id } }", json!({})).await;
        let mut agent = Agent::of(&alice, way).await;
        let chat = agent
            .does("open_direct_chat", json!({ "userId": "bob" }))
            .await;
        let chat = chat["chat"]["id"].clone();
        let sent =
            json!({ "chatId": chat, "body": "hello \"bob\" \u{1f600}", "idempotencyKey": "k1" });
        let first = agent.does("send_message", sent.clone()).await;
        let again = agent.does("send_message", sent).await;
        assert_eq!(first["message"]["id"], again["message"]["id"]);
        let id = first["message"]["id"].clone();
        let reply = json!({ "chatId": chat, "body": "more", "replyToId": id });
        agent.does("send_message", reply).await;
        let edited = json!({ "messageId": id, "body": "hello, bob" });
        let edited = agent.does("edit_message", edited).await;
        assert_eq!(edited["message"]["body"], "hello, bob");
        let starred = agent.does("star_message", json!({ "messageId": id })).await;
        assert_eq!(starred["message"]["viewerHasStarred"], true);
        let stars = agent.does("list_starred_messages", json!({})).await;
        assert_eq!(stars["starredMessages"]["edges"][0]["node"]["id"], id);
        let message = agent.does("get_message", json!({ "messageId": id })).await;
        assert_eq!(message["replies"]["nodes"][0]["body"], "more");
        agent
            .does("delete_message", json!({ "messageId": id }))
            .await;
        let restored = agent
            .does("restore_message", json!({ "messageId": id }))
            .await;
        assert_eq!(restored["message"]["body"], "hello, bob");
        // What bob sees is what she did.
        let seen = bob
            .chat(
                chat.as_str().unwrap(),
                "messages { nodes { body sender { id } } }",
            )
            .await;
        assert_eq!(
            seen["messages"]["nodes"],
            json!([
                { "body": "hello, bob", "sender": { "id": "alice" } },
                { "body": "more", "sender": { "id": "alice" } },
            ])
        );
    });
}

#[test]
fn what_is_left_out_stays_and_null_takes_it_off() {
    each_way(async |way| {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let mut agent = Agent::of(&alice, way).await;
        let sent =
            json!({ "chatId": chat, "body": "a", "subject": "About", "metadata": { "x": [1] } });
        let sent = agent.does("send_message", sent).await;
        assert_eq!(sent["message"]["subject"], "About");
        let id = sent["message"]["id"].clone();
        let edited = json!({ "messageId": id, "body": "b" });
        let edited = agent.does("edit_message", edited).await;
        assert_eq!(edited["message"]["subject"], "About");
        let edited = json!({ "messageId": id, "body": "b", "subject": null });
        let edited = agent.does("edit_message", edited).await;
        assert_eq!(edited["message"]["subject"], Value::Null);
        let read = agent.does("get_message", json!({ "messageId": id })).await;
        assert_eq!(read["metadata"], json!({ "x": [1] }));
    });
}

/// An agent sees which files there are wherever it reads a message, and is given a URL where it asks for one: that alone is
/// written down.
#[test]
fn files_are_seen_and_downloaded() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let root = server.user("root").permitted(&["colloquy:admin"]);
        let chat = alice.direct(&bob).await;
        let start = alice.event_cursor(&chat).await;
        alice.sends(&chat, "words").await;
        let file = alice.uploads("Plan.txt", "text/plain", b"plan").await;
        let message = alice.sends_files(&chat, "", &[&file]).await;
        let mut agent = Agent::of(&bob, way).await;
        let seen =
            json!([{ "id": file, "name": "Plan.txt", "contentType": "text/plain", "size": 4 }]);
        let found = json!({ "chatId": chat, "hasAttachments": true });
        let found = agent.does("search_messages", found).await;
        let nodes = found["messages"]["nodes"].as_array().unwrap();
        assert_eq!((nodes.len(), &nodes[0]["attachments"]), (1, &seen));
        let read = agent
            .does("get_message", json!({ "messageId": message }))
            .await;
        assert_eq!(read["attachments"], seen);
        let waited = json!({ "chatId": chat, "after": start });
        let waited = agent.does("wait_for_messages", waited).await;
        assert_eq!(waited["events"][1]["message"]["attachments"], seen);
        let log = "{ attachmentDownloads { nodes { user { id } } } }";
        let written =
            async || root.ask(log, json!({})).await["attachmentDownloads"]["nodes"].clone();
        assert_eq!(written().await, json!([]));
        let given = agent
            .does("get_attachment", json!({ "attachmentId": file }))
            .await;
        let url = given["downloadUrl"].as_str().unwrap();
        assert_eq!(get(url, &[]).await.body, b"plan");
        assert_eq!(written().await, json!([{ "user": { "id": "bob" } }]));
        // What the chat belongs to is told with its values.
        let metadata = json!({ "chatId": chat, "metadata": { "a": 1 } });
        alice.does("changeChatMetadata", "", metadata).await;
        let after = waited["events"].as_array().unwrap().last().unwrap()["cursor"].clone();
        let waited = json!({ "chatId": chat, "after": after });
        let waited = agent.does("wait_for_messages", waited).await;
        assert_eq!(waited["events"][0]["metadata"], json!({ "a": 1 }));
    });
}

#[test]
fn messages_are_forwarded_once() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (from, to) = (
            alice.direct(&bob).await,
            alice.group("Plans", &[&server.user("carol")]).await,
        );
        let original = bob.sends(&from, "look").await;
        let mut agent = Agent::of(&alice, way).await;
        let forward = json!({ "messageIds": [original], "chatIds": [to], "idempotencyKey": "f1" });
        let first = agent.does("forward_messages", forward.clone()).await;
        let again = agent.does("forward_messages", forward).await;
        assert_eq!(first["messages"][0]["id"], again["messages"][0]["id"]);
        assert_eq!(first["messages"][0]["chat"]["id"], to);
        let origin = &first["messages"][0]["forwardedFrom"];
        assert_eq!(origin["message"]["id"], original);
        assert_eq!(origin["sender"]["id"], "bob");
        let seen = alice.chat(&to, "messages { nodes { body } }").await;
        assert_eq!(seen["messages"]["nodes"], json!([{ "body": "look" }]));
        // What one does not see is not there to be forwarded.
        let mut other = Agent::of(&server.user("mallory"), way).await;
        let forward = json!({ "messageIds": [original], "chatIds": [to] });
        let refused = other.call("forward_messages", forward).await;
        let codes = refused.failures();
        assert!(
            codes.iter().all(|one| one["code"] == "NOT_FOUND"),
            "{codes:?}"
        );
    });
}

#[test]
fn history_is_read_by_pages() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        for number in 0..25 {
            bob.sends(&chat, &number.to_string()).await;
        }
        let mut agent = Agent::of(&alice, way).await;
        let mut before = Value::Null;
        let mut pages = Vec::new();
        loop {
            let arguments = json!({ "chatId": chat, "last": 10, "before": before });
            let page = agent.does("read_messages", arguments).await;
            let page = page["messages"].clone();
            let nodes = page["nodes"].as_array().unwrap().iter();
            let bodies: Vec<String> = nodes
                .map(|node| node["body"].as_str().unwrap().to_owned())
                .collect();
            pages.push(bodies);
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
            before = page["pageInfo"]["startCursor"].clone();
        }
        let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
        pages.reverse();
        let all: Vec<String> = (0..25).map(|number: i32| number.to_string()).collect();
        assert_eq!(pages.concat(), all);
        let newest = agent.does("read_messages", json!({ "chatId": chat })).await;
        assert_eq!(newest["messages"]["nodes"].as_array().unwrap().len(), 20);
        let chats = agent.does("list_chats", json!({ "kind": "DIRECT" })).await;
        assert_eq!(chats["nodes"][0]["lastMessage"]["body"], "24");
        let unread = chats["nodes"][0]["unreadCount"].clone();
        assert_eq!(unread, 25);
        let last = &newest["messages"]["nodes"][19]["id"];
        let read = json!({ "chatId": chat, "messageId": last });
        let read = agent.does("mark_chat_read", read).await;
        assert_eq!(read["chat"]["unreadCount"], 0);
    });
}

#[test]
fn chats_and_messages_are_searched() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Spring plans", &[&bob]).await;
        alice.group("Something else", &[&bob]).await;
        for body in ["an Invoice", "nothing", "the invoice again"] {
            bob.sends(&chat, body).await;
        }
        alice.sends(&chat, "my invoice").await;
        let mut agent = Agent::of(&alice, way).await;
        let found = agent
            .does("list_chats", json!({ "titleContains": "spring" }))
            .await;
        let found = found["nodes"].as_array().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["id"], chat);
        let none = agent
            .does("list_chats", json!({ "unread": true, "kind": "DIRECT" }))
            .await;
        assert_eq!(none["nodes"], json!([]));
        let mut search =
            json!({ "chatId": chat, "textContains": "INVOICE", "senderIds": ["bob"], "last": 1 });
        let mut bodies = Vec::new();
        loop {
            let page = agent.does("search_messages", search.clone()).await["messages"].clone();
            for message in page["nodes"].as_array().unwrap() {
                bodies.push(message["body"].as_str().unwrap().to_owned());
            }
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
            search["before"] = page["pageInfo"]["startCursor"].clone();
        }
        assert_eq!(bodies, ["the invoice again", "an Invoice"]);
        let later = json!({ "chatId": chat, "sentSince": "2999-01-01T00:00:00.000Z" });
        let none = agent.does("search_messages", later).await;
        assert_eq!(none["messages"]["nodes"], json!([]));
        let wrong = json!({ "chatId": chat, "textContains": "" });
        let wrong = agent.call("search_messages", wrong).await;
        assert_eq!(wrong.code(), "BAD_USER_INPUT");
    });
}

#[test]
fn participants_are_managed() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let carol = server.user("carol");
        for user in [&bob, &carol] {
            user.ask("{ viewer { id } }", json!({})).await;
        }
        let mut agent = Agent::of(&alice, way).await;
        let group = json!({ "title": "Plans", "participantIds": ["bob"] });
        let group = agent.does("create_group_chat", group).await;
        let chat = group["chat"]["id"].as_str().unwrap().to_owned();
        let added = json!({ "chatId": chat, "userIds": ["carol"] });
        let added = agent.does("add_participants", added).await;
        assert_eq!(added["participants"][0]["role"], "MEMBER");
        let promoted = json!({ "chatId": chat, "userId": "carol", "role": "ADMIN" });
        let promoted = agent.does("change_participant_role", promoted).await;
        assert_eq!(promoted["participant"]["role"], "ADMIN");
        let renamed = json!({ "chatId": chat, "title": "Better plans" });
        let renamed = agent.does("rename_chat", renamed).await;
        assert_eq!(renamed["chat"]["title"], "Better plans");
        agent
            .does(
                "remove_participant",
                json!({ "chatId": chat, "userId": "bob" }),
            )
            .await;
        let people = agent
            .does("list_participants", json!({ "chatId": chat }))
            .await;
        let people = people["participants"]["nodes"].as_array().unwrap();
        let ids: Vec<&str> = people
            .iter()
            .map(|one| one["user"]["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["alice", "carol"]);
        let mut other = Agent::of(&carol, way).await;
        other.does("leave_chat", json!({ "chatId": chat })).await;
        let gone = other.call("get_chat", json!({ "chatId": chat })).await;
        assert_eq!(gone.code(), "NOT_FOUND");
    });
}

#[test]
fn what_cannot_be_done_is_a_failure_with_the_code_of_the_api() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Plans", &[&bob]).await;
        let message = alice.sends(&chat, "hers").await;
        let mut agent = Agent::of(&bob, way).await;
        for (tool, arguments, code, field) in [
            (
                "send_message",
                json!({ "chatId": chat, "body": " " }),
                "INVALID",
                json!(["body"]),
            ),
            (
                "send_message",
                json!({ "chatId": chat, "body": "x".repeat(10_001) }),
                "TOO_LONG",
                json!(["body"]),
            ),
            (
                "edit_message",
                json!({ "messageId": message, "body": "his" }),
                "FORBIDDEN",
                Value::Null,
            ),
            (
                "rename_chat",
                json!({ "chatId": chat, "title": "His" }),
                "FORBIDDEN",
                Value::Null,
            ),
            (
                "get_message",
                json!({ "messageId": chat }),
                "NOT_FOUND",
                Value::Null,
            ),
            (
                "get_chat",
                json!({ "chatId": "x" }),
                "NOT_FOUND",
                Value::Null,
            ),
            (
                "send_message",
                json!({ "chatId": chat }),
                "BAD_USER_INPUT",
                Value::Null,
            ),
            (
                "send_message",
                json!({ "chatId": chat, "body": 1 }),
                "BAD_USER_INPUT",
                Value::Null,
            ),
            (
                "get_chat",
                json!({ "chatId": chat, "nothing": 1 }),
                "BAD_USER_INPUT",
                json!(["nothing"]),
            ),
            (
                "list_chats",
                json!({ "first": 101 }),
                "BAD_USER_INPUT",
                json!(["chats"]),
            ),
            (
                "wait_for_messages",
                json!({ "chatId": chat, "timeoutSeconds": 61 }),
                "BAD_USER_INPUT",
                json!(["timeoutSeconds"]),
            ),
            (
                "wait_for_messages",
                json!({ "chatId": "x", "timeoutSeconds": 1 }),
                "NOT_FOUND",
                Value::Null,
            ),
            (
                "wait_for_messages",
                json!({ "chatId": chat, "after": "x" }),
                "BAD_USER_INPUT",
                json!(["chatEvents"]),
            ),
        ] {
            let called = agent.call(tool, arguments.clone()).await;
            assert_eq!(called.code(), code, "{tool} {arguments}");
            let failure = &called.failures()[0];
            assert_eq!(failure["field"], field, "{tool} {failure}");
            assert!(
                failure["message"].as_str().unwrap().ends_with('.'),
                "{failure}"
            );
        }
        let unknown = agent
            .ask("tools/call", json!({ "name": "format_disk" }))
            .await;
        assert_eq!(unknown["error"]["code"], -32602);
        // None of it has changed anything.
        let seen = alice.chat(&chat, "title messages { nodes { body } }").await;
        assert_eq!(
            seen,
            json!({ "title": "Plans", "messages": { "nodes": [{ "body": "hers" }] } })
        );
    });
}

#[test]
fn waiting_tells_each_event_once_and_ends_with_the_time() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut agent = Agent::of(&alice, way).await;
        // It begins now, and says where.
        let arguments = json!({ "chatId": chat, "timeoutSeconds": 0 });
        let nothing = agent.does("wait_for_messages", arguments).await;
        assert_eq!(nothing["events"], json!([]));
        assert_eq!(nothing["ended"], false);
        let mut cursor = nothing["cursor"].clone();
        // What comes between two calls is not missed, and what comes meanwhile ends the wait.
        bob.sends(&chat, "0").await;
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 0 });
        let there = agent.does("wait_for_messages", arguments).await;
        assert_eq!(there["events"].as_array().unwrap().len(), 1);
        let sending = async {
            for number in 1..8 {
                tokio::time::sleep(std::time::Duration::from_millis(150)).await;
                bob.sends(&chat, &number.to_string()).await;
            }
        };
        let waiting = async {
            let mut bodies = Vec::new();
            while bodies.len() < 8 {
                let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 20 });
                let waited = agent.does("wait_for_messages", arguments).await;
                let events = waited["events"].as_array().unwrap();
                assert!(!events.is_empty(), "it is told before the time is over");
                for event in events {
                    assert_eq!(event["type"], "MessageSent");
                    assert_eq!(event["message"]["sender"]["id"], "bob");
                    bodies.push(event["message"]["body"].as_str().unwrap().to_owned());
                }
                cursor = waited["cursor"].clone();
            }
            bodies
        };
        let (bodies, ()) = tokio::join!(waiting, sending);
        assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7"]);
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 1 });
        let nothing = agent.does("wait_for_messages", arguments).await;
        assert_eq!(nothing["events"], json!([]));
        assert_eq!(nothing["cursor"], cursor);
    });
}

#[test]
fn waiting_ends_when_the_chat_is_lost() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Plans", &[&bob]).await;
        let cursor = bob.event_cursor(&chat).await;
        let mut agent = Agent::of(&bob, way).await;
        let input = json!({ "chatId": chat, "userId": "bob" });
        alice.does("removeParticipant", "", input).await;
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 20 });
        let waited = agent.call("wait_for_messages", arguments).await;
        assert_eq!(waited.code(), "NOT_FOUND");
        // While it waits, it hears of it.
        let input = json!({ "chatId": chat, "userIds": ["bob"] });
        alice.does("addParticipants", "", input).await;
        let cursor = bob.event_cursor(&chat).await;
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 20 });
        let leaving = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let input = json!({ "chatId": chat, "userId": "bob" });
            alice.does("removeParticipant", "", input).await;
        };
        let (waited, ()) = tokio::join!(agent.does("wait_for_messages", arguments), leaving);
        assert_eq!(waited["events"][0]["type"], "ParticipantRemoved");
        assert_eq!(waited["ended"], true);
    });
}
