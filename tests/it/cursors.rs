//! The arguments of pages: sizes, and cursors, which work for one list and for ever.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::paging::{List, Page, adds, removes, sends_many};
use crate::support::{Server, User, run};

/// The three lists of someone with a chat of 3 messages and 3 participants, and what else they need.
async fn three_lists(server: &Server) -> (User, String, [List; 3]) {
    let alice = server.user("alice");
    let (bob, carol) = (server.user("bob"), server.user("carol"));
    let chat = alice.group("chat", &[&bob, &carol]).await;
    alice.group("another", &[]).await;
    alice.group("a third", &[]).await;
    sends_many(&alice, &chat, 3).await;
    let lists = [
        List::in_chat(&alice, &chat, "messages"),
        List::in_chat(&alice, &chat, "participants"),
        List::chats(&alice, json!({})),
    ];
    (alice, chat, lists)
}

#[test]
fn sizes_out_of_range_are_refused() {
    run(async {
        let server = Server::start().await;
        let (_, _, lists) = three_lists(&server).await;
        for list in lists {
            for size in [-1, 101, i32::MAX, i32::MIN] {
                list.is_refused(json!({ "first": size })).await;
                list.is_refused(json!({ "last": size })).await;
            }
            list.is_refused(json!({ "first": 1, "last": 1 })).await;
            list.is_refused(json!({ "first": 0, "last": 0 })).await;
            let nulls = json!({ "first": 2, "last": null, "after": null, "before": null });
            assert_eq!(list.page(nulls).await.ids.len(), 2);
            let none = Page {
                ids: vec![],
                cursors: vec![],
                next: true,
                previous: false,
            };
            assert_eq!(list.page(json!({ "first": 0 })).await, none);
            let none = Page {
                next: false,
                previous: true,
                ..none
            };
            assert_eq!(list.page(json!({ "last": 0 })).await, none);
        }
    });
}

#[test]
fn a_page_has_50_by_default_and_100_at_most() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        for from in [0, 60] {
            let ids: Vec<_> = (from..from + 60).map(|n| format!("user {n}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            adds(&alice, &chat, &ids).await;
        }
        let list = List::in_chat(&alice, &chat, "participants");
        for (args, count) in [
            (json!({}), 50),
            (json!({ "first": 100 }), 100),
            (json!({ "last": 100 }), 100),
        ] {
            let page = list.page(args).await;
            assert_eq!(page.ids.len(), count);
            assert!(page.next || page.previous);
        }
    });
}

/// Every cursor works in its own list, and in no other one.
#[test]
fn a_cursor_of_another_list_is_refused() {
    run(async {
        let server = Server::start().await;
        let (alice, chat, lists) = three_lists(&server).await;
        let bob = server.user("bob");
        let other = alice.group("other", &[&bob]).await;
        let mut all = lists.to_vec();
        for field in ["messages", "participants"] {
            alice.sends(&other, "hello").await;
            all.push(List::in_chat(&alice, &other, field));
        }
        for filter in [
            json!({ "kind": "GROUP" }),
            json!({ "includeDeleted": true }),
        ] {
            all.push(List::chats(&alice, filter));
        }
        all.push(List::chats(&bob, json!({})));
        let mut cursors = Vec::new();
        for list in &all {
            cursors.push(list.page(json!({ "first": 1 })).await.cursors.remove(0));
        }
        for (own, list) in all.iter().enumerate() {
            for (index, cursor) in cursors.iter().enumerate() {
                let after = json!({ "after": cursor });
                if index == own {
                    list.page(after).await;
                } else {
                    list.is_refused(after).await;
                    list.is_refused(json!({ "before": cursor })).await;
                }
            }
            for cursor in [
                alice.event_cursor(&chat).await,
                alice.start_cursor(&chat).await,
            ] {
                list.is_refused(json!({ "after": cursor })).await;
            }
        }
        // The same list has the same cursors for whoever is in the chat.
        let bobs = List::in_chat(&bob, &chat, "messages");
        assert_eq!(bobs.page(json!({ "after": cursors[0] })).await.ids.len(), 2);
    });
}

