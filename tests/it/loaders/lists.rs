//! Lists beside those of one chat, and events.

use serde_json::{Value, json};

use super::{Scene, conversation, people};
use crate::support::socket::Socket;
use crate::support::{postgres, run};

/// Lists of administrators, and lists that a filter makes.
#[test]
fn what_is_listed_and_filtered_costs_the_same_for_fifty_and_for_five() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 10);
        let root = scene.writer.user("root").permitted(&["colloquy:admin"]);
        let (chat, ids) = conversation(&people, 60).await;
        for id in &ids {
            people[0]
                .does("starMessage", "", json!({ "messageId": id }))
                .await;
        }
        let file = people[0].uploads("a.txt", "text/plain", b"x").await;
        for n in 0..60 {
            let other = people[0].group(&format!("other {n}"), &[&people[1]]).await;
            people[0].sends_files(&other, "hello", &[&file]).await;
            people[0].download_url(&file).await.unwrap();
        }
        let dead = "INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, attempts, failure, created_at)
            SELECT 'default', 'crm', gen_random_uuid(), 'somebody', n, 1, 0, now() FROM generate_series(1, 60) AS n";
        postgres::sql(&mut scene.writer.sql().await, dead).await;
        let nodes =
            |data: &Value, path: &str| data.pointer(path).unwrap().as_array().unwrap().len();
        for (who, query, path, most) in [
            (
                &root,
                "query ($n: Int!) { auditRecords(first: $n) { nodes { action text actor { displayName }
                    user { displayName } before { title } after { role } } } }",
                "/auditRecords/nodes",
                5,
            ),
            (
                &root,
                "query ($n: Int!) { attachmentDownloads(first: $n) { nodes { user { displayName }
                    attachment { name uploader { displayName } } } } }",
                "/attachmentDownloads/nodes",
                6,
            ),
            (
                &root,
                "query ($n: Int!) { deadLetters(first: $n) { nodes { id deliveryId chatId recipientId } } }",
                "/deadLetters/nodes",
                3,
            ),
            (
                &people[0],
                "query ($n: Int!, $chat: ID!) { chat(id: $chat) { messages(first: $n,
                    filter: { senderIds: [\"user 00\", \"user 01\", \"user 02\", \"user 03\", \"user 04\", \"user 05\",
                    \"user 06\", \"user 07\", \"user 08\", \"user 09\"], starred: true }) { nodes { body sender { displayName }
                    replyTo { body } viewerHasStarred attachments { name } } } } }",
                "/chat/messages/nodes",
                8,
            ),
            (
                &people[0],
                "query ($n: Int!) { chats(first: $n, filter: { kind: GROUP, titleContains: \"OTHER\" }) { nodes {
                    title unreadCount lastMessage { body attachments { name } } participants(first: 2) { nodes { user { displayName } } }
                    messages(last: 2) { nodes { body sender { displayName } } } } } }",
                "/chats/nodes",
                9,
            ),
        ] {
            let ask = async |n: usize| {
                let variables = json!({ "n": n, "chat": chat });
                scene.cost(who, query, variables).await
            };
            let ((five, few), (fifty, many)) = (ask(5).await, ask(50).await);
            println!("{path}: {fifty} statements");
            assert_eq!((nodes(&few, path), nodes(&many, path)), (5, 50), "{path}");
            assert!(fifty <= five + 1, "{path}: {five} and {fifty} statements");
            assert!(fifty <= most, "{path}: {fifty} statements");
        }
    });
}

/// The events of fifty messages with everything that can belong to one.
#[test]
fn the_events_of_fifty_messages_cost_what_those_of_five_do() {
    run(async {
        let scene = Scene::set().await;
        let alice = scene.writer.user("alice");
        let from = alice.group("from", &[]).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let mut costs = Vec::new();
        for count in [5, 50] {
            let chat = alice.group("chat", &[]).await;
            let start = alice.chat(&chat, "eventCursor").await["eventCursor"].clone();
            for n in 0..count {
                let original = alice.sends_files(&from, &format!("{n}"), &[&file]).await;
                let input = json!({ "messageIds": [original], "chatIds": [chat] });
                alice.does("forwardMessages", "", input).await;
            }
            let query = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) {
                ... on MessageSent { message { body viewerHasStarred replyCount attachments { name }
                forwardedFrom { message { body } } readBy(first: 5) { nodes { at } } } } } }";
            let reader = alice.at(&scene.reader);
            let mut least = usize::MAX;
            for _ in 0..10 {
                let mut socket = Socket::open(&reader).await;
                scene.counts.take();
                let variables = json!({ "chat": chat, "after": start });
                socket.subscribe("s", query, variables).await;
                for n in 0..count {
                    let event = socket.hear().await;
                    let message = &event["payload"]["data"]["chatEvents"]["message"];
                    assert_eq!(message["forwardedFrom"]["message"]["body"], format!("{n}"));
                    assert_eq!(message["attachments"], json!([{ "name": "a.txt" }]));
                }
                least = least.min(scene.counts.take().statements);
            }
            costs.push(least);
        }
        println!("events: {costs:?} statements");
        // They are read a handful at a time.
        let handfuls = 50_usize.div_ceil(16);
        assert!(costs[1] <= costs[0] * handfuls, "{costs:?} statements");
    });
}
