//! People who are away are notified of what they have not read, as their settings say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Timelike as _, Utc};
use colloquy::app::DeliveryOptions;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::receiver::{Received, Receiver};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, postgres, run};

/// How long after a message somebody is notified.
const DELAY: Duration = Duration::from_millis(400);

/// A server that notifies by a webhook, and the other end of that.
async fn scene() -> (Server, Receiver) {
    let receiver = Receiver::start().await;
    let mut webhook = receiver.webhook("push");
    webhook["feeds"] = json!(["notifications"]);
    let setup = Setup {
        sinks: Some(vec![webhook]),
        deliveries: DeliveryOptions {
            notify_after: DELAY,
            ..DeliveryOptions::default()
        },
        ..Setup::default()
    };
    (
        Server::with(postgres::database().await, setup).await,
        receiver,
    )
}

/// Whom each notification is for, how many messages it counts, and the newest of them.
fn told(received: &[Received]) -> Vec<(&str, i64, &str)> {
    let told = received.iter().map(|one| {
        assert_eq!(one.kind(), "notification.created");
        let data = &one.body["data"];
        let text = data["lastMessage"]["body"].as_str().unwrap();
        let count = data["count"].as_i64().unwrap();
        (data["recipientId"].as_str().unwrap(), count, text)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

/// Waits for so many notifications, and then for some time whether there are more.
async fn exactly(receiver: &Receiver, count: usize) -> Vec<Received> {
    receiver.until_taken(count).await;
    sleep(3 * DELAY).await;
    let taken = receiver.taken();
    assert_eq!(taken.len(), count, "{:?}", told(&taken));
    taken
}

/// Nothing waits to be told any more, and nothing was told.
async fn nobody(server: &Server, receiver: &Receiver) {
    sleep(4 * DELAY).await;
    let waiting = "SELECT user_id AS line FROM notices";
    assert_eq!(lines(&mut server.sql().await, waiting).await, [""; 0]);
    assert_eq!(told(&receiver.taken()), []);
}

impl User {
    async fn says_critically(&self, chat: &str, body: &str) {
        let input = json!({ "chatId": chat, "body": body, "metadata": { "critical": true } });
        self.does("sendMessage", "", input).await;
    }

    async fn wants(&self, settings: Value) {
        self.does("updateNotificationSettings", "", settings).await;
    }
}

#[test]
fn who_is_away_is_told_of_a_burst_once() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        for n in 0..5 {
            alice.sends(&chat, &format!("{n}")).await;
        }
        let taken = exactly(&receiver, 2).await;
        assert_eq!(told(&taken), [("bob", 5, "4"), ("carol", 5, "4")]);
        let data = &taken[0].body["data"];
        assert_eq!(data["chat"], json!({ "kind": "GROUP", "title": "Team" }));
        assert_eq!(
            (&data["mentioned"], &data["critical"]),
            (&json!(false), &json!(false))
        );
        assert_eq!(data["sender"]["id"], "alice");
        assert_ne!(taken[0].id, taken[1].id);
        // What comes later is told of by itself.
        bob.sends(&chat, "5").await;
        let taken = exactly(&receiver, 4).await;
        assert_eq!(told(&taken[2..]), [("alice", 1, "5"), ("carol", 1, "5")]);
    });
}

#[test]
fn who_has_read_it_is_not_told() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let first = alice.sends(&chat, "first").await;
        let mark = json!({ "chatId": chat, "messageId": first });
        bob.does("markChatRead", "", mark).await;
        nobody(&server, &receiver).await;
        // Of two, the one that is read is not counted.
        let second = alice.sends(&chat, "second").await;
        let mark = json!({ "chatId": chat, "messageId": second });
        alice.sends(&chat, "third").await;
        bob.does("markChatRead", "", mark).await;
        assert_eq!(told(&exactly(&receiver, 1).await), [("bob", 1, "third")]);
    });
}

