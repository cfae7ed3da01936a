//! Filters of a chat's messages and of the inbox.

use std::time::Duration;

use colloquy::model::ChatId;
use serde_json::{Value, json};

use crate::paging::{List, is_paged_like};
use crate::support::{Server, User, postgres, run};

/// A message of the model.
#[derive(Debug, Clone)]
struct Modelled {
    id: String,
    at: String,
    sender: &'static str,
    text: String,
    starred: bool,
    unread: bool,
    reply: bool,
    deleted: bool,
}

async fn sends(user: &User, input: Value) -> (String, String) {
    let payload = user
        .does("sendMessage", "message { id createdAt }", input)
        .await;
    let text = |field: &str| payload["message"][field].as_str().unwrap().to_owned();
    (text("id"), text("createdAt"))
}

/// A chat of some history, as alice sees it, and its model. All answers are to the first message.
async fn conversation(server: &Server) -> (User, String, Vec<Modelled>) {
    let people = ["alice", "bob", "carol"].map(|id| server.user(id));
    let chat = people[0].group("chat", &[&people[1], &people[2]]).await;
    let mut all: Vec<Modelled> = Vec::new();
    for n in 0..18 {
        let user = &people[n % 3];
        let text = format!("{} number {n} ä", ["Red", "green", "BLUE", "ÄRGER"][n % 4]);
        let mut input = json!({ "chatId": chat, "body": text });
        if n % 5 == 4 {
            input["replyToId"] = json!(all[0].id);
        }
        if n % 6 == 5 {
            input["subject"] = json!("Zebra");
        }
        let (id, at) = sends(user, input).await;
        let (starred, deleted) = (n % 4 == 1, n % 7 == 6);
        if starred {
            people[0]
                .does("starMessage", "", json!({ "messageId": id }))
                .await;
        }
        if deleted {
            user.deletes(&id).await;
        }
        let subject = if n % 6 == 5 { "Zebra\n" } else { "" };
        all.push(Modelled {
            id,
            at,
            sender: ["alice", "bob", "carol"][n % 3],
            text: format!("{subject}{text}"),
            starred,
            unread: n > 15 && n % 3 != 0 && !deleted,
            reply: n % 5 == 4,
            deleted,
        });
        // The times that are asked for lie between messages.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    (people[0].clone(), chat, all)
}

#[test]
fn a_chats_messages_are_filtered_and_paged() {
    run(async {
        let server = Server::start().await;
        let (alice, chat, all) = conversation(&server).await;
        // Alice's last message is the sixteenth: what stands behind it is unread.
        type Keeps = fn(&Modelled) -> bool;
        let cases: [(Value, Keeps); 17] = [
            (json!({}), |_| true),
            (json!({ "senderIds": ["bob"] }), |m| m.sender == "bob"),
            (
                json!({ "senderIds": ["bob", "carol", "nobody", ""] }),
                |m| m.sender != "alice",
            ),
            (json!({ "senderIds": [] }), |_| false),
            (json!({ "starred": true }), |m| m.starred),
            (json!({ "starred": false }), |m| !m.starred),
            (json!({ "unread": true }), |m| m.unread),
            (json!({ "unread": false }), |m| !m.unread),
            (json!({ "replyToId": all[0].id }), |m| m.reply),
            (json!({ "replyToId": all[1].id }), |_| false),
            (json!({ "replyToId": "nonsense" }), |_| false),
            (json!({ "textContains": "green" }), |m| {
                !m.deleted && m.text.contains("green")
            }),
            (json!({ "textContains": "blue NUMBER" }), |m| {
                !m.deleted && m.text.contains("BLUE")
            }),
            (json!({ "textContains": "ärg" }), |m| {
                !m.deleted && m.text.contains("ÄRGER")
            }),
            (json!({ "textContains": "zebra" }), |m| {
                !m.deleted && m.text.contains("Zebra")
            }),
            (json!({ "textContains": "100%_\\" }), |_| false),
            (
                json!({ "starred": true, "replyToId": all[0].id, "senderIds": ["alice"] }),
                |m| m.starred && m.reply && m.sender == "alice",
            ),
        ];
        for (filter, keeps) in cases {
            let kept = all.iter().filter(|message| keeps(message));
            let ids: Vec<String> = kept.map(|message| message.id.clone()).collect();
            is_paged_like(&List::filtered(&alice, &chat, filter), &ids, 12).await;
        }
        for (since, before) in [(3, 9), (0, 17), (7, 7), (9, 3)] {
            let (from, to) = (&all[since].at, &all[before].at);
            let filter = json!({ "sentSince": from, "sentBefore": to });
            let kept = all.iter().filter(|m| m.at >= *from && m.at < *to);
            let ids: Vec<String> = kept.map(|message| message.id.clone()).collect();
            assert_eq!(ids.len(), before.saturating_sub(since));
            is_paged_like(&List::filtered(&alice, &chat, filter), &ids, 12).await;
        }
        let ids: Vec<String> = all.iter().map(|message| message.id.clone()).collect();
        for (filter, keeps) in [
            (json!({ "sentSince": "-262000-01-01T00:00:00Z" }), true),
            (json!({ "sentSince": "0001-01-01T00:00:00Z" }), true),
            (json!({ "sentBefore": "9999-12-31T23:59:59Z" }), true),
            (json!({ "sentSince": "9999-12-31T23:59:59Z" }), false),
            (json!({ "sentBefore": "1970-01-01T00:00:00Z" }), false),
        ] {
            let list = List::filtered(&alice, &chat, filter.clone());
            let codes = list.codes(json!({})).await;
            if codes.is_empty() {
                let found = list.page(json!({})).await.ids;
                assert_eq!(found, if keeps { &ids[..] } else { &[] }, "{filter}");
            } else {
                assert_eq!(codes, ["BAD_USER_INPUT"], "{filter}");
            }
        }
    });
}

#[test]
fn what_is_no_filter_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        let many: Vec<String> = (0..101).map(|n| format!("user {n}")).collect();
        for filter in [
            json!({ "textContains": "" }),
            json!({ "textContains": "  " }),
            json!({ "textContains": "x".repeat(201) }),
            json!({ "textContains": "a\0" }),
            json!({ "senderIds": many }),
            json!({ "sentSince": "yesterday" }),
        ] {
            List::filtered(&alice, &chat, filter)
                .is_refused(json!({}))
                .await;
        }
        let list = List::chats(&alice, json!({ "titleContains": " " }));
        list.is_refused(json!({})).await;
    });
}

