//! Lists beside those of one chat, and events.

use serde_json::{Value, json};

use super::{Scene, conversation, people};
use crate::support::socket::Socket;
use crate::support::{User, postgres, run};

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

/// What a list shows of each chat is what the chat shows of itself, also where some have nothing, and some more than a page.
#[test]
fn lists_of_listed_chats_are_those_of_each() {
    const FIELDS: &str = "id newest: messages(last: 2) { nodes { body } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
        oldest: messages(first: 3) { nodes { body } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
        none: messages(first: 0) { nodes { body } pageInfo { hasNextPage hasPreviousPage } }
        first: participants(first: 2) { nodes { user { id } } pageInfo { hasNextPage hasPreviousPage endCursor } }
        last: participants(last: 3) { nodes { user { id } } pageInfo { hasNextPage hasPreviousPage startCursor } }";
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 6);
        for n in 0..6 {
            let others: Vec<&User> = people[1..=n.min(5)].iter().collect();
            let chat = people[0].group(&format!("{n}"), &others).await;
            for m in 0..n {
                people[0].sends(&chat, &format!("{n}.{m}")).await;
            }
        }
        // One whose start the reader does not see.
        let late = people[1].group("late", &[]).await;
        let history = json!({ "chatId": late, "history": "SINCE_JOINING" });
        people[1].does("changeChatHistory", "", history).await;
        for m in 0..3 {
            people[1].sends(&late, &format!("before {m}")).await;
        }
        people[1].adds(&late, &[&people[0]]).await;
        people[1].sends(&late, "after").await;
        let query = format!("{{ chats(first: 50) {{ nodes {{ {FIELDS} }} }} }}");
        let listed = people[0].ask(&query, json!({})).await;
        let listed = listed["chats"]["nodes"].as_array().unwrap();
        assert_eq!(listed.len(), 7);
        assert_eq!(listed[0]["newest"]["nodes"], json!([{ "body": "after" }]));
        assert_eq!(listed[0]["newest"]["pageInfo"]["hasPreviousPage"], false);
        for of_list in listed {
            let id = of_list["id"].as_str().unwrap();
            assert_eq!(people[0].chat(id, FIELDS).await, *of_list);
            // And as pages that begin with a cursor, which no list reads together, have them.
            let cursor = &of_list["first"]["pageInfo"]["endCursor"];
            let rest = format!("participants(after: {cursor}) {{ nodes {{ user {{ id }} }} }}");
            let rest = people[0].chat(id, &rest).await;
            let all = people[0]
                .chat(id, "participants { nodes { user { id } } }")
                .await;
            let nodes = |of: &Value| of["nodes"].as_array().unwrap().clone();
            let parts = [nodes(&of_list["first"]), nodes(&rest["participants"])].concat();
            assert_eq!(parts, nodes(&all["participants"]));
            let last: Vec<Value> = nodes(&all["participants"])
                .into_iter()
                .rev()
                .take(3)
                .collect();
            assert!(nodes(&of_list["last"]).iter().rev().eq(&last));
        }
    });
}

/// What is too long to be read together is read one by one, and is the same.
#[test]
fn long_messages_of_listed_chats_are_all_there() {
    run(async {
        let scene = Scene::set().await;
        let alice = scene.writer.user("alice");
        for n in 0..12 {
            let chat = alice.group(&format!("{n}"), &[]).await;
            alice.sends(&chat, "x").await;
        }
        let fill = "INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                SELECT id, 2 + n, gen_random_uuid(), 'default', 'alice', repeat('\u{e4}', 9000), now()
                FROM chats, generate_series(1, 49) AS n;
            UPDATE chats SET last_seq = 51";
        postgres::sql(&mut scene.writer.sql().await, fill).await;
        let query =
            "{ chats(first: 20) { nodes { id messages(last: 50) { nodes { id body } } } } }";
        let listed = alice.at(&scene.reader).ask(query, json!({})).await;
        let listed = listed["chats"]["nodes"].as_array().unwrap();
        assert_eq!(listed.len(), 12);
        for of_list in listed {
            let id = of_list["id"].as_str().unwrap();
            let alone = alice
                .chat(id, "id messages(last: 50) { nodes { id body } }")
                .await;
            assert_eq!(alone["messages"]["nodes"].as_array().unwrap().len(), 50);
            assert_eq!(alone, *of_list);
        }
    });
}