#[test]
fn what_is_not_there_for_somebody_any_more_is_not_told() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let [gone, left, deleted] = [
            alice.group("One", &[&bob]).await,
            alice.group("Two", &[&bob]).await,
            alice.group("Three", &[&bob]).await,
        ];
        let message = alice.sends(&gone, "deleted").await;
        alice.deletes(&message).await;
        alice.sends(&left, "left").await;
        alice.removes(&left, &bob).await;
        alice.sends(&deleted, "deleted with its chat").await;
        alice.deletes_chat(&deleted).await;
        nobody(&server, &receiver).await;
    });
}

#[test]
fn who_is_connected_is_given_longer_to_read() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let mut socket = Socket::open(&bob).await;
        socket.subscribe("q", "{ viewer { id } }", json!({})).await;
        let online = "SELECT user_id AS line FROM presences";
        while lines(&mut server.sql().await, online).await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        alice.sends(&chat, "hello").await;
        receiver.until_taken(1).await;
        assert!(begun.elapsed() >= 10 * DELAY, "{:?}", begun.elapsed());
        assert_eq!(told(&exactly(&receiver, 1).await), [("bob", 1, "hello")]);
    });
}

#[test]
fn a_level_says_of_what_one_is_told() {
    run(async {
        let (server, receiver) = scene().await;
        let names = ["alice", "mentioned", "unmentioned", "nothing"];
        let [alice, mentioned, unmentioned, nothing] = names.map(|id| server.user(id));
        let team = alice
            .group("Team", &[&mentioned, &unmentioned, &nothing])
            .await;
        for user in [&mentioned, &unmentioned] {
            user.wants(json!({ "level": "MENTIONS" })).await;
        }
        nothing.wants(json!({ "level": "NONE" })).await;
        alice.sends(&team, "hi <@mentioned> and <@nothing>").await;
        alice.sends(&team, "more").await;
        let taken = exactly(&receiver, 1).await;
        let text = "hi <@mentioned> and <@nothing>";
        assert_eq!(told(&taken), [("mentioned", 1, text)]);
        assert_eq!(taken[0].body["data"]["mentioned"], true);
        // Direct chats count as mentions; nothing passes "nothing".
        let direct = alice.direct(&unmentioned).await;
        alice.sends(&direct, "direct").await;
        let direct = alice.direct(&nothing).await;
        alice.says_critically(&direct, "critical").await;
        let taken = exactly(&receiver, 2).await;
        assert_eq!(told(&taken[1..]), [("unmentioned", 1, "direct")]);
        // A chat's own level stands before it.
        let input = json!({ "chatId": team, "level": "ALL" });
        nothing.does("setChatNotificationLevel", "", input).await;
        alice.sends(&team, "all").await;
        let taken = exactly(&receiver, 3).await;
        assert_eq!(told(&taken[2..]), [("nothing", 1, "all")]);
    });
}

#[test]
fn a_muted_chat_is_silent_but_for_what_is_critical() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob]).await;
        let fields = "chat { viewerNotificationSettings { level muted mutedUntil } }";
        let payload = bob
            .does("muteChat", fields, json!({ "chatId": chat }))
            .await;
        let muted = json!({ "level": null, "muted": true, "mutedUntil": null });
        assert_eq!(payload["chat"]["viewerNotificationSettings"], muted);
        alice.sends(&chat, "silent").await;
        nobody(&server, &receiver).await;
        alice.says_critically(&chat, "fire").await;
        let taken = exactly(&receiver, 1).await;
        assert_eq!(told(&taken), [("bob", 1, "fire")]);
        assert_eq!(taken[0].body["data"]["critical"], true);
        // Who does not lead the group cannot make it so.
        alice.does("muteChat", "", json!({ "chatId": chat })).await;
        bob.says_critically(&chat, "smoke").await;
        exactly(&receiver, 1).await;
        bob.does("unmuteChat", fields, json!({ "chatId": chat }))
            .await;
        alice.sends(&chat, "loud").await;
        assert_eq!(
            told(&exactly(&receiver, 2).await[1..]),
            [("bob", 1, "loud")]
        );
    });
}

