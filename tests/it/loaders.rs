//! What an answer costs: a fixed number of statements, however much is in it.

mod lists;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::proxy::{Counts, counted};
use crate::support::{Server, User, postgres, run};

/// A chat of many people, written on one server, and a second server whose statements are counted.
struct Scene {
    writer: Server,
    reader: Server,
    counts: Arc<Counts>,
}

impl Scene {
    async fn set() -> Self {
        let database = postgres::database().await;
        let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
        let writer = Server::on(database).await;
        let reader = Server::on(proxied).await;
        Self {
            writer,
            reader,
            counts,
        }
    }

    /// How many statements a query takes, once the reader is known, of which there is an answer.
    async fn cost(&self, reader: &User, query: &str, variables: Value) -> (usize, Value) {
        let reader = reader.at(&self.reader);
        reader.ask(query, variables.clone()).await;
        // The engine's own statements may fall into a measurement, and a busy machine may let a loader start
        // before all keys are there; not in every one.
        let mut least = usize::MAX;
        let mut data = Value::Null;
        for _ in 0..20 {
            self.counts.take();
            data = reader.ask(query, variables.clone()).await;
            least = least.min(self.counts.take().statements);
        }
        (least, data)
    }
}

async fn marks_read(user: &User, chat: &str, message: &str) {
    let input = json!({ "chatId": chat, "messageId": message });
    user.does("markChatRead", "", input).await;
}

/// A group of `people`, who take turns in sending `count` messages, most of which answer another.
async fn conversation(people: &[User], count: usize) -> (String, Vec<String>) {
    let others: Vec<&User> = people[1..].iter().collect();
    let chat = people[0].group("chat", &others).await;
    let mut ids: Vec<String> = Vec::new();
    for n in 0..count {
        let reply_to = (n % 3 > 0).then(|| ids[n / 2].clone());
        let input = json!({ "chatId": chat, "body": format!("{n}"), "replyToId": reply_to });
        let sender = &people[n % people.len()];
        let payload = sender.does("sendMessage", "message { id }", input).await;
        ids.push(payload["message"]["id"].as_str().unwrap().to_owned());
    }
    (chat, ids)
}

fn people(server: &Server, count: usize) -> Vec<User> {
    (0..count)
        .map(|n| server.user(&format!("user {n:02}")))
        .collect()
}

const MESSAGES: &str = "query ($chat: ID!, $last: Int!) { chat(id: $chat) {
    viewerParticipant { lastReadMessage { body } }
    messages(last: $last) { nodes {
        sender { displayName } replyTo { body sender { displayName } }
        chat { title viewerParticipant { lastReadMessage { body } } }
    } }
} }";

#[test]
fn fifty_messages_cost_what_ten_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 10);
        let (chat, _) = conversation(&people, 50).await;
        let ask = async |last: usize| {
            let variables = json!({ "chat": chat, "last": last });
            scene.cost(&people[0], MESSAGES, variables).await
        };
        let ((ten, _), (fifty, data)) = (ask(10).await, ask(50).await);
        let nodes = data["chat"]["messages"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 50);
        assert_eq!(
            nodes
                .iter()
                .filter(|node| node["replyTo"]["body"].is_string())
                .count(),
            33
        );
        assert_eq!(nodes[49]["chat"]["title"], "chat");
        println!("messages: {fifty} statements");
        // Two loads may happen to fall into one turn; what matters is that messages do not count.
        assert!(fifty <= ten + 1, "{ten} and {fifty} statements");
        assert!(fifty <= 6, "{fifty} statements");
    });
}

const PARTICIPANTS: &str = "query ($chat: ID!, $first: Int!) { chat(id: $chat) {
    participants(first: $first) { nodes {
        user { displayName } lastReadMessage { body } lastDeliveredMessage { body } presence { status }
    } }
} }";

#[test]
fn thirty_participants_cost_what_three_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 30);
        let (chat, ids) = conversation(&people, 40).await;
        for (n, user) in people.iter().enumerate().skip(15) {
            marks_read(user, &chat, &ids[n + 5]).await;
        }
        let ask = async |first: usize| {
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&people[0], PARTICIPANTS, variables).await
        };
        let ((three, _), (thirty, data)) = (ask(3).await, ask(30).await);
        let nodes = data["chat"]["participants"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 30);
        assert_eq!(nodes[20]["lastReadMessage"]["body"], "25");
        println!("participants: {thirty} statements");
        assert_eq!(three, thirty);
        assert!(thirty <= 5, "{thirty} statements");
    });
}

const INBOX: &str = "query ($first: Int!) { chats(first: $first) { nodes {
    title unreadCount lastMessage { body sender { displayName } }
    viewerParticipant { role lastReadMessage { body } } createdBy { displayName }
} } }";