#[test]
fn what_is_no_cursor_is_refused() {
    run(async {
        let server = Server::start().await;
        let (_, chat, lists) = three_lists(&server).await;
        for list in lists {
            let real = list.page(json!({ "first": 1 })).await.cursors.remove(0);
            let mut texts = vec![
                String::new(),
                " ".into(),
                "!".into(),
                chat.clone(),
                "MTIz".into(),
            ];
            texts.extend([format!("{real}="), real[1..].to_owned(), format!("A{real}")]);
            // The place of a participant ends with an id of any length: shorter, it is another one's.
            if !list.query.contains("participants(") {
                texts.extend([format!("{real}AA"), real[..real.len() - 2].to_owned()]);
            }
            for text in texts {
                list.is_refused(json!({ "after": text })).await;
                list.is_refused(json!({ "before": text })).await;
            }
        }
    });
}

/// A forged place in the right list is at worst refused: it is never a fault of ours.
#[test]
fn a_forged_cursor_is_no_fault() {
    run(async {
        let server = Server::start().await;
        let (_, _, lists) = three_lists(&server).await;
        for list in lists {
            let real = list.page(json!({ "first": 1 })).await.cursors.remove(0);
            let real = URL_SAFE_NO_PAD.decode(real).unwrap();
            // Behind the list's name stands a number of 8 bytes, whose place differs from list to list.
            for place in [18, 12] {
                for number in [
                    i64::MIN,
                    -i64::MAX / 40,
                    -1,
                    0,
                    i64::MAX / 100,
                    i64::MAX / 40,
                    i64::MAX,
                ] {
                    let mut forged = real.clone();
                    forged[place..place + 8].copy_from_slice(&number.to_be_bytes());
                    let cursor = URL_SAFE_NO_PAD.encode(forged);
                    for name in ["after", "before"] {
                        let codes = list.codes(json!({ name: cursor })).await;
                        let fine = codes.is_empty() || codes == ["BAD_USER_INPUT"];
                        assert!(fine, "{number} {}: {codes:?}", list.query);
                    }
                }
            }
        }
    });
}

/// What is written or taken away beside a cursor moves nothing.
#[test]
fn cursors_are_stable() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice
            .group(
                "chat",
                &["b", "c", "d"].map(|id| server.user(id)).each_ref(),
            )
            .await;
        let ids = sends_many(&alice, &chat, 6).await;
        let messages = List::in_chat(&alice, &chat, "messages");
        let old = messages.page(json!({})).await;
        alice
            .does("deleteMessage", "", json!({ "messageId": ids[2] }))
            .await;
        let new = alice.sends(&chat, "new").await;
        let page = messages.page(json!({ "after": old.cursors[2] })).await;
        assert_eq!(page.ids, [&ids[3..], &[new]].concat());
        let page = messages
            .page(json!({ "last": 2, "before": old.cursors[2] }))
            .await;
        assert_eq!(page.ids, ids[..2]);

        let participants = List::in_chat(&alice, &chat, "participants");
        let old = participants.page(json!({})).await;
        removes(&alice, &chat, "c").await;
        adds(&alice, &chat, &["a"]).await;
        // c is gone, a is new, and d still follows where c was.
        let page = participants
            .page(json!({ "after": old.cursors[2], "first": 1 }))
            .await;
        assert_eq!(
            (page.ids, page.next, page.previous),
            (vec![old.ids[3].clone()], true, true)
        );
        let page = participants
            .page(json!({ "before": old.cursors[2], "last": 1 }))
            .await;
        assert_eq!(
            (page.ids, page.next, page.previous),
            (vec![old.ids[1].clone()], true, true)
        );
    });
}

/// `node(id)` finds again whatever has an id, under that id and type.
#[test]
fn every_id_is_a_nodes() {
    run(async {
        let server = Server::start().await;
        let (alice, chat, lists) = three_lists(&server).await;
        let mut ids = vec![("User", "alice".to_owned()), ("User", "carol".to_owned())];
        for (list, kind) in lists.iter().zip(["Message", "Participant", "Chat"]) {
            let page = list.page(json!({})).await;
            ids.extend(page.ids.into_iter().map(|id| (kind, id)));
        }
        assert!(ids.contains(&("Chat", chat)));
        for (kind, id) in &ids {
            let query = "query ($id: ID!) { node(id: $id) { __typename id } }";
            let node = alice.ask(query, json!({ "id": id })).await;
            assert_eq!(node["node"], json!({ "__typename": kind, "id": id }));
        }
        let all: Vec<_> = ids.iter().map(|(_, id)| id.as_str()).collect();
        let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        let nodes = alice.ask(query, json!({ "ids": all })).await;
        let found = nodes["nodes"].as_array().unwrap().iter();
        let found: Vec<_> = found.map(|node| node["id"].as_str().unwrap()).collect();
        assert_eq!(found, all);
    });
}
