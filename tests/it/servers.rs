//! Several servers on one database are one service.

use std::time::{Duration, Instant};

use colloquy::realtime::RealtimeOptions;
use serde_json::json;

use crate::support::log::{from_now, seqs, write};
use crate::support::server::Setup;
use crate::support::socket::{Socket, bodies};
use crate::support::{Server, User, postgres, run};
use crate::updates::follow;

/// So rarely that whatever arrives was rung for.
const NEVER: Duration = Duration::from_secs(3600);

async fn two(sweep: Duration, tick: Duration) -> (Server, Server) {
    let realtime = RealtimeOptions {
        sweep,
        tick,
        ..RealtimeOptions::default()
    };
    let setup = Setup {
        realtime,
        ..Setup::default()
    };
    let database = postgres::database().await;
    let one = Server::with(database.clone(), setup.clone()).await;
    (one, Server::with(database, setup).await)
}

/// Two servers that hear of each other by the doorbell alone.
async fn without_sweep() -> (Server, Server) {
    two(NEVER, RealtimeOptions::default().tick).await
}

#[test]
fn events_cross_both_ways_in_order() {
    run(async {
        let (here, there) = without_sweep().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let after = alice.event_cursor(&chat).await;
        let mut alices = alice.follows(&chat, Some(&after)).await;
        let mut bobs = bob.follows(&chat, Some(&after)).await;
        let speak = async |user: &User| {
            for n in 0..30 {
                user.sends(&chat, &format!("{} {n}", user.id)).await;
            }
        };
        tokio::join!(speak(&alice), speak(&bob));
        let (alices, bobs) = (alices.take(60).await, bobs.take(60).await);
        assert_eq!(seqs(&alices), (3..63).collect::<Vec<_>>());
        assert_eq!(alices, bobs);
        for name in ["alice", "bob"] {
            let spoken = bodies(&alices)
                .into_iter()
                .filter(|body| body.starts_with(name));
            let expected: Vec<String> = (0..30).map(|n| format!("{name} {n}")).collect();
            assert_eq!(spoken.collect::<Vec<_>>(), expected);
        }
    });
}

#[test]
fn updates_cross_both_ways() {
    run(async {
        let (here, there) = without_sweep().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let (mut alices, mut bobs) = (follow(&here, &alice).await, follow(&there, &bob).await);
        let chat = alice.group("Team", &[&bob]).await;
        for updates in [&mut alices, &mut bobs] {
            let update = updates.next().await;
            assert_eq!(
                (&update["kind"], &update["chatId"]),
                (&json!("JOINED"), &json!(chat))
            );
        }
        let message = bob.sends(&chat, "hello").await;
        for updates in [&mut alices, &mut bobs] {
            assert_eq!(updates.next().await["chat"]["lastMessage"]["body"], "hello");
        }
        // Alice reads on a device at the other server.
        let input = json!({ "chatId": chat, "messageId": message });
        alice.at(&there).does("markChatRead", "", input).await;
        assert_eq!(alices.next().await["chat"]["unreadCount"], 0);
        alice
            .does(
                "removeParticipant",
                "",
                json!({ "chatId": chat, "userId": "bob" }),
            )
            .await;
        assert_eq!(bobs.next().await["kind"], "LEFT");
    });
}

#[test]
fn a_stream_resumes_on_another_server() {
    run(async {
        let (here, there) = without_sweep().await;
        let (alice, bob) = (here.user("alice"), here.user("bob"));
        let chat = alice.direct(&bob).await;
        let start = bob.start_cursor(&chat).await;
        let mut events = bob.follows(&chat, Some(&start)).await;
        for n in 0..5 {
            alice.sends(&chat, &n.to_string()).await;
        }
        let told = events.take(4).await;
        let cursor = told.last().unwrap()["cursor"].as_str().unwrap();
        let (alice, bob) = (alice.at(&there), bob.at(&there));
        here.stop().await;
        alice.sends(&chat, "5").await;
        let mut events = bob.follows(&chat, Some(cursor)).await;
        assert_eq!(bodies(&events.take(4).await), ["2", "3", "4", "5"]);
    });
}

#[test]
fn an_idempotency_key_holds_on_every_server() {
    run(async {
        let (here, there) = without_sweep().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let input = json!({ "chatId": chat, "body": "once", "idempotencyKey": "k" });
        let elsewhere = alice.at(&there);
        let sends = (0..8).map(|n| {
            let user = if n % 2 == 0 { &alice } else { &elsewhere };
            user.does("sendMessage", "message { id }", input.clone())
        });
        let payloads = futures_util::future::join_all(sends).await;
        assert!(payloads.iter().all(|payload| *payload == payloads[0]));
        let all = bob.chat(&chat, "messages { nodes { body } }").await;
        assert_eq!(all["messages"]["nodes"], json!([{ "body": "once" }]));
    });
}

#[test]
fn what_a_server_wrote_last_is_rung_for_before_it_stops() {
    run(async {
        let (here, there) = two(NEVER, Duration::from_secs(3600)).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut events = from_now(&bob, &chat).await;
        let mut socket = Socket::open(&alice).await;
        // The chat's creation rang at once, and the next ring is an hour off.
        alice.sends(&chat, "last words").await;
        let stopping = tokio::time::timeout(Duration::from_secs(10), here.stop());
        let (stopped, code) = tokio::join!(stopping, socket.closed());
        assert_eq!((stopped, code), (Ok(()), 1001));
        assert_eq!(bodies(&[events.next().await]), ["last words"]);
    });
}

#[test]
fn a_lost_hint_is_repaired_by_the_sweep() {
    run(async {
        let (here, there) = two(Duration::from_millis(1500), Duration::from_millis(5)).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let after = alice.event_cursor(&chat).await;
        let mut streams = [
            alice.follows(&chat, Some(&after)).await,
            bob.follows(&chat, Some(&after)).await,
        ];
        for round in 0..3 {
            write(&here, &chat, "bob", 10, 5).await;
            let written = Instant::now();
            for events in &mut streams {
                let first = 3 + round * 10;
                assert_eq!(
                    seqs(&events.take(10).await),
                    (first..first + 10).collect::<Vec<_>>()
                );
            }
            assert!(
                written.elapsed() < Duration::from_millis(2500),
                "{:?}",
                written.elapsed()
            );
        }
        assert!(here.app.realtime.repairs() > 0 && there.app.realtime.repairs() > 0);
    });
}