#[test]
fn an_inbox_of_fifty_costs_what_five_do() {
    run(async {
        let scene = Scene::set().await;
        let (alice, bob) = (scene.writer.user("alice"), scene.writer.user("bob"));
        for n in 0..50 {
            let chat = bob.group(&format!("chat {n}"), &[&alice]).await;
            for _ in 0..n % 3 {
                bob.sends(&chat, &format!("in {n}")).await;
            }
        }
        let ask = async |first: usize| scene.cost(&alice, INBOX, json!({ "first": first })).await;
        let ((five, _), (fifty, data)) = (ask(5).await, ask(50).await);
        let nodes = data["chats"]["nodes"].as_array().unwrap();
        let unread: i64 = nodes
            .iter()
            .map(|node| node["unreadCount"].as_i64().unwrap())
            .sum();
        assert_eq!((nodes.len(), unread), (50, 49));
        println!("inbox: {fifty} statements");
        assert_eq!(five, fifty);
        assert!(fifty <= 5, "{fifty} statements");
    });
}

const PAGE: &str = "query ($chat: ID!) { chat(id: $chat) { messages(last: 50) {
    nodes { id body sender { id } createdAt }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
} } }";

#[test]
fn a_page_of_a_known_user_costs_two_statements() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 3);
        let (chat, _) = conversation(&people, 60).await;
        let (cost, data) = scene.cost(&people[1], PAGE, json!({ "chat": chat })).await;
        assert_eq!(
            data["chat"]["messages"]["nodes"].as_array().unwrap().len(),
            50
        );
        assert_eq!(cost, 2);
    });
}

const NODES: &str = "query ($ids: [ID!]!) { nodes(ids: $ids) {
    id ... on Participant { user { displayName } chat { title } }
} }";

#[test]
fn thirty_participants_by_id_cost_what_three_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 30);
        let (chat, _) = conversation(&people, 1).await;
        let list = people[0].chat(&chat, "participants { nodes { id } }").await;
        let list = list["participants"]["nodes"].as_array().unwrap();
        let ids: Vec<&Value> = list.iter().map(|node| &node["id"]).collect();
        let ask = async |count: usize| {
            scene
                .cost(&people[0], NODES, json!({ "ids": ids[..count] }))
                .await
                .0
        };
        assert_eq!(ask(3).await, ask(30).await);
    });
}

#[test]
fn fifty_starred_messages_cost_what_five_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 6);
        let (reader, others) = people.split_first().unwrap();
        for n in 0..50 {
            let other = &others[n % others.len()];
            let chat = reader.direct(other).await;
            let message = other.sends(&chat, &format!("{n}")).await;
            let input = json!({ "messageId": message });
            reader.does("starMessage", "", input).await;
        }
        let query = "query ($first: Int!) { viewer { starredMessages(first: $first) {
            nodes { body viewerHasStarred sender { displayName } chat { kind unreadCount } }
            pageInfo { hasNextPage } } } }";
        let (five, _) = scene.cost(reader, query, json!({ "first": 5 })).await;
        let (fifty, data) = scene.cost(reader, query, json!({ "first": 50 })).await;
        println!("stars: {fifty} statements");
        let found = &data["viewer"]["starredMessages"]["nodes"];
        assert_eq!(found.as_array().unwrap().len(), 50);
        assert!(fifty <= five + 1, "{five} and {fifty} statements");
        assert!(fifty <= 5, "{fifty} statements");
    });
}

#[test]
fn fifty_threads_cost_what_five_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 4);
        let chat = people[0]
            .group("chat", &people[1..].iter().collect::<Vec<_>>())
            .await;
        let mut roots = Vec::new();
        for n in 0..50 {
            roots.push(people[n % 4].sends(&chat, &format!("{n}")).await);
        }
        for (n, root) in roots.iter().enumerate() {
            for (reply, person) in people.iter().take(1 + n % 3).enumerate() {
                person.replies(&chat, root, &format!("{n}.{reply}")).await;
            }
        }
        let query = "query ($chat: ID!, $first: Int!) { chat(id: $chat) { messages(first: $first) { nodes {
            replyCount lastReply { body sender { displayName } } replies(first: 2) { nodes { body viewerHasStarred } } } } } }";
        let ask = async |first: usize| {
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&people[0], query, variables).await
        };
        let ((five, _), (fifty, data)) = (ask(5).await, ask(50).await);
        println!("threads: {fifty} statements");
        let nodes = &data["chat"]["messages"]["nodes"];
        assert_eq!(nodes[49]["replyCount"], 2);
        assert_eq!(nodes[49]["lastReply"]["body"], "49.1");
        assert_eq!(nodes[49]["replies"]["nodes"][1]["body"], "49.1");
        assert!(fifty <= five + 1, "{five} and {fifty} statements");
        assert!(fifty <= 9, "{fifty} statements");
    });
}