#[test]
fn a_page_looks_at_so_many_messages_and_says_where_it_goes_on() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("chat", &[&bob]).await;
        let first = bob.sends(&chat, "needle one").await;
        let id: ChatId = chat.parse().unwrap();
        let fill = format!(
            "INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at) \
             SELECT '{0}', 3 + n, gen_random_uuid(), 'default', 'alice', 'hay', now() \
             FROM generate_series(1, 25000) AS n; UPDATE chats SET last_seq = 25003 WHERE id = '{0}'; \
             ANALYZE messages",
            id.0
        );
        postgres::sql(&mut server.sql().await, &fill).await;
        let last = bob.sends(&chat, "needle two").await;
        let query = "query ($id: ID!, $filter: MessageFilterInput, $first: Int, $after: String, $last: Int, $before: String) { \
            chat(id: $id) { messages(filter: $filter, first: $first, after: $after, last: $last, before: $before) { \
            nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
        for filter in [
            json!({ "textContains": "NEEDLE" }),
            json!({ "senderIds": ["bob"] }),
        ] {
            let page = async |mut args: Value| {
                args["id"] = json!(chat);
                args["filter"] = filter.clone();
                let page = alice.ask(query, args).await["chat"]["messages"].clone();
                let ids: Vec<String> = page["nodes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|node| node["id"].as_str().unwrap().to_owned())
                    .collect();
                (ids, page["pageInfo"].clone())
            };
            for forwards in [true, false] {
                let (size, place, more, cursor) = if forwards {
                    ("first", "after", "hasNextPage", "endCursor")
                } else {
                    ("last", "before", "hasPreviousPage", "startCursor")
                };
                let (mut found, mut args, mut pages) = (Vec::new(), json!({ size: 5 }), 0);
                loop {
                    let (ids, info) = page(args).await;
                    found.extend(ids);
                    pages += 1;
                    if info[more] == false {
                        break;
                    }
                    args = json!({ size: 5, place: info[cursor] });
                }
                let mut expected = vec![first.clone(), last.clone()];
                if !forwards {
                    expected.reverse();
                }
                assert_eq!((found, pages), (expected, 3), "{filter}");
            }
        }
        // What has an index is found at once.
        alice
            .does("starMessage", "", json!({ "messageId": first }))
            .await;
        let list = List::filtered(&alice, &chat, json!({ "starred": true }));
        assert_eq!(list.page(json!({ "last": 5 })).await.ids, [first.as_str()]);
    });
}