#[test]
fn a_mute_ends() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let until = now() + Duration::from_secs(2);
        let input = json!({ "chatId": chat, "until": until });
        bob.does("muteChat", "", input).await;
        alice.sends(&chat, "early").await;
        sleep(Duration::from_millis(2100)).await;
        let settings = bob
            .chat(&chat, "viewerNotificationSettings { muted mutedUntil }")
            .await;
        let none = json!({ "muted": false, "mutedUntil": null });
        assert_eq!(settings["viewerNotificationSettings"], none);
        alice.sends(&chat, "late").await;
        assert_eq!(told(&exactly(&receiver, 1).await), [("bob", 1, "late")]);
        let past = json!({ "chatId": chat, "until": "2020-01-01T00:00:00Z" });
        let place = json!(["input", "until"]);
        assert_eq!(
            bob.refused("muteChat", past).await,
            ("INVALID".to_owned(), place)
        );
    });
}

#[expect(clippy::disallowed_methods, reason = "a user's own clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[test]
fn quiet_hours_are_waited_out_but_for_what_is_critical() {
    run(async {
        let (server, receiver) = scene().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let hour = |hours: u32| format!("{:02}:{:02}", (now().hour() + hours) % 24, 0);
        let quiet = json!({ "start": hour(0), "end": hour(2), "timeZone": "Etc/UTC" });
        bob.wants(json!({ "quietHours": quiet })).await;
        alice.sends(&chat, "later").await;
        sleep(4 * DELAY).await;
        assert_eq!(told(&receiver.taken()), []);
        let due = "SELECT to_char(due_at AT TIME ZONE 'UTC', 'HH24:MI') AS line FROM notices";
        assert_eq!(lines(&mut server.sql().await, due).await, [hour(2)]);
        alice.says_critically(&chat, "now").await;
        assert_eq!(told(&exactly(&receiver, 1).await), [("bob", 2, "now")]);
    });
}

#[test]
fn settings_change_only_where_they_are_given() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        alice.direct(&bob).await;
        let fields = "viewer { notificationSettings { level quietHours { start end timeZone } } }";
        let query = format!("{{ {fields} }}");
        let settings = async |user: &User| {
            let data = user.ask(&query, json!({})).await;
            data["viewer"]["notificationSettings"].clone()
        };
        assert_eq!(
            settings(&alice).await,
            json!({ "level": "ALL", "quietHours": null })
        );
        let night = json!({ "start": "22:00", "end": "07:30", "timeZone": "Europe/Berlin" });
        let input = json!({ "quietHours": night });
        let payload = alice
            .does("updateNotificationSettings", fields, input)
            .await;
        let expected = json!({ "level": "ALL", "quietHours": night });
        assert_eq!(payload["viewer"]["notificationSettings"], expected);
        alice.wants(json!({ "level": "MENTIONS" })).await;
        let expected = json!({ "level": "MENTIONS", "quietHours": night });
        assert_eq!(settings(&alice).await, expected);
        for (start, end, zone) in [
            ("25:00", "07:00", "UTC"),
            ("22:00", "22:00", "UTC"),
            ("22:00", "07:00", "Nowhere/At All"),
        ] {
            let hours = json!({ "start": start, "end": end, "timeZone": zone });
            let input = json!({ "level": "NONE", "quietHours": hours });
            let (code, field) = alice.refused("updateNotificationSettings", input).await;
            assert_eq!(
                (code.as_str(), field),
                ("INVALID", json!(["input", "quietHours"]))
            );
        }
        assert_eq!(settings(&alice).await, expected);
        alice.wants(json!({ "quietHours": null })).await;
        assert_eq!(settings(&alice).await["quietHours"], Value::Null);
        // They are nobody else's to see.
        let query = "{ user(id: \"alice\") { notificationSettings { level } } }";
        let seen = bob.ask(query, json!({})).await;
        assert_eq!(seen["user"]["notificationSettings"], Value::Null);
        assert_eq!(settings(&bob).await["level"], "ALL");
    });
}