#[test]
fn the_revisions_of_fifty_messages_cost_what_those_of_five_do() {
    run(async {
        let scene = Scene::set().await;
        let alice = scene.writer.user("alice");
        let chat = alice.group("chat", &[]).await;
        for n in 0..50 {
            let message = alice.sends(&chat, &format!("{n}")).await;
            for edit in 0..2 {
                let input = json!({ "messageId": message, "body": format!("{n}.{edit}") });
                alice.does("editMessage", "", input).await;
            }
        }
        let query =
            "query ($chat: ID!, $first: Int!) { chat(id: $chat) { messages(first: $first) { nodes {
            revisions(last: 1) { nodes { body replacedBy { displayName } } } } } } }";
        let ask = async |first: usize| {
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&alice, query, variables).await
        };
        let ((five, _), (fifty, data)) = (ask(5).await, ask(50).await);
        println!("revisions: {fifty} statements");
        let last = &data["chat"]["messages"]["nodes"][49]["revisions"]["nodes"][0];
        assert_eq!(last["body"], "49.0");
        assert!(fifty <= five + 1, "{five} and {fifty} statements");
        assert!(fifty <= 6, "{fifty} statements");
    });
}

#[test]
fn the_receipts_of_fifty_messages_cost_what_those_of_five_do() {
    run(async {
        let scene = Scene::set().await;
        let people = people(&scene.writer, 20);
        let (chat, messages) = conversation(&people, 50).await;
        for person in &people[..15] {
            marks_read(person, &chat, &messages[49]).await;
        }
        let query = "query ($chat: ID!, $first: Int!) { chat(id: $chat) { messages(first: $first) { nodes {
            readBy(first: 10) { nodes { at user { displayName } } } deliveredTo(first: 10) { nodes { at } } forwardedFrom { message { id } } } } } }";
        let ask = async |first: usize| {
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&people[0], query, variables).await
        };
        let ((five, _), (fifty, data)) = (ask(5).await, ask(50).await);
        println!("receipts: {fifty} statements");
        let nodes = &data["chat"]["messages"]["nodes"];
        assert_eq!(nodes[49]["readBy"]["nodes"].as_array().unwrap().len(), 10);
        assert!(fifty <= five + 1, "{five} and {fifty} statements");
        assert!(fifty <= 10, "{fifty} statements");
    });
}

/// What is known of where messages came from, of those that were forwarded from fifty chats.
#[test]
fn the_origins_of_fifty_messages_cost_what_those_of_five_do() {
    run(async {
        let scene = Scene::set().await;
        let (alice, bob) = (scene.writer.user("alice"), scene.writer.user("bob"));
        let chat = alice.group("chat", &[&bob]).await;
        for n in 0..50 {
            let from = bob.group(&format!("{n}"), &[&alice]).await;
            let message = bob.sends(&from, &format!("{n}")).await;
            let input = json!({ "messageIds": [message], "chatIds": [chat] });
            alice.does("forwardMessages", "", input).await;
        }
        let query = "query ($chat: ID!, $first: Int!) { chat(id: $chat) { messages(first: $first) { nodes {
            forwardedFrom { sentAt sender { displayName } message { body chat { title } } } } } } }";
        let ask = async |first: usize| {
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&alice, query, variables).await
        };
        let ((five, _), (fifty, data)) = (ask(5).await, ask(50).await);
        println!("origins: {fifty} statements");
        let last = &data["chat"]["messages"]["nodes"][49]["forwardedFrom"];
        assert_eq!(last["message"]["chat"]["title"], "49");
        assert!(fifty <= five + 1, "{five} and {fifty} statements");
        assert!(fifty <= 7, "{fifty} statements");
    });
}

#[test]
fn the_attachments_of_fifty_messages_cost_what_those_of_five_do_and_unasked_nothing() {
    run(async {
        let scene = Scene::set().await;
        let alice = scene.writer.user("alice");
        let chat = alice.group("chat", &[]).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        for n in 0..50 {
            alice.sends_files(&chat, &format!("{n}"), &[&file]).await;
        }
        let ask = async |first: usize, fields: &str| {
            let query = format!(
                "query ($chat: ID!, $first: Int!) {{ chat(id: $chat) {{ messages(first: $first) {{ nodes {{ body {fields} }} }} }} }}"
            );
            let variables = json!({ "chat": chat, "first": first });
            scene.cost(&alice, &query, variables).await
        };
        let (unasked, _) = ask(50, "").await;
        let (five, _) = ask(5, "attachments { name }").await;
        let (fifty, data) = ask(50, "attachments { name }").await;
        let (urls, _) = ask(50, "attachments { name downloadUrl }").await;
        println!("attachments: {unasked}, {fifty}, {urls} statements");
        let last = &data["chat"]["messages"]["nodes"][49]["attachments"];
        assert_eq!(*last, json!([{ "name": "a.txt" }]));
        assert_eq!(five, fifty);
        assert!(fifty <= unasked + 2, "{unasked} and {fifty} statements");
        assert!(urls <= fifty + 2, "{fifty} and {urls} statements");
    });
}