#[test]
fn an_operation_has_so_many_filtered_pages() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        for (pages, codes) in [(10, Vec::new()), (11, vec!["BAD_USER_INPUT"])] {
            let page = |n| {
                format!("p{n}: messages(filter: {{ textContains: \"x\" }}) {{ nodes {{ id }} }}")
            };
            let pages: Vec<String> = (0..pages).map(page).collect();
            let query = format!("{{ chat(id: \"{chat}\") {{ {} }} }}", pages.join(" "));
            assert_eq!(alice.codes(&query, json!({})).await, codes);
        }
    });
}

#[test]
fn messages_with_attachments_are_listed_alone() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        let file = alice.uploads("a.txt", "text/plain", b"Hello").await;
        let mut ids = Vec::new();
        for n in 0..6 {
            let id = if n % 2 == 0 {
                alice.sends_files(&chat, "file", &[&file]).await
            } else {
                alice.sends(&chat, "text").await
            };
            ids.push(id);
        }
        alice.deletes(&ids[4]).await;
        for (has, places) in [(true, vec![0, 2]), (false, vec![1, 3, 4, 5])] {
            let kept: Vec<String> = places.into_iter().map(|n: usize| ids[n].clone()).collect();
            let list = List::filtered(&alice, &chat, json!({ "hasAttachments": has }));
            is_paged_like(&list, &kept, 10).await;
        }
    });
}

#[test]
fn nothing_is_found_that_is_not_seen() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let input = json!({ "title": "Team", "history": "SINCE_JOINING" });
        let payload = alice.does("createGroupChat", "chat { id }", input).await;
        let chat = payload["chat"]["id"].as_str().unwrap().to_owned();
        let before = alice.sends(&chat, "needle before").await;
        alice.adds(&chat, &[&bob]).await;
        let since = alice.sends(&chat, "needle since").await;
        let answer = json!({ "chatId": chat, "body": "answer", "replyToId": before });
        alice.does("sendMessage", "", answer).await;
        for filter in [
            json!({ "textContains": "needle" }),
            json!({ "senderIds": ["alice"], "textContains": "needle" }),
            json!({ "sentSince": "2020-01-01T00:00:00Z", "textContains": "needle" }),
        ] {
            let list = List::filtered(&bob, &chat, filter);
            assert_eq!(list.page(json!({})).await.ids, [since.as_str()]);
        }
        let list = List::filtered(&bob, &chat, json!({ "replyToId": before }));
        assert_eq!(list.page(json!({})).await.ids, [""; 0]);
    });
}

#[test]
fn the_inbox_is_filtered_by_title_and_unread() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mut chats = Vec::new();
        for title in [
            "Spring plan",
            "SPRING sale",
            "Autumn",
            "spring clean",
            "Sprung 100%",
        ] {
            chats.insert(
                0,
                (
                    bob.group(title, &[&alice]).await,
                    title.to_lowercase(),
                    false,
                ),
            );
        }
        chats.insert(0, (bob.direct(&alice).await, String::new(), false));
        for index in [5, 2, 3] {
            let (id, title, _) = chats.remove(index);
            bob.sends(&id, "hello").await;
            chats.insert(0, (id, title, true));
        }
        // What was sent and deleted is not unread, and one's own is not either.
        let gone = bob.sends(&chats[4].0, "gone").await;
        bob.deletes(&gone).await;
        let moved = chats.remove(4);
        chats.insert(0, moved);
        alice.sends(&chats[5].0, "own").await;
        let moved = chats.remove(5);
        chats.insert(0, moved);
        for (filter, title, unread) in [
            (json!({ "titleContains": "SPRING" }), "spring", None),
            (json!({ "titleContains": "%" }), "%", None),
            (json!({ "titleContains": "nothing" }), "nothing", None),
            (json!({ "unread": true }), "", Some(true)),
            (json!({ "unread": false }), "", Some(false)),
            (
                json!({ "unread": true, "titleContains": "spring" }),
                "spring",
                Some(true),
            ),
        ] {
            let kept = chats.iter().filter(|(_, of, has)| {
                of.contains(title) && unread.is_none_or(|unread| unread == *has)
            });
            let ids: Vec<String> = kept.map(|(id, ..)| id.clone()).collect();
            is_paged_like(&List::chats(&alice, filter), &ids, 20).await;
        }
    });
}
