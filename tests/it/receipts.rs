//! Receipts: who has read a message and whom it has reached, when, and who shows it.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};

use crate::paging::{List, is_paged_like};
use crate::support::{Server, User, postgres, run};

const RECEIPTS: &str =
    "createdAt readBy { nodes { user { id } at } } deliveredTo { nodes { user { id } at } }";

impl User {
    async fn receipts(&self, message: &str) -> Value {
        self.message(message, RECEIPTS).await
    }

    async fn acknowledges(&self, chat: &str, message: &str) {
        let marks = json!({ "marks": [{ "chatId": chat, "messageId": message }] });
        self.does("markChatDelivered", "", marks).await;
    }

    async fn shows_receipts(&self, visible: bool) -> Value {
        let fields = "viewer { receiptsVisible }";
        let input = json!({ "visible": visible });
        self.does("setReceiptVisibility", fields, input).await["viewer"]["receiptsVisible"].clone()
    }
}

/// Who is in a list of receipts.
fn people(receipts: &Value, list: &str) -> Vec<String> {
    let nodes = receipts[list]["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["user"]["id"].as_str().unwrap().to_owned())
        .collect()
}

fn at(receipts: &Value, list: &str, place: usize) -> Option<i64> {
    let at = receipts[list]["nodes"][place]["at"].as_str()?;
    Some(DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis())
}

/// What a message's receipts are once they are as wanted.
async fn once(user: &User, message: &str, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let receipts = user.receipts(message).await;
        if is(&receipts) {
            return receipts;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("receipts of {message} do not come");
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

#[test]
fn a_message_knows_who_has_it_and_since_when() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol, &dora]).await;
        let one = alice.sends(&chat, "one").await;
        let two = alice.sends(&chat, "two").await;
        let none = alice.receipts(&one).await;
        assert_eq!(people(&none, "readBy"), [""; 0]);
        assert_eq!(people(&none, "deliveredTo"), [""; 0]);

        bob.acknowledges(&chat, &two).await;
        let reached = once(&alice, &one, |r| people(r, "deliveredTo") == ["bob"]).await;
        assert_eq!(people(&reached, "readBy"), [""; 0]);
        let arrived = at(&reached, "deliveredTo", 0).unwrap();
        pause().await;
        bob.reads(&chat, &one).await;
        pause().await;
        bob.reads(&chat, &two).await;
        let (first, second) = (alice.receipts(&one).await, alice.receipts(&two).await);
        assert_eq!(people(&first, "readBy"), ["bob"]);
        assert!(at(&first, "readBy", 0) < at(&second, "readBy", 0));
        assert!(at(&first, "readBy", 0) > Some(arrived));
        // What is read later has been there since it arrived.
        assert_eq!(at(&first, "deliveredTo", 0), Some(arrived));
        assert_eq!(at(&second, "deliveredTo", 0), Some(arrived));

        // Who answers has read what stands before, at that moment.
        pause().await;
        let answer = carol.sends(&chat, "answer").await;
        let answered = carol.message(&answer, "createdAt").await;
        let first = alice.receipts(&one).await;
        assert_eq!(people(&first, "readBy"), ["bob", "carol"]);
        assert_eq!(first["readBy"]["nodes"][1]["at"], answered["createdAt"]);
        assert_eq!(
            first["deliveredTo"]["nodes"][1]["at"],
            answered["createdAt"]
        );
        // A sender is not among those who have read it.
        alice.reads(&chat, &answer).await;
        assert_eq!(
            people(&alice.receipts(&one).await, "readBy"),
            ["bob", "carol"]
        );
        assert_eq!(people(&dora.receipts(&answer).await, "readBy"), ["alice"]);

        // Who came later starts with everything read, which is not to have read it.
        let eve = server.user("eve");
        alice.adds(&chat, &[&eve]).await;
        assert_eq!(
            people(&alice.receipts(&one).await, "readBy"),
            ["bob", "carol"]
        );
        let three = alice.sends(&chat, "three").await;
        eve.reads(&chat, &three).await;
        assert_eq!(people(&alice.receipts(&three).await, "readBy"), ["eve"]);
        // Who has left is not listed.
        alice.removes(&chat, &bob).await;
        assert_eq!(people(&alice.receipts(&one).await, "readBy"), ["carol"]);
        assert_eq!(bob.message(&one, RECEIPTS).await, Value::Null);
    });
}