/// Two devices of somebody change different settings at the same time: both hold.
#[test]
fn settings_that_change_at_once_do_not_undo_each_other() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        alice.wants(json!({ "level": "ALL" })).await;
        let mut conn = server.sql().await;
        let other = "BEGIN; UPDATE notification_settings SET level = 1";
        postgres::sql(&mut conn, other).await;
        let night = json!({ "start": "22:00", "end": "07:30", "timeZone": "Europe/Berlin" });
        let mut change = Box::pin(alice.wants(json!({ "quietHours": night })));
        let soon = Duration::from_millis(500);
        assert!(tokio::time::timeout(soon, &mut change).await.is_err());
        postgres::sql(&mut conn, "COMMIT").await;
        change.await;
        let query =
            "{ viewer { notificationSettings { level quietHours { start end timeZone } } } }";
        let settings = alice.ask(query, json!({})).await;
        let expected = json!({ "level": "MENTIONS", "quietHours": night });
        assert_eq!(settings["viewer"]["notificationSettings"], expected);
    });
}

#[test]
fn a_notification_that_fails_is_tried_again_under_the_same_id() {
    run(async {
        let (server, receiver) = scene().await;
        let first = AtomicBool::new(true);
        receiver.answers(move |_| {
            let fails = first.swap(false, Ordering::Relaxed);
            if fails { 503.into() } else { 200.into() }
        });
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        receiver.until_taken(1).await;
        let ids: Vec<_> = receiver.received().into_iter().map(|one| one.id).collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0].starts_with("ntf_"), "{ids:?}");
    });
}

#[test]
fn settings_hold_for_what_is_tried_again_too() {
    run(async {
        let (server, receiver) = scene().await;
        let is_open = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&is_open);
        receiver.answers(move |_| {
            let taken = opened.load(Ordering::Relaxed);
            if taken { 200.into() } else { 503.into() }
        });
        let [alice, bob, carol, dave, erin] =
            ["alice", "bob", "carol", "dave", "erin"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol, &dave, &erin]).await;
        alice.sends(&chat, "hello <@erin>").await;
        alice.sends(&chat, "hello").await;
        for _ in 0..500 {
            if receiver.received().len() >= 4 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        // One mutes the chat, for one it is night now, and one wants mentions alone.
        bob.does("muteChat", "", json!({ "chatId": chat })).await;
        let hour = |hours: u32| format!("{:02}:{:02}", (now().hour() + hours) % 24, 0);
        let quiet = json!({ "start": hour(0), "end": hour(2), "timeZone": "Etc/UTC" });
        carol.wants(json!({ "quietHours": quiet })).await;
        erin.wants(json!({ "level": "MENTIONS" })).await;
        is_open.store(true, Ordering::Relaxed);
        const LEFT: &str = "SELECT user_id AS line FROM delivery_lanes";
        for _ in 0..1000 {
            if lines(&mut server.sql().await, LEFT).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let expected = [("dave", 2, "hello"), ("erin", 1, "hello <@erin>")];
        assert_eq!(told(&exactly(&receiver, 2).await), expected);
        let due = "SELECT user_id || ' ' || to_char(due_at AT TIME ZONE 'UTC', 'HH24:MI') AS line FROM notices";
        // What there was nothing left to tell of is counted apart.
        let labels = [("kind", "webhook"), ("result", "skipped")];
        let tries = &server.app.deliveries.metrics().tries;
        assert_eq!(tries.get_or_create(&labels).get(), 2);
        let waiting = format!("carol {}", quiet["end"].as_str().unwrap());
        assert_eq!(lines(&mut server.sql().await, due).await, [waiting]);
    });
}
