//! Sends that are written together.

use std::collections::HashSet;
use std::time::Duration;

use colloquy::store::PoolOptions;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};

use crate::hot_path::quiet;
use crate::support::log::uuid;
use crate::support::server::Setup;
use crate::support::{Server, User, at_once, postgres, run};

/// Sends to each of the chats in turn, all at once.
async fn flood(users: &[User], chats: &[String], count: usize) -> Vec<String> {
    let sends = (0..count).map(|n| {
        let user = users[n % users.len()].clone();
        let chat = chats[n % chats.len()].clone();
        async move { user.sends(&chat, &format!("{n}")).await }
    });
    at_once(sends).await
}

async fn groups(owner: &User, others: &[&User], count: usize) -> Vec<String> {
    let mut chats = Vec::new();
    for n in 0..count {
        chats.push(owner.group(&format!("Chat {n}"), others).await);
    }
    chats
}

async fn messages(server: &Server, chat: &str) -> usize {
    let log = server.log(chat).await;
    log.iter().filter(|entry| *entry == "MessageSent").count()
}

#[test]
fn sends_that_wait_are_written_together() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chats = groups(&alice, &[&bob], 5).await;
        let users = [alice, bob];
        // Who may send is read once.
        flood(&users, &chats, 10).await;
        counts.take();
        let ids = flood(&users, &chats, 100).await;
        let cost = counts.take();
        assert!(cost.round_trips < 50, "100 sends: {cost:?}");
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 100);
        for chat in &chats {
            // `log` finds gaps.
            assert_eq!(messages(&server, chat).await, 22);
            for user in &users {
                let recounted = server.recounts_unread(chat, &user.id).await;
                assert_eq!(user.unread(chat).await, recounted);
            }
        }
    });
}

#[test]
fn one_refused_send_harms_nobody_that_it_is_written_with() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chats = groups(&alice, &[&bob, &carol], 3).await;
        let users = [alice.clone(), bob.clone(), carol.clone()];
        // Everybody is remembered as one who may send.
        flood(&users, &chats, 9).await;
        // Past the server: what it remembers of carol is old.
        let removed = format!(
            "WITH gone AS (DELETE FROM participants WHERE chat_id = '{0}' AND user_id = 'carol') \
             UPDATE chats SET acl_version = acl_version + 1 WHERE id = '{0}'",
            uuid(&chats[0])
        );
        server.sql().await.batch_execute(&removed).await.unwrap();
        let input =
            |chat: &str, key: &str| json!({ "chatId": chat, "body": "x", "idempotencyKey": key });
        let sends = (0..60).map(|n| {
            let user = users[n % 3].clone();
            // Everybody sends to every chat, each key twice.
            let input = input(&chats[n / 3 % 3], &format!("key {}", n % 30));
            async move {
                let fields = "message { id } userErrors { code }";
                let payload = user.mutate("sendMessage", fields, input).await;
                (n, payload)
            }
        });
        let mut ids = HashSet::new();
        for (n, payload) in at_once(sends).await {
            let refused = n % 3 == 2 && n / 3 % 3 == 0;
            let code = &payload["userErrors"][0]["code"];
            if refused {
                assert_eq!(*code, "NOT_FOUND", "{n}: {payload}");
            } else {
                assert_eq!(*code, Value::Null, "{n}: {payload}");
                ids.insert(payload["message"]["id"].to_string());
            }
        }
        // The keys are those of 30 sends; n and n + 30 go to different chats.
        let written = 60 - 60 / 9 - usize::from(60 % 9 > 2);
        assert_eq!(ids.len(), written);
        let mut found = 0;
        for chat in &chats {
            found += messages(&server, chat).await;
        }
        assert_eq!(found, 9 + written);
    });
}

#[test]
fn the_same_key_twice_at_once_is_one_message() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chats = groups(&alice, &[&bob], 4).await;
        let sends = (0..80).map(|n| {
            let user = [&alice, &bob][n % 2].clone();
            let input = json!({
                "chatId": chats[n / 2 % 4], "body": "x", "idempotencyKey": "the same",
            });
            async move {
                let payload = user.does("sendMessage", "message { id }", input).await;
                payload["message"]["id"].to_string()
            }
        });
        let ids: HashSet<String> = at_once(sends).await.into_iter().collect();
        // One for each person and chat.
        assert_eq!(ids.len(), 8);
        for chat in &chats {
            assert_eq!(messages(&server, chat).await, 2);
        }
    });
}

#[test]
fn two_servers_that_write_to_the_same_chats_do_not_deadlock() {
    run(async {
        let database = postgres::database().await;
        let here = Server::on(database.clone()).await;
        let there = Server::on(database).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chats = groups(&alice, &[&bob], 12).await;
        let mut backwards = chats.clone();
        backwards.reverse();
        // While somebody holds a chat in the middle, both come as far as they can, and meet when it is let go.
        let mut holder = here.sql().await;
        let hold = format!(
            "BEGIN; SELECT FROM chats WHERE id = '{}' FOR UPDATE",
            uuid(&chats[6])
        );
        holder.batch_execute(&hold).await.unwrap();
        let release = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            holder.batch_execute("COMMIT").await.unwrap();
        });
        let sides = [(alice, chats.clone()), (bob, backwards)].map(|(user, chats)| async move {
            for _ in 0..5 {
                flood(std::slice::from_ref(&user), &chats, 120).await;
            }
        });
        at_once(sides).await;
        release.await.unwrap();
        for chat in &chats {
            assert_eq!(messages(&here, chat).await, 2 * 5 * 10);
        }
        // A deadlock would be a statement that failed. Its messages would be sent all the same, one by one.
        for server in [&here, &there] {
            assert_eq!(server.app.pool.metrics().failures.get(), 0);
        }
    });
}

#[test]
fn a_chat_that_somebody_holds_keeps_no_other_waiting() {
    run(async {
        let setup = Setup {
            pool: PoolOptions {
                size: 4,
                ..Setup::default().pool
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chats = groups(&alice, &[&bob], 4).await;
        let users = [alice, bob];
        flood(&users, &chats, 8).await;
        let mut holder = server.sql().await;
        let hold = format!(
            "BEGIN; SELECT FROM chats WHERE id = '{}' FOR UPDATE",
            uuid(&chats[0])
        );
        holder.batch_execute(&hold).await.unwrap();
        let held = {
            let (users, chats) = (users.clone(), chats.clone());
            tokio::spawn(async move { flood(&users, &chats[..1], 10).await })
        };
        for _ in 0..3 {
            let others = flood(&users, &chats[1..], 30);
            tokio::time::timeout(Duration::from_secs(3), others)
                .await
                .expect("the others go on");
        }
        assert!(!held.is_finished());
        holder.batch_execute("COMMIT").await.unwrap();
        assert_eq!(held.await.unwrap().len(), 10);
        assert_eq!(messages(&server, &chats[0]).await, 2 + 10);
    });
}