#[test]
fn who_hides_theirs_sees_none() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let one = alice.sends(&chat, "one").await;
        bob.reads(&chat, &one).await;
        carol.reads(&chat, &one).await;
        assert_eq!(alice.shows_receipts(true).await, true);
        assert_eq!(bob.shows_receipts(false).await, false);
        assert_eq!(bob.shows_receipts(false).await, false);
        for list in ["readBy", "deliveredTo"] {
            assert_eq!(people(&alice.receipts(&one).await, list), ["carol"]);
            assert_eq!(people(&bob.receipts(&one).await, list), [""; 0]);
        }
        // The same holds for marks, of which everybody still sees their own.
        let marks = "participants { nodes { user { id } lastReadMessage { id } lastDeliveredMessage { id } } }";
        let marks = async |user: &User| {
            let chat = user.chat(&chat, marks).await;
            let nodes = chat["participants"]["nodes"].as_array().unwrap().clone();
            let seen = nodes.into_iter().filter(|node| {
                let both = [&node["lastReadMessage"], &node["lastDeliveredMessage"]];
                assert_eq!(both[0].is_null(), both[1].is_null());
                !both[0].is_null()
            });
            seen.map(|node| node["user"]["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(marks(&alice).await, ["alice", "carol"]);
        assert_eq!(marks(&bob).await, ["bob"]);
        let query = "{ user(id: \"bob\") { receiptsVisible } }";
        let theirs = alice.ask(query, json!({})).await;
        assert_eq!(theirs["user"]["receiptsVisible"], Value::Null);
        // Nothing is lost by it.
        assert_eq!(bob.shows_receipts(true).await, true);
        assert_eq!(
            people(&alice.receipts(&one).await, "readBy"),
            ["bob", "carol"]
        );
        assert_eq!(
            people(&bob.receipts(&one).await, "readBy"),
            ["bob", "carol"]
        );
        assert!(at(&alice.receipts(&one).await, "readBy", 0).is_some());
    });
}

#[test]
fn marks_that_are_hidden_are_no_signals() {
    run(async {
        let server = Server::start().await;
        let other = Server::on(server.database.clone()).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        bob.shows_receipts(false).await;
        let one = alice.sends(&chat, "one").await;
        let query =
            "subscription ($id: ID!) { chatSignals(chatId: $id) { __typename user { id } } }";
        let mut sockets = Vec::new();
        for user in [alice.clone(), alice.at(&other), bob.clone()] {
            let mut socket = user.socket().await;
            socket.subscribe("s", query, json!({ "id": chat })).await;
            sockets.push(socket);
        }
        pause().await;
        bob.acknowledges(&chat, &one).await;
        bob.reads(&chat, &one).await;
        pause().await;
        carol.reads(&chat, &one).await;
        for (place, socket) in sockets.iter_mut().enumerate() {
            let mut heard = Vec::new();
            while let Ok(told) =
                tokio::time::timeout(Duration::from_millis(900), socket.next()).await
            {
                let signal = told.unwrap()["payload"]["data"]["chatSignals"].clone();
                let kind = signal["__typename"].as_str().unwrap_or_default().to_owned();
                if kind.ends_with("MarkMoved") {
                    heard.push(signal["user"]["id"].as_str().unwrap().to_owned());
                }
            }
            let others = |of: &str| heard.iter().filter(|user| *user == of).count();
            if place == 2 {
                assert_eq!(others("carol"), 0, "{heard:?}");
                assert_eq!(others("alice"), 0, "{heard:?}");
            } else {
                assert_eq!(others("bob"), 0, "{heard:?}");
                assert!(others("carol") >= 1, "{heard:?}");
            }
        }
    });
}

#[test]
fn receipts_are_paged() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let others: Vec<User> = (0..9).map(|n| server.user(&format!("user {n}"))).collect();
        let chat = alice
            .group("Team", &others.iter().collect::<Vec<_>>())
            .await;
        let message = alice.sends(&chat, "one").await;
        for (n, user) in others.iter().enumerate() {
            if n % 3 != 2 {
                user.reads(&chat, &message).await;
            }
        }
        let read: Vec<String> = (0..9)
            .filter(|n| n % 3 != 2)
            .map(|n| format!("user {n}"))
            .collect();
        for field in ["readBy", "deliveredTo"] {
            let list = List::of_message(&alice, &message, field);
            is_paged_like(&list, &read, 40).await;
            list.is_refused(json!({ "first": 101 })).await;
        }
    });
}

#[test]
fn a_time_that_is_not_kept_is_null() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let one = alice.sends(&chat, "one").await;
        bob.reads(&chat, &one).await;
        server.app.receipts_forget().await.unwrap();
        assert!(at(&alice.receipts(&one).await, "readBy", 0).is_some());
        let old = "UPDATE receipts SET marked_at = marked_at - interval '91 days'";
        postgres::sql(&mut server.sql().await, old).await;
        server.app.receipts_forget().await.unwrap();
        // A later move says when it passed what stands behind where it began, and nothing of what stands before.
        let two = alice.sends(&chat, "two").await;
        bob.reads(&chat, &two).await;
        let receipts = alice.receipts(&one).await;
        assert_eq!(people(&receipts, "readBy"), ["bob"]);
        assert_eq!(at(&receipts, "readBy", 0), None);
        assert_eq!(at(&receipts, "deliveredTo", 0), None);
        assert!(at(&alice.receipts(&two).await, "readBy", 0).is_some());
    });
}
